"""Taking psage away: at each request of a run in turn, or at one drawn by lot."""

import os
import random
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.harness.fast import Machine, Run
from tests.harness.oracle import Snapshot
from tests.harness.processes import Hold, share_the_keyring

LOST = ("cut_after", "cut_mid", "truncated", "html_after", "status_after")
"""Ways in which a reply that was earned does not arrive."""


def writes_of(calls: tuple[str, ...]) -> list[str]:
    return [call for call in calls if not call.startswith("GET ")]


def places(calls: tuple[str, ...], only: Collection[str] | None = None) -> list[Any]:
    """Each request of a run, before its work and after it; a read without answer is the same."""
    return [
        pytest.param(nth, call, when, id=f"{when} {nth} {call}")
        for nth, call in enumerate(calls, start=1)
        for when in ("before", "after")
        if (when == "before" or call in writes_of(calls)) and (only is None or call in only)
    ]


@pytest.fixture
def shared(sandbox: Sandbox, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share_the_keyring(sandbox, tmp_path, monkeypatch)


@pytest.fixture
def fresh(shared: None, services: Sandbox) -> Sandbox:
    """Nothing copied yet."""
    return services


def kill_at(sandbox: Sandbox, nth: int, call: str, when: str, *command: str) -> None:
    """`kill -9` a run at one request, which must be the one expected there."""
    with Hold(sandbox, nth, when=when) as hold:
        run = Run(command, os.environ, Path(os.environ["PSAGE_HOME"]).parent / "killed")
        assert fnmatchcase(hold.reached(run), call)
        run.kill()
        assert run.end().code == -signal.SIGKILL
        hold.lose()


LAGS_S = (0, 5, 60)
MOST_CALLS = 20
"""About so many requests a run makes; one that makes fewer may end before it is killed."""


@contextmanager
def deadly(
    sandbox: Sandbox, rng: random.Random, most: int = MOST_CALLS
) -> Iterator[Callable[[Run], None]]:
    """Kill a run, once it is known, at one of its requests: before, after, or a moment later."""
    desk: Any = sandbox._desk
    serve, nth, when = desk.serve, rng.randint(1, most), rng.choice(("before", "after", ""))
    later_s, lock, seen = rng.random() * 0.03, threading.Lock(), 0
    victim: list[Run] = []
    is_known = threading.Event()

    def doomed(request: Any, app: Callable[[Any], Any]) -> Any:
        nonlocal seen
        with lock:
            seen += 1
            is_it = seen == nth
        if not is_it:
            return serve(request, app)
        is_known.wait()
        if when == "before":
            victim[0].kill()
            raise ConnectionAbortedError
        outcome = serve(request, app)
        if when == "after":
            victim[0].kill()
            raise ConnectionAbortedError
        threading.Timer(later_s, victim[0].kill).start()
        return outcome

    def know(run: Run) -> None:
        victim.append(run)
        is_known.set()

    desk.serve = doomed
    try:
        yield know
    finally:
        desk.serve = serve


TAX = ("--tax-rate", "GB_STANDARD")

NEW_PDF = b"%PDF-1.4 corrected"


def lose_reply(sandbox: Sandbox, call: str, kind: str, *, times: int = 1) -> None:
    method, path = call.split()
    service = "productive" if method == "PATCH" else "sage"
    sandbox.fault(kind, service=service, method=method, path=path, times=times)


def rounds(
    sandbox: Sandbox,
    folder: Path,
    seeds: range,
    kinds: Sequence[str],
    prepare: Callable[[Sandbox, Machine, str], None],
    play: Callable[[Sandbox, Machine, int, str, bytes], None],
) -> None:
    """Play rounds on one machine, each from the state of its kind, which is prepared once.

    `play` gets the seed, the kind and the machine's records, which are put back before.
    """
    sandbox.access_token_lifetime_s = 86_400
    machine, at_first = Machine(sandbox, folder), Snapshot(sandbox)
    ready: dict[str, tuple[Snapshot, bytes]] = {}
    for seed in seeds:
        kind = kinds[seed % len(kinds)]
        if kind not in ready:
            at_first.restore(sandbox)
            sandbox.search_lag_s, sandbox.remember_idempotency = 0, True
            machine.forget()
            prepare(sandbox, machine, kind)
            content = machine.store.read_bytes() if machine.store.exists() else b""
            ready[kind] = Snapshot(sandbox), content
        state, before = ready[kind]
        state.restore(sandbox)
        machine.forget()
        if before:
            machine.store.write_bytes(before)
        try:
            play(sandbox, machine, seed, kind, before)
        except BaseException:
            print(f"round {seed}, {kind}")
            raise
    sandbox.clear_calls()  # the contract is for runs that come to their end


def assert_made(sandbox: Sandbox, calls: Sequence[str]) -> None:
    """A run made just these requests, in this order."""
    made = [f"{call.method} {call.path}" for call in sandbox.calls()]
    assert len(made) == len(calls), made
    assert all(map(fnmatchcase, made, calls)), made
