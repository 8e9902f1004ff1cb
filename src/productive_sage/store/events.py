"""The audit log: every write psage sent, each record tied to the one before.

What is recorded of a write goes beside the work, in transactions of its own, which may fail.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime

from productive_sage import markers
from productive_sage.redaction import redacted
from productive_sage.store import audit
from productive_sage.store.audit import Event
from productive_sage.store.cursors import Cursors
from productive_sage.store.database import Database, as_text, now

_COLUMNS = ", ".join(audit.COLUMNS)
_LAST, _UNDER_WAY = "history", "history under way"
"""Cursors: number and hash of the last event; those whose answer is still awaited, as JSON."""


class Events:
    """The log of a profile; `by` is who runs which command."""

    def __init__(self, db: Database, cursors: Cursors, by: tuple[str, str]) -> None:
        self._db = db
        self._cursors = cursors
        self._who, self._command = by

    # --- what is recorded of a write

    def about(self, event: Event, paths: Sequence[str]) -> Event:
        """Add the time, the author, and what the store knows: document, number and currency.

        `paths` are of records the request names, the likeliest first. A removal gets the figures of
        what is removed, as far as the log holds them.
        """
        found = (self._document_of(event.service, path) for path in paths)
        document = event.document or next(filter(None, found), "")
        number, currency = self.known_of(document)
        said = dict(event.figures)
        if event.what.startswith("DELETE "):
            for row in self._db.rows(
                "SELECT figures FROM event WHERE path = ? AND service = ? AND result = 'done' "
                "ORDER BY id",
                event.path,
                event.service,
            ):
                said |= json.loads(row["figures"])
        said = audit.in_currency(said, currency)
        return self._signed(replace(event, document=document, number=number, figures=said))

    def _document_of(self, service: str, path: str) -> str:
        """The Productive id of the document that a record of a service belongs to."""
        table, _, key = path.removeprefix("/").partition("/")
        linked = {
            "attachments": "SELECT productive_id FROM link WHERE pdf_attachment_id = ?",
            "payments": "SELECT productive_id FROM mirrored WHERE payment_id = ?",
        }.get(table, "SELECT productive_id FROM link WHERE sage_id = ?")
        logged = "SELECT document FROM event WHERE path = ? AND service = ? AND document <> ''"
        rows = self._db.rows(linked, key) or self._db.rows(logged, path, service)
        return str(rows[0][0]) if rows else ""

    def known_of(self, document: str) -> tuple[str, str]:
        """(number, currency) of a document when it was last copied; empty where it was not."""
        rows = self._db.rows(
            "SELECT context FROM intent WHERE source_id = ? ORDER BY id DESC LIMIT 1", document
        )
        known = json.loads(rows[0]["context"]) if rows else {}
        return str(known.get("number", "")), str(known.get("currency", ""))

    def number_of(self, document: str) -> str:
        """The number of a document in Productive when it was last copied, or empty."""
        return self.known_of(document)[0]

    def announce(self, event: Event) -> None:
        """Commit that a write is about to be sent.

        Where psage is stopped before the answer is recorded, the next run finds it here.
        """
        with self._db.write():
            self._await([*self._awaited(), event])

    def record(self, events: Sequence[Event]) -> None:
        """Append events to the log; what was announced of them is under way no more."""
        with self._db.write():
            answered = {(event.at, event.what) for event in events}
            left = self._awaited()
            self._await([one for one in left if (one.at, one.what) not in answered])
            for event in events:
                self.append(event)

    def record_interrupted(self) -> None:
        """Append the writes an earlier run was stopped in; for who holds the run lock alone."""
        if left := self._awaited():
            with self._db.write():
                self._await([])
                words = "psage was stopped before it recorded the answer"
                for event in left:
                    self.append(replace(event, result="unknown", answer={"words": words}))

    def under_way(self) -> Event | None:
        """A write whose answer is not recorded: of a run just now, or of one that was stopped."""
        return next(iter(self._awaited()), None)

    def _awaited(self) -> list[Event]:
        """In a batch several documents are written at once."""
        announced = json.loads(self._cursors.get(_UNDER_WAY) or "[]")
        if isinstance(announced, dict):  # as an older psage wrote the only one
            announced = [announced]
        return [Event(**one) for one in announced]

    def _await(self, events: Sequence[Event]) -> None:
        if events:
            self._cursors.set({_UNDER_WAY: json.dumps([asdict(one) for one in events])})
        else:
            self._db.run("DELETE FROM mark WHERE name = ?", _UNDER_WAY)

    def append(self, event: Event) -> None:
        """Tie an event to the last one, by the note of that: what is cut off stays missed."""
        noted, previous = self._noted_end() or (0, "")
        last = int(self._db.rows("SELECT coalesce(max(id), 0) FROM event")[0][0])
        said = {key: redacted(value) for key, value in event.answer.items()}
        event = replace(event, answer=said, request_id=redacted(event.request_id))
        columns = audit.sealed(self._signed(event), max(noted, last) + 1, previous)
        places = ", ".join("?" * len(columns))
        self._db.run(f"INSERT INTO event ({_COLUMNS}) VALUES ({places})", *columns.values())
        self._cursors.set({_LAST: f"{columns['id']} {columns['hash']}"})

    def _signed(self, event: Event) -> Event:
        if event.at:
            return event
        at = now().isoformat(timespec="microseconds")
        return replace(event, at=at, who=self._who, command=self._command)

    def _noted_end(self) -> tuple[int, str] | None:
        number, _, digest = (self._cursors.get(_LAST) or "").partition(" ")
        return (int(number), digest) if number.isdecimal() else None

    def has_end(self, column: str, value: str, *, since: datetime, made: str, state: str) -> bool:
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
        """The log, oldest first: what was sent since an instant, the `newest` of it at most.

        `document` is a Productive id or number, a marker, or an id or number in Sage.
        """
        condition, values = "at >= ?", [as_text(since.astimezone(UTC)) if since else ""]
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
        """How many events there are, all as psage wrote them, and the hash of the last.

        Raises HistoryBroken naming the first that is not.
        """
        with closing(self._db.each(f"SELECT {_COLUMNS} FROM event ORDER BY id")) as rows:
            return audit.check(map(dict, rows), self._noted_end())
