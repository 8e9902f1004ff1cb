"""A Sage credit note set against the copy of the invoice it credits, as far as that is open.

What is there decides: both documents are read, and what is open of both is allocated. Done once
more it changes nothing, and Sage refuses more than is open, so a lost answer cannot double it.
"""

import uuid
from dataclasses import dataclass, replace
from decimal import Decimal

from productive_sage import money
from productive_sage.copying import bodies, in_sage
from productive_sage.desk import Desk
from productive_sage.errors import CopyGone, OutcomeUnknown, ServiceUnavailable
from productive_sage.http import Recorder
from productive_sage.kinds import CREDIT_NOTE, INVOICE, Kind
from productive_sage.sage.records import SageDocument, Settlement
from productive_sage.store import CopyIntent, Link


@dataclass(frozen=True, slots=True)
class Allocated:
    """How much of a credit note is set against its invoice, and how much against nothing."""

    amount: Decimal
    rest: Decimal
    invoice_number: str


def of(link: Link, note: SageDocument) -> list[Settlement]:
    """The allocations between a credit note and the invoice it credits."""
    if not link.credited_sage_id:
        return []
    return [
        row
        for row in note.settlements or ()
        if row.allocation_id and row.artefact_id == link.credited_sage_id
    ]


def total(link: Link, note: SageDocument) -> Decimal:
    """What is set against the invoice, in the document's currency."""
    return sum((abs(row.amount) for row in of(link, note)), money.ZERO)


def locked_because(link: Link, present: SageDocument) -> str | None:
    """As `in_sage.locked_because`, but what psage can take back and allocate again locks nothing.

    Whether a closed period locks the document as well is not to be seen then: Sage says.
    """
    ours = of(link, present)
    if ours and len(ours) == len(present.settlements or ()):
        return "it is in a filed VAT return" if present.is_in_tax_return else None
    return in_sage.locked_because(present)


def take_back(desk: Desk, intent: CopyIntent, link: Link, settlement: Settlement) -> None:
    """Remove an allocation of a copy, for its update."""
    said = {
        "amount": money.text(abs(settlement.amount)),
        "to": settlement.artefact_id,
        "from": link.sage_id,
    }
    about = replace(intent.about, removed=said)
    desk.sage.receipts.delete_allocation(
        settlement.allocation_id, desk.store.events.recorder(about)
    )


def allocate(desk: Desk, link: Link, note: SageDocument, record: Recorder) -> Allocated:
    """Allocate what is open of both documents; nothing where that is nothing.

    `note` is as Sage has just stated it. Raises CopyGone where one of them was voided or deleted,
    CopyIsDraft where the invoice is not booked, RefusedBySage where the role or the edition does
    not allow it.
    """
    invoice = _read(desk, link.credited_sage_id or "", INVOICE)
    amount = min(outstanding(invoice), outstanding(note))
    if amount <= 0:
        return Allocated(total(link, note), outstanding(note), invoice.number)
    body = bodies.allocation_body(invoice, note, amount) | {"idempotency_id": uuid.uuid4().hex}
    try:
        desk.sage.receipts.allocate(body, record)
    except OutcomeUnknown:
        found = _read(desk, link.sage_id, CREDIT_NOTE)
        if total(link, found) <= total(link, note):
            desk.sage.receipts.allocate(body, record)
    return Allocated(total(link, note) + amount, outstanding(note) - amount, invoice.number)


def outstanding(document: SageDocument) -> Decimal:
    """What is open of a document, in its currency."""
    if document.outstanding is None:
        raise ServiceUnavailable(f"Sage does not say what is open of {document.number}")
    return document.outstanding


def _read(desk: Desk, sage_id: str, kind: Kind) -> SageDocument:
    document = desk.sage.documents.known(kind, sage_id)
    if document is None or document.status == "VOID":
        gone = "deleted" if document is None else "voided"
        raise CopyGone(f"the {kind.name} in Sage was {gone}, so nothing can be allocated")
    document.check_booked(f"the {kind.name}")
    return document
