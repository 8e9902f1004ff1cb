"""What is asked for: the documents, and how each shall be copied."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from productive_sage import money, naming
from productive_sage.copying.records import Outcome
from productive_sage.desk import Desk
from productive_sage.errors import (
    ConfigInvalid,
    NoDefaultLedger,
    NotFound,
    PsageError,
    Refused,
    UsageProblem,
)
from productive_sage.kinds import INVOICE, Kind
from productive_sage.naming import Name
from productive_sage.productive.records import Invoice
from productive_sage.settings import Settings
from productive_sage.tax import taxmap


@dataclass(frozen=True, slots=True)
class CopyOrder:
    """What the person asked for."""

    keys: tuple[str, ...]
    """As they were typed: ids, numbers, addresses."""
    kind: Kind = INVOICE
    by_number: bool = False
    by_id: bool = False
    customer: str | None = None
    create_customer: bool = False
    is_selected: bool = False
    """Whether psage chose the documents: a new customer is for a company that has none then."""
    remember: bool = False
    """Bill the company to `customer` from now on, although it is not the company."""
    tax_rate: str | None = None
    """Id or name; None leaves it to the copy's present rate, the person, or the settings."""
    no_tax: bool = False
    again: str | None = None
    """`update` or `new`; None asks."""
    overwrite: bool = False
    """Whether an update makes the copy as Productive says, whatever was changed in Sage."""
    draft: bool | None = None
    """Whether new copies are left drafts in Sage; None as the settings say."""
    with_pdf: bool = True
    pdf: bytes | None = None
    """A person's file, in place of Productive's PDF."""
    is_saved: bool = False
    """Whether the plan is saved, or a saved one is carried out, now."""
    count: int = 0
    """How many documents a saved plan was made of; 0 for as many as there are keys."""
    new_since: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    """The customers a saved plan makes, by company and currency, and when it was made."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """The numbers by ids, as far as they are known by then."""
    is_reported: bool = False
    """Whether the documents, and their numbers, are out of a report."""

    def check(self, settings: Settings) -> None:
        """Raises what the settings alone say against it."""
        if not settings.default_ledger_account:
            raise NoDefaultLedger
        if found := taxmap.contradiction(settings.tax_map):
            first, other = found
            raise ConfigInvalid(
                f"the settings give one tax two rates: `{first}` and `{other}` in `[tax.map]`",
                hint=f'take one out: `psage configure --map-tax "{other}="`',
            )
        if self.pdf and settings.pdf == "sage":
            raise UsageProblem(
                "`--pdf-file` is for PDFs made in Productive, but by the settings Sage makes them",
                hint="leave it out, or run `psage configure --pdf productive`",
            )

    def check_reported(self, invoice: Invoice) -> None:
        """Raises `not_as_reported` where the report has another number under the document's id."""
        told = self.numbers.get(invoice.id, "") if self.is_reported else ""
        if told and _alike(told) != _alike(invoice.number):
            raise Refused(
                f"{invoice.label} is `{told}` in the report: is that of another organisation?",
                code="not_as_reported",
                hint="if it is what you mean, name it: "
                f"`psage {invoice.kind.command} {invoice.typed}`",
            )

    def leaves_drafts(self, settings: Settings) -> bool:
        """Whether new copies are left drafts in Sage."""
        return settings.copies == "draft" if self.draft is None else self.draft

    def names(self, productive_id: str, number: str) -> bool:
        """Whether a document is asked for."""
        return any(name.fits(productive_id, number) for name in self.documents())

    @property
    def is_alone(self) -> bool:
        """Whether one document is asked for; a saved plan goes by what was asked for then."""
        return (self.count or len(self.documents())) == 1

    @property
    def leaves_open(self) -> bool:
        """Whether customer or tax rate are left to psage, or to a person at the terminal."""
        has_customer = self.customer is not None or self.create_customer
        return not has_customer or (self.tax_rate is None and not self.no_tax)

    def documents(self) -> tuple[Name, ...]:
        """What is asked for. Raises as `naming.read`."""
        return _read(self.keys, self.by_number, self.by_id)

    def handed_pdf(self, invoice: Invoice) -> bytes | None:
        """The person's file where it is for this document."""
        is_meant = invoice.kind is self.kind and self.names(invoice.id, invoice.number)
        return self.pdf if is_meant else None


def _alike(number: str) -> str:
    """A number as it is compared; a spreadsheet program takes zeros off its beginning."""
    return naming.folded(number).lstrip("0")


@lru_cache(maxsize=1)
def _read(keys: tuple[str, ...], by_number: bool, by_id: bool) -> tuple[Name, ...]:  # noqa: FBT001 -- as a key
    """Read once, though each document of a batch asks."""
    return tuple(naming.read(keys, as_number=by_number, as_id=by_id))


def sources(order: CopyOrder, desk: Desk) -> Iterator[Invoice | Outcome]:
    """The invoices to copy, and a refusal for each that cannot be read, in the order asked for."""
    names = order.documents()
    found, unreadable = desk.productive.invoices.read(
        ids=[name.id for name in names if name.id],
        numbers=[name.number for name in names if name.number],
    )
    by_name = dict[str, list[Invoice]]()  # of 2,000 documents not each is held against each
    for invoice in found:
        for key in {invoice.id, naming.folded(invoice.number)}:
            by_name.setdefault(key, []).append(invoice)
    for name in names:
        error = unreadable.get(name.id) or unreadable.get(name.number)
        keys = filter(None, (name.id, naming.folded(name.number)))
        alike = {i.id: i for key in keys for i in by_name.get(key, ())}.values()
        # Where one that may be meant cannot be read, another is not taken in its place.
        hits = [i for i in alike if name.fits(i.id, i.number) and not error]
        if not hits and not error:
            hits, unread = _in_capitals(name, desk)
            error = unread.get(name.number.upper())
        hits = [i for i in hits if i.kind is order.kind] or hits
        if len(hits) > 1 and desk.ask:
            hits = [hits[desk.ask(f"Which is `{name.typed}`?", [*map(_shown, hits)], None)]]
        if len(hits) == 1:
            yield hits[0]
            continue
        error = _ambiguous(order, name, hits) if hits else error or _missing(order, desk, name)
        number = order.numbers.get(name.id, "") if name.id else name.typed
        yield Outcome("refused", name.id, number=number, error=error, kind=order.kind)


def _in_capitals(name: Name, desk: Desk) -> tuple[list[Invoice], dict[str, PsageError]]:
    """What Productive has under a number in capitals: it may compare letter by letter."""
    capitals = name.number.upper()
    return (
        desk.productive.invoices.read(numbers=[capitals]) if capitals != name.number else ([], {})
    )


def _shown(invoice: Invoice) -> str:
    """What a person tells a document by: its number and id, customer, date and amount."""
    parts = [
        invoice.company.name,
        str(invoice.invoiced_on or ""),
        money.said(invoice.net + invoice.tax, invoice.currency),
    ]
    return f"{invoice.number or 'no number'} (id {invoice.id}): {', '.join(filter(None, parts))}"


def _ambiguous(order: CopyOrder, name: Name, hits: Sequence[Invoice]) -> PsageError:
    shown = "; ".join(map(_shown, hits))
    documents = [
        {
            "id": i.id,
            "number": i.number,
            "customer": i.company.name,
            "date": i.invoiced_on.isoformat() if i.invoiced_on else None,
            "total": money.amount(i.net + i.tax, i.currency),
            "currency": i.currency,
        }
        for i in hits
    ]
    if any(name.has_id(i.id) for i in hits):
        return Refused(
            f"`{name.typed}` is the id of one document in Productive and the number of another: "
            f"{shown}",
            code="document_ambiguous",
            hint="say which with `--id` or `--number`",
            details={"documents": documents},
        )
    return Refused(
        f"{len(hits)} documents in Productive carry the number `{name.typed}`: {shown}",
        code="number_ambiguous",
        hint=f"name the one you mean by its id: `psage {order.kind.command} --id {hits[0].id}`",
        details={"documents": documents},
    )


def _missing(order: CopyOrder, desk: Desk, name: Name) -> PsageError:
    kind = order.kind.name
    if name.id:
        try:
            deleted_on = desk.productive.invoices.deleted_on(name.id)
        except PsageError:
            deleted_on = None  # not every token may read the list of deleted things
        if deleted_on:
            return NotFound(
                f"{kind} {name.id} was deleted in Productive on {deleted_on}",
                hint="there is nothing to copy; `psage list` shows what there is",
            )
    said = f"with the number `{name.typed}`" if name.number else f"with the id {name.id}"
    if name.id and name.number:
        said = f"with the id or the number `{name.typed}`"
    hint = (
        "`psage list` shows what there is; in Productive the number is on the document, and the "
        "id in its address"
    )
    if name.number:
        slip = naming.advice(name.number, desk.store.copies.names())
        hint = slip or _nearby(desk, order.kind, name.number) or hint
    return NotFound(
        f"Productive has no {kind} {said}, or does not show it to this token", hint=hint
    )


def _nearby(desk: Desk, kind: Kind, number: str) -> str:
    """A question that names the documents whose numbers come near to one nobody knows."""
    known = [held for _, held, _ in desk.store.copies.names(kind.code) if held]
    tail = naming.digits_of(number)
    for part in dict.fromkeys((tail.lstrip("0"), tail[-3:].lstrip("0"))):
        if part and not naming.near(number, known):
            with suppress(PsageError):
                known += desk.productive.invoices.numbers_like(part)
    return naming.did_you_mean(number, known)
