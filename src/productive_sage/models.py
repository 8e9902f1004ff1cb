"""The plain values that travel between the modules.

Amounts are `Decimal` in major units of the document's currency; dates are calendar dates without a
time zone; ids are the services' own, as text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Self

from productive_sage import naming
from productive_sage.basics import (
    CREDIT_NOTE,
    INVOICE,
    KINDS,
    Contact,
    Finding,
    Kind,
    OwnPayment,
    SignedIn,
)
from productive_sage.errors import CopyIsDraft, OutcomeUnknown, PsageError
from productive_sage.text import one_line

__all__ = [  # known by this module's name too
    "CREDIT_NOTE",
    "INVOICE",
    "KINDS",
    "Contact",
    "Finding",
    "Kind",
    "OwnPayment",
    "SignedIn",
]

# --- Productive


@dataclass(frozen=True, slots=True)
class Address:
    """Where and to whom an invoice is billed; every part may be empty."""

    name: str = ""
    email: str = ""
    street: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = ""
    """As a person typed it: a name or a code."""
    tax_number: str = ""


@dataclass(frozen=True, slots=True)
class Company:
    """A Productive company: the customer to be found or made in Sage."""

    id: str
    name: str
    tax_number: str = ""


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line of a Productive invoice."""

    id: str
    description: str
    """May hold HTML."""
    quantity: Decimal
    unit_price: Decimal
    discount_percent: Decimal
    amount: Decimal
    """Net of the line: price times quantity less its own discount, as Productive states it."""
    service_type_id: str | None = None
    service_type_name: str = ""
    service_name: str = ""
    tax_parts: tuple[Decimal, ...] | None = None
    """The percentages of its tax rate: none, one or two; None where Productive does not show it."""


@dataclass(frozen=True, slots=True)
class Credited:
    """The invoice a credit note credits, as Productive states it."""

    id: str
    number: str
    currency: str
    net: Decimal
    gross: Decimal
    export_id: str | None = None

    @property
    def label(self) -> str:
        """How a sentence names it."""
        return f"invoice `{self.number or self.id}`"

    @property
    def typed(self) -> str:
        """How a command names it."""
        return naming.to_type(self.number, self.id)


@dataclass(frozen=True, slots=True)
class Invoice:
    """A Productive invoice or credit note with its lines.

    Quantities and amounts of a credit note are negative.
    """

    id: str
    number: str
    currency: str
    invoiced_on: date | None
    pay_on: date | None
    is_finalised: bool
    kind: Kind
    company: Company
    bill_to: Address
    net: Decimal
    tax: Decimal
    discount_percent: Decimal
    lines: tuple[InvoiceLine, ...] = ()
    pdf_url: str | None = None
    export_id: str | None = None
    credited: Credited | None = None
    """Of a credit note, where Productive shows it."""

    @property
    def label(self) -> str:
        """How a sentence names it: by its number, or its id where it has none."""
        return f"{self.kind.name} `{self.number or self.id}`"

    @property
    def typed(self) -> str:
        """How a command names it."""
        return naming.to_type(self.number, self.id)


@dataclass(frozen=True, slots=True)
class Entry:
    """An invoice or credit note as Productive's list has it: without its lines.

    Amounts of a credit note are negative.
    """

    id: str
    number: str
    kind: Kind
    company: Company
    invoiced_on: date | None
    pay_on: date | None
    is_finalised: bool
    currency: str
    total: Decimal
    paid: Decimal
    """What was paid and written off."""
    unpaid: Decimal
    net: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    paid_on: date | None = None
    """When it was paid in full."""
    credits: str = ""
    """Of a credit note, the id of the invoice it credits; empty where Productive does not say."""
    export_id: str = ""
    """Of the copy in Sage, where a machine has marked the document as copied."""


# --- Sage


def _day(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None


TAX_RATES = "rates of tax"
"""How the key begins under which the store keeps them; another one where their form changes."""


@dataclass(frozen=True, slots=True)
class TaxRate:
    """A Sage tax rate with its percentages by date, as (percent, from, to)."""

    id: str
    code: str
    """Sage's word for it: `STANDARD`."""
    name: str
    """As people see it: `Standard 20.00%`."""
    is_visible: bool
    percentages: tuple[tuple[Decimal, date | None, date | None], ...]

    def as_row(self) -> list[Any]:
        """As the store keeps it, in JSON."""
        dated = [[str(p), s and str(s), u and str(u)] for p, s, u in self.percentages]
        return [self.id, self.code, self.name, self.is_visible, dated]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """What `as_row` gave."""
        rate_id, code, name, is_visible, dated = row
        percentages = ((Decimal(p), _day(s), _day(u)) for p, s, u in dated)
        return cls(rate_id, code, name, is_visible, tuple(percentages))


@dataclass(frozen=True, slots=True)
class LedgerAccount:
    """A Sage ledger account."""

    id: str
    name: str
    nominal_code: str
    is_for_sales: bool

    @property
    def shown(self) -> str:
        """As people see it, on one line: `Sales - Services (4010)`."""
        name = one_line(self.name)
        code = one_line(self.nominal_code)
        return f"{name} ({code})" if code and code not in name else name


@dataclass(frozen=True, slots=True)
class Item:
    """Something sold in Sage: `kind` is `service`, `product` or `stock_item`."""

    kind: str
    id: str
    code: str
    name: str
    ledger_account_id: str | None
    is_active: bool

    @property
    def reference(self) -> str:
        """As the settings name it: `service:<id>`."""
        return f"{self.kind}:{self.id}"

    @property
    def shown(self) -> str:
        """Its code, else its name."""
        return one_line(self.code) or one_line(self.name)


@dataclass(frozen=True, slots=True)
class Books:
    """What psage must know of the Sage business; cached for a day."""

    business_id: str
    country: str
    base_currency: str
    is_multi_currency: bool | None = None
    """Whether documents may be in other currencies; None where Sage does not say."""
    begins_on: str = ""
    """The first day of the accounts, as `2026-01-31`; empty where none is set."""
    locked_until: str = ""
    """Before this day nothing can be booked; empty where nothing is closed."""
    tax_scheme: str = ""
    """How the business pays VAT; empty where Sage does not say."""

    @property
    def is_registered(self) -> bool:
        """Whether it is registered for VAT at all."""
        return self.tax_scheme != "NOT_REGISTERED"


@dataclass(frozen=True, slots=True)
class SageLine:
    """A line of a Sage document."""

    id: str
    net: Decimal
    tax: Decimal
    tax_rate_id: str = ""
    description: str = ""
    quantity: Decimal = Decimal(1)
    unit_price: Decimal = Decimal(0)
    discount: Decimal = Decimal(0)
    """An amount, not a percentage."""
    ledger_account_id: str = ""
    item: tuple[str, str] | None = None
    """(`service_id` or `product_id`, the id)."""
    goods_or_services: str = ""


@dataclass(frozen=True, slots=True)
class Settlement:
    """One row of a document's `payments_allocations`: a receipt's share, or an allocation."""

    on: date | None
    amount: Decimal
    """In the document's currency."""
    discount: Decimal
    """Granted for paying early: settled beside `amount`, but never received."""
    reference: str
    receipt_id: str = ""
    allocation_id: str = ""
    artefact_id: str = ""
    """What is allocated: a credit note or a payment on account; empty where Sage does not say."""
    artefact_path: str = ""
    is_refund: bool = False

    @property
    def settled(self) -> Decimal:
        """What it takes off the document: an allocation may be stated with either sign."""
        return (abs(self.amount) if self.allocation_id else self.amount) + self.discount


@dataclass(frozen=True, slots=True)
class SageDocument:
    """A sales invoice or credit note as Sage states it."""

    id: str
    number: str
    reference: str
    status: str
    currency: str
    invoiced_on: date | None
    contact_id: str
    contact_name: str
    net: Decimal
    tax: Decimal
    total: Decimal
    outstanding: Decimal | None
    is_editable: bool
    is_in_tax_return: bool
    url: str | None
    lines: tuple[SageLine, ...] = ()
    settlements: tuple[Settlement, ...] | None = None
    """None where the answer does not carry them."""
    transaction_id: str = ""
    """By which the books know it; a draft has none."""
    due_on: date | None = None
    original_on: date | None = None
    """Of a credit note: the date of the invoice it credits."""
    made_at: datetime | None = None
    changed_at: datetime | None = None
    address: str = ""
    """As Sage shows it, in one text."""

    @property
    def is_draft(self) -> bool:
        """Whether it is not booked: its totals are only planned, and nothing can settle it."""
        return self.status in ("DRAFT", "PRO_FORMA")

    def check_booked(self, what: str) -> None:
        """Raises CopyIsDraft about `what` it is where it is not booked."""
        if self.is_draft:
            raise CopyIsDraft(what, number=self.number, status=self.status, sage_id=self.id)


# --- Payments


@dataclass(frozen=True, slots=True)
class Payment:
    """A Productive payment, psage's or a person's; a write-off where `written_off_on` is set."""

    id: str
    invoice_id: str
    amount: Decimal
    paid_on: date | None
    written_off_on: date | None
    note: str


@dataclass(frozen=True, slots=True)
class Balance:
    """What a Productive invoice says of its payments, in its currency."""

    invoice_id: str
    number: str
    currency: str
    net: Decimal
    tax: Decimal
    paid: Decimal
    written_off: Decimal
    unpaid: Decimal
    deleted_on: date | None = None
    export_id: str = ""
    """Of the copy in Sage, where a machine has marked the invoice as copied."""

    @property
    def typed(self) -> str:
        """How a command names the invoice."""
        return naming.to_type(self.number, self.invoice_id)

    @property
    def total(self) -> Decimal:
        """What the invoice asks for, tax included."""
        return self.net + self.tax


@dataclass(frozen=True, slots=True)
class ReceiptShare:
    """What one receipt, or one payment on account, pays of one invoice in Sage.

    It becomes one Productive payment; a settlement discount is a share of its own.
    """

    source_id: str
    """The receipt, or the allocation of a payment on account."""
    sage_id: str
    """The invoice."""
    on: date
    amount: Decimal
    """In the invoice's currency; negative for a refund."""
    reference: str
    is_discount: bool = False

    @property
    def marker(self) -> str:
        """The line in the payment's note by which any machine finds it again."""
        return f"psage {self.source_id}/{self.sage_id}{' discount' if self.is_discount else ''}"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A Sage receipt, or an allocation, and the documents it settles."""

    id: str
    document_ids: frozenset[str] | None
    """None where the answer does not say."""
    from_paths: frozenset[str] = frozenset()
    """Of an allocation: where what it gives away is kept, such as `/sales_credit_notes/<id>`."""


# --- The plan


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know although the document went through."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DraftLine:
    """A line as it will be sent."""

    description: str
    ledger_account_id: str
    quantity: Decimal
    unit_price: Decimal
    discount: Decimal
    """An amount, not a percentage."""
    net: Decimal
    tax: Decimal
    tax_rate_id: str | None = None
    item: tuple[str, str] | None = None
    """(`service_id` or `product_id`, the id)."""
    goods_or_services: str | None = None
    id: str = ""
    """Of the line in Sage that it changes; empty for a new one."""
    source_id: str = ""
    """Of the line in Productive."""
    service_type_id: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A Sage document as planned: what is sent, and what Sage must answer."""

    kind: Kind
    marker: str
    currency: str
    invoiced_on: date
    due_on: date | None
    lines: tuple[DraftLine, ...]
    net: Decimal
    tax: Decimal
    total: Decimal
    number: str | None = None
    """None lets Sage number the document."""
    original_on: date | None = None
    """The date of the invoice a credit note credits."""
    address: Mapping[str, str] | None = None
    """Of the document itself, in Sage's fields; None leaves it to the contact's."""
    notices: tuple[Notice, ...] = ()
    tax_rate_id: str = ""
    """The one rate of all lines, which an update keeps; empty where there is none."""
    mirrored_tax: Decimal | None = None
    """Productive's tax, which the copy must come to since it has the same rate; else None."""
    is_tax_known: bool = False
    """Whether that Productive charges another tax is no news: said before, or asked for."""
    is_tax_sent: bool = True
    """False where Sage computes the tax and lets nobody send it."""


# --- What a command did


@dataclass(frozen=True, slots=True)
class PdfResult:
    """The PDF of a copy: who made it, where it is, and whether it is attached."""

    maker: str
    file: str
    sha256: str
    attached: bool


@dataclass(frozen=True, slots=True)
class CustomerResult:
    """The customer a copy is billed to; `id` is None in a dry run that would create it."""

    id: str | None
    name: str
    created: bool


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One thing an update changed: its name in words, and both values as text for people."""

    field: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one document."""

    action: str
    """created, updated, unchanged, adopted, differs, refused, failed, unknown, would_…"""
    productive_id: str
    number: str = ""
    sage_id: str | None = None
    sage_number: str | None = None
    sage_url: str | None = None
    customer: CustomerResult | None = None
    net: Decimal | None = None
    tax: Decimal | None = None
    total: Decimal | None = None
    currency: str | None = None
    pdf: PdfResult | None = None
    notices: tuple[Notice, ...] = ()
    error: PsageError | None = None
    planned: Mapping[str, Any] | None = None
    """In a dry run: the requests that would be sent, whole."""
    settled: str = ""
    """What an earlier run had begun: `create`, `create-new`, `update`, or the `rest` after it."""
    kind: Kind = INVOICE
    allocated: Decimal | None = None
    """What of a credit note is set against the invoice it credits."""
    changes: tuple[FieldChange, ...] = ()
    """What an update changed in Sage, or would."""

    @property
    def label(self) -> str:
        """How a sentence names the document."""
        return f"{self.kind.name} `{self.number or self.productive_id}`"


@dataclass(frozen=True, slots=True)
class Change:
    """One payment in Productive that was created, updated or deleted, or would be."""

    productive_id: str
    number: str
    """The invoice's number in Productive; empty where it is not known."""
    sage_number: str
    payment_id: str | None
    source_id: str
    """The receipt in Sage, or the allocation of a payment on account."""
    on: date | None
    amount: Decimal
    currency: str
    is_write_off: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something about an invoice that a person should look at, and that stopped nothing."""

    productive_id: str
    number: str
    code: str
    message: str
    next_step: str
    is_new: bool = True
    """Whether no earlier run has said so."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An invoice that is not settled; the next run tries again."""

    productive_id: str
    number: str
    error: PsageError


@dataclass
class Report:
    """What a run did; filled as it goes, so that an interrupted one can still be shown."""

    until: datetime
    since: datetime | None = None
    """None where every linked invoice is compared."""
    checked: int = 0
    settled: int = 0
    """Of those checked: done, or nothing to do."""
    older: int = 0
    """Shares of a day before the sync begins, which are left alone."""
    created: list[Change] = field(default_factory=list)
    updated: list[Change] = field(default_factory=list)
    deleted: list[Change] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def verdict(self) -> int:
        """The exit code: an unknown outcome first, then partial failure."""
        codes = [one.error.exit_code for one in self.failed]
        if OutcomeUnknown.exit_code in codes:
            return OutcomeUnknown.exit_code
        if codes and (self.settled or len(set(codes)) > 1):
            return 6
        return min(codes, default=0)
