"""The audit log: what each write leaves in it, that nothing can be taken out, how it is read."""

import csv
import importlib
import inspect
import io
import json
import os
import pkgutil
import pwd
import re
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import keyring
import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from productive_sage import history, productive, sage
from productive_sage.errors import (
    HistoryBroken,
    OutcomeUnknown,
    PsageError,
    RefusedBySage,
    Temporary,
)
from productive_sage.http import Http, Recorder
from productive_sage.http.pool import Pool
from productive_sage.http.timing import Timing
from productive_sage.productive.payments import Payments
from productive_sage.sage.calls import words_of
from productive_sage.sandbox import Sandbox
from productive_sage.store import About, CopyFacts, Store, audit, database
from productive_sage.store.audit import Event
from productive_sage.store.customers import CustomerRecords
from productive_sage.store.events import Events
from productive_sage.store.intents import Intents
from productive_sage.terminal import happened, tables
from tests.conftest import Psage, Result, copies, first_line, writes
from tests.harness import kills
from tests.harness.history import append
from tests.harness.processes import Hold, kill, started

COPY = ("copy-invoice", "123", "--tax-rate", "GB_STANDARD")
PAID_ON = "2026-03-04"
HOME = "default.db"

shared, fresh = kills.shared, kills.fresh


def logged(home: Path) -> list[Event]:
    with Store(home / HOME) as store:
        return store.events.all()


def told(home: Path) -> list[tuple[str, str, str]]:
    """(request without ids, document, result) of each record."""
    events = logged(home)
    return [(re.sub(r"/[0-9a-f]{5,}", "/*", e.what), e.document, e.result) for e in events]


def shown(result: Result) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = result.json["events"]
    return events


@pytest.fixture
def synced(beginning: Callable[..., Sandbox]) -> Sandbox:
    """Invoice 123 is copied, payments are synchronised, one receipt is new."""
    on = ("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    services = beginning((*COPY, "--no-pdf"), on, ("sync-payments",))
    services.bookkeeper.pay(copies(services, "123")[0]["id"], "120.50", PAID_ON, "BACS 77")
    return services


def receipt(sandbox: Sandbox) -> str:
    (key,) = sandbox.sage.receipts
    return str(key)


# --- what is recorded


def test_a_copy_leaves_a_record_of_every_write_in_the_order_they_were_sent(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    assert psage(*COPY).code == 0

    assert [event.what for event in logged(home)] == writes(services)
    assert told(home) == [
        ("POST /contacts", "", "done"),
        ("POST /sales_invoices", "123", "done"),
        ("PATCH /invoices/123", "123", "done"),
        ("POST /attachments", "123", "done"),
    ]


def test_a_record_says_who_when_what_was_sent_and_what_came_back(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage(*COPY)

    (copy,) = copies(services, "123")
    (call,) = services.calls("sage", "POST", "/sales_invoices")
    event = logged(home)[1]
    assert (event.who, event.command) == (pwd.getpwuid(os.getuid()).pw_name, "copy-invoice")
    assert abs(time.time() - datetime.fromisoformat(event.at).timestamp()) < 60
    assert (event.document, event.number) == ("123", "INV-2026-023")
    assert event.figures == {
        "date": "2026-02-09",
        "due_date": "2026-03-11",
        "reference": "PRD-123",
        "currency": "GBP",
        "contact_id": copy["contact"]["id"],
        "net": "2077.27",
        "tax": "415.46",
        "total": "2492.73",
        "tax_rate": "GB_STANDARD",
        "lines": 3,
    }
    assert event.answer == {
        "id": copy["id"],
        "number": "SI-1",
        "contact": "Juniper Street Coffee Ltd",
        "currency": "GBP",
        "net": "2077.27",
        "tax": "415.46",
        "total": "2492.73",
    }
    assert event.path == f"/sales_invoices/{copy['id']}"
    assert event.request_id == call.reply_headers["X-Request-Id"]
    assert event.key == json.loads(call.body)["sales_invoice"]["idempotency_id"]


def test_a_credit_note_its_allocation_and_an_update_name_the_credit_note(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "111", "--tax-rate", "GB_STANDARD", "--no-pdf")
    psage("credit-note", "110", "--no-pdf")
    before = len(logged(home))
    services.agency.edit_line(first_line(services, "110"), description="All of it")

    assert psage("credit-note", "110", "--no-pdf", "--update-existing").code == 0

    assert told(home)[-7:-4] == [
        ("POST /sales_credit_notes", "110", "done"),
        ("POST /contact_allocations", "110", "done"),
        ("PATCH /invoices/110", "110", "done"),
    ]
    assert told(home)[before:] == [
        ("DELETE /contact_allocations/*", "110", "done"),
        ("PUT /sales_credit_notes/*", "110", "done"),
        ("POST /contact_allocations", "110", "done"),
        ("PATCH /invoices/110", "110", "done"),
    ]
    removed = logged(home)[before]
    assert removed.figures["amount"] == "2130.00"
    assert removed.figures["currency"] == "GBP"
    assert removed.figures["to"] == copies(services, "111")[0]["id"]
    assert {event.command for event in logged(home)[before:]} == {"credit-note"}


def test_a_release_names_the_draft_it_books(services: Sandbox, psage: Psage, home: Path) -> None:
    psage(*COPY, "--no-pdf", "--draft")

    assert psage("release", "123").code == 0

    (copy,) = copies(services, "123")
    (released,) = [event for event in logged(home) if event.what.endswith("/release")]
    assert (released.document, released.number, released.result) == ("123", "INV-2026-023", "done")
    assert released.path == f"/sales_invoices/{copy['id']}"
    assert released.answer["number"] == copy["displayed_as"]
    assert "settle" not in [event.what for event in logged(home)]


def test_a_new_a_changed_and_a_removed_payment_name_the_invoice_and_the_amount(
    synced: Sandbox, psage: Psage, home: Path
) -> None:
    source, before = receipt(synced), len(logged(home))
    psage("sync-payments")
    synced.bookkeeper.edit_receipt(source, amount="21.00")
    psage("sync-payments")
    synced.bookkeeper.delete_receipt(source)
    psage("sync-payments")

    new, changed, removed = logged(home)[before:]
    (payment,) = {new.path, changed.path, removed.path}
    assert re.fullmatch(r"/payments/\d+", payment)
    assert [event.what for event in (new, changed, removed)] == [
        "POST /payments",
        f"PATCH {payment}",
        f"DELETE {payment}",
    ]
    assert {event.document for event in (new, changed, removed)} == {"123"}
    assert {event.number for event in (new, changed, removed)} == {"INV-2026-023"}
    sent = {"currency": "GBP", "amount": "120.50", "paid_on": PAID_ON, "receipt": source}
    assert new.figures == sent
    assert changed.figures == {"currency": "GBP", "amount": "21.00"}
    assert removed.figures == sent | {"amount": "21.00"}


def test_an_amount_of_a_currency_without_hundredths_stays_as_productive_counts_it() -> None:
    sent = audit.figures({"amount": 12050, "paid_on": PAID_ON})

    assert audit.in_currency(sent, "GBP")["amount"] == "120.50"
    assert audit.in_currency(sent, "JPY") == sent | {"currency": "JPY"}
    assert audit.in_currency(sent, "") == {"paid_on": PAID_ON, "amount_minor": 12050}


def test_a_pdf_that_is_replaced_is_told_by_its_name(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage(*COPY)
    services.agency.set_pdf("123", b"%PDF-1.4 changed")

    psage("copy-invoice", "123", "--update-existing")

    removed = logged(home)[-1]
    assert removed.what.startswith("DELETE /attachments/")
    assert (removed.document, removed.number, removed.result) == ("123", "INV-2026-023", "done")
    assert removed.figures == {"file": "INV-2026-023 (PRD-123).pdf"}


def test_of_two_machines_payments_the_one_that_gives_way_is_told_with_its_amount(
    synced: Sandbox, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, source = Payments.create, receipt(synced)
    note = f"Sage receipt\npsage {source}/{copies(synced, '123')[0]['id']}"

    def race(self: Payments, attributes: Any, record: Recorder) -> str:
        synced.agency.add_payment("123", "120.50", PAID_ON, note)
        return send(self, attributes, record)

    monkeypatch.setattr(Payments, "create", race)

    assert psage("sync-payments").code == 0

    made, removed = logged(home)[-2:]
    assert (made.what, removed.what) == ("POST /payments", f"DELETE {made.path}")
    assert (removed.document, removed.number) == ("123", "INV-2026-023")
    assert removed.figures == made.figures
    assert removed.figures["receipt"] == source


def test_pdfs_made_by_sage_are_told_by_name_and_belong_to_the_invoice(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("configure", "--pdf", "sage")

    assert psage("copy-invoice", "123", "--no-tax").code == 0

    events = logged(home)[-3:]
    assert [event.what.rpartition("/")[0] for event in events] == [
        "POST ",
        "PATCH /attachments",
        "PATCH /invoices",
    ]
    assert {event.document for event in events} == {"123"}
    assert events[0].figures["name"] == "SI-1 (PRD-123).pdf"


def test_a_dry_run_records_nothing(synced: Sandbox, psage: Psage, home: Path) -> None:
    before = logged(home)

    psage("copy-invoice", "124", "--no-tax", "--dry-run")
    psage("sync-payments", "--dry-run")

    assert logged(home) == before


def test_the_log_holds_no_body_no_file_and_no_address(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage(*COPY)

    with closing(sqlite3.connect(home / HOME)) as db:
        rows = json.dumps(db.execute("SELECT * FROM event").fetchall())
    (contact,) = [
        row for row in services.sage.contacts.values() if str(row["source_guid"]).endswith("-507")
    ]
    (attached,) = services.sage.attachments.values()
    secrets = [
        line["description"] for copy in copies(services, "123") for line in copy["invoice_lines"]
    ]
    assert "Juniper" in rows
    assert len(secrets) == 3
    for word in (*secrets, contact["main_address"]["address_line_1"], "%PDF"):
        assert json.dumps(word)[1:-1] not in rows
    assert len(attached["file"]) > 100
    assert max(map(len, rows.split('"'))) < 400


# --- what comes back is not always good news


def outcomes() -> Iterator[Any]:
    body = [{"$message": "The date is in a closed period", "$source": "date"}]
    yield pytest.param(httpx.Response(201, json={"id": "A1"}), "done", "A1", id="done")
    yield pytest.param(httpx.Response(422, json=body), "refused", "closed period", id="refused")
    yield pytest.param(httpx.Response(401, json={}), "not_done", "no longer valid", id="401")
    headers = {"Retry-After": "999"}
    yield pytest.param(httpx.Response(429, headers=headers), "not_done", "pause", id="429")
    yield pytest.param(httpx.ConnectError("refused"), "not_done", "reached", id="not connected")
    yield pytest.param(httpx.ReadError("reset"), "unknown", "broke off", id="reply lost")
    yield pytest.param(httpx.Response(502), "unknown", "502", id="bad gateway")
    yield pytest.param(httpx.Response(200, text="<html>"), "unknown", "JSON", id="a page")
    yield pytest.param(httpx.Response(200, json={"odd": 1}), "unknown", "no id", id="no id")
    yield pytest.param(httpx.Response(200, json=[1]), "unknown", "no id", id="a list")
    yield pytest.param(KeyboardInterrupt(), "unknown", "interrupted", id="Ctrl-C")


@pytest.mark.parametrize(("answer", "result", "words"), list(outcomes()))
def test_every_outcome_is_told_with_the_services_words_and_the_request_id(
    tmp_path: Path, answer: httpx.Response | BaseException, result: str, words: str
) -> None:
    def wire(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, BaseException):
            raise answer
        answer.headers["X-Request-Id"] = "r-1"
        # A response can be read once, and this one was when it was made.
        return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)

    with (
        Store(tmp_path / HOME) as store,
        httpx.Client(transport=httpx.MockTransport(wire)) as client,
    ):
        http = Http(
            Pool(client, Timing(sleep=lambda seconds: None)),
            "https://sage.test",
            refused=RefusedBySage,
            explain=words_of,
        )
        about = store.events.recorder(About("123"))
        if result != "done" and words != "no id":
            with pytest.raises((PsageError, KeyboardInterrupt)):
                http.write("POST", "/contacts", {"contact": {"name": "A"}}, about)
        else:
            http.write("POST", "/contacts", {"contact": {"name": "A"}}, about)
        store.events.flush()

        (event,) = store.events.all()
        assert store.events.under_way() == []
        assert event.result == result
        assert words in json.dumps(event.answer)
        assert event.path == ("/contacts/A1" if result == "done" else "/contacts")
        assert event.request_id == ("r-1" if isinstance(answer, httpx.Response) else "")


def test_a_lost_reply_is_unknown_and_what_was_found_is_told_after_it(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.fault("cut_after", method="POST", path="/sales_invoices")

    assert psage(*COPY, "--no-pdf").code == 0

    (copy,) = copies(services, "123")
    sent, recovered = logged(home)[1:3]
    assert (sent.what, sent.result) == ("POST /sales_invoices", "unknown")
    assert (recovered.what, recovered.result) == ("settle", "done")
    assert recovered.path == f"/sales_invoices/{copy['id']}"
    assert recovered.answer == {"id": copy["id"], "number": "SI-1"}
    assert recovered.figures == sent.figures
    assert recovered.key == sent.key
    assert (recovered.document, recovered.number) == ("123", "INV-2026-023")


def test_a_write_sent_twice_with_one_key_is_told_twice_and_needs_no_recovery(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.fault("cut_before", method="POST", path="/sales_invoices")

    assert psage(*COPY, "--no-pdf").code == 0

    results = [(e.what, e.result) for e in logged(home) if e.document == "123"]
    assert results == [
        ("POST /sales_invoices", "unknown"),
        ("POST /sales_invoices", "done"),
        ("PATCH /invoices/123", "done"),
    ]


def test_a_refusal_is_told_once_in_sages_words(services: Sandbox, psage: Psage, home: Path) -> None:
    body = [{"$message": "That period is closed", "$source": "date"}]
    services.fault("status", method="POST", path="/sales_invoices", status=422, body=body)

    assert psage(*COPY).code == 4

    assert told(home) == [
        ("POST /contacts", "", "done"),
        ("POST /sales_invoices", "123", "refused"),
    ]
    assert "That period is closed [date]" in logged(home)[1].answer["words"]


def test_a_payment_whose_reply_is_lost_is_recovered_in_the_log_by_the_next_run(
    synced: Sandbox, psage: Psage, home: Path
) -> None:
    before = len(logged(home))
    synced.fault("cut_after", service="productive", method="POST", path="/payments")
    assert psage("sync-payments").code == 8

    assert psage("sync-payments").code == 0

    (payment,) = synced.productive.payments
    sent, recovered = logged(home)[before:]
    assert (sent.what, sent.result) == ("POST /payments", "unknown")
    assert (recovered.what, recovered.result) == ("settle", "done")
    assert recovered.path == f"/payments/{payment}"
    assert recovered.figures["amount"] == "120.50"
    assert recovered.document == "123"


def test_a_payment_that_never_arrived_is_told_to_have_lapsed(
    synced: Sandbox, psage: Psage, home: Path
) -> None:
    before = len(logged(home))
    synced.fault("cut_before", service="productive", method="POST", path="/payments")
    assert psage("sync-payments").code == 8
    synced.advance(600)  # it can arrive no more

    assert psage("sync-payments").code == 0

    assert told(home)[before:] == [
        ("POST /payments", "123", "unknown"),
        ("settle", "123", "lapsed"),
        ("POST /payments", "123", "done"),
    ]


# --- psage is taken away


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "request_", ["POST /contacts", "POST /sales_invoices", "PATCH /invoices", "POST /attachments"]
)
def test_every_write_of_a_killed_copy_is_in_the_log_after_the_next_run(
    fresh: Sandbox, psage: Psage, home: Path, request_: str, when: str
) -> None:
    method, path = request_.split()
    with (
        Hold(fresh, method=method, path=path, when=when) as hold,
        started(*COPY) as process,
    ):
        hold.reached(process)
        assert kill(process).code == -signal.SIGKILL
        hold.lose()
    warned = psage("history")

    assert psage(*COPY).code == 0

    assert f"`{method} {path}" in warned.err
    assert psage("history", "--verify").code == 0
    (unknown,) = [event for event in logged(home) if event.result == "unknown"]
    sent = [event for event in logged(home) if event.what != "settle"]
    arrived = [event.what for event in sent if when == "after" or event != unknown]
    assert arrived == writes(fresh)
    assert unknown.what.startswith(request_)
    assert "stopped" in unknown.answer["words"]
    has_intent = request_ in ("POST /contacts", "POST /sales_invoices")
    recovered = [event for event in logged(home) if event.what == "settle"]
    assert len(recovered) == (1 if has_intent and when == "after" else 0)
    if recovered:
        assert recovered[0].key == unknown.key


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_removal_in_which_psage_was_killed_is_in_the_log_though_nothing_is_left_to_do(
    fresh: Sandbox, psage: Psage, home: Path, when: str
) -> None:
    psage(*COPY, "--no-pdf")
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    fresh.bookkeeper.pay(copies(fresh, "123")[0]["id"], "120.50", PAID_ON)
    psage("sync-payments")
    fresh.bookkeeper.delete_receipt(receipt(fresh))
    before = len(logged(home))
    with Hold(fresh, method="DELETE", when=when) as hold, started("sync-payments") as process:
        hold.reached(process)
        kill(process)
        hold.lose()

    assert psage("sync-payments").code == 0

    assert fresh.productive.payments == {}
    removed = logged(home)[before:]
    assert [event.result for event in removed] == ["unknown", "done"][: 2 - (when == "after")]
    assert {event.figures["amount"] for event in removed} == {"120.50"}
    assert {event.document for event in removed} == {"123"}


class Stopped(BaseException):
    """The process is gone."""


def test_a_run_that_ends_between_the_answer_and_its_record_leaves_no_gap(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    append = Events.append

    def stop(log: Events, event: Event) -> int:
        if (event.what, event.result) == ("POST /sales_invoices", "done"):
            raise Stopped
        return append(log, event)

    with pytest.MonkeyPatch.context() as day:
        day.setattr(Events, "append", stop)
        with pytest.raises(Stopped):
            psage(*COPY, "--no-pdf")

    assert psage(*COPY, "--no-pdf").code == 0

    (copy,) = copies(services, "123")
    assert told(home) == [
        ("POST /contacts", "", "done"),
        ("POST /sales_invoices", "123", "unknown"),
        ("settle", "123", "done"),
        ("PATCH /invoices/123", "123", "done"),
    ]
    assert logged(home)[2].answer["id"] == copy["id"]
    assert psage("history", "--verify").code == 0


def test_every_write_that_was_never_answered_is_kept_for_the_next_run(tmp_path: Path) -> None:
    with Store(tmp_path / HOME, by=("ann", "copy-invoice")) as store:
        for n in (1, 2):
            store.events.announce(about_to_be(an_event(n)))
    with Store(tmp_path / HOME, by=("eve", "credit-note")) as store:
        assert store.events.all() == []
        assert [event.document for event in store.events.under_way()] == ["101", "102"]

        store.events.record_interrupted()

        events = store.events.all()
        assert store.events.under_way() == []
        assert store.events.check()[0] == 4
    assert [(event.document, event.result) for event in events] == [
        ("101", "unknown"),
        ("102", "unknown"),
    ]
    assert [event.sent for event in events] == [1, 2]
    assert {(event.who, event.command) for event in events} == {("ann", "copy-invoice")}


# --- with what is recorded anyway


def test_a_write_that_cannot_be_begun_is_not_told_to_be_sent(tmp_path: Path) -> None:
    with Store(tmp_path / HOME) as store:
        for _ in range(2):
            with suppress(OutcomeUnknown):
                store.intents.begin("invoice", "123", "b", payload={}, facts=CopyFacts(copy=1))

        (sent,) = store.events.under_way()

    assert (sent.what, sent.document) == ("POST /sales_invoices", "123")


def test_an_answer_whose_transaction_fails_goes_with_the_next(
    services: Sandbox, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contact's is the first: it is in the log, though psage has no record of the contact."""
    monkeypatch.setattr(CustomerRecords, "remember", full)

    assert psage(*COPY).code == 8

    (contact,) = logged(home)
    assert (contact.what, contact.result) == ("POST /contacts", "done")
    assert contact.answer["contact"] == "Juniper Street Coffee Ltd"
    with Store(home / HOME) as store:
        assert store.intents.count_open() == 1
        assert store.events.under_way() == []


def test_each_of_two_writes_at_once_keeps_its_own_document_and_request_id(tmp_path: Path) -> None:
    """The second is sent and answered while the first waits for a reply that never comes."""

    def wire(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            http.write("DELETE", "/attachments/2", None, store.events.recorder(About("2", "INV-2")))
            raise httpx.ReadError("gone")
        return httpx.Response(
            200, stream=httpx.ByteStream(b"{}"), headers={"X-Request-Id": "second"}
        )

    with (
        Store(tmp_path / HOME) as store,
        httpx.Client(transport=httpx.MockTransport(wire)) as client,
    ):
        pool = Pool(client, Timing())
        http = Http(pool, "https://sage.test", refused=RefusedBySage, explain=words_of)

        with pytest.raises(OutcomeUnknown):
            http.write(
                "PUT", "/sales_invoices/1", {"a": {}}, store.events.recorder(About("1", "INV-1"))
            )

    with Store(tmp_path / HOME) as store:
        told_of = [
            (event.what, event.document, event.number, event.result, event.request_id, event.sent)
            for event in store.events.all()
        ]
    assert told_of == [
        ("DELETE /attachments/2", "2", "INV-2", "done", "second", 2),
        ("PUT /sales_invoices/1", "1", "INV-1", "unknown", "", 1),
    ]


def test_nothing_can_be_written_without_saying_what_it_is_about() -> None:
    modules = [
        importlib.import_module(f"{room.__name__}.{one.name}")
        for room in (sage, productive)
        for one in pkgutil.iter_modules(room.__path__)
    ]
    writers = {
        f"{client.__name__}.{name}": inspect.signature(method).parameters["record"]
        for module in modules
        for _, client in inspect.getmembers(module, inspect.isclass)
        if client.__module__ == module.__name__
        for name, method in inspect.getmembers(client, inspect.isfunction)
        if "record" in inspect.signature(method).parameters
    }
    writers["Http.write"] = inspect.signature(Http.write).parameters["record"]

    assert {one.default for one in writers.values()} == {inspect.Parameter.empty}
    assert set(writers) == {
        *("Http.write", "Calls.delete", "Calls.written"),
        *("Contacts.create", "Documents.create", "Documents.update", "Documents.release"),
        *("Receipts.allocate", "Receipts.delete_allocation", "Pdfs.attach", "Pdfs.detach"),
        *("Invoices.change", "Pdfs.upload"),
        *("Payments.create", "Payments.change", "Payments.delete"),
    }


# --- the log cannot be written


def full(*args: Any, **more: Any) -> None:
    raise Temporary(
        "the store cannot be written: disk is full", code="disk_full", hint="free some space"
    )


@pytest.mark.parametrize(
    ("owner", "step"),
    [(audit, "sent"), (audit, "answered"), (Events, "append")],
    ids=["sent", "answered", "append"],
)
def test_a_log_that_cannot_be_written_stops_nothing_and_is_said_once(
    services: Sandbox,
    psage: Psage,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    step: str,
) -> None:
    monkeypatch.setattr(owner, step, full)

    result = psage(*COPY, "--json")

    assert result.code == 0
    assert result.only["action"] == "created"
    assert result.err.count("warning:") == 1
    assert "the history is not complete: `POST /contacts` is not recorded" in result.err
    assert "disk is full" in result.err
    assert len(copies(services, "123")) == 1


def test_what_could_not_be_recorded_is_recorded_with_the_next_write(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    append, failures = Events.append, [1, 2]

    def twice_full(log: Events, event: Event) -> int:
        if failures:
            failures.pop()
            full()
        return append(log, event)

    with pytest.MonkeyPatch.context() as day:
        day.setattr(Events, "append", twice_full)
        result = psage(*COPY)

    assert result.err.count("warning: the history is not complete") == 1
    assert [event.what for event in logged(home) if event.what != "settle"] == writes(services)
    assert {event.result for event in logged(home)} == {"done"}
    assert psage("history", "--verify").code == 0


def test_a_defect_of_the_log_costs_no_copy(
    services: Sandbox, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(audit, "sent", broken)
    monkeypatch.setattr(audit, "answered", broken)
    monkeypatch.setattr(Intents, "_record_outcome", broken)

    result = psage(*COPY)

    assert result.code == 0
    assert result.err.count("a defect of psage") == 1
    assert len(copies(services, "123")) == 1


def test_a_log_table_that_is_gone_costs_no_copy_either(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    assert psage(*COPY).code == 0
    with closing(sqlite3.connect(home / HOME)) as db:
        db.execute("DROP TABLE event")

    result = psage("copy-invoice", "124", "--no-tax", "--json")

    assert (result.code, result.only["action"]) == (0, "created")
    assert "the history is not complete" in result.err
    again = psage("copy-invoice", "124", "--no-tax")
    assert again.code == 4
    assert len(copies(services, "124")) == 1


# --- the chain


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of five records."""
    path = tmp_path / HOME
    with Store(path, by=("ann", "copy-invoice")) as store:
        append(store, [an_event(n) for n in range(1, 6)])
    return path


def an_event(n: int) -> Event:
    return Event(
        service="sage",
        what="POST /sales_invoices",
        document=str(100 + n),
        number=f"INV-{n}",
        path=f"/sales_invoices/s{n}",
        key=f"k{n}",
        figures={"total": "10.00", "currency": "GBP"},
        result="done",
        answer={"id": f"s{n}", "number": f"SI-{n}"},
        request_id=f"r-{n}",
    )


def about_to_be(event: Event) -> Event:
    return replace(event, result="sent", answer={}, request_id="")


def tamper(path: Path, *statements: str) -> None:
    """Change the file behind psage's back, triggers and all."""
    with closing(sqlite3.connect(path)) as db:
        for name in ("event_is_not_changed", "event_is_not_removed"):
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)
        db.commit()


def broken(path: Path) -> tuple[int, str]:
    """The record that is named first, and what is said of it."""
    with Store(path) as store, pytest.raises(HistoryBroken) as caught:
        store.events.check()
    return caught.value.details["record"], caught.value.message


def test_a_log_that_nobody_touched_is_whole(log: Path) -> None:
    with Store(log) as store:
        assert store.events.check()[0] == 5
        first, second = store.events.all()[:2]

    assert first.previous == ""
    assert second.previous == first.hash
    assert len(first.hash) == 64


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    with Store(tmp_path / HOME) as store:
        assert store.events.check() == (0, "")


@pytest.mark.parametrize("number", [1, 3, 5])
@pytest.mark.parametrize("column", audit.COLUMNS)
def test_a_change_of_any_column_of_any_record_is_found(log: Path, column: str, number: int) -> None:
    value = "77" if column in ("id", "sent") else "'x' || substr(" + column + ", 2)"
    tamper(log, f"UPDATE event SET {column} = {value} WHERE id = {number}")

    record, said = broken(log)

    assert record == number
    assert f"record {number} of the history" in said
    assert ("is missing" if column == "id" else "was changed") in said


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_missing_record_is_named_the_first_one_and_the_last_one_too(
    log: Path, number: int
) -> None:
    tamper(log, f"DELETE FROM event WHERE id = {number}")

    record, said = broken(log)

    assert record == number
    assert f"record {number} of the history is missing" in said


def test_a_cut_off_end_is_named_with_all_that_is_gone(log: Path) -> None:
    tamper(log, "DELETE FROM event WHERE id > 2")

    record, said = broken(log)

    assert record == 3
    assert "all from there to 5" in said


def test_all_of_it_gone_is_found(log: Path) -> None:
    tamper(log, "DELETE FROM event")

    assert broken(log)[0] == 1


def test_a_gap_that_was_closed_by_new_numbers_is_found(log: Path) -> None:
    tamper(log, "DELETE FROM event WHERE id = 2", "UPDATE event SET id = id - 1 WHERE id > 2")

    assert broken(log)[0] == 2


def test_a_cut_off_end_stays_missed_after_new_records(log: Path) -> None:
    tamper(log, "DELETE FROM event WHERE id > 3")
    with Store(log) as store:
        append(store, [an_event(6)])
        assert [event.id for event in store.events.all()] == [1, 2, 3, 6]

    assert broken(log)[0] == 4


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_record_forged_with_a_hash_of_its_own_is_found(log: Path, number: int) -> None:
    with Store(log) as store:
        event = store.events.all()[number - 1]
    forged = audit.sealed(replace(event, figures={"total": "99.00"}), number, event.previous)
    text = forged["figures"].replace("'", "''")
    tamper(
        log,
        f"UPDATE event SET figures = '{text}', hash = '{forged['hash']}' WHERE id = {number}",
    )

    record, said = broken(log)

    assert record == number
    assert "was replaced" in said


def test_a_record_somebody_else_appended_is_found(log: Path) -> None:
    with Store(log) as store:
        columns = audit.sealed(an_event(6), 6, store.events.all()[-1].hash)
    names = ", ".join(columns)
    with closing(sqlite3.connect(log)) as db:
        places = ", ".join("?" * len(columns))
        db.execute(f"INSERT INTO event ({names}) VALUES ({places})", tuple(columns.values()))
        db.commit()

    record, said = broken(log)

    assert (record, "was not written by psage" in said) == (6, True)
    with Store(log) as store:
        append(store, [an_event(7)])
    assert broken(log)[0] == 6


@pytest.mark.parametrize("value", [None, "", "x", "5", "5 abc"])
def test_a_note_of_the_end_that_is_gone_or_odd_is_found(log: Path, value: str | None) -> None:
    tamper(
        log,
        "DELETE FROM mark WHERE name = 'history'"
        if value is None
        else f"UPDATE mark SET value = '{value}' WHERE name = 'history'",
    )

    assert broken(log)[0] == 5


def test_the_store_itself_refuses_to_change_or_remove_a_record(log: Path) -> None:
    with closing(sqlite3.connect(log)) as db:
        for statement in ("UPDATE event SET who = 'eve'", "DELETE FROM event WHERE id = 5"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)

    with Store(log) as store:
        assert store.events.check()[0] == 5


def test_a_store_of_an_older_psage_gets_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(database, "MIGRATIONS", database.MIGRATIONS[:3])
        with Store(tmp_path / HOME) as old:
            old.cursors.set({"payments until": "x"})

    with Store(tmp_path / HOME) as new:
        append(new, [an_event(1)])
        assert new.events.check()[0] == 1
        assert new.cursors.get("payments until") == "x"


# --- records of a psage that kept one of each write


@pytest.fixture
def older(home: Path) -> Path:
    """A file of the seventh version: three writes, and a fourth in which psage was killed."""
    home.mkdir()
    with closing(sqlite3.connect(home / HOME)) as db:
        db.executescript((Path(__file__).parent / "records-7.sql").read_text(encoding="utf-8"))
    return home / HOME


def test_older_records_are_shown_as_they_were_and_are_whole(older: Path, psage: Psage) -> None:
    with closing(sqlite3.connect(older)) as db:
        db.row_factory = sqlite3.Row
        before = [dict(row) for row in db.execute("SELECT * FROM event ORDER BY id")]

    looked, checked = psage("history", "--json"), psage("history", "--verify", "--json")
    with Store(older) as store:  # which brings the file up to date
        assert store.events.check() == (3, before[-1]["hash"])
    again, checked_again = psage("history", "--json"), psage("history", "--verify", "--json")

    assert [(one["what"], one["result"]) for one in before] == [
        ("POST /sales_invoices", "done"),
        ("PATCH /invoices/123", "done"),
        ("POST /sales_invoices", "refused"),
    ]
    texts = ("figures", "answer")
    told = [
        {name: json.dumps(one[name]) if name in texts else one[name] for name in before[0]}
        for one in shown(looked)
    ]
    assert told == before
    assert {one["sent"] for one in shown(looked)} == {None}
    assert looked.json["under_way"]["document"] == "125"
    assert checked.json["records"] == 3
    assert (again.json, checked_again.json) == (looked.json, checked.json)


def test_a_write_an_older_psage_was_killed_in_is_told_and_the_chain_goes_on(
    older: Path, psage: Psage
) -> None:
    with Store(older, by=("eve", "copy-invoice")) as store:
        store.events.record_interrupted()
        store.events.announce(about_to_be(an_event(7)))
        store.events.record_interrupted()
        *_, killed, last = store.events.all()
        assert store.events.under_way() == []
        assert store.events.check()[0] == 6

    assert (killed.document, killed.number, killed.result) == ("125", "INV-9", "unknown")
    assert (killed.who, killed.figures["net"], killed.sent) == ("ann", "60.00", None)
    assert (last.document, last.sent) == ("107", 5)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_change_of_an_older_record_is_found(older: Path, number: int) -> None:
    with Store(older):
        pass
    tamper(older, f"UPDATE event SET sent = 1 WHERE id = {number}")

    assert broken(older)[0] == number


# --- the command


@pytest.fixture
def recorded(home: Path, log: Path) -> Path:
    """The five records are those of the profile."""
    home.mkdir()
    for file in log.parent.glob(f"{HOME}*"):
        file.rename(home / file.name)
    return home / HOME


def test_verify_says_how_many_records_are_whole(recorded: Path, psage: Psage) -> None:
    people, script = psage("history", "--verify"), psage("history", "--verify", "--json")

    assert (people.code, script.code) == (0, 0)
    assert people.out.startswith("5 records, each as it was written; the hash of the last is ")
    assert script.json["records"] == 5
    assert script.json["last_hash"] in people.out
    assert psage("--quiet", "history", "--verify").out == ""


def test_verify_names_the_first_broken_record_and_ends_with_7(recorded: Path, psage: Psage) -> None:
    tamper(recorded, "UPDATE event SET who = 'eve' WHERE id IN (3, 4)")

    people, script = psage("history", "--verify"), psage("history", "--verify", "--json")

    assert (people.code, script.code) == (7, 7)
    assert "record 3 of the history was changed; those before it are whole" in people.err
    assert script.json["error"]["code"] == "history_broken"
    assert script.json["error"]["details"] == {"record": 3, "whole": 2}
    assert shown(psage("history", "--json"))[2]["who"] == "eve"


def test_a_log_somebody_filled_with_rubbish_is_still_shown(recorded: Path, psage: Psage) -> None:
    tamper(
        recorded,
        "UPDATE event SET figures = 'x', answer = '5', at = '9999', what = '' WHERE id = 2",
    )

    results = [psage("history"), psage("history", "--json"), psage("history", "--format", "csv")]

    assert [result.code for result in results] == [0, 0, 0]
    assert shown(results[1])[1]["figures"] == {"text": "x"}


@pytest.mark.parametrize("name", ["123", "INV-2026-023", "PRD-123", "SI-1", "the Sage id"])
def test_a_document_is_found_by_every_name_it_goes_by(
    services: Sandbox, psage: Psage, home: Path, name: str
) -> None:
    psage(*COPY, "--no-pdf")
    psage("copy-invoice", "124", "--no-tax", "--no-pdf")
    name = copies(services, "123")[0]["id"] if name == "the Sage id" else name

    found = shown(psage("history", "--document", name, "--json"))

    assert [event["what"] for event in found] == ["POST /sales_invoices", "PATCH /invoices/123"]
    assert {event["document"] for event in found} == {"123"}


def test_a_document_is_found_by_a_number_it_had_before(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage(*COPY, "--no-pdf")
    with Store(home / HOME) as store:
        store.copies.change(store.copies.of("123")[0], sage_number="SI-900")

    for name in ("SI-1", "SI-900"):
        assert len(shown(psage("history", "--document", name, "--json"))) == 2
    assert psage("history", "--document", "SI-%", "--json").json["error"]["code"] == "not_found"


def test_since_is_a_day_of_the_persons_own_calendar(
    recorded: Path, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = ["2026-03-01T04:59:59", "2026-03-01T05:00:00", "2026-03-01T23:00:00"]
    with Store(recorded) as store:
        append(store, [replace(an_event(9), at=f"{at}.000000+00:00") for at in moments])
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        found = [
            event["at"][:19]
            for event in shown(psage("history", "--since", "2026-03-01", "--json"))
            if event["id"] > 5
        ]
        table = psage("history", "--since", "2026-03-01").out
        all_of_it = shown(psage("history", "--since", "0001-01-01", "--json"))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert found == moments[1:]
    assert " 1 Mar 00:00 " in table.replace(" 2026", "")
    assert " 1 Mar 18:00 " in table.replace(" 2026", "")
    assert len(all_of_it) == 8


def test_json_comes_by_either_flag_and_carries_all_there_is(recorded: Path, psage: Psage) -> None:
    first, second = psage("history", "--json"), psage("history", "--format", "json")

    assert first.out == second.out
    assert first.json["command"] == "history"
    assert (first.json["ok"], first.json["exit_code"]) == (True, 0)
    assert set(shown(first)[0]) == set(audit.COLUMNS)
    assert shown(first)[0]["figures"] == {"total": "10.00", "currency": "GBP"}
    assert psage("history", "--format", "json", "--since", "x").json["error"]["code"] == "usage"


def test_a_write_under_way_is_said_and_shown(recorded: Path, psage: Psage) -> None:
    with Store(recorded, by=("ann", "copy-invoice")) as store:
        store.events.announce(about_to_be(an_event(6)))

    people, script = psage("history"), psage("history", "--json")

    assert "`POST /sales_invoices` is under way just now" in people.err
    assert script.json["under_way"]["document"] == "106"
    assert script.err == ""
    assert len(shown(script)) == 5


def test_history_needs_no_network_no_keyring_and_makes_no_file(
    home: Path, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("this must not be opened")

    monkeypatch.setattr(keyring, "get_password", forbidden)
    monkeypatch.setattr(socket.socket, "connect", forbidden)

    results = [psage("history"), psage("history", "--verify"), psage("history", "--json")]

    assert [result.code for result in results] == [0, 0, 0]
    assert results[0].err == "nothing is recorded\n"
    assert results[1].out == "0 records, each as it was written\n"
    assert shown(results[2]) == []
    assert list(home.glob("*.db*")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--json", "--format", "csv"),
        ("--verify", "--format", "csv"),
        ("--verify", "--document", "123"),
        ("--verify", "--since", "2026-01-01"),
        ("--format", "xml"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_refused(
    home: Path, psage: Psage, arguments: tuple[str, ...]
) -> None:
    assert psage("history", *arguments).code == 2


def test_the_table_fits_a_terminal_of_80_columns(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.fault("cut_after", method="POST", path="/contacts")
    psage(*COPY)
    child = pexpect.spawn(
        sys.executable,
        ["-m", "productive_sage", "-v", "history"],
        env={**os.environ, "NO_COLOR": "1", "TERM": "xterm"},
        encoding="utf-8",
        dimensions=(60, 80),
    )
    lines = re.sub(r"\x1b\[\d*m", "", child.read()).splitlines()
    child.close()

    assert child.exitstatus == 0
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["When", "By", "Document", "Sent", "Came", "back"]
    text = " ".join(" ".join(lines).split())
    for word in ("INV-2026-023", "2492.73 GBP", "copy-invoice", "SI-1", "marked as copied"):
        assert word in text


def test_people_read_one_line_for_each_write(services: Sandbox, psage: Psage) -> None:
    psage(*COPY)

    lines = [line.split(maxsplit=3)[3] for line in psage("history").out.splitlines()]

    words = [" ".join(line.split()) for line in lines]
    assert "INV-2026-023 SI-1 created 2,492.73 GBP" in words
    assert "INV-2026-023 marked as copied in Productive" in words
    assert "INV-2026-023 PDF attached in Sage" in words
    assert any(line.startswith("customer Juniper Street Coffee Ltd created") for line in words)
    assert "sandbox-" in psage("-v", "history").out
    assert "sandbox-" not in psage("history").out


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "SI-6 created"),
        ({"what": "PUT /sales_invoices/s6"}, "SI-6 changed"),
        ({"result": "refused", "answer": {"words": "no"}}, "✗ invoice refused by Sage: no"),
        ({"result": "not_done", "answer": {}}, "✗ invoice not created"),
        ({"result": "lapsed", "answer": {}}, "✗ invoice never arrived"),
        ({"result": "unknown", "answer": {}}, "! invoice sent, and never answered for"),
        ({"what": "settle", "key": "k"}, "SI-6 created, as was found out later"),
        ({"what": "settle", "key": ""}, "SI-6 changed, as was found out later"),
        ({"service": "productive", "what": "DELETE /payments/7"}, "payment removed in Productive"),
        ({"what": "POST /contact_allocations"}, "set against its invoice"),
        ({"what": "POST /something_else"}, "something else created"),
        ({"at": "2025-03-01T12:00:00+00:00"}, "2025"),
        ({"at": "nonsense"}, "nonsense"),
        ({"figures": {"total": "odd", "currency": "GBP"}}, "odd GBP"),
        ({"figures": {"total": "1234567.00", "currency": "GBP"}}, "1,234,567.00 GBP"),
    ],
)
def test_each_kind_of_write_reads_as_what_happened(
    capsys: pytest.CaptureFixture[str], changed: dict[str, Any], words: str
) -> None:
    event = replace(an_event(6), **{"at": "2026-03-01T12:00:00+00:00", **changed})

    happened.show([event], now=datetime(2026, 11, 27, tzinfo=UTC))

    assert words in " ".join(capsys.readouterr().out.split())


def test_only_the_newest_are_shown_to_people_and_that_is_said(recorded: Path, psage: Psage) -> None:
    with Store(recorded) as store:
        append(store, [an_event(n) for n in range(6, 303)])

    people = psage("history")

    assert people.out.count("SI-") == 200
    assert "SI-302" in people.out.splitlines()[-1]
    assert "these are the newest 200 records" in people.err
    assert len(shown(psage("history", "--json"))) == 302


@pytest.mark.bench
def test_a_few_of_10_000_records_are_shown_in_a_tenth_of_a_second(
    recorded: Path, psage: Psage
) -> None:
    with Store(recorded) as store:
        append(store, [an_event(n) for n in range(6, 10_001)])
    psage("history", "--document", "INV-77")

    took = []
    for _ in range(3):
        began = time.process_time()
        result = psage("history", "--document", "INV-77")
        took.append(time.process_time() - began)

    assert result.out.count("SI-77") == 1
    assert min(took) < 0.1


# --- CSV


def as_sheet(result: Result, delimiter: str = ",") -> list[list[str]]:
    return [*csv.reader(io.StringIO(result.out.removeprefix("\ufeff")), delimiter=delimiter)]


def test_csv_has_a_head_and_amounts_that_are_numbers(
    synced: Sandbox, psage: Psage, home: Path
) -> None:
    psage("sync-payments")

    result = psage("history", "--format", "csv")

    head, *rows = as_sheet(result)
    assert result.out.startswith("\ufeffid,at_utc,who,")  # by which Excel knows UTF-8
    assert head == list(history.SHEET)
    assert {len(row) for row in rows} == {len(head)}
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert found[1]["net"] == "2077.27"
    assert found[1]["answer_total"] == "2492.73"
    assert found[1]["lines"] == "3"
    assert found[-1]["amount"] == "120.50"
    assert "paid_on: 2026-03-04" in found[-1]["other_figures"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found[0]["at_utc"])


def test_csv_computes_nothing_and_keeps_negative_amounts(recorded: Path, psage: Psage) -> None:
    with Store(recorded, by=("=cmd()", "@x")) as store:
        append(
            store,
            [
                replace(
                    an_event(6),
                    number="-1+1",
                    document="\t=1",
                    figures={"amount": "-5.00", "net": "-x", "tax_rate": "＝1", "z": "=1;=2"},
                    answer={"words": " +1", "contact": 'A;"=1+1"', "number": "Blåbær"},
                )
            ],
        )

    head, *_, last = as_sheet(psage("history", "--format", "csv"))

    row = dict(zip(head, last, strict=True))
    assert row["amount"] == "-5.00"
    assert row["who"] == "'=cmd()"
    assert row["command"] == "'@x"
    assert row["number"] == "'-1+1"
    assert row["document"] == "'\t'=1"
    assert row["net"] == "'-x"
    assert row["tax_rate"] == "'＝1"
    assert row["other_figures"] == "z: =1;'=2"
    assert row["answer_words"] == "' +1"
    assert row["answer_contact"] == 'A;\'"=1+1"'
    assert row["answer_number"] == "Blåbær"


@given(text=st.text(alphabet="=+-@;,\t\r\n\"' a1＝", max_size=8), delimiter=st.sampled_from(",;\t"))
def test_no_cell_begins_like_a_formula_however_the_file_is_parted(
    text: str, delimiter: str
) -> None:
    sheet = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", sheet)
        tables.sheet(["a", "b"], [[text, "x"], ["x", text]])

    cells = [
        cell
        for row in csv.reader(sheet.getvalue().splitlines(True), delimiter=delimiter)
        for cell in row
    ]

    assert [c for c in cells if c.strip(' "\ufeff').startswith(("=", "+", "-", "@", "＝"))] == []


def test_an_empty_document_is_not_all_of_them(services: Sandbox, psage: Psage) -> None:
    assert psage("history", "--document", "").code == 2
