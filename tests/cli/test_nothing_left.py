"""Exit 4 leaves nothing behind: what can be known is known before a customer is made."""

import json
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, Result, copies, writes


def refused(result: Result, code: str) -> dict[str, Any]:
    """The error of the one document, which is refused with this code."""
    assert (result.code, result.only["action"]) == (4, "refused")
    error: dict[str, Any] = result.only["error"]
    assert error["code"] == code
    return error


@pytest.fixture(params=[(), ("--dry-run",)], ids=["real", "dry"])
def copied(psage: Psage, request: pytest.FixtureRequest) -> Any:
    """Copy the invoice of a company Sage does not know, or only say what would be done."""
    return lambda: psage("copy-invoice", "123", *request.param, "--json")


def test_a_ledger_account_that_is_not_for_sales(services: Sandbox, copied: Any) -> None:
    services.bookkeeper.hide_ledger_account(services.bookkeeper.ledger_account_id(4010))

    error = refused(copied(), "ledger_account_invalid")

    assert "--default-ledger" in error["hint"]
    assert writes(services) == []


def test_the_ledger_account_of_an_item(services: Sandbox, psage: Psage) -> None:
    psage("configure", "--map-item", "Development=DEV")
    services.bookkeeper.hide_ledger_account(services.bookkeeper.ledger_account_id(4000))

    error = refused(psage("copy-invoice", "123", "--json"), "ledger_account_invalid")

    assert "the item" in error["hint"]
    assert writes(services, "sage") == []


def test_an_account_mended_in_sage_is_for_sales_at_once(services: Sandbox, psage: Psage) -> None:
    account = services.bookkeeper.ledger_account_id(4010)
    services.bookkeeper.hide_ledger_account(account)
    psage("copy-invoice", "123")
    services.sage.books().table("ledger_accounts")[account]["scopes"].append("sales")

    assert psage("copy-invoice", "123").code == 0


def test_an_inactive_item_stops_only_the_documents_whose_lines_need_it(
    services: Sandbox, psage: Psage
) -> None:
    psage("configure", "--map-item", "Design=DESIGN", "--map-item", "Development=DEV")
    for item in services.sage.books().table("services").values():
        item["active"] = item["item_code"] != "DEV"

    result = psage("copy-invoice", "123", "124", "--json")

    needs, needs_not = result.results
    assert (needs["action"], needs["error"]["code"]) == ("failed", "config_invalid")
    assert "`Development`" in needs["error"]["message"]
    assert "--map-item" in needs["error"]["hint"]
    assert needs_not["action"] == "created"
    assert copies(services, "123") == []


@pytest.mark.parametrize(("starts", "locked"), [("2026-03-01", None), ("2019-04-01", "2026-03-01")])
def test_a_date_the_books_do_not_take(
    services: Sandbox, copied: Any, starts: str, locked: str | None
) -> None:
    financial = services.sage.books().content["financial"]
    financial |= {"accounts_start_date": starts, "year_end_lockdown_date": locked}

    error = refused(copied(), "date_invalid")

    assert "2026-02-09" in error["message"]
    assert "2026-03-01" in error["message"]
    assert writes(services) == []


def test_a_period_opened_in_sage_is_open_at_once(services: Sandbox, psage: Psage) -> None:
    services.bookkeeper.lock_period("2026-03-01")
    psage("copy-invoice", "123")
    services.bookkeeper.lock_period(None)

    assert psage("copy-invoice", "123").code == 0


def test_a_due_date_before_the_date_names_the_place_to_mend_it(
    services: Sandbox, copied: Any
) -> None:
    services.agency.edit_invoice(123, pay_on="2026-02-08")

    error = refused(copied(), "date_invalid")

    assert "2026-02-08" in error["message"]
    assert "in Productive" in error["hint"]
    assert writes(services) == []


def test_a_foreign_currency_in_books_that_have_one(services: Sandbox, psage: Psage) -> None:
    services.sage.books().content["financial"]["multi_currency_enabled"] = False
    euros = services.agency.add_invoice(
        company_id=507, currency="EUR", lines=[{"unit_price": "10.00"}]
    )

    error = refused(psage("copy-invoice", euros, "--json"), "currency_not_enabled")

    assert "EUR" in error["message"]
    assert writes(services) == []


def test_a_number_that_a_document_of_somebody_elses_has(
    services: Sandbox, psage: Psage, copied: Any
) -> None:
    psage("copy-invoice", "101")
    (other,) = services.sage.books().table("sales_invoices").values()
    other |= {"prefix": "INV-", "number": "2026-023"}
    services.sage.books().content["numbers"]["sales_invoices"].append("INV-2026-023")
    psage("configure", "--numbering", "productive")
    services.clear_calls()

    refused(copied(), "number_taken")

    assert writes(services) == []


def test_a_customer_that_was_made_all_the_same_is_said(services: Sandbox, psage: Psage) -> None:
    rows = [{"$message": "Not today", "$source": "base"}]
    services.fault("status", method="POST", path="/sales_invoices", status=422, body=rows)

    result = psage("copy-invoice", "123", "--json")

    assert result.code == 4
    assert result.only["customer"]["created"] is True
    (warning,) = [w for w in result.only["warnings"] if w["code"] == "customer_made"]
    assert "Juniper Street Coffee Ltd" in warning["message"]
    again = psage("copy-invoice", "123", "--json")
    assert again.only["customer"] == {**result.only["customer"], "created": False}
    assert writes(services, "sage").count("POST /contacts") == 1


# --- what Sage minds came from Productive


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("vat", "GB12", "the tax number `GB12` came from Productive"),
        ("vat", "no number 1234", "the tax number `no number 1234` came from Productive"),
    ],
)
def test_a_value_of_the_customer_that_sage_refuses_is_traced_to_productive(
    services: Sandbox, psage: Psage, field: str, value: str, named: str
) -> None:
    services.agency.edit_contact_entry(507, **{field: value})

    result = psage("copy-invoice", "123", "--json")

    error = refused(result, "refused_by_sage")
    assert named in error["hint"]
    assert "`Juniper Street Coffee Ltd`" in error["hint"]
    assert "INV-2026-023" in error["message"]
    assert json.dumps(result.only["customer"]) == "null"


@pytest.mark.parametrize(
    ("written", "used", "left"),
    [
        ("a@juniper.example, b@juniper.example", "a@juniper.example", "b@juniper.example"),
        ("Jo Bean <jo@juniper.example>", "jo@juniper.example", None),
        ("jo@juniper.example.", "jo@juniper.example", None),
        ('"Bean, Jo" <jo@juniper.example>; x', "jo@juniper.example", "x"),
        ("nobody at all", None, "nobody"),
        (f"{'j' * 60}@{'u' * 60}.example", None, "jjj"),
    ],
)
def test_the_first_valid_email_is_used_and_the_rest_is_said(
    services: Sandbox, psage: Psage, written: str, used: str | None, left: str | None
) -> None:
    services.agency.edit_contact_entry(507, email=written)

    result = psage("copy-invoice", "123", "--json")

    assert result.code == 0
    contact = services.sage.contacts[result.only["customer"]["id"]]
    assert contact["email"] == used
    said = [w["message"] for w in result.only["warnings"] if w["code"] == "email_left_out"]
    assert len(said) == (left is not None)
    assert left is None or left in said[0]
