"""Both lists held together: pairs, what is found, totals. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from productive_sage.productive.records import Entry
from productive_sage.reconcile import credited, paid, pairing, rules
from productive_sage.reconcile.paid import Paid, Sync
from productive_sage.reconcile.sides import CHANGED, Booked, BookFinding, Pair, Records
from productive_sage.reconcile.totals import BooksTotal, Month, months, totals


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """A document with what is found of it."""

    pair: Pair
    findings: tuple[BookFinding, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the books differ here."""
        return any(one.severity == CHANGED for one in self.findings)


@dataclass(slots=True)
class Compared:
    """Both sides of a time, what differs first."""

    rows: list[ComparedPair] = field(default_factory=list)
    totals: list[BooksTotal] = field(default_factory=list)
    months: list[Month] = field(default_factory=list)

    def found(self) -> Iterator[tuple[Pair, BookFinding]]:
        """Every finding, with its document."""
        for row in self.rows:
            for one in row.findings:
                yield row.pair, one

    @property
    def differing(self) -> int:
        """How many documents differ."""
        return sum(row.differs for row in self.rows)


@dataclass(frozen=True, slots=True)
class Time:
    """The days that are looked at, both included; None for all."""

    since: date | None = None
    until: date | None = None

    def holds(self, day: date | None) -> bool:
        """Whether a day is one of them; none is of every time."""
        if day is None:
            return True
        return (self.since or day) <= day <= (self.until or day)


EVER = Time()
_ALWAYS = Sync()


def compare(
    billed: Sequence[Entry],
    booked: Sequence[Booked],
    records: Records,
    time: Time = EVER,
    *,
    read: Mapping[str, Paid] | None = None,
    sync: Sync = _ALWAYS,
) -> Compared:
    """Hold both lists together; `read` are payments that were looked at, by Productive id."""
    pairs = pairing.pair_up(billed, booked, records.copies, records.open_writes)
    numbers = pairing.repeated(billed)
    by_id = {one.productive_id: one for one in pairs}
    notes = credited.notes_of(pairs)
    credited_by = {one.productive_id: by_id.get(key) for key, some in notes.items() for one in some}
    found = {
        key: [*rules.findings(one, records, numbers, credited_by.get(key), notes.get(key, ()))]
        for key, one in by_id.items()
    }
    for pair, finding in credited.findings(pairs, numbers):
        found[pair.productive_id].append(finding)
    of_notes = paid.codes_of_notes(notes, found)
    for pair in pairs:
        own = found[pair.productive_id]
        codes = {one.code for one in own}
        if "outcome_unknown" not in codes:
            looked_at = (read or {}).get(pair.productive_id)
            codes |= of_notes.get(pair.productive_id, set())
            left = credited.on_account(notes.get(pair.productive_id, ()))
            own += paid.findings(pair, looked_at, codes, sync, numbers, left)
    chosen = [one for one in pairs if one.is_within(time.since, time.until)]
    rows = [ComparedPair(one, tuple(found[one.productive_id])) for one in chosen]
    rows.sort(key=_order)
    return Compared(rows, totals(chosen), months(chosen))


def _order(row: ComparedPair) -> tuple[bool, bool, date, str, str]:
    """What differs first, then the oldest."""
    pair = row.pair
    return not row.differs, not row.findings, pair.on or date.min, pair.number, pair.productive_id


def doubtful(
    billed: Sequence[Entry], booked: Sequence[Booked], records: Records, time: Time
) -> list[str]:
    """The documents whose payments should be looked at one by one, the most doubtful first."""
    pairs = pairing.pair_up(billed, booked, records.copies)
    chosen = [
        (paid.doubt(one), one.productive_id)
        for one in pairs
        if one.is_within(time.since, time.until)
    ]
    return [key for doubt, key in sorted(chosen, key=lambda one: -one[0]) if doubt]
