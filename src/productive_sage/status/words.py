"""The status in sentences, for people."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from productive_sage.kept import in_words
from productive_sage.kinds import KINDS
from productive_sage.settings import Settings
from productive_sage.status import Connection, Status
from productive_sage.text import counted


def lines(status: Status, *, now: datetime, is_brief: bool = False) -> Iterator[tuple[str, str]]:
    """(name, sentence) of everything about the profile but what waits.

    `is_brief` leaves out what needs nobody.
    """
    if not is_brief:
        yield "Profile", f"{status.home.profile}, in {status.home.folder}"
    for one in status.connections:
        if one.next_step or one.error or not is_brief:
            yield one.service, _connection_in_words(one)
    if is_brief:
        return
    if status.settings:
        yield "Settings", _settings_in_words(status.settings, status.names)
    counts = [counted(number, KINDS[code].name) for code, number in status.copied.items()]
    yield "Copied", " and ".join(counts) or "not known, since psage's records cannot be read"
    yield "Payments", _payments_in_words(status, now)


def _connection_in_words(one: Connection) -> str:
    known, error = one.signed_in, one.error
    name = f"{known.name} ({known.country or known.id})" if known else ""
    words = {
        "unknown": "not known from psage's records",
        "not_connected": "not connected",
        "ended": f"the sign-in to {name} has ended",
        "connected": f"connected to {name}",
    }[one.state]
    if one.state == "connected" and known:
        words += f"; {in_words(known.until, one.days_left)}" if known.until else ""
    if error and one.state in ("connected", "unknown"):
        words += f"; asked just now: {error.message}"
    elif error:
        words = error.message
    elif one.is_asked:
        words += "; it answered just now"
    if one.next_step:
        return f"{words}: `{one.next_step}`"
    return f"{words}; {error.hint}" if error and error.hint else words


def _settings_in_words(settings: Settings, names: Mapping[str, str]) -> str:
    def named(key: str) -> str:
        return names.get(key) or str(getattr(settings, key))

    account, rate = named("default_ledger_account"), named("default_tax_rate")
    taxes = f"tax {rate}" if rate else "no default tax"
    if settings.tax_map:
        taxes = "taxes line by line"
    parts = [
        f"sales to {account}" if account else "no default ledger account",
        taxes,
        f"{counted(len(settings.items), 'service type')} linked to an item",
        f"numbers by {settings.numbering.capitalize()}",
        f"PDF by {settings.pdf.capitalize()}",
    ]
    return ", ".join(parts)


def _payments_in_words(status: Status, now: datetime) -> str:
    settings = status.settings
    if settings and not settings.sync_payments:
        words = "the sync is off"
    elif settings:
        words = f"from {settings.sync_payments_from} on"
    else:
        words = "the settings cannot be read"
    if status.synced_at is None:
        return f"{words}; never synchronised" if status.copied else words
    words += f"; last synchronised {_when(status.synced_at)}, {_ago(now - status.synced_at)}"
    if status.compared_at:
        words += f"; all compared {_when(status.compared_at)}"
    return words


def _when(moment: datetime) -> str:
    """In the person's own zone, as every time that is no JSON or CSV."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _ago(age: timedelta) -> str:
    if age >= timedelta(days=2):
        return f"{age.days} days ago"
    hours = int(age.total_seconds() // 3600)
    return f"{counted(hours, 'hour')} ago" if hours > 0 else "within the hour"


def errands(status: Status) -> Iterator[tuple[str, str, str]]:
    """(item, sentence, next step) of everything that waits."""
    for one in status.waiting:
        message = one.message.replace("`psage ", f"`{status.command} ")
        since = f" (since {_when(one.since)})" if one.since else ""
        yield one.item, message + since, one.next_step
