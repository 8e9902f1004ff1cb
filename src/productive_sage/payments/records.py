"""What a receipt pays, and what a sync did."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from productive_sage.copying.records import FoundCopy
from productive_sage.errors import OutcomeUnknown, PsageError
from productive_sage.errors.notices import Notice


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
class PaymentChange:
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
    """An invoice whose payments are not as in Sage; the next run tries again."""

    productive_id: str
    number: str
    error: PsageError


@dataclass
class Synced:
    """What a run did; filled as it goes, so that an interrupted one can still be shown."""

    until: datetime
    """When it began, by this machine's clock, UTC: as far as the cursor goes after it."""
    since: datetime | None = None
    """From when the feeds are read, UTC; None where every linked invoice is compared."""
    checked: int = 0
    """How many invoices were looked at."""
    done: int = 0
    """Of those checked; also those with nothing to do."""
    left_alone: int = 0
    """Shares of a day before the sync begins, which are left alone."""
    created: list[PaymentChange] = field(default_factory=list)
    updated: list[PaymentChange] = field(default_factory=list)
    deleted: list[PaymentChange] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    adopted: list[FoundCopy] = field(default_factory=list)
    """The copies made elsewhere that psage's records know from now on."""
    notices: list[Notice] = field(default_factory=list)

    def verdict(self) -> int:
        """The exit code: an unknown outcome first, then partial failure."""
        codes = [one.error.exit_code for one in self.failed]
        if OutcomeUnknown.exit_code in codes:
            return OutcomeUnknown.exit_code
        if codes and (self.done or len(set(codes)) > 1):
            return 6
        return min(codes, default=0)
