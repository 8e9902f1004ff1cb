"""A saved plan for people: a table, a sheet with a row a line, one JSON document."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from productive_sage import money
from productive_sage.terminal import copies
from productive_sage.terminal.render import fit, line, shown_amount

if TYPE_CHECKING:
    from productive_sage.copying.records import Draft, Outcome
    from productive_sage.copying.saved import SavedPlan

SHEET = (
    *("document", "productive_id", "kind", "action", "sage_number", "customer", "new_customer"),
    *("date", "due_date", "description", "quantity", "unit_price", "discount", "net", "tax"),
    *("tax_rate", "ledger_account", "currency", "warnings", "error_code", "error"),
)


def made(saved: "SavedPlan") -> list[tuple[str, str]]:
    """Who made a plan, when, with what, and of which books."""
    return [
        ("Productive", saved.productive.shown),
        ("Sage", saved.sage.shown),
        ("Made by", f"{saved.made_by}, {saved.made_at.astimezone():%Y-%m-%d %H:%M %Z}"),
        ("Made with", f"psage {saved.psage}, profile {saved.profile}"),
    ]


def show(saved: "SavedPlan", *, verbose: bool) -> None:
    """Print a plan as a dry run does, with who made it and what they answered."""
    for name, said in made(saved):
        line(f"{name}: {fit(said)}")
    for one in saved.answers or ():
        line(f"Asked: {fit(one.question)} Answered: {fit(one.answer) or '(nothing)'}")
    line("")
    copies.show(saved.outcomes, dry_run=True, quiet=False, verbose=verbose)


def as_json(saved: "SavedPlan") -> dict[str, Any]:
    """The plan as `copy-invoice --dry-run --json` says it, with who made it."""
    outcomes = saved.outcomes
    content = copies.as_json(outcomes)
    content.pop("error", None)
    for result, outcome in zip(content["results"], outcomes, strict=True):
        result["lines"] = [_line_as_json(*one) for one in _lines(outcome)]
    return {
        "plan": {
            "made_at": saved.made_at.isoformat(),
            "made_by": saved.made_by,
            "psage": saved.psage,
            "profile": saved.profile,
            "productive": {"id": saved.productive.id, "name": saved.productive.name},
            "sage": {"id": saved.sage.id, "name": saved.sage.name},
            "answers": [
                {"question": one.question, "answer": one.answer} for one in saved.answers or ()
            ],
        },
        **content,
    }


def sheet(saved: "SavedPlan") -> Iterator[list[Any]]:
    """A row for each line; a document without any has one row."""
    for outcome in saved.outcomes:
        for cells in [_cells(*one) for one in _lines(outcome)] or [[""] * 8]:
            yield [*_head(outcome), *cells, *_tail(outcome)]


def draft_of(outcome: "Outcome") -> "Draft | None":
    """What would be sent of a document, where there is something."""
    found: Draft | None = (outcome.planned or {}).get("draft")
    return found


def _lines(outcome: "Outcome") -> "list[tuple[Any, dict[str, str], str]]":
    """(line, names of ids, currency) of what would be sent."""
    draft = draft_of(outcome)
    names = outcome.planned["names"] if outcome.planned else {}
    return [(one, names, draft.currency) for one in draft.lines] if draft else []


def _line_as_json(one: Any, names: dict[str, str], currency: str) -> dict[str, Any]:
    rate, account = one.tax_rate_id, one.ledger_account_id
    return {
        "description": one.description,
        "quantity": money.text(one.quantity.normalize()),
        "unit_price": money.text(one.unit_price.normalize()),
        "discount": shown_amount(one.discount, currency),
        "net": shown_amount(one.net, currency),
        "tax": shown_amount(one.tax, currency),
        "tax_rate": {"id": rate, "name": names.get(rate, rate)} if rate else None,
        "ledger_account": {"id": account, "name": names.get(account, account)},
    }


def _cells(one: Any, names: dict[str, str], currency: str) -> list[Any]:
    said = _line_as_json(one, names, currency)
    rate = said["tax_rate"]
    figures = (said[key] for key in ("quantity", "unit_price", "discount", "net", "tax"))
    account = said["ledger_account"]["name"]
    return [said["description"], *figures, rate["name"] if rate else "", account]


def _head(outcome: "Outcome") -> list[Any]:
    draft, customer = draft_of(outcome), outcome.customer
    return [
        outcome.number,
        outcome.productive_id,
        outcome.kind.code,
        outcome.action,
        outcome.sage_number or "",
        customer.name if customer else "",
        "yes" if customer and customer.created else "",
        draft.invoiced_on if draft else "",
        (draft.due_on or "") if draft else "",
    ]


def _tail(outcome: "Outcome") -> list[Any]:
    error = outcome.error
    return [
        outcome.currency or "",
        "; ".join(notice.message for notice in outcome.notices),
        error.code if error else "",
        error.message if error else "",
    ]
