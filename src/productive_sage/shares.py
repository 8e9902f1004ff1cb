"""What Productive's payments of an invoice must be, by what Sage says settles its copy.

Pure: no input or output, no clock. `payments_allocations` of the copy is the truth: each receipt's
share is a payment, an allocation of a payment on account is one on its own day, that of a credit
note is none. A settlement discount settles the invoice but was never received.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import Any, TypeVar

from productive_sage import money
from productive_sage.models import Mirrored, Notice, Payment, SageDocument, Settlement, Share

_MARKER = re.compile(r"psage (\w+)/(\w+)( discount)?")
_OUR_LINE = "Sage receipt"
_FEW = 10
"""Among so many amounts at most a sum is no accident, and quickly found."""
_Row = TypeVar("_Row", Payment, Share)


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


def of(document: SageDocument) -> tuple[list[Share], list[Notice]]:
    """The shares that settle an invoice, and what of it cannot be told to be a payment or not.

    Several shares of one receipt are one.
    """
    found: dict[str, Share] = {}
    notices: list[Notice] = []
    for row in document.settlements or ():
        if row.allocation_id and not row.receipt_id and "credit_note" in row.artefact_path:
            continue
        unclear = _unclear(row) if row.on else ("settlement_unclear", "has no date")
        if row.on is None or unclear:
            code, why = unclear or ("", "")
            said = f"{money.said(row.amount, document.currency)} on {row.on}"
            notices.append(Notice(code, f"what Sage says of {said} is unclear: it {why}"))
            continue
        for share in _of_row(document, row, row.on):
            before = found.get(share.marker)
            amount = share.amount + (before.amount if before else money.ZERO)
            found[share.marker] = replace(share, amount=amount)
    return [share for share in found.values() if share.amount], notices


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


def _of_row(document: SageDocument, row: Settlement, on: date) -> list[Share]:
    source = row.receipt_id or row.allocation_id
    amount = row.amount if row.receipt_id else abs(row.amount)
    shares = [Share(source, document.id, on, amount, row.reference)]
    if row.discount:
        shares.append(Share(source, document.id, on, row.discount, row.reference, is_discount=True))
    return shares


# --- markers and notes


def marked(note: str) -> str | None:
    """The marker in a payment's note, or None; people add to notes, before and behind."""
    for line in note.splitlines():
        if found := _MARKER.fullmatch(line.strip()):
            return found[0]
    return None


def as_mirrored(payment: Payment, marker: str) -> Mirrored:
    """A payment known by its marker alone; its reference is what psage's line in the note says."""
    for line in payment.note.splitlines():
        if line.startswith(_OUR_LINE):
            reference = line.removeprefix(_OUR_LINE).strip()
            return Mirrored(marker, payment.invoice_id, payment.id, reference)
    return Mirrored(marker, payment.invoice_id, payment.id, "")


def note_of(share: Share) -> str:
    """The note of a new payment: the receipt's reference for people, the marker for psage."""
    return f"{_line(share.reference)}\n{share.marker}"


def _renewed(note: str, before: str, share: Share) -> str:
    """A note with the new reference; what people wrote into it stays."""
    lines = note.splitlines()
    old, new = _line(before), _line(share.reference)
    if old in lines:
        lines[lines.index(old)] = new
    elif new not in lines:  # it is there where the answer to an earlier try was lost
        lines.insert(0, new)
    if marked(note) != share.marker:
        lines.append(share.marker)
    return "\n".join(lines)


def _line(reference: str) -> str:
    return f"{_OUR_LINE} {' '.join(reference.split())}".strip()


# --- the plan of one invoice


@dataclass(slots=True)
class Steps:
    """What is to be done to the payments of one invoice; removals still need their proof."""

    creates: list[Share] = field(default_factory=list)
    changes: list[tuple[Payment, Share, dict[str, Any]]] = field(default_factory=list)
    removes: list[tuple[Payment, Mirrored]] = field(default_factory=list)
    vanished: list[tuple[Share | None, Mirrored]] = field(default_factory=list)
    """Payments the ledger knows and Productive's list does not show, with what they stood for."""
    found: list[Mirrored] = field(default_factory=list)
    """Payments known by their marker alone, to be recorded."""
    by_hand: list[Payment] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    older: list[Share] = field(default_factory=list)
    """Those of a day before the sync begins."""


def plan(
    shares: Sequence[Share],
    payments: Sequence[Payment],
    mirrored: Sequence[Mirrored],
    *,
    copies: Collection[str],
    currency: str,
    begin: date,
    write_off: bool,
) -> Steps:
    """Compare what Sage says with what Productive holds.

    `mirrored` is what the ledger knows of the invoice; it comes first, since people edit notes. A
    marker in a note counts for the invoice's own `copies` (Sage ids): people copy payments, too.
    `write_off` makes settlement discounts write-offs; one that was written before is kept right in
    any case. Attributes of changes are `amount` (a `Decimal`), `paid_on`, `written_off_on` (dates
    or None) and `note`.
    """
    steps = Steps()
    ours = _ours(payments, mirrored, copies, steps)
    vanished = {one.marker: one for one in mirrored if one.marker not in ours}
    for share in shares:
        is_earlier = share.marker not in ours or _is_before(ours[share.marker][0], begin)
        if share.on < begin and is_earlier:
            steps.older.append(share)
            ours.pop(share.marker, None)
        elif share.marker in ours:
            payment, one = ours.pop(share.marker)
            if changes := _changes(payment, share, one):
                steps.changes.append((payment, share, changes))
        elif share.marker in vanished:
            steps.vanished.append((share, vanished.pop(share.marker)))
        elif share.is_discount and not write_off:
            steps.notices.append(
                Notice(
                    "settlement_discount",
                    f"a settlement discount of {money.said(share.amount, currency)} was granted on "
                    f"{share.on}; it is no payment, and the settings do not make it a write-off",
                )
            )
        else:
            steps.creates.append(share)
    steps.vanished += [(None, one) for one in vanished.values()]
    steps.removes = [pair for pair in ours.values() if not _is_before(pair[0], begin)]
    return steps


def _ours(
    payments: Sequence[Payment], mirrored: Sequence[Mirrored], copies: Collection[str], steps: Steps
) -> dict[str, tuple[Payment, Mirrored]]:
    """Our own payments by marker; says in `steps` which are a person's, found, or doubled."""
    known = {one.payment_id: one for one in mirrored}
    ours: dict[str, tuple[Payment, Mirrored]] = {}
    # Of two with one marker the one the ledger knows comes first, then the older.
    for payment in sorted(payments, key=lambda one: one.id not in known):
        marker = known[payment.id].marker if payment.id in known else marked(payment.note)
        one = Mirrored(marker or "", payment.invoice_id, payment.id, "")
        if marker is None or (payment.id not in known and one.sage_id not in copies):
            steps.by_hand.append(payment)
        elif marker in ours:
            steps.notices.append(
                Notice(
                    "doubled",
                    f"the payments {ours[marker][0].id} and {payment.id} in Productive stand for "
                    f"the same receipt; look at them, and remove {payment.id} there",
                )
            )
        else:
            ours[marker] = payment, known.get(payment.id) or as_mirrored(payment, marker)
    steps.found = [one for payment, one in ours.values() if payment.id not in known]
    return ours


def _is_before(payment: Payment, begin: date) -> bool:
    on = payment.written_off_on or payment.paid_on
    return on is not None and on < begin


def _changes(payment: Payment, share: Share, one: Mirrored) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "amount": share.amount,
        "paid_on": None if share.is_discount else share.on,
        "written_off_on": share.on if share.is_discount else None,
    }
    changes = {name: value for name, value in wanted.items() if getattr(payment, name) != value}
    if " ".join(share.reference.split()) != " ".join(one.reference.split()):
        changes["note"] = _renewed(payment.note, one.reference, share)
    return changes


def paid_by_hand(steps: Steps, wanted: Sequence[Share]) -> dict[str, str]:
    """The new shares that a person may have entered already: the payments' ids, by marker.

    One for one of the same amount, best of the same day, after those of earlier days had their
    turn; else a share that is the sum of some payments, or shares whose sum is one payment.
    """
    left, found = list(steps.by_hand), dict[str, str]()
    for shares, on_the_day in (
        (steps.older, True),
        (steps.older, False),
        (steps.creates, True),
        (steps.creates, False),
    ):
        for share in shares:
            same = [
                one
                for one in left
                if one.amount == share.amount
                and (not on_the_day or share.on in (one.paid_on, one.written_off_on))
            ]
            if same and share.marker not in found:
                found[share.marker] = same[0].id
                left.remove(same[0])
    for share in steps.creates:
        parts = adding_up(left, share.amount)
        if share.marker not in found and parts:
            found[share.marker] = ", ".join(one.id for one in parts)
    for payment in left:
        together = adding_up([one for one in wanted if one not in steps.older], payment.amount)
        found |= {one.marker: payment.id for one in together if one.marker not in found}
    return found


def adding_up(rows: Sequence[_Row], total: Decimal) -> tuple[_Row, ...]:
    """The fewest rows whose amounts add up to a total; none of a long list: that may be chance."""
    if len(rows) <= _FEW:
        for count in range(1, len(rows) + 1):
            for some in combinations(rows, count):
                if sum((one.amount for one in some), money.ZERO) == total:
                    return some
    return ()


def says_no_more(document: SageDocument, one: Mirrored) -> bool:
    """Whether a complete document positively names the source, but for nothing.

    So a share that was edited to zero, or a discount that was taken back, is proof by itself.
    """
    rows = [r for r in document.settlements or () if one.source_id == r.receipt_id]
    parts = [row.discount if one.is_discount else row.amount for row in rows]
    return bool(rows) and sum(parts) == 0
