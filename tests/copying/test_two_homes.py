"""Another machine, or records of another day: Sage and Productive are the shared truth."""

import copy
import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from productive_sage.copying import looks, together
from productive_sage.copying.looks import OLD_S
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, Result, copies, forget, writes
from tests.harness.fast import Machine
from tests.harness.processes import Hold


@pytest.mark.parametrize("kind", [3, None, "2", "1", True, 1.5, [], {}])
def test_only_what_is_plainly_an_invoice_is_copied(
    services: Sandbox, psage: Psage, kind: object
) -> None:
    services.productive.table("invoices")["101"]["attributes"]["invoice_type_id"] = kind

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 4
    assert result.only["error"]["code"] in ("not_an_invoice", "amounts_unclear")
    assert writes(services) == []
    services.clear_calls()  # such replies break the contract, and are meant to


def test_a_deleted_invoice_that_is_still_shown_is_not_copied(
    services: Sandbox, psage: Psage
) -> None:
    row = services.productive.table("invoices")["101"]["attributes"]
    row["deleted_at"] = "2026-02-03T05:06:32.193+01:00"

    result = psage("copy-invoice", "101", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "not_found")
    assert "2026-02-03" in result.only["error"]["message"]
    assert writes(services) == []


def test_two_machines_send_the_same_keys(services: Sandbox, psage: Psage, home: Path) -> None:
    """So where both copy at the same moment, Sage makes one document and one customer of it."""
    state = copy.deepcopy((services.sage.data, services.productive.data))
    psage("copy-invoice", "123", "--no-tax", "--no-pdf")
    services.sage.data, services.productive.data = state
    forget(home)

    psage("copy-invoice", "123", "--no-tax", "--no-pdf")

    bodies = [json.loads(call.body) for call in services.calls("sage", "POST")]
    keys = [next(iter(body.values()))["idempotency_id"] for body in bodies]
    assert keys[:2] == keys[2:]
    assert len(set(keys)) == 2


def test_an_answered_key_is_not_sent_for_what_shall_be_made_anew(
    services: Sandbox, psage: Psage
) -> None:
    services.fault("status", method="POST", path="/sales_invoices", status=422)
    refused = psage("copy-invoice", "101", "--no-tax", "--no-pdf")

    made = psage("copy-invoice", "101", "--no-tax", "--no-pdf")

    first, second = services.calls("sage", "POST", "/sales_invoices")
    assert (refused.code, made.code) == (4, 0)
    assert first.body != second.body


def test_records_that_lack_the_latest_copy_are_mended_before_an_update(
    services: Sandbox, psage: Psage, home: Path, tmp_path: Path
) -> None:
    psage("copy-invoice", "101", "--no-tax", "--no-pdf")
    backup = (home / "default.db").read_bytes()
    second = psage("copy-invoice", "101", "--create-new", "--no-tax", "--no-pdf", "--json").only
    forget(home)
    (home / "default.db").write_bytes(backup)
    services.agency.edit_invoice("101", invoiced_on="2026-02-05")

    result = psage("copy-invoice", "101", "--update-existing", "--no-pdf", "--json")

    first, latest = sorted(copies(services, "101"), key=lambda row: str(row["reference"]))
    assert (result.code, result.only["sage_id"]) == (0, second["sage_id"])
    assert (latest["date"], first["date"] == "2026-02-05") == ("2026-02-05", False)
    assert services.productive.invoices["101"]["export_id"] == second["sage_id"]


def test_a_clock_set_a_day_ahead_makes_no_second_copy(
    services: Sandbox, psage: Psage, handed_in: dict[str, Any]
) -> None:
    services.search_lag_s = services.list_lag_s = 3600
    services.fault("cut_after", method="POST", path="/sales_invoices", times=2)
    lost = psage("copy-invoice", "101", "--no-tax", "--no-pdf")

    ahead = timedelta(days=1, minutes=5)
    handed_in["timing"] = replace(handed_in["timing"], utc=lambda: datetime.now(UTC) + ahead)
    result = psage("copy-invoice", "101", "--no-tax", "--no-pdf", "--json")

    assert lost.code == 8
    assert result.code == 0
    assert len(copies(services, "101")) == 1


# --- what a repeated key brings


def answered_long_ago(sandbox: Sandbox) -> None:
    """Let the answers Sage keeps for its keys be of another day."""
    for kept in sandbox.sage.data["idempotency"].values():
        kept["body"] = re.sub('("created_at": )"[^"]*"', r'\1"2026-02-03T04:05:06Z"', kept["body"])


def test_a_customer_made_long_ago_and_deleted_since_is_made_anew(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    """The key brings Sage's first answer, of a contact that is no more."""
    first = psage("copy-invoice", "124", "--no-tax", "--no-pdf", "--json").only
    services.bookkeeper.void(first["sage_id"])
    services.bookkeeper.delete_contact(first["customer"]["id"])
    forget(home)
    answered_long_ago(services)

    result = psage("copy-invoice", "125", "--no-tax", "--no-pdf", "--json")

    assert (result.code, result.only["action"]) == (0, "created")
    assert result.only["customer"]["id"] in services.sage.contacts
    assert result.only["customer"]["id"] != first["customer"]["id"]


def test_a_copy_made_long_ago_and_deleted_since_is_made_anew(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    first = psage("copy-invoice", "101", "--no-tax", "--no-pdf", "--json").only
    services.bookkeeper.delete_invoice(first["sage_id"])
    services.agency.edit_invoice("101", exported=False, export_id=None)
    forget(home)
    answered_long_ago(services)

    result = psage("copy-invoice", "101", "--no-tax", "--no-pdf", "--json")

    assert (result.code, result.only["action"]) == (0, "created")
    assert [row["id"] for row in copies(services, "101")] == [result.only["sage_id"]]


def test_a_copy_made_long_ago_and_voided_since_is_not_said_to_be_created(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    first = psage("copy-invoice", "101", "--no-tax", "--no-pdf", "--json").only
    services.bookkeeper.void(first["sage_id"])
    services.agency.edit_invoice("101", exported=False, export_id=None)
    forget(home)
    answered_long_ago(services)
    services.search_lag_s = 86_400

    result = psage("copy-invoice", "101", "--no-tax", "--no-pdf", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_gone")
    assert [row["id"] for row in copies(services, "101")] == [first["sage_id"]]


# --- two machines at once

COPY = ("--no-tax", "--no-pdf", "--json")


@pytest.fixture
def machines(sandbox: Sandbox, tmp_path: Path) -> tuple[Machine, Machine]:
    """Two machines, ready to copy, that share nothing but the services; searches lag."""
    sandbox.access_token_lifetime_s = 86_400
    sandbox.search_lag_s = 3600
    return Machine(sandbox, tmp_path / "a"), Machine(sandbox, tmp_path / "b")


def overtaken(
    sandbox: Sandbox,
    slow: tuple[Machine, tuple[str, ...]],
    quick: tuple[Machine, tuple[str, ...]],
    *,
    at: str,
    held_s: float = 0.0,
) -> tuple[Result, Result]:
    """What became of two runs, the second of which happens whole before a request of the first.

    That request is held for so many seconds after the second has ended.
    """
    method, path = at.split()
    with Hold(sandbox, when="before", method=method, path=path) as hold:
        run = slow[0].start(*slow[1])
        hold.reached(run)
        other = quick[0].run(*quick[1])
        time.sleep(held_s)
        hold.let_go()
        return run.end(), other


def living(sandbox: Sandbox, *productive_ids: str) -> list[dict[str, Any]]:
    return [
        row
        for key in productive_ids
        for row in copies(sandbox, key)
        if row["status"]["id"] != "VOID"
    ]


@pytest.mark.parametrize(
    ("ids", "at", "held_s"),
    [
        (("101",), "GET /invoices/101", 0.0),
        # Of a batch each last look serves several documents, and holds for a few seconds.
        (("101", "112"), "GET /sales_invoices", OLD_S),
        (("112", "101"), "GET /sales_invoices", OLD_S),
        (("112", "101"), "POST /sales_invoices", OLD_S),
    ],
)
def test_what_another_machine_copied_meanwhile_is_adopted(
    sandbox: Sandbox,
    machines: tuple[Machine, Machine],
    ids: tuple[str, ...],
    at: str,
    held_s: float,
) -> None:
    """Productive names its copy before any search in Sage shows it."""
    sandbox.remember_idempotency = False
    slow, quick = machines

    result, other = overtaken(
        sandbox,
        (slow, ("copy-invoice", *ids, *COPY)),
        (quick, ("copy-invoice", "101", *COPY)),
        at=at,
        held_s=held_s,
    )

    assert (result.code, other.code) == (0, 0)
    (adopted,) = [row for row in result.results if row["productive_id"] == "101"]
    assert (adopted["action"], adopted["sage_id"]) == ("adopted", other.only["sage_id"])
    assert len(living(sandbox, *ids)) == len(ids)


@pytest.mark.parametrize("is_copied", [True, False])
def test_a_new_copy_made_elsewhere_meanwhile_is_not_made_again(
    sandbox: Sandbox, machines: tuple[Machine, Machine], is_copied: bool
) -> None:
    sandbox.remember_idempotency = False
    slow, quick = machines
    if is_copied:
        assert slow.run("copy-invoice", "101", *COPY).code == 0
        assert quick.run("copy-invoice", "101", *COPY).code == 0

    result, other = overtaken(
        sandbox,
        (slow, ("copy-invoice", "101", "--create-new", *COPY)),
        (quick, ("copy-invoice", "101", "--create-new", *COPY)),
        at="GET /invoices/101",
    )

    assert other.only["action"] == "created"
    assert (result.code, result.only["error"]["code"]) == (4, "already_copied")
    assert len(living(sandbox, "101")) == 1 + is_copied


@pytest.mark.parametrize("at", ["POST /contacts", "POST /sales_invoices"])
def test_of_two_posts_with_one_key_sage_makes_one(
    sandbox: Sandbox, machines: tuple[Machine, Machine], at: str
) -> None:
    args = ("copy-invoice", "123", *COPY)

    result, other = overtaken(sandbox, (machines[0], args), (machines[1], args), at=at)

    assert (result.code, other.code) == (0, 0)
    assert result.only["sage_id"] == other.only["sage_id"]
    assert len(living(sandbox, "123")) == 1


@pytest.mark.parametrize("ids", [("101",), ("112", "101")])
def test_a_copy_made_twice_is_said_with_both_numbers(
    sandbox: Sandbox, machines: tuple[Machine, Machine], ids: tuple[str, ...]
) -> None:
    sandbox.remember_idempotency = False

    result, other = overtaken(
        sandbox,
        (machines[0], ("copy-invoice", *ids, *COPY)),
        (machines[1], ("copy-invoice", ids[0], *COPY)),
        at="POST /sales_invoices",
    )

    assert (result.code, other.code) == (7, 0)
    assert sorted(row["productive_id"] for row in result.results) == sorted(ids)
    (twice,) = [row for row in result.results if row["error"]]
    assert (twice["action"], twice["error"]["code"]) == ("differs", "copied_twice")
    both = living(sandbox, ids[0])
    assert len(both) == 2
    assert all(row["displayed_as"] in twice["error"]["message"] for row in both)
    assert "void" in twice["error"]["hint"]


def said_long_ago(machine: Machine) -> None:
    """As if what `status` says had been found so long ago that a search shows all of it."""
    with sqlite3.connect(machine.store) as store:
        store.execute("UPDATE report SET since = '2026-01-01T00:00:00+00:00'")


@pytest.mark.parametrize("command", ["copy-invoice", "credit-note"])
def test_a_copy_made_twice_stays_in_status_until_one_is_voided(
    sandbox: Sandbox, machines: tuple[Machine, Machine], command: str
) -> None:
    sandbox.remember_idempotency = False
    slow, quick = machines
    key = sandbox.agency.add_invoice(company_id="501", lines=[{"unit_price": "100.00"}])
    if command == "credit-note":
        assert quick.run("copy-invoice", key, *COPY).code == 0
        lines = [{"unit_price": "100.00", "quantity": -1}]
        key = sandbox.agency.add_invoice(company_id="501", lines=lines, credits_invoice=key)
    one = (command, key, *COPY)
    path = "/sales_invoices" if command == "copy-invoice" else "/sales_credit_notes"
    result, _ = overtaken(sandbox, (slow, one), (quick, one), at=f"POST {path}")
    assert result.only["error"]["code"] == "copied_twice"

    def kept() -> list[str]:
        slow.run("copy-invoice", "nothing like it", "--no-input")
        waiting = slow.run("status", "--json").json["waiting"]
        return [row["code"] for row in waiting if row["code"] == "copied_twice"]

    assert kept() == ["copied_twice"]
    sandbox.search_lag_s = 0
    said_long_ago(slow)
    assert kept() == ["copied_twice"]
    sandbox.bookkeeper.void(result.only["error"]["details"]["void"][0])
    assert kept() == []


def test_a_sync_of_that_one_invoice_does_not_forget_that_it_was_made_twice(
    sandbox: Sandbox, machines: tuple[Machine, Machine]
) -> None:
    sandbox.remember_idempotency = False
    slow, quick = machines
    key = sandbox.agency.add_invoice(company_id="501", lines=[{"unit_price": "100.00"}])
    one = ("copy-invoice", key, *COPY)
    overtaken(sandbox, (slow, one), (quick, one), at="POST /sales_invoices")
    slow.run("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")

    synced = slow.run("sync-payments", key, "--json")

    waiting = slow.run("status", "--json").json["waiting"]
    assert synced.json["checked_invoices"] == 1
    assert "copied_twice" in {row["code"] for row in waiting}


def test_a_further_copy_does_not_hide_that_the_first_was_made_twice(
    sandbox: Sandbox, machines: tuple[Machine, Machine]
) -> None:
    sandbox.remember_idempotency = False
    slow, quick = machines
    key = sandbox.agency.add_invoice(company_id="501", lines=[{"unit_price": "100.00"}])
    one = ("copy-invoice", key, *COPY)
    overtaken(sandbox, (slow, one), (quick, one), at="POST /sales_invoices")
    sandbox.search_lag_s = 0

    again = slow.run(*one, "--create-new")
    said_long_ago(slow)
    slow.run("copy-invoice", "nothing like it", "--no-input")

    waiting = slow.run("status", "--json").json["waiting"]
    assert again.only["action"] == "created"
    assert {"copied_twice", "second_copy"} <= {row["code"] for row in waiting}


def in_step(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, *, names: bool) -> list[str]:
    """Have another computer make a copy of each document when psage does, under another key.

    It marks each after psage, or never does; gives the markers of what psage has sent.
    """
    hidden, sent, others = sandbox._desk, list[str](), dict[str, str]()
    serve = hidden.serve

    def beside(request: Any, app: Callable[[Any], Any]) -> Any:
        answer = serve(request, app)
        if (request.method, request.path) == ("POST", "/sales_invoices"):
            sent.append(json.loads(request.body)["sales_invoice"]["reference"])
            key = sent[-1].removeprefix("PRD-")
            others[key] = sandbox.bookkeeper.enter_draft(sent[-1])
        key = request.path.removeprefix("/invoices/")
        if names and request.method == "PATCH" and key in others:
            sandbox.productive.table("invoices")[key]["attributes"]["export_id"] = others[key]
        return answer

    monkeypatch.setattr(hidden, "serve", beside)
    return sent


def looked_at_each_time(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, count: int) -> list[str]:
    """So many invoices to copy, of which each has a last look of its own."""
    monkeypatch.setattr(looks, "FRESH_S", 0.0)
    monkeypatch.setattr(looks, "OLD_S", 0.0)
    monkeypatch.setattr(together, "_AT_ONCE", 3)
    lines = [{"unit_price": "10.00"}]
    return [sandbox.agency.add_invoice(company_id="501", lines=lines) for _ in range(count)]


@pytest.mark.parametrize("names", [True, False], ids=["it marks too", "it marks nothing"])
def test_a_batch_ends_where_another_computer_copies_the_same_in_step(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, names: bool
) -> None:
    ids = looked_at_each_time(services, monkeypatch, 12)
    sent = in_step(services, monkeypatch, names=names)

    result = psage("copy-invoice", "--id", *ids, *COPY)

    said = Counter(row["error"]["code"] for row in result.results)
    assert said["copied_twice"] == len(sent)
    if not names:  # then nothing tells before the end
        assert (result.code, len(sent)) == (7, len(ids))
        return
    assert (result.code, said.total()) == (6, len(ids))
    assert 1 <= len(sent) < 8
    assert said["copied_at_once"] == len(ids) - len(sent)


def test_what_another_copy_of_this_computer_is_named_ends_no_batch(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = looked_at_each_time(services, monkeypatch, 8)
    first = psage("copy-invoice", "--id", *ids, *COPY)
    again = psage("copy-invoice", "--id", *ids, "--create-new", *COPY)

    assert (first.code, again.code) == (0, 0)
    assert all(len(copies(services, key)) == 2 for key in ids)


def test_of_many_what_was_made_twice_early_and_late_is_seen_and_read_once(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "_MANY", 2)
    monkeypatch.setattr(together, "_LAST", 1)
    services.access_token_lifetime_s = 86_400
    ids, hidden = ("112", "101", "107"), services._desk
    serve, posted = hidden.serve, list[str]()

    def with_doubles(request: Any, app: Callable[[Any], Any]) -> Any:
        if (request.method, request.path) != ("POST", "/sales_invoices"):
            return serve(request, app)
        services.advance(60 * bool(posted))  # the second list does not reach back to the first
        posted.append(ids[len(posted)])
        answer = serve(request, app)
        services.bookkeeper.enter_draft(f"PRD-{posted[-1]}")
        return answer

    monkeypatch.setattr(hidden, "serve", with_doubles)

    result = psage("copy-invoice", *ids, *COPY)

    said = {row["productive_id"]: row["error"]["code"] for row in result.results if row["error"]}
    assert said == dict.fromkeys(ids, "copied_twice")
    since = [
        datetime.fromisoformat(call.query["updated_or_created_since"][0])
        for call in services.calls("sage", "GET", "/sales_invoices")
        if "updated_or_created_since" in call.query
    ]
    assert len(since) == 2
    assert since[1] - since[0] > timedelta(minutes=4)


def test_a_copy_made_twice_is_said_by_each_sync_until_one_is_voided_and_the_other_followed(
    sandbox: Sandbox, machines: tuple[Machine, Machine]
) -> None:
    sandbox.remember_idempotency = False
    slow, quick = machines
    args = ("copy-invoice", "101", *COPY)
    result, other = overtaken(sandbox, (slow, args), (quick, args), at="POST /sales_invoices")
    sandbox.search_lag_s = sandbox.list_lag_s = 0

    def said(machine: Machine) -> list[str]:
        skipped = machine.run("sync-payments", "--json").json["skipped"]
        return [one["code"] for one in skipped]

    assert said(quick) == ["copied_twice"]
    sandbox.advance(3 * 86_400)  # so long that no feed shows either of them any more
    assert said(quick) == ["copied_twice"]
    assert "is in Sage 2 times" in " ".join(quick.run("status").out.split())

    keep = result.only["error"]["details"]["keep"]
    left, gone = (quick, slow) if keep == other.only["sage_id"] else (slow, quick)
    sandbox.bookkeeper.void(result.only["error"]["details"]["void"][0])
    assert said(left) == []
    anew = gone.run("copy-invoice", "101", "--create-new", *COPY)
    again = gone.run("copy-invoice", "101", "--update-existing", *COPY)
    assert (anew.code, anew.only["error"]["code"]) == (4, "already_copied")
    assert (again.code, again.only["sage_id"]) == (0, keep)
    assert said(gone) == []
    assert len(living(sandbox, "101")) == 1


@pytest.mark.parametrize("ids", [("124",), ("124", "101")])
def test_a_customer_made_twice_is_said(
    sandbox: Sandbox, machines: tuple[Machine, Machine], ids: tuple[str, ...]
) -> None:
    """By the run itself where it copies several, by the next sync where it copied one."""
    sandbox.remember_idempotency = False

    result, other = overtaken(
        sandbox,
        (machines[0], ("copy-invoice", *ids, *COPY)),
        (machines[1], ("copy-invoice", "125", *COPY)),
        at="POST /contacts",
    )
    synced = machines[0].run("sync-payments", "--json").json

    assert other.code == 0
    assert result.code == (0 if len(ids) == 1 else 7)
    codes = [row["error"]["code"] for row in result.results if row["error"]]
    assert codes == ["customer_doubled"] * (len(ids) - 1)
    assert [one["code"] for one in synced["warnings"]] == ["customer_doubled"]


def test_a_credit_note_no_search_shows_yet_is_found_among_the_customers(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "111", "--no-tax")
    made = psage("credit-note", "110", "--json").only
    services.agency.edit_invoice("110", exported=False, export_id=None)
    services.search_lag_s = 3600
    services.remember_idempotency = False
    forget(home)

    result = psage("credit-note", "110", "--json")

    assert (result.code, result.only["action"]) == (0, "adopted")
    assert result.only["sage_id"] == made["sage_id"]
    assert len(services.sage.credit_notes) == 1


def test_sage_busy_with_another_machines_post_is_asked_again(
    services: Sandbox, psage: Psage, waits: list[float]
) -> None:
    services.fault("status", method="POST", path="/sales_invoices", status=409, times=2)

    result = psage("copy-invoice", "101", *COPY)

    keys = {call.body for call in services.calls("sage", "POST", "/sales_invoices")}
    assert (result.code, result.only["action"]) == (0, "created")
    assert len(keys) == 1
    assert len(copies(services, "101")) == 1


def test_what_never_got_to_sage_uses_no_key_up(
    services: Sandbox, psage: Psage, waits: list[float]
) -> None:
    """Or the next try would send another one than the other machine."""
    services.fault("status", method="POST", path="/sales_invoices", status=409, times=99)
    busy = psage("copy-invoice", "101", *COPY)
    services._desk.clear()

    made = psage("copy-invoice", "101", *COPY)

    assert (busy.code, made.code) == (5, 0)
