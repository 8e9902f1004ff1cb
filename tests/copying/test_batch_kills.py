"""A batch taken away at random instants, and continued by the same command until it is done.

Several documents are under way at once: one is sent while others are marked, get their PDFs, or are
set against the invoices they credit. In the end each is in Sage once, and all that follows it is
done, once.
"""

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import Sandbox
from tests.harness import oracle
from tests.harness.fast import Machine
from tests.harness.kills import deadly, rounds

ROUNDS, TOGETHER, DOCUMENTS = 100, 25, 14
NUMBER = "Batch"
KINDS = {
    "Productive's PDFs": ("copy-invoice", "--all-uncopied", "--yes", "--no-tax"),
    "Sage's PDFs": ("copy-invoice", "--all-uncopied", "--yes", "--no-tax"),
    "new customers": ("copy-invoice", "--all-uncopied", "--yes", "--no-tax"),
    "credit notes": ("credit-note", "--all-uncopied", "--yes", "--no-pdf"),
}
CALLS = {"Productive's PDFs": 65, "Sage's PDFs": 90, "new customers": 90, "credit notes": 110}
"""About so many requests a run makes."""


def prepare(sandbox: Sandbox, machine: Machine, kind: str) -> None:
    """Leave nothing but the documents of the batch to copy."""
    for table in ("invoices", "line_items"):
        sandbox.productive.table(table).clear()
    companies = [sandbox.agency.add_company(f"Client {n} Ltd") for n in range(4)]
    for n in range(DOCUMENTS):
        key = sandbox.agency.add_invoice(
            company_id=companies[n % 4], lines=[{"unit_price": "10.00"}], number=f"{NUMBER}-{n}"
        )
        sandbox.agency.set_pdf(key, b"%PDF-1.4 of " + key.encode())
    if kind == "credit notes":
        invoices = [*sandbox.productive.invoices]
        assert machine.run(*KINDS["new customers"], "--no-pdf").code == 0
        for n, key in enumerate(invoices):
            sandbox.agency.add_invoice(
                company_id=companies[n % 4],
                lines=[{"unit_price": "10.00", "quantity": -1}],
                credits_invoice=key,
                number=f"Credit-{n}",
            )
    elif kind != "new customers":  # known ones
        first = [*sandbox.productive.invoices][:4]
        assert machine.run("copy-invoice", "--id", *first, "--no-tax", "--no-pdf").code == 0
        for key in first:
            del sandbox.productive.table("invoices")[key]


def followed_up(sandbox: Sandbox, key: str, kind: str) -> dict[str, Any]:
    """What there is of a document and what follows it."""
    invoice = sandbox.productive.invoices[key]
    rows = [
        row
        for row in (*sandbox.sage.invoices.values(), *sandbox.sage.credit_notes.values())
        if row["reference"] == f"PRD-{key}"
    ]
    told: dict[str, Any] = {
        "copies": len(rows),
        "marked": [invoice["export_id"] == row["id"] for row in rows],
    }
    if kind == "Sage's PDFs":
        kept = sandbox.productive.files.get(str(invoice["attachment_id"]), b"")
        told["PDF"] = kept.startswith(b"%PDF") and not kept.startswith(b"%PDF-1.4 of")
    elif kind == "credit notes":
        told["open"] = [Decimal(row["outstanding_amount"]) for row in rows]
    else:
        attached = [
            one["file"]
            for one in sandbox.sage.attachments.values()
            if one["file_name"].endswith(f"(PRD-{key}).pdf")
        ]
        told["PDF"] = attached == [b"%PDF-1.4 of " + key.encode()]
    return told


def expected(kind: str) -> dict[str, Any]:
    once = {"copies": 1, "marked": [True]}
    return once | ({"open": [Decimal(0)]} if kind == "credit notes" else {"PDF": True})


def wanted(sandbox: Sandbox, kind: str) -> list[str]:
    start = "Credit-" if kind == "credit notes" else f"{NUMBER}-"
    return [k for k, row in sandbox.productive.invoices.items() if row["number"].startswith(start)]


def play(sandbox: Sandbox, machine: Machine, seed: int, kind: str, _before: bytes) -> None:
    """Kill the batch once, or twice, then let it come to its end."""
    rng = random.Random(seed)
    keys, args = wanted(sandbox, kind), KINDS[kind]
    settings = machine.home / "default.toml"
    shared = [line for line in settings.read_text().splitlines() if not line.startswith("pdf")]
    pdf = "sage" if kind == "Sage's PDFs" else "productive"
    settings.write_text("\n".join([*shared, f'pdf = "{pdf}"', ""]))
    sandbox.search_lag_s = rng.choice((0, 5))
    sandbox.latency_ms = rng.choice((0, 3))
    for _ in range(rng.choice((1, 1, 2))):
        with deadly(sandbox, rng, CALLS[kind]) as know:
            run = machine.start(*args, "--json")
            know(run)
            run.end()
        sandbox.advance(rng.choice((0, 600)))
    sandbox.latency_ms = 0
    for _ in range(4):
        result = machine.run(*args, "--json")
        oracle.check_end(result)
        if result.code == 0:
            break
        sandbox.advance(600)
    assert result.code == 0, result
    found = {key: followed_up(sandbox, key, kind) for key in keys}
    assert found == dict.fromkeys(keys, expected(kind))
    assert oracle.left_open(machine.store) == (0, 0)
    assert oracle.doubled_customers(sandbox) == set()
    assert sandbox.concurrent_posts == 0
    assert machine.run("history", "--verify").code == 0


def test_a_batch_killed_at_any_instant_is_continued_until_each_document_is_done_once(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    rounds(sandbox, tmp_path / "a", range(len(KINDS)), [*KINDS], prepare, play)


@pytest.mark.torture
@pytest.mark.parametrize("first", range(10, 10 + ROUNDS, TOGETHER))
def test_100_killed_batches_do_each_document_once(
    sandbox: Sandbox, tmp_path: Path, first: int
) -> None:
    rounds(sandbox, tmp_path / "a", range(first, first + TOGETHER), [*KINDS], prepare, play)
