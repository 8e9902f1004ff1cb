"""What is planned for a document, and what became of it, as plain values.

Amounts are `Decimal` in major units of the document's currency; dates are calendar dates without a
time zone; ids are the services' own, as text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from productive_sage.errors import PsageError
from productive_sage.errors.notices import Notice
from productive_sage.kinds import INVOICE, Kind
from productive_sage.productive.records import Entry
from productive_sage.sage.records import SageDocument

# --- the plan


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
    charged: str = ""
    """Its tax in Productive as `taxmap.as_charged` says it, where that decides on the rate."""


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
    reference: str = ""
    """The marker, with what people find the document by before it; empty for the marker alone."""
    notes: str | None = None
    """Internal; None sends none."""
    worded_from: Mapping[str, str] = field(default_factory=dict)
    """What of Productive stands in these two, by their names, where a template says so."""
    address: Mapping[str, str] | None = None
    """Of the document itself, in Sage's fields; None leaves it to the contact's."""
    notices: tuple[Notice, ...] = ()
    tax_rate_id: str = ""
    """The one rate of all lines, which an update keeps; empty where there is none."""
    is_tax_mapped: bool = False
    """Whether each line has the rate that stands for its tax in Productive."""
    mirrored_tax: Decimal | None = None
    """Productive's tax, which the copy must come to since it has the same rate; else None."""
    is_tax_known: bool = False
    """Whether that Productive charges another tax is no news: said before, or asked for."""
    is_unbooked: bool = False
    """Whether it is left a draft in Sage, until somebody releases it."""
    is_tax_sent: bool = True
    """False where Sage computes the tax and lets nobody send it."""


# --- what became of it


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
    """created, updated, released, unchanged, adopted, differs, refused, failed, unknown, would_…"""
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
    recovered: str = ""
    """What an earlier run had begun: `create`, `create-new`, `update`, `release`, or the `rest`."""
    kind: Kind = INVOICE
    allocated: Decimal | None = None
    """What of a credit note is set against the invoice it credits."""
    is_draft: bool = False
    """Whether it is a draft in Sage, so that its number there is none yet."""
    changes: tuple[FieldChange, ...] = ()
    """What an update changed in Sage, or would."""

    @property
    def label(self) -> str:
        """How a sentence names the document."""
        return f"{self.kind.name} `{self.number or self.productive_id}`"


# --- copies made elsewhere


@dataclass(frozen=True, slots=True)
class FoundCopy:
    """A copy that psage's records do not know."""

    entry: Entry
    copy_number: int
    document: SageDocument
    replaces: str = ""
    """The Sage id on record of a document that is gone, whose place this one takes."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A document with psage's marker that is not taken for a copy."""

    entry: Entry
    sage_ids: tuple[str, ...]
    message: str
    next_step: str
