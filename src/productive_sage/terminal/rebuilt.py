"""What `rebuild` found: for people, and for scripts."""

from dataclasses import asdict
from typing import Any

from productive_sage import money
from productive_sage.kinds import INVOICE
from productive_sage.rebuild import FoundPayment, Rebuilt
from productive_sage.terminal import render


def show(found: Rebuilt, *, quiet: bool) -> None:
    """Print each record that was found, and how many; on stderr what was not taken."""
    if not quiet:
        for copy in found.copies:
            name = f"`{copy.number}`" if copy.number else copy.productive_id
            render.line(f"{copy.sage_number} is the copy of {copy.kind.name} {name}")
        for one in found.payments:
            said = money.said(one.payment.amount, one.currency)
            name = f"`{one.number}`" if one.number else one.productive_id
            render.line(f"{said} of {_day(one)} on invoice {name} is psage's payment")
        render.line(_sum(found))
    for notice in found.notices:
        render.warning(notice.message)


def _sum(found: Rebuilt) -> str:
    if not found.is_anything:
        return "psage's records lack nothing that carries its marker"
    invoices = sum(one.kind is INVOICE for one in found.copies)
    counts = (
        (invoices, "copies of invoices", "copy of an invoice"),
        (len(found.copies) - invoices, "copies of credit notes", "copy of a credit note"),
        (len(found.payments), "payments", "payment"),
        (found.customers, "customers", "customer"),
    )
    said = [f"{n} {one if n == 1 else many}" for n, many, one in counts if n]
    return f"Found: {', '.join(said)}"


def _day(one: FoundPayment) -> Any:
    return one.payment.paid_on or one.payment.written_off_on


def as_json(found: Rebuilt) -> dict[str, Any]:
    """The same for a script."""
    return {
        "copies": [
            {
                "kind": one.kind.code,
                "productive_id": one.productive_id,
                "number": one.number,
                "sage_id": one.sage_id,
                "sage_number": one.sage_number,
            }
            for one in found.copies
        ],
        "payments": [
            {
                "productive_id": one.productive_id,
                "number": one.number,
                "productive_payment_id": one.payment.id,
                "date": str(_day(one)),
                "amount": money.text(one.payment.amount),
                "currency": one.currency,
            }
            for one in found.payments
        ],
        "customers": found.customers,
        "warnings": [asdict(one) for one in found.notices],
    }
