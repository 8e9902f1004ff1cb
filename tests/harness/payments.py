"""Payments as they must be by the sandbox's own books, and scenarios that lead to them."""

import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import typer.main

from productive_sage.sandbox import Sandbox
from productive_sage.sandbox.sage import allocate
from productive_sage.sandbox.server import Call
from productive_sage.signin.vault import SageSignIn, Vault
from tests.conftest import Psage, Result, forget, sage_sign_in

SYNC = ("sync-payments",)
INVOICES = ("201", "202", "203", "204")
COPY = ("copy-invoice", *INVOICES, "--tax-rate", "GB_STANDARD", "--no-pdf")
LONG_AGO_S = 10 * 86_400
SETTINGS = """\
sync_payments = true
sync_payments_from = 2026-01-01
settlement_discount = "write_off"
"""
Payments = dict[str, dict[str, Any]]
ReceiptShare = tuple[str, int, str | None, str | None, str]
"""Invoice, amount in pence, the day it was paid, the day it was granted as a discount, note."""


def sage_says(sandbox: Sandbox) -> dict[str, ReceiptShare]:
    """Each share of an invoice that is still in Productive, by its marker."""
    found: dict[str, ReceiptShare] = {}
    productive_ids = {
        key: str(row["reference"]).removeprefix("PRD-")
        for key, row in sandbox.sage.invoices.items()
    }
    for key, receipt in sandbox.sage.receipts.items():
        line, on = f"Sage receipt {receipt['reference']}", receipt["date"]
        for row in receipt["allocated_artefacts"]:
            sage_id, is_new = row["artefact"]["id"], on >= "2026-01-01"
            paid, granted = int(row["amount"] * 100), int(row["discount"] * 100)
            invoice, marker = productive_ids[sage_id], f"psage {key}/{sage_id}"
            if is_new and paid:
                found[marker] = (invoice, paid, on, None, f"{line}\n{marker}")
            if is_new and granted:
                marker = f"{marker} discount"
                found[marker] = (invoice, granted, None, on, f"{line}\n{marker}")
    for key, allocation in sandbox.sage.allocations.items():
        for row in allocation["allocated_artefacts"]:
            sage_id, amount = row["artefact"]["id"], int(row["amount"] * 100)
            if amount > 0:
                marker, on = f"psage {key}/{sage_id}", allocation["date"]
                note = f"Sage receipt\n{marker}"
                found[marker] = (productive_ids[sage_id], amount, on, None, note)
    living = sandbox.productive.invoices
    return {marker: share for marker, share in found.items() if share[0] in living}


def ours(sandbox: Sandbox) -> Payments:
    """psage's payments in Productive by their markers, of which none may be there twice."""
    found: Payments = {}
    for row in sandbox.productive.payments.values():
        for line in str(row["note"]).splitlines():
            if line.startswith("psage "):
                assert line not in found, f"doubled: {found[line]} and {row}"
                found[line] = row
    return found


def by_hand(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The payments people made in Productive."""
    return [row for row in sandbox.productive.payments.values() if "psage " not in str(row["note"])]


def productive_says(sandbox: Sandbox) -> dict[str, ReceiptShare]:
    """As `sage_says`, of psage's payments in Productive."""
    return {marker: as_share(row) for marker, row in ours(sandbox).items()}


def as_share(row: dict[str, Any]) -> ReceiptShare:
    return row["invoice_id"], row["amount"], row["paid_on"], row["written_off_on"], row["note"]


def left_open(home: Path) -> tuple[int, int]:
    """(payments whose end is not known, invoices that wait) in the store."""
    with closing(sqlite3.connect(home / "default.db")) as store:
        (intents,) = store.execute("SELECT count(*) FROM intent WHERE state = 'sending'").fetchone()
        (waiting,) = store.execute("SELECT count(*) FROM waiting").fetchone()
    return intents, waiting


def assert_as_sage_says(sandbox: Sandbox, home: Path, people: list[dict[str, Any]]) -> None:
    """Productive holds each share of Sage once, people's own payments, and nothing is open."""
    assert productive_says(sandbox) == sage_says(sandbox)
    assert by_hand(sandbox) == people
    assert left_open(home) == (0, 0)


class World:
    """Four invoices of one customer, and what people do to their payments."""

    def __init__(self, sandbox: Sandbox, psage: Psage, home: Path) -> None:
        self.sandbox, self.psage, self.home = sandbox, psage, home
        self.sage_ids: dict[str, str] = {}

    def run(self, *args: str) -> Result:
        result = self.psage(*args, "--json")
        assert result.code == 0, result.out
        return result

    def copy(self) -> None:
        """Copied long ago, with payments nobody has synchronised yet."""
        sandbox = self.sandbox
        with (self.home / "default.toml").open("a") as file:
            file.write(SETTINGS)
        sandbox.advance(-LONG_AGO_S)
        for key in INVOICES:
            sandbox.agency.add_invoice(
                id=key, company_id=507, lines=[{"unit_price": "1000.00", "service_type_id": 11}]
            )
        self.run(*COPY)
        self.sage_ids = {
            row["reference"].removeprefix("PRD-"): key
            for key, row in sandbox.sage.invoices.items()
            if row["reference"]
        }
        of, books = self.sage_ids, sandbox.bookkeeper
        self.first = books.pay(of["201"], "500.00", "2026-03-01", "BACS 1")
        self.of_two = books.pay_many(
            [(of["202"], "300.00"), (of["203"], "400.00")], "2026-03-02", "BACS 2"
        )
        self.with_discount = books.pay(of["203"], "15.00", "2026-03-03", "BACS 3", "20.00")
        books.pay(of["202"], "30.00", "2025-12-15", "too old to be mirrored")
        customer = books.contact_id("Juniper Street Coffee Ltd")
        receipt = books.pay_on_account(customer, "800.00", "2026-03-04", "in advance")
        on_account = sandbox.sage.receipts[receipt]["payment_on_account"]
        self.on_account = on_account["id"]
        self.allocation = books.allocate(of["204"], self.on_account, "250.00", "2026-03-05")
        sandbox.agency.add_payment(204, "77.00", "2026-03-06", "by hand")
        sandbox.agency.add_payment(201, "11.00", "2026-03-06", "Sage receipt BACS 0")
        sandbox.advance(LONG_AGO_S)
        self.age()

    def age(self) -> None:
        """Make the copies old, so that nothing but a change leads to them."""
        with closing(sqlite3.connect(self.home / "default.db")) as store, store:
            store.execute("UPDATE link SET copied_at = '2026-01-01T00:00:00+00:00'")

    def sync(self) -> None:
        """As `copy`, and synchronised."""
        self.copy()
        self.run(*SYNC)

    # What people do; each is a way to a scenario.

    def change(self) -> None:
        """One receipt is corrected, another one is new."""
        self.sync()
        books = self.sandbox.bookkeeper
        books.edit_receipt(self.first, "450.00", "2026-03-11", "BACS 1b")
        books.pay(self.sage_ids["204"], "60.00", "2026-03-12", "BACS 4")

    def change_among_many(self) -> None:
        """As `change`, with the copies on the second page of what Sage lists."""
        for number in range(200):
            self.sandbox.bookkeeper.take_number(f"HAND-{number}")
        self.change()

    def delete(self) -> None:
        """A receipt of two invoices is deleted."""
        self.sync()
        self.sandbox.bookkeeper.delete_receipt(self.of_two)

    def delete_silently(self) -> None:
        """As `delete`, and the invoices do not count as changed."""
        self.sync()
        self.sandbox.payments_touch_invoices = False
        self.sandbox.bookkeeper.delete_receipt(self.of_two)

    def delete_long_ago(self) -> None:
        """A receipt with a discount was deleted before anything the feeds tell."""
        self.sync()
        self.sandbox.advance(-LONG_AGO_S)
        self.sandbox.bookkeeper.delete_receipt(self.with_discount)
        self.sandbox.advance(LONG_AGO_S)

    def move(self) -> None:
        """A receipt pays another invoice now, and a share of another has become nothing."""
        self.sync()
        books = self.sandbox.sage.books()
        receipt = books.table("contact_payments")[self.first]
        receipt["allocated"][0]["artefact_id"] = self.sage_ids["202"]
        books.touch(receipt)
        books.touch_artefacts([self.sage_ids["201"], self.sage_ids["202"]])
        self.sandbox.bookkeeper.edit_receipt(self.of_two, "0.00")

    def allocate(self) -> None:
        """One allocation is undone, another sets a payment on account against two invoices."""
        self.sync()
        self.sandbox.bookkeeper.delete_allocation(self.allocation)
        books, of = self.sandbox.sage.books(), self.sage_ids
        parts = [(of["201"], "40.00"), (of["202"], "50.00"), (self.on_account, "-90.00")]
        allocate(
            books,
            {
                "transaction_type_id": "CUSTOMER_ALLOCATION",
                "contact_id": books.table("sales_invoices")[of["201"]]["contact_id"],
                "date": "2026-03-13",
                "allocated_artefacts": [
                    {"artefact_id": key, "amount": amount} for key, amount in parts
                ],
            },
        )

    def vanish(self) -> None:
        """Somebody removed one of psage's payments in Productive."""
        self.sync()
        marker = f"psage {self.first}/{self.sage_ids['201']}"
        self.sandbox.agency.delete_payment(ours(self.sandbox)[marker]["id"])

    def lose_an_invoice(self) -> None:
        """An invoice is gone from Productive, and in Sage it has another receipt."""
        self.change()
        self.sandbox.agency.delete_invoice("204")

    def lose_the_store(self) -> None:
        """The copies were found again in Sage; that they have payments is not known."""
        self.sync()
        self.sandbox.bookkeeper.pay(self.sage_ids["204"], "60.00", "2026-03-12", "BACS 4")
        forget(self.home)
        assert self.psage(*COPY, "--json").code == 0
        self.age()

    def lose_a_reply(self) -> None:
        """The payment of a new receipt reached Productive, and nobody knows."""
        self.change()
        self.sandbox.fault("cut_after", service="productive", method="POST", path="/payments")
        assert self.psage(*SYNC).code == 8


@dataclass(frozen=True)
class Scenario:
    """How it comes about, what is run, and what that reads."""

    prepare: Callable[[World], None]
    command: tuple[str, ...]
    reads: tuple[str, ...]
    rows_tell: bool = True
    """Whether the rows of Sage's lists carry what settles them."""


@dataclass(frozen=True)
class Snapshot:
    """A scenario as it is before its run, and the reads of a good run."""

    data: bytes
    at: datetime
    """By the services' clock; what was sent then may arrive for some minutes more."""
    sign_in: SageSignIn
    store: bytes
    settings: str
    reads: list[Call]


_snapshots: dict[str, Snapshot] = {}


class Stage:
    """Scenarios brought back to their beginning, as often as needed."""

    def __init__(
        self, sandbox: Sandbox, psage: Psage, home: Path, scenarios: dict[str, Scenario]
    ) -> None:
        self.sandbox, self.psage, self.home = sandbox, psage, home
        self.scenarios = scenarios

    def snapshot(self, name: str) -> Snapshot:
        if name not in _snapshots:
            scenario, sandbox, home = self.scenarios[name], self.sandbox, self.home
            sandbox.access_token_lifetime_s = 86_400
            sign_in = sage_sign_in(sandbox)
            Vault("default").save(sign_in)
            scenario.prepare(World(sandbox, self.psage, home))
            _snapshots[name] = Snapshot(
                pickle.dumps((sandbox.sage.data, sandbox.productive.data, sandbox.sign_in.data)),
                sandbox.clock.now(),
                sign_in,
                (home / "default.db").read_bytes(),
                (home / "default.toml").read_text(),
                [],
            )
            self.set(name)
            assert self.psage(*scenario.command, "--json").code == 0
            _snapshots[name].reads.extend(c for c in sandbox.calls() if c.method == "GET")
        return _snapshots[name]

    def set(self, name: str) -> Snapshot:
        """Begin a scenario; nobody has run anything yet."""
        snapshot, sandbox = self.snapshot(name), self.sandbox
        sage, productive, sandbox.sign_in.data = pickle.loads(snapshot.data)
        sandbox.sage.load(sage)
        sandbox.productive.load(productive)
        # Else a payment sent in the snapshot could no longer arrive after five minutes of tests.
        sandbox.clock.offset_s += (snapshot.at - sandbox.clock.now()).total_seconds()
        Vault("default").save(snapshot.sign_in)
        sandbox.lists_carry_allocations = self.scenarios[name].rows_tell
        for file in self.home.glob("default.db-*"):
            file.unlink()
        (self.home / "default.db").write_bytes(snapshot.store)
        (self.home / "default.toml").write_text(snapshot.settings)
        sandbox.clear_calls()
        return snapshot

    def is_untouched(self, name: str) -> bool:
        """Whether nothing at all was changed in Productive and in the store."""
        before = _snapshots[name]
        (self.home / "before.db").write_bytes(before.store)
        held = pickle.loads(before.data)[1]
        return bool(self.sandbox.productive.data == held) and (
            dumped(self.home / "before.db") == dumped(self.home / "default.db")
        )


def dumped(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as store:
        return list(store.iterdump())


class Hasty(sqlite3.Connection):
    """A store that is in no hurry to reach the disk: no power is cut here."""

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        lazily = "PRAGMA synchronous = OFF"
        is_hurry = statement.startswith("PRAGMA synchronous")
        return super().execute(lazily if is_hurry else statement, *values)


_one_command = cache(typer.main.get_command)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save what costs time and changes nothing: reaching the disk, reading the commands' types."""
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Hasty))
    monkeypatch.setattr(typer.main, "get_command", _one_command)


def make_busy(world: World) -> None:
    """Of four invoices each has something to be written: new, changed and deleted receipts."""
    world.sync()
    of, books = world.sage_ids, world.sandbox.bookkeeper
    books.edit_receipt(world.first, "450.00", "2026-03-11", "BACS 1b")
    books.pay(of["201"], "70.00", "2026-03-12", "BACS 4")
    books.delete_receipt(world.of_two)
    books.pay(of["202"], "80.00", "2026-03-12", "BACS 5", "8.00")
    books.pay(of["204"], "60.00", "2026-03-12", "BACS 6")
