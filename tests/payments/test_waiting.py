"""What waits for a person: where the two sides disagree, what to do about it, and what was seen."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from productive_sage.store import Store
from tests.conftest import Psage, Result, copies

ON = ("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
FULL = ("sync-payments", "--full", "--json")
LONG_S = 10 * 86_400
"""After so long no feed shows what was done before."""


@pytest.fixture
def books(beginning: Callable[..., Sandbox]) -> Sandbox:
    """Three invoices are copied: 101 without the tax that Productive asks for, the others with."""
    without = ("copy-invoice", "101", "--no-tax")
    taxed = ("copy-invoice", "105", "123", "--tax-rate", "GB_STANDARD")
    return beginning(without, taxed, ON, ("sync-payments",))


def copy_of(sandbox: Sandbox, productive_id: str) -> dict[str, Any]:
    return copies(sandbox, productive_id)[-1]


def pay_in_full(sandbox: Sandbox, productive_id: str) -> None:
    copy = copy_of(sandbox, productive_id)
    sandbox.bookkeeper.pay(copy["id"], copy["outstanding_amount"], "2026-03-04")


def owed(sandbox: Sandbox, productive_id: str) -> str:
    """What Productive says is open of an invoice."""
    return f"{Decimal(sandbox.productive.invoices[productive_id]['amount_unpaid']) / 100:.2f}"


def found(result: Result) -> list[str]:
    return [one["code"] for one in result.json["skipped"]]


def waiting(psage: Psage) -> list[dict[str, Any]]:
    result = psage("status", "--json")
    assert result.code == 0
    rows: list[dict[str, Any]] = result.json["waiting"]
    return rows


# --- where the two sides disagree


def test_what_the_taxes_leave_open_is_said_with_the_amount_and_both_numbers(
    books: Sandbox, psage: Psage
) -> None:
    pay_in_full(books, "101")

    result = psage("sync-payments", "--json")
    (waits,) = waiting(psage)

    tax = owed(books, "101")
    assert Decimal(tax) == Decimal(books.productive.invoices["101"]["amount_tax"]) / 100
    assert (result.code, found(result)) == (0, ["open_in_productive"])
    assert waits["code"] == "open_in_productive"
    for words in ("INV-2026-001", copy_of(books, "101")["displayed_as"], f"{tax} GBP stay open"):
        assert words in waits["message"]
    assert f"write the {tax} GBP off in Productive" in waits["next"]
    assert "`psage copy-invoice INV-2026-001 --update-existing --tax-rate RATE`" in waits["next"]
    assert result.json["skipped"][0]["next"] == waits["next"]


def test_it_waits_until_it_is_mended_in_productive_however_long_after(
    books: Sandbox, psage: Psage
) -> None:
    pay_in_full(books, "101")
    psage("sync-payments")
    books.advance(LONG_S)
    age(books)

    for _ in range(2):
        assert psage("sync-payments").code == 0
        assert [one["code"] for one in waiting(psage)] == ["open_in_productive"]
    books.agency.add_payment("101", owed(books, "101"), note="tax", written_off_on="2026-03-05")
    assert psage("sync-payments").code == 0

    assert waiting(psage) == []


def age(sandbox: Sandbox) -> None:
    for plural in ("sales_invoices", "contact_payments", "contact_allocations"):
        for row in sandbox.sage.books().table(plural).values():
            row["updated_at"] = "2026-01-01T00:00:00Z"


def test_an_amount_that_changed_after_the_copy_is_told_as_a_total(
    books: Sandbox, psage: Psage
) -> None:
    books.agency.add_line("105", unit_price="10.00")
    pay_in_full(books, "105")

    (one,) = psage("sync-payments", "--json").json["skipped"]

    assert one["code"] == "open_in_productive"
    assert "12.00 GBP stay open in Productive: the total is" in one["message"]


def test_what_a_credit_settles_in_sage_alone_leaves_the_invoice_open_too(
    books: Sandbox, psage: Psage
) -> None:
    assert psage("copy-invoice", "111", "--tax-rate", "GB_STANDARD").code == 0
    assert psage("credit-note", "110").code == 0
    assert found(psage(*FULL)) == []
    books.agency.delete_invoice("110")

    (one,) = psage(*FULL).json["skipped"]

    assert one["code"] == "open_in_productive"
    assert f"{owed(books, '111')} GBP stay open in Productive" in one["message"]
    assert f"credit the {owed(books, '111')} GBP in Productive" in one["next"]


@pytest.mark.parametrize("part", ["1", "0.5"], ids=["whole", "half"])
def test_a_payment_by_hand_that_sage_knows_nothing_of_is_said_by_the_comparison_of_all(
    books: Sandbox, psage: Psage, part: str
) -> None:
    amount = f"{Decimal(owed(books, '105')) * Decimal(part):.2f}"
    payment = books.agency.add_payment("105", amount, "2026-03-03", "by Ann")

    result = psage(*FULL)
    (waits,) = waiting(psage)

    copy = copy_of(books, "105")
    assert (result.code, waits["code"]) == (0, "no_receipt_in_sage")
    for words in ("INV-2026-005", copy["displayed_as"], f"{amount} GBP", f"payment {payment}"):
        assert words in waits["message"]
    assert f"{copy['outstanding_amount']:.2f} GBP of its copy are open" in waits["message"]
    assert f"enter the receipt for {copy['displayed_as']} in Sage" in waits["next"]
    books.agency.delete_payment(payment)
    assert psage("sync-payments").code == 0
    assert waiting(psage) == []


def test_a_write_off_by_hand_while_the_copy_is_open_is_said_too(
    books: Sandbox, psage: Psage
) -> None:
    books.agency.add_payment("105", owed(books, "105"), None, "lost", written_off_on="2026-03-03")

    assert found(psage(*FULL)) == ["no_receipt_in_sage"]


def test_a_tax_that_is_written_off_before_the_copy_is_paid_needs_nobody(
    books: Sandbox, psage: Psage
) -> None:
    tax = Decimal(books.productive.invoices["101"]["amount_tax"]) / 100
    books.agency.add_payment("101", tax, None, "tax", written_off_on="2026-03-03")

    assert found(psage(*FULL)) == []
    pay_in_full(books, "101")
    assert found(psage(*FULL)) == []


def test_a_receipt_for_what_was_entered_by_hand_ends_the_complaint(
    books: Sandbox, psage: Psage
) -> None:
    books.agency.add_payment("105", owed(books, "105"), "2026-03-03", "by Ann")
    assert found(psage(*FULL)) == ["no_receipt_in_sage"]

    pay_in_full(books, "105")

    assert found(psage("sync-payments", "--json")) == ["paid_in_productive"]


@pytest.mark.parametrize("full", [True, False], ids=["by the comparison", "when it is met"])
def test_an_invoice_deleted_in_productive_is_said_while_its_copy_is_open(
    books: Sandbox, psage: Psage, full: bool
) -> None:
    number = copy_of(books, "105")["displayed_as"]
    books.agency.delete_invoice("105")

    result = psage("sync-payments", "--json", *(["--full"] if full else []))
    (waits,) = waiting(psage)

    left = f"{copy_of(books, '105')['outstanding_amount']:.2f} GBP"
    assert (result.code, waits["code"]) == (0, "deleted_in_productive")
    assert f"{left} of its copy are open in Sage" in waits["message"]
    assert "INV-2026-005" in waits["message"]
    assert f"void or credit {number} in Sage" in waits["next"]


def test_what_is_open_of_a_deleted_invoices_copy_is_said_when_it_is_part_paid(
    books: Sandbox, psage: Psage
) -> None:
    books.agency.delete_invoice("105")
    books.bookkeeper.pay(copy_of(books, "105")["id"], "10.00", "2026-03-01")

    (one,) = psage(*FULL).json["skipped"]

    left = f"{copy_of(books, '105')['outstanding_amount']:.2f} GBP"
    assert one["code"] == "not_found"
    assert f"{left} of its copy are open" in one["message"]


def test_a_copy_of_a_deleted_invoice_that_is_voided_needs_nobody(
    books: Sandbox, psage: Psage
) -> None:
    books.agency.delete_invoice("105")
    assert found(psage(*FULL)) == ["deleted_in_productive"]

    books.bookkeeper.void(copy_of(books, "105")["id"])

    assert found(psage("sync-payments", "--json")) == []
    assert found(psage(*FULL)) == []
    assert waiting(psage) == []


def test_a_copy_of_a_deleted_invoice_that_is_paid_is_no_open_one(
    services: Sandbox, psage: Psage
) -> None:
    assert psage("copy-invoice", "105", "--tax-rate", "GB_STANDARD").code == 0
    pay_in_full(services, "105")
    assert psage("configure", "--sync-payments", "--sync-payments-from", "2026-06-01").code == 0
    services.agency.delete_invoice("105")

    assert found(psage(*FULL)) == []


def test_an_invoice_that_is_not_shown_and_not_on_record_is_said_without_failing(
    books: Sandbox, psage: Psage
) -> None:
    books.agency.delete_invoice("105")
    books.productive.data["tables"]["deleted_items"].clear()

    result = psage(*FULL)

    assert (result.code, found(result)) == (0, ["not_found"])


def test_deletions_are_read_once_for_all(books: Sandbox, psage: Psage) -> None:
    for key in ("105", "123"):
        books.agency.delete_invoice(key)
    books.clear_calls()

    assert found(psage(*FULL)) == ["deleted_in_productive"] * 2

    assert len(books.calls("productive", path="/deleted_items")) == 1


def test_a_discount_that_was_written_off_by_hand_needs_nobody(books: Sandbox, psage: Psage) -> None:
    books.bookkeeper.pay(copy_of(books, "105")["id"], "95.00", "2026-03-01", discount="5.00")
    assert found(psage("sync-payments", "--json")) == ["settlement_discount"]

    books.agency.add_payment("105", "5.00", None, "discount", written_off_on="2026-03-02")

    assert found(psage("sync-payments", "--json")) == []


@pytest.fixture
def taxed_in_sage(books: Sandbox, psage: Psage) -> Sandbox:
    """Productive asks for no tax on 105, its copy for 20 %."""
    for key, row in books.productive.line_items.items():
        if row["invoice_id"] == "105":
            books.agency.edit_line(key, tax_percent=None)
    return books


def test_a_tax_that_is_only_in_sage_is_no_payment_too_many(
    taxed_in_sage: Sandbox, psage: Psage
) -> None:
    pay_in_full(taxed_in_sage, "105")

    (one,) = psage("sync-payments", "--json").json["skipped"]

    tax = f"{copy_of(taxed_in_sage, '105')['tax_amount']:.2f} GBP"
    assert one["code"] == "overpaid"
    assert f"the tax is 0.00 GBP in Productive and {tax} in Sage" in one["message"]
    assert "`psage copy-invoice INV-2026-005 --update-existing --tax-rate RATE`" in one["next"]
    assert "one too many" not in one["next"]


def test_what_is_open_in_sage_alone_waits_with_the_amount_and_the_reason(
    taxed_in_sage: Sandbox, psage: Psage
) -> None:
    copy = copy_of(taxed_in_sage, "105")
    taxed_in_sage.bookkeeper.pay(copy["id"], copy["net_amount"], "2026-03-01")

    (one,) = psage("sync-payments", "--json").json["skipped"]
    (waits,) = waiting(psage)

    assert one["code"] == waits["code"] == "open_in_sage"
    assert f"{copy['tax_amount']:.2f} GBP of its copy are open in Sage" in one["message"]
    assert "the tax is 0.00 GBP in Productive" in one["message"]
    assert "`psage copy-invoice INV-2026-005 --update-existing" in one["next"]
    taxed_in_sage.bookkeeper.pay(copy["id"], copy["tax_amount"], "2026-03-02")
    assert found(psage("sync-payments", "--json")) == ["overpaid"]


def test_what_was_paid_for_an_older_copy_is_not_told_as_open_in_sage(
    books: Sandbox, psage: Psage
) -> None:
    pay_in_full(books, "105")
    psage("sync-payments")
    psage("copy-invoice", "105", "--create-new", "--tax-rate", "GB_STANDARD")

    assert sorted(found(psage(*FULL))) == ["not_proven", "several_copies"]


def test_a_payment_that_was_moved_is_not_told_as_open_in_sage(books: Sandbox, psage: Psage) -> None:
    books.bookkeeper.pay(copy_of(books, "105")["id"], "50.00", "2026-03-01")
    psage("sync-payments")
    (key,) = books.productive.payments
    books.productive.table("payments")[key]["rel"]["invoice"] = "123"
    for one in ("105", "123"):
        books.agency.edit_invoice(one, note="moved")
    copy = copy_of(books, "123")
    rest = Decimal(copy["outstanding_amount"]) - 50
    books.bookkeeper.pay(copy["id"], rest, "2026-03-02")

    assert found(psage(*FULL)) == ["payment_moved"]


def test_an_invoice_credited_in_productive_alone_is_open_in_sage(
    books: Sandbox, psage: Psage
) -> None:
    assert psage("copy-invoice", "111", "--tax-rate", "GB_STANDARD").code == 0

    (one,) = psage(*FULL).json["skipped"]

    assert (one["productive_invoice_id"], one["code"]) == ("111", "open_in_sage")
    assert "psage credit-note" in one["next"]
    assert psage("credit-note", "110").code == 0
    assert found(psage(*FULL)) == []


def test_what_is_paid_too_much_waits_until_it_is_mended(books: Sandbox, psage: Psage) -> None:
    pay_in_full(books, "105")
    psage("sync-payments")
    twice = books.agency.add_payment("105", "30.00", "2026-03-03", "by Ann")

    for _ in range(2):
        assert found(psage("sync-payments", "--json")) == ["overpaid"]
    books.agency.delete_payment(twice)
    assert found(psage("sync-payments", "--json")) == []


# --- what to do about it


def test_the_next_step_of_a_refusal_says_what_to_mend(books: Sandbox, psage: Psage) -> None:
    pay_in_full(books, "105")
    books.fault("status", service="productive", method="POST", path="/payments", status=422)

    assert psage("sync-payments").code == 6
    (waits,) = waiting(psage)

    assert waits["code"] == "refused_by_productive"
    assert waits["next"] == (
        "mend it in Productive and run `psage sync-payments --invoice INV-2026-005`"
    )


def test_no_finding_of_a_sync_is_mended_by_running_it_again(books: Sandbox, psage: Psage) -> None:
    pay_in_full(books, "101")
    books.agency.delete_invoice("123")
    books.agency.add_payment("105", "30.00", "2026-03-03", "by Ann")
    psage(*FULL)
    rows = waiting(psage)

    assert {one["code"] for one in rows} == {
        "open_in_productive",
        "deleted_in_productive",
        "no_receipt_in_sage",
    }
    assert [one for one in rows if one["next"].startswith("psage sync-payments")] == []


def test_people_read_the_step_behind_the_warning(books: Sandbox, psage: Psage) -> None:
    pay_in_full(books, "101")

    said = psage("--quiet", "sync-payments").err

    assert "stay open in Productive" in said
    assert "next: write the " in said


# --- what was seen


def test_a_thing_that_was_seen_is_off_until_its_amount_changes(
    books: Sandbox, psage: Psage
) -> None:
    pay_in_full(books, "101")
    psage("sync-payments")
    (before,) = waiting(psage)
    assert 4 <= len(before["item"]) <= 8

    ticked = psage("status", "--seen", before["item"], "--json")

    assert (ticked.code, ticked.json["waiting"]) == (0, [])
    assert [one["item"] for one in ticked.json["seen"]] == [before["item"]]
    psage(*FULL)
    assert waiting(psage) == []
    assert "Waiting     nothing; 1 seen before" in psage("status").out
    assert psage("--quiet", "status").out == ""
    books.agency.add_payment("101", "1.00", note="a part", written_off_on="2026-03-05")
    psage("sync-payments")
    (after,) = waiting(psage)
    assert after["code"] == before["code"]
    assert after["item"] != before["item"]


def test_a_thing_that_was_mended_and_is_there_again_is_shown_again(
    books: Sandbox, psage: Psage
) -> None:
    payment = books.agency.add_payment("105", "30.00", "2026-03-03", "by Ann")
    psage(*FULL)
    psage("status", "--seen", waiting(psage)[0]["item"])
    row = books.productive.table("payments")[payment]
    books.agency.delete_payment(payment)
    psage(*FULL)
    books.productive.table("payments")[payment] = row
    books.productive.recompute("105")

    psage(*FULL)

    assert [one["code"] for one in waiting(psage)] == ["no_receipt_in_sage"]


def test_several_are_taken_off_at_once_or_none(books: Sandbox, psage: Psage) -> None:
    pay_in_full(books, "101")
    books.agency.add_payment("105", "30.00", "2026-03-03", "by Ann")
    psage(*FULL)
    first, second = (one["item"] for one in waiting(psage))

    refused = psage("status", "--seen", first, "--seen", "nope", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (4, "not_found")
    assert "`nope`" in refused.json["error"]["message"]
    assert f"`{first}`, `{second}`" in refused.json["error"]["hint"]
    assert len(waiting(psage)) == 2

    assert psage("status", "--seen", first.upper(), "--seen", second).code == 0
    assert waiting(psage) == []


def test_what_a_service_numbers_anew_each_time_is_no_change(home: Path, psage: Psage) -> None:
    home.mkdir()

    def fail(request_id: str, code: str, words: str) -> str:
        with Store(home / "default.db") as store:
            store.errands.keep_waiting("7", code, f"invoice `7`: {words} (request {request_id})")
        return str(psage("status", "--json").json["waiting"][-1]["item"])

    assert fail("a1", "refused_by_productive", "no") == fail("b2", "refused_by_productive", "no")
    assert fail("a1", "refused_by_productive", "no") != fail("a1", "refused_by_productive", "yes")
    assert fail("a1", "service_unavailable", "502") == fail("a1", "service_unavailable", "503")
    assert fail("a1", "service_unavailable", "502") != fail("a1", "refused_by_productive", "502")


def test_a_setting_can_be_seen_before_anything_was_copied(home: Path, psage: Psage) -> None:
    (missing,) = waiting(psage)
    assert missing["code"] == "no_default_ledger"
    assert psage("status", "--seen", "nope").code == 4
    assert not home.exists()

    assert psage("status", "--seen", missing["item"]).code == 0

    assert waiting(psage) == []


def test_a_list_of_every_profile_ticks_nothing_off(home: Path, psage: Psage) -> None:
    result = psage("status", "--seen", "abcde", "--all-profiles", "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "usage")
