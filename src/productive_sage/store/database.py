"""The file itself: opened, brought up to date, read and written in transactions.

The only module that imports sqlite3. `synchronous=FULL`, since losing the last commit at a power
cut is just what must not happen.
"""

import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from productive_sage.errors import HomeUnusable, Locked, PsageError, StoreConflict, Temporary

Row = sqlite3.Row

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
    """
    ALTER TABLE event ADD COLUMN sent INTEGER;
    CREATE INDEX event_sent ON event (sent) WHERE sent IS NOT NULL;
    CREATE INDEX event_awaited ON event (id) WHERE result = 'sent';
    """,
)

KEPT_COPIES = 5
"""How many copies from before migrations stay."""

SIGN_IN = "signed in "
"""Begins the names of the cursors that hold what is known of a sign-in, as JSON."""


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
        return Temporary(
            f"psage's records in `{path}` cannot be written: {said}",
            code="disk_full",
            hint="free some space and run the command again; nothing was lost",
        )
    if isinstance(error, sqlite3.IntegrityError):
        return StoreConflict(
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
        hint=f"put a backup back with `psage restore FILE`; or move `{path}` away and run "
        "`psage rebuild`: psage finds its copies in Sage by their references (PRD-…)",
    )


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


class Database:
    """An open file; used by one thread at a time (see `lanes`)."""

    def __init__(
        self, path: Path, *, read_only: bool = False, now: Callable[[], datetime] = utc_now
    ) -> None:
        """Open, and bring the file up to date, saving the old one beside it first.

        `read_only` makes and changes nothing: a file of an older psage is brought up to date in
        memory. Raises HomeUnusable where the file is damaged, unwritable or of a newer psage, or is
        not there to be read. `now` is the time of this machine, UTC.
        """
        self.path = path
        self.now = now
        self.at_begin: Callable[[], None] = _nothing
        self.at_commit: Callable[[], None] = _nothing
        with _spoken(path):
            if read_only:
                self.connection = _opened_to_read(path)
            else:
                is_new = not path.exists()
                self.connection = sqlite3.connect(
                    path, isolation_level=None, timeout=5, check_same_thread=False
                )
            try:
                if not read_only:
                    if is_new:
                        path.chmod(0o600)
                    self._use_wal()
                    self.connection.execute("PRAGMA synchronous = FULL")
                self._migrate(save=not read_only)
            except BaseException:
                self.connection.close()  # or an unfinished migration would keep the file locked
                raise
        self.connection.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def _use_wal(self) -> None:
        """Wait for another first run: SQLite itself does not where the mode is changed."""
        for _ in range(50):
            with suppress(sqlite3.OperationalError):
                self.connection.execute("PRAGMA journal_mode = WAL")
                return
            time.sleep(0.1)
        self.connection.execute("PRAGMA journal_mode = WAL")

    def _version(self) -> int:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _migrate(self, *, save: bool = True) -> None:
        version = self._version()
        if version == len(MIGRATIONS):
            return
        if version > len(MIGRATIONS):
            raise HomeUnusable(
                f"psage's records in `{self.path}` were written by a newer psage",
                hint="upgrade: `pipx upgrade productive-sage`",
            )
        if version and save:
            _keep(self.connection, self.path, version)
        with self.write() as db:
            version = self._version()  # another process may have been quicker
            for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
                for statement in _statements(migration):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")
            if not version:  # a new store knows that nothing is connected yet
                known = [(f"{SIGN_IN}{service}", "null") for service in ("Productive", "Sage")]
                db.executemany("INSERT INTO mark (name, value) VALUES (?, ?)", known)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, all of it on disk or none; inside another it joins that.

        `at_begin` adds to each what waited for one; `at_commit` is told that it is on disk.
        """
        if self.is_writing():
            yield self.connection
            return
        with _spoken(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                self.at_begin()
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.is_writing():
                    self.connection.execute("ROLLBACK")
                raise
        self.at_commit()

    @contextmanager
    def part(self) -> Iterator[None]:
        """Part of a transaction that is undone alone where it fails; what is raised goes on."""
        self.connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self.is_writing():
                self.connection.execute("ROLLBACK TO part")
                self.connection.execute("RELEASE part")
            raise
        self.connection.execute("RELEASE part")

    def is_writing(self) -> bool:
        """Whether a transaction is under way."""
        return self.connection.in_transaction

    def check_idle(self) -> None:
        """Raises RuntimeError in a transaction, which must not be open while a service is asked."""
        if self.is_writing():
            raise RuntimeError("a transaction is open while a service is asked")

    def rows(self, statement: str, *values: Any) -> list[Row]:
        """What a query finds; a row is read by the names of its columns."""
        with _spoken(self.path):
            return self.connection.execute(statement, values).fetchall()

    def each(self, statement: str) -> Generator[Row]:
        """What a query finds, one by one."""
        with _spoken(self.path):
            yield from self.connection.execute(statement)

    def run(self, statement: str, *values: Any) -> int:
        """Run a statement inside `write`; the id of the row it inserted, if any."""
        return self.connection.execute(statement, values).lastrowid or 0

    def run_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each row of values, inside `write`."""
        self.connection.executemany(statement, rows)

    def check_file(self) -> None:
        """Read every page of the file. Raises HomeUnusable where any of it is damaged."""
        said = [str(row[0]) for row in self.rows("PRAGMA integrity_check(3)")]
        if said != ["ok"]:
            raise _storage_error(sqlite3.DatabaseError("; ".join(said)), self.path)


def _keep(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy the file beside itself before a migration; of such copies the newest are kept."""
    copy, n = path.with_suffix(f".v{version}.db"), 1
    while copy.exists():  # an older file was put back, and is brought up to date once more
        n += 1
        copy = path.with_suffix(f".v{version}-{n}.db")
    _copy(db, copy)
    kept = path.parent.glob(f"{path.stem}.v*.db")
    by_age = sorted(kept, key=lambda one: (one != copy, -one.stat().st_mtime_ns))
    for old in by_age[KEPT_COPIES:]:
        old.unlink(missing_ok=True)


def _copy(db: sqlite3.Connection, target: Path) -> None:
    """A new file for its owner alone, complete without SQLite's `-wal`."""
    with suppress(OSError):  # where it cannot be made, SQLite says so
        target.touch(mode=0o600)
    with closing(sqlite3.connect(target)) as copy:
        db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def save_as(path: Path, target: Path) -> int:
    """Copy a file as it is at this moment to a new one; the version of its tables.

    Others may write to it meanwhile. Raises HomeUnusable where it is damaged.
    """
    address = f"{path.absolute().as_uri()}?mode=rw"  # see `_opened_to_read`
    with _spoken(path), closing(sqlite3.connect(address, uri=True, timeout=5)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        said = [str(row[0]) for row in db.execute("PRAGMA integrity_check(3)")]
        if said != ["ok"]:
            raise _storage_error(sqlite3.DatabaseError("; ".join(said)), path)
        _copy(db, target)
    return int(version)


def replace_by(path: Path, source: Path) -> None:
    """Put the content of another file in place of a file's own, in one transaction."""
    with _spoken(path), closing(sqlite3.connect(source)) as new:
        if not path.exists():
            path.touch(mode=0o600)
        with closing(sqlite3.connect(path, timeout=5)) as db:
            new.backup(db)


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


def _statements(migration: str) -> Iterator[str]:
    """The statements of a migration; a trigger holds semicolons of its own."""
    statement = ""
    for part in migration.split(";")[:-1]:
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _nothing() -> None:
    pass


def as_text(moment: datetime) -> str:
    """A moment as the file holds it."""
    return moment.isoformat()
