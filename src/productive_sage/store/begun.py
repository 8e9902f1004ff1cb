"""A write that was begun, as a value: what is sent, and what is known of it beside that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from productive_sage.kinds import INVOICE, KINDS, Kind
from productive_sage.store.audit import About


@dataclass(frozen=True, slots=True)
class CopyFacts:
    """What is known of a copy or a change when it is begun, beside the body that is sent.

    An older psage may have left some of it out.
    """

    copy: int
    """Which copy of the document, 1 for the first."""
    number: str = ""
    """Of the document in Productive."""
    currency: str = ""
    company_id: str = ""
    contact_name: str = ""
    country: str = ""
    """Of the contact."""
    tax_rate_id: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)
    """What Productive says, as a `versions.Version`."""
    expected: Mapping[str, Any] = field(default_factory=dict)
    """What Sage must answer (see `drafts.expectation`)."""
    pending: tuple[str, ...] = ()
    """What is to be done after it (see `Link.pending`)."""
    number_sent: bool = False
    kind: str = INVOICE.code
    sage_id: str = ""
    """The copy that an update changes, or a release books."""
    before: Mapping[str, Any] | None = None
    """What an update found in Sage, as a `versions.Version`."""
    theirs: Sequence[tuple[str, str, str]] = ()
    """What of it stays as the bookkeeper made it (see `Merged.theirs`)."""
    credited_sage_id: str | None = None
    asked_new: bool = False
    """Whether a person asked for one more copy."""
    remember: bool = True
    """Whether the company is billed to the contact from now on."""
    agreed: bool = False
    """Whether a person said so."""


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """For whom a contact is made."""

    company_id: str
    currency: str
    country: str


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """On which invoice in Productive a payment is made; an older psage knew its id alone."""

    productive_id: str
    number: str = ""
    currency: str = ""


Facts = TypeVar("Facts", CopyFacts, ContactFacts, PaymentFacts)


@dataclass(frozen=True, slots=True)
class Intent(Generic[Facts]):
    """A write that was begun: what is sent, with the key that makes it repeatable."""

    id: int
    kind: str
    """`contact`, `invoice`, `credit_note`, `update` or `release` (of either), or `payment`."""
    source_id: str
    """The company (with its currency), the invoice, the credit note, or a payment's marker."""
    business_id: str
    idempotency_id: str
    payload: Mapping[str, Any]
    facts: Facts
    sent_at: datetime
    """When it was sent by the service's clock."""
    began_at: datetime
    """The same by this machine's."""

    @property
    def document_kind(self) -> Kind:
        """What is created or updated."""
        return KINDS[self.facts.kind] if isinstance(self.facts, CopyFacts) else INVOICE

    @property
    def about(self) -> About:
        """What the log tells that it is about; a customer is about no document."""
        facts = self.facts
        if isinstance(facts, CopyFacts):
            return About(self.source_id, facts.number, facts.currency)
        if isinstance(facts, PaymentFacts):
            return About(facts.productive_id, facts.number, facts.currency)
        return About()

    @property
    def is_change(self) -> bool:
        """Whether it makes nothing new."""
        return self.kind in ("update", "release")

    @property
    def path(self) -> str:
        """Of what it changes, or of the list that it adds to."""
        if isinstance(self.facts, PaymentFacts):
            return "/payments"
        if isinstance(self.facts, ContactFacts):
            return "/contacts"
        place = self.document_kind.path
        return f"{place}/{self.facts.sage_id}" if self.is_change else place

    @property
    def body(self) -> dict[str, Any]:
        """What is sent; a payment has no key, and a change needs none: twice does nothing new."""
        is_keyed = not (self.is_change or self.kind == "payment")
        return {**self.payload, **({"idempotency_id": self.idempotency_id} if is_keyed else {})}


CopyIntent = Intent[CopyFacts]
ContactIntent = Intent[ContactFacts]
PaymentIntent = Intent[PaymentFacts]
AnyIntent = CopyIntent | ContactIntent | PaymentIntent
