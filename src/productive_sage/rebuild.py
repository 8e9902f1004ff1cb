"""rebuild: psage's records made again from what it left in the services, which are only read.

Copies carry a marker in Sage's reference, payments one in their note in Productive. Which document
is whose is judged as before a copy; a payment has to be what Sage says of its marker, since people
copy notes. What psage knows already is neither changed nor removed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from productive_sage import markers, money
from productive_sage.desk import Desk
from productive_sage.errors.notices import Notice
from productive_sage.kept import OwnPayment
from productive_sage.kinds import INVOICE, Kind
from productive_sage.payments.match import match
from productive_sage.productive.records import Payment
from productive_sage.reconcile import adopting, pairing, reading
from productive_sage.reconcile.reading import Sides
from productive_sage.reconcile.sides import Booked, Pair


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that psage did not know."""

    kind: Kind
    productive_id: str
    number: str
    """In Productive."""
    sage_id: str
    sage_number: str


@dataclass(frozen=True, slots=True)
class FoundPayment:
    """A payment of psage's own that it did not know."""

    productive_id: str
    number: str
    """Of the invoice in Productive."""
    payment: Payment
    currency: str


@dataclass(slots=True)
class Rebuilt:
    """What was put into the records."""

    copies: list[Copy] = field(default_factory=list)
    payments: list[FoundPayment] = field(default_factory=list)
    customers: int = 0
    """How many companies are billed to a contact by psage's own marker on that."""
    notices: list[Notice] = field(default_factory=list)
    """What carries a marker and was not taken, with the reason."""

    @property
    def is_anything(self) -> bool:
        """Whether there is anything to record."""
        return bool(self.copies or self.payments or self.customers)


def rebuild(desk: Desk) -> Rebuilt:
    """Record the copies, customers and payments that carry psage's marker and are not known.

    For who holds the run lock; inside a transaction that shows what was found before it is
    committed. Raises DifferentBusiness, and ServiceUnavailable where a list is not whole.
    """
    desk.check_business()
    sides = reading.read(desk)
    found = Rebuilt(notices=sides.notices)
    before = {one.sage_id for one in sides.records.copies}
    pairs = pairing.pair_up(sides.billed, sides.booked, sides.records.copies)
    pairs = [one for one in pairs if _unknown(one, before)]
    # Where one copy is known only further ones are looked for: no record is changed.
    lost = [replace(one, copied=None) for one in pairs if one.billed and one.booked]
    adopting.link(desk, lost, found.notices, mends=False)
    found.notices += [
        _unbilled(one, each) for one in pairs if not one.billed for each in _unknown(one, before)
    ]
    _leave_to_the_latest(desk, before)
    numbers = {one.id: one.number for one in sides.billed}
    found.copies = [
        Copy(
            one.kind,
            one.productive_id,
            numbers.get(one.productive_id, ""),
            one.sage_id,
            one.sage_number,
        )
        for one in desk.store.copies.each()
        if one.sage_id not in before
    ]
    found.customers = _customers(desk, sides)
    _payments(desk, sides, numbers, found)
    desk.learn_names()
    return found


def _unknown(pair: Pair, known: set[str]) -> list[Booked]:
    """The documents in Sage of a pair that are not known."""
    return [one for one in (pair.booked, *pair.others) if one and one.id not in known]


def _unbilled(pair: Pair, one: Booked) -> Notice:
    return Notice(
        "not_adopted",
        f"not linked: {one.document.number} in Sage carries the marker of {pair.kind.name} "
        f"{pair.productive_id}, which Productive does not show",
    )


def _leave_to_the_latest(desk: Desk, known: set[str]) -> None:
    """Leave nothing to do for Productive of a copy that has a later one."""
    for link in [one for one in desk.store.copies.each() if one.sage_id not in known]:
        latest = desk.store.copies.latest(link.productive_id)
        if latest and latest.copy_number > link.copy_number:
            desk.store.copies.change(link, pending=link.pending - {"mark"})


def _customers(desk: Desk, sides: Sides) -> int:
    """Bill companies to the contacts psage made for them, as the latest of their copies are."""
    contacts, business = sides.records.contacts or {}, desk.sage.business_id
    billed = {one.id: one for one in sides.billed}
    by_age = sorted(sides.booked, key=lambda one: (one.document.invoiced_on or date.min, one.id))
    count = 0
    for one in reversed(by_age):
        link, contact = desk.store.copies.at(one.id), contacts.get(one.document.contact_id)
        entry = billed.get(link.productive_id) if link else None
        if entry is None or contact is None or one.is_void:
            continue
        company = entry.company.id
        is_theirs = markers.in_guid(contact.marker) == company
        if is_theirs and not desk.store.customers.of(company, entry.currency, business):
            desk.store.customers.remember(company, entry.currency, business, contact)
            count += 1
    return count


def _payments(desk: Desk, sides: Sides, numbers: Mapping[str, str], found: Rebuilt) -> None:
    """Record the payments in Productive that stand for what Sage says of their marker."""
    copies: dict[str, list[Booked]] = {}
    for booked in sides.booked:
        link = desk.store.copies.at(booked.id)
        if link and link.kind is INVOICE:
            copies.setdefault(link.productive_id, []).append(booked)
    payments, unreadable = desk.productive.payments.of([*copies])
    found.notices += [Notice("not_adopted", error.message) for error in unreadable.values()]
    sent = {one.source_id for one in desk.store.intents.open_payments()}
    for productive_id, documents in copies.items():
        known = {one.payment_id for one in desk.store.payments.of(productive_id)}
        unknown = [
            one
            for one in payments[productive_id]
            # What was sent and never answered for is settled by the next sync.
            if (marker := markers.in_note(one.note)) and marker not in sent and one.id not in known
        ]
        if not unknown or productive_id in unreadable:
            continue
        own = _own(desk, productive_id, documents, payments[productive_id])
        for one in own:
            desk.store.payments.record(one)
        taken = {one.payment_id for one in own}
        number, currency = numbers.get(productive_id, ""), documents[0].document.currency
        for payment in unknown:
            if payment.id in taken:
                found.payments.append(FoundPayment(productive_id, number, payment, currency))
            else:
                found.notices.append(_not_own(payment, number or productive_id, currency))


def _own(
    desk: Desk, productive_id: str, documents: Sequence[Booked], payments: Sequence[Payment]
) -> tuple[OwnPayment, ...]:
    """Those of an invoice's payments that are psage's own by all that both services say."""
    whole = [one if one.is_clear else reading.clarified(desk, one) for one in documents]
    return match(
        [share for one in whole for share in one.shares],
        payments,
        desk.store.payments.of(productive_id),
        copies={one.id for one in documents},
        sent=(),
        begin=date.min,
        write_off=True,
    ).found


def _not_own(payment: Payment, number: str, currency: str) -> Notice:
    said = money.said(payment.amount, currency)
    return Notice(
        "not_adopted",
        f"payment {payment.id} of {said} on invoice `{number}` carries psage's marker, but is not "
        "what Sage says of it: it is taken for somebody's own; `psage sync-payments` says more",
    )
