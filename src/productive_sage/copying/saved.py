"""A plan that is saved: made now, read by whom it concerns, carried out later exactly as it is.

It holds what `plan.py` plans, as a value: for each document what Productive said, who is billed,
what is sent, and the copy as it stood; and what all of it hangs on, the settings and the books.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from productive_sage.copying.adopt import Found
from productive_sage.copying.answered import GivenAnswer, Recording
from productive_sage.copying.new_customers import NewCustomer
from productive_sage.copying.order import CopyOrder
from productive_sage.copying.plain import plain, value_of
from productive_sage.copying.plan import CopyPlan
from productive_sage.copying.records import Draft, Outcome
from productive_sage.desk import Desk
from productive_sage.errors import PsageError
from productive_sage.kept import Contact
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.settings import SETTINGS, Settings

Facts = Mapping[str, Any]
"""A value as JSON has it, by which two plans are compared."""
NEW, LEAVE, UPDATE, CREATE, ADOPT = "new", "leave", "update", "create", "adopt"


@dataclass(frozen=True, slots=True)
class PlannedDocument:
    """One document of a saved plan."""

    told: Outcome
    """What would become of it, as a dry run says it."""
    source: Facts | None = None
    """What Productive said; None where nothing is to be done."""
    plan: Facts | None = None
    """What is to be done, and the copy as it stood; None where that is nothing."""


@dataclass(frozen=True, slots=True)
class Party:
    """A set of books: the organisation in Productive, or the business in Sage."""

    id: str
    name: str

    @property
    def shown(self) -> str:
        """Its name with its id."""
        return f"{self.name} ({self.id})" if self.name else self.id


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A whole plan."""

    psage: str
    """The version that made it."""
    made_at: datetime
    """By Sage's clock."""
    made_by: str
    profile: str
    productive: Party
    sage: Party
    settings: Facts
    books: Facts
    order: CopyOrder
    """What was asked for; its keys are the documents that are to be sent."""
    answers: tuple[GivenAnswer, ...] | None
    """What a person answered while it was made; None where nobody could be asked."""
    documents: tuple[PlannedDocument, ...]

    @property
    def outcomes(self) -> list[Outcome]:
        """What would become of each document."""
        return [one.told for one in self.documents]


class PlanKeeper:
    """Keeps what is planned for each document of a run, and what a person answers meanwhile."""

    def __init__(self, order: CopyOrder, desk: Desk) -> None:
        desk.doubt_facts()  # or what was read in the morning would seem to have changed since
        self._recording = Recording(desk.ask) if desk.ask else None
        self._planned: dict[str, tuple[Invoice, CopyPlan | Found]] = {}
        self.order = replace(order, is_saved=True)
        self.desk = replace(desk, ask=self._recording)

    def __call__(self, invoice: Invoice, plan: Callable[[], Any]) -> Any:
        """What is planned, as it is (see `copying.Check`)."""
        planned = plan()
        if isinstance(planned, CopyPlan | Found):
            self._planned[invoice.id] = invoice, planned
        return planned

    def saved(
        self, outcomes: Sequence[Outcome], by: str, *, version: str, profile: str
    ) -> SavedPlan:
        """The whole plan, made `by` somebody, after what a dry run said of each document."""
        desk, documents = self.desk, tuple(map(self._document, outcomes))
        known = desk.store.cursors.sign_ins()
        names = {service: one.name for service, one in known.items() if one}
        books = books_of(desk)
        made_at = desk.sage.now()
        return SavedPlan(
            psage=version,
            made_at=made_at,
            made_by=by,
            profile=profile,
            productive=Party(desk.productive.organization_id, names.get("Productive", "")),
            sage=Party(desk.sage.business_id, names.get("Sage", "")),
            settings=settings_of(desk.settings),
            books=books,
            order=order_of(self.order, documents, made_at),
            answers=tuple(self._recording.answers) if self._recording else None,
            documents=documents,
        )

    def _document(self, told: Outcome) -> PlannedDocument:
        """A document as it is saved; one that cannot be copied, or need not, is only told."""
        if told.error or told.productive_id not in self._planned:
            return PlannedDocument(told)
        invoice, planned = self._planned[told.productive_id]
        return PlannedDocument(told, source(invoice), facts(planned))


def order_of(order: CopyOrder, documents: Sequence[PlannedDocument], at: datetime) -> CopyOrder:
    """The order that carries the documents out, of a plan made `at` that time."""
    wanted = [one for one in documents if one.plan]
    new = {
        (str(one.plan["customer"]["company"]), str(one.told.currency)): at
        for one in wanted
        if one.plan and NEW in one.plan.get("customer", {})
    }
    return replace(
        order,
        keys=tuple(one.told.productive_id for one in wanted),
        by_id=True,
        by_number=False,
        count=order.count or len(order.documents()),
        new_since=new,
        numbers={one.told.productive_id: one.told.number for one in wanted},
        is_reported=False,
    )


# --- what is compared

_NO_MATTER = frozenset(
    ("pdf_folder", "sync_payments", "sync_payments_from", "settlement_discount")
) | {"sage_calls_per_second", "endpoints"}
"""The settings on which no copy hangs."""
_PASSING = ("pdf_url", "export_id")
"""What Productive says of a document, and no copy is made from."""


def settings_of(settings: Settings) -> Facts:
    """The settings that a plan hangs on."""
    return {key: plain(getattr(settings, key)) for key in SETTINGS if key not in _NO_MATTER}


def books_of(desk: Desk) -> Facts:
    """What of the business in Sage every plan hangs on, read anew."""
    books = desk.books(anew=True)
    return {
        "country": books.country,
        "base currency": books.base_currency,
        "foreign currencies": books.is_multi_currency,
        "tax scheme": books.tax_scheme,
    }


def source(invoice: Invoice) -> Facts:
    """What Productive says of a document, as far as a copy is made from it."""
    said = {key: one for key, one in plain(invoice).items() if key not in _PASSING}
    if said["credited"]:
        del said["credited"]["export_id"]
    return said


def facts(planned: CopyPlan | Found) -> Facts:
    """What is planned, as it is compared."""
    if isinstance(planned, Found):
        link = planned.link
        return {"action": ADOPT, "copy": {"id": link.sage_id, "number": link.sage_number}}
    *_, request = planned.requests
    (kind,) = request["body"]
    body = {key: one for key, one in request["body"][kind].items() if key != "contact_id"}
    action = CREATE if planned.link is None else LEAVE if planned.is_idle else UPDATE
    return {
        "action": action,
        "which copy": planned.copy_number,
        "customer": _customer(planned.customer),
        "sent": {**request, "body": plain(body)},
        "copy": _document(planned.present),
        "credited copy": _document(planned.credited.document if planned.credited else None),
        "warnings": sorted({notice.code for notice in planned.draft.notices}),
    }


def _customer(customer: Contact | NewCustomer) -> Facts:
    if isinstance(customer, NewCustomer):
        return {NEW: plain(customer.body), "company": customer.company_id}
    return {
        "id": customer.id,
        "name": customer.name,
        "country": customer.country,
        "currency": customer.currency,
        "tax number": customer.tax_number,
        "mark": customer.marker,
    }


def _document(document: SageDocument | None) -> Facts | None:
    if document is None:
        return None
    return {key: one for key, one in plain(document).items() if key != "url"}


# --- as JSON

_OF_THE_RUN = (
    *("keys", "by_id", "by_number", "pdf", "is_saved", "count", "new_since"),
    *("numbers", "is_reported"),
)
"""What of an order is not what a person asked for, or is in the documents."""


def as_json(saved: SavedPlan) -> dict[str, Any]:
    """The whole plan."""
    order = {one.name: getattr(saved.order, one.name) for one in fields(CopyOrder)}
    return {
        **{
            name: plain(getattr(saved, name))
            for name in ("psage", "made_at", "made_by", "profile", "productive", "sage")
        },
        "settings": plain(saved.settings),
        "books": plain(saved.books),
        "count": saved.order.count,
        "order": {key: plain(one) for key, one in order.items() if key not in _OF_THE_RUN},
        "answers": plain(saved.answers),
        "documents": [_document_as_json(one) for one in saved.documents],
    }


def from_json(content: Mapping[str, Any]) -> SavedPlan:
    """What `as_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
    documents = tuple(map(_document_from_json, content["documents"]))
    made_at = datetime.fromisoformat(content["made_at"])
    asked: CopyOrder = value_of(CopyOrder, {**content["order"], "keys": []})
    asked = replace(asked, is_saved=True, count=content["count"])
    answers = content["answers"]
    return SavedPlan(
        psage=content["psage"],
        made_at=made_at,
        made_by=content["made_by"],
        profile=content["profile"],
        productive=value_of(Party, content["productive"]),
        sage=value_of(Party, content["sage"]),
        settings=content["settings"],
        books=content["books"],
        order=order_of(asked, documents, made_at),
        answers=None if answers is None else value_of(tuple[GivenAnswer, ...], answers),
        documents=documents,
    )


def _document_as_json(one: PlannedDocument) -> dict[str, Any]:
    told, planned = one.told, one.told.planned or {}
    error = told.error.as_json() if told.error else None
    return {
        "told": {**plain(replace(told, error=None, planned=None)), "error": error},
        "draft": plain(planned.get("draft")),
        "names": plain(planned.get("names", {})),
        "requests": plain(planned.get("requests", [])),
        "source": plain(one.source),
        "plan": plain(one.plan),
    }


def _document_from_json(row: Mapping[str, Any]) -> PlannedDocument:
    error, draft = row["told"]["error"], row["draft"]
    told: Outcome = value_of(Outcome, {**row["told"], "error": None})
    planned = {"names": row["names"], "requests": row["requests"]}
    if draft is not None:
        planned["draft"] = value_of(Draft, draft)
    return PlannedDocument(
        replace(
            told,
            error=PsageError.from_json(error) if error else None,
            planned=planned if draft else None,
        ),
        row["source"],
        row["plan"],
    )


# --- what differs


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that is not as it was when the plan was made."""

    where: str
    """Productive, Sage, or the settings."""
    field: str
    then: str
    now: str

    @property
    def said(self) -> str:
        """In words."""
        return f"{self.field} in {self.where}: then {self.then or 'none'}, now {self.now or 'none'}"


_WORDS = {
    "invoiced_on": "date",
    "pay_on": "due date",
    "due_on": "due date",
    "original_on": "date of the credited invoice",
    "is_finalised": "finalised",
    "bill_to": "billing address",
    "contact_id": "customer",
    "contact_name": "customer",
    "changed_at": "last changed",
    "outstanding": "open amount",
    "is_editable": "can be edited",
    "is_in_tax_return": "in a tax return",
    "settlements": "payments",
    "items": "item links",
    "body": "",
    "invoice_lines": "lines",
    "credit_note_lines": "lines",
}


def differing(where: str, then: Any, now: Any, path: tuple[str, ...] = ()) -> Iterator[Deviation]:
    """Everything that is not the same in two values, named."""
    if then == now:
        return
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in [*then, *(key for key in now if key not in then)]:
            yield from differing(where, then.get(key), now.get(key), (*path, str(key)))
    elif isinstance(then, list) and isinstance(now, list):
        if len(then) != len(now):
            are_words = all(isinstance(one, str) for one in (*then, *now))
            said = (_text(one) if are_words else str(len(one)) for one in (then, now))
            yield Deviation(where, _named(path), *said)
            return
        for n, pair in enumerate(zip(then, now, strict=True), start=1):
            yield from differing(where, *pair, (*path, str(n)))
    else:
        yield Deviation(where, _named(path), _text(then), _text(now))


def _named(path: tuple[str, ...]) -> str:
    """`lines 1 tax_parts` becomes `line 1 tax parts`."""
    words = [_WORDS.get(part, part).replace("_", " ") for part in path]
    for n, part in enumerate(path[1:], start=1):
        if part.isdigit():
            words[n - 1] = words[n - 1].removesuffix("s")
    return " ".join(filter(None, words))


def _text(value: Any) -> str:
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(filter(None, map(_text, value.values())))
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)
