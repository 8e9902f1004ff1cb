"""What is not booked in Sage, a draft or a pro forma, is never taken for a copy."""

from pathlib import Path

import pytest

from productive_sage.copying import bodies
from productive_sage.sandbox import Sandbox
from productive_sage.store import Store
from tests.conftest import Psage, copies, first_line, writes

UNBOOKED = pytest.mark.parametrize("status", ["DRAFT", "PRO_FORMA"])


def unbook(services: Sandbox, productive_id: str, *, status: str = "DRAFT") -> str:
    """Make the copy a draft, as if it had been one when it was linked; give its id."""
    books, reference = services.sage.books(), f"PRD-{productive_id}"
    for table in (books.table("sales_invoices"), books.table("sales_credit_notes")):
        for key, document in table.items():
            if document["reference"] == reference:
                document["status"] = status
                return key
    raise KeyError(productive_id)


# --- copies


@UNBOOKED
@pytest.mark.parametrize("flags", [(), ("--create-new",), ("--update-existing",), ("--dry-run",)])
def test_a_draft_with_the_marker_is_not_adopted_and_blocks_a_second_document(
    services: Sandbox, psage: Psage, status: str, flags: tuple[str, ...]
) -> None:
    services.bookkeeper.enter_draft("PRD-124", status=status, amount="912.00")

    result = psage("copy-invoice", "124", *flags, "--json")

    assert result.code == 4
    error = result.only["error"]
    assert (error["code"], error["details"]["status"]) == ("copy_is_draft", status)
    assert "INV-2026-024" in error["message"]
    assert "release" in error["hint"]
    assert "delete" in error["hint"]
    assert writes(services) == []
    assert len(copies(services, "124")) == 1


def test_once_released_it_is_adopted_and_once_deleted_a_copy_is_made(
    services: Sandbox, psage: Psage
) -> None:
    released = services.bookkeeper.enter_draft("PRD-101", amount="1775.00")
    deleted = services.bookkeeper.enter_draft("PRD-125")
    assert psage("copy-invoice", "101", "125").code == 4

    services.bookkeeper.release(released)
    services.bookkeeper.delete_invoice(deleted)
    result = psage("copy-invoice", "101", "125", "--json")

    assert [one["action"] for one in result.results] == ["adopted", "created"]
    assert result.results[0]["sage_id"] == released


def test_a_draft_left_on_the_invoice_by_its_id_is_not_adopted(
    services: Sandbox, psage: Psage
) -> None:
    key = services.bookkeeper.enter_draft("something else")
    services.productive.table("invoices")["124"]["attributes"]["export_id"] = key

    result = psage("copy-invoice", "124", "--json")

    assert result.only["error"]["code"] == "copy_is_draft"
    assert writes(services) == []


@pytest.mark.parametrize("flags", [(), ("--update-existing",), ("--create-new",)])
def test_a_draft_that_the_store_holds_for_the_copy_is_not_changed_or_doubled(
    services: Sandbox, psage: Psage, flags: tuple[str, ...]
) -> None:
    psage("copy-invoice", "124")
    unbook(services, "124")
    services.agency.edit_line(first_line(services, "124"), quantity="1")
    services.clear_calls()

    result = psage("copy-invoice", "124", *flags, "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_is_draft")
    assert writes(services) == []


def test_a_person_is_not_asked_what_to_do_with_a_draft(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    psage("copy-invoice", "124", "--no-tax", "--customer", "Northwind Traders Ltd")
    unbook(services, "124")

    assert psage("copy-invoice", "124").code == 4
    assert answers == []


def test_what_is_left_to_do_waits_until_the_draft_is_released(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.fault("status", service="productive", method="PATCH", status=503)
    psage("copy-invoice", "124")
    key = unbook(services, "124")

    waiting = psage("copy-invoice", "125", "--json").results
    with Store(home / "default.db") as store:
        assert [store.cursors.get(f"left {link.id}") for link in store.copies.unfinished()] == [
            None
        ]
    marked = services.productive.invoices["124"]["exported"]
    services.bookkeeper.release(key)
    done = psage("copy-invoice", "101", "--json").results

    (said,) = [one for one in waiting if one["productive_id"] == "124"]
    assert [warning["code"] for warning in said["warnings"]] == ["copy_is_draft"]
    assert not marked
    assert services.productive.invoices["124"]["export_id"] == key
    (said,) = [one for one in done if one["productive_id"] == "124"]
    assert said["sage_number"].startswith("SI-")
    assert "DRAFT" not in psage("copy-invoice", "124", "--json").only["error"]["message"]


def test_a_duplicate_made_by_hand_blocks_one_more_copy(services: Sandbox, psage: Psage) -> None:
    """People duplicate an invoice in Sage, reference and all."""
    psage("copy-invoice", "124")
    services.bookkeeper.enter_draft("PRD-124")
    services.clear_calls()

    result = psage("copy-invoice", "124", "--create-new", "--json")
    updated = psage("copy-invoice", "124", "--update-existing", "--json")

    assert result.only["error"]["code"] == "copy_is_draft"
    assert (updated.code, updated.only["action"]) == (0, "unchanged")
    assert [one for one in writes(services) if one.startswith("POST")] == []


def test_a_copy_that_sage_makes_a_draft_of_is_said_and_finished_when_it_is_released(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be so where a role can only enter drafts."""
    plain = bodies.document_body
    monkeypatch.setattr(
        bodies, "document_body", lambda *args: plain(*args) | {"status_id": "DRAFT"}
    )

    result = psage("copy-invoice", "124", "--json")
    marked = services.productive.invoices["124"]["exported"]
    again = psage("copy-invoice", "124", "--json")
    (key,) = (row["id"] for row in copies(services, "124"))
    services.bookkeeper.release(key)
    recovered = psage("copy-invoice", "124", "--json")

    assert (result.code, result.only["action"]) == (7, "differs")
    assert result.only["error"]["details"]["status"]["found"] == "DRAFT"
    assert not marked
    assert again.code == 4
    assert (recovered.code, recovered.only["action"]) == (0, "created")
    assert services.productive.invoices["124"]["export_id"] == key


def test_a_draft_is_no_answer_to_what_became_of_a_copy(services: Sandbox, psage: Psage) -> None:
    services.fault("cut_before", method="POST", path="/sales_invoices", times=2)
    assert psage("copy-invoice", "124").code == 8
    key = services.bookkeeper.enter_draft("PRD-124")

    unknown = psage("copy-invoice", "124", "--json")
    services.bookkeeper.delete_invoice(key)
    result = psage("copy-invoice", "124", "--json")

    assert unknown.only["error"]["code"] == "copy_is_draft"
    assert (result.code, result.only["action"]) == (0, "created")
    assert len(copies(services, "124")) == 1


# --- credit notes


def test_a_credit_note_of_an_invoice_that_is_not_booked_is_refused(
    services: Sandbox, psage: Psage
) -> None:
    services.bookkeeper.enter_draft("PRD-111", customer="Northwind Traders Ltd")

    result = psage("credit-note", "110", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_is_draft")
    assert writes(services) == []


def test_a_credit_note_that_is_a_draft_is_never_called_allocated(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "111")
    services.fault("status", method="POST", path="/contact_allocations", status=403)
    psage("credit-note", "110")
    key = unbook(services, "110")

    result = psage("credit-note", "110", "--json")
    none = services.sage.allocations == {}
    services.bookkeeper.release(key)
    later = psage("copy-invoice", "125", "--json")

    assert result.only["error"]["code"] == "copy_is_draft"
    assert none
    (said,) = [one for one in later.results if one["productive_id"] == "110"]
    assert said["allocated"] == "1775.00"


def test_the_last_step_of_a_credit_note_waits_for_the_invoice_to_be_booked(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "111")
    services.fault("status", method="POST", path="/contact_allocations", status=403)
    psage("credit-note", "110")
    unbook(services, "111")

    result = psage("copy-invoice", "125", "--json")

    (said,) = [one for one in result.results if one["productive_id"] == "110"]
    assert "not booked" in said["warnings"][0]["message"]
    assert said["allocated"] == "0.00"


# --- payments


@pytest.fixture
def synced(services: Sandbox, psage: Psage) -> Sandbox:
    """The payments of a copied invoice are synchronised."""
    on = ("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
    assert psage(*on).code == 0
    assert psage("copy-invoice", "125").code == 0
    services.bookkeeper.pay(copies(services, "125")[0]["id"], "5.00", "2026-03-01")
    assert psage("sync-payments").code == 0
    return services


def test_a_sync_passes_a_draft_with_a_notice(synced: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "124")
    unbook(synced, "124")

    first = psage("sync-payments", "--full", "--json")
    quiet = psage("--quiet", "sync-payments", "--full")

    assert (first.code, first.json["failed"]) == (0, [])
    assert [(one["productive_invoice_id"], one["code"]) for one in first.json["skipped"]] == [
        ("124", "copy_is_draft")
    ]
    assert (quiet.code, quiet.err) == (0, "")


def test_a_draft_proves_no_removal(synced: Sandbox, psage: Psage) -> None:
    (receipt,) = synced.sage.receipts
    synced.bookkeeper.delete_receipt(receipt)
    unbook(synced, "125", status="PRO_FORMA")

    result = psage("sync-payments", "--full", "--json")

    assert (result.code, result.json["deleted"]) == (0, [])
    assert len(synced.productive.payments) == 1


def test_an_older_copy_that_is_a_draft_proves_no_removal(synced: Sandbox, psage: Psage) -> None:
    (receipt,) = synced.sage.receipts
    assert psage("copy-invoice", "125", "--create-new").code == 0
    synced.bookkeeper.delete_receipt(receipt)
    unbook(synced, "125")

    result = psage("sync-payments", "--full", "--json")

    assert (result.code, result.json["deleted"]) == (0, [])
    assert [one["code"] for one in result.json["skipped"]] == ["not_proven"]


@pytest.mark.parametrize("status", ["DISPUTED", "DECLINED"])
def test_a_disputed_invoice_is_booked_all_the_same(
    synced: Sandbox, psage: Psage, status: str
) -> None:
    key = copies(synced, "125")[0]["id"]
    synced.bookkeeper.pay(key, "7.00", "2026-03-02")
    synced.bookkeeper.mark(key, status)
    psage("copy-invoice", "124")
    synced.bookkeeper.mark(copies(synced, "124")[0]["id"], status)
    synced.agency.edit_line(first_line(synced, "124"), quantity="1")

    paid = psage("sync-payments", "--json")
    locked = psage("copy-invoice", "125", "--update-existing", "--json")
    updated = psage("copy-invoice", "124", "--update-existing", "--json")

    assert [one["amount"] for one in paid.json["created"]] == ["7.00"]
    assert locked.only["action"] == "unchanged"
    assert updated.only["action"] == "updated"
