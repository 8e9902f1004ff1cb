"""What Productive's API answers, as plain values.

Amounts are `Decimal` in major units of the document's currency; dates are calendar dates without a
time zone; ids are the service's own, as text.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from productive_sage import naming
from productive_sage.kinds import Kind


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
    tax_name: str = ""
    """What that rate is called; empty where there is none, or Productive does not show it."""


@dataclass(frozen=True, slots=True)
class CreditedInvoice:
    """The invoice a credit note credits, as Productive states it."""

    id: str
    number: str
    currency: str
    net: Decimal
    gross: Decimal
    export_id: str | None = None
    """As that of `Invoice`."""

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
    """Where it was exported to: the Sage id of its copy, or anything that another system wrote."""
    purchase_order: str = ""
    subject: str = ""
    credited: CreditedInvoice | None = None
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
class ChargedTax:
    """A tax rate of Productive."""

    name: str
    percent: Decimal
    """Of two parts their sum."""
