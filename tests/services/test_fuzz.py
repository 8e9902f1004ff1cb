"""Each field of each reply goes wrong in each way: nothing wrong is shown, written or left."""

import json
import os
import sys
from itertools import islice
from pathlib import Path

import httpx
import pytest

from productive_sage import http
from productive_sage.http import pool
from productive_sage.sandbox import CLIENT_SECRET, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.signin import oauth
from tests.conftest import MemoryKeyring, Psage, copies, writes
from tests.harness import days, payments
from tests.harness.fuzz import MUTATIONS, SCENARIOS, Browser, Stage, cases, without_wire

psage, hasty = days.psage, payments.hasty

FEW, MANY = 8, 800
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

    monkeypatch.setattr("productive_sage.signin.oauth.begin", watched)
    monkeypatch.setattr(sys, "stdin", browser)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", without_wire(services))
    for module in (http, pool):
        monkeypatch.setattr(module, "within", lambda _deadline_s, exchange: exchange())
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


ON = ("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")


def test_a_copy_whose_id_was_answered_wrong_is_found_by_its_marker(
    services: Sandbox, psage: Psage
) -> None:
    odd(services, "sage", "POST", "/sales_invoices", ["id"], "0" * 31 + "1")
    assert psage(*COPY).code == 0

    result = psage(*COPY, "--update-existing")

    (copy,) = copies(services, "125")
    assert (result.code, result.only["sage_id"]) == (0, copy["id"])
    assert services.productive.invoices["125"]["export_id"] == copy["id"]


def test_a_copy_that_is_not_shown_is_not_taken_for_another_one(
    services: Sandbox, psage: Psage
) -> None:
    assert psage(*COPY).code == 0
    (copy,) = copies(services, "125")
    table = services.sage.books().table("sales_invoices")
    other = copy["id"][:-1] + ("1" if copy["id"][-1] == "0" else "0")
    table[other] = table.pop(copy["id"]) | {"id": other, "number": "77"}

    result = psage(*COPY, "--update-existing")

    assert result.code == 5


@pytest.mark.parametrize("value", ["abc", "1e3", "2026-02-30"])
def test_an_id_of_productive_is_a_number(services: Sandbox, psage: Psage, value: str) -> None:
    assert psage(*COPY).code == 0
    assert psage(*ON).code == 0
    assert psage("sync-payments").code == 0
    services.bookkeeper.pay(copies(services, "125")[0]["id"], "5.00", "2026-03-01")
    odd(services, "productive", "POST", "/payments", ["data", "id"], value)

    first, second = psage("sync-payments", "--json"), psage("sync-payments", "--json")

    assert (first.code, second.code) == (8, 0)
    (payment,) = services.productive.payments.values()
    assert payment["amount"] == 500
