"""Machines of their own, on which psage starts at once.

A run of the real program takes half a second before it does anything, too long for hundreds of
kills and races. Here it is forked from a process that has loaded everything: `cli.main`, with the
environment, home and keyring of its machine.
"""

import importlib
import io
import multiprocessing
import os
import pkgutil
import ssl
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import keyring
import pytest

import productive_sage
from productive_sage import cli
from productive_sage.http.timing import Timing
from productive_sage.sandbox import ORGANIZATION_ID, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.sandbox.keyring import SandboxKeyring
from productive_sage.sandbox.run import environment
from productive_sage.signin.vault import ProductiveSignIn, Vault
from tests.conftest import Result, sage_sign_in

HURRY = 50
"""Pauses are so many times shorter."""
_PATIENCE_S = 120

for _module in pkgutil.walk_packages(productive_sage.__path__, "productive_sage."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)
_CONTEXT = ssl.create_default_context()


@cache
def _forkserver() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _main(args: tuple[str, ...], environment: dict[str, str], folder: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    keyring.core._keyring_backend = None  # the one named by the environment
    ssl.create_default_context = lambda *args, **kwargs: _CONTEXT
    out = io.TextIOWrapper((folder / "out").open("wb", buffering=0), "utf-8", write_through=True)
    err = io.TextIOWrapper((folder / "err").open("wb", buffering=0), "utf-8", write_through=True)
    sys.stdout, sys.stderr = out, err
    os._exit(cli.main(list(args), Timing(sleep=lambda seconds: time.sleep(seconds / HURRY))))


class Run:
    """One run of psage in a process of its own; leave it alone, kill it, wait for its end."""

    def __init__(self, args: tuple[str, ...], environment: Mapping[str, str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        for name in ("out", "err"):
            (folder / name).write_text("")
        self._process: ForkServerProcess = _forkserver().Process(
            target=_main, args=(args, dict(environment), folder), daemon=True
        )
        self._process.start()

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """Take it away as `kill -9` does, or a power cut."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def end(self) -> Result:
        """Wait for its end; the code is minus the signal where one killed it."""
        self._process.join(_PATIENCE_S)
        code = self._process.exitcode
        assert code is not None, "it hangs"
        out, err = (
            (self._folder / name).read_text(encoding="utf-8", errors="replace")
            for name in ("out", "err")
        )
        return Result(code, out, err)


class Machine:
    """One machine: a home and a keyring that nothing else uses."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        """Sign in, and set up: sales go to ledger account 4010, payments come back."""
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True, mode=0o700)
        self.store = self.home / "default.db"
        self._environment = environment(sandbox, folder)
        account = sandbox.bookkeeper.ledger_account_id(4010)
        (self.home / "default.toml").write_text(
            f'default_ledger_account = "{account}"\n'
            "sage_calls_per_second = 100\nsync_payments = true\nsync_payments_from = 2026-01-01\n"
        )
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._environment.items():
                patch.setenv(name, value)
            keyring.set_keyring(SandboxKeyring())
            vault = Vault("default")
            vault.save(ProductiveSignIn(PRODUCTIVE_TOKEN, ORGANIZATION_ID, "Harbour & Pine"))
            vault.save(sage_sign_in(sandbox))

    def start(self, *args: str) -> Run:
        """Start psage; it goes on by itself."""
        return Run(args, self._environment, self.folder / "streams")

    def run(self, *args: str) -> Result:
        """Run psage to its end."""
        return self.start(*args).end()

    def forget(self) -> None:
        """Lose the records."""
        for file in self.home.glob("default.db*"):
            file.unlink()
