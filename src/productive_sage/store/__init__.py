"""The store: psage's own records, one SQLite file per profile, the only place with SQL.

A write to a service is first an intent, committed to disk; its end is committed together with what
it made. The file can be lost: copies are found again in Sage by their markers.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self

from productive_sage.store.audit import About
from productive_sage.store.begun import (
    AnyIntent,
    ContactFacts,
    ContactIntent,
    CopyFacts,
    CopyIntent,
    Intent,
    PaymentFacts,
    PaymentIntent,
)
from productive_sage.store.copies import CopyRecords, Link
from productive_sage.store.cursors import Cursors
from productive_sage.store.customers import CustomerRecords
from productive_sage.store.database import Database, utc_now
from productive_sage.store.errands import Errands, Waiting
from productive_sage.store.events import Events
from productive_sage.store.facts import CachedFacts
from productive_sage.store.intents import Intents
from productive_sage.store.payments import OwnPayments

__all__ = [
    "About",
    "AnyIntent",
    "ContactFacts",
    "ContactIntent",
    "CopyFacts",
    "CopyIntent",
    "Intent",
    "Link",
    "PaymentFacts",
    "PaymentIntent",
    "Store",
    "Waiting",
]


def _tell_nobody(_warning: str) -> None:
    pass


class Store:
    """An open store by its subjects, over one connection; used by one thread at a time."""

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        by: tuple[str, str] = ("", ""),
        warn: Callable[[str], None] = _tell_nobody,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Open as `Database` does; `by` is who runs which command, for the audit log.

        `warn` is told what the log lacks.
        """
        self.db = Database(path, read_only=read_only, now=now)
        self.cursors = Cursors(self.db)
        self.facts = CachedFacts(self.db)
        self.errands = Errands(self.db)
        self.copies = CopyRecords(self.db)
        self.customers = CustomerRecords(self.db)
        self.events = Events(self.db, self.cursors, by, warn)
        self.intents = Intents(self.db, self.events, self.copies, self.customers)
        self.payments = OwnPayments(self.db, self.intents)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.events.flush()
        finally:
            self.db.close()

    def flaws(self) -> list[str]:
        """What does not fit together: records of copies that are not there."""
        counts = {
            "payment{s} of invoices without a copy": (
                "SELECT count(*) FROM mirrored "
                "WHERE productive_id NOT IN (SELECT productive_id FROM link)"
            ),
            "credit note{s} of invoices without a copy": (
                "SELECT count(*) FROM link WHERE credited_sage_id IS NOT NULL "
                "AND credited_sage_id NOT IN (SELECT sage_id FROM link)"
            ),
        }
        found = [
            (int(self.db.rows(statement)[0][0]), what)
            for statement, what in ((statement, what) for what, statement in counts.items())
        ]
        return [f"{n} {what.format(s='' if n == 1 else 's')}" for n, what in found if n]
