"""The command line itself: no empty value passes, and a reader that leaves changes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from productive_sage import cli
from productive_sage.cli import common
from productive_sage.cli.session import current
from productive_sage.errors import Refused
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies
from tests.harness.processes import share_the_keyring

# --- empty values


def valued_options() -> list[tuple[str, str]]:
    """(command, option) of every option that takes a value, and of every argument."""
    found = []
    for command, made in typer.main.get_command(cli.app).commands.items():  # type: ignore[attr-defined]  # Typer's group has them
        for param in made.params:
            if param.param_type_name == "argument":
                found.append((command, ""))
            elif not param.is_flag:
                found.append((command, max(param.opts, key=len)))
    return found


def test_every_kind_of_option_is_tried() -> None:
    tried = valued_options()

    assert len(tried) > 25
    assert {
        ("copy-invoice", "--customer"),
        ("copy-invoice", ""),
        ("connect", "--port"),
        ("history", "--since"),
    } <= set(tried)


@pytest.mark.parametrize("empty", ["", " ", "\t"])
@pytest.mark.parametrize(("command", "option"), valued_options())
def test_an_empty_value_is_refused_and_named(
    services: Sandbox, psage: Psage, command: str, option: str, empty: str
) -> None:
    if option in ("--default-tax-rate", "--reference", "--notes"):
        pytest.skip("it removes what is set")
    arguments = ["101"] if command in ("copy-invoice", "credit-note") and option else []

    result = psage(command, *arguments, *filter(None, [option]), empty)

    assert result.code == 2
    assert f"the value of `{option}" in result.err
    assert "is empty" in result.err
    assert f"`psage {command} --help`" in result.err
    assert services.calls() == []


@pytest.mark.parametrize(
    "words",
    [
        ("copy-invoice", "101", "--customer="),
        ("sync-payments", "--invoice", "101", "--invoice", ""),
        ("configure", "--map-item", "Design=DESIGN", "--map-item", ""),
        ("copy-invoice", "101", ""),
        ("copy-invoice", "--", "101", ""),
        ("--profile", "", "copy-invoice", "101"),
        ("--config", "", "copy-invoice", "101"),
    ],
)
def test_an_empty_value_is_found_however_it_is_written(
    services: Sandbox, psage: Psage, words: tuple[str, ...]
) -> None:
    result = psage(*words)

    assert result.code == 2
    assert "is empty" in result.err
    assert services.calls() == []


def test_for_scripts_an_empty_value_is_one_document(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "101", "--tax-rate", "", "--json")

    assert result.code == 2
    assert result.json["command"] == "copy-invoice"
    assert result.json["error"]["code"] == "usage"
    assert "`--tax-rate`" in result.json["error"]["message"]
    assert "variable" in result.json["error"]["hint"]


def test_what_an_empty_value_removes_is_still_removed(services: Sandbox, psage: Psage) -> None:
    assert psage("configure", "--default-tax-rate", "GB_ZERO", "--map-item", "Design=DEV").code == 0

    result = psage("configure", "--default-tax-rate", "", "--map-item", "Design=", "--json")

    assert result.code == 0
    assert result.json["settings"]["default_tax_rate"] == ""
    assert result.json["settings"]["items"] == {}


# --- readers that leave


@pytest.fixture
def in_a_file(
    sandbox: Sandbox, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share_the_keyring(sandbox, tmp_path, monkeypatch)


@pytest.fixture
def shared(in_a_file: None, services: Sandbox) -> Sandbox:
    """Signed in and configured, for other processes too."""
    return services


def left(*args: str, streams: tuple[str, ...] = ("stdout",)) -> tuple[int, str]:
    """Run psage with streams whose reader is gone; its code, and what the other stream got."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "productive_sage", *args],
            stdin=subprocess.DEVNULL,
            stdout=writing if "stdout" in streams else subprocess.PIPE,
            stderr=writing if "stderr" in streams else subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    return done.returncode, (done.stdout or "") + (done.stderr or "")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--help",), 0),
        (("--version",), 0),
        (("copy-invoice", "--help"), 0),
        (("status",), 0),
        (("status", "--json"), 0),
        (("configure", "--show"), 0),
        (("history",), 0),
        (("history", "--format", "csv"), 0),
        (("doctor",), 0),
        (("doctor", "--json"), 0),
        (("copy-invoice", "101", "--dry-run"), 0),
        (("copy-invoice", "102"), 4),
        (("copy-invoice", "102", "--json"), 4),
        (("sync-payments",), 4),
        (("copy-invoice", "--nonsense"), 2),
        (("--profile", "labs", "copy-invoice", "101"), 2),
    ],
)
def test_a_reader_that_leaves_changes_no_exit_code(
    shared: Sandbox, args: tuple[str, ...], code: int
) -> None:
    without_out = left(*args)
    without_err = left(*args, streams=("stderr",))
    without_both = left(*args, streams=("stdout", "stderr"))

    assert [without_out[0], without_err[0], without_both[0]] == [code] * 3
    assert "Traceback" not in without_out[1] + without_err[1]
    assert "Broken" not in without_out[1] + without_err[1]


def test_a_copy_is_made_whole_though_nobody_reads_of_it(shared: Sandbox) -> None:
    assert left("copy-invoice", "101", "123", streams=("stdout", "stderr"))[0] == 0

    assert [len(copies(shared, key)) for key in ("101", "123")] == [1, 1]
    assert shared.productive.invoices["101"]["exported"] is True


def test_who_reads_the_first_line_gets_it(shared: Sandbox) -> None:
    done = subprocess.run(
        f"{sys.executable} -m productive_sage configure --show | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "0"
    assert done.stdout.startswith("Ledger    Lines are booked to ")


def test_what_is_read_is_the_same_as_ever(shared: Sandbox) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "productive_sage", "status", "--json"],
        capture_output=True,
        check=True,
    )

    assert json.loads(done.stdout)["command"] == "status"


def test_what_stopped_a_command_is_told_before_what_failed_by_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    current.begin(None)
    with common.Stopped() as stopped:
        raise Refused("stopped", code="not_found")

    with pytest.raises(typer.Exit) as ended:
        common.end(
            lambda: None,
            lambda: {"error": {"code": "some_failed"}, "failed": [1]},
            as_json=True,
            error=stopped.error,
        )

    document = json.loads(capsys.readouterr().out)
    assert (ended.value.exit_code, document["exit_code"]) == (4, 4)
    assert (document["error"]["code"], document["failed"]) == ("not_found", [1])


def test_a_defect_is_not_taken_for_what_stopped_a_command() -> None:
    with pytest.raises(ZeroDivisionError), common.Stopped():
        raise ZeroDivisionError
