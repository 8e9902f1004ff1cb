"""How a person is told and asked something, whoever does it."""

import sys

import pytest

from productive_sage.terminal.asking import Person, say


def test_what_a_service_wrote_does_nothing_to_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("Chosen: \x1b[2JSales", "  1  ")

    assert capsys.readouterr().err == "  1  Chosen: [2JSales\n"


def test_a_question_is_not_broken_within_a_word_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda stream: stream is sys.stderr)
    monkeypatch.setattr("typer.prompt", lambda *args, **kwargs: "1")
    question = "Which tax rate shall the copies of all 17 documents carry?"

    Person()(question, ["no tax"], 0)

    asked = capsys.readouterr().err.splitlines()
    assert all(len(line) <= 40 for line in asked)
    assert question in " ".join(asked)
