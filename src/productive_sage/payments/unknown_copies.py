"""Copies that psage's records do not know: of other machines, or of after a backup was made."""

from collections.abc import Sequence
from datetime import datetime

from productive_sage import markers
from productive_sage.copying import doubles, elsewhere
from productive_sage.copying.records import FoundCopy
from productive_sage.desk import Desk
from productive_sage.errors import Refused
from productive_sage.errors.notices import Notice
from productive_sage.kinds import INVOICE
from productive_sage.payments.evidence import Evidence
from productive_sage.payments.order import OVERLAP
from productive_sage.payments.records import Skipped, Synced
from productive_sage.sage.records import SageDocument

_CODE = "copied_elsewhere"
_NAMED = 5
"""So many copies are named in a sentence at most."""


def read_unknown(desk: Desk, evidence: Evidence, productive_ids: Sequence[str]) -> None:
    """Read the copies of these invoices that the store does not know.

    They are those Productive names, or, of one it names none of, those a search shows.
    """
    balances, _ = desk.productive.payments.balances(
        [one for one in productive_ids if one.isdecimal()]
    )
    for productive_id, balance in balances.items():
        links = desk.store.copies.of(productive_id)
        sage_ids = set[str]()
        if sage_id := doubles.unknown(balance.export_id, links):
            sage_ids = {sage_id}
        elif not links:
            found = desk.sage.documents.with_marker(INVOICE, markers.of_copy(productive_id, 1))
            pairs = ((key, markers.in_reference(reference)) for key, reference in found)
            sage_ids = {key for key, marker in pairs if marker and marker[0] == productive_id}
        for sage_id in sage_ids:
            evidence.documents[sage_id] = evidence.witness(sage_id)


def learn(desk: Desk, evidence: Evidence, synced: Synced) -> set[str]:
    """Put the copies among the documents read into psage's records; says what was found.

    A dry run records nothing: it says which copies a real one would know, and gives the Productive
    ids of these.
    """
    documents = elsewhere.unknown(desk, filter(None, evidence.documents.values()))
    if not documents:
        return set()
    entries = elsewhere.entries_of(desk, [*documents])
    judged = elsewhere.judge(desk, INVOICE, documents, entries)
    for one in judged.left:
        entry = one.entry
        synced.skipped.append(
            Skipped(entry.id, entry.number, elsewhere.CODE, one.message, one.next_step)
        )
    if not desk.dry_run:
        synced.adopted = elsewhere.record(desk, judged.copies)
        return set()
    if judged.copies:
        synced.notices.append(Notice(_CODE, _would_learn(judged.copies)))
    return {one.entry.id for one in judged.copies}


def is_said(synced: Synced) -> bool:
    """Whether a dry run found copies that a real one would know."""
    return _CODE in {one.code for one in synced.notices}


def _would_learn(copies: Sequence[FoundCopy]) -> str:
    names = [f"{one.document.number} of {one.entry.number or one.entry.id}" for one in copies]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    said = "copies made elsewhere are" if len(names) > 1 else "copy made elsewhere is"
    listed = ", ".join(names[:_NAMED]) + more
    return (
        f"{len(names)} {said} not in psage's records: {listed}; a real run records "
        f"{'them' if len(names) > 1 else 'it'} first, and brings the payments"
    )


def doubled(desk: Desk, evidence: Evidence) -> dict[str, list[SageDocument]]:
    """The copies that other machines made of linked invoices, by Productive id.

    As far as what was read anyway shows. What was said before is searched for, and said until
    one of them is void.
    """
    store, found = desk.store, [one for one in evidence.documents.values() if one]
    for one in store.errands.findings():
        link = store.copies.latest(one.productive_id) if one.code == "copied_twice" else None
        if link and link.kind is INVOICE:
            marker = markers.of_copy(link.productive_id, link.copy_number)
            ids = {sage_id for sage_id, _ in desk.sage.documents.with_marker(INVOICE, marker)}
            ids -= evidence.documents.keys()
            found += filter(None, map(evidence.witness, ids))
    same: dict[str, list[SageDocument]] = {}
    for document in found:
        whose = markers.in_reference(document.reference)
        if whose and store.copies.of(whose[0]) and not store.copies.at(document.id):
            same.setdefault(whose[0], []).append(document)
    return same


def say_doubled_customers(desk: Desk, synced: Synced, cursor: datetime) -> None:
    """Say where Sage holds a customer twice that was made since the last run."""
    if not desk.store.intents.has_made_customers(cursor):
        return
    try:
        contacts = desk.sage.contacts.all(cursor - OVERLAP)
    except Refused:  # a sign-in that may not read contacts synchronises all the same
        return
    for same in doubles.doubled(contacts):
        error = doubles.customer_doubled(same)
        synced.notices.append(Notice(error.code, f"{error.message}; {error.hint}"))
