"""`psage sandbox`: both services, kept running until Ctrl-C."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from .documents import Refusal
from .handle import Sandbox
from .keyring import FILE_VARIABLE
from .sage_contract import Problem
from .seed import ORGANIZATION_ID, PRODUCTIVE_TOKEN
from .signin import CLIENT_ID, CLIENT_SECRET


def environment(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    """Give everything psage needs to work with the sandbox and leave the real set-up alone."""
    return {
        **sandbox.environment(),
        "PSAGE_HOME": str(folder / "home"),
        "PYTHON_KEYRING_BACKEND": "productive_sage.sandbox.keyring.SandboxKeyring",
        FILE_VARIABLE: str(folder / "keyring.json"),
        "PSAGE_PRODUCTIVE_TOKEN": PRODUCTIVE_TOKEN,
        "PSAGE_SAGE_CLIENT_SECRET": CLIENT_SECRET,
    }


def serve(*, port: int, state: Path | None, latency_ms: int) -> int:
    """Run until Ctrl-C; print what to paste into another terminal. Gives the exit code."""
    problem = _unfit(state) if state else ""
    if problem:
        return _refuse(problem, "name another file with `--state`, or move this one away")
    try:
        sandbox = Sandbox(port=port, latency_ms=latency_ms, state=state).start()
    except OSError as error:
        is_taken = error.errno == errno.EADDRINUSE
        why = "another program, maybe a sandbox, has one of them" if is_taken else error.strerror
        return _refuse(
            f"the sandbox cannot start on ports {port} to {port + 2}: {why or error}",
            f"choose others: `psage sandbox --port {port + 10 if port < 65000 else port - 10}`",
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return _refuse(f"`{state}` is no state of a sandbox", "name another file with `--state`")
    with tempfile.TemporaryDirectory(prefix="psage-sandbox-") as folder:
        print("\n".join(_welcome(sandbox, Path(folder))), flush=True)
        print(f"\n{_ACTS}\n\nCtrl-C stops the sandbox and forgets this set-up", file=sys.stderr)
        if hasattr(signal, "SIGTTIN"):  # in the background of a shell, reading would stop it
            signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        with suppress(KeyboardInterrupt):
            with suppress(OSError):
                for line in sys.stdin:
                    print(act(sandbox, line), file=sys.stderr, flush=True)
            threading.Event().wait()
        sandbox.stop()
    return 0


def _refuse(what: str, hint: str) -> int:
    print(f"error: {what}\n\nhint: {hint}", file=sys.stderr)
    return 2


def _unfit(state: Path) -> str:
    """Why a state cannot be kept in this file; empty where it can."""
    try:
        if state.exists():
            json.loads(state.read_text(encoding="utf-8"))
            with state.open("a", encoding="utf-8"):
                pass
        # What is kept is written beside it first.
        with tempfile.TemporaryFile(dir=state.absolute().parent):
            pass
    except ValueError:
        return f"`{state}` is not JSON, so no state of a sandbox"
    except OSError as error:
        return f"the state cannot be kept in `{state}`: {error.strerror or error}"
    return ""


# -- what to paste ----------------------------------------------------------------------------

WORTH_TRYING = (
    ("INV-2026-001", "Northwind Traders Ltd", "two plain lines, known in Sage"),
    ("INV-2026-023", "Juniper Street Coffee Ltd", "a discount, new in Sage"),
    ("INV-2026-004", "Atelier Lumière SARL", "in EUR, with a discount"),
    ("INV-2026-008", "Kitsune Works K.K.", "in yen"),
    ("INV-2026-005", "Northwind Traders Ltd", "120 lines"),
    ("INV-2026-014", "O'Brien & Sons", "the customer is twice in Sage"),
    ("INV-2026-016", "two customers", "two invoices have this number"),
    ("INV-2026-015", "Northwind Traders Ltd", "below zero, so refused"),
    ("CN-2026-001", "Northwind Traders Ltd", "credits INV-2026-011: copy that first"),
)
"""Number, customer, and what is special."""


def _welcome(sandbox: Sandbox, folder: Path) -> list[str]:
    """What is printed at the start: how to point a shell here, what to do, what to try."""
    shells = shells_for(environment(sandbox, folder), folder, program=_elsewhere())
    return [
        "Productive and Sage are imitated on this machine. In another terminal,",
        "paste the line of your shell; it points psage at them, and at nothing of yours:",
        *(line for name, pasted in shells for line in ("", f"  {name}", f"    {pasted}")),
        "",
        "Then sign in, and copy an invoice:",
        "",
        f"  psage connect productive --organization-id {ORGANIZATION_ID}",
        f'  psage connect sage --client-id {CLIENT_ID} --business "Harbour & Pine Ltd"',
        "  psage configure --default-ledger 4010",
        "  psage copy-invoice INV-2026-023",
        "",
        "Worth trying:",
        "",
        *(f"  {number:14}{customer:27}{what}" for number, customer, what in WORTH_TRYING),
    ]


def _elsewhere() -> Path | None:
    """The program's folder where the path does not lead there, as in a clone."""
    own, found = Path(sys.argv[0]).absolute(), shutil.which("psage")
    if own.stem != "psage" or (found and Path(found).absolute() == own):
        return None
    return own.parent


def shells_for(
    variables: dict[str, str], folder: Path, *, program: Path | None = None
) -> list[tuple[str, str]]:
    """Write a file for each shell; give each shell's name and the line to paste, the likely first.

    `program` is a folder for the beginning of the path. PowerShell runs no script file by default,
    so it is handed the text of one.
    """
    bash, power, cmd = (folder / f"sandbox.{end}" for end in ("sh", "txt", "cmd"))
    exported = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    powered = [f"$env:{name} = {_power(value)}" for name, value in variables.items()]
    doubled = {name: value.replace("%", "%%") for name, value in variables.items()}
    put = ["@echo off", *(f'set "{name}={value}"' for name, value in doubled.items())]
    if program:
        exported.append(f'export PATH={shlex.quote(str(program))}:"$PATH"')
        powered.append(f"$env:PATH = {_power(f'{program}{os.pathsep}')} + $env:PATH")
        put.append(f'set "PATH={str(program).replace("%", "%%")};%PATH%"')
    _write(bash, exported)
    _write(power, powered, encoding="utf-8-sig")  # the older PowerShell asks for the mark
    _write(cmd, put)
    found = [
        ("bash, zsh (Linux, macOS)", f". {shlex.quote(str(bash))}"),
        ("PowerShell", f"gc -Raw {_power(str(power))} | iex"),
        ("cmd (Windows)", f'call "{cmd}"'),
    ]
    return [*found[1:], found[0]] if os.name == "nt" else found


def _write(file: Path, lines: list[str], encoding: str = "utf-8") -> None:
    file.write_text("\n".join([*lines, ""]), encoding=encoding)


def _power(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# -- what the bookkeeper does -----------------------------------------------------------------

_ACTS = """\
Type here what the bookkeeper does in Sage:
  pay SI-1 100.00 [2026-03-01]   a receipt for an invoice
  unpay SI-1                     its receipts are deleted
  edit SI-1 95.00 [2]            another price of the first line, or of this one
  edit SI-1 "New words" [2]      another description
  void SI-1 ["the reason"]       an invoice or credit note is void"""


def act(sandbox: Sandbox, line: str) -> str:
    """Do what a line says a bookkeeper does; give what came of it."""
    try:
        words = shlex.split(line)
        document = _numbered(sandbox, words[1])
        match words:
            case ["pay", _, amount, *day] if len(day) < 2 and 0 < Decimal(amount) < 10**9:
                on = date.fromisoformat(day[0]).isoformat() if day else None
                receipt = sandbox.bookkeeper.pay(document["id"], amount, on, "typed here")
                return f"receipt {receipt} is booked"
            case ["unpay", _]:
                return f"receipts deleted: {_unpay(sandbox, document['id'])}"
            case ["edit", number, to, *place] if len(place) < 2 and to.strip():
                _edit(sandbox, document, to, int(place[0]) if place else 1)
                return f"{number} is changed"
            case ["void", number, *reason] if len(reason) < 2:
                sandbox.bookkeeper.void(document["id"], *reason)
                return f"{number} is void"
    except Refusal as refusal:
        return f"Sage refuses that: {refusal.problems[0].message}"
    except (ValueError, IndexError, KeyError, ArithmeticError):
        pass
    return f"that is none of these, or there is no such document or line:\n{_ACTS}"


def _numbered(sandbox: Sandbox, number: str) -> dict[str, Any]:
    """The one document of this number in Sage, or ValueError."""
    held = [*sandbox.sage.invoices.values(), *sandbox.sage.credit_notes.values()]
    (document,) = [row for row in held if row["displayed_as"].lower() == number.lower()]
    return document


def _unpay(sandbox: Sandbox, invoice: str) -> int:
    paid = [
        key
        for key, row in sandbox.sage.receipts.items()
        if any(one["artefact"]["id"] == invoice for one in row["allocated_artefacts"])
    ]
    for receipt in paid:
        sandbox.bookkeeper.delete_receipt(receipt)
    return len(paid)


def _edit(sandbox: Sandbox, document: dict[str, Any], to: str, place: int) -> None:
    """Change the price of a line, or its description where no amount is given."""
    if place < 1:
        raise ValueError(place)
    if document["status"]["id"] == "VOID":
        raise Refusal(422, [Problem("", "The document is void", "InvalidState")])
    try:
        amount = Decimal(to)
    except ArithmeticError:
        change: dict[str, object] = {"description": to}
    else:
        if not 0 <= amount < 10**9:
            raise ValueError(to)
        change = {"unit_price": amount}
    sandbox.bookkeeper.edit_invoice(document["id"], line=place - 1, **change)
