"""Several documents under way at once: what overlaps, what does not, and how they stop."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from productive_sage import interrupts, lanes
from productive_sage.lanes import CalledOff, Lanes, Turns

AT_ONCE = 4
PATIENCE_S = 20


@pytest.fixture(autouse=True)
def can_be_interrupted() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def wait() -> None:
    """Ask a service that answers soon."""
    with lanes.waiting():
        time.sleep(0.01)


# --- what overlaps


def test_the_waiting_overlaps_and_the_results_are_in_order() -> None:
    meeting = threading.Barrier(AT_ONCE)

    def meet(n: int) -> int:
        with lanes.waiting():
            meeting.wait(PATIENCE_S)  # breaks where one of them waits for another's end
        return n

    works = [partial(meet, n) for n in range(AT_ONCE)]

    assert list(Lanes().run(works, at_once=AT_ONCE)) == [*range(AT_ONCE)]


def test_one_computes_at_a_time() -> None:
    computing, most = 0, 0

    def compute() -> None:
        nonlocal computing, most
        for _ in range(5):
            computing += 1
            most = max(most, computing)
            time.sleep(0.001)  # another thread may go on here, but none of the run's
            computing -= 1
            wait()

    list(Lanes().run([compute] * 12, at_once=AT_ONCE))

    assert most == 1


def test_what_is_had_alone_is_had_alone_while_waiting_too() -> None:
    having, most = 0, 0

    def have() -> None:
        nonlocal having, most
        with lanes.alone("POST"):
            having += 1
            most = max(most, having)
            wait()
            having -= 1

    list(Lanes().run([have] * 8, at_once=AT_ONCE))

    assert most == 1


def test_turns_come_in_order_however_long_the_way_there_is() -> None:
    many = Lanes()
    turns, had = Turns(many), list[int]()

    def take(n: int) -> None:
        for _ in range(5 - n):
            wait()
        if n == 2:  # wants none
            turns.give_up(n)
            return
        with turns.of(n):
            had.append(n)
            wait()

    list(many.run([partial(take, n) for n in range(5)], at_once=5))

    assert had == [0, 1, 3, 4]


def test_no_other_computes_in_a_transaction() -> None:
    def check() -> None:
        raise RuntimeError("a transaction is open")

    with pytest.raises(RuntimeError, match="a transaction is open"):
        list(Lanes(check).run([wait, wait], at_once=2))


def test_one_at_a_time_needs_no_thread() -> None:
    seen = list(Lanes().run([threading.current_thread] * 3, at_once=1))

    assert set(seen) == {threading.main_thread()}
    assert not lanes.is_shared()


# --- how they stop


def test_what_one_raises_is_raised_after_the_results_before_it() -> None:
    def fail() -> int:
        raise ZeroDivisionError

    given, works = list[int](), [lambda: 1, fail, lambda: 3]

    with pytest.raises(ZeroDivisionError):
        given.extend(Lanes().run(works, at_once=2))

    assert given[:1] == [1]


def test_an_interrupt_lets_what_is_under_way_end_and_begins_nothing_more() -> None:
    begun = list[int]()

    def work(n: int) -> int:
        begun.append(n)
        if n == 1:
            interrupt()
        for _ in range(10):
            wait()
        return n

    given, works = list[int](), [partial(work, n) for n in range(9)]
    with pytest.raises(KeyboardInterrupt):
        given.extend(Lanes().run(works, at_once=2))

    assert given == begun
    assert len(begun) < 9


def test_who_waits_for_a_turn_is_stopped_by_an_interrupt() -> None:
    many, ends = Lanes(), list[str]()
    turns = Turns(many)

    def first() -> None:
        with turns.of(0):
            interrupt()
            while not many.is_stopped:
                wait()
            ends.append("sent")

    def second() -> None:
        try:
            with turns.of(1):
                ends.append("sent too")
        except CalledOff:
            ends.append("stopped")
            raise

    with pytest.raises(KeyboardInterrupt):
        list(many.run([first, second], at_once=2))

    assert sorted(ends) == ["sent", "stopped"]


@pytest.mark.parametrize("presses", [1, 2])
def test_what_gets_no_answer_is_left_behind_and_never_computes_again(presses: int) -> None:
    many = Lanes(grace_s=0.05 if presses == 1 else PATIENCE_S)
    answer, went_on = threading.Event(), list[str]()

    def lost(is_first: bool) -> None:
        if is_first:
            interrupt()
            while presses == 2 and not many.is_stopped:
                wait()
            interrupt()
        with lanes.waiting():
            answer.wait(PATIENCE_S)
        went_on.append("computed")

    with pytest.raises(KeyboardInterrupt):
        list(many.run([partial(lost, True), partial(lost, False)], at_once=2))
    answer.set()
    time.sleep(0.05)

    assert went_on == []
    assert not interrupts.came()


def test_a_run_that_is_left_early_stops() -> None:
    begun = list[int]()

    def work(n: int) -> int:
        begun.append(n)
        wait()
        return n

    works: list[Callable[[], int]] = [partial(work, n) for n in range(50)]
    for _ in Lanes().run(works, at_once=2):
        break

    assert len(begun) < 50
    assert not lanes.is_shared()
