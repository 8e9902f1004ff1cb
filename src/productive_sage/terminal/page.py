"""Both books side by side as one page for the accountant's file: to be kept, printed and signed.

It stands by itself: no script, nothing fetched, and the browser is told to allow neither. All of it
is ASCII, so that no redirection of a shell can spoil a letter.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

from productive_sage.terminal.chart import chart
from productive_sage.terminal.reconciled import STEPS, shown, sides, spoken, verdict
from productive_sage.terminal.render import counted, fit, named, runnable, separated
from productive_sage.text import bare

if TYPE_CHECKING:
    from productive_sage.reconcile import Reconciled
    from productive_sage.reconcile.compare import ComparedPair
    from productive_sage.reconcile.sides import BookFinding, Pair
    from productive_sage.reconcile.totals import BooksTotal

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2326; --soft: #5a666b; --line: #d4dadc; --paper: #fff;
  --band: #f3f6f6; --good: #1d6b4f; --bad: #a5301f; --paid: #2c7a62; --open: #d9a02b;
  --missing: #b5402f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4eaec; --soft: #9aa8ad; --line: #3a4549;
  --paper: #15191b; --band: #1d2326; --good: #6cc9a1; --bad: #f08a78; --paid: #4fae8d;
  --open: #e0b04c; --missing: #e0705d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 3rem; max-width: 64rem; color: var(--ink);
  background: var(--paper); font: 14px/1.45 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans",
  sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 1.7rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; break-after: avoid; }
p { margin: .3rem 0; }
.soft { color: var(--soft); }
.verdict { margin: 1rem 0; padding: .6rem .9rem; border-left: 5px solid var(--bad);
  background: var(--band); font-weight: 600; }
.verdict.good { border-color: var(--good); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .8rem 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 1rem; }
th, td { padding: .28rem .5rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); border-bottom: 2px solid var(--line); }
.n { text-align: right; white-space: nowrap; }
.d { white-space: nowrap; }
.sum td { font-weight: 600; border-top: 2px solid var(--line); }
.even { table-layout: fixed; }
.even th:first-child { width: 34%; }
.found { table-layout: fixed; }
.found th:nth-child(1) { width: 21%; }
.found th:nth-child(3) { width: 11%; }
.found th:nth-child(n+4) { width: 12%; }
.found tbody { break-inside: avoid; border-bottom: 1px solid var(--line); }
.found td { border-bottom: 0; overflow-wrap: anywhere; }
.all td, .all th { padding-left: .3rem; padding-right: .3rem; }
.all td:last-child { font-weight: 400; min-width: 7.5rem; }
.kinds { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; margin: .6rem 0 1rem;
  padding: 0; }
.kinds .difference b { color: var(--bad); }
.code { font-weight: 600; color: var(--bad); }
.note .code { color: var(--soft); }
.off { color: var(--bad); font-weight: 600; }
code { font: .92em ui-monospace, "Cascadia Mono", Menlo, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; }
figure { margin: .5rem 0 1rem; break-inside: avoid; }
figcaption { color: var(--soft); }
svg { width: 100%; max-width: 42rem; height: auto; display: block; margin-top: .4rem; }
svg text { fill: var(--soft); font-size: 11px; }
.paid { fill: var(--paid); } .open { fill: var(--open); } .missing { fill: var(--missing); }
.axis { stroke: var(--line); }
.sign { display: grid; grid-template-columns: 1fr 1fr; gap: 2rem; margin-top: 3rem;
  break-inside: avoid; }
.sign div { border-top: 1px solid var(--soft); padding-top: .3rem; color: var(--soft); }
tr { break-inside: avoid; }
@page { size: A4; margin: 16mm 13mm 18mm;
  @bottom-left { content: "psage reconcile"; font: 8pt sans-serif; color: #5a666b; }
  @bottom-right { content: counter(page) " / " counter(pages); font: 8pt sans-serif;
    color: #5a666b; } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --paper: #fff;
  --band: #f3f3f3; --good: #1d6b4f; --bad: #a5301f; --paid: #2c7a62; --open: #d9a02b;
  --missing: #b5402f; }
  body { font-size: 9pt; padding: 0; max-width: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
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
    parts = [*_head(found, made), *_unread(found), *_findings(found), *_totals(found)]
    parts += [*_months(found), *_documents(found), *_end()]
    title = f"Reconciliation, {_period(found)}"
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    page = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        *parts,
        "</body></html>",
    ]
    return "\n".join(page).encode("ascii", "xmlcharrefreplace").decode()


def _text(value: object) -> str:
    return escape(fit(str(value)))


def _prose(sentence: str) -> str:
    """A sentence whose commands stand out."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(runnable(sentence)))


def _period(found: "Reconciled") -> str:
    since, until = found.time.since, found.time.until
    if since and until:
        return f"{since} to {until}"
    if since or until:
        return f"from {since} on" if since else f"until {until}"
    return "all documents"


def _head(found: "Reconciled", made: Made) -> Iterator[str]:
    yield f"<header><h1>Reconciliation</h1><p class=soft>{_text(_period(found))}</p>"
    good = " good" if found.error is None else ""
    differing, count = found.compared.differing, counted(len(found.compared.rows), "document")
    said = f"{differing} of {count} differ" if differing else verdict(found)
    yield f'<p class="verdict{good}">{_text(said)}</p>'
    yield from _summary(found)
    yield "<dl>"
    rows = [
        ("Productive", made.organization),
        ("Sage", made.business),
        ("Made by", f"{made.by}, {made.at.astimezone():%Y-%m-%d %H:%M %Z}"),
        ("Made with", f"psage {made.version}, profile {made.profile}"),
    ]
    for name, value in rows:
        yield f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>"
    yield "</dl></header>"


def _summary(found: "Reconciled") -> Iterator[str]:
    """What is on the pages behind, in a few lines: how often what is found, and the sums."""
    codes = Counter((one.severity, one.code) for _, one in found.compared.found())
    if codes:
        yield "<ul class=kinds>"
        for (severity, code), count in codes.most_common():
            yield f"<li class={severity}><b>{count}</b> {_text(spoken(code))}</li>"
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
        yield f"<table class=even><thead><tr><th>{_text(one.currency)}</th>"
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
    body = "".join(f"<td class=n>{_text(one)}</td>" for one in sure)
    return f'<tr><td>{_text(name)}</td>{body}<td class="n{off}">{_text(last)}</td></tr>'


def _steps(total: "BooksTotal") -> Iterator[str]:
    yield f"<table class=even><thead><tr><th>From Productive to Sage, {_text(total.currency)}</th>"
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
        said = "copied and paid, copied and open, and not in Sage, by the month of the document"
        yield f"<figure><figcaption>{_text(currency)}: {said}</figcaption>{chart(of_it)}</figure>"
        yield "<table class=even><thead><tr><th>Month</th><th class=n>Copied and paid</th>"
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
    command = _text(bare(str(named(f"`{one.command}`"))))
    step = f"<br><span class=soft>{_prose(one.step)}</span>" if one.step else ""
    said = f"<span class=code>{_text(spoken(one.code))}</span>: {_prose(one.message)}"
    said += f"<br><code>{command}</code>{step}"
    span = f" rowspan={len(one.figures)}"
    for n, figure in enumerate(one.figures):
        yield f'<tr class="figure{kind}">'
        if n == 0:
            yield f"<td{span}>{_document(pair) if is_first else ''}</td><td{span}>{said}</td>"
        here, there = (shown(value, pair) for value in (figure.productive, figure.sage))
        yield f"<td class=d>{_text(figure.name)}</td>"
        yield "".join(f"<td class=n>{_text(cell or '-')}</td>" for cell in (here, there))
        yield "</tr>"


def _document(pair: "Pair") -> str:
    there = pair.booked.document.number if pair.booked else ""
    there = there or (pair.copied.sage_number if pair.copied else "")
    names = [pair.number or pair.productive_id, there]
    first = " &rarr; ".join(f"<span class=d>{_text(one)}</span>" for one in names if one)
    about = f"{_text(pair.customer)}<br>{_text(pair.on or '')} {_text(pair.currency)}"
    return f"<b>{first}</b><br><span class=soft>{about}</span>"


def _unread(found: "Reconciled") -> Iterator[str]:
    said = [f"{one.name}: {one.error.message}; {one.error.hint}" for one in found.unreadable]
    said += [one.message for one in found.notices]
    if said:
        yield "<h2>What could not be compared, or not whole</h2><ul>"
        yield from (f"<li>{_prose(one)}</li>" for one in said)
        yield "</ul>"


def _documents(found: "Reconciled") -> Iterator[str]:
    rows = found.compared.rows
    if not rows:
        return
    yield f"<h2>All {counted(len(rows), 'document')}, what differs first</h2>"
    yield "<table class=all><thead><tr><th>Document</th><th>Customer</th>"
    for name in ("BooksTotal", "Paid", "Open"):
        yield f"<th class=n>{name}</th><th class=n>in Sage</th>"
    yield "<th></th></tr></thead><tbody>"
    yield from map(_line, rows)
    yield "</tbody></table>"


def _line(row: "ComparedPair") -> str:
    pair = row.pair
    there = _text(pair.booked.document.number if pair.booked else "")
    name, day = _text(pair.number or pair.productive_id), _text(pair.on or "")
    cells = [f"<td class=d>{name}<br><span class=soft>{there}</span></td>"]
    cells.append(f"<td>{_text(pair.customer)}<br><span class=soft>{day}</span></td>")
    for amount in ("total", "paid", "open"):
        here, copy = sides(pair, amount)
        if pair.booked and not pair.booked.is_booked:
            copy = None
        off = " off" if (here or 0) != (copy or 0) else ""
        cells += [f'<td class="n{off}">{_amount(one, pair)}</td>' for one in (here, copy)]
    codes = "".join(f"<br>{_text(spoken(one.code))}" for one in row.findings)
    is_off = "off" if row.differs else "soft"
    return f"<tr>{''.join(cells)}<td class={is_off}>{_text(pair.currency)}{codes}</td></tr>"


def _amount(value: Decimal | None, pair: "Pair") -> str:
    return "-" if value is None else _text(separated(value, pair.currency))


def _end() -> Sequence[str]:
    blanks = "".join(f"<div>{one}</div>" for one in ("Checked by", "Date"))
    return (f"<div class=sign>{blanks}</div>",)
