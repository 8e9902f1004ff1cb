"""A page to be kept, printed and signed, whatever is on it.

It stands by itself: no script, nothing fetched, and the browser is told to allow neither. All of it
is ASCII, so that no redirection of a shell can spoil a letter.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from productive_sage.terminal.render import fit, runnable

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
.w { white-space: nowrap; }
.sign { display: grid; grid-template-columns: 1fr 1fr; gap: 2rem; margin-top: 3rem;
  break-inside: avoid; }
.sign div { border-top: 1px solid var(--soft); padding-top: .3rem; color: var(--soft); }
tr, .kept { break-inside: avoid; }
.about { break-after: avoid; }
@page { size: A4; margin: 16mm 13mm 18mm;
  @bottom-left { content: "FOOTER"; font: 8pt sans-serif; color: #5a666b; }
  @bottom-right { content: counter(page) " / " counter(pages); font: 8pt sans-serif;
    color: #5a666b; } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --paper: #fff;
  --band: #f3f3f3; --good: #1d6b4f; --bad: #a5301f; --paid: #2c7a62; --open: #d9a02b;
  --missing: #b5402f; }
  body { font-size: 9pt; padding: 0; max-width: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def sheet(title: str, footer: str, parts: Iterable[str]) -> str:
    """The whole page; `footer` stands at the foot of each printed one."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    page = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{text(title)}</title><style>{_STYLE.replace('FOOTER', footer)}</style>",
        "</head><body>",
        *parts,
        "</body></html>",
    ]
    return "\n".join(page).encode("ascii", "xmlcharrefreplace").decode()


def text(value: object) -> str:
    """A value as it stands on the page."""
    return escape(fit(str(value)))


def prose(sentence: str) -> str:
    """A sentence whose commands stand out."""
    return re.sub(r"`([^`]+)`", lambda found: command(found[1]), text(runnable(sentence)))


def command(words: str) -> str:
    """A command, already escaped; an option is never broken at its dashes."""
    whole = re.sub(r"(?<!\S)(--[^ ]+)", r"<span class=w>\1</span>", words)
    return f"<code>{whole}</code>"


def facts(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A list of names with what they are."""
    yield "<dl>"
    for name, value in rows:
        yield f"<dt>{text(name)}</dt><dd>{text(value)}</dd>"
    yield "</dl>"


def blanks(*names: str) -> Sequence[str]:
    """Where somebody signs."""
    return (f"<div class=sign>{''.join(f'<div>{text(one)}</div>' for one in names)}</div>",)
