"""What became of copies, and what a dry run would do: tables, blocks and JSON."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from productive_sage import money
from productive_sage.basics import CREDIT_NOTE
from productive_sage.redaction import redacted
from productive_sage.terminal.render import (
    NARROW,
    as_one,
    counted,
    err,
    error,
    fit,
    fit_all,
    out,
    separated,
    shown_amount,
    warning,
)

if TYPE_CHECKING:  # rich is loaded where something is shown with it: JSON and `status` go without
    from rich.style import Style
    from rich.table import Table

    from productive_sage.models import Draft, DraftLine, Notice, Outcome

_WORDS = {
    "created": "copied",
    "updated": "updated",
    "unchanged": "unchanged",
    "adopted": "found and linked",
    "differs": "DIFFERS",
    "refused": "refused",
    "failed": "failed",
    "unknown": "unknown",
    "would_create": "would be copied",
    "would_update": "would be updated",
}


def as_json(outcomes: "Sequence[Outcome]") -> dict[str, Any]:
    """The `results`, `summary` and, on failure, `error` of the public contract."""
    actions = [outcome.action for outcome in outcomes]
    content: dict[str, Any] = {
        "results": [_copy_as_json(outcome) for outcome in outcomes],
        "summary": {
            "created": sum(map(actions.count, ("created", "would_create"))),
            "updated": sum(map(actions.count, ("updated", "would_update"))),
            "unchanged": sum(map(actions.count, ("unchanged", "adopted"))),
            "refused": actions.count("refused"),
            "failed": sum(map(actions.count, ("failed", "unknown", "differs"))),
        },
        "warnings": _of_the_run(outcomes),
    }
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if errors:
        content["error"] = as_one(errors, len(outcomes)).as_json()
    return content


_ONCE = ("pdf_missing",)
"""Notices that are said once for all documents of a run."""


def _its_own(outcome: "Outcome") -> "list[Notice]":
    return [notice for notice in outcome.notices if notice.code not in _ONCE]


def _of_the_run(outcomes: "Sequence[Outcome]") -> list[dict[str, str]]:
    """What is to be said once for the whole run, naming the documents it is about."""
    about: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        for notice in outcome.notices:
            if notice.code in _ONCE:
                about.setdefault((notice.code, notice.message), []).append(outcome)
    return [
        {"code": code, "message": f"{_labels(those)}: {message}"}
        for (code, message), those in about.items()
    ]


def _labels(outcomes: "Sequence[Outcome]") -> str:
    if len(outcomes) == 1:
        return outcomes[0].label
    kinds = {outcome.kind.name for outcome in outcomes}
    names = ", ".join(outcome.number or outcome.productive_id for outcome in outcomes)
    return f"{counted(len(outcomes), kinds.pop() if len(kinds) == 1 else 'document')} ({names})"


def _copy_as_json(outcome: "Outcome") -> dict[str, Any]:
    result: dict[str, Any] = {
        "productive_id": outcome.productive_id or None,
        "number": outcome.number or None,
        "action": outcome.action,
        "sage_id": outcome.sage_id,
        "sage_number": outcome.sage_number,
        "sage_url": outcome.sage_url,
        "customer": asdict(outcome.customer) if outcome.customer else None,
        "net": shown_amount(outcome.net, outcome.currency),
        "tax": shown_amount(outcome.tax, outcome.currency),
        "total": shown_amount(outcome.total, outcome.currency),
        "currency": outcome.currency,
        "pdf": asdict(outcome.pdf) if outcome.pdf else None,
        "warnings": [asdict(notice) for notice in _its_own(outcome)],
        "changes": [asdict(change) for change in outcome.changes],
        "error": outcome.error.as_json() if outcome.error else None,
    }
    if outcome.kind is CREDIT_NOTE:
        result["allocated"] = shown_amount(outcome.allocated, outcome.currency)
    if outcome.planned:
        result["would_send"] = outcome.planned["requests"]
    return result


def show(
    outcomes: "Sequence[Outcome]", *, dry_run: bool, quiet: bool, verbose: bool = False
) -> None:
    """Print a table of the documents, then what each of them needs somebody to know.

    Of a dry run the lines as they would be booked; `verbose`: what would be sent, too.
    """
    shown = [o for o in outcomes if o.total is not None and not quiet]
    if shown:
        _print_documents(shown)
        for outcome in shown:
            _print_more(outcome, dry_run=dry_run)
        if not dry_run:
            _print_where(shown)
    for outcome in shown if dry_run else ():
        _print_plan(outcome, verbose=verbose)
    for outcome in outcomes:
        for notice in _its_own(outcome) if not quiet else ():
            warning(f"{outcome.label}: {notice.message}")
        if outcome.error:
            error(outcome.error)
    if not quiet:
        _print_end(outcomes, dry_run=dry_run)


def _print_end(outcomes: "Sequence[Outcome]", *, dry_run: bool) -> None:
    for one in _of_the_run(outcomes):
        warning(one["message"])
    if len(outcomes) > 1:
        out().print(_closing(outcomes))
    if dry_run:
        err().print("dry run: nothing was sent")


def _print_plan(outcome: "Outcome", *, verbose: bool) -> None:
    """A document as it would be booked: whose, when, one row a line; then what would be sent."""
    draft: Draft | None = (outcome.planned or {}).get("draft")
    if draft is None:
        return
    names, console = outcome.planned["names"] if outcome.planned else {}, out()
    customer = outcome.customer
    whose = f" for {fit(customer.name)}{' (new)' if customer.created else ''}" if customer else ""
    due = f", due {draft.due_on}" if draft.due_on else ""
    console.print(f"\n{outcome.label}{whose}, dated {draft.invoiced_on}{due}")
    rows = [_plan_row(line, draft.currency, names) for line in draft.lines]
    if console.width < NARROW:
        for what, quantity, price, net, tax, rate, account in rows:
            console.print(f"  {what}\n    {quantity} × {price} = {net}, tax {tax} ({rate})")
            console.print(f"    {account}")
    else:
        console.print(_plan_table(rows))
    total = (f"{name} {separated(value, draft.currency)}" for name, value in _sums(draft))
    console.print(f"  {', '.join(total)} {draft.currency}")
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


def _print_where(outcomes: "Sequence[Outcome]") -> None:
    """Where the one document is, and what was done about PDFs; of several, numbers are links."""
    first, *others = outcomes
    if first.sage_url and not others:
        out().print(fit(f"{first.sage_number}: {first.sage_url}"))
    pdfs = [one.pdf for one in outcomes if one.pdf]
    if attached := [pdf for pdf in pdfs if pdf.maker == "productive" and pdf.attached]:
        out().print(f"{counted(len(attached), 'PDF')} attached in Sage")
    if kept := [pdf for pdf in pdfs if pdf.maker == "sage"]:
        where = kept[0].file if len(kept) == 1 else str(Path(kept[0].file).parent)
        out().print(f"{counted(len(kept), 'PDF')} kept: {fit(where)}")


def _print_more(outcome: "Outcome", *, dry_run: bool) -> None:
    """What has no column in the table."""
    for change in outcome.changes:
        word = "would change" if dry_run else "changed"
        new = change.new or "(gone)"
        out().print(f"{outcome.label}: {change.field} {word}: {change.old or '(new)'} → {new}")
    if outcome.allocated:
        amount = shown_amount(outcome.allocated, outcome.currency)
        how = "would be" if dry_run else "is"
        out().print(f"{amount} {outcome.currency} {how} set against the credited invoice")


def _closing(outcomes: "Sequence[Outcome]") -> str:
    """What became of a batch, and what the documents that are in Sage by it come to."""
    words = Counter(_WORDS[outcome.action] for outcome in outcomes)
    sums: dict[str, Decimal] = {}
    for outcome in outcomes:
        if outcome.error is None and outcome.total is not None and outcome.currency:
            sums[outcome.currency] = sums.get(outcome.currency, money.ZERO) + outcome.total
    amounts = " + ".join(f"{separated(sum_, name)} {name}" for name, sum_ in sums.items())
    said = ", ".join(f"{count} {word}" for word, count in words.items())
    return f"{said}{f': {amounts}' if amounts else ''}"


def _print_documents(outcomes: "Sequence[Outcome]") -> None:
    """A row a document; a block of lines where a row would be squeezed."""
    console = out()
    if console.width >= NARROW:
        console.print(_table(outcomes))
        return
    for outcome in outcomes:
        number = fit(outcome.number or outcome.productive_id)
        there = f" → {fit(outcome.sage_number)}" if outcome.sage_number else ""
        console.print(f"{number}{there}  {_WORDS[outcome.action]}")
        if customer := outcome.customer:
            console.print(f"  {fit(customer.name)}{' (new)' if customer.created else ''}")
        figures = zip(("net", "tax", "total"), _amounts_of(outcome), strict=True)
        parts = ", ".join(f"{name} {figure}" for name, figure in figures if figure)
        console.print(f"  {parts} {outcome.currency or ''}")


def _link(address: str | None) -> "Style":
    """The style of a word that leads to an address, where a terminal shows links."""
    from rich.style import Style

    return Style(link=address) if address else Style()


def _amounts_of(outcome: "Outcome") -> list[str]:
    """Net, tax and total for people; empty where there is none."""
    currency = outcome.currency or ""
    values = (outcome.net, outcome.tax, outcome.total)
    return ["" if value is None else separated(value, currency) for value in values]


def _table(outcomes: "Sequence[Outcome]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(outcomes[0].kind.name.capitalize(), no_wrap=True)
    table.add_column("Result", overflow="fold")
    table.add_column("In Sage", no_wrap=True)
    table.add_column("Customer", overflow="fold")
    for name in ("Net", "Tax", "Total"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for outcome in outcomes:
        customer = outcome.customer
        name = f"{customer.name}{' (new)' if customer.created else ''}" if customer else ""
        table.add_row(
            Text(fit(outcome.number or outcome.productive_id)),
            Text(_WORDS[outcome.action]),
            Text(fit(outcome.sage_number or ""), style=_link(outcome.sage_url)),
            Text(fit(name)),
            *map(Text, _amounts_of(outcome)),
            Text(outcome.currency or ""),
        )
    return table
