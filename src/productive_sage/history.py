"""What psage wrote to the services: by whom, what a killed run left open, all of it as a sheet."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from productive_sage.errors import PsageError
from productive_sage.store import Store
from productive_sage.store.audit import Event

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


def record_interrupted(store: Store, warn: Callable[[str], None]) -> None:
    """Record the writes an earlier run was stopped in, for a run that holds the run lock."""
    try:
        store.events.record_interrupted()
    except PsageError as error:
        warn(f"a write an earlier run was stopped in is not in the history yet: {error.message}")


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
