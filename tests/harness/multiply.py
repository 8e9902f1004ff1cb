"""One copied document of each kind made into thousands, straight in what both sides hold.

Copying them would take minutes; what a list then says of them is the same.
"""

import copy
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from productive_sage.sandbox import Sandbox
from productive_sage.sandbox.books import Books

FIRST = 100_000
"""The Productive id of the first copy of the template."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is made: `documents` in all, of which some credit others."""

    documents: int
    notes: int
    missing: int = 0
    """Invoices that were never copied."""
    unpaid: int = 0
    """Invoices that are paid in Sage alone."""


class World:
    """Both services and psage's records, with one document of each kind multiplied."""

    def __init__(self, sandbox: Sandbox, home: Path, plan: Plan) -> None:
        self.productive = sandbox.productive
        self.books = sandbox.sage.books()
        self.database = home / "default.db"
        self.plan = plan
        self._links: list[tuple[Any, ...]] = []
        self._own: list[tuple[str, ...]] = []

    def fill(self, invoice: str, note: str) -> None:
        """Make them of an invoice and of the credit note for it, both copied."""
        plan = self.plan
        count = plan.documents - plan.notes
        for n in range(1, count):
            key, sage_id = str(FIRST + n), f"{n:032x}"
            is_paid = n % 3 == 0 and n > plan.notes
            is_known = n > plan.notes + 3 * plan.unpaid
            self._bill(invoice, key, paid_in=is_paid and is_known, number=f"A-{n}")
            if n < count - plan.missing:
                self._book("sales_invoices", invoice, key, sage_id)
                if is_paid:
                    self._pay(key, sage_id, is_known=is_known)
        for n in range(1, plan.notes):
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


Settlements = Callable[[Books, str], list[dict[str, Any]]]


def quick_settlements(content: dict[str, Any]) -> Settlements:
    """Find what settles a document at once: the sandbox itself looks through all receipts."""
    tables = {"contact_payments": "allocated", "contact_allocations": "artefacts"}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for plural, parts in tables.items():
        for key, row in content[plural].items():
            for part in row[parts]:
                own = found.setdefault(part["artefact_id"], {name: {} for name in tables})
                own[plural][key] = row
    slow = Books.settlements
    nothing: dict[str, dict[str, Any]] = {name: {} for name in tables}

    def settlements(books: Books, key: str) -> list[dict[str, Any]]:
        small = copy.copy(books)
        small.content = {**books.content, **found.get(key, nothing)}
        return slow(small, key)

    return settlements
