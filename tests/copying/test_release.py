"""Drafts for review: copied as such, known as such by every command, booked by `release`."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from productive_sage.copying import release_write
from productive_sage.sandbox import Sandbox
from productive_sage.store import Store
from tests.conftest import Psage, copies, first_line, forget, writes

DRAFT = ("copy-invoice", "124", "--draft", "--json")
RELEASED = ["POST /sales_invoices/{}/release"]


@pytest.fixture
def drafted(services: Sandbox, psage: Psage) -> Sandbox:
    """Invoice 124 is a draft in Sage; it has a PDF in Productive."""
    services.agency.set_pdf(124, b"%PDF-1.4 of 124")
    assert psage(*DRAFT).code == 0
    services.clear_calls()
    return services


def only_copy(services: Sandbox, productive_id: str = "124") -> dict[str, Any]:
    (row,) = copies(services, productive_id)
    return row


def releases(services: Sandbox) -> list[str]:
    return [one for one in writes(services, "sage") if one.endswith("/release")]


def pending(home: Path, productive_id: str = "124") -> set[str]:
    with Store(home / "default.db") as store:
        (link,) = store.copies.of(productive_id)
        return set(link.pending)


# --- a draft is made


def test_a_draft_is_not_booked_and_is_marked_at_once(services: Sandbox, psage: Psage) -> None:
    result = psage(*DRAFT)

    copy = only_copy(services)
    assert (result.code, result.only["action"]) == (0, "created")
    assert (result.only["draft"], result.only["sage_number"]) == (True, None)
    assert (copy["status"]["id"], copy["displayed_as"]) == ("DRAFT", "SI-DRAFT")
    marked = services.productive.invoices["124"]
    assert (marked["exported"], marked["export_id"]) == (True, copy["id"])
    assert services.sage.attachments == {}


def test_the_setting_leaves_drafts_and_a_flag_books_all_the_same(
    services: Sandbox, psage: Psage
) -> None:
    assert psage("configure", "--copies", "draft").code == 0
    assert "They are drafts in Sage" in psage("configure", "--show").out

    psage("copy-invoice", "124")
    psage("copy-invoice", "125", "--booked")

    assert only_copy(services, "124")["status"]["id"] == "DRAFT"
    assert only_copy(services, "125")["status"]["id"] == "UNPAID"


def test_a_draft_is_told_with_the_way_into_the_books(services: Sandbox, psage: Psage) -> None:
    plan = psage("copy-invoice", "124", "--draft", "--dry-run")
    result = psage("copy-invoice", "124", "--draft")

    assert "draft" in plan.out
    assert "SI-DRAFT" not in result.out
    assert "`psage release INV-2026-024`" in result.out
    assert "INV-2026-024 → draft " in psage("reconcile").out
    assert "draft of an invoice created" in psage("history").out


@pytest.mark.parametrize("flags", [("--draft", "--booked"), ("--draft", "--update-existing")])
def test_flags_that_contradict_each_other_are_refused(
    services: Sandbox, psage: Psage, flags: tuple[str, ...]
) -> None:
    assert psage("copy-invoice", "124", *flags).code == 2
    assert writes(services) == []


def test_a_draft_that_sage_books_at_once_is_said(services: Sandbox, psage: Psage) -> None:
    """What `status_id` does in a POST is not proven for every role."""
    services.fault(
        "field",
        method="POST",
        path="/sales_invoices",
        body={"at": ["status", "id"], "json": '"UNPAID"'},
    )

    result = psage(*DRAFT)

    assert (result.code, result.only["action"]) == (7, "differs")
    assert result.only["error"]["details"]["status"] == {"planned": "draft", "found": "UNPAID"}


# --- it is booked


def test_release_books_it_and_does_what_waited(drafted: Sandbox, psage: Psage, home: Path) -> None:
    key = only_copy(drafted)["id"]

    result = psage("release", "INV-2026-024", "--json")

    copy = only_copy(drafted)
    assert (result.code, result.only["action"]) == (0, "released")
    assert (result.only["draft"], result.only["sage_number"]) == (False, copy["displayed_as"])
    assert result.json["summary"]["released"] == 1
    assert copy["status"]["id"] == "UNPAID"
    assert releases(drafted) == [one.format(key) for one in RELEASED]
    assert len(drafted.sage.attachments) == 1
    assert pending(home) == set()
    told = psage("history", "--document", "124").out
    assert f"{copy['displayed_as']} released" in told
    assert "760.00 GBP" in told.splitlines()[-2] + told.splitlines()[-1]
    assert "SI-DRAFT" not in told


def test_released_once_more_nothing_is_sent(drafted: Sandbox, psage: Psage) -> None:
    psage("release", "124")
    drafted.clear_calls()

    result = psage("release", "124", "--json")

    assert (result.code, result.only["action"]) == (0, "unchanged")
    assert [one["code"] for one in result.only["warnings"]] == ["already_booked"]
    assert writes(drafted) == []


def test_a_dry_run_shows_the_release_and_sends_nothing(drafted: Sandbox, psage: Psage) -> None:
    result = psage("release", "124", "--dry-run", "--json")

    (request,) = result.only["would_send"]
    assert result.only["action"] == "would_release"
    assert request["path"].endswith("/release")
    assert writes(drafted) == []
    assert psage("release", "124", "--dry-run").code == 0


def test_a_dry_run_of_many_releases_has_no_lines_to_ask_for(
    services: Sandbox, psage: Psage
) -> None:
    company = services.agency.add_company("Copper Kettle")
    some = [
        services.agency.add_invoice(company_id=company, lines=[{"unit_price": "10.00"}])
        for _ in range(5)
    ]
    assert psage("copy-invoice", *some, "--draft", "--no-tax", "--no-pdf").code == 0

    result = psage("release", "--all", "--dry-run")

    assert result.out.count("would be released") == 6  # and once in the sum
    assert "the lines of each" not in result.err


def test_all_that_wait_are_booked_after_somebody_agrees(
    drafted: Sandbox, psage: Psage, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    psage("copy-invoice", "125", "--draft", "--no-tax", "--customer", "Northwind Traders Ltd")
    monkeypatch.setattr("typer.confirm", lambda *args, **kwargs: False)
    refused = psage("release", "--all")
    before = releases(drafted)
    monkeypatch.setattr("typer.confirm", lambda *args, **kwargs: True)

    result = psage("release", "--all")

    assert (refused.code != 0, before) == (True, [])
    assert result.code == 0
    assert {only_copy(drafted, one)["status"]["id"] for one in ("124", "125")} == {"UNPAID"}


def test_a_script_has_to_agree_to_all(drafted: Sandbox, psage: Psage) -> None:
    refused = psage("release", "--all", "--json")
    result = psage("release", "--all", "--yes", "--json")
    none = psage("release", "--all", "--yes")

    assert (refused.code, refused.json["error"]["code"]) == (2, "input_needed")
    assert (result.code, result.only["action"]) == (0, "released")
    assert (none.code, "no copy waits" in none.out) == (0, True)


@pytest.mark.parametrize("words", [(), ("124", "--all")])
def test_release_wants_names_or_all(
    services: Sandbox, psage: Psage, words: tuple[str, ...]
) -> None:
    assert psage("release", *words).code == 2


def test_what_has_no_copy_is_not_released(services: Sandbox, psage: Psage) -> None:
    result = psage("release", "124", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "invoice_not_copied")
    assert "--draft" in result.only["error"]["hint"]


def test_a_draft_of_another_amount_is_not_released(drafted: Sandbox, psage: Psage) -> None:
    drafted.agency.edit_line(first_line(drafted, "124"), quantity="1")

    result = psage("release", "124", "--json")
    updated = psage("copy-invoice", "124", "--update-existing", "--json")
    released = psage("release", "124", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_outdated")
    assert (updated.only["action"], updated.only["draft"]) == ("updated", True)
    assert released.only["action"] == "released"


def test_productives_number_is_the_releases(services: Sandbox, psage: Psage) -> None:
    psage("configure", "--numbering", "productive")
    assert psage(*DRAFT).code == 0

    result = psage("release", "124", "--json")

    assert result.only["sage_number"] == "INV-2026-024"


def test_another_number_than_productives_is_said(services: Sandbox, psage: Psage) -> None:
    psage("configure", "--numbering", "productive")
    psage(*DRAFT)
    books = services.sage.books().table("sales_invoices")
    books[only_copy(services)["id"]]["wanted"] = {}

    result = psage("release", "124", "--json")

    assert (result.code, result.only["action"]) == (7, "differs")
    assert "number" in result.only["error"]["details"]


def test_sages_refusal_of_a_release_is_shown_with_a_way_out(drafted: Sandbox, psage: Psage) -> None:
    drafted.fault("status", method="POST", path="/sales_invoices/*/release", status=403)

    refused = psage("release", "124", "--json")
    released = psage("release", "124", "--json")

    assert (refused.code, refused.only["action"]) == (4, "refused")
    assert "release the draft there" in refused.only["error"]["hint"]
    assert released.only["action"] == "released"


def test_what_somebody_books_in_the_same_moment_is_no_failure(
    drafted: Sandbox, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = release_write.begin

    def beaten(*args: Any) -> Any:
        drafted.bookkeeper.release(only_copy(drafted)["id"])
        return begin(*args)

    monkeypatch.setattr(release_write, "begin", beaten)

    result = psage("release", "124", "--json")

    assert (result.code, result.only["action"]) == (0, "unchanged")
    assert result.only["sage_number"] == only_copy(drafted)["displayed_as"]
    assert "already_booked" in {one["code"] for one in result.only["warnings"]}
    assert pending(home) == set()
    assert len(releases(drafted)) == 1


def test_a_yes_that_leaves_it_a_draft_is_not_believed(drafted: Sandbox, psage: Psage) -> None:
    key = only_copy(drafted)["id"]
    for path in (f"/sales_invoices/{key}/release", f"/sales_invoices/{key}"):
        body = {"at": ["status", "id"], "json": '"DRAFT"'}
        drafted.fault("field", path=path, body=body, times=9)

    result = psage("release", "124", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_is_draft")


def test_an_answer_that_says_what_it_was_is_looked_up(drafted: Sandbox, psage: Psage) -> None:
    path = f"/sales_invoices/{only_copy(drafted)['id']}/release"
    drafted.fault("field", path=path, body={"at": ["status", "id"], "json": '"DRAFT"'})

    result = psage("release", "124", "--json")

    assert (result.code, result.only["action"]) == (0, "released")
    assert result.only["sage_number"] == only_copy(drafted)["displayed_as"]


# --- a lost answer


@pytest.mark.parametrize("fault", ["cut_after", "status_after", "truncated", "cut_before"])
def test_a_lost_answer_is_looked_at_and_the_release_is_not_sent_twice(
    drafted: Sandbox, psage: Psage, fault: str
) -> None:
    drafted.fault(fault, method="POST", path="/sales_invoices/*/release")

    result = psage("release", "124", "--json")

    assert (result.code, result.only["action"]) == (0, "released")
    sent = 2 if fault == "cut_before" else 1
    assert len(releases(drafted)) == sent


def test_an_unknown_outcome_is_settled_by_the_next_run(drafted: Sandbox, psage: Psage) -> None:
    drafted.fault("cut_after", method="POST", path="/sales_invoices/*/release")
    drafted.fault("status", method="GET", path="/sales_invoices/*", nth=2, times=9, status=503)
    unknown = psage("release", "124", "--json")
    said = psage("status", "--json").json["waiting"]
    drafted.clear_faults()
    drafted.clear_calls()

    result = psage("release", "124", "--json")

    assert (unknown.code, unknown.only["action"]) == (8, "unknown")
    assert "the release of its draft" in said[0]["message"]
    assert (result.code, result.only["action"]) == (0, "released")
    assert releases(drafted) == []


# --- what the bookkeeper does in Sage


def test_what_was_released_in_sage_is_noticed_and_finished(
    drafted: Sandbox, psage: Psage, home: Path
) -> None:
    drafted.bookkeeper.release(only_copy(drafted)["id"])

    result = psage("copy-invoice", "125", "--json")

    (said,) = [one for one in result.results if one["productive_id"] == "124"]
    assert "released" in [one["code"] for one in said["warnings"]]
    assert said["sage_number"] == only_copy(drafted)["displayed_as"]
    assert pending(home) == set()
    assert len(drafted.sage.attachments) == 2


def test_what_was_deleted_in_sage_is_noticed(drafted: Sandbox, psage: Psage, home: Path) -> None:
    drafted.bookkeeper.delete_invoice(only_copy(drafted)["id"])

    result = psage("copy-invoice", "125", "--json")
    again = psage("release", "124", "--json")

    (said,) = [one for one in result.results if one["productive_id"] == "124"]
    assert [one["code"] for one in said["warnings"]] == ["draft_gone"]
    assert "--create-new" in said["warnings"][0]["message"]
    assert pending(home) == set()
    assert again.only["error"]["code"] == "copy_gone"
    assert psage("copy-invoice", "124", "--create-new", "--draft").code == 0


def test_what_was_edited_in_sage_stays_and_is_booked_so(drafted: Sandbox, psage: Psage) -> None:
    drafted.bookkeeper.edit_invoice(only_copy(drafted)["id"], description="as agreed")
    drafted.agency.edit_invoice("124", pay_on="2026-04-30")

    updated = psage("copy-invoice", "124", "--update-existing", "--json")
    released = psage("release", "124", "--json")

    assert "kept" in [one["code"] for one in updated.only["warnings"]]
    assert released.only["action"] == "released"
    lines = only_copy(drafted)["invoice_lines"]
    assert lines[0]["description"] == "as agreed"


def test_however_many_wait_a_run_asks_once_for_them(drafted: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "125", "101", "--draft")
    drafted.clear_calls()

    psage("copy-invoice", "124", "--json")

    lists = [call for call in drafted.calls("sage", "GET") if "status_id" in call.query]
    single = [call for call in drafted.calls("sage", "GET") if "/sales_invoices/" in call.path]
    assert (len(lists), len(single)) == (1, 1)


# --- every command knows it


def test_a_draft_is_not_copied_again(drafted: Sandbox, psage: Psage) -> None:
    plain = psage("copy-invoice", "124", "--json")
    new = psage("copy-invoice", "124", "--create-new", "--json")
    drafts = psage("copy-invoice", "124", "--draft", "--json")

    assert plain.only["error"]["code"] == drafts.only["error"]["code"] == "already_copied"
    assert "psage release INV-2026-024" in plain.only["error"]["hint"]
    assert new.only["error"]["code"] == "copy_is_draft"
    assert len(copies(drafted, "124")) == 1
    assert [one for one in writes(drafted) if one.startswith("POST")] == []


def test_a_person_is_asked_whether_to_update_the_draft(
    drafted: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["2"]

    assert psage("copy-invoice", "124").code == 0
    assert writes(drafted) == []


def test_list_and_status_show_what_waits(drafted: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "125")

    rows = psage("list", "--drafts", "--json").json["documents"]
    (errand,) = psage("status", "--json").json["waiting"]
    assert "draft in Sage (" not in psage("list", "--drafts", "--check").out
    uncopied = psage("list", "--not-copied", "--json").json["documents"]

    assert [(one["number"], one["state"], one["sage_number"]) for one in rows] == [
        ("INV-2026-024", "draft_in_sage", None)
    ]
    assert (errand["code"], errand["next"]) == (
        "draft_not_released",
        "psage release INV-2026-024",
    )
    assert "124" not in {one["productive_id"] for one in uncopied}
    psage("copy-invoice", "101", "--draft")
    (errand,) = psage("status", "--json").json["waiting"]
    assert errand["next"] == "psage release --all"


def test_list_with_a_look_into_sage_sees_a_release(drafted: Sandbox, psage: Psage) -> None:
    drafted.bookkeeper.release(only_copy(drafted)["id"])

    (row,) = (
        one
        for one in psage("list", "--check", "--json").json["documents"]
        if one["productive_id"] == "124"
    )

    assert (row["state"], row["sage_number"]) == ("copied", only_copy(drafted)["displayed_as"])
    assert psage("list", "--drafts", "--check", "--json").json["documents"] == []


def test_a_sync_claims_nothing_of_a_draft_and_asks_nothing_for_it(
    services: Sandbox, psage: Psage
) -> None:
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    psage(*DRAFT)
    services.clear_calls()

    result = psage("sync-payments", "--full", "--json")
    named = psage("sync-payments", "124", "--json")

    assert (result.code, result.json["skipped"], result.json["failed"]) == (0, [], [])
    assert result.json["checked_invoices"] == 0
    (said,) = named.json["skipped"]
    assert said["code"] == "copy_is_draft"
    assert "psage release INV-2026-024" in json.dumps(said)


def test_a_draft_that_stands_twice_in_sage_is_said(services: Sandbox, psage: Psage) -> None:
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    psage(*DRAFT)
    other = services.bookkeeper.enter_draft("PRD-124", amount="912.00")

    result = psage("sync-payments", "--json")

    said = {one["code"]: json.dumps(one) for one in result.json["skipped"]}
    assert "copied_twice" in said
    assert other in said["copied_twice"]


def test_a_sync_brings_payments_of_what_was_released_in_sage(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    psage(*DRAFT)
    key = only_copy(services)["id"]
    services.bookkeeper.release(key)
    services.bookkeeper.pay(key, "5.00", "2026-03-01")

    result = psage("sync-payments", "--json")

    assert [one["amount"] for one in result.json["created"]] == ["5.00"]
    assert "release" not in pending(home)


def test_reconcile_names_the_command_that_books_it(drafted: Sandbox, psage: Psage) -> None:
    result = psage("reconcile", "--json")

    (found,) = [one for one in result.json["findings"] if one["code"] == "draft_not_released"]
    assert result.code == 7
    assert "psage release INV-2026-024" in json.dumps(found)


def test_a_report_says_that_it_is_a_draft(services: Sandbox, psage: Psage, tmp_path: Path) -> None:
    file = tmp_path / "report.csv"
    psage("copy-invoice", "124", "--draft", "--report", str(file))

    (row,) = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig")))
    assert (row["action"], row["sage_number"]) == ("created", "draft")


def test_a_draft_can_be_opened(drafted: Sandbox, psage: Psage) -> None:
    result = psage("open", "124", "--json")

    assert (result.code, only_copy(drafted)["id"] in result.json["address"]) == (0, True)


# --- credit notes


def test_a_credit_note_of_a_draft_is_refused_with_the_way_out(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "111", "--draft")

    result = psage("credit-note", "110", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_is_draft")
    assert "psage release" in result.only["error"]["hint"]


def test_a_credit_note_is_allocated_once_it_is_released(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "111")
    draft = psage("credit-note", "110", "--draft", "--json")
    before = services.sage.allocations

    result = psage("release", "110", "--json")

    assert (draft.only["draft"], before) == (True, {})
    assert (result.code, result.only["allocated"]) == (0, "1775.00")


def test_an_invoice_and_its_credit_note_are_released_in_order(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "111")
    psage("credit-note", "110", "--draft")
    books = services.sage.books().table("sales_invoices")
    key = only_copy(services, "111")["id"]
    books[key]["status"] = "DRAFT"
    with_invoice = psage("release", "110", "111", "--dry-run", "--json")
    alone = psage("release", "110", "--json")

    result = psage("release", "110", "111", "--json")

    assert [one["action"] for one in with_invoice.results] == ["would_release"] * 2
    assert alone.only["error"]["code"] == "copy_is_draft"
    assert [(one["productive_id"], one["action"]) for one in result.results] == [
        ("111", "released"),
        ("110", "released"),
    ]


# --- another machine, lost records


def test_a_machine_that_does_not_know_the_draft_releases_it_by_its_marker(
    drafted: Sandbox, psage: Psage, home: Path
) -> None:
    forget(home)

    plain = psage("copy-invoice", "124", "--json")
    result = psage("release", "124", "--json")

    assert plain.only["error"]["code"] == "copy_is_draft"
    assert "psage release INV-2026-024" in plain.only["error"]["hint"]
    assert (result.code, result.only["action"]) == (0, "released")


def test_a_machine_that_leaves_drafts_too_takes_it_over(
    drafted: Sandbox, psage: Psage, home: Path
) -> None:
    forget(home)

    result = psage(*DRAFT)

    assert (result.only["action"], result.only["draft"]) == ("adopted", True)
    assert "release" in pending(home)


def test_a_machine_learns_of_the_draft_by_its_night(
    drafted: Sandbox, psage: Psage, home: Path
) -> None:
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    forget(home)
    drafted.bookkeeper.enter_draft("PRD-101", amount="1775.00")  # nobody's copy

    result = psage("sync-payments", "--json")

    states = {
        one["productive_id"]: one["state"] for one in psage("list", "--json").json["documents"]
    }
    assert (result.code, result.json["skipped"]) == (0, [])
    assert (states["124"], states["101"]) == ("draft_in_sage", "not_copied")


def test_rebuilt_records_know_the_draft(drafted: Sandbox, psage: Psage, home: Path) -> None:
    forget(home)

    assert psage("rebuild", "--yes").code == 0

    assert "release" in pending(home)
    assert psage("release", "--all", "--yes", "--json").only["action"] == "released"


def test_rebuilt_records_know_that_a_draft_is_to_be_allocated(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "111")
    psage("credit-note", "110", "--draft")
    forget(home)
    assert psage("rebuild", "--yes").code == 0

    result = psage("release", "110", "--json")

    assert (result.only["action"], result.only["allocated"]) == ("released", "1775.00")


def test_a_draft_somebody_entered_is_taken_by_release_alone(
    services: Sandbox, psage: Psage
) -> None:
    services.bookkeeper.enter_draft("PRD-101", amount="1775.00")

    copied = psage("copy-invoice", "101", "--json")
    released = psage("release", "101", "--json")

    assert copied.only["error"]["code"] == "copy_is_draft"
    assert released.only["action"] == "released"
