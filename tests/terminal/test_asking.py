"""How a person is told and asked something, whoever does it."""

import pytest

from productive_sage.terminal.asking import say


def test_what_a_service_wrote_does_nothing_to_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("Chosen: \x1b[2JSales", "  1  ")

    assert capsys.readouterr().err == "  1  Chosen: [2JSales\n"
