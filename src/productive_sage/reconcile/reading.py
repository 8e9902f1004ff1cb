"""Both sides as the services list them, by pages, and what psage's records know of them.

Each side is one list of each kind, 200 documents a call. What a list lacks is looked up before it
is believed; nothing is written.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from productive_sage import money
from productive_sage.copying.versions import Version, Written
from productive_sage.desk import Desk
from productive_sage.errors import (
    NotFound,
    Refused,
    RefusedBySage,
    ServiceUnavailable,
)
from productive_sage.errors.notices import Notice
from productive_sage.http import OnPage
from productive_sage.kinds import CREDIT_NOTE, INVOICE, Kind
from productive_sage.payments import shares
from productive_sage.productive.invoices import Unreadable
from productive_sage.productive.records import Entry
from productive_sage.reconcile.paid import Paid
from productive_sage.reconcile.sides import Booked, Comparable, Copied, Records
from productive_sage.sage.receipts import ALLOCATIONS
from productive_sage.sage.records import Books, Settlement
from productive_sage.store import CopyIntent, Link

_EVER = datetime(2000, 1, 1, tzinfo=UTC)
_LOST_AT_MOST = 20
"""So many copies may be missing from a whole list without a record; more is no list."""
LOOKED_AT = 400
"""Invoices at most whose payments are read one by one: eight calls."""
_UNCLEAR_AT_MOST = 50
"""Documents of which the list does not say what settles them, that are read whole."""


@dataclass(slots=True)
class Sides:
    """Everything that was read."""

    billed: list[Entry]
    booked: list[Booked]
    records: Records
    unreadable: list[Unreadable] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


def read(desk: Desk) -> Sides:
    """Read both lists whole: what is of a time is told by either side's date.

    Raises ServiceUnavailable where a list is not whole.
    """
    listed = desk.productive.invoices.listed(_told(desk, "Reading Productive"))
    documents = [
        Booked(kind, document)
        for kind in (INVOICE, CREDIT_NOTE)
        for document in desk.sage.documents.all(kind, _told(desk, f"Reading {kind.name}s in Sage"))
    ]
    unreadable = [one for one in listed.unreadable if not isinstance(one.error, NotFound)]
    unread = {one.id for one in unreadable}
    copies = known(desk, unread)
    notices = list[Notice]()
    booked, deleted = _with_missing(desk, copies, documents)
    booked = [one for one in _ours(booked, copies) if not (one.marker and one.marker[0] in unread)]
    books, currencies = _books(desk, listed.entries)
    records = Records(
        copies,
        customers={
            (one.company_id, one.currency): (one.contact_id, one.is_agreed)
            for one in desk.store.customers.all(desk.sage.business_id)
        },
        open_writes=_open_writes(desk, notices),
        contacts=_contacts(desk, booked, notices),
        deleted_in_productive=_deleted(desk, listed.entries, booked) | listed.deleted,
        deleted_in_sage=deleted,
        books=books,
        currencies=currencies,
        numbers={(one.kind, one.document.number): one.id for one in documents},
        keeps_numbers=desk.settings.numbering == "productive",
    )
    return Sides(listed.entries, booked, records, unreadable, notices)


def _told(desk: Desk, what: str) -> OnPage:
    """Has each page be seen on the way."""
    return lambda count, of: desk.step(what, count, of or 0)


def known(desk: Desk, unread: Collection[str] = ()) -> list[Copied]:
    """The copies psage has a record of, but for those of documents that cannot be read."""
    return [_copied(one) for one in desk.store.copies.each() if one.productive_id not in unread]


# --- Sage


def _told_apart(one: Booked) -> Booked:
    """A document with what settles it told apart."""
    document = one.document
    own, unclear = shares.of(document)
    credited = tuple(
        (row.artefact_id, row.settled)
        for row in document.settlements or ()
        if shares.is_credit(row)
    )
    is_clear = not unclear and shares.is_complete(document)
    return replace(one, shares=tuple(own), credits=credited, is_clear=is_clear)


def _ours(documents: Sequence[Booked], copies: Sequence[Copied]) -> list[Booked]:
    """Those that psage made, by a record or a marker; what others booked is not compared."""
    known = {one.sage_id for one in copies}
    return [_told_apart(one) for one in documents if one.id in known or one.marker]


def _with_missing(
    desk: Desk, copies: Sequence[Copied], documents: list[Booked]
) -> tuple[list[Booked], set[str]]:
    """The documents with copies the list lacks but Sage has, and which copies were deleted."""
    there = {one.id for one in documents}
    missing = [one for one in copies if one.sage_id not in there]
    kinds = {one.kind.code: one.kind for one in missing}.values()
    deleted = {key for kind in kinds for key in desk.sage.deleted(kind.path, _EVER)}
    lost = [one for one in missing if one.sage_id not in deleted]
    if len(lost) > _LOST_AT_MOST:
        raise ServiceUnavailable(
            f"Sage's lists lack {len(lost)} of {len(copies)} copies, and it has no record of their "
            "deletion",
            hint="try again; if it stays so, see whether the sign-in still reaches the business",
        )
    found = [(one.kind, desk.sage.documents.one(one.kind, one.sage_id)) for one in lost]
    return [*documents, *(Booked(kind, one) for kind, one in found if one)], deleted


def clarified(desk: Desk, one: Booked) -> Booked:
    """A document read whole, where its row in the list does not say what settles it."""
    document = desk.sage.documents.one(one.kind, one.id)
    if document is None:
        return one
    settled = tuple(_with_path(desk, row) for row in document.settlements or ())
    return _told_apart(replace(one, document=replace(document, settlements=settled)))


def _with_path(desk: Desk, row: Settlement) -> Settlement:
    """A row that says what an allocation takes from, as far as Sage lets that be seen."""
    if row.artefact_path or not row.allocation_id:
        return row
    with suppress(RefusedBySage):
        allocation = desk.sage.receipts.one(ALLOCATIONS, row.allocation_id)
        paths = {path for path in (allocation.from_paths if allocation else ()) if path}
        if len({path.split("/")[1] for path in paths}) == 1:
            path = min(paths)
            return replace(row, artefact_path=path, artefact_id=path.rpartition("/")[2])
    return row


def _books(desk: Desk, entries: Sequence[Entry]) -> tuple[Books | None, frozenset[str]]:
    """What Sage books, and which currencies it knows where one is not its own; else none."""
    try:
        books = desk.books()
        is_foreign = any(one.currency != books.base_currency for one in entries)
        return books, frozenset(desk.currencies() if is_foreign else ())
    except RefusedBySage as error:
        if error.status != 403:
            raise
        return None, frozenset()


def _contacts(desk: Desk, booked: Sequence[Booked], notices: list[Notice]) -> dict[str, Any] | None:
    if not booked:
        return {}
    try:
        return {one.id: one for one in desk.sage.contacts.all()}
    except RefusedBySage as error:
        if error.status != 403:
            raise
        said = f"this sign-in may not read contacts in Sage ({error.words}), so whether a copy is "
        said += "for the right customer is told by names and by psage's records alone"
        notices.append(Notice("contacts_not_readable", said))
        return None


# --- Productive


def _deleted(desk: Desk, entries: Sequence[Entry], booked: Sequence[Booked]) -> dict[str, date]:
    """When documents were deleted; asked for only where one is missing that has a copy."""
    there = {one.id for one in entries}
    is_missing = any(one.marker and one.marker[0] not in there for one in booked)
    if not is_missing:
        return {}
    try:
        return desk.productive.invoices.deleted()
    except Refused:  # not every token may read the list of deleted things
        return {}


def payments(desk: Desk, sides: Sides, doubtful: Sequence[str]) -> dict[str, Paid]:
    """The payments of the most doubtful invoices, by Productive id, and their copies read whole."""
    looked_at = [*doubtful[:LOOKED_AT]]
    unclear = [one for one in sides.booked if not one.is_clear and _is_of(one, looked_at)]
    for one in unclear[:_UNCLEAR_AT_MOST]:
        sides.booked[sides.booked.index(one)] = clarified(desk, one)
    found, unreadable = desk.productive.payments.of(looked_at)
    copies: dict[str, set[str]] = {}
    for record in sides.records.copies:
        copies.setdefault(record.productive_id, set()).add(record.sage_id)
    if len(doubtful) > len(looked_at):
        left = len(doubtful) - len(looked_at)
        said = f"the payments of {left} invoices were compared by their sums alone; "
        said += "`psage sync-payments --full --dry-run` looks at each"
        sides.notices.append(Notice("payments_by_sum", said))
    return {
        key: Paid(found[key], desk.store.payments.of(key), frozenset(copies.get(key, ())))
        for key in looked_at
        if key not in unreadable
    }


def _is_of(one: Booked, productive_ids: Collection[str]) -> bool:
    return bool(one.marker and one.marker[0] in productive_ids)


# --- psage's records


def _open_writes(desk: Desk, notices: list[Notice]) -> dict[str, str]:
    """What was sent and never answered for, by Productive id; of a new customer in `notices`."""
    found = dict[str, str]()
    for intent in desk.store.intents.open_payments():
        found[intent.facts.productive_id] = "a new payment was sent to Productive"
    for contact in desk.store.intents.open_contacts():
        facts = contact.facts
        said = f"a new customer in Sage, for company {facts.company_id} in {facts.currency}, was "
        notices.append(
            Notice("outcome_unknown", f"{said}sent and never answered for; the next copy finds out")
        )
    for copy in desk.store.intents.open_copies():
        found[copy.source_id] = f"{_what(copy)} was sent to Sage"
    return found


def _what(intent: CopyIntent) -> str:
    written = {"update": "the update of its copy", "release": "the release of its draft"}
    return written.get(intent.kind, "its copy")


def _copied(link: Link) -> Copied:
    said, held = Comparable(), Comparable()
    if link.written:
        with suppress(ValueError, KeyError, TypeError, InvalidOperation):  # of an older psage
            written = Written.from_text(link.written)
            said = _facts(link.kind, written.said, written.said.document.get("charged"))
            held = _facts(link.kind, written.held, None)
    return Copied(
        link.productive_id,
        link.copy_number,
        link.kind,
        link.sage_id,
        link.sage_number,
        link.credited_sage_id,
        said,
        held,
    )


def _facts(kind: Kind, version: Version, charged: str | None) -> Comparable:
    """What a version says, with the signs of Productive; nothing of one that was never known."""
    if not version.document:
        return Comparable()
    sign = -1 if kind is CREDIT_NOTE else 1
    net = sum((Decimal(line["net"]) for line in version.lines), money.ZERO) * sign
    if charged is not None:
        tax = Decimal(charged)
    else:
        tax = sum((Decimal(line["tax"]) for line in version.lines), money.ZERO) * sign
    day, due = version.document.get("date"), version.document.get("due date")
    return Comparable(
        net,
        tax,
        date.fromisoformat(day) if day else None,
        date.fromisoformat(due) if due and kind is INVOICE else None,
    )
