"""`psage apply` killed at random instants: the same command does the rest, each document once."""

import random
from pathlib import Path

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import first_line
from tests.harness import oracle
from tests.harness.fast import Machine
from tests.harness.kills import LAGS_S, TAX, deadly, rounds

ROUNDS, BATCH = 100, 25
KINDS = {
    "create": ("copy-invoice", "101", "123", "124", *TAX),
    "customers": ("copy-invoice", "123", "124", "--create-customer", *TAX, "--no-pdf"),
    "update": ("copy-invoice", "101", "123", "--update-existing"),
    "new": ("copy-invoice", "101", "--create-new", *TAX, "--no-pdf"),
    "credit": ("credit-note", "110"),
}
MOST_KILLS = 3
"""So often one plan is killed before it may come to its end."""


def plan_of(machine: Machine, kind: str) -> str:
    return str(machine.folder / f"{kind}.json")


def prepare(sandbox: Sandbox, machine: Machine, kind: str) -> None:
    """What has to be there, and the plan."""
    if kind in {"update", "new"}:
        assert machine.run("copy-invoice", "101", "123", *TAX).code == 0
    if kind == "update":
        for key in ("101", "123"):
            sandbox.agency.edit_line(first_line(sandbox, key), quantity="12")
    if kind == "credit":
        assert machine.run("copy-invoice", "111", *TAX).code == 0
    assert machine.run(*KINDS[kind], "--plan", plan_of(machine, kind)).code == 0


def play(sandbox: Sandbox, machine: Machine, seed: int, kind: str, _before: bytes) -> None:
    """Kill, more than once maybe; then run to the end, and look at the books."""
    rng = random.Random(seed)
    sandbox.search_lag_s = rng.choice(LAGS_S)
    args = ("apply", plan_of(machine, kind), "--yes", "--json")
    documents = len(oracle.documents(sandbox))
    wanted = {"create": 3, "customers": 2, "update": 0, "new": 1, "credit": 1}[kind]
    for _ in range(rng.randint(1, MOST_KILLS)):
        with deadly(sandbox, rng) as know:
            run = machine.start(*args)
            know(run)
            run.end()
    for _ in range(4):
        result = machine.run(*args)
        oracle.check_end(result)
        if result.code == 0:
            break
        sandbox.advance(600)
    assert result.code == 0, result
    calls = len([call for call in sandbox.calls() if call.method != "GET"])
    assert machine.run(*args).code == 0
    assert len([call for call in sandbox.calls() if call.method != "GET"]) == calls
    assert len(oracle.documents(sandbox)) == documents + wanted
    assert oracle.doubled_documents(sandbox) == set()
    assert oracle.doubled_customers(sandbox) == set()
    oracle.check_books(sandbox)
    assert oracle.left_open(machine.store) == (0, 0)


@pytest.mark.torture
def test_a_plan_killed_while_it_is_applied_is_carried_out_once(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    rounds(sandbox, tmp_path / "a", range(5), [*KINDS], prepare, play)


@pytest.mark.torture
@pytest.mark.parametrize("first", range(10, 10 + ROUNDS, BATCH))
def test_100_kills_lose_and_double_nothing(sandbox: Sandbox, tmp_path: Path, first: int) -> None:
    rounds(sandbox, tmp_path / "a", range(first, first + BATCH), [*KINDS], prepare, play)
