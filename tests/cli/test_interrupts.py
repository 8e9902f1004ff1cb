"""Ctrl-C, whenever it comes: the usual sentence, and with `--json` one document."""

import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pexpect
import pytest

from productive_sage.sandbox import Sandbox
from productive_sage.signin import oauth
from productive_sage.signin.vault import Vault
from productive_sage.terminal import copies, render
from tests.conftest import Psage
from tests.harness.interrupts import ctrl_c, interrupted_in

USUAL = "interrupted; every finished document is recorded"
SILENT = """\
import sys, time
from keyring.backend import KeyringBackend
class Keyring(KeyringBackend):
    priority = 1
    def get_password(self, *entry):
        print("asked", file=sys.stderr, flush=True)
        time.sleep(60)
    set_password = delete_password = get_password
"""


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["for people", "for scripts"])
@pytest.mark.parametrize(
    "command",
    [("copy-invoice", "123"), ("status", "--check"), ("disconnect", "--yes"), ("doctor",)],
    ids=" ".join,
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_an_interrupt_while_the_keyring_is_asked(
    services: Sandbox,
    tmp_path: Path,
    command: tuple[str, ...],
    form: tuple[str, ...],
    number: signal.Signals,
) -> None:
    (tmp_path / "silent.py").write_text(SILENT)
    more = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "silent.Keyring"}
    with subprocess.Popen(
        [sys.executable, "-m", "productive_sage", *command, *form],
        env={**os.environ, **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr
            assert process.stderr.readline() == "asked\n"
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()

    assert process.returncode == 130
    if form:
        said = json.loads(out)
        assert (said["exit_code"], said["error"]["code"]) == (130, "interrupted")
        assert said["error"]["message"] == USUAL
    else:
        assert f"error: {USUAL}" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "command",
    [("copy-invoice", "123", "--no-tax", "--dry-run"), ("status",), ("doctor",), ("history",)],
)
def test_a_document_that_is_being_printed_is_printed_whole(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    interrupted_in(monkeypatch, render, "document")
    early = psage(*command, "--json")
    interrupted_in(monkeypatch, render, "fit_all")
    late = psage(*command, "--json")

    assert (early.code, early.json["exit_code"]) == (130, 130)
    assert early.json["error"]["code"] == "interrupted"
    assert late.code == 130
    assert "error" not in late.json  # its head was made before
    for result in (early, late):
        assert {"results", "productive", "checks", "events"} & set(result.json)
        assert f"error: {USUAL}" in result.err


def test_a_table_that_is_being_printed_is_printed_whole(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_in(monkeypatch, copies, "_table")

    result = psage("copy-invoice", "123", "--no-tax")

    assert result.code == 130
    assert "INV-2026-023" in result.out
    assert f"error: {USUAL}" in result.err


def test_an_interrupt_while_an_error_is_printed_changes_nothing(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_in(monkeypatch, render, "document")

    result = psage("copy-invoice", "no-such", "--no-such-option", "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "usage")


def test_a_second_interrupt_is_not_waited_for(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: Any, **__: Any) -> str:
        ctrl_c()
        ctrl_c()
        raise AssertionError("it went on")

    monkeypatch.setattr(render, "document", stuck)

    result = psage("status", "--json")

    assert result.code == 130
    assert result.out == ""
    assert f"error: {USUAL}" in result.err


def test_a_new_token_is_stored_before_anybody_interrupts(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault("default")
    vault.save(replace(vault.sage(), access_until=0))
    interrupted_in(monkeypatch, oauth.SageTokens, "_renewed")

    result = psage("copy-invoice", "123", "--no-tax", "--json")
    monkeypatch.undo()

    assert (result.code, result.json["error"]["code"]) == (130, "interrupted")
    assert vault.sage().access_until > 0
    assert services.calls("sage", "POST") == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such terminal")
def test_an_interrupt_at_the_keyrings_password_leaves_a_terminal_that_echoes(
    services: Sandbox, tmp_path: Path
) -> None:
    asking = SILENT.replace("import sys, time", "import getpass").replace(
        'print("asked", file=sys.stderr, flush=True)', 'getpass.getpass("Password of the file: ")'
    )
    (tmp_path / "asking.py").write_text(asking)
    more = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "asking.Keyring"}
    psage = f"{shlex.quote(sys.executable)} -m productive_sage copy-invoice 123 --no-tax"
    shell = f"trap '' INT; (trap - INT; exec {psage}); echo ended with $?; read wait"
    terminal = pexpect.spawn("/bin/sh", ["-c", shell], env={**os.environ, **more}, timeout=20)

    assert terminal.getecho()
    terminal.expect("Password of the file: ")
    terminal.waitnoecho()
    terminal.sendintr()
    terminal.expect("ended with 130")

    assert USUAL.encode() in terminal.before
    assert terminal.getecho()
    terminal.close(force=True)
