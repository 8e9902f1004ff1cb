"""The values that the store keeps.

They stand apart from the records of documents, of which there are so many that making their classes
takes a third of the time in which `status` has to be done.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Contact:
    """A Sage contact of the kind customer."""

    id: str
    name: str
    reference: str = ""
    currency: str = ""
    email: str = ""
    country: str = ""
    """Two letters, or empty where Sage's answer does not say."""
    marker: str = ""
    """`source_guid`: psage's marker of the Productive company, or another importer's."""
    tax_number: str = ""
    made_at: str = ""
    """When Sage made it, as Sage writes that; empty where its answer does not say."""
    is_active: bool = True
    has_address: bool | None = None
    """Whether Sage has an address to put on its invoices; None where the answer does not say."""


@dataclass(frozen=True, slots=True)
class OwnPayment:
    """A Productive payment psage wrote, as the store remembers it."""

    marker: str
    productive_id: str
    payment_id: str
    reference: str
    """The receipt's, when the note was last written."""

    @property
    def source_id(self) -> str:
        """The receipt, or the allocation of a payment on account."""
        return self.marker.split()[1].partition("/")[0]

    @property
    def sage_id(self) -> str:
        """The invoice in Sage."""
        return self.marker.split()[1].partition("/")[2]

    @property
    def is_discount(self) -> bool:
        """Whether it is the write-off of a settlement discount."""
        return self.marker.endswith(" discount")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the payments of an invoice that waits for a person."""

    code: str
    message: str
    """The same in every run while nothing changes."""
    next_step: str
    """What to do about it: a sentence with commands in backticks, or one command; may be empty."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What is no secret of a sign-in, which the store keeps for `status`."""

    id: str
    """Of the organisation in Productive, or of the business in Sage."""
    name: str
    country: str = ""
    """Two letters; empty for Productive."""
    until: datetime | None = None
    """When a person has to sign in again; None where it does not end by itself."""


SOON = timedelta(days=7)
"""A sign-in that ends sooner is pointed out."""


def in_words(until: datetime, days_left: int | None) -> str:
    """Whether a sign-in that ends one day needs somebody: each run renews it for a month."""
    day = until.astimezone().date()
    if days_left is None or days_left >= SOON.days:
        return f"the sign-in renews itself with every run (unused, it ends on {day})"
    return f"sign in again within {days_left} day{'' if days_left == 1 else 's'}, by {day}"
