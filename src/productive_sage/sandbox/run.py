"""`psage sandbox`: both services, kept running until Ctrl-C."""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
import threading
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path

from .handle import Sandbox
from .keyring import FILE_VARIABLE
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
    """Run until Ctrl-C; print what to set in another terminal. Gives the exit code."""
    try:
        sandbox = Sandbox(port=port, latency_ms=latency_ms, state=state).start()
    except (OSError, ValueError, KeyError) as error:
        print(
            f"error: the sandbox cannot start on ports {port} to {port + 2}: {error}\n\n"
            "hint: choose others with `--port N`, or move the `--state` file away",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="psage-sandbox-") as folder:
        for name, value in environment(sandbox, Path(folder)).items():
            print(f"export {name}={shlex.quote(value)}")
        # The program itself may not be on the path: in a clone it is in the virtual environment.
        own = Path(sys.argv[0]).absolute()
        psage = shlex.quote(str(own)) if own.name == "psage" else "psage"
        print(f"{psage} connect productive --organization-id {ORGANIZATION_ID}")
        print(f"{psage} connect sage --client-id {CLIENT_ID} --business 'Harbour & Pine Ltd'")
        print(f"{psage} configure --default-ledger 4010")
        print(f"{psage} copy-invoice 123", flush=True)
        print(f"{_ACTS}\nCtrl-C stops the sandbox and forgets this set-up", file=sys.stderr)
        if hasattr(signal, "SIGTTIN"):  # in the background of a shell, reading would stop it
            signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        with suppress(KeyboardInterrupt):
            with suppress(OSError):
                for line in sys.stdin:
                    print(act(sandbox, line), file=sys.stderr, flush=True)
            threading.Event().wait()
        sandbox.stop()
    return 0


_ACTS = """\
Type here what the bookkeeper does in Sage, for `psage sync-payments`:
  pay SI-1 100.00 [2026-03-01]   a receipt for an invoice
  unpay SI-1                     its receipts are deleted"""


def act(sandbox: Sandbox, line: str) -> str:
    """Do what a line says a bookkeeper does; give what came of it."""
    try:
        words = shlex.split(line)
        number = words[1]
        (invoice,) = [
            key for key, row in sandbox.sage.invoices.items() if number == row["displayed_as"]
        ]
        match words:
            case ["pay", _, amount, *day] if len(day) < 2 and 0 < Decimal(amount) < 10**9:
                on = date.fromisoformat(day[0]).isoformat() if day else None
                receipt = sandbox.bookkeeper.pay(invoice, amount, on, "typed here")
                return f"receipt {receipt} is booked"
            case ["unpay", _]:
                paid = [
                    key
                    for key, row in sandbox.sage.receipts.items()
                    if any(one["artefact"]["id"] == invoice for one in row["allocated_artefacts"])
                ]
                for receipt in paid:
                    sandbox.bookkeeper.delete_receipt(receipt)
                return f"receipts deleted: {len(paid)}"
    except (ValueError, IndexError, ArithmeticError):
        pass
    return f"that is none of these, or there is no such invoice:\n{_ACTS}"
