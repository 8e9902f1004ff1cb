"""sync-payments on the sandbox: what acts in Sage become in Productive, and what is left alone."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage.http import Recorder
from productive_sage.payments.records import PaymentChange, Synced
from productive_sage.productive.payments import Payments
from productive_sage.sandbox import Sandbox
from productive_sage.sandbox.books import Books
from productive_sage.sandbox.run import act
from productive_sage.store import Store
from productive_sage.terminal import synced
from tests.conftest import Psage, Result, copies, forget, writes

ON = ("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
FULL = ("sync-payments", "--full", "--json")


@pytest.fixture
def books(beginning: Callable[..., Sandbox]) -> Sandbox:
    """Three invoices are copied with tax, payments are synchronised since January."""
    copy = ("copy-invoice", "101", "105", "123", "--tax-rate", "GB_STANDARD")
    return beginning(copy, ON, ("sync-payments",))


def copy_of(sandbox: Sandbox, productive_id: str) -> str:
    return str(copies(sandbox, productive_id)[-1]["id"])


def held(sandbox: Sandbox, productive_id: str) -> list[tuple[str, str | None]]:
    """Amount and day of each payment of an invoice."""
    return [
        (f"{Decimal(row['amount']) / 100:.2f}", row["paid_on"])
        for row in sandbox.productive.payments.values()
        if row["invoice_id"] == productive_id
    ]


def only_payment(sandbox: Sandbox) -> dict[str, Any]:
    (payment,) = sandbox.productive.payments.values()
    return dict(payment)


def codes(result: Result) -> list[str]:
    return [one["code"] for one in result.json["skipped"]]


# --- create


def test_a_receipt_becomes_a_payment_with_the_day_and_a_note(books: Sandbox, psage: Psage) -> None:
    copy = copy_of(books, "101")
    receipt = books.bookkeeper.pay(copy, "120.50", "2026-03-04", "BACS 77")

    result = psage("sync-payments", "--json")

    payment = only_payment(books)
    assert result.code == 0
    assert (payment["amount"], payment["paid_on"], payment["invoice_id"]) == (
        12050,
        "2026-03-04",
        "101",
    )
    assert payment["note"] == f"Sage receipt BACS 77\npsage {receipt}/{copy}"
    assert result.json["created"] == [
        {
            "productive_invoice_id": "101",
            "number": "INV-2026-001",
            "productive_payment_id": payment["id"],
            "sage_payment_id": receipt,
            "date": "2026-03-04",
            "amount": "120.50",
            "currency": "GBP",
            "write_off": False,
        }
    ]
    assert result.json["checked_invoices"] == 3


def test_tranches_and_one_receipt_over_several_invoices(books: Sandbox, psage: Psage) -> None:
    first, second = copy_of(books, "101"), copy_of(books, "105")
    books.bookkeeper.pay(first, "10.00", "2026-03-01")
    books.bookkeeper.pay_many([(first, "20.00"), (second, "30.00")], "2026-03-02")

    assert psage("sync-payments").code == 0

    assert held(books, "101") == [("10.00", "2026-03-01"), ("20.00", "2026-03-02")]
    assert held(books, "105") == [("30.00", "2026-03-02")]


def test_an_overpaid_receipt_counts_for_what_it_settles(books: Sandbox, psage: Psage) -> None:
    copy = copies(books, "101")[0]
    books.bookkeeper.pay(copy["id"], copy["total_amount"] + 50, "2026-03-01")

    assert psage("sync-payments").code == 0

    assert held(books, "101") == [(f"{copy['total_amount']:.2f}", "2026-03-01")]


def test_a_payment_on_account_counts_from_the_day_it_is_allocated(
    books: Sandbox, psage: Psage
) -> None:
    copy = copies(books, "101")[0]
    receipt = books.bookkeeper.pay_on_account(copy["contact"]["id"], "75.00", "2026-02-01")
    on_account = books.sage.receipts[receipt]["payment_on_account"]["id"]
    assert psage("sync-payments", "--json").json["created"] == []
    allocation = books.bookkeeper.allocate(copy["id"], on_account, "75.00", "2026-03-09")

    result = psage("sync-payments", "--json")

    assert held(books, "101") == [("75.00", "2026-03-09")]
    assert result.json["created"][0]["sage_payment_id"] == allocation


def test_an_allocation_of_several_documents_is_looked_up(books: Sandbox, psage: Psage) -> None:
    first, second = copies(books, "101")[0], copies(books, "105")[0]
    receipt = books.bookkeeper.pay_on_account(first["contact"]["id"], "75.00", "2026-02-01")
    on_account = books.sage.receipts[receipt]["payment_on_account"]["id"]
    allocation = books.bookkeeper.allocate(first["id"], on_account, "40.00", "2026-03-09")
    row = books.sage.books().table("contact_allocations")[allocation]
    row["artefacts"][1]["amount"] = Decimal("-65.00")
    row["artefacts"].append({"artefact_id": second["id"], "amount": Decimal("25.00")})

    result = psage("sync-payments", "--json")

    assert codes(result) == []
    assert held(books, "101") == [("40.00", "2026-03-09")]
    assert held(books, "105") == [("25.00", "2026-03-09")]


def test_a_credit_notes_allocation_is_no_payment(books: Sandbox, psage: Psage) -> None:
    assert psage("copy-invoice", "111").code == 0
    assert psage("credit-note", "110").code == 0

    result = psage("sync-payments", "--json")

    assert (result.code, codes(result)) == (0, [])
    assert books.productive.payments == {}


def test_a_discount_is_named_or_written_off(books: Sandbox, psage: Psage, home: Path) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "95.00", "2026-03-01", discount="5.00")

    first = psage("sync-payments", "--json")
    settings = home / "default.toml"
    settings.write_text('settlement_discount = "write_off"\n' + settings.read_text())
    second = psage("sync-payments", "--json")
    third = psage("sync-payments", "--json")

    assert codes(first) == ["settlement_discount"]
    assert "5.00 GBP" in first.json["skipped"][0]["message"]
    assert [one["write_off"] for one in first.json["created"]] == [False]
    assert [(one["amount"], one["write_off"]) for one in second.json["created"]] == [("5.00", True)]
    written_off = [
        (row["amount"], row["written_off_on"], row["paid_on"])
        for row in books.productive.payments.values()
        if row["written_off_on"]
    ]
    assert written_off == [(500, "2026-03-01", None)]
    assert third.json["created"] == third.json["updated"] == third.json["deleted"] == []


def test_a_discount_taken_back_takes_the_write_off_with_it(
    books: Sandbox, psage: Psage, home: Path
) -> None:
    settings = home / "default.toml"
    settings.write_text('settlement_discount = "write_off"\n' + settings.read_text())
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "95.00", "2026-03-01", discount="5.00")
    psage("sync-payments")
    books.sage.books().table("contact_payments")[receipt]["allocated"][0]["discount"] = Decimal(0)
    books.bookkeeper.edit_receipt(receipt)

    result = psage("sync-payments", "--json")

    assert [one["write_off"] for one in result.json["deleted"]] == [True]
    assert held(books, "101") == [("95.00", "2026-03-01")]


def test_a_refund_is_mirrored(books: Sandbox, psage: Psage) -> None:
    copy = copy_of(books, "101")
    books.bookkeeper.pay(copy, "100.00", "2026-03-01")
    refund = books.bookkeeper.pay(copy, "1.00", "2026-03-05")
    books.bookkeeper.edit_receipt(refund, amount="-30.00")

    assert psage("sync-payments").code == 0

    assert held(books, "101") == [("100.00", "2026-03-01"), ("-30.00", "2026-03-05")]


def test_a_receipt_in_another_currency_counts_in_the_invoices(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "119")
    psage(*ON)
    copy = copies(services, "119")[0]
    receipt = services.bookkeeper.pay(copy["id"], "10.00", "2026-03-01")
    services.sage.books().table("contact_payments")[receipt]["currency"] = "GBP"

    result = psage("sync-payments", "--json")

    assert [(one["amount"], one["currency"]) for one in result.json["created"]] == [
        ("10.00", "EUR")
    ]


# --- change, move, delete


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        ({"amount": "90.00"}, {"amount": 9000}),
        ({"date": "2026-04-01"}, {"paid_on": "2026-04-01"}),
    ],
)
def test_an_edited_receipt_changes_its_payment(
    books: Sandbox, psage: Psage, edit: dict[str, str], changed: dict[str, Any]
) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "100.00", "2026-03-01", "BACS 1")
    psage("sync-payments")
    before = only_payment(books)
    books.bookkeeper.edit_receipt(receipt, **edit)
    books.clear_calls()

    result = psage("sync-payments", "--json")

    assert only_payment(books) == before | changed
    assert len(result.json["updated"]) == 1
    assert writes(books) == [f"PATCH /payments/{before['id']}"]


def test_an_edited_reference_keeps_what_people_wrote_into_the_note(
    books: Sandbox, psage: Psage
) -> None:
    copy = copy_of(books, "101")
    receipt = books.bookkeeper.pay(copy, "100.00", "2026-03-01", "BACS 1")
    psage("sync-payments")
    payment = only_payment(books)
    books.agency.edit_payment(payment["id"], note=f"Ann: late\n{payment['note']}\nPhoned them")
    books.bookkeeper.edit_receipt(receipt, reference="BACS 2")

    assert psage("sync-payments").code == 0

    assert only_payment(books)["note"] == (
        f"Ann: late\nSage receipt BACS 2\npsage {receipt}/{copy}\nPhoned them"
    )


def test_a_receipt_moved_to_another_invoice_moves_its_payment(books: Sandbox, psage: Psage) -> None:
    first, second = copy_of(books, "101"), copy_of(books, "105")
    receipt = books.bookkeeper.pay(first, "50.00", "2026-03-01")
    psage("sync-payments")
    books.bookkeeper.move_receipt(receipt, first, second)

    result = psage("sync-payments", "--json")

    assert held(books, "101") == []
    assert held(books, "105") == [("50.00", "2026-03-01")]
    assert len(result.json["deleted"]) == len(result.json["created"]) == 1


@pytest.mark.parametrize("touch", [True, False], ids=["invoice touched", "not touched"])
def test_a_deleted_receipt_takes_its_payment_with_it(
    books: Sandbox, psage: Psage, touch: bool
) -> None:
    books.payments_touch_invoices = touch
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    books.bookkeeper.delete_receipt(receipt)

    result = psage("sync-payments", "--json")

    assert held(books, "101") == []
    assert [one["amount"] for one in result.json["deleted"]] == ["50.00"]


def test_a_receipt_put_on_account_again_takes_its_payment_with_it(
    books: Sandbox, psage: Psage
) -> None:
    copy = copies(books, "101")[0]
    receipt = books.bookkeeper.pay_on_account(copy["contact"]["id"], "75.00", "2026-02-01")
    on_account = books.sage.receipts[receipt]["payment_on_account"]["id"]
    allocation = books.bookkeeper.allocate(copy["id"], on_account, "75.00", "2026-03-09")
    psage("sync-payments")
    books.bookkeeper.delete_allocation(allocation)

    result = psage("sync-payments", "--json")

    assert held(books, "101") == []
    assert len(result.json["deleted"]) == 1


def test_an_invoice_that_forgets_its_receipt_is_not_believed_alone(
    books: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    monkeypatch.setattr(Books, "settlements", lambda self, key: [])

    result = psage("sync-payments", "--json")

    assert (result.json["deleted"], codes(result)) == ([], ["not_proven"])
    assert held(books, "101") == [("50.00", "2026-03-01")]


def test_a_receipt_that_does_not_say_what_it_settles_is_no_second_witness(
    books: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    books.receipts_say_nothing = True
    monkeypatch.setattr(Books, "settlements", lambda self, key: [])

    result = psage("sync-payments", "--json")

    assert (result.json["deleted"], codes(result)) == ([], ["not_proven"])
    assert held(books, "101") == [("50.00", "2026-03-01")]


def test_a_receipt_that_does_not_say_what_it_settles_may_settle_any_copy(
    books: Sandbox, psage: Psage, home: Path
) -> None:
    books.receipts_say_nothing, books.payments_touch_invoices = True, False
    age_everything(books)
    with Store(home / "default.db") as store, store.db.write() as db:
        db.execute("UPDATE link SET copied_at = '2026-01-01T00:00:00+00:00'")
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")

    result = psage("sync-payments", "--json")

    assert [one["amount"] for one in result.json["created"]] == ["10.00"]
    assert held(books, "101") == [("10.00", "2026-03-01")]


def test_more_removals_than_allowed_change_nothing_at_all(books: Sandbox, psage: Psage) -> None:
    copy = copy_of(books, "101")
    receipts = [books.bookkeeper.pay(copy, "1.00", f"2026-03-{day:02}") for day in range(1, 5)]
    psage("sync-payments")
    for receipt in receipts:
        books.bookkeeper.delete_receipt(receipt)
    books.bookkeeper.pay(copy, "2.00", "2026-03-20")
    books.clear_calls()

    stopped = psage("sync-payments", "--max-deletes", "3", "--full", "--json")

    assert (stopped.code, stopped.json["error"]["code"]) == (4, "too_many_deletes")
    assert stopped.json["error"]["details"]["removals"] == 4
    assert "`psage sync-payments --full --max-deletes 4`" in stopped.json["error"]["hint"]
    assert writes(books) == []

    allowed = psage("sync-payments", "--max-deletes", "4", "--json")
    assert (allowed.code, len(allowed.json["deleted"])) == (0, 4)
    assert held(books, "101") == [("2.00", "2026-03-20")]


# --- what people do in Productive


def test_a_payment_made_by_hand_is_not_paid_twice(books: Sandbox, psage: Psage) -> None:
    by_hand = books.agency.add_payment("101", "50.00", "2026-03-03", "by Ann")
    before = dict(books.productive.payments[by_hand])
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    books.bookkeeper.pay(copy_of(books, "101"), "20.00", "2026-03-02")

    result = psage("sync-payments", "--json")

    assert result.code == 0
    assert codes(result) == ["paid_in_productive"]
    assert by_hand in result.json["skipped"][0]["message"]
    assert held(books, "101") == [("50.00", "2026-03-03"), ("20.00", "2026-03-02")]
    assert books.productive.payments[by_hand] == before


def test_a_whole_payment_by_hand_stands_for_tranches_in_sage(books: Sandbox, psage: Psage) -> None:
    unpaid = Decimal(books.productive.invoices["101"]["amount_unpaid"]) / 100
    books.agency.add_payment("101", unpaid, "2026-03-03", "all of it")
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")

    result = psage("sync-payments", "--json")

    assert codes(result) == ["paid_in_productive"]
    assert len(held(books, "101")) == 1


@pytest.mark.parametrize(
    ("by_hand", "receipts"), [(["100.00"], ["50.00", "50.00"]), (["60.00", "40.00"], ["100.00"])]
)
def test_sums_that_agree_are_not_paid_twice_either(
    books: Sandbox, psage: Psage, by_hand: list[str], receipts: list[str]
) -> None:
    for amount in by_hand:
        books.agency.add_payment("101", amount, "2026-03-03", "by Ann")
    for amount in receipts:
        books.bookkeeper.pay(copy_of(books, "101"), amount, "2026-03-01")

    result = psage("sync-payments", "--json")

    assert set(codes(result)) == {"paid_in_productive"}
    assert len(held(books, "101")) == len(by_hand)


def test_what_a_receipt_grew_by_is_not_added_to_the_same_by_hand(
    books: Sandbox, psage: Psage
) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    books.agency.add_payment("101", "30.00", "2026-03-03", "by Ann")
    books.bookkeeper.edit_receipt(receipt, amount="80.00")

    result = psage("sync-payments", "--json")

    assert codes(result) == ["paid_in_productive"]
    assert sorted(held(books, "101")) == [("30.00", "2026-03-03"), ("50.00", "2026-03-01")]


def test_a_payment_by_hand_of_before_the_start_hides_no_later_instalment(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101", "--tax-rate", "GB_STANDARD")
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-03-01")
    services.bookkeeper.pay(copy_of(services, "101"), "50.00", "2026-02-01")
    services.agency.add_payment("101", "50.00", "2026-02-01", "by Ann")
    services.bookkeeper.pay(copy_of(services, "101"), "50.00", "2026-03-05")

    result = psage("sync-payments", "--json")

    assert codes(result) == []
    assert held(services, "101") == [("50.00", "2026-02-01"), ("50.00", "2026-03-05")]


def test_a_receipt_dated_back_before_the_start_is_still_followed(
    books: Sandbox, psage: Psage
) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    books.bookkeeper.edit_receipt(receipt, amount="20.00", date="2025-12-31")

    psage("sync-payments")

    assert held(books, "101") == [("20.00", "2025-12-31")]


def test_what_was_dated_back_before_the_start_stays_psages_own(
    books: Sandbox, psage: Psage
) -> None:
    copy = copy_of(books, "101")
    receipt = books.bookkeeper.pay(copy, "50.00", "2026-03-01")
    psage("sync-payments")
    books.bookkeeper.edit_receipt(receipt, date="2025-12-31")
    psage("sync-payments")
    books.bookkeeper.edit_receipt(receipt, amount="20.00")
    assert psage("sync-payments").code == 0
    assert held(books, "101") == [("20.00", "2025-12-31")]
    books.bookkeeper.delete_receipt(receipt)

    result = psage("sync-payments", "--json")

    assert [one["amount"] for one in result.json["deleted"]] == ["20.00"]
    assert held(books, "101") == []


def test_a_later_beginning_leaves_nothing_of_psages_own_behind(
    books: Sandbox, psage: Psage
) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    books.bookkeeper.pay(copy_of(books, "105"), "60.00", "2026-03-01")
    psage("sync-payments")
    psage("configure", "--sync-payments-from", "2026-06-01")
    books.bookkeeper.delete_receipt(receipt)

    result = psage("sync-payments", "--json")

    assert (result.json["left_alone"], len(result.json["deleted"])) == (0, 1)
    assert held(books, "105") == [("60.00", "2026-03-01")]


def test_a_replacing_payment_waits_for_the_removal_of_the_old_one(
    books: Sandbox, psage: Psage
) -> None:
    old = copy_of(books, "101")
    receipt = books.bookkeeper.pay(old, "50.00", "2026-03-01")
    psage("sync-payments")
    psage("copy-invoice", "101", "--create-new", "--tax-rate", "GB_STANDARD")
    (new,) = [row["id"] for row in copies(books, "101") if row["id"] != old]
    books.bookkeeper.move_receipt(receipt, old, new)
    books.fault("status", service="productive", method="DELETE", path="/payments", status=422)

    first = psage("sync-payments", "--json")
    between = held(books, "101")
    second = psage("sync-payments", "--json")

    assert (first.code, between) == (6, [("50.00", "2026-03-01")])
    assert (second.code, held(books, "101")) == (0, [("50.00", "2026-03-01")])


def test_rows_that_do_not_add_up_change_nothing(
    books: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    plain = Books.settlements
    monkeypatch.setattr(
        Books,
        "_document_view",
        lambda self, kind, row, view=Books._document_view: (
            view(self, kind, row)
            | {"payments_allocations": [{**one, "amount": 42} for one in plain(self, row["id"])]}
        ),
    )

    result = psage("sync-payments", "--json")

    assert result.json["failed"][0]["code"] == "service_unavailable"
    assert books.productive.payments == {}


def test_a_clock_that_was_ahead_hides_nothing(books: Sandbox, psage: Psage, home: Path) -> None:
    with Store(home / "default.db") as store:
        ahead = "2030-01-01T00:00:00+00:00"
        store.cursors.set({"payments until": ahead, "payments full": ahead})

    assert psage("sync-payments", "--json").json["since"] is None
    assert psage("sync-payments", "--json").json["since"] is not None


def test_a_payment_in_productive_never_goes_to_sage(books: Sandbox, psage: Psage) -> None:
    books.agency.add_payment("101", "50.00", "2026-03-03", "by Ann")

    psage(*FULL)

    assert writes(books) == []
    assert books.sage.receipts == {}


def test_what_psage_wrote_is_put_right_again(books: Sandbox, psage: Psage) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    books.bookkeeper.pay(copy_of(books, "101"), "60.00", "2026-03-02")
    psage("sync-payments")
    first, second = books.productive.payments
    books.agency.edit_payment(first, amount="5.00")
    books.agency.delete_payment(second)

    assert psage(*FULL).code == 0

    assert held(books, "101") == [("50.00", "2026-03-01"), ("60.00", "2026-03-02")]


def test_a_payment_moved_by_hand_is_reported_and_not_made_again(
    books: Sandbox, psage: Psage
) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    (key,) = books.productive.payments
    books.productive.table("payments")[key]["rel"]["invoice"] = "105"
    for invoice in ("101", "105"):
        books.agency.edit_invoice(invoice, note="moved")

    for _ in range(3):
        result = psage("sync-payments", "--json")
        assert codes(result) == ["payment_moved"]
        assert len(books.productive.payments) == 1


def test_a_doubled_payment_is_reported_and_left_alone(books: Sandbox, psage: Psage) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    payment = only_payment(books)
    books.agency.add_payment("101", "50.00", "2026-03-01", payment["note"])

    result = psage("sync-payments", "--json")

    assert codes(result) == ["doubled"]
    assert len(books.productive.payments) == 2


def test_a_copy_of_a_payment_is_a_persons_and_outlives_the_receipt(
    books: Sandbox, psage: Psage
) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    payment = only_payment(books)
    second = books.agency.add_payment("101", "50.00", "2026-03-01", payment["note"])
    books.bookkeeper.edit_receipt(receipt, reference="BACS 9")
    psage("sync-payments")
    books.bookkeeper.delete_receipt(receipt)

    results = [psage(*FULL) for _ in range(3)]

    assert [len(result.json["deleted"]) for result in results] == [1, 0, 0]
    assert only_payment(books)["id"] == second
    assert only_payment(books)["note"] == payment["note"]
    assert codes(results[-1]) == ["no_receipt_in_sage"]


def test_a_copy_of_a_payment_stands_for_the_next_instalment(books: Sandbox, psage: Psage) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    note = only_payment(books)["note"]
    books.agency.add_payment("101", "50.00", "2026-04-01", note)
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-04-01")

    result = psage("sync-payments", "--json")

    assert codes(result) == ["paid_in_productive"]
    assert held(books, "101") == [("50.00", "2026-03-01"), ("50.00", "2026-04-01")]


def test_a_copy_takes_no_place_of_the_payment_it_was_made_of(books: Sandbox, psage: Psage) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    payment = only_payment(books)
    second = books.agency.add_payment("101", "50.00", "2026-03-01", payment["note"])
    books.agency.delete_payment(payment["id"])

    results = [psage(*FULL) for _ in range(3)]
    books.bookkeeper.edit_receipt(receipt, date="2026-03-09")
    psage(*FULL)
    stayed = only_payment(books)["paid_on"]
    books.bookkeeper.delete_receipt(receipt)
    psage(*FULL)

    assert [codes(result) for result in results] == [["paid_in_productive"]] * 3
    assert (only_payment(books)["id"], stayed) == (second, "2026-03-01")


@pytest.mark.parametrize("edit", [{"amount": "49.00"}, {"date": "2026-03-09"}])
def test_a_marker_alone_adopts_only_what_is_just_the_receipt(
    books: Sandbox, psage: Psage, home: Path, edit: dict[str, str]
) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")
    psage("sync-payments")
    before = only_payment(books)
    forget(home)
    psage("copy-invoice", "101", "105", "123")
    books.bookkeeper.edit_receipt(receipt, **edit)

    result = psage("sync-payments", "--json")

    assert codes(result) == ["paid_in_productive"]
    assert only_payment(books) == before
    books.bookkeeper.edit_receipt(receipt, amount="50.00", date="2026-03-01")
    psage("sync-payments")
    books.bookkeeper.edit_receipt(receipt, **edit)
    assert len(psage("sync-payments", "--json").json["updated"]) == 1


def test_an_overpaid_invoice_is_reported(books: Sandbox, psage: Psage) -> None:
    line = next(
        key for key, row in books.productive.line_items.items() if row["invoice_id"] == "101"
    )
    books.agency.edit_line(line, quantity="0.1")
    copy = copies(books, "101")[0]
    books.bookkeeper.pay(copy["id"], copy["total_amount"], "2026-03-01")

    result = psage("sync-payments", "--json")

    assert result.code == 0
    assert codes(result) == ["overpaid"]
    assert held(books, "101") == [(f"{copy['total_amount']:.2f}", "2026-03-01")]


def test_a_refusal_of_productive_is_tried_again_and_stops_no_other(
    books: Sandbox, psage: Psage, home: Path
) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    books.bookkeeper.pay(copy_of(books, "105"), "20.00", "2026-03-01")
    books.fault("status", service="productive", method="POST", path="/payments", status=422)

    first = psage("sync-payments", "--json")

    assert first.code == 6
    (failed,) = first.json["failed"]
    assert (failed["productive_invoice_id"], failed["code"]) == ("101", "refused_by_productive")
    with Store(home / "default.db") as store:
        assert [one.productive_id for one in store.errands.waiting()] == ["101"]
    # Long after, when the feeds show it no more, it is still tried again.
    books.advance(10 * 86_400)
    second = psage("sync-payments", "--json")
    assert second.code == 0
    assert held(books, "101") == [("10.00", "2026-03-01")]
    with Store(home / "default.db") as store:
        assert store.errands.waiting() == []


def test_an_invoice_deleted_in_productive_is_reported(books: Sandbox, psage: Psage) -> None:
    books.agency.delete_invoice("101")
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    books.bookkeeper.pay(copy_of(books, "105"), "20.00", "2026-03-01")

    result = psage("sync-payments", "--json")

    assert result.code == 0
    assert codes(result) == ["not_found"]
    assert "was deleted in Productive on" in result.json["skipped"][0]["message"]
    assert held(books, "105") == [("20.00", "2026-03-01")]


# --- a payment whose answer never came


@pytest.mark.parametrize("fault", ["cut_late", "cut_before"])
def test_a_payment_that_broke_off_is_not_sent_again_while_it_may_still_arrive(
    books: Sandbox, psage: Psage, fault: str
) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    books.bookkeeper.pay(copy_of(books, "105"), "20.00", "2026-03-01")
    books.fault(fault, service="productive", method="POST", path="/payments", seconds=200)
    assert psage("sync-payments").code == 8
    books.clear_calls()

    soon = psage("sync-payments", "--json")
    (waits,) = psage("status", "--json").json["waiting"]

    assert (soon.code, soon.json["failed"][0]["code"]) == (8, "outcome_unknown")
    assert writes(books, "productive") == []
    assert (waits["code"], waits["next"]) == (
        "outcome_unknown",
        "psage sync-payments --invoice INV-2026-001",
    )
    books.advance(240)
    later = psage("sync-payments", "--json")
    books.advance(120)
    at_last = psage("sync-payments", "--json")
    assert (later.code, at_last.code) == ((0, 0) if fault == "cut_late" else (8, 0))
    assert held(books, "101") == [("10.00", "2026-03-01")]
    assert held(books, "105") == [("20.00", "2026-03-01")]
    assert psage("status", "--json").json["waiting"] == []


def test_the_age_of_a_payment_is_told_by_productives_clock(
    books: Sandbox, psage: Psage, handed_in: dict[str, Any]
) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    books.fault("cut_late", service="productive", method="POST", path="/payments", seconds=100)
    assert psage("sync-payments").code == 8
    ahead = timedelta(days=1)
    handed_in["timing"] = replace(handed_in["timing"], utc=lambda: datetime.now(UTC) + ahead)

    assert psage("sync-payments").code == 8
    books.advance(101)
    assert psage("sync-payments").code == 0
    assert held(books, "101") == [("10.00", "2026-03-01")]


def test_a_payment_that_arrived_late_for_a_receipt_that_is_gone_is_removed(
    books: Sandbox, psage: Psage
) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    books.fault("cut_late", service="productive", method="POST", path="/payments", seconds=100)
    assert psage("sync-payments").code == 8
    books.bookkeeper.delete_receipt(receipt)
    assert psage("sync-payments").code == 8
    books.advance(101)

    result = psage("sync-payments", "--json")

    assert (result.code, len(result.json["deleted"])) == (0, 1)
    assert books.productive.payments == {}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_404_of_a_gateway_is_no_word_of_productive(
    books: Sandbox, psage: Psage, method: str
) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    psage("sync-payments")
    payment = only_payment(books)
    if method == "DELETE":
        books.bookkeeper.delete_receipt(receipt)
    else:  # the list lacks it too
        gone: dict[str, Any] = {"data": [], "links": {}}
        books.fault("status", service="productive", path="/payments", status=200, body=gone)
        paid = books.productive.table("invoices")["101"]["attributes"]
        paid["amount_paid"] = Decimal(0)
    how: dict[str, Any] = {
        "service": "productive",
        "method": method,
        "path": "/payments/*",
        "times": 9,
    }
    books.fault("status", status=404, body="<html>nothing here</html>", **how)

    result = psage(*FULL)

    assert result.code in (5, 6, 8)
    assert only_payment(books) == payment
    books._desk.clear()
    books.productive.recompute("101")
    assert psage(*FULL).code == 0
    assert len(books.productive.payments) == (method == "GET")


# --- two machines at once


@pytest.mark.parametrize("first", ["the other", "this one"])
def test_of_two_payments_for_one_receipt_the_one_with_the_lower_id_stays(
    books: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """The other machine's comes between this one's look and its write, or right after that."""
    copy = copy_of(books, "101")
    receipt = books.bookkeeper.pay(copy, "10.00", "2026-03-01")
    send, note = Payments.create, f"Sage receipt\npsage {receipt}/{copy}"

    def race(self: Payments, attributes: Any, record: Recorder) -> str:
        made = "" if first == "the other" else send(self, attributes, record)
        books.agency.add_payment("101", "10.00", "2026-03-01", note)
        return made or send(self, attributes, record)

    monkeypatch.setattr(Payments, "create", race)

    result = psage("sync-payments", "--json")

    lower, higher = "7001", "7002"
    assert result.code == 0
    if first == "the other":
        assert result.json["created"] == []
        assert only_payment(books)["id"] == lower
    else:  # the other machine removes its own
        assert [one["productive_payment_id"] for one in result.json["created"]] == [lower]
        assert sorted(books.productive.payments) == [lower, higher]
        books.agency.delete_payment(higher)
    monkeypatch.setattr(Payments, "create", send)
    books.bookkeeper.delete_receipt(receipt)
    psage("sync-payments")
    assert books.productive.payments == {}


# --- copies


def test_a_voided_copy_is_reported(books: Sandbox, psage: Psage) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    psage("sync-payments")
    books.bookkeeper.delete_receipt(receipt)
    books.bookkeeper.void(copy_of(books, "101"))

    result = psage("sync-payments", "--json")

    assert codes(result) == ["copy_gone"]
    assert result.json["skipped"][0]["next"] == "psage copy-invoice INV-2026-001 --create-new"
    assert held(books, "101") == []


def test_a_deleted_copy_proves_nothing(books: Sandbox, psage: Psage) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    psage("sync-payments")
    books.bookkeeper.delete_invoice(copy_of(books, "101"))

    result = psage(*FULL)

    assert (result.code, codes(result)) == (0, ["copy_gone"])
    assert held(books, "101") == [("10.00", "2026-03-01")]


def test_of_several_copies_the_latest_is_followed(books: Sandbox, psage: Psage) -> None:
    old = copy_of(books, "101")
    receipt = books.bookkeeper.pay(old, "10.00", "2026-03-01")
    psage("sync-payments")
    psage("copy-invoice", "101", "--create-new", "--tax-rate", "GB_STANDARD")
    (new,) = [row["id"] for row in copies(books, "101") if row["id"] != old]
    books.bookkeeper.pay(new, "20.00", "2026-03-02")

    both = psage("sync-payments", "--json")

    assert sorted(set(codes(both))) == ["not_proven", "several_copies"]
    assert held(books, "101") == [("10.00", "2026-03-01"), ("20.00", "2026-03-02")]
    books.bookkeeper.move_receipt(receipt, old, new)
    moved = psage("sync-payments", "--json")
    assert codes(moved) == []
    assert sorted(held(books, "101")) == [("10.00", "2026-03-01"), ("20.00", "2026-03-02")]
    assert all(new in row["note"] for row in books.productive.payments.values())


@pytest.mark.parametrize("named", [(), ("--invoice", "101")], ids=["all", "named"])
def test_a_copy_that_a_restored_store_lacks_is_followed(
    books: Sandbox, psage: Psage, home: Path, named: tuple[str, ...]
) -> None:
    saved = (home / "default.db").read_bytes()
    old = copy_of(books, "101")
    psage("copy-invoice", "101", "--create-new", "--tax-rate", "GB_STANDARD")
    forget(home)
    (home / "default.db").write_bytes(saved)
    (new,) = [row["id"] for row in copies(books, "101") if row["id"] != old]
    books.bookkeeper.pay(new, "20.00", "2026-03-02")

    assert psage("sync-payments", *named).code == 0

    assert held(books, "101") == [("20.00", "2026-03-02")]
    with Store(home / "default.db") as store:
        assert [link.sage_id for link in store.copies.of("101")] == [old, new]
        assert store.copies.unfinished() == []


@pytest.mark.parametrize(("named", "checked"), [((), 3), (("--invoice", "101"), 1)])
def test_a_machine_that_copied_nothing_synchronises_what_others_copied(
    books: Sandbox, psage: Psage, home: Path, named: tuple[str, ...], checked: int
) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "20.00", "2026-03-02")
    forget(home)

    result = psage("sync-payments", *named, "--json")

    assert (result.code, result.json["checked_invoices"]) == (0, checked)
    assert held(books, "101") == [("20.00", "2026-03-02")]


def test_a_dry_run_names_the_copy_of_another_machine_that_a_real_run_links(
    books: Sandbox, psage: Psage, home: Path
) -> None:
    books.bookkeeper.pay(copy_of(books, "105"), "20.00", "2026-03-02")
    forget(home)

    planned = psage("sync-payments", "--invoice", "105", "--dry-run", "--json")
    result = psage("sync-payments", "--invoice", "105", "--json")

    assert (planned.code, result.code) == (0, 0)
    assert "copied_elsewhere" in [one["code"] for one in planned.json["warnings"]]
    assert len(result.json["created"]) == 1


def test_a_reference_alone_makes_no_copy(books: Sandbox, psage: Psage) -> None:
    stranger = books.bookkeeper.take_number("HAND-1")
    books.bookkeeper.edit_invoice(stranger, reference="PRD-101-2")
    books.bookkeeper.pay(stranger, "5.00", "2026-03-02")

    assert psage(*FULL).code == 0

    assert books.productive.payments == {}


# --- when


def test_payments_of_earlier_days_are_left_alone_and_counted(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101", "--tax-rate", "GB_STANDARD")
    copy = copy_of(services, "101")
    early = services.bookkeeper.pay(copy, "10.00", "2026-02-27")
    services.bookkeeper.pay(copy, "20.00", "2026-03-01")
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-03-01")

    result = psage("sync-payments", "--json")
    shown = psage("sync-payments").out
    services.bookkeeper.delete_receipt(early)
    psage("sync-payments")

    assert result.json["left_alone"] == 1
    assert "1 of earlier days left alone" in shown
    assert held(services, "101") == [("20.00", "2026-03-01")]


def test_an_earlier_beginning_compares_everything_again(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "101", "--tax-rate", "GB_STANDARD")
    services.bookkeeper.pay(copy_of(services, "101"), "10.00", "2026-02-27")
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-03-01")
    psage("sync-payments")
    psage("configure", "--sync-payments-from", "2026-02-01")

    result = psage("sync-payments", "--json")

    assert result.json["since"] is None
    assert held(services, "101") == [("10.00", "2026-02-27")]


def test_what_changed_long_ago_is_seen_by_the_weekly_comparison(
    books: Sandbox, psage: Psage, home: Path
) -> None:
    books.payments_touch_invoices = False
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    age_everything(books)
    assert psage("sync-payments", "--json").json["checked_invoices"] == 3  # copied just now
    books.agency.delete_payment(only_payment(books)["id"])
    with Store(home / "default.db") as store, store.db.write() as db:
        db.execute("UPDATE link SET copied_at = '2026-01-01T00:00:00+00:00'")

    quiet = psage("sync-payments", "--json")
    with Store(home / "default.db") as store:
        eight_days_ago = "2026-11-01T00:00:00+00:00"
        store.cursors.set({"payments full": eight_days_ago})
    weekly = psage("sync-payments", "--json")

    assert quiet.json["checked_invoices"] == 0
    assert weekly.json["since"] is None
    assert held(books, "101") == [("10.00", "2026-03-01")]


def age_everything(sandbox: Sandbox) -> None:
    """Let nothing in Sage look changed within the last days."""
    for plural in ("sales_invoices", "contact_payments", "contact_allocations"):
        for row in sandbox.sage.books().table(plural).values():
            row["updated_at"] = "2026-01-01T00:00:00Z"


def test_since_reads_again_from_a_day(books: Sandbox, psage: Psage, home: Path) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    for row in books.sage.books().table("contact_payments").values():
        row["updated_at"] = "2026-06-01T00:00:00Z"
    for row in books.sage.books().table("sales_invoices").values():
        row["updated_at"] = "2026-01-01T00:00:00Z"
    with Store(home / "default.db") as store, store.db.write() as db:
        db.execute("UPDATE link SET copied_at = '2026-01-01T00:00:00+00:00'")

    assert psage("sync-payments", "--json").json["created"] == []
    later = psage("sync-payments", "--since", "2026-06-02", "--json")
    result = psage("sync-payments", "--since", "2026-06-01", "--json")

    assert later.json["created"] == []
    assert len(result.json["created"]) == 1
    assert result.json["since"].startswith("2026-06-01T00:00:00")


def test_only_the_invoices_asked_for(books: Sandbox, psage: Psage) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    books.bookkeeper.pay(copy_of(books, "105"), "20.00", "2026-03-01")

    result = psage("sync-payments", "--invoice", "105", "--invoice", "999", "--json")

    assert held(books, "101") == []
    assert held(books, "105") == [("20.00", "2026-03-01")]
    assert result.code == 6
    assert [one["code"] for one in result.json["failed"]] == ["invoice_not_copied"]
    psage("sync-payments")
    assert held(books, "101") == [("10.00", "2026-03-01")]


def test_what_is_typed_at_the_sandbox_is_booked_in_sage(books: Sandbox, psage: Psage) -> None:
    number = copies(books, "101")[-1]["displayed_as"]

    assert "is booked" in act(books, f"pay {number} 10.00 2026-03-01")
    psage("sync-payments")
    assert held(books, "101") == [("10.00", "2026-03-01")]

    assert act(books, f"unpay {number}\n") == "receipts deleted: 1"
    psage("sync-payments")
    assert held(books, "101") == []
    for nonsense in ("", "pay", "pay X 1", f"pay {number} x", f"pay {number} NaN", '"'):
        assert act(books, nonsense).startswith("that is none of these")


def test_a_credit_note_has_no_payments(books: Sandbox, psage: Psage) -> None:
    assert psage("copy-invoice", "111", "--no-tax", "--no-pdf").code == 0
    assert psage("credit-note", "110", "--no-pdf").code == 0

    result = psage("sync-payments", "--invoice", "110", "--json")

    assert (result.code, result.json["failed"][0]["code"]) == (4, "is_credit_note")


def test_the_mark_does_not_pass_what_was_not_read(books: Sandbox, psage: Psage, home: Path) -> None:
    def cursor() -> str | None:
        with Store(home / "default.db") as store:
            return store.cursors.get("payments until")

    before = cursor()
    books.fault("status", service="productive", path="/payments", status=403)
    stopped = psage("sync-payments", "--json")
    after_failure = cursor()
    good = psage("sync-payments", "--json")

    assert stopped.code == 4
    assert after_failure == before
    assert cursor() == good.json["until"]


# --- settings, roles, dry run


def test_it_is_off_until_somebody_switches_it_on(services: Sandbox, psage: Psage) -> None:
    result = psage("sync-payments", "--json")

    assert (result.code, result.json["error"]["code"]) == (4, "payment_sync_off")
    assert "--sync-payments-from" in result.json["error"]["hint"]
    assert services.calls() == []


def test_switching_it_on_needs_a_day(services: Sandbox, psage: Psage, home: Path) -> None:
    result = psage("configure", "--sync-payments", "--json")

    assert result.code == 2
    assert "--sync-payments-from" in result.json["error"]["hint"]
    assert "sync_payments" not in (home / "default.toml").read_text()


def test_switching_it_off_keeps_the_day(books: Sandbox, psage: Psage, home: Path) -> None:
    psage("configure", "--no-sync-payments")

    assert psage("sync-payments").code == 4
    assert psage("configure", "--sync-payments").code == 0
    assert "sync_payments_from = 2026-01-01" in (home / "default.toml").read_text()


def test_a_day_that_is_none_is_refused(services: Sandbox, psage: Psage) -> None:
    assert psage("configure", "--sync-payments-from", "soon").code == 2
    assert psage("sync-payments", "--since", "31.12.2026").code == 2
    assert psage("sync-payments", "--since", "2999-01-01").code == 2
    assert psage("sync-payments", "--invoice", "101", "--full").code == 2


def test_a_dry_run_shows_the_same_and_changes_nothing(
    books: Sandbox, psage: Psage, home: Path
) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    moved = books.bookkeeper.pay(copy_of(books, "105"), "20.00", "2026-03-02")
    psage("sync-payments")
    books.bookkeeper.delete_receipt(receipt)
    books.bookkeeper.edit_receipt(moved, amount="21.00")
    books.bookkeeper.pay(copy_of(books, "101"), "30.00", "2026-03-03")
    books.clear_calls()
    store_before = [line for line in dump(home) if "mark" not in line]

    dry = psage("sync-payments", "--dry-run", "--json")
    assert writes(books) == []
    assert [line for line in dump(home) if "mark" not in line] == store_before
    real = psage("sync-payments", "--json")

    for kind in ("created", "updated", "deleted"):
        planned = [one | {"productive_payment_id": 0} for one in dry.json[kind]]
        done = [one | {"productive_payment_id": 0} for one in real.json[kind]]
        assert planned == done
        assert len(done) == 1


def dump(home: Path) -> list[str]:
    with Store(home / "default.db") as store:
        return [*store.db.connection.iterdump()]


def test_a_role_that_may_not_read_allocations_is_said_once(books: Sandbox, psage: Psage) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01")
    psage("sync-payments")
    books.bookkeeper.delete_receipt(receipt)
    books.bookkeeper.pay(copy_of(books, "101"), "20.00", "2026-03-02")
    books.fault("status", path="/contact_allocations", status=403, times=99)

    result = psage("sync-payments", "--json")

    assert result.code == 0
    assert [one["code"] for one in result.json["warnings"]] == ["allocations_not_readable"]
    assert held(books, "101") == [("20.00", "2026-03-02")]


def test_the_second_run_writes_nothing(books: Sandbox, psage: Psage) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01", discount="1.00")
    psage("sync-payments")
    books.clear_calls()

    for _ in range(2):
        assert psage("sync-payments", "--json").code == 0
        assert psage(*FULL).code == 0
    assert writes(books) == []


def test_a_lost_store_finds_its_payments_by_their_notes(
    books: Sandbox, psage: Psage, home: Path
) -> None:
    receipt = books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01", "BACS 1")
    psage("sync-payments")
    forget(home)
    psage("copy-invoice", "101", "105", "123")
    books.clear_calls()

    assert psage("sync-payments").code == 0
    assert writes(books) == []
    books.bookkeeper.edit_receipt(receipt, amount="9.00", reference="BACS 2")
    assert psage("sync-payments").code == 0
    assert only_payment(books)["amount"] == 900
    assert only_payment(books)["note"].startswith("Sage receipt BACS 2\n")
    books.bookkeeper.delete_receipt(receipt)
    assert psage("sync-payments").code == 0
    assert books.productive.payments == {}


def test_yen_are_not_guessed_and_stop_no_other(services: Sandbox, psage: Psage, home: Path) -> None:
    settings = home / "default.toml"
    plain = settings.read_text()
    settings.write_text(plain + "[minor_digits]\nJPY = 0\n")
    assert psage("copy-invoice", "108", "101").code == 0
    assert psage(*ON).code == 0
    services.bookkeeper.pay(copy_of(services, "108"), "1000", "2026-03-01")
    services.bookkeeper.pay(copy_of(services, "101"), "10.00", "2026-03-01")
    good = settings.read_text()
    settings.write_text(good.replace("[minor_digits]\nJPY = 0\n", ""))

    first = psage("sync-payments", "--json")
    settings.write_text(good)
    second = psage("sync-payments", "--json")

    assert first.code == 6
    assert [one["code"] for one in first.json["failed"]] == ["currency_unclear"]
    assert second.code == 0
    assert {row["amount"] for row in services.productive.payments.values()} == {1000}


def test_people_see_a_table_and_what_needs_a_look(books: Sandbox, psage: Psage) -> None:
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01", discount="1.00")

    result = psage("sync-payments")
    again = psage("--quiet", "sync-payments")
    books.bookkeeper.pay(copy_of(books, "101"), "10.00", "2026-03-01", discount="2.00")
    quiet = psage("--quiet", "sync-payments")

    assert "INV-2026-001" in result.out
    assert "10.00" in result.out
    assert "3 invoices checked, 1 payment changed" in result.out
    assert "warning: invoice" in result.err
    assert "1.00 GBP" in result.err
    assert (again.out, again.err) == ("", "")
    assert quiet.out == ""
    assert "2.00 GBP" in quiet.err
    assert "1.00 GBP" not in quiet.err


def test_what_needs_a_look_is_kept_until_it_is_mended(
    books: Sandbox, psage: Psage, home: Path
) -> None:
    by_hand = books.agency.add_payment("101", "50.00", "2026-03-03", "by Ann")
    books.bookkeeper.pay(copy_of(books, "101"), "50.00", "2026-03-01")

    psage("sync-payments")
    with Store(home / "default.db") as store:
        assert [one.code for one in store.errands.findings()] == ["paid_in_productive"]
    books.agency.delete_payment(by_hand)
    psage("sync-payments")
    with Store(home / "default.db") as store:
        assert store.errands.findings() == []
    assert held(books, "101") == [("50.00", "2026-03-01")]


def test_a_home_that_knows_no_copies_says_so(services: Sandbox, psage: Psage) -> None:
    psage(*ON)

    result = psage("--quiet", "sync-payments")

    assert result.code == 0
    assert "PSAGE_HOME" in result.err


@pytest.mark.parametrize("columns", [120, 80, 60, 40])
def test_no_number_of_a_payment_is_folded_and_no_amount_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    amount = Decimal("1234567.89")
    change = PaymentChange(
        "123", "INV-2026-000023", "SI-1", "9001", "r1", date(2026, 3, 1), amount, "GBP", False
    )

    synced.show(Synced(until=datetime.now(UTC), created=[change]), dry_run=False, quiet=False)

    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    for words in ("INV-2026-000023", "SI-1", "1,234,567.89", "2026-03-01"):
        assert any(words in line for line in lines)
    assert all(len(line.rstrip()) <= columns for line in lines)
