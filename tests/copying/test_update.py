"""Updates of a copy through the real command: nobody's work is overwritten in silence."""

import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from productive_sage.sandbox.books import address_of
from tests.conftest import Psage, copies, first_line, forget, writes

UPDATE = ("copy-invoice", "101", "--update-existing")


@pytest.fixture
def copied(beginning: Callable[..., Sandbox]) -> Sandbox:
    """Invoice 101 is copied with 20 % tax."""
    return beginning(("copy-invoice", "101", "--tax-rate", "GB_STANDARD", "--no-pdf"))


def copy_of(sandbox: Sandbox) -> dict[str, Any]:
    (copy,) = copies(sandbox, "101")
    return copy


def edit(sandbox: Sandbox, **fields: object) -> None:
    """The bookkeeper's hand in Sage."""
    sandbox.bookkeeper.edit_invoice(copy_of(sandbox)["id"], **fields)  # type: ignore[arg-type]  # `line` is one of the fields


def change(sandbox: Sandbox, **fields: object) -> None:
    """The agency's hand on the first line in Productive."""
    sandbox.agency.edit_line(first_line(sandbox, "101"), **fields)


def test_an_update_says_what_changed_old_and_new(copied: Sandbox, psage: Psage) -> None:
    change(copied, quantity="3.25")

    planned = psage(*UPDATE, "--dry-run", "--json")
    result = psage(*UPDATE, "--json")

    (one,) = result.only["changes"]
    assert one["field"] == "amount of line 1"
    assert one["old"] != one["new"]
    assert one["new"].startswith("3.25 × ")
    assert planned.only["changes"] == result.only["changes"]


def test_people_see_what_an_update_changed(copied: Sandbox, psage: Psage) -> None:
    change(copied, description="Design, second round")

    result = psage(*UPDATE)

    assert result.code == 0
    assert "description of line 1 changed: " in result.out
    assert "→ Design, second round" in result.out


def test_what_the_bookkeeper_changed_stays_and_is_said(copied: Sandbox, psage: Psage) -> None:
    account = copied.bookkeeper.ledger_account_id(4900)
    edit(copied, ledger_account_id=account, description="As agreed", due_date="2026-05-05")
    copied.agency.edit_invoice("101", invoiced_on="2026-02-03")

    result = psage(*UPDATE, "--json")

    copy = copy_of(copied)
    line = copy["invoice_lines"][0]
    assert (result.code, result.only["action"]) == (0, "updated")
    assert (line["ledger_account"]["id"], line["description"]) == (account, "As agreed")
    assert (copy["date"], copy["due_date"]) == ("2026-02-03", "2026-05-05")
    kept = [one["message"] for one in result.only["warnings"] if one["code"] == "kept"]
    assert len(kept) == 3
    assert any("4900" in message for message in kept)


def test_a_changed_amount_in_sage_stops_the_update_with_both_figures(
    copied: Sandbox, psage: Psage
) -> None:
    before = copy_of(copied)["net_amount"]
    edit(copied, unit_price="1.00")

    for flags in ((), ("--dry-run",)):
        result = psage(*UPDATE, *flags, "--json")

        assert (result.code, result.only["action"]) == (7, "differs")
        error = result.only["error"]
        assert error["code"] == "changed_in_sage"
        assert "--overwrite" in error["hint"]
        (figures,) = error["details"].values()
        assert figures["sage"] == "10 × 1 = 10"
        assert figures["sage"] != figures["productive"] == figures["written"]
    assert writes(copied) == []
    assert copy_of(copied)["net_amount"] != before


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ({"description": "B"}, {"description": "A"}),
        ({"unit_price": "7.00"}, {"unit_price": "8.00"}),
        ({"date": "2026-02-20"}, {"invoiced_on": "2026-02-21"}),
    ],
)
def test_what_both_changed_is_left_to_a_person_and_overwrite_decides(
    copied: Sandbox, psage: Psage, there: dict[str, Any], here: dict[str, Any]
) -> None:
    edit(copied, **there)
    if "invoiced_on" in here:
        copied.agency.edit_invoice("101", **here)
    else:
        change(copied, **here)

    result = psage(*UPDATE, "--json")
    untouched = writes(copied)
    forced = psage(*UPDATE, "--overwrite", "--json")

    assert (result.code, result.only["action"], untouched) == (7, "differs", [])
    assert (forced.code, forced.only["action"]) == (0, "updated")
    line = copy_of(copied)["invoice_lines"][0]
    assert {"A": "A"}.get(line["description"]) or line["unit_price"] or copy_of(copied)["date"]
    wanted = {
        "description": line["description"],
        "unit_price": f"{line['unit_price']:.2f}",
        "invoiced_on": copy_of(copied)["date"],
    }
    assert {name: wanted[name] for name in here} == here


def test_overwrite_takes_back_all_the_bookkeeper_did(copied: Sandbox, psage: Psage) -> None:
    before = copy_of(copied)
    other = copied.bookkeeper.contact_id("Northwind Trading Limited")
    account = copied.bookkeeper.ledger_account_id(4900)
    edit(copied, ledger_account_id=account, tax_rate_id="GB_ZERO", contact_id=other)

    result = psage(*UPDATE, "--overwrite", "--json")

    after = copy_of(copied)
    assert (result.code, result.only["action"]) == (0, "updated")
    assert after["contact"]["id"] == before["contact"]["id"]
    assert after["total_amount"] == before["total_amount"]
    assert (
        after["invoice_lines"][0]["ledger_account"] == before["invoice_lines"][0]["ledger_account"]
    )


def test_overwrite_alone_is_a_mistake(copied: Sandbox, psage: Psage) -> None:
    assert psage("copy-invoice", "101", "--overwrite").code == 2


def test_somebody_at_a_terminal_is_asked_before_anything_is_overwritten(
    copied: Sandbox, psage: Psage, answers: list[str]
) -> None:
    edit(copied, unit_price="1.00")
    answers += ["1", "2"]

    left = psage(*UPDATE, "--json")
    untouched = writes(copied)
    made = psage(*UPDATE, "--json")

    assert (left.code, untouched) == (7, [])
    assert (made.code, made.only["action"]) == (0, "updated")


def test_another_company_in_productive_is_another_customer_in_sage(
    copied: Sandbox, psage: Psage
) -> None:
    before = copy_of(copied)["contact"]["id"]
    copied.agency.edit_invoice("101", company_id=507)

    result = psage(*UPDATE, "--json")

    assert (result.code, result.only["action"]) == (0, "updated")
    assert copy_of(copied)["contact"]["id"] != before
    assert "Juniper" in copy_of(copied)["contact_name"]
    assert [one["field"] for one in result.only["changes"]] == ["customer"]


def test_an_address_the_copy_carries_itself_follows_productive(
    services: Sandbox, psage: Psage
) -> None:
    bare = services.bookkeeper.contact_id("Northwind Traders Ltd")
    services.sage.books().table("contacts")[bare]["main_address"] = address_of(None)
    psage("copy-invoice", "101", "--no-tax", "--no-pdf")
    before = psage(*UPDATE, "--json")
    services.agency.edit_contact_entry(501, address="9 New Quay", city="Hull")

    result = psage(*UPDATE, "--json")

    (row,) = services.sage.books().table("sales_invoices").values()
    assert before.only["action"] == "unchanged"
    assert (result.code, result.only["action"]) == (0, "updated")
    assert row["main_address"]["address_line_1"] == "9 New Quay"
    assert [one["field"] for one in result.only["changes"]] == ["address"]


def test_a_lines_service_type_decides_anew_where_it_is_booked(
    copied: Sandbox, psage: Psage
) -> None:
    psage("configure", "--map-item", "Design=DESIGN")
    table = copied.productive.table("service_types")
    names = {row["attributes"]["name"]: key for key, row in table.items()}
    change(copied, service_type_id=next(names[name] for name in names if name != "Design"))
    psage(*UPDATE)
    change(copied, service_type_id=names["Design"])

    result = psage(*UPDATE, "--json")

    assert result.code == 0
    assert "item of line 1" in [one["field"] for one in result.only["changes"]]
    line = copy_of(copied)["invoice_lines"][0]
    assert line["service"] or line["product"]


def test_without_records_a_difference_is_for_a_person(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    edit(copied, description="As agreed")
    (row,) = copied.sage.books().table("sales_invoices").values()
    row["created_at"] = "2026-02-02T10:00:00Z"
    forget(home)

    result = psage(*UPDATE, "--json")
    forced = psage(*UPDATE, "--overwrite", "--json")

    assert (result.code, result.only["action"]) == (7, "differs")
    assert (forced.code, forced.only["action"]) == (0, "updated")


def test_without_records_a_copy_nobody_touched_follows_productive(
    copied: Sandbox, psage: Psage, home: Path
) -> None:
    forget(home)
    change(copied, quantity="3")

    result = psage(*UPDATE, "--json")

    assert (result.code, result.only["action"]) == (0, "updated")


# --- writes that broke off


def test_the_figures_of_today_are_booked_not_those_of_the_attempt_that_never_arrived(
    services: Sandbox, psage: Psage
) -> None:
    services.fault("cut_before", method="POST", path="/sales_invoices", times=2)
    broken = psage("copy-invoice", "101", "--no-tax")
    change(services, quantity="100")

    result = psage("copy-invoice", "101", "--tax-rate", "GB_STANDARD", "--json")

    net = Decimal(services.productive.invoices["101"]["amount"]) / 100
    copy = copy_of(services)
    assert broken.code == 8
    assert result.code == 0
    assert Decimal(copy["net_amount"]) == net
    assert Decimal(copy["tax_amount"]) == net / 5
    assert result.only["total"] == f"{copy['total_amount']:.2f}"


def test_an_update_that_never_arrived_is_not_sent_over_what_the_bookkeeper_did_since(
    copied: Sandbox, psage: Psage
) -> None:
    change(copied, description="Ours")
    copied.fault("cut_before", method="PUT", path="/sales_invoices", times=2)
    broken = psage(*UPDATE)
    edit(copied, description="Theirs")
    copied.clear_calls()

    elsewhere = psage("copy-invoice", "125", "--json")
    result = psage(*UPDATE, "--json")

    assert broken.code == 8
    assert [one["error"] and one["error"]["code"] for one in elsewhere.results] == [
        "update_lapsed",
        None,
    ]
    assert (result.code, result.only["action"]) == (7, "differs")
    assert copy_of(copied)["invoice_lines"][0]["description"] == "Theirs"


# --- a random machine


def _there(services: Sandbox, dice: random.Random) -> tuple[str, Any]:
    """One thing a bookkeeper does to the copy in Sage."""
    line = dice.randrange(len(copy_of(services)["invoice_lines"]))
    accounts = [services.bookkeeper.ledger_account_id(code) for code in (4900, 4010)]
    name, value = dice.choice(
        [
            ("description", f"bookkeeper {dice.randrange(3)}"),
            ("ledger_account_id", dice.choice(accounts)),
            ("tax_rate_id", dice.choice(["GB_ZERO", "GB_LOWER", "GB_STANDARD"])),
            ("unit_price", dice.choice(["10.00", "20.00"])),
            ("date", dice.choice(["2026-02-10", "2026-02-11"])),
            ("due_date", dice.choice(["2026-05-10", "2026-05-11"])),
        ]
    )
    edit(services, line=line, **{name: value})
    return (name if "date" in name else f"{name} {line}"), value


def _here(services: Sandbox, dice: random.Random) -> tuple[str, Any]:
    """One thing an agency does to the invoice in Productive."""
    rows = services.productive.line_items
    keys = [key for key, row in rows.items() if row["invoice_id"] == "101"]
    line = dice.randrange(len(keys))
    name, value = dice.choice(
        [
            ("description", f"agency {dice.randrange(3)}"),
            ("unit_price", dice.choice(["10.00", "20.00"])),
            ("invoiced_on", dice.choice(["2026-02-10", "2026-02-12"])),
            ("pay_on", dice.choice(["2026-05-10", "2026-05-12"])),
        ]
    )
    if name in ("invoiced_on", "pay_on"):
        services.agency.edit_invoice("101", **{name: value})
        return {"invoiced_on": "date", "pay_on": "due_date"}[name], value
    services.agency.edit_line(keys[line], **{name: value})
    return f"{name} {line}", value


def _look(services: Sandbox) -> dict[str, Any]:
    """The copy by field, as the edits name them."""
    copy = copy_of(services)
    found = {"date": copy["date"], "due_date": copy["due_date"]}
    for n, line in enumerate(copy["invoice_lines"]):
        found |= {
            f"description {n}": line["description"],
            f"ledger_account_id {n}": line["ledger_account"]["id"],
            f"tax_rate_id {n}": line["tax_rate"]["id"],
            f"unit_price {n}": f"{line['unit_price']:.2f}",
        }
    return found


@pytest.mark.parametrize("seed", range(12))
def test_random_edits_on_both_sides_lose_nothing_of_the_bookkeepers(
    copied: Sandbox, psage: Psage, seed: int
) -> None:
    """Whatever the bookkeeper changed is theirs until `--overwrite` says otherwise."""
    dice = random.Random(seed)
    ours, said = _look(copied), _look(copied)  # what psage wrote, and what Productive says
    for _ in range(4):
        here = dict[str, Any]()
        for _ in range(dice.randrange(1, 5)):
            if dice.random() < 0.5:
                _there(copied, dice)
            else:
                name, value = _here(copied, dice)
                here[name] = value
        now, before = {**said, **here}, _look(copied)
        theirs = {name for name in before if before[name] not in (ours[name], now[name])}
        torn = {name for name in theirs if now[name] != said[name] or "unit_price" in name}
        copied.clear_calls()

        result = psage(*UPDATE, "--no-pdf", "--json")

        after = _look(copied)
        if torn:
            assert (result.code, writes(copied, "sage"), after) == (7, [], before)
            result = psage(*UPDATE, "--no-pdf", "--overwrite", "--json")
            after, theirs = _look(copied), set()
        assert result.code == 0, result.out
        assert after == {name: before[name] if name in theirs else now[name] for name in now}
        ours, said = {name: now[name] for name in now}, now
        assert (
            Decimal(copy_of(copied)["net_amount"]) * 100
            == copied.productive.invoices["101"]["amount"]
        )


# --- after the customer, the currency or the reference changed


def test_work_of_the_bookkeeper_is_kept_after_the_customer_changed(
    copied: Sandbox, psage: Psage
) -> None:
    copied.agency.edit_invoice("101", company_id=507)
    assert psage(*UPDATE, "--no-pdf").code == 0
    copied.clear_calls()
    again = psage(*UPDATE, "--no-pdf", "--json")
    (copy,) = copies(copied, "101")
    copied.bookkeeper.edit_invoice(copy["id"], line=0, unit_price="1.00")

    result = psage(*UPDATE, "--no-pdf", "--json")

    assert (again.code, again.only["action"]) == (0, "unchanged")
    assert "kept" in [one["code"] for one in result.only["warnings"]] or result.code == 7
    assert writes(copied, "sage") == []
    assert copies(copied, "101")[0]["invoice_lines"][0]["unit_price"] == Decimal("1.00")


def test_a_customer_changed_in_sage_is_named_where_it_is_kept(
    copied: Sandbox, psage: Psage
) -> None:
    other = copied.bookkeeper.contact_id("Northwind Trading Limited")
    edit(copied, contact_id=other, contact_name="Northwind Trading Limited")

    result = psage(*UPDATE, "--no-pdf", "--json")

    (kept,) = [one["message"] for one in result.only["warnings"] if one["code"] == "kept"]
    assert "Sage Northwind Trading Limited, Productive Northwind Traders Ltd" in kept


def test_what_is_sold_abroad_is_the_bookkeepers_until_overwritten(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "109", "--no-pdf")
    (copy,) = copies(services, "109")
    for line in range(len(copy["invoice_lines"])):
        services.bookkeeper.edit_invoice(copy["id"], line=line, eu_goods_services_type_id="GOODS")

    kept = psage("copy-invoice", "109", "--update-existing", "--no-pdf", "--json")
    held = copies(services, "109")[0]["invoice_lines"][0]["eu_goods_services_type"]["id"]
    taken = psage("copy-invoice", "109", "--update-existing", "--no-pdf", "--overwrite", "--json")

    assert "goods or services of line 1: Sage GOODS, Productive SERVICES" in str(kept.only)
    assert (kept.only["action"], held) == ("unchanged", "GOODS")
    assert taken.only["action"] == "updated"
    (copy,) = copies(services, "109")
    assert {line["eu_goods_services_type"]["id"] for line in copy["invoice_lines"]} == {"SERVICES"}


def test_a_tax_that_is_new_in_productive_is_said_once(services: Sandbox, psage: Psage) -> None:
    company = services.agency.add_company("Rivoli Ltd")
    line = {"unit_price": "10.00"}
    bill = services.agency.add_invoice(company_id=company, lines=[line], tax_percent=None)
    psage("copy-invoice", bill, "--no-pdf")
    services.agency.edit_line(first_line(services, bill), tax_percent="20")

    said = [psage("copy-invoice", bill, "--update-existing", "--json") for _ in range(2)]

    codes = [[one["code"] for one in result.only["warnings"]] for result in said]
    assert codes == [["tax_not_mirrored"], []]


def test_no_tax_that_was_asked_for_is_no_news_in_an_update(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "101", "--no-tax", "--no-pdf")
    change(services, description="Second round")

    result = psage(*UPDATE, "--no-pdf", "--json")

    assert (result.only["action"], result.only["warnings"]) == ("updated", [])


@pytest.mark.parametrize("flags", [(), ("--overwrite",), ("--dry-run",)])
def test_another_currency_is_never_unchanged(
    copied: Sandbox, psage: Psage, flags: tuple[str, ...]
) -> None:
    copied.agency.edit_invoice("101", currency="EUR")

    result = psage(*UPDATE, *flags, "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_locked")
    assert writes(copied, "sage") == []


def test_a_reference_that_somebody_replaced_is_said(copied: Sandbox, psage: Psage) -> None:
    (copy,) = copies(copied, "101")
    copied.sage.books().table("sales_invoices")[copy["id"]]["reference"] = "PO 4711"
    copied.agency.edit_invoice("101", pay_on="2026-03-30")

    result = psage(*UPDATE, "--no-pdf", "--json")

    changes = {one["field"]: (one["old"], one["new"]) for one in result.only["changes"]}
    assert changes["reference"] == ("PO 4711", "PRD-101")


def test_the_tax_follows_a_customer_on_the_other_side_of_the_border(
    services: Sandbox, psage: Psage
) -> None:
    assert psage("configure", "--default-tax-rate", "GB_STANDARD").code == 0
    services.agency.add_invoice(
        company_id=505, id=900, lines=[{"unit_price": "100"}], tax_percent=20
    )
    assert psage("copy-invoice", "900", "--no-pdf").code == 0
    services.agency.edit_invoice("900", company_id=501)

    result = psage("copy-invoice", "900", "--update-existing", "--no-pdf", "--json")

    (copy,) = copies(services, "900")
    assert (result.code, copy["tax_amount"]) == (0, Decimal("20.00"))


def test_a_due_date_before_the_date_is_refused_of_an_update_too(
    copied: Sandbox, psage: Psage
) -> None:
    copied.agency.edit_invoice("101", pay_on="2026-01-01")

    result = psage(*UPDATE, "--no-pdf", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "date_invalid")
    assert writes(copied, "sage") == []
