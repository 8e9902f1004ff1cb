"""The demo shows the real commands, leaves nothing behind, and can fail."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from productive_sage.sandbox import screen
from productive_sage.sandbox.demo import Demo, is_coloured


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PATH": os.environ["PATH"],
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "HTTP_PROXY": "http://127.0.0.1:9",  # nothing may go through it
    }
    for folder in ("home", "tmp"):
        (tmp_path / folder).mkdir()
    return subprocess.run(
        [sys.executable, "-m", "productive_sage", "demo", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_demo_keeps_its_promises_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything as promised" in done.stdout
    assert "$ psage copy-invoice INV-2026-023" in done.stdout
    assert "psage sandbox" in done.stdout.splitlines()[-3]
    assert "psage connect" in done.stdout.splitlines()[-2]
    assert "exit code" not in done.stdout
    assert len(done.stdout.splitlines()) <= 75
    assert "\x1b" not in done.stdout
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    lines = done.stdout.splitlines()
    steps = [lines[n + 1 : n + 3] for n, line in enumerate(lines) if not line]
    told = [step[0] for step in steps if step[1:] and step[1].startswith("$ psage")]
    assert len(told) >= 7
    assert all(sentence.endswith(".") for sentence in told)  # one before each step


@pytest.mark.torture  # the demo once more
def test_the_proof_is_shown_to_who_asks_for_it(tmp_path: Path) -> None:
    done = run(tmp_path, "--verbose")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "proven: exit code 4" in done.stdout
    assert "proven: Sage holds PRD-103 once" in done.stdout
    assert '> POST /sales_invoices {"sales_invoice":' in done.stdout


@pytest.mark.torture  # the demo once more
def test_on_a_terminal_the_demo_is_coloured(tmp_path: Path) -> None:
    code, lines = screen.run(
        ("demo",),
        {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm-256color"},
        columns=80,
    )

    assert code == 0
    assert re.search(r"\x1b\[[\d;]*3\d", "".join(lines))


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_who_wants_no_colour_gets_none(variables: dict[str, str], coloured: bool) -> None:
    assert is_coloured(variables) is coloured


def test_a_command_on_a_terminal_leaves_no_passing_line(tmp_path: Path) -> None:
    passing = "\r\x1b[KReading ...\r\x1b[KCopied\r\nonce\r"

    assert screen.left(passing) == ["Copied", "once"]


def test_a_broken_promise_is_exit_1_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from productive_sage.sandbox import demo

    monkeypatch.setattr(Demo, "walk", lambda self: self._promise(False, "Sage holds it once"))

    code = demo.demonstrate(as_json=True)

    report = json.loads(capsys.readouterr().out)
    assert code == 1
    assert report["ok"] is False
    assert report["error"]["message"] == "Sage holds it once"
