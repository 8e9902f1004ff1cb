"""What was paid, as each side has it. Pure.

Both lists carry sums alone on Productive's side. Where these agree with what settles the copy, and
the last day does, each payment is taken to; else the payments themselves are held against the
receipts, as `sync-payments` does it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from productive_sage import money
from productive_sage.kept import OwnPayment
from productive_sage.kinds import INVOICE
from productive_sage.payments.match import match, paid_by_hand
from productive_sage.payments.records import ReceiptShare
from productive_sage.productive.records import Payment
from productive_sage.reconcile.rules import named
from productive_sage.reconcile.sides import Booked, BookFinding, Figure, Pair

_ON_CREDIT = frozenset(
    {
        "copy_deleted",
        "copy_not_shown",
        "copy_voided",
        "credit_note_not_allocated",
        "credited_twice",
        "deleted_in_productive",
        "draft_not_released",
        "never_copied",
        "not_in_productive",
        "outcome_unknown",
    }
)
"""What of a credit note explains that its invoice is open on one side alone."""


@dataclass(frozen=True, slots=True)
class Paid:
    """The payments of one invoice, looked at one by one."""

    payments: Sequence[Payment]
    own: Sequence[OwnPayment]
    """Those psage wrote, by its records."""
    copies: frozenset[str]
    """The ids of its copies in Sage."""


@dataclass(frozen=True, slots=True)
class Sync:
    """What the settings say of payments."""

    is_on: bool = True
    begins_on: date | None = None
    writes_off: bool = False
    """Whether a settlement discount becomes a write-off."""


@dataclass(slots=True)
class _Unmatched:
    """What has no counterpart on the other side."""

    missing: list[ReceiptShare] = field(default_factory=list)
    own: list[Payment] = field(default_factory=list)
    """psage's own that no receipt stands behind any more."""
    by_hand: list[Payment] = field(default_factory=list)
    different: list[tuple[Payment, ReceiptShare]] = field(default_factory=list)


def is_comparable(pair: Pair) -> bool:
    """Whether there are two sides of one currency that can be paid."""
    return (
        pair.kind is INVOICE
        and pair.billed is not None
        and pair.billed.is_finalised
        and pair.booked is not None
        and pair.booked.kind is INVOICE
        and pair.booked.is_booked
        and pair.booked.document.currency == pair.billed.currency
    )


def doubt(pair: Pair) -> int:
    """How much the sums leave open: 0 where there is nothing to look at, else the higher the more.

    3: the sums differ. 2: the last day does. 1: it was paid in parts, and a day may differ.
    """
    if not is_comparable(pair) or pair.billed is None or pair.booked is None:
        return 0
    if pair.billed.paid != pair.booked.paid or not pair.booked.is_clear:
        is_known = pair.booked.is_clear or pair.billed.unpaid != pair.booked.open
        return 3 if is_known else 0
    received = [one for one in pair.booked.shares if not one.is_discount]
    if not received:
        return 0
    last = max(one.on for one in received)
    if pair.billed.unpaid <= 0 and pair.billed.paid_on != last:
        return 2
    return 1 if len(received) > 1 or pair.billed.unpaid > 0 else 0


def findings(
    pair: Pair,
    paid: Paid | None,
    codes: Collection[str],
    sync: Sync,
    numbers: Collection[str],
    on_account: Decimal = money.ZERO,
) -> Iterator[BookFinding]:
    """What is to be said of an invoice's payments; `paid` is None where they were not read.

    `codes` are those found for it and for its credit notes, `on_account` is what of these is set
    against nothing in Sage.
    """
    if not is_comparable(pair) or pair.billed is None or pair.booked is None:
        return
    name = named(pair, numbers)
    if not pair.booked.is_clear:
        yield from _unclear(pair, name)
        return
    if paid is None:
        told = [*_by_sum(pair, sync, name)]
    else:
        # Where the payments do not add up to what their invoice says is paid, the sums have to do.
        told = [*_one_by_one(pair, _unmatched(pair, paid), sync, name)] or [
            *_by_sum(pair, sync, name)
        ]
    yield from told
    if pair.booked.document.outstanding is None:
        return
    here, there = pair.billed.unpaid, pair.booked.open
    if _ON_CREDIT & {*codes}:
        return
    if (here > 0) != (there > 0):
        yield _open_on_one_side(pair, pair.booked, name, told)
    elif not told:
        yield from _credited(pair, name, on_account)


def _open_on_one_side(
    pair: Pair, booked: Booked, name: str, told: Sequence[BookFinding]
) -> BookFinding:
    """Settled on one side, and open on the other; `told` is what explains it, and mends it."""
    figure = Figure("open", pair.billed.unpaid if pair.billed else None, booked.open)
    code, message = "open_in_sage", "nothing of it is open in Productive, but in Sage it is"
    command = f"psage open {name}"
    step = f"credit {booked.document.number} in Sage, or enter there how it was paid; if it is "
    step += "owed, open it in Productive"
    if booked.open <= 0:
        code, message = "open_in_productive", "nothing of it is open in Sage, but in Productive is"
        command = f"psage open {name} --productive"
        step = "credit or write off in Productive what is not owed, or enter there how it was paid"
    if told:
        command, step = told[-1].command, ""
    return BookFinding(code, message, (figure,), command, step)


def _credited(pair: Pair, name: str, on_account: Decimal) -> Iterator[BookFinding]:
    """Where another part of it is credited, or written off in a way no payment shows."""
    if pair.billed is None or pair.booked is None:
        return
    here = pair.billed.total - pair.billed.paid - pair.billed.unpaid
    there = pair.booked.total - pair.booked.paid - pair.booked.open + on_account
    if here != there:
        yield BookFinding(
            "credit_differs",
            "another amount of it is credited",
            (Figure("credited", here, there), Figure("open", pair.billed.unpaid, pair.booked.open)),
            f"psage open {name}",
            "credit in Sage what is credited in Productive, or the other way round",
        )


def _unclear(pair: Pair, name: str) -> Iterator[BookFinding]:
    """Where Sage does not say what settles a copy, what is open has to do."""
    if pair.billed and pair.booked and pair.billed.unpaid != pair.booked.open:
        yield BookFinding(
            "payments_unclear",
            f"Sage does not say plainly what settles {pair.booked.document.number}, and another "
            "amount is open there",
            (Figure("open", pair.billed.unpaid, pair.booked.open),),
            f"psage sync-payments {name}",
            "the sync reads the copy whole, and says what it cannot tell",
        )


def _paid(pair: Pair) -> Figure:
    here = pair.billed.paid if pair.billed else None
    return Figure("paid", here, pair.booked.paid if pair.booked else None)


def _synchronise(sync: Sync, name: str, days: Sequence[date]) -> str:
    """The command that brings receipts to Productive."""
    first = min(days, default=None)
    if first and not (sync.is_on and sync.begins_on and sync.begins_on <= first):
        begins = min(first, sync.begins_on or first) if sync.is_on else first
        return f"psage configure --sync-payments --sync-payments-from {begins}"
    return f"psage sync-payments {name}"


def _by_sum(pair: Pair, sync: Sync, name: str) -> Iterator[BookFinding]:
    if pair.billed is None or pair.booked is None:
        return
    if pair.billed.paid < pair.booked.paid:
        yield BookFinding(
            "payment_missing",
            "less is paid in Productive than in Sage",
            (_paid(pair),),
            _synchronise(sync, name, [one.on for one in pair.booked.shares]),
        )
    elif pair.billed.paid > pair.booked.paid:
        yield BookFinding(
            "payment_extra",
            "more is paid in Productive than in Sage",
            (_paid(pair),),
            f"psage sync-payments {name}",
            "it removes what psage wrote and no receipt stands behind any more; what people "
            "entered stays",
        )


def _unmatched(pair: Pair, paid: Paid) -> _Unmatched:
    """What of receipts and payments has no counterpart, as the sync would see it."""
    wanted = pair.booked.shares if pair.booked else ()
    matched = match(
        wanted,
        paid.payments,
        paid.own,
        copies=paid.copies,
        sent=(),
        begin=date.min,
        write_off=True,
    )
    by_hand = paid_by_hand(matched, matched.missing)
    lost = [one.share for one in matched.lost if one.share]
    used = {one.id for rows in by_hand.values() for one in rows}
    return _Unmatched(
        missing=[one for one in (*matched.missing, *lost) if one.marker not in by_hand],
        own=[one.payment for one in matched.surplus],
        by_hand=[one for one in matched.by_hand if one.id not in used],
        different=[
            (one.payment, one.share) for one in matched.corrections if one.values.keys() - {"note"}
        ],
    )


def _one_by_one(pair: Pair, found: _Unmatched, sync: Sync, name: str) -> Iterator[BookFinding]:
    again = _synchronise(sync, name, [])
    if found.missing:
        command, step = _synchronise(sync, name, [one.on for one in found.missing]), ""
        if command != again:
            step = f"then `{again}`"
        elif not sync.writes_off and all(one.is_discount for one in found.missing):
            command = "psage configure --settlement-discount write_off"
            step = f"then `{again}`; or write it off in Productive: it is a settlement discount"
        yield BookFinding(
            "payment_missing",
            f"Productive lacks what was received in Sage: {_shares(pair, found.missing)}",
            (_paid(pair), Figure("payment", None, _sum(found.missing))),
            command,
            step,
        )
    if extra := [*found.own, *found.by_hand]:
        number = pair.booked.document.number if pair.booked else ""
        step = f"enter the receipt of {number} in Sage, or remove the payment in Productive"
        yield BookFinding(
            "payment_extra",
            f"Productive has what was not received in Sage: {_payments(pair, extra)}",
            (_paid(pair), Figure("payment", _sum(extra), None)),
            f"psage open {name}" if found.by_hand else again,
            step if found.by_hand else "psage wrote it, and removes it",
        )
    if found.different:
        here, there = zip(*found.different, strict=True)
        yield BookFinding(
            "payment_differs",
            f"Productive has {_payments(pair, here)}; Sage has {_shares(pair, there)}",
            (_paid(pair), Figure("payment", _sum(here), _sum(there))),
            again,
        )


def _sum(rows: Sequence[Payment | ReceiptShare]) -> Decimal:
    return sum((one.amount for one in rows), money.ZERO)


def _shares(pair: Pair, rows: Sequence[ReceiptShare]) -> str:
    return ", ".join(f"{money.said(one.amount, pair.currency)} on {one.on}" for one in rows)


def _payments(pair: Pair, rows: Sequence[Payment]) -> str:
    return ", ".join(
        f"{money.said(one.amount, pair.currency)} "
        + (f"written off on {one.written_off_on}" if one.written_off_on else f"on {one.paid_on}")
        for one in rows
    )


def codes_of_notes(
    notes: Mapping[str, Sequence[Pair]], found: Mapping[str, Sequence[BookFinding]]
) -> dict[str, set[str]]:
    """The codes found for the credit notes of each invoice, by its Productive id."""
    return {
        key: {one.code for note in rows for one in found.get(note.productive_id, ())}
        for key, rows in notes.items()
    }
