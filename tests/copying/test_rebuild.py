"""rebuild: records that were lost are made again from the markers, and nothing is written."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from productive_sage.kinds import Kind
from productive_sage.reconcile import adopting
from productive_sage.sage.documents import Documents
from productive_sage.sage.records import SageDocument
from productive_sage.sandbox import Sandbox
from productive_sage.store import Store
from tests.conftest import Psage, Result, forget, writes
from tests.harness.planting import Book, filled

AS_BEFORE = (
    ("copy-invoice", "--all-uncopied", "--dry-run", "--json"),
    ("credit-note", "--all-uncopied", "--dry-run", "--json"),
    ("reconcile", "--json"),
    ("list", "--json"),
    ("list", "--check", "--json"),
    ("sync-payments", "--json"),
    ("customers", "--json"),
)


@pytest.fixture
def book(services: Sandbox, home: Path, psage: Psage) -> Book:
    """Twenty documents, copied, credited and paid."""
    return filled(services, home, psage, 20)


def answers_of(psage: Psage) -> list[Any]:
    """What the commands answer, but for when they ran and how far back they read."""
    results = [psage(*command) for command in AS_BEFORE]
    return [
        (
            one.code,
            {k: v for k, v in one.json.items() if k not in ("since", "until", "checked_invoices")},
        )
        for one in results
    ]


def on_copies(psage: Psage, book: Book) -> list[Any]:
    """What is answered about documents that are copied, and what the profile knows."""
    invoices = [*book.invoices, *book.paid, *(invoice for invoice, _ in book.credited)]
    notes = [note for _, note in book.credited]
    answers = [
        psage("copy-invoice", *invoices, "--update-existing", "--no-pdf", "--json"),
        psage("copy-invoice", invoices[0], "--json"),
        psage("credit-note", *notes, "--update-existing", "--no-pdf", "--json"),
        psage("credit-note", notes[0], "--json"),
    ]
    known = psage("status", "--json").json
    return [(one.code, one.json) for one in answers] + [known["documents"], known["waiting"]]


def table(home: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(home / "default.db")) as db:
        return db.execute(statement).fetchall()


COPIES = (
    "SELECT productive_id, copy, business_id, sage_id, sage_number, kind, credited_sage_id, "
    "pending FROM link ORDER BY productive_id, copy"
)
PAYMENTS = "SELECT * FROM mirrored ORDER BY marker"
CUSTOMERS = (
    "SELECT company_id, currency, contact_id, name FROM customer ORDER BY company_id, currency"
)


def test_after_a_rebuild_every_command_answers_as_before_and_writes_nothing(
    book: Book, psage: Psage, home: Path
) -> None:
    book.sandbox.agency.add_invoice(
        company_id=book.sandbox.agency.add_company("Not yet Ltd"),
        lines=[{"unit_price": "10.00"}],
        invoiced_on="2026-03-05",
        number="B-NEW",
    )
    before = answers_of(psage)
    records = [table(home, one) for one in (COPIES, PAYMENTS, CUSTOMERS)]
    state = book.sandbox.dump()
    forget(home)
    book.sandbox.clear_calls()

    result = psage("rebuild", "--yes", "--json")

    assert (result.code, result.json["warnings"]) == (0, [])
    assert len(result.json["copies"]) == len(records[0]) == 20
    assert len(result.json["payments"]) == len(records[1]) > 0
    assert [table(home, one) for one in (COPIES, PAYMENTS, CUSTOMERS)] == records
    assert answers_of(psage) == before
    assert writes(book.sandbox) == []
    assert book.sandbox.dump() == state


def test_after_a_rebuild_documents_are_named_by_their_numbers(
    book: Book, psage: Psage, home: Path
) -> None:
    numbers = {key: one["number"] for key, one in book.sandbox.productive.invoices.items()}
    forget(home)

    assert psage("rebuild", "--yes").code == 0

    with Store(home / "default.db", read_only=True) as store:
        known = {key: number for key, number, _ in store.copies.names()}
        assert known == {key: numbers[key] for key in known}
        assert {key: store.copies.number_of(key) for key in known} == known
        assert len(known) == 20


def test_after_a_rebuild_nothing_is_copied_updated_or_credited_again(
    book: Book, psage: Psage, home: Path
) -> None:
    before = on_copies(psage, book)
    assert {one["action"] for one in before[0][1]["results"]} == {"unchanged"}
    forget(home)
    psage("rebuild", "--yes")
    book.sandbox.clear_calls()

    after = on_copies(psage, book)

    assert after == before
    assert {call.method for call in book.sandbox.calls() if call.path != "/token"} == {"GET"}


def test_a_rebuild_learns_what_the_settings_name(book: Book, psage: Psage, home: Path) -> None:
    kind = next(iter(book.sandbox.productive.table("service_types")))
    assert (
        psage("configure", "--map-item", f"{kind}=DESIGN", "--default-tax-rate", "Zero").code == 0
    )
    before = psage("configure", "--show").out
    forget(home)
    assert psage("configure", "--show").out != before

    assert psage("rebuild", "--yes").code == 0

    assert psage("configure", "--show").out == before
    book.sandbox.clear_calls()
    assert psage("rebuild", "--yes").code == 0
    assert not [call for call in book.sandbox.calls("sage") if "ledger" in call.path]


WRITTEN = "SELECT productive_id, written FROM link ORDER BY productive_id, copy"


@pytest.mark.parametrize("command", [("rebuild", "--yes"), ("reconcile", "--adopt")])
def test_many_copies_are_read_by_pages_and_known_as_well_as_one_by_one(
    book: Book,
    psage: Psage,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    known = []
    for at_most in (1000, 10):
        monkeypatch.setattr(adopting, "_ONE_BY_ONE", at_most)
        forget(home)
        book.sandbox.clear_calls()
        assert psage(*command, "--json").code == 0
        known.append(table(home, WRITTEN))

    singly = [one.path for one in book.sandbox.calls("sage") if "/sales_invoices/" in one.path]
    assert known[0] == known[1]
    assert any(written for _, written in known[1])
    assert singly == []  # what the few credit notes credit was listed too


def test_a_row_without_lines_is_read_by_itself(
    book: Book, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = Documents.all

    def told_less(self: Documents, kind: Kind, *args: Any, **more: Any) -> list[SageDocument]:
        return [replace(one, lines=one.lines[1:]) for one in all_of_them(self, kind, *args, **more)]

    forget(home)
    assert psage("rebuild", "--yes").code == 0
    known = table(home, WRITTEN)
    monkeypatch.setattr(Documents, "all", told_less)
    forget(home)

    assert psage("rebuild", "--yes").code == 0

    assert table(home, WRITTEN) == known
    assert any(written for _, written in known)


def test_a_second_rebuild_finds_nothing_more(book: Book, psage: Psage, home: Path) -> None:
    records = [table(home, one) for one in (COPIES, PAYMENTS, CUSTOMERS)]

    result = psage("rebuild", "--json")

    assert result.code == 0
    assert (result.json["copies"], result.json["payments"], result.json["customers"]) == ([], [], 0)
    assert "lack nothing" in psage("rebuild").out
    assert [table(home, one) for one in (COPIES, PAYMENTS, CUSTOMERS)] == records


@pytest.mark.parametrize(
    ("flags", "code"), [(("--no-input",), 2), (("--dry-run",), 0), (("--no-input", "--json"), 2)]
)
def test_a_rebuild_shows_what_it_found_before_anything_is_recorded(
    book: Book, psage: Psage, home: Path, flags: tuple[str, ...], code: int
) -> None:
    paid = book.paid[0]
    ((number,),) = table(home, f"SELECT sage_number FROM link WHERE productive_id = '{paid}'")
    forget(home)

    result = psage("rebuild", *flags)

    assert result.code == code
    assert number in result.out
    assert "B-00002" in result.out
    assert table(home, "SELECT count(*) FROM link") == [(0,)]
    assert table(home, "SELECT count(*) FROM mirrored") == [(0,)]


@pytest.mark.parametrize("is_meant", [True, False])
def test_a_person_says_yes_or_nothing_is_recorded(
    book: Book,
    psage: Psage,
    home: Path,
    answers: list[str],
    monkeypatch: pytest.MonkeyPatch,
    is_meant: bool,
) -> None:
    forget(home)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: is_meant)

    result = psage("rebuild")

    assert result.code == (0 if is_meant else 4)
    assert table(home, "SELECT count(*) FROM link") == [(20 if is_meant else 0,)]


def test_what_is_recorded_already_stays_as_it_is(book: Book, psage: Psage, home: Path) -> None:
    lost, kept = book.paid[0], book.paid[1]
    book.sql("DELETE FROM link WHERE productive_id = ?", lost)
    book.sql("DELETE FROM mirrored WHERE productive_id = ?", lost)
    book.sql("UPDATE link SET sage_number = 'as it was' WHERE productive_id = ?", kept)
    before = table(home, f"SELECT * FROM link WHERE productive_id <> '{lost}'")

    result = psage("rebuild", "--yes", "--json")

    assert [one["productive_id"] for one in result.json["copies"]] == [lost]
    assert {one["productive_id"] for one in result.json["payments"]} == {lost}
    assert table(home, f"SELECT * FROM link WHERE productive_id <> '{lost}'") == before
    with Store(home / "default.db") as store:
        assert store.copies.latest(lost)


def test_no_record_is_turned_to_another_document(book: Book, psage: Psage, home: Path) -> None:
    """As `reconcile --adopt` does where the copy that is known was voided."""
    key = book.invoices[0]
    sage_id = book.copy_of(key)["id"]
    book.double(sage_id, f"PRD-{key}")
    book.sandbox.bookkeeper.void(sage_id)
    before = table(home, "SELECT * FROM link ORDER BY id")

    result = psage("rebuild", "--yes", "--json")

    assert table(home, "SELECT * FROM link ORDER BY id") == before
    assert result.json["copies"] == []
    (warning,) = result.json["warnings"]
    assert "a further document" in warning["message"]


def test_a_payment_that_was_never_answered_for_is_left_to_the_next_sync(
    book: Book, psage: Psage, home: Path
) -> None:
    book.sandbox.bookkeeper.pay(book.copy_of(book.invoices[0])["id"], "20.00", "2026-03-20")
    book.sandbox.fault("cut_after", service="productive", method="POST", path="/payments")
    assert psage("sync-payments", "--full", "--json").code == 8

    result = psage("rebuild", "--yes", "--json")

    assert result.json["payments"] == []
    book.sandbox.clear_calls()
    assert psage("sync-payments", "--json").code == 0
    assert writes(book.sandbox) == []
    (state,) = table(
        home, "SELECT state FROM intent WHERE kind = 'payment' ORDER BY id DESC LIMIT 1"
    )
    assert state == ("done",)


def test_a_copy_of_what_productive_does_not_show_is_named(
    book: Book, psage: Psage, home: Path
) -> None:
    document = book.stored(book.copy_of(book.invoices[0])["id"])
    document["reference"] = "PRD-999999"
    book.sql("DELETE FROM link WHERE sage_id = ?", document["id"])
    book.sandbox.agency.delete_invoice(book.invoices[0])

    result = psage("rebuild", "--yes", "--json")

    (warning,) = result.json["warnings"]
    assert "999999" in warning["message"]


def test_every_copy_of_a_document_comes_back_voided_ones_too(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    for key in ("101", "123"):
        psage("copy-invoice", key, "--no-tax", "--no-pdf")
    services.bookkeeper.void(_id(services, "PRD-101"))
    psage("copy-invoice", "101", "--create-new", "--no-tax", "--no-pdf")
    services.bookkeeper.void(_id(services, "PRD-123"))
    before = table(home, COPIES)
    forget(home)

    result = psage("rebuild", "--yes", "--json")

    assert result.code == 0
    assert table(home, COPIES) == before
    assert len(before) == 3
    again = psage("copy-invoice", "123", "--no-tax", "--json")
    assert (again.code, again.only["error"]["code"]) == (4, "copy_gone")


def _id(services: Sandbox, reference: str) -> str:
    (found,) = [
        str(row["id"]) for row in services.sage.invoices.values() if row["reference"] == reference
    ]
    return found


def test_a_marker_on_somebody_elses_document_is_not_taken(
    book: Book, psage: Psage, home: Path
) -> None:
    key = book.invoices[0]
    document = book.stored(book.copy_of(key)["id"])
    document["contact_id"] = next(
        row["id"]
        for row in book.sandbox.sage.books().table("contacts").values()
        if row["name"] == "Northwind Traders Ltd"
    )
    book.sandbox.productive.table("invoices")[key]["attributes"]["export_id"] = None
    forget(home)

    result = psage("rebuild", "--yes", "--json")

    (warning,) = result.json["warnings"]
    assert warning["code"] == "not_adopted"
    assert "may be the copy" in warning["message"]
    assert key not in {one["productive_id"] for one in result.json["copies"]}


def test_a_persons_copy_of_a_payment_is_not_taken_for_psages_own(
    book: Book, psage: Psage, home: Path
) -> None:
    (marker, _, payment, *_), *_ = table(home, PAYMENTS)
    rows = book.sandbox.productive.table("payments")
    rows[payment]["attributes"]["amount"] += 1
    forget(home)

    result = psage("rebuild", "--yes", "--json")

    assert payment not in {one["productive_payment_id"] for one in result.json["payments"]}
    assert any(payment in one["message"] for one in result.json["warnings"])
    assert table(home, f"SELECT * FROM mirrored WHERE marker = '{marker}'") == []


def test_a_rebuild_takes_the_run_lock(book: Book, psage: Psage, home: Path) -> None:
    import filelock

    with filelock.FileLock(home / "default.lock"):
        result: Result = psage("rebuild", "--yes", "--json")

    assert (result.code, result.json["error"]["code"]) == (5, "locked")
