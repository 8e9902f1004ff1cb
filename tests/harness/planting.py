"""A book of many copied documents, and every kind of difference to plant in it."""

import copy
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from productive_sage.kept import OwnPayment
from productive_sage.kinds import CREDIT_NOTE
from productive_sage.sandbox import Sandbox
from productive_sage.store import Link, Store
from tests.conftest import A_COPY, Psage
from tests.harness.oracle import Snapshot

DAY = "2026-03-02"


@dataclass
class Book:
    """Both services and psage's records, with documents to plant something in."""

    sandbox: Sandbox
    home: Path
    psage: Psage
    invoices: list[str]
    """Productive ids of invoices that are copied, not paid, and not credited."""
    credited: list[tuple[str, str]]
    """(invoice, credit note), both copied and allocated."""
    paid: list[str]
    """Copied, paid in Sage, and synchronised."""
    planted: dict[str, set[str]]
    """The codes that must be found, by Productive id."""

    def plant(self, name: str, times: int = 3) -> None:
        """Plant one kind of difference some times, each in documents of its own."""
        for _ in range(times):
            key, codes = PLANTS[name](self)
            self.planted[key] = codes

    def copy_of(self, key: str) -> dict[str, Any]:
        """Its copy in Sage, of an invoice or a credit note."""
        books = self.sandbox.sage.books()
        rows = (
            *books.table("sales_invoices").values(),
            *books.table("sales_credit_notes").values(),
        )
        return next(row for row in rows if row["reference"] == f"PRD-{key}")

    def stored(self, sage_id: str) -> dict[str, Any]:
        """The record itself, to be changed."""
        found = self.sandbox.sage.books().document(sage_id)
        assert found
        return found[1]

    def store(self) -> Store:
        return Store(self.home / "default.db")

    def sql(self, statement: str, *values: str) -> None:
        with closing(sqlite3.connect(self.home / "default.db")) as db, db:
            db.execute(statement, values)

    def double(self, sage_id: str, reference: str) -> str:
        """Enter a document of Sage once more, under a reference."""
        books = self.sandbox.sage.books()
        found = books.document(sage_id)
        assert found
        kind, record = found
        content = {k: v for k, v in copy.deepcopy(record).items() if k not in _OWN}
        second = books.new(kind.singular, {**content, "reference": reference})
        second["number"] = f"9{second['id'][:8]}"
        books.table(kind.plural)[second["id"]] = second
        return str(second["id"])


_OWN = ("id", "created_at", "updated_at", "born")


_MADE: dict[int, tuple[Snapshot, dict[str, bytes], Book]] = {}


def filled(sandbox: Sandbox, home: Path, psage: Psage, count: int) -> Book:
    """As `fill`, but made once, and later only put back."""
    if count not in _MADE:
        made = fill(sandbox, home, psage, count)
        files = {one.name: one.read_bytes() for one in home.iterdir() if one.is_file()}
        _MADE[count] = Snapshot(sandbox), files, made
    snapshot, files, made = _MADE[count]
    snapshot.restore(sandbox)
    for name, content in files.items():
        (home / name).write_bytes(content)
    sandbox.clear_calls()
    own = {name: [*getattr(made, name)] for name in ("invoices", "credited", "paid")}
    return Book(sandbox, home, psage, **own, planted={})


def fill(sandbox: Sandbox, home: Path, psage: Psage, count: int) -> Book:
    """Bill and copy `count` documents, of which some are credited, paid, and in euros."""
    with (home / "default.toml").open("a") as settings:
        settings.write('default_tax_rate = "GB_STANDARD"\n')
        settings.write("sync_payments = true\nsync_payments_from = 2026-01-01\n")
    for key in [*sandbox.productive.invoices]:
        sandbox.agency.delete_invoice(key)
    sandbox.productive.table("deleted_items").clear()
    agency = sandbox.agency
    tenth = count // 10
    companies = [agency.add_company(f"Client {n} Ltd") for n in range(max(2, count // 40))]
    made = [
        agency.add_invoice(
            company_id=companies[n % len(companies)],
            lines=[{"unit_price": f"{100 + n % 37}.{n % 100:02d}"}],
            invoiced_on=f"2026-{1 + n % 3:02d}-{1 + n % 27:02d}",
            number=f"B-{n:05d}",
        )
        for n in range(count - tenth)
    ]
    notes = [
        agency.add_invoice(
            company_id=companies[n % len(companies)],
            lines=[{"unit_price": f"{100 + n % 37}.{n % 100:02d}", "quantity": -1}],
            invoiced_on=DAY,
            number=f"C-{n:05d}",
            credits_invoice=made[n],
        )
        for n in range(tenth)
    ]
    options = ("--tax-rate", "GB_STANDARD", "--no-pdf", "--json")
    assert psage("copy-invoice", *made, *options).code == 0
    assert psage("credit-note", *notes, "--no-pdf", "--json").code == 0
    by_id = {row["reference"]: row for row in sandbox.sage.invoices.values()}
    paid = made[tenth : 3 * tenth]
    for n, key in enumerate(paid):
        row = by_id[f"PRD-{key}"]
        total = row["total_amount"]
        if n % 5 == 0:  # in two parts
            sandbox.bookkeeper.pay(row["id"], "20.00", "2026-03-20")
            sandbox.bookkeeper.pay(row["id"], total - 20, "2026-03-27", f"R{n}")
        else:
            sandbox.bookkeeper.pay(row["id"], "20.00" if n % 5 == 1 else total, "2026-03-20")
    assert psage("sync-payments", "--full", "--json").code == 0
    for key in paid[1::7]:  # people enter some themselves
        _by_hand(sandbox, home, key)
    return Book(
        sandbox, home, psage, made[3 * tenth :], [*zip(made, notes, strict=False)], paid, {}
    )


def _by_hand(sandbox: Sandbox, home: Path, key: str) -> None:
    with closing(sqlite3.connect(home / "default.db")) as db, db:
        db.execute("DELETE FROM mirrored WHERE productive_id = ?", (key,))
    for payment in sandbox.productive.payments.values():
        if payment["invoice_id"] == key:
            sandbox.agency.edit_payment(payment["id"], note="by bank")


# --- the kinds


Plant = Callable[[Book], tuple[str, set[str]]]
PLANTS: dict[str, Plant] = {}


def plant(*codes: str) -> Callable[[Callable[[Book, str], None]], Plant]:
    """A way to spoil a copied invoice that is not paid, and what must be found then."""

    def keep(spoil: Callable[[Book, str], None]) -> Plant:
        def run(book: Book) -> tuple[str, set[str]]:
            key = book.invoices.pop()
            spoil(book, key)
            return key, {*codes}

        PLANTS[spoil.__name__] = run
        return run

    return keep


@plant("differs")
def differing_without_a_record_of_what_was_written(book: Book, key: str) -> None:
    book.sql("UPDATE link SET written = NULL WHERE productive_id = ?", key)
    book.sandbox.bookkeeper.edit_invoice(book.copy_of(key)["id"], unit_price="77.00")


@plant("changed_in_productive")
def changed_in_productive(book: Book, key: str) -> None:
    book.sandbox.agency.edit_line(f"{key}001", unit_price="88.00")


@plant("changed_in_productive")
def due_later_in_productive(book: Book, key: str) -> None:
    book.sandbox.agency.edit_invoice(key, pay_on="2026-08-01")


@plant("edited_in_sage")
def edited_in_sage(book: Book, key: str) -> None:
    book.sandbox.bookkeeper.edit_invoice(book.copy_of(key)["id"], unit_price="99.00")


@plant("edited_in_sage")
def dated_otherwise_in_sage(book: Book, key: str) -> None:
    book.sandbox.bookkeeper.edit_invoice(book.copy_of(key)["id"], date="2026-03-28")


@plant("copy_voided")
def voided(book: Book, key: str) -> None:
    book.sandbox.bookkeeper.void(book.copy_of(key)["id"])


@plant("copy_deleted")
def deleted_in_sage(book: Book, key: str) -> None:
    book.sandbox.bookkeeper.delete_invoice(book.copy_of(key)["id"])


@plant("deleted_in_productive")
def deleted_in_productive(book: Book, key: str) -> None:
    book.sandbox.agency.delete_invoice(key)


@plant("draft_not_released")
def a_draft(book: Book, key: str) -> None:
    book.copy_of(key)["status"] = "DRAFT"


@plant("never_copied")
def never_copied(book: Book, key: str) -> None:
    book.sql("DELETE FROM link WHERE productive_id = ?", key)
    own = book.copy_of(key)
    book.sandbox.sage.books().table("sales_invoices").pop(own["id"])


@plant("not_in_records")
def not_in_records(book: Book, key: str) -> None:
    book.sql("DELETE FROM link WHERE productive_id = ?", key)


@plant("copied_twice")
def copied_twice(book: Book, key: str) -> None:
    own = book.copy_of(key)
    book.double(own["id"], own["reference"])


@plant("customer_differs")
def for_another_customer(book: Book, key: str) -> None:
    own = book.copy_of(key)
    own["contact_id"] = book.sandbox.bookkeeper.contact_id("Northwind Traders Ltd")
    own["contact_name"] = "Northwind Traders Ltd"


@plant("outcome_unknown")
def an_update_never_answered(book: Book, key: str) -> None:
    own = book.copy_of(key)
    with book.store() as store:
        (business,) = store.copies.businesses()
        facts = replace(A_COPY, sage_id=own["id"], number="")
        store.intents.begin("update", key, business, payload={"n": key}, facts=facts)


@plant("payment_missing")
def a_part_paid_in_sage(book: Book, key: str) -> None:
    book.sandbox.bookkeeper.pay(book.copy_of(key)["id"], "10.00", "2026-03-25")


@plant("payment_missing", "open_in_productive")
def paid_in_sage_alone(book: Book, key: str) -> None:
    own = book.copy_of(key)
    book.sandbox.bookkeeper.pay(own["id"], own["total"], "2026-03-25")


@plant("payment_extra")
def a_part_paid_in_productive(book: Book, key: str) -> None:
    book.sandbox.agency.add_payment(key, "10.00", "2026-03-25")


@plant("payment_extra", "open_in_sage")
def paid_in_productive_alone(book: Book, key: str) -> None:
    book.sandbox.agency.add_payment(key, book.copy_of(key)["total"], "2026-03-25")


@plant("open_in_productive")
def credited_in_sage_alone(book: Book, key: str) -> None:
    own = book.copy_of(key)
    other = book.copy_of(book.credited[0][1])["id"]
    second = book.double(other, "by hand")
    record = book.stored(second)
    record["contact_id"] = own["contact_id"]
    for name in ("net", "tax", "total"):
        record[name] = own[name]
    book.sandbox.bookkeeper.allocate(own["id"], second, own["total"])


def on_paid(*codes: str) -> Callable[[Callable[[Book, str], None]], Plant]:
    """As `plant`, of an invoice that is paid on both sides."""

    def keep(spoil: Callable[[Book, str], None]) -> Plant:
        def run(book: Book) -> tuple[str, set[str]]:
            key = next(_paid_whole(book))
            book.paid.remove(key)
            spoil(book, key)
            return key, {*codes}

        PLANTS[spoil.__name__] = run
        return run

    return keep


def _paid_whole(book: Book) -> Iterator[str]:
    """Those with one payment of psage's own that pays all."""
    with book.store() as store:
        for key in book.paid:
            own = book.sandbox.productive.table("invoices")[key]["attributes"]
            if len(store.payments.of(key)) == 1 and not own["amount_unpaid"]:
                yield key


def _payment(book: Book, key: str) -> OwnPayment:
    with book.store() as store:
        (one,) = store.payments.of(key)
    return one


@on_paid("payment_differs")
def paid_on_another_day_in_productive(book: Book, key: str) -> None:
    book.sandbox.agency.edit_payment(_payment(book, key).payment_id, paid_on="2026-04-09")


@on_paid("payment_differs", "open_in_productive")
def less_paid_in_productive(book: Book, key: str) -> None:
    book.sandbox.agency.edit_payment(_payment(book, key).payment_id, amount="5.00")


@on_paid("payment_extra", "open_in_sage")
def no_receipt_any_more(book: Book, key: str) -> None:
    book.sandbox.bookkeeper.delete_receipt(_payment(book, key).source_id)


@on_paid("payment_missing", "open_in_productive")
def removed_in_productive(book: Book, key: str) -> None:
    book.sandbox.agency.delete_payment(_payment(book, key).payment_id)


def on_credited(*codes: str) -> Callable[[Callable[[Book, str, str], str]], Plant]:
    """As `plant`, of an invoice with its credit note; gives the document it is told of."""

    def keep(spoil: Callable[[Book, str, str], str]) -> Plant:
        def run(book: Book) -> tuple[str, set[str]]:
            return spoil(book, *book.credited.pop()), {*codes}

        PLANTS[spoil.__name__] = run
        return run

    return keep


@on_credited("credit_note_not_allocated")
def not_allocated(book: Book, invoice: str, note: str) -> str:
    own = book.copy_of(note)["id"]
    (allocation,) = [
        key
        for key, row in book.sandbox.sage.books().table("contact_allocations").items()
        if own in {part["artefact_id"] for part in row["artefacts"]}
    ]
    book.sandbox.bookkeeper.delete_allocation(allocation)
    return note


@on_credited("credited_twice")
def credited_twice(book: Book, invoice: str, note: str) -> str:
    productive = book.sandbox.productive
    company = productive.table("invoices")[invoice]["rel"]["company"]
    price = productive.table("line_items")[f"{invoice}001"]["attributes"]["unit_price"]
    second = book.sandbox.agency.add_invoice(
        company_id=company,
        lines=[{"unit_price": price, "quantity": -1}],
        invoiced_on=DAY,
        number=f"D-{note}",
        credits_invoice=invoice,
    )
    doubled = book.double(book.copy_of(note)["id"], f"PRD-{second}")
    with book.store() as store:
        found = store.copies.latest(note)
        assert found
        one = Link(
            *(
                0,
                second,
                1,
                found.business_id,
                doubled,
                "SCN-doubled",
                None,
                False,
                None,
                frozenset(),
            ),
            *(None, None, CREDIT_NOTE, found.credited_sage_id),
        )
        store.copies.adopt(one, "")
    return invoice


@on_credited("never_copied")
def a_credit_note_never_copied(book: Book, invoice: str, note: str) -> str:
    own = book.copy_of(note)["id"]
    books = book.sandbox.sage.books()
    for key, row in [*books.table("contact_allocations").items()]:
        if own in {part["artefact_id"] for part in row["artefacts"]}:
            book.sandbox.bookkeeper.delete_allocation(key)
    books.table("sales_credit_notes").pop(own)
    book.sql("DELETE FROM link WHERE productive_id = ?", note)
    return note
