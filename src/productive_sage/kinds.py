"""The two kinds of documents."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A sales document: how sentences and commands name it, and what it is called in Sage."""

    code: str
    """In the store."""
    name: str
    command: str
    path: str
    field: str
    lines: str
    number: str
    """The field of its number; `<number>_prefix` is that of the prefix."""
    context: str
    """As attachments name it."""


INVOICE = Kind(
    code="invoice",
    name="invoice",
    command="copy-invoice",
    path="/sales_invoices",
    field="sales_invoice",
    lines="invoice_lines",
    number="invoice_number",
    context="SALES_INVOICE",
)
CREDIT_NOTE = Kind(
    code="credit_note",
    name="credit note",
    command="credit-note",
    path="/sales_credit_notes",
    field="sales_credit_note",
    lines="credit_note_lines",
    number="credit_note_number",
    context="SALES_CREDIT_NOTE",
)
KINDS = {kind.code: kind for kind in (INVOICE, CREDIT_NOTE)}
