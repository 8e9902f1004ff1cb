"""Both books side by side as one page for the accountant's file: to be kept, printed and signed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from productive_sage.terminal import paper
from productive_sage.terminal.chart import chart
from productive_sage.terminal.paper import prose, text
from productive_sage.terminal.reconciled import STEPS, shown, sides, spoken, verdict
from productive_sage.terminal.render import named, separated
from productive_sage.text import bare, counted

if TYPE_CHECKING:
    from productive_sage.reconcile import Reconciled
    from productive_sage.reconcile.compare import ComparedPair
    from productive_sage.reconcile.sides import BookFinding, Pair
    from productive_sage.reconcile.totals import BooksTotal

_MORE = "Sage less Productive"


@dataclass(frozen=True, slots=True)
class Made:
    """Who made the page, when, with what, and of which books."""

    by: str
    at: datetime
    version: str
    profile: str
    organization: str
    business: str


def html(found: "Reconciled", made: Made) -> str:
    """The whole page."""
    # The summary is what somebody signs: at the end of the list a sheet of its own might be left.
    parts = [*_head(found, made), *paper.blanks("Checked by", "Date")]
    parts += [*_unread(found), *_findings(found), *_totals(found)]
    parts += [*_months(found), *_documents(found)]
    # On each sheet of paper, so that a loose one is known again: no name, which CSS may misread.
    footer = f"psage reconcile, {_period(found)}, made {made.at.astimezone():%Y-%m-%d %H:%M %Z}"
    return paper.sheet(f"Reconciliation, {_period(found)}", footer, parts)


def _period(found: "Reconciled") -> str:
    since, until = found.time.since, found.time.until
    if since and until:
        return f"{since} to {until}"
    if since or until:
        return f"from {since} on" if since else f"until {until}"
    return "all documents"


def _head(found: "Reconciled", made: Made) -> Iterator[str]:
    yield f"<header><h1>Reconciliation</h1><p class=soft>{text(_period(found))}</p>"
    good = " good" if found.error is None else ""
    differing, count = found.compared.differing, counted(len(found.compared.rows), "document")
    said = f"{differing} of {count} differ" if differing else verdict(found)
    if differing and found.unreadable:
        said += f", and {len(found.unreadable)} cannot be compared"
    yield f'<p class="verdict{good}">{text(said)}</p>'
    yield from _summary(found)
    rows = [
        ("Productive", made.organization),
        ("Sage", made.business),
        ("Made by", f"{made.by}, {made.at.astimezone():%Y-%m-%d %H:%M %Z}"),
        ("Made with", f"psage {made.version}, profile {made.profile}"),
    ]
    yield from paper.facts(rows)
    yield "</header>"


def _summary(found: "Reconciled") -> Iterator[str]:
    """What is on the pages behind, in a few lines: how often what is found, and the sums."""
    codes = Counter((one.severity, one.code) for _, one in found.compared.found())
    if codes:
        yield "<ul class=kinds>"
        for (severity, code), count in codes.most_common():
            yield f"<li class={severity}><b>{count}</b> {text(spoken(code))}</li>"
        yield "</ul>"
    yield "<table class=even><thead><tr><th>Total</th><th class=n>Productive</th>"
    yield f"<th class=n>Sage</th><th class=n>{_MORE}</th></tr></thead><tbody>"
    for one in found.compared.totals:
        amounts = (one.productive.total, one.sage.total, one.difference)
        said = (separated(n, one.currency) for n in amounts)
        yield _row(one.currency, *said, is_off=bool(one.difference))
    yield "</tbody></table>"


# --- totals


def _totals(found: "Reconciled") -> Iterator[str]:
    if not found.compared.totals:
        return
    yield "<h2>What both sides come to</h2>"
    for one in found.compared.totals:
        yield f"<table class=even><thead><tr><th>{text(one.currency)}</th>"
        yield f"<th class=n>Productive</th><th class=n>Sage</th><th class=n>{_MORE}</th></tr>"
        yield "</thead><tbody>"
        counts = (one.productive.count, one.sage.count)
        yield _row("documents", *(f"{n:,}" for n in (*counts, counts[1] - counts[0])))
        for name in ("net", "tax", "total", "paid", "open"):
            here, there = getattr(one.productive, name), getattr(one.sage, name)
            said = (separated(n, one.currency) for n in (here, there, there - here))
            yield _row(name, *said, is_off=here != there)
        yield "</tbody></table>"
        if one.steps:
            yield from _steps(one)


def _row(name: str, *cells: str, is_off: bool = False) -> str:
    *sure, last = cells
    off = " off" if is_off else ""
    body = "".join(f"<td class=n>{text(one)}</td>" for one in sure)
    return f'<tr><td>{text(name)}</td>{body}<td class="n{off}">{text(last)}</td></tr>'


def _steps(total: "BooksTotal") -> Iterator[str]:
    yield f"<table class=even><thead><tr><th>From Productive to Sage, {text(total.currency)}</th>"
    yield "<th class=n>Documents</th><th class=n>Amount</th></tr></thead><tbody>"
    first, last = (separated(n, total.currency) for n in (total.productive.total, total.sage.total))
    yield _row("total in Productive", f"{total.productive.count:,}", first)
    for step, (count, amount) in total.steps.items():
        yield _row(STEPS[step], f"{count:,}", separated(amount, total.currency))
    row = _row("total in Sage", f"{total.sage.count:,}", last)
    yield row.replace("<tr>", "<tr class=sum>") + "</tbody></table>"


def _months(found: "Reconciled") -> Iterator[str]:
    months = [one for one in found.compared.months if one.month]
    if not months:
        return
    yield "<h2>By month</h2>"
    for currency in dict.fromkeys(one.currency for one in months):
        of_it = [one for one in months if one.currency == currency]
        said = "copied and settled (paid or credited), copied and open, and not in Sage, by the "
        said += "month of the document"
        yield f"<figure><figcaption>{text(currency)}: {said}</figcaption>{chart(of_it)}</figure>"
        yield "<table class=even><thead><tr><th>Month</th><th class=n>Copied and settled</th>"
        yield "<th class=n>Copied and open</th><th class=n>Not in Sage</th></tr></thead><tbody>"
        for one in of_it:
            amounts = (separated(n, currency) for n in (one.paid, one.open, one.not_copied))
            yield _row(one.month, *amounts, is_off=bool(one.not_copied))
        yield "</tbody></table>"


# --- findings and documents


def _findings(found: "Reconciled") -> Iterator[str]:
    rows = [row for row in found.compared.rows if row.findings]
    if not rows:
        return
    yield "<h2>What differs</h2><table class=found><thead><tr><th>Document</th>"
    yield "<th>Finding</th><th></th><th class=n>Productive</th><th class=n>Sage</th></tr></thead>"
    for row in rows:
        yield "<tbody>"
        for n, one in enumerate(row.findings):
            yield from _finding(row.pair, one, is_first=n == 0)
        yield "</tbody>"
    yield "</table>"


def _finding(pair: "Pair", one: "BookFinding", *, is_first: bool) -> Iterator[str]:
    kind = " note" if one.severity == "note" else ""
    command = text(bare(str(named(f"`{one.command}`"))))
    step = f"<br><span class=soft>{prose(one.step)}</span>" if one.step else ""
    said = f"<span class=code>{text(spoken(one.code))}</span>: {prose(one.message)}"
    said += f"<br>{paper.command(command)}{step}"
    span = f" rowspan={len(one.figures)}"
    for n, figure in enumerate(one.figures):
        yield f'<tr class="figure{kind}">'
        if n == 0:
            yield f"<td{span}>{_document(pair) if is_first else ''}</td><td{span}>{said}</td>"
        here, there = (shown(value, pair) for value in (figure.productive, figure.sage))
        yield f"<td class=d>{text(figure.name)}</td>"
        yield "".join(f"<td class=n>{text(cell or '-')}</td>" for cell in (here, there))
        yield "</tr>"


def _document(pair: "Pair") -> str:
    names = [pair.number or pair.productive_id, pair.copy_number]
    first = " &rarr; ".join(f"<span class=d>{text(one)}</span>" for one in names if one)
    about = f"{text(pair.customer)}<br>{text(pair.on or '')} {text(pair.currency)}"
    return f"<b>{first}</b><br><span class=soft>{about}</span>"


def _unread(found: "Reconciled") -> Iterator[str]:
    said = [f"{one.name}: {one.error.message}; {one.error.hint}" for one in found.unreadable]
    said += [one.message for one in found.notices]
    if said:
        yield "<h2>What could not be compared, or not whole</h2><ul>"
        yield from (f"<li>{prose(one)}</li>" for one in said)
        yield "</ul>"


def _documents(found: "Reconciled") -> Iterator[str]:
    rows = found.compared.rows
    if not rows:
        return
    yield f"<h2>All {counted(len(rows), 'document')}, what differs first</h2>"
    yield "<table class=all><thead><tr><th>Document</th><th>Customer</th>"
    for name in ("Total", "Paid", "Open"):
        yield f"<th class=n>{name}</th><th class=n>in Sage</th>"
    yield "<th></th></tr></thead><tbody>"
    yield from map(_line, rows)
    yield "</tbody></table>"


def _line(row: "ComparedPair") -> str:
    pair = row.pair
    there = text(pair.copy_number)
    name, day = text(pair.number or pair.productive_id), text(pair.on or "")
    cells = [f"<td class=d>{name}<br><span class=soft>{there}</span></td>"]
    cells.append(f"<td>{text(pair.customer)}<br><span class=soft>{day}</span></td>")
    for amount in ("total", "paid", "open"):
        here, copy = sides(pair, amount)
        if pair.booked and not pair.booked.is_booked:
            copy = None
        off = " off" if (here or 0) != (copy or 0) else ""
        cells += [f'<td class="n{off}">{_amount(one, pair)}</td>' for one in (here, copy)]
    codes = "".join(f"<br>{text(spoken(one.code))}" for one in row.findings)
    is_off = "off" if row.differs else "soft"
    return f"<tr>{''.join(cells)}<td class={is_off}>{text(pair.currency)}{codes}</td></tr>"


def _amount(value: Decimal | None, pair: "Pair") -> str:
    return "-" if value is None else text(separated(value, pair.currency))
