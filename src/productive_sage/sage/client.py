"""The Sage Accounting API v3.1 as psage uses it: records in, request bodies out.

Amounts arrive as strings or numbers and are read into `Decimal` either way; `calls` has what holds
for every call.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from productive_sage import markers
from productive_sage.basics import CREDIT_NOTE, INVOICE, Contact, Kind
from productive_sage.errors import (
    NotShown,
    RefusedBySage,
    ServiceUnavailable,
)
from productive_sage.http import Http, OnPage, Recorder, quietly
from productive_sage.http.documented import understood
from productive_sage.sage import parse
from productive_sage.sage.calls import Calls
from productive_sage.sage.records import Books, Item, LedgerAccount, Receipt, SageDocument, TaxRate
from productive_sage.text import day, identity, text_of

ITEM_LISTS = {"service": "services", "product": "products", "stock_item": "stock_items"}

PDF_LIMIT = 2_621_440
"""Bytes of an attachment at most."""

_INVOICE_FIELDS = (
    "invoice_number,invoice_number_prefix,reference,status,currency,date,contact,contact_name,"
    "net_amount,tax_amount,total_amount,outstanding_amount,payments_allocations,created_at"
)
_CREDIT_NOTE_FIELDS = _INVOICE_FIELDS.replace("invoice_number", "credit_note_number") + (
    ",original_invoice_date"
)
_EVER = datetime(2000, 1, 1, tzinfo=UTC)
"""Before any deletion that Sage could list."""
RECEIPTS, ALLOCATIONS = "/contact_payments", "/contact_allocations"
_CUSTOMERS_OWN = {RECEIPTS: "CUSTOMER_RECEIPT", ALLOCATIONS: "CUSTOMER_ALLOCATION"}
_CONTACT_FIELDS = {
    "attributes": "name,reference,currency,email,main_address,main_contact_person,source_guid,"
    "tax_number,created_at,deleted_at,is_active",
    # Or what an address and a person hold would not be shown, in the answer for one contact either.
    "nested_attributes": "all",
}


class SageClient:
    """Calls about one business; none is chosen yet where `business_id` is empty."""

    service = "Sage"

    def __init__(self, http: Http, business_id: str) -> None:
        self._http = http
        self._calls = Calls(http, business_id)
        self.business_id = business_id

    def now(self) -> datetime:
        """Sage's time, by its last answer: the clock of this machine may be set meanwhile."""
        return self._http.now()

    # --- the business and its lists

    @understood
    def businesses(self) -> list[tuple[str, str]]:
        """(id, name) of every business this sign-in sees, on one page; there can be hundreds."""
        rows = self._http.get("/businesses").document["$items"]
        return [
            (identity(row["id"]), text_of(row.get("name") or row["displayed_as"])) for row in rows
        ]

    @understood
    def traits(self, business_id: str) -> tuple[str, list[str]]:
        """(country, editions) of a business, as far as Sage shows them."""
        row = self._calls.get(f"/businesses/{business_id}")
        editions = [identity(one["id"]) for one in row.get("subscriptions") or []]
        return parse.reference_id(row.get("country")), editions

    @understood
    def country(self, business_id: str) -> tuple[str, str]:
        """(name, two-letter country) of a business."""
        row = self._calls.get(f"/businesses/{business_id}")
        return text_of(row["name"]), identity(row["country"]["id"])

    @understood
    def books(self) -> Books:
        """The facts every copy needs: country, currencies, which days can be booked, and VAT."""
        _, country = self.country(self.business_id)
        row = self._calls.get("/financial_settings")
        return Books(
            self.business_id,
            country,
            identity(row["base_currency"]["id"]),
            is_multi_currency=row.get("multi_currency_enabled"),
            begins_on=str(day(row.get("accounts_start_date")) or ""),
            locked_until=str(day(row.get("year_end_lockdown_date")) or ""),
            tax_scheme=parse.reference_id(row.get("tax_scheme")),
        )

    @understood
    def subscriptions(self) -> list[tuple[str, bool]]:
        """(edition, whether it is active) of the business: START, ACCOUNTS, ACCOUNTING or older."""
        rows = self._calls.get(f"/businesses/{self.business_id}").get("subscriptions") or []
        return [(identity(row["id"]), row.get("active") is not False) for row in rows]

    @understood
    def lock_date(self) -> date | None:
        """The last day of the period that is closed, or None where none is."""
        return day(self._calls.get("/financial_settings").get("year_end_lockdown_date"))

    @understood
    def refusal(self, path: str) -> str | None:
        """Sage's words where this sign-in may not read a list or the settings, else None."""
        try:
            self._calls.get(
                path, None if path == "/financial_settings" else {"items_per_page": "1"}
            )
        except RefusedBySage as error:
            if error.status != 403:
                raise
            return error.words
        return None

    @understood
    def tax_rates(self) -> list[TaxRate]:
        """Every tax rate, hidden ones too."""
        return [
            parse.tax_rate(row) for row in self._calls.rows("/tax_rates", {"attributes": "all"})
        ]

    @understood
    def ledger_accounts(self) -> list[LedgerAccount]:
        """Every ledger account, those not for sales too, so that a refusal can say why."""
        fields = "name,display_name,nominal_code,visible_in_sales"
        rows = self._calls.rows("/ledger_accounts", {"attributes": fields})
        return [
            LedgerAccount(
                id=identity(row["id"]),
                name=text_of(row.get("display_name") or row.get("name") or row["displayed_as"]),
                nominal_code=str(row.get("nominal_code") or ""),
                is_for_sales=row.get("visible_in_sales") is True,
            )
            for row in rows
        ]

    @understood
    def currencies(self) -> list[str]:
        """The currencies Sage knows, as ISO codes."""
        return [identity(row["id"]) for row in self._calls.rows("/currencies", {})]

    @understood
    def countries(self) -> dict[str, str]:
        """Country code by lower-case name and by lower-case code; Sage shows `France (FR)`."""
        codes: dict[str, str] = {}
        for row in self._calls.rows("/countries", {}):
            code, name = identity(row["id"]), text_of(row["displayed_as"])
            if not name:
                raise ValueError(f"the country {code} has no name")
            codes |= dict.fromkeys((code.lower(), name.removesuffix(f" ({code})").lower()), code)
        return codes

    @understood
    def items(self, search: str) -> list[Item]:
        """Services, products and stock items whose code or description holds the text."""
        return [
            parse.item(kind, row)
            for kind, path in ITEM_LISTS.items()
            for row in self._calls.rows(f"/{path}", {"search": search, "attributes": "all"})
            if not day(row.get("deleted_at"))
        ]

    @understood
    def item(self, kind: str, item_id: str) -> Item | None:
        """One item, or None where Sage has no such id."""
        try:
            identity(item_id)
        except ValueError:
            return None  # somebody wrote it into the settings
        row = self._calls.one(f"/{ITEM_LISTS[kind]}", item_id)
        return None if row is None or day(row.get("deleted_at")) else parse.item(kind, row)

    # --- customers

    @understood
    def customers(self, since: datetime | None = None) -> list[Contact]:
        """Every contact of the kind customer, or those made or changed since; 200 a call."""
        params = {"contact_type_id": "CUSTOMER", **_CONTACT_FIELDS}
        if since:
            params["updated_or_created_since"] = parse.instant(since)
        rows = self._calls.rows("/contacts", params)
        return [parse.contact(row) for row in rows if not day(row.get("deleted_at"))]

    @understood
    def customer(self, contact_id: str) -> Contact | None:
        """One contact, or None where Sage has no such id."""
        row = self._calls.one("/contacts", contact_id, _CONTACT_FIELDS)
        return None if row is None or day(row.get("deleted_at")) else parse.contact(row)

    def known_customer(self, contact_id: str) -> Contact | None:
        """A contact that is known to have been there, or None where Sage says it was deleted.

        Raises ServiceUnavailable where Sage does not show it and has no record of its deletion.
        """
        contact = self.customer(contact_id)
        if contact is None and contact_id not in self.deleted("/contacts", _EVER):
            raise ServiceUnavailable(
                f"Sage does not show the contact `{contact_id}`, but has no record of its deletion "
                "either",
                hint="try again later; if it stays so, look for the contact in Sage",
            )
        return contact

    def create_customer(self, body: Mapping[str, Any], record: Recorder) -> Contact:
        """POST /contacts; see `Http.write` for what is raised."""

        def read(row: Mapping[str, Any]) -> Contact:
            contact = parse.contact(row)
            # Sage's own sample of an answer does not repeat the marker.
            sent = ("source_guid", contact.marker) if contact.marker else ("name", contact.name)
            parse.check_about(sent[1], str(body.get(sent[0]) or ""))
            return contact

        return self._calls.written("POST", "/contacts", {"contact": body}, record, read)

    # --- sales invoices and credit notes

    @understood
    def with_marker(self, kind: Kind, search: str) -> list[tuple[str, str]]:
        """(id, reference) of the documents whose reference holds the text.

        Sage searches contact names too, and may miss a fresh record for some seconds; the caller
        checks each reference for the exact marker.
        """
        rows = self._calls.rows(kind.path, {"search": search, "attributes": "reference"})
        return [(identity(row["id"]), text_of(row.get("reference"))) for row in rows]

    @understood
    def document(self, kind: Kind, sage_id: str) -> SageDocument | None:
        """The whole document, or None where Sage answers 404: deleted, or of another business."""
        row = self._calls.one(kind.path, sage_id, {"show_payments_allocations": "true"})
        return None if row is None else parse.document(kind, row)

    def known(self, kind: Kind, sage_id: str) -> SageDocument | None:
        """A document psage knows to have been there, or None where Sage says it was deleted.

        Raises NotShown where Sage does not show it and has no record of its deletion.
        """
        document = self.document(kind, sage_id)
        if document is None and sage_id not in self.deleted(kind.path, _EVER):
            raise NotShown(
                f"Sage does not show the {kind.name} `{sage_id}`, but has no record of its "
                "deletion either",
                hint="try again later; if it stays so, see whether the sign-in still reaches the "
                "business, and look for the document in Sage",
            )
        return document

    @understood
    def marked_since(self, kind: Kind, since: datetime) -> list[SageDocument]:
        """What was made or changed since an instant, without figures and lines.

        A list by time, unlike a search, shows what is fresh.
        """
        fields = f"{kind.number},{kind.number}_prefix,reference,status,contact,created_at"
        params = {"attributes": fields, "updated_or_created_since": parse.instant(since)}
        return [parse.document(kind, row) for row in self._calls.rows(kind.path, params)]

    @understood
    def drafts(self, kind: Kind) -> set[str]:
        """The ids of the documents of a kind that are drafts."""
        rows = self._calls.rows(kind.path, {"status_id": "DRAFT", "attributes": "status"})
        return {
            identity(row["id"]) for row in rows if parse.reference_id(row.get("status")) == "DRAFT"
        }

    @understood
    def credit_notes(self, contact_id: str) -> list[SageDocument]:
        """The credit notes of a customer, without their lines."""
        params = {
            "contact_id": contact_id,
            "attributes": _CREDIT_NOTE_FIELDS,
            "show_payments_allocations": "true",
        }
        return [
            parse.document(CREDIT_NOTE, row) for row in self._calls.rows(CREDIT_NOTE.path, params)
        ]

    @understood
    def numbers(self, kind: Kind, since: datetime | None = None) -> set[str]:
        """The numbers of all documents of a kind, void ones too, or of those changed since."""
        params = {"attributes": f"{kind.number},{kind.number}_prefix"}
        if since:
            params["updated_or_created_since"] = parse.instant(since)
        return {parse.number(kind, row) for row in self._calls.rows(kind.path, params)}

    def create(self, kind: Kind, body: Mapping[str, Any], record: Recorder) -> SageDocument:
        """POST a document; see `Http.write` for what is raised."""

        def read(row: Mapping[str, Any]) -> SageDocument:
            document = parse.document(kind, row)
            sent = str(body.get("reference") or "")
            if markers.in_reference(document.reference) != markers.in_reference(
                sent
            ):  # people add to references
                parse.check_about(document.reference, sent)
            return document

        return self._calls.written("POST", kind.path, {kind.field: body}, record, read)

    def update(
        self, kind: Kind, sage_id: str, body: Mapping[str, Any], record: Recorder
    ) -> SageDocument:
        """PUT a document; see `Http.write` for what is raised."""

        def read(row: Mapping[str, Any]) -> SageDocument:
            document = parse.document(kind, row)
            parse.check_about(document.id, sage_id)
            return document

        path = f"{kind.path}/{identity(sage_id)}"
        return self._calls.written("PUT", path, {kind.field: body}, record, read)

    def release(self, kind: Kind, sage_id: str, record: Recorder) -> SageDocument:
        """Book a draft; see `Http.write` for what is raised."""

        def read(row: Mapping[str, Any]) -> SageDocument:
            document = parse.document(kind, row)
            parse.check_about(document.id, sage_id)
            return document

        path = f"{kind.path}/{identity(sage_id)}/release"
        return self._calls.written("POST", path, None, record, read)

    # --- receipts and allocations

    @understood
    def invoices(self, since: datetime | None = None) -> list[SageDocument]:
        """All sales invoices, or those created or changed since, without their lines.

        Whether rows of a list carry what settles them is not certain: `settlements` may be None.
        """
        params = {"attributes": _INVOICE_FIELDS, "show_payments_allocations": "true"}
        if since:
            params["updated_or_created_since"] = parse.instant(since)
        return [parse.document(INVOICE, row) for row in self._calls.rows(INVOICE.path, params)]

    @understood
    def documents(
        self, kind: Kind, told: OnPage = quietly, *, days: tuple[date, date] | None = None
    ) -> list[SageDocument]:
        """Every document of a kind with what settles it, as `invoices`, and when it is due.

        Or those dated from one of two days to the other.
        """
        fields = _CREDIT_NOTE_FIELDS if kind is CREDIT_NOTE else f"{_INVOICE_FIELDS},due_date"
        params = {"attributes": fields, "show_payments_allocations": "true"}
        if days:
            params |= {"from_date": days[0].isoformat(), "to_date": days[1].isoformat()}
        return self._calls.read(kind.path, params, partial(parse.document, kind), told)

    @understood
    def receipts(self, path: str, since: datetime) -> list[Receipt]:
        """The receipts (`/contact_payments`) or `/contact_allocations` changed since."""
        params = {
            "attributes": "allocated_artefacts",
            "transaction_type_id": _CUSTOMERS_OWN[path],
            "updated_or_created_since": parse.instant(since),
        }
        return [parse.receipt(row) for row in self._calls.rows(path, params)]

    @understood
    def receipt(self, path: str, source_id: str) -> Receipt | None:
        """One receipt or allocation, or None where Sage answers 404."""
        row = self._calls.one(path, source_id)
        return None if row is None or day(row.get("deleted_at")) else parse.receipt(row)

    @understood
    def deleted(self, path: str, since: datetime) -> set[str]:
        """The ids of what was deleted after an instant."""
        rows = self._calls.rows(path, {"deleted_since": parse.instant(since)})
        return {identity(row["id"]) for row in rows}

    def allocate(self, body: Mapping[str, Any], record: Recorder) -> None:
        """POST /contact_allocations; see `Http.write` for what is raised."""

        def read(row: Mapping[str, Any]) -> None:
            settled = parse.receipt(row).document_ids
            sent = {part["artefact_id"] for part in body["allocated_artefacts"]}
            if settled is not None and settled != sent:
                raise ValueError("it is about other documents")

        self._calls.written(
            "POST", "/contact_allocations", {"contact_allocation": body}, record, read
        )

    def delete_allocation(self, allocation_id: str, record: Recorder) -> None:
        """Take an allocation back; already gone is fine."""
        self._calls.delete(f"/contact_allocations/{allocation_id}", record)

    # --- PDFs

    @understood
    def pdf(self, kind: Kind, sage_id: str) -> bytes:
        """The PDF Sage makes, without marking the invoice as sent (which is Sage's default)."""
        params = {"mark_as_sent": "false"}
        path = f"{kind.path}/{sage_id}"
        reply = self._calls.checked(self._http.get(path, params, accept="application/pdf"))
        return reply.body

    @understood
    def attachments(self, kind: Kind, document: SageDocument) -> dict[str, str]:
        """File name by id of what is attached to a document or to its transaction."""
        names: dict[str, str] = {}
        for sage_id in filter(None, (document.id, document.transaction_id)):
            params = {
                "attachment_context_type_id": kind.context,
                "attachment_context_id": sage_id,
                "attributes": "file_name",
            }
            rows = self._calls.rows("/attachments", params)
            names |= {identity(row["id"]): text_of(row.get("file_name")) for row in rows}
        return names

    def attach(
        self, kind: Kind, document: SageDocument, record: Recorder, *, name: str, content: bytes
    ) -> tuple[str, bool]:
        """Attach a PDF; (the attachment's id, whether it is linked to the document).

        Not idempotent: look before a second try. The documents are no contexts Sage's guide knows,
        and a 201 may be an attachment linked to nothing: what linked for others is the transaction,
        so that goes along, and alone where the context is refused.
        """
        attachment = {
            "file": base64.b64encode(content).decode(),
            "file_name": name,
            "mime_type": "application/pdf",
        }
        if document.transaction_id:
            attachment["transaction_id"] = document.transaction_id
        context = {
            "attachment_context_type_id": kind.context,
            "attachment_context_id": document.id,
        }

        def send(more: Mapping[str, str]) -> tuple[str, bool]:
            body = {"attachment": {**attachment, **more}}
            return self._calls.written(
                "POST", "/attachments", body, record, partial(parse.attached, document)
            )

        try:
            return send(context)
        except RefusedBySage as error:
            # Not every refusal names a field; where one names another, that is what is wrong.
            may_be_it = all("attachment_context" in field for field in error.fields)
            if error.status != 422 or not (may_be_it and document.transaction_id):
                raise
            return send({})

    def delete_attachment(self, attachment_id: str, record: Recorder) -> None:
        """Remove an attachment psage made; already gone is fine."""
        self._calls.delete(f"/attachments/{attachment_id}", record)
