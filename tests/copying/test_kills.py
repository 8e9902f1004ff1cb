"""psage taken away at random instants, its records kept, lost, put back or cut short.

Each round kills one run at a request drawn by lot, or shortly after it, then does what a person
would: runs the command again. Everything is there once in the end, or what is twice is said.
"""

import random
from pathlib import Path

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import first_line
from tests.harness import oracle
from tests.harness.fast import Machine
from tests.harness.kills import LAGS_S, TAX, deadly, rounds

ROUNDS, BATCH = 500, 25
KINDS = {
    "create": ("copy-invoice", "123", *TAX),
    "batch": ("copy-invoice", "101", "123", "124", *TAX, "--no-pdf"),
    "update": ("copy-invoice", "123", "--update-existing"),
    "credit": ("credit-note", "110"),
    "sync": ("sync-payments",),
    "draft": ("copy-invoice", "123", *TAX, "--draft"),
    "release": ("release", "123"),
}


# --- the records


def kept(machine: Machine, before: bytes, rng: random.Random) -> None:
    """Nothing happens to them."""


def lost(machine: Machine, before: bytes, rng: random.Random) -> None:
    """Somebody deletes them."""
    machine.forget()


def old(machine: Machine, before: bytes, rng: random.Random) -> None:
    """A backup from before the run is put back."""
    machine.forget()
    if before:
        machine.store.write_bytes(before)


def cut(machine: Machine, before: bytes, rng: random.Random) -> None:
    """The file ends early, or what was written last and not yet merged is gone."""
    journal = machine.store.with_name(f"{machine.store.name}-wal")
    for file in (journal, machine.store.with_name(f"{machine.store.name}-shm")):
        file.unlink(missing_ok=True)
    if machine.store.exists() and rng.random() < 0.6:
        content = machine.store.read_bytes()
        machine.store.write_bytes(content[: rng.randint(0, len(content))])


FATES = (kept, kept, lost, old, cut)


# --- one round


def prepare(sandbox: Sandbox, machine: Machine, kind: str) -> None:
    """What has to be there before a run of this kind."""
    if kind == "update":
        assert machine.run("copy-invoice", "123", *TAX).code == 0
        sandbox.agency.edit_line(first_line(sandbox, "123"), quantity="12")
    elif kind == "credit":
        assert machine.run("copy-invoice", "111", *TAX).code == 0
    elif kind == "release":
        assert machine.run(*KINDS["draft"]).code == 0
    elif kind == "sync":
        assert machine.run("copy-invoice", "123", "124", *TAX, "--no-pdf").code == 0
        for row in oracle.documents(sandbox):
            sandbox.bookkeeper.pay(row["id"], "100.00", "2026-03-01", "BACS 1")
            sandbox.bookkeeper.pay(row["id"], "50.00", "2026-03-02", "BACS 2")


def play(sandbox: Sandbox, machine: Machine, seed: int, kind: str, before: bytes) -> None:
    """Kill, do something to the records, run again, and look at the books."""
    rng = random.Random(seed)
    args, fate, honours = KINDS[kind], rng.choice(FATES), rng.random() < 0.7
    sandbox.search_lag_s, sandbox.remember_idempotency = rng.choice(LAGS_S), honours
    with deadly(sandbox, rng) as know:
        run = machine.start(*args, "--json")
        know(run)
        run.end()
    fate(machine, before, rng)
    told = []
    for _ in range(5):
        if kind == "sync" and fate is not kept:  # which copies there are may not be known any more
            machine.run("copy-invoice", "123", "124", *TAX, "--no-pdf")
        result = machine.run(*args, "--json")
        if result.code == 2:
            assert "damaged" in result.out, result
            machine.forget()  # as the message says
            continue
        oracle.check_end(result)
        told.append(result)
        if result.code in {0, 4, 7}:
            break
        sandbox.advance(600)
    is_done = result.code == 0 or '"already_copied"' in result.out
    twice = oracle.doubled_documents(sandbox), oracle.doubled_customers(sandbox)
    if not any(twice):
        assert is_done, result
        oracle.check_books(sandbox)
        # A draft waits to be released.
        assert oracle.left_open(machine.store) == (0, 1 if kind == "draft" else 0)
        drafts = [one for one in oracle.documents(sandbox) if one["status"]["id"] == "DRAFT"]
        assert len(drafts) == (1 if kind == "draft" else 0)
    else:
        assert not honours
        assert fate is not kept
        sandbox.advance(600)
        told.append(machine.run("sync-payments", "--json"))
        said = "".join(one.out for one in told)
        assert any(code in said for code in ("copied_twice", "copy_unclear", "customer_doubled"))
    if kind == "sync":
        oracle.check_payments(sandbox)


def test_a_run_killed_at_any_instant_loses_and_doubles_nothing(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    rounds(sandbox, tmp_path / "a", range(len(KINDS)), [*KINDS], prepare, play)


@pytest.mark.torture
@pytest.mark.parametrize("first", range(10, 10 + ROUNDS, BATCH))
def test_500_kills_lose_and_double_nothing(sandbox: Sandbox, tmp_path: Path, first: int) -> None:
    rounds(sandbox, tmp_path / "a", range(first, first + BATCH), [*KINDS], prepare, play)
