"""reconcile's advice: a command that psage would refuse, or that makes it worse, is none."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from productive_sage.kinds import INVOICE
from productive_sage.reconcile.paid import Paid, Sync
from productive_sage.sage.records import Books
from tests.harness.books import (
    FACTS,
    PAID_HERE,
    PAID_THERE,
    SHARE,
    booked,
    codes,
    copied,
    entry,
    note,
    run,
)

BOOKS = Books("b1", "GB", "GBP", begins_on="2026-01-01", locked_until="2026-02-01")


@pytest.mark.parametrize(
    ("changes", "records", "said"),
    [
        ({"invoiced_on": date(2025, 12, 31)}, {}, "begin on 2026-01-01"),
        ({"invoiced_on": date(2026, 1, 31)}, {}, "closed until 2026-02-01"),
        ({"currency": "CHF"}, {"currencies": {"GBP", "EUR"}}, "Sage has no CHF"),
        ({"currency": "EUR"}, {"books": replace(BOOKS, is_multi_currency=False)}, "GBP alone"),
        ({"net": Decimal(-1)}, {}, "below zero"),
        ({"number": ""}, {"keeps_numbers": True}, "has no number"),
        ({}, {"keeps_numbers": True, "numbers": {(INVOICE, "INV-1"): "s7"}}, "INV-1 is used up"),
    ],
)
def test_what_could_not_be_copied_is_told_with_what_has_to_be_done_before(
    changes: dict[str, Any], records: dict[str, Any], said: str
) -> None:
    found = run([entry(1, **changes)], [], (), **{"books": BOOKS, **records})

    ((_, one),) = found.found()
    assert one.code == "never_copied"
    assert one.command.startswith("psage open ")
    assert said in one.step


@pytest.mark.parametrize(
    "changes",
    [
        {"invoiced_on": date(2026, 1, 1)},
        {"invoiced_on": date(2026, 2, 1)},
        {"invoiced_on": None},
        {"currency": "EUR"},
        {"export_id": "s7"},
    ],
)
def test_what_could_be_copied_is_told_with_the_command(changes: dict[str, Any]) -> None:
    books = replace(BOOKS, locked_until="") if changes.get("invoiced_on") else BOOKS
    records: dict[str, Any] = {
        "books": books,
        "currencies": {"GBP", "EUR"},
        "numbers": {(INVOICE, "INV-1"): "s7"},
        "keeps_numbers": changes.get("export_id") == "s7",
    }

    found = run([entry(1, **changes)], [], (), **records)

    assert [(one.command, one.step) for _, one in found.found()] == [
        ("psage copy-invoice INV-1", "")
    ]


@pytest.mark.parametrize("status", ["VOID", "deleted"])
def test_a_number_that_is_used_up_stands_in_the_way_of_a_new_copy(status: str) -> None:
    there = [booked(1, status="VOID", number="INV-1")] if status == "VOID" else []
    copies = [copied(1, sage_number="INV-1")]

    found = run([entry(1)], there, copies, keeps_numbers=True, deleted_in_sage={"s1"})

    ((_, one),) = found.found()
    assert one.command == "psage open INV-1 --productive"
    assert "used up" in one.step
    assert "`psage copy-invoice INV-1 --create-new`" in one.step


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"is_in_tax_return": True}, "filed VAT return"),
        ({"is_editable": False}, "Sage has locked it"),
        ({**PAID_THERE}, "it is paid"),
        ({"invoiced_on": date(2026, 1, 31)}, "in a closed period"),
    ],
)
def test_what_sage_does_not_change_is_told_with_what_has_to_be_done_before(
    changes: dict[str, Any], said: str
) -> None:
    here: dict[str, Any] = {"net": Decimal(50), "total": Decimal(70)}
    here |= PAID_HERE if "shares" in changes else {}
    here |= {"invoiced_on": changes["invoiced_on"]} if "invoiced_on" in changes else {}
    facts = replace(FACTS, on=changes.get("invoiced_on", FACTS.on))

    found = run(
        [entry(1, **here)], [booked(1, **changes)], [copied(1, said=facts, held=facts)], books=BOOKS
    )

    one = next(one for _, one in found.found() if one.code == "changed_in_productive")
    assert one.command == "psage open INV-1"
    assert said in one.step
    assert "`psage copy-invoice INV-1 --update-existing`" in one.step


def test_a_credit_note_that_psage_allocated_can_be_changed() -> None:
    here, there, known = note(2, 1)

    found = run([entry(1), replace(here, invoiced_on=date(2026, 3, 9))], [there], [known])

    one = next(one for _, one in found.found() if one.code == "changed_in_productive")
    assert one.command == "psage credit-note INV-2 --update-existing"


@pytest.mark.parametrize(
    ("status", "command"),
    [("DRAFT", "psage release INV-1"), ("VOID", "psage copy-invoice INV-1 --create-new")],
)
def test_a_credit_note_waits_for_the_copy_of_its_invoice(status: str, command: str) -> None:
    here, _, _ = note(2, 1)

    found = run([entry(1), here], [booked(1, status=status)], [copied(1)])

    one = next(one for pair, one in found.found() if pair.productive_id == "2")
    assert one.command == "psage open INV-2 --productive"
    assert f"first: `{command}`" in one.step


def test_another_currency_is_told_without_a_command_that_makes_a_double() -> None:
    found = run([entry(1, currency="EUR")], [booked(1)], [copied(1)])

    ((_, one),) = found.found()
    assert one.command == "psage open INV-1"
    assert one.step == "void SI-1 in Sage, then `psage copy-invoice INV-1 --create-new`"


@pytest.mark.parametrize("is_second_asked_for", [True, False])
def test_of_two_copies_the_one_is_kept_that_every_machine_goes_on_with(
    is_second_asked_for: bool,
) -> None:
    later = booked(
        9,
        reference="PRD-1-2" if is_second_asked_for else "PRD-1",
        made_at=datetime(2026, 4, 1, tzinfo=UTC),
    )
    copies = [copied(1)]
    if is_second_asked_for:
        copies.append(copied(1, copy_number=2, sage_id="s9", sage_number="SI-9"))

    found = run([entry(1)], [booked(1), later], copies)

    ((_, one),) = found.found()
    assert one.code == "copied_twice"
    void, keep = ("SI-1", "SI-9") if is_second_asked_for else ("SI-9", "SI-1")
    assert one.step.startswith(f"void {void} in Sage and keep {keep}, ")


@pytest.mark.parametrize("is_known", [True, False])
def test_a_draft_of_psages_beside_a_copy_that_counts_is_told(is_known: bool) -> None:
    draft = booked(9, reference="PRD-1-2", status="DRAFT", number="SI-DRAFT")
    copies = [copied(1)]
    if is_known:
        copies.append(copied(1, copy_number=2, sage_id="s9", sage_number="SI-DRAFT"))

    found = run([entry(1)], [booked(1), draft], copies)

    told = [(one.code, one.command) for _, one in found.found()]
    assert told == [("draft_not_released", "psage open INV-1")] * is_known
    assert found.totals[0].is_proven()


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ((), []),
        ((2,), [("1", "deleted_in_productive")]),
        ((1,), [("2", "deleted_in_productive")]),
    ],
)
def test_what_was_deleted_in_productive_is_told_unless_its_credit_note_was_too(
    shown: tuple[int, ...], told: list[tuple[str, str]]
) -> None:
    here, there, known = note(2, 1)
    entries = [one for one in (entry(1, unpaid=Decimal(0)), here) if int(one.id) in shown]
    invoice = booked(1, outstanding=Decimal(0), credits=(("s2", Decimal(120)),))
    gone = {str(key): date(2026, 3, 9) for key in (1, 2) if key not in shown}

    found = run(
        entries,
        [invoice, there],
        [copied(1), replace(known, credited_sage_id="s1")],
        deleted_in_productive=gone,
    )

    deleted = [one for one in codes(found) if one[1] == "deleted_in_productive"]
    assert deleted == told


@pytest.mark.parametrize("writes_off", [True, False])
def test_a_settlement_discount_is_told_with_the_setting_that_writes_it_off(
    writes_off: bool,
) -> None:
    share = replace(SHARE, amount=Decimal(5), is_discount=True)
    there = booked(1, outstanding=Decimal(115), shares=(share,))
    sync = Sync(begins_on=date(2026, 1, 1), writes_off=writes_off)

    found = run(
        [entry(1)],
        [there],
        [copied(1)],
        read={"1": Paid([], [], frozenset({"s1"}))},
        sync=sync,
    )

    ((_, one),) = found.found()
    setting = "psage configure --settlement-discount write_off"
    assert one.command == ("psage sync-payments INV-1" if writes_off else setting)
