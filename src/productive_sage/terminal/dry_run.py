"""A document as a dry run shows it: as it would be booked, and what would be sent."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from productive_sage import money
from productive_sage.redaction import redacted
from productive_sage.terminal.render import (
    NARROW,
    fit,
    fit_all,
    fits,
    line,
    out,
    print_fitted,
    separated,
    sign,
)

if TYPE_CHECKING:  # rich is loaded where something is shown with it
    from rich.table import Table

    from productive_sage.copying.records import Draft, DraftLine, Outcome


def show(outcome: "Outcome", *, verbose: bool) -> None:
    """A document as it would be booked: whose, when, one row a line; then what would be sent."""
    draft: Draft | None = (outcome.planned or {}).get("draft")
    if draft is None:
        return
    names, console = outcome.planned["names"] if outcome.planned else {}, out()
    customer = outcome.customer
    whose = f" for {fit(customer.name)}{' (new)' if customer.created else ''}" if customer else ""
    due = f", due {draft.due_on}" if draft.due_on else ""
    console.print()
    line(f"{outcome.label}{whose}, dated {draft.invoiced_on}{due}")
    rows = [_plan_row(line, draft.currency, names) for line in draft.lines]
    table = _plan_table(rows)
    if console.width < NARROW or not fits(table):
        for what, quantity, price, net, tax, rate, account in rows:
            print_fitted(what, "  ")
            times = sign("×", "x")
            print_fitted(f"{quantity} {times} {price} = {net}, tax {tax} ({rate})", "    ")
            print_fitted(account, "    ")
    else:
        console.print(table)
    total = (f"{name} {separated(value, draft.currency)}" for name, value in _sums(draft))
    print_fitted(f"{', '.join(total)} {draft.currency}", "  ")
    if verbose:
        _print_requests(outcome)


def _sums(draft: "Draft") -> list[tuple[str, Decimal]]:
    return [("net", draft.net), ("tax", draft.tax), ("total", draft.total)]


def _plan_row(line: "DraftLine", currency: str, names: Mapping[str, str]) -> tuple[str, ...]:
    rate, account = line.tax_rate_id or "", line.ledger_account_id
    less = f" - {separated(line.discount, currency)}" if line.discount else ""
    return (
        fit(" ".join(line.description.split())),
        money.text(line.quantity.normalize()),
        separated(line.unit_price, currency) + less,
        separated(line.net, currency),
        separated(line.tax, currency),
        fit(names.get(rate, rate)) or "none",
        fit(names.get(account, account)),
    )


def _plan_table(rows: Sequence[tuple[str, ...]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 1))
    table.add_column("Description", overflow="fold")
    for name in ("Quantity", "Price", "Net", "Tax"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("Tax rate", "Ledger account"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _print_requests(outcome: "Outcome") -> None:
    """What a real run would send."""
    for request in (outcome.planned or {}).get("requests", []):
        out().print(redacted(f"{request['method']} {request['path']}"))
        out().print(json.dumps(fit_all(request["body"]), ensure_ascii=False, indent=2))
