"""Each read of a payment sync goes wrong in each way: no payment is lost, none is doubled.

A scenario is set up once and its reads are recorded. Then each read is spoiled with each fault, and
the run after it, on a good day, must leave in Productive just what Sage says.
"""

import json
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
from productive_sage.sandbox.books import Books
from productive_sage.sandbox.sage import allocate
from productive_sage.sandbox.server import Call
from productive_sage.signin.vault import SageSignIn, Vault
from productive_sage.store.intents import Intents
from tests.conftest import Psage, Result, forget, sage_sign_in, writes
from tests.services import test_bad_days

waits = test_bad_days.waits

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


# --- what must be so, by the sandbox's own books


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


# --- the scenarios


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


CHANGED, RECEIPTS, ALLOCATIONS = (
    "sage /sales_invoices",
    "sage /contact_payments",
    "sage /contact_allocations",
)
INVOICE, RECEIPT, ALLOCATION = f"{CHANGED}/*", f"{RECEIPTS}/*", f"{ALLOCATIONS}/*"
PAYMENTS, PAYMENT, BALANCES, GONE = (
    "productive /payments",
    "productive /payments/*",
    "productive /invoices",
    "productive /deleted_items",
)
NONE = " (none)"
"""Behind a read that gives nothing: a list without rows, or 404."""
NO_ALLOCATIONS = (ALLOCATIONS + NONE, ALLOCATIONS + NONE)
NEWS = (CHANGED, RECEIPTS, RECEIPTS + NONE, *NO_ALLOCATIONS)
"""The feeds, where invoices and receipts were changed."""
WHOLE = (CHANGED, RECEIPTS + NONE, ALLOCATIONS + NONE)
SCENARIOS = {  # where a payment was made, the last read is a look back
    "first": Scenario(World.copy, SYNC, (*WHOLE, PAYMENTS, BALANCES, PAYMENTS)),
    "first, rows tell less": Scenario(
        World.copy, SYNC, (*WHOLE, *[INVOICE] * 4, PAYMENTS, BALANCES, PAYMENTS), rows_tell=False
    ),
    "quiet": Scenario(
        World.sync,
        SYNC,
        (
            *(CHANGED + NONE, RECEIPTS + NONE, RECEIPTS + NONE, *NO_ALLOCATIONS),
            # Two have payments by hand that Sage knows nothing of: are they in Sage meanwhile?
            *(CHANGED, PAYMENTS, BALANCES),
        ),
    ),
    "changed": Scenario(World.change, SYNC, (*NEWS, PAYMENTS, BALANCES, PAYMENTS)),
    "changed, rows tell less": Scenario(
        World.change, SYNC, (*NEWS, INVOICE, INVOICE, PAYMENTS, BALANCES, PAYMENTS), rows_tell=False
    ),
    "changed, by id": Scenario(
        World.change,
        (*SYNC, "--invoice", "201", "--invoice", "204"),
        # Does Productive name a copy that is not known here?
        (BALANCES, CHANGED, PAYMENTS, BALANCES, PAYMENTS),
    ),
    "deleted": Scenario(
        World.delete,
        SYNC,
        (
            *(CHANGED, RECEIPTS + NONE, RECEIPTS, *NO_ALLOCATIONS),
            *(CHANGED, PAYMENTS, INVOICE, INVOICE, BALANCES),
        ),
    ),
    "deleted silently": Scenario(
        World.delete_silently,
        SYNC,
        (
            *(CHANGED + NONE, RECEIPTS + NONE, RECEIPTS, *NO_ALLOCATIONS),
            *(CHANGED, PAYMENTS, INVOICE, INVOICE, BALANCES),
        ),
    ),
    "deleted long ago": Scenario(
        World.delete_long_ago,
        (*SYNC, "--invoice", "203"),
        (BALANCES, INVOICE, PAYMENTS, *[RECEIPT + NONE, ALLOCATION + NONE] * 2, BALANCES),
    ),
    "moved": Scenario(
        World.move, SYNC, (*NEWS, INVOICE, PAYMENTS, INVOICE, RECEIPT, INVOICE, BALANCES, PAYMENTS)
    ),
    "on account": Scenario(
        World.allocate,
        SYNC,
        (
            *(CHANGED, RECEIPTS + NONE, RECEIPTS + NONE, ALLOCATIONS, ALLOCATIONS),
            *(ALLOCATION, ALLOCATION, PAYMENTS, INVOICE, BALANCES, PAYMENTS),
        ),
    ),
    "vanished": Scenario(
        World.vanish, (*SYNC, "--full"), (*WHOLE, PAYMENTS, PAYMENT + NONE, BALANCES, PAYMENTS)
    ),
    "gone from Productive": Scenario(
        World.lose_an_invoice, SYNC, (*NEWS, PAYMENTS, PAYMENT + NONE, BALANCES, GONE)
    ),
    "two pages": Scenario(
        World.change_among_many,
        (*SYNC, "--full"),
        (CHANGED, CHANGED, *WHOLE[1:], PAYMENTS, BALANCES, PAYMENTS),
    ),
    "store lost": Scenario(World.lose_the_store, SYNC, (*WHOLE, PAYMENTS, BALANCES, PAYMENTS)),
    "reply lost": Scenario(World.lose_a_reply, SYNC, (*NEWS, PAYMENTS, BALANCES)),
}


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


@pytest.fixture(autouse=True)
def no_new_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look for customers made twice has tests of its own; here each read is counted."""
    monkeypatch.setattr(Intents, "has_made_customers", lambda self, since: False)


@pytest.fixture
def stage(services: Sandbox, psage: Psage, home: Path) -> Stage:
    return Stage(services, psage, home, SCENARIOS)


def kind_of(call: Call) -> str:
    """A read as `SCENARIOS` names it."""
    first, *rest = call.path.strip("/").split("/")
    document = json.loads(call.reply_body)
    is_none = call.status == 404 or (
        not rest and not (document.get("$items") or document.get("data"))
    )
    return f"{call.service} /{first}{'/*' if rest else ''}{NONE if is_none else ''}"


# --- the faults

OTHER_BUSINESS = "00000000000000000000000000000000"
Fault = dict[str, Any]


def told_by(read: Call, document: Any, business: str = "") -> Fault:
    """The read is answered with a document of the right form."""
    headers = {"X-Business": business or read.reply_headers.get("X-Business", "")}
    return {
        "kind": "status",
        "status": 200,
        "body": document,
        "headers": headers if read.service == "sage" else {},
    }


def with_rows(read: Call, change: Callable[[list[Any]], list[Any]], *, total: int = 0) -> Fault:
    """The read is answered with other rows; `total` is added to what the page says it has."""
    document = json.loads(read.reply_body)
    rows = "$items" if read.service == "sage" else "data"
    document[rows] = change(document[rows])
    if read.service == "sage":
        document["$total"] += total
    return told_by(read, document)


def with_settlements(read: Call, kept: Callable[[list[Any]], list[Any]], *, is_sum: bool) -> Fault:
    """Sage's invoices lack settlements, with or without what they say is outstanding."""
    document = json.loads(read.reply_body)
    for row in document.get("$items", [document]):
        settled = row.get("payments_allocations")
        if settled is not None:
            row["payments_allocations"] = kept(settled)
        if is_sum:
            row["outstanding_amount"] = row["total_amount"]
    return told_by(read, document)


FAULTS: dict[str, Callable[[Call], Fault]] = {
    "401": lambda read: {"kind": "status", "status": 401, "times": 2},
    "401 and no renewal": lambda read: {"kind": "status", "status": 401},
    "403": lambda read: {"kind": "status", "status": 403},
    "404": lambda read: {"kind": "status", "status": 404},
    "429": lambda read: {"kind": "status", "status": 429, "headers": {"Retry-After": "3600"}},
    "500": lambda read: {"kind": "status", "status": 500, "times": 5},
    "cut before": lambda read: {"kind": "cut_before", "times": 5},
    "cut in the middle": lambda read: {"kind": "cut_mid", "times": 5},
    "a page for people": lambda read: {"kind": "html", "times": 5},
    "half a document": lambda read: {"kind": "truncated", "times": 5},
    "another document": lambda read: {"kind": "status", "status": 200, "body": []},
    "empty page": lambda read: {"kind": "empty_page"},
    "higher total": lambda read: with_rows(read, list, total=1),
    "lacks a row": lambda read: with_rows(read, lambda rows: rows[:-1]),
    "lags": lambda read: with_rows(read, lambda rows: rows[1:], total=-1),
    "other business": lambda read: told_by(read, json.loads(read.reply_body), OTHER_BUSINESS),
    "404, other business": lambda read: {
        "kind": "status",
        "status": 404,
        "headers": {"X-Business": OTHER_BUSINESS},
    },
    "says unpaid": lambda read: with_settlements(read, lambda rows: [], is_sum=True),
    "says half": lambda read: with_settlements(read, lambda rows: rows[1:], is_sum=False),
    "says nothing": lambda read: with_settlements(
        read,
        lambda rows: [row | {"amount": "0.00", "discount": "0.00"} for row in rows],
        is_sum=True,
    ),
}


def is_possible(name: str, read: str, fault: str) -> bool:
    is_sage, is_list = read.startswith("sage"), "*" not in read
    is_there = NONE not in read
    return {
        "401 and no renewal": is_sage,
        "404": is_list or is_there,
        "higher total": is_sage and is_list,
        "lacks a row": is_list and is_there,
        "lags": is_sage and is_list and is_there and name != "two pages",
        "other business": is_sage,
        "404, other business": is_sage and not is_list,
        "says unpaid": "/sales_invoices" in read and is_there,
        "says half": "/sales_invoices" in read and is_there,
        # Of an invoice read by itself that is proof enough.
        "says nothing": read == CHANGED and SCENARIOS[name].rows_tell,
    }.get(fault, True)


NOT_SEEN = (0, None)
NOT_FOUND = (4, "not_found")
UNAVAILABLE = (5, "service_unavailable")
ALWAYS: dict[str, tuple[int, str | None]] = {
    "401": (3, "sign_in_expired"),
    "401 and no renewal": (3, "sign_in_expired"),
    "429": (5, "rate_limited"),
    "500": UNAVAILABLE,
    "cut before": UNAVAILABLE,
    "cut in the middle": UNAVAILABLE,
    "a page for people": UNAVAILABLE,
    "half a document": UNAVAILABLE,
    "another document": UNAVAILABLE,
    "higher total": UNAVAILABLE,
    "lags": NOT_SEEN,
    "other business": (4, "different_business"),
    "404, other business": (4, "different_business"),
    "says unpaid": NOT_SEEN,
    "says nothing": NOT_SEEN,
}


def expected(name: str, nth: int, fault: str) -> tuple[int, str | None]:
    """The exit code and the error code of a run one of whose reads was spoiled."""
    read, *later = SCENARIOS[name].reads[nth:]
    service, is_list = read.partition(" ")[0], "*" not in read
    refused = (4, f"refused_by_{service}")
    denied = (4, "rights_missing") if service == "sage" else refused
    may_be_missed = "/contact_" in read
    # The record of the deletion is the last one. An invoice that is not listed is asked for again.
    may_lack = NOT_FOUND if read == GONE else NOT_SEEN
    # An invoice read before the payments is what is planned by, later it is a second witness.
    is_the_plan = not is_list and PAYMENTS in later[:-1]
    is_second_page = (name, nth) == ("two pages", 1)
    may_be_gone = NOT_FOUND if read == GONE else NOT_SEEN
    special = {
        "403": NOT_FOUND if read == GONE else NOT_SEEN if may_be_missed else denied,
        "404": refused if is_list and read != GONE else may_be_gone,
        "empty page": may_be_gone if is_list and not is_second_page else UNAVAILABLE,
        "lacks a row": UNAVAILABLE if service == "sage" else may_lack,
        "says half": UNAVAILABLE if is_the_plan else NOT_SEEN,
    }
    if fault == "404" and service == "sage" and not is_list:
        return UNAVAILABLE  # it does not name the business, so it may be a gateway's
    if name == "reply lost" and read == PAYMENTS and fault in ("empty page", "lacks a row"):
        # What was sent is not there, and may still arrive.
        return (8, "outcome_unknown" if fault == "lacks a row" else "some_failed")
    return special.get(fault) or ALWAYS[fault]


def spoiled() -> list[Any]:
    """Each read of each scenario with each fault."""
    return [
        pytest.param(name, nth, fault, id=f"{name}: {nth} {read}: {fault}")
        for name, scenario in SCENARIOS.items()
        for nth, read in enumerate(scenario.reads)
        for fault in FAULTS
        if is_possible(name, read, fault)
    ]


def spoil(sandbox: Sandbox, reads: list[Call], nth: int, fault: str) -> None:
    """Arrange a fault for one of the reads."""
    read = reads[nth]
    place = sum(other.service == read.service for other in reads[:nth]) + 1
    sandbox.fault(service=read.service, method="GET", nth=place, **FAULTS[fault](read))
    if fault == "401 and no renewal":
        body = {"error": "invalid_grant", "error_description": "The refresh token is invalid"}
        sandbox.fault("status", service="auth", path="/token", status=400, body=body)


# --- the tests


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_makes_just_the_reads_that_are_spoiled(stage: Stage, name: str) -> None:
    scenario, sandbox = SCENARIOS[name], stage.sandbox
    snapshot = stage.set(name)
    people = by_hand(sandbox)

    result = stage.psage(*scenario.command, "--json")

    assert result.code == 0
    assert tuple(map(kind_of, snapshot.reads)) == scenario.reads
    assert_as_sage_says(sandbox, stage.home, people)
    sandbox.clear_calls()
    assert stage.psage(*scenario.command, "--json").code == 0
    assert writes(sandbox) == []


@pytest.mark.parametrize(("name", "nth", "fault"), spoiled())
def test_a_spoiled_read_costs_no_payment_and_doubles_none(
    stage: Stage, name: str, nth: int, fault: str
) -> None:
    scenario, sandbox = SCENARIOS[name], stage.sandbox
    snapshot = stage.set(name)
    before, people, wanted = ours(sandbox), by_hand(sandbox), sage_says(sandbox)
    spoil(sandbox, snapshot.reads, nth, fault)

    result = stage.psage(*scenario.command, "--json")

    assert_nothing_lost(sandbox, before, people)
    exit_code, code = expected(name, nth, fault)
    is_plan = PAYMENTS not in scenario.reads[:nth]
    if scenario.reads[nth] == PAYMENTS and is_plan and fault in ("empty page", "lacks a row"):
        failed = not_done(snapshot.reads[nth], fault, before, wanted)
        assert {row["productive_invoice_id"] for row in result.json["failed"]} == failed
        if exit_code != 8:
            exit_code, code = UNAVAILABLE if failed else NOT_SEEN
    assert_told(result, exit_code, code)
    if fault == "403" and "/contact_" in scenario.reads[nth]:
        assert_said(result, scenario.reads[nth])
    if stage.is_untouched(name):
        return  # what the next run does then, the test above has shown
    # That a payment is not there, and none is due, looks like every other day.
    is_hidden = fault in ("says unpaid", "says nothing") and not before
    command = (*SYNC, "--full") if is_hidden else scenario.command
    sandbox._desk.clear()
    assert stage.psage(*command, "--json").code == 0
    assert_as_sage_says(sandbox, stage.home, people)


@pytest.mark.parametrize(
    ("name", "nth", "fault"),
    [case for case in spoiled() if case.values[0] == "moved"],
)
def test_a_spoiled_read_is_told_to_people_in_one_message(
    stage: Stage, name: str, nth: int, fault: str
) -> None:
    scenario = SCENARIOS[name]
    spoil(stage.sandbox, stage.set(name).reads, nth, fault)

    result = stage.psage("--quiet", *scenario.command)

    exit_code, _ = expected(name, nth, fault)
    assert "Traceback" not in result.out + result.err
    assert result.out == ""
    if exit_code:
        assert result.code in (exit_code, 6)
        assert result.err.count("error: ") == 1
        assert result.err.count("hint: ") == 1
        assert scenario.reads[nth].split()[0].capitalize() in result.err


@pytest.mark.parametrize(
    ("name", "row"),
    [*(("store lost", row) for row in range(8)), *(("reply lost", row) for row in range(5))],
)
def test_a_payment_that_productive_does_not_list_is_not_made_again(
    stage: Stage, name: str, row: int
) -> None:
    scenario, sandbox = SCENARIOS[name], stage.sandbox
    snapshot = stage.set(name)
    before, people = ours(sandbox), by_hand(sandbox)
    listing = next(read for read in snapshot.reads if kind_of(read) == PAYMENTS)
    assert row < len(json.loads(listing.reply_body)["data"])
    fault = with_rows(listing, lambda rows: rows[:row] + rows[row + 1 :])
    sandbox.fault(service="productive", method="GET", path="/payments", **fault)

    result = stage.psage(*scenario.command, "--json")

    assert_nothing_lost(sandbox, before, people)
    assert result.code == 6 or name == "reply lost"
    assert stage.psage(*scenario.command, "--json").code == 0
    assert_as_sage_says(sandbox, stage.home, people)


@pytest.mark.parametrize("fault", ["403", "404", "empty page"])
@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("sage", "/"),
        ("sage", "/sales_invoices"),
        ("sage", "/sales_invoices/*"),
        ("sage", "/contact_*"),
        ("sage", "/contact_*/*"),
        ("productive", "/"),
        ("productive", "/payments"),
        ("productive", "/invoices"),
    ],
)
@pytest.mark.parametrize("name", ["deleted long ago", "on account", "store lost"])
def test_reads_that_stay_spoiled_cost_no_payment_and_double_none(
    stage: Stage, name: str, service: str, path: str, fault: str
) -> None:
    scenario, sandbox = SCENARIOS[name], stage.sandbox
    snapshot = stage.set(name)
    before, people = ours(sandbox), by_hand(sandbox)
    how = FAULTS[fault](snapshot.reads[0]) | {"times": 1000}
    sandbox.fault(service=service, method="GET", path=path, **how)

    result = stage.psage(*scenario.command, "--json")

    assert result.code in (0, 4, 5, 6)
    assert "Traceback" not in result.out + result.err
    assert_nothing_lost(sandbox, before, people)
    sandbox._desk.clear()
    assert stage.psage(*SYNC, "--full", "--json").code == 0
    assert_as_sage_says(sandbox, stage.home, people)


@pytest.mark.parametrize("fault", ["", "403", "404, other business", "empty page", "500"])
def test_invoices_that_are_all_said_to_be_unpaid_are_no_proof(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    sandbox = stage.sandbox
    snapshot = stage.set("quiet")
    before, people = ours(sandbox), by_hand(sandbox)
    monkeypatch.setattr(Books, "settlements", lambda self, key: [])
    if fault:
        how = FAULTS[fault](snapshot.reads[0]) | {"times": 1000}
        sandbox.fault(service="sage", method="GET", path="/contact_*/*", **how)

    result = stage.psage(*SYNC, "--full", "--json")

    assert ours(sandbox) == before
    assert by_hand(sandbox) == people
    if fault in ("", "403"):
        assert_told(result, 0, None)
        codes = [row["code"] for row in result.json["skipped"]]
        assert sorted(codes) == ["no_receipt_in_sage"] * 2 + ["not_proven"] * len(before)


@pytest.mark.parametrize("fault", ["404", "403"])
def test_receipts_that_are_all_said_to_be_gone_are_no_proof(stage: Stage, fault: str) -> None:
    sandbox = stage.sandbox
    snapshot = stage.set("quiet")
    before, people = ours(sandbox), by_hand(sandbox)
    how = FAULTS[fault](snapshot.reads[0]) | {"times": 1000}
    sandbox.fault(service="sage", method="GET", path="/contact_*/*", **how)
    for path in ("/contact_payments", "/contact_allocations"):
        gone = [{"id": marker.split()[1].partition("/")[0]} for marker in before]
        body = {"$total": len(gone), "$next": None, "$items": gone}
        sandbox.fault("status", method="GET", path=path, nth=2, status=200, body=body)

    result = stage.psage(*SYNC, "--json")

    assert result.code == 0
    assert ours(sandbox) == before
    assert by_hand(sandbox) == people


@pytest.mark.parametrize("fault", ["", "403", "404", "500", "empty page", "404, other business"])
def test_a_receipt_whose_row_does_not_say_what_it_settles_is_read_by_itself(
    stage: Stage, fault: str
) -> None:
    sandbox = stage.sandbox
    snapshot = stage.set("changed")
    before, people = ours(sandbox), by_hand(sandbox)
    rows = next(read for read in snapshot.reads if kind_of(read) == RECEIPTS)
    silent = with_rows(rows, lambda rows: [{"id": row["id"]} for row in rows])
    sandbox.fault(method="GET", path="/contact_payments", **silent)
    if fault:
        how = FAULTS[fault](snapshot.reads[0])
        sandbox.fault(method="GET", path="/contact_payments/*", **how)

    result = stage.psage(*SYNC, "--json")

    assert_nothing_lost(sandbox, before, people)
    codes = {"": 0, "403": 0, "404, other business": 4}
    assert result.code == codes.get(fault, 5)
    assert stage.psage(*SYNC, "--json").code == 0
    assert_as_sage_says(sandbox, stage.home, people)


# --- tools


def not_done(read: Call, fault: str, before: Payments, wanted: dict[str, ReceiptShare]) -> set[str]:
    """The invoices that cannot be done, since Productive's list lacks payments of theirs.

    Those psage made are always missed; those people made only where one of the invoice's is to be
    made or changed.
    """
    rows = json.loads(read.reply_body)["data"]
    lost = {row["id"] for row in (rows if fault == "empty page" else rows[-1:])}
    own = {row["id"]: row["invoice_id"] for row in before.values()}
    changing = {
        share[0]
        for marker, share in wanted.items()
        if marker not in before or as_share(before[marker]) != share
    }
    invoices = {row["id"]: row["relationships"]["invoice"]["data"]["id"] for row in rows}
    return {invoices[key] for key in lost if key in own or invoices[key] in changing}


def assert_nothing_lost(sandbox: Sandbox, before: Payments, people: list[dict[str, Any]]) -> None:
    """Payments are as they were or as Sage says; none is gone that Sage has; none is doubled."""
    after, wanted = ours(sandbox), sage_says(sandbox)
    assert by_hand(sandbox) == people
    for marker in before.keys() & wanted.keys():
        assert after[marker]["id"] == before[marker]["id"]
    for marker, row in after.items():
        held = [as_share(before[marker])] if marker in before else []
        assert as_share(row) in [*held, wanted.get(marker)]


def assert_told(result: Result, exit_code: int, code: str | None) -> None:
    """One document, with one error where there is one; 6 where other invoices were done."""
    assert "Traceback" not in result.out + result.err
    assert result.err == ""
    document = result.json
    failed = {row["productive_invoice_id"] for row in document.get("failed", [])}
    if exit_code not in (0, 8) and 0 < len(failed) < document["checked_invoices"]:
        exit_code = 6  # an unknown outcome comes before that
    error = document.get("error") or {}
    assert (result.code, error.get("code")) == (exit_code, code), result.out
    assert not code or (error["message"] and error["hint"])


def assert_said(result: Result, read: str) -> None:
    """What this sign-in may not read is said, and what it stands in the way of."""
    if "*" in read:
        codes = {row["code"] for row in result.json["skipped"]}
        assert codes & {"not_proven", "allocation_unclear"}
    else:
        what = "receipts" if RECEIPTS in read else "allocations"
        assert [row["code"] for row in result.json["warnings"]] == [f"{what}_not_readable"]
