"""Two machines at once, without a file in common: the two services are all they share.

Each race starts two runs of the program on homes of their own, with pauses in the services drawn by
lot. Where Sage honours keys nothing may be there twice; where it does not, it must be said.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Result
from tests.harness import oracle
from tests.harness.fast import Machine
from tests.harness.oracle import Snapshot

RACES, BATCH = 200, 10
LAGS_S = (0, 5, 60)
TAX = ("--tax-rate", "GB_STANDARD")

Args = tuple[str, ...]
Machines = tuple[Machine, Machine]


@contextmanager
def uneven(sandbox: Sandbox, rng: random.Random) -> Iterator[None]:
    """Let each request take a time of its own, so that two runs mix in another way each time."""
    desk: Any = sandbox._desk
    serve, lock, longest_s = desk.serve, threading.Lock(), rng.choice((0.0, 0.004, 0.015))

    def slowly(request: Any, app: Callable[[Any], Any]) -> Any:
        with lock:
            pause_s = rng.random() * longest_s
        time.sleep(pause_s)
        return serve(request, app)

    desk.serve = slowly
    try:
        yield
    finally:
        desk.serve = serve


# --- what the two are after


def invoices(sandbox: Sandbox, machines: Machines, rng: random.Random) -> list[Args]:
    """The same invoices, in an order of their own; of customers old and new."""
    agency = sandbox.agency
    companies = [agency.add_company("Race Ltd"), "501", "507"]
    ids = [
        agency.add_invoice(
            company_id=rng.choice(companies), lines=[{"unit_price": f"{rng.randint(1, 900)}.37"}]
        )
        for _ in range(rng.choice((1, 1, 2, 4)))
    ]
    options = (*TAX, *rng.choice([("--no-pdf",), ()]), *rng.choice([("--create-new",), (), ()]))
    return [("copy-invoice", *rng.sample(ids, len(ids)), *options) for _ in machines]


def customers(sandbox: Sandbox, machines: Machines, rng: random.Random) -> list[Args]:
    """One invoice each, of one customer that Sage does not have."""
    company = sandbox.agency.add_company("Race Ltd")
    line = {"unit_price": "95.00"}
    ids = [sandbox.agency.add_invoice(company_id=company, lines=[line]) for _ in machines]
    return [("copy-invoice", key, *TAX) for key in ids]


def credit_notes(sandbox: Sandbox, machines: Machines, rng: random.Random) -> list[Args]:
    """A credit note whose invoice both have."""
    for machine in machines:
        assert machine.run("copy-invoice", "111", *TAX).code == 0
    return [("credit-note", "110")] * 2


def payments(sandbox: Sandbox, machines: Machines, rng: random.Random) -> list[Args]:
    """Receipts for invoices that both know."""
    ids = [
        sandbox.agency.add_invoice(company_id="501", lines=[{"unit_price": "100.00"}])
        for _ in range(rng.choice((1, 3)))
    ]
    for machine in machines:
        assert machine.run("copy-invoice", *ids, *TAX, "--no-pdf").code == 0
    for row in oracle.documents(sandbox):
        for amount in rng.sample(("10.00", "20.00", "30.00"), rng.randint(1, 3)):
            sandbox.bookkeeper.pay(row["id"], amount, "2026-03-01", f"BACS {amount}")
    return [("sync-payments",)] * 2


KINDS = (invoices, invoices, invoices, customers, credit_notes, payments)


# --- one race


def play(sandbox: Sandbox, machines: Machines, seed: int) -> bool:
    """Race, and see that nothing is twice or that it is said; gives whether something was."""
    rng = random.Random(seed)
    kind, honours = KINDS[seed % len(KINDS)], rng.random() < 0.6
    sandbox.search_lag_s, sandbox.remember_idempotency = 0, True
    for machine in machines:
        machine.forget()
    runs = kind(sandbox, machines, rng)
    sandbox.advance(120)
    sandbox.search_lag_s, sandbox.remember_idempotency = rng.choice(LAGS_S), honours
    with uneven(sandbox, rng):
        first = machines[0].start(*runs[0], "--json")
        time.sleep(rng.random() * rng.choice((0.0, 0.1, 0.3)))
        second = machines[1].start(*runs[1], "--json")
        ended = [first.end(), second.end()]
    sandbox.search_lag_s, sandbox.remember_idempotency = 0, True

    twice = oracle.doubled_documents(sandbox), oracle.doubled_customers(sandbox)
    if honours:
        assert twice == (set(), set())
    for machine, args in zip(machines, runs, strict=True):
        ended += at_rest(sandbox, machine, args)
    for result in ended:
        oracle.check_end(result)
    assert (oracle.doubled_documents(sandbox), oracle.doubled_customers(sandbox)) == twice
    told = "".join(result.out for result in ended)
    for marker in twice[0]:
        assert f"times: {numbers(sandbox, marker)} carry `{marker}`" in told, marker
    assert not twice[0] or '"copied_twice"' in told
    assert not twice[1] or '"customer_doubled"' in told
    if not twice[0]:
        oracle.check_books(sandbox)
    if kind is payments:
        oracle.check_payments(sandbox)
    for machine in machines:
        assert oracle.left_open(machine.store) == (0, 0)
    return bool(twice[0] or twice[1])


def at_rest(sandbox: Sandbox, machine: Machine, args: Args) -> list[Result]:
    """Run again, as often as some runs may need; whatever is twice has to be said by then.

    A run that finds the other machine's copy, and refuses, leaves its mark to the run after it.
    """
    again, results = [word for word in args if word != "--create-new"], list[Result]()
    for _ in range(3):
        sandbox.advance(3600)
        results.append(machine.run(*again, "--json"))
        if results[-1].code not in {5, 6, 8} and oracle.left_open(machine.store) == (0, 0):
            break
    return [*results, machine.run("sync-payments", "--json")]


def numbers(sandbox: Sandbox, marker: str) -> str:
    """The numbers of the documents that carry a marker, the first made first."""
    same = [row for row in oracle.documents(sandbox) if row["reference"] == marker]
    same.sort(key=lambda row: (row["created_at"], row["id"]))
    return " and ".join(row["displayed_as"] for row in same)


def race(sandbox: Sandbox, folder: Path, seeds: range) -> int:
    """Play races from one state; gives in how many something came to be twice."""
    sandbox.access_token_lifetime_s = 86_400
    machines = Machine(sandbox, folder / "a"), Machine(sandbox, folder / "b")
    at_first, doubled = Snapshot(sandbox), 0
    for seed in seeds:
        at_first.restore(sandbox)
        try:
            doubled += play(sandbox, machines, seed)
        except BaseException:
            print(f"race {seed}")
            raise
    sandbox.clear_calls()  # the contract is for runs that nobody disturbs
    return doubled


def test_two_machines_at_once_make_nothing_twice_unsaid(sandbox: Sandbox, tmp_path: Path) -> None:
    race(sandbox, tmp_path, range(2))


@pytest.mark.torture
@pytest.mark.parametrize("first", range(6, 6 + RACES, BATCH))
def test_200_races_make_nothing_twice_unsaid(sandbox: Sandbox, tmp_path: Path, first: int) -> None:
    race(sandbox, tmp_path, range(first, first + BATCH))
