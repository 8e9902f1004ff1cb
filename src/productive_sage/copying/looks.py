"""The last look before a copy is sent: whether Productive names one that another machine made.

What was read at the beginning of a batch may be minutes old when its turn comes. Productive is
asked for several of the next documents at once, and again after a few seconds: by one call for
each there would be too many for its limits.

Two that copy in step see nothing of each other ahead, so each look is at the last ones too: where
Productive names another copy of one that was made here a moment ago, the batch ends.
"""

import time
from collections.abc import Callable, Sequence

from productive_sage import lanes
from productive_sage.desk import Desk
from productive_sage.errors import CopiedAtOnce
from productive_sage.productive.records import Invoice
from productive_sage.text import is_sage_id

FRESH_S = 3.0
"""A look so old is not repeated ahead of a document's turn,"""
OLD_S = 5.0
"""and one so old is not believed when it comes."""
_NEXT = 10
_BEFORE = 20
"""So many of those before are looked at as well."""


class Looks:
    """What Productive says of the documents of a run, in their order; of one alone at each look."""

    def __init__(self, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._clock = clock
        self._invoices: dict[str, Invoice] = {}
        self._ids: list[str] = []
        self._seen: dict[str, tuple[float, str | None]] = {}
        self._made = set[str]()
        self._rival: CopiedAtOnce | None = None

    def know(self, invoices: Sequence[Invoice], *, read_at: float) -> None:
        """Take the documents of the run, as they were read at a time of the clock."""
        self._invoices = {invoice.id: invoice for invoice in invoices}
        self._ids = [*self._invoices]
        self._seen = {invoice.id: (read_at, invoice.export_id) for invoice in invoices}

    def prepare(self, invoice_id: str) -> None:
        """Look, unless that was done a moment ago."""
        self._named(invoice_id, FRESH_S)

    def named(self, invoice_id: str) -> str | None:
        """The copy Productive names at this moment.

        Raises CopiedAtOnce where another computer was seen to copy the same.
        """
        if len(self._ids) == 1:
            return self._desk.productive.invoices.export_id(invoice_id)
        named = self._named(invoice_id, OLD_S)
        if self._rival:
            raise self._rival
        return named

    def made(self, invoice_id: str) -> None:
        """Watch whether Productive comes to name another copy than the one that was made now."""
        self._made.add(invoice_id)

    def _named(self, invoice_id: str, age_s: float) -> str | None:
        if not self._is_seen(invoice_id, age_s):
            with lanes.alone("the last look"):
                if not self._is_seen(invoice_id, age_s):
                    self._look(invoice_id)
        return self._seen[invoice_id][1]

    def _is_seen(self, invoice_id: str, age_s: float) -> bool:
        return self._clock() - self._seen[invoice_id][0] <= age_s

    def _look(self, invoice_id: str) -> None:
        place = self._ids.index(invoice_id)
        some, now = self._ids[place : place + _NEXT], self._clock()
        made = [key for key in self._ids[max(0, place - _BEFORE) : place] if key in self._made]
        found = self._desk.productive.invoices.export_ids([*made, *some])
        if invoice_id not in found:  # which says why it is not shown
            found[invoice_id] = self._desk.productive.invoices.export_id(invoice_id)
        for key in made:
            if self._is_of_another(key, found.get(key)):
                self._rival = self._rival or CopiedAtOnce(self._invoices[key].label, key)
        self._seen |= {key: (now, found[key]) for key in some if key in found}

    def _is_of_another(self, invoice_id: str, named: str | None) -> bool:
        """Whether Productive names a copy that is neither of this computer nor was there before."""
        is_new = is_sage_id(named) and named != self._seen[invoice_id][1]
        return is_new and self._desk.store.copies.at(str(named)) is None
