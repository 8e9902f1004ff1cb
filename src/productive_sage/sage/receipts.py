"""What settles documents in Sage: receipts, and allocations of credit notes and of payments."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from productive_sage.http import Recorder
from productive_sage.http.documented import understood
from productive_sage.sage import parse
from productive_sage.sage.calls import Calls
from productive_sage.sage.records import Receipt
from productive_sage.text import day

RECEIPTS, ALLOCATIONS = "/contact_payments", "/contact_allocations"
_CUSTOMERS_OWN = {RECEIPTS: "CUSTOMER_RECEIPT", ALLOCATIONS: "CUSTOMER_ALLOCATION"}


class Receipts:
    """The receipts and allocations of one business; the path says which."""

    service = "Sage"

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @understood
    def changed(self, path: str, since: datetime) -> list[Receipt]:
        """The receipts (`/contact_payments`) or `/contact_allocations` changed since."""
        params = {
            "attributes": "allocated_artefacts",
            "transaction_type_id": _CUSTOMERS_OWN[path],
            "updated_or_created_since": parse.instant(since),
        }
        return [parse.receipt(row) for row in self._calls.rows(path, params)]

    @understood
    def one(self, path: str, source_id: str) -> Receipt | None:
        """One receipt or allocation, or None where Sage answers 404."""
        row = self._calls.one(path, source_id)
        return None if row is None or day(row.get("deleted_at")) else parse.receipt(row)

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
