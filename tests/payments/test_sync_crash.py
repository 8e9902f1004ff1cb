"""A payment sync taken away at every request and at every write to its store, or left unanswered.

Run again, Productive holds each share of Sage once, people's own payments are as they were, and
nothing is left open.
"""

import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, forget, writes
from tests.harness import kills, payments
from tests.harness.kills import LOST, assert_made, kill_at, places, writes_of
from tests.harness.payments import (
    COPY,
    SYNC,
    Hasty,
    Scenario,
    Stage,
    assert_as_sage_says,
    by_hand,
    left_open,
    make_busy,
    ours,
    productive_says,
    sage_says,
)
from tests.harness.processes import Hold, end, kill, run, started

shared, fresh, hasty = kills.shared, kills.fresh, payments.hasty

CALLS = (
    "GET /sales_invoices",
    "GET /contact_payments",
    "GET /contact_payments",
    "GET /contact_allocations",
    "GET /contact_allocations",
    "GET /payments",
    "GET /sales_invoices/*",
    "GET /sales_invoices/*",
    "GET /invoices",
    "PATCH /payments/*",
    "POST /payments",
    "DELETE /payments/*",
    "POST /payments",
    "POST /payments",
    "DELETE /payments/*",
    "POST /payments",
    "GET /payments",
)
WRITES = writes_of(CALLS)


@pytest.fixture
def busy(fresh: Sandbox, psage: Psage, home: Path) -> Iterator[Sandbox]:
    """Ready for a run by any process; whatever comes, people's own payments stay."""
    Stage(fresh, psage, home, {"busy": Scenario(make_busy, SYNC, ())}).set("busy")
    people = by_hand(fresh)
    assert len(people) == 2
    yield fresh
    assert by_hand(fresh) == people


def assert_completed(sandbox: Sandbox, psage: Psage, home: Path) -> None:
    """The next run does what is left to do, and the one after it has nothing to do.

    It comes when nothing that broke off can arrive any more.
    """
    sandbox.advance(600)
    again = psage(*SYNC, "--json")
    assert again.code == 0, again.out
    assert again.json["failed"] == []
    assert_as_sage_says(sandbox, home, by_hand(sandbox))
    sandbox.clear_calls()
    assert psage(*SYNC).code == 0
    assert writes(sandbox) == []


# --- the list of requests


def test_a_sync_makes_just_the_requests_it_is_killed_at(busy: Sandbox, home: Path) -> None:
    result = run(*SYNC)

    assert result.code == 0
    assert_made(busy, CALLS)
    assert_as_sage_says(busy, home, by_hand(busy))


# --- kill -9


@pytest.mark.parametrize(("nth", "call", "when"), places(CALLS))
def test_a_sync_killed_anywhere_is_completed_by_the_next_run(
    busy: Sandbox, home: Path, psage: Psage, nth: int, call: str, when: str
) -> None:
    kill_at(busy, nth, call, when, *SYNC)

    ours(busy)
    assert_completed(busy, psage, home)


@pytest.mark.parametrize(("nth", "call", "when"), places(CALLS, WRITES))
def test_a_killed_sync_doubles_no_payment_though_the_store_is_lost(
    busy: Sandbox, home: Path, psage: Psage, nth: int, call: str, when: str
) -> None:
    """What is not just what Sage says is a person's then, and stands in for its receipt."""
    kill_at(busy, nth, call, when, *SYNC)
    forget(home)
    copied = psage(*COPY, "--json")
    before = busy.productive.payments

    result = psage(*SYNC, "--json")

    assert {row["action"] for row in copied.results} == {"adopted"}
    assert (result.code, result.json["updated"], result.json["deleted"]) == (0, [], [])
    assert before.items() <= busy.productive.payments.items()
    assert sage_says(busy).keys() <= ours(busy).keys()
    busy.clear_calls()
    assert psage(*SYNC).code == 0
    assert writes(busy) == []


class WriteHold(Hold):
    """As `Hold`, counting only what writes."""

    def _is_the_one(self, request: Any) -> bool:
        return request.method != "GET" and super()._is_the_one(request)


def test_runs_that_are_each_killed_after_their_second_write_get_there_in_the_end(
    busy: Sandbox, home: Path, psage: Psage
) -> None:
    for _ in range(3):
        with WriteHold(busy, 2, when="after") as hold, started(*SYNC) as process:
            hold.reached(process)
            assert kill(process).code == -signal.SIGKILL
            hold.lose()

    assert_completed(busy, psage, home)


def test_a_dry_run_after_a_crash_changes_nothing_and_does_not_stand_in_the_way(
    busy: Sandbox, home: Path, psage: Psage
) -> None:
    kill_at(busy, 13, "POST /payments", "after", *SYNC)
    before, opened = busy.productive.payments, left_open(home)

    planned = psage(*SYNC, "--dry-run", "--json")

    assert planned.code == 0
    assert busy.productive.payments == before
    assert left_open(home) == opened == (1, 0)
    assert_completed(busy, psage, home)


# --- the store


class Stopped(BaseException):
    """The process is gone; nothing of it goes on."""


LEDGER_WRITES = 21
_connect = sqlite3.connect


def failing(
    nth: int, error: Callable[[], BaseException], *, times: int = 1
) -> tuple[Callable[..., sqlite3.Connection], list[int]]:
    """A way to open a store that fails at the nth write, before it; and what it counts."""
    count = [0]

    class Failing(Hasty):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            count[0] += statement.startswith("BEGIN")
            if statement.startswith("BEGIN") and nth <= count[0] < nth + times:
                raise error()
            return super().execute(statement, *values)

    return partial(_connect, factory=Failing), count


def test_a_sync_makes_just_the_writes_to_its_store_it_is_stopped_at(
    busy: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, count = failing(0, Stopped, times=0)
    monkeypatch.setattr(sqlite3, "connect", connect)

    assert psage(*SYNC).code == 0
    assert count == [LEDGER_WRITES]


@pytest.mark.parametrize("nth", range(1, LEDGER_WRITES + 1))
def test_a_sync_stopped_at_any_write_to_its_store_is_completed_by_the_next_run(
    busy: Sandbox, home: Path, psage: Psage, nth: int
) -> None:
    with pytest.MonkeyPatch.context() as day:
        day.setattr(sqlite3, "connect", failing(nth, Stopped)[0])
        with pytest.raises(Stopped):
            psage(*SYNC)

    assert_completed(busy, psage, home)


@pytest.mark.parametrize("nth", range(1, LEDGER_WRITES + 1))
@pytest.mark.parametrize("times", [1, 1000], ids=["for a moment", "for good"])
def test_wherever_the_disk_becomes_full_no_payment_is_doubled(
    busy: Sandbox, home: Path, psage: Psage, times: int, nth: int
) -> None:
    def full() -> sqlite3.Error:
        return sqlite3.OperationalError("database or disk is full")

    with pytest.MonkeyPatch.context() as day:
        day.setattr(sqlite3, "connect", failing(nth, full, times=times)[0])
        result = psage(*SYNC, "--json")

    assert "Traceback" not in result.out + result.err
    # The history may lack what the store holds.
    assert result.code in ((5, 8) if times > 1 else (0, 5, 8))
    assert_completed(busy, psage, home)


# --- lost replies

PLACES = [
    pytest.param(call.split()[0], WRITES[:at].count(call) + 1, id=f"{at + 1} {call}")
    for at, call in enumerate(WRITES)
]


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize(("method", "nth"), PLACES)
def test_a_write_whose_reply_is_lost_happens_once(
    busy: Sandbox, home: Path, psage: Psage, method: str, nth: int, kind: str
) -> None:
    busy.fault(kind, service="productive", method=method, path="/payments", nth=nth)

    result = psage(*SYNC, "--json")

    # What says nothing but 204 cannot arrive in half.
    is_whole = method == "DELETE" and kind in ("cut_mid", "truncated")
    assert result.code == (0 if is_whole else 8)
    assert [row["code"] for row in result.json["failed"]] == ["outcome_unknown"] * (not is_whole)
    ours(busy)
    assert_completed(busy, psage, home)
    assert lapsed(home) == 0


@pytest.mark.parametrize("kind", LOST)
def test_a_new_payment_whose_reply_and_store_are_lost_happens_once(
    busy: Sandbox, home: Path, psage: Psage, kind: str
) -> None:
    busy.fault(kind, service="productive", method="POST", path="/payments", times=4)
    assert psage(*SYNC).code == 8
    busy._desk.clear()
    forget(home)
    assert psage(*COPY).code == 0

    assert_completed(busy, psage, home)


@pytest.mark.parametrize("nth", range(1, 5))
def test_a_new_payment_whose_reply_names_no_id_happens_once(
    busy: Sandbox, home: Path, psage: Psage, nth: int
) -> None:
    body = {"data": {"type": "payments"}}
    busy.fault(
        "status_after",
        service="productive",
        method="POST",
        path="/payments",
        nth=nth,
        status=201,
        body=body,
    )

    assert psage(*SYNC).code == 8
    assert_completed(busy, psage, home)


# --- writes that do not arrive, or are refused

REFUSALS: dict[str, tuple[int, dict[str, Any]]] = {
    "401": (3, {"kind": "status", "status": 401}),
    "403": (6, {"kind": "status", "status": 403}),
    "404": (6, {"kind": "status", "status": 404}),
    "422": (6, {"kind": "status", "status": 422}),
    "429": (5, {"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "1800"}}),
    "500": (8, {"kind": "status", "status": 500}),
    "cut before": (8, {"kind": "cut_before"}),
    "a page for people": (8, {"kind": "html"}),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(("method", "nth"), PLACES)
def test_a_write_that_is_not_done_is_done_by_the_next_run(
    busy: Sandbox, home: Path, psage: Psage, method: str, nth: int, refusal: str
) -> None:
    code, fault = REFUSALS[refusal]
    busy.fault(service="productive", method=method, path="/payments", nth=nth, **fault)

    result = psage(*SYNC, "--json")

    # Said not to be there, though it is.
    is_odd = method == "DELETE" and refusal == "404"
    assert result.code == (5 if is_odd else code)
    assert productive_says(busy) != sage_says(busy)
    assert_completed(busy, psage, home)
    assert lapsed(home) == (method == "POST" and code == 8)


# --- two machines


@pytest.mark.parametrize("nth", range(1, 5))
def test_two_homes_that_synchronise_at_once_leave_no_payment_twice(
    busy: Sandbox,
    home: Path,
    psage: Psage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nth: int,
) -> None:
    other = tmp_path / "other"
    shutil.copytree(home, other)
    monkeypatch.setenv("PSAGE_HOME", str(other))
    posting = Hold(busy, nth, method="POST", path="/payments", when="before")
    with posting as hold, started(*SYNC, "--json") as second:
        hold.reached(second)
        monkeypatch.setenv("PSAGE_HOME", str(home))
        first = psage(*SYNC, "--json")
        hold.let_go()
        result = end(second)

    assert (first.code, result.code) == (0, 0)
    assert productive_says(busy) == sage_says(busy)
    for folder in (home, other):
        monkeypatch.setenv("PSAGE_HOME", str(folder))
        assert_completed(busy, psage, folder)


# --- Ctrl-C


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sync_says_what_it_did_and_the_next_run_does_the_rest(
    busy: Sandbox, home: Path, psage: Psage, number: signal.Signals, when: str
) -> None:
    posting = Hold(busy, 3, method="POST", path="/payments", when=when)
    with posting as hold, started(*SYNC, "--json") as process:
        hold.reached(process)
        process.send_signal(number)
        interrupted = end(process)
        hold.lose()

    assert interrupted.code == 130
    assert interrupted.json["error"]["code"] == "interrupted"
    assert interrupted.err == ""
    done = [len(interrupted.json[name]) for name in ("created", "updated", "deleted")]
    assert done == [2, 1, 1]
    assert_completed(busy, psage, home)


# --- tools


def lapsed(home: Path) -> int:
    """How many new payments are known not to have arrived."""
    with closing(sqlite3.connect(home / "default.db")) as store:
        (count,) = store.execute("SELECT count(*) FROM intent WHERE state = 'lapsed'").fetchone()
    return int(count)
