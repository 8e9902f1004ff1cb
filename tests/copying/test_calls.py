"""What a copy and a sync cost: the calls to Sage, counted."""

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from productive_sage import payments
from productive_sage.sandbox import Sandbox
from productive_sage.store import Store
from tests.conftest import Psage


def sage_calls(sandbox: Sandbox) -> list[str]:
    """The calls to Sage, those about PDFs apart."""
    return [
        f"{call.method} {call.path}"
        for call in sandbox.calls("sage")
        if not call.path.startswith("/attachments")
    ]


@pytest.fixture
def warm(services: Sandbox, psage: Psage) -> Sandbox:
    """An earlier copy has filled the caches and linked a customer."""
    psage("copy-invoice", "124")
    services.clear_calls()
    return services


def test_a_warm_copy_takes_two_calls(warm: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "125")

    assert result.code == 0
    assert sage_calls(warm) == ["GET /sales_invoices", "POST /sales_invoices"]


def test_a_warm_copy_commits_six_times(
    warm: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two for each write: what is recorded of it, and what the log has of it, go together."""
    connect, commits = sqlite3.connect, list[str]()

    def counted(*args: Any, **more: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(*args, **more)
        db.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
        return db

    monkeypatch.setattr(sqlite3, "connect", counted)

    assert psage("copy-invoice", "125").code == 0
    assert len(commits) == 6


def test_a_customer_new_to_psage_takes_a_third(warm: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "101")

    assert result.code == 0
    assert sage_calls(warm) == ["GET /sales_invoices", "GET /contacts", "POST /sales_invoices"]


def test_a_customer_new_to_sage_is_one_write_more(warm: Sandbox, psage: Psage) -> None:
    """The marker is searched even then: only Sage knows what other machines have copied."""
    result = psage("copy-invoice", "109")

    assert result.code == 0
    assert sage_calls(warm) == [
        "GET /sales_invoices",
        "GET /contacts",
        "POST /contacts",
        "POST /sales_invoices",
    ]


def test_an_update_takes_two_calls(warm: Sandbox, psage: Psage) -> None:
    warm.agency.add_line("124", unit_price="10.00")

    psage("copy-invoice", "124", "--update-existing")

    assert [call.split("/")[0] for call in sage_calls(warm)] == ["GET ", "PUT "]


def test_a_batch_of_100_takes_at_most_1_1_calls_each_even_with_cold_caches(
    services: Sandbox, psage: Psage
) -> None:
    ids = [
        services.agency.add_invoice(company_id=507, lines=[{"unit_price": "10.00"}])
        for _ in range(100)
    ]

    result = psage("copy-invoice", *ids, "--json")

    assert result.code == 0
    assert result.json["summary"]["created"] == 100
    assert len(sage_calls(services)) <= 110
    assert services.concurrent_posts == 0


# --- sync-payments

FEEDS = [
    "GET /sales_invoices",
    "GET /contact_payments",
    "GET /contact_payments",
    "GET /contact_allocations",
    "GET /contact_allocations",
]


@pytest.fixture
def synced(services: Sandbox, psage: Psage) -> Sandbox:
    """100 invoices are copied, and a first sync has compared everything."""
    ids = [
        services.agency.add_invoice(company_id=507, lines=[{"unit_price": "10.00"}])
        for _ in range(100)
    ]
    assert psage("copy-invoice", *ids, "--no-pdf").code == 0
    assert psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01").code == 0
    assert psage("sync-payments").code == 0
    services.clear_calls()
    return services


def test_a_quiet_sync_of_10_000_invoices_takes_five_calls_and_two_seconds(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    long_ago = (datetime.now(UTC) - timedelta(days=90)).isoformat()
    an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01").code == 0
    links = [(str(n), f"{n:032x}", f"SI-{n}", long_ago) for n in range(1000, 11_000)]
    with Store(home / "default.db") as store:
        with store.db.write() as db:
            db.executemany(
                "INSERT INTO link (productive_id, copy, business_id, sage_id, sage_number, "
                "number_sent, pending, copied_at) "
                f"VALUES (?, 1, '{services.sage.books().business_id}', ?, ?, 0, '', ?)",
                links,
            )
            db.executemany(
                "INSERT INTO mirrored (marker, productive_id, payment_id, reference, source_id) "
                "VALUES (?, ?, ?, '', ?)",
                [(f"psage r{n}/{key}", n, n, f"r{n}") for n, key, *_ in links],
            )
        store.cursors.set(
            {
                payments.UNTIL: an_hour_ago,
                payments.FULL: an_hour_ago,
                payments.BEGIN: "2026-01-01",
            }
        )
    services.clear_calls()

    began = time.process_time()
    result = psage("sync-payments", "--json")
    took_s = time.process_time() - began

    assert (result.code, result.json["checked_invoices"]) == (0, 0)
    assert sage_calls(services) == FEEDS
    assert services.calls("productive") == []
    assert took_s < 2


@pytest.mark.parametrize("touch", [True, False], ids=["touched", "not touched"])
def test_100_changed_invoices_take_at_most_eight_calls(
    synced: Sandbox, psage: Psage, touch: bool
) -> None:
    synced.payments_touch_invoices = touch
    for document in synced.sage.invoices.values():
        synced.bookkeeper.pay(document["id"], "5.00", "2026-03-01")

    result = psage("sync-payments", "--json")

    assert (result.code, len(result.json["created"])) == (0, 100)
    assert len(sage_calls(synced)) <= 8
    reads = [call for call in synced.calls("productive") if call.method == "GET"]
    assert len(reads) <= 6  # payments and balances, and the payments again after the writes
