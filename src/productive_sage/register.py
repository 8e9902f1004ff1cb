"""What is not copied yet, what is, and what waits: Productive's list beside psage's records.

Read from `look` down. Nothing is written, and without `check` Sage is not asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from productive_sage import markers, money
from productive_sage.copying import elsewhere, in_sage
from productive_sage.copying.elsewhere import Judged
from productive_sage.copying.records import FoundCopy
from productive_sage.desk import Desk
from productive_sage.errors import CopyGone, NotFound, Refused
from productive_sage.kinds import CREDIT_NOTE, INVOICE
from productive_sage.naming import Name, advice, did_you_mean, to_type
from productive_sage.naming import check as check_names
from productive_sage.productive.invoices import Unreadable
from productive_sage.productive.records import Entry
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link
from productive_sage.text import folded

_PRODUCTIVE = "https://app.productive.io"
NOT_COPIED, COPIED, WAITING, DRAFT = "not copied", "copied", "waiting", "draft"
DRAFT_IN_SAGE = "draft in Sage"
"""Its copy is not booked yet; `draft` is the document itself, in Productive."""
SHEET = [
    *("number", "productive_id", "kind", "sage_number", "customer", "date", "due", "currency"),
    *("total", "paid", "open", "state", "note"),
]
IN_SAGE = ["sage_total", "sage_open", "sage_state"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which documents: all where nothing is said."""

    state: str = ""
    """`not copied`, `copied`, `waiting` or `draft in Sage`."""
    since: date | None = None
    until: date | None = None
    """The last day, by the documents' own dates."""
    company: str = ""
    """Id or name in Productive."""


@dataclass(frozen=True, slots=True)
class RegisterRow:
    """One document; amounts in major units, those of a credit note negative."""

    entry: Entry
    state: str
    note: str = ""
    """What it waits for."""
    sage_id: str = ""
    sage_number: str = ""
    in_sage: SageDocument | None = None
    beside: tuple[str, ...] = ()
    """The numbers of further documents in Sage that count as its copies too."""


@dataclass(slots=True)
class Register:
    """The documents that were selected, and others that cannot be read."""

    rows: list[RegisterRow] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    is_checked: bool = False
    """Whether Sage was asked too."""
    elsewhere: Judged = field(default_factory=Judged)
    """Copies that psage's records do not know, and what is none."""
    marked: list[Link] = field(default_factory=list)
    """The copies that others have marked in Productive meanwhile."""
    adopted: list[FoundCopy] = field(default_factory=list)
    """The copies made elsewhere that psage's records know from now on."""


def look(
    desk: Desk, selection: Selection, *, waiting: Mapping[str, str], check: bool = False
) -> Register:
    """The register; `waiting` is what waits for a person, by Productive id.

    Raises NotFound for a company nobody knows.
    """
    entries, unreadable = desk.productive.invoices.entries(selection.since, selection.until)
    if selection.company:
        entries = _of_company(entries, selection.company)
    listed: list[SageDocument] = []
    copied = {one.kind for one in entries if one.export_id or desk.store.copies.latest(one.id)}
    if check and copied:
        listed = desk.sage.documents.invoices()
    found = elsewhere.named(desk, entries, listed)
    copies = {one.entry.id: one for one in sorted(found.copies, key=lambda one: one.copy_number)}
    rows = [_row(desk, one, waiting.get(one.id, ""), copies.get(one.id)) for one in entries]
    if check and CREDIT_NOTE in copied:
        listed = [*listed, *desk.sage.documents.all(CREDIT_NOTE)]
    if check and selection.state == DRAFT_IN_SAGE:  # those that are none any more are left out
        rows = _checked(desk, [row for row in rows if row.state == DRAFT_IN_SAGE], listed)
    rows = [row for row in rows if selection.state in ("", row.state)]
    if check and selection.state != DRAFT_IN_SAGE:
        rows = _checked(desk, rows, listed)
    marked = elsewhere.marked_meanwhile(desk, {one.id: one.export_id for one in entries})
    return Register(rows, unreadable, is_checked=check, elsewhere=found, marked=marked)


def has_news(found: Register) -> bool:
    """Whether psage's records lack something that was seen."""
    return bool(found.elsewhere.copies or found.marked)


def learn(desk: Desk, found: Register) -> None:
    """Put it there; for who holds the run lock."""
    found.adopted = elsewhere.record(desk, found.elsewhere.copies)
    elsewhere.note_marks(desk, found.marked)


def _of_company(entries: Sequence[Entry], company: str) -> list[Entry]:
    found = [one for one in entries if company.strip() == one.company.id]
    found = found or [one for one in entries if folded(one.company.name) == folded(company)]
    if not found:
        names = sorted({one.company.name for one in entries})
        raise NotFound(
            f"no document of this time is for a company `{company}`",
            hint=did_you_mean(company, names) or "give its name or id as Productive has it",
        )
    return found


def _row(desk: Desk, entry: Entry, waits_for: str, found: FoundCopy | None) -> RegisterRow:
    """A row; `found` is a copy made elsewhere."""
    link = desk.store.copies.latest(entry.id)
    sage_id, sage_number = (link.sage_id, link.sage_number) if link else ("", "")
    is_draft = bool(link and link.waits_for_release)
    if found and not (link and link.copy_number > found.copy_number):
        sage_id, sage_number = found.document.id, found.document.number
        is_draft = found.document.is_draft
    state = COPIED if sage_id else NOT_COPIED if entry.is_finalised else DRAFT
    if is_draft:
        state, sage_number = DRAFT_IN_SAGE, ""
    return RegisterRow(entry, WAITING if waits_for else state, waits_for, sage_id, sage_number)


def _checked(
    desk: Desk, rows: Sequence[RegisterRow], documents: Sequence[SageDocument]
) -> list[RegisterRow]:
    """The rows with their copies as Sage has them, from its lists or else one by one."""
    listed = {one.id: one for one in documents}
    marked: dict[str, list[SageDocument]] = {}
    for one in documents:
        if (marker := markers.in_reference(one.reference)) and _counts(one):
            marked.setdefault(marker[0], []).append(one)
    found: list[RegisterRow] = []
    for n, row in enumerate(rows):
        desk.step("Looking in Sage", n, len(rows))
        if row.sage_id:
            document = listed.get(row.sage_id)
            if document is None:
                document = desk.sage.documents.one(row.entry.kind, row.sage_id)
            same = [one for one in marked.get(row.entry.id, ()) if one.id != row.sage_id]
            beside = tuple(one.number for one in same) if document and _counts(document) else ()
            found.append(replace(_as_in_sage(row, document), beside=beside))
        else:
            found.append(row)
    return found


def _counts(document: SageDocument) -> bool:
    """Whether it is in the books, and something of it not taken back by a credit note."""
    if in_sage.gone(document) or document.is_draft:
        return False
    credited = [
        one.settled
        for one in document.settlements or ()
        if one.artefact_path.startswith(CREDIT_NOTE.path)
    ]
    return not credited or sum(credited, money.ZERO) < document.total


def _as_in_sage(row: RegisterRow, document: SageDocument | None) -> RegisterRow:
    """The row with its copy; a draft that was released there is one no more."""
    if row.state == DRAFT_IN_SAGE and document and not document.is_draft:
        row = replace(row, state=COPIED, sage_number=document.number)
    return replace(row, in_sage=document)


# --- one document


def address(desk: Desk, name: Name, *, in_productive: bool) -> str:
    """Where a document's latest copy stands in Sage, or the document in Productive.

    Raises NotFound, `document_ambiguous`, `document_elsewhere` or `invoice_not_copied`.
    """
    productive_id, number = _named(desk, name)
    if in_productive:
        return f"{_PRODUCTIVE}/{desk.productive.organization_id}/invoices/{productive_id}"
    link = desk.store.copies.latest(productive_id)
    if link is None:
        raise Refused(
            f"`{number or productive_id}` has no copy in Sage",
            code="invoice_not_copied",
            hint=f"copy it first: `psage copy-invoice {to_type(number, productive_id)}`; "
            "`--productive` opens it in Productive",
        )
    present = desk.sage.documents.known(link.kind, link.sage_id)
    if present is None or not present.url:
        raise CopyGone(
            f"Sage does not say where {link.sage_number} is",
            hint="look for it in Sage by its number",
        )
    return present.url


def _named(desk: Desk, name: Name) -> tuple[str, str]:
    """The id and the number of the one document that goes by a name."""
    check_names([name], desk.productive.organization_id)
    known = {
        productive_id: number
        for productive_id, number, _ in desk.store.copies.names()
        if name.fits(productive_id, number)
    }
    if not known:
        ids, numbers = ([name.id] if name.id else []), ([name.number] if name.number else [])
        found, _ = desk.productive.invoices.read(ids=ids, numbers=numbers)
        known = {one.id: one.number for one in found if name.fits(one.id, one.number)}
    if not known:
        names = desk.store.copies.names()
        numbers = [number for _, number, _ in names]
        raise NotFound(
            f"Productive has no document `{name.typed}`, or does not show it to this token",
            hint=advice(name.typed, names)
            or did_you_mean(name.typed, numbers)
            or "`psage list` shows them all",
        )
    if len(known) > 1:
        raise Refused(
            f"`{name.typed}` may be "
            + " or ".join(f"{number or 'no number'} (id {key})" for key, number in known.items()),
            code="document_ambiguous",
            hint="say which with `--id` or `--number`",
            details={"documents": [*known]},
        )
    ((productive_id, number),) = known.items()
    return productive_id, number


# --- as rows


@dataclass(frozen=True, slots=True)
class RegisterTotal:
    """What the documents of one currency come to, in major units."""

    currency: str
    count: int
    total: Decimal
    paid: Decimal
    open: Decimal

    @property
    def credited(self) -> Decimal:
        """What is neither paid nor open: credited, less what these documents credit."""
        return self.total - self.paid - self.open


def totals(rows: Sequence[RegisterRow]) -> list[RegisterTotal]:
    """A total for each currency, by name."""
    found = []
    for currency in sorted({row.entry.currency for row in rows}):
        of_it = [row.entry for row in rows if row.entry.currency == currency]
        sums = (sum(values, money.ZERO) for values in zip(*map(_amounts, of_it), strict=True))
        found.append(RegisterTotal(currency, len(of_it), *sums))
    return found


def _amounts(entry: Entry) -> tuple[Decimal, Decimal, Decimal]:
    return entry.total, entry.paid, entry.unpaid


def sage_state(row: RegisterRow) -> str:
    """What the copy is in Sage, in a word; empty where there is none."""
    if not row.sage_id:
        return ""
    if row.in_sage is None:
        return "gone"
    return "draft" if row.in_sage.is_draft else row.in_sage.status.lower().replace("_", " ")


def as_json(found: Register) -> dict[str, Any]:
    """The lists of the public contract."""
    return {
        "documents": [_row_as_json(row, is_checked=found.is_checked) for row in found.rows],
        "totals": [
            {
                "currency": one.currency,
                "count": one.count,
                "total": money.amount(one.total, one.currency),
                "paid": money.amount(one.paid, one.currency),
                "open": money.amount(one.open, one.currency),
                "credited": money.amount(one.credited, one.currency),
            }
            for one in totals(found.rows)
        ],
        "unreadable": [{"document": one.name, **one.error.as_json()} for one in found.unreadable],
        "warnings": [
            *(
                {"code": elsewhere.CODE, "message": f"{one.message}; {one.next_step}"}
                for one in found.elsewhere.left
            ),
            *({"code": "copied_twice", "message": one} for one in doubles(found)),
        ],
    }


def doubles(found: Register) -> list[str]:
    """What is in Sage more than once, a sentence each, with who says what to do."""
    return [
        f"{row.entry.kind.name} `{row.entry.number or row.entry.id}` is in Sage "
        f"{len(row.beside) + 1} times: {' and '.join((row.sage_number, *row.beside))}; "
        "`psage reconcile` says which to void"
        for row in found.rows
        if row.beside
    ]


def _row_as_json(row: RegisterRow, *, is_checked: bool) -> dict[str, Any]:
    entry, currency = row.entry, row.entry.currency
    content: dict[str, Any] = {
        "productive_id": entry.id,
        "number": entry.number or None,
        "kind": entry.kind.code,
        "sage_id": row.sage_id or None,
        "sage_number": row.sage_number or None,
        "customer": entry.company.name,
        "date": entry.invoiced_on and entry.invoiced_on.isoformat(),
        "due": entry.pay_on and entry.pay_on.isoformat(),
        "total": money.amount(entry.total, currency),
        "currency": currency,
        "paid": money.amount(entry.paid, currency),
        "open": money.amount(entry.unpaid, currency),
        "state": row.state.replace(" ", "_").lower(),
        "note": row.note or None,
    }
    if is_checked:
        content["sage"] = _copy_as_json(row) if row.sage_id else None
    return content


def _copy_as_json(row: RegisterRow) -> dict[str, Any]:
    there = row.in_sage
    left = there.outstanding if there else None
    return {
        "total": money.text(there.total) if there else None,
        "open": None if left is None else money.text(left),
        "state": sage_state(row),
    }


def sheet(found: Register) -> Iterator[list[Any]]:
    """The register as rows for a spreadsheet: amounts are numbers, all else is text."""
    for row in found.rows:
        entry, there = row.entry, row.in_sage
        cells = [
            *(entry.number, entry.id, entry.kind.name, row.sage_number, entry.company.name),
            entry.invoiced_on.isoformat() if entry.invoiced_on else "",
            entry.pay_on.isoformat() if entry.pay_on and entry.kind is INVOICE else "",
            *(entry.currency, entry.total, entry.paid, entry.unpaid, row.state, row.note),
        ]
        if found.is_checked:
            left = there.outstanding if there and there.outstanding is not None else ""
            cells += [there.total if there else "", left, sage_state(row)]
        yield cells
