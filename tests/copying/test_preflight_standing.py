"""What is known before a draft is booked, an invoice credited, or a line sent again unchanged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, writes
from tests.harness.preflight import (
    BILL,
    PRODUCTIVE_NUMBERS,
    UPDATE,
    bill,
    refused,
    setting,
    the_next_day,
)

RATE = "GB_STANDARD"
CREDIT = ("credit-note", "110", "--no-pdf", "--json")
RELEASE = ("release", BILL, "--yes", "--json")
Spoil = Callable[[Sandbox, dict[str, Any]], object]
"""Makes the obstacle; given the copy in Sage."""


def _closed(services: Sandbox, _: dict[str, Any]) -> None:
    services.bookkeeper.lock_period("2026-12-31")


def _last_day(services: Sandbox, _: dict[str, Any]) -> None:
    services.bookkeeper.lock_period("2026-02-09")


def _not_begun(services: Sandbox, _: dict[str, Any]) -> None:
    services.sage.books().content["financial"]["accounts_start_date"] = "2027-01-01"


def _account_hidden(services: Sandbox, copy: dict[str, Any]) -> None:
    found = services.sage.books().document(copy["id"])
    assert found
    services.bookkeeper.hide_ledger_account(found[1]["lines"][0]["ledger_account_id"])


def _rate_ended(services: Sandbox, _: dict[str, Any]) -> None:
    for one in services.sage.books().table("tax_rates")[RATE]["percentages"]:
        one["to_date"] = "2026-01-31"


def _rate_hidden(services: Sandbox, _: dict[str, Any]) -> None:
    services.sage.books().table("tax_rates")[RATE]["is_visible"] = False


def _not_registered(services: Sandbox, _: dict[str, Any]) -> None:
    services.bookkeeper.set_tax_scheme("NOT_REGISTERED")


def _inactive(services: Sandbox, copy: dict[str, Any]) -> None:
    services.bookkeeper.edit_contact(copy["contact"]["id"], is_active=False)


def _moved_abroad(services: Sandbox, copy: dict[str, Any]) -> None:
    services.bookkeeper.edit_contact(copy["contact"]["id"], country_id="FR")


def _one_currency(services: Sandbox, _: dict[str, Any]) -> None:
    services.sage.books().content["financial"]["multi_currency_enabled"] = False


@pytest.fixture
def spoiled(
    services: Sandbox, psage: Psage, home: Path
) -> Callable[[str, Spoil, tuple[str, ...]], None]:
    """Copy a document, and then make an obstacle."""

    def run(key: str, spoil: Spoil, how: tuple[str, ...]) -> None:
        assert psage("copy-invoice", key, "--no-pdf", "--tax-rate", RATE, *how).code == 0
        the_next_day(home)
        (copy,) = copies(services, key)
        spoil(services, copy)
        services.clear_calls()

    return run


# --- a draft is released


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["real", "dry"])
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(_closed, "date_invalid", id="in the locked period"),
        pytest.param(_not_begun, "date_invalid", id="before the start"),
        pytest.param(_account_hidden, "ledger_account_invalid", id="account hidden"),
        pytest.param(_rate_ended, "tax_rate_invalid", id="rate ended"),
        pytest.param(_not_registered, "not_registered_for_tax", id="no VAT"),
    ],
)
def test_a_draft_that_sage_would_not_book_is_not_released(
    services: Sandbox,
    psage: Psage,
    spoiled: Callable[[str, Spoil, tuple[str, ...]], None],
    spoil: Spoil,
    code: str,
    flags: tuple[str, ...],
) -> None:
    bill(services)
    spoiled(BILL, spoil, ("--draft",))

    refused(psage(*RELEASE, *flags), code)

    assert writes(services) == []


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(_last_day, "date_at_lock", id="last day of the locked period"),
        pytest.param(_inactive, "customer_inactive", id="customer inactive"),
        pytest.param(_moved_abroad, "home_rate_abroad", id="abroad with a rate for home"),
    ],
)
def test_what_is_in_doubt_of_a_draft_is_said_and_sage_decides(
    services: Sandbox,
    psage: Psage,
    spoiled: Callable[[str, Spoil, tuple[str, ...]], None],
    spoil: Spoil,
    code: str,
) -> None:
    bill(services)
    spoiled(BILL, spoil, ("--draft",))

    result = psage(*RELEASE, "--dry-run")

    assert (result.code, result.only["action"]) == (0, "would_release")
    assert [one["code"] for one in result.only["warnings"]] == [code]
    assert psage(*RELEASE).only["error"]["code"] == "refused_by_sage"


def test_a_draft_with_a_rate_that_was_hidden_since_is_released(
    services: Sandbox, psage: Psage, spoiled: Callable[[str, Spoil, tuple[str, ...]], None]
) -> None:
    bill(services)
    spoiled(BILL, _rate_hidden, ("--draft",))

    result = psage(*RELEASE)

    assert (result.code, result.only["action"]) == (0, "released")
    assert result.only["warnings"] == []


def test_a_draft_in_a_currency_that_was_switched_off_is_not_released(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    bill(services, currency="EUR")
    assert psage("copy-invoice", BILL, "--no-pdf", "--no-tax", "--draft").code == 0
    the_next_day(home)
    _one_currency(services, {})
    services.clear_calls()

    refused(psage(*RELEASE, "--dry-run"), "currency_not_enabled")

    assert writes(services) == []


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["real", "dry"])
def test_a_draft_whose_number_was_taken_meanwhile_says_so(
    services: Sandbox, psage: Psage, home: Path, flags: tuple[str, ...]
) -> None:
    bill(services)
    setting(home, PRODUCTIVE_NUMBERS)
    assert psage("copy-invoice", BILL, "--no-pdf", "--no-tax", "--draft").code == 0
    services.bookkeeper.take_number("INV-900")

    error = refused(psage(*RELEASE, *flags), "number_taken")

    assert "--numbering sage" in error["hint"]


def test_what_was_mended_in_sage_since_is_believed_by_the_next_release(
    services: Sandbox, psage: Psage, spoiled: Callable[[str, Spoil, tuple[str, ...]], None]
) -> None:
    bill(services)
    spoiled(BILL, _closed, ("--draft",))
    refused(psage(*RELEASE), "date_invalid")
    services.bookkeeper.lock_period(None)

    assert psage(*RELEASE).only["action"] == "released"


# --- a draft in a period that was closed


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["real", "dry"])
def test_a_draft_in_a_closed_period_is_left_with_a_way_out_that_works(
    services: Sandbox,
    psage: Psage,
    spoiled: Callable[[str, Spoil, tuple[str, ...]], None],
    flags: tuple[str, ...],
) -> None:
    bill(services)
    spoiled(BILL, _last_day, ("--draft",))
    services.agency.edit_invoice(BILL, invoiced_on="2026-03-05", pay_on="2026-04-05")

    error = refused(psage(*UPDATE, *flags), "copy_locked")

    assert "in a closed period" in error["message"]
    assert "`psage copy-invoice INV-900 --create-new --draft`" in error["hint"]
    assert writes(services) == []
    services.bookkeeper.delete_invoice(copies(services, BILL)[0]["id"])
    again = ("copy-invoice", "INV-900", "--create-new", "--draft", "--no-pdf", "--json")
    assert psage(*again).results[-1]["action"] == "created"


def test_a_copy_of_the_last_closed_day_says_why_sage_locked_it(
    services: Sandbox, psage: Psage, spoiled: Callable[[str, Spoil, tuple[str, ...]], None]
) -> None:
    bill(services)
    spoiled(BILL, _last_day, ())
    services.agency.add_line(BILL, unit_price="10.00")

    error = refused(psage(*UPDATE), "copy_locked")

    assert "dated 2026-02-09, in a closed period" in error["message"]
    assert "open the period" in error["hint"]


# --- a credit note


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["real", "dry"])
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(_closed, "date_invalid", id="in the locked period"),
        pytest.param(_not_begun, "date_invalid", id="before the start"),
        pytest.param(_account_hidden, "ledger_account_invalid", id="account hidden"),
        pytest.param(_not_registered, "not_registered_for_tax", id="no VAT"),
    ],
)
def test_a_credit_note_that_sage_would_not_book_is_refused(
    services: Sandbox,
    psage: Psage,
    spoiled: Callable[[str, Spoil, tuple[str, ...]], None],
    spoil: Spoil,
    code: str,
    flags: tuple[str, ...],
) -> None:
    spoiled("111", spoil, ())

    error = refused(psage(*CREDIT, *flags), code)

    assert "--tax-rate" not in error["hint"]
    assert "--default-ledger" not in error["hint"]
    assert writes(services) == []


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(_rate_ended, "tax_rate_doubtful", id="rate ended"),
        pytest.param(_inactive, "customer_inactive", id="customer inactive"),
        pytest.param(_moved_abroad, "home_rate_abroad", id="abroad with a rate for home"),
    ],
)
def test_what_is_in_doubt_of_a_credit_note_is_said_and_sage_decides(
    services: Sandbox,
    psage: Psage,
    spoiled: Callable[[str, Spoil, tuple[str, ...]], None],
    spoil: Spoil,
    code: str,
) -> None:
    spoiled("111", spoil, ())

    planned = psage(*CREDIT, "--dry-run")
    error = refused(psage(*CREDIT), "refused_by_sage")

    assert (planned.code, planned.only["action"]) == (0, "would_create")
    assert code in [one["code"] for one in planned.only["warnings"]]
    # What is its invoice's nobody can choose for a credit note.
    assert "--tax-rate" not in error["hint"]
    assert "--customer" not in error["hint"]
    assert "by hand" in error["hint"]


def test_an_account_is_named_as_people_know_it(
    services: Sandbox, psage: Psage, spoiled: Callable[[str, Spoil, tuple[str, ...]], None]
) -> None:
    spoiled("111", _account_hidden, ())

    assert "`Sales - Services (4010)`" in psage(*CREDIT).only["error"]["message"]


# --- an update


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(_account_hidden, "ledger_account_doubtful", id="account hidden"),
        pytest.param(_inactive, "customer_inactive", id="customer inactive"),
    ],
)
def test_an_update_says_what_sage_may_not_take_again(
    services: Sandbox,
    psage: Psage,
    spoiled: Callable[[str, Spoil, tuple[str, ...]], None],
    spoil: Spoil,
    code: str,
) -> None:
    bill(services)
    spoiled(BILL, spoil, ())
    services.agency.edit_invoice(BILL, pay_on="2026-05-05")

    planned = psage(*UPDATE, "--dry-run")
    error = refused(psage(*UPDATE), "refused_by_sage")

    assert (planned.code, planned.only["action"]) == (0, "would_update")
    assert code in [one["code"] for one in planned.only["warnings"]]
    assert "--default-ledger" not in error["hint"]


# --- what was deleted

DELETED_AT = "2026-02-01T09:00:00Z"


def test_an_item_that_sage_shows_as_deleted_is_gone(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    key, item = next(iter(services.sage.books().table("services").items()))
    kind = next(iter(services.productive.table("service_types")))
    bill(services, lines=[{"unit_price": "100.00", "service_type_id": kind}])
    with (home / "default.toml").open("a") as file:
        file.write(f'[items]\n{kind} = "service:{key}"\n')
    item["deleted_at"] = DELETED_AT

    error = refused(psage("copy-invoice", BILL, "--dry-run", "--json"), "config_invalid", 2)

    assert "gone from Sage" in error["message"]
    assert psage("configure", "--map-item", f"{kind}={item['item_code']}", "--json").code == 4


def test_an_item_without_an_account_is_booked_to_the_usual_one(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    key, item = next(iter(services.sage.books().table("services").items()))
    kind = next(iter(services.productive.table("service_types")))
    bill(services, lines=[{"unit_price": "100.00", "service_type_id": kind}])
    with (home / "default.toml").open("a") as file:
        file.write(f'[items]\n{kind} = "service:{key}"\n')
    item["ledger_account_id"] = None

    assert psage("copy-invoice", BILL, "--no-tax", "--no-pdf").code == 0

    (line,) = copies(services, BILL)[0]["invoice_lines"]
    assert line["service"]["id"] == key
    assert line["ledger_account"]["id"] == services.bookkeeper.ledger_account_id(4010)


def test_a_contact_that_sage_shows_as_deleted_is_not_billed(
    services: Sandbox, psage: Psage
) -> None:
    key = services.bookkeeper.add_contact("Copper Kettle")
    services.sage.books().table("contacts")[key]["deleted_at"] = DELETED_AT
    bill(services)

    assert psage("copy-invoice", BILL, "--no-tax", "--no-pdf").code == 0

    assert copies(services, BILL)[0]["contact"]["id"] != key


def test_accounts_without_a_first_day_have_begun(services: Sandbox, psage: Psage) -> None:
    services.sage.books().content["financial"]["accounts_start_date"] = None
    bill(services)

    assert psage("copy-invoice", BILL, "--no-tax", "--no-pdf").code == 0
