"""Replies as live clients met them, read by the real clients over real HTTP.

A reply is a file of `tests/replies`: what is told of it, and the answers in order, the last one for
ever unless it says how many times. Each test says the value that is read, or the refusal.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage import config
from productive_sage.errors import (
    AmountsUnclear,
    NoSubscription,
    OutcomeUnknown,
    RefusedByProductive,
    RefusedBySage,
    ServiceUnavailable,
)
from productive_sage.http.pool import connect_pool
from productive_sage.kinds import INVOICE
from productive_sage.productive.calls import Token
from productive_sage.productive.client import ProductiveClient
from productive_sage.sage import parse
from productive_sage.sage.calls import sage_http
from productive_sage.sage.client import SageClient
from productive_sage.sage.receipts import RECEIPTS
from productive_sage.sandbox import Sandbox
from productive_sage.signin.oauth import SageTokens
from productive_sage.signin.vault import Vault
from productive_sage.tax import is_valid
from tests.harness.history import unrecorded

REPLIES = Path(__file__).parent.parent / "replies"
EVER = 1000


@dataclass(frozen=True)
class Clients:
    """Both clients, signed in to the sandbox."""

    sage: SageClient
    productive: ProductiveClient


@pytest.fixture
def clients(connected: Sandbox, tmp_path: Path, handed_in: dict[str, Any]) -> Iterator[Clients]:
    endpoints = config.load(tmp_path / "none.toml", os.environ)[0].endpoints
    vault = Vault("default")
    with connect_pool(handed_in["timing"]) as pool:
        tokens = SageTokens(vault, sage_http(pool, endpoints.sage_token))
        sign_in = vault.productive()
        yield Clients(
            SageClient(
                sage_http(pool, endpoints.sage_api, credentials=tokens), tokens.sign_in.business_id
            ),
            ProductiveClient(pool, endpoints, Token(sign_in.token, sign_in.organization_id)),
        )


@pytest.fixture
def answering(connected: Sandbox) -> Callable[[str], Sandbox]:
    """Make the service answer as a file of replies says."""

    def arrange(name: str) -> Sandbox:
        reply = json.loads((REPLIES / f"{name}.json").read_text(encoding="utf-8"))
        before: dict[str, int] = {}
        for answer in reply["answers"]:
            method, path = answer["to"].split()
            times = answer.get("times", EVER)
            connected.fault(
                "status",
                service=reply["service"],
                method=method,
                path=path,
                status=answer["status"],
                headers=answer.get("headers"),
                body=answer["body"],
                nth=before.get(answer["to"], 0) + 1,
                times=times,
            )
            before[answer["to"]] = before.get(answer["to"], 0) + times
        return connected

    return arrange


Answering = Callable[[str], Sandbox]
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
ODD_IDS: list[object] = [
    None,
    True,
    0,
    7,
    "",
    " ",
    "0",
    "../x",
    "a/b",
    "a b",
    "é",
    {},
    ["a"],
    "a" * 2_000_000,
]
CUSTOMER = {
    "name": "Great Example Inc",
    "contact_type_ids": ["CUSTOMER"],
    "source_guid": "productive-company-1",
}


def short(value: object) -> str:
    return repr(value)[:20]


def sage_row(sage_id: str, **fields: object) -> dict[str, object]:
    """Enough of a record of Sage for every reader."""
    row: dict[str, object] = {"id": sage_id, "invoice_number": "SI-1", "name": "Great Example Inc"}
    return row | fields


def a_body(sandbox: Sandbox) -> dict[str, object]:
    """An invoice to be posted."""
    return {
        "contact_id": "c",
        "date": "2026-03-01",
        "reference": "PRD-123",
        "invoice_lines": [
            {
                "description": "Work",
                "ledger_account_id": sandbox.bookkeeper.ledger_account_id(4010),
                "unit_price": "1.00",
                "quantity": "1",
                "tax_rate_id": "GB_STANDARD",
            }
        ],
    }


# --- Sage


def test_an_ended_subscription_is_told_in_sages_words_after_one_renewal(
    clients: Clients, answering: Answering
) -> None:
    sandbox = answering("sage-401-no-subscription")

    with pytest.raises(NoSubscription, match=r"No active subscription\. \(MSE\)"):
        clients.sage.documents.one(INVOICE, "abc")

    assert len(sandbox.calls("sage", "GET")) == 2


@pytest.mark.parametrize(
    ("name", "words", "field"),
    [
        (
            "sage-422-not-registered",
            "You cannot add tax, your business is not registered for tax [line_items.tax_rate]",
            "line_items.tax_rate",
        ),
        (
            "sage-422-umbrella",
            "This field is required [line_items.currency_tax_amount]",
            "line_items.currency_tax_amount",
        ),
        ("sage-422-one-object", "Invoice Address is required. [base]", "base"),
        ("sage-422-errors", "Delivery Address is required. [base]", "base"),
    ],
)
def test_a_refusal_of_sage_gives_its_words_and_its_field(
    clients: Clients, answering: Answering, name: str, words: str, field: str
) -> None:
    answering(name)

    with pytest.raises(RefusedBySage) as caught:
        clients.sage.documents.create(INVOICE, {}, unrecorded)

    assert f"{words} (422)" in caught.value.message
    assert field in caught.value.fields


def test_a_blank_date_is_no_date(clients: Clients, answering: Answering) -> None:
    answering("sage-blank-date")

    document = clients.sage.documents.one(INVOICE, "ea84cdf6e4ad11e7aa730a57719b2edb")

    assert document is not None
    assert document.invoiced_on is None
    assert (document.number, document.total) == ("SI-48", Decimal(10))


def test_businesses_without_a_name_are_called_as_sage_shows_them(
    clients: Clients, answering: Answering
) -> None:
    answering("sage-businesses-of-one-name")

    assert [business[:2] for business in clients.sage.businesses()] == [
        ("0000000000000000000000000000000a", "Example Ltd"),
        ("0000000000000000000000000000000b", "Example Ltd"),
        ("0000000000000000000000000000000c", "Other Ltd"),
    ]


def test_a_new_contact_is_read_though_sage_says_little_of_it(
    clients: Clients, answering: Answering
) -> None:
    answering("sage-contact-created")

    contact = clients.sage.contacts.create(CUSTOMER, unrecorded)

    assert (contact.id, contact.name) == ("14d93840783b11e8990a122c8428e4b2", "Great Example Inc")
    assert (contact.currency, contact.email, contact.country, contact.marker) == ("", "", "", "")


def test_a_contact_of_references_has_a_currency_and_no_known_country(
    clients: Clients, answering: Answering
) -> None:
    answering("sage-contact-with-references")

    contact = clients.sage.contacts.one("14d93840783b11e8990a122c8428e4b2")

    assert contact is not None
    assert (contact.name, contact.reference) == ("Great Example Inc", "GRE0001")
    assert (contact.currency, contact.marker) == ("GBP", "productive-company-1")
    assert (contact.email, contact.country, contact.has_address) == ("", "", None)


@pytest.mark.parametrize(
    ("name", "status", "number"),
    [
        ("sage-draft-invoice", "DRAFT", "SI-DRAFT"),
        ("sage-pro-forma", "PRO_FORMA", "SI-PRO FORMA"),
    ],
)
def test_what_is_not_booked_has_a_total_and_nothing_outstanding(
    clients: Clients, answering: Answering, name: str, status: str, number: str
) -> None:
    answering(name)

    document = clients.sage.documents.one(INVOICE, "e5aff2cd745011e8863412a7e3287944")

    assert document is not None
    assert (document.status, document.number) == (status, number)
    assert (document.is_draft, document.transaction_id) == (True, "")
    assert (str(document.net), str(document.tax)) == ("294.00", "27.20")
    assert (document.total, document.outstanding) == (Decimal("321.2"), Decimal(0))
    assert (document.currency, document.invoiced_on) == ("USD", date(2018, 6, 20))
    assert document.url == (
        "https://accounting.na.sageone.com/invoicing/sales_invoices/"
        "e5aff2cd745011e8863412a7e3287944"
    )


def test_the_next_page_is_below_the_version_of_the_api(
    clients: Clients, answering: Answering
) -> None:
    sandbox = answering("sage-invoice-list-page")

    found = clients.sage.documents.with_marker(INVOICE, "PRD-1")

    assert found == [("722548a1a599461796bbfc4a6b8b0ae2", "")] * 2
    _, second = sandbox.calls("sage", "GET", "/sales_invoices")
    assert (second.query["page"], second.query["items_per_page"]) == (["2"], ["1"])


def test_a_list_whose_second_page_is_too_heavy_is_read_whole_and_once(
    clients: Clients, connected: Sandbox
) -> None:
    for n in range(230):
        connected.bookkeeper.add_contact(f"Customer {n}")
    connected.fault("status", path="/contacts", nth=2, times=2, status=500)

    found = [contact.name for contact in clients.sage.contacts.all()]

    new = [name for name in found if name.startswith("Customer ")]
    assert sorted(new) == sorted(f"Customer {n}" for n in range(230))
    sizes = [call.query["items_per_page"] for call in connected.calls("sage", "GET", "/contacts")]
    assert sizes[:4] == [["200"], ["200"], ["200"], ["50"]]


def test_a_next_page_that_points_to_itself_is_no_list(
    clients: Clients, answering: Answering
) -> None:
    answering("sage-page-again")
    answering("productive-page-again")

    with pytest.raises(ServiceUnavailable, match="never ends"):
        clients.sage.documents.with_marker(INVOICE, "PRD-1")
    with pytest.raises(ServiceUnavailable, match="never ends"):
        clients.productive.service_types()


def test_a_receipt_of_references_does_not_say_what_it_settles(
    clients: Clients, answering: Answering
) -> None:
    answering("sage-receipt-of-references")

    (receipt,) = clients.sage.receipts.changed(RECEIPTS, SINCE)

    assert (receipt.id, receipt.document_ids) == ("r1", None)


def test_a_receipt_names_the_documents_it_settles(clients: Clients, answering: Answering) -> None:
    answering("sage-receipt")

    receipt = clients.sage.receipts.one(RECEIPTS, "r1")

    assert receipt is not None
    assert receipt.document_ids == frozenset({"inv1"})


@pytest.mark.parametrize(
    ("name", "percentage", "known"),
    [
        ("Standard 20.00%", None, False),
        ("Lower Rate 0,5 %", "", False),
        ("Standard 20.00%", "20.0", True),
        ("Zero Rated 0.00%", None, True),
        ("No VAT", None, True),
    ],
)
def test_a_percentage_that_is_missing_is_not_taken_for_none(
    name: str, percentage: str | None, known: bool
) -> None:
    dated = [{"percentage": percentage, "from_date": "1900-01-01", "to_date": None}]
    row = {"id": "GB_ANY", "name": "ANY", "displayed_as": name, "percentages": dated}

    rate = parse.tax_rate({**row, "percentage": None})

    assert is_valid(rate, date(2026, 2, 9)) == known
    alone = {**row, "percentages": [], "percentage": percentage or None}
    assert is_valid(parse.tax_rate(alone), date(2026, 2, 9)) == bool(percentage)


def test_tax_rates_have_their_percentages(clients: Clients, answering: Answering) -> None:
    answering("sage-tax-rates")

    rates = {rate.id: rate for rate in clients.sage.tax_rates()}

    percents = {key: rate.percentages[0][0] for key, rate in rates.items()}
    assert percents == {
        "GB_STANDARD": Decimal(20),
        "GB_LOWER": Decimal(5),
        "GB_ZERO": Decimal(0),
        "GB_EXEMPT": Decimal(0),
        "GB_NO_TAX": Decimal(0),
    }
    assert all(rate.is_visible for rate in rates.values())


@pytest.mark.parametrize("sent", ODD_IDS, ids=short)
def test_what_is_no_id_is_never_read_as_one(
    clients: Clients, connected: Sandbox, sent: object
) -> None:
    row = sage_row("abc", id=sent)
    for path in ("/contacts", "/sales_invoices", "/contact_payments", "/contact_allocations"):
        page = {"$total": 1, "$page": 1, "$itemsPerPage": 200, "$next": None, "$items": [row]}
        connected.fault("status", path=path, status=200, body=page, times=1, method="GET")
        connected.fault("status", path=path, status=200, body=row, times=EVER, nth=2, method="GET")
        connected.fault("status", path=path, status=201, body=row, times=EVER, method="POST")
    allocation = {"contact_id": "c", "transaction_type_id": "CUSTOMER_ALLOCATION"}
    parts = [{"artefact_id": "a", "amount": "1.00"}, {"artefact_id": "b", "amount": "-1.00"}]

    for read in (
        clients.sage.contacts.all,
        lambda: clients.sage.contacts.one("abc"),
        clients.sage.documents.invoices,
        lambda: clients.sage.documents.one(INVOICE, "abc"),
        lambda: clients.sage.receipts.changed(RECEIPTS, SINCE),
        lambda: clients.sage.receipts.one(RECEIPTS, "abc"),
    ):
        with pytest.raises(ServiceUnavailable, match="is no id") as caught:
            read()
        assert len(caught.value.message) < 300
    for write in (
        lambda: clients.sage.contacts.create(CUSTOMER, unrecorded),
        lambda: clients.sage.documents.create(INVOICE, a_body(connected), unrecorded),
        lambda: clients.sage.receipts.allocate(
            {**allocation, "allocated_artefacts": parts}, unrecorded
        ),
    ):
        with pytest.raises(OutcomeUnknown, match="is no id"):
            write()


def test_an_answer_about_another_record_is_no_answer(clients: Clients, connected: Sandbox) -> None:
    other = sage_row("other", reference="PRD-999", source_guid="productive-company-999")
    for path in ("/contacts", "/sales_invoices", "/contact_payments"):
        connected.fault("status", path=path, status=200, body=other, times=EVER)
    body = a_body(connected)

    for read in (
        lambda: clients.sage.contacts.one("abc"),
        lambda: clients.sage.documents.one(INVOICE, "abc"),
        lambda: clients.sage.receipts.one(RECEIPTS, "abc"),
    ):
        with pytest.raises(ServiceUnavailable, match="about `other`, not `abc`"):
            read()
    with pytest.raises(OutcomeUnknown, match="productive-company-999"):
        clients.sage.contacts.create(CUSTOMER, unrecorded)
    with pytest.raises(OutcomeUnknown, match="about `PRD-999`, not `PRD-123`"):
        clients.sage.documents.create(INVOICE, body, unrecorded)
    with pytest.raises(OutcomeUnknown, match="about `other`, not `abc`"):
        clients.sage.documents.update(INVOICE, "abc", body, unrecorded)


def test_a_customer_without_a_mark_in_reply_is_known_by_its_name(
    clients: Clients, connected: Sandbox
) -> None:
    connected.fault(
        "status", method="POST", path="/contacts", status=201, body={"id": "c", "name": "Another"}
    )

    with pytest.raises(OutcomeUnknown, match="about `Another`, not `Great Example Inc`"):
        clients.sage.contacts.create(CUSTOMER, unrecorded)


@pytest.mark.parametrize(
    "amount", ["1e30", "1e999999999", "9" * 2_000_000, "1" + "0" * 4000, "12 pounds"], ids=short
)
def test_an_absurd_amount_of_sage_is_no_answer(
    clients: Clients, connected: Sandbox, amount: str
) -> None:
    row = sage_row("abc", total_amount=amount)
    connected.fault("status", path="/sales_invoices", status=200, body=row, times=EVER)

    with pytest.raises(ServiceUnavailable, match="amount") as caught:
        clients.sage.documents.one(INVOICE, "abc")
    with pytest.raises(OutcomeUnknown, match="amount"):
        clients.sage.documents.create(INVOICE, a_body(connected), unrecorded)

    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:text/html,x",
        "//sage.test/x",
        "https://",
        "https://sage.test/\u202ex\x1b]8;;y",
        "https://sage.test/a b",
        f"https://sage.test/{'x' * 3000}",
        7,
        None,
    ],
    ids=short,
)
def test_only_http_and_https_are_web_addresses(
    clients: Clients, connected: Sandbox, address: object
) -> None:
    link = {"href": address, "rel": "alternate", "type": "text/html"}
    row = sage_row("abc", links=[link])
    connected.fault("status", path="/sales_invoices", status=200, body=row)

    document = clients.sage.documents.one(INVOICE, "abc")

    assert document is not None
    assert document.url is None or document.url == "https://sage.test/x]8;;y"


# --- Productive


@pytest.mark.parametrize("sent", ODD_IDS, ids=short)
def test_what_is_no_id_of_productive_is_never_read_as_one(
    clients: Clients, connected: Sandbox, sent: object
) -> None:
    row = {"id": sent, "type": "payments", "attributes": {"note": "psage r/i"}}
    connected.fault(
        "status", service="productive", method="GET", status=200, body={"data": [row]}, times=4
    )
    connected.fault("status", service="productive", method="POST", status=201, body={"data": row})

    for read in (
        clients.productive.service_types,
        lambda: clients.productive.invoices.read(ids=["77"]),
        lambda: clients.productive.payments.balances(["77"]),
    ):
        with pytest.raises(ServiceUnavailable, match="is no id"):
            read()
    with pytest.raises(OutcomeUnknown, match="is no id"):
        clients.productive.payments.create(
            {"invoice_id": 77, "amount": 1, "note": "psage r/i"}, unrecorded
        )


def test_an_answer_of_productive_about_another_record_is_no_answer(
    clients: Clients, connected: Sandbox
) -> None:
    invoice = {"data": {"type": "invoices", "id": "78"}}
    row = {
        "id": "901",
        "type": "payments",
        "attributes": {"amount": 100, "currency": "GBP", "note": "psage other/i"},
        "relationships": {"invoice": invoice},
    }
    for nth, body in enumerate(({"data": row}, {"data": [row]}), 1):
        connected.fault(
            "status", service="productive", method="GET", nth=nth, status=200, body=body
        )
    connected.fault("status", service="productive", method="POST", status=201, body={"data": row})

    with pytest.raises(ServiceUnavailable, match="payment 900 was answered with 901"):
        clients.productive.payments.one("900")
    with pytest.raises(ServiceUnavailable, match="`78`, which was not asked for"):
        clients.productive.payments.of(["77"])
    with pytest.raises(OutcomeUnknown, match="psage other/i"):
        clients.productive.payments.create(
            {"invoice_id": 77, "amount": 1, "note": "psage r/i"}, unrecorded
        )


def test_a_pause_without_a_header_is_a_minute(
    clients: Clients, answering: Answering, waits: list[float]
) -> None:
    answering("productive-429")

    assert clients.productive.service_types() == {}
    assert waits == [60.0]


def test_whole_strings_are_amounts_in_minor_units(clients: Clients, answering: Answering) -> None:
    answering("productive-amounts-as-strings")

    (invoice,), unreadable = clients.productive.invoices.read(ids=["77"])

    assert unreadable == {}
    assert (invoice.net, invoice.tax) == (Decimal("25065.69"), Decimal("5013.14"))
    (line,) = invoice.lines
    assert (line.quantity, line.unit_price) == (Decimal(1), Decimal("25065.69"))
    assert line.amount == Decimal("25065.69")
    assert invoice.is_finalised
    assert (invoice.company.name, invoice.bill_to.street) == ("Client Ltd", "1 Road")
    assert (invoice.invoiced_on, invoice.pay_on) == (date(2026, 3, 1), date(2026, 3, 31))


def test_an_amount_with_two_decimals_is_refused_and_not_read_as_a_hundredth(
    clients: Clients, answering: Answering
) -> None:
    answering("productive-amounts-with-a-point")

    found, unreadable = clients.productive.invoices.read(ids=["77"])

    assert found == []
    error = unreadable["77"]
    assert isinstance(error, AmountsUnclear)
    assert "`amount`" in error.message
    assert "120.00" in error.message


def test_a_refusal_of_productive_gives_its_words_and_its_field(
    clients: Clients, answering: Answering
) -> None:
    answering("productive-error")

    with pytest.raises(RefusedByProductive, match=r"Invalid Attribute can't be blank") as caught:
        clients.productive.payments.create({"invoice_id": 77, "amount": 100}, unrecorded)

    assert caught.value.fields == ("data/attributes/paid_on",)


def test_a_next_page_on_another_host_is_not_fetched(clients: Clients, answering: Answering) -> None:
    sandbox = answering("productive-next-absolute")

    with pytest.raises(ServiceUnavailable, match=r"another host \(`api\.productive\.io`\)"):
        clients.productive.service_types()

    assert len(sandbox.calls("productive", "GET")) == 1


def test_the_second_of_two_numbered_pages_is_asked_for(
    clients: Clients, answering: Answering
) -> None:
    sandbox = answering("productive-pages-by-number")

    found, unreadable = clients.productive.payments.of(["77"])

    assert unreadable == {}
    assert [payment.id for payment in found["77"]] == ["1", "2"]
    second = sandbox.calls("productive", "GET", "/payments")[1]
    assert second.query["page[number]"] == ["2"]
    assert "page[after]" not in second.query


def test_a_numbered_page_that_comes_again_is_no_list(
    clients: Clients, answering: Answering
) -> None:
    answering("productive-first-page-again")

    with pytest.raises(ServiceUnavailable, match="page 2 of /payments is another"):
        clients.productive.payments.of(["77"])


def test_every_file_of_replies_is_read_by_a_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")

    assert [file.stem for file in REPLIES.glob("*.json") if f'"{file.stem}"' not in source] == []


def test_a_defect_in_telling_how_far_a_list_is_read_is_not_told_as_the_services(
    clients: Clients,
) -> None:
    def stumble(_rows: int, _of: int | None) -> None:
        raise KeyError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        clients.sage.documents.all(INVOICE, stumble)
