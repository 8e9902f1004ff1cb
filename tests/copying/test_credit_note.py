"""credit-note on the sandbox: what is refused, what is made, and what is set against what."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, forget, writes
from tests.harness.credits import INVOICE, NOTE, allocated, edit_note, notes

COPY = ("copy-invoice", INVOICE, "--tax-rate", "GB_STANDARD")


def credit_again(sandbox: Sandbox) -> str:
    """A second credit note in Productive for the whole invoice."""
    return sandbox.agency.add_invoice(
        company_id=sandbox.productive.invoices[NOTE]["company_id"],
        credits_invoice=INVOICE,
        lines=[
            {"unit_price": str(Decimal(row["amount"]) / -100), "quantity": "-1"}
            for row in sandbox.productive.line_items.values()
            if row["invoice_id"] == NOTE
        ],
    )


@pytest.fixture
def copied(beginning: Callable[..., Sandbox]) -> Sandbox:
    """The invoice is copied with 20% tax."""
    return beginning(COPY)


@pytest.fixture
def credited(beginning: Callable[..., Sandbox]) -> Sandbox:
    """The credit note is copied and allocated."""
    return beginning(COPY, ("credit-note", NOTE))


# --- what is made


def test_a_credit_note_is_positive_and_for_the_customer_and_tax_of_the_copy(
    copied: Sandbox, psage: Psage
) -> None:
    (invoice,) = copies(copied, INVOICE)

    result = psage("credit-note", NOTE, "--json")

    (note,) = notes(copied)
    assert result.code == 0
    assert note["contact"]["id"] == invoice["contact"]["id"]
    assert note["currency"]["id"] == invoice["currency"]["id"]
    assert (note["net_amount"], note["tax_amount"], note["total_amount"]) == (
        invoice["net_amount"],
        invoice["tax_amount"],
        invoice["total_amount"],
    )
    assert note["tax_amount"] > 0
    assert note["reference"] == f"PRD-{NOTE}"
    assert note["original_invoice_date"] == invoice["date"]
    assert [line["quantity"] > 0 for line in note["credit_note_lines"]] == [
        True for _ in note["credit_note_lines"]
    ]
    assert result.only["sage_id"] == note["id"]
    assert result.only["action"] == "created"
    assert result.only["total"] == f"{note['total_amount']:.2f}"


def test_it_is_set_against_its_invoice(copied: Sandbox, psage: Psage) -> None:
    result = psage("credit-note", NOTE, "--json")

    (invoice,), (note,) = copies(copied, INVOICE), notes(copied)
    total = invoice["total_amount"]
    assert allocated(copied) == [(total, -total)]
    assert invoice["outstanding_amount"] == note["outstanding_amount"] == 0
    assert result.only["allocated"] == f"{total:.2f}"
    assert result.only["warnings"] == []


def test_what_is_paid_already_stays_on_account_and_is_said(copied: Sandbox, psage: Psage) -> None:
    (invoice,) = copies(copied, INVOICE)
    copied.bookkeeper.pay(invoice["id"], "100.00")

    result = psage("credit-note", NOTE, "--json")

    (invoice,), (note,) = copies(copied, INVOICE), notes(copied)
    rest = note["total_amount"] - Decimal(100)
    assert result.code == 0
    assert invoice["outstanding_amount"] == 0
    assert note["outstanding_amount"] == Decimal(100)
    assert result.only["allocated"] == f"{rest:.2f}"
    (warning,) = result.only["warnings"]
    assert warning["code"] == "rest_on_account"
    assert "100.00 GBP stay on the customer's account" in warning["message"]


def test_a_paid_invoice_is_credited_without_an_allocation(copied: Sandbox, psage: Psage) -> None:
    (invoice,) = copies(copied, INVOICE)
    copied.bookkeeper.pay(invoice["id"], invoice["total_amount"])

    result = psage("credit-note", NOTE, "--json")

    assert result.code == 0
    assert result.only["allocated"] == "0.00"
    assert allocated(copied) == []


def test_people_see_how_much_is_set_against_the_invoice(copied: Sandbox, psage: Psage) -> None:
    result = psage("credit-note", NOTE)

    (note,) = notes(copied)
    assert result.code == 0
    assert "Credit note" in result.out
    assert f"{note['total_amount']:,.2f} GBP is set against the credited invoice" in result.out


def test_productive_is_told_and_gives_its_pdf(copied: Sandbox, psage: Psage) -> None:
    copied.agency.set_pdf(NOTE, b"%PDF-1.4 the note")

    result = psage("credit-note", NOTE, "--json")

    (note,) = notes(copied)
    (attachment,) = [
        row
        for row in copied.sage.attachments.values()
        if row["transaction"]["id"] == note["transaction"]["id"]
    ]
    held = copied.productive.invoices[NOTE]
    assert attachment["file"] == b"%PDF-1.4 the note"
    (call,) = copied.calls("sage", "POST", "/attachments")
    sent = json.loads(call.body)["attachment"]
    assert sent["attachment_context_type_id"] == "SALES_CREDIT_NOTE"
    assert (held["exported"], held["export_id"]) == (True, note["id"])
    assert result.only["pdf"]["attached"] is True


def test_sage_makes_the_pdf_where_it_is_set_so(copied: Sandbox, psage: Psage, home: Path) -> None:
    psage("configure", "--pdf", "sage")

    result = psage("credit-note", NOTE, "--json")

    assert result.code == 0
    assert Path(result.only["pdf"]["file"]).read_bytes().startswith(b"%PDF")
    (note,) = notes(copied)
    assert note["sent"] is False


def test_productives_number_is_kept_where_it_is_set_so(copied: Sandbox, psage: Psage) -> None:
    psage("configure", "--numbering", "productive")

    psage("credit-note", NOTE)

    (note,) = notes(copied)
    assert note["displayed_as"] == "CN-2026-001"


@pytest.mark.parametrize("tax", [("--no-tax",), ("--tax-rate", "GB_LOWER")])
def test_a_tax_that_makes_another_total_is_refused_with_both_figures(
    copied: Sandbox, psage: Psage, tax: tuple[str, ...]
) -> None:
    (invoice,) = copies(copied, INVOICE)

    result = psage("credit-note", NOTE, *tax, "--json")

    assert result.code == 4
    error = result.only["error"]
    assert error["code"] == "tax_rate_invalid"
    assert error["details"]["copy"] == f"{invoice['total_amount']:.2f}"
    assert error["details"]["asked"] != error["details"]["copy"]
    assert writes(copied) == []


def test_the_tax_of_the_copy_may_be_named(copied: Sandbox, psage: Psage) -> None:
    result = psage("credit-note", NOTE, "--tax-rate", "GB_STANDARD", "--json")

    assert result.code == 0
    assert result.only["tax"] == f"{copies(copied, INVOICE)[0]['tax_amount']:.2f}"


def test_a_credit_note_found_by_its_number(copied: Sandbox, psage: Psage) -> None:
    result = psage("credit-note", "--number", "CN-2026-001", "--json")

    assert result.only["productive_id"] == NOTE
    assert result.code == 0


def test_a_dry_run_shows_it_all_and_sends_nothing(copied: Sandbox, psage: Psage) -> None:
    result = psage("credit-note", NOTE, "--dry-run", "--json")

    (invoice,) = copies(copied, INVOICE)
    assert writes(copied) == []
    assert result.only["action"] == "would_create"
    (request,) = result.only["would_send"]
    assert (request["method"], request["path"]) == ("POST", "/sales_credit_notes")
    assert result.only["allocated"] == f"{invoice['total_amount']:.2f}"

    psage("credit-note", NOTE)
    (call,) = copied.calls("sage", "POST", "/sales_credit_notes")
    sent = json.loads(call.body)["sales_credit_note"]
    assert sent.pop("idempotency_id")
    assert sent == request["body"]["sales_credit_note"]


def test_a_dry_run_says_what_stays_on_account(copied: Sandbox, psage: Psage) -> None:
    (invoice,) = copies(copied, INVOICE)
    copied.bookkeeper.pay(invoice["id"], "100.00")

    planned = psage("credit-note", NOTE, "--dry-run", "--json")
    result = psage("credit-note", NOTE, "--json")

    assert planned.only["allocated"] == result.only["allocated"]
    for (warning,) in (planned.only["warnings"], result.only["warnings"]):
        assert warning["code"] == "rest_on_account"
        assert "100.00 GBP stay on the customer's account" in warning["message"]


def test_a_dry_run_credits_an_invoice_once(copied: Sandbox, psage: Psage) -> None:
    again = credit_again(copied)

    planned = psage("credit-note", NOTE, again, "--dry-run", "--json")
    result = psage("credit-note", NOTE, again, "--json")

    for outcome in (planned, result):
        codes = [one["error"] and one["error"]["code"] for one in outcome.results]
        assert codes == [None, "already_credited"]


def test_each_line_is_credited_at_the_rate_and_account_the_bookkeeper_gave_it(
    copied: Sandbox, psage: Psage
) -> None:
    (invoice,) = copies(copied, INVOICE)
    account = copied.bookkeeper.ledger_account_id(4900)
    copied.bookkeeper.edit_invoice(invoice["id"], tax_rate_id="GB_LOWER", ledger_account_id=account)

    result = psage("credit-note", NOTE, "--json")

    (invoice,), (note,) = copies(copied, INVOICE), notes(copied)
    named = [
        [(line[of]["id"], line["net_amount"], line["tax_amount"]) for line in lines]
        for of in ("tax_rate", "ledger_account")
        for lines in (note["credit_note_lines"], invoice["invoice_lines"])
    ]
    assert result.code == 0
    assert named[0] == named[1]
    assert named[2] == named[3]
    assert invoice["outstanding_amount"] == note["outstanding_amount"] == 0


@pytest.mark.parametrize("seed", range(6))
def test_a_whole_credit_note_of_any_copy_leaves_nothing_open(
    services: Sandbox, psage: Psage, seed: int
) -> None:
    dice = random.Random(seed)
    lines = [
        {
            "unit_price": f"{dice.randrange(1, 99_999) / 100:.2f}",
            "quantity": f"{dice.randrange(1, 500) / 100:.2f}",
            "discount": dice.choice([None, "10", "12.5"]),
        }
        for _ in range(dice.randrange(1, 6))
    ]
    invoice = services.agency.add_invoice(company_id=507, lines=lines)
    note = services.agency.add_invoice(
        company_id=507,
        credits_invoice=invoice,
        lines=[{**line, "quantity": f"-{line['quantity']}"} for line in lines],
    )
    rate = dice.choice(["GB_STANDARD", "GB_LOWER", "GB_ZERO"])
    psage("copy-invoice", invoice, "--tax-rate", rate, "--no-pdf")
    copy = copies(services, invoice)[0]["id"]
    if dice.random() < 0.5:
        last = len(lines) - 1
        services.bookkeeper.edit_invoice(copy, line=last, tax_rate_id="GB_LOWER")

    result = psage("credit-note", note, "--no-pdf", "--json")

    made = notes(services, note)[0]
    assert result.code == 0, result.out
    assert services.sage.invoices[copy]["outstanding_amount"] == made["outstanding_amount"] == 0
    assert made["total_amount"] == services.sage.invoices[copy]["total_amount"]


# --- what is refused


@pytest.mark.parametrize("form", [(), ("--update-existing",), ("--dry-run",)])
def test_an_invoice_without_a_copy_is_named(
    services: Sandbox, psage: Psage, form: tuple[str, ...]
) -> None:
    result = psage("credit-note", NOTE, *form, "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == "invoice_not_copied"
    assert "INV-2026-011" in result.only["error"]["message"]
    assert "psage copy-invoice INV-2026-011" in result.only["error"]["hint"]
    assert writes(services) == []


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ({"unit_price": "1.00"}, "net"),
        ({"tax_percent": 5}, "gross"),
    ],
)
def test_a_partial_credit_shows_both_amounts(
    copied: Sandbox, psage: Psage, change: dict[str, Any], figure: str
) -> None:
    lines = copied.productive.line_items
    key = next(key for key, row in lines.items() if row["invoice_id"] == NOTE)
    copied.agency.edit_line(key, **change)

    result = psage("credit-note", NOTE, "--json")

    error = result.only["error"]
    assert result.code == 4
    assert error["code"] == "partial_credit"
    both = error["details"]
    assert both["credited"][figure] != both["invoice"][figure]
    assert both["credited"]["gross"] in error["message"]
    assert both["invoice"]["gross"] in error["message"]
    assert writes(copied) == []


def test_a_draft_is_refused(copied: Sandbox, psage: Psage) -> None:
    copied.agency.edit_invoice(NOTE, finalized_on=None, finalized_at=None)

    result = psage("credit-note", NOTE, "--json")

    assert result.only["error"]["code"] == "is_draft"
    assert writes(copied) == []


def test_an_invoice_is_not_a_credit_note(copied: Sandbox, psage: Psage) -> None:
    result = psage("credit-note", "123", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "not_a_credit_note")
    assert "psage copy-invoice INV-2026-023" in result.only["error"]["hint"]


def test_copy_invoice_of_a_credit_note_names_the_command(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", NOTE, "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "is_credit_note")
    assert "psage credit-note CN-2026-001" in result.only["error"]["hint"]


@pytest.mark.parametrize("how", ["void", "delete_invoice"])
def test_a_copy_that_is_gone_cannot_be_credited(copied: Sandbox, psage: Psage, how: str) -> None:
    (invoice,) = copies(copied, INVOICE)
    getattr(copied.bookkeeper, how)(invoice["id"])

    result = psage("credit-note", NOTE, "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_gone")
    assert writes(copied) == []


def test_a_copy_of_another_amount_is_brought_up_to_date_first(
    copied: Sandbox, psage: Psage
) -> None:
    (invoice,) = copies(copied, INVOICE)
    copied.bookkeeper.edit_invoice(invoice["id"], unit_price="1.00")

    result = psage("credit-note", NOTE, "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_outdated")
    assert "psage copy-invoice INV-2026-011 --update-existing" in result.only["error"]["hint"]
    assert writes(copied) == []


def test_another_customer_is_refused(copied: Sandbox, psage: Psage) -> None:
    result = psage("credit-note", NOTE, "--customer", "Northwind Trading Limited", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "customer_differs")
    assert writes(copied) == []


def test_the_customer_of_the_copy_may_be_named(copied: Sandbox, psage: Psage) -> None:
    assert psage("credit-note", NOTE, "--customer", "Northwind Traders Ltd").code == 0


# --- again


def test_a_second_copy_needs_a_word(credited: Sandbox, psage: Psage) -> None:
    result = psage("credit-note", NOTE, "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "already_copied")
    assert "psage credit-note CN-2026-001 --update-existing" in result.only["error"]["hint"]
    assert writes(credited) == []


def test_an_unchanged_note_is_left_alone(credited: Sandbox, psage: Psage) -> None:
    result = psage("credit-note", NOTE, "--update-existing", "--json")

    (note,) = notes(credited)
    assert (result.code, result.only["action"]) == (0, "unchanged")
    assert result.only["allocated"] == f"{note['total_amount']:.2f}"
    assert writes(credited) == []


def test_an_allocated_note_is_updated_and_allocated_again(credited: Sandbox, psage: Psage) -> None:
    edit_note(credited)

    result = psage("credit-note", NOTE, "--update-existing", "--json")

    (note,) = notes(credited)
    total = note["total_amount"]
    assert (result.code, result.only["action"]) == (0, "updated")
    assert note["credit_note_lines"][0]["description"] == "Credited in full"
    assert allocated(credited) == [(total, -total)]
    assert result.only["allocated"] == f"{total:.2f}"
    assert [call.split("/")[0:2] for call in writes(credited, "sage")] == [
        ["DELETE ", "contact_allocations"],
        ["PUT ", "sales_credit_notes"],
        ["POST ", "contact_allocations"],
    ]


def test_an_update_sage_refuses_leaves_the_allocation_as_it_was(
    credited: Sandbox, psage: Psage
) -> None:
    edit_note(credited)
    credited.fault("status", method="PUT", path="/sales_credit_notes", status=422)

    result = psage("credit-note", NOTE, "--update-existing", "--json")

    (note,) = notes(credited)
    total = note["total_amount"]
    assert (result.code, result.only["error"]["code"]) == (4, "refused_by_sage")
    assert allocated(credited) == [(total, -total)]


def test_an_allocation_to_something_else_is_not_taken_back(credited: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "101", "--tax-rate", "GB_STANDARD")
    (other,), (note,) = copies(credited, "101"), notes(credited)
    (key,) = credited.sage.allocations
    credited.bookkeeper.delete_allocation(key)
    credited.bookkeeper.allocate(other["id"], note["id"], "10.00")
    edit_note(credited)
    credited.clear_calls()

    result = psage("credit-note", NOTE, "--update-existing", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "copy_locked")
    assert writes(credited) == []


def test_a_second_living_copy_of_a_credit_note_is_refused_and_names_the_first(
    credited: Sandbox, psage: Psage
) -> None:
    (first,) = notes(credited)

    result = psage("credit-note", NOTE, "--create-new", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "already_credited")
    assert first["displayed_as"] in result.only["error"]["message"]
    assert writes(credited) == []


def test_after_a_void_a_new_copy_has_a_marker_of_its_own(credited: Sandbox, psage: Psage) -> None:
    (first,), (allocation,) = notes(credited), credited.sage.allocations
    credited.bookkeeper.delete_allocation(allocation)
    credited.bookkeeper.void(first["id"])

    result = psage("credit-note", NOTE, "--create-new", "--json")

    assert result.code == 0
    assert sorted(row["reference"] for row in notes(credited)) == ["PRD-110", "PRD-110-2"]
    assert result.only["allocated"] == f"{first['total_amount']:.2f}"


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("elsewhere", ["same records", "other records", "not allocated"])
def test_a_second_credit_note_for_the_same_copy_is_refused(
    credited: Sandbox, psage: Psage, home: Path, elsewhere: str, deleted: bool
) -> None:
    """Productive lets an invoice be credited again once the first credit note is deleted."""
    (first,) = notes(credited)
    again = credit_again(credited)
    if deleted:
        credited.agency.delete_invoice(NOTE)
    if elsewhere != "same records":
        forget(home)
    if elsewhere == "not allocated":
        for allocation in list(credited.sage.allocations):
            credited.bookkeeper.delete_allocation(allocation)
    credited.clear_calls()

    result = psage("credit-note", again, "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "already_credited")
    assert first["displayed_as"] in result.only["error"]["message"]
    assert writes(credited, "sage") == []


def test_somebody_at_a_terminal_is_asked(
    credited: Sandbox, psage: Psage, answers: list[str]
) -> None:
    edit_note(credited)
    answers.append("1")

    result = psage("credit-note", NOTE, "--json")

    assert result.only["action"] == "updated"


def test_a_lost_store_finds_both_documents(credited: Sandbox, psage: Psage, home: Path) -> None:
    forget(home)

    result = psage("credit-note", NOTE, "--json")

    (note,) = notes(credited)
    assert (result.code, result.only["action"]) == (0, "adopted")
    assert result.only["allocated"] == f"{note['total_amount']:.2f}"
    assert len(allocated(credited)) == len(copies(credited, INVOICE)) == 1


# --- the allocation fails


def test_a_note_of_another_contact_keeps_its_allocation(credited: Sandbox, psage: Psage) -> None:
    """Sage allocates documents of one contact alone, so it could not be set against it again."""
    (note,), before = notes(credited), allocated(credited)
    other = credited.bookkeeper.contact_id("Northwind Trading Limited")
    credited.bookkeeper.edit_invoice(note["id"], contact_id=other)
    edit_note(credited, "Something else")
    credited.clear_calls()

    planned = psage("credit-note", NOTE, "--update-existing", "--dry-run", "--json")
    result = psage("credit-note", NOTE, "--update-existing", "--json")

    for outcome in (planned, result):
        assert (outcome.code, outcome.only["error"]["code"]) == (4, "customer_differs")
    assert (writes(credited, "sage"), allocated(credited)) == ([], before)


@pytest.mark.parametrize("status", [403, 500])
def test_a_failed_allocation_is_a_warning_and_the_next_run_completes_it(
    copied: Sandbox, psage: Psage, status: int
) -> None:
    times = 2 if status == 500 else 1  # an answer that says nothing is asked for once more
    copied.fault("status", method="POST", path="/contact_allocations", status=status, times=times)

    first = psage("credit-note", NOTE, "--json")
    assert allocated(copied) == []
    later = psage("credit-note", NOTE, "--json")

    (note,) = notes(copied)
    total = note["total_amount"]
    assert (first.code, first.only["action"]) == (0, "created")
    (warning,) = first.only["warnings"]
    assert warning["code"] == "allocation_failed"
    assert "the next run tries again" in warning["message"]
    assert ("by hand" in warning["message"]) == (status == 403)
    assert later.code == 0
    assert later.only["allocated"] == f"{total:.2f}"
    assert allocated(copied) == [(total, -total)]


def test_any_copying_run_completes_an_allocation(copied: Sandbox, psage: Psage) -> None:
    copied.fault("status", method="POST", path="/contact_allocations", status=403)
    psage("credit-note", NOTE)

    result = psage("copy-invoice", "125", "--json")

    assert [one["number"] for one in result.results] == ["CN-2026-001", "INV-2026-025"]
    assert len(allocated(copied)) == 1


@pytest.mark.parametrize("kind", ["cut_after", "status_after", "html_after"])
def test_a_lost_reply_allocates_once(copied: Sandbox, psage: Psage, kind: str) -> None:
    copied.remember_idempotency = False
    copied.fault(kind, method="POST", path="/contact_allocations")

    result = psage("credit-note", NOTE, "--json")

    (note,) = notes(copied)
    total = note["total_amount"]
    assert result.code == 0
    assert allocated(copied) == [(total, -total)]
    assert result.only["allocated"] == f"{total:.2f}"


def test_an_update_that_would_leave_something_open_is_refused_with_both_figures(
    credited: Sandbox, psage: Psage
) -> None:
    keeper = credited.bookkeeper
    (allocation,) = credited.sage.allocations
    keeper.delete_allocation(allocation)
    (note,) = credited.sage.credit_notes
    keeper.edit_invoice(note, tax_rate_id="GB_ZERO")
    credited.agency.edit_invoice(NOTE, invoiced_on="2026-02-04")
    credited.clear_calls()

    result = psage("credit-note", NOTE, "--update-existing", "--no-pdf", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "partial_credit")
    (invoice,) = copies(credited, INVOICE)
    assert f"{invoice['total_amount']:.2f}" in result.only["error"]["message"]
    assert [call for call in writes(credited, "sage") if "credit_notes" in call] == []
