"""What a sync of payments did: tables and JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from productive_sage.terminal import adopted
from productive_sage.terminal.render import (
    as_one,
    err,
    error,
    fit,
    fits,
    fitted,
    line,
    named,
    out,
    runnable,
    say,
    separated,
    shown_amount,
    warning,
)
from productive_sage.text import bare, counted

if TYPE_CHECKING:  # rich is loaded where something is shown with it: JSON and `status` go without
    from rich.table import Table

    from productive_sage.payments.records import PaymentChange, Synced


def as_json(found: "Synced") -> dict[str, Any]:
    """The lists of the public contract, and what else the run has to say."""
    content: dict[str, Any] = {
        "created": [_change_as_json(change) for change in found.created],
        "updated": [_change_as_json(change) for change in found.updated],
        "deleted": [_change_as_json(change) for change in found.deleted],
        "skipped": [
            {
                "productive_invoice_id": one.productive_id,
                "number": one.number or None,
                "code": one.code,
                "message": one.message,
                "next": bare(str(named(one.next_step))),
            }
            for one in found.skipped
        ],
        "failed": [
            {
                "productive_invoice_id": one.productive_id,
                "number": one.number or None,
                **one.error.as_json(),
            }
            for one in found.failed
        ],
        "adopted": adopted.as_json(found.adopted),
        "checked_invoices": found.checked,
        "left_alone": found.left_alone,
        "since": found.since and found.since.isoformat(),
        "until": found.until.isoformat(),
        "warnings": [asdict(notice) for notice in found.notices],
    }
    if found.failed:
        errors = [one.error for one in found.failed]
        content["error"] = as_one(errors, found.checked).as_json()
    return content


def _change_as_json(change: "PaymentChange") -> dict[str, Any]:
    return {
        "productive_invoice_id": change.productive_id,
        "number": change.number or None,
        "productive_payment_id": change.payment_id,
        "sage_payment_id": change.source_id,
        "date": change.on and change.on.isoformat(),
        "amount": shown_amount(change.amount, change.currency),
        "currency": change.currency,
        "write_off": change.is_write_off,
    }


def show(found: "Synced", *, dry_run: bool, quiet: bool) -> None:
    """Print what was done to payments, then what somebody should know or look at."""
    would = "would be " if dry_run else ""
    rows = [
        (word, change)
        for word, changes in (
            ("created", found.created),
            ("updated", found.updated),
            ("deleted", found.deleted),
        )
        for change in changes
    ]
    if not quiet:
        if found.adopted:
            line(adopted.said(found.adopted))
        if rows:
            _print_payments(rows, would)
        older = f"; {found.left_alone} of earlier days left alone" if found.left_alone else ""
        checked, changed = counted(found.checked, "invoice"), counted(len(rows), "payment")
        line(f"{checked} checked, {changed} {would}changed{older}")
    for notice in found.notices:
        warning(notice.message)
    for skipped in found.skipped:
        if skipped.is_new or not quiet:
            warning(skipped.message)
            say("next: ", "bold", runnable(skipped.next_step))
    for failed in found.failed:
        error(failed.error)
    if dry_run and not quiet:
        err().print("dry run: nothing was sent")


def _print_payments(rows: "Sequence[tuple[str, PaymentChange]]", would: str) -> None:
    """A row a payment; two lines where a row has no room."""
    table = _payments_table(rows, would)
    if fits(table):
        out().print(table)
        return
    for word, change in rows:
        kind = " (write-off)" if change.is_write_off else ""
        amount = f"{separated(change.amount, change.currency)} {change.currency}"
        line(f"{change.number or change.productive_id} ({change.sage_number} in Sage)")
        for one in fitted(f"{would}{word}{kind}: {amount}, {change.on or ''}", "  ", "  "):
            out().print(one)


def _payments_table(rows: "Sequence[tuple[str, PaymentChange]]", would: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Invoice", "In Sage", "Payment", "Result", "Date"):
        table.add_column(name, no_wrap=True)
    table.add_column("Amount", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for word, change in rows:
        kind = " (write-off)" if change.is_write_off else ""
        table.add_row(
            Text(fit(change.number or change.productive_id)),
            Text(fit(change.sage_number)),
            Text(change.payment_id or ""),
            Text(f"{would}{word}{kind}"),
            Text(change.on.isoformat() if change.on else ""),
            Text(separated(change.amount, change.currency)),
            Text(change.currency),
        )
    return table
