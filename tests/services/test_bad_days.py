"""Bad days: the network, the services, the disk and the files fail, each in its own way.

Each time the person hears what happened and what to do next, nothing is lost, and the next good run
leaves every invoice in Sage exactly once.
"""

import errno
import json
import os
import re
import resource
import socket
import sqlite3
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from productive_sage.http import pool
from productive_sage.http.timing import Timing
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, Result, copies, writes
from tests.harness import days
from tests.harness.days import after_the_first_copy, edit_a_line

psage = days.psage


COPY = ("copy-invoice", "123", "--tax-rate", "GB_STANDARD", "--no-pdf")
COPY_WITH_PDF = COPY[:-1]
BATCH = ("copy-invoice", "123", "124", "125", "--tax-rate", "GB_STANDARD", "--no-pdf")
CUSTOMER = "Juniper Street Coffee Ltd"  # of 123, 124 and 125; not in Sage at the start


@pytest.fixture(params=[(), ("--json",)], ids=["for people", "for scripts"])
def run(request: pytest.FixtureRequest, psage: Psage) -> Psage:
    """Run a command in one of its two forms."""
    form: tuple[str, ...] = request.param
    return lambda *args: psage(*args, *form)


def told(result: Result) -> dict[str, Any]:
    """The one failure a command tells of, from whichever form it took."""
    assert "Traceback" not in result.out + result.err
    if result.out.lstrip().startswith("{"):
        document = result.json
        assert document["exit_code"] == result.code
        assert document["ok"] is False
        assert result.err == ""
        places = [document, *document.get("results", [])]
        errors = [place["error"] for place in places if place.get("error")]
        assert errors
        assert all(error == errors[0] for error in errors)
        return dict(errors[0])
    assert result.err.count("error: ") == 1
    message, _, hint = result.err.partition("error: ")[2].partition("\n\nhint: ")
    return {"message": message, "hint": hint.strip()}


def assert_told(result: Result, exit_code: int, code: str, *words: str) -> None:
    """Check exit code, error code and that message and hint say these words."""
    error = told(result)
    assert result.code == exit_code
    assert error.get("code", code) == code
    assert error["hint"]
    for word in words:
        assert word in f"{error['message']} {error['hint']}"


def assert_good_again(psage: Psage, sandbox: Sandbox, *command: str) -> Result:
    """Run once more on a good day: done, and each invoice is in Sage once."""
    result = psage(*(command or COPY), "--json")
    assert result.code == 0, result.out
    for productive_id in (part for part in command or COPY if part.isdecimal()):
        assert len(copies(sandbox, productive_id)) == 1
    assert len(customers(sandbox)) == 1
    return result


def customers(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [row for row in sandbox.sage.contacts.values() if row["name"] == CUSTOMER]


def posts(sandbox: Sandbox, path: str) -> list[int]:
    """The status of each POST to a path of Sage."""
    return [call.status for call in sandbox.calls("sage", "POST") if call.path == path]


def renewals(sandbox: Sandbox) -> int:
    return len(sandbox.calls("auth", "POST", "/token"))


# --- no network


@pytest.fixture(params=["PSAGE_SAGE_API_URL", "PSAGE_PRODUCTIVE_API_URL"], ids=["sage", "prod"])
def address(request: pytest.FixtureRequest) -> str:
    """The variable that holds a service's address."""
    return str(request.param)


def service_at(address: str) -> str:
    return "Sage" if "SAGE_API" in address.removeprefix("PSAGE") else "Productive"


@pytest.fixture
def dead_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_service_nobody_listens_for_is_a_network_failure(
    services: Sandbox,
    run: Psage,
    psage: Psage,
    address: str,
    dead_port: int,
    waits: list[float],
) -> None:
    with pytest.MonkeyPatch.context() as day:
        day.setenv(address, f"http://127.0.0.1:{dead_port}/v9")
        result = run(*COPY)

    assert_told(result, 5, "network", f"{service_at(address)} cannot be reached", "refused")
    assert len(waits) == 4
    assert writes(services) == []
    assert_good_again(psage, services)


def test_a_host_nobody_knows_is_a_network_failure(
    services: Sandbox, run: Psage, psage: Psage, address: str
) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.MonkeyPatch.context() as day:
        day.setenv(address, "https://nowhere.invalid/v9")
        day.setattr(socket, "getaddrinfo", unknown)
        result = run(*COPY)

    assert_told(result, 5, "network", "cannot be reached", "Name or service not known")
    assert writes(services) == []
    assert_good_again(psage, services)


def test_a_host_that_does_not_speak_tls_is_told_at_once(
    services: Sandbox, run: Psage, psage: Psage, address: str, waits: list[float]
) -> None:
    with pytest.MonkeyPatch.context() as day:
        day.setenv(address, os.environ[address].replace("http://", "https://"))
        result = run(*COPY)

    assert_told(result, 5, "network", f"{service_at(address)} cannot be reached", "SSL")
    assert waits == []
    assert writes(services) == []
    assert_good_again(psage, services)


def test_a_certificate_nobody_vouches_for_is_told_at_once(
    services: Sandbox, run: Psage, psage: Psage, address: str, tmp_path: Path, waits: list[float]
) -> None:
    with self_signed(tmp_path) as port, pytest.MonkeyPatch.context() as day:
        day.setenv(address, f"https://127.0.0.1:{port}/v9")
        result = run(*COPY)

    assert_told(result, 5, "network", "cannot be reached", "certificate verify failed")
    assert waits == []
    assert writes(services) == []
    assert_good_again(psage, services)


def test_a_dead_sign_in_address_uses_up_no_token(
    services: Sandbox, run: Psage, psage: Psage, dead_port: int
) -> None:
    services.sign_in.expire_access_tokens()

    with pytest.MonkeyPatch.context() as day:
        day.setenv("PSAGE_SAGE_TOKEN_URL", f"http://127.0.0.1:{dead_port}/token")
        result = run(*COPY)

    assert_told(result, 5, "network", "Sage cannot be reached")
    assert_good_again(psage, services)


def test_a_proxy_for_the_outside_does_not_stand_before_this_machine(
    services: Sandbox, psage: Psage, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{dead_port}")

    assert_good_again(psage, services)


# --- too slow


@pytest.fixture
def impatient(handed_in: dict[str, Any]) -> None:
    """No answer is waited for longer than a tenth of a second."""
    handed_in["timing"] = replace(handed_in["timing"], answer_s=0.1)


def test_a_slow_read_is_tried_again(services: Sandbox, psage: Psage, impatient: None) -> None:
    services.fault("slow", method="GET", path="/contacts", seconds=0.2)

    assert_good_again(psage, services)
    eventually(lambda: len(services.calls("sage", "GET", "/contacts")) == 2)


def test_a_service_that_is_too_slow_for_every_read_is_unavailable(
    services: Sandbox, run: Psage, psage: Psage, impatient: None
) -> None:
    services.fault("slow", method="GET", path="/contacts", seconds=0.2, times=5)

    result = run(*COPY)

    assert_told(result, 5, "service_unavailable", "Sage", "timed out")
    assert writes(services) == []
    assert_good_again(psage, services)


def test_a_write_that_takes_too_long_is_recovered_by_the_next_run(
    services: Sandbox, run: Psage, psage: Psage, impatient: None
) -> None:
    services.fault("slow", method="POST", path="/sales_invoices", seconds=0.4)

    result = run(*COPY)

    assert_told(result, 8, "outcome_unknown", "may have been done or not", "nothing will be sent t")
    eventually(lambda: len(copies(services, "123")) == 1)
    assert_good_again(psage, services)


# --- spoiled reads

SPOILED_READS: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "502 with a page": {"kind": "status", "status": 502, "body": "<html>Bad gateway</html>"},
    "408": {"kind": "status", "status": 408},
    "a page for people": {"kind": "html"},
    "cut before": {"kind": "cut_before"},
    "cut after": {"kind": "cut_after"},
    "cut in the middle": {"kind": "cut_mid"},
    "half a document": {"kind": "truncated"},
}
READS = [
    ("productive", "/invoices"),
    ("productive", "/line_items"),
    ("sage", "/sales_invoices"),
    ("sage", "/contacts"),
    ("sage", "/financial_settings"),
]
spoiled_reads = pytest.mark.parametrize(
    "fault", list(SPOILED_READS.values()), ids=list(SPOILED_READS)
)


@spoiled_reads
@pytest.mark.parametrize(("service", "path"), READS, ids=[path for _, path in READS])
def test_one_spoiled_read_is_not_even_noticed(
    services: Sandbox, psage: Psage, service: str, path: str, fault: dict[str, Any]
) -> None:
    services.fault(service=service, method="GET", path=path, **fault)

    result = assert_good_again(psage, services)

    assert result.only["warnings"] == []
    assert [call.faulted for call in services.calls(service, "GET", path)][:2] == [True, False]


@spoiled_reads
@pytest.mark.parametrize(
    ("service", "path"), [("productive", "/invoices"), ("sage", "/contacts")], ids=["prod", "sage"]
)
def test_a_service_that_stays_spoiled_is_unavailable_and_nothing_is_done(
    services: Sandbox, psage: Psage, service: str, path: str, fault: dict[str, Any]
) -> None:
    services.fault(service=service, method="GET", path=path, times=5, **fault)

    result = psage(*COPY)

    assert_told(result, 5, "service_unavailable", service.title(), "try again in a few minutes")
    assert "<html" not in result.out + result.err
    assert len(services.calls(service, "GET", path)) == 5
    assert writes(services) == []
    assert_good_again(psage, services)


@pytest.mark.parametrize("rows", [199, 49])
def test_a_list_too_heavy_for_sage_is_read_in_smaller_pages(
    services: Sandbox, psage: Psage, rows: int
) -> None:
    services.heavy_rows = rows

    result = assert_good_again(psage, services)

    assert result.only["warnings"] == []
    asked = [call.query["items_per_page"] for call in services.calls("sage", "GET", "/contacts")]
    assert asked[:5] == [["200"]] * 2 + ([["50"]] if rows == 199 else [["50"], ["50"], ["20"]])


def test_a_list_too_heavy_in_every_size_is_unavailable(services: Sandbox, psage: Psage) -> None:
    services.heavy_rows = 1

    assert_told(psage(*COPY), 5, "service_unavailable", "An unexpected error has occurred")

    assert writes(services) == []


@pytest.mark.parametrize("by_number", [True, False], ids=["by number", "by cursor"])
def test_a_list_of_productive_is_read_to_its_end(
    services: Sandbox, psage: Psage, *, by_number: bool
) -> None:
    services.pages_by_number = by_number
    for _ in range(250):
        services.agency.add_line(123, description="Hours", quantity="1", unit_price="1.00")

    result = psage(*COPY, "--dry-run", "--json")

    before = Decimal(services.productive.invoices["123"]["amount"]) / 100
    assert Decimal(result.only["net"]) == before
    assert len(services.calls("productive", "GET", "/line_items")) == 2


# Valid JSON, but not what the service's API sends: a gateway's own words, most of the time.
@pytest.mark.parametrize(
    "body", [{}, [], {"data": None, "$items": None}], ids=["object", "list", "nothing"]
)
@pytest.mark.parametrize(
    ("service", "path"),
    [("productive", "/invoices"), ("productive", "/line_items"), *READS[2:]],
    ids=["invoices", "line_items", *[path for _, path in READS[2:]]],
)
def test_json_of_somebody_else_is_a_service_that_is_unavailable(
    services: Sandbox, psage: Psage, service: str, path: str, body: object
) -> None:
    services.fault(
        "status", service=service, method="GET", path=path, status=200, body=body, times=5
    )

    result = psage(*COPY)

    assert_told(result, 5, "service_unavailable", service.title())
    assert writes(services) == []
    services._desk.clear()  # only the faults and the calls
    assert_good_again(psage, services)


@pytest.mark.parametrize("service", ["productive", "sage"])
def test_an_address_that_is_not_the_api_is_a_refusal(
    services: Sandbox, run: Psage, service: str
) -> None:
    path = {"productive": "/invoices", "sage": "/contacts"}[service]
    services.fault("status", service=service, method="GET", path=path, status=404)

    result = run(*COPY)

    assert_told(result, 4, f"refused_by_{service}", service.title(), f"GET {path}", "404")
    assert writes(services) == []


# --- spoiled writes

WORK_NOT_DONE: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "408": {"kind": "status", "status": 408},
    "a page for people": {"kind": "html"},
    "cut before": {"kind": "cut_before"},
}
WORK_DONE: dict[str, dict[str, Any]] = {
    "500": {"kind": "status_after", "status": 500},
    "a page for people": {"kind": "html_after"},
    "cut after": {"kind": "cut_after"},
    "cut in the middle": {"kind": "cut_mid"},
    "half a document": {"kind": "truncated"},
}
work_not_done = pytest.mark.parametrize(
    "fault", list(WORK_NOT_DONE.values()), ids=list(WORK_NOT_DONE)
)
work_done = pytest.mark.parametrize("fault", list(WORK_DONE.values()), ids=list(WORK_DONE))
POSTS = ["/contacts", "/sales_invoices"]


@pytest.mark.parametrize("path", POSTS)
@work_not_done
def test_a_write_that_was_not_done_is_looked_for_and_sent_once_more(
    services: Sandbox, psage: Psage, path: str, fault: dict[str, Any]
) -> None:
    services.fault(method="POST", path=path, **fault)

    assert_good_again(psage, services)
    first, second = [c for c in services.calls("sage", "POST") if c.path == path]
    assert first.body == second.body


@pytest.mark.parametrize("forgetful", [False, True], ids=["key known", "key forgotten"])
@pytest.mark.parametrize("path", POSTS)
@work_done
def test_a_write_whose_answer_is_lost_is_found_and_not_sent_again(
    services: Sandbox, psage: Psage, path: str, fault: dict[str, Any], forgetful: bool
) -> None:
    services.remember_idempotency = not forgetful
    services.fault(method="POST", path=path, **fault)

    result = assert_good_again(psage, services)

    assert result.only["action"] == "created"
    assert len(posts(services, path)) == 1


@pytest.mark.parametrize("path", POSTS)
@work_done
def test_a_write_that_sage_does_not_show_yet_is_guarded_by_its_key(
    services: Sandbox, psage: Psage, path: str, fault: dict[str, Any]
) -> None:
    services.search_lag_s = 60
    services.fault(method="POST", path=path, **fault)

    assert_good_again(psage, services)


@pytest.mark.parametrize("path", POSTS)
@work_not_done
def test_a_write_that_fails_twice_is_unknown_and_recovered_by_the_next_psage(
    services: Sandbox, psage: Psage, path: str, fault: dict[str, Any]
) -> None:
    services.fault(method="POST", path=path, times=2, **fault)

    result = psage(*COPY)

    assert_told(result, 8, "outcome_unknown", "may have been done or not", "run the command again")
    assert len(posts(services, path)) == 2
    assert copies(services, "123") == []
    assert_good_again(psage, services)


@pytest.mark.parametrize("forgetful", [False, True], ids=["key known", "key forgotten"])
@work_done
def test_a_write_that_cannot_be_looked_for_is_unknown_and_adopted_by_the_next_psage(
    services: Sandbox, psage: Psage, fault: dict[str, Any], forgetful: bool
) -> None:
    services.remember_idempotency = not forgetful
    services.fault(method="POST", path="/sales_invoices", **fault)
    # The first search is for copies made elsewhere.
    services.fault("status", method="GET", path="/sales_invoices", status=503, nth=2, times=5)

    result = psage(*COPY)

    assert_told(result, 8, "outcome_unknown", "run the command again")
    assert len(posts(services, "/sales_invoices")) == 1
    assert_good_again(psage, services)
    assert len(posts(services, "/sales_invoices")) == 1


def test_an_unknown_copy_keeps_its_key_for_as_long_as_sage_does_not_show_it(
    services: Sandbox, psage: Psage
) -> None:
    path = "/sales_invoices"
    services.search_lag_s = services.list_lag_s = 3600
    services.fault("cut_after", method="POST", path=path, times=2)

    first = psage(*COPY)

    assert_told(first, 8, "outcome_unknown")
    assert_good_again(psage, services)
    keys = {json_key(call.body) for call in services.calls("sage", "POST") if call.path == path}
    assert len(keys) == 1


@work_done
def test_an_update_whose_answer_is_lost_is_sent_again_and_changes_nothing_more(
    services: Sandbox, psage: Psage, fault: dict[str, Any]
) -> None:
    psage(*COPY)
    edit_a_line(services)
    services.fault(method="PUT", path="/sales_invoices/", **fault)

    result = psage(*COPY, "--update-existing", "--json")

    assert (result.code, result.only["action"]) == (0, "updated")
    (copy,) = copies(services, "123")
    assert copy["net_amount"] * 100 == services.productive.invoices["123"]["amount"]
    assert len(copy["invoice_lines"]) == 3


# --- refusals


def test_a_role_that_may_not_write_is_told_with_the_way_out(
    services: Sandbox, run: Psage, psage: Psage
) -> None:
    row = {"$severity": "error", "$message": "You may not do this", "$source": ""}
    services.fault("status", method="POST", path="/sales_invoices", status=403, body=[row])

    result = run(*COPY)

    assert_told(result, 4, "rights_missing", "You may not do this", "403", "administrator")
    assert copies(services, "123") == []
    assert_good_again(psage, services)


def test_sages_umbrella_does_not_hide_what_is_wrong(
    services: Sandbox, run: Psage, psage: Psage
) -> None:
    umbrella = {"$severity": "error", "$message": "There were errors", "$source": ""}
    row = {
        "$severity": "error",
        "$message": "is not for sales",
        "$source": "sales_invoice.invoice_lines[0].ledger_account_id",
    }
    services.fault(
        "status",
        method="POST",
        path="/sales_invoices",
        status=422,
        body=[umbrella, row],
        headers={"X-Request-Id": "7f3c"},
    )

    result = run(*COPY)

    words = ["is not for sales", "invoice_lines[0].ledger_account_id", "7f3c", "--default-ledger"]
    assert_told(result, 4, "refused_by_sage", *words)
    assert copies(services, "123") == []
    assert_good_again(psage, services)


def test_what_was_refused_is_planned_afresh_by_the_next_run(
    services: Sandbox, psage: Psage
) -> None:
    services.fault("status", method="POST", path="/sales_invoices", status=422)
    refused = psage(*COPY)
    edit_a_line(services)

    assert_good_again(psage, services)
    assert refused.code == 4
    (copy,) = copies(services, "123")
    assert copy["net_amount"] * 100 == services.productive.invoices["123"]["amount"]


def test_a_write_to_an_address_that_is_gone_is_refused(
    services: Sandbox, run: Psage, psage: Psage
) -> None:
    services.fault("status", method="POST", path="/contacts", status=404)

    result = run(*COPY)

    assert_told(result, 4, "refused_by_sage", "POST /contacts", "404")
    assert customers(services) == []
    assert_good_again(psage, services)


def test_productives_refusal_to_read_is_told(services: Sandbox, run: Psage, psage: Psage) -> None:
    services.fault("status", service="productive", path="/invoices", status=403)

    result = run(*COPY)

    assert_told(result, 4, "refused_by_productive", "Productive", "GET /invoices", "403")
    assert_good_again(psage, services)


# --- sign-in


def test_a_token_of_productive_that_was_withdrawn_needs_a_new_one(
    services: Sandbox, run: Psage, psage: Psage
) -> None:
    services.fault("status", service="productive", path="/invoices", status=401)

    result = run(*COPY)

    assert_told(result, 3, "sign_in_expired", "Productive", "psage connect productive")
    assert len(services.calls("productive")) == 1
    assert writes(services) == []
    assert_good_again(psage, services)


def test_one_401_of_sage_is_answered_with_a_new_token(services: Sandbox, psage: Psage) -> None:
    services.fault("status", method="POST", path="/sales_invoices", status=401)

    assert_good_again(psage, services)
    assert renewals(services) == 1
    assert posts(services, "/sales_invoices") == [401, 201]


def test_a_renewed_sign_in_is_kept_for_the_next_run(services: Sandbox, psage: Psage) -> None:
    services.sign_in.expire_access_tokens()
    assert_good_again(psage, services)
    services.sign_in.expire_access_tokens()

    assert_good_again(psage, services, "copy-invoice", "124", "--no-tax")
    assert [call.status for call in services.calls("auth", "POST")] == [200, 200]


def test_sage_refusing_the_new_token_too_is_the_end_of_it(
    services: Sandbox, run: Psage, psage: Psage
) -> None:
    services.fault("status", method="POST", path="/sales_invoices", status=401, times=2)

    result = run(*COPY)

    assert_told(result, 3, "sign_in_expired", "Sage", "psage connect sage")
    assert renewals(services) == 1
    assert len(posts(services, "/sales_invoices")) == 2
    assert_good_again(psage, services)


def test_a_sign_in_revoked_in_the_middle_of_a_batch_ends_it(
    services: Sandbox, run: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_first_copy(services, monkeypatch, services.sign_in.clear)

    result = run(*BATCH)

    assert result.code == 6
    assert [len(copies(services, n)) for n in ("123", "124", "125")] == [1, 0, 0]
    assert renewals(services) == 1
    assert renewals_refused(services)
    refused = [call for call in services.calls("sage") if call.status == 401]
    # What the next document asked may have been under way when the first was refused.
    asked = {(call.method, call.path, str(call.query)) for call in refused}
    assert len(refused) == len(asked) <= 2
    assert_each_told(result, {"124", "125"}, "sign_in_expired", "psage connect sage")


def test_a_sign_in_revoked_before_the_batch_needs_a_new_one(services: Sandbox, run: Psage) -> None:
    services.sign_in.clear()

    result = run(*BATCH)

    assert result.code == 3
    assert_each_told(result, {"123", "124", "125"}, "sign_in_expired", "psage connect sage")
    assert renewals(services) == 1
    assert writes(services) == []


def test_a_token_that_expires_in_the_middle_of_a_batch_is_renewed(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_first_copy(services, monkeypatch, lambda: services.advance(400))

    result = assert_good_again(psage, services, *BATCH)

    assert result.json["summary"]["created"] == 3
    assert renewals(services) == 1


def test_a_renewal_whose_answer_is_lost_asks_for_a_new_sign_in(
    services: Sandbox, run: Psage
) -> None:
    services.sign_in.expire_access_tokens()
    services.fault("cut_after", service="auth", method="POST", path="/token")

    result = run(*COPY)

    assert_told(result, 3, "sign_in_expired", "renewal was lost", "psage connect sage")
    assert renewals(services) == 1
    assert writes(services, "sage") == []


def test_a_renewal_that_sage_cannot_do_now_is_done_later(
    services: Sandbox, run: Psage, psage: Psage
) -> None:
    services.sign_in.expire_access_tokens()
    services.fault("status", service="auth", method="POST", path="/token", status=503)

    result = run(*COPY)

    assert_told(result, 5, "service_unavailable", "Sage could not renew the sign-in", "503")
    assert renewals(services) == 1
    assert_good_again(psage, services)


def test_a_renewal_without_tokens_is_not_tried_for_every_invoice(
    services: Sandbox, run: Psage
) -> None:
    services.sign_in.expire_access_tokens()
    services.fault("status", service="auth", path="/token", status=200, body={"a": 1}, times=9)

    result = run(*BATCH)

    assert result.code == 3
    # The refresh token is good for one use, and this one may be used up.
    assert renewals(services) == 1
    assert writes(services) == []


# --- rate limits


@pytest.mark.parametrize(
    "call",
    [
        {"service": "sage", "method": "GET", "path": "/contacts"},
        {"service": "sage", "method": "POST", "path": "/contacts"},
        {"service": "sage", "method": "POST", "path": "/sales_invoices"},
        {"service": "productive", "method": "GET", "path": "/invoices"},
        {"service": "productive", "method": "PATCH", "path": "/invoices"},
    ],
    ids=lambda call: f"{call['service']} {call['method']} {call['path']}",
)
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [({"Retry-After": "7"}, 7.0), ({"X-RateLimit-Reset": "9"}, 9.0), ({}, 60.0)],
    ids=["Retry-After", "X-RateLimit-Reset", "no word"],
)
def test_a_pause_a_service_asks_for_is_kept_and_the_work_done(
    services: Sandbox,
    psage: Psage,
    waits: list[float],
    call: dict[str, Any],
    headers: dict[str, str],
    wait_s: float,
) -> None:
    services.fault("status", status=429, headers=headers, **call)

    result = assert_good_again(psage, services)

    assert waits == [wait_s]
    assert result.only["warnings"] == []


@pytest.mark.parametrize(
    ("service", "method", "path"),
    [("sage", "GET", "/contacts"), ("sage", "POST", "/sales_invoices"), ("productive", "GET", "/")],
    ids=["sage read", "sage write", "productive"],
)
def test_a_pause_too_long_for_this_run_is_left_to_the_next(
    services: Sandbox, run: Psage, psage: Psage, service: str, method: str, path: str
) -> None:
    headers = {"Retry-After": "3600"} if service == "sage" else {"X-RateLimit-Reset": "3600"}
    services.fault("status", service=service, method=method, path=path, status=429, headers=headers)

    result = run(*COPY)

    assert_told(result, 5, "rate_limited", service.title(), "3600 s", "run the command again later")
    assert copies(services, "123") == []
    assert_good_again(psage, services)


# --- several at once


def test_a_number_that_looks_like_markup_is_shown_as_it_is(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.agency.edit_invoice(123, number="INV[/]7")
    services.agency.edit_invoice(124, number="[bold]\\[/bold")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # for the progress

    result = psage("copy-invoice", "123", "124", "--no-pdf")

    assert result.code == 0, result.err
    assert "INV[/]7" in result.out
    assert "[bold]\\[/bold" in result.out


class Cable(httpx.BaseTransport):
    """The way to the services, until somebody pulls it out."""

    def __init__(self) -> None:
        self.is_out = False
        self._transport = httpx.HTTPTransport(verify=False)

    def pull(self) -> None:
        self.is_out = True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_out:
            raise httpx.ConnectError("[Errno 101] Network is unreachable")
        return self._transport.handle_request(request)

    def close(self) -> None:
        self._transport.close()


def test_one_refused_invoice_does_not_stop_the_others(
    services: Sandbox, run: Psage, psage: Psage
) -> None:
    row = {"$severity": "error", "$message": "is odd", "$source": "sales_invoice.date"}
    services.fault("status", method="POST", path="/sales_invoices", status=422, body=[row], nth=2)

    result = run(*BATCH)

    assert result.code == 6
    assert [len(copies(services, n)) for n in ("123", "124", "125")] == [1, 0, 1]
    assert_each_told(result, {"124"}, "refused_by_sage", "is odd [sales_invoice.date]")
    if result.out.startswith("{"):
        assert result.json["summary"] == {
            "created": 2,
            "updated": 0,
            "unchanged": 0,
            "refused": 1,
            "failed": 0,
        }
    assert_good_again(psage, services, "copy-invoice", "124", "--no-tax")


def test_one_unknown_outcome_does_not_stop_the_others(
    services: Sandbox, run: Psage, psage: Psage
) -> None:
    services.fault("cut_before", method="POST", path="/sales_invoices", nth=2, times=2)

    result = run(*BATCH)

    assert result.code == 8
    assert [len(copies(services, n)) for n in ("123", "124", "125")] == [1, 0, 1]
    assert_each_told(result, {"124"}, "outcome_unknown", "run the command again")
    assert_good_again(psage, services, "copy-invoice", "124", "--tax-rate", "GB_STANDARD")


def test_one_defect_does_not_stop_the_others(
    services: Sandbox, run: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from productive_sage.copying import drafts

    original = drafts.sales_document

    def stumble(invoice: Any, **how: Any) -> Any:
        if invoice.id == "124":
            raise ZeroDivisionError("nobody foresaw this")
        return original(invoice, **how)

    monkeypatch.setattr(drafts, "sales_document", stumble)

    result = run(*BATCH)

    assert result.code == 6
    assert [len(copies(services, n)) for n in ("123", "124", "125")] == [1, 0, 1]
    assert_each_told(result, {"124"}, "defect", "INV-2026-024", "log")
    assert "nobody foresaw this" in (home / "logs" / "psage.log").read_text()


@contextmanager
def on_cable(cable: Cable, timing: Timing) -> Iterator[pool.Pool]:
    """As `connect_pool`."""
    with httpx.Client(transport=cable) as client:
        yield pool.Pool(client, timing)


def test_a_network_that_dies_in_the_middle_of_a_batch_fails_the_rest_alike(
    services: Sandbox, run: Psage, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    cable = Cable()
    with pytest.MonkeyPatch.context() as day:
        day.setattr(pool, "connect_pool", partial(on_cable, cable))
        after_the_first_copy(services, day, cable.pull)
        result = run(*BATCH)

    assert result.code == 6
    assert [len(copies(services, n)) for n in ("123", "124", "125")] == [1, 0, 0]
    assert_each_told(result, {"124", "125"}, "network", "cannot be reached", "unreachable")
    assert_good_again(psage, services, "copy-invoice", "124", "125", "--no-tax")


def test_a_rate_limit_in_the_middle_of_a_batch_is_not_pressed_further(
    services: Sandbox, run: Psage, psage: Psage
) -> None:
    headers = {"Retry-After": "3600"}
    services.fault(
        "status", method="POST", path="/sales_invoices", status=429, headers=headers, nth=2
    )

    result = run(*BATCH)

    assert result.code == 6
    assert posts(services, "/sales_invoices") == [201, 429]
    assert_each_told(result, {"124", "125"}, "rate_limited", "3600 s")
    assert_good_again(psage, services, "copy-invoice", "124", "125", "--no-tax")


# --- what follows a copy


@work_not_done
def test_a_mark_that_fails_is_a_warning_and_made_by_the_next_run(
    services: Sandbox, run: Psage, psage: Psage, fault: dict[str, Any]
) -> None:
    services.fault(service="productive", method="PATCH", path="/invoices", **fault)

    result = run(*COPY)

    assert result.code == 0
    assert "could not be marked as copied" in result.out + result.err
    assert services.productive.invoices["123"]["exported"] is False
    assert_good_again(psage, services)
    assert services.productive.invoices["123"]["exported"] is True


@pytest.mark.parametrize("status", [403, 422])
def test_a_leftover_that_cannot_be_read_does_not_stop_todays_copies(
    services: Sandbox, psage: Psage, status: int
) -> None:
    services.fault("status", service="productive", method="PATCH", path="/invoices", status=503)
    psage(*COPY)
    (copy,) = copies(services, "123")
    path = f"/sales_invoices/{copy['id']}"
    services.fault("status", method="GET", path=path, status=status)

    psage("copy-invoice", "124", "--no-tax", "--no-pdf")

    assert len(copies(services, "124")) == 1


# What a gateway may answer in the place of Productive.
@pytest.mark.parametrize("body", [{"errors": None}, {"errors": "no"}, {"errors": ["no"]}, [], "no"])
@pytest.mark.parametrize("status", [200, 403, 422, 503])
def test_an_odd_answer_after_the_copy_does_not_make_the_copy_a_failure(
    services: Sandbox, psage: Psage, status: int, body: object
) -> None:
    services.fault(
        "status", service="productive", method="PATCH", path="/invoices", status=status, body=body
    )

    result = psage(*COPY, "--json")

    assert result.code == 0
    assert result.only["action"] == "created"
    assert len(copies(services, "123")) == 1


@pytest.mark.parametrize("body", [{}, [], {"data": None}, {"data": {"id": "1", "attributes": {}}}])
def test_an_odd_answer_to_an_upload_does_not_make_the_copy_a_failure(
    services: Sandbox, psage: Psage, home: Path, body: object
) -> None:
    with (home / "default.toml").open("a") as file:
        file.write('pdf = "sage"\n')
    services.fault(
        "status", service="productive", method="POST", path="/attachments", status=201, body=body
    )

    result = psage(*COPY_WITH_PDF, "--json")

    assert result.code == 0
    assert [warning["code"] for warning in result.only["warnings"]] == ["pdf_failed"]
    assert_good_again(psage, services, *COPY_WITH_PDF)


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"id": "1", "attributes": {"aws_policy": None}}},
        {"data": {"id": "1", "attributes": None}},
    ],
    ids=["no policy", "no attributes"],
)
def test_an_upload_without_its_policy_does_not_make_the_copy_a_failure(
    services: Sandbox, psage: Psage, home: Path, body: object
) -> None:
    with (home / "default.toml").open("a") as file:
        file.write('pdf = "sage"\n')
    services.fault(
        "status", service="productive", method="POST", path="/attachments", status=201, body=body
    )

    result = psage(*COPY_WITH_PDF, "--json")

    assert result.code == 0
    assert [warning["code"] for warning in result.only["warnings"]] == ["pdf_failed"]


@pytest.mark.parametrize(
    "fault",
    [
        *SPOILED_READS.values(),
        {"kind": "status", "status": 404},
        {"kind": "status", "status": 429, "headers": {"Retry-After": "3600"}},
    ],
    ids=[*SPOILED_READS, "404", "429"],
)
def test_a_pdf_that_cannot_be_fetched_is_a_warning(
    services: Sandbox, run: Psage, fault: dict[str, Any]
) -> None:
    services.fault(service="files", method="GET", path="/", times=5, **fault)

    result = run(*COPY_WITH_PDF)

    # A page for people and half a file are bytes like any others, but no PDF.
    assert result.code == 0
    assert len(copies(services, "123")) == 1
    if fault["kind"] != "truncated":
        assert "the PDF was not handed over" in result.out + result.err
        assert services.sage.attachments == {}


@pytest.mark.parametrize("forgetful", [False, True], ids=["key known", "key forgotten"])
@work_done
def test_an_attachment_whose_answer_is_lost_is_not_attached_twice(
    services: Sandbox, run: Psage, psage: Psage, fault: dict[str, Any], forgetful: bool
) -> None:
    services.remember_idempotency = not forgetful
    services.fault(method="POST", path="/attachments", **fault)

    result = run(*COPY_WITH_PDF)

    assert result.code == 0
    assert "the next run tries again" in result.out + result.err
    assert_good_again(psage, services, *COPY_WITH_PDF)
    assert len(services.sage.attachments) == 1


# --- the disk


@contextmanager
def disk_with(room: int) -> Iterator[None]:
    """No file may grow beyond `room` bytes, as on a disk that is all but full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# From too little for the first table, in steps of one page, to enough for all of it.
@pytest.mark.parametrize("pages", range(1, 28, 2))
def test_wherever_the_disk_becomes_full_nothing_is_lost_or_doubled(
    services: Sandbox, psage: Psage, pages: int
) -> None:
    with disk_with(32_768 + pages * 4_120):
        result = psage(*COPY)

    if result.code:
        code = {5: "disk_full", 8: "outcome_unknown"}[result.code]
        assert_told(result, result.code, code, "free some space")
        assert_good_again(psage, services)
    assert len(copies(services, "123")) == 1


def test_a_disk_that_is_full_from_the_start_sends_nothing(
    services: Sandbox, run: Psage, psage: Psage
) -> None:
    with disk_with(40_000):
        result = run(*COPY)

    assert_told(result, 5, "disk_full", "free some space and run the command again")
    assert services.calls() == []
    assert_good_again(psage, services)


def test_a_database_that_may_not_grow_is_a_full_disk(services: Sandbox, psage: Psage) -> None:
    connect = sqlite3.connect

    def small(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(*args, **kwargs)
        database.execute("PRAGMA max_page_count = 3")
        return database

    with pytest.MonkeyPatch.context() as day:
        day.setattr(sqlite3, "connect", small)
        result = psage(*COPY)

    assert_told(result, 5, "disk_full", "database or disk is full")
    assert writes(services) == []
    assert_good_again(psage, services)


def test_settings_that_do_not_fit_on_the_disk_stay_as_they_were(
    services: Sandbox, run: Psage, home: Path
) -> None:
    before = (home / "default.toml").read_text()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as day:
        day.setattr(os, "fsync", full)
        result = run("configure", "--numbering", "productive")

    assert_told(result, 5, "disk_full", "no room left", "default.toml")
    assert (home / "default.toml").read_text() == before
    assert list(home.glob(".default.toml*")) == []


def test_a_home_below_a_file_is_told(
    services: Sandbox, run: Psage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PSAGE_HOME", str(tmp_path / "file" / "psage"))

    result = run(*COPY)

    assert_told(result, 2, "home_unusable", "file/psage", "PSAGE_HOME")
    assert services.calls() == []


def test_a_home_nobody_may_make_is_told(
    services: Sandbox, run: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSAGE_HOME", "/proc/psage")

    result = run(*COPY)

    assert_told(result, 2, "home_unusable", "/proc/psage", "PSAGE_HOME")
    assert services.calls() == []


def test_a_home_on_a_disk_mounted_to_be_read_is_told(
    services: Sandbox, run: Psage, home: Path
) -> None:
    opened = os.open

    def read_only(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if str(path).startswith(str(home)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return opened(path, flags, *args, **kwargs)

    with pytest.MonkeyPatch.context() as day:
        day.setattr(os, "open", read_only)
        result = run(*COPY)

    assert_told(result, 2, "home_unusable", "Read-only file system", "PSAGE_HOME")
    assert services.calls() == []


@pytest.mark.parametrize("name", ["default.db", "default.lock", "default.holder", "default.toml"])
def test_a_folder_in_the_place_of_a_file_is_told(
    services: Sandbox, run: Psage, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings = home / "elsewhere.toml"
    (home / "default.toml").rename(settings)
    if name != "default.toml":
        monkeypatch.setenv("PSAGE_CONFIG", str(settings))
    (home / name).mkdir()

    result = run(*COPY)

    assert_told(result, 2, "home_unusable", name)
    assert services.calls() == []


def test_a_log_that_cannot_be_written_is_told(services: Sandbox, psage: Psage, home: Path) -> None:
    (home / "logs").write_text("")

    result = psage("--verbose", *COPY)

    assert result.code == 2
    assert "error: the log" in result.err
    assert "Traceback" not in result.err
    assert services.calls() == []


def test_a_log_that_finds_no_room_is_no_reason_to_complain(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    (home / "logs").mkdir()
    (home / "logs" / "psage.log").write_text("x" * 900_000)

    with disk_with(800_000):
        result = psage("--verbose", *COPY)

    assert result.code == 0
    assert "Traceback" not in result.err
    assert len(copies(services, "123")) == 1


# --- the store


def garbage(path: Path) -> None:
    path.write_bytes(b"this is not a database " * 100)


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE link")


@pytest.mark.parametrize("damage", [garbage, half, zeros, torn, other_tables])
def test_a_damaged_store_can_be_moved_away_and_the_copies_are_found_again(
    services: Sandbox, psage: Psage, home: Path, damage: Callable[[Path], None]
) -> None:
    psage(*COPY)
    damage(home / "default.db")
    services.clear_calls()

    result = psage(*COPY)

    assert_told(result, 2, "home_unusable", "are damaged", f"move `{home / 'default.db'}` away")
    assert writes(services) == []
    (home / "default.db").rename(home / "default.damaged")
    again = assert_good_again(psage, services)
    assert again.only["action"] == "adopted"
    assert posts(services, "/sales_invoices") == []


def test_a_lost_store_is_no_reason_to_copy_twice(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage(*COPY)
    (home / "default.db").unlink()

    result = assert_good_again(psage, services)

    assert result.only["action"] == "adopted"


def test_a_store_of_a_newer_psage_is_left_alone(
    services: Sandbox, run: Psage, psage: Psage, home: Path
) -> None:
    psage(*COPY)
    with closing(sqlite3.connect(home / "default.db")) as database:
        database.execute("PRAGMA user_version = 99")
    before = (home / "default.db").read_bytes()
    services.clear_calls()

    result = run(*COPY)

    assert_told(result, 2, "home_unusable", "newer psage", "upgrade")
    assert services.calls() == []
    assert (home / "default.db").read_bytes() == before


# --- the settings


@pytest.mark.parametrize(
    "content",
    [b"numbering = \n", b"[items\n", b"a = 1\na = 2\n", b'pdf = "sage', b'x = "\xff\xfe"\n'],
    ids=["no value", "open table", "twice", "open quote", "not UTF-8"],
)
def test_settings_that_are_not_toml_are_told_with_their_file(
    services: Sandbox, run: Psage, home: Path, content: bytes
) -> None:
    (home / "default.toml").write_bytes(content)

    result = run(*COPY)

    assert_told(result, 2, "config_invalid", str(home / "default.toml"), "not valid TOML")
    assert services.calls() == []
    assert (home / "default.toml").read_bytes() == content


def test_all_bad_settings_are_listed_at_once_with_file_and_key(
    services: Sandbox, run: Psage, home: Path
) -> None:
    (home / "default.toml").write_text(
        'default_ledger_account = "1"\n'
        'numbering = "both"\n'
        'write_number_back = "yes"\n'
        "sage_calls_per_second = 0\n"
        'items = { 11 = "DESIGN" }\n'
        "minor_digits = { JPY = 9 }\n"
        'endpoints = { sage_api = "http://sage.example" }\n'
    )

    result = run(*COPY)

    keys = [
        "numbering",
        "write_number_back",
        "sage_calls_per_second",
        "items.11",
        "minor_digits.JPY",
        "endpoints.sage_api",
    ]
    assert_told(result, 2, "config_invalid", str(home / "default.toml"), "6 problems", *keys)
    assert services.calls() == []


def test_an_address_in_the_environment_is_checked_as_well(
    services: Sandbox, run: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSAGE_SAGE_API_URL", "http://sage.example/v3.1")

    result = run(*COPY)

    assert_told(result, 2, "config_invalid", "PSAGE_SAGE_API_URL", "must begin with https://")
    assert services.calls() == []


def test_a_key_nobody_knows_is_warned_about_and_stops_nothing(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    with (home / "default.toml").open("a") as file:
        file.write('numberin = "productive"\n')

    result = psage(*COPY, "--json")

    assert result.code == 0
    assert result.json["ok"] is True
    assert "warning: " in result.err
    assert "`numberin` is not known" in result.err
    assert str(home / "default.toml") in result.err
    assert len(copies(services, "123")) == 1


# --- tools


def renewals_refused(sandbox: Sandbox) -> bool:
    return all(call.status == 400 for call in sandbox.calls("auth", "POST", "/token"))


def assert_each_told(result: Result, productive_ids: set[str], code: str, *words: str) -> None:
    """Check that exactly these invoices failed, each with this error."""
    assert "Traceback" not in result.out + result.err
    if result.out.startswith("{"):
        failed = {r["productive_id"]: r["error"] for r in result.results if r["error"]}
        assert result.err == ""
        assert set(failed) == productive_ids
        assert {error["code"] for error in failed.values()} == {code}
        texts = [f"{error['message']} {error['hint']}" for error in failed.values()]
    else:
        told = [line for line in result.err.splitlines() if line.startswith("error: ")]
        named = [one for line in told for one in re.findall(r"INV-2026-\d+", line)]
        numbers = [f"INV-2026-{int(one) - 100:03}" for one in productive_ids]
        assert sorted(named) == sorted(numbers)  # each once
        assert result.err.count("hint: ") == 1  # one next step for one cause
        texts = [result.err]
    assert all(word in text for text in texts for word in words)


def json_key(body: bytes) -> str:
    """The idempotency key of a write."""
    (content,) = json.loads(body).values()
    return str(content["idempotency_id"])


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait for something another thread is about to do."""
    ends_at = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


@contextmanager
def self_signed(folder: Path) -> Iterator[int]:
    """A TLS server whose certificate nobody has signed; gives its port."""
    file = folder / "own.pem"
    file.write_text(_OWN_CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(2)


# Made for this test, for localhost, good for a hundred years; protects nothing.
_OWN_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgRR60agmg9pmmDz60
d6pIzCzzId/J2GVrx7QjE1HsqlOhRANCAAQVZZWjL5t6yAVvDoSILMUtTcXcm1sU
3DipjvtOogf5vD+Rw5rQbQTP1ltbY6GjEzJtSi0DvZk/LD2Ft+8PHfjt
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUEvAiqRxhu9kCSSxwy69Q4IC6izQwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDExNTIwMVoYDzIxMjYxMDMx
MTE1MjAxWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQVZZWjL5t6yAVvDoSILMUtTcXcm1sU3DipjvtOogf5vD+Rw5rQbQTP
1ltbY6GjEzJtSi0DvZk/LD2Ft+8PHfjto28wbTAdBgNVHQ4EFgQUeRYI0CueykhA
nPoCmQM47y2Nm30wHwYDVR0jBBgwFoAUeRYI0CueykhAnPoCmQM47y2Nm30wDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhAOtIlT5mD+JRG0DBff8lysYWZMmqYcpO/TujmU0q9LBoAiEA
4KjTTUTCxswp5xSBeNYoE7BqkVsrXNKwUTCMp5sYRvw=
-----END CERTIFICATE-----
"""
