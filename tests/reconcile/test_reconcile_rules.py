"""What is found where both books are held together: each kind by table, and what always holds."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from productive_sage.kept import Contact, OwnPayment
from productive_sage.kinds import CREDIT_NOTE, INVOICE
from productive_sage.payments.records import ReceiptShare
from productive_sage.productive.records import Entry, Payment
from productive_sage.reconcile.compare import Time, compare, doubtful
from productive_sage.reconcile.paid import Paid, Sync
from productive_sage.reconcile.sides import Booked, Comparable, Copied, Records
from tests.harness.books import (
    DAY,
    FACTS,
    PAID_HERE,
    PAID_THERE,
    PART,
    SHARE,
    booked,
    codes,
    copied,
    entry,
    note,
    run,
)

CASES: dict[str, tuple[list[Entry], list[Booked], list[Copied], dict[str, Any], list[str]]] = {
    "the same": ([entry(1)], [booked(1)], [copied(1)], {}, []),
    "paid on both sides": (
        [entry(1, **PAID_HERE)],
        [booked(1, **PAID_THERE)],
        [copied(1)],
        {},
        [],
    ),
    "net differs": (
        [entry(1)],
        [booked(1, net=Decimal(99))],
        [copied(1, said=Comparable(), held=Comparable())],
        {},
        ["differs"],
    ),
    "currency differs": ([entry(1)], [booked(1, currency="EUR")], [copied(1)], {}, ["differs"]),
    "changed here": (
        [entry(1, net=Decimal("110.00"))],
        [booked(1)],
        [copied(1)],
        {},
        ["changed_in_productive"],
    ),
    "a draft again": (
        [entry(1, is_finalised=False)],
        [booked(1)],
        [copied(1)],
        {},
        ["changed_in_productive"],
    ),
    "edited there": (
        [entry(1)],
        [booked(1, invoiced_on=date(2026, 3, 9))],
        [copied(1)],
        {},
        ["edited_in_sage"],
    ),
    "both changed": (
        [entry(1, net=Decimal(130))],
        [booked(1, due_on=date(2026, 5, 1))],
        [copied(1)],
        {},
        ["changed_in_productive", "edited_in_sage"],
    ),
    "both changed to the same": (
        [entry(1, pay_on=date(2026, 5, 1))],
        [booked(1, due_on=date(2026, 5, 1))],
        [copied(1)],
        {},
        [],
    ),
    "tax as agreed": (
        [entry(1, tax=Decimal(0))],
        [booked(1)],
        [copied(1, said=replace(FACTS, tax=Decimal(0)))],
        {},
        ["tax_not_mirrored"],
    ),
    "another tax, of a copy that was found again": (
        [entry(1, tax=Decimal(0))],
        [booked(1)],
        [copied(1, said=Comparable(), held=Comparable())],
        {},
        ["tax_not_mirrored"],
    ),
    "another tax, of a copy that was found again and read": (
        [entry(1, tax=Decimal(0))],
        [booked(1)],
        [copied(1, said=Comparable())],
        {},
        ["tax_not_mirrored"],
    ),
    "another tax and net, of a copy that was found again": (
        [entry(1, net=Decimal(90), tax=Decimal(18))],
        [booked(1)],
        [copied(1, said=Comparable(), held=Comparable())],
        {},
        ["differs"],
    ),
    "another tax than was agreed": (
        [entry(1, tax=Decimal(19))],
        [booked(1)],
        [copied(1, said=replace(FACTS, tax=Decimal(0)))],
        {},
        ["changed_in_productive"],
    ),
    "voided": ([entry(1)], [booked(1, status="VOID")], [copied(1)], {}, ["copy_voided"]),
    "voided, unknown here": ([entry(1)], [booked(1, status="VOID")], [], {}, ["copy_voided"]),
    "voided and deleted": ([], [booked(1, status="VOID")], [copied(1)], {}, []),
    "deleted": (
        [entry(1)],
        [],
        [copied(1)],
        {"deleted_in_sage": {"s1"}},
        ["copy_deleted"],
    ),
    "not shown": ([entry(1)], [], [copied(1)], {}, ["copy_not_shown"]),
    "never copied": ([entry(1)], [], [], {}, ["never_copied"]),
    "a draft never copied": ([entry(1, is_finalised=False)], [], [], {}, []),
    "unknown outcome": (
        [entry(1)],
        [],
        [],
        {"open_writes": {"1": "its copy was sent to Sage"}},
        ["outcome_unknown"],
    ),
    "a draft in Sage": (
        [entry(1)],
        [booked(1, status="DRAFT", outstanding=Decimal(0))],
        [copied(1)],
        {},
        ["draft_not_released"],
    ),
    "deleted here": (
        [],
        [booked(1)],
        [copied(1)],
        {"deleted_in_productive": {"1": DAY}},
        ["deleted_in_productive"],
    ),
    "not shown here": ([], [booked(1)], [copied(1)], {}, ["not_in_productive"]),
    "not recorded": ([entry(1)], [booked(1)], [], {}, ["not_in_records"]),
    "of nobody": ([], [booked(1)], [], {}, ["not_in_records"]),
    "no marker": ([], [booked(1, reference="by hand")], [], {}, []),
    "twice": (
        [entry(1)],
        [booked(1), booked(2, reference="PRD-1")],
        [copied(1)],
        {},
        ["copied_twice"],
    ),
    "a second copy": (
        [entry(1)],
        [booked(1), booked(2, reference="PRD-1-2")],
        [copied(1), copied(1, copy_number=2, sage_id="s2")],
        {},
        ["copied_twice"],
    ),
    "a second copy for a void one": (
        [entry(1)],
        [booked(1, status="VOID"), booked(2, reference="PRD-1-2")],
        [copied(1), copied(1, copy_number=2, sage_id="s2")],
        {},
        [],
    ),
    "another customer": (
        [entry(1)],
        [booked(1, contact_id="c2", contact_name="Southwind")],
        [copied(1)],
        {},
        ["customer_differs"],
    ),
    "another name, and psage's marker": (
        [entry(1)],
        [booked(1, contact_name="NW Holding")],
        [copied(1)],
        {"contacts": {"c1": Contact("c1", "NW Holding", marker="productive-company-501")}},
        [],
    ),
    "the marker of another company": (
        [entry(1)],
        [booked(1)],
        [copied(1)],
        {"contacts": {"c1": Contact("c1", "Northwind Ltd", marker="productive-company-7")}},
        ["customer_differs"],
    ),
    "another customer, as a person said": (
        [entry(1)],
        [booked(1, contact_id="c2", contact_name="Southwind")],
        [copied(1)],
        {"customers": {("501", "GBP"): ("c2", True)}},
        [],
    ),
    "paid there alone": (
        [entry(1)],
        [booked(1, **PAID_THERE)],
        [copied(1)],
        {},
        ["payment_missing", "open_in_productive"],
    ),
    "paid here alone": (
        [entry(1, **PAID_HERE)],
        [booked(1)],
        [copied(1)],
        {},
        ["payment_extra", "open_in_sage"],
    ),
    "a part there": (
        [entry(1)],
        [booked(1, outstanding=Decimal(70), shares=(PART,))],
        [copied(1)],
        {},
        ["payment_missing"],
    ),
    "credited there alone": (
        [entry(1)],
        [booked(1, outstanding=Decimal(0), credits=(("x", Decimal(120)),))],
        [copied(1)],
        {},
        ["open_in_productive"],
    ),
}


CASES |= {
    "a total that does not add up": (
        [entry(1)],
        [booked(1, total=Decimal(121), outstanding=Decimal(121))],
        [copied(1)],
        {},
        ["differs"],
    ),
    "another kind": (
        [entry(1, kind=CREDIT_NOTE)],
        [booked(1)],
        [copied(1)],
        {},
        ["differs"],
    ),
    "a part credited there alone": (
        [entry(1)],
        [booked(1, outstanding=Decimal(90), credits=(("x", Decimal(30)),))],
        [copied(1)],
        {},
        ["credit_differs"],
    ),
    "known, though somebody took the marker out of the reference": (
        [entry(1)],
        [booked(1, reference="by hand")],
        [copied(1)],
        {},
        [],
    ),
    "known, though somebody put another's marker into the reference": (
        [entry(1), entry(2)],
        [booked(1, reference="PRD-2"), booked(2)],
        [copied(1), copied(2)],
        {},
        [],
    ),
    "another customer than the one a person said": (
        [entry(1)],
        [booked(1, contact_id="c2", contact_name="Southwind")],
        [copied(1)],
        {"customers": {("501", "GBP"): ("c3", True)}},
        ["customer_differs"],
    ),
    "deleted here, and credited there": (
        [],
        [booked(1, outstanding=Decimal(0), credits=(("x", Decimal(120)),))],
        [copied(1)],
        {"deleted_in_productive": {"1": DAY}},
        [],
    ),
    "twice, and one of them credited": (
        [entry(1)],
        [
            booked(1),
            booked(2, reference="PRD-1", outstanding=Decimal(0), credits=(("x", Decimal(120)),)),
        ],
        [copied(1)],
        {},
        [],
    ),
    "what settles it is not said, and another amount is open": (
        [entry(1)],
        [booked(1, outstanding=Decimal(70), is_clear=False)],
        [copied(1)],
        {},
        ["payments_unclear"],
    ),
    "what settles it is not said, and the same is open": (
        [entry(1, paid=Decimal(50), unpaid=Decimal(70))],
        [booked(1, outstanding=Decimal(70), is_clear=False)],
        [copied(1)],
        {},
        [],
    ),
    "a payment never answered for, of an invoice nobody shows": (
        [],
        [],
        [],
        {"open_writes": {"1": "a new payment was sent to Productive"}},
        ["outcome_unknown"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_finding_is_found_and_nothing_else(name: str) -> None:
    here, there, copies, records, expected = CASES[name]

    found = run(here, there, copies, **records)

    assert [code for _, code in codes(found)] == expected
    assert all(total.is_proven() for total in found.totals)
    for _, one in found.found():
        assert one.command.startswith("psage ")
        assert one.figures


def test_a_credit_note_that_is_set_against_its_invoice_is_right() -> None:
    here, there, copy = note(2, 1)
    invoice = booked(1, outstanding=Decimal(0), credits=(("s2", Decimal(120)),))

    found = run([entry(1, unpaid=Decimal(0)), here], [invoice, there], [copied(1), copy])

    assert codes(found) == []
    assert found.totals[0].sage.total == 0


def test_a_credit_note_that_is_not_set_against_its_invoice_is_told_once() -> None:
    here, there, copy = note(2, 1, outstanding=Decimal(120))

    found = run([entry(1, unpaid=Decimal(0)), here], [booked(1), there], [copied(1), copy])

    assert codes(found) == [("2", "credit_note_not_allocated")]


def test_a_credit_note_for_an_invoice_that_was_paid_stays_on_account() -> None:
    here, there, copy = note(2, 1, outstanding=Decimal(120))
    paid = {**PAID_HERE, "unpaid": Decimal(-120)}

    found = run([entry(1, **paid), here], [booked(1, **PAID_THERE), there], [copied(1), copy])

    assert codes(found) == []


def test_an_invoice_whose_credit_note_was_never_copied_is_not_told_as_well() -> None:
    here, _, _ = note(2, 1)

    found = run([entry(1, unpaid=Decimal(0)), here], [booked(1)], [copied(1)])

    assert codes(found) == [("2", "never_copied")]


@pytest.mark.parametrize("is_known", [True, False])
def test_two_credit_notes_for_one_invoice_are_one_too_many(is_known: bool) -> None:
    here, there, copy = note(2, 1)
    here2, there2, copy2 = note(3, 1, outstanding=Decimal(120))
    credited = ("s2", Decimal(120)) if is_known else ("by hand", Decimal(120))
    invoice = booked(1, outstanding=Decimal(0), credits=(credited,))
    notes = [(here, there, copy), (here2, there2, copy2)][0 if is_known else 1 :]
    entries, documents, copies = zip(*notes, strict=True)

    found = run(
        [entry(1, unpaid=Decimal(0)), *entries], [invoice, *documents], [copied(1), *copies]
    )

    assert codes(found) == [("1", "credited_twice")]


def payment(key: int, amount: str, on: date = DAY, note: str = "") -> Payment:
    return Payment(str(key), "1", Decimal(amount), on, None, note)


OWN = OwnPayment(SHARE.marker, "1", "9", "BACS")
MARKED = f"Sage receipt BACS\n{SHARE.marker}"
PAYMENTS: dict[str, tuple[list[Payment], list[OwnPayment], tuple[ReceiptShare, ...], list[str]]] = {
    "own and right": ([payment(9, "120.00", note=MARKED)], [OWN], (SHARE,), []),
    "another day": (
        [payment(9, "120.00", date(2026, 3, 5), MARKED)],
        [OWN],
        (SHARE,),
        ["payment_differs"],
    ),
    "another amount": ([payment(9, "50.00", note=MARKED)], [OWN], (SHARE,), ["payment_differs"]),
    "by hand and right": ([payment(9, "120.00")], [], (SHARE,), []),
    "removed by hand": ([], [OWN], (SHARE,), ["payment_missing"]),
    "no receipt any more": ([payment(9, "120.00", note=MARKED)], [OWN], (), ["payment_extra"]),
    "by hand, no receipt": ([payment(9, "30.00")], [], (), ["payment_extra"]),
    "two parts by hand": ([payment(8, "70.00"), payment(9, "50.00")], [], (SHARE,), []),
    "less than the invoice says is paid": ([], [], (), ["payment_extra"]),
    "one more by hand": (
        [payment(8, "120.00", note=MARKED), payment(9, "30.00")],
        [replace(OWN, payment_id="8")],
        (SHARE,),
        ["payment_extra"],
    ),
}


@pytest.mark.parametrize("name", PAYMENTS)
def test_payments_that_are_looked_at_are_held_against_the_receipts(name: str) -> None:
    payments, own, shares, expected = PAYMENTS[name]
    paid = sum((one.amount for one in payments), Decimal(0))
    received = sum((one.amount for one in shares), Decimal(0))
    paid += Decimal(20) if name == "less than the invoice says is paid" else 0
    here = entry(1, paid=paid, unpaid=Decimal(120) - paid, paid_on=DAY)
    there = booked(1, outstanding=Decimal(120) - received, shares=shares)

    found = run([here], [there], [copied(1)], read={"1": Paid(payments, own, frozenset({"s1"}))})

    states = {"open_in_sage", "open_in_productive"}
    assert [code for _, code in codes(found) if code not in states] == expected


@pytest.mark.parametrize(
    ("sync", "command"),
    [
        (Sync(is_on=True, begins_on=date(2026, 1, 1)), "psage sync-payments INV-1"),
        (
            Sync(is_on=False),
            "psage configure --sync-payments --sync-payments-from 2026-03-02",
        ),
        (
            Sync(is_on=True, begins_on=date(2026, 4, 1)),
            "psage configure --sync-payments --sync-payments-from 2026-03-02",
        ),
    ],
)
def test_the_command_for_a_missing_payment_is_one_that_brings_it(sync: Sync, command: str) -> None:
    found = run([entry(1)], [booked(1, **PAID_THERE)], [copied(1)], sync=sync)

    (missing, _) = [one for _, one in found.found()]
    assert missing.command == command


def test_what_the_sums_do_not_tell_is_looked_at_the_most_doubtful_first() -> None:
    late = {**PAID_HERE, "paid_on": date(2026, 3, 30)}
    parts = (PART, replace(PART, source_id="r2", amount=Decimal(70)))
    here = [entry(1, **PAID_HERE), entry(2, **PAID_HERE), entry(3, **late), entry(4)]
    there = [
        booked(1, **PAID_THERE),
        booked(2, **{**PAID_THERE, "shares": parts}),
        booked(3, **PAID_THERE),
        booked(4, **PAID_THERE),
    ]
    records = Records([copied(key) for key in (1, 2, 3, 4)])

    assert doubtful(here, there, records, Time()) == ["4", "3", "2"]


def test_a_number_that_names_two_documents_is_no_name_for_a_command() -> None:
    here = [entry(1, number="A-1"), entry(2, number="a-1"), entry(3, number="77"), entry(4)]

    found = run(here, [])

    assert sorted(one.command for _, one in found.found()) == [
        "psage copy-invoice 1",
        "psage copy-invoice 2",
        "psage copy-invoice 3",
        "psage copy-invoice INV-4",
    ]


def test_a_time_takes_what_either_side_has_in_it_and_what_differs_comes_first() -> None:
    april = date(2026, 4, 3)
    here = [entry(1), entry(2), entry(3, invoiced_on=april), entry(4, invoiced_on=date(2026, 2, 1))]
    there = [booked(1), booked(2, invoiced_on=april), booked(3, invoiced_on=april)]
    time = Time(date(2026, 4, 1), date(2026, 4, 30))

    found = run(
        here,
        there,
        [copied(1), copied(2), copied(3, said=Comparable(), held=Comparable())],
        time=time,
    )

    assert [row.pair.productive_id for row in found.rows] == ["2", "3"]
    assert codes(found) == [("2", "edited_in_sage")]


def test_what_stands_in_the_way_of_a_credit_note_is_said() -> None:
    whole, _, _ = note(2, 1)
    part = replace(whole, id="3", number="INV-3", total=Decimal(-50))

    found = run([entry(1), whole, part], [])

    steps = {pair.productive_id: one.step for pair, one in found.found()}
    assert "`psage copy-invoice INV-1`" in steps["2"]
    assert "whole invoice alone" in steps["3"]


def test_the_months_come_to_what_is_in_sage() -> None:
    here, there, known = note(3, 2)
    credited = booked(2, outstanding=Decimal(0), credits=(("s3", Decimal(120)),))
    double = booked(9, reference="PRD-1", made_at=datetime(2026, 4, 1, tzinfo=UTC))

    found = run(
        [entry(1), entry(2, unpaid=Decimal(0)), here, entry(4)],
        [booked(1), double, credited, there],
        [copied(1), copied(2), known],
    )

    ((total,), (month,)) = found.totals, found.months
    assert (month.open, month.paid) == (Decimal(240), Decimal(0))
    assert month.open + month.paid == total.sage.total
    assert month.not_copied == Decimal(120)


def test_every_code_is_explained() -> None:
    explained = (Path(__file__).parent.parent.parent / "docs" / "reconcile.md").read_text()

    source = Path(compare.__code__.co_filename).parent
    text = "".join(one.read_text() for one in source.glob("*.py"))
    made = {*re.findall(r'Finding\(\s*"(\w+)"', text), "open_in_sage", "open_in_productive"}
    assert len(made) > 20
    assert [code for code in made if f"`{code}`" not in explained] == []


_MONEY = st.decimals(-(10**7), 10**7, places=2)
_SIDE = st.sampled_from(["GBP", "EUR"])


@st.composite
def _book(draw: st.DrawFn) -> tuple[list[Entry], list[Booked], list[Copied]]:
    here, there, copies = [], [], []
    for key in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from([INVOICE, CREDIT_NOTE]))
        net, tax, other = draw(_MONEY), draw(_MONEY), draw(_MONEY)
        left, right = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
        if left:
            here.append(
                entry(
                    key,
                    kind=kind,
                    currency=draw(_SIDE),
                    net=net,
                    tax=tax,
                    total=net + tax,
                    unpaid=net + tax,
                    is_finalised=draw(st.booleans()),
                    credits=str(draw(st.integers(0, 5))) if kind is CREDIT_NOTE else "",
                )
            )
        for nth in range(draw(st.integers(1, 3)) if right else 0):
            total = draw(st.sampled_from([net + tax, other]))
            there.append(
                booked(
                    key * 10 + nth,
                    kind=kind,
                    reference=f"PRD-{key}",
                    currency=draw(_SIDE),
                    net=total - tax,
                    total=total,
                    tax=tax,
                    outstanding=total,
                    status=draw(st.sampled_from(["UNPAID", "UNPAID", "VOID", "DRAFT"])),
                )
            )
        if draw(st.booleans()):
            copies.append(copied(key, sage_id=f"s{key * 10}", kind=kind))
    return here, there, copies


@settings(max_examples=300)
@given(_book())
def test_the_steps_always_lead_from_one_total_to_the_other(
    book: tuple[list[Entry], list[Booked], list[Copied]],
) -> None:
    here, there, copies = book

    found = run(here, there, copies)

    assert all(total.is_proven() for total in found.totals)
    due = [one for one in here if one.is_finalised]
    assert sum(one.productive.total for one in found.totals) == sum(one.total for one in due)
    alive = [one for one in there if one.is_booked]
    assert sum(one.sage.total for one in found.totals) == sum(one.total for one in alive)
    assert sum(one.sage.count for one in found.totals) == len(alive)


@settings(max_examples=100)
@given(_book())
def test_documents_without_a_finding_are_the_same_on_both_sides(
    book: tuple[list[Entry], list[Booked], list[Copied]],
) -> None:
    for row in run(*book).rows:
        here, there = row.pair.billed, row.pair.booked
        if row.findings or not here or not here.is_finalised:
            continue
        assert there
        assert there.is_booked
        assert (there.net, there.total) == (here.net, here.total)
        assert there.document.currency == here.currency
