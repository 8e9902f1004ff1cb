"""What must hold on both sides, whatever happened to the runs: nothing twice, nothing half done."""

import pickle
import sqlite3
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from productive_sage.sandbox import Sandbox
from tests.conftest import Result
from tests.harness.payments import productive_says, sage_says

CODES = {0, 4, 5, 6, 7, 8}
"""How a run may end that met another one, or lost records."""


class Snapshot:
    """Both services as they were, to go back to in a moment; sign-ins stay as they are."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._state = pickle.dumps((sandbox.sage.data, sandbox.productive.data))

    def restore(self, sandbox: Sandbox) -> None:
        """Go back; faults, late work and the record of calls are gone, and the clock is right."""
        sandbox._desk.clear()
        sandbox._desk.forget_late_work()
        sandbox.clock.offset_s = 0.0
        sage, productive = pickle.loads(self._state)
        sandbox.sage.load(sage)
        sandbox.productive.load(productive)


def documents(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The living documents in Sage that psage made."""
    rows = [*sandbox.sage.invoices.values(), *sandbox.sage.credit_notes.values()]
    return [
        row
        for row in rows
        if str(row["reference"]).startswith("PRD-") and row["status"]["id"] != "VOID"
    ]


def doubled_documents(sandbox: Sandbox) -> set[str]:
    """The markers that more than one living document carries."""
    return _doubled(row["reference"] for row in documents(sandbox))


def doubled_customers(sandbox: Sandbox) -> set[str]:
    """psage's markers that more than one contact carries."""
    markers = (str(row["source_guid"] or "") for row in sandbox.sage.contacts.values())
    return _doubled(marker for marker in markers if marker.startswith("productive-company-"))


def _doubled(names: Any) -> set[str]:
    return {name for name, times in Counter(names).items() if times > 1}


def check_end(result: Result) -> None:
    """A run may be refused, or be told to come again; it neither breaks nor calls it a defect."""
    assert result.code in CODES, result
    assert "Traceback" not in result.out + result.err
    assert '"defect"' not in result.out


def check_books(sandbox: Sandbox) -> None:
    """Each copy says what Productive says, and Productive names it; payments are as Sage says."""
    for row in documents(sandbox):
        productive_id, _, copy = str(row["reference"]).removeprefix("PRD-").partition("-")
        invoice = sandbox.productive.invoices[productive_id]
        total = abs(Decimal(invoice["amount_with_tax"])) / 100
        assert row["total_amount"] == total, row["reference"]
        latest = max(
            (other["reference"] for other in documents(sandbox) if _is_of(other, productive_id)),
            key=len,
        )
        if row["reference"] == latest:
            assert (invoice["exported"], invoice["export_id"]) == (True, row["id"]), latest
        assert copy in ("", "2")


def check_payments(sandbox: Sandbox) -> None:
    """Productive holds each share of Sage's receipts once."""
    assert productive_says(sandbox) == sage_says(sandbox)


def _is_of(row: dict[str, Any], productive_id: str) -> bool:
    return f"{row['reference']}-".startswith(f"PRD-{productive_id}-")


def left_open(store: Path) -> tuple[int, int]:
    """(writes whose end is not known, copies with something left to do) in a store."""
    with closing(sqlite3.connect(store)) as db:
        (intents,) = db.execute("SELECT count(*) FROM intent WHERE state = 'sending'").fetchone()
        (links,) = db.execute("SELECT count(*) FROM link WHERE pending <> ''").fetchone()
    return intents, links
