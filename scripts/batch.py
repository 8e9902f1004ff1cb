"""Hold a month end against the bare POSTs: how long a batch takes, and whether limits are kept.

Both services run in a process of their own and answer late. A bare loop sends as many invoices one
after the other; then `psage copy-invoice --all-uncopied` copies as many as a program of its own:
without PDFs, with Productive's PDFs attached in Sage, and with Sage's put into Productive. The
limits are enforced all the while, Sage's with its day made a second. Ends with 1 where a batch
takes longer than it may, a call is refused, or two POSTs to one resource are under way at once.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent))

from productive_sage import cli
from productive_sage.sandbox import ORGANIZATION_ID, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.sandbox.pdf import one_page
from productive_sage.sandbox.run import environment
from productive_sage.signin.vault import ProductiveSignIn, Vault
from tests.conftest import sage_sign_in
from tests.harness.oracle import Snapshot

COMPANIES, PDF_BYTES = 8, 60_000
MODES = {"without PDFs": 1.05, "Productive's PDFs": 1.15, "Sage's PDFs": 1.15}
"""How long a batch may take, as a multiple of the bare POSTs."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run took, and what the services say of it."""

    bare_s: float
    psage_s: float
    cpu_s: float
    code: int
    made: int
    calls: int
    refused: int
    at_once: int
    """The most POSTs under way at once to one resource."""

    @property
    def ratio(self) -> float:
        """How many times the bare POSTs a batch takes."""
        return self.psage_s / self.bare_s


# --- the services, in a process of their own


def serve(orders: Connection, folder: Path, count: int, latency_ms: float) -> None:
    """Be both services with so many invoices to copy, and obey until the end."""
    with Sandbox() as both:
        os.environ |= environment(both, folder)
        _fill(both, folder, count)
        (example,) = both.calls("sage", "POST", "/sales_invoices")[:1]
        at_first = Snapshot(both)
        both.latency_ms, both.sage_day_s = latency_ms, 1
        orders.send(dict(os.environ))
        for order in iter(orders.recv, "end"):
            if order == "begin":
                at_first.restore(both)
                both.posts_at_once.clear()
                Vault("default").save(sage_sign_in(both))
                orders.send(None)
            elif order == "bare":
                sign_in = Vault("default").sage()
                proof = f"Bearer {sign_in.access_token}"
                headers = {"Authorization": proof, "X-Business": sign_in.business_id}
                headers["Content-Type"] = "application/json"
                orders.send((both.sage_url, headers, json.loads(example.body)))
            else:
                calls = both.calls()
                refused = sum(call.status in (409, 429) for call in calls)
                made = len(both.calls("sage", "POST", "/sales_invoices"))
                most = max(both.posts_at_once.values(), default=0)
                orders.send((made, len(calls), refused, most))


def _fill(both: Sandbox, folder: Path, count: int) -> None:
    """Sign in, and leave so many invoices of known customers to copy."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    account = both.bookkeeper.ledger_account_id(4010)
    (home / "default.toml").write_text(f'default_ledger_account = "{account}"\n')
    vault = Vault("default")
    vault.save(ProductiveSignIn(PRODUCTIVE_TOKEN, ORGANIZATION_ID, "Harbour & Pine"))
    vault.save(sage_sign_in(both))
    companies = [both.agency.add_company(f"Client {n} Ltd") for n in range(COMPANIES)]
    lines: list[dict[str, Any]] = [
        {"unit_price": "100.00"},
        {"unit_price": "20.50", "description": "Workshop, day two"},
    ]
    first = [both.agency.add_invoice(company_id=one, lines=lines) for one in companies]
    said = ("--no-input", "--quiet", "--no-pdf", "--no-tax")
    if cli.main(["copy-invoice", "--id", *first, *said]):
        sys.exit("the first invoices were not copied")
    for table in ("invoices", "line_items"):
        both.productive.table(table).clear()
    for n in range(count):
        key = both.agency.add_invoice(
            company_id=companies[n % COMPANIES], lines=lines, number=f"B-{n}"
        )
        both.agency.set_pdf(key, one_page(["Harbour & Pine", key]) + b"%" * PDF_BYTES)


# --- what is measured


def bare(url: str, headers: dict[str, str], body: dict[str, Any], count: int) -> float:
    """Seconds of so many POSTs of an invoice, one after the other on one connection."""
    service = http.client.HTTPConnection(urlsplit(url).netloc)
    del body["sales_invoice"]["idempotency_id"]
    began = time.perf_counter()
    for n in range(count):
        body["sales_invoice"]["reference"] = f"bare {n}"
        content = json.dumps(body)
        service.request("POST", "/v3.1/sales_invoices", content, headers)
        answer = service.getresponse()
        answer.read()
        if answer.status != 201:
            sys.exit(f"a bare POST was answered {answer.status}")
    return time.perf_counter() - began


def measure(orders: Connection, surroundings: dict[str, str], mode: str, count: int) -> Figures:
    """One batch beside the bare loop of the same run."""
    orders.send("begin")
    orders.recv()
    orders.send("bare")
    bare_s = bare(*orders.recv(), count)
    orders.send("begin")
    orders.recv()
    folder = Path(surroundings["PSAGE_HOME"])
    kept = {file: file.read_bytes() for file in folder.glob("default.*")}
    settings = folder / "default.toml"
    if mode == "Sage's PDFs":
        settings.write_text(settings.read_text() + 'pdf = "sage"\n')
    said = ["--no-pdf"] if mode == "without PDFs" else []
    command = [sys.executable, "-m", "productive_sage", "copy-invoice", "--all-uncopied", "--yes"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(  # noqa: S603 -- our own
        [*command, "--no-tax", "--json", *said],
        check=False,
        capture_output=True,
        env=surroundings,
        text=True,
    )
    psage_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:])
    orders.send("figures")
    figures = Figures(bare_s, psage_s, cpu_s, done.returncode, *orders.recv())
    for file in folder.glob("default.*"):
        file.unlink()
    for file, content in kept.items():
        file.write_bytes(content)
    return figures


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="invoices")
    parser.add_argument("--latency", type=float, default=300, help="milliseconds of an answer")
    parser.add_argument("--mode", choices=MODES, action="append", help="measure these alone")
    given = parser.parse_args()
    here, there = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory(prefix="psage-bench-") as name:
        services = multiprocessing.get_context("spawn").Process(
            target=serve, args=(there, Path(name), given.count, given.latency), daemon=True
        )
        services.start()
        surroundings = here.recv()
        is_right = True
        print(f"{given.count} invoices, each answer {given.latency:.0f} ms late")
        for mode in given.mode or MODES:
            one = measure(here, surroundings, mode, given.count)
            print(
                f"{mode:<18} bare {one.bare_s:6.1f} s  psage {one.psage_s:6.1f} s  "
                f"{one.ratio:.3f} of {MODES[mode]}  own {one.cpu_s:4.1f} s  {one.calls} calls, "
                f"{one.refused} refused, {one.at_once} POST at once",
                flush=True,
            )
            is_right &= one.ratio <= MODES[mode] and not one.refused and one.at_once == 1
            is_right &= (one.code, one.made) == (0, given.count)
        here.send("end")
        services.join(10)
    return int(not is_right)


if __name__ == "__main__":
    sys.exit(main())
