"""reconcile: both books side by side, and what differs. Nothing is written.

Read this file from `reconcile` down: `reading` fetches both sides by pages, `compare` holds them
together and is pure. `adopting` alone changes psage's records, and only where somebody asks.
"""

from dataclasses import dataclass, field, replace

from productive_sage.desk import Desk
from productive_sage.errors import PsageError
from productive_sage.errors.notices import Notice
from productive_sage.productive.invoices import Unreadable
from productive_sage.reconcile import adopting, compare, pairing, reading
from productive_sage.reconcile.compare import Compared, Time
from productive_sage.reconcile.paid import Sync
from productive_sage.reconcile.reading import Sides

__all__ = ["Reconciled", "Time", "reconcile"]


@dataclass(slots=True)
class Reconciled:
    """What a run found."""

    time: Time
    compared: Compared
    unreadable: list[Unreadable] = field(default_factory=list)
    """The documents in Productive that cannot be compared."""
    notices: list[Notice] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    """What `--adopt` put into psage's records, in words."""

    @property
    def error(self) -> PsageError | None:
        """What a script is told where the books differ, or cannot be compared whole."""
        differing, unread = self.compared.differing, len(self.unreadable)
        if not differing and not unread:
            return None
        said = f"{differing} of {len(self.compared.rows)} documents differ"
        said += f", and {unread} cannot be compared" if unread else ""
        return PsageError(
            said, code="books_differ", hint="each finding names the command that mends it"
        )


def reconcile(desk: Desk, time: Time, *, adopt: bool = False) -> Reconciled:
    """Hold Productive, Sage and psage's records together for a time.

    `adopt` records the copies of this time first that psage does not know. Raises
    `different_business`, and ServiceUnavailable where a list is not whole.
    """
    desk.check_business()
    sides = reading.read(desk)
    adopted = _adopt(desk, sides, time) if adopt else []
    doubtful = compare.doubtful(sides.billed, sides.booked, sides.records, time)
    read = reading.payments(desk, sides, doubtful)
    settings = desk.settings
    compared = compare.compare(
        sides.billed,
        sides.booked,
        sides.records,
        time,
        read=read,
        sync=Sync(
            settings.sync_payments,
            settings.sync_payments_from,
            settings.settlement_discount == "write_off",
        ),
    )
    unreadable = [one for one in sides.unreadable if time.holds(one.on)]
    if not adopt:
        sides.notices += _made_elsewhere(compared)
    return Reconciled(time, compared, unreadable, sides.notices, adopted)


def _made_elsewhere(compared: Compared) -> list[Notice]:
    """How many copies psage's records do not know, in a sentence, where there are any."""
    count = sum(
        one.code == "not_in_records" and pair.billed is not None for pair, one in compared.found()
    )
    if not count:
        return []
    said = "1 copy made elsewhere is" if count == 1 else f"{count} copies made elsewhere are"
    step = "`psage reconcile --adopt` records what fits"
    return [Notice("copied_elsewhere", f"{said} not in psage's records; {step}")]


def _adopt(desk: Desk, sides: Sides, time: Time) -> list[str]:
    pairs = pairing.pair_up(sides.billed, sides.booked, sides.records.copies)
    chosen = [one for one in pairs if one.is_within(time.since, time.until)]
    done = adopting.adopt(desk, chosen, sides.notices)
    if done:  # on a new computer, or after the records were lost
        desk.learn_names()
    copies = reading.known(desk, {one.id for one in sides.unreadable})
    sides.records = replace(sides.records, copies=copies)
    return done
