"""What Sage Accounting's API answers, as plain values.

Amounts are `Decimal` in major units of the document's currency; dates are calendar dates without a
time zone; ids are the service's own, as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Self

from productive_sage.errors import CopyIsDraft
from productive_sage.text import one_line

TAX_RATES = "rates of tax"
"""How the key begins under which the store keeps them; another one where their form changes."""


def _day(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None


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
    """Both by Sage's clock, UTC; None where its answer does not say."""
    notes: str = ""
    """Internal: for the people who use Sage."""
    address: str = ""
    """As Sage shows it, in one text."""

    @property
    def is_draft(self) -> bool:
        """Whether it is not booked: its totals are only planned, and nothing can settle it."""
        return self.status in ("DRAFT", "PRO_FORMA")

    def check_booked(self, what: str, name: str = "") -> None:
        """Raises CopyIsDraft about `what` it is where it is not booked; `name` releases it."""
        if self.is_draft:
            raise CopyIsDraft(
                what, number=self.number, status=self.status, sage_id=self.id, name=name
            )


@dataclass(frozen=True, slots=True)
class Receipt:
    """A Sage receipt, or an allocation, and the documents it settles."""

    id: str
    document_ids: frozenset[str] | None
    """None where the answer does not say."""
    from_paths: frozenset[str] = frozenset()
    """Of an allocation: where what it gives away is kept, such as `/sales_credit_notes/<id>`."""
