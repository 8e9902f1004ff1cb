"""Hold 10,000 documents of both books side by side: calls for each side, memory, and time.

A copied invoice and a copied credit note are made by psage and multiplied in the sandbox and in
psage's records; a third of the invoices are paid, and in some a difference is planted. Then
`psage reconcile` runs as a program of its own. Ends with 1 where it takes more than it may.
"""

import copy
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from productive_sage import cli
from productive_sage.sandbox import ORGANIZATION_ID, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.sandbox.books import Books
from productive_sage.sandbox.run import environment
from productive_sage.signin.vault import ProductiveSignIn, Vault
from tests.conftest import sage_sign_in

DOCUMENTS, NOTES = 10_000, 700
CALLS, MEGABYTES = 60, 150
MISSING, UNPAID = 120, 450
"""Never copied; paid in Sage alone, more than are looked at one by one."""
FIRST = 100_000
"""The Productive id of the first copy of the template."""


class World:
    """Both services and psage's records, with one document of each kind multiplied."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.productive = sandbox.productive
        self.books = sandbox.sage.books()
        self.database = folder / "home" / "default.db"
        self._links: list[tuple[Any, ...]] = []
        self._own: list[tuple[str, ...]] = []

    def fill(self, invoice: str, note: str) -> None:
        """Make `DOCUMENTS` of two."""
        count = DOCUMENTS - NOTES
        for n in range(1, count):
            key, sage_id = str(FIRST + n), f"{n:032x}"
            is_paid = n % 3 == 0 and n > NOTES
            self._bill(invoice, key, paid_in=is_paid and n > NOTES + 3 * UNPAID, number=f"A-{n}")
            if n < count - MISSING:
                self._book("sales_invoices", invoice, key, sage_id)
                if is_paid:
                    self._pay(key, sage_id, is_known=n > NOTES + 3 * UNPAID)
        for n in range(1, NOTES):
            key, sage_id, parent = str(FIRST + 50_000 + n), f"{n + 2**64:032x}", f"{n:032x}"
            self._bill(note, key, number=f"N-{n}", parent=str(FIRST + n))
            self._book("sales_credit_notes", note, key, sage_id, credited=parent)
            self._allocate(parent, sage_id)
            own = self.productive.table("invoices")[str(FIRST + n)]["attributes"]
            own |= {"amount_unpaid": Decimal(0), "credited": True}
        self._record()

    def _bill(
        self, like: str, key: str, *, number: str, paid_in: bool = False, parent: str = ""
    ) -> None:
        row = copy.deepcopy(self.productive.table("invoices")[like])
        row["id"] = key
        own = row["attributes"]
        total = own["amount_with_tax"]
        own |= {"number": number, "credited": False}
        own["amount_unpaid"] = Decimal(0) if parent else total
        if paid_in:
            own |= {"amount_paid": total, "amount_unpaid": Decimal(0), "paid_on": "2026-03-20"}
        if parent:
            row["rel"]["parent_invoice"] = parent
        self.productive.table("invoices")[key] = row

    def _book(
        self, plural: str, like: str, key: str, sage_id: str, *, credited: str | None = None
    ) -> None:
        table = self.books.table(plural)
        (template,) = [row for row in table.values() if row["reference"] == f"PRD-{like}"]
        row = copy.deepcopy(template)
        row |= {"id": sage_id, "reference": f"PRD-{key}", "number": key}
        table[sage_id] = row
        self._links.append((key, sage_id, f"SI-{key}", credited, like))

    def _pay(self, key: str, sage_id: str, *, is_known: bool) -> None:
        receipt = f"{int(key) + 2**70:032x}"
        document = self.books.table("sales_invoices")[sage_id]
        self.books.table("contact_payments")[receipt] = {
            "id": receipt,
            "created_at": document["created_at"],
            "updated_at": document["updated_at"],
            "contact_id": document["contact_id"],
            "date": "2026-03-20",
            "reference": "BACS",
            "currency": document["currency"],
            "exchange_rate": Decimal(1),
            "allocated": [
                {"artefact_id": sage_id, "amount": document["total"], "discount": Decimal(0)}
            ],
            "on_account": None,
            "amount": document["total"],
            "born": 0.0,
        }
        if is_known:
            self._own.append((f"psage {receipt}/{sage_id}", key, f"9{key}", "BACS", receipt))

    def _allocate(self, invoice: str, note: str) -> None:
        amount = self.books.table("sales_invoices")[invoice]["total"]
        key = f"{int(note, 16) + 2**80:032x}"
        parts = [(invoice, amount), (note, -amount)]
        self.books.table("contact_allocations")[key] = {
            "id": key,
            "date": "2026-03-02",
            "reference": "",
            "artefacts": [{"artefact_id": one, "amount": value} for one, value in parts],
        }

    def _record(self) -> None:
        with closing(sqlite3.connect(self.database)) as db, db:
            names = "copy, business_id, number_sent, written, pending, copied_at, kind"
            db.executemany(  # the names are those above
                "INSERT INTO link (productive_id, sage_id, sage_number, credited_sage_id, "
                f"tax_rate_id, {names}) SELECT ?, ?, ?, ?, tax_rate_id, {names} "
                "FROM link WHERE productive_id = ?",
                self._links,
            )
            db.executemany("INSERT INTO mirrored VALUES (?, ?, ?, ?, ?)", self._own)


def prepare(sandbox: Sandbox, folder: Path) -> None:
    """Sign in, copy one document of each kind, and multiply them."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    account = sandbox.bookkeeper.ledger_account_id(4010)
    (home / "default.toml").write_text(
        f'default_ledger_account = "{account}"\nsync_payments = true\n'
        "sync_payments_from = 2026-01-01\n"
    )
    vault = Vault("default")
    vault.save(ProductiveSignIn(PRODUCTIVE_TOKEN, ORGANIZATION_ID, "Harbour & Pine"))
    vault.save(sage_sign_in(sandbox))
    for key in [*sandbox.productive.invoices]:
        sandbox.agency.delete_invoice(key)
    sandbox.productive.table("deleted_items").clear()
    company = sandbox.agency.add_company("Client Ltd")
    lines = [{"unit_price": "100.00"}, {"unit_price": "20.50", "description": "Workshop, day two"}]
    invoice = sandbox.agency.add_invoice(company_id=company, lines=lines, number="A-0")
    credit = [{**line, "quantity": -1} for line in lines]
    note = sandbox.agency.add_invoice(
        company_id=company, lines=credit, number="N-0", credits_invoice=invoice
    )
    said = ("--no-input", "--quiet", "--no-pdf")
    if cli.main(["copy-invoice", "--id", invoice, "--tax-rate", "GB_STANDARD", *said]):
        sys.exit("the invoice was not copied")
    if cli.main(["credit-note", "--id", note, *said]):
        sys.exit("the credit note was not copied")
    World(sandbox, folder).fill(invoice, note)


def quicken(content: dict[str, Any]) -> None:
    """Let the sandbox find what settles a document at once: it looks through all receipts else."""
    tables = {"contact_payments": "allocated", "contact_allocations": "artefacts"}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for plural, parts in tables.items():
        for key, row in content[plural].items():
            for part in row[parts]:
                own = found.setdefault(part["artefact_id"], {name: {} for name in tables})
                own[plural][key] = row
    slow, nothing = Books.settlements, {name: {} for name in tables}

    def settlements(books: Books, key: str) -> list[dict[str, Any]]:
        small = copy.copy(books)
        small.content = {**books.content, **found.get(key, nothing)}
        return slow(small, key)

    Books.settlements = settlements


def main() -> int:
    """Run it, print what it took, and judge."""
    with tempfile.TemporaryDirectory(prefix="psage-bench-") as name, Sandbox(limits=1000) as both:
        os.environ |= environment(both, Path(name))
        prepare(both, Path(name))
        quicken(both.sage.books().content)
        both.clear_calls()
        command = [sys.executable, "-m", "productive_sage", "reconcile", "--json"]
        began = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        wall = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        calls = {side: len(both.calls(side, "GET")) for side in ("productive", "sage")}
    answer = json.loads(done.stdout)
    found = dict(Counter(one["code"] for one in answer["findings"]))
    expected = {"payment_missing": UNPAID, "open_in_productive": UNPAID, "never_copied": MISSING}
    peak = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
    own = used.ru_utime + used.ru_stime
    print(f"{DOCUMENTS} documents, exit {done.returncode}, {found}")
    print(f"calls: {calls} of {CALLS}; {peak:.0f} MB of {MEGABYTES}")
    print(f"{own:.1f} s of psage's own, {wall:.1f} s with the sandbox's")
    is_right = found == expected and all(one["proven"] for one in answer["totals"])
    return int(not is_right or max(calls.values()) > CALLS or peak > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
