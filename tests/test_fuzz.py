"""Each field of each reply goes wrong in each way: nothing wrong is shown, written or left."""

import json
import os
import sys
from itertools import islice
from pathlib import Path

import httpx
import pytest

from productive_sage import http, oauth
from productive_sage.sandbox import CLIENT_SECRET, PRODUCTIVE_TOKEN, Sandbox
from tests import test_bad_days, test_sync_faults
from tests.conftest import MemoryKeyring, Psage, writes
from tests.fuzz import MUTATIONS, SCENARIOS, Browser, Stage, cases, without_wire

waits = test_bad_days.waits
psage, hasty = test_bad_days.psage, test_sync_faults.hasty

FEW, MANY = 40, 800
PARTS = {"copy": 5, "update": 5, "credit note": 5, "payments": 6, "connect": 4}
"""So many times `MANY` cases of each scenario: 20,000."""


@pytest.fixture
def stage(
    services: Sandbox,
    psage: Psage,
    home: Path,
    memory_keyring: MemoryKeyring,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """Nothing of psage is other than it is, but for the wire and what waits for it."""
    browser = Browser(services)
    begin = oauth.begin

    def watched(authorize_url: str, client_id: str, port: int) -> oauth.Request:
        request = begin(authorize_url, client_id, port)
        browser.address = request.url
        return request

    monkeypatch.setattr("productive_sage.oauth.begin", watched)
    monkeypatch.setattr(sys, "stdin", browser)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", without_wire(services))
    monkeypatch.setattr(http, "_within", lambda _deadline_s, exchange: exchange())
    monkeypatch.setattr(os, "fsync", lambda _file: None)
    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("PSAGE_PRODUCTIVE_TOKEN", PRODUCTIVE_TOKEN)
    return Stage(services, psage, home, memory_keyring, browser)


def failures(stage: Stage, name: str, first: int, count: int) -> list[str]:
    calls = stage.snapshot(name).calls
    some = islice(cases(name, calls), first, first + count)
    found = [f"{case}: {wrong}" for case in some if (wrong := stage.try_out(case))]
    stage.sandbox.clear_calls()  # what was changed on purpose keeps no contract
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_some_fields_of_some_replies_are_odd_and_nothing_wrong_is_done(
    stage: Stage, name: str
) -> None:
    assert len(MUTATIONS) == 37
    assert failures(stage, name, 0, FEW) == []


@pytest.mark.torture
@pytest.mark.parametrize(("name", "part"), [(n, p) for n in PARTS for p in range(PARTS[n])])
def test_fields_of_replies_are_odd_and_nothing_wrong_is_done(
    stage: Stage, name: str, part: int
) -> None:
    assert failures(stage, name, FEW + part * MANY, MANY) == []


# --- what it found, each kind by itself

COPY = ("copy-invoice", "125", "--tax-rate", "GB_STANDARD", "--no-pdf", "--json")


def odd(
    sandbox: Sandbox, service: str, method: str, path: str, at: list[str | int], value: object
) -> None:
    """Have one field of the next answer be another."""
    body = {"at": at, "json": json.dumps(value)}
    sandbox.fault("field", service=service, method=method, path=path, body=body)


@pytest.mark.parametrize("value", [7, True, {}, ["London"], "x" * 100_000])
@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("/invoices", ["data", 0, "attributes", "number"]),
        ("/invoices", ["data", 0, "attributes", "export_id"]),
        ("/invoices", ["included", 1, "attributes", "city"]),
        ("/line_items", ["data", 0, "attributes", "description"]),
    ],
)
def test_what_is_no_text_is_never_booked_as_one(
    services: Sandbox, psage: Psage, path: str, at: list[str | int], value: object
) -> None:
    odd(services, "productive", "GET", path, at, value)

    result = psage(*COPY)

    assert result.code == 4
    assert "is no text" in result.only["error"]["message"]
    assert writes(services) == []


@pytest.mark.parametrize("value", [None, "", 7])
def test_a_list_of_countries_without_names_is_no_list(
    services: Sandbox, psage: Psage, value: object
) -> None:
    services.agency.edit_contact_entry(507, country="Testland")  # so that Sage's list is asked
    odd(services, "sage", "GET", "/countries", ["$items", 0, "displayed_as"], value)

    result = psage(*COPY)

    assert (result.code, writes(services)) == (5, [])


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (["currency"], "GBP"),
        (["net_amount"], "1e30"),
        (["tax_amount"], {}),
        (["contact_name"], "x" * 100_000),
    ],
)
def test_the_history_tells_a_write_whatever_its_answer_looks_like(
    services: Sandbox, psage: Psage, at: list[str | int], value: object
) -> None:
    odd(services, "sage", "POST", "/sales_invoices", at, value)

    result = psage(*COPY)

    (event,) = [
        one for one in psage("history", "--json").json["events"] if "/sales_inv" in one["what"]
    ]
    assert event["result"] == "done"
    assert len(json.dumps(event)) < 2000
    assert "history" not in result.err


def test_a_refused_copy_has_the_days_facts_read_anew(services: Sandbox, psage: Psage) -> None:
    at: list[str | int] = ["$items", 0, "percentages", 0, "to_date"]  # as if the old one still held
    odd(services, "sage", "GET", "/tax_rates", at, None)

    first, second = psage(*COPY), psage(*COPY)

    assert (first.code, second.code) == (4, 0)
    assert second.only["action"] == "created"
