"""The plan of one invoice's payments: a value, made once, of what both services say. Pure.

It takes what `match` found, what the services answered of that, and Productive's balance. A dry
run shows what the plan says, a real run does it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from productive_sage import markers, money, naming
from productive_sage.errors import AnswerIncomplete, NotFound, PsageError
from productive_sage.kept import Finding, OwnPayment
from productive_sage.payments import findings
from productive_sage.payments.match import Correction, Matched, Surplus, adding_up, paid_by_hand
from productive_sage.payments.records import ReceiptShare
from productive_sage.payments.shares import amount, is_credit
from productive_sage.productive.records import Balance, Payment
from productive_sage.sage.records import SageDocument


@dataclass(frozen=True, slots=True)
class Proofs:
    """What the services and psage's records say of what `match` leaves in doubt."""

    gone: frozenset[str] = frozenset()
    """The markers of lost payments that Productive says it does not have."""
    moved_away: tuple[str, ...] = ()
    """The ids of lost payments that are on another invoice now."""
    moved_here: frozenset[str] = frozenset()
    """The ids of payments by hand that psage wrote for another invoice."""
    not_received: frozenset[str] = frozenset()
    """The markers of surplus payments whose receipt Sage positively says is gone."""


@dataclass(frozen=True, slots=True)
class PaymentPlan:
    """All that is to be done about one invoice, in this order, and what is to be said of it."""

    records: tuple[OwnPayment, ...] = ()
    """Own payments to be recorded; an open intent of theirs is done."""
    forgets: tuple[str, ...] = ()
    """The markers of own payments that are gone."""
    lapses: tuple[str, ...] = ()
    """The markers of payments that were sent and never arrived."""
    removes: tuple[Surplus, ...] = ()
    corrections: tuple[Correction, ...] = ()
    creates: tuple[ReceiptShare, ...] = ()
    findings: tuple[Finding, ...] = ()
    problem: PsageError | None = None
    """Why nothing may be done; what is found stands all the same."""


def decide(
    matched: Matched,
    proofs: Proofs,
    balance: Balance | None,
    *,
    document: SageDocument | None,
    productive_id: str,
    sage_number: str,
    deleted_on: date | None,
    sent: Collection[str],
) -> PaymentPlan:
    """Decide all that is to be done about one invoice.

    `balance` is None where Productive does not show the invoice, which was `deleted_on` a day or
    may only be out of sight; `document` is the copy, None where Sage has deleted it. `sent` are the
    markers of payments of an earlier run that were never answered for.
    """
    begun = _begun(matched, proofs, sent)
    if not deleted_on and (document is None or document.status == "VOID"):
        name = naming.to_type(balance.number if balance else "", productive_id)
        begun = _saying(begun, findings.copy_gone(name, was_deleted=document is None))
    if document is None:
        return begun
    creates = (
        *matched.missing,
        *(one.share for one in matched.lost if one.share and one.own.marker in proofs.gone),
    )
    if balance and not deleted_on:
        return _weighed(begun, matched, proofs, creates, document, balance)
    if not (creates or matched.corrections or sent):
        if document.status == "VOID" or not document.outstanding:
            return begun
        return _saying(begun, findings.no_invoice(document, deleted_on))
    if deleted_on is None:  # which proves nothing: the next run looks again
        problem = NotFound(
            "Productive does not show it, so its payments in Sage have no place there",
            hint="see whether the token may see the invoice, or whether it was deleted",
        )
        return replace(begun, problem=problem)
    return _saying(begun, findings.no_place(document, sage_number, deleted_on))


def undecided(matched: Matched, proofs: Proofs) -> PaymentPlan:
    """What is known of an invoice that failed before its balance was; it is said, nothing done."""
    return _begun(matched, proofs, ())


def _begun(matched: Matched, proofs: Proofs, sent: Collection[str]) -> PaymentPlan:
    """What does not depend on the balance."""
    copied = {markers.in_note(payment.note) for payment in matched.by_hand}
    arrived = {one.marker for one in matched.found}
    return PaymentPlan(
        records=matched.found,
        # Without its record a person's copy of a payment would pass for psage's own.
        forgets=tuple(
            one.own.marker
            for one in matched.lost
            if one.own.marker in proofs.gone and (not one.share or one.own.marker not in copied)
        ),
        lapses=tuple(marker for marker in sent if marker not in arrived),
        removes=tuple(one for one in matched.surplus if one.own.marker in proofs.not_received),
        findings=(*matched.unclear, *map(findings.moved_away, proofs.moved_away)),
    )


def _saying(begun: PaymentPlan, *said: Finding) -> PaymentPlan:
    return replace(begun, findings=(*begun.findings, *said))


# --- what Productive can take without being paid twice


@dataclass(frozen=True, slots=True)
class _Kept:
    """The steps that Productive can take, and what it has due after them."""

    creates: tuple[ReceiptShare, ...]
    corrections: tuple[Correction, ...]
    free: Decimal
    """Negative where more is paid than Productive has due."""
    by_hand: Mapping[str, tuple[Payment, ...]]
    """The payments of people that may stand for a share without one, by its marker."""
    explained: frozenset[str]
    """The ids of people's payments that may stand for something in Sage."""
    is_held: bool
    """Whether a share is held back that no payment of people is known to stand for."""
    findings: tuple[Finding, ...]


def _weighed(
    begun: PaymentPlan,
    matched: Matched,
    proofs: Proofs,
    creates: Sequence[ReceiptShare],
    document: SageDocument,
    balance: Balance,
) -> PaymentPlan:
    """The plan with the steps that Productive can take; what is not kept is said."""
    if balance.currency != document.currency:
        return _saying(begun, findings.other_currency(document, balance))
    listed, settled = amount(matched.payments), balance.paid + balance.written_off
    if listed < settled:
        problem = AnswerIncomplete(
            f"Productive says {money.said(settled, balance.currency)} are paid, but lists payments "
            f"of {money.said(listed, balance.currency)}",
            hint="the next run tries again",
        )
        return replace(begun, problem=problem)
    free = balance.unpaid + amount(one.payment for one in begun.removes)
    kept = _kept(matched, creates, free, document)
    planned = replace(begun, creates=kept.creates, corrections=kept.corrections)
    disagreements = _disagreements(planned, kept, matched, proofs, document, balance)
    return _saying(planned, *kept.findings, *disagreements)


def _kept(
    matched: Matched, creates: Sequence[ReceiptShare], free: Decimal, document: SageDocument
) -> _Kept:
    """What people may have entered as payments of their own is not written beside them."""
    said: list[Finding] = []
    corrections: list[Correction] = []
    grown: list[Payment] = []
    for one in matched.corrections:
        parts = adding_up(matched.by_hand, one.growth) if one.growth > 0 else ()
        if parts:
            grown += parts
            said.append(findings.growth_held(one.growth, document, parts))
        else:
            corrections.append(one)
    free -= sum((one.growth for one in corrections), money.ZERO)
    by_hand = paid_by_hand(matched, creates)
    kept: list[ReceiptShare] = []
    is_held = False
    for share in sorted(creates, key=lambda one: one.amount > 0):  # what is paid back makes room
        same = by_hand.get(share.marker, ())
        if same or (matched.by_hand and share.amount > free):
            is_held = is_held or not same
            said.append(findings.receipt_held(share, document, same or matched.by_hand))
        else:
            kept.append(share)
            free -= share.amount
    granted = [share for share in matched.discounts if share.marker not in by_hand]
    unwritten = (*matched.left_alone, *creates, *matched.discounts)
    explained = {one.id for share in unwritten for one in by_hand.get(share.marker, ())}
    return _Kept(
        creates=tuple(share for share in creates if share in kept),
        corrections=tuple(corrections),
        free=free,
        by_hand=by_hand,
        explained=frozenset(explained | {one.id for one in grown}),
        is_held=is_held,
        findings=(*said, *(findings.granted(share, document) for share in granted)),
    )


# --- where the two sides disagree


def _disagreements(
    planned: PaymentPlan,
    kept: _Kept,
    matched: Matched,
    proofs: Proofs,
    document: SageDocument,
    balance: Balance,
) -> Iterator[Finding]:
    """What stays different after the plan is done, and is not told elsewhere."""
    open_in_sage, free = document.outstanding or money.ZERO, kept.free
    paid = amount(matched.payments) + balance.unpaid - free
    is_overpaid = free < 0 and bool(kept.creates or kept.corrections or paid > balance.total)
    if is_overpaid:
        yield findings.overpaid(document, balance, -free)
    if document.status == "VOID" or document.is_draft:
        return
    if not open_in_sage and (left := free - _said_already(matched, kept, document)) > 0:
        yield findings.still_open(document, balance, left)
    alone = [
        one
        for one in matched.by_hand
        if one.id not in kept.explained and one.id not in proofs.moved_here
    ]
    doubled = [one for one in alone if markers.in_note(one.note) in matched.paid]
    for one in doubled:
        yield findings.doubled(matched.paid[markers.in_note(one.note) or ""], one)
    alone = [one for one in alone if one not in doubled]
    if kept.is_held or open_in_sage <= 0:
        return
    was_received = any(one.written_off_on is None for one in alone)
    if amount(alone) > 0 and (was_received or open_in_sage > free):
        yield findings.no_receipt(document, alone)
    elif free <= 0 and not doubled and not is_overpaid and not proofs.moved_here:
        removed = [one.payment for one in planned.removes]
        known = (*matched.paid.values(), *removed, *matched.by_hand)
        if all(one in known for one in matched.payments):  # else told elsewhere
            yield findings.open_in_sage(document, balance)


def _said_already(matched: Matched, kept: _Kept, document: SageDocument) -> Decimal:
    """What settles the copy without a payment in Productive, for a reason that is told elsewhere.

    Credit notes are not in it: Productive has its own.
    """
    rows = document.settlements or ()
    credited = sum((row.settled for row in rows if is_credit(row)), money.ZERO)
    covered = amount(
        share
        for share in matched.wanted
        if share.marker in matched.paid or share in kept.creates or share.marker in kept.by_hand
    )
    return document.total - (document.outstanding or money.ZERO) - credited - covered
