"""The sales invoices and credit notes in Sage."""

from collections.abc import Mapping
from datetime import date, datetime
from functools import partial
from typing import Any

from productive_sage import markers
from productive_sage.errors import NotShown
from productive_sage.http import OnPage, Recorder, quietly
from productive_sage.http.documented import understood
from productive_sage.kinds import CREDIT_NOTE, INVOICE, Kind
from productive_sage.sage import parse
from productive_sage.sage.calls import EVER, Calls
from productive_sage.sage.records import SageDocument
from productive_sage.text import identity, text_of

_INVOICE_FIELDS = (
    "invoice_number,invoice_number_prefix,reference,status,currency,date,contact,contact_name,"
    "net_amount,tax_amount,total_amount,outstanding_amount,payments_allocations,created_at"
)
_CREDIT_NOTE_FIELDS = _INVOICE_FIELDS.replace("invoice_number", "credit_note_number") + (
    ",original_invoice_date"
)

_THE_REST = "notes,main_address,main_address_free_form,transaction,links,updated_at"


class Documents:
    """The documents of one business; the kind says whether invoices or credit notes."""

    service = "Sage"

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @understood
    def one(self, kind: Kind, sage_id: str) -> SageDocument | None:
        """The whole document, or None where Sage answers 404: deleted, or of another business."""
        row = self._calls.one(kind.path, sage_id, {"show_payments_allocations": "true"})
        return None if row is None else parse.document(kind, row)

    def known(self, kind: Kind, sage_id: str) -> SageDocument | None:
        """A document psage knows to have been there, or None where Sage says it was deleted.

        Raises NotShown where Sage does not show it and has no record of its deletion.
        """
        document = self.one(kind, sage_id)
        if document is None and sage_id not in self._calls.deleted(kind.path, EVER):
            raise NotShown(
                f"Sage does not show the {kind.name} `{sage_id}`, but has no record of its "
                "deletion either",
                hint="try again later; if it stays so, see whether the sign-in still reaches the "
                "business, and look for the document in Sage",
            )
        return document

    @understood
    def all(
        self,
        kind: Kind,
        told: OnPage = quietly,
        *,
        days: tuple[date, date] | None = None,
        is_whole: bool = False,
    ) -> list[SageDocument]:
        """Every document of a kind with what settles it, as `invoices`, and when it is due.

        Or those dated from one of two days to the other. One that `is_whole` is as `one` has it,
        as far as the row of a list tells: its lines may be missing.
        """
        fields = _CREDIT_NOTE_FIELDS if kind is CREDIT_NOTE else f"{_INVOICE_FIELDS},due_date"
        fields += ",tax_reconciled,editable"
        fields += f",{kind.lines},{_THE_REST}" if is_whole else ""
        params = {"attributes": fields, "show_payments_allocations": "true"}
        if days:
            params |= {"from_date": days[0].isoformat(), "to_date": days[1].isoformat()}
        return self._calls.read(kind.path, params, partial(parse.document, kind), told)

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
    def with_marker(self, kind: Kind, search: str) -> list[tuple[str, str]]:
        """(id, reference) of the documents whose reference holds the text.

        Sage searches contact names too, and may miss a fresh record for some seconds; the caller
        checks each reference for the exact marker.
        """
        rows = self._calls.rows(kind.path, {"search": search, "attributes": "reference"})
        return [(identity(row["id"]), text_of(row.get("reference"))) for row in rows]

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
