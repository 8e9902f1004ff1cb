"""A saved plan as one page: read, and signed, by whoever agrees to it before it is applied."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from productive_sage import money
from productive_sage.terminal import failures, paper, planned
from productive_sage.terminal.paper import prose, text
from productive_sage.terminal.render import separated
from productive_sage.text import counted

if TYPE_CHECKING:
    from productive_sage.copying.records import Draft, DraftLine, Outcome
    from productive_sage.copying.saved import SavedPlan

_ACTIONS = {"would_create": "to be copied", "would_update": "to be updated"}
_AMOUNTS = ("Net", "Tax", "Total")
_SHORT = 12
"""A document of so many lines is kept together on paper."""


def html(saved: "SavedPlan") -> str:
    """The whole page."""
    made_on = f"{saved.made_at.astimezone():%Y-%m-%d %H:%M}"
    parts = [*_head(saved, made_on), *_totals(saved), *_answers(saved), *_refused(saved)]
    parts += [*_overview(saved), *paper.blanks("Agreed by", "Date"), *_documents(saved)]
    return paper.sheet(f"Plan of {made_on}", "psage plan", parts)


def _planned(saved: "SavedPlan") -> "list[Outcome]":
    return [one for one in saved.outcomes if not one.error]


def _head(saved: "SavedPlan", made_on: str) -> Iterator[str]:
    kind, sent = saved.order.kind.name, [one for one in _planned(saved) if one.action in _ACTIONS]
    yield f"<header><h1>Plan: {text(kind)}s into Sage</h1><p class=soft>{text(made_on)}</p>"
    left = len(saved.outcomes) - len(sent)
    said = f"{counted(len(sent), kind)} to be sent" + (f", {left} left out" if left else "")
    yield f'<p class="verdict{"" if _errors(saved) else " good"}">{text(said)}</p>'
    yield from paper.facts(planned.made(saved))
    yield "</header>"


def _errors(saved: "SavedPlan") -> "list[Outcome]":
    return [one for one in saved.outcomes if one.error]


def _totals(saved: "SavedPlan") -> Iterator[str]:
    sums: dict[str, list[Decimal]] = {}
    for one in _planned(saved):
        if one.currency and one.action in _ACTIONS:
            before = sums.get(one.currency, [money.ZERO] * 3)
            own = [n or money.ZERO for n in _sums(one)]
            sums[one.currency] = [a + b for a, b in zip(before, own, strict=True)]
    if not sums:
        return
    yield f"<table class=even><thead><tr><th>Total</th>{_numbers(_AMOUNTS)}</tr></thead><tbody>"
    for currency, amounts in sums.items():
        cells = "".join(f"<td class=n>{text(separated(n, currency))}</td>" for n in amounts)
        yield f"<tr><td>{text(currency)}</td>{cells}</tr>"
    yield "</tbody></table>"


def _numbers(heads: tuple[str, ...]) -> str:
    return "".join(f"<th class=n>{one}</th>" for one in heads)


def _answers(saved: "SavedPlan") -> Iterator[str]:
    if saved.answers:
        yield "<h2>What was asked, and answered</h2>"
        yield from paper.facts((one.question, one.answer) for one in saved.answers)


def _refused(saved: "SavedPlan") -> Iterator[str]:
    causes = failures.causes(saved.outcomes)
    if causes:
        yield "<h2>What is left out</h2><ul>"
    for one in _errors(saved):
        if one.error:
            hint = f"; {one.error.hint}" if one.error.hint else ""
            yield f"<li>{prose(f'{one.error.message}{hint}')}</li>"
    if causes:
        yield "</ul>"


def _overview(saved: "SavedPlan") -> Iterator[str]:
    """A row a document, so that what is signed stands on few pages."""
    yield "<table class=all><thead><tr><th>Document</th><th>Customer</th><th>Date</th>"
    yield f"{_numbers(_AMOUNTS)}<th></th></tr></thead><tbody>"
    for one in _planned(saved):
        draft, customer = planned.draft_of(one), one.customer
        name = f"{customer.name}{' (new)' if customer.created else ''}" if customer else ""
        words = (name, draft.invoiced_on if draft else "")
        yield f"<tr><td class=d>{text(one.number or one.productive_id)}</td>"
        yield "".join(f"<td>{text(word)}</td>" for word in words)
        amounts = (separated(n, one.currency or "") if n is not None else "" for n in _sums(one))
        yield "".join(f"<td class=n>{text(amount)}</td>" for amount in amounts)
        yield f"<td>{text(one.currency or '')}</td></tr>"
    yield "</tbody></table>"


def _sums(one: "Outcome") -> tuple[Decimal | None, ...]:
    return one.net, one.tax, one.total


def _documents(saved: "SavedPlan") -> Iterator[str]:
    for one in _planned(saved):
        draft = planned.draft_of(one)
        is_short = draft is None or len(draft.lines) <= _SHORT
        name = f"{one.kind.name.capitalize()} {one.number or one.productive_id}"
        yield f"<section{' class=kept' if is_short else ''}>"
        yield f"<h2>{text(name)}: {text(_ACTIONS.get(one.action, one.action))}</h2>"
        yield f"<p class=about>{text(_about(one, draft))}</p>"
        for notice in one.notices:
            yield f"<p class=code>{prose(notice.message)}</p>"
        for change in one.changes:
            said = f"{change.field}: {change.old or '(new)'} -> {change.new or '(gone)'}"
            yield f"<p>{text(said)}</p>"
        if draft:
            yield from _lines(draft, (one.planned or {}).get("names", {}))
        yield "</section>"


def _about(one: "Outcome", draft: "Draft | None") -> str:
    customer = one.customer
    parts = [f"{customer.name}{' (new customer)' if customer.created else ''}"] if customer else []
    if draft:
        parts.append(f"dated {draft.invoiced_on}")
        parts += [f"due {draft.due_on}"] if draft.due_on else []
    parts += [f"in Sage {one.sage_number}"] if one.sage_number else []
    return ", ".join(parts)


def _lines(draft: "Draft", names: dict[str, str]) -> Iterator[str]:
    yield "<table class=all><thead><tr><th>Description</th><th class=n>Quantity</th>"
    yield f"<th class=n>Price</th>{_numbers(_AMOUNTS[:2])}<th>Tax rate</th><th>Ledger account</th>"
    yield "</tr></thead><tbody>"
    for line in draft.lines:
        yield _line(line, draft.currency, names)
    sums = (draft.net, draft.tax)
    cells = "".join(f"<td class=n>{text(separated(n, draft.currency))}</td>" for n in sums)
    total = f"{separated(draft.total, draft.currency)} {draft.currency}"
    last = f"<td class=n colspan=2><b>{text(total)}</b></td>"
    yield f"<tr class=sum><td colspan=3></td>{cells}{last}</tr>"
    yield "</tbody></table>"


def _line(line: "DraftLine", currency: str, names: dict[str, str]) -> str:
    rate, account = line.tax_rate_id or "", line.ledger_account_id
    less = f" - {separated(line.discount, currency)}" if line.discount else ""
    figures = (
        money.text(line.quantity.normalize()),
        separated(line.unit_price, currency) + less,
        separated(line.net, currency),
        separated(line.tax, currency),
    )
    cells = "".join(f"<td class=n>{text(one)}</td>" for one in figures)
    said = (names.get(rate, rate) or "none", names.get(account, account))
    words = "".join(f"<td>{text(one)}</td>" for one in said)
    return f"<tr><td>{text(line.description)}</td>{cells}{words}</tr>"
