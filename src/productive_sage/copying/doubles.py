"""What two machines made twice all the same: looked for after a copy, and said.

Computed keys, markers and Productive's `export_id` keep two machines from copying one document
twice. Where Sage does not honour a key, or the two sent different bodies, it holds two: then both
are named, and which of them to void is the same on every machine.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from productive_sage import markers
from productive_sage.copying import in_sage
from productive_sage.copying.records import Outcome
from productive_sage.desk import Desk
from productive_sage.errors import PsageError, TotalsDiffer
from productive_sage.errors.notices import Notice
from productive_sage.kept import Contact
from productive_sage.kinds import Kind
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link
from productive_sage.text import is_sage_id

_NEVER = datetime.max.replace(tzinfo=UTC)
_OVERLAP = timedelta(seconds=15)
"""So long before it was read may something be dated that appears in Sage's list only afterwards."""


def named(desk: Desk, productive_id: str) -> str | None:
    """The copy Productive names at this moment; None where it names none, or does not say."""
    with suppress(PsageError):
        return desk.productive.invoices.export_id(productive_id)
    return None


def unknown(export_id: str | None, links: Collection[Link]) -> str | None:
    """The id of a Sage document that Productive names, where it is none of those known here."""
    is_known = export_id in {link.sage_id for link in links}
    return export_id if is_sage_id(export_id) and not is_known else None


def made_elsewhere(desk: Desk, kind: Kind, invoice: Invoice) -> tuple[int, SageDocument] | None:
    """Which copy of the invoice Productive names, and the document, where it is not known here.

    A search of Sage may not find it yet.
    """
    sage_id = unknown(invoice.export_id, desk.store.copies.of(invoice.id))
    found = desk.sage.documents.one(kind, sage_id) if sage_id else None
    whose, copy = (markers.in_reference(found.reference) if found else None) or ("", 0)
    return (copy, found) if found and whose == invoice.id else None


def checked(
    desk: Desk, outcome: Outcome, document: SageDocument, others: Collection[str | None]
) -> Outcome:
    """The outcome of a copy made just now, with an error where another one stands beside it.

    `others` are the copies Productive named meanwhile, which costs Sage no call.
    """
    same = [document]
    for sage_id in {one for one in others if is_sage_id(one)} - {document.id}:
        with suppress(PsageError):
            found = desk.sage.documents.one(outcome.kind, str(sage_id))
            same += [found] if found else []
    return _judged(outcome, alike(document, same))


class SinceThen:
    """What Sage holds of a kind since a run began, or `earlier`; each part of it is read once."""

    def __init__(self, desk: Desk, earlier: timedelta) -> None:
        self._desk = desk
        self._earlier = earlier
        self._began = time.monotonic()
        self._documents: dict[str, dict[str, SageDocument]] = {}
        self._read_at: dict[str, datetime] = {}
        self._ended = set[str]()

    @property
    def at(self) -> datetime:
        """Since when, by Sage's clock."""
        return (
            self._desk.sage.now()
            - timedelta(seconds=time.monotonic() - self._began)
            - self._earlier
        )

    def read(self, kind: Kind, *, is_end: bool) -> None:
        """Read what is there by now and was not before; the end where the run sends no more."""
        now, before = self._desk.sage.now(), self._read_at.get(kind.code)
        found = self._desk.sage.documents.marked_since(
            kind, before - _OVERLAP if before else self.at
        )
        self._documents.setdefault(kind.code, {}).update({one.id: one for one in found})
        self._read_at[kind.code] = now
        if is_end:
            self._ended.add(kind.code)

    def documents(self, kind: Kind) -> list[SageDocument]:
        """All of it, to the end."""
        if kind.code not in self._ended:
            self.read(kind, is_end=True)
        return [*self._documents[kind.code].values()]


def of_run(desk: Desk, made: Sequence[Outcome], since: SinceThen) -> Iterator[Outcome]:
    """Those of the copies made since that stand twice in Sage, once more and with an error.

    One list of each kind and, where customers were made, one of contacts.
    """
    try:
        kinds = {outcome.kind for outcome in made}
        documents = [one for kind in kinds for one in since.documents(kind)]
        is_new = any(outcome.customer and outcome.customer.created for outcome in made)
        contacts = desk.sage.contacts.all(since.at) if is_new else []
    except PsageError as error:
        said = (
            "whether another machine made the same copies just now could not be seen: "
            f"{error.message}; `psage sync-payments` looks again"
        )
        yield replace(made[-1], notices=(*made[-1].notices, Notice("not_checked", said)))
        return
    by_id = {document.id: document for document in documents}
    by_reference: dict[tuple[str, int] | None, list[SageDocument]] = {}
    for document in documents:
        by_reference.setdefault(markers.in_reference(document.reference), []).append(document)
    for outcome in made:
        judged = outcome
        if own := by_id.get(outcome.sage_id or ""):
            same = by_reference[markers.in_reference(own.reference)]
            judged = _judged(outcome, alike(own, same))
        judged = _with_customer(judged, contacts)
        if judged is not outcome:
            yield judged


def alike(document: SageDocument, others: Sequence[SageDocument]) -> list[SageDocument]:
    """The living documents that carry the marker of this one, itself too, the first made first."""
    marker = markers.in_reference(document.reference)
    found = [one for one in others if markers.in_reference(one.reference) == marker]
    found = [one for one in found if marker and not in_sage.gone(one)]
    return sorted(found, key=lambda one: (one.made_at or _NEVER, one.id))


def said_twice(label: str, same: Sequence[SageDocument]) -> TotalsDiffer:
    """The error about several living copies of one document, the first made first."""
    first, *later = same
    numbers, surplus = (" and ".join(map(_called, documents)) for documents in (same, later))
    said = f"{label} is in Sage {len(same)} times: {numbers} carry `{first.reference}`"
    hint = (
        f"void {surplus} in Sage, where they were made later, and keep {_called(first)}; a receipt "
        f"of {surplus} belongs on {first.number}"
    )
    if len({one.contact_id for one in same}) > 1:
        names = " and ".join(f"`{one.contact_name}`" for one in same)
        said += f", for two contacts, {names}"
    return TotalsDiffer(
        said,
        code="copied_twice",
        hint=hint,
        details={"keep": first.id, "void": [one.id for one in later]},
    )


def _called(document: SageDocument) -> str:
    """A number that tells it from others; all drafts have one."""
    return f"{document.number} (id {document.id})" if document.is_draft else document.number


def _judged(outcome: Outcome, same: Sequence[SageDocument]) -> Outcome:
    if len(same) < 2:
        return outcome
    return replace(outcome, action="differs", error=said_twice(outcome.label, same))


def _with_customer(outcome: Outcome, contacts: Sequence[Contact]) -> Outcome:
    """The outcome with what is to be said of the customer it made."""
    customer = outcome.customer
    if not customer or not customer.created:
        return outcome
    same = next(
        (rows for rows in doubled(contacts) if customer.id in {one.id for one in rows}), None
    )
    if same is None:
        return outcome
    error = customer_doubled(same)
    if outcome.error:  # which comes first
        return replace(outcome, notices=(*outcome.notices, Notice(error.code, error.message)))
    return replace(outcome, action="differs", error=error)


def doubled(contacts: Sequence[Contact]) -> list[list[Contact]]:
    """The contacts that share psage's marker of a company with another one."""
    by_marker: dict[str, list[Contact]] = {}
    for one in contacts:
        if markers.in_guid(one.marker):
            by_marker.setdefault(one.marker, []).append(one)
    return [same for same in by_marker.values() if len(same) > 1]


def customer_doubled(same: Sequence[Contact]) -> TotalsDiffer:
    """The error about several contacts with psage's marker of one company."""
    first, *later = sorted(same, key=lambda one: (one.made_at, one.id))
    names = " and ".join(f"`{one.name}` ({one.reference or one.id})" for one in (first, *later))
    return TotalsDiffer(
        f"Sage holds {len(same)} contacts that psage made for one company: {names}",
        code="customer_doubled",
        hint=f"keep `{first.name}` ({first.reference or first.id}), which was made first: bill the "
        "documents of the other to it in Sage, and delete the other there",
        details={"keep": first.id, "surplus": [one.id for one in later]},
    )
