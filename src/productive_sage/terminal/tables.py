"""Registers, settings, status, checks and history, as tables and as sheets."""

import io
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from productive_sage import money
from productive_sage.settings import SETTINGS
from productive_sage.store.audit import Event
from productive_sage.terminal.render import (
    NARROW,
    error,
    fit,
    fits,
    fitted,
    held_together,
    let_go,
    line,
    name_profile,
    out,
    runnable,
    separated,
    sign,
)
from productive_sage.text import counted

if TYPE_CHECKING:  # rich is loaded where something is shown with it: JSON and `status` go without
    from rich.table import Table

    from productive_sage.billing import Billed
    from productive_sage.register import Register, RegisterRow, RegisterTotal
    from productive_sage.setup.doctor import Check
    from productive_sage.status import Status


def settings(rows: Mapping[str, tuple[str, str]]) -> None:
    """Print each setting with its value and where it comes from, one a line in a pipe."""
    for key, (value, source) in rows.items():
        text = f"{key}: {value} ({source})"
        for one in fitted(text, "", "  "):
            out().print(one)


_NARROWEST = 60
"""Below so many columns a word of a heading takes no column of its own."""


def settings_in_words(sentences: Iterable[tuple[str, str]]) -> None:
    """Print the settings as sentences, their subjects in a column."""
    before = ""
    for subject, sentence in sentences:
        head = "" if subject == before else subject
        before = subject
        lines = fitted(runnable(sentence), f"{head:<10}", " " * 10)
        if out().width < _NARROWEST:
            lines = fitted(f"{subject}: {runnable(sentence)}", "", "  ")
        for one in lines:
            out().print(one)


def changed_settings(
    before: Mapping[str, tuple[str, str]], after: Mapping[str, tuple[str, str]]
) -> None:
    """Print a line for each setting that has another value now."""
    keys = [*after, *(key for key in before if key not in after)]
    was, now = ({key: rows[key][0] for key in rows} for rows in (before, after))
    changed = [key for key in keys if was.get(key) != now.get(key)]
    for key in changed:
        table = next((one.name for one in SETTINGS.values() if key.startswith(f"{one.name}.")), "")
        entry = key.removeprefix(f"{table}.")
        name = {
            "items": "item",
            "minor_digits": f"decimals of {entry} in Productive",
            "tax.map": f"rate for Productive's tax {entry}",
        }.get(table)
        none = "not linked" if table == "items" else "not set"
        # An id of 32 letters tells a person nothing where its name stands beside it.
        old, new = (
            re.sub(r"(?<=\S) \[\S+\]$", "", rows.get(key, missing))
            for rows, missing in ((was, none), (now, f"{none} any more"))
        )
        text = f"{name or key.replace('_', ' ')}: {new} (before: {old})"
        for one in fitted(text, "", "  "):
            out().print(one)
    if not changed:
        out().print("nothing changed: the settings are so already")


def status(found: Sequence["Status"], *, now: datetime, quiet: bool) -> None:
    """Print what there is to know of each profile, and what waits in it.

    `quiet` prints only what needs somebody. Without rich, which takes too long to load.
    """
    from productive_sage.status import words

    for n, one in enumerate(found):
        if n and not quiet:
            print()
        name_profile(one.home.profile)
        for name, sentence in words.lines(one, now=now, is_brief=quiet):
            _print_hanging(f"{name:<12}{fit(sentence)}", 12)
        waiting = list(words.errands(one))
        seen = f"; {len(one.seen)} seen before" if one.seen else ""
        if waiting:
            print(f"{'Waiting':<12}{counted(len(waiting), 'thing')} for you{seen}:")
        elif not quiet:
            print(f"{'Waiting':<12}nothing{seen}")
        for item, sentence, step in waiting:
            _print_hanging(f"  {item}  {fit(sentence)}", 9)
            _print_hanging(f"         next: {fit(step)}", 11)
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
            held_together(text),
            max(shutil.get_terminal_size().columns, 2 * indent),
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    print(let_go("\n".join(lines)))


def check(one: "Check") -> None:
    """Print one check, and under it what to do about it."""
    from rich.text import Text

    styles = {"ok": "green", "warning": "bold yellow", "failure": "bold red"}
    style, result = styles.get(one.result, "dim"), one.result.replace("not_tried", "-")
    name = one.name.replace("_", " ")
    first, message, indent = f"{result:<9}", f"{name}: {runnable(one.message)}", " " * 9
    if out().width >= NARROW:
        first, message, indent = f"{result:<9}{name:<22}", runnable(one.message), " " * 31
    lines = [*fitted(message, first, indent)]
    if one.remedy:
        lines += fitted(f"-> {runnable(one.remedy)}", indent, f"{indent}   ")
    for one_line in lines:
        out().print(Text.assemble((one_line[:9], style), one_line[9:]))


_WIDE = 120
"""From here on there is room for every column."""


def register(found: "Register") -> None:
    """Print the documents, oldest first, and what those of each currency come to."""
    from productive_sage import register as registers

    width = out().width
    tables = [_register_table(found, is_wide=True)] * (width >= _WIDE)
    tables += [_register_table(found, is_wide=False)] * (width >= NARROW)
    table = next(filter(fits, tables), None)
    if table and found.rows:
        out().print(table)
    for row in () if table else found.rows:
        head, *more = _block(row, is_checked=found.is_checked)
        parts = [*fitted(head, "", "    ")]
        for text in more:
            parts += fitted(text, "  ", "  ")
        for part in parts:
            out().print(part)
    for one in registers.totals(found.rows):
        total, paid, left = (
            separated(value, one.currency) for value in (one.total, one.paid, one.open)
        )
        count = counted(one.count, "document")
        line(f"{count}: {total} {one.currency}, {paid} paid, {_credited(one)}{left} open")
    if not found.rows:
        out().print("no documents")


def _credited(total: "RegisterTotal") -> str:
    """What makes a total of more, or less, than what is paid and open; empty where nothing does."""
    if not total.credited:
        return ""
    amount = separated(abs(total.credited), total.currency)
    if total.credited > 0:
        return f"{amount} credited, "
    return f"{amount} credited to invoices not listed, "


def customers(found: "Sequence[Billed]") -> None:
    """Print which company is billed to which contact, a line or a block each."""
    from rich.table import Table
    from rich.text import Text

    console = out()
    if not found:
        console.print("no company has been billed yet")
    elif console.width < NARROW:
        for one in found:
            name = fit(one.company or one.company_id)
            line(f"{name} ({one.currency})")
            for text in (one.contact, one.why):
                for part in fitted(text, "  ", "  "):
                    console.print(part)
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for head in ("Company", "", "Contact in Sage", "Because"):
            table.add_column(head, overflow="fold")
        for one in found:
            cells = (fit(one.company or one.company_id), one.currency, fit(one.contact), one.why)
            table.add_row(*map(Text, cells))
        console.print(table)


def _register_table(found: "Register", *, is_wide: bool) -> "Table":
    from rich.table import Table
    from rich.text import Text

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
        cells = (
            *(fit(entry.number or entry.id), fit(row.sage_number), fit(entry.company.name)),
            *(str(day or "") for day in (entry.invoiced_on, entry.pay_on)[: 1 + is_wide]),
            separated(entry.total, entry.currency),
            *([separated(entry.paid, entry.currency)] if is_wide else []),
            separated(entry.unpaid, entry.currency),
            *(entry.currency, _state(row, is_checked=found.is_checked)),
        )
        table.add_row(*map(Text, cells))
    return table


def _state(row: "RegisterRow", *, is_checked: bool) -> str:
    """What became of a document, and what its copy is in Sage where that was asked."""
    from productive_sage import register as registers

    there = f"{registers.sage_state(row)} in Sage"
    asked = f" ({there})" if is_checked and row.sage_id and there != row.state else ""
    return f"{row.state}{asked}"


def _block(row: "RegisterRow", *, is_checked: bool) -> list[str]:
    entry = row.entry
    days = [str(entry.invoiced_on or ""), f"due {entry.pay_on}" if entry.pay_on else ""]
    total, left = (separated(value, entry.currency) for value in (entry.total, entry.unpaid))
    there = f" {sign('→', '->')} {fit(row.sage_number)}" if row.sage_number else ""
    return [
        f"{fit(entry.number or entry.id)}{there}  {_state(row, is_checked=is_checked)}",
        ", ".join(filter(None, (fit(entry.company.name), *days))),
        f"{total} {entry.currency}, {left} open",
    ]


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
        table.add_row(*(Text(fit(cell).strip("\n")) for cell in cells))
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
    """Print rows as CSV (see `as_csv`), into a file with the sign by which Excel knows that."""
    if not sys.stdout.isatty():
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        print(end="\ufeff")
    print(as_csv(heads, rows), end="")


def as_csv(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV that opens right in a spreadsheet, and that no spreadsheet computes.

    Numbers (`int` and `Decimal`) stay numbers, negative ones too: nothing but a number is in such a
    cell.
    """
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([cell if isinstance(cell, int) else _harmless(cell) for cell in row])
    return text.getvalue()


def _harmless(cell: Any) -> str:
    """Text that a spreadsheet takes for text: `'=1+1`."""
    if isinstance(cell, Decimal):
        return money.text(cell)
    return _ACTIVE.sub(r"\1'", fit(str(cell)))
