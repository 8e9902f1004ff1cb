"""Both books side by side: what differs for people, rows for a spreadsheet, JSON for scripts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from productive_sage.terminal.render import (
    NARROW,
    Rows,
    fit,
    fitted,
    named,
    out,
    runnable,
    separated,
    shown_amount,
    warning,
)
from productive_sage.text import bare, counted

if TYPE_CHECKING:  # loaded where something is compared
    from productive_sage.reconcile import Reconciled
    from productive_sage.reconcile.compare import ComparedPair
    from productive_sage.reconcile.sides import BookFinding, Figure, Pair, Value
    from productive_sage.reconcile.totals import BooksTotal, Sum

SHEET = [
    *("number", "productive_id", "kind", "sage_number", "customer", "customer_in_sage", "currency"),
    *("date", "date_in_sage", "due", "due_in_sage", "net", "net_in_sage", "tax", "tax_in_sage"),
    *("total", "total_in_sage", "paid", "paid_in_sage", "open", "open_in_sage"),
    *("state", "state_in_sage", "findings", "what", "command"),
]
_COLUMN = 16
"""Of a figure, where both sides stand in columns."""
STEPS = {
    "not_in_sage": "not in Sage",
    "only_in_sage": "in Sage alone",
    "more_than_once": "in Sage more than once",
    "different": "other amounts or currency",
}


# --- for people


def show(found: "Reconciled", *, quiet: bool) -> None:
    """Print what differs, with the commands that mend it, then what both sides come to."""
    console = out()
    for row in found.compared.rows:
        if row.findings:
            title, *lines = _lines(row, is_narrow=console.width < NARROW)
            console.print(title, style="bold")
            for line in lines:
                console.print(line)
    for one in found.unreadable:
        warning(f"not compared: {one.error.message}; {one.error.hint}")
    for notice in found.notices:
        warning(notice.message)
    for line in found.adopted:
        console.print(fit(line))
    if quiet and found.error is None:
        return
    sums = [line for total in found.compared.totals for line in _total_lines(total)]
    for line in (*sums, *fitted(verdict(found), "", "")):
        console.print(line)


def verdict(found: "Reconciled") -> str:
    """The result in a sentence."""
    rows, differing = found.compared.rows, found.compared.differing
    if not rows and not found.unreadable:
        return "no documents"
    if found.error is None:
        count = counted(len(rows), "document")
        notes = sum(one.severity == "note" for _, one in found.compared.found())
        agreed = f", but for {counted(notes, 'tax', 'taxes')} agreed to before" if notes else ""
        return f"{count} compared: both books agree{agreed}"
    codes = Counter(one.code for _, one in found.compared.found() if one.severity != "note")
    kinds = ", ".join(f"{count} {spoken(code)}" for code, count in codes.most_common())
    said = f"{counted(len(rows), 'document')} compared, {differing} "
    said += "differs" if differing == 1 else "differ"
    said += f": {kinds}" if kinds else ""
    return said + (f"; {len(found.unreadable)} cannot be compared" if found.unreadable else "")


def spoken(code: str) -> str:
    """A code as people read it."""
    words = code.replace("_", " ")
    return words.replace("productive", "Productive").replace("sage", "Sage")


def title(pair: "Pair") -> str:
    """A document's own number and that of its copy."""
    there = pair.copy_number
    name = pair.number or ("" if pair.billed is None and there else pair.productive_id)
    return " → ".join(filter(None, (fit(name), fit(there))))


def _lines(row: "ComparedPair", *, is_narrow: bool) -> Iterator[str]:
    pair = row.pair
    about = ", ".join(filter(None, (fit(pair.customer), str(pair.on or ""), pair.currency)))
    yield f"{title(pair)}  {about}"
    for one in row.findings:
        bullet = "·" if one.severity == "note" else "!"
        yield from fitted(f"{spoken(one.code)}: {one.message}", f"  {bullet} ", "    ")
        for figure in one.figures:
            here, there = (shown(value, pair) for value in (figure.productive, figure.sage))
            if is_narrow or max(len(here), len(there)) > _COLUMN:
                said = f"{figure.name}: {here or '-'} in Productive, {there or '-'} in Sage"
                yield from fitted(said, "    ", "      ")
            else:
                columns = f"Productive {here or '-':>{_COLUMN}}    Sage {there or '-':>{_COLUMN}}"
                yield f"    {figure.name:<25}{columns}"
        yield from fitted(runnable(f"-> `{one.command}`"), "    ", "       ")
        if one.step:
            yield from fitted(runnable(one.step), "       ", "       ")


def shown(value: "Value", pair: "Pair") -> str:
    """A figure for people."""
    if value is None:
        return ""
    return separated(value, pair.currency) if isinstance(value, Decimal) else fit(str(value))


def _total_lines(total: "BooksTotal") -> Iterator[str]:
    currency = total.currency
    yield ""
    yield f"{currency:<26}{'Productive':>18}{'Sage':>18}"
    pairs = ("documents", total.productive.count, total.sage.count)
    yield f"  {pairs[0]:<24}{pairs[1]:>18,}{pairs[2]:>18,}"
    for name in ("net", "tax", "total", "paid", "open"):
        here, there = (
            separated(getattr(side, name), currency) for side in (total.productive, total.sage)
        )
        yield f"  {name:<24}{here:>18}{there:>18}"
    if total.steps:
        yield f"  {'from Productive to Sage':<24}{separated(total.productive.total, currency):>18}"
        for step, (count, amount) in total.steps.items():
            said = f"{STEPS[step]} ({count})"
            yield f"    {said:<34}{separated(amount, currency):>26}"
        yield f"    {'total in Sage':<34}{separated(total.sage.total, currency):>26}"
    yield ""


# --- for spreadsheets


def sheet(found: "Reconciled") -> Iterator[list[Any]]:
    """A row for each document, what differs first: amounts are numbers, all else is text."""
    for row in found.compared.rows:
        pair, here = row.pair, row.pair.billed
        there = pair.booked
        document = there.document if there else None
        cells: list[Any] = [
            *(pair.number, pair.productive_id, pair.kind.name),
            document.number if document else (pair.copied.sage_number if pair.copied else ""),
            *(here.company.name if here else "", document.contact_name if document else ""),
            pair.currency,
        ]
        days = (here and here.invoiced_on, document and document.invoiced_on)
        cells += [
            str(day or "") for day in (*days, here and here.pay_on, document and document.due_on)
        ]
        for name in ("net", "tax", "total", "paid", "open"):
            cells += ["" if one is None else one for one in sides(pair, name)]
        command = [bare(str(named(f"`{one.command}`"))) for one in row.findings]
        cells += [
            *states(pair),
            "; ".join(one.code for one in row.findings),
            "; ".join(one.message for one in row.findings),
            "; ".join(dict.fromkeys(command)),
        ]
        yield cells


def sides(pair: "Pair", name: str) -> tuple[Decimal | None, Decimal | None]:
    """An amount as Productive has it, and as Sage does."""
    here = getattr(pair.billed, "unpaid" if name == "open" else name) if pair.billed else None
    return here, getattr(pair.booked, name) if pair.booked else None


def states(pair: "Pair") -> tuple[str, str]:
    """What the document is on each side, in a word."""
    here = "missing"
    if pair.billed:
        here = "finalised" if pair.billed.is_finalised else "draft"
    there = pair.booked.document.status.lower().replace("_", " ") if pair.booked else "missing"
    return here, there


# --- for scripts


def as_json(found: "Reconciled") -> dict[str, Any]:
    """The findings, documents and totals of the public contract."""
    time = found.time
    content: dict[str, Any] = {
        "since": time.since and time.since.isoformat(),
        "until": time.until and time.until.isoformat(),
        "findings": [_finding_as_json(pair, one) for pair, one in found.compared.found()],
        "documents": Rows(found.compared.rows, _row_as_json),
        "totals": [_total_as_json(one) for one in found.compared.totals],
        "unreadable": [
            {"document": one.name, "productive_id": one.id, **one.error.as_json()}
            for one in found.unreadable
        ],
        "adopted": found.adopted,
        "warnings": [{"code": one.code, "message": one.message} for one in found.notices],
    }
    if found.error:
        content["error"] = found.error.as_json()
    return content


def _finding_as_json(pair: "Pair", one: "BookFinding") -> dict[str, Any]:
    return {
        "code": one.code,
        "severity": one.severity,
        **_names_as_json(pair),
        "message": one.message,
        "figures": [_figure_as_json(figure, pair.currency) for figure in one.figures],
        "currency": pair.currency or None,
        "command": bare(str(named(f"`{one.command}`"))),
        "next": str(named(one.step)) or None,
    }


def _names_as_json(pair: "Pair") -> dict[str, Any]:
    booked, copied = pair.booked, pair.copied
    return {
        "productive_id": pair.productive_id,
        "number": pair.number or None,
        "kind": pair.kind.code,
        "sage_id": booked.id if booked else copied.sage_id if copied else None,
        "sage_number": booked.document.number if booked else copied.sage_number if copied else None,
    }


def _figure_as_json(figure: "Figure", currency: str) -> dict[str, Any]:
    return {
        "name": figure.name,
        "productive": _plain(figure.productive, currency),
        "sage": _plain(figure.sage, currency),
    }


def _plain(value: "Value", currency: str) -> str | None:
    if isinstance(value, Decimal):
        return shown_amount(value, currency)
    return value.isoformat() if isinstance(value, date) else value


def _row_as_json(row: "ComparedPair") -> dict[str, Any]:
    pair, here = row.pair, row.pair.billed
    document = pair.booked.document if pair.booked else None
    amounts = {name: sides(pair, name) for name in ("net", "tax", "total", "paid", "open")}
    state, state_there = states(pair)
    own = {name: _plain(one, pair.currency) for name, (one, _) in amounts.items()}
    theirs = {name: _plain(one, pair.currency) for name, (_, one) in amounts.items()}
    return {
        **_names_as_json(pair),
        "productive": here
        and {
            **own,
            "currency": here.currency,
            "customer": here.company.name,
            "date": _plain(here.invoiced_on, ""),
            "due": _plain(here.pay_on, ""),
            "state": state,
        },
        "sage": document
        and {
            **theirs,
            "currency": document.currency,
            "customer": document.contact_name,
            "date": _plain(document.invoiced_on, ""),
            "due": _plain(document.due_on, ""),
            "state": state_there,
        },
        "findings": [one.code for one in row.findings],
    }


def _total_as_json(one: "BooksTotal") -> dict[str, Any]:
    return {
        "currency": one.currency,
        "productive": _sum_as_json(one.productive, one.currency),
        "sage": _sum_as_json(one.sage, one.currency),
        "difference": shown_amount(one.difference, one.currency),
        "steps": [
            {"code": code, "count": count, "amount": shown_amount(amount, one.currency)}
            for code, (count, amount) in one.steps.items()
        ],
        "proven": one.is_proven(),
    }


def _sum_as_json(one: "Sum", currency: str) -> dict[str, Any]:
    names: Sequence[str] = ("net", "tax", "total", "paid", "open")
    return {"count": one.count, **{n: shown_amount(getattr(one, n), currency) for n in names}}
