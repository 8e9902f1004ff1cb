"""The documents of a run under way together: while one is sent, others are planned or followed up.

They are planned and sent in the order asked for. Of those about one invoice the later waits for the
earlier. What stops every document stops those that are not sent yet.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

from productive_sage.copying import doubles, earlier, results
from productive_sage.copying.adopt import Found
from productive_sage.copying.carry_out import Turn
from productive_sage.copying.order import CopyOrder
from productive_sage.copying.plan import CopyPlan
from productive_sage.copying.records import Outcome
from productive_sage.desk import Desk
from productive_sage.errors import PsageError
from productive_sage.errors.notices import Notice
from productive_sage.lanes import CalledOff, Lanes, Turns
from productive_sage.productive.records import Invoice

Planned = CopyPlan | Found | Outcome
"""What is to be done about a document; an outcome where that is nothing."""

_AT_ONCE = 16
"""So many are under way; more would wait for Productive's limits."""
_MANY, _LAST = 100, 10
"""Of so many what was made is read before these last ones are sent."""
_AHEAD = 3
"""So many places before its turn a document is looked at for the last time."""


class CopyRun(Protocol):
    """What plans each document, and carries that out."""

    @property
    def order(self) -> CopyOrder:
        """What is asked for."""

    @property
    def desk(self) -> Desk:
        """What it works with."""

    def plan(self, invoice: Invoice, again: str | None) -> Planned:
        """What is to be done about a document."""

    def look(self, invoice: Invoice, plan: Planned) -> None:
        """Look ahead whether another machine has done it."""

    def carry_out(self, invoice: Invoice, plan: Planned, turn: Turn) -> Outcome:
        """Do it; what is sent waits for its turn."""


class Together:
    """The documents of a run, each under way by itself: planned and sent in the order asked for."""

    def __init__(
        self,
        run: CopyRun,
        asked: Sequence[Invoice | Outcome],
        plans: Mapping[str, Planned],
        held: dict[str, Outcome],
    ) -> None:
        self._lanes = Lanes(run.desk.store.db.check_idle)
        self._run = run
        self._asked = asked
        self._plans = plans
        self._held = held
        self._planning, self._sending = Turns(self._lanes), Turns(self._lanes)
        self._stopped_by: PsageError | None = None
        self._has_sent = False
        self._unknown = (
            {intent.source_id for intent in run.desk.store.intents.open_copies()}
            if run.desk.dry_run
            else set[str]()
        )
        self._after, self._ended = _dependencies(asked), set[int]()

    def outcomes(self, since: doubles.SinceThen, *, one_by_one: bool) -> Iterator[Outcome]:
        """One for each in its order; `since` is read to its end when the last is sent."""
        works: list[Callable[[], Outcome | None]] = [
            partial(self._at, place) for place in range(len(self._asked))
        ]
        at_once = 1 if one_by_one or len(works) == 1 else _AT_ONCE
        if at_once > 1:
            works.append(partial(self._read_made, since))
        yield from filter(None, self._lanes.run(works, at_once=at_once))

    def _at(self, place: int) -> Outcome:
        """What becomes of the document at a place of what is asked for."""
        source = self._asked[place]
        try:
            if isinstance(source, Outcome):
                return source
            return self._outcome(place, source)
        finally:
            self._ended.add(place)
            self._planning.give_up(place)
            self._sending.give_up(place)

    def _outcome(self, place: int, source: Invoice) -> Outcome:
        order, before = self._run.order, self._held.pop(source.id, None)
        is_as_asked = before is not None and earlier.is_as_asked(order, before)
        if before and is_as_asked and (before.error or not earlier.is_new(before)):
            return before
        # What an earlier run had begun may be of another day: it is held against today's.
        again = "update" if is_as_asked else order.again
        try:
            plan = self._plan(place, source, again)
            outcome = self._run.carry_out(source, plan, partial(self._turn, place))
        except CalledOff:
            if self._stopped_by is None:
                raise
            outcome = results.not_tried(source.kind, source.id, source.number, self._stopped_by)
        self._stopped_by = self._stopped_by or results.stopping(outcome)
        if source.id in self._unknown:
            said = "an earlier write for it has no answer yet; a real run finds out first"
            notices = (*outcome.notices, Notice("open_write", said))
            outcome = replace(outcome, notices=notices)
        return earlier.both(before, outcome) if before else outcome

    def _plan(self, place: int, source: Invoice, again: str | None) -> Planned:
        """The plan of a document, which has been looked at for the last time when this is given."""
        with self._planning.of(place):
            self._wait_for_end(self._after[place])
            self._check_goes_on()
            plan = self._plans.get(source.id) or self._run.plan(source, again)
        if self._lanes.is_shared:
            self._sending.wait_for(place - _AHEAD)
            self._run.look(source, plan)
        return plan

    def _wait_for_end(self, places: set[int]) -> None:
        lanes = self._lanes
        lanes.wait_until(lambda: places <= self._ended or lanes.is_stopped)
        if lanes.is_stopped:
            raise CalledOff

    @contextmanager
    def _turn(self, place: int) -> Iterator[None]:
        """Held while a document is sent."""
        with self._sending.of(place):
            self._check_goes_on()
            try:
                yield
            except PsageError as error:  # before the next has its turn
                self._note(error)
                raise
            self._has_sent = True

    def _read_made(self, since: doubles.SinceThen) -> None:
        """Read what Sage holds after the last is sent, beside what follows the copies.

        Of many all but the last ones before that: these are several pages.
        """
        count = len(self._asked)
        if count > _MANY:
            self._sending.wait_for(count - _LAST)
            self._read_since(since, is_end=False)
        self._sending.wait_for(count)
        self._read_since(since, is_end=True)

    def _read_since(self, since: doubles.SinceThen, *, is_end: bool) -> None:
        if self._has_sent and not self._stopped_by:
            with suppress(PsageError):  # it is read once more, and said
                since.read(self._run.order.kind, is_end=is_end)

    def _note(self, error: PsageError) -> None:
        if error.stops_batch:
            self._stopped_by = self._stopped_by or error

    def _check_goes_on(self) -> None:
        if self._stopped_by:
            raise CalledOff


def _dependencies(asked: Sequence[Invoice | Outcome]) -> list[set[int]]:
    """For each document those before it that its plan has to know the end of.

    They are about the same invoice: it is named twice, or has two credit notes.
    """
    found, by_invoice = list[set[int]](), dict[str, set[int]]()
    for place, source in enumerate(asked):
        about = set[str]()
        if isinstance(source, Invoice):
            about = {source.id} | ({source.credited.id} if source.credited else set())
        found.append({other for one in about for other in by_invoice.get(one, ())})
        for one in about:
            by_invoice.setdefault(one, set()).add(place)
    return found
