"""Codes of errors: each in the table is raised, each that is raised is in the table, and listed."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from productive_sage import errors
from productive_sage.errors import PsageError, Refused, Temporary
from productive_sage.errors.causes import CAUSES
from productive_sage.errors.defects import Defect, defects_told

ROOT = Path(__file__).parent.parent.parent
SOURCES = ROOT / "src" / "productive_sage"
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, PsageError)
}


@cache
def sources() -> list[tuple[str, ast.Module]]:
    """psage's sources by their names."""
    return [(file.name, ast.parse(file.read_text())) for file in sorted(SOURCES.rglob("*.py"))]


def made() -> Iterator[tuple[str, type[PsageError], str]]:
    """Where an error is made in psage's sources, of which class, with which code."""
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                kind = CLASSES.get(node.func.id)
                if kind:
                    said = [one.value for one in node.keywords if one.arg == "code"]
                    code = ast.literal_eval(said[0]) if said else kind.code
                    yield f"{name}:{node.lineno}", kind, code


def named() -> set[str]:
    """The codes of the classes that psage's sources name other than to catch them."""
    found = set()
    for _, tree in sources():
        caught = {
            id(name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ExceptHandler) and node.type
            for name in ast.walk(node.type)
        }
        names = [one for one in ast.walk(tree) if isinstance(one, ast.Name)]
        found |= {
            CLASSES[one.id].code for one in names if one.id in CLASSES and id(one) not in caught
        }
    return found


def test_every_code_that_is_raised_is_in_the_table() -> None:
    found = list(made())

    assert len(found) > 200
    assert [(where, code) for where, _, code in found if code not in CAUSES] == []


def test_every_code_of_the_table_is_raised() -> None:
    assert set(CAUSES) - {code for _, _, code in made()} - named() == set()


def test_a_code_has_the_class_that_its_exit_code_wants() -> None:
    """By the class it is told whether anything can have been changed, and whether to try again."""
    for where, kind, code in made():
        if code != kind.code:
            wanted = {4: Refused, 5: Temporary}.get(CAUSES[code].exit_code)
            assert wanted is None or issubclass(kind, wanted), (where, code)
            assert wanted or not issubclass(kind, Refused | Temporary), (where, code)


def test_a_code_that_is_not_in_the_table_is_noticed_where_it_is_raised() -> None:
    with pytest.raises(KeyError):
        Refused("no", code="of_no_such_code")

    with pytest.raises(KeyError):
        type("Own", (Refused,), {"code": "of_no_such_code"})


def test_an_error_takes_its_exit_code_from_the_table_unless_its_class_says_another() -> None:
    by_hand = Refused("no", code="different_business")

    assert (by_hand.exit_code, by_hand.stops_batch) == (4, True)
    assert (Refused("no").exit_code, Refused("no").stops_batch) == (4, False)
    assert (errors.ForbiddenBySage.code, errors.ForbiddenBySage.exit_code) == ("rights_missing", 4)
    assert (errors.AnswerIncomplete.exit_code, errors.AnswerIncomplete.stops_batch) == (5, False)
    assert by_hand.reworded("so").exit_code == 4


def test_the_table_of_the_documents_is_the_one_of_the_program() -> None:
    said = (ROOT / "docs" / "errors.md").read_text().splitlines()

    rows = [f"| `{code}` | {one.exit_code} | {one.meaning} |" for code, one in CAUSES.items()]
    assert [line for line in said if line.startswith("| `")] == rows


def test_what_nobody_foresaw_becomes_one_error_and_one_record_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(Defect) as met, defects_told("it", "with it"):
        raise StopIteration

    assert met.value.message == "psage met something it does not expect with it"
    assert (met.value.code, met.value.exit_code) == ("defect", 1)
    assert [record.getMessage() for record in caplog.records] == ["it"]
    assert "StopIteration" in caplog.text


def test_an_error_of_psage_and_an_interrupt_are_no_defects(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for raised in (Refused("no"), KeyboardInterrupt()):
        with pytest.raises(type(raised)), defects_told("it"):
            raise raised

    assert caplog.records == []
