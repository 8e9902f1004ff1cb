"""What psage wrote to the services: how each write gets into the audit log, and out as a sheet.

The log stands beside the work. What cannot be recorded is said, and changes nothing about the write
itself. A write is announced before it is sent, so that a process that is killed leaves a trace.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from productive_sage.errors import OutcomeUnknown, PsageError, ServiceRefused
from productive_sage.store import Store, audit
from productive_sage.store.audit import Event

if TYPE_CHECKING:  # reading the log needs no HTTP
    from productive_sage.http import OnWrite, Write
    from productive_sage.http.answers import Reply

log = logging.getLogger("psage.history")

_WORDS_LIMIT = 500


def user() -> str:
    """Who runs psage: the system's account, not what the environment says where that is known."""
    try:
        import pwd
    except ImportError:  # Windows
        import getpass

        return getpass.getuser()
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


# --- recording


def record_interrupted(store: Store, warn: Callable[[str], None]) -> None:
    """Record the write an earlier run was stopped in, for a run that holds the run lock."""
    try:
        store.events.record_interrupted()
    except PsageError as error:
        warn(f"a write an earlier run was stopped in is not in the history yet: {error.message}")


def recorder(store: Store, warn: Callable[[str], None]) -> "OnWrite":
    """What records each write of a run that holds the run lock; `warn` is told once of trouble.

    What could not be recorded is tried again at the next write.
    """
    unsaved: list[Event] = []
    warned: list[str] = []

    @contextmanager
    def beside(what: str) -> Iterator[None]:
        """Whatever goes wrong in here, the work goes on."""
        try:
            yield
        except Exception as error:  # a defect of the log must not undo a write
            why = error.message if isinstance(error, PsageError) else "a defect of psage"
            log.exception("%s", what)
            if not warned:
                warned.append(what)
                warn(f"the history is not complete: `{what}` is not recorded in it: {why}")

    def save() -> None:
        if unsaved:
            store.events.record(unsaved)
            unsaved.clear()

    def began(write: "Write") -> Callable[["Reply | BaseException", str], None]:
        event = Event(
            service=write.service.lower(), what=f"{write.method} {write.path}", path=write.path
        )
        with beside(event.what):
            event, paths = audit.request(event.service, write.method, write.path, write.body)
            event = store.events.about(event, paths)
            save()
            store.events.announce(event)

        def ended(outcome: "Reply | BaseException", request_id: str) -> None:
            with beside(event.what):
                unsaved.append(_answered(event, outcome, request_id))
                save()

        return ended

    return began


def _answered(event: Event, outcome: "Reply | BaseException", request_id: str) -> Event:
    """A write with what came back."""
    path = event.path
    if isinstance(outcome, BaseException):
        result, answer = _failure(outcome)
    else:
        result, answer = "done", audit.answer(outcome.document)
        if event.what.startswith(("POST ", "PUT ")) and not answer:
            result, answer = "unknown", {"words": f"the answer ({outcome.status}) names no id"}
        elif event.what.startswith("POST "):
            path = f"{path}/{answer['id']}"
    return replace(event, path=path, result=result, answer=answer, request_id=request_id)


def _failure(error: BaseException) -> tuple[str, dict[str, Any]]:
    """Whether a write that failed may have been done, and why it failed."""
    if isinstance(error, ServiceRefused):
        return "refused", {"words": error.words[:_WORDS_LIMIT]}
    if isinstance(error, PsageError):
        result = "unknown" if isinstance(error, OutcomeUnknown) else "not_done"
        return result, {"words": error.message[:_WORDS_LIMIT]}
    if isinstance(error, KeyboardInterrupt):
        return "unknown", {"words": "psage was interrupted before the answer"}
    return "unknown", {"words": f"psage met something it does not expect ({type(error).__name__})"}


# --- as a sheet

_FIGURES = ("date", "due_date", "currency", "net", "tax", "total", "amount", "tax_rate", "lines")
_AMOUNTS = frozenset(("net", "tax", "total", "amount", "lines"))
_ANSWER = ("id", "number", "contact", "currency", "net", "tax", "total", "words")

SHEET = (
    *("id", "at_utc", "who", "command", "service", "document", "number", "what", "path"),
    *_FIGURES,
    "other_figures",
    "result",
    *(f"answer_{name}" for name in _ANSWER),
    *("request_id", "key", "previous", "hash"),
)
"""The heads of the columns."""


def sheet(events: Sequence[Event]) -> Iterator[list[Any]]:
    """The log as rows for a spreadsheet: amounts are numbers, all else is text."""
    for event in events:
        other = {name: event.figures[name] for name in event.figures if name not in _FIGURES}
        yield [
            event.id,
            event.at[:19].replace("T", " "),
            *(event.who, event.command, event.service, event.document, event.number),
            *(event.what, event.path),
            *(_cell(name, event.figures.get(name)) for name in _FIGURES),
            "; ".join(f"{name}: {value}" for name, value in other.items()),
            event.result,
            *(_cell(name, event.answer.get(name)) for name in _ANSWER),
            *(event.request_id, event.key, event.previous, event.hash),
        ]


def _cell(name: str, value: Any) -> Any:
    if name in _AMOUNTS and value not in (None, ""):
        try:
            return Decimal(str(value))
        except ArithmeticError:
            pass
    return "" if value is None else str(value)
