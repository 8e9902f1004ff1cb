"""The log as tests need it: filled by hand, or kept by nobody."""

from collections.abc import Callable, Iterable

from productive_sage.http import Write
from productive_sage.http.answers import Reply
from productive_sage.store import Store
from productive_sage.store.audit import Event


def unrecorded(_write: Write) -> Callable[[Reply | BaseException, str], None]:
    """Keep no record of a write."""
    return lambda _outcome, _request_id: None


def append(store: Store, events: Iterable[Event]) -> None:
    """Append events to the log as they are."""
    with store.db.write():
        for event in events:
            store.events.append(event)
