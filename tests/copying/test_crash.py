"""psage taken away at every request it makes: run again, everything is there exactly once.

A run is killed before each request's work and after it, before the answer. In between psage does
nothing another machine could see, so that is everywhere. The services may forget keys, replies may
get lost, the store may be gone: the books must come out the same.
"""

import signal
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, forget
from tests.harness import kills, oracle
from tests.harness.kills import LOST, NEW_PDF, assert_made, kill_at, lose_reply, places, writes_of
from tests.harness.processes import Hold, end, kill, run, started

shared, fresh = kills.shared, kills.fresh


CREATE = ("copy-invoice", "--id", "123", "--tax-rate", "GB_STANDARD")
CREATE_CALLS = (
    "GET /invoices",
    "GET /line_items",
    "GET /sales_invoices",
    "GET /businesses/*",
    "GET /financial_settings",
    "GET /contacts",
    "GET /countries",
    "GET /tax_rates",
    "GET /ledger_accounts",
    "GET /invoices/123",
    "POST /contacts",
    "GET /invoices/123",
    "POST /sales_invoices",
    "GET /invoices/123",
    "PATCH /invoices/123",
    "GET /attachments/files/*",
    "POST /attachments",
    "GET /invoices/123",
)
UPDATE = ("copy-invoice", "--id", "123", "--update-existing")
UPDATE_CALLS = (
    "GET /invoices",
    "GET /line_items",
    "GET /sales_invoices/*",
    "PUT /sales_invoices/*",
    "PATCH /invoices/123",
    "GET /attachments/files/*",
    "GET /attachments",
    "GET /attachments",
    "POST /attachments",
    "DELETE /attachments/*",
)
DRAFT = (*CREATE, "--draft")
DRAFT_CALLS = (*CREATE_CALLS[:15], *CREATE_CALLS[17:])
"""Its PDF waits for the release."""
RELEASE = ("release", "--id", "123")
RELEASE_CALLS = (
    "GET /sales_invoices",
    "GET /invoices",
    "GET /line_items",
    "GET /sales_invoices/*",
    "POST /sales_invoices/*/release",
    "GET /attachments/files/*",
    "GET /attachments",
    "GET /attachments",
    "POST /attachments",
)
KEYED = ("POST /contacts", "POST /sales_invoices")
"""What Sage does once for a key, while it remembers the key."""
BATCH = ("copy-invoice", "--id", "123", "124", "125", "--tax-rate", "GB_STANDARD")


@pytest.fixture
def changed(fresh: Sandbox, psage: Psage) -> Sandbox:
    """Invoice 123 is copied; since then its first line and its PDF have changed."""
    assert psage(*CREATE).code == 0
    lines = fresh.productive.line_items
    fresh.agency.edit_line(
        next(key for key, line in lines.items() if line["invoice_id"] == "123"), quantity="12"
    )
    fresh.agency.set_pdf(123, NEW_PDF)
    fresh.clear_calls()
    return fresh


def outcome(sandbox: Sandbox, home: Path) -> dict[str, Any]:
    """What the runs left on both sides and in the store."""
    documents = [row for row in copies(sandbox, "123") if row["status"]["id"] != "VOID"]
    contacts = sandbox.sage.contacts.values()
    return {
        "documents": [
            (row["reference"], row["net_amount"], row["tax_amount"], row["total_amount"])
            for row in documents
        ],
        "contacts": sum(row["source_guid"] == "productive-company-507" for row in contacts),
        "PDFs": [
            row["file"]
            for row in sandbox.sage.attachments.values()
            if row["file_name"] == "INV-2026-023 (PRD-123).pdf"
        ],
        "marked": [
            row["id"] == sandbox.productive.invoices["123"]["export_id"] for row in documents
        ],
        "unfinished": oracle.left_open(home / "default.db"),
        "overlapping posts": sandbox.concurrent_posts,
    }


def once(sandbox: Sandbox) -> dict[str, Any]:
    """The outcome as it must be: all of invoice 123, once."""
    invoice = sandbox.productive.invoices["123"]
    net, tax, total = (
        Decimal(invoice[name]) / 100 for name in ("amount", "amount_tax", "amount_with_tax")
    )
    return {
        "documents": [("PRD-123", net, tax, total)],
        "contacts": 1,
        "PDFs": [sandbox.productive.files[invoice["attachment_id"]]],
        "marked": [True],
        "unfinished": (0, 0),
        "overlapping posts": 0,
    }


# --- the list of requests


def test_a_create_makes_just_the_requests_it_is_killed_at(fresh: Sandbox, home: Path) -> None:
    result = run(*CREATE)

    assert result.code == 0
    assert_made(fresh, CREATE_CALLS)
    assert outcome(fresh, home) == once(fresh)


def test_an_update_makes_just_the_requests_it_is_killed_at(changed: Sandbox, home: Path) -> None:
    result = run(*UPDATE)

    assert result.code == 0
    assert_made(changed, UPDATE_CALLS)
    assert outcome(changed, home) == once(changed)


# --- kill -9


@pytest.mark.parametrize(("nth", "call", "when"), places(CREATE_CALLS))
def test_a_create_killed_anywhere_is_completed_by_the_next_run(
    fresh: Sandbox, home: Path, psage: Psage, nth: int, call: str, when: str
) -> None:
    kill_at(fresh, nth, call, when, *CREATE)

    # Before the last look for a double all is done and recorded: it is simply copied already.
    assert psage(*CREATE).code == (4 if nth == len(CREATE_CALLS) else 0)
    assert outcome(fresh, home) == once(fresh)


@pytest.mark.parametrize(("nth", "call", "when"), places(UPDATE_CALLS))
def test_an_update_killed_anywhere_is_completed_by_the_next_run(
    changed: Sandbox, home: Path, psage: Psage, nth: int, call: str, when: str
) -> None:
    kill_at(changed, nth, call, when, *UPDATE)

    assert psage(*UPDATE).code == 0
    assert outcome(changed, home) == once(changed)


@pytest.mark.parametrize(("nth", "call", "when"), places(CREATE_CALLS, KEYED))
def test_a_killed_create_is_completed_though_sage_forgot_the_key(
    fresh: Sandbox, home: Path, psage: Psage, nth: int, call: str, when: str
) -> None:
    fresh.remember_idempotency = False
    kill_at(fresh, nth, call, when, *CREATE)

    assert psage(*CREATE).code == 0
    assert outcome(fresh, home) == once(fresh)


@pytest.mark.parametrize(("nth", "call", "when"), places(CREATE_CALLS, writes_of(CREATE_CALLS)))
def test_a_killed_create_is_not_doubled_though_the_store_is_lost(
    fresh: Sandbox, home: Path, psage: Psage, nth: int, call: str, when: str
) -> None:
    kill_at(fresh, nth, call, when, *CREATE)
    forget(home)

    assert psage(*CREATE).code == 0
    found, wanted = outcome(fresh, home), once(fresh)
    # A copy that was found is not known to want a PDF.
    assert found.pop("PDFs") in ([], wanted.pop("PDFs"))
    assert found == wanted


@pytest.mark.parametrize(("nth", "call", "when"), places(UPDATE_CALLS, writes_of(UPDATE_CALLS)))
def test_a_killed_update_is_completed_though_the_store_is_lost(
    changed: Sandbox, home: Path, psage: Psage, nth: int, call: str, when: str
) -> None:
    kill_at(changed, nth, call, when, *UPDATE)
    forget(home)

    assert psage(*UPDATE).code == 0
    found, wanted = outcome(changed, home), once(changed)
    del found["PDFs"], wanted["PDFs"]  # see the next test
    assert found == wanted


@pytest.mark.parametrize(
    ("nth", "call", "when"), [(4, "PUT /sales_invoices/*", "before"), (10, "DELETE *", "before")]
)
def test_a_killed_update_leaves_the_new_pdf_alone_though_the_store_is_lost(
    changed: Sandbox, home: Path, psage: Psage, nth: int, call: str, when: str
) -> None:
    kill_at(changed, nth, call, when, *UPDATE)
    forget(home)

    assert psage(*UPDATE).code == 0
    assert outcome(changed, home) == once(changed)


def test_a_pdf_that_changes_once_more_after_a_crash_is_attached(
    changed: Sandbox, home: Path, psage: Psage
) -> None:
    kill_at(changed, 10, "DELETE *", "before", *UPDATE)
    changed.agency.set_pdf(123, b"%PDF-1.4 corrected twice")

    assert psage(*UPDATE).code == 0
    assert outcome(changed, home) == once(changed)


# --- a draft, and its release


@pytest.fixture
def drafted(fresh: Sandbox, psage: Psage) -> Sandbox:
    """Invoice 123 is a draft in Sage."""
    assert psage(*DRAFT).code == 0
    fresh.clear_calls()
    return fresh


def test_a_draft_and_its_release_make_just_the_requests_they_are_killed_at(
    fresh: Sandbox, home: Path
) -> None:
    assert run(*DRAFT).code == 0
    assert_made(fresh, DRAFT_CALLS)
    fresh.clear_calls()

    assert run(*RELEASE).code == 0
    assert_made(fresh, RELEASE_CALLS)
    assert outcome(fresh, home) == once(fresh)


@pytest.mark.parametrize(("nth", "call", "when"), places(DRAFT_CALLS))
def test_a_draft_killed_anywhere_is_made_once_and_can_be_released(
    fresh: Sandbox, home: Path, psage: Psage, nth: int, call: str, when: str
) -> None:
    kill_at(fresh, nth, call, when, *DRAFT)

    assert psage(*DRAFT).code == (4 if nth == len(DRAFT_CALLS) else 0)
    (copy,) = copies(fresh, "123")
    assert copy["status"]["id"] == "DRAFT"
    assert fresh.productive.invoices["123"]["export_id"] == copy["id"]
    assert psage(*RELEASE).code == 0
    assert outcome(fresh, home) == once(fresh)


@pytest.mark.parametrize("is_lost", [False, True], ids=["", "store lost"])
@pytest.mark.parametrize(("nth", "call", "when"), places(RELEASE_CALLS))
def test_a_release_killed_anywhere_is_completed_by_the_next_run(
    drafted: Sandbox,
    home: Path,
    psage: Psage,
    nth: int,
    call: str,
    when: str,
    *,
    is_lost: bool,
) -> None:
    kill_at(drafted, nth, call, when, *RELEASE)
    if is_lost:
        forget(home)

    assert psage(*RELEASE).code == 0
    found, wanted = outcome(drafted, home), once(drafted)
    if is_lost:  # a copy that was found is not known to want a PDF
        del found["PDFs"], wanted["PDFs"]
    (copy,) = copies(drafted, "123")
    assert copy["status"]["id"] == "UNPAID"
    assert found == wanted


@pytest.mark.parametrize("kind", LOST)
def test_a_release_whose_reply_is_lost_is_not_sent_twice(
    drafted: Sandbox, home: Path, psage: Psage, kind: str
) -> None:
    lose_reply(drafted, "POST /sales_invoices/*/release", kind)

    assert psage(*RELEASE).code == 0
    assert len([one for one in drafted.calls("sage", "POST") if "release" in one.path]) == 1
    assert outcome(drafted, home) == once(drafted)


# --- a dry run between


def test_a_dry_run_after_a_crash_does_not_stand_in_the_way(
    fresh: Sandbox, home: Path, psage: Psage
) -> None:
    kill_at(fresh, 13, "POST /sales_invoices", "after", *CREATE)

    planned = psage(*CREATE, "--dry-run")
    again = psage(*CREATE)

    assert (planned.code, again.code) == (0, 0)
    assert outcome(fresh, home) == once(fresh)


def test_a_dry_run_beside_a_run_does_not_stand_in_its_way(
    fresh: Sandbox, home: Path, psage: Psage
) -> None:
    posting = Hold(fresh, method="POST", path="/sales_invoices", when="after")
    with posting as hold, started(*CREATE) as process:
        hold.reached(process)
        planned = psage(*CREATE, "--dry-run")
        hold.let_go()
        result = end(process)

    assert (planned.code, result.code) == (0, 0)
    assert outcome(fresh, home) == once(fresh)


# --- lost replies


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("call", writes_of(CREATE_CALLS))
def test_a_create_whose_reply_is_lost_happens_once(
    fresh: Sandbox, home: Path, psage: Psage, call: str, kind: str
) -> None:
    lose_reply(fresh, call, kind)

    first = psage(*CREATE)
    is_finished = oracle.left_open(home / "default.db") == (0, 0)
    second = psage(*CREATE)

    assert first.code == 0
    assert second.code == (4 if is_finished else 0)
    assert outcome(fresh, home) == once(fresh)


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("call", KEYED)
def test_a_create_whose_reply_is_lost_happens_once_though_sage_forgot_the_key(
    fresh: Sandbox, home: Path, psage: Psage, call: str, kind: str
) -> None:
    fresh.remember_idempotency = False
    lose_reply(fresh, call, kind)

    assert psage(*CREATE).code == 0
    assert outcome(fresh, home) == once(fresh)


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("call", writes_of(UPDATE_CALLS))
def test_an_update_whose_reply_is_lost_happens_once(
    changed: Sandbox, home: Path, psage: Psage, call: str, kind: str
) -> None:
    lose_reply(changed, call, kind)

    first = psage(*UPDATE)
    second = psage(*UPDATE)

    assert (first.code, second.code) == (0, 0)
    assert outcome(changed, home) == once(changed)


def test_a_create_nobody_can_see_stays_unknown_until_its_key_brings_the_answer(
    fresh: Sandbox, home: Path, psage: Psage
) -> None:
    fresh.search_lag_s = fresh.list_lag_s = 600
    lose_reply(fresh, "POST /sales_invoices", "cut_after", times=2)

    first = psage(*CREATE)
    second = psage(*CREATE)

    assert (first.code, second.code) == (8, 0)
    assert outcome(fresh, home) == once(fresh)


def test_a_fresh_copy_no_search_shows_is_found_though_sage_forgot_the_key(
    fresh: Sandbox, home: Path, psage: Psage
) -> None:
    fresh.search_lag_s, fresh.remember_idempotency = 600, False
    posting = Hold(fresh, 1, method="POST", path="/sales_invoices", when="after")
    with posting as hold, started(*CREATE) as process:
        hold.reached(process)
        kill(process)
        hold.lose()

    assert psage(*CREATE).code == 0
    assert outcome(fresh, home) == once(fresh)


# --- Ctrl-C


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_keeps_what_is_finished_and_the_next_run_does_the_rest(
    fresh: Sandbox, home: Path, psage: Psage, number: signal.Signals, when: str
) -> None:
    second_posting = Hold(fresh, 2, method="POST", path="/sales_invoices", when=when)
    with second_posting as hold, started(*BATCH) as process:
        hold.reached(process)
        process.send_signal(number)
        interrupted = end(process)
        hold.lose()
    with closing(sqlite3.connect(home / "default.db")) as store:
        recorded = store.execute("SELECT productive_id FROM link").fetchall()
    again = psage(*BATCH, "--json")

    assert interrupted.code == 130
    assert "INV-2026-023  copied" in interrupted.out
    assert "error: interrupted; every finished document is recorded" in interrupted.err
    assert "Traceback" not in interrupted.err
    assert recorded == [("123",)]
    assert again.code == 6
    assert [
        (row["productive_id"], row["error"]["code"] if row["error"] else row["action"])
        for row in again.results
    ] == [("123", "already_copied"), ("124", "created"), ("125", "created")]
    assert [len(copies(fresh, key)) for key in ("123", "124", "125")] == [1, 1, 1]
    assert outcome(fresh, home) == once(fresh)


@pytest.mark.torture
def test_an_interrupted_batch_still_answers_with_one_json_document(fresh: Sandbox) -> None:
    second_posting = Hold(fresh, 2, method="POST", path="/sales_invoices", when="after")
    with second_posting as hold, started(*BATCH, "--json") as process:
        hold.reached(process)
        process.send_signal(signal.SIGINT)
        interrupted = end(process)
        hold.lose()

    assert interrupted.code == 130
    assert interrupted.json["ok"] is False
    assert interrupted.json["exit_code"] == 130
    assert interrupted.json["error"]["code"] == "interrupted"
    told = {row["productive_id"]: row["action"] for row in interrupted.results}
    assert told == {"123": "created", "124": "unknown"}
    assert interrupted.err == ""
