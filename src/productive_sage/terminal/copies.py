"""What became of copies, and what a dry run would do: tables, blocks and JSON."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from productive_sage import naming
from productive_sage.kinds import CREDIT_NOTE
from productive_sage.terminal import failures
from productive_sage.terminal.dry_run import show as show_draft
from productive_sage.terminal.render import (
    NARROW,
    as_one,
    err,
    fit,
    fits,
    in_all,
    is_one_screen,
    line,
    out,
    print_fitted,
    separated,
    shown_amount,
    sign,
    warning,
)

if TYPE_CHECKING:  # rich is loaded where something is shown with it: JSON and `status` go without
    from rich.style import Style
    from rich.table import Table

    from productive_sage.copying.records import Outcome
from productive_sage.errors.notices import Notice
from productive_sage.text import counted

_WORDS = {
    "created": "copied",
    "updated": "updated",
    "unchanged": "unchanged",
    "released": "released",
    "adopted": "found and linked",
    "would_create": "would be copied",
    "would_update": "would be updated",
    "would_release": "would be released",
    "differs": "DIFFERS",
    "unknown": "unknown",
    "refused": "refused",
    "failed": "failed",
}
"""What became of a document in words, in the order in which they are summed up."""


def as_json(outcomes: "Sequence[Outcome]") -> dict[str, Any]:
    """The `results`, `summary` and, on failure, `error` of the public contract.

    Of a command that releases drafts the summary counts these too.
    """
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
    if released := sum(map(actions.count, ("released", "would_release"))):
        content["summary"]["released"] = released
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if errors:
        content["error"] = as_one(errors, len(outcomes)).as_json()
    return content


_ONCE = ("pdf_missing",)
"""Notices that are said once for all documents of a run."""
_FEW = 3
"""Of so many documents every line and amount is shown; of more only where somebody asks."""
_AMOUNT = re.compile(r"-?\d[\d,]*\.\d+")
_About = dict[tuple[bool, str, str], list[tuple["Outcome", str]]]


def _its_own(outcome: "Outcome") -> "list[Notice]":
    return [notice for notice in outcome.notices if notice.code not in _ONCE]


def _of_the_run(outcomes: "Sequence[Outcome]") -> list[dict[str, str]]:
    """What is to be said once for the whole run, naming the documents it is about."""
    return [said for said in _notices(outcomes) if said["code"] in _ONCE]


def _notices(outcomes: "Sequence[Outcome]", *, each_amount: bool = True) -> list[dict[str, str]]:
    """Every notice once, naming the documents it is about; those of the whole run last.

    Without `each_amount` what differs in amounts alone is said once, from a few documents on.
    """
    about: dict[tuple[bool, str, str], list[tuple[Outcome, str]]] = {}
    for outcome in outcomes:
        for notice in outcome.notices:
            said = failures.alike(outcome, notice.message)
            key = (notice.code in _ONCE, notice.code, said)
            about.setdefault(key, []).append((outcome, notice.message))
    if not each_amount:
        about = _without_amounts(about)
    found: list[dict[str, str]] = []
    for (_, code, said), told in sorted(about.items(), key=lambda one: one[0][0]):
        message = told[0][1] if len(told) == 1 else failures.of_each(said)
        about_whom = failures.labels([outcome for outcome, _ in told])
        found.append({"code": code, "message": f"{about_whom}: {message}"})
    return found


def _without_amounts(about: _About) -> _About:
    """The same, where of several that differ in amounts one stands for all."""
    alike: dict[tuple[bool, str, str], list[tuple[bool, str, str]]] = {}
    for once, code, said in about:
        masked = (once, code, _AMOUNT.sub("…", said))
        alike.setdefault(masked, []).append((once, code, said))
    found: _About = {}
    for masked, keys in alike.items():
        if len(keys) <= _FEW:
            found |= {key: about[key] for key in keys}
        else:
            found[masked] = [one for key in keys for one in about[key]]
    return found


def _copy_as_json(outcome: "Outcome") -> dict[str, Any]:
    result: dict[str, Any] = {
        "productive_id": outcome.productive_id or None,
        "number": outcome.number or None,
        "action": outcome.action,
        "sage_id": outcome.sage_id,
        "sage_number": None if outcome.is_draft else outcome.sage_number,
        "draft": outcome.is_draft,
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
    causes = failures.causes(outcomes)
    if quiet:
        for cause in causes:
            failures.show(cause)
        return
    shown = [o for o in outcomes if o.total is not None]
    is_table = len(outcomes) > 1
    in_table = is_table and is_one_screen()
    if shown or is_table:
        _print_documents(shown, outcomes)
    for cause in causes if is_table else ():
        _print_cause(cause, outcomes, with_reasons=in_table)
    for outcome in shown:
        _print_more(outcome, dry_run=dry_run)
    if shown and not dry_run:
        _print_where(shown, is_alone=not is_table)
        _print_drafts(shown)
    planned = [one for one in shown if dry_run and "draft" in (one.planned or {})]
    is_readable = verbose or len(planned) <= _FEW
    for outcome in planned if is_readable else ():
        show_draft(outcome, verbose=verbose)
    for cause in () if in_table else causes:
        failures.show(cause)
    _print_end(outcomes, dry_run=dry_run, is_whole=is_readable, verbose=verbose)


_NEW = " (new)"
_MOST = 20
"""So many documents of a batch are shown before somebody agrees; a dry run shows all."""
_LEAST_OF_A_NAME = 15
"""So many columns a customer's name needs to stand beside the amount."""
_SECONDS_A_WRITE = 0.6
"""What Sage takes for one, about; its writes go one after the other."""


def show_plan(outcomes: "Sequence[Outcome]") -> None:
    """Print on stderr what a batch would do, before somebody agrees: documents, sums, time."""
    console = err()
    planned = [one for one in outcomes if not one.error]
    rows = [_planned_row(one) for one in planned[:_MOST]]
    widths = [max((len(row[n]) for row in rows), default=0) for n in range(3)]
    for name, whose, total, currency in rows:
        room = min(widths[1], console.width - widths[0] - widths[2] - 12)
        if room < _LEAST_OF_A_NAME:
            console.print(f"  {name}  {whose}\n    {total} {currency}".rstrip())
            continue
        who, is_new = whose, whose.endswith(_NEW)
        if len(whose) > room:
            mark = f"...{_NEW}" if is_new else "..."
            who = f"{whose[: room - len(mark)]}{mark}"
        console.print(f"  {name:<{widths[0]}}  {who:<{room}}  {total:>{widths[2]}} {currency}")
    if len(planned) > _MOST:
        console.print(f"  and {len(planned) - _MOST} more; `--dry-run` shows all")
    for cause in failures.causes(outcomes):
        failures.show(cause)
    for notice in _notices(outcomes, each_amount=False):
        warning(notice["message"])
    new = sum(one.customer is not None and one.customer.created for one in planned)
    writes = sum(one.action.startswith("would_") for one in planned) + new
    minutes = max(1, round(writes * _SECONDS_A_WRITE / 60))
    said = f"; {counted(new, 'new customer')}" if new else ""
    time = f"about {counted(minutes, 'minute')}" if writes > 1 else "a moment"
    console.print(f"{_closing(outcomes)}{said}; takes {time}")


def _planned_row(outcome: "Outcome") -> tuple[str, str, str, str]:
    customer, currency = outcome.customer, outcome.currency or ""
    new = _NEW if customer and customer.created else ""
    whose = f"{fit(customer.name)}{new}" if customer else ""
    total = separated(outcome.total, currency) if outcome.total is not None else ""
    return _name(outcome), whose, total, currency


def _print_end(
    outcomes: "Sequence[Outcome]", *, dry_run: bool, is_whole: bool, verbose: bool
) -> None:
    for one in _notices(outcomes, each_amount=verbose):
        warning(one["message"])
    if len(outcomes) > 1:
        line(_closing(outcomes))
    if not is_whole:
        err().print(f"the lines of each: `--verbose`, or a dry run of {_FEW} or fewer by name")
    if dry_run:
        err().print("dry run: nothing was sent")


def _print_cause(
    cause: failures.SharedCause, outcomes: "Sequence[Outcome]", *, with_reasons: bool
) -> None:
    width = _name_width(outcomes) if out().width >= NARROW else 0
    words = [f"{_name(one):<{width}}  {_WORDS[one.action]}" for one in cause.outcomes]
    failures.show_rows(cause, words, with_reasons=with_reasons)


def _name(outcome: "Outcome") -> str:
    return fit(outcome.number or outcome.productive_id)


def _name_width(outcomes: "Sequence[Outcome]") -> int:
    """Of the column of names, which the lines of the table and those of failures share."""
    heads = [outcome.kind.name for outcome in outcomes[:1]]
    return max(map(len, [*heads, *map(_name, outcomes)]))


def _print_where(outcomes: "Sequence[Outcome]", *, is_alone: bool) -> None:
    """Where the one document is, and what was done about PDFs; of several, numbers are links."""
    first = outcomes[0]
    if first.sage_url and is_alone:
        out().print(fit(f"{sage_number(first)}: {first.sage_url}"))
    pdfs = [one.pdf for one in outcomes if one.pdf]
    if attached := [pdf for pdf in pdfs if pdf.maker == "productive" and pdf.attached]:
        out().print(f"{counted(len(attached), 'PDF')} attached in Sage")
    if kept := [pdf for pdf in pdfs if pdf.maker == "sage"]:
        where = kept[0].file if len(kept) == 1 else str(Path(kept[0].file).parent)
        out().print(f"{counted(len(kept), 'PDF')} kept: {fit(where)}")


def sage_number(outcome: "Outcome") -> str:
    """Its number in Sage; a draft has none yet."""
    return "draft" if outcome.is_draft else outcome.sage_number or ""


def _print_drafts(outcomes: "Sequence[Outcome]") -> None:
    """How what was left for a review gets into the books."""
    waiting = [one for one in outcomes if one.is_draft and not one.error]
    if waiting:
        names = " ".join(naming.to_type(one.number, one.productive_id) for one in waiting)
        command = f"psage release {names if len(waiting) == 1 else '--all'}"
        which = "it is a draft" if len(waiting) == 1 else f"{len(waiting)} are drafts"
        line(f"{which} in Sage, and not booked; once reviewed: `{command}`")


def _print_more(outcome: "Outcome", *, dry_run: bool) -> None:
    """What has no column in the table."""
    for change in outcome.changes:
        word = "would change" if dry_run else "changed"
        new = change.new or "(gone)"
        to = sign("→", "->")
        line(f"{outcome.label}: {change.field} {word}: {change.old or '(new)'} {to} {new}")
    if outcome.allocated:
        amount = separated(outcome.allocated, outcome.currency or "")
        how = "would be" if dry_run else "is"
        line(f"{amount} {outcome.currency} {how} set against the credited invoice")


def _closing(outcomes: "Sequence[Outcome]") -> str:
    """What became of a batch, and what goes well comes to: `2 copied: 5.00 GBP; 1 refused`."""
    well, amounts = _counts(one for one in outcomes if not one.error), in_all(outcomes)
    parts = (
        f"{well}: {amounts}" if amounts else well,
        _counts(one for one in outcomes if one.error),
    )
    return "; ".join(filter(None, parts))


def _counts(outcomes: "Iterable[Outcome]") -> str:
    actions = Counter(outcome.action for outcome in outcomes)
    return ", ".join(f"{actions[one]} {word}" for one, word in _WORDS.items() if actions[one])


def _print_documents(shown: "Sequence[Outcome]", outcomes: "Sequence[Outcome]") -> None:
    """A row a document; a block of lines where a row would be squeezed."""
    from rich.text import Text

    console = out()
    if not shown:
        return
    table = _table(shown, _name_width(outcomes))
    if console.width >= NARROW and fits(table):
        console.print(table)
        return
    for outcome in shown:
        symbol = failures.symbol(outcome.action)
        head, rest = Text.assemble(symbol, f" {_name(outcome)}"), Text()
        if number := sage_number(outcome):
            rest = Text.assemble(f" {sign('→', '->')} ")
            rest.append(fit(number), _link(outcome.sage_url))
        for part in (rest, Text(f"  {_WORDS[outcome.action]}")):
            if head.cell_len + part.cell_len > console.width:
                console.print(head)
                head = Text(" ")
            head.append(part)
        console.print(head)
        if customer := outcome.customer:
            print_fitted(f"{customer.name}{' (new)' if customer.created else ''}", "  ")
        figures = zip(("net", "tax", "total"), _amounts_of(outcome), strict=True)
        parts = ", ".join(f"{name} {figure}" for name, figure in figures if figure)
        print_fitted(f"{parts} {outcome.currency or ''}", "  ")


def _link(address: str | None) -> "Style":
    """The style of a word that leads to an address, where a terminal shows links."""
    from rich.style import Style

    return Style(link=address) if address else Style()


def _amounts_of(outcome: "Outcome") -> list[str]:
    """Net, tax and total for people; empty where there is none."""
    currency = outcome.currency or ""
    values = (outcome.net, outcome.tax, outcome.total)
    return ["" if value is None else separated(value, currency) for value in values]


def _table(outcomes: "Sequence[Outcome]", width: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    head = f"  {outcomes[0].kind.name.capitalize()}"
    table.add_column(head, no_wrap=True, min_width=width + 2)
    table.add_column("Result", no_wrap=True)
    table.add_column("In Sage", no_wrap=True)
    table.add_column("Customer", overflow="fold")
    for name in ("Net", "Tax", "Total"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for outcome in outcomes:
        customer = outcome.customer
        name = f"{customer.name}{' (new)' if customer.created else ''}" if customer else ""
        table.add_row(
            Text.assemble(failures.symbol(outcome.action), f" {_name(outcome)}"),
            Text(_WORDS[outcome.action]),
            Text(fit(sage_number(outcome)), style=_link(outcome.sage_url)),
            Text(fit(name)),
            *map(Text, _amounts_of(outcome)),
            Text(outcome.currency or ""),
        )
    return table
