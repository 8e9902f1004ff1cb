"""The last look before a copy is sent: whether Productive names one that another machine made.

What was read at the beginning of a batch may be minutes old when its turn comes. Productive is
asked for several of the next documents at once, and again after a few seconds: by one call for
each there would be too many for its limits.
"""

import time
from collections.abc import Callable, Sequence

from productive_sage import lanes
from productive_sage.desk import Desk
from productive_sage.productive.records import Invoice

FRESH_S = 2.0
"""A look so old is not repeated ahead of a document's turn,"""
OLD_S = 5.0
"""and one so old is not believed when it comes."""
_AT_ONCE = 10


class Looks:
    """What Productive says of the documents of a run, in their order; of one alone at each look."""

    def __init__(self, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._clock = clock
        self._ids: list[str] = []
        self._seen: dict[str, tuple[float, str | None]] = {}

    def know(self, invoices: Sequence[Invoice], *, read_at: float) -> None:
        """Take the documents of the run, as they were read at a time of the clock."""
        self._ids = [invoice.id for invoice in invoices]
        self._seen = {invoice.id: (read_at, invoice.export_id) for invoice in invoices}

    def prepare(self, invoice_id: str) -> None:
        """Look, unless that was done a moment ago."""
        self._named(invoice_id, FRESH_S)

    def named(self, invoice_id: str) -> str | None:
        """The copy Productive names at this moment."""
        if len(self._ids) == 1:
            return self._desk.productive.invoices.export_id(invoice_id)
        return self._named(invoice_id, OLD_S)

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
        some, now = self._ids[place : place + _AT_ONCE], self._clock()
        found = self._desk.productive.invoices.export_ids(some)
        if invoice_id not in found:  # which says why it is not shown
            found[invoice_id] = self._desk.productive.invoices.export_id(invoice_id)
        self._seen |= {key: (now, found[key]) for key in some if key in found}
