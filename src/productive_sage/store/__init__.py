"""The store: one SQLite file per profile that remembers every copy and every write under way.

The only module that imports sqlite3. A write to Sage is first an intent, committed to disk; its
end is committed together with what it made. `synchronous=FULL`, since losing the last commit at a
power cut is just what must not happen. The file can be lost: copies are found again in Sage by
their markers.
"""

import itertools
import json
import logging
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from productive_sage import markers
from productive_sage.basics import INVOICE, KINDS, Contact, Finding, Kind, OwnPayment, SignedIn
from productive_sage.errors import (
    DiskFull,
    HomeUnusable,
    LedgerConflict,
    Locked,
    OutcomeUnknown,
    PsageError,
)
from productive_sage.redaction import redacted
from productive_sage.store import audit
from productive_sage.store.audit import Event

if TYPE_CHECKING:
    from productive_sage.models import SageDocument

# A released migration is never edited; the next one is added at the end.
MIGRATIONS = (
    """
    CREATE TABLE link (
        id INTEGER PRIMARY KEY,
        productive_id TEXT NOT NULL,
        copy INTEGER NOT NULL,
        business_id TEXT NOT NULL,
        sage_id TEXT NOT NULL UNIQUE,
        sage_number TEXT NOT NULL,
        tax_rate_id TEXT,
        number_sent INTEGER NOT NULL,
        digest TEXT,
        pending TEXT NOT NULL,
        pdf_sha256 TEXT,
        pdf_attachment_id TEXT,
        copied_at TEXT NOT NULL,
        UNIQUE (productive_id, copy)
    ) STRICT;
    CREATE TABLE intent (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        source_id TEXT NOT NULL,
        business_id TEXT NOT NULL,
        idempotency_id TEXT NOT NULL,
        payload TEXT NOT NULL,
        context TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('sending', 'done', 'refused', 'lapsed')),
        words TEXT NOT NULL DEFAULT '',
        began_at TEXT NOT NULL,
        ended_at TEXT
    ) STRICT;
    CREATE UNIQUE INDEX open_intent ON intent (kind, source_id) WHERE state = 'sending';
    CREATE TABLE customer (
        company_id TEXT NOT NULL,
        currency TEXT NOT NULL,
        business_id TEXT NOT NULL,
        contact_id TEXT NOT NULL,
        name TEXT NOT NULL,
        country TEXT NOT NULL,
        is_unused INTEGER NOT NULL,
        PRIMARY KEY (company_id, currency, business_id)
    ) STRICT;
    CREATE TABLE cache (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        fetched_at TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE link ADD COLUMN kind TEXT NOT NULL DEFAULT 'invoice';
    ALTER TABLE link ADD COLUMN credited_sage_id TEXT;
    """,
    """
    CREATE TABLE mirrored (
        marker TEXT PRIMARY KEY,
        productive_id TEXT NOT NULL,
        payment_id TEXT NOT NULL UNIQUE,
        reference TEXT NOT NULL,
        source_id TEXT NOT NULL
    ) STRICT;
    CREATE INDEX mirrored_invoice ON mirrored (productive_id);
    CREATE INDEX mirrored_source ON mirrored (source_id);
    CREATE TABLE waiting (
        productive_id TEXT PRIMARY KEY,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        since TEXT NOT NULL
    ) STRICT;
    CREATE TABLE report (
        productive_id TEXT NOT NULL,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        since TEXT NOT NULL,
        PRIMARY KEY (productive_id, code, message)
    ) STRICT;
    CREATE TABLE mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    """,
    """
    CREATE TABLE event (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        command TEXT NOT NULL,
        service TEXT NOT NULL,
        what TEXT NOT NULL,
        document TEXT NOT NULL,
        number TEXT NOT NULL,
        path TEXT NOT NULL,
        key TEXT NOT NULL,
        figures TEXT NOT NULL,
        result TEXT NOT NULL,
        answer TEXT NOT NULL,
        request_id TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;

    CREATE INDEX event_document ON event (document);
    CREATE INDEX event_path ON event (path);
    CREATE INDEX event_key ON event (key) WHERE key <> '';
    CREATE INDEX intent_source ON intent (source_id);
    CREATE TRIGGER event_is_not_changed BEFORE UPDATE ON event BEGIN
        SELECT RAISE(ABORT, 'the history is append-only');
    END;
    CREATE TRIGGER event_is_not_removed BEFORE DELETE ON event BEGIN
        SELECT RAISE(ABORT, 'the history is append-only');
    END;
    """,
    """
    ALTER TABLE link RENAME COLUMN digest TO written;
    UPDATE link SET written = NULL;
    """,
    """
    ALTER TABLE waiting ADD COLUMN next_step TEXT NOT NULL DEFAULT '';
    ALTER TABLE report ADD COLUMN next_step TEXT NOT NULL DEFAULT '';
    CREATE TABLE seen (item TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;
    """,
    """
    ALTER TABLE customer ADD COLUMN is_agreed INTEGER NOT NULL DEFAULT 0;
    """,
)

_LINK = (
    "id, productive_id, copy, business_id, sage_id, sage_number, tax_rate_id, number_sent, "
    "written, pending, pdf_sha256, pdf_attachment_id, kind, credited_sage_id"
)
_SIGN_IN = "signed in "
"""Begins the names of the marks that hold what is known of a sign-in, as JSON."""
_INTENT = "id, kind, source_id, business_id, idempotency_id, payload, context, began_at"
_EVENT = ", ".join(audit.COLUMNS)
_LAST, _UNDER_WAY = "history", "history under way"
"""Marks: number and hash of the last event; the event whose answer is still awaited, as JSON."""
_LISTS = {"contact": "/contacts", "payment": "/payments"}

log = logging.getLogger("psage.store")


@dataclass(frozen=True, slots=True)
class Link:
    """One copy of a Productive invoice or credit note in Sage."""

    id: int
    productive_id: str
    copy: int
    business_id: str
    sage_id: str
    sage_number: str
    tax_rate_id: str | None
    """The rate of the copy, empty for none; None where psage adopted the copy."""
    number_sent: bool
    """Whether psage gave the number; Sage's own is never changed."""
    written: str | None
    """What psage last wrote, as `merge.Written` reads it; None where that is not known."""
    pending: frozenset[str]
    """What is left to do after the copy: `allocate`, `mark`, `number`, `pdf`; and `created` or
    `updated` until the run that did it has said so."""
    pdf_sha256: str | None
    pdf_attachment_id: str | None
    kind: Kind
    credited_sage_id: str | None
    """The copy of the invoice a credit note credits."""

    @classmethod
    def found(
        cls,
        kind: Kind,
        productive_id: str,
        copy: int,
        business_id: str,
        document: "SageDocument",
        *,
        credited_sage_id: str | None,
        written: str | None,
    ) -> "Link":
        """A copy seen in Sage, not recorded yet."""
        return cls(
            id=0,
            productive_id=productive_id,
            copy=copy,
            business_id=business_id,
            sage_id=document.id,
            sage_number=document.number,
            tax_rate_id=None,
            number_sent=False,
            written=written,
            pending=frozenset({"mark", "allocate"} if credited_sage_id else {"mark"}),
            pdf_sha256=None,
            pdf_attachment_id=None,
            kind=kind,
            credited_sage_id=credited_sage_id,
        )


@dataclass(frozen=True, slots=True)
class Intent:
    """A write that was begun: what is sent, with the key that makes it repeatable."""

    id: int
    kind: str
    """`contact`, `invoice`, `credit_note`, `update` (of either) or `payment`."""
    source_id: str
    """The company (with its currency), the invoice, the credit note, or a payment's marker."""
    business_id: str
    idempotency_id: str
    payload: Mapping[str, Any]
    context: Mapping[str, Any]
    began_at: datetime

    @property
    def sent_at(self) -> datetime:
        """When it was sent by the service's clock, while `began_at` is this machine's."""
        return datetime.fromisoformat(str(self.context["sent_at"]))

    @property
    def document_kind(self) -> Kind:
        """What is created or updated."""
        return KINDS[self.context.get("kind", INVOICE.code)]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An invoice whose payments could not be synchronised, or that somebody should look at."""

    productive_id: str
    code: str
    message: str
    since: datetime
    next_step: str
    """What settles it; empty where the next run does, or where an older psage recorded it."""


@contextmanager
def _spoken(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # text that is none any more
        raise _storage_error(error, path) from error


def _storage_error(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> PsageError:
    said = str(error)
    if "full" in said or "disk I/O" in said:
        return DiskFull(
            f"psage's records in `{path}` cannot be written: {said}",
            hint="free some space and run the command again; nothing was lost",
        )
    if isinstance(error, sqlite3.IntegrityError):
        return LedgerConflict(
            f"psage's records in `{path}` say otherwise: {said}",
            hint="look at the invoice's documents in Sage: two may carry the same reference",
        )
    if "locked" in said:
        return Locked(
            f"psage's records in `{path}` are in use by another process",
            hint="run the command again",
        )
    if "readonly" in said or "unable to open" in said:
        return HomeUnusable(
            f"psage's records in `{path}` cannot be used: {said}",
            hint="check owner and mode of the file and its folder, or set PSAGE_HOME",
        )
    return HomeUnusable(
        f"psage's records in `{path}` are damaged: {said}",
        hint=f"move `{path}` away and run the command again: psage finds its copies in Sage by "
        "their references (PRD-…)",
    )


class Store:
    """An open store; used by one thread."""

    def __init__(
        self, path: Path, *, read_only: bool = False, by: tuple[str, str] = ("", "")
    ) -> None:
        """Open, and bring the file up to date, saving the old one beside it first.

        `read_only` makes and changes nothing: a file of an older psage is brought up to date in
        memory. `by` is who runs which command, for the audit log. Raises HomeUnusable where the
        file is damaged, unwritable or of a newer psage, or is not there to be read.
        """
        self._path = path
        self._who, self._command = by
        with _spoken(path):
            if read_only:
                self._db = _opened_to_read(path)
                try:
                    self._migrate(save=False)
                except BaseException:
                    self._db.close()
                    raise
                return
            new = not path.exists()
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5)
            try:
                if new:
                    path.chmod(0o600)
                self._use_wal()
                self._db.execute("PRAGMA synchronous = FULL")
                self._migrate()
            except BaseException:
                self._db.close()  # or an unfinished migration would keep the file locked
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._db.close()

    def _use_wal(self) -> None:
        """Wait for another first run: SQLite itself does not where the mode is changed."""
        for _ in range(50):
            with suppress(sqlite3.OperationalError):
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            time.sleep(0.1)
        self._db.execute("PRAGMA journal_mode = WAL")

    def _version(self) -> int:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _migrate(self, *, save: bool = True) -> None:
        version = self._version()
        if version == len(MIGRATIONS):
            return
        if version > len(MIGRATIONS):
            raise HomeUnusable(
                f"psage's records in `{self._path}` were written by a newer psage",
                hint="upgrade: `pipx upgrade productive-sage`",
            )
        if version and save:
            backup = self._path.with_suffix(f".v{version}.db")
            with closing(sqlite3.connect(backup)) as copy:
                self._db.backup(copy)
            backup.chmod(0o600)
        with self.write() as db:
            version = self._version()  # another process may have been quicker
            for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
                for statement in _statements(migration):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")
            if not version:  # a new store knows that nothing is connected yet
                known = [(f"{_SIGN_IN}{service}", "null") for service in ("Productive", "Sage")]
                db.executemany("INSERT INTO mark (name, value) VALUES (?, ?)", known)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is on disk afterwards, or none."""
        with _spoken(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with _spoken(self._path):
            return self._db.execute(statement, values).fetchall()

    # --- links

    def links(self, productive_id: str) -> list[Link]:
        """Every copy of an invoice, the latest last."""
        return self._links("WHERE productive_id = ? ORDER BY copy", productive_id)

    def latest(self, productive_id: str) -> Link | None:
        """The copy that counts: the one with the highest number."""
        links = self.links(productive_id)
        return links[-1] if links else None

    def numbered(self, kind: Kind, number: str, business_id: str) -> list[Link]:
        """The copies of a kind that carry a Sage number."""
        condition = "WHERE kind = ? AND sage_number = ? AND business_id = ?"
        return self._links(condition, kind.code, number, business_id)

    def crediting(self, sage_id: str) -> list[Link]:
        """The copies of credit notes for a copy of an invoice."""
        return self._links("WHERE credited_sage_id = ? ORDER BY id", sage_id)

    def names(self, kind: str = "") -> list[tuple[str, str, str]]:
        """(Productive id, number there, number in Sage) of every copy, the newest first."""
        return self._rows(
            "SELECT productive_id, coalesce(number, ''), sage_number FROM link LEFT JOIN "
            "(SELECT document, max(number) AS number FROM event GROUP BY document) "
            "ON document = productive_id WHERE ? IN ('', kind) ORDER BY id DESC",
            (kind,),
        )

    def number(self, productive_id: str) -> str:
        """The number of a document in Productive when it was last copied, or empty."""
        with _spoken(self._path):
            return self._known_of(self._db, productive_id)[0]

    def unfinished(self) -> list[Link]:
        """The copies with something left to do."""
        return self._links("WHERE pending <> '' ORDER BY id")

    def each_link(self) -> Iterator[Link]:
        """Every copy of every document, one by one: what was written of many takes much memory."""
        with _spoken(self._path):
            rows = self._db.execute(f"SELECT {_LINK} FROM link ORDER BY productive_id, copy")
            yield from map(_link, rows)

    def businesses(self) -> set[str]:
        """The Sage businesses that links and open intents belong to."""
        rows = self._rows(
            "SELECT business_id FROM link "
            "UNION SELECT business_id FROM intent WHERE state = 'sending'"
        )
        return {row[0] for row in rows}

    def _links(self, condition: str, *values: str) -> list[Link]:
        return [*map(_link, self._rows(f"SELECT {_LINK} FROM link {condition}", values))]

    def adopt(self, link: Link) -> Link:
        """Record a copy found in Sage by its marker (see `Link.found`)."""
        with self.write() as db:
            self._insert_link(
                db,
                productive_id=link.productive_id,
                copy=link.copy,
                business_id=link.business_id,
                sage_id=link.sage_id,
                sage_number=link.sage_number,
                tax_rate_id=None,
                number_sent=False,
                written=link.written,
                pending=link.pending,
                kind=link.kind.code,
                credited_sage_id=link.credited_sage_id,
            )
        return next(i for i in self.links(link.productive_id) if i.copy == link.copy)

    def _insert_link(self, db: sqlite3.Connection, *, pending: Any, **columns: Any) -> None:
        columns = _stored({**columns, "pending": pending}) | {"copied_at": _text(_now())}
        same = db.execute(
            "SELECT id FROM link WHERE sage_id = ? AND productive_id = ? AND copy = ?",
            (columns["sage_id"], columns["productive_id"], columns["copy"]),
        ).fetchone()
        if same:  # adopted by its marker in the meantime
            columns.pop("copied_at")
            self._change_link(db, same[0], columns)
            return
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        db.execute(f"INSERT INTO link ({names}) VALUES ({marks})", tuple(columns.values()))

    def change_link(self, link: Link, **columns: Any) -> None:
        """Set columns of a link; `pending` as a set."""
        with self.write() as db:
            self._change_link(db, link.id, _stored(columns))

    def _change_link(self, db: sqlite3.Connection, link_id: int, columns: dict[str, Any]) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        db.execute(f"UPDATE link SET {names} WHERE id = ?", (*columns.values(), link_id))

    # --- intents

    def begin(
        self,
        kind: str,
        source_id: str,
        business_id: str,
        *,
        payload: Mapping[str, Any],
        context: Mapping[str, Any],
        at: datetime | None = None,
    ) -> Intent:
        """Commit that a write is about to be sent, `at` the service's time where that is known.

        Raises OutcomeUnknown where one of the same kind for the same source is still open.
        """
        key = self._key(kind, business_id, payload)
        context = {**context, "sent_at": _text(at or _now())}
        intent = Intent(0, kind, source_id, business_id, key, payload, context, _now())
        values = (
            kind,
            source_id,
            business_id,
            intent.idempotency_id,
            json.dumps(payload),
            json.dumps(context),
            _text(intent.began_at),
        )
        try:
            with self.write() as db:
                row = db.execute(
                    "INSERT INTO intent (kind, source_id, business_id, idempotency_id, payload, "
                    "context, state, began_at) VALUES (?, ?, ?, ?, ?, ?, 'sending', ?)",
                    values,
                )
        except LedgerConflict:
            raise OutcomeUnknown(
                f"an earlier write for `{source_id}` is still without an answer",
                hint="run the command again: it settles that first",
            ) from None
        return replace(intent, id=row.lastrowid or 0)

    def _key(self, kind: str, business_id: str, payload: Mapping[str, Any]) -> str:
        """What makes a write repeatable: the same on every machine that would send the same.

        So Sage itself makes one document of two POSTs. Another generation where the service has
        answered one already: with a no, or with something that shall be made anew.
        """
        import hashlib  # here, since reading needs none and `status` is in a hurry

        content = json.dumps([business_id, kind, payload], sort_keys=True)
        answered = "SELECT 1 FROM intent WHERE idempotency_id = ? AND state IN ('done', 'refused')"
        generations = itertools.count()
        while True:
            text = f"{next(generations)} {content}"
            key = hashlib.sha256(text.encode()).hexdigest()[:32]
            if not self._rows(answered, (key,)):
                return key

    def has_made_customers(self, since: datetime) -> bool:
        """Whether psage has made a contact since."""
        return bool(
            self._rows(
                "SELECT 1 FROM intent WHERE kind = 'contact' AND state = 'done' AND ended_at >= ? "
                "LIMIT 1",
                (_text(since),),
            )
        )

    def open_intents(self) -> list[Intent]:
        """The writes to Sage whose end nobody knows, oldest first."""
        return self._open("kind <> 'payment'")

    def open_payments(self) -> list[Intent]:
        """The new Productive payments whose end nobody knows, oldest first."""
        return self._open("kind = 'payment'")

    def _open(self, condition: str) -> list[Intent]:
        rows = self._rows(
            f"SELECT {_INTENT} FROM intent WHERE state = 'sending' AND {condition} ORDER BY id"
        )
        return [
            Intent(*(*row[:5], *map(json.loads, row[5:7]), datetime.fromisoformat(row[7])))
            for row in rows
        ]

    def close(self, intent: Intent, state: str, words: str = "") -> None:
        """End an intent that made nothing: `refused`, or `lapsed` where it never arrived."""
        with self.write() as db:
            self._end(db, intent, state, words)

    def finish_create(
        self,
        intent: Intent,
        *,
        sage_id: str,
        number: str,
        written: str | None,
        pending: frozenset[str],
    ) -> Link:
        """Record a new copy and end its intent in one transaction."""
        context = intent.context
        with self.write() as db:
            made = f"{intent.document_kind.path}/{sage_id}"
            self._end(db, intent, "done", path=made, answer={"id": sage_id, "number": number})
            self._insert_link(
                db,
                productive_id=intent.source_id,
                copy=context["copy"],
                business_id=intent.business_id,
                sage_id=sage_id,
                sage_number=number,
                tax_rate_id=context["tax_rate_id"],
                number_sent=context["number_sent"],
                written=written,
                pending=pending,
                kind=intent.document_kind.code,
                credited_sage_id=context.get("credited_sage_id"),
            )
            self._remember_billed(db, intent)
        return next(i for i in self.links(intent.source_id) if i.copy == context["copy"])

    def finish_update(self, intent: Intent, link: Link, **columns: Any) -> Link:
        """Record what an update changed and end its intent in one transaction."""
        with self.write() as db:
            changed = f"{intent.document_kind.path}/{link.sage_id}"
            found = {"id": link.sage_id, "number": columns.get("sage_number", link.sage_number)}
            self._end(db, intent, "done", path=changed, answer=found)
            self._change_link(db, link.id, _stored(columns))
            self._remember_billed(db, intent)
        return next(i for i in self.links(link.productive_id) if i.copy == link.copy)

    def finish_contact(self, intent: Intent, contact: Contact) -> None:
        """Record a new customer and end its intent in one transaction."""
        with self.write() as db:
            made = {"id": contact.id, "contact": contact.name}
            self._end(db, intent, "done", path=f"/contacts/{contact.id}", answer=made)
            self._remember(db, intent.context, intent.business_id, contact, is_unused=True)

    def _end(
        self,
        db: sqlite3.Connection,
        intent: Intent,
        state: str,
        words: str = "",
        *,
        path: str = "",
        answer: Mapping[str, str] | None = None,
    ) -> None:
        """End an intent; `path` and `answer` say what it made."""
        db.execute(
            "UPDATE intent SET state = ?, words = ?, ended_at = ? WHERE id = ?",
            (state, redacted(words), _text(_now()), intent.id),
        )
        try:
            self._log_end(db, intent, state, path, answer or {"words": words})
        except Exception:  # what the log lacks must not undo what is known of a write
            if not db.in_transaction:
                raise
            log.exception("intent %s", intent.id)

    def _log_end(
        self,
        db: sqlite3.Connection,
        intent: Intent,
        state: str,
        path: str,
        answer: Mapping[str, str],
    ) -> None:
        """Tell the log how an intent ended, where the write's own answer is not in it.

        So it is after a lost answer, and where psage was stopped before it recorded one.
        """
        is_payment = intent.kind == "payment"
        key = intent.source_id if is_payment else intent.idempotency_id
        column, value = "key", key
        if intent.kind == "update":  # which carries no key, but tells what it changes
            key, column = "", "path"
            value = f"{intent.document_kind.path}/{intent.context['sage_id']}"
        end = "result = 'done' AND path = ?" if path else "result IN ('refused', 'not_done', ?)"
        if db.execute(
            f"SELECT 1 FROM event WHERE {column} = ? AND at >= ? AND {end}",
            (value, _text(intent.began_at), path or state),
        ).fetchone():
            return
        document = "" if intent.kind == "contact" else intent.source_id
        if is_payment:
            document = str(intent.context["productive_id"])
        number, currency = self._known_of(db, document)
        event = Event(
            service="productive" if is_payment else "sage",
            what="settle",
            document=document,
            number=number,
            path=path or _LISTS.get(intent.kind) or intent.document_kind.path,
            key=key,
            figures=audit.in_currency(audit.figures(intent.payload), currency),
            result=state,
            answer=answer,
        )
        self._append(db, event)

    # --- payments

    def copied_invoices(self, *, since: datetime | None = None) -> list[Link]:
        """Every copy of an invoice, or those recorded since, by invoice, the latest last."""
        condition = "WHERE kind = 'invoice' AND copied_at >= ? ORDER BY productive_id, copy"
        return self._links(condition, _text(since) if since else "")

    def copies(self, kind: Kind = INVOICE) -> int:
        """How many copies of a kind there are."""
        rows = self._rows("SELECT count(*) FROM link WHERE kind = ?", (kind.code,))
        return int(rows[0][0])

    def linked(self, sage_id: str) -> Link | None:
        """The link of a document in Sage."""
        links = self._links("WHERE sage_id = ?", sage_id)
        return links[0] if links else None

    def mirrored(self, productive_id: str) -> list[OwnPayment]:
        """The payments psage wrote for an invoice."""
        return self._mirrored("productive_id", productive_id)

    def mirrored_from(self, source_id: str) -> list[OwnPayment]:
        """The payments psage wrote for a receipt or an allocation."""
        return self._mirrored("source_id", source_id)

    def is_mirrored(self, payment_id: str) -> bool:
        """Whether psage wrote a payment, on whatever invoice."""
        return bool(self._rows("SELECT 1 FROM mirrored WHERE payment_id = ?", (payment_id,)))

    def _mirrored(self, column: str, value: str) -> list[OwnPayment]:
        rows = self._rows(
            f"SELECT marker, productive_id, payment_id, reference FROM mirrored "
            f"WHERE {column} = ? ORDER BY marker",
            (value,),
        )
        return [OwnPayment(*row) for row in rows]

    def mirror(self, mirrored: OwnPayment, intent: Intent | None = None) -> None:
        """Record a payment psage wrote, together with the end of the intent that made it."""
        with self.write() as db:
            if intent:
                made = mirrored.payment_id
                self._end(db, intent, "done", path=f"/payments/{made}", answer={"id": made})
            db.execute(
                "INSERT OR REPLACE INTO mirrored "
                "(marker, productive_id, payment_id, reference, source_id) "
                "VALUES (?, ?, ?, ?, ?)",
                (
                    mirrored.marker,
                    mirrored.productive_id,
                    mirrored.payment_id,
                    mirrored.reference,
                    mirrored.source_id,
                ),
            )

    def unmirror(self, marker: str) -> None:
        """Forget a payment that is gone from Productive."""
        with self.write() as db:
            db.execute("DELETE FROM mirrored WHERE marker = ?", (marker,))

    def waiting(self) -> list[Waiting]:
        """The invoices whose payments could not be synchronised, the longest wait first."""
        return self._waiting("waiting")

    def reports(self) -> list[Waiting]:
        """What the sync found that a person should look at, the oldest first."""
        return self._waiting("report")

    def _waiting(self, table: str) -> list[Waiting]:
        rows = self._rows(
            f"SELECT productive_id, code, message, since, next_step FROM {table} "
            "ORDER BY since, productive_id"
        )
        return [
            Waiting(productive, code, message, datetime.fromisoformat(since), step)
            for productive, code, message, since, step in rows
        ]

    def keep_waiting(
        self, productive_id: str, code: str, message: str, *, next_step: str = ""
    ) -> None:
        """Have the next run try an invoice again."""
        with self.write() as db:
            db.execute(
                "INSERT INTO waiting (productive_id, code, message, next_step, since) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET code = excluded.code, "
                "message = excluded.message, next_step = excluded.next_step",
                (productive_id, code, message, next_step, _text(_now())),
            )

    def stop_waiting(self, productive_id: str) -> None:
        """An invoice is settled."""
        with self.write() as db:
            db.execute("DELETE FROM waiting WHERE productive_id = ?", (productive_id,))

    def replace_reports(self, productive_id: str, found: Sequence[Finding]) -> None:
        """Keep what is found now, and forget what no longer is."""
        with self.write() as db:
            rows = db.execute(
                "SELECT code, message, since FROM report WHERE productive_id = ?", (productive_id,)
            ).fetchall()
            since = {(code, message): day for code, message, day in rows}
            db.execute("DELETE FROM report WHERE productive_id = ?", (productive_id,))
            db.executemany(
                "INSERT OR IGNORE INTO report (productive_id, code, message, next_step, since) "
                "VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        *(productive_id, one.code, one.message, one.next_step),
                        since.get((one.code, one.message), _text(_now())),
                    )
                    for one in found
                ],
            )

    # --- what somebody has looked at

    def seen(self) -> set[str]:
        """The waiting items that somebody has looked at; those that changed since are others."""
        return {str(row[0]) for row in self._rows("SELECT item FROM seen")}

    def see(self, items: Collection[str], *, of: Collection[str]) -> None:
        """Take items off, and forget those that are no more among all `of` what waits."""
        known = [(item, _text(_now())) for item in items]
        with self.write() as db:
            left = [row[0] for row in db.execute("SELECT item FROM seen") if row[0] not in of]
            db.executemany("DELETE FROM seen WHERE item = ?", [(item,) for item in left])
            db.executemany("INSERT OR IGNORE INTO seen (item, at) VALUES (?, ?)", known)

    # --- how far things have got

    def cursor(self, name: str) -> str | None:
        """How far something has got."""
        rows = self._rows("SELECT value FROM mark WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def set_cursors(self, marks: Mapping[str, str]) -> None:
        """Remember how far things have got, all at once."""
        with self.write() as db:
            db.executemany(
                "INSERT OR REPLACE INTO mark (name, value) VALUES (?, ?)", [*marks.items()]
            )

    # --- sign-ins

    def sign_ins(self) -> dict[str, SignedIn | None]:
        """What is known of the sign-ins, by service; None for one that is not connected.

        A service is missing where a psage that did not record it made this store.
        """
        rows = self._rows(
            "SELECT name, value FROM mark WHERE substr(name, 1, ?) = ?", (len(_SIGN_IN), _SIGN_IN)
        )
        return {name.removeprefix(_SIGN_IN): _signed_in(value) for name, value in rows}

    def remember_sign_in(self, service: str, signed_in: SignedIn | None) -> None:
        """Record a sign-in to `Productive` or `Sage` where it changed; None for none."""
        value = "null"
        if signed_in:
            until = _text(signed_in.until) if signed_in.until else None
            value = json.dumps({**asdict(signed_in), "until": until})
        if self.cursor(f"{_SIGN_IN}{service}") != value:
            self.set_cursors({f"{_SIGN_IN}{service}": value})

    # --- the whole

    def copied(self) -> dict[str, int]:
        """How many documents have a copy, by the code of their kind."""
        rows = self._rows("SELECT kind, count(DISTINCT productive_id) FROM link GROUP BY kind")
        return dict.fromkeys(KINDS, 0) | dict(rows)

    def flaws(self) -> list[str]:
        """What does not fit together: records of copies that are not there."""
        counts = {
            "payment{s} of invoices without a copy": (
                "SELECT count(*) FROM mirrored "
                "WHERE productive_id NOT IN (SELECT productive_id FROM link)"
            ),
            "credit note{s} of invoices without a copy": (
                "SELECT count(*) FROM link WHERE credited_sage_id IS NOT NULL "
                "AND credited_sage_id NOT IN (SELECT sage_id FROM link)"
            ),
        }
        found = [(int(self._rows(statement)[0][0]), what) for what, statement in counts.items()]
        return [f"{n} {what.format(s='' if n == 1 else 's')}" for n, what in found if n]

    def check_file(self) -> None:
        """Read every page of the file. Raises HomeUnusable where any of it is damaged."""
        said = [str(row[0]) for row in self._rows("PRAGMA integrity_check(3)")]
        if said != ["ok"]:
            raise _storage_error(sqlite3.DatabaseError("; ".join(said)), self._path)

    # --- the audit log

    # Its own transactions are no `write`: they go beside what psage does, and may fail.

    def about(self, event: Event, paths: Sequence[str]) -> Event:
        """Add the time, the author, and what the store knows: document, number and currency.

        `paths` are of records the request names, the likeliest first. A removal gets the figures of
        what is removed, as far as the log holds them.
        """
        with _spoken(self._path):
            found = (self._document_of(event.service, path) for path in paths)
            document = event.document or next(filter(None, found), "")
            number, currency = self._known_of(self._db, document)
            said = dict(event.figures)
            if event.what.startswith("DELETE "):
                for (figures,) in self._db.execute(
                    "SELECT figures FROM event WHERE path = ? AND service = ? AND result = 'done' "
                    "ORDER BY id",
                    (event.path, event.service),
                ):
                    said |= json.loads(figures)
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
        row = (
            self._db.execute(linked, (key,)).fetchone()
            or self._db.execute(logged, (path, service)).fetchone()
        )
        return str(row[0]) if row else ""

    def _known_of(self, db: sqlite3.Connection, document: str) -> tuple[str, str]:
        """(number, currency) of a document when it was last copied; empty where it was not."""
        row = db.execute(
            "SELECT context FROM intent WHERE source_id = ? ORDER BY id DESC LIMIT 1", (document,)
        ).fetchone()
        context = json.loads(row[0]) if row else {}
        return str(context.get("number", "")), str(context.get("currency", ""))

    def announce(self, event: Event) -> None:
        """Commit that a write is about to be sent.

        Where psage is stopped before the answer is recorded, the next run finds it here.
        """
        with _spoken(self._path), self._db as db:
            db.execute("BEGIN IMMEDIATE")
            self._append_left(db)
            db.execute(
                "INSERT INTO mark (name, value) VALUES (?, ?)",
                (_UNDER_WAY, json.dumps(asdict(event))),
            )

    def record(self, events: Sequence[Event]) -> None:
        """Append events to the log; what was announced of them is under way no more."""
        with _spoken(self._path), self._db as db:
            db.execute("BEGIN IMMEDIATE")
            left = self.under_way()
            for event in events:
                if left and (left.at, left.what) == (event.at, event.what):
                    db.execute("DELETE FROM mark WHERE name = ?", (_UNDER_WAY,))
                self._append(db, event)

    def record_interrupted(self) -> None:
        """Append the write an earlier run was stopped in; for who holds the run lock alone."""
        if self.under_way():
            with _spoken(self._path), self._db as db:
                db.execute("BEGIN IMMEDIATE")
                self._append_left(db)

    def under_way(self) -> Event | None:
        """The write whose answer is not recorded: of a run just now, or of one that was stopped."""
        announced = self.cursor(_UNDER_WAY)
        return Event(**json.loads(announced)) if announced else None

    def _append_left(self, db: sqlite3.Connection) -> None:
        if left := self.under_way():
            words = "psage was stopped before it recorded the answer"
            self._append(db, replace(left, result="unknown", answer={"words": words}))
            db.execute("DELETE FROM mark WHERE name = ?", (_UNDER_WAY,))

    def _append(self, db: sqlite3.Connection, event: Event) -> None:
        """Tie an event to the last one, by the note of that: what is cut off stays missed."""
        noted, previous = self._noted_end() or (0, "")
        (last,) = db.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()
        said = {key: redacted(value) for key, value in event.answer.items()}
        event = replace(event, answer=said, request_id=redacted(event.request_id))
        columns = audit.sealed(self._signed(event), max(noted, last) + 1, previous)
        marks = ", ".join("?" * len(columns))
        db.execute(f"INSERT INTO event ({_EVENT}) VALUES ({marks})", tuple(columns.values()))
        db.execute(
            "INSERT OR REPLACE INTO mark (name, value) VALUES (?, ?)",
            (_LAST, f"{columns['id']} {columns['hash']}"),
        )

    def _signed(self, event: Event) -> Event:
        if event.at:
            return event
        at = _now().isoformat(timespec="microseconds")
        return replace(event, at=at, who=self._who, command=self._command)

    def _noted_end(self) -> tuple[int, str] | None:
        number, _, digest = (self.cursor(_LAST) or "").partition(" ")
        return (int(number), digest) if number.isdecimal() else None

    def events(
        self, *, document: str = "", since: datetime | None = None, newest: int = -1
    ) -> list[Event]:
        """The log, oldest first: what was sent since an instant, the `newest` of it at most.

        `document` is a Productive id or number, a marker, or an id or number in Sage.
        """
        condition, values = "at >= ?", [_text(since.astimezone(UTC)) if since else ""]
        if document:
            called = self._called(document)
            condition += f" AND document IN ({', '.join('?' * len(called))})"
            values += called
        rows = self._rows(
            f"SELECT {_EVENT} FROM event WHERE {condition} ORDER BY id DESC LIMIT ?",
            (*values, newest),
        )
        return [audit.opened(dict(zip(audit.COLUMNS, row, strict=True))) for row in reversed(rows)]

    def _called(self, name: str) -> list[str]:
        """The Productive ids of the documents that go, or went, by a name."""
        rows = self._rows(
            "SELECT productive_id FROM link "
            "WHERE sage_id = ? OR sage_number = ? COLLATE NOCASE "
            "UNION SELECT document FROM event "
            "WHERE document <> '' AND (number = ? COLLATE NOCASE OR instr(answer, ?))",
            (name, name, name, f'"number": {json.dumps(name)}'),
        )
        mark = markers.in_reference(name)
        return [name, *(row[0] for row in rows), *([mark[0]] if mark else [])]

    def check_events(self) -> tuple[int, str]:
        """How many events there are, all as psage wrote them, and the hash of the last.

        Raises HistoryBroken naming the first that is not.
        """
        with _spoken(self._path):
            rows = self._db.execute(f"SELECT {_EVENT} FROM event ORDER BY id")
            events = (dict(zip(audit.COLUMNS, row, strict=True)) for row in rows)
            return audit.check(events, self._noted_end())

    # --- customers

    def customer(
        self, company_id: str, currency: str, business_id: str, *, only_unused: bool = False
    ) -> Contact | None:
        """The contact an earlier copy for this company and currency was billed to.

        `only_unused`: just one that was created for a copy that then did not come about.
        """
        rows = self._rows(
            "SELECT contact_id, name, country FROM customer "
            "WHERE company_id = ? AND currency = ? AND business_id = ? AND is_unused >= ?",
            (company_id, currency, business_id, int(only_unused)),
        )
        return Contact(rows[0][0], rows[0][1], "", currency, "", rows[0][2]) if rows else None

    def customers(self, business_id: str) -> list[tuple[str, str, str, str, bool]]:
        """(company, currency, contact, its name, whether a person agreed) of every company."""
        rows = self._rows(
            "SELECT company_id, currency, contact_id, name, is_agreed FROM customer "
            "WHERE business_id = ? ORDER BY CAST(company_id AS INTEGER), currency",
            (business_id,),
        )
        return [(*row[:4], bool(row[4])) for row in rows]

    def is_customer_agreed(self, company_id: str, currency: str, business_id: str) -> bool:
        """Whether a person said that the company is billed to the contact that is known."""
        rows = self._rows(
            "SELECT is_agreed FROM customer "
            "WHERE company_id = ? AND currency = ? AND business_id = ?",
            (company_id, currency, business_id),
        )
        return bool(rows and rows[0][0])

    def remember_customer(
        self,
        company_id: str,
        currency: str,
        business_id: str,
        contact: Contact,
        *,
        is_agreed: bool = False,
    ) -> None:
        """Bill this company to this contact from now on; `is_agreed`: a person said so."""
        with self.write() as db:
            context = {"company_id": company_id, "currency": currency, "agreed": is_agreed}
            self._remember(db, context, business_id, contact, is_unused=False)

    def forget_customer(self, company_id: str, currency: str, business_id: str) -> None:
        """Bill this company to no contact that is known."""
        with self.write() as db:
            db.execute(
                "DELETE FROM customer WHERE company_id = ? AND currency = ? AND business_id = ?",
                (company_id, currency, business_id),
            )

    def _remember_billed(self, db: sqlite3.Connection, intent: Intent) -> None:
        """Bill the company to the contact of this copy from now on, unless it was meant once."""
        context = intent.context
        if not context.get("remember", True):
            return
        contact = Contact(
            str(intent.payload["contact_id"]),
            str(context["contact_name"]),
            country=str(context["country"]),
        )
        self._remember(db, context, intent.business_id, contact, is_unused=False)

    def _remember(
        self,
        db: sqlite3.Connection,
        context: Mapping[str, Any],
        business: str,
        contact: Contact,
        *,
        is_unused: bool,
    ) -> None:
        """What a person agreed to gives way to another word of theirs alone, or to a new one."""
        key = (context["company_id"], context["currency"], business)
        agreed = db.execute(
            "SELECT 1 FROM customer WHERE is_agreed AND company_id = ? AND currency = ? "
            "AND business_id = ?",
            key,
        ).fetchone()
        if agreed and not context.get("agreed") and not is_unused:
            return
        db.execute(
            "INSERT OR REPLACE INTO customer "
            "(company_id, currency, business_id, contact_id, name, country, is_unused, is_agreed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *key,
                contact.id,
                contact.name,
                contact.country,
                int(is_unused),
                int(context.get("agreed", False)),
            ),
        )

    # --- cache

    def cached(self, key: str, max_age: timedelta = timedelta(days=1)) -> Any:
        """A fact of Sage's set-up read not long ago, or None."""
        rows = self._rows("SELECT value, fetched_at FROM cache WHERE key = ?", (key,))
        if not rows or not timedelta(0) <= _now() - datetime.fromisoformat(rows[0][1]) < max_age:
            return None
        return json.loads(rows[0][0])

    def last_cached(self, beginning: str) -> Any:
        """The newest fact under a key that begins so, however old; or None."""
        rows = self._rows(
            "SELECT value FROM cache WHERE instr(key, ?) = 1 ORDER BY fetched_at DESC LIMIT 1",
            (beginning,),
        )
        return json.loads(rows[0][0]) if rows else None

    def cache(self, key: str, value: Any) -> None:
        """Keep a fact for a day."""
        with self.write() as db:
            db.execute(
                "INSERT OR REPLACE INTO cache (key, value, fetched_at) VALUES (?, ?, ?)",
                (key, json.dumps(value), _text(_now())),
            )

    def doubt_facts(self) -> None:
        """Take every fact for an old one, to be read again; what ids are called stays."""
        with self.write() as db:
            db.execute(
                "UPDATE cache SET fetched_at = ? WHERE key NOT LIKE 'name %'",
                (_text(datetime.fromtimestamp(0, UTC)),),
            )

    def keep_names(self, names: Mapping[str, str]) -> None:
        """Remember what ids are called, for as long as nobody says otherwise."""
        with self.write() as db:
            db.executemany(
                "INSERT OR REPLACE INTO cache (key, value, fetched_at) VALUES (?, ?, ?)",
                [(f"name {key}", json.dumps(name), _text(_now())) for key, name in names.items()],
            )

    def kept_names(self, keys: Sequence[str]) -> dict[str, str]:
        """What `keep_names` was last told, by key; what is not known is left out."""
        found = {
            key: self._rows("SELECT value FROM cache WHERE key = ?", (f"name {key}",))
            for key in keys
        }
        return {key: str(json.loads(rows[0][0])) for key, rows in found.items() if rows}


def _link(row: tuple[Any, ...]) -> Link:
    """A copy, of its columns as `_LINK` names them."""
    pending, kind = frozenset(row[9].split()), KINDS[row[12]]
    return Link(*(*row[:7], bool(row[7]), row[8], pending, *row[10:12], kind, row[13]))


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """A connection that refuses to write; of an older file, one to a copy in memory."""
    # Not `mode=ro`: that would leave SQLite's `-wal` and `-shm` files behind.
    address = f"{path.absolute().as_uri()}?mode=rw"
    db = sqlite3.connect(address, uri=True, isolation_level=None, timeout=5)
    try:
        db.execute("PRAGMA query_only = ON")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version >= len(MIGRATIONS):
            return db
        memory = sqlite3.connect(":memory:", isolation_level=None)
        db.backup(memory)
    except BaseException:
        db.close()
        raise
    db.close()
    return memory


def _signed_in(value: str) -> SignedIn | None:
    known = json.loads(value)
    if known is None:
        return None
    until = known.pop("until")
    return SignedIn(**known, until=datetime.fromisoformat(until) if until else None)


def _statements(migration: str) -> Iterator[str]:
    """The statements of a migration; a trigger holds semicolons of its own."""
    statement = ""
    for part in migration.split(";")[:-1]:
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _stored(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as the file holds them: `pending` is a list of words there."""
    stored = dict(columns)
    if "pending" in stored:
        stored["pending"] = " ".join(sorted(stored["pending"]))
    return stored


def _now() -> datetime:
    return datetime.now(UTC)


def _text(moment: datetime) -> str:
    return moment.isoformat()
