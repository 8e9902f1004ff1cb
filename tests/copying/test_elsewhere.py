"""Copies made elsewhere are known without being named, and what is none of them is left."""

from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from productive_sage.store import Store
from tests.conftest import Psage, Result, copies, forget, writes

ON = ("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
SYNC = ("sync-payments", "--json")
INVOICES = ("101", "105", "123")


@pytest.fixture
def elsewhere(services: Sandbox, home: Path, psage: Psage) -> Sandbox:
    """Three invoices were copied by another machine; this one knows none."""
    assert psage("copy-invoice", *INVOICES, "--tax-rate", "GB_STANDARD", "--no-pdf").code == 0
    forget(home)
    assert psage(*ON).code == 0
    services.clear_calls()
    return services


def known(home: Path) -> dict[str, list[str]]:
    """The Sage ids of every copy on record, by Productive id."""
    with Store(home / "default.db", read_only=True) as store:
        found: dict[str, list[str]] = {}
        for one in store.copies.each():
            found.setdefault(one.productive_id, []).append(one.sage_id)
        return found


def pending(home: Path) -> dict[str, set[str]]:
    with Store(home / "default.db", read_only=True) as store:
        return {one.productive_id: {*one.pending} for one in store.copies.unfinished()}


def of(sandbox: Sandbox, key: str) -> dict[str, Any]:
    """The stored copy of an invoice in Sage, to be changed."""
    (copy,) = copies(sandbox, key)
    found = sandbox.sage.books().document(copy["id"])
    assert found
    return found[1]


def unmark(sandbox: Sandbox, key: str) -> None:
    """As where whoever copied it did not come to mark it in Productive."""
    sandbox.agency.edit_invoice(key, exported=False, export_id=None)


def untaken(result: Result) -> list[tuple[str, str]]:
    return [
        (one["productive_invoice_id"], one["message"])
        for one in result.json["skipped"]
        if one["code"] == "not_adopted"
    ]


# --- the night of a machine that copies nothing


def test_the_first_sync_knows_every_copy_and_says_how_many_it_found(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    elsewhere.bookkeeper.pay(of(elsewhere, "101")["id"], "20.00", "2026-03-02")

    planned = psage("sync-payments", "--dry-run", "--json")
    result = psage(*SYNC)
    again = psage(*SYNC)

    (notice,) = planned.json["warnings"]
    assert notice["code"] == "copied_elsewhere"
    assert notice["message"].startswith("3 copies made elsewhere are not in psage's records")
    assert planned.json["adopted"] == []
    assert {one["productive_id"] for one in result.json["adopted"]} == {*INVOICES}
    assert {one["sage_number"] for one in result.json["adopted"]} == {
        copies(elsewhere, key)[0]["displayed_as"] for key in INVOICES
    }
    assert len(result.json["created"]) == 1
    assert known(home) == {key: [of(elsewhere, key)["id"]] for key in INVOICES}
    assert pending(home) == {}
    assert again.json["adopted"] == []


def test_people_read_how_many_were_found_and_a_quiet_night_says_nothing(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    said = psage("sync-payments")
    with Store(home / "default.db") as store, store.db.write() as db:
        db.execute("DELETE FROM link WHERE productive_id <> '101'")
    quiet = psage("--quiet", "sync-payments", "--full")

    assert "3 copies made elsewhere were found and recorded" in said.out
    assert (quiet.out, quiet.err) == ("", "")
    assert known(home).keys() == {*INVOICES}


def test_copies_are_told_from_the_lists_whatever_their_number(
    elsewhere: Sandbox, psage: Psage
) -> None:
    result = psage(*SYNC)

    assert len(result.json["adopted"]) == 3
    assert [call.path for call in elsewhere.calls("sage") if "/sales_invoices/" in call.path] == []
    reads = [call.path for call in elsewhere.calls("productive")]
    # What they are; then what is paid, and what is due.
    assert reads == ["/invoices", "/payments", "/invoices"]
    assert writes(elsewhere) == []


def test_what_others_copied_since_is_found_by_the_next_night(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    assert psage(*SYNC).code == 0
    with Store(home / "default.db") as store, store.db.write() as db:
        db.execute("DELETE FROM link WHERE productive_id = '105'")
    elsewhere.clear_calls()

    result = psage(*SYNC)

    assert [one["productive_id"] for one in result.json["adopted"]] == ["105"]
    assert result.json["since"] is not None  # by the feeds, not by the list of all
    assert len(elsewhere.calls("sage")) == 5


# --- what Productive does not name


def test_a_copy_that_was_not_marked_yet_is_known_where_it_fits(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    for key in INVOICES:
        unmark(elsewhere, key)
    elsewhere.bookkeeper.pay(of(elsewhere, "101")["id"], "20.00", "2026-03-02")

    result = psage(*SYNC)

    assert {one["productive_id"] for one in result.json["adopted"]} == {*INVOICES}
    assert len(result.json["created"]) == 1
    assert pending(home) == {key: {"mark"} for key in INVOICES}


def test_a_mark_that_was_made_meanwhile_is_not_left_to_be_made(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    unmark(elsewhere, "101")
    psage(*SYNC)
    assert pending(home) == {"101": {"mark"}}
    elsewhere.agency.edit_invoice("101", exported=True, export_id=of(elsewhere, "101")["id"])

    assert psage("sync-payments", "--full").code == 0

    assert pending(home) == {}


@pytest.mark.parametrize("odd", ["of another net", "of another customer", "in another currency"])
def test_what_does_not_fit_is_said_once_and_kept_for_status(
    elsewhere: Sandbox, psage: Psage, home: Path, odd: str
) -> None:
    unmark(elsewhere, "101")
    document = of(elsewhere, "101")
    if odd == "of another net":
        elsewhere.bookkeeper.edit_invoice(document["id"], unit_price="77.00")
    elif odd == "of another customer":
        document["contact_id"] = of(elsewhere, "123")["contact_id"]
    else:
        document["currency"] = document["currency_id"] = "EUR"
    elsewhere.bookkeeper.pay(of(elsewhere, "105")["id"], "20.00", "2026-03-02")

    result = psage(*SYNC)
    quiet = psage("--quiet", "sync-payments", "--full")
    waiting = psage("status", "--json").json["waiting"]

    ((key, message),) = untaken(result)
    assert (result.code, key) == (0, "101")
    assert document["number"] in message
    assert known(home).keys() == {"105", "123"}
    assert len(result.json["created"]) == 1
    assert (quiet.out, quiet.err) == ("", "")
    assert [one["code"] for one in waiting] == ["not_adopted"]
    document["reference"] = ""
    assert psage("sync-payments", "--full").code == 0
    assert psage("status", "--json").json["waiting"] == []


def test_of_two_documents_with_one_marker_none_is_taken(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    unmark(elsewhere, "101")
    namesake = elsewhere.bookkeeper.take_number("HAND-1")
    elsewhere.bookkeeper.edit_invoice(namesake, reference="PRD-101")

    result = psage(*SYNC)

    ((key, message),) = untaken(result)
    assert key == "101"
    assert "HAND-1" in message
    assert of_number(elsewhere, "PRD-101") <= {*_numbers(message)}
    assert known(home).keys() == {"105", "123"}


def of_number(sandbox: Sandbox, reference: str) -> set[str]:
    rows = sandbox.sage.invoices.values()
    return {row["displayed_as"] for row in rows if row["reference"] == reference}


def _numbers(message: str) -> list[str]:
    return message.replace(":", " ").split()


def test_of_two_documents_with_one_marker_the_one_productive_names_is_taken_and_both_are_said(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    named = of(elsewhere, "101")["id"]
    namesake = elsewhere.bookkeeper.take_number("HAND-1")
    elsewhere.bookkeeper.edit_invoice(namesake, reference="PRD-101")

    result = psage(*SYNC)

    assert known(home)["101"] == [named]
    assert "copied_twice" in {one["code"] for one in result.json["skipped"]}


def test_a_sync_of_that_one_invoice_does_not_forget_what_is_not_taken_for_its_copy(
    elsewhere: Sandbox, psage: Psage
) -> None:
    def waiting() -> list[tuple[str, str]]:
        told = psage("status", "--json").json["waiting"]
        return [(one["code"], one["productive_id"]) for one in told]

    assert psage(*SYNC).code == 0
    namesake = elsewhere.bookkeeper.take_number("HAND-1")
    elsewhere.bookkeeper.edit_invoice(namesake, reference="PRD-101-2")
    assert psage(*SYNC).code == 0
    assert waiting() == [("not_adopted", "101")]

    assert psage("sync-payments", "101").code == 0

    assert waiting() == [("not_adopted", "101")]
    elsewhere.bookkeeper.delete_invoice(namesake)
    assert psage("sync-payments", "--full").code == 0
    assert waiting() == []


@pytest.mark.parametrize("is_void", [True, False])
def test_the_record_of_a_copy_that_was_voided_gives_way_to_the_one_productive_names(
    elsewhere: Sandbox, psage: Psage, home: Path, is_void: bool
) -> None:
    """As where two machines had made it, and a person voided the one that is known here."""
    assert psage(*SYNC).code == 0
    first = of(elsewhere, "101")["id"]
    double = elsewhere.bookkeeper.take_number("HAND-1")
    elsewhere.bookkeeper.edit_invoice(double, reference="PRD-101")
    elsewhere.agency.edit_invoice("101", export_id=double)
    if is_void:
        elsewhere.bookkeeper.void(first)
    elsewhere.bookkeeper.pay(double, "5.00", "2026-03-02")

    result = psage(*SYNC)

    assert known(home)["101"] == [double if is_void else first]
    assert len(result.json["adopted"]) == len(result.json["created"]) == int(is_void)
    codes = {one["code"] for one in result.json["skipped"]}
    assert ("copied_twice" in codes, "copy_gone" in codes) == (not is_void, False)


def test_a_voided_copy_is_said_and_not_taken_for_a_living_one(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    elsewhere.bookkeeper.void(of(elsewhere, "101")["id"])

    result = psage(*SYNC)

    ((key, message),) = untaken(result)
    assert (key, "voided" in message) == ("101", True)
    assert known(home).keys() == {"105", "123"}
    again = psage("copy-invoice", "101", "--no-tax", "--no-pdf", "--json")
    assert (again.code, again.only["error"]["code"]) == (4, "copy_gone")


def test_a_voided_copy_is_known_as_an_earlier_one_beside_the_copy_that_counts(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    first = of(elsewhere, "101")["id"]
    elsewhere.bookkeeper.void(first)
    assert psage("copy-invoice", "101", "--create-new", "--no-tax", "--no-pdf").code == 0
    second = next(row["id"] for row in copies(elsewhere, "101") if row["id"] != first)
    forget(home)

    result = psage(*SYNC)

    assert untaken(result) == []
    assert known(home)["101"] == [first, second]
    assert pending(home) == {}


def test_a_draft_and_a_marker_of_nobodys_invoice_are_left_alone(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    of(elsewhere, "101")["status"] = "DRAFT"
    elsewhere.agency.edit_invoice("101", export_id=None, exported=False)  # not psage's then
    of(elsewhere, "105")["reference"] = "PRD-999999"

    result = psage(*SYNC)

    assert untaken(result) == []
    assert known(home).keys() == {"123"}


@pytest.mark.parametrize("typed", ["PRD-0101", "PRD-0", f"PRD-{'9' * 19}"])
def test_productive_is_not_asked_for_what_is_no_id_of_its_own(
    elsewhere: Sandbox, psage: Psage, home: Path, typed: str
) -> None:
    of(elsewhere, "101")["reference"] = typed

    result = psage(*SYNC)

    asked = [call.query.get("filter[id]", [""])[0] for call in elsewhere.calls("productive")]
    assert result.code == 0
    assert not any(typed.removeprefix("PRD-") in ids.split(",") for ids in asked)
    assert known(home).keys() == {"105", "123"}


def test_a_document_that_was_sent_from_here_and_never_answered_for_is_left_to_the_next_copy(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    assert psage(*ON).code == 0
    services.search_lag_s = services.list_lag_s = 3600
    services.fault("cut_after", method="POST", path="/sales_invoices", times=2)
    assert psage("copy-invoice", "101", "--no-tax", "--no-pdf").code == 8
    services.search_lag_s = services.list_lag_s = 0

    synced = psage(*SYNC)
    settled = psage("copy-invoice", "101", "--no-tax", "--no-pdf", "--json")

    assert synced.json["adopted"] == []
    assert (settled.code, settled.only["action"]) == (0, "created")
    assert len(copies(services, "101")) == 1


# --- the register


def rows_of(result: Result) -> dict[str, dict[str, Any]]:
    return {one["productive_id"]: one for one in result.json["documents"]}


def test_the_first_list_of_a_new_computer_knows_every_copy(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    result = psage("list", "--json")
    elsewhere.clear_calls()
    again = psage("list", "--json")

    assert {one["productive_id"] for one in result.json["adopted"]} == {*INVOICES}
    rows = rows_of(result)
    assert {rows[key]["state"] for key in INVOICES} == {"copied"}
    assert rows["123"]["sage_id"] == of(elsewhere, "123")["id"]
    assert known(home).keys() == {*INVOICES}
    assert rows_of(again) == rows
    assert again.json["adopted"] == []
    assert elsewhere.calls("sage") == []


def test_people_read_below_the_list_how_many_were_found(elsewhere: Sandbox, psage: Psage) -> None:
    result = psage("list", "--copied", "--format", "csv")

    assert "made elsewhere" not in result.out
    assert "3 copies made elsewhere were found and recorded" in result.err


def test_credit_notes_are_known_too_with_what_they_credit(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    assert psage("copy-invoice", "111", "--no-tax", "--no-pdf").code == 0
    assert psage("credit-note", "110", "--no-pdf").code == 0
    with Store(home / "default.db", read_only=True) as store:
        before = store.copies.latest("110")
        invoice = store.copies.latest("111")
    forget(home)

    result = psage("list", "--json")

    assert {one["kind"] for one in result.json["adopted"]} == {"invoice", "credit_note"}
    with Store(home / "default.db", read_only=True) as store:
        after = store.copies.latest("110")
        assert store.flaws() == []
    assert before
    assert invoice
    assert after
    assert after.credited_sage_id == before.credited_sage_id == invoice.sage_id
    assert after.pending == before.pending == frozenset()


def test_many_unknown_copies_are_told_from_sages_list_of_their_days(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    ids = [
        services.agency.add_invoice(
            company_id="507",
            lines=[{"unit_price": "10.00"}],
            invoiced_on=f"2026-03-{n:02d}",
        )
        for n in range(1, 14)
    ]
    assert psage("copy-invoice", *ids, "--no-tax", "--no-pdf").code == 0
    forget(home)
    services.clear_calls()

    result = psage("list", "--json")

    assert len(result.json["adopted"]) == 13
    (call,) = services.calls("sage")
    assert (call.path, call.query["from_date"]) == ("/sales_invoices", ["2026-03-01"])


def test_another_systems_ids_are_asked_about_once_a_day(elsewhere: Sandbox, psage: Psage) -> None:
    elsewhere.agency.edit_invoice("124", exported=True, export_id="0" * 32)
    elsewhere.agency.edit_invoice("125", exported=True, export_id="QB-17")

    first = psage("list", "--json")
    elsewhere.clear_calls()
    second = psage("list", "--json")

    assert rows_of(first)["124"]["state"] == rows_of(second)["124"]["state"] == "not_copied"
    assert (first.json["warnings"], elsewhere.calls("sage")) == ([], [])


def test_a_voided_copy_is_not_listed_as_one_and_said_each_time(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    elsewhere.bookkeeper.void(of(elsewhere, "101")["id"])

    results = [psage("list", "--json") for _ in range(2)]
    people = psage("list")

    for result in results:
        assert rows_of(result)["101"]["state"] == "not_copied"
        (warning,) = result.json["warnings"]
        assert (warning["code"], "voided" in warning["message"]) == ("not_adopted", True)
    assert "voided" in people.err
    assert known(home).keys() == {"105", "123"}


def test_a_list_that_asks_sage_finds_unmarked_copies_too(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    unmark(elsewhere, "101")

    plain = psage("list", "--json")
    checked = psage("list", "--check", "--json")

    assert "101" not in {one["productive_id"] for one in plain.json["adopted"]}
    assert [one["productive_id"] for one in checked.json["adopted"]] == ["101"]
    assert rows_of(checked)["101"]["sage"]["state"] == "unpaid"
    elsewhere.agency.edit_invoice("101", exported=True, export_id=of(elsewhere, "101")["id"])
    psage("list")
    assert pending(home) == {}


def test_while_another_run_is_at_work_a_list_shows_what_it_found_and_records_nothing(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    import filelock

    with filelock.FileLock(home / "default.lock"):
        result = psage("list", "--json")

    assert (result.code, rows_of(result)["101"]["state"]) == (0, "copied")
    assert result.json["adopted"] == []
    assert known(home) == {}


# --- both books side by side


def test_a_reconciliation_says_how_many_copies_were_made_elsewhere_and_records_none(
    elsewhere: Sandbox, psage: Psage, home: Path
) -> None:
    plain = psage("reconcile", "--json")
    before = known(home)
    adopting = psage("reconcile", "--adopt", "--json")

    (notice,) = plain.json["warnings"]
    assert notice["code"] == "copied_elsewhere"
    assert notice["message"].startswith("3 copies made elsewhere are not in psage's records")
    assert before == {}
    assert adopting.json["warnings"] == []
    assert known(home).keys() == {*INVOICES}


# --- what is known then is as good as the record of who made it


def test_a_copy_told_from_a_list_is_updated_as_on_the_machine_that_made_it(
    elsewhere: Sandbox, psage: Psage
) -> None:
    assert psage(*SYNC).code == 0
    again = ("copy-invoice", "101", "--update-existing", "--no-pdf", "--json")

    elsewhere.agency.edit_invoice("101", invoiced_on="2026-02-05")
    changed = psage(*again)
    same = psage(*again)

    assert (changed.code, changed.only["action"]) == (0, "updated")
    assert (same.code, same.only["action"]) == (0, "unchanged")
    assert of(elsewhere, "101")["date"] == "2026-02-05"
