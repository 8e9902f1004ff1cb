"""Credit note 110, which credits the whole of invoice 111."""

from decimal import Decimal
from typing import Any

from productive_sage.sandbox import Sandbox

NOTE, INVOICE = "110", "111"


def notes(sandbox: Sandbox, productive_id: str = NOTE) -> list[dict[str, Any]]:
    """The credit notes in Sage that carry the marker."""
    marker = f"PRD-{productive_id}"
    return [
        row
        for row in sandbox.sage.credit_notes.values()
        if row["reference"] == marker or str(row["reference"]).startswith(f"{marker}-")
    ]


def allocated(sandbox: Sandbox) -> list[tuple[Decimal, ...]]:
    """The amounts of every allocation."""
    return [
        tuple(part["amount"] for part in row["allocated_artefacts"])
        for row in sandbox.sage.allocations.values()
    ]


def edit_note(sandbox: Sandbox, description: str = "Credited in full") -> None:
    lines = sandbox.productive.line_items
    key = next(key for key, row in lines.items() if row["invoice_id"] == NOTE)
    sandbox.agency.edit_line(key, description=description)
