"""How results look: a table for people, one JSON document for scripts, progress on stderr.

The only module that imports rich. Results go to stdout, everything else to stderr.
"""

import io
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from productive_sage import interrupts, money
from productive_sage.basics import CREDIT_NOTE
from productive_sage.errors import Interrupted, PsageError, SomeFailed
from productive_sage.redaction import redacted
from productive_sage.store.audit import Event
from productive_sage.text import bare, clean

if TYPE_CHECKING:  # rich is loaded where something is shown with it: JSON and `status` go without
    from rich.console import Console
    from rich.progress import Progress
    from rich.style import Style
    from rich.table import Table

    from productive_sage.billing import Billed
    from productive_sage.models import Change, Draft, DraftLine, Notice, Outcome, Report
    from productive_sage.register import Register, Row
    from productive_sage.setup.doctor import Check
    from productive_sage.status import Status

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


_shown_progress: "list[Progress]" = []
_named_profile: list[str] = []


def out() -> "Console":
    """Standard output; without a terminal a line is as long as it needs to be."""
    from rich.console import Console

    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        width=None if sys.stdout.isatty() else 1000,
        soft_wrap=True,
    )


def err() -> "Console":
    """Standard error, for everything that is not the result; a terminal gets whole words."""
    from rich.console import Console

    piped = not sys.stderr.isatty()
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=piped)


def document(
    command: str, profile: str, *, exit_code: int, dry_run: bool = False, **content: Any
) -> None:
    """Print the one JSON document of a command, which says whether that was interrupted so far."""
    if interrupts.came() and "error" not in content:
        exit_code, content["error"] = Interrupted.exit_code, Interrupted().as_json()
    head = {
        "command": command,
        "profile": profile,
        "ok": exit_code == 0,
        "exit_code": exit_code,
        "dry_run": dry_run,
    }
    # Plain ASCII: every terminal, pipe and code page can take it.
    print(json.dumps({**head, **_fit_all(content)}, indent=2))


def _fit_all(value: Any) -> Any:
    """A JSON value without secrets, whose messages and hints name commands for their profile."""
    if isinstance(value, Mapping):
        return {
            str(key): _fit_all(_named(one) if key in ("message", "hint") else one)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple | set):
        return [_fit_all(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else redacted(str(value))


def _fit(text: str) -> str:
    """What people and services wrote, fit to be seen: nothing that acts, no secret."""
    return redacted(clean(text))


def name_profile(profile: str) -> None:
    """Have messages say which profile they are about, unless it is the usual one."""
    _named_profile[:] = [] if profile == "default" else [profile]


def _told(message: str) -> str:
    """A message with the name of its profile."""
    name = "".join(f"profile `{name}`" for name in _named_profile)
    return _runnable(message if name in message else f"{name}: {message}")


def _runnable(text: str) -> str:
    """A text whose commands work on the profile it is about."""
    return _fit(_named(text))


def _named(text: Any) -> Any:
    for name in _named_profile if isinstance(text, str) else ():
        text = re.sub(r"`psage (?!--profile )", f"`psage --profile {name} ", text)
    return text


def error(problem: PsageError) -> None:
    """Print what went wrong, and what to do next after a blank line."""
    console = err()
    if problem.code == "interrupted" and console.is_terminal:
        console.print()  # or the error would stand behind the question
    _say("error: ", "bold red", _told(problem.message))
    if problem.hint:
        console.print()
        _say("hint: ", "bold", _runnable(problem.hint))


def _say(label: str, style: str, text: str) -> None:
    from rich.text import Text

    console = err()
    lines = _wrapped(label + text, "", "") if console.is_terminal else [label + text]
    for n, line in enumerate(lines):
        begin = 0 if n else len(label)
        console.print(Text.assemble((line[:begin], style), line[begin:]))


def warning(message: str) -> None:
    """Print something worth knowing that stops nothing."""
    _say("warning: ", "bold yellow", _told(message))


def line(text: str) -> None:
    """Print one sentence of a result, on a terminal in lines of whole words."""
    for one in _fitted(text, "", ""):
        out().print(one)


def paragraph(text: str = "", first: str = "", later: str = "") -> None:
    """Print a text on stderr in lines no wider than the terminal, for somebody who is asked.

    `first` stands before the first line, `later` before the others.
    """
    for one in _wrapped(text, first, later):
        err().print(one)


def settings(rows: Mapping[str, tuple[str, str]]) -> None:
    """Print each setting with its value and where it comes from, one a line in a pipe."""
    for key, (value, source) in rows.items():
        text = f"{key}: {value} ({source})"
        for one in _fitted(text, "", "  "):
            out().print(one)


def changed_settings(
    before: Mapping[str, tuple[str, str]], after: Mapping[str, tuple[str, str]]
) -> None:
    """Print a line for each setting that has another value now."""
    keys = [*after, *(key for key in before if key not in after)]
    was, now = ({key: rows[key][0] for key in rows} for rows in (before, after))
    changed = [key for key in keys if was.get(key) != now.get(key)]
    for key in changed:
        name = "item" if key.startswith("items.") else key.replace("_", " ")
        old, new = was.get(key, "not linked"), now.get(key, "not linked any more")
        for one in _fitted(f"{name}: {new} (before: {old})", "", "  "):
            out().print(one)
    if not changed:
        out().print("nothing changed: the settings are so already")


def _fitted(text: str, first: str, later: str) -> Iterable[str]:
    """The lines of a result: as `_wrapped` makes them for a terminal, else one."""
    return _wrapped(text, first, later) if sys.stdout.isatty() else [first + _fit(text)]


def _wrapped(text: str, first: str, later: str) -> Iterator[str]:
    from rich.cells import cell_len
    from rich.text import Text

    width = shutil.get_terminal_size().columns - max(cell_len(first), cell_len(later))
    begin = first
    for one in Text(_held_together(_fit(text))).wrap(err(), max(width, 10)):
        yield f"{begin}{_let_go(one.plain)}".rstrip()
        begin = later


_NO_BREAK = "\ue000"
"""Stands for a space while a text is wrapped; no text of people or services has it."""


def _held_together(text: str) -> str:
    """Keep each command in one line, or its first half might be copied and run."""
    return re.sub(r"`[^`\n]*`", lambda found: found[0].replace(" ", _NO_BREAK), text)


def _let_go(text: str) -> str:
    return text.replace(_NO_BREAK, " ")


# --- status, doctor


def status(found: Sequence["Status"], *, now: datetime, quiet: bool) -> None:
    """Print what there is to know of each profile, and what waits in it.

    `quiet` prints only what needs somebody. Without rich, which takes too long to load.
    """
    from productive_sage import status as statuses

    for n, one in enumerate(found):
        if n and not quiet:
            print()
        name_profile(one.home.profile)
        for name, sentence in statuses.lines(one, now=now, is_brief=quiet):
            _print_hanging(f"{name:<12}{_fit(sentence)}", 12)
        waiting = list(statuses.errands(one))
        seen = f"; {len(one.seen)} seen before" if one.seen else ""
        if waiting:
            print(f"{'Waiting':<12}{_count(len(waiting), 'thing')} for you{seen}:")
        elif not quiet:
            print(f"{'Waiting':<12}nothing{seen}")
        for item, sentence, step in waiting:
            _print_hanging(f"  {item}  {_fit(sentence)}", 9)
            _print_hanging(f"         next: {_fit(step)}", 11)
        if waiting and not quiet:
            how = f"`{one.command} status --seen ITEM` takes one off until it changes"
            _print_hanging(f"{'':<12}{how}", 12)
        for problem in one.errors:
            if all(problem is not asked.error for asked in one.connections):
                error(problem)


def _print_hanging(text: str, indent: int) -> None:
    """Print a text, on a terminal in lines of whole words, the later ones indented."""
    lines = [text]
    if sys.stdout.isatty():
        import textwrap

        lines = textwrap.wrap(
            _held_together(text),
            max(shutil.get_terminal_size().columns, 2 * indent),
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    print(_let_go("\n".join(lines)))


def check(one: "Check", *, verbose: bool) -> None:
    """Print one check in a line, and what to do about it in another; what is well if `verbose`."""
    from rich.text import Text

    if one.result in ("ok", "not_tried") and not verbose:
        return
    styles = {"ok": "green", "warning": "bold yellow", "failure": "bold red"}
    style, result = styles.get(one.result, "dim"), one.result.replace("not_tried", "-")
    name = one.name.replace("_", " ")
    first, later = f"{result:<9}", " " * 9
    lines = [*_fitted(f"{name:<22}{_runnable(one.message)}", first, later)]
    if one.remedy:
        lines += _fitted(f"-> {_runnable(one.remedy)}", later, f"{later}   ")
    for line in lines:
        out().print(Text.assemble((line[:9], style), line[9:]))


# --- copies


def collect(
    outcomes: "Iterable[Outcome]", into: "list[Outcome]", *, total: int, quiet: bool
) -> None:
    """Run through the outcomes, showing progress for more than one document on a terminal.

    `into` holds what is finished even where the run is interrupted.
    """
    if total < 2 or quiet or not sys.stderr.isatty():
        into.extend(outcomes)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err(), transient=True) as progress:
        _shown_progress.append(progress)
        try:
            task = progress.add_task("copying", total=total)
            for outcome in outcomes:
                into.append(outcome)
                name = outcome.number or outcome.productive_id
                progress.update(task, advance=1, description=name)
        finally:
            _shown_progress.clear()


@contextmanager
def aside() -> Iterator[None]:
    """Take the progress off the screen while a person is asked something."""
    for progress in _shown_progress:
        progress.stop()
    yield
    for progress in _shown_progress:
        progress.start()


def copies_as_json(outcomes: "Sequence[Outcome]") -> dict[str, Any]:
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
        content["error"] = _as_one(errors, len(outcomes)).as_json()
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
    return f"{_count(len(outcomes), kinds.pop() if len(kinds) == 1 else 'document')} ({names})"


def _as_one(errors: Sequence[PsageError], total: int) -> PsageError:
    """The error of the whole command: the documents' own where they agree."""
    if len({problem.code for problem in errors}) == 1:
        return errors[0]
    return SomeFailed(
        f"{len(errors)} of {total} documents need a look: see `results`",
        hint="each of them says what to do next",
        details={"codes": [problem.code for problem in errors]},
    )


def _copy_as_json(outcome: "Outcome") -> dict[str, Any]:
    result: dict[str, Any] = {
        "productive_id": outcome.productive_id or None,
        "number": outcome.number or None,
        "action": outcome.action,
        "sage_id": outcome.sage_id,
        "sage_number": outcome.sage_number,
        "sage_url": outcome.sage_url,
        "customer": asdict(outcome.customer) if outcome.customer else None,
        "net": _amount(outcome.net, outcome.currency),
        "tax": _amount(outcome.tax, outcome.currency),
        "total": _amount(outcome.total, outcome.currency),
        "currency": outcome.currency,
        "pdf": asdict(outcome.pdf) if outcome.pdf else None,
        "warnings": [asdict(notice) for notice in _its_own(outcome)],
        "changes": [asdict(change) for change in outcome.changes],
        "error": outcome.error.as_json() if outcome.error else None,
    }
    if outcome.kind is CREDIT_NOTE:
        result["allocated"] = _amount(outcome.allocated, outcome.currency)
    if outcome.planned:
        result["would_send"] = outcome.planned["requests"]
    return result


def copies(
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
    whose = f" for {_fit(customer.name)}{' (new)' if customer.created else ''}" if customer else ""
    due = f", due {draft.due_on}" if draft.due_on else ""
    console.print(f"\n{outcome.label}{whose}, dated {draft.invoiced_on}{due}")
    rows = [_plan_row(line, draft.currency, names) for line in draft.lines]
    if console.width < _NARROW:
        for what, quantity, price, net, tax, rate, account in rows:
            console.print(f"  {what}\n    {quantity} × {price} = {net}, tax {tax} ({rate})")
            console.print(f"    {account}")
    else:
        console.print(_plan_table(rows))
    total = (f"{name} {_separated(value, draft.currency)}" for name, value in _sums(draft))
    console.print(f"  {', '.join(total)} {draft.currency}")
    if verbose:
        _print_requests(outcome)


def _sums(draft: "Draft") -> list[tuple[str, Decimal]]:
    return [("net", draft.net), ("tax", draft.tax), ("total", draft.total)]


def _plan_row(line: "DraftLine", currency: str, names: Mapping[str, str]) -> tuple[str, ...]:
    rate, account = line.tax_rate_id or "", line.ledger_account_id
    less = f" - {_separated(line.discount, currency)}" if line.discount else ""
    return (
        _fit(" ".join(line.description.split())),
        money.text(line.quantity.normalize()),
        _separated(line.unit_price, currency) + less,
        _separated(line.net, currency),
        _separated(line.tax, currency),
        _fit(names.get(rate, rate)) or "none",
        _fit(names.get(account, account)),
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
        out().print(json.dumps(_fit_all(request["body"]), ensure_ascii=False, indent=2))


# --- payments


def payments_as_json(report: "Report") -> dict[str, Any]:
    """The lists of the public contract, and what else the run has to say."""
    content: dict[str, Any] = {
        "created": [_change_as_json(change) for change in report.created],
        "updated": [_change_as_json(change) for change in report.updated],
        "deleted": [_change_as_json(change) for change in report.deleted],
        "skipped": [
            {
                "productive_invoice_id": one.productive_id,
                "number": one.number or None,
                "code": one.code,
                "message": one.message,
                "next": bare(str(_named(one.next_step))),
            }
            for one in report.skipped
        ],
        "failed": [
            {
                "productive_invoice_id": one.productive_id,
                "number": one.number or None,
                **one.error.as_json(),
            }
            for one in report.failed
        ],
        "checked_invoices": report.checked,
        "left_alone": report.older,
        "since": report.since and report.since.isoformat(),
        "until": report.until.isoformat(),
        "warnings": [asdict(notice) for notice in report.notices],
    }
    if report.failed:
        errors = [one.error for one in report.failed]
        content["error"] = _as_one(errors, report.checked).as_json()
    return content


def _change_as_json(change: "Change") -> dict[str, Any]:
    return {
        "productive_invoice_id": change.productive_id,
        "number": change.number or None,
        "productive_payment_id": change.payment_id,
        "sage_payment_id": change.source_id,
        "date": change.on and change.on.isoformat(),
        "amount": _amount(change.amount, change.currency),
        "currency": change.currency,
        "write_off": change.is_write_off,
    }


def payments(report: "Report", *, dry_run: bool, quiet: bool) -> None:
    """Print what was done to payments, then what somebody should know or look at."""
    would = "would be " if dry_run else ""
    rows = [
        (word, change)
        for word, changes in (
            ("created", report.created),
            ("updated", report.updated),
            ("deleted", report.deleted),
        )
        for change in changes
    ]
    if not quiet:
        if rows:
            out().print(_payments_table(rows, would))
        older = f"; {report.older} of earlier days left alone" if report.older else ""
        checked, changed = _count(report.checked, "invoice"), _count(len(rows), "payment")
        out().print(f"{checked} checked, {changed} {would}changed{older}")
    for notice in report.notices:
        warning(notice.message)
    for skipped in report.skipped:
        if skipped.is_new or not quiet:
            warning(skipped.message)
            _say("next: ", "bold", _runnable(skipped.next_step))
    for failed in report.failed:
        error(failed.error)
    if dry_run and not quiet:
        err().print("dry run: nothing was sent")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _payments_table(rows: "Sequence[tuple[str, Change]]", would: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Invoice", "In Sage", "Payment", "Result", "Date"):
        table.add_column(name)
    table.add_column("Amount", justify="right", no_wrap=True)
    table.add_column("")
    for word, change in rows:
        kind = " (write-off)" if change.is_write_off else ""
        table.add_row(
            Text(_fit(change.number or change.productive_id)),
            Text(_fit(change.sage_number)),
            Text(change.payment_id or ""),
            Text(f"{would}{word}{kind}"),
            Text(change.on.isoformat() if change.on else ""),
            Text(_separated(change.amount, change.currency)),
            Text(change.currency),
        )
    return table


def _print_where(outcomes: "Sequence[Outcome]") -> None:
    """Where the one document is, and what was done about PDFs; of several, numbers are links."""
    first, *others = outcomes
    if first.sage_url and not others:
        out().print(_fit(f"{first.sage_number}: {first.sage_url}"))
    pdfs = [one.pdf for one in outcomes if one.pdf]
    if attached := [pdf for pdf in pdfs if pdf.maker == "productive" and pdf.attached]:
        out().print(f"{_count(len(attached), 'PDF')} attached in Sage")
    if kept := [pdf for pdf in pdfs if pdf.maker == "sage"]:
        where = kept[0].file if len(kept) == 1 else str(Path(kept[0].file).parent)
        out().print(f"{_count(len(kept), 'PDF')} kept: {_fit(where)}")


def _print_more(outcome: "Outcome", *, dry_run: bool) -> None:
    """What has no column in the table."""
    for change in outcome.changes:
        word = "would change" if dry_run else "changed"
        new = change.new or "(gone)"
        out().print(f"{outcome.label}: {change.field} {word}: {change.old or '(new)'} → {new}")
    if outcome.allocated:
        amount = _amount(outcome.allocated, outcome.currency)
        how = "would be" if dry_run else "is"
        out().print(f"{amount} {outcome.currency} {how} set against the credited invoice")


def _closing(outcomes: "Sequence[Outcome]") -> str:
    """What became of a batch, and what the documents that are in Sage by it come to."""
    words = Counter(_WORDS[outcome.action] for outcome in outcomes)
    sums: dict[str, Decimal] = {}
    for outcome in outcomes:
        if outcome.error is None and outcome.total is not None and outcome.currency:
            sums[outcome.currency] = sums.get(outcome.currency, money.ZERO) + outcome.total
    amounts = " + ".join(f"{_separated(sum_, name)} {name}" for name, sum_ in sums.items())
    said = ", ".join(f"{count} {word}" for word, count in words.items())
    return f"{said}{f': {amounts}' if amounts else ''}"


def _print_documents(outcomes: "Sequence[Outcome]") -> None:
    """A row a document; a block of lines where a row would be squeezed."""
    console = out()
    if console.width >= _NARROW:
        console.print(_table(outcomes))
        return
    for outcome in outcomes:
        number = _fit(outcome.number or outcome.productive_id)
        there = f" → {_fit(outcome.sage_number)}" if outcome.sage_number else ""
        console.print(f"{number}{there}  {_WORDS[outcome.action]}")
        if customer := outcome.customer:
            console.print(f"  {_fit(customer.name)}{' (new)' if customer.created else ''}")
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
    return ["" if value is None else _separated(value, currency) for value in values]


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
            Text(_fit(outcome.number or outcome.productive_id)),
            Text(_WORDS[outcome.action]),
            Text(_fit(outcome.sage_number or ""), style=_link(outcome.sage_url)),
            Text(_fit(name)),
            *map(Text, _amounts_of(outcome)),
            Text(outcome.currency or ""),
        )
    return table


def _amount(value: Decimal | None, currency: str | None) -> str | None:
    """With all the currency's decimals, or as Sage sent it where it has more."""
    if value is None:
        return None
    if currency and money.is_exact(value, currency):
        return money.amount(value, currency)
    return money.text(value)


# --- the register

_NARROW = 90
"""Below so many columns a document is a block of lines, not a row."""
_WIDE = 120
"""From here on there is room for every column."""


def register(found: "Register") -> None:
    """Print the documents, oldest first, and what those of each currency come to."""
    from productive_sage import register as registers

    console = out()
    if console.width < _NARROW:
        for row in found.rows:
            console.print("\n".join(_block(row)))
    elif found.rows:
        console.print(_register_table(found, is_wide=console.width >= _WIDE))
    for one in registers.totals(found.rows):
        total, paid, left = (
            _separated(value, one.currency) for value in (one.total, one.paid, one.open)
        )
        count = _count(one.count, "document")
        console.print(f"{count}: {total} {one.currency}, {paid} paid, {left} open")
    if not found.rows:
        console.print("no documents")


def customers(found: "Sequence[Billed]") -> None:
    """Print which company is billed to which contact, a line or a block each."""
    from rich.table import Table
    from rich.text import Text

    console = out()
    if not found:
        console.print("no company has been billed yet")
    elif console.width < _NARROW:
        for one in found:
            name = _fit(one.company or one.company_id)
            console.print(f"{name} ({one.currency})\n  {_fit(one.contact)}\n  {one.why}")
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for head in ("Company", "", "Contact in Sage", "Because"):
            table.add_column(head, overflow="fold")
        for one in found:
            cells = (_fit(one.company or one.company_id), one.currency, _fit(one.contact), one.why)
            table.add_row(*map(Text, cells))
        console.print(table)


def _register_table(found: "Register", *, is_wide: bool) -> "Table":
    from rich.table import Table
    from rich.text import Text

    from productive_sage import register as registers

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Number", "In Sage"):
        table.add_column(name, no_wrap=True)
    table.add_column("Customer", overflow="fold")
    for name in ("Date", "Due") if is_wide else ("Date",):
        table.add_column(name, no_wrap=True)
    for name in ("Total", "Paid", "Open") if is_wide else ("Total", "Open"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("State", overflow="fold")
    for row in found.rows:
        entry = row.entry
        state = row.state
        if found.is_checked and row.sage_id:
            state += f" ({registers.sage_state(row)} in Sage)"
        cells = (
            *(_fit(entry.number or entry.id), _fit(row.sage_number), _fit(entry.company.name)),
            *(str(day or "") for day in (entry.invoiced_on, entry.pay_on)[: 1 + is_wide]),
            _separated(entry.total, entry.currency),
            *([_separated(entry.paid, entry.currency)] if is_wide else []),
            _separated(entry.unpaid, entry.currency),
            *(entry.currency, state),
        )
        table.add_row(*map(Text, cells))
    return table


def _block(row: "Row") -> list[str]:
    entry = row.entry
    days = [str(entry.invoiced_on or ""), f"due {entry.pay_on}" if entry.pay_on else ""]
    total, left = (_separated(value, entry.currency) for value in (entry.total, entry.unpaid))
    there = f" → {_fit(row.sage_number)}" if row.sage_number else ""
    return [
        f"{_fit(entry.number or entry.id)}{there}  {row.state}",
        f"  {', '.join(filter(None, (_fit(entry.company.name), *days)))}",
        f"  {total} {entry.currency}, {left} open",
    ]


def _separated(value: Decimal, currency: str) -> str:
    """An amount for people, its thousands apart: `1,234.50`."""
    exact = _amount(value, currency) or ""
    whole, point, cents = exact.partition(".")
    return f"{int(whole):,}{point}{cents}" if whole not in ("-0", "") else exact


# --- the history

_DOES = {"POST": "create", "PUT": "change", "PATCH": "change", "DELETE": "remove"}


def history(events: Sequence[Event]) -> None:
    """Print a table of the audit log, in local time."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("When", "By", "Document", "Sent", "Came back"):
        table.add_column(name, overflow="fold")
    for event in events:
        cells = (
            _when(event.at),
            f"{event.who}\n{event.command}",
            f"{event.number}\n{event.document}",
            f"{_deed(event)}\n{_figures(event)}",
            f"{_answer(event)}\n{event.request_id}",
        )
        table.add_row(*(Text(_fit(cell).strip("\n")) for cell in cells))
    out().print(table)


def history_as_json(events: Sequence[Event]) -> list[dict[str, Any]]:
    """The `events` of the public contract: every column of the log."""
    return [asdict(event) for event in events]


def _when(at: str) -> str:
    try:
        return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d\n%H:%M:%S}"
    except ValueError:
        return at  # somebody changed it


def _deed(event: Event) -> str:
    """A request in words: `create sales invoice`."""
    method, _, path = event.what.partition(" ")
    kind = (path or event.path).strip("/").partition("/")[0].removesuffix("s")
    return f"{_DOES.get(method, method)} {kind.removeprefix('contact_').replace('_', ' ')}"


def _figures(event: Event) -> str:
    """The one figure, or the name, that tells a write from others."""
    said = event.figures
    for name in ("total", "amount"):
        if name in said:
            return f"{said[name]} {said.get('currency', '')}"
    if said.get("exported"):
        return "marked as copied"
    names = ("name", "file", "number", "amount_minor", "attachment_id")
    return next((str(said[name]) for name in names if name in said), "")


def _answer(event: Event) -> str:
    """Who answered what; an id of 32 letters tells a person nothing."""
    said = event.answer
    name = said.get("number") or said.get("contact") or said.get("words") or said.get("id") or ""
    more = f": {name}" if name and not re.fullmatch("[0-9a-f]{32}", str(name)) else ""
    return f"{event.service.capitalize()}: {event.result.replace('_', ' ')}{more}"


_ACTIVE = re.compile(r'(^|[;\t\n])(?=[\s"]*[=+\-@\t\n\uff0b\uff0d\uff1d\uff20])')
"""Where a spreadsheet may see the start of a cell, and what it computes: the signs, wide ones too.

See OWASP, CSV Injection; a `;` parts cells where the comma is a decimal sign.
"""


def sheet(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as CSV that opens right in a spreadsheet, and that no spreadsheet computes.

    Numbers (`int` and `Decimal`) stay numbers, negative ones too: nothing but a number is in such a
    cell. Into a file or a pipe it is UTF-8 with the mark by which Excel knows that.
    """
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([cell if isinstance(cell, int) else _harmless(cell) for cell in row])
    if not sys.stdout.isatty():
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        print(end="\ufeff")
    print(text.getvalue(), end="")


def _harmless(cell: Any) -> str:
    """Text that a spreadsheet takes for text: `'=1+1`."""
    if isinstance(cell, Decimal):
        return money.text(cell)
    return _ACTIVE.sub(r"\1'", _fit(str(cell)))
