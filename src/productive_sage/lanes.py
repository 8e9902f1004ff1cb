"""Several documents under way at once, of which one computes while the others wait for a service.

Each runs the same straight code in a thread of its own. The threads of a run share one lock, hold
it while they compute, and give it back only while a service is asked (`waiting`). So nothing but
the waiting overlaps: psage's records, and all that is in memory, are used by one thread at a time,
and what stands between two requests is never interrupted by another document.

Outside such a run none of this has an effect.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar

from productive_sage import interrupts

_T = TypeVar("_T")

_GLANCE_S = 0.2
"""How often an interrupt is looked for: not every system wakes a thread that waits for a lock."""

_HANDOVER_S = 0.1
"""No place takes longer to begin."""


class CalledOff(BaseException):
    """What has not been sent yet is not sent any more."""


class _OfThread(threading.local):
    lanes: "Lanes | None" = None
    """The run that this thread belongs to."""


_mine = _OfThread()


def is_shared() -> bool:
    """Whether others are under way beside what this thread does."""
    return _mine.lanes is not None


@contextmanager
def waiting() -> Iterator[None]:
    """Let the others compute as long as this one waits for a service."""
    lanes = _mine.lanes
    if lanes is None:
        yield
        return
    lanes.give_way()
    try:
        yield
    finally:
        lanes.go_on()


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Have something to oneself, the waiting in it included; the others wait until it is free."""
    lanes = _mine.lanes
    if lanes is None:
        yield
        return
    lanes.wait_until(lambda: what not in lanes.taken)
    lanes.taken.add(what)
    try:
        yield
    finally:
        lanes.taken.discard(what)
        lanes.tell()


class Lanes:
    """A run of several threads; `check` raises where this is no moment to let others compute.

    `grace_s` is how long what is under way may take to end after an interrupt.
    """

    def __init__(self, check: Callable[[], None] = lambda: None, *, grace_s: float = 5.0) -> None:
        self.grace_s = grace_s
        self._check = check
        self._moved = threading.Condition(threading.Lock())
        self.taken: set[str] = set()
        self.given = 0
        """How often one of them has begun to wait for a service."""
        self.watched = 0
        """How many wait for that: to wake all of them each time would cost a third of the work."""
        self.is_stopped = False

    @property
    def is_shared(self) -> bool:
        """Whether it is under way, in several threads."""
        return _mine.lanes is self

    # --- for the thread that has the lock

    def give_way(self) -> None:
        """Let another compute."""
        self._check()
        self.given += 1
        if self.watched:
            self._moved.notify_all()
        self._moved.release()

    def go_on(self) -> None:
        """Compute again, after whoever does so now."""
        self._moved.acquire()

    def tell(self) -> None:
        """Have the others look again at what they wait for."""
        if _mine.lanes is self:
            self._moved.notify_all()

    def wait_until(self, is_so: Callable[[], bool], left_s: float | None = None) -> bool:
        """Wait until something is so, for a time at most; whether it is."""
        if _mine.lanes is not self:
            return is_so()
        self._check()
        return self._moved.wait_for(is_so, left_s)

    def stop(self) -> None:
        """Let nothing more begin: whoever waits for a turn is `CalledOff`."""
        self.is_stopped = True
        self.tell()

    # --- the run

    def run(self, works: Sequence[Callable[[], _T]], *, at_once: int) -> Iterator[_T]:
        """What the works give, in their order; as many of them are under way at once.

        One at a time needs no thread, and is done in this one. After an interrupt nothing begins
        any more, what is sent has a moment to end, what ended is given, and then it is raised.
        """
        if min(at_once, len(works)) < 2:
            for work in works:
                yield work()
            return
        if _mine.lanes:  # one of them has several things to wait for
            yield from _Works(_mine.lanes, works).results(at_once)
            return
        run = _Works(self, works, is_whole=True)
        with interrupts.held_back():
            self._moved.acquire()
            _mine.lanes = self
            try:
                yield from run.results(at_once)
            finally:
                _mine.lanes = None
                if not run.under_way:
                    self._moved.release()
                # Else the lock is kept for good: what still waits for its answer is left as a
                # killed process leaves it, and touches no records that are closed by then.


def gathered(
    works: Sequence[Callable[[], _T]], *, at_once: int = 8, check: Callable[[], None] = lambda: None
) -> list[_T]:
    """What several reads give, in their order; they wait for their answers together."""
    return list(Lanes(check).run(works, at_once=at_once))


class Turns:
    """One place after the other: each waits until those before it had their turn, or want none."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._first = 0
        self._had = set[int]()
        self._waiting = set[int]()

    def wait_for(self, place: int) -> None:
        """Wait until a place is the next; raises CalledOff where nothing begins any more."""
        lanes = self._lanes
        lanes.wait_until(lambda: self._first >= place or lanes.is_stopped)
        if lanes.is_stopped:
            raise CalledOff

    def give_up(self, place: int) -> None:
        """Have had a turn, or want none."""
        self._had.add(place)
        while self._first in self._had:
            self._had.remove(self._first)
            self._first += 1
        self._lanes.tell()

    @contextmanager
    def of(self, place: int) -> Iterator[None]:
        """Have the turn of a place; raises as `wait_for`."""
        self._waiting.add(place)
        try:
            self.wait_for(place)
        finally:
            self._waiting.discard(place)
        try:
            yield
        finally:
            self.give_up(place)
            self._let_next_begin()

    def _let_next_begin(self) -> None:
        """Leave the next place to it before anything else is done: the service waits for it."""
        lanes, given = self._lanes, self._lanes.given
        if self._first in self._waiting:
            lanes.watched += 1
            lanes.wait_until(lambda: lanes.given > given or lanes.is_stopped, _HANDOVER_S)
            lanes.watched -= 1


class _Works(Generic[_T]):
    """The works of one run, or what one of them has to wait for, and what came of them."""

    def __init__(
        self, lanes: Lanes, works: Sequence[Callable[[], _T]], *, is_whole: bool = False
    ) -> None:
        self._lanes = lanes
        self._works = works
        self._is_whole = is_whole
        self._next = 0
        self._results: dict[int, _T] = {}
        self._errors: list[BaseException] = []
        self._is_stopped = False
        self._grace_s = lanes.grace_s if is_whole else None
        self.under_way = 0

    def results(self, at_once: int) -> Iterator[_T]:
        """The results in order, less those of what was stopped; raises what a work raised."""
        try:
            for _ in range(min(at_once, len(self._works))):
                self.under_way += 1
                threading.Thread(target=self._go, daemon=True).start()
            for n in range(len(self._works)):
                while not self._is_there(n) and not (self._is_whole and interrupts.came()):
                    self._lanes.wait_until(partial(self._is_there, n), _GLANCE_S)
                if n not in self._results:
                    self._end()
                if n in self._results:
                    yield self._results.pop(n)
            for error in self._errors:
                raise error
        except interrupts.Twice:
            self._grace_s = 0.0
            raise
        finally:
            self._end()

    def _is_there(self, n: int) -> bool:
        return n in self._results or self._is_stopped

    def _go(self) -> None:
        """Take the next work until there is none: what each thread does."""
        lanes = _mine.lanes = self._lanes
        lanes.go_on()
        while self._next < len(self._works) and not self._is_stopped:
            n, self._next = self._next, self._next + 1
            try:
                self._results[n] = self._works[n]()
            except CalledOff:
                pass
            except BaseException as error:  # noqa: BLE001 -- raised where the results are awaited
                self._errors.append(error)
                self._stop()
            lanes.tell()
        self.under_way -= 1
        lanes.tell()
        lanes.give_way()

    def _stop(self) -> None:
        self._is_stopped = True
        if self._is_whole:
            self._lanes.stop()

    def _end(self) -> None:
        """Begin nothing more, and wait a moment for what is under way."""
        self._stop()
        self._lanes.wait_until(lambda: not self.under_way, self._grace_s)
        self._grace_s = 0.0
