"""What a run is at: one line on stderr of a terminal, at once, and nowhere else."""

import io
import re
import sys

import pytest

from productive_sage.sandbox import Sandbox
from productive_sage.terminal import progress
from tests.conftest import Psage

ERASED = "\r\x1b[K"


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody looks at stderr."""
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda stream: stream is sys.stderr)
    monkeypatch.setenv("TERM", "xterm")


COMMANDS = [
    ("copy-invoice", "123", "--dry-run"),
    ("sync-payments", "--dry-run"),
    ("list",),
    ("open", "123"),
    ("customers",),
    ("doctor",),
    ("status", "--check"),
    ("reconcile",),
    ("configure", "--default-ledger", "4010"),
    ("connect", "--no-input"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_something_is_on_the_screen_before_a_service_is_asked_and_gone_at_the_end(
    services: Sandbox, psage: Psage, person: None, command: tuple[str, ...]
) -> None:
    result = psage(*command)

    assert re.match(re.escape(ERASED) + r"[A-Z][a-z ]+[A-Za-z ]+ \.\.\.", result.err)
    shown = [part for part in result.err.split(ERASED) if part.strip()]
    assert not shown or "..." not in shown[-1] or result.err.endswith(ERASED)
    assert "..." not in result.out


@pytest.mark.parametrize("flag", ["--json", "--quiet"])
def test_a_script_sees_no_progress_on_a_terminal(
    services: Sandbox, psage: Psage, person: None, flag: str
) -> None:
    assert ERASED not in psage("copy-invoice", "101", "123", flag).err


def test_a_pipe_gets_no_progress(services: Sandbox, psage: Psage) -> None:
    assert ERASED not in psage("copy-invoice", "101", "123").err


@pytest.mark.parametrize("command", [("status",), ("history",), ("configure", "--show")])
def test_what_asks_no_service_shows_no_progress(
    services: Sandbox, psage: Psage, person: None, command: tuple[str, ...]
) -> None:
    assert ERASED not in psage(*command).err


def test_a_batch_counts_its_documents(services: Sandbox, psage: Psage, person: None) -> None:
    shown = psage("copy-invoice", "101", "123", "124", "--no-tax").err

    for n in range(4):
        assert f"Copying: {n} of 3" in shown
    assert "Copying: 1 of 3, 1,775.00 GBP" in shown
    assert "Copying: 3 of 3, 4,612.27 GBP" in shown


def test_a_sync_and_a_check_of_the_register_count_what_they_look_at(
    services: Sandbox, psage: Psage, person: None
) -> None:
    psage("copy-invoice", "101", "123", "--no-tax")
    psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")

    assert "Comparing payments: 1 of 2" in psage("sync-payments").err
    assert "Looking in Sage: 1 of " in psage("list", "--check").err


def test_the_time_left_is_told_once_it_can_be_told(
    person: None, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    progress.begin("Reading ...", clock=lambda: now)
    for done in range(4):
        progress.step("Copying", done, 10)
        now += 1.5
    progress.step("Copying", 5, 1000)
    progress.end()

    lines = capsys.readouterr().err.split(ERASED)
    assert lines == [
        "",
        "Reading ...",
        "Copying: 0 of 10",
        "Copying: 1 of 10",
        "Copying: 2 of 10, about 12 s left",
        "Copying: 3 of 10, about 10 s left",
        "Copying: 5 of 1000, about 20 min left",
        "",
    ]


def test_a_narrow_terminal_leaves_out_the_amount_before_the_time_left(
    person: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, shown = 0.0, list[str]()
    progress.begin("Reading ...", clock=lambda: now)
    for columns in (80, 40, 32, 24):
        monkeypatch.setenv("COLUMNS", str(columns))
        progress.step("Copying", 0, 30)
        now += 10
        capsys.readouterr()
        progress.step("Copying", 10, 30, "1,205.00 GBP")
        shown.append(capsys.readouterr().err.removeprefix(ERASED))
        progress.step("Else", 0, 2)
    progress.end()

    assert shown == [
        "Copying: 10 of 30, 1,205.00 GBP, about 20 s left",
        "Copying: 10 of 30, about 20 s left",
        "Copying: 10 of 30, 20 s left",
        "Copying: 10 of 30",
    ]


def test_what_a_run_is_at_is_what_it_does(services: Sandbox, psage: Psage, person: None) -> None:
    planned = psage("copy-invoice", "123", "124", "--no-tax", "--dry-run").err
    psage("copy-invoice", "123", "124", "--no-tax", "--no-pdf", "--draft")
    looked = psage("release", "--all", "--dry-run").err
    booked = psage("release", "--all", "--yes").err

    assert "Planning: 1 of 2" in planned
    assert "Looking: 1 of 2" in looked
    assert "Booking: 1 of 2" in booked
    assert "Copying" not in planned + looked + booked


def test_a_stderr_that_is_closed_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(closed, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", closed)
    progress.begin("Reading ...")
    closed.close()

    progress.step("Copying", 1, 2)
    progress.end()
