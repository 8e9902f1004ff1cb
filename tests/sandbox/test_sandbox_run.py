"""`psage sandbox`: what it prints to be pasted, what it refuses, what is typed at it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from productive_sage.sandbox import Sandbox
from productive_sage.sandbox.run import WORTH_TRYING, act, shells_for
from tests.conftest import Psage, copies


def free_ports() -> str:
    """The first of three ports that are most likely free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1] % 40000 + 20000)


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The sandbox as it ends by itself; one that does not is ended after 20 s."""
    return subprocess.run(
        [sys.executable, "-m", "productive_sage", "sandbox", "--port", free_ports(), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize("content", ["{", "[]", '"x"', '{"sage": {}}', "\x00"])
def test_a_state_that_is_none_is_refused_at_the_start(tmp_path: Path, content: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(content)

    done = started("--state", str(file))

    assert done.returncode == 2
    assert f"`{file}` is " in done.stderr
    assert "--state" in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_text() == content


def test_a_state_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "no-such-folder" / "state.json"

    done = started("--state", str(file))

    assert done.returncode == 2
    assert f"cannot be kept in `{file}`: No such file or directory" in done.stderr
    assert done.stdout == ""


def test_ports_that_are_taken_are_said_to_be_with_others_to_choose() -> None:
    port = free_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(port)))
        other.listen()

        done = started("--port", port)

    assert done.returncode == 2
    assert "another program, maybe a sandbox, has one of them" in done.stderr
    assert f"psage sandbox --port {int(port) + 10}" in done.stderr


def test_what_is_printed_names_each_shell_the_next_steps_and_what_to_try(tmp_path: Path) -> None:
    port = free_ports()
    process = subprocess.Popen(
        [sys.executable, "-m", "productive_sage", "sandbox", "--port", port],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.strip().startswith(WORTH_TRYING[-1][0]):
            break
    file = next(line for line in lines if line.strip().startswith(". ")).split()[-1]
    seen = subprocess.run(
        ["bash", "-c", f". {file} && echo $PSAGE_SAGE_API_URL"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    process.kill()
    process.wait()
    process.communicate()

    text = "\n".join(lines)
    assert all(name in text for name in ("bash, zsh", "PowerShell", "cmd (Windows)"))
    assert seen == f"http://127.0.0.1:{port}/v3.1\n"
    assert "psage copy-invoice INV-2026-023" in text
    assert "O'Brien & Sons" in text


def test_values_reach_every_shell_as_they_are(tmp_path: Path) -> None:
    odd = {"PSAGE_A": "it's 100% & more", "PSAGE_B": "http://127.0.0.1:1/?filter=apiv3.1"}

    (tmp_path / "it's here").mkdir()
    program = tmp_path / "it's here" / "psage"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o700)

    pasted = dict(shells_for(odd, tmp_path, program=program.parent))

    bash = subprocess.run(
        ["bash", "-c", f'{pasted["bash, zsh (Linux, macOS)"]}; echo "$PSAGE_A|$PSAGE_B"; psage'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert bash.stdout == "|".join(odd.values()) + "\nfound\n"
    assert "$env:PSAGE_A = 'it''s 100% & more'\n" in (tmp_path / "sandbox.txt").read_text()
    assert 'set "PSAGE_A=it\'s 100%% & more"\n' in (tmp_path / "sandbox.cmd").read_text()


def test_what_is_worth_trying_is_there(sandbox: Sandbox) -> None:
    companies = sandbox.productive.table("companies")
    held = {
        (row["number"], companies[row["company_id"]]["attributes"]["name"])
        for row in sandbox.productive.invoices.values()
    }
    numbers = {number for number, _ in held}

    for number, customer, _ in WORTH_TRYING:
        assert number in numbers
        assert (number, customer) in held or customer == "two customers"


def test_the_bookkeeper_edits_and_voids_at_the_sandbox(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "101", "--no-tax", "--no-pdf")

    assert act(services, "edit si-1 99.50") == "si-1 is changed"
    assert act(services, 'edit SI-1 "Other words" 2') == "SI-1 is changed"
    first, second = copies(services, "101")[0]["invoice_lines"]
    assert str(first["unit_price"]) == "99.50"
    assert second["description"] == "Other words"

    for nonsense in ("edit SI-1", "edit SI-1 5 0", "edit SI-1 5 3", "edit SI-1 -5", "void SI-9"):
        assert act(services, nonsense).startswith("that is none of these")
    assert act(services, "void SI-1 'entered twice'") == "SI-1 is void"
    assert copies(services, "101")[0]["status"]["id"] == "VOID"
    assert act(services, "edit SI-1 5").startswith("Sage refuses that: ")


def test_sage_refuses_at_the_sandbox_too_what_it_does_not_do(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101", "--no-tax", "--no-pdf")
    act(services, "pay SI-1 10.00")

    assert act(services, "void SI-1").startswith("Sage refuses that: ")
