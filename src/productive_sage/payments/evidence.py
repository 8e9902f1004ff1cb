"""What the services say of copies and receipts, each thing read once in a run.

A list is enough to see what changed. What is to be removed needs a witness: the invoice read by
itself, complete and without the payment, and the receipt gone or settling something else.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime

from productive_sage.desk import Desk
from productive_sage.errors import Refused, RefusedBySage
from productive_sage.kept import OwnPayment
from productive_sage.kinds import INVOICE
from productive_sage.payments import shares
from productive_sage.payments.records import Synced
from productive_sage.payments.results import cannot_see
from productive_sage.productive.records import Balance
from productive_sage.sage.receipts import ALLOCATIONS, RECEIPTS
from productive_sage.sage.records import Receipt, SageDocument, Settlement


class Evidence:
    """The memory of one run."""

    def __init__(self, desk: Desk, synced: Synced) -> None:
        self._desk = desk
        self._synced = synced
        self.documents: dict[str, SageDocument | None] = {}
        """Copies and other invoices by id, as a list or a document says."""
        self.deleted: set[str] = set()
        """The receipts and allocations that were deleted lately."""
        self._whole: dict[str, SageDocument | None] = {}
        """Read one by one, with everything: a witness."""
        self._gone: set[str] | None = None
        self._deletions: dict[str, date] | None = None

    # --- copies

    def read_list(self, since: datetime | None = None) -> None:
        """Read the invoices that changed since, or all."""
        for document in self._desk.sage.documents.invoices(since):
            self.documents[document.id] = document

    def document(self, sage_id: str) -> SageDocument | None:
        """A copy with what settles it, or None where Sage has it no more."""
        document = self.documents.get(sage_id)
        if document is None or not shares.is_complete(document):
            document = self.witness(sage_id)
        return document and self._clarified(document)

    def witness(self, sage_id: str) -> SageDocument | None:
        """A copy as Sage states it by itself, or None where Sage has it no more."""
        if sage_id not in self._whole:
            self._whole[sage_id] = self._desk.sage.documents.one(INVOICE, sage_id)
        return self._whole[sage_id]

    def _clarified(self, document: SageDocument) -> SageDocument:
        """Say of each allocation what it takes from, where the invoice does not."""
        rows = document.settlements or ()
        if all(row.artefact_path or not row.allocation_id for row in rows):
            return document
        return replace(document, settlements=tuple(map(self._with_path, rows)))

    def _with_path(self, row: Settlement) -> Settlement:
        if row.artefact_path or not row.allocation_id:
            return row
        try:
            allocation = self._desk.sage.receipts.one(ALLOCATIONS, row.allocation_id)
        except RefusedBySage:
            return row
        paths = {
            path.split("/")[1] for path in (allocation.from_paths if allocation else ()) if path
        }
        return replace(row, artefact_path=f"/{paths.pop()}") if len(paths) == 1 else row

    def is_deleted(self, sage_id: str) -> bool:
        """Whether Sage has a record of having deleted a copy."""
        if self._gone is None:
            self._gone = self._desk.sage.deleted(INVOICE.path, datetime(2000, 1, 1, tzinfo=UTC))
        return sage_id in self._gone

    def deleted_on(self, productive_id: str, balance: Balance | None) -> date | None:
        """When an invoice was deleted in Productive, as far as this token may see that."""
        if balance:
            return balance.deleted_on
        if self._deletions is None:
            try:
                self._deletions = self._desk.productive.invoices.deleted()
            except Refused:
                self._deletions = {}
        return self._deletions.get(productive_id)

    # --- receipts

    def read_receipts(
        self, since: datetime, *, only_deleted: bool = False
    ) -> list[tuple[str, Receipt]]:
        """The receipts and allocations changed since; keeps in mind which were deleted."""
        sage, changed = self._desk.sage, []
        for path in (RECEIPTS, ALLOCATIONS):
            try:
                if not only_deleted:
                    changed += [(path, one) for one in sage.receipts.changed(path, since)]
                self.deleted |= sage.deleted(path, since)
            except RefusedBySage as error:
                if error.status != 403:
                    raise
                cannot_see(self._synced, path, error)
        return changed

    def settled_by(self, path: str, receipt: Receipt) -> frozenset[str] | None:
        """What a receipt settles; read whole where the row of the list does not say.

        None where Sage does not say it there either.
        """
        if receipt.document_ids is not None:
            return receipt.document_ids
        try:
            whole = self._desk.sage.receipts.one(path, receipt.id)
        except RefusedBySage as error:
            if error.status != 403:
                raise
            cannot_see(self._synced, path, error)
            return frozenset()
        return whole.document_ids if whole else frozenset()

    # --- proof of a removal

    def doubt(self, one: OwnPayment) -> str:
        """Why what a payment stands for may be there still; empty where Sage says it is gone."""
        document = self.witness(one.sage_id)
        if document is None:
            return "its copy is gone from Sage, which proves nothing about the payment"
        if document.is_draft:
            number = document.number
            return f"{number} in Sage is not booked, which proves nothing about the payment"
        if not shares.is_complete(document):
            return "what Sage says of its copy does not add up"
        if _names(document, one.source_id):
            is_gone = shares.says_no_more(document, one)
            return "" if is_gone else f"{document.number} in Sage still names its receipt"
        is_gone = self._is_gone(one.source_id, one.sage_id)
        why = f"whether its receipt `{one.source_id}` is gone cannot be seen in Sage"
        return "" if is_gone else why

    def _is_gone(self, source_id: str, sage_id: str) -> bool:
        """Whether a receipt or allocation is deleted, or settles the invoice no more."""
        if source_id in self.deleted:
            return True
        for path in (RECEIPTS, ALLOCATIONS):
            try:
                found = self._desk.sage.receipts.one(path, source_id)
            except RefusedBySage as error:
                if error.status != 403:
                    raise
                return False
            if found:
                return found.document_ids is not None and sage_id not in found.document_ids
        return True


def _names(document: SageDocument, source_id: str) -> bool:
    rows: Iterable[Settlement] = document.settlements or ()
    return any(source_id in (row.receipt_id, row.allocation_id) for row in rows)
