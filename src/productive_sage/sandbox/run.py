"""`psage sandbox`: both services, kept running until Ctrl-C."""

from __future__ import annotations

import shlex
import sys
import tempfile
import threading
from contextlib import suppress
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
        print("Ctrl-C stops the sandbox and forgets this set-up", file=sys.stderr)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        sandbox.stop()
    return 0
