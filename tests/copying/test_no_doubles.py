"""Sequences that tried to make psage copy twice, lose a copy, or say what is not so."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from productive_sage.kinds import Kind
from productive_sage.sage.documents import Documents
from productive_sage.sandbox import Sandbox
from productive_sage.signin.vault import Vault
from tests.conftest import Psage, copies, first_line, forget, writes


def lose_the_answer_twice(sandbox: Sandbox, path: str = "/sales_invoices") -> None:
    """Sage books it, but neither the first nor the second try hears of it; no search shows it."""
    sandbox.search_lag_s = sandbox.list_lag_s = 3600
    sandbox.fault("cut_after", method="POST", path=path, times=2)


def ends_of_copies(home: Path) -> list[str]:
    """What became of each intent of a copy, the first first."""
    with closing(sqlite3.connect(home / "default.db")) as db:
        rows = db.execute("SELECT state FROM intent WHERE source_id = '101' ORDER BY id")
        return [state for (state,) in rows]


# --- finding what is there


def test_a_copy_sages_search_does_not_show_yet_is_found_by_productives_mark(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.search_lag_s = 3600
    psage("copy-invoice", "101")
    forget(home)

    result = psage("copy-invoice", "101", "--json")

    assert result.only["action"] == "adopted"
    assert len(copies(services, "101")) == 1


def test_a_foreign_export_id_is_no_copy(services: Sandbox, psage: Psage) -> None:
    services.agency.edit_invoice("101", exported=True, export_id="xero-4711")

    result = psage("copy-invoice", "101", "--json")

    assert result.only["action"] == "created"


@pytest.mark.parametrize("back", [timedelta(seconds=-5), timedelta(days=-400)])
def test_a_clock_set_back_does_not_make_an_open_write_old(
    services: Sandbox, psage: Psage, home: Path, back: timedelta
) -> None:
    lose_the_answer_twice(services)
    first = psage("copy-invoice", "101")
    services.advance(back.total_seconds())

    again = psage("copy-invoice", "101")

    assert (first.code, again.code) == (8, 0)
    assert len(copies(services, "101")) == 1
    assert ends_of_copies(home) == ["done"]


def test_a_write_that_never_arrived_is_closed_after_a_day_and_copied_afresh(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.fault("cut_before", method="POST", path="/sales_invoices", times=2)
    first = psage("copy-invoice", "101")
    services.advance(timedelta(days=2).total_seconds())

    again = psage("copy-invoice", "101", "--json")

    assert (first.code, again.code) == (8, 0)
    assert again.only["action"] == "created"
    keys = {
        json.loads(call.body)["sales_invoice"]["idempotency_id"]
        for call in services.calls("sage", "POST", "/sales_invoices")
    }
    assert ends_of_copies(home) == ["lapsed", "done"]
    assert len(keys) == 1  # should the first arrive after all, Sage makes nothing new of it
    assert len(copies(services, "101")) == 1


@pytest.mark.parametrize("reference", ["PRD-101 PO 77", "PO77/PRD-101", "prd-101 (paid late)"])
def test_a_reference_people_added_to_is_still_a_marker(
    services: Sandbox, psage: Psage, home: Path, reference: str
) -> None:
    made = psage("copy-invoice", "101", "--json").only
    services.bookkeeper.edit_invoice(made["sage_id"], reference=reference)
    services.agency.edit_invoice("101", export_id=None)
    forget(home)
    adopted = psage("copy-invoice", "101", "--json")
    services.agency.edit_line(first_line(services, "101"), quantity="1")

    psage("copy-invoice", "101", "--update-existing")

    assert adopted.only["sage_id"] == made["sage_id"]
    assert services.sage.invoices[made["sage_id"]]["reference"] == reference


def test_two_documents_with_one_marker_are_refused_and_the_rest_goes_on(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "101")
    second = psage("copy-invoice", "125", "--customer", "Northwind Traders Ltd", "--json").only
    services.bookkeeper.edit_invoice(second["sage_id"], reference="PRD-101")
    services.agency.edit_invoice("101", export_id=None)
    forget(home)

    result = psage("copy-invoice", "101", "112", "--json")

    assert [one["action"] for one in result.results] == ["refused", "created"]
    assert result.results[0]["error"]["code"] == "copy_unclear"
    assert second["sage_id"] in result.results[0]["error"]["details"]["sage_ids"]


def test_of_a_void_and_a_living_document_the_living_one_is_the_copy(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    void = psage("copy-invoice", "101", "--json").only
    living = psage("copy-invoice", "101", "--create-new", "--json").only
    services.bookkeeper.edit_invoice(living["sage_id"], reference="PRD-101")
    services.bookkeeper.void(void["sage_id"])
    forget(home)

    result = psage("copy-invoice", "101", "--json")

    assert result.only["sage_id"] == living["sage_id"]


def test_a_strangers_invoice_with_our_reference_is_not_taken_for_the_copy(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    strange = psage("copy-invoice", "101", "--json").only
    services.bookkeeper.edit_invoice(strange["sage_id"], reference="Re PRD-125")
    services.clear_calls()

    forget(home)
    refused = psage("copy-invoice", "125", "--update-existing", "--json")
    told = psage("copy-invoice", "125", "--customer", "Northwind Traders Ltd", "--json")

    assert refused.only["error"]["code"] == "copy_unclear"
    assert writes(services, "sage") == []
    assert told.only["sage_id"] == strange["sage_id"]


def test_a_404_of_another_business_is_not_a_deletion(services: Sandbox, psage: Psage) -> None:
    made = psage("copy-invoice", "101", "--json").only
    services.fault(
        "status",
        path=f"/sales_invoices/{made['sage_id']}",
        status=404,
        headers={"X-Business": "another"},
    )

    result = psage("copy-invoice", "101", "--json")

    assert result.only["error"]["code"] == "different_business"


def test_another_invoices_copy_is_not_taken_over_by_an_export_id(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    made = psage("copy-invoice", "101", "--json").only
    services.agency.edit_invoice("125", exported=True, export_id=made["sage_id"])
    forget(home)
    services.clear_calls()

    result = psage("copy-invoice", "125", "--update-existing", "--json")

    assert result.only["error"]["code"] == "copy_unclear"
    assert writes(services, "sage") == []


def test_the_second_copy_found_by_its_id_stays_the_second(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "101")
    second = psage("copy-invoice", "101", "--create-new", "--json").only
    services.search_lag_s = 3600
    forget(home)

    found = psage("copy-invoice", "101", "--json")
    third = psage("copy-invoice", "101", "--create-new", "--json")

    assert found.only["sage_id"] == second["sage_id"]
    assert third.only["action"] == "created"
    assert third.only["sage_id"] in [row["id"] for row in copies(services, "101")]
    assert {row["reference"] for row in copies(services, "101")} == {
        "PRD-101",
        "PRD-101-2",
        "PRD-101-3",
    }


# --- customers


def test_the_customer_of_a_recovered_copy_is_remembered(services: Sandbox, psage: Psage) -> None:
    services.fault("cut_after", method="POST", path="/sales_invoices", times=2)
    services.search_lag_s = services.list_lag_s = 3600
    psage("copy-invoice", "123", "--customer", "Northwind Traders Ltd", "--remember")
    services.search_lag_s = services.list_lag_s = 0

    result = psage("copy-invoice", "124", "--json")

    billed = {one["productive_id"]: one["customer"]["id"] for one in result.results}
    assert set(billed.values()) == {services.bookkeeper.contact_id("Northwind Traders Ltd")}
    assert set(billed) == {"123", "124"}


def test_a_copy_the_bookkeeper_billed_to_another_contact_is_left_there(
    services: Sandbox, psage: Psage
) -> None:
    made = psage("copy-invoice", "101", "--json").only
    other = services.bookkeeper.contact_id("Northwind Trading Limited")
    services.bookkeeper.edit_invoice(made["sage_id"], contact_id=other)
    services.clear_calls()

    result = psage("copy-invoice", "101", "--update-existing", "--json")

    assert result.only["action"] == "unchanged"
    assert writes(services) == []


def test_a_customer_made_on_request_is_not_made_again_when_its_invoice_was_refused(
    services: Sandbox, psage: Psage
) -> None:
    services.fault("status", method="POST", path="/sales_invoices", status=422)

    refused = psage("copy-invoice", "123", "--create-customer", "--json")
    copied = psage("copy-invoice", "123", "--create-customer", "--json")
    third = psage("copy-invoice", "124", "--create-customer", "--json")

    assert refused.only["customer"]["created"] is True
    assert copied.only["customer"]["id"] == refused.only["customer"]["id"]
    assert third.only["customer"]["id"] != copied.only["customer"]["id"]


def test_one_named_customer_for_several_companies_is_a_mistake(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "101", "125", "--customer", "Northwind Traders Ltd", "--json")

    assert result.code == 2
    assert result.json["error"]["code"] == "usage"
    assert writes(services) == []


# --- leftovers and recovering


def test_a_leftover_does_not_swallow_a_new_copy(services: Sandbox, psage: Psage) -> None:
    services.fault("status", service="productive", method="PATCH", path="/invoices", status=503)
    psage("copy-invoice", "101")

    result = psage("copy-invoice", "101", "--create-new", "--json")

    assert result.only["action"] == "created"
    assert [row["reference"] for row in copies(services, "101")] == ["PRD-101", "PRD-101-2"]
    assert services.productive.invoices["101"]["exported"] is True


def test_a_recovered_update_does_not_swallow_a_new_copy(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "101")
    services.agency.edit_line(first_line(services, "101"), quantity="1")
    services.fault("cut_after", method="PUT", path="/sales_invoices", times=2)
    psage("copy-invoice", "101", "--update-existing")

    result = psage("copy-invoice", "101", "--create-new", "--json")

    assert result.only["action"] == "created"
    assert len(copies(services, "101")) == 2


def test_a_recovered_new_copy_is_the_one_that_was_asked_for(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101")
    lose_the_answer_twice(services)
    psage("copy-invoice", "101", "--create-new")

    result = psage("copy-invoice", "101", "--create-new", "--json")

    assert (result.code, result.only["action"]) == (0, "created")
    assert len(copies(services, "101")) == 2


def test_productives_mark_and_number_stay_with_the_latest_copy(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    path = home / "default.toml"
    path.write_text("write_number_back = true\n" + path.read_text())
    patch: dict[str, Any] = {"service": "productive", "method": "PATCH", "path": "/invoices/101"}
    services.fault("status", **patch, times=4, status=503)
    psage("copy-invoice", "101")
    second = psage("copy-invoice", "101", "--create-new", "--json").only

    psage("copy-invoice", "125")

    assert services.productive.invoices["101"]["export_id"] == second["sage_id"]
    assert services.productive.invoices["101"]["number"] == second["sage_number"]


def test_a_leftover_that_meets_a_defect_stops_no_other_invoice(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.fault("status", service="productive", method="PATCH", path="/invoices", status=503)
    psage("copy-invoice", "101")
    whole = Documents.one

    def broken(self: Documents, kind: Kind, sage_id: str) -> Any:
        if any(row["id"] == sage_id for row in copies(services, "101")):
            raise ZeroDivisionError
        return whole(self, kind, sage_id)

    monkeypatch.setattr(Documents, "one", broken)

    result = psage("copy-invoice", "125", "--json")

    assert [one["action"] for one in result.results] == ["unchanged", "created"]
    assert result.code == 0


def test_a_void_copy_is_not_marked_as_exported_afterwards(services: Sandbox, psage: Psage) -> None:
    services.fault("status", service="productive", method="PATCH", path="/invoices", status=503)
    made = psage("copy-invoice", "101", "--json").only
    services.bookkeeper.void(made["sage_id"])

    psage("copy-invoice", "125")

    assert services.productive.invoices["101"]["exported"] is False


def test_what_was_recovered_is_said_though_the_run_then_fails(
    services: Sandbox, psage: Psage
) -> None:
    lose_the_answer_twice(services)
    psage("copy-invoice", "101")
    services.search_lag_s = services.list_lag_s = 0
    services.fault("status", service="productive", path="/invoices", nth=2, times=9, status=503)

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 5
    assert result.json["error"]["code"] == "service_unavailable"
    assert [one["action"] for one in result.results] == ["created"]


def test_what_was_recovered_is_said_though_productive_no_longer_has_the_invoice(
    services: Sandbox, psage: Psage
) -> None:
    lose_the_answer_twice(services)
    psage("copy-invoice", "101")
    services.search_lag_s = services.list_lag_s = 0
    services.agency.delete_invoice("101")

    result = psage("copy-invoice", "101", "--json")

    assert [one["action"] for one in result.results] == ["refused", "created"]
    assert result.results[0]["error"]["code"] == "not_found"


def test_a_refusal_moments_after_a_lost_answer_proves_nothing(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    path = home / "default.toml"
    path.write_text('numbering = "productive"\n' + path.read_text())
    lose_the_answer_twice(services)
    psage("copy-invoice", "101")
    services.remember_idempotency = False

    refused = psage("copy-invoice", "101", "--json")
    services.search_lag_s = services.list_lag_s = 0
    found = psage("copy-invoice", "101", "--json")

    assert refused.code == 8
    assert (found.code, found.only["action"]) == (0, "created")
    assert len(copies(services, "101")) == 1


def test_an_update_that_arrived_unheard_counts_though_the_invoice_was_then_paid(
    services: Sandbox, psage: Psage
) -> None:
    made = psage("copy-invoice", "101", "--json").only
    services.agency.edit_line(first_line(services, "101"), quantity="1")
    services.fault("cut_after", method="PUT", path="/sales_invoices", times=2)
    unknown = psage("copy-invoice", "101", "--update-existing")
    services.bookkeeper.pay(made["sage_id"], "10.00")

    result = psage("copy-invoice", "101", "--update-existing", "--json")

    assert unknown.code == 8
    assert (result.code, result.only["action"]) == (0, "unchanged")


def test_an_open_write_of_another_business_stops_psage_at_once(
    services: Sandbox, psage: Psage
) -> None:
    lose_the_answer_twice(services)
    psage("copy-invoice", "101")
    vault = Vault("default")
    vault.save(replace(vault.sage(), business_id="0" * 32))

    result = psage("copy-invoice", "101", "--json")

    assert result.json["error"]["code"] == "different_business"


def test_a_defect_while_recovering_stops_no_other_invoice(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    lose_the_answer_twice(services)
    psage("copy-invoice", "101")
    with closing(sqlite3.connect(home / "default.db")) as db, db:
        db.execute('UPDATE intent SET context = \'{"copy": 1, "number": "x"}\'')

    result = psage("copy-invoice", "125", "--json")

    assert [one["action"] for one in result.results] == ["unknown", "created"]
    assert result.code == 8


# --- saying what is so


def test_a_copy_that_differs_is_corrected_by_an_update_not_called_unchanged(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from productive_sage.sandbox.documents import create

    def dearer(books: Any, kind: Any, body: Any) -> Any:
        body["invoice_lines"][0]["unit_price"] = "96.00"
        body["invoice_lines"][0]["net_amount"] = "960.00"
        return create(books, kind, body)

    with monkeypatch.context() as patch:
        patch.setattr("productive_sage.sandbox.sage.create", dearer)
        differs = psage("copy-invoice", "101", "--json")

    result = psage("copy-invoice", "101", "--update-existing", "--json")

    assert differs.code == 7
    assert (result.code, result.only["action"]) == (0, "updated")
    assert copies(services, "101")[0]["net_amount"] == 1775


def test_an_update_of_a_copy_with_mixed_rates_wants_to_be_told_the_rate(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    made = psage("copy-invoice", "101", "--tax-rate", "GB_STANDARD", "--json").only
    services.bookkeeper.edit_invoice(made["sage_id"], tax_rate_id="GB_ZERO")
    forget(home)
    psage("copy-invoice", "101")
    services.clear_calls()

    result = psage("copy-invoice", "101", "--update-existing", "--json")

    assert result.only["error"]["code"] == "tax_rate_invalid"
    assert writes(services, "sage") == []


def test_new_settings_rewrite_no_copy_of_an_unchanged_source(
    services: Sandbox, psage: Psage
) -> None:
    made = psage("copy-invoice", "101", "--json").only
    psage("configure", "--default-ledger", "4900", "--numbering", "productive")
    psage("configure", "--map-item", "Design=DESIGN")
    services.clear_calls()

    result = psage("copy-invoice", "101", "--update-existing", "--json")

    assert result.only["action"] == "unchanged"
    assert writes(services) == []
    assert services.sage.invoices[made["sage_id"]]["displayed_as"] == made["sage_number"]


def test_an_unreadable_invoice_asked_for_by_number_says_why(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "--number", "INV-2026-008", "--json")

    assert result.only["error"]["code"] == "currency_unclear"


def test_half_a_character_and_control_characters_are_left_out(
    services: Sandbox, psage: Psage
) -> None:
    services.agency.edit_line(first_line(services, "101"), description="cut emoji \ud83d\x1b[2J!")
    services.agency.edit_company("501", name="North\x1b]0;wind\ud83d")

    result = psage("copy-invoice", "101", "--create-customer")

    assert result.code == 0
    assert "\x1b" not in result.out + result.err
    assert copies(services, "101")[0]["invoice_lines"][0]["description"] == "cut emoji [2J!"


def test_a_control_character_in_a_name_of_sage_does_not_spoil_the_settings(
    services: Sandbox, psage: Psage
) -> None:
    account = services.bookkeeper.ledger_account_id(4900)
    services.sage.books().table("ledger_accounts")[account]["name"] = "Other\x07\nincome"

    psage("configure", "--default-ledger", "4900")

    assert psage("configure", "--show").code == 0


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_code_page_without_the_characters_costs_nothing(
    encoding: str, form: tuple[str, ...], tmp_path: Path
) -> None:
    program = (
        "import sys\nfrom productive_sage import cli\nfrom productive_sage.terminal import render\n"
        "def run():\n"
        "    render.line('Łódź 😀')\n"
        "    render.document('x', 'default', exit_code=0, name='Łódź 😀')\n"
        "cli.app = lambda *a, **k: run()\nsys.exit(cli.main(['x']))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout[done.stdout.index(b"{") :])["name"] == "Łódź 😀"


def test_a_result_nobody_can_take_leaves_the_exit_code_of_the_work(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("productive_sage.terminal.render.document", full)

    result = psage("copy-invoice", "101", "--json")

    assert result.code == 0
    assert "cannot be printed: No space left on device" in result.err
    assert len(copies(services, "101")) == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_defect(closed: str, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m productive_sage configure --show {closed}'

    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PSAGE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_failure_names_the_command_it_happened_in(services: Sandbox, psage: Psage) -> None:
    result = psage("--profile", "demo", "copy-invoice", "101", "--json")

    assert result.json["command"] == "copy-invoice"
    assert result.json["profile"] == "demo"
