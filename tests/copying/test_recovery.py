"""What an earlier run began, after the day has gone on: here, or on another machine."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, first_line, forget, writes
from tests.harness.fast import Machine

PLAIN = ("--no-tax", "--no-pdf", "--json")
COPY = ("copy-invoice", "101", *PLAIN)
OTHER = ("copy-invoice", "105", *PLAIN)
ON = ("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
MORE = "250825.00"
"""The net of 101 once it was corrected: 1,775.00 before."""


@contextmanager
def lost(
    sandbox: Sandbox, path: str, *, service: str = "sage", method: str = "POST"
) -> Iterator[None]:
    """Whatever is sent meanwhile arrives nowhere, and nobody can tell."""
    sandbox.fault("status", service=service, method=method, path=path, status=503, times=9)
    yield
    sandbox.clear_faults()


def corrected(sandbox: Sandbox) -> None:
    sandbox.agency.edit_line(first_line(sandbox, "101"), unit_price="250000.00", quantity="1")


def living(sandbox: Sandbox, productive_id: str = "101") -> list[dict[str, Any]]:
    return [row for row in copies(sandbox, productive_id) if row["status"]["id"] != "VOID"]


@pytest.fixture
def begun(services: Sandbox, psage: Psage) -> Sandbox:
    """The copy of 101 was sent and never arrived."""
    with lost(services, "/sales_invoices"):
        assert psage(*COPY).code == 8
    services.clear_calls()
    return services


@pytest.fixture
def machines(sandbox: Sandbox, tmp_path: Path) -> tuple[Machine, Machine]:
    return Machine(sandbox, tmp_path / "a"), Machine(sandbox, tmp_path / "b")


def test_what_another_machine_copied_meanwhile_is_not_sent_again(
    sandbox: Sandbox, machines: tuple[Machine, Machine]
) -> None:
    """Sage's search does not show it for an hour, but Productive names it at once."""
    sandbox.search_lag_s = 3600
    one, other = machines
    with lost(sandbox, "/sales_invoices"):
        assert one.run(*COPY).code == 8
    corrected(sandbox)
    assert other.run(*COPY).code == 0

    result = one.run(*COPY)

    (copy,) = living(sandbox)
    assert (result.code, result.only["sage_id"]) == (0, copy["id"])
    assert sandbox.productive.invoices["101"]["export_id"] == copy["id"]


def test_a_mark_left_over_does_not_take_the_place_of_a_later_copy(
    sandbox: Sandbox, machines: tuple[Machine, Machine]
) -> None:
    one, other = machines
    with lost(sandbox, "/invoices", service="productive", method="PATCH"):
        assert one.run(*COPY).code == 0
    assert other.run(*COPY).code == 0
    later = other.run(*COPY, "--create-new").only["sage_id"]

    assert one.run(*OTHER).code == 0

    assert sandbox.productive.invoices["101"]["export_id"] == later
    corrected(sandbox)
    assert one.run(*COPY, "--update-existing").only["sage_id"] == later


def test_older_records_credit_the_copy_that_productive_names(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    assert psage("copy-invoice", "111", *PLAIN).code == 0
    backup = (home / "default.db").read_bytes()
    later = psage("copy-invoice", "111", "--create-new", *PLAIN).only["sage_id"]
    forget(home)
    (home / "default.db").write_bytes(backup)

    result = psage("credit-note", "110", "--json")

    assert result.code == 0
    (allocation,) = services.sage.allocations.values()
    assert later in {part["artefact"]["id"] for part in allocation["allocated_artefacts"]}


def test_what_is_a_draft_again_is_not_sent_again(begun: Sandbox, psage: Psage) -> None:
    said = begun.productive.table("invoices")["101"]["attributes"]
    said.update(finalized_on=None, finalized_at=None)

    young = psage(*COPY)
    begun.advance(400)
    old = psage(*COPY)

    assert (young.code, old.code) == (8, 4)
    assert old.only["error"]["code"] == "is_draft"
    assert writes(begun, "sage") == []
    begun.clear_calls()


def test_a_credit_note_is_not_sent_again_for_a_copy_that_is_voided(
    services: Sandbox, psage: Psage
) -> None:
    made = psage("copy-invoice", "111", *PLAIN).only["sage_id"]
    with lost(services, "/sales_credit_notes"):
        assert psage("credit-note", "110", "--json").code == 8
    services.bookkeeper.void(made)
    services.advance(400)

    result = psage("credit-note", "110", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_gone")
    assert services.sage.credit_notes == {}


@pytest.mark.parametrize(
    "asked", [("--tax-rate", "nope"), ("--no-tax", "--customer", "Ambiguous Ltd")]
)
def test_a_copy_that_is_made_and_not_as_asked_is_said_with_its_number(
    begun: Sandbox, psage: Psage, asked: tuple[str, ...]
) -> None:
    corrected(begun)

    result = psage("copy-invoice", "101", *asked, "--no-pdf", "--json")

    (copy,) = copies(begun, "101")
    assert result.code == 7
    assert (result.only["action"], result.only["sage_id"]) == ("differs", copy["id"])
    assert copy["displayed_as"] in result.only["error"]["message"]


def test_what_another_command_recovers_is_held_against_productive(
    begun: Sandbox, psage: Psage
) -> None:
    corrected(begun)

    result = psage(*OTHER)

    recovered = next(row for row in result.results if row["productive_id"] == "101")
    assert result.code == 7
    assert (recovered["action"], recovered["error"]["code"]) == ("differs", "totals_differ")
    assert "1775.00" in recovered["error"]["message"]
    assert MORE in recovered["error"]["message"]


def test_a_recovered_copy_that_is_paid_meanwhile_differs(services: Sandbox, psage: Psage) -> None:
    services.search_lag_s = services.list_lag_s = 60
    services.fault("cut_after", method="POST", path="/sales_invoices", times=2)
    assert psage(*COPY).code == 8
    (copy,) = copies(services, "101")
    services.bookkeeper.pay(copy["id"], "5.00", "2026-03-01")
    corrected(services)
    services.search_lag_s = services.list_lag_s = 0

    result = psage(*COPY)

    assert (result.code, result.only["action"]) == (7, "differs")
    assert result.only["sage_id"] == copy["id"]
    assert "1775.00" in result.only["error"]["message"]


def test_what_was_made_and_voided_is_no_copy(services: Sandbox, psage: Psage) -> None:
    services.search_lag_s = services.list_lag_s = 60
    services.fault("cut_after", method="POST", path="/sales_invoices", times=2)
    assert psage(*COPY).code == 8
    services.bookkeeper.void(copies(services, "101")[0]["id"])
    services.search_lag_s = services.list_lag_s = 0

    result = psage(*OTHER)

    recovered = next(row for row in result.results if row["productive_id"] == "101")
    assert recovered["error"]["code"] == "copy_gone"
    assert not services.productive.invoices["101"].get("export_id")


def test_a_copy_that_is_made_and_brought_up_to_date_is_created(
    begun: Sandbox, psage: Psage
) -> None:
    corrected(begun)

    result = psage(*COPY)

    (copy,) = copies(begun, "101")
    assert (result.code, result.only["action"]) == (0, "created")
    assert f"{copy['net_amount']:.2f}" == MORE


@pytest.mark.parametrize("body", [{}, [], {"data": None}, {"data": {"id": "7"}}])
def test_a_mark_counts_where_the_answer_is_about_the_invoice(
    services: Sandbox, psage: Psage, body: object
) -> None:
    services.fault("status", service="productive", method="PATCH", status=200, body=body)
    first = psage(*COPY)

    assert psage(*OTHER).code == 0

    assert "mark_refused" in [one["code"] for one in first.only["warnings"]]
    (copy,) = copies(services, "101")
    assert services.productive.invoices["101"]["export_id"] == copy["id"]
    services.clear_calls()


@pytest.mark.parametrize(
    ("status", "body"), [(404, {"message": "no Route matched"}), (200, {"ok": True})]
)
def test_a_payment_that_is_still_there_is_not_said_to_be_removed(
    services: Sandbox, psage: Psage, status: int, body: dict[str, Any]
) -> None:
    assert psage(*COPY).code == 0
    assert psage(*ON).code == 0
    receipt = services.bookkeeper.pay(copies(services, "101")[0]["id"], "10.00", "2026-03-01")
    assert psage("sync-payments").code == 0
    services.bookkeeper.delete_receipt(receipt)
    services.fault("status", service="productive", method="DELETE", status=status, body=body)

    first, second = psage("sync-payments", "--json"), psage("sync-payments", "--json")

    assert (first.code, first.json["deleted"]) == (5, [])
    assert (second.code, len(second.json["deleted"])) == (0, 1)
    assert services.productive.payments == {}
    services.clear_calls()


def test_a_list_that_always_names_one_more_page_ends(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from productive_sage.sage.calls import Calls

    get, pages = Calls.get, iter(range(10**6))

    def endless(self: Calls, path: str, *args: Any, **more: Any) -> Any:
        page = get(self, path.partition("?page=")[0], *args, **more)
        return page | {"$next": f"/tax_rates?page={next(pages)}"} if "/tax_rates" in path else page

    monkeypatch.setattr(Calls, "get", endless)

    result = psage("copy-invoice", "101", "--tax-rate", "GB_STANDARD", "--no-pdf", "--json")

    assert result.code == 5
    assert "never ends" in json.dumps(result.only["error"])
    assert next(pages) < 100


def test_a_copy_that_is_found_says_where_its_tax_is_another(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    asked = ("copy-invoice", "101", "--tax-rate", "20%", "--no-pdf", "--json")
    assert psage(*asked).code == 0
    forget(home)
    assert psage(*asked).only["warnings"][0]["code"] == "adopted"
    forget(home)
    (copy,) = copies(services, "101")
    for line in range(len(copy["invoice_lines"])):
        services.bookkeeper.edit_invoice(copy["id"], line=line, tax_rate_id="GB_ZERO")

    result = psage(*asked)

    said = {one["code"]: one["message"] for one in result.only["warnings"]}
    assert "355.00" in said["tax_not_mirrored"]
    assert "0.00" in said["tax_not_mirrored"]
