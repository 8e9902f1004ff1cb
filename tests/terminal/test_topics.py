"""`psage help TOPIC`: what an installed program tells offline."""

import re
import shlex
from pathlib import Path

import pytest

from productive_sage import cli
from productive_sage.cli import topics
from tests.conftest import Psage

SOURCE = Path(cli.__file__).parent.parent
NAMES = list(topics.titles())


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("topic", NAMES)
def test_a_topic_is_told_in_lines_that_fit(
    psage: Psage, topic: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    shown = psage("help", topic)

    assert shown.code == 0
    assert " ".join(shown.out.split()).startswith(topics.titles()[topic])
    lines = shown.out.splitlines()
    # A command is left whole, to be copied.
    assert [line for line in lines if len(line) > columns and not line.startswith("  ")] == []
    assert max(map(len, lines)) <= 80
    assert 5 <= len(lines) <= 55


def test_help_lists_the_topics(psage: Psage) -> None:
    shown = psage("help").out

    assert "Topics of `psage help TOPIC`:" in shown
    for topic in NAMES:
        assert f"\n  {topic} " in shown


@pytest.mark.parametrize(
    ("word", "near"),
    [("paymnets", "`payments`"), ("copyinvoice", "`copy-invoice`"), ("zzz", "lists both")],
)
def test_an_unknown_topic_names_the_nearest(psage: Psage, word: str, near: str) -> None:
    result = psage("help", word)

    assert result.code == 2
    assert near in result.err


@pytest.mark.parametrize(("word", "topic"), [("keyring", "servers"), ("Backup", "moving")])
def test_other_words_lead_to_a_topic(psage: Psage, word: str, topic: str) -> None:
    assert psage("help", word).out == psage("help", topic).out


def test_a_topic_named_anywhere_exists() -> None:
    texts = [file.read_text() for file in [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.txt")]]
    named = {word for text in texts for word in re.findall(r"`psage help ([a-z-]+)`", text)}

    assert named
    assert named <= {*NAMES, *cli._NAMES}


def test_no_message_points_to_a_file_that_an_installed_program_lacks() -> None:
    for file in SOURCE.rglob("*.py"):
        assert not re.search(r"\bREADME\b|docs/\w+\.md", file.read_text()), file


def test_every_command_in_a_topic_is_one(psage: Psage) -> None:
    for topic in NAMES:
        text = (SOURCE / "topics" / f"{topic}.txt").read_text()
        for line in re.findall(r"^  psage (.+)$", text, re.MULTILINE):
            words = shlex.split(line)
            command = next(word for word in words if not word.startswith("-"))
            options = [word for word in words if word.startswith("--")]
            offered = psage(command, "--help").out + psage("--help").out
            assert command in cli._NAMES
            assert [option for option in options if option not in offered] == []
