"""The records of the audit log: what one says of a write, and how each is tied to the one before.

Pure: no input or output, no clock. A record holds figures and names, never a whole body, never a
file or a secret. Its hash covers all its fields and the hash of the record before it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any, Protocol

from productive_sage import markers, money
from productive_sage.errors import (
    AmountsUnclear,
    HistoryBroken,
    OutcomeUnknown,
    PsageError,
    ServiceRefused,
)
from productive_sage.kinds import KINDS
from productive_sage.text import clean, quoted


@dataclass(frozen=True, slots=True)
class Event:
    """One write as the log tells it."""

    id: int = 0
    at: str = ""
    """When it was sent, UTC, ISO 8601."""
    who: str = ""
    """The account at the operating system."""
    command: str = ""
    service: str = ""
    """`sage` or `productive`."""
    what: str = ""
    """The request, such as `POST /sales_invoices`; `settle` for an outcome learned afterwards."""
    document: str = ""
    """The Productive id of the invoice or credit note it is about; empty where that is none."""
    number: str = ""
    """The document's number in Productive, as far as the store knew it."""
    path: str = ""
    """What was made or changed, as the service names it: `/payments/7`."""
    key: str = ""
    """What makes a create findable: Sage's `idempotency_id`, or the marker of a payment."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What was sent, or of a removal what was removed; amounts as text in major units."""
    result: str = ""
    """`sent` for one that is about to be sent; else what came of it: `done`, `refused` by the
    service, `not_done` (it was not asked, or asked to wait or to sign in), `unknown`, or `lapsed`
    for one that never arrived."""
    answer: Mapping[str, Any] = field(default_factory=dict)
    """What came back: id, number and amounts, or `words`."""
    request_id: str = ""
    sent: int | None = None
    """Of what came of a write: the id of the record that it was about to be sent. None in the
    records of a psage that kept one record of each write."""
    previous: str = ""
    hash: str = ""


COLUMNS = tuple(one.name for one in fields(Event))


# --- the chain


def sealed(event: Event, number: int, previous: str) -> dict[str, Any]:
    """The columns of a record, with its number and the hash that ties it to the one before."""
    values = {name: _stored(getattr(event, name)) for name in COLUMNS}
    values |= {"id": number, "previous": previous}
    return values | {"hash": _digest(values)}


def opened(columns: Mapping[str, Any]) -> Event:
    """A record out of its columns, also where somebody tampered with them."""
    values = dict(columns)
    for name in ("figures", "answer"):
        values[name] = _mapping(values[name])
    return Event(**values)


def _stored(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    return json.dumps(value) if isinstance(value, Mapping) else value


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"text": text}


def _digest(columns: Mapping[str, Any]) -> str:
    import hashlib  # takes 4 ms, and `status` needs none

    # A column that came later is empty in older records, and was not there when they were sealed.
    covered = {
        name: value for name, value in columns.items() if name != "hash" and value is not None
    }
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check(records: Iterable[Mapping[str, Any]], end: tuple[int, str] | None) -> tuple[int, str]:
    """How many records there are, all whole, and the hash of the last.

    `records` are columns in order; `end` is the number and hash of the last record as they were
    noted apart from it. Raises HistoryBroken naming the first record that is not as written.
    """
    count, previous = 0, ""
    for record in records:
        if record["id"] != count + 1:
            raise HistoryBroken(count + 1, "is missing")
        if _digest(record) != record["hash"]:
            raise HistoryBroken(count + 1, "was changed")
        if record["previous"] != previous:
            # Changed, and its own hash made anew: the one after it still carries the old.
            raise HistoryBroken(max(count, 1), "was replaced")
        count, previous = count + 1, record["hash"]
    if end is None:
        if count:
            raise HistoryBroken(count, "may not be the last: the note of which that is, is gone")
        return 0, ""
    last, digest = end
    if last > count:
        raise HistoryBroken(count + 1, "is missing: " + _cut_off(count + 1, last))
    if last < count:
        raise HistoryBroken(last + 1, "was not written by psage")
    if digest != previous:
        raise HistoryBroken(count, "was replaced")
    return count, previous


def _cut_off(first: int, last: int) -> str:
    return "it was the last" if first == last else f"all from there to {last} are"


# --- what is sent

_NAMES = {
    "date": "date",
    "due_date": "due_date",
    "original_invoice_date": "original_date",
    "paid_on": "paid_on",
    "written_off_on": "written_off_on",
    "reference": "reference",
    "currency_id": "currency",
    "invoice_number": "number",
    "credit_note_number": "number",
    "number": "number",
    "contact_id": "contact_id",
    "name": "name",
    "source_guid": "source_guid",
    "file_name": "file",
    "size": "bytes",
    "attachment_id": "attachment_id",
    "exported": "exported",
    "export_id": "export_id",
}
"""What of a body is told as it is, and how the log calls it."""


RELEASE = "/release"
"""Ends the path of a request that changes the record before it."""


@dataclass(frozen=True, slots=True)
class About:
    """What a write is about, as whoever sends it knows."""

    document: str = ""
    """The Productive id of an invoice or credit note; empty for a customer."""
    number: str = ""
    """Its number in Productive."""
    currency: str = ""
    """Of its amounts."""
    removed: Mapping[str, Any] = field(default_factory=dict)
    """The figures of what a removal removes."""


def sent(service: str, method: str, path: str, content: Mapping[str, Any], about: About) -> Event:
    """A write that is about to be sent; `content` is the record in its body."""
    key = content.get("idempotency_id") or (_payment_marker(content) if method == "POST" else "")
    return Event(
        service=service,
        what=f"{method} {path}",
        document=about.document,
        number=about.number,
        path=path.removesuffix(RELEASE),
        key=str(key),
        figures=in_currency({**figures(content), **about.removed}, about.currency),
        result="sent",
    )


def content_of(body: Any) -> Mapping[str, Any]:
    """The record in a body: Sage's has its name around it, Productive's is JSON:API."""
    if not body:
        return {}
    if "data" in body:
        attributes: Mapping[str, Any] = body["data"]["attributes"]
        return attributes
    (content,) = body.values()
    return dict(content)


def _payment_marker(content: Mapping[str, Any]) -> str:
    """What marks a payment as psage's; imported here, since to read the log needs none of it."""
    return markers.in_note(str(content.get("note") or "")) or ""


def figures(content: Mapping[str, Any]) -> dict[str, Any]:
    """What matters of a record that is sent.

    A Productive amount is `amount_minor` here, since nothing in a payment names its currency.
    """
    said = {
        ours: content[theirs]
        for theirs, ours in _NAMES.items()
        if content.get(theirs) not in (None, "")
    }
    lines = content.get("invoice_lines") or content.get("credit_note_lines")
    if lines:
        net = sum((Decimal(line["net_amount"]) for line in lines), money.ZERO)
        said["net"] = money.text(net)
        taxes = [Decimal(line["tax_amount"]) for line in lines if "tax_amount" in line]
        if len(taxes) == len(lines):  # else Sage computes the tax
            tax = sum(taxes, money.ZERO)
            said |= {"tax": money.text(tax), "total": money.text(net + tax)}
        said["tax_rate"] = ", ".join(sorted({line.get("tax_rate_id") or "none" for line in lines}))
        said["lines"] = len(lines)
    if artefacts := content.get("allocated_artefacts"):
        given, taken = min(artefacts, key=_amount), max(artefacts, key=_amount)
        said |= {"amount": money.text(_amount(taken)), "to": taken["artefact_id"]}
        said["from"] = given["artefact_id"]
    if "amount" in content:
        said["amount_minor"] = content["amount"]
    if note := _payment_marker(content):
        said["receipt"] = note.split()[1].partition("/")[0]
    if address := content.get("main_address"):
        said["country"] = address.get("country_id", "")
    if "file" in content:
        said["bytes"] = len(content["file"]) * 3 // 4 - content["file"][-2:].count("=")
    return said


def in_currency(said: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Figures of a document in `currency`.

    Hundredths become an amount; what Productive counts where a currency has none is not certain.
    """
    told = dict(said)
    if not currency or not {"amount", "amount_minor"} & told.keys():
        return told
    if "amount_minor" in told and money.digits(currency) == 2:
        told["amount"] = money.text(money.from_minor(told.pop("amount_minor"), 2))
    return {"currency": currency, **told}


def _amount(artefact: Mapping[str, Any]) -> Decimal:
    return Decimal(artefact["amount"])


# --- what comes back


class Answer(Protocol):
    """A usable answer of a service."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def document(self) -> Any:
        """The parsed JSON."""


def answered(event: Event, outcome: Answer | BaseException, request_id: str) -> Event:
    """What came of a write: the answer, or what was raised."""
    path, result = event.path, "done"
    if isinstance(outcome, BaseException):
        result, said = _failure(outcome)
    else:
        said = answer(outcome.document)
        if event.what.startswith(("POST ", "PUT ")) and not said:
            result, said = "unknown", {"words": f"the answer ({outcome.status}) names no id"}
        elif event.what.startswith("POST ") and not event.what.endswith(RELEASE):
            path = f"{path}/{said['id']}"
    return replace(event, path=path, result=result, answer=said, request_id=request_id)


def _failure(error: BaseException) -> tuple[str, dict[str, Any]]:
    """Whether a write that failed may have been done, and why it failed."""
    if isinstance(error, ServiceRefused):
        return "refused", {"words": error.words[:_WORDS_LIMIT]}
    if isinstance(error, PsageError):
        result = "unknown" if isinstance(error, OutcomeUnknown) else "not_done"
        return result, {"words": error.message[:_WORDS_LIMIT]}
    if isinstance(error, KeyboardInterrupt):
        return "unknown", {"words": "psage was interrupted before the answer"}
    return "unknown", {"words": f"psage met something it does not expect ({type(error).__name__})"}


def answer(document: Any) -> dict[str, Any]:
    """Id, number, customer and amounts of what a service says it made; empty without an id.

    What of it is odd is left out: the write is told, whatever its answer looks like.
    """
    if row := _within(document, "data"):
        said = {"id": row.get("id"), "number": _within(row, "attributes").get("number")}
    else:
        row = document if isinstance(document, dict) else {}
        currency = _within(row, "currency").get("id")
        said = {
            "id": row.get("id"),
            "number": _number(row),
            "contact": row.get("contact_name") or row.get("name"),
            "currency": currency,
            **{name: _exact(row.get(f"{name}_amount"), currency) for name in _SUMS},
        }
    told = {name: quoted(value, _MOST) for name, value in said.items() if _is_word(value)}
    return told if "id" in told else {}


_SUMS, _MOST, _WORDS_LIMIT = ("net", "tax", "total"), 200, 500


def _within(document: Any, name: str) -> Mapping[str, Any]:
    """An object in another, empty where there is none."""
    inner = document.get(name) if isinstance(document, dict) else None
    return inner if isinstance(inner, dict) else {}


def _is_word(value: Any) -> bool:
    """Whether a value is a text or a number that can be told."""
    return bool(value) and isinstance(value, str | int) and not isinstance(value, bool)


def _exact(value: Any, currency: Any) -> str:
    """With all the currency's decimals, or as Sage sent it where it has more; empty for no sum."""
    try:
        amount = money.parse(value)
        is_exact = isinstance(currency, str) and money.is_exact(amount, currency)
        return money.amount(amount, currency) if is_exact else money.text(amount)
    except AmountsUnclear:
        return ""


def _number(document: Mapping[str, Any]) -> str:
    """As people see it; whether Sage repeats the prefix in the number is not documented."""
    for kind in KINDS.values():
        if number := document.get(kind.number):
            prefix = document.get(f"{kind.number}_prefix") or ""
            return str(number) if str(number).startswith(str(prefix)) else f"{prefix}{number}"
    return ""
