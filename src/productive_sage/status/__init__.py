"""status: what is connected, copied and waiting for someone, from this machine's files alone.

Opens no keyring and no connection: what is no secret of the sign-ins is in the store. It must
start quickly, so it imports neither the clients nor the vault.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from productive_sage import config
from productive_sage.config import Home
from productive_sage.errors import (
    NetworkDown,
    NoDefaultLedger,
    NotFound,
    OutcomeUnknown,
    PsageError,
    RateLimited,
    ServiceUnavailable,
    code_of_a_look,
)
from productive_sage.kept import SOON, SignedIn
from productive_sage.kinds import KINDS
from productive_sage.naming import to_type
from productive_sage.settings import Settings
from productive_sage.store import (
    ContactFacts,
    ContactIntent,
    CopyIntent,
    Link,
    PaymentIntent,
    Store,
    Waiting,
    names,
)
from productive_sage.text import bare

SERVICES = ("Productive", "Sage")
_UNTIL, _FULL = "payments until", "payments full"
"""The cursors of the payment sync."""
_LEFT = {
    "allocate": "is not set against the invoice it credits",
    "mark": "is not marked as copied in Productive",
    "number": "has a number in Sage that Productive does not show yet",
    "pdf": "has no PDF yet",
}
"""What is left to do after a copy, by its word in the store."""
_WRITES = {"update": "the update of its copy", "release": "the release of its draft"}
"""What was sent about a document, by the kind of the intent; else it is the copy itself."""
_NAMED = 10
"""So many of the drafts that wait are named."""
_PASSING = frozenset(
    error.code for error in (NetworkDown, OutcomeUnknown, RateLimited, ServiceUnavailable)
)
"""What is said of these differs from run to run: it is the same thing all the same."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One service, as far as this machine knows."""

    service: str
    state: str
    """`connected`, `ended`, `not_connected`, or `unknown` where nobody has recorded it."""
    signed_in: SignedIn | None = None
    days_left: int | None = None
    """Whole days until somebody has to sign in again; None where that is not known or never."""
    next_step: str | None = None
    """The command that helps; None where none is needed."""
    is_asked: bool = False
    error: PsageError | None = None
    """Why the sign-in does not hold, where the service was asked."""


@dataclass(frozen=True, slots=True)
class Errand:
    """Something that waits for someone."""

    code: str
    """`outcome_unknown`, `unfinished`, or the code of what went wrong."""
    message: str
    next_step: str
    productive_id: str | None = None
    since: datetime | None = None

    @property
    def item(self) -> str:
        """The name by which somebody ticks it off: another one as soon as anything changes."""
        said = re.sub(r" \(request [^)]*\)", "", self.message) if self.code not in _PASSING else ""
        content = "\n".join((self.code, self.productive_id or "", said, str(self.since)))
        return base64.b32encode(hashlib.sha256(content.encode()).digest()).decode()[:5].lower()


@dataclass
class Status:
    """What there is to say of one profile."""

    home: Home
    connections: list[Connection] = field(default_factory=list)
    settings: Settings | None = None
    """None where the file cannot be understood."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the ids in the settings are called, by key."""
    copied: Mapping[str, int] = field(default_factory=dict)
    """How many documents have a copy, by the code of their kind; empty where nobody knows."""
    synced_at: datetime | None = None
    """Until when payments were read, UTC."""
    compared_at: datetime | None = None
    """When the payments of every copied invoice were last compared."""
    waiting: list[Errand] = field(default_factory=list)
    seen: list[Errand] = field(default_factory=list)
    """What waits still, but was looked at."""
    errors: list[PsageError] = field(default_factory=list)
    """What kept something from being read, or a service from answering."""

    @property
    def command(self) -> str:
        """How a command for this profile begins."""
        name = self.home.profile
        return "psage" if name == "default" else f"psage --profile {name}"


def worst(errors: Iterable[PsageError]) -> PsageError | None:
    """The error that decides the exit code: 2 comes before 3 before 5."""
    return min(errors, key=code_of_a_look, default=None)


def exit_code(errors: Iterable[PsageError]) -> int:
    """0 where nothing is wrong; what waits for someone is no error."""
    error = worst(errors)
    return code_of_a_look(error) if error else 0


def look(
    home: Home,
    environment: Mapping[str, str],
    *,
    now: datetime,
    answers: Mapping[str, PsageError | None] | None = None,
) -> Status:
    """Read settings and store of a profile; makes and changes nothing.

    `answers` is what the services said where they were asked, as `doctor.ask` gives it. What cannot
    be read is in `errors`, and hides nothing else.
    """
    status = Status(home, copied=dict.fromkeys(KINDS, 0))
    psage = status.command
    try:
        _read_settings(status, environment, psage)
    except PsageError as error:
        status.errors.append(error)
    known: dict[str, SignedIn | None] = dict.fromkeys(SERVICES)
    try:
        if home.store.exists():
            with Store(home.store, read_only=True) as store:
                known = store.cursors.sign_ins()
                _read_store(status, store, psage)
                _part(status, store.errands.seen())
        elif home.lock.exists() and status.settings and status.settings.default_ledger_account:
            # A run has been here that had some, and nobody has removed the profile.
            status.waiting.append(_no_records(psage))
    except (PsageError, OSError) as error:  # or a folder nobody may look into
        known, status.copied = {}, {}
        if isinstance(error, OSError):
            error = config.storage_error(error, home.store)
        status.errors.append(error)
    for service in SERVICES:
        one = _connection(service, known, now, psage)
        if answers and service in answers:
            # Where the next step was to ask, that is done now.
            step = None if one.state == "unknown" else one.next_step
            one = replace(one, is_asked=True, error=answers[service], next_step=step)
        if one.error:
            status.errors.append(one.error)
        status.connections.append(one)
    return status


def tick_off(status: Status, items: Sequence[str], *, make: Callable[[], Home]) -> None:
    """Take items off what waits, until they change; all of them or none.

    `make` makes the home where there is none yet. Raises NotFound, naming those that wait, where
    one does not.
    """
    every = {one.item for one in (*status.waiting, *status.seen)}
    if unknown := [item for item in items if item not in every]:
        waiting = ", ".join(f"`{one.item}`" for one in status.waiting)
        raise NotFound(
            f"nothing that waits is called {', '.join(f'`{one}`' for one in unknown)}",
            hint=f"these wait: {waiting}" if waiting else "nothing waits",
            details={"unknown": unknown, "known": [one.item for one in status.waiting]},
        )
    with Store(make().store) as store:
        store.errands.see(items, of=every)
        _part(status, store.errands.seen())


def _part(status: Status, seen: set[str]) -> None:
    status.seen += [one for one in status.waiting if one.item in seen]
    status.waiting = [one for one in status.waiting if one.item not in seen]


def _read_settings(status: Status, environment: Mapping[str, str], psage: str) -> None:
    status.settings, warnings = config.load(status.home.config, environment)
    if not status.settings.default_ledger_account:
        step = f"{psage} configure --default-ledger CODE"
        status.waiting.append(Errand(NoDefaultLedger.code, NoDefaultLedger().message, step))
    edit = f"edit {status.home.config}"
    status.waiting += [Errand("unknown_setting", warning, edit) for warning in warnings]


def _no_records(psage: str) -> Errand:
    """That a profile which was at work has no records: nothing it did is known here."""
    message = (
        "the records of what was copied are not there any more: "
        f"`{psage} restore FILE` puts a backup back, `{psage} rebuild` makes them again"
    )
    return Errand("no_records", message, f"{psage} rebuild")


def _connection(
    service: str, known: Mapping[str, SignedIn | None], now: datetime, psage: str
) -> Connection:
    connect = f"{psage} connect {service.lower()}"
    if service not in known:
        return Connection(service, "unknown", next_step=f"{psage} status --check")
    signed_in = known[service]
    if signed_in is None:
        return Connection(service, "not_connected", next_step=connect)
    if signed_in.until is None:
        return Connection(service, "connected", signed_in)
    left = signed_in.until - now
    if left <= timedelta(0):
        return Connection(service, "ended", signed_in, 0, connect)
    return Connection(service, "connected", signed_in, left.days, connect if left < SOON else None)


def _read_store(status: Status, store: Store, psage: str) -> None:
    if status.settings:
        status.names = names.of(status.settings, store)
    status.copied = store.copies.documents()
    status.synced_at, status.compared_at = _moment(store, _UNTIL), _moment(store, _FULL)
    waiting = status.waiting
    begun: list[ContactIntent | CopyIntent] = [
        *store.intents.open_contacts(),
        *store.intents.open_copies(),
    ]
    numbers = {key: number for key, number, _ in store.copies.names()}
    waiting += [_unknown_write(one, psage) for one in sorted(begun, key=lambda one: one.id)]
    waiting += [_unknown_payment(one, psage, numbers) for one in store.intents.open_payments()]
    if drafts := store.copies.drafts():
        waiting.append(_drafts(drafts, psage, numbers))
    left = (_unfinished(link, psage, numbers) for link in store.copies.unfinished())
    waiting += filter(None, left)
    # An open payment is told once, by itself.
    sent = {one.productive_id for one in waiting if one.code == OutcomeUnknown.code}
    stuck = [
        one
        for one in store.errands.waiting()
        if not (one.code == OutcomeUnknown.code and one.productive_id in sent)
    ]
    waiting += [_found(one, psage, numbers) for one in (*stuck, *store.errands.findings())]


_Numbers = Mapping[str, str]
"""Of the documents that have a copy, by their ids."""


def _found(one: Waiting, psage: str, numbers: _Numbers) -> Errand:
    """What a sync could not do, or found; where it says no step, the next run does it."""
    step = bare(one.next_step.replace("`psage ", f"`{psage} "))
    name = to_type(numbers.get(one.productive_id, ""), one.productive_id)
    again = f"{psage} sync-payments --invoice {name}"
    return Errand(one.code, one.message, step or again, one.productive_id, one.since)


def _moment(store: Store, cursor: str) -> datetime | None:
    value = store.cursors.get(cursor)
    return datetime.fromisoformat(value) if value else None


def _unknown_write(intent: ContactIntent | CopyIntent, psage: str) -> Errand:
    facts, kind = intent.facts, intent.document_kind
    if isinstance(facts, ContactFacts):
        company, _, currency = intent.source_id.partition(" ")
        message = (
            f"a new customer in Sage, for company {company} in {currency}, was sent and never "
            "answered for; the next copy finds out"
        )
        step = f"{psage} copy-invoice ID"
        return Errand("outcome_unknown", message, step, None, intent.began_at)
    what = _WRITES.get(intent.kind, "its copy")
    number = facts.number or intent.source_id
    message = f"{kind.name} {number}: {what} was sent to Sage and never answered for"
    command = "release" if intent.kind == "release" else kind.command
    step = f"{psage} {command} {to_type(facts.number, intent.source_id)}"
    return Errand("outcome_unknown", message, step, intent.source_id, intent.began_at)


def _unknown_payment(intent: PaymentIntent, psage: str, numbers: _Numbers) -> Errand:
    invoice = intent.facts.productive_id
    number = numbers.get(invoice, "")
    message = (
        f"invoice {number or invoice}: a payment was sent to Productive and never answered for"
    )
    step = f"{psage} sync-payments --invoice {to_type(number, invoice)}"
    return Errand("outcome_unknown", message, step, invoice, intent.began_at)


def _unfinished(link: Link, psage: str, numbers: _Numbers) -> Errand | None:
    """What is left to do; None where a run only did not live to say what it did."""
    # What waits for a release is told with that.
    due = link.pending & {"mark"} if link.waits_for_release else link.pending
    left = [said for word, said in _LEFT.items() if word in due]
    if not left:
        return None
    number = numbers.get(link.productive_id, "")
    message = f"{link.kind.name} {number or link.productive_id} ({link.sage_number} in Sage) "
    step = f"{psage} {link.kind.command} {to_type(number, link.productive_id)}"
    return Errand("unfinished", message + ", and ".join(left), step, link.productive_id)


def _drafts(links: Sequence[Link], psage: str, numbers: _Numbers) -> Errand:
    """The copies that somebody has to review and release."""
    named = [numbers.get(link.productive_id) or link.productive_id for link in links]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    shown = ", ".join(named[:_NAMED])
    if len(links) == 1:
        (link,) = links
        step = f"{psage} release {to_type(named[0], link.productive_id)}"
        message = f"{link.kind.name} {shown} is a draft in Sage, and waits to be released"
        return Errand("draft_not_released", message, step)
    message = f"{len(links)} copies are drafts in Sage, and wait to be released: {shown}{more}"
    return Errand("draft_not_released", message, f"{psage} release --all")


# --- for scripts


def as_json(status: Status) -> dict[str, Any]:
    """The facts of a profile as the public JSON contract has them; instants are UTC, ISO 8601."""
    content: dict[str, Any] = {
        one.service.lower(): _connection_as_json(one) for one in status.connections
    }
    settings = asdict(status.settings) if status.settings else None
    content |= {
        "settings": settings,
        "file": str(status.home.config),
        "documents": {f"{code}s": status.copied.get(code) for code in KINDS},
        "payments": {
            "sync": bool(status.settings and status.settings.sync_payments),
            "last_sync": _instant(status.synced_at),
            "last_full_comparison": _instant(status.compared_at),
        },
        "waiting": [_errand_as_json(one) for one in status.waiting],
        "seen": [_errand_as_json(one) for one in status.seen],
    }
    if error := worst(status.errors):
        content["error"] = error.as_json()
    return content


def _connection_as_json(one: Connection) -> dict[str, Any]:
    known = one.signed_in or SignedIn("", "")
    if one.service == "Productive":
        facts = {"organization_id": known.id or None, "organization_name": known.name or None}
    else:
        facts = {
            "business_id": known.id or None,
            "business_name": known.name or None,
            "country": known.country or None,
        }
    return {
        "state": one.state,
        **facts,
        "sign_in_until": _instant(known.until),
        "days_left": one.days_left,
        "next": one.next_step,
        "asked": one.is_asked,
        "error": one.error.as_json() if one.error else None,
    }


def _errand_as_json(one: Errand) -> dict[str, Any]:
    return {
        "item": one.item,
        "code": one.code,
        "productive_id": one.productive_id,
        "message": one.message,
        "since": _instant(one.since),
        "next": one.next_step,
    }


def _instant(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None
