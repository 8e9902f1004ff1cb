"""The ledger: what is committed stays, and a damaged file says what to do."""

import sqlite3
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from productive_sage import store as ledgers
from productive_sage.errors import HomeUnusable, LedgerConflict, OutcomeUnknown
from productive_sage.models import INVOICE, Contact
from productive_sage.store import Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "default.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


def begin(ledger: Ledger, source_id: str = "123", copy: int = 1) -> Any:
    context = {
        "copy": copy,
        "tax_rate_id": "",
        "number_sent": False,
        "company_id": "507",
        "currency": "GBP",
        "contact_name": "Juniper",
        "country": "GB",
    }
    return ledger.begin("invoice", source_id, "B", payload={"contact_id": "C"}, context=context)


def test_an_intent_survives_the_process(path: Path) -> None:
    with Ledger(path) as first:
        intent = begin(first)

    with Ledger(path) as second:
        assert second.open_intents() == [intent]
    assert len(intent.idempotency_id) == 32
    int(intent.idempotency_id, 16)


def test_a_second_open_intent_for_the_same_source_is_refused(ledger: Ledger) -> None:
    intent = begin(ledger)

    with pytest.raises(OutcomeUnknown, match="without an answer"):
        begin(ledger)
    ledger.close(intent, "refused", "no")
    begin(ledger)


def test_finishing_records_the_copy_and_ends_the_intent_together(ledger: Ledger) -> None:
    first = begin(ledger)
    ledger.finish_create(
        first, sage_id="S1", number="SI-1", written=None, pending=frozenset({"mark"})
    )
    second = begin(ledger, copy=2)

    link = ledger.finish_create(
        second, sage_id="S2", number="SI-2", written=None, pending=frozenset()
    )

    assert ledger.open_intents() == []
    assert ledger.latest("123") == link
    assert [i.sage_id for i in ledger.links("123")] == ["S1", "S2"]
    assert [i.sage_id for i in ledger.unfinished()] == ["S1"]
    assert ledger.numbered(INVOICE, "SI-2", "B") == [link]
    assert ledger.businesses() == {"B"}


def test_one_sage_document_is_the_copy_of_one_invoice(ledger: Ledger) -> None:
    ledger.finish_create(begin(ledger), sage_id="S1", number="1", written=None, pending=frozenset())
    other = begin(ledger, "124")

    with pytest.raises(LedgerConflict):
        ledger.finish_create(other, sage_id="S1", number="1", written=None, pending=frozenset())

    assert ledger.open_intents() == [other]
    assert ledger.links("124") == []


def test_a_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    def interrupted() -> None:
        with ledger.write() as db:
            db.execute("INSERT INTO cache (key, value, fetched_at) VALUES ('k', '1', 'x')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert ledger.cached("k") is None


def test_a_cached_fact_ends_after_a_day(ledger: Ledger) -> None:
    ledger.cache("k", {"a": 1})

    assert ledger.cached("k") == {"a": 1}
    assert ledger.cached("k", timedelta(0)) is None


def test_a_customer_is_linked_per_company_currency_and_business(ledger: Ledger) -> None:
    ledger.remember_customer("507", "GBP", "B", Contact("C", "Juniper", country="GB"))

    found = ledger.customer("507", "GBP", "B")
    assert found
    assert (found.id, found.name, found.country) == ("C", "Juniper", "GB")
    assert ledger.customer("507", "EUR", "B") is None
    assert ledger.customer("507", "GBP", "other") is None


def test_every_commit_is_on_the_disk(ledger: Ledger) -> None:
    (synchronous,) = ledger._db.execute("PRAGMA synchronous").fetchone()
    (mode,) = ledger._db.execute("PRAGMA journal_mode").fetchone()

    assert (synchronous, mode) == (2, "wal")


def test_a_damaged_file_says_to_move_it_away(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)

    with pytest.raises(HomeUnusable, match="is damaged") as caught:
        Ledger(path)

    assert "move" in str(caught.value.hint)
    assert path.read_bytes().startswith(b"not a database")


def test_a_newer_ledger_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(HomeUnusable, match="newer psage"):
        Ledger(path)


def test_a_migration_saves_the_old_file_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(path) as old:
        begin(old)
    more = (*ledgers.MIGRATIONS, "ALTER TABLE cache ADD COLUMN extra TEXT;")
    monkeypatch.setattr(ledgers, "MIGRATIONS", more)

    with Ledger(path) as new:
        assert len(new.open_intents()) == 1

    before = len(more) - 1
    backup = path.with_name(f"default.v{before}.db")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with sqlite3.connect(backup) as saved:
        assert saved.execute("SELECT count(*) FROM intent").fetchone() == (1,)
        assert saved.execute("PRAGMA user_version").fetchone() == (before,)
    saved.close()


def test_a_broken_migration_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(path) as old:
        begin(old)
    more = (*ledgers.MIGRATIONS, "CREATE TABLE half (x TEXT); SELECT nonsense FROM nowhere;")
    monkeypatch.setattr(ledgers, "MIGRATIONS", more)

    with pytest.raises(HomeUnusable):
        Ledger(path)

    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(more) - 1,)
        assert db.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
    db.close()


def test_the_file_is_for_its_owner_alone(ledger: Ledger, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
