"""What Productive's payments of an invoice must be, by what Sage says settles its copy.

Pure: no input or output, no clock. `payments_allocations` of the copy is the truth: each receipt's
share is a payment, an allocation of a payment on account is one on its own day, that of a credit
note is none. A settlement discount settles the invoice but was never received.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    Settlement,
)

_OUR_LINE = "Sage receipt"
_FEW = 10
"""Among so many amounts at most a sum is no accident, and quickly found."""
_Row = TypeVar("_Row", Payment, ReceiptShare)


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


def as_mirrored(payment: Payment, marker: str) -> OwnPayment:
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


# --- the plan of one invoice


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
        return marker in sent or (marker in due and not _figures(payment, due[marker]))

    ours = _ours(payments, mirrored, is_ours, steps)
    vanished = {one.marker: one for one in mirrored if one.marker not in ours}
    for share in shares:
        if share.marker in ours:
            payment, one = ours.pop(share.marker)
            steps.mirrored[share.marker] = payment
            if changes := _changes(payment, share, one):
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


def _figures(payment: Payment, share: ReceiptShare) -> dict[str, Any]:
    """What of the amount and the days of a payment is not the share's."""
    wanted: dict[str, Any] = {
        "amount": share.amount,
        "paid_on": None if share.is_discount else share.on,
        "written_off_on": share.on if share.is_discount else None,
    }
    return {name: value for name, value in wanted.items() if getattr(payment, name) != value}


def _changes(payment: Payment, share: ReceiptShare, one: OwnPayment) -> dict[str, Any]:
    changes = _figures(payment, share)
    if " ".join(share.reference.split()) != " ".join(one.reference.split()):
        changes["note"] = _renewed(payment.note, one.reference, share)
    return changes


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
        steps.findings.append(_other_currency(document, balance))
        return
    listed, settled = _sum(payments), balance.paid + balance.written_off
    if listed < settled:
        raise AnswerIncomplete(
            f"Productive says {money.said(settled, balance.currency)} are paid, but lists payments "
            f"of {money.said(listed, balance.currency)}",
            hint="the next run tries again",
        )
    stands_for_growth = _hold_back_changes(steps, document)
    free = balance.unpaid + _sum(payment for payment, _ in steps.removes)
    free -= sum((share.amount - payment.amount for payment, share, _ in steps.changes), money.ZERO)
    unwritten = [*steps.older, *steps.creates, *steps.discounts]
    by_hand = paid_by_hand(steps, wanted)
    held = _hold_back_creates(steps, by_hand, free, document)
    free -= _sum(steps.creates)
    steps.findings += [
        _granted(share, document) for share in steps.discounts if share.marker not in by_hand
    ]
    paid = listed + balance.unpaid - free
    is_overpaid = free < 0 and bool(steps.creates or steps.changes or paid > balance.total)
    if is_overpaid:
        steps.findings.append(_overpaid(document, balance, -free))
    open_in_sage = document.outstanding or money.ZERO
    if document.status == "VOID" or document.is_draft:
        return
    covered = [
        share
        for share in wanted
        if share.marker in steps.mirrored or share in steps.creates or share.marker in by_hand
    ]
    if not open_in_sage and (left := free - _said_already(document, covered)) > 0:
        steps.findings.append(_still_open(document, balance, left))
    used = {one.id for share in unwritten for one in by_hand.get(share.marker, ())}
    used |= {one.id for one in stands_for_growth}
    alone = [one for one in steps.by_hand if one.id not in used and one not in steps.moved]
    twins = [one for one in alone if markers.in_note(one.note) in steps.mirrored]
    steps.findings += [
        _doubled(steps.mirrored[markers.in_note(one.note) or ""], one) for one in twins
    ]
    alone = [one for one in alone if one not in twins]
    if held or open_in_sage <= 0:
        return
    was_received = any(one.written_off_on is None for one in alone)
    if _sum(alone) > 0 and (was_received or open_in_sage > free):
        steps.findings.append(_no_receipt(document, alone))
    elif free <= 0 and not twins and not is_overpaid and not steps.moved:
        removed = [one for one, _ in steps.removes]
        known = (*steps.mirrored.values(), *removed, *steps.by_hand)
        if any(one not in known for one in payments):
            return  # paid for something else in Sage, which is told elsewhere
        steps.findings.append(_open_in_sage(document, balance))


def _sum(rows: Iterable[Payment | ReceiptShare]) -> Decimal:
    return sum((one.amount for one in rows), money.ZERO)


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
            said = f"the {more} by which its receipt grew is not added, since {_ids(parts)}"
            steps.findings.append(
                Finding("paid_in_productive", f"{said} may be the same", _either(parts))
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
                f"Sage is not copied, since {_ids(same or steps.by_hand)} may be the same",
                _either(same or steps.by_hand),
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
    return document.total - (document.outstanding or money.ZERO) - credited - _sum(covered)


def _ids(payments: Sequence[Payment]) -> str:
    return "payment " + ", ".join(one.id for one in payments) + " in Productive"


# --- what waits for a person


def _either(payments: Sequence[Payment]) -> str:
    return (
        f"remove {_ids(payments)}, and the next run copies the receipt; if it is the same and "
        "shall stay, there is nothing to do"
    )


def _other_currency(document: SageDocument, balance: Balance) -> Finding:
    return Finding(
        "currency_differs",
        f"it is in {balance.currency} in Productive, its copy in {document.currency}; no payment "
        "is copied",
        f"put the currency right in Productive; or void {document.number} in Sage, and run `psage "
        f"copy-invoice {balance.invoice_id} --create-new`",
    )


def _granted(share: ReceiptShare, document: SageDocument) -> Finding:
    amount = money.said(share.amount, document.currency)
    return Finding(
        "settlement_discount",
        f"a settlement discount of {amount} was granted on {share.on}; it is no payment, and the "
        "settings do not make it a write-off",
        f"write the {amount} off in Productive, or have psage do so from now on: `psage configure "
        "--settlement-discount write_off`",
    )


def _overpaid(document: SageDocument, balance: Balance, amount: Decimal) -> Finding:
    said = f"what is paid is {money.said(amount, document.currency)} more than Productive has due"
    step = (
        "remove the payment in Productive that is one too many; or correct the receipt of "
        f"{document.number} in Sage"
    )
    if why := _other_total(document, balance):
        said, step = f"{said}: {why}", _same_total(document, balance)
    return Finding("overpaid", said, step)


def _other_total(document: SageDocument, balance: Balance) -> str:
    """Which figures of the two sides are not the same; empty where their totals are."""
    if balance.total == document.total:
        return ""
    name, asked, copied = "tax", balance.tax, document.tax
    if balance.net != document.net:
        name, asked, copied = "total", balance.total, document.total
    currency = document.currency
    return (
        f"the {name} is {money.said(asked, currency)} in Productive and "
        f"{money.said(copied, currency)} in Sage"
    )


def _same_total(document: SageDocument, balance: Balance) -> str:
    """How the two sides come to the same total."""
    return (
        "if Sage is right, give the invoice the same tax and amounts in Productive; if Productive "
        f"is, take its receipt off {document.number} in Sage, run `psage copy-invoice "
        f"{balance.invoice_id} --update-existing --tax-rate RATE`, and enter the receipt again"
    )


def _open_in_sage(document: SageDocument, balance: Balance) -> Finding:
    """Nothing is open in Productive, and Sage asks the customer for more."""
    left = money.said(document.outstanding or money.ZERO, document.currency)
    why = _other_total(document, balance)
    step = (
        "if it was credited in Productive, copy the credit note with `psage credit-note`; if "
        f"{left} are owed, open them in Productive; else credit {document.number} in Sage"
    )
    return Finding(
        "open_in_sage",
        f"nothing of it is open in Productive, but {left} of its copy are open in Sage"
        + (f": {why}" if why else ""),
        _same_total(document, balance) if why else step,
    )


def _still_open(document: SageDocument, balance: Balance, amount: Decimal) -> Finding:
    """The copy is paid, and Productive's invoice is not, as it asks for more."""
    left = money.said(amount, document.currency)
    why, step = _other_total(document, balance), f"write the {left} off in Productive"
    if not why:
        why, step = "what settles its copy there is no payment", f"credit the {left} in Productive"
    return Finding(
        "open_in_productive",
        f"its copy is paid in full in Sage, but {left} stay open in Productive: {why}",
        f"{step}, or enter there how they were paid; if the copy has to change, take its receipt "
        f"off {document.number} in Sage, run `psage copy-invoice {balance.invoice_id} "
        "--update-existing --tax-rate RATE`, and enter the receipt again",
    )


def _doubled(own: Payment, twin: Payment) -> Finding:
    return Finding(
        "doubled",
        f"the payments {own.id} and {twin.id} in Productive stand for the same receipt",
        f"look at both, and remove {twin.id} in Productive if it is one too many",
    )


def _no_receipt(document: SageDocument, payments: Sequence[Payment]) -> Finding:
    paid = money.said(_sum(payments), document.currency)
    left = money.said(document.outstanding or money.ZERO, document.currency)
    return Finding(
        "no_receipt_in_sage",
        f"{paid} are paid by hand in Productive ({_ids(payments)}), but Sage has no receipt for "
        f"them: {left} of its copy are open there",
        f"enter the receipt for {document.number} in Sage; or remove {_ids(payments)} if nothing "
        "was received",
    )


def no_invoice(document: SageDocument, gone: date | None) -> Finding:
    """Productive does not show the invoice of an open copy; `gone` is when it was deleted."""
    left = money.said(document.outstanding or money.ZERO, document.currency)
    if gone is None:
        return Finding(
            "not_found",
            f"Productive does not show it, but {left} of its copy are open in Sage",
            "see whether it was deleted in Productive, or whether the token may not see it; void "
            f"or credit {document.number} in Sage if it is not owed",
        )
    return Finding(
        "deleted_in_productive",
        f"it was deleted in Productive on {gone}, but {left} of its copy are open in Sage",
        f"void or credit {document.number} in Sage if it is not owed; else restore the invoice in "
        "Productive",
    )


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


def says_no_more(document: SageDocument, one: OwnPayment) -> bool:
    """Whether a complete document positively names the source, but for nothing.

    So a share that was edited to zero, or a discount that was taken back, is proof by itself.
    """
    rows = [r for r in document.settlements or () if one.source_id == r.receipt_id]
    parts = [row.discount if one.is_discount else row.amount for row in rows]
    return bool(rows) and sum(parts) == 0
