"""How a document is named: by id, number or address, several at once, wherever one is taken."""

from pathlib import Path

import pytest

from productive_sage import cli, naming
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, writes

PAGE = "https://app.productive.io/4200-harbour-pine/financials/invoices/123/overview?tab=1"


@pytest.fixture
def namesake(services: Sandbox) -> str:
    """A document whose number is the id of another one, 101."""
    return services.agency.add_invoice(
        company_id=507, lines=[{"unit_price": "20.00"}], number="101", invoiced_on="2026-02-05"
    )


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["123"], ["123"]),
        (["INV-2026-023"], ["123"]),
        ([" inv-2026-023 "], ["123"]),
        ([PAGE], ["123"]),
        (["https://app.productive.io/4200-harbour-pine/invoices/123"], ["123"]),
        (["123,INV-2026-024"], ["123", "124"]),
        (["123, 124", "INV-2026-025,"], ["123", "124", "125"]),
        (["123", "123", "INV-2026-024", "inv-2026-024"], ["123", "124"]),
    ],
    ids=str,
)
def test_a_document_is_named_as_people_have_it(
    services: Sandbox, psage: Psage, words: list[str], ids: list[str]
) -> None:
    result = psage("copy-invoice", *words, "--no-pdf", "--json")

    assert result.code == 0
    assert [one["productive_id"] for one in result.results] == ids
    assert [len(copies(services, key)) for key in ids] == [1] * len(ids)


def test_what_is_an_id_and_a_number_is_refused_with_what_tells_them_apart(
    services: Sandbox, psage: Psage, namesake: str
) -> None:
    result = psage("copy-invoice", "101", "--json")

    error = result.only["error"]
    assert (result.code, error["code"]) == (4, "document_ambiguous")
    for words in ("Northwind Traders Ltd", "Juniper Street Coffee Ltd", "2026-02-05", "24.00 GBP"):
        assert words in error["message"]
    assert {one["id"] for one in error["details"]["documents"]} == {"101", namesake}
    assert "--id" in error["hint"]
    assert writes(services) == []


@pytest.mark.parametrize("odd", ["the id", "the number"])
def test_of_two_that_may_be_meant_none_is_taken_where_one_cannot_be_read(
    services: Sandbox, psage: Psage, namesake: str, odd: str
) -> None:
    services.agency.edit_invoice("101" if odd == "the id" else namesake, currency="JPY")

    result = psage("copy-invoice", "101", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "currency_unclear")
    assert writes(services) == []


@pytest.mark.parametrize("flag", ["--id", "--number"])
def test_a_flag_says_which_is_meant(
    services: Sandbox, psage: Psage, namesake: str, flag: str
) -> None:
    result = psage("copy-invoice", "101", flag, "--json")

    assert result.only["productive_id"] == ("101" if flag == "--id" else namesake)


def test_a_person_is_asked_which_is_meant(
    services: Sandbox, psage: Psage, namesake: str, answers: list[str]
) -> None:
    answers += ["2", "1", "1"]  # the second, its customer, and no tax

    psage("copy-invoice", "101")

    assert (len(copies(services, "101")), len(copies(services, namesake))) == (0, 1)


def test_digits_that_are_a_number_alone_name_it(services: Sandbox, psage: Psage) -> None:
    bill = services.agency.add_invoice(
        company_id=507, lines=[{"unit_price": "20.00"}], number="20260001"
    )

    assert psage("copy-invoice", "20260001", "--json").only["productive_id"] == bill


@pytest.mark.parametrize(
    ("word", "near"),
    [("INV-2026-0023", "INV-2026-023"), ("INV-2025-023", "INV-2026-023"), ("23", "INV-2026-023")],
)
def test_an_unknown_number_proposes_what_comes_near(
    services: Sandbox, psage: Psage, word: str, near: str
) -> None:
    result = psage("copy-invoice", word, "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "not_found")
    assert f"`{near}`" in result.only["error"]["hint"]


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("https://app.productive.io/77-other/invoices/123", "document_elsewhere"),
        ("https://app.productive.io/4200-harbour-pine/projects/5", "usage"),
        ("https://example.com/", "usage"),
    ],
)
@pytest.mark.parametrize("command", ["copy-invoice", "sync-payments"])
def test_an_address_of_something_else_is_refused(
    services: Sandbox, psage: Psage, command: str, word: str, code: str
) -> None:
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    services.clear_calls()

    result = psage(command, word, "--json")

    assert result.json["error"]["code"] == code
    assert word in result.json["error"]["message"]
    assert writes(services) == []


@pytest.mark.parametrize(
    "word", ["101", "INV-2026-001", "inv-2026-001", PAGE.replace("123", "101")]
)
@pytest.mark.parametrize("flags", [(), ("--invoice",)], ids=["argument", "option"])
def test_a_sync_takes_the_same_names(
    services: Sandbox, psage: Psage, word: str, flags: tuple[str, ...]
) -> None:
    psage("copy-invoice", "101", "105", "--no-pdf")
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    for key in ("101", "105"):
        services.bookkeeper.pay(copies(services, key)[0]["id"], "10.00", "2026-03-01")

    result = psage("sync-payments", *flags, word, "--json")

    assert [one["number"] for one in result.json["created"]] == ["INV-2026-001"]


def test_a_sync_of_an_unknown_number_proposes_what_comes_near(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101", "--no-pdf")
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")

    result = psage("sync-payments", "INV-2026-0001", "--json")

    (failed,) = result.json["failed"]
    assert (result.code, failed["code"]) == (4, "not_found")
    assert "`INV-2026-001`" in failed["hint"]


@pytest.mark.parametrize("word", ["101", "inv-2026-001", "si-1", PAGE.replace("123", "101")])
def test_the_history_takes_the_same_names(services: Sandbox, psage: Psage, word: str) -> None:
    psage("copy-invoice", "101", "105", "--no-pdf")

    events = psage("history", "--document", word, "--json").json["events"]

    assert {event["document"] for event in events} == {"101"}


@pytest.mark.parametrize("word", ["101,105", ","])
@pytest.mark.parametrize("command", [("history", "--document"), ("open",)], ids=str)
def test_where_one_is_taken_several_are_refused(
    services: Sandbox, psage: Psage, command: tuple[str, ...], word: str
) -> None:
    assert psage(*command, word).code == 2


def test_what_comes_near_is_named_nearest_first() -> None:
    known = ["INV-2026-001", "INV-2026-011", "CN-7", "2026/23"]

    assert naming.near("INV-2026-01", known)[0] == "INV-2026-001"
    assert naming.near("23", known) == ["2026/23"]
    assert naming.did_you_mean("nothing alike", known) == ""


# --- where options stand


@pytest.mark.parametrize(
    "words",
    [
        ("--profile", "acme", "status", "--json"),
        ("status", "--json", "--profile", "acme"),
        ("status", "--profile=acme", "--json"),
    ],
)
def test_a_root_option_stands_before_the_command_or_after_it(
    services: Sandbox, psage: Psage, home: Path, words: tuple[str, ...]
) -> None:
    (home / "acme.toml").write_text("")

    assert psage(*words).json["profile"] == "acme"


@pytest.mark.parametrize(("name", "words"), [("acm", "`acme`?"), ("other", "`acme`, `default`")])
def test_a_profile_nobody_has_is_refused_naming_those_there_are(
    services: Sandbox, psage: Psage, home: Path, name: str, words: str
) -> None:
    (home / "acme.toml").write_text("")

    result = psage("status", "--profile", name)

    assert (result.code, result.out) == (2, "")
    assert f"there is no profile `{name}`" in result.err
    assert words in result.err


def test_a_settings_file_that_does_not_exist_is_refused(
    services: Sandbox, psage: Psage, tmp_path: Path
) -> None:
    result = psage("status", "--config", str(tmp_path / "mine.toml"))

    assert result.code == 2
    assert "mine.toml` does not exist" in result.err


@pytest.mark.parametrize(
    ("typed", "organization"),
    [
        ("4200", "4200"),
        ("4200-harbour-pine", "4200"),
        ("https://app.productive.io/4200-harbour-pine/invoices?x=1", "4200"),
        ("app.productive.io/4200-harbour-pine", "4200"),
        (" 4200 ", "4200"),
        ("harbour", "harbour"),
    ],
)
def test_an_organisation_is_named_by_its_address_too(typed: str, organization: str) -> None:
    assert naming.organization(typed) == organization


def test_the_value_of_an_option_is_no_root_option(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "123", "--customer", "--quiet", "--json")

    assert "--quiet" in result.only["error"]["message"]


def test_nothing_behind_two_dashes_is_an_option(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "--json", "--", "--quiet")

    assert "`--quiet`" in result.only["error"]["message"]


def test_quiet_after_the_command_is_quiet(services: Sandbox, psage: Psage) -> None:
    assert psage("copy-invoice", "123", "--no-pdf", "-q").out == psage("-q", "status").out[:0]


@pytest.mark.parametrize("words", [("version",), ("--version",), ("-V",), ("status", "-V")])
def test_the_version_is_told_by_every_name(psage: Psage, words: tuple[str, ...]) -> None:
    assert psage(*words).out.startswith("psage 0")


@pytest.mark.parametrize("words", [("help", "status"), ("status", "--help"), ("status", "-h")])
def test_help_is_a_word_too(psage: Psage, words: tuple[str, ...]) -> None:
    assert psage(*words).out == psage("status", "--help").out != psage("help").out


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("copyinvoice", "12"), "copy-invoice"),
        (("sync-payment",), "sync-payments"),
        (("copy-invoice", "12", "--taxrate", "x"), "--tax-rate"),
    ],
)
def test_a_mistyped_command_or_option_names_the_nearest(
    psage: Psage, words: tuple[str, ...], near: str
) -> None:
    result = psage(*words)

    assert result.code == 2
    assert near in result.err


# --- help


def test_help_shows_every_command_by_what_it_is_for_with_a_whole_sentence(psage: Psage) -> None:
    shown = psage("--help").out

    for command in cli.app.registered_commands:
        assert f"\n  {command.name} " in shown
    assert "..." not in shown.partition("Every day:")[2]
    assert psage().out == shown
    assert "Begin with `psage connect`" in shown


@pytest.mark.parametrize("command", [str(one.name) for one in cli.app.registered_commands])
def test_help_of_a_command_has_an_example_and_the_fields_words(psage: Psage, command: str) -> None:
    shown = psage(command, "--help").out

    assert f"Example: psage {command}" in shown or f" {command}" in shown.partition("Example:")[2]
    for word in ("<str>", "<int", "<file>", "<path>", "TEXT", "INTEGER"):
        assert word not in shown


@pytest.mark.parametrize(
    ("number", "typed"),
    [
        ("INV-2026-023", "INV-2026-023"),
        (" INV-2026-023 ", "INV-2026-023"),
        ("2026/7", "2026/7"),
        ("", "123"),
        ("2026007", "123"),
        ("INV 7", "123"),
        ("7,8", "123"),
        ("INV#7", "123"),
        ("-7-A", "123"),
        ("Rechnung-\u00fc7", "123"),
        ("www.productive.io/7", "123"),
    ],
)
def test_a_command_names_a_document_by_its_number_where_that_can_be_typed(
    number: str, typed: str
) -> None:
    assert naming.to_type(number, "123") == typed
    assert [one.typed for one in naming.read([typed])] == [typed]
