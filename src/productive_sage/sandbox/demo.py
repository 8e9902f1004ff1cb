"""`psage demo`: the real commands against the sandbox, each shown and each checked."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from .handle import Sandbox
from .run import environment
from .seed import ORGANIZATION_ID
from .signin import CLIENT_ID

_LIMIT_S = 30
"""No command of the demo takes longer; one that does is broken."""
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


class BrokenPromise(Exception):
    """Something the demo promises did not happen."""


class Demo:
    """One walk through psage; every step runs a command and checks what it did to the books."""

    def __init__(self, sandbox: Sandbox, folder: Path, say: Callable[[str], None]) -> None:
        """Prepare a home of its own, without the person's settings or keyring."""
        self._sandbox = sandbox
        self._say = say
        kept = {name: v for name, v in os.environ.items() if not name.startswith("PSAGE_")}
        self._environment = {**kept, **environment(sandbox, folder), "NO_COLOR": "1"}
        self.steps: list[dict[str, Any]] = []

    def walk(self) -> None:
        """Run all steps; raises BrokenPromise at the first that is not as promised."""
        self._connect()
        self._copy()
        self._again()
        self._bad_day()
        self._batch()
        self._credit()
        self._payments()

    # -- the steps --------------------------------------------------------------------------

    def _connect(self) -> None:
        self._title("Sign in to both services, and say where invoices are booked")
        self._psage("connect", "productive", "--organization-id", ORGANIZATION_ID)
        self._psage(
            *("connect", "sage", "--client-id", CLIENT_ID, "--no-browser", "--port", _free_port()),
            *("--business", "Harbour & Pine Ltd"),
            browser=True,
        )
        self._psage("configure", "--default-ledger", "4010", "--map-item", "Design=DESIGN")

    def _copy(self) -> None:
        self._title("Copy an invoice: first look, then do it")
        self._psage("copy-invoice", "123", "--tax-rate", "GB_STANDARD", "--dry-run")
        self._promise(not self._written(), "a dry run sends nothing")
        self._psage("copy-invoice", "123", "--tax-rate", "GB_STANDARD")
        copy = self._only_copy("PRD-123")
        net = self._net("123")
        self._promise(Decimal(copy["net_amount"]) == net, f"the copy's net is Productive's, {net}")

    def _again(self) -> None:
        self._title("Try to copy it twice, then change it and bring the copy up to date")
        self._psage("copy-invoice", "123", exit_code=4)
        self._psage("copy-invoice", "123", "--update-existing")
        self._promise(not self._written(), "an unchanged invoice is not written again")
        line = next(
            key
            for key, row in self._sandbox.productive.line_items.items()
            if row["invoice_id"] == "123"
        )
        self._sandbox.agency.edit_line(line, quantity="12")
        self._say("(the agency changes the first line to 12 hours)")
        self._psage("copy-invoice", "123", "--update-existing")
        copy = self._only_copy("PRD-123")
        net = self._net("123")
        self._promise(Decimal(copy["net_amount"]) == net, f"the copy follows: {net}")

    def _bad_day(self) -> None:
        self._title("Sage does the work, but its answer is lost and it forgets the key")
        self._sandbox.remember_idempotency = False
        self._sandbox.fault("cut_after", service="sage", method="POST", path="/sales_invoices")
        self._psage("copy-invoice", "124", "--tax-rate", "GB_STANDARD")
        self._only_copy("PRD-124")
        self._say("(the ledger file is deleted)")
        home = Path(self._environment["PSAGE_HOME"])
        for file in home.glob("default.db*"):
            file.unlink()
        self._psage("copy-invoice", "124")
        self._only_copy("PRD-124")

    def _batch(self) -> None:
        self._title("Several at once: one in EUR, one with 120 lines, and a draft")
        self._psage("copy-invoice", "101", "102", "103", "104", "105", "--no-tax", exit_code=6)
        for invoice in ("101", "103", "104", "105"):
            copy = self._only_copy(f"PRD-{invoice}")
            net = self._net(invoice)
            self._promise(
                Decimal(copy["net_amount"]) == net, f"invoice {invoice}: {net} on both sides"
            )

    def _credit(self) -> None:
        self._title("Credit an invoice: the credit note is set against its copy")
        self._psage("copy-invoice", "111", "--tax-rate", "GB_STANDARD")
        self._psage("credit-note", "110")
        copy = self._only_copy("PRD-111")
        self._promise(Decimal(copy["outstanding_amount"]) == 0, "nothing of the invoice is open")

    def _payments(self) -> None:
        self._title("A customer pays in Sage, in two parts; one of them is a mistake")
        self._psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")
        copy = self._only_copy("PRD-101")["id"]
        keeper = self._sandbox.bookkeeper
        keeper.pay(copy, "100.00", "2026-03-02", "BACS 1")
        mistake = keeper.pay(copy, "50.00", "2026-03-09", "BACS 2")
        self._psage("sync-payments")
        self._promise(self._paid("101") == ["100.00", "50.00"], "Productive has both payments")
        keeper.delete_receipt(mistake)
        self._say("(the bookkeeper deletes the second receipt)")
        self._psage("sync-payments")
        self._promise(self._paid("101") == ["100.00"], "Productive has the first one alone")
        self._psage("sync-payments")
        self._promise(not self._written(), "a second run writes nothing")

    def _paid(self, invoice: str) -> list[str]:
        payments = self._sandbox.productive.payments.values()
        return [
            f"{Decimal(row['amount']) / 100:.2f}"
            for row in payments
            if row["invoice_id"] == invoice
        ]

    # -- tools ------------------------------------------------------------------------------

    def _psage(self, *args: str, exit_code: int = 0, browser: bool = False) -> None:
        self._sandbox.clear_calls()
        self._say(f"\n$ psage {shlex.join(args)}")
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - our own commands
            [sys.executable, "-m", "productive_sage", *args],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        overtime = threading.Timer(_LIMIT_S, process.kill)
        overtime.start()
        stdout = process.stdout
        if stdout is None:
            raise BrokenPromise("the command could not be started")
        for line in stdout:
            self._say(f"  {line.rstrip()}")
            if browser and line.startswith("http"):
                threading.Thread(target=_allow, args=(line.strip(),), daemon=True).start()
        code = process.wait()
        overtime.cancel()
        self.steps.append(
            {"command": ["psage", *args], "exit_code": code, "seconds": time.monotonic() - began}
        )
        self._promise(code == exit_code, f"exit code {exit_code}")

    def _net(self, invoice: str) -> Decimal:
        return Decimal(self._sandbox.productive.invoices[invoice]["amount"]) / 100

    def _written(self) -> list[str]:
        return [
            f"{call.method} {call.path}"
            for call in self._sandbox.calls()
            if call.method in _WRITES and call.service in {"sage", "productive"}
        ]

    def _only_copy(self, reference: str) -> dict[str, Any]:
        found = self._sandbox.sage.invoice_with_reference(reference)
        self._promise(len(found) == 1, f"Sage holds {reference} once")
        return found[0]

    def _promise(self, kept: bool, what: str) -> None:  # noqa: FBT001 - the promise itself
        if not kept:
            raise BrokenPromise(what)
        self._say(f"  ✓ {what}")

    def _title(self, text: str) -> None:
        self._say(f"\n== {text}")


def demonstrate(*, as_json: bool, out: IO[str] | None = None) -> int:
    """Walk through the main job. Gives exit code 0, or 1 where a promise was broken."""
    out = out or sys.stdout
    broken = ""
    shown: list[str] = []

    def say(text: str) -> None:
        shown.append(text)
        if not as_json:
            print(text, file=out, flush=True)

    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="psage-demo-") as folder,
        Sandbox(limits=10) as sandbox,
    ):
        demo = Demo(sandbox, Path(folder), say)
        try:
            demo.walk()
        except BrokenPromise as error:
            broken = str(error)
    seconds = round(time.monotonic() - began, 1)
    code = 1 if broken else 0
    if as_json:
        report = {"command": "demo", "ok": not broken, "exit_code": code, "dry_run": False}
        problem: dict[str, Any] = {
            "code": "broken_promise",
            "message": broken,
            "hint": None,
            "details": {},
        }
        extra = {"error": problem, "output": shown} if broken else {}
        print(json.dumps({**report, "seconds": seconds, "steps": demo.steps, **extra}), file=out)
    elif broken:
        print(f"\nerror: not as promised: {broken}", file=sys.stderr)
    else:
        say(f"\nEverything as promised, in {seconds} s. Nothing is left behind.")
    return code


def _allow(address: str) -> None:
    """Be the browser of a person who chooses Allow."""
    # A proxy in the environment is not for this machine's own addresses.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address}&consent=allow", timeout=10):
        pass


def _free_port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
