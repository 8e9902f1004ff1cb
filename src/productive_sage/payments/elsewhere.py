"""Copies that psage's records do not know: of other machines, or of after a backup was made."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from productive_sage import markers
from productive_sage.basics import INVOICE, Notice
from productive_sage.copying import doubles
from productive_sage.desk import Desk
from productive_sage.errors import Refused
from productive_sage.payments.evidence import Evidence
from productive_sage.payments.order import OVERLAP
from productive_sage.payments.records import Report
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link


def read_unknown(desk: Desk, evidence: Evidence, productive_ids: Sequence[str]) -> None:
    """Read the copies Productive names of these invoices, and the store does not know."""
    balances, _ = desk.productive.balances([one for one in productive_ids if one.isdecimal()])
    for productive_id, balance in balances.items():
        links = desk.store.copies.of(productive_id)
        if sage_id := doubles.unknown(balance.export_id, links):
            evidence.documents[sage_id] = evidence.witness(sage_id)


def say_unknown(desk: Desk, evidence: Evidence, report: Report) -> set[str]:
    """Say which copies a real run would link first; gives the Productive ids of these.

    A dry run records nothing.
    """
    found = set[str]()
    for document in evidence.documents.values():
        marker = markers.in_reference(document.reference) if document else None
        if document and marker and not desk.store.copies.at(document.id):
            found.add(marker[0])
            report.notices.append(
                Notice(
                    "copied_elsewhere",
                    f"{document.number} in Sage is a copy of invoice {marker[0]} that is not in "
                    "psage's records; a real run links it and brings its payments",
                )
            )
    return found


def adopt(desk: Desk, evidence: Evidence) -> None:
    """Link the copies that are among the documents read, where Productive names them too."""
    store, found = desk.store, dict[str, tuple[int, SageDocument]]()
    for document in evidence.documents.values():
        marker = markers.in_reference(document.reference) if document else None
        if document is None or marker is None or document.is_draft or store.copies.at(document.id):
            continue
        latest = store.copies.latest(marker[0])
        if marker[1] > max(latest.copy if latest else 0, found.get(marker[0], (0,))[0]):
            found[marker[0]] = marker[1], document
    balances, _ = desk.productive.balances([*found])
    for productive_id, (copy, document) in found.items():
        balance, business = balances.get(productive_id), desk.sage.business_id
        if balance and balance.export_id == document.id:
            link = Link.found(
                *(INVOICE, productive_id, copy, business, document),
                credited_sage_id=None,
                written=None,
            )
            store.copies.adopt(replace(link, pending=frozenset()))


def doubled(desk: Desk, evidence: Evidence) -> dict[str, list[SageDocument]]:
    """The copies that other machines made of linked invoices, by Productive id.

    As far as what was read anyway shows. What was said before is searched for, and said until
    one of them is void.
    """
    store, found = desk.store, [one for one in evidence.documents.values() if one]
    for one in store.errands.reports():
        link = store.copies.latest(one.productive_id) if one.code == "copied_twice" else None
        if link:
            marker = markers.of_copy(link.productive_id, link.copy)
            ids = {sage_id for sage_id, _ in desk.sage.with_marker(INVOICE, marker)}
            ids -= evidence.documents.keys()
            found += filter(None, map(evidence.witness, ids))
    same: dict[str, list[SageDocument]] = {}
    for document in found:
        whose = markers.in_reference(document.reference)
        if whose and store.copies.of(whose[0]) and not store.copies.at(document.id):
            same.setdefault(whose[0], []).append(document)
    return same


def say_doubled_customers(desk: Desk, report: Report, cursor: datetime) -> None:
    """Say where Sage holds a customer twice that was made since the last run."""
    if not desk.store.intents.has_made_customers(cursor):
        return
    try:
        contacts = desk.sage.customers(cursor - OVERLAP)
    except Refused:  # a sign-in that may not read contacts synchronises all the same
        return
    for same in doubles.doubled(contacts):
        error = doubles.customer_doubled(same)
        report.notices.append(Notice(error.code, f"{error.message}; {error.hint}"))
