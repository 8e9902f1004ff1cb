"""Both sides of the books as plain values, and what is found where they are held together. Pure.

Amounts are in major units of the document's currency; those of a credit note are negative on both
sides, so that sums are right.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from productive_sage import markers, money
from productive_sage.kept import Contact
from productive_sage.kinds import CREDIT_NOTE, INVOICE, Kind
from productive_sage.payments.records import ReceiptShare
from productive_sage.productive.records import Entry
from productive_sage.sage.records import Books, SageDocument

Value = Decimal | date | str | None
CHANGED, NOTE = "difference", "note"
"""How much a finding matters: a difference of the books, or something that was agreed to."""


@dataclass(frozen=True, slots=True)
class Comparable:
    """What can be compared of a document; None where a side does not say."""

    net: Decimal | None = None
    tax: Decimal | None = None
    on: date | None = None
    due: date | None = None


@dataclass(frozen=True, slots=True)
class Booked:
    """A document as Sage has it, with what settles it told apart."""

    kind: Kind
    document: SageDocument
    shares: tuple[ReceiptShare, ...] = ()
    """What receipts and payments on account pay of it."""
    credits: tuple[tuple[str, Decimal], ...] = ()
    """(credit note, amount) of what is credited by allocations."""
    is_clear: bool = True
    """Whether these account for all that is settled."""

    @property
    def id(self) -> str:
        """In Sage."""
        return self.document.id

    @property
    def marker(self) -> tuple[str, int] | None:
        """(Productive id, copy) of psage's marker."""
        return markers.in_reference(self.document.reference)

    @property
    def is_void(self) -> bool:
        """Whether it counts no more."""
        return self.document.status == "VOID"

    @property
    def is_booked(self) -> bool:
        """Whether it is in the books: neither void nor a draft."""
        return not self.is_void and not self.document.is_draft

    def _signed(self, value: Decimal) -> Decimal:
        return -value if self.kind is CREDIT_NOTE and value else value

    @property
    def net(self) -> Decimal:
        """Without tax."""
        return self._signed(self.document.net)

    @property
    def tax(self) -> Decimal:
        """Alone."""
        return self._signed(self.document.tax)

    @property
    def total(self) -> Decimal:
        """With tax."""
        return self._signed(self.document.total)

    @property
    def paid(self) -> Decimal:
        """What receipts and payments on account settle; nothing of a credit note."""
        return sum((one.amount for one in self.shares), money.ZERO)

    @property
    def open(self) -> Decimal:
        """What is not settled."""
        return self._signed(self.document.outstanding or money.ZERO)

    @property
    def is_credited(self) -> bool:
        """Whether it is credited in full, and so asks for nothing."""
        credited = sum((amount for _, amount in self.credits), money.ZERO)
        return self.kind is INVOICE and credited >= self.total > 0

    @property
    def facts(self) -> Comparable:
        """What is compared with Productive."""
        due = self.document.due_on if self.kind is INVOICE else None
        return Comparable(self.net, self.tax, self.document.invoiced_on, due)


@dataclass(frozen=True, slots=True)
class Copied:
    """psage's record of a copy."""

    productive_id: str
    copy_number: int
    kind: Kind
    sage_id: str
    sage_number: str
    credited_sage_id: str | None = None
    said: Comparable = Comparable()
    """What Productive said when psage last wrote the copy."""
    held: Comparable = Comparable()
    """What Sage then held."""


@dataclass(frozen=True, slots=True)
class Records:
    """What psage's records, and the services beside their lists, know."""

    copies: Sequence[Copied] = ()
    customers: Mapping[tuple[str, str], tuple[str, bool]] = field(default_factory=dict)
    """(contact, whether a person agreed) by company and currency."""
    open_writes: Mapping[str, str] = field(default_factory=dict)
    """What was sent and never answered for, in words, by Productive id."""
    contacts: Mapping[str, Contact] | None = None
    """By id; None where this sign-in may not read them."""
    deleted_in_productive: Mapping[str, date] = field(default_factory=dict)
    deleted_in_sage: AbstractSet[str] = frozenset()
    books: Books | None = None
    """Which days and currencies Sage books; None where this sign-in may not read that."""
    currencies: AbstractSet[str] = frozenset()
    """Those Sage knows; none where nobody had to ask."""
    numbers: Mapping[tuple[Kind, str], str] = field(default_factory=dict)
    """Those that are taken in Sage, with the id of what has them."""
    keeps_numbers: bool = False
    """Whether a copy gets the number of its document."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A document of Productive and its copy; one of the two may be missing."""

    productive_id: str
    kind: Kind
    billed: Entry | None
    booked: Booked | None
    """The copy that counts, of several."""
    copied: Copied | None
    """The record of that copy, or of the latest where none is there."""
    others: tuple[Booked, ...] = ()
    """Further living documents for the same one of Productive, the first made first."""
    drafts: tuple[Booked, ...] = ()
    """psage's own drafts beside the copy that counts."""

    @property
    def number(self) -> str:
        """Productive's; empty where it is not known."""
        return self.billed.number if self.billed else ""

    @property
    def copy_number(self) -> str:
        """Sage's, `draft` for one that is no document yet; empty where there is no copy."""
        if self.booked:
            return "draft" if self.booked.document.is_draft else self.booked.document.number
        return self.copied.sage_number if self.copied else ""

    @property
    def currency(self) -> str:
        """Productive's, else that of the copy."""
        if self.billed:
            return self.billed.currency
        return self.booked.document.currency if self.booked else ""

    @property
    def on(self) -> date | None:
        """The document's own day."""
        if self.billed and self.billed.invoiced_on:
            return self.billed.invoiced_on
        return self.booked.document.invoiced_on if self.booked else None

    @property
    def customer(self) -> str:
        """Who is billed."""
        if self.billed and self.billed.company.name:
            return self.billed.company.name
        return self.booked.document.contact_name if self.booked else ""

    @property
    def label(self) -> str:
        """How a sentence names it."""
        name = self.number or (self.booked.document.number if self.booked else self.productive_id)
        return f"{self.kind.name} `{name}`"

    @property
    def is_due_in_books(self) -> bool:
        """Whether Productive says that it has to be in the books."""
        return self.billed is not None and self.billed.is_finalised

    def is_within(self, since: date | None, until: date | None) -> bool:
        """Whether one of the two sides is of this time; without any day it is of every time."""
        days = [self.billed.invoiced_on] if self.billed else []
        days += [one.document.invoiced_on for one in (self.booked, *self.others) if one]
        known = [day for day in days if day]
        return not known or any(
            (since is None or since <= day) and (until is None or day <= until) for day in known
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing as each side has it; None where a side has nothing."""

    name: str
    productive: Value
    sage: Value


@dataclass(frozen=True, slots=True)
class BookFinding:
    """Something a person should look at, with the command that mends it."""

    code: str
    message: str
    """What is the matter, in a sentence that needs no figure."""
    figures: tuple[Figure, ...]
    command: str
    """The command that mends it, or opens the document where only a person can."""
    step: str = ""
    """What else is to be said of mending it."""
    severity: str = CHANGED


def comparable(entry: Entry) -> Comparable:
    """What is compared with Sage."""
    return Comparable(entry.net, entry.tax, entry.invoiced_on, entry.pay_on)
