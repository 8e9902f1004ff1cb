"""Hold 10,000 documents of both books side by side: calls for each side, memory, and time.

A copied invoice and a copied credit note are made by psage and multiplied in the sandbox and in
psage's records; a third of the invoices are paid, and in some a difference is planted. Then
`psage reconcile` runs as a program of its own. Ends with 1 where it takes more than it may.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from productive_sage import cli
from productive_sage.sandbox import ORGANIZATION_ID, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.sandbox.books import Books
from productive_sage.sandbox.run import environment
from productive_sage.signin.vault import ProductiveSignIn, Vault
from tests.conftest import sage_sign_in
from tests.harness.multiply import Plan, World, quick_settlements

DOCUMENTS, NOTES = 10_000, 700
CALLS, MEGABYTES = 60, 150
MISSING, UNPAID = 120, 450
"""Never copied; paid in Sage alone, more than are looked at one by one."""


def prepare(sandbox: Sandbox, folder: Path) -> None:
    """Sign in, copy one document of each kind, and multiply them."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    account = sandbox.bookkeeper.ledger_account_id(4010)
    (home / "default.toml").write_text(
        f'default_ledger_account = "{account}"\nsync_payments = true\n'
        "sync_payments_from = 2026-01-01\n"
    )
    vault = Vault("default")
    vault.save(ProductiveSignIn(PRODUCTIVE_TOKEN, ORGANIZATION_ID, "Harbour & Pine"))
    vault.save(sage_sign_in(sandbox))
    for key in [*sandbox.productive.invoices]:
        sandbox.agency.delete_invoice(key)
    sandbox.productive.table("deleted_items").clear()
    company = sandbox.agency.add_company("Client Ltd")
    lines = [{"unit_price": "100.00"}, {"unit_price": "20.50", "description": "Workshop, day two"}]
    invoice = sandbox.agency.add_invoice(company_id=company, lines=lines, number="A-0")
    credit = [{**line, "quantity": -1} for line in lines]
    note = sandbox.agency.add_invoice(
        company_id=company, lines=credit, number="N-0", credits_invoice=invoice
    )
    said = ("--no-input", "--quiet", "--no-pdf")
    if cli.main(["copy-invoice", "--id", invoice, "--tax-rate", "GB_STANDARD", *said]):
        sys.exit("the invoice was not copied")
    if cli.main(["credit-note", "--id", note, *said]):
        sys.exit("the credit note was not copied")
    World(sandbox, home, Plan(DOCUMENTS, NOTES, MISSING, UNPAID)).fill(invoice, note)


def main() -> int:
    """Run it, print what it took, and judge."""
    with tempfile.TemporaryDirectory(prefix="psage-bench-") as name, Sandbox(limits=1000) as both:
        os.environ |= environment(both, Path(name))
        prepare(both, Path(name))
        Books.settlements = quick_settlements(both.sage.books().content)
        both.clear_calls()
        command = [sys.executable, "-m", "productive_sage", "reconcile", "--json"]
        began = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        wall = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        calls = {side: len(both.calls(side, "GET")) for side in ("productive", "sage")}
    answer = json.loads(done.stdout)
    found = dict(Counter(one["code"] for one in answer["findings"]))
    expected = {"payment_missing": UNPAID, "open_in_productive": UNPAID, "never_copied": MISSING}
    peak = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
    own = used.ru_utime + used.ru_stime
    print(f"{DOCUMENTS} documents, exit {done.returncode}, {found}")
    print(f"calls: {calls} of {CALLS}; {peak:.0f} MB of {MEGABYTES}")
    print(f"{own:.1f} s of psage's own, {wall:.1f} s with the sandbox's")
    is_right = found == expected and all(one["proven"] for one in answer["totals"])
    return int(not is_right or max(calls.values()) > CALLS or peak > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
