"""One write to Sage that cannot happen twice and cannot be forgotten.

The intent is on disk before the first byte is sent. The key in it is the first guard: Sage answers
a repeated one with the first result. The marker is the second, for when Sage has forgotten the key:
before anything is sent a second time, it is looked for.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from productive_sage.errors import OutcomeUnknown, PsageError, Refused
from productive_sage.http import Recorder
from productive_sage.store import ContactFacts, CopyFacts, Intent, Store

_T = TypeVar("_T")
_F = TypeVar("_F", CopyFacts, ContactFacts)
CLOCK_SKEW = timedelta(minutes=1)
"""So far apart may the clocks be by which Sage dates its answers and its records."""


def deliver(
    store: Store,
    intent: Intent[Any],
    *,
    send: Callable[[dict[str, Any], Recorder], _T],
    look: Callable[[], _T | None],
    is_first: bool = True,
) -> _T:
    """Send an intent's payload and return what Sage made of it.

    A definite no, or an attempt that never left this machine, closes the intent and is raised as it
    is. Where no usable answer comes back, `look` for the marker, then send once more. Raises
    OutcomeUnknown, leaving the intent open for the next run, where that tells nothing either.

    `is_first` is false where an earlier run may have sent it moments ago: then a no proves nothing,
    since it may be the first try that stands in the way.
    """
    body, record = intent.body, store.intents.recorder(intent)
    try:
        return send(body, record)
    except OutcomeUnknown as error:
        first = error
    except PsageError as error:
        if is_first:
            # Only an answer uses a key up; what never got there is the same on every machine.
            is_answer = isinstance(error, Refused)
            store.intents.end(intent, "refused" if is_answer else "lapsed", error.message)
            raise
        if isinstance(error, Refused):
            raise _unknown(error, error) from error
        raise
    try:
        found = look()
        return found if found is not None else send(body, record)
    except PsageError as error:
        raise _unknown(first, error) from error


def is_of_old(intent: Intent[Any], made_at: datetime | None) -> bool:
    """Whether Sage made what it answered with long before the intent: for the same key, then.

    A repeated key brings the first answer, be it of days ago: what it names may be gone since.
    """
    return made_at is not None and made_at < intent.began_at - CLOCK_SKEW


def anew(store: Store, intent: Intent[_F], *, at: datetime) -> Intent[_F]:
    """The intent once more under another key, since what the first made is gone."""
    store.intents.end(intent, "refused", "the key brought what was made before and is gone since")
    return store.intents.begin(
        intent.kind,
        intent.source_id,
        intent.business_id,
        payload=intent.payload,
        facts=intent.facts,
        at=at,
    )


def _unknown(first: PsageError, second: PsageError) -> OutcomeUnknown:
    return OutcomeUnknown(
        first.message,
        hint="nothing will be sent twice; run the command again and psage finds out",
        details={"first": first.message, "second": second.message},
    )
