"""What Sage says settles an invoice, and what a payment in Productive has to say for it.

Pure: no input or output, no clock. `payments_allocations` of the copy is the truth: each receipt's
share is a payment, an allocation of a payment on account is one on its own day, that of a credit
note is none. A settlement discount settles the invoice but was never received.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from productive_sage import markers, money
from productive_sage.kept import Finding, OwnPayment
from productive_sage.payments.records import ReceiptShare
from productive_sage.productive.records import Payment
from productive_sage.sage.records import SageDocument, Settlement

_OUR_LINE = "Sage receipt"


# --- what Sage says


def is_complete(document: SageDocument) -> bool:
    """Whether the rows that settle a document account for all that it says is settled.

    A document that says nothing of them is complete where nothing of it is settled. Nothing settles
    what is void or not booked, whatever is open of it.
    """
    if document.status == "VOID" or document.is_draft:
        return not (document.settlements or ())
    if document.outstanding is None:
        return False
    rows = document.settlements or ()
    settled = sum((row.settled for row in rows), money.ZERO)
    return document.total - document.outstanding == settled


def of(document: SageDocument) -> tuple[list[ReceiptShare], list[Finding]]:
    """The shares that settle an invoice, and what of it cannot be told to be a payment or not.

    Several shares of one receipt are one.
    """
    found: dict[str, ReceiptShare] = {}
    findings: list[Finding] = []
    for row in document.settlements or ():
        if is_credit(row):
            continue
        unclear = _unclear(row) if row.on else ("settlement_unclear", "has no date")
        if row.on is None or unclear:
            code, why = unclear or ("", "")
            said = money.said(row.amount, document.currency)
            findings.append(
                Finding(
                    code,
                    f"what Sage says of {said} on {row.on} is unclear: it {why}",
                    f"look at {document.number} in Sage; if it is a payment, enter the {said} in "
                    "Productive by hand",
                )
            )
            continue
        for share in _of_row(document, row, row.on):
            before = found.get(share.marker)
            amount = share.amount + (before.amount if before else money.ZERO)
            found[share.marker] = replace(share, amount=amount)
    return [share for share in found.values() if share.amount], findings


def is_credit(row: Settlement) -> bool:
    """Whether it is a credit note that is set against the invoice, and so no payment."""
    return bool(row.allocation_id and not row.receipt_id and "credit_note" in row.artefact_path)


def _unclear(row: Settlement) -> tuple[str, str] | None:
    """The code and the reason where a row cannot be told to be a payment or not."""
    if row.receipt_id:
        if row.is_refund and row.amount > 0:
            return "refund_unclear", "is called a refund, but its amount is positive"
        return None
    if not row.allocation_id:
        return "settlement_unclear", "names neither a receipt nor an allocation"
    if not ("payment" in row.artefact_path and "account" in row.artefact_path):
        return "allocation_unclear", "may be a credit note's or a payment on account's"
    return None


def _of_row(document: SageDocument, row: Settlement, on: date) -> list[ReceiptShare]:
    source = row.receipt_id or row.allocation_id
    amount = row.amount if row.receipt_id else abs(row.amount)
    shares = [ReceiptShare(source, document.id, on, amount, row.reference)]
    if row.discount:
        shares.append(
            ReceiptShare(source, document.id, on, row.discount, row.reference, is_discount=True)
        )
    return shares


# --- markers and notes


def as_own(payment: Payment, marker: str) -> OwnPayment:
    """A payment known by its marker alone; its reference is what psage's line in the note says."""
    for line in payment.note.splitlines():
        if line.startswith(_OUR_LINE):
            reference = line.removeprefix(_OUR_LINE).strip()
            return OwnPayment(marker, payment.invoice_id, payment.id, reference)
    return OwnPayment(marker, payment.invoice_id, payment.id, "")


def note_of(share: ReceiptShare) -> str:
    """The note of a new payment: the receipt's reference for people, the marker for psage."""
    return f"{_line(share.reference)}\n{share.marker}"


def _renewed(note: str, before: str, share: ReceiptShare) -> str:
    """A note with the new reference; what people wrote into it stays."""
    lines = note.splitlines()
    old, new = _line(before), _line(share.reference)
    if old in lines:
        lines[lines.index(old)] = new
    elif new not in lines:  # it is there where the answer to an earlier try was lost
        lines.insert(0, new)
    if markers.in_note(note) != share.marker:
        lines.append(share.marker)
    return "\n".join(lines)


def _line(reference: str) -> str:
    return f"{_OUR_LINE} {' '.join(reference.split())}".strip()


# --- proofs and sums


def says_no_more(document: SageDocument, one: OwnPayment) -> bool:
    """Whether a complete document positively names the source, but for nothing.

    So a share that was edited to zero, or a discount that was taken back, is proof by itself.
    """
    rows = [r for r in document.settlements or () if one.source_id == r.receipt_id]
    parts = [row.discount if one.is_discount else row.amount for row in rows]
    return bool(rows) and sum(parts) == 0


def amount(rows: Iterable[Payment | ReceiptShare]) -> Decimal:
    """What some shares or payments come to."""
    return sum((one.amount for one in rows), money.ZERO)


# --- a share and its payment


def figures(payment: Payment, share: ReceiptShare) -> dict[str, Any]:
    """What of the amount and the days of a payment is not the share's."""
    wanted: dict[str, Any] = {
        "amount": share.amount,
        "paid_on": None if share.is_discount else share.on,
        "written_off_on": share.on if share.is_discount else None,
    }
    return {name: value for name, value in wanted.items() if getattr(payment, name) != value}


def changes_of(payment: Payment, share: ReceiptShare, one: OwnPayment) -> dict[str, Any]:
    """What of psage's own payment is to become the share's."""
    changes = figures(payment, share)
    if " ".join(share.reference.split()) != " ".join(one.reference.split()):
        changes["note"] = _renewed(payment.note, one.reference, share)
    return changes
