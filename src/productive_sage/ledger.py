"""The ledger: one SQLite file per profile that remembers every copy and every write under way.

The only module that imports sqlite3. A write to Sage is first an intent, committed to disk; its
end is committed together with what it made. `synchronous=FULL`, since losing the last commit at a
power cut is just what must not happen. The file can be lost: copies are found again in Sage by
their markers.
"""

import json
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from productive_sage.errors import (
    DiskFull,
    HomeUnusable,
    LedgerConflict,
    Locked,
    OutcomeUnknown,
    PsageError,
)
from productive_sage.models import (
    INVOICE,
    KINDS,
    Contact,
    Kind,
    Mirrored,
    SageDocument,
)

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
    CREATE TABLE mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    """,
)

_LINK = (
    "id, productive_id, copy, business_id, sage_id, sage_number, tax_rate_id, number_sent, "
    "digest, pending, pdf_sha256, pdf_attachment_id, kind, credited_sage_id"
)
_INTENT = "id, kind, source_id, business_id, idempotency_id, payload, context, began_at"


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
    digest: str | None
    """Of what was last sent; None where that is not known, or not what Sage holds."""
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
        document: SageDocument,
        *,
        credited_sage_id: str | None,
    ) -> "Link":
        """A copy seen in Sage, not recorded yet: what was sent for it is not known."""
        return cls(
            id=0,
            productive_id=productive_id,
            copy=copy,
            business_id=business_id,
            sage_id=document.id,
            sage_number=document.number,
            tax_rate_id=None,
            number_sent=False,
            digest=None,
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
    def document_kind(self) -> Kind:
        """What is created or updated."""
        return KINDS[self.context.get("kind", INVOICE.code)]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An invoice whose payments could not be synchronised, and why."""

    productive_id: str
    code: str
    message: str
    since: datetime


@contextmanager
def _spoken(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _storage_error(error, path) from error


def _storage_error(error: sqlite3.Error, path: Path) -> PsageError:
    said = str(error)
    if "full" in said or "disk I/O" in said:
        return DiskFull(
            f"the ledger `{path}` cannot be written: {said}",
            hint="free some space and run the command again; nothing was lost",
        )
    if isinstance(error, sqlite3.IntegrityError):
        return LedgerConflict(
            f"the ledger `{path}` says otherwise: {said}",
            hint="look at the invoice's documents in Sage: two may carry the same reference",
        )
    if "locked" in said:
        return Locked(
            f"the ledger `{path}` is in use by another process", hint="run the command again"
        )
    if "readonly" in said or "unable to open" in said:
        return HomeUnusable(
            f"the ledger `{path}` cannot be used: {said}",
            hint="check owner and mode of the file and its folder, or set PSAGE_HOME",
        )
    return HomeUnusable(
        f"the ledger `{path}` is damaged: {said}",
        hint=f"move `{path}` away and run the command again: psage finds its copies in Sage by "
        "their references (PRD-…)",
    )


class Ledger:
    """An open ledger; used by one thread."""

    def __init__(self, path: Path) -> None:
        """Open, and bring the file up to date, saving the old one beside it first.

        Raises HomeUnusable where the file is damaged, unwritable or of a newer psage.
        """
        self._path = path
        with _spoken(path):
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

    def _migrate(self) -> None:
        version = self._version()
        if version == len(MIGRATIONS):
            return
        if version > len(MIGRATIONS):
            raise HomeUnusable(
                f"the ledger `{self._path}` was written by a newer psage",
                hint="upgrade: `pipx upgrade productive-sage`",
            )
        if version:
            backup = self._path.with_suffix(f".v{version}.db")
            with closing(sqlite3.connect(backup)) as copy:
                self._db.backup(copy)
        with self.write() as db:
            version = self._version()  # another process may have been quicker
            for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
                for statement in filter(str.strip, migration.split(";")):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")

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

    def unfinished(self) -> list[Link]:
        """The copies with something left to do."""
        return self._links("WHERE pending <> '' ORDER BY id")

    def businesses(self) -> set[str]:
        """The Sage businesses that links and open intents belong to."""
        rows = self._rows(
            "SELECT business_id FROM link "
            "UNION SELECT business_id FROM intent WHERE state = 'sending'"
        )
        return {row[0] for row in rows}

    def _links(self, condition: str, *values: str) -> list[Link]:
        rows = self._rows(f"SELECT {_LINK} FROM link {condition}", values)
        return [
            Link(
                *(
                    *row[:7],
                    bool(row[7]),
                    row[8],
                    frozenset(row[9].split()),
                    *row[10:12],
                    KINDS[row[12]],
                    row[13],
                )
            )
            for row in rows
        ]

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
                digest=None,
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
    ) -> Intent:
        """Commit that a write is about to be sent.

        Raises OutcomeUnknown where one of the same kind for the same source is still open.
        """
        intent = Intent(0, kind, source_id, business_id, uuid.uuid4().hex, payload, context, _now())
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
        digest: str | None,
        pending: frozenset[str],
    ) -> Link:
        """Record a new copy and end its intent in one transaction."""
        context = intent.context
        with self.write() as db:
            self._end(db, intent, "done")
            self._insert_link(
                db,
                productive_id=intent.source_id,
                copy=context["copy"],
                business_id=intent.business_id,
                sage_id=sage_id,
                sage_number=number,
                tax_rate_id=context["tax_rate_id"],
                number_sent=context["number_sent"],
                digest=digest,
                pending=pending,
                kind=intent.document_kind.code,
                credited_sage_id=context.get("credited_sage_id"),
            )
            self._remember_billed(db, intent)
        return next(i for i in self.links(intent.source_id) if i.copy == context["copy"])

    def finish_update(self, intent: Intent, link: Link, **columns: Any) -> Link:
        """Record what an update changed and end its intent in one transaction."""
        with self.write() as db:
            self._end(db, intent, "done")
            self._change_link(db, link.id, _stored(columns))
            self._remember_billed(db, intent)
        return next(i for i in self.links(link.productive_id) if i.copy == link.copy)

    def finish_contact(self, intent: Intent, contact: Contact) -> None:
        """Record a new customer and end its intent in one transaction."""
        with self.write() as db:
            self._end(db, intent, "done")
            self._remember(db, intent.context, intent.business_id, contact, is_unused=True)

    def _end(self, db: sqlite3.Connection, intent: Intent, state: str, words: str = "") -> None:
        db.execute(
            "UPDATE intent SET state = ?, words = ?, ended_at = ? WHERE id = ?",
            (state, words, _text(_now()), intent.id),
        )

    # --- payments

    def copied_invoices(self, *, since: datetime | None = None) -> list[Link]:
        """Every copy of an invoice, or those recorded since, by invoice, the latest last."""
        condition = "WHERE kind = 'invoice' AND copied_at >= ? ORDER BY productive_id, copy"
        return self._links(condition, _text(since) if since else "")

    def linked(self, sage_id: str) -> Link | None:
        """The link of a document in Sage."""
        links = self._links("WHERE sage_id = ?", sage_id)
        return links[0] if links else None

    def mirrored(self, productive_id: str) -> list[Mirrored]:
        """The payments psage wrote for an invoice."""
        return self._mirrored("productive_id", productive_id)

    def mirrored_from(self, source_id: str) -> list[Mirrored]:
        """The payments psage wrote for a receipt or an allocation."""
        return self._mirrored("source_id", source_id)

    def _mirrored(self, column: str, value: str) -> list[Mirrored]:
        rows = self._rows(
            f"SELECT marker, productive_id, payment_id, reference FROM mirrored "
            f"WHERE {column} = ? ORDER BY marker",
            (value,),
        )
        return [Mirrored(*row) for row in rows]

    def mirror(self, mirrored: Mirrored, intent: Intent | None = None) -> None:
        """Record a payment psage wrote, together with the end of the intent that made it."""
        with self.write() as db:
            if intent:
                self._end(db, intent, "done")
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
        rows = self._rows(
            "SELECT productive_id, code, message, since FROM waiting ORDER BY since, productive_id"
        )
        return [
            Waiting(productive, code, message, datetime.fromisoformat(since))
            for productive, code, message, since in rows
        ]

    def keep_waiting(self, productive_id: str, code: str, message: str) -> None:
        """Have the next run try an invoice again."""
        with self.write() as db:
            db.execute(
                "INSERT INTO waiting (productive_id, code, message, since) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET code = excluded.code, message = excluded.message",
                (productive_id, code, message, _text(_now())),
            )

    def stop_waiting(self, productive_id: str) -> None:
        """An invoice is settled."""
        with self.write() as db:
            db.execute("DELETE FROM waiting WHERE productive_id = ?", (productive_id,))

    def mark(self, name: str) -> str | None:
        """How far something has got."""
        rows = self._rows("SELECT value FROM mark WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def set_marks(self, marks: Mapping[str, str]) -> None:
        """Remember how far things have got, all at once."""
        with self.write() as db:
            db.executemany(
                "INSERT OR REPLACE INTO mark (name, value) VALUES (?, ?)", [*marks.items()]
            )

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

    def remember_customer(
        self, company_id: str, currency: str, business_id: str, contact: Contact
    ) -> None:
        """Bill this company to this contact from now on."""
        with self.write() as db:
            context = {"company_id": company_id, "currency": currency}
            self._remember(db, context, business_id, contact, is_unused=False)

    def _remember_billed(self, db: sqlite3.Connection, intent: Intent) -> None:
        """Bill the company to the contact of this copy from now on."""
        context = intent.context
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
        db.execute(
            "INSERT OR REPLACE INTO customer "
            "(company_id, currency, business_id, contact_id, name, country, is_unused) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                context["company_id"],
                context["currency"],
                business,
                contact.id,
                contact.name,
                contact.country,
                int(is_unused),
            ),
        )

    # --- cache

    def cached(self, key: str, max_age: timedelta = timedelta(days=1)) -> Any:
        """A fact of Sage's set-up read not long ago, or None."""
        rows = self._rows("SELECT value, fetched_at FROM cache WHERE key = ?", (key,))
        if not rows or not timedelta(0) <= _now() - datetime.fromisoformat(rows[0][1]) < max_age:
            return None
        return json.loads(rows[0][0])

    def cache(self, key: str, value: Any) -> None:
        """Keep a fact for a day."""
        with self.write() as db:
            db.execute(
                "INSERT OR REPLACE INTO cache (key, value, fetched_at) VALUES (?, ?, ?)",
                (key, json.dumps(value), _text(_now())),
            )


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
