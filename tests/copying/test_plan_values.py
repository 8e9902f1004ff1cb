"""A saved plan as a value: nothing of it is lost on the way, and nothing that differs is missed."""

import copy
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage.copying import plan_file, saved
from productive_sage.copying.answered import GivenAnswer, Replay
from productive_sage.copying.plain import plain, value_of
from productive_sage.errors import PsageError, Refused
from productive_sage.kinds import CREDIT_NOTE
from productive_sage.productive.records import (
    Address,
    Company,
    CreditedInvoice,
    Invoice,
    InvoiceLine,
)
from productive_sage.sandbox import Sandbox
from productive_sage.settings import SETTINGS, Settings
from tests.conftest import Psage

LINE = InvoiceLine(
    id="1",
    description="Design",
    quantity=Decimal("1.50"),
    unit_price=Decimal("100.00"),
    discount_percent=Decimal(5),
    amount=Decimal("142.50"),
    service_type_id="301",
    service_type_name="Design",
    service_name="Site",
    tax_parts=(Decimal(20), Decimal(5)),
)
NOTE = Invoice(
    id="130",
    number="CN-1",
    currency="GBP",
    invoiced_on=date(2026, 3, 31),
    pay_on=date(2026, 4, 30),
    is_finalised=True,
    kind=CREDIT_NOTE,
    company=Company("501", "Northwind", "GB1"),
    bill_to=Address("Anna", "a@b.example", "1 Road", "London", "Kent", "N1", "GB", "GB1"),
    net=Decimal("-142.50"),
    tax=Decimal("-28.50"),
    discount_percent=Decimal(1),
    lines=(LINE, replace(LINE, id="2")),
    pdf_url="https://files.example/x?signature=secret",
    export_id="abc",
    credited=CreditedInvoice("120", "INV-1", "GBP", Decimal("142.50"), Decimal("171.00"), "def"),
)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every single thing of a value is."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, (*path, key))
    elif isinstance(value, list):
        for n, one in enumerate(value):
            yield from leaves(one, (*path, n))
    else:
        yield path


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    other = copy.deepcopy(value)
    place = other
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = "otherwise"
    return other


@pytest.mark.parametrize(
    "path", [*leaves(saved.source(NOTE))], ids=lambda path: "-".join(map(str, path))
)
def test_whatever_changes_in_productive_is_found_and_named(path: tuple[Any, ...]) -> None:
    before = saved.source(NOTE)

    (found,) = saved.differing("Productive", before, changed(before, path))

    assert found.field
    assert found.now == "otherwise"
    assert "otherwise" in found.said


def test_all_that_productive_says_is_compared_but_for_what_passes() -> None:
    assert {one.name for one in fields(Invoice)} - set(saved.source(NOTE)) == {
        "pdf_url",
        "export_id",
    }
    assert "secret" not in json.dumps(saved.source(NOTE))


def test_every_setting_is_compared_but_those_on_which_no_copy_hangs() -> None:
    left_out = set(SETTINGS) - set(saved.settings_of(Settings()))

    assert left_out == {
        "pdf_folder",
        "sync_payments",
        "sync_payments_from",
        "settlement_discount",
        "sage_calls_per_second",
        "endpoints",
    }


def test_a_value_comes_back_as_it_was() -> None:
    there = json.loads(json.dumps(plain(NOTE)))

    assert value_of(Invoice, there) == NOTE


@pytest.mark.parametrize(
    "spoiled",
    [
        {"net": 142.5},
        {"net": "NaN"},
        {"invoiced_on": 7},
        {"is_finalised": "yes"},
        {"kind": "receipt"},
        {"lines": [{}]},
        {"unknown": 1},
    ],
)
def test_what_is_no_such_value_is_not_read_as_one(spoiled: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        value_of(Invoice, {**plain(NOTE), **spoiled})


def test_a_plan_is_the_same_after_a_file(services: Sandbox, psage: Psage, tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    psage("copy-invoice", "101", "123", "110", "--tax-rate", "GB_STANDARD", "--plan", str(first))

    made = plan_file.read(first)
    plan_file.write(second, made)

    assert first.read_bytes() == second.read_bytes()
    assert plan_file.read(second).order == made.order


def test_an_error_is_told_again_as_it_was() -> None:
    error = Refused("no", code="is_draft", hint="wait", details={"a": 1})

    told = PsageError.from_json(error.as_json())

    assert (told.as_json(), told.exit_code) == (error.as_json(), 4)


def test_an_error_of_a_later_psage_is_a_refusal() -> None:
    told = PsageError.from_json({"code": "new", "message": "no", "hint": None, "details": {}})

    assert (told.code, told.exit_code) == ("refused", 4)


# --- answers


def test_answers_are_given_again_in_their_order() -> None:
    given = [("Who?", "search"), ("Name", "quay"), ("Who?", "Quay"), ("Rate?", "20%")]
    replay = Replay(GivenAnswer(*one) for one in given)

    assert replay("Who?", ["North"], None, [("s", "search")]) == 1
    assert replay.typed("Name") == "quay"
    assert replay("Who?", ["Dock", "Quay"], None) == 1
    assert replay("Rate?", ["none", "20%"], 0) == 1
    assert replay("Rate?", ["none", "20%"], 0) == 1  # for another document


@pytest.mark.parametrize(("question", "answers"), [("Why?", ["North"]), ("Who?", ["South"])])
def test_a_question_without_its_answer_is_refused(question: str, answers: list[str]) -> None:
    replay = Replay([GivenAnswer("Who?", "North")])

    with pytest.raises(Refused) as met:
        replay(question, answers, None)

    assert met.value.code == "plan_changed"
