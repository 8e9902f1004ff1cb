"""configure by flags: checked against both services before a byte is written."""

import re
from pathlib import Path

import pytest

from productive_sage import config
from productive_sage.sandbox import Sandbox
from productive_sage.settings import Settings
from productive_sage.settings import told as told_settings
from tests.conftest import Psage


def settings(home: Path) -> Settings:
    return config.load(home / "default.toml", {})[0]


@pytest.mark.parametrize(
    "named", ["4010", "Sales - Services", "sales - services (4010)", "the id itself"]
)
def test_a_ledger_account_is_named_by_code_id_or_name(
    connected: Sandbox, psage: Psage, home: Path, named: str
) -> None:
    account = connected.bookkeeper.ledger_account_id(4010)

    result = psage("configure", "--default-ledger", named.replace("the id itself", account))

    assert result.code == 0
    assert settings(home).default_ledger_account == account
    assert "Sales - Services (4010)" in (home / "default.toml").read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--default-ledger", "9999"), "there is no ledger account in Sage `9999`"),
        (("--default-ledger", "7500"), "is not for sales"),
        (("--default-ledger", "4010", "--default-tax-rate", "GB_NONE"), "GB_NONE"),
        (("--default-ledger", "4010", "--numbering", "both"), "--numbering both"),
        (("--default-ledger", "4010", "--map-item", "Design"), "SERVICE TYPE=ITEM"),
        (("--default-ledger", "4010", "--map-item", "Nonsense=DESIGN"), "Nonsense"),
        (("--default-ledger", "4010", "--map-item", "Design=NOSUCH"), "NOSUCH"),
        (("--default-ledger", "4010", "--map-item", "Design=OLD"), "not active"),
    ],
)
def test_a_value_the_services_do_not_know_is_refused_and_nothing_written(
    connected: Sandbox, psage: Psage, home: Path, flags: tuple[str, ...], words: str
) -> None:
    result = psage("configure", *flags)

    assert result.code in (2, 4)
    assert words in result.err
    assert psage("configure", *flags, "--json").json["error"]["code"] in ("usage", "refused")
    assert not (home / "default.toml").exists()


def test_a_day_is_one_before_anything_is_asked(
    connected: Sandbox, psage: Psage, home: Path, answers: list[str]
) -> None:
    result = psage("configure", "--sync-payments", "--sync-payments-from", "31.1.2026")

    assert result.code == 2
    assert "`--sync-payments-from 31.1.2026` is not a date" in result.err
    assert connected.calls() == []
    assert not (home / "default.toml").exists()


def test_all_wrong_answers_are_told_together(connected: Sandbox, psage: Psage, home: Path) -> None:
    result = psage(
        "configure", "--default-ledger", "7500", "--default-tax-rate", "NO", "--pdf", "x"
    )

    assert "7500" in result.err
    assert "`NO`" in result.err
    assert "--pdf x" in result.err


def test_the_default_ledger_account_is_obligatory(
    connected: Sandbox, psage: Psage, home: Path
) -> None:
    result = psage("configure", "--numbering", "sage", "--json")

    assert result.code == 2
    assert result.json["error"]["code"] == "input_needed"
    assert "--default-ledger" in result.json["error"]["hint"]


def test_links_are_set_and_removed_by_name(services: Sandbox, psage: Psage, home: Path) -> None:
    psage("configure", "--map-item", "Design=DESIGN", "--map-item", "12=PRINT")
    both = dict(settings(home).items)

    psage("configure", "--map-item", "Design=")

    assert {key: value.split(":")[0] for key, value in both.items()} == {
        "11": "service",
        "12": "product",
    }
    assert list(settings(home).items) == ["12"]


def test_an_empty_tax_rate_removes_the_default(services: Sandbox, psage: Psage, home: Path) -> None:
    psage("configure", "--default-tax-rate", "GB_STANDARD")
    before = settings(home).default_tax_rate

    psage("configure", "--default-tax-rate", "")

    assert (before, settings(home).default_tax_rate) == ("GB_STANDARD", "")


def test_a_change_is_told_in_a_line_with_what_was_before(services: Sandbox, psage: Psage) -> None:
    psage("configure", "--default-ledger", "4010")

    first = psage("configure", "--default-tax-rate", "Standard", "--pdf", "sage").out
    again = psage("configure", "--pdf", "sage").out
    gone = psage("configure", "--default-tax-rate", "").out

    assert first.splitlines() == [
        "pdf: sage (before: productive)",
        "default tax rate: Standard 20.00% (before: not set)",
    ]
    assert again == "nothing changed: the settings are so already\n"
    assert gone == "default tax rate: not set (before: Standard 20.00%)\n"


def test_show_prints_the_settings_without_a_call(services: Sandbox, psage: Psage) -> None:
    result = psage("configure", "--show")

    assert result.code == 0
    assert "Lines are booked to" in result.out
    assert services.calls() == []


def test_the_settings_read_as_sentences_with_names(services: Sandbox, psage: Psage) -> None:
    psage("configure", "--default-ledger", "4010", "--map-item", "Design=DESIGN")
    psage("configure", "--default-tax-rate", "20%", "--minor-digits", "JPY=0")

    shown = psage("configure", "--show").out

    for words in (
        "Lines are booked to Sales - Services (4010), unless an item says otherwise.",
        "Lines of the service type Design go to the item DESIGN.",
        "Customers at home are billed with Standard 20.00%",
        "Productive's amounts in JPY have no decimals.",
        "Payments  They are not brought to Productive",
        "Sage's address for token is http://127.0.0.1",
    ):
        assert words in shown
    assert not re.search("[0-9a-f]{32}", shown)


def test_addresses_are_shown_only_where_they_are_not_the_usual_ones() -> None:
    told = list(told_settings(Settings(), {}, {}))

    assert "Address" not in [subject for subject, _ in told]
    assert any("nothing can be copied" in sentence for _, sentence in told)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("JPY", "must be `CURRENCY=DECIMALS`"),
        ("JPY=many", "must be `CURRENCY=DECIMALS`"),
        ("JPY=3", "must be 0 or 2"),
        ("GBP=0", "must be 2"),
        ("yen=0", "must be 2"),
        ("money=2", "three capital letters"),
    ],
)
def test_decimals_that_would_book_a_hundredfold_are_refused(
    services: Sandbox, psage: Psage, home: Path, pair: str, words: str
) -> None:
    before = (home / "default.toml").read_text()

    result = psage("configure", "--minor-digits", pair, "--json")

    assert result.code == 2
    assert words in result.json["error"]["message"]
    assert (home / "default.toml").read_text() == before


def test_decimals_are_set_for_several_currencies_and_removed(
    services: Sandbox, psage: Psage
) -> None:
    psage("configure", "--minor-digits", "JPY=0", "--minor-digits", "KWD=3")
    removed = psage("configure", "--minor-digits", "JPY=")

    assert removed.out == "decimals of JPY in Productive: not set any more (before: 0)\n"
    told = psage("configure", "--show", "--json").json
    assert told["settings"]["minor_digits"] == {"KWD": 3}


def test_show_as_json_is_one_document(services: Sandbox, psage: Psage) -> None:
    result = psage("configure", "--show", "--json")

    assert result.json["settings"]["numbering"] == "sage"
    assert result.json["command"] == "configure"


def test_nothing_said_is_a_usage_error_that_shows_how(services: Sandbox, psage: Psage) -> None:
    result = psage("configure")

    assert result.code == 2
    assert "--default-ledger" in result.err


# --- names beside ids


def changed_by_hand(home: Path, old: str, new: str) -> None:
    text = (home / "default.toml").read_text()
    assert old in text
    (home / "default.toml").write_text(text.replace(old, new))


@pytest.fixture
def named(connected: Sandbox, psage: Psage) -> dict[str, str]:
    """Everything configured by psage; the ids it wrote, and others that Sage has."""
    rates = ("--default-tax-rate", "GB_STANDARD", "--map-item", "Design=DESIGN")
    assert psage("configure", "--default-ledger", "4010", *rates).code == 0
    assert psage("configure", "--map-item", "Development=DEV").code == 0
    account = connected.bookkeeper.ledger_account_id
    items = connected.sage.books().table("services")
    by_code = {row["item_code"]: f"service:{key}" for key, row in items.items()}
    connected.clear_calls()
    return {"old": account(4010), "new": account(4000), **by_code}


def test_the_name_of_an_account_changed_by_hand_is_that_of_sages_list(
    connected: Sandbox, psage: Psage, home: Path, named: dict[str, str]
) -> None:
    changed_by_hand(home, named["old"], named["new"])

    status, shown = psage("status").out, psage("-v", "configure", "--show").out

    assert "sales to Sales - Products (4000)" in status
    assert f"Sales - Products (4000) [{named['new']}]" in shown
    assert "Sales - Services" not in status + shown
    assert connected.calls() == []


def test_the_names_of_a_rate_and_of_items_changed_by_hand_follow_too(
    connected: Sandbox, psage: Psage, home: Path, named: dict[str, str]
) -> None:
    changed_by_hand(home, '"GB_STANDARD"', '"GB_ZERO"')
    changed_by_hand(home, f'"{named["DESIGN"]}"', f'"{named["DEV"]}"')

    status, shown = psage("status").out, psage("-v", "configure", "--show").out

    assert "tax Zero Rated 0.00%" in status
    assert "Zero Rated 0.00% [GB_ZERO]" in shown
    assert f"items.11: Design -> DEV [{named['DEV']}] (file)" in shown
    assert "Standard" not in status + shown
    assert "-> DESIGN" not in shown


def test_an_id_nobody_has_read_stands_alone(
    connected: Sandbox, psage: Psage, home: Path, named: dict[str, str]
) -> None:
    changed_by_hand(home, named["old"], "f" * 32)
    changed_by_hand(home, '"GB_STANDARD"', '"GB_OTHER"')
    changed_by_hand(home, named["DESIGN"], "service:other")

    status, shown = psage("status").out, psage("-v", "configure", "--show").out

    assert f"sales to {'f' * 32}, tax GB_OTHER" in status
    assert f"default_ledger_account: {'f' * 32} (file)" in shown
    assert "items.11: service:other (file)" in shown


@pytest.mark.parametrize("comment", ["", " # psage: Something else", " # mine"])
def test_a_comment_in_the_file_names_nothing(
    connected: Sandbox, psage: Psage, home: Path, named: dict[str, str], comment: str
) -> None:
    (home / "default.toml").write_text(
        f'default_ledger_account = "{named["new"]}"{comment}\ndefault_tax_rate = "X"{comment}\n'
    )

    said = psage("status").out + psage("-v", "configure", "--show").out

    assert "Sales - Products (4000)" in said
    assert "tax X" in said
    assert "default_tax_rate: X (file)" in said


def test_a_name_that_changed_in_sage_is_the_one_last_read(
    connected: Sandbox, psage: Psage, named: dict[str, str]
) -> None:
    connected.sage.books().table("ledger_accounts")[named["old"]]["name"] = "Fees"

    before = psage("status").out
    assert psage("configure", "--default-ledger", named["old"]).code == 0

    assert "sales to Sales - Services (4010)" in before
    assert "sales to Fees (4010)" in psage("status").out


def test_a_store_that_cannot_be_read_leaves_the_ids(
    connected: Sandbox, psage: Psage, home: Path, named: dict[str, str]
) -> None:
    for file in home.glob("default.db*"):
        file.unlink()
    (home / "default.db").write_bytes(b"x" * 4096)

    shown = psage("-v", "configure", "--show")

    assert shown.code == 0
    assert f"default_ledger_account: {named['old']} (file)" in shown.out


# --- slips


@pytest.mark.parametrize(
    ("flags", "meant"),
    [
        (("--default-ledger", "4011"), "`Sales - Services (4010)`"),
        (("--default-ledger", "Sales - Service"), "`Sales - Services (4010)`"),
        (("--default-tax-rate", "Standrad"), "`Standard 20.00%`"),
        (("--default-tax-rate", "Lowr"), "`Lower Rate 5.00%`"),
        (("--map-item", "Desing=DESIGN"), "`Design`"),
        (("--map-item", "Design=DESING"), "DESIGN"),
    ],
)
def test_a_mistyped_name_proposes_what_comes_near(
    services: Sandbox, psage: Psage, home: Path, flags: tuple[str, ...], meant: str
) -> None:
    before = (home / "default.toml").read_text()

    result = psage("configure", *flags, "--json")

    hint = result.json["error"]["hint"]
    assert result.code in (2, 4)
    assert hint.startswith("did you mean ")
    assert meant in hint
    assert (home / "default.toml").read_text() == before


def test_only_accounts_for_sales_are_proposed(services: Sandbox, psage: Psage) -> None:
    hint = psage("configure", "--default-ledger", "7501", "--json").json["error"]["hint"]

    assert "7500" not in hint


def test_where_nothing_comes_near_the_questions_are_named(services: Sandbox, psage: Psage) -> None:
    hint = psage("configure", "--default-ledger", "qqqqq", "--json").json["error"]["hint"]

    assert "`psage configure`" in hint


def test_a_mistyped_tax_rate_of_a_copy_proposes_what_comes_near(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "123", "--tax-rate", "Standart", "--json")

    hint = result.only["error"]["hint"]
    assert hint.startswith("did you mean `Standard 20.00%`")
    assert "the rates of this business: " in hint


def test_a_mistyped_reference_of_a_customer_proposes_the_customer(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "114", "--customer", "OBRIEN3", "--json")

    assert "O'Brien & Sons" in result.only["error"]["hint"]
