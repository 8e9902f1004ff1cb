"""Sending a planned copy, new or left over by an earlier run, and recording what came of it."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from productive_sage import markers, naming
from productive_sage.copying import after, allocations, bodies, drafts, versions, write_once
from productive_sage.desk import Desk
from productive_sage.errors import (
    CopyGone,
    OutcomeUnknown,
    PsageError,
    Refused,
    RefusedBySage,
)
from productive_sage.http import Recorder
from productive_sage.kinds import CREDIT_NOTE
from productive_sage.sage.records import SageDocument
from productive_sage.store import CopyIntent, Link


def deliver_create(desk: Desk, intent: CopyIntent, *, is_first: bool = True) -> SageDocument:
    """Send the intent of a new copy, and return Sage's answer: `record_answer` is still to be done.

    See `write_once.deliver` for what is raised.
    """
    try:
        return write_once.deliver(
            desk.store,
            intent,
            send=partial(desk.sage.documents.create, intent.document_kind),
            look=lambda: find_made(desk, intent) or find_fresh(desk, intent),
            is_first=is_first,
        )
    except RefusedBySage as error:
        desk.doubt_facts()
        raise _explained(error, intent) from None


def record_answer(
    desk: Desk, intent: CopyIntent, document: SageDocument
) -> tuple[Link, SageDocument]:
    """Record the answer to a new copy, which may have been made by an earlier run long ago.

    Raises CopyGone for one that was voided since; one that is gone is sent anew.
    """
    if not write_once.is_of_old(intent, document.made_at):
        return record(desk, intent, document, is_answer=True), document
    present = desk.sage.documents.known(intent.document_kind, document.id)
    if present is None:
        intent = write_once.anew(desk.store, intent, at=desk.sage.now())
        return record_answer(desk, intent, deliver_create(desk, intent))
    link = record(desk, intent, present)
    if present.status == "VOID":
        raise made_and_gone(intent, link, present)
    return link, present


def made_and_gone(intent: CopyIntent, link: Link, present: SageDocument) -> CopyGone:
    """The error about a copy that an earlier run made, and that was voided since."""
    name = naming.to_type(intent.facts.number, link.productive_id)
    return CopyGone(
        f"the copy {present.number} was made before, and voided in Sage since",
        hint=f"if it shall be in the books again: `psage {link.kind.command} {name} --create-new`",
        details={"sage_id": present.id, "sage_number": present.number},
    )


def find_made(desk: Desk, intent: CopyIntent) -> SageDocument | None:
    """The document an intent made, found by its marker.

    Raises CopyIsDraft for a draft where none was to be made.
    """
    found = desk.sage.documents.with_marker(intent.document_kind, markers.of_copy(*_wanted(intent)))
    return _first(desk, intent, found)


def find_fresh(desk: Desk, intent: CopyIntent) -> SageDocument | None:
    """As `find_made`, in the list of what was made since: a search may not show it yet."""
    since = intent.sent_at - write_once.CLOCK_SKEW
    found = desk.sage.documents.marked_since(intent.document_kind, since)
    return _first(desk, intent, [(one.id, one.reference) for one in found])


def _wanted(intent: CopyIntent) -> tuple[str, int]:
    return intent.source_id, intent.facts.copy


def _first(desk: Desk, intent: CopyIntent, found: Sequence[tuple[str, str]]) -> SageDocument | None:
    wanted, kind = _wanted(intent), intent.document_kind
    for sage_id, reference in found:
        if markers.in_reference(reference) == wanted:
            document = desk.sage.documents.one(kind, sage_id)
            if document and not intent.facts.expected.get("is_draft"):
                document.check_booked("what carries its reference")
            return document
    return None


def record(
    desk: Desk, intent: CopyIntent, document: SageDocument, *, is_answer: bool = False
) -> Link:
    """Record a new copy and end its intent; `is_answer` where nobody can have changed it since.

    Raises OutcomeUnknown where that cannot be written: the next run finds the copy by its marker.
    """
    try:
        return desk.store.intents.finish_create(
            intent,
            sage_id=document.id,
            number=document.number,
            written=_written(intent, document, is_answer=is_answer),
            pending=frozenset({*intent.facts.pending, _told_by("created", intent)}),
        )
    except PsageError as error:
        raise _not_recorded(document, error) from error


def _told_by(action: str, intent: CopyIntent) -> str:
    """The word that stays in `pending` until the run has said what it did."""
    return f"{action}-new" if intent.facts.asked_new else action


def deliver_update(
    desk: Desk, intent: CopyIntent, link: Link, present: SageDocument, *, is_first: bool = True
) -> tuple[Link, SageDocument]:
    """Send an update intent and record it; see `write_once.deliver` for what is raised.

    Sage changes lines by their ids, so a second try first reads them again: the first may have
    made new ones. It changes no credit note that is allocated either: what psage allocated is taken
    back first, and `allocate` stays pending until it is set against the invoice again.
    """
    latest, kind = [present], intent.document_kind

    def look() -> None:
        found = desk.sage.documents.one(kind, link.sage_id)
        if found is None:
            raise OutcomeUnknown(f"Sage no longer shows the copy {link.sage_number}")
        latest[0] = found

    def send(body: dict[str, Any], record: Recorder) -> SageDocument:
        for settlement in allocations.of(link, latest[0]):
            allocations.take_back(desk, intent, link, settlement)
        changed = bodies.update_body(kind, body, latest[0])
        return desk.sage.documents.update(kind, link.sage_id, changed, record)

    if allocations.of(link, present):
        link = replace(link, pending=link.pending | {"allocate"})
        desk.store.copies.change(link, pending=link.pending)
    try:
        document = write_once.deliver(desk.store, intent, send=send, look=look, is_first=is_first)
    except OutcomeUnknown:
        raise
    except PsageError as error:
        desk.doubt_facts()
        final = _explained(error, intent) if isinstance(error, RefusedBySage) else error
        if "allocate" in link.pending and not _allocate_again(desk, link):
            final.hint = (
                f"{final.hint or 'see what Sage says'}; {link.sage_number} is not set against its "
                "invoice at the moment, and the next `psage credit-note` or `copy-invoice` does it"
            )
        raise final from None
    return record_update(desk, intent, link, document, is_answer=True), document


def _allocate_again(desk: Desk, link: Link) -> bool:
    """Put back what was taken back for an update that failed; False where the next run has to."""
    with suppress(PsageError):
        if note := desk.sage.documents.one(link.kind, link.sage_id):
            return not after.finish(desk, link, None, note).is_left
    return False


def record_update(
    desk: Desk, intent: CopyIntent, link: Link, document: SageDocument, *, is_answer: bool = False
) -> Link:
    """Record what an update changed and end its intent; `is_answer` as for `record`."""
    try:
        return desk.store.intents.finish_update(
            intent,
            link,
            sage_number=document.number,
            tax_rate_id=intent.facts.tax_rate_id,
            written=_written(intent, document, is_answer=is_answer),
            pending=frozenset({*intent.facts.pending, *link.pending, "updated"}),
        )
    except PsageError as error:
        raise _not_recorded(document, error) from error


def _written(intent: CopyIntent, document: SageDocument, *, is_answer: bool) -> str:
    """What is now known to be in Sage, for the comparison of the next update."""
    held = versions.held_in(document)
    if not is_answer:
        held = versions.as_sent(intent.document_kind, intent.payload, held) or held
    is_as_planned = not drafts.differences(intent.facts.expected, document)
    said = versions.version(intent.facts.said)
    own = versions.own_part(held, intent.facts.theirs)
    return versions.Written(said, own, is_as_planned).as_text()


def _not_recorded(document: SageDocument, error: PsageError) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"the copy is in Sage as {document.number}, but could not be recorded: {error.message}",
        hint=f"{error.hint}; the next run finds the copy by its reference",
    )


def number_taken(number: str, other: Link | None) -> Refused:
    """The refusal of a number that another document has, with what is known of that one."""
    details: dict[str, Any] = {"number": number}
    known = "a document psage did not make, or one that was voided"
    if other:
        known = f"the copy of Productive {other.kind.name} {other.productive_id}"
        details |= {"sage_id": other.sage_id, "productive_id": other.productive_id}
    return Refused(
        f"the number `{number}` is used in Sage already, by {known}",
        code="number_taken",
        hint="a number cannot be used twice, not even after a void: change it in Productive, "
        "update the copy that has it with `--update-existing`, or let Sage number "
        "(`psage configure --numbering sage`)",
        details=details,
    )


def _of_what_stands(intent: CopyIntent, fields: str) -> str | None:
    """The next step where Sage refuses what nobody chose now; None where psage knows none."""
    if intent.document_kind is CREDIT_NOTE and re.search("tax|contact|ledger", fields):
        return (
            "a credit note has the customer, accounts and rates of its invoice's copy: mend in "
            "Sage what it names, or enter the credit note there by hand"
        )
    if intent.kind == "update" and "ledger" in fields:
        return "show the account for sales in Sage again, or give the line another there"
    return None


def _explained(error: RefusedBySage, intent: CopyIntent) -> Refused:
    """Add the next step to Sage's refusal, where psage knows one."""
    name = intent.document_kind.number
    number = intent.payload.get(name)
    if number and any(name in field for field in error.fields):
        return number_taken(str(number), None)
    fields = " ".join(error.fields)
    if hint := _of_what_stands(intent, fields):
        error.hint = hint
    elif "tax" in fields:
        error.hint = "choose the rate with `--tax-rate`, or `--no-tax`"
    elif "contact" in fields:
        error.hint = "choose the customer with `--customer`"
    elif "ledger" in fields:
        error.hint = "set another account with `psage configure --default-ledger`"
    elif "Address is required" in error.words:
        error.hint = (
            "its contact in Sage had an address when psage last looked: run the command again, and "
            "the address that Productive has is sent along"
        )
    elif found := re.search(r"\.(notes|reference)\b", fields):
        error.hint = (
            f"it is made of the document in Productive, by the setting `{found[1]}`: look at what "
            f'stands there, or leave it out with `psage configure --{found[1]} ""`'
        )
    elif values := bodies.blamed(f"{error.words} {fields}", intent.payload):
        error.hint = f"{' and '.join(values)} came from Productive: mend it there and try again"
    return error
