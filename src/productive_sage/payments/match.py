"""Which payment in Productive stands for which receipt share of Sage. Pure.

What stays in doubt (a payment that is not listed any more, one no receipt stands behind) is asked
of the services before `plan` decides.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import Any, TypeVar

from productive_sage import markers, money
from productive_sage.kept import Finding, OwnPayment
from productive_sage.payments.records import ReceiptShare
from productive_sage.payments.shares import as_own, changes_of, figures
from productive_sage.productive.records import Payment

_FEW = 10
"""Among so many amounts at most a sum is no accident, and quickly found."""
_Row = TypeVar("_Row", Payment, ReceiptShare)


@dataclass(frozen=True, slots=True)
class Correction:
    """An own payment that is not as its share is."""

    payment: Payment
    share: ReceiptShare
    values: Mapping[str, Any]
    """`amount` (a `Decimal`), `paid_on`, `written_off_on` (dates or None), `note`; of these what
    is to change."""

    @property
    def growth(self) -> Decimal:
        """By how much more is paid afterwards."""
        return self.share.amount - self.payment.amount


@dataclass(frozen=True, slots=True)
class Surplus:
    """An own payment that no share stands behind."""

    payment: Payment
    own: OwnPayment


@dataclass(frozen=True, slots=True)
class Lost:
    """An own payment that Productive's list does not show, and what it stood for."""

    share: ReceiptShare | None
    own: OwnPayment


@dataclass(frozen=True, slots=True)
class Matched:
    """The shares that settle a copy beside the payments of its invoice."""

    wanted: tuple[ReceiptShare, ...] = ()
    payments: tuple[Payment, ...] = ()
    """All of these, people's too."""
    paid: Mapping[str, Payment] = field(default_factory=dict)
    """The own payments of shares, be they as they should be or not, by marker."""
    corrections: tuple[Correction, ...] = ()
    missing: tuple[ReceiptShare, ...] = ()
    """Shares without a payment."""
    left_alone: tuple[ReceiptShare, ...] = ()
    """Those of a day before the sync begins."""
    discounts: tuple[ReceiptShare, ...] = ()
    """Settlement discounts that the settings do not make write-offs."""
    lost: tuple[Lost, ...] = ()
    surplus: tuple[Surplus, ...] = ()
    found: tuple[OwnPayment, ...] = ()
    """Own payments known by their marker alone, to be recorded."""
    by_hand: tuple[Payment, ...] = ()
    unclear: tuple[Finding, ...] = ()
    """What of the settlement cannot be told to be a payment or not."""


def match(
    wanted: Sequence[ReceiptShare],
    payments: Sequence[Payment],
    own: Sequence[OwnPayment],
    *,
    copies: Collection[str],
    sent: Collection[str],
    begin: date,
    write_off: bool,
    unclear: Sequence[Finding] = (),
) -> Matched:
    """Hold what Sage says beside what Productive holds.

    `own` is what the store knows of the invoice; it comes first, since people edit notes, and
    copy payments with them. A marker in a note alone makes a payment psage's own only for one of
    the invoice's own `copies` (Sage ids), where no other payment is known for it, and where it was
    `sent` and never answered for, or stands for just what Sage says. `begin` limits new payments
    alone: psage's own are followed, back before it too. `write_off` makes settlement discounts
    write-offs; one that was written before is kept right in any case.
    """
    due = {share.marker: share for share in wanted}
    ours, found, by_hand = _ours(payments, own, due, copies=copies, sent=sent)
    lost = {one.marker: one for one in own if one.marker not in ours}
    rows = _by_kind(wanted, ours, lost, begin=begin, write_off=write_off)
    corrections = (_correction(share, *ours[share.marker]) for share in rows["paid"])
    known_lost = [Lost(share, lost.pop(share.marker)) for share in rows["lost"]]
    return Matched(
        wanted=tuple(wanted),
        payments=tuple(payments),
        paid={share.marker: ours[share.marker][0] for share in rows["paid"]},
        corrections=tuple(one for one in corrections if one.values),
        missing=tuple(rows["missing"]),
        left_alone=tuple(rows["left alone"]),
        discounts=tuple(rows["discount"]),
        lost=(*known_lost, *(Lost(None, one) for one in lost.values())),
        surplus=tuple(Surplus(*pair) for marker, pair in ours.items() if marker not in due),
        found=tuple(found),
        by_hand=tuple(by_hand),
        unclear=tuple(unclear),
    )


def _ours(
    payments: Sequence[Payment],
    own: Sequence[OwnPayment],
    due: Mapping[str, ReceiptShare],
    *,
    copies: Collection[str],
    sent: Collection[str],
) -> tuple[dict[str, tuple[Payment, OwnPayment]], list[OwnPayment], list[Payment]]:
    """The own payments by marker, those of them to be recorded, and people's."""
    known = {one.payment_id: one for one in own}
    taken = {one.marker for one in own}
    ours: dict[str, tuple[Payment, OwnPayment]] = {}
    found: list[OwnPayment] = []
    by_hand: list[Payment] = []
    for payment in payments:
        marker = markers.in_note(payment.note) or ""
        one = as_own(payment, marker)
        is_free = marker and marker not in ours and marker not in taken
        if payment.id in known:
            ours[known[payment.id].marker] = payment, known[payment.id]
        elif is_free and one.sage_id in copies and (marker in sent or _is_just(payment, due)):
            ours[marker] = payment, one
            found.append(one)
        else:
            by_hand.append(payment)
    return ours, found, by_hand


def _is_just(payment: Payment, due: Mapping[str, ReceiptShare]) -> bool:
    """Whether a payment stands for just what Sage says of its marker."""
    share = due.get(markers.in_note(payment.note) or "")
    return share is not None and not figures(payment, share)


def _by_kind(
    wanted: Sequence[ReceiptShare],
    ours: Collection[str],
    lost: Collection[str],
    *,
    begin: date,
    write_off: bool,
) -> dict[str, list[ReceiptShare]]:
    """The shares by what becomes of them: `paid`, `left alone`, `lost`, `discount`, `missing`."""
    rows: dict[str, list[ReceiptShare]] = {
        kind: [] for kind in ("paid", "left alone", "lost", "discount", "missing")
    }
    for share in wanted:
        if share.marker in ours:
            kind = "paid"
        elif share.on < begin:
            kind = "left alone"
        elif share.marker in lost:
            kind = "lost"
        elif share.is_discount and not write_off:
            kind = "discount"
        else:
            kind = "missing"
        rows[kind].append(share)
    return rows


def _correction(share: ReceiptShare, payment: Payment, own: OwnPayment) -> Correction:
    return Correction(payment, share, changes_of(payment, share, own))


# --- what people entered


def paid_by_hand(
    matched: Matched, creates: Sequence[ReceiptShare]
) -> dict[str, tuple[Payment, ...]]:
    """The payments of people that may stand for a share psage has not written, by its marker.

    `creates` are those it would write. One that carries its marker; else one for one of the same
    amount, best of the same day, after those of earlier days had their turn; else a share that is
    the sum of some payments, or shares whose sum is one payment.
    """
    left, found = list(matched.by_hand), dict[str, tuple[Payment, ...]]()
    for share in (*matched.left_alone, *creates, *matched.discounts):
        if named := next((one for one in left if markers.in_note(one.note) == share.marker), None):
            found[share.marker] = (named,)
            left.remove(named)
    for shares, on_the_day in (
        (matched.left_alone, True),
        (matched.left_alone, False),
        (creates, True),
        (creates, False),
        (matched.discounts, False),
    ):
        for share in shares:
            same = _same(share, left, on_the_day=on_the_day)
            if same and share.marker not in found:
                found[share.marker] = (same,)
                left.remove(same)
    for share in creates:
        parts = adding_up(left, share.amount)
        if share.marker not in found and parts:
            found[share.marker] = parts
    for payment in left:
        newer = [one for one in matched.wanted if one not in matched.left_alone]
        together = adding_up(newer, payment.amount)
        found |= {one.marker: (payment,) for one in together if one.marker not in found}
    return found


def _same(share: ReceiptShare, left: Sequence[Payment], *, on_the_day: bool) -> Payment | None:
    return next(
        (
            one
            for one in left
            if one.amount == share.amount
            and (not on_the_day or share.on in (one.paid_on, one.written_off_on))
        ),
        None,
    )


def adding_up(rows: Sequence[_Row], total: Decimal) -> tuple[_Row, ...]:
    """The fewest rows whose amounts add up to a total; none of a long list: that may be chance."""
    if len(rows) <= _FEW:
        for count in range(1, len(rows) + 1):
            for some in combinations(rows, count):
                if sum((one.amount for one in some), money.ZERO) == total:
                    return some
    return ()
