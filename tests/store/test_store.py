"""The store: what is committed stays, and a damaged file says what to do."""

import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from productive_sage.errors import HomeUnusable, OutcomeUnknown, StoreConflict
from productive_sage.kept import Contact
from productive_sage.kinds import INVOICE
from productive_sage.store import Store, database
from tests.conftest import A_COPY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "default.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as opened:
        yield opened


def begin(store: Store, source_id: str = "123", copy: int = 1) -> Any:
    facts = replace(A_COPY, copy=copy)
    return store.intents.begin("invoice", source_id, "B", payload={"contact_id": "C"}, facts=facts)


def test_an_intent_survives_the_process(path: Path) -> None:
    with Store(path) as first:
        intent = begin(first)

    with Store(path) as second:
        assert second.intents.open_copies() == [intent]
    assert len(intent.idempotency_id) == 32
    int(intent.idempotency_id, 16)


def test_a_second_open_intent_for_the_same_source_is_refused(store: Store) -> None:
    intent = begin(store)

    with pytest.raises(OutcomeUnknown, match="without an answer"):
        begin(store)
    store.intents.end(intent, "refused", "no")
    begin(store)


def test_finishing_records_the_copy_and_ends_the_intent_together(store: Store) -> None:
    first = begin(store)
    store.intents.finish_create(
        first, sage_id="S1", number="SI-1", written=None, pending=frozenset({"mark"})
    )
    second = begin(store, copy=2)

    link = store.intents.finish_create(
        second, sage_id="S2", number="SI-2", written=None, pending=frozenset()
    )

    assert store.intents.open_copies() == []
    assert store.copies.latest("123") == link
    assert [i.sage_id for i in store.copies.of("123")] == ["S1", "S2"]
    assert [i.sage_id for i in store.copies.unfinished()] == ["S1"]
    assert store.copies.numbered(INVOICE, "SI-2", "B") == [link]
    assert store.copies.businesses() == {"B"}


def test_one_sage_document_is_the_copy_of_one_invoice(store: Store) -> None:
    store.intents.finish_create(
        begin(store), sage_id="S1", number="1", written=None, pending=frozenset()
    )
    other = begin(store, "124")

    with pytest.raises(StoreConflict):
        store.intents.finish_create(
            other, sage_id="S1", number="1", written=None, pending=frozenset()
        )

    assert store.intents.open_copies() == [other]
    assert store.copies.of("124") == []


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    def interrupted() -> None:
        with store.db.write() as db:
            db.execute("INSERT INTO cache (key, value, fetched_at) VALUES ('k', '1', 'x')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert store.facts.today("k") is None


def test_a_cached_fact_ends_after_a_day(store: Store) -> None:
    store.facts.keep("k", {"a": 1})

    assert store.facts.today("k") == {"a": 1}
    assert store.facts.today("k", timedelta(0)) is None


def test_a_customer_is_linked_per_company_currency_and_business(store: Store) -> None:
    store.customers.remember("507", "GBP", "B", Contact("C", "Juniper", country="GB"))

    found = store.customers.of("507", "GBP", "B")
    assert found
    assert (found.id, found.name, found.country) == ("C", "Juniper", "GB")
    assert store.customers.of("507", "EUR", "B") is None
    assert store.customers.of("507", "GBP", "other") is None


def test_every_commit_is_on_the_disk(store: Store) -> None:
    (synchronous,) = store.db.connection.execute("PRAGMA synchronous").fetchone()
    (mode,) = store.db.connection.execute("PRAGMA journal_mode").fetchone()

    assert (synchronous, mode) == (2, "wal")


def test_a_damaged_file_says_to_move_it_away(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)

    with pytest.raises(HomeUnusable, match="are damaged") as caught:
        Store(path)

    assert "move" in str(caught.value.hint)
    assert path.read_bytes().startswith(b"not a database")


def test_a_newer_store_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(HomeUnusable, match="newer psage"):
        Store(path)


def test_a_migration_saves_the_old_file_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(path) as old:
        begin(old)
    more = (*database.MIGRATIONS, "ALTER TABLE cache ADD COLUMN extra TEXT;")
    monkeypatch.setattr(database, "MIGRATIONS", more)

    with Store(path) as new:
        assert len(new.intents.open_copies()) == 1

    before = len(more) - 1
    backup = path.with_name(f"default.v{before}.db")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with sqlite3.connect(backup) as saved:
        assert saved.execute("SELECT count(*) FROM intent").fetchone() == (1,)
        assert saved.execute("PRAGMA user_version").fetchone() == (before,)
    saved.close()


def test_of_the_files_saved_before_migrations_the_last_five_stay(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(path).db.close()
    first = len(database.MIGRATIONS)
    for n in range(7):
        more = (*database.MIGRATIONS, f"ALTER TABLE cache ADD COLUMN extra{n} TEXT;")
        monkeypatch.setattr(database, "MIGRATIONS", more)
        Store(path).db.close()
    saved = path.with_name(f"default.v{first + 6}.db")
    assert sorted(path.parent.glob("default.v*.db")) == sorted(
        path.with_name(f"default.v{first + n}.db") for n in range(2, 7)
    )

    path.write_bytes(saved.read_bytes())  # put back, and brought up to date once more
    before = saved.read_bytes()
    Store(path).db.close()

    assert saved.read_bytes() == before
    assert path.with_name(f"default.v{first + 6}-2.db").exists()
    assert len([*path.parent.glob("default.v*.db")]) == 5


def test_a_broken_migration_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(path) as old:
        begin(old)
    more = (*database.MIGRATIONS, "CREATE TABLE half (x TEXT); SELECT nonsense FROM nowhere;")
    monkeypatch.setattr(database, "MIGRATIONS", more)

    with pytest.raises(HomeUnusable):
        Store(path)

    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(more) - 1,)
        assert db.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
    db.close()


def test_the_file_is_for_its_owner_alone(store: Store, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
