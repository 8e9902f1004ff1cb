"""What is asked of a run, and how far back it reads."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from productive_sage.naming import Name

OVERLAP = timedelta(hours=48)
"""How far each run reads back before the cursor: an index may lag, and so may a clock."""


@dataclass(frozen=True, slots=True)
class SyncOrder:
    """What the person asked for."""

    since: date | None = None
    """What changed from the beginning of this day on, UTC."""
    full: bool = False
    """Every copied invoice."""
    invoices: tuple[Name, ...] = ()
    """As people name them; empty for all."""
    max_deletes: int = 20
    """More payments than these are not removed; nothing is done then."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a run has to look at."""

    is_full: bool
    """Every copied invoice, be it changed or not."""
    cursor: datetime | None
    """Until when earlier runs have read everything; None where none has."""
    begin: date
    """The first day of receipts that become payments."""
