"""What is to be done to Productive's payments of one invoice.

Pure: no input or output, no clock.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import Any, TypeVar

from productive_sage import markers, money
from productive_sage.errors import AnswerIncomplete
from productive_sage.models import (
    Balance,
    Finding,
    OwnPayment,
    Payment,
    ReceiptShare,
    SageDocument,
)
from productive_sage.payments import findings
from productive_sage.payments.shares import amount, as_mirrored, changes_of, figures, is_credit

_FEW = 10
"""Among so many amounts at most a sum is no accident, and quickly found."""
_Row = TypeVar("_Row", Payment, ReceiptShare)


@dataclass(slots=True)
class Steps:
    """What is to be done to the payments of one invoice; removals still need their proof."""

    creates: list[ReceiptShare] = field(default_factory=list)
    changes: list[tuple[Payment, ReceiptShare, dict[str, Any]]] = field(default_factory=list)
    removes: list[tuple[Payment, OwnPayment]] = field(default_factory=list)
    vanished: list[tuple[ReceiptShare | None, OwnPayment]] = field(default_factory=list)
    """Payments the store knows and Productive's list does not show, with what they stood for."""
    found: list[OwnPayment] = field(default_factory=list)
    """Payments known by their marker alone, to be recorded."""
    by_hand: list[Payment] = field(default_factory=list)
    moved: list[Payment] = field(default_factory=list)
    """Those of `by_hand` that psage wrote for another invoice, where that is said."""
    findings: list[Finding] = field(default_factory=list)
    discounts: list[ReceiptShare] = field(default_factory=list)
    """Settlement discounts that the settings do not make write-offs."""
    mirrored: dict[str, Payment] = field(default_factory=dict)
    """The payments of those that have one, be it as it should be or not, by marker."""
    older: list[ReceiptShare] = field(default_factory=list)
    """Those of a day before the sync begins."""


def plan(
    shares: Sequence[ReceiptShare],
    payments: Sequence[Payment],
    mirrored: Sequence[OwnPayment],
    *,
    copies: Collection[str],
    sent: Collection[str],
    begin: date,
    write_off: bool,
) -> Steps:
    """Compare what Sage says with what Productive holds.

    `mirrored` is what the store knows of the invoice; it comes first, since people edit notes, and
    copy payments with them. A marker in a note alone makes a payment psage's own only for one of
    the invoice's own `copies` (Sage ids), where no other payment is known for it, and where it was
    `sent` and never answered for, or stands for just what Sage says. `begin` limits new payments
    alone: psage's own are followed, back before it too. `write_off` makes settlement discounts
    write-offs; one that was written before is kept right in any case. Attributes of changes are
    `amount` (a `Decimal`), `paid_on`, `written_off_on` (dates or None) and `note`.
    """
    steps = Steps()
    due = {share.marker: share for share in shares}
    taken = {one.marker for one in mirrored}

    def is_ours(payment: Payment, marker: str) -> bool:
        if marker in taken or as_mirrored(payment, marker).sage_id not in copies:
            return False
        return marker in sent or (marker in due and not figures(payment, due[marker]))

    ours = _ours(payments, mirrored, is_ours, steps)
    vanished = {one.marker: one for one in mirrored if one.marker not in ours}
    for share in shares:
        if share.marker in ours:
            payment, one = ours.pop(share.marker)
            steps.mirrored[share.marker] = payment
            if changes := changes_of(payment, share, one):
                steps.changes.append((payment, share, changes))
        elif share.on < begin:
            steps.older.append(share)
        elif share.marker in vanished:
            steps.vanished.append((share, vanished.pop(share.marker)))
        elif share.is_discount and not write_off:
            steps.discounts.append(share)
        else:
            steps.creates.append(share)
    steps.vanished += [(None, one) for one in vanished.values()]
    steps.removes = [*ours.values()]
    return steps


def _ours(
    payments: Sequence[Payment],
    mirrored: Sequence[OwnPayment],
    is_ours: Callable[[Payment, str], bool],
    steps: Steps,
) -> dict[str, tuple[Payment, OwnPayment]]:
    """Our own payments by marker; says in `steps` which are found, or a person's."""
    known = {one.payment_id: one for one in mirrored}
    ours: dict[str, tuple[Payment, OwnPayment]] = {}
    for payment in payments:
        marker = markers.in_note(payment.note)
        if payment.id in known:
            ours[known[payment.id].marker] = payment, known[payment.id]
        elif marker and marker not in ours and is_ours(payment, marker):
            ours[marker] = payment, as_mirrored(payment, marker)
            steps.found.append(ours[marker][1])
        else:
            steps.by_hand.append(payment)
    return ours


# --- what Productive can take, and where the two sides disagree


def weigh(
    steps: Steps,
    document: SageDocument,
    wanted: Sequence[ReceiptShare],
    payments: Sequence[Payment],
    balance: Balance,
) -> None:
    """Keep of the steps what Productive can take without being paid twice; say what is not kept.

    `document` is the copy, settled by the shares `wanted`; `payments` and `balance` are what
    Productive says of its invoice. Raises AnswerIncomplete where these two contradict each other.
    """
    if balance.currency != document.currency:
        steps.creates, steps.changes = [], []
        steps.findings.append(findings.other_currency(document, balance))
        return
    listed, settled = amount(payments), balance.paid + balance.written_off
    if listed < settled:
        raise AnswerIncomplete(
            f"Productive says {money.said(settled, balance.currency)} are paid, but lists payments "
            f"of {money.said(listed, balance.currency)}",
            hint="the next run tries again",
        )
    stands_for_growth = _hold_back_changes(steps, document)
    free = balance.unpaid + amount(payment for payment, _ in steps.removes)
    free -= sum((share.amount - payment.amount for payment, share, _ in steps.changes), money.ZERO)
    unwritten = [*steps.older, *steps.creates, *steps.discounts]
    by_hand = paid_by_hand(steps, wanted)
    held = _hold_back_creates(steps, by_hand, free, document)
    free -= amount(steps.creates)
    steps.findings += [
        findings.granted(share, document)
        for share in steps.discounts
        if share.marker not in by_hand
    ]
    paid = listed + balance.unpaid - free
    is_overpaid = free < 0 and bool(steps.creates or steps.changes or paid > balance.total)
    if is_overpaid:
        steps.findings.append(findings.overpaid(document, balance, -free))
    open_in_sage = document.outstanding or money.ZERO
    if document.status == "VOID" or document.is_draft:
        return
    covered = [
        share
        for share in wanted
        if share.marker in steps.mirrored or share in steps.creates or share.marker in by_hand
    ]
    if not open_in_sage and (left := free - _said_already(document, covered)) > 0:
        steps.findings.append(findings.still_open(document, balance, left))
    used = {one.id for share in unwritten for one in by_hand.get(share.marker, ())}
    used |= {one.id for one in stands_for_growth}
    alone = [one for one in steps.by_hand if one.id not in used and one not in steps.moved]
    twins = [one for one in alone if markers.in_note(one.note) in steps.mirrored]
    steps.findings += [
        findings.doubled(steps.mirrored[markers.in_note(one.note) or ""], one) for one in twins
    ]
    alone = [one for one in alone if one not in twins]
    if held or open_in_sage <= 0:
        return
    was_received = any(one.written_off_on is None for one in alone)
    if amount(alone) > 0 and (was_received or open_in_sage > free):
        steps.findings.append(findings.no_receipt(document, alone))
    elif free <= 0 and not twins and not is_overpaid and not steps.moved:
        removed = [one for one, _ in steps.removes]
        known = (*steps.mirrored.values(), *removed, *steps.by_hand)
        if any(one not in known for one in payments):
            return  # paid for something else in Sage, which is told elsewhere
        steps.findings.append(findings.open_in_sage(document, balance))


def _hold_back_changes(steps: Steps, document: SageDocument) -> list[Payment]:
    """Drop the changes that a person may have entered as payments of their own; gives these."""
    found: list[Payment] = []
    for change in list(steps.changes):
        payment, share, _ = change
        grown = share.amount - payment.amount
        parts = adding_up(steps.by_hand, grown) if grown > 0 else ()
        if parts:
            found += parts
            steps.changes.remove(change)
            more = money.said(grown, document.currency)
            said = f"the {more} by which its receipt grew is not added, since {findings.ids(parts)}"
            steps.findings.append(
                Finding("paid_in_productive", f"{said} may be the same", findings.either(parts))
            )
    return found


def _hold_back_creates(
    steps: Steps, by_hand: Mapping[str, Sequence[Payment]], free: Decimal, document: SageDocument
) -> list[ReceiptShare]:
    """Drop the new payments that people may have entered; gives those nobody knows a match for."""
    kept: list[ReceiptShare] = []
    held: list[ReceiptShare] = []
    for share in steps.creates:
        same = by_hand.get(share.marker, ())
        if not same and not (steps.by_hand and share.amount > free):
            kept.append(share)
            free -= share.amount
            continue
        if not same:
            held.append(share)
        steps.findings.append(
            Finding(
                "paid_in_productive",
                f"the receipt of {money.said(share.amount, document.currency)} on {share.on} in "
                f"Sage is not copied, since {findings.ids(same or steps.by_hand)} may be the same",
                findings.either(same or steps.by_hand),
            )
        )
    steps.creates = kept
    return held


def _said_already(document: SageDocument, covered: Sequence[ReceiptShare]) -> Decimal:
    """What settles the copy without a payment in Productive, for a reason that is told elsewhere.

    Credit notes are not in it: Productive has its own.
    """
    rows = document.settlements or ()
    credited = sum((row.settled for row in rows if is_credit(row)), money.ZERO)
    return document.total - (document.outstanding or money.ZERO) - credited - amount(covered)


# --- what people entered


def paid_by_hand(steps: Steps, wanted: Sequence[ReceiptShare]) -> dict[str, tuple[Payment, ...]]:
    """The payments of people that may stand for a share psage has not written, by its marker.

    One that carries its marker; else one for one of the same amount, best of the same day, after
    those of earlier days had their turn; else a share that is the sum of some payments, or shares
    whose sum is one payment.
    """
    left, found = list(steps.by_hand), dict[str, tuple[Payment, ...]]()
    for share in (*steps.older, *steps.creates, *steps.discounts):
        if twin := next((one for one in left if markers.in_note(one.note) == share.marker), None):
            found[share.marker] = (twin,)
            left.remove(twin)
    for shares, on_the_day in (
        (steps.older, True),
        (steps.older, False),
        (steps.creates, True),
        (steps.creates, False),
        (steps.discounts, False),
    ):
        for share in shares:
            same = [
                one
                for one in left
                if one.amount == share.amount
                and (not on_the_day or share.on in (one.paid_on, one.written_off_on))
            ]
            if same and share.marker not in found:
                found[share.marker] = (same[0],)
                left.remove(same[0])
    for share in steps.creates:
        parts = adding_up(left, share.amount)
        if share.marker not in found and parts:
            found[share.marker] = parts
    for payment in left:
        together = adding_up([one for one in wanted if one not in steps.older], payment.amount)
        found |= {one.marker: (payment,) for one in together if one.marker not in found}
    return found


def adding_up(rows: Sequence[_Row], total: Decimal) -> tuple[_Row, ...]:
    """The fewest rows whose amounts add up to a total; none of a long list: that may be chance."""
    if len(rows) <= _FEW:
        for count in range(1, len(rows) + 1):
            for some in combinations(rows, count):
                if sum((one.amount for one in some), money.ZERO) == total:
                    return some
    return ()
