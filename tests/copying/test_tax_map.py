"""Taxes line by line: the rate that stands for each line's tax in Productive (`[tax.map]`)."""

import random
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, first_line, forget, writes

BILL = "900"
COPY = ("copy-invoice", BILL, "--no-pdf", "--json")
UPDATE = (*COPY, "--update-existing")
LINES: list[dict[str, Any]] = [
    {"unit_price": "10.03", "tax_percent": 20},
    {"unit_price": "100.01", "tax_percent": 5},
    {"unit_price": "7.77", "tax_percent": None},
    {"unit_price": "3.13", "tax_percent": 20},
]
MAP = '[tax.map]\n"VAT 20%" = "GB_STANDARD"\n"5" = "Lower Rate 5.00%"\n'


def mapped(home: Path, table: str = MAP) -> None:
    path = home / "default.toml"
    path.write_text(path.read_text().partition("[tax.map]")[0] + table)


def bill(services: Sandbox, lines: list[dict[str, Any]] | None = None, **more: Any) -> str:
    more = {"company_id": 501, "id": BILL, "number": "INV-900", **more}
    return services.agency.add_invoice(lines=lines or LINES, **more)


def booked(services: Sandbox, key: str = BILL) -> list[tuple[str, Decimal]]:
    """The rate and the tax of each line of the copy."""
    (copy,) = copies(services, key)
    return [(line["tax_rate"]["id"], line["tax_amount"]) for line in copy["invoice_lines"]]


def owed(services: Sandbox, key: str = BILL) -> tuple[Decimal, Decimal]:
    """Tax and total as Productive has them."""
    row = services.productive.invoices[key]
    return Decimal(row["amount_tax"]) / 100, Decimal(row["amount_with_tax"]) / 100


def has_what_is_owed(services: Sandbox, key: str = BILL) -> bool:
    (copy,) = copies(services, key)
    return (copy["tax_amount"], copy["total_amount"]) == owed(services, key)


# --- a new copy


@pytest.mark.parametrize("on_subtotal", [False, True], ids=["by line", "on the subtotal"])
def test_each_line_has_the_rate_of_its_tax_and_the_tax_is_productives(
    services: Sandbox, psage: Psage, home: Path, on_subtotal: bool
) -> None:
    services.taxes_on_subtotal = on_subtotal
    mapped(home)
    bill(services)

    result = psage(*COPY)

    assert (result.code, result.only["warnings"]) == (0, [])
    assert [rate for rate, _ in booked(services)] == [
        *("GB_STANDARD", "GB_LOWER", "GB_NO_TAX", "GB_STANDARD")
    ]
    assert has_what_is_owed(services)
    assert result.only["tax"] == str(owed(services)[0])


def test_a_dry_run_shows_the_rate_of_each_line_and_sends_nothing(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    mapped(home)
    bill(services)

    result = psage(*COPY, "--dry-run")

    lines = result.only["would_send"][-1]["body"]["sales_invoice"]["invoice_lines"]
    rates = [line["tax_rate_id"] for line in lines]
    assert rates == ["GB_STANDARD", "GB_LOWER", "GB_NO_TAX", "GB_STANDARD"]
    assert writes(services) == []


@pytest.mark.parametrize(
    "flags", [(), ("--dry-run",), ("--all-uncopied",)], ids=["real", "dry", "batch"]
)
def test_an_unmapped_tax_refuses_the_document_before_a_customer_is_made(
    services: Sandbox, psage: Psage, home: Path, flags: tuple[str, ...]
) -> None:
    mapped(home, '[tax.map]\n"20" = "GB_STANDARD"\n')
    company = services.agency.add_company("Copper Kettle", country="United Kingdom")
    bill(services, company_id=company)
    command: tuple[str, ...] = (*COPY, *flags)
    if "--all-uncopied" in flags:
        command = ("copy-invoice", *flags, "--company", "Copper Kettle", "--yes", "--json")

    result = psage(*command)

    error = result.only["error"]
    assert (result.code, error["code"]) == (4, "tax_unmapped")
    assert "line 2 has `VAT 5%` (5 %)" in error["message"]
    assert '`psage configure --map-tax "VAT 5%=RATE"`' in error["hint"]
    assert '`"VAT 5%" = "RATE"`' in error["hint"]
    assert "[tax.map]" in error["hint"]
    assert error["details"]["lines"] == [{"line": 2, "tax": "VAT 5%", "percentage": "5"}]
    assert writes(services) == []


def test_every_line_that_is_unmapped_is_named(services: Sandbox, psage: Psage, home: Path) -> None:
    mapped(home, '[tax.map]\n"Reverse charge" = "GB_ZERO"\n')
    bill(services)

    error = psage(*COPY).only["error"]

    assert [row["line"] for row in error["details"]["lines"]] == [1, 2, 4]
    assert '--map-tax "VAT 20%=RATE" --map-tax "VAT 5%=RATE"`' in error["hint"]


@pytest.mark.parametrize(
    ("key", "rate"), [("none", "GB_EXEMPT"), ("", "GB_ZERO"), ("None", "GB_EXEMPT")]
)
def test_lines_without_tax_have_a_key_of_their_own(
    services: Sandbox, psage: Psage, home: Path, key: str, rate: str
) -> None:
    mapped(home, f'{MAP}"{key}" = "{rate}"\n')
    bill(services)

    assert psage(*COPY).code == 0

    assert booked(services)[2] == (rate, Decimal("0.00"))
    assert has_what_is_owed(services)


def test_a_tax_of_nothing_is_mapped_by_its_name_or_its_percentage(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    bill(services, [{"unit_price": "10.00", "tax_percent": 0}])
    (rate,) = (
        row["attributes"]
        for row in services.productive.table("tax_rates").values()
        if row["attributes"]["primary_component_value"] == 0
    )
    rate["name"] = "Reverse charge"
    mapped(home, '[tax.map]\n"none" = "GB_NO_TAX"\n')
    unmapped = psage(*COPY).only["error"]
    mapped(home, '[tax.map]\n"0" = "GB_EXEMPT"\n"reverse CHARGE" = "GB_ZERO"\n')

    assert psage(*COPY).code == 0

    assert unmapped["code"] == "tax_unmapped"
    assert "`Reverse charge` (0 %)" in unmapped["message"]
    assert booked(services) == [("GB_ZERO", Decimal("0.00"))]


def test_a_tax_of_two_parts_is_mapped_by_their_sum(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.components_apart = True
    services.bookkeeper.add_tax_rate("GB_BOTH", "BOTH", "Both 14.975%", "14.975")
    bill(services, [{"unit_price": "10.10", "tax_percent": [5, "9.975"]}, LINES[0]])
    mapped(home, '[tax.map]\n"14,975 %" = "GB_BOTH"\n"20%" = "GB_STANDARD"\n')

    assert psage(*COPY).code == 0

    assert has_what_is_owed(services)


def test_a_rate_of_another_percentage_is_refused_with_both(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    mapped(home, MAP.replace("GB_STANDARD", "GB_LOWER"))
    bill(services)

    error = psage(*COPY).only["error"]

    assert error["code"] == "tax_not_exact"
    assert "line 1" in error["message"]
    assert "`VAT 20%` (20 %)" in error["message"]
    assert "5 %" in error["message"]
    assert error["details"] == {"productive": "20", "planned": "5"}
    assert writes(services) == []


def test_a_tax_that_no_rounding_explains_is_refused_with_both_figures(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    mapped(home)
    bill(services)
    said = services.productive.table("invoices")[BILL]["attributes"]
    said["amount_tax"] += 5
    said["amount_with_tax"] += 5

    result = psage(*COPY)

    error = result.only["error"]
    assert (result.code, error["code"]) == (4, "tax_not_exact")
    assert set(error["details"]) == {"productive", "planned"}
    assert all(figure in error["message"] for figure in error["details"].values())
    assert writes(services) == []


def test_a_sage_that_books_another_tax_differs(services: Sandbox, psage: Psage, home: Path) -> None:
    services.line_taxes = "own"
    services.taxes_on_subtotal = True
    mapped(home)
    bill(services, [{"unit_price": "0.13", "tax_percent": 20} for _ in range(5)])

    result = psage(*COPY)

    assert (result.code, result.only["error"]["code"]) == (7, "totals_differ")
    assert set(result.only["error"]["details"]) == {"tax", "total"}


@pytest.mark.parametrize(
    ("flags", "rate"), [(("--tax-rate", "GB_LOWER"), "GB_LOWER"), (("--no-tax",), "GB_NO_TAX")]
)
def test_a_rate_that_is_named_is_stronger_for_the_run(
    services: Sandbox, psage: Psage, home: Path, flags: tuple[str, ...], rate: str
) -> None:
    mapped(home, '[tax.map]\n"99" = "GB_STANDARD"\n')
    bill(services)

    assert psage(*COPY, *flags).code == 0

    assert {found for found, _ in booked(services)} == {rate}


def test_nobody_is_asked_for_a_rate(
    services: Sandbox, psage: Psage, home: Path, answers: list[str]
) -> None:
    mapped(home)
    bill(services)
    answers += ["1"]  # the customer

    result = psage("copy-invoice", BILL, "--no-pdf")

    assert (result.code, answers) == (0, [])
    assert "tax rate" not in result.err.lower()
    assert has_what_is_owed(services)


def test_abroad_no_tax_means_the_zero_rate(services: Sandbox, psage: Psage, home: Path) -> None:
    mapped(home, '[tax.map]\n"0" = "No VAT"\n')
    bill(services, [{"unit_price": "10.00", "tax_percent": 0}, LINES[2]], company_id=505)

    result = psage(*COPY)

    assert result.code == 0
    assert [one["code"] for one in result.only["warnings"]].count("sold_abroad") == 1
    assert {rate for rate, _ in booked(services)} == {"GB_ZERO"}
    (copy,) = copies(services, BILL)
    assert {one["eu_goods_services_type"]["id"] for one in copy["invoice_lines"]} == {"SERVICES"}


def test_abroad_a_rate_for_home_makes_no_customer(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    mapped(home)
    company = services.agency.add_company("Rivoli SARL", country="France")
    bill(services, company_id=company)

    result = psage(*COPY)

    assert (result.code, result.only["error"]["code"]) == (4, "tax_rate_invalid")
    assert writes(services) == []
    assert "`--no-tax`" in result.only["error"]["hint"]
    assert psage(*COPY, "--no-tax").only["action"] == "created"


def test_a_business_without_vat_takes_no_mapped_tax(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.bookkeeper.set_tax_scheme("NOT_REGISTERED")
    mapped(home)
    bill(services)

    assert psage(*COPY).only["error"]["code"] == "not_registered_for_tax"


def test_a_rate_that_sage_lost_is_refused_naming_the_tax(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    mapped(home, MAP.replace("GB_STANDARD", "GB_GONE"))
    bill(services)

    error = psage(*COPY).only["error"]

    assert error["code"] == "tax_rate_invalid"
    assert "`GB_GONE`" in error["message"]
    assert "`VAT 20%`" in error["message"]
    assert writes(services) == []


@pytest.mark.parametrize(("on_subtotal", "code"), [(False, 0), (True, 4)])
def test_where_sage_computes_the_tax_a_cent_that_would_be_off_is_refused(
    services: Sandbox, psage: Psage, home: Path, on_subtotal: bool, code: int
) -> None:
    services.bookkeeper.move_business("ES")
    services.taxes_on_subtotal = on_subtotal
    mapped(home, '[tax.map]\n"21" = "ES_STANDARD"\n')
    company = services.agency.add_company("Cobre SL", country="Spain")
    lines = [{"unit_price": "0.12", "tax_percent": 21} for _ in range(4)]
    bill(services, lines, company_id=company, currency="EUR")

    result = psage(*COPY)

    assert result.code == code
    if code:
        assert result.only["error"]["code"] == "tax_not_exact"
        assert writes(services) == []
    else:
        assert has_what_is_owed(services)


def test_a_saved_plan_has_the_rates_and_is_refused_where_the_table_is_another(
    services: Sandbox, psage: Psage, home: Path, tmp_path: Path
) -> None:
    mapped(home)
    bill(services)
    plan = str(tmp_path / "plan.json")
    assert psage("copy-invoice", BILL, "--no-pdf", "--plan", plan).code == 0
    mapped(home, MAP.replace("GB_STANDARD", "Standard"))
    other = psage("apply", plan, "--yes", "--json")
    mapped(home)

    result = psage("apply", plan, "--yes", "--json")

    assert (other.code, writes(services, "sage")[:0]) == (4, [])
    assert result.code == 0
    assert has_what_is_owed(services)
    assert psage(*UPDATE).only["action"] == "unchanged"


# --- credit notes


def test_a_credit_note_has_the_taxes_of_its_invoices_copy(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    mapped(home)
    bill(services)
    lines = [{**line, "quantity": "-1"} for line in LINES]
    note = bill(services, lines, id="901", number="CN-901", credits_invoice=BILL)
    assert psage(*COPY).code == 0

    result = psage("credit-note", note, "--no-pdf", "--json")

    assert (result.code, result.only["warnings"]) == (0, [])
    (credit,) = services.sage.credit_notes.values()
    rates = [line["tax_rate"]["id"] for line in credit["credit_note_lines"]]
    assert rates == [rate for rate, _ in booked(services)]
    assert credit["tax_amount"] == owed(services)[0]
    assert copies(services, BILL)[0]["outstanding_amount"] == 0


# --- updates


@pytest.fixture
def copied(services: Sandbox, psage: Psage, home: Path) -> Sandbox:
    mapped(home)
    bill(services)
    assert psage(*COPY).code == 0
    services.clear_calls()
    return services


def test_an_unchanged_document_is_not_written_again(copied: Sandbox, psage: Psage) -> None:
    result = psage(*UPDATE)

    assert (result.code, result.only["action"]) == (0, "unchanged")
    assert writes(copied, "sage") == []


def test_new_lines_and_another_tax_follow_productive(copied: Sandbox, psage: Psage) -> None:
    copied.agency.add_line(BILL, unit_price="1.37", tax_percent=5)
    copied.agency.edit_line(first_line(copied, BILL), tax_percent=5)

    result = psage(*UPDATE)

    assert (result.code, result.only["action"]) == (0, "updated")
    rates = [rate for rate, _ in booked(copied)]
    assert rates == ["GB_LOWER", "GB_LOWER", "GB_NO_TAX", "GB_STANDARD", "GB_LOWER"]
    assert has_what_is_owed(copied)


def test_an_update_with_an_unmapped_tax_is_refused(copied: Sandbox, psage: Psage) -> None:
    copied.agency.add_line(BILL, unit_price="1.37", tax_percent=13)

    assert psage(*UPDATE).only["error"]["code"] == "tax_unmapped"
    assert writes(copied, "sage") == []


def test_a_rate_that_the_bookkeeper_changed_stays_and_the_tax_is_said(
    copied: Sandbox, psage: Psage
) -> None:
    (copy,) = copies(copied, BILL)
    copied.bookkeeper.edit_invoice(copy["id"], line=1, tax_rate_id="GB_ZERO")
    copied.agency.edit_line(first_line(copied, BILL), description="Other work")

    result = psage(*UPDATE)

    assert (result.code, result.only["action"]) == (0, "updated")
    codes = [one["code"] for one in result.only["warnings"]]
    assert "kept" in codes
    assert booked(copied)[1] == ("GB_ZERO", Decimal("0.00"))


def test_what_stands_for_a_tax_now_rewrites_no_copy(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    copied.taxes_on_subtotal = True  # now the lines' taxes by themselves are a cent off
    copied.agency.edit_line(first_line(copied, BILL), unit_price="10.04")
    assert psage(*UPDATE).code == 0
    copied.bookkeeper.add_tax_rate("GB_OTHER", "OTHER", "Other 20.00%", "20")
    mapped(home, MAP.replace("GB_STANDARD", "GB_OTHER"))
    with closing(sqlite3.connect(home / "default.db")) as db, db:
        db.execute("DELETE FROM cache")
    unchanged = psage(*UPDATE).only
    copied.agency.add_line(BILL, unit_price="1.37", tax_percent=20)

    result = psage(*UPDATE)

    assert unchanged["action"] == "unchanged"
    assert result.only["action"] == "updated"
    rates = [rate for rate, _ in booked(copied)]
    assert rates == ["GB_STANDARD", "GB_LOWER", "GB_NO_TAX", "GB_STANDARD", "GB_OTHER"]
    assert has_what_is_owed(copied)


def test_without_the_table_the_rates_of_several_lines_have_to_be_said(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    mapped(home, "")
    copied.agency.add_line(BILL, unit_price="1.37")

    result = psage(*UPDATE)

    assert (result.code, result.only["error"]["code"]) == (4, "tax_rate_invalid")
    assert "different tax rates" in result.only["error"]["message"]
    assert writes(copied, "sage") == []


def test_a_copy_that_was_made_without_the_table_keeps_its_rate_until_overwritten(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    bill(services)
    assert psage(*COPY, "--tax-rate", "GB_STANDARD").code == 0
    mapped(home)

    kept = psage(*UPDATE).only["action"]
    rates = {rate for rate, _ in booked(services)}
    result = psage(*UPDATE, "--overwrite")

    assert (kept, rates) == ("unchanged", {"GB_STANDARD"})
    assert (result.code, result.only["action"]) == (0, "updated")
    assert has_what_is_owed(services)
    assert psage(*UPDATE).only["action"] == "unchanged"


def test_without_records_a_copy_follows_the_table_where_its_rates_are_in_it(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    forget(home)
    assert psage(*COPY).only["action"] == "adopted"
    unchanged = psage(*UPDATE).only["action"]
    copied.agency.edit_line(first_line(copied, BILL), description="Other work")

    result = psage(*UPDATE, "--overwrite")

    assert (unchanged, result.only["action"]) == ("unchanged", "updated")
    assert len({rate for rate, _ in booked(copied)}) == 3
    assert has_what_is_owed(copied)


def test_without_records_a_copy_of_one_rate_keeps_it(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    bill(services)
    assert psage(*COPY, "--no-tax").code == 0
    forget(home)
    mapped(home)
    assert psage(*COPY).only["action"] == "adopted"
    services.agency.edit_line(first_line(services, BILL), description="Other work")

    assert psage(*UPDATE).only["action"] == "updated"

    assert {rate for rate, _ in booked(services)} == {"GB_NO_TAX"}


def test_a_named_rate_makes_a_mapped_copy_one_of_that_rate(copied: Sandbox, psage: Psage) -> None:
    assert psage(*UPDATE, "--tax-rate", "GB_STANDARD").code == 0

    again = psage(*UPDATE)

    assert {rate for rate, _ in booked(copied)} == {"GB_STANDARD"}
    assert again.only["action"] == "unchanged"


@pytest.mark.parametrize("seed", range(8))
def test_whatever_both_sides_change_the_tax_is_productives_where_its_rates_are(
    copied: Sandbox, psage: Psage, seed: int
) -> None:
    dice = random.Random(seed)
    copied.taxes_on_subtotal = bool(seed % 2)
    stands_for = {20: "GB_STANDARD", 5: "GB_LOWER", None: "GB_NO_TAX"}
    charged: list[int | None] = [20, 5, None, 20]
    theirs = dict[int, str]()
    for _ in range(4):
        before = list(charged)
        for _ in range(dice.randrange(1, 4)):
            n = dice.randrange(len(charged))
            key, percent = f"{BILL}{n + 1:03d}", dice.choice([20, 5, None])
            match dice.randrange(4):
                case 0:
                    copied.agency.edit_line(key, unit_price=f"{dice.randrange(999)}.{n}7")
                case 1:
                    copied.agency.edit_line(key, tax_percent=percent)
                    charged[n] = percent
                case 2:
                    price = f"{dice.randrange(99)}.13"
                    copied.agency.add_line(BILL, unit_price=price, tax_percent=percent)
                    charged.append(percent)
                case _ if n < len(before):
                    theirs[n] = dice.choice(["GB_ZERO", "GB_LOWER", "GB_STANDARD"])
                    sage_id = copies(copied, BILL)[0]["id"]
                    copied.bookkeeper.edit_invoice(sage_id, line=n, tax_rate_id=theirs[n])
        result = psage(*UPDATE)
        if result.code == 7:
            result, theirs = psage(*UPDATE, "--overwrite"), {}

        ours = [stands_for[one] for one in charged]
        found = [rate for rate, _ in booked(copied)]
        assert result.code == 0, result.out
        assert found == [theirs.get(n, rate) for n, rate in enumerate(ours)]
        if found == ours:
            assert has_what_is_owed(copied)


def test_it_takes_no_call_more(services: Sandbox, psage: Psage, home: Path) -> None:
    mapped(home)
    bill(services, id="899", number="INV-899")
    bill(services)
    assert psage("copy-invoice", "899", "--no-pdf").code == 0
    services.clear_calls()

    assert psage(*COPY).code == 0

    calls = [f"{call.method} {call.path}" for call in services.calls("sage")]
    assert calls == ["GET /sales_invoices", "POST /sales_invoices"]


# --- the setting


def test_it_is_set_by_name_and_removed_with_the_comments_of_the_file_kept(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    path = home / "default.toml"
    path.write_text(f"# mine\n{path.read_text()}[items]  # none yet\n")

    flags = ("--map-tax", "VAT 20%=Standard", "--map-tax", "5 = 5%", "--map-tax", "none=No VAT")
    assert psage("configure", *flags).code == 0
    written = path.read_text()
    assert psage("configure", "--map-tax", "vat 20 %=").code == 0

    assert written.startswith("# mine\n")
    assert "# none yet" in written
    assert "[tax.map]" in written
    assert "[tax]\n" not in written
    assert '"VAT 20%" = "GB_STANDARD" # psage: Standard 20.00%' in written
    assert '5 = "GB_LOWER"' in written
    assert "VAT 20%" not in path.read_text()
    assert psage("configure", "--show", "--json").json["settings"]["tax_map"] == {
        "5": "GB_LOWER",
        "none": "GB_NO_TAX",
    }


def test_a_key_that_says_the_same_is_written_anew(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    mapped(home)

    psage("configure", "--map-tax", "vat 20.00 %=GB_LOWER")

    assert '"VAT 20%" = "GB_LOWER"' in (home / "default.toml").read_text()


@pytest.mark.parametrize(
    ("pair", "code", "words"),
    [
        ("VAT 20%=Nonsense", "refused", "no tax rate `Nonsense`"),
        ("VAT 20%=GB_HIDDEN", "refused", "hidden"),
        ("VAT 20%", "usage", "TAX=RATE"),
        ("=GB_STANDARD", "usage", "TAX=RATE"),
    ],
)
def test_what_cannot_stand_for_a_tax_is_refused_and_nothing_written(
    services: Sandbox, psage: Psage, home: Path, pair: str, code: str, words: str
) -> None:
    before = (home / "default.toml").read_text()

    result = psage("configure", "--map-tax", pair, "--json")

    assert result.json["error"]["code"] == code
    assert words in result.json["error"]["message"]
    assert (home / "default.toml").read_text() == before


def test_it_is_told_in_sentences(services: Sandbox, psage: Psage, home: Path) -> None:
    mapped(home, f'{MAP}none = "GB_NO_TAX"\n')
    psage("configure", "--map-tax", "VAT 20%=GB_STANDARD")

    words = " ".join(psage("configure", "--show").out.split())
    keys = psage("configure", "--show", "--verbose").out

    assert "Lines with Productive's tax VAT 20% go with Standard 20.00% in Sage." in words
    assert "Lines without tax go with No VAT in Sage." in words
    assert "for its tax in Productive" in words
    assert "tax.map.VAT 20%" in keys


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('"20" = 5\n', "must be a Sage tax rate in quotes"),
        ('"20" = " "\n', "must be a Sage tax rate in quotes"),
    ],
)
def test_a_value_that_is_no_rate_is_a_problem_of_the_file(
    services: Sandbox, psage: Psage, home: Path, line: str, words: str
) -> None:
    mapped(home, f"[tax.map]\n{line}")

    result = psage(*COPY)

    assert (result.code, result.json["error"]["code"]) == (2, "config_invalid")
    assert "`tax.map.20 = " in result.json["error"]["message"]
    assert words in result.json["error"]["message"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[tax]\nmap = "x"\n', "`tax.map` must be a table, `[tax.map]`"),
        ('[tax]\nmop = "x"\n', "the key `tax.mop` is not known"),
        ("tax = 3\n", "the key `tax` is not known"),
    ],
)
def test_what_is_no_such_table_is_said(
    services: Sandbox, psage: Psage, home: Path, text: str, words: str
) -> None:
    path = home / "default.toml"
    path.write_text(path.read_text() + text)

    result = psage("configure", "--show")

    assert words in " ".join(result.err.split())


def test_doctor_looks_whether_the_rates_are_there(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    mapped(home)
    (good,) = (one for one in psage("doctor", "--json").json["checks"] if one["name"] == "tax_rate")
    mapped(home, MAP.replace("GB_STANDARD", "GB_GONE").replace("Lower Rate 5.00%", "GB_HIDDEN"))

    (bad,) = (one for one in psage("doctor", "--json").json["checks"] if one["name"] == "tax_rate")

    assert good["result"] == "ok"
    assert "2 rates" in str(good)
    assert bad["result"] == "failure"
    assert "`VAT 20%`" in str(bad)
    assert "`5`" in str(bad)
    assert "--map-tax" in str(bad)
