"""The audit log: every write psage sends, each record tied to the one before.

Of a write two records are kept: that it is about to be sent, before its first byte, and what came
of it. Both go with what is recorded anyway: the first with the intent, where there is one (but for
an update), the second with the next transaction, mostly the one that ends the intent. A process
that is killed between them leaves the first, and the next run that writes says so.

The log stands beside the work. What cannot be recorded is said, and changes nothing about the write
itself.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from productive_sage import markers
from productive_sage.errors import PsageError
from productive_sage.redaction import redacted
from productive_sage.store import audit
from productive_sage.store.audit import About, Event
from productive_sage.store.cursors import Cursors
from productive_sage.store.database import Database, as_text

if TYPE_CHECKING:  # reading the log needs no HTTP
    from productive_sage.http import Recorder, Write

log = logging.getLogger("psage.history")

_COLUMNS = ", ".join(audit.COLUMNS)
_LAST = "history"
"""A cursor: number and hash of the last event."""
_UNDER_WAY = "history under way"
"""A cursor of a psage that kept one record of each write: those without an answer, as JSON."""


class Events:
    """The log of a profile; `by` is who runs which command, `warn` is told once of trouble."""

    def __init__(
        self, db: Database, cursors: Cursors, by: tuple[str, str], warn: Callable[[str], None]
    ) -> None:
        self._db = db
        self._cursors = cursors
        self._who, self._command = by
        self._warn = warn
        self._has_warned = False
        self._answered: list[Event] = []
        """What came of writes and is not on disk yet: it goes with the next transaction."""
        self._written = 0
        """So many of them are in the transaction under way."""
        db.at_begin, db.at_commit = self._write_answers, self._forget_written

    # --- what is recorded of a write

    def recorder(self, about: About, announced: Event | None = None) -> "Recorder":
        """What records a write, or several; `announced` is what the log has of the first."""
        begun = [announced] if announced else []

        def began(write: "Write") -> Callable[[Any, str], None]:
            what = f"{write.method} {write.path}"
            if begun and begun[0].what == what:
                event = begun.pop()
            else:
                event = Event(service=write.service.lower(), what=what, path=write.path)
                with self.beside(what):
                    content = audit.content_of(write.body)
                    event = audit.sent(event.service, write.method, write.path, content, about)
                event = self.announce(event)

            def ended(outcome: Any, request_id: str) -> None:
                with self.beside(what):
                    self._answered.append(audit.answered(event, outcome, request_id))

            return ended

        return began

    def announce(self, event: Event) -> Event:
        """Record that a write is about to be sent; the event, to be told what came of it."""
        event, number = self._signed(event), None
        with self.beside(event.what), self._db.write():
            number = self.append(event)
        return replace(event, sent=number)

    def flush(self) -> None:
        """Put on disk what waits for the next transaction, since none comes any more."""
        if self._answered:
            with self.beside(self._answered[0].what), self._db.write():
                pass

    def _write_answers(self) -> None:
        self._written = 0
        for event in self._answered:
            before = self._written
            with self.beside(event.what):
                self.append(event)
                self._written += 1
            if self._written == before:
                break  # the next transaction tries again

    def _forget_written(self) -> None:
        del self._answered[: self._written]
        self._written = 0

    @contextmanager
    def beside(self, what: str) -> Iterator[None]:
        """Whatever goes wrong with the log in here, the work goes on."""
        is_part = self._db.is_writing()
        try:
            with self._db.part() if is_part else nullcontext():
                yield
        except Exception as error:  # a defect of the log must not undo a write
            if is_part and not self._db.is_writing():
                raise  # all of the transaction is gone
            why = error.message if isinstance(error, PsageError) else "a defect of psage"
            log.exception("%s", what)
            if not self._has_warned:
                self._has_warned = True
                self._warn(f"the history is not complete: `{what}` is not recorded in it: {why}")

    def record_interrupted(self) -> None:
        """Say of what an earlier run was stopped in that its outcome is unknown.

        For who holds the run lock alone: else it may be of a run just now.
        """
        left = self.under_way()
        if not left:
            return
        said = {"words": "psage was stopped before it recorded the answer"}
        with self._db.write():
            for event in left:
                self.append(replace(event, sent=event.id or None, result="unknown", answer=said))
            self._db.run("DELETE FROM mark WHERE name = ?", _UNDER_WAY)

    def under_way(self) -> list[Event]:
        """The writes without a recorded outcome: of a run just now, or of one that was stopped."""
        announced = json.loads(self._cursors.get(_UNDER_WAY) or "[]")
        if isinstance(announced, dict):
            announced = [announced]  # when one at a time was under way
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM event WHERE result = 'sent' AND NOT EXISTS "
            "(SELECT 1 FROM event AS outcome WHERE outcome.sent = event.id) ORDER BY id"
        )
        sent = [audit.opened(dict(row)) for row in rows]
        return [*(Event(**one) for one in announced), *sent]

    def append(self, event: Event) -> int:
        """Tie an event to the last one, by the note of that: what is cut off stays missed."""
        noted, previous = self._noted_end() or (0, "")
        last = int(self._db.rows("SELECT coalesce(max(id), 0) FROM event")[0][0])
        said = {key: redacted(value) for key, value in event.answer.items()}
        event = replace(event, answer=said, request_id=redacted(event.request_id))
        columns = audit.sealed(self._signed(event), max(noted, last) + 1, previous)
        places = ", ".join("?" * len(columns))
        self._db.run(f"INSERT INTO event ({_COLUMNS}) VALUES ({places})", *columns.values())
        self._cursors.set({_LAST: f"{columns['id']} {columns['hash']}"})
        return int(columns["id"])

    def _signed(self, event: Event) -> Event:
        if event.at:
            return event
        at = self._db.now().isoformat(timespec="microseconds")
        return replace(event, at=at, who=self._who, command=self._command)

    def _noted_end(self) -> tuple[int, str] | None:
        number, _, digest = (self._cursors.get(_LAST) or "").partition(" ")
        return (int(number), digest) if number.isdecimal() else None

    def has_outcome(
        self, column: str, value: str, *, since: datetime, made: str, state: str
    ) -> bool:
        """Whether the log tells how a write ended: that it made a record, or how it failed.

        `column` is `key` or `path`, by which the write is known.
        """
        end = "result = 'done' AND path = ?" if made else "result IN ('refused', 'not_done', ?)"
        return bool(
            self._db.rows(
                f"SELECT 1 FROM event WHERE {column} = ? AND at >= ? AND {end}",
                value,
                as_text(since),
                made or state,
            )
        )

    # --- how it is read

    def all(
        self, *, document: str = "", since: datetime | None = None, newest: int = -1
    ) -> list[Event]:
        """What came of each write, oldest first: those sent since an instant, the `newest` at most.

        `document` is a Productive id or number, a marker, or an id or number in Sage.
        """
        condition, values = (
            "result <> 'sent' AND at >= ?",
            [as_text(since.astimezone(UTC)) if since else ""],
        )
        if document:
            called = self._called(document)
            condition += f" AND document IN ({', '.join('?' * len(called))})"
            values += called
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM event WHERE {condition} ORDER BY id DESC LIMIT ?",
            *values,
            newest,
        )
        return [audit.opened(dict(row)) for row in reversed(rows)]

    def _called(self, name: str) -> list[str]:
        """The Productive ids of the documents that go, or went, by a name."""
        rows = self._db.rows(
            "SELECT productive_id FROM link "
            "WHERE sage_id = ? OR sage_number = ? COLLATE NOCASE "
            "UNION SELECT document FROM event "
            "WHERE document <> '' AND (number = ? COLLATE NOCASE OR instr(answer, ?))",
            name,
            name,
            name,
            f'"number": {json.dumps(name)}',
        )
        marker = markers.in_reference(name)
        return [name, *(row[0] for row in rows), *([marker[0]] if marker else [])]

    def check(self) -> tuple[int, str]:
        """How many records there are, all as psage wrote them, and the hash of the last.

        Raises HistoryBroken naming the first that is not.
        """
        with closing(self._db.each(f"SELECT {_COLUMNS} FROM event ORDER BY id")) as rows:
            return audit.check(map(dict, rows), self._noted_end())
