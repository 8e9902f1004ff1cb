"""What both sides come to, currency by currency, and how one leads to the other. Pure.

Each side is added up by itself; the steps between them are added up from the documents, so that the
proof is one: Productive's total and the steps make Sage's total to the last cent.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from productive_sage import money
from productive_sage.reconcile.sides import Booked, Pair

NOT_IN_SAGE, ONLY_IN_SAGE, TWICE, DIFFERENT = (
    "not_in_sage",
    "only_in_sage",
    "more_than_once",
    "different",
)


@dataclass(slots=True)
class Sum:
    """What documents come to, credit notes taken off."""

    count: int = 0
    net: Decimal = money.ZERO
    tax: Decimal = money.ZERO
    total: Decimal = money.ZERO
    paid: Decimal = money.ZERO
    open: Decimal = money.ZERO


@dataclass(slots=True)
class BooksTotal:
    """Both sides in one currency, and the steps from Productive's total to Sage's."""

    currency: str
    productive: Sum = field(default_factory=Sum)
    sage: Sum = field(default_factory=Sum)
    steps: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    """(documents, amount) by what the step is for."""

    @property
    def difference(self) -> Decimal:
        """What Sage has more than Productive."""
        return self.sage.total - self.productive.total

    def is_proven(self) -> bool:
        """Whether the steps account for the difference to the last cent."""
        return self.difference == sum((one for _, one in self.steps.values()), money.ZERO)


@dataclass(slots=True)
class Month:
    """A month in one currency: what is copied and settled, copied and open, and not in Sage."""

    month: str
    """As `2026-03`; empty where a document has no date."""
    currency: str
    paid: Decimal = money.ZERO
    """Or credited: of what is copied, all that is not open."""
    open: Decimal = money.ZERO
    not_copied: Decimal = money.ZERO


def totals(pairs: Iterable[Pair]) -> list[BooksTotal]:
    """What the documents come to, by currency."""
    found: dict[str, BooksTotal] = {}

    def of(currency: str) -> BooksTotal:
        return found.setdefault(currency, BooksTotal(currency))

    for pair in pairs:
        here, there = pair.billed if pair.is_due_in_books else None, _in_books(pair)
        if here:
            row = here.net, here.tax, here.total, here.paid, here.unpaid
            _add(of(here.currency).productive, row)
        for one in there:
            row = one.net, one.tax, one.total, one.paid, one.open
            _add(of(one.document.currency).sage, row)
        for currency, step, amount in _steps(pair, there):
            count, before = of(currency).steps.get(step, (0, money.ZERO))
            of(currency).steps[step] = count + 1, before + amount
    return [found[currency] for currency in sorted(found)]


def _in_books(pair: Pair) -> list[Booked]:
    every = [pair.booked] if pair.booked else []
    return [one for one in (*every, *pair.others) if one.is_booked]


def _add(into: Sum, row: tuple[Decimal, Decimal, Decimal, Decimal, Decimal]) -> None:
    into.count += 1
    into.net, into.tax, into.total = into.net + row[0], into.tax + row[1], into.total + row[2]
    into.paid, into.open = into.paid + row[3], into.open + row[4]


def _steps(pair: Pair, there: Sequence[Booked]) -> Iterator[tuple[str, str, Decimal]]:
    """(currency, step, amount) that lead from what Productive has of a document to Sage."""
    here = pair.billed if pair.is_due_in_books else None
    first = there[0] if there else None
    for one in there[1:]:
        yield one.document.currency, TWICE, one.total
    if here and first and here.currency == first.document.currency:
        if first.total != here.total:
            yield here.currency, DIFFERENT, first.total - here.total
        return
    if here:
        yield here.currency, DIFFERENT if first else NOT_IN_SAGE, -here.total
    if first:
        yield first.document.currency, DIFFERENT if here else ONLY_IN_SAGE, first.total


def months(pairs: Iterable[Pair]) -> list[Month]:
    """What is copied and open, by month and currency, the oldest first."""
    found: dict[tuple[str, str], Month] = {}
    for pair in pairs:
        there = _in_books(pair)
        if not pair.is_due_in_books and not there:
            continue
        key = str(pair.on or "")[:7], pair.currency
        month = found.setdefault(key, Month(*key))
        if not there:
            month.not_copied += pair.billed.total if pair.billed else money.ZERO
        for one in there:
            month.open += one.open
            month.paid += one.total - one.open
    return [found[key] for key in sorted(found)]
