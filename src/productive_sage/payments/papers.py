"""One invoice with all that was read of it, as the steps of a run hand it on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from productive_sage.kept import OwnPayment
from productive_sage.productive.records import Payment
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link, PaymentIntent


@dataclass(frozen=True, slots=True)
class Papers:
    """What Sage says of its copies, what Productive holds, and what psage's records say."""

    productive_id: str
    link: Link
    """Of the latest copy."""
    number: str = ""
    """In Productive; empty where it is not known."""
    document: SageDocument | None = None
    """The latest copy, whole; None where Sage has it no more."""
    earlier_copies: tuple[SageDocument, ...] = ()
    """Those that somebody or something touched."""
    doubles: tuple[SageDocument, ...] = ()
    """Copies that other machines made of it."""
    payments: tuple[Payment, ...] = ()
    own: tuple[OwnPayment, ...] = ()
    """Those psage wrote, by its records."""
    copies: frozenset[str] = frozenset()
    """The Sage ids of all its copies."""
    intents: Mapping[str, PaymentIntent] = field(default_factory=dict)
    """New payments of an earlier run whose outcome is not known, by marker."""

    @property
    def currency(self) -> str:
        """The copy's; empty where there is none."""
        return self.document.currency if self.document else ""

    @property
    def label(self) -> str:
        """The same in every run, or what was said once would be said again."""
        number = self.number or self.productive_id
        return f"invoice `{number}` ({self.link.sage_number} in Sage)"
