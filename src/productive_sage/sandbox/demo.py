"""`psage demo`: a month of an agency with the real commands, each shown and each checked."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from . import screen
from .handle import Sandbox
from .run import environment
from .seed import ORGANIZATION_ID
from .signin import CLIENT_ID

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_TAX = ("--tax-rate", "GB_STANDARD")
_END = """\
That was psage, on imitations of both services; nothing is left behind.
To try it yourself:  psage sandbox    and paste what it prints in another window
For your own books:  psage connect    signs in to Productive and Sage
"""


class BrokenPromise(Exception):
    """Something the demo promises did not happen."""


@dataclass(frozen=True)
class Stage:
    """Where the demo is shown."""

    say: Callable[[str], None]
    columns: int = 0
    """Of the terminal; 0 is none."""
    is_coloured: bool = False
    shows_proof: bool = False
    """Exit codes, requests and what was checked, after each command."""

    def styled(self, style: str, text: str) -> str:
        """The text in a style of the terminal, where there is colour."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.is_coloured else text


class Demo:
    """One walk through psage; every step runs a command and checks what it did to the books."""

    def __init__(self, sandbox: Sandbox, folder: Path, stage: Stage) -> None:
        """Prepare a home of its own, without the person's settings or keyring."""
        self._sandbox = sandbox
        self._stage = stage
        kept = {name: v for name, v in os.environ.items() if not name.startswith("PSAGE_")}
        for name in ("COLUMNS", "LINES", "FORCE_COLOR"):
            kept.pop(name, None)
        self._environment = {**kept, **environment(sandbox, folder)}
        if not stage.is_coloured:
            self._environment["NO_COLOR"] = "1"
        self.steps: list[dict[str, Any]] = []

    def walk(self) -> None:
        """Run all steps; raises BrokenPromise at the first that is not as promised."""
        self._connect()
        self._copy()
        self._again()
        self._bad_day()
        self._credit()
        self._payments()

    # -- the steps --------------------------------------------------------------------------

    def _connect(self) -> None:
        self._tell("You sign in to both services once, and say where sales are booked.")
        self._psage(
            *("connect", "productive", "--organization-id", ORGANIZATION_ID),
            shown="connect productive",
        )
        self._psage(
            *("connect", "sage", "--client-id", CLIENT_ID, "--no-browser", "--port", _free_port()),
            *("--business", "Harbour & Pine Ltd"),
            shown="connect sage",
            is_signing_in=True,
        )
        self._psage("configure", "--default-ledger", "4010")
        self._psage("configure", "--sync-payments", "--sync-payments-from", "2026-01-01")

    def _copy(self) -> None:
        self._tell("An invoice is ready. You look at what would be booked; nothing is sent yet.")
        self._psage("copy-invoice", "INV-2026-023", *_TAX, "--dry-run")
        self._promise(not self._written(), "a dry run sends nothing")
        self._tell("It is right, so you copy it, and another one with it.")
        self._psage("copy-invoice", "INV-2026-023", "INV-2026-011", *_TAX)
        self._follows("123")
        self._follows("111")

    def _again(self) -> None:
        self._tell("A colleague does the same an hour later. Nothing is booked twice.")
        self._psage("copy-invoice", "INV-2026-023", exit_code=4)
        self._promise(not self._written(), "nothing is sent")

    def _bad_day(self) -> None:
        self._tell("A bad day: Sage books the next invoice, but its answer gets lost on the way.")
        self._sandbox.remember_idempotency = False
        self._sandbox.fault("cut_after", service="sage", method="POST", path="/sales_invoices")
        self._psage("copy-invoice", "INV-2026-003", *_TAX, "--no-pdf")
        self._follows("103")
        self._tell(
            "Then your computer breaks, and psage's records with it. The copy is found again."
        )
        home = Path(self._environment["PSAGE_HOME"])
        for file in home.glob("default.db*"):
            file.unlink()
        self._psage("copy-invoice", "INV-2026-003", "--no-pdf")
        self._follows("103")

    def _credit(self) -> None:
        self._tell("One of the invoices was wrong. Its credit note is set against it.")
        self._psage("credit-note", "CN-2026-001")
        copy = self._only_copy("PRD-111")
        self._promise(Decimal(copy["outstanding_amount"]) == 0, "nothing of the invoice is open")

    def _payments(self) -> None:
        self._tell("A customer pays. You book it in Sage as ever, and Productive learns of it.")
        copy = self._only_copy("PRD-103")["id"]
        self._sandbox.bookkeeper.pay(copy, "1000.00", "2026-03-02", "BACS 1")
        self._psage("sync-payments")
        self._promise(self._paid("103") == ["1000.00"], "Productive has the payment")

    # -- tools ------------------------------------------------------------------------------

    def _psage(
        self, *args: str, exit_code: int = 0, shown: str = "", is_signing_in: bool = False
    ) -> None:
        """Run a command; `shown` is what is seen of it and of its answer without the proof."""
        stage = self._stage
        self._sandbox.clear_calls()
        words = shlex.join(args) if stage.shows_proof or not shown else shown
        stage.say(stage.styled("1;36", f"$ psage {words}"))

        def see(line: str) -> None:
            if is_signing_in and line.strip().startswith("http"):
                threading.Thread(target=_allow, args=(line.strip(),), daemon=True).start()
            if stage.shows_proof or _is_of_the_story(line, is_short=bool(shown)):
                stage.say(f"  {line}".rstrip())

        began = time.monotonic()
        # An address is folded on a terminal, and the sign-in needs the whole of it.
        columns = 0 if is_signing_in else stage.columns - 2
        code, _ = screen.run(args, self._environment, columns=max(columns, 0), see=see)
        self.steps.append(
            {"command": ["psage", *args], "exit_code": code, "seconds": time.monotonic() - began}
        )
        if stage.shows_proof:
            for written in self._written():
                stage.say(stage.styled("2", f"  > {written}"))
        self._promise(code == exit_code, f"exit code {exit_code}")

    def _paid(self, invoice: str) -> list[str]:
        payments = self._sandbox.productive.payments.values()
        return [
            f"{Decimal(row['amount']) / 100:.2f}"
            for row in payments
            if row["invoice_id"] == invoice
        ]

    def _follows(self, invoice: str) -> None:
        copy = self._only_copy(f"PRD-{invoice}")
        net = Decimal(self._sandbox.productive.invoices[invoice]["amount"]) / 100
        self._promise(Decimal(copy["net_amount"]) == net, f"the copy's net is Productive's, {net}")

    def _written(self) -> list[str]:
        return [
            f"{call.method} {call.path} {call.body.decode('utf-8', 'replace')}"
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
        if self._stage.shows_proof:
            self._stage.say(self._stage.styled("2", f"  proven: {what}"))

    def _tell(self, text: str) -> None:
        self._stage.say("")
        self._stage.say(self._stage.styled("1", text))


def demonstrate(*, as_json: bool, shows_proof: bool = False, out: IO[str] | None = None) -> int:
    """Walk through the main job. Gives exit code 0, or 1 where a promise was broken."""
    out = out or sys.stdout
    broken = ""
    shown: list[str] = []

    def say(text: str) -> None:
        shown.append(text)
        if not as_json:
            print(text, file=out, flush=True)

    is_terminal = out.isatty() and not as_json
    stage = Stage(
        say,
        columns=shutil.get_terminal_size().columns if is_terminal else 0,
        is_coloured=is_terminal and is_coloured(os.environ),
        shows_proof=shows_proof,
    )
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="psage-demo-") as folder,
        Sandbox(limits=10) as sandbox,
    ):
        demo = Demo(sandbox, Path(folder), stage)
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
        say(f"\nEverything as promised, in {seconds} s.\n{_END}")
    return code


def is_coloured(variables: Mapping[str, str]) -> bool:
    """Whether a terminal is to be in colour."""
    return not variables.get("NO_COLOR") and variables.get("TERM") != "dumb"


def _is_of_the_story(line: str, *, is_short: bool) -> bool:
    """Whether a line is shown without the proof: no address, and of a short answer its gist."""
    if is_short:
        return line.startswith("Connected")
    # Nobody could open an address of this Sage, and most are folded.
    return bool(line.strip()) and not re.match(r"(?:\x1b\S*)?S\w+-\d+: http", line)


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
