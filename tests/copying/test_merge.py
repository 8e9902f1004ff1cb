"""What becomes of a copy on an update: the three versions, field by field. Pure."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from productive_sage.copying import merge, versions
from productive_sage.copying.merge import Merged
from productive_sage.copying.records import Draft, DraftLine
from productive_sage.copying.versions import Written
from productive_sage.kinds import INVOICE
from productive_sage.sage.records import SageDocument, SageLine

_LINE = DraftLine(
    description="Design",
    ledger_account_id="4000",
    quantity=Decimal(2),
    unit_price=Decimal("50.00"),
    discount=Decimal(0),
    net=Decimal("100.00"),
    tax=Decimal("20.00"),
    tax_rate_id="STANDARD",
    source_id="L1",
    service_type_id="T1",
)
_SECOND = replace(_LINE, description="Print", source_id="L2", tax=Decimal("20.00"))

WHERE: Any = {"company": "501", "country": "GB", "charged": Decimal(0)}


def draft(*lines: DraftLine, **changes: Any) -> Draft:
    lines = lines or (_LINE, _SECOND)
    net, tax = (sum((getattr(line, of) for line in lines), Decimal(0)) for of in ("net", "tax"))
    plan = Draft(
        kind=INVOICE,
        marker="PRD-1",
        currency="GBP",
        invoiced_on=date(2026, 2, 2),
        due_on=date(2026, 3, 4),
        lines=lines,
        net=net,
        tax=tax,
        total=net + tax,
    )
    return replace(plan, **changes)


def in_sage(plan: Draft) -> SageDocument:
    """The document Sage makes of a plan."""
    lines = [
        SageLine(
            id=f"S-{line.source_id}",
            net=line.net,
            tax=line.tax,
            tax_rate_id=line.tax_rate_id or "",
            description=line.description,
            quantity=line.quantity,
            unit_price=line.unit_price,
            discount=line.discount,
            ledger_account_id=line.ledger_account_id,
            item=line.item,
        )
        for line in plan.lines
    ]
    return SageDocument(
        id="S",
        number="SI-1",
        reference="PRD-1",
        status="UNPAID",
        currency="GBP",
        invoiced_on=plan.invoiced_on,
        contact_id="C1",
        contact_name="Client",
        net=plan.net,
        tax=plan.tax,
        total=plan.total,
        outstanding=plan.total,
        is_editable=True,
        is_in_tax_return=False,
        url=None,
        lines=tuple(lines),
        due_on=plan.due_on,
    )


def edited(document: SageDocument, line: int = 0, **changes: Any) -> SageDocument:
    """What the bookkeeper made of it."""
    lines = list(document.lines)
    lines[line] = replace(lines[line], **changes)
    return replace(document, lines=tuple(lines))


def written(plan: Draft | None = None) -> Written:
    plan = plan or draft()
    said = versions.said_by(plan, "C1", **WHERE)
    return Written(said, versions.held_in(in_sage(plan)))


def merged(
    now: Draft,
    present: SageDocument,
    before: Written | None,
    *,
    customer: str = "C1",
    overwrite: bool = False,
) -> Merged:
    said = versions.said_by(now, customer, **WHERE)
    rates = {"STANDARD": Decimal(20), "LOWER": Decimal(5), "ZERO": Decimal(0)}
    return merge.merge(now, said, present, before, percent=rates.__getitem__, overwrite=overwrite)


def names(changes: tuple[merge.Change, ...]) -> list[str]:
    return [one.name for one in changes]


def test_nothing_changed_is_nothing_to_do() -> None:
    found = merged(draft(), in_sage(draft()), written())

    assert (found.changes, found.kept, found.conflicts) == ((), (), ())


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"description": "Better design"}, "description of line 1"),
        ({"tax_rate_id": "LOWER", "tax": Decimal("5.00")}, "tax rate of line 1"),
        (
            {"quantity": Decimal(3), "net": Decimal("150.00"), "tax": Decimal("30.00")},
            "amount of line 1",
        ),
        ({"quantity": Decimal(1), "unit_price": Decimal("100.00")}, "amount of line 1"),
        (
            {"service_type_id": "T2", "ledger_account_id": "4100"},
            "ledger account of line 1",
        ),
        (
            {"service_type_id": "T2", "item": ("service_id", "I")},
            "item of line 1",
        ),
    ],
)
def test_what_only_productive_changed_is_taken_over(change: dict[str, Any], name: str) -> None:
    now = draft(replace(_LINE, **change), _SECOND)

    found = merged(now, in_sage(draft()), written())

    assert names(found.changes) == [name]
    assert (found.kept, found.conflicts) == ((), ())
    line = found.draft.lines[0]
    assert line.id == "S-L1"
    assert all(getattr(line, key) == value for key, value in change.items() if "type" not in key)


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        ({"description": "As agreed by telephone"}, "description of line 1"),
        ({"ledger_account_id": "4900"}, "ledger account of line 1"),
        ({"item": ("service_id", "I9")}, "item of line 1"),
        ({"tax_rate_id": "LOWER", "tax": Decimal("5.00")}, "tax rate of line 1"),
    ],
)
def test_what_only_the_bookkeeper_changed_stays_while_the_rest_is_updated(
    edit: dict[str, Any], name: str
) -> None:
    now = draft(_LINE, replace(_SECOND, description="Printing"))

    found = merged(now, edited(in_sage(draft()), **edit), written())

    assert names(found.kept) == [name]
    assert names(found.changes) == ["description of line 2"]
    assert found.conflicts == ()
    assert all(getattr(found.draft.lines[0], key) == value for key, value in edit.items())


def test_a_rate_the_bookkeeper_chose_taxes_the_new_amount() -> None:
    dearer: dict[str, Any] = {
        "quantity": Decimal(3),
        "net": Decimal("150.00"),
        "tax": Decimal("30.00"),
    }
    present = edited(in_sage(draft()), tax_rate_id="LOWER", tax=Decimal("5.00"))

    found = merged(draft(replace(_LINE, **dearer), _SECOND), present, written())

    assert names(found.kept) == ["tax rate of line 1"]
    assert (found.draft.lines[0].tax, found.draft.tax) == (Decimal("7.50"), Decimal("27.50"))
    assert found.draft.total == Decimal("277.50")


@pytest.mark.parametrize(
    ("change", "edit", "name"),
    [
        ({"description": "A"}, {"description": "B"}, "description of line 1"),
        (
            {"tax_rate_id": "LOWER", "tax": Decimal("5.00")},
            {"tax_rate_id": "ZERO", "tax": Decimal(0)},
            "tax rate of line 1",
        ),
        (
            {"quantity": Decimal(3), "net": Decimal("150.00"), "tax": Decimal("30.00")},
            {"quantity": Decimal(4), "net": Decimal("200.00"), "tax": Decimal("40.00")},
            "amount of line 1",
        ),
        # An amount that was changed in Sage alone is not simply kept.
        (
            {},
            {"quantity": Decimal(4), "net": Decimal("200.00"), "tax": Decimal("40.00")},
            "amount of line 1",
        ),
        ({}, {"tax": Decimal("19.99")}, "tax of line 1"),
    ],
)
def test_what_both_changed_and_an_amount_changed_in_sage_are_for_a_person(
    change: dict[str, Any], edit: dict[str, Any], name: str
) -> None:
    now, present = draft(replace(_LINE, **change), _SECOND), edited(in_sage(draft()), **edit)

    found = merged(now, present, written())
    overwritten = merged(now, present, written(), overwrite=True)

    assert name in names(found.conflicts)
    assert overwritten.conflicts == ()
    assert [replace(line, id="") for line in overwritten.draft.lines] == [
        replace(line, source_id="", service_type_id="") for line in now.lines
    ]


def test_both_sides_made_the_same_change_and_nothing_is_to_do() -> None:
    better: dict[str, Any] = {"description": "Better"}

    found = merged(
        draft(replace(_LINE, **better), _SECOND), edited(in_sage(draft()), **better), written()
    )

    assert (found.changes, found.kept, found.conflicts) == ((), (), ())


def test_new_settings_book_no_line_elsewhere() -> None:
    now = draft(replace(_LINE, ledger_account_id="4100", item=("service_id", "I")), _SECOND)

    found = merged(now, in_sage(draft()), written())

    assert (found.changes, found.kept, found.conflicts) == ((), (), ())


def test_dates_follow_productive_and_the_bookkeepers_own_stay() -> None:
    now = draft(due_on=date(2026, 4, 1))
    present = replace(in_sage(draft()), invoiced_on=date(2026, 2, 5))

    found = merged(now, present, written())

    assert names(found.changes) == ["due date"]
    assert names(found.kept) == ["date"]
    assert (found.draft.invoiced_on, found.draft.due_on) == (date(2026, 2, 5), date(2026, 4, 1))


def test_another_company_is_another_customer_unless_the_bookkeeper_chose_one() -> None:
    moved = replace(in_sage(draft()), contact_id="C9")

    taken = merged(draft(), in_sage(draft()), written(), customer="C2")
    kept = merged(draft(), moved, written())
    torn = merged(draft(), moved, written(), customer="C2")

    assert (names(taken.changes), taken.takes_customer) == (["customer"], True)
    assert (names(kept.kept), kept.takes_customer) == (["customer"], False)
    assert names(torn.conflicts) == ["customer"]


def test_lines_are_told_apart_by_their_ids_not_by_their_place() -> None:
    third = replace(_LINE, description="Third", source_id="L3")
    now = draft(_SECOND, third, _LINE)
    present = edited(in_sage(draft()), description="As agreed")

    found = merged(now, present, written())

    assert [line.id for line in found.draft.lines] == ["S-L2", "", "S-L1"]
    assert [line.description for line in found.draft.lines] == ["Print", "Third", "As agreed"]
    assert names(found.changes) == ["line 2"]


def test_a_line_gone_from_productive_goes_unless_somebody_worked_on_it() -> None:
    plain = merged(draft(_LINE), in_sage(draft()), written())
    touched = merged(
        draft(_LINE), edited(in_sage(draft()), line=1, ledger_account_id="4900"), written()
    )

    assert names(plain.changes) == ["a line Productive has no more"]
    assert [line.id for line in plain.draft.lines] == ["S-L1"]
    assert names(touched.conflicts) == ["a line Productive has no more"]


def test_a_line_added_or_deleted_in_sage_is_for_a_person_a_line_of_words_stays() -> None:
    made = in_sage(draft())
    extra = replace(made.lines[0], id="X", description="Carriage")
    words = replace(extra, net=Decimal(0), tax=Decimal(0), quantity=Decimal(0))

    added = merged(draft(), replace(made, lines=(*made.lines, extra)), written())
    noted = merged(draft(), replace(made, lines=(*made.lines, words)), written())
    deleted = merged(draft(), replace(made, lines=made.lines[:1]), written())

    assert names(added.conflicts) == ["a line only Sage has"]
    assert (names(noted.kept), noted.draft.lines[-1].id) == (["a line only Sage has"], "X")
    assert names(deleted.conflicts) == ["line 2"]


def test_an_editor_that_gives_a_line_another_id_hides_nothing() -> None:
    present = edited(in_sage(draft()), id="N", description="As agreed")

    found = merged(draft(_LINE, replace(_SECOND, description="New")), present, written())

    assert names(found.kept) == ["description of line 1"]
    assert [line.id for line in found.draft.lines] == ["N", "S-L2"]


def test_what_nobody_knows_who_changed_is_for_a_person() -> None:
    now = draft(replace(_LINE, description="Better"), _SECOND)

    found = merged(now, in_sage(draft()), None)

    assert names(found.conflicts) == ["description of line 1"]
    assert found.changes == ()


def test_what_sage_did_not_take_as_planned_is_sent_again() -> None:
    wrong = edited(in_sage(draft()), quantity=Decimal(9), net=Decimal("450.00"))
    before = Written(written().said, versions.held_in(wrong), is_as_planned=False)

    found = merged(draft(), wrong, before)

    assert names(found.changes) == ["amount of line 1"]
    assert found.draft.lines[0].net == Decimal("100.00")


def test_what_was_written_is_the_same_after_it_was_stored() -> None:
    before = written()

    assert Written.from_text(before.as_text()) == before
