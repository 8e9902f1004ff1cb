"""Copies that other machines made, or psage before its records were lost, told from lists.

A document in Sage that carries psage's marker is a copy where Productive names it, or where
customer, currency and net are the invoice's. Lists that are read anyway tell both; what does not
fit, or is one of several, is said and left.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from productive_sage import markers, money, naming
from productive_sage.copying import in_sage, matching
from productive_sage.copying.address_book import AddressBook
from productive_sage.copying.records import FoundCopy, NotTaken
from productive_sage.desk import Desk
from productive_sage.errors import NotShown, RefusedBySage
from productive_sage.kept import Contact
from productive_sage.kinds import CREDIT_NOTE, INVOICE, Kind
from productive_sage.productive.records import Address, Entry
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link
from productive_sage.text import is_sage_id

CODE = "not_adopted"
_ID = re.compile(r"[1-9]\d{0,17}")
"""As Productive writes its ids: what somebody typed otherwise may not stop a night."""
_ONE_BY_ONE = 10
"""So many documents are read one by one; more are looked for in a list."""
_LISTED_ABOVE = 400
"""So many invoices are asked for by their ids; more are read from the whole list."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the documents are that carry a marker and are not known."""

    copies: tuple[FoundCopy, ...] = ()
    left: tuple[NotTaken, ...] = ()


def unknown(desk: Desk, documents: Iterable[SageDocument]) -> dict[str, list[SageDocument]]:
    """Those that carry a marker and that psage's records do not know, by Productive id.

    A pro forma is in no book, and is none of them; what of drafts is one, Productive says.
    """
    found: dict[str, list[SageDocument]] = {}
    for one in documents:
        marker = markers.in_reference(one.reference)
        if not marker or not _ID.fullmatch(marker[0]) or one.status == "PRO_FORMA":
            continue
        if not desk.store.copies.at(one.id):
            found.setdefault(marker[0], []).append(one)
    return found


def entries_of(desk: Desk, productive_ids: Sequence[str]) -> dict[str, Entry]:
    """What Productive has of these, by id; of many by its list, which takes fewer calls."""
    if len(productive_ids) > _LISTED_ABOVE:
        return {one.id: one for one in desk.productive.invoices.listed().entries}
    return desk.productive.invoices.entries_of(productive_ids)


def judge(
    desk: Desk,
    kind: Kind,
    documents: Mapping[str, Sequence[SageDocument]],
    entries: Mapping[str, Entry],
) -> Judged:
    """Tell copies of a kind from what merely carries a marker; `documents` as `unknown` gives them.

    What was sent from here and never answered for is left to the next copy, which finds out.
    """
    book = AddressBook(desk)
    sent = {one.source_id for one in desk.store.intents.open_copies()}
    copies, left = list[FoundCopy](), list[NotTaken]()
    for productive_id, some in documents.items():
        entry = entries.get(productive_id)
        if entry and entry.kind is kind and productive_id not in sent:
            one = _of_one(desk, book, entry, some)
            copies += one.copies
            left += one.left
    return Judged(tuple(copies), tuple(left))


def _of_one(
    desk: Desk, book: AddressBook, entry: Entry, documents: Sequence[SageDocument]
) -> Judged:
    by_copy: dict[int, list[SageDocument]] = {}
    for document in documents:
        if document.is_draft and document.id != entry.export_id:
            continue  # somebody's own, until psage is asked to make a draft or to release it
        marker = markers.in_reference(document.reference)
        by_copy.setdefault(marker[1] if marker else 1, []).append(document)
    known = {link.copy_number: link for link in desk.store.copies.of(entry.id)}
    copies, left, gone = list[FoundCopy](), list[NotTaken](), list[FoundCopy]()
    for number, same in sorted(by_copy.items()):
        living = [one for one in same if not in_sage.gone(one)]
        if number in known:  # a double of a copy that is there too is told elsewhere
            copies += _instead(desk, entry, known[number], living)
            continue
        # Productive may say which of several it is.
        likely = [one for one in living if one.id == entry.export_id] or living
        if len(likely) > 1:
            left.append(_several(entry, likely))
        elif likely and (why := _misfit(desk, book, entry, likely[0])):
            left.append(_odd(entry, likely[0], why))
        elif likely:
            copies.append(FoundCopy(entry, number, likely[0]))
        else:
            gone += [FoundCopy(entry, number, one) for one in same]
    latest = max([one.copy_number for one in copies] + [*known], default=0)
    # A voided copy is known as an earlier one, but never taken for the one that counts.
    copies += [
        one for one in gone if one.copy_number < latest and len(by_copy[one.copy_number]) == 1
    ]
    left += [_void(one) for one in gone if one.copy_number > latest and _is_named(one)]
    return Judged(tuple(copies), tuple(left))


def _instead(
    desk: Desk, entry: Entry, link: Link, living: Sequence[SageDocument]
) -> list[FoundCopy]:
    """The document that Productive names now, where the one on record is gone from Sage."""
    named = [one for one in living if one.id == entry.export_id]
    if not named or named[0].currency != entry.currency:
        return []
    try:
        is_gone = in_sage.gone(desk.sage.documents.known(link.kind, link.sage_id))
    except NotShown:
        return []
    found = FoundCopy(entry, link.copy_number, named[0], replaces=link.sage_id)
    return [found] if is_gone else []


def _is_named(one: FoundCopy) -> bool:
    """Whether Productive names the document as its copy."""
    return one.document.id == one.entry.export_id


# --- copies that Productive's list names


def named(desk: Desk, entries: Sequence[Entry], listed: Sequence[SageDocument] = ()) -> Judged:
    """The copies of these documents that psage's records do not know.

    Sage is asked only where Productive names one: a few are read one by one, more by a list of
    their days. `listed` are Sage's invoices, where they were read anyway. What is found to be no
    copy is told again, but not asked for again that day.
    """
    wanted = {
        one.export_id: one
        for one in entries
        if is_sage_id(one.export_id) and not desk.store.copies.at(one.export_id)
    }
    untaken = {key: desk.store.facts.today(_no_copy(key)) for key in wanted}
    left = [NotTaken(wanted[key], (key,), *known) for key, known in untaken.items() if known]
    told = {one.message for one in left}
    copies = list[FoundCopy]()
    for kind in (INVOICE, CREDIT_NOTE):
        some = [wanted[key] for key, known in untaken.items() if known is None]
        some = [one for one in some if one.kind is kind]
        there = [*listed] if kind is INVOICE else []
        documents = unknown(desk, [*there, *_read(desk, kind, some, there)])
        judged = judge(desk, kind, documents, _whole(desk, kind, entries, documents))
        copies += judged.copies
        left += [one for one in judged.left if one.message not in told]
        said = {key: [one.message, one.next_step] for one in judged.left for key in one.sage_ids}
        for one in some:
            if one.export_id not in {copy.document.id for copy in judged.copies}:
                desk.store.facts.keep(_no_copy(one.export_id), said.get(one.export_id, []))
    taken = {one.entry.id for one in copies}
    return Judged(tuple(copies), tuple(one for one in left if one.entry.id not in taken))


def _no_copy(sage_id: str) -> str:
    return f"no copy {sage_id}"


def _read(
    desk: Desk, kind: Kind, entries: Sequence[Entry], there: Sequence[SageDocument]
) -> list[SageDocument]:
    """The documents Productive names of these, of those not `there`; and others of their days."""
    found = {one.id: one for one in there}
    days = [one.invoiced_on for one in entries if one.invoiced_on]
    if len([one for one in entries if one.export_id not in found]) > _ONE_BY_ONE and days:
        of_days = desk.sage.documents.all(kind, days=(min(days), max(days)))
        found |= {one.id: one for one in of_days}
    missing = [one.export_id for one in entries if one.export_id not in found]
    alone = (desk.sage.documents.one(kind, key) for key in missing[:_ONE_BY_ONE])
    found |= {one.id: one for one in alone if one}
    found |= {one.id: one for one in _beside_void(desk, kind, entries, found)}
    seen = {one.id for one in there}
    return [one for one in found.values() if one.id not in seen]


def _beside_void(
    desk: Desk, kind: Kind, entries: Sequence[Entry], found: Mapping[str, SageDocument]
) -> list[SageDocument]:
    """What else carries the marker where the document that Productive names is void.

    Of two that were made of one, that may have been the one too many.
    """
    void = [one for one in entries if (it := found.get(one.export_id)) and in_sage.gone(it)]
    others = [
        sage_id
        for one in void[:_ONE_BY_ONE]
        for sage_id, _ in desk.sage.documents.with_marker(kind, markers.of_copy(one.id, 1))
        if sage_id not in found
    ]
    return [one for key in others if (one := desk.sage.documents.one(kind, key))]


def _whole(
    desk: Desk,
    kind: Kind,
    entries: Sequence[Entry],
    documents: Mapping[str, Sequence[SageDocument]],
) -> dict[str, Entry]:
    """The entries of documents by id; of a credit note with what it credits."""
    if kind is INVOICE:
        return {one.id: one for one in entries}
    notes = [one.id for one in entries if one.kind is kind and one.id in documents]
    return entries_of(desk, notes)


# --- whether it fits


def _misfit(desk: Desk, book: AddressBook, entry: Entry, document: SageDocument) -> str:
    """Why a document cannot be the copy; empty where it is.

    What Productive names may have been changed since, on either side, but for the currency.
    """
    if document.currency != entry.currency:
        return f"it is in {document.currency}, and that in {entry.currency}"
    if document.id == entry.export_id:
        return ""
    net = -document.net if entry.kind is CREDIT_NOTE else document.net
    if net != entry.net:
        said, wanted = (money.said(one, entry.currency) for one in (net, entry.net))
        return f"it is {said} net, and that {wanted}"
    if not _is_for(desk, book, entry, document):
        return f"it is for `{document.contact_name}`, and that for `{entry.company.name}`"
    return ""


def _is_for(desk: Desk, book: AddressBook, entry: Entry, document: SageDocument) -> bool:
    """Whether a document is for the company that is billed."""
    billed = desk.store.customers.of(entry.company.id, entry.currency, desk.sage.business_id)
    if billed and billed.id == document.contact_id:
        return True
    contact = Contact(document.contact_id, document.contact_name)
    try:
        contact = desk.contact(contact.id) or book.read(contact.id) or contact
    except RefusedBySage as error:
        if error.status != 403:
            raise
    return matching.is_company(contact, entry.company, Address())


# --- what is said of the others


def _label(entry: Entry) -> str:
    return f"{entry.kind.name} `{entry.number or entry.id}`"


def _typed(entry: Entry) -> str:
    return naming.to_type(entry.number, entry.id)


def _several(entry: Entry, documents: Sequence[SageDocument]) -> NotTaken:
    numbers = " and ".join(sorted(one.number for one in documents))
    return NotTaken(
        entry,
        tuple(one.id for one in documents),
        f"{_label(entry)}: {numbers} in Sage carry the marker of one copy, and neither psage's "
        "records nor Productive know one of them, so none is taken for the copy",
        "void the wrong one in Sage, or take `PRD-…` out of its reference there",
    )


def _odd(entry: Entry, document: SageDocument, why: str) -> NotTaken:
    return NotTaken(
        entry,
        (document.id,),
        f"{_label(entry)}: {document.number} in Sage carries its marker, but is not taken for its "
        f"copy: {why}",
        f"if it is the copy, `psage {entry.kind.command} {_typed(entry)}` says more; if not, take "
        "`PRD-…` out of its reference in Sage",
    )


def _void(one: FoundCopy) -> NotTaken:
    return NotTaken(
        one.entry,
        (one.document.id,),
        f"{_label(one.entry)}: its copy {one.document.number} was voided in Sage",
        "if it shall be in the books again: "
        f"`psage {one.entry.kind.command} {_typed(one.entry)} --create-new`",
    )


# --- psage's records


def record(desk: Desk, copies: Sequence[FoundCopy]) -> list[FoundCopy]:
    """Put copies into psage's records; gives those that were not known by now.

    For who holds the run lock. A credit note needs the record of the copy it credits.
    """
    store, done = desk.store, list[FoundCopy]()
    latest: dict[str, int] = {}
    for one in copies:
        latest[one.entry.id] = max(one.copy_number, latest.get(one.entry.id, 0))
    with store.db.write():
        for one in sorted(copies, key=lambda one: (one.entry.kind is CREDIT_NOTE, one.copy_number)):
            known = {link.copy_number: link for link in store.copies.of(one.entry.id)}
            is_latest = one.copy_number == max(latest[one.entry.id], *known, 0)
            pending = _left_to_do(one, is_latest=is_latest)
            if store.copies.at(one.document.id):
                continue
            if there := known.get(one.copy_number):
                is_done = _replace(desk, there, one, pending)
            else:
                is_done = _add(desk, one, pending)
            if is_done:
                done.append(one)
    return done


def _add(desk: Desk, one: FoundCopy, pending: frozenset[str]) -> bool:
    """Whether a copy could be recorded."""
    copies = desk.store.copies
    credited = copies.latest(one.entry.credits) if one.entry.credits else None
    if one.entry.kind is CREDIT_NOTE and credited is None:
        return False
    link = Link.found(
        one.entry.kind,
        one.entry.id,
        one.copy_number,
        desk.sage.business_id,
        one.document,
        credited_sage_id=credited.sage_id if credited else None,
        written=None,
    )
    copies.adopt(replace(link, pending=pending), one.entry.number)
    return True


def _replace(desk: Desk, link: Link, one: FoundCopy, pending: frozenset[str]) -> bool:
    """Whether a record was turned to the document that took the place of one that is gone."""
    if link.sage_id != one.replaces:
        return False
    desk.store.copies.change(
        link,
        sage_id=one.document.id,
        sage_number=one.document.number,
        written=None,
        pending=pending,
    )
    return True


def _left_to_do(one: FoundCopy, *, is_latest: bool) -> frozenset[str]:
    """What whoever made it has not done yet, as far as is seen."""
    if in_sage.gone(one.document):
        return frozenset()
    left = {"mark"} if is_latest and not _is_named(one) else set[str]()
    if one.entry.kind is CREDIT_NOTE and (one.document.outstanding or one.document.is_draft):
        left.add("allocate")
    if one.document.is_draft:
        left.add("release")
    return frozenset(left)


def marked_meanwhile(desk: Desk, named: Mapping[str, str]) -> list[Link]:
    """The copies left to be marked in Productive that are by now; `named` is `export_id` by id."""
    return [
        one
        for one in desk.store.copies.unfinished()
        if "mark" in one.pending and named.get(one.productive_id) == one.sage_id
    ]


def note_marks(desk: Desk, links: Sequence[Link]) -> None:
    """Leave no mark to be made of these copies."""
    for link in links:
        desk.store.copies.change(link, pending=link.pending - {"mark"})
