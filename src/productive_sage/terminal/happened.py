"""The history for people: a line for each write, in words and in their own time."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

from productive_sage.store.audit import Event
from productive_sage.terminal.render import fit, fits, fitted, out, separated, sign

_DONE = {"POST": "created", "PUT": "changed", "PATCH": "changed", "DELETE": "removed"}
_NOUNS = {
    "sales_invoices": "invoice",
    "sales_credit_notes": "credit note",
    "contacts": "customer",
    "contact_allocations": "allocation",
    "attachments": "PDF",
    "payments": "payment",
    "invoices": "document in Productive",
}
"""What each path of a service holds, in words."""


def show(events: Sequence[Event], *, now: datetime) -> None:
    """Print a line for each event: when, which document, what happened, how much."""
    from rich.table import Table
    from rich.text import Text

    rows = [_row(event, now) for event in events]
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in ("when", "document"):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    if fits(table):
        out().print(table)
        return
    for row in rows:
        for line in fitted("  ".join(filter(None, row)), "", "    "):
            out().print(line)


def _row(event: Event, now: datetime) -> tuple[str, str, str, str]:
    document = event.number or event.document
    return _when(event.at, now), fit(document), fit(_what(event)), _amount(event)


def _when(at: str, now: datetime) -> str:
    """`27 Nov 14:02`; with the year where that is another."""
    try:
        moment = datetime.fromisoformat(at).astimezone()
    except ValueError:
        return fit(at)  # somebody changed it
    year = "" if moment.year == now.astimezone().year else f" {moment.year}"
    return f"{moment.day:>2} {moment:%b}{year} {moment:%H:%M}"


def _what(event: Event) -> str:
    """`SI-1 created`, `payment changed in Productive`, or what kept it from being done."""
    method, _, path = event.what.partition(" ")
    kind = (path or event.path).strip("/").partition("/")[0]
    noun = _NOUNS.get(kind, kind.removesuffix("s").replace("_", " "))
    done = "released" if path.endswith("/release") else _DONE.get(method, "")
    late = ", as was found out later" if method == "settle" else ""
    # Found out later is the intent's end, which names no method: what makes nothing new has no key.
    done = done or ("created" if event.key else "changed")
    if event.result == "done":
        return f"{_told(event, kind, noun, done)}{late}"
    subject = f"{sign('✗', 'x')} {noun}"
    words = str(event.answer.get("words") or "")
    why = f": {words}" if words else ""
    return {
        "refused": f"{subject} refused by {event.service.capitalize()}{why}",
        "not_done": f"{subject} not {done}{why}",
        "lapsed": f"{subject} never arrived",
    }.get(event.result, f"! {noun} sent, and never answered for{why}{late}")


def _told(event: Event, kind: str, noun: str, done: str) -> str:
    """What was done, by the name people know it by."""
    said, service = event.figures, event.service.capitalize()
    number = str(event.answer.get("number") or "")
    who = event.answer.get("contact") or said.get("name") or ""
    if kind == "invoices" and said.get("exported"):
        also = f", with the number {said['number']}" if said.get("number") else ""
        return f"marked as copied in Productive{also}"
    if kind == "invoices" and said.get("number"):
        return f"number {said['number']} given in Productive"
    if kind in ("attachments", "contact_allocations") and done == "created":
        return "set against its invoice" if kind != "attachments" else f"PDF attached in {service}"
    if kind in ("sales_invoices", "sales_credit_notes") and number.endswith("DRAFT"):
        number = f"draft of {'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    named = {
        "sales_invoices": number,
        "sales_credit_notes": number,
        "contacts": f"customer {who}".strip(),
    }.get(kind)
    where = " in Productive" if event.service == "productive" else ""
    return f"{named or noun.removesuffix(where)} {done}{where}"


def _amount(event: Event) -> str:
    """The one amount that tells a write from others, and its currency."""
    said = event.figures
    currency = str(said.get("currency") or event.answer.get("currency") or "")
    value = said.get("total") or said.get("amount") or event.answer.get("total") or ""
    try:
        shown = separated(Decimal(str(value)), currency) if value else ""
    except (InvalidOperation, ValueError):
        shown = " ".join(str(value).split())  # somebody changed it
    return fit(f"{shown} {currency}".strip()) if shown else ""
