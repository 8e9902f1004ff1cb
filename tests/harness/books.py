"""Documents of both books as plain values, which agree until a test says otherwise."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from productive_sage.kinds import CREDIT_NOTE, INVOICE
from productive_sage.payments.records import ReceiptShare
from productive_sage.productive.records import Company, Entry
from productive_sage.reconcile.compare import Compared, compare
from productive_sage.reconcile.sides import Booked, Comparable, Copied, Records
from productive_sage.sage.records import SageDocument

DAY, DUE = date(2026, 3, 2), date(2026, 4, 1)


def entry(key: int, **changes: Any) -> Entry:
    """A finalised invoice over 100.00 and 20.00 tax, or what the changes make of it."""
    one = Entry(
        id=str(key),
        number=f"INV-{key}",
        kind=INVOICE,
        company=Company("501", "Northwind Ltd"),
        invoiced_on=DAY,
        pay_on=DUE,
        is_finalised=True,
        currency="GBP",
        net=Decimal("100.00"),
        tax=Decimal("20.00"),
        total=Decimal("120.00"),
        paid=Decimal(0),
        unpaid=Decimal("120.00"),
    )
    return replace(one, **changes)


def document(key: int, **changes: Any) -> SageDocument:
    """The copy of `entry(key)`."""
    one = SageDocument(
        id=f"s{key}",
        number=f"SI-{key}",
        reference=f"PRD-{key}",
        status="UNPAID",
        currency="GBP",
        invoiced_on=DAY,
        due_on=DUE,
        contact_id="c1",
        contact_name="Northwind Ltd",
        net=Decimal("100.00"),
        tax=Decimal("20.00"),
        total=Decimal("120.00"),
        outstanding=Decimal("120.00"),
        is_editable=True,
        is_in_tax_return=False,
        url=None,
        made_at=datetime(2026, 3, 2, tzinfo=UTC),
    )
    return replace(one, **changes)


def booked(key: int, **changes: Any) -> Booked:
    own = {
        name: changes.pop(name)
        for name in ("shares", "credits", "kind", "is_clear")
        if name in changes
    }
    return Booked(own.pop("kind", INVOICE), document(key, **changes), **own)


FACTS = Comparable(Decimal("100.00"), Decimal("20.00"), DAY, DUE)


def copied(key: int, **changes: Any) -> Copied:
    one = Copied(str(key), 1, INVOICE, f"s{key}", f"SI-{key}", said=FACTS, held=FACTS)
    return replace(one, **changes)


def note(key: int, invoice: int, **changes: Any) -> tuple[Entry, Booked, Copied]:
    """A credit note for the whole of an invoice, copied and set against its copy."""
    amounts = {"net": Decimal(-100), "tax": Decimal(-20), "total": Decimal(-120)}
    here = entry(
        key, kind=CREDIT_NOTE, credits=str(invoice), unpaid=Decimal(0), pay_on=None, **amounts
    )
    changes = {"outstanding": Decimal(0), "due_on": None, **changes}
    there = booked(key, kind=CREDIT_NOTE, **changes)
    said = Comparable(Decimal(-100), Decimal(-20), DAY, None)
    return here, there, copied(key, kind=CREDIT_NOTE, said=said, held=said)


def codes(found: Compared) -> list[tuple[str, str]]:
    return [(pair.productive_id, one.code) for pair, one in found.found()]


def run(
    here: Sequence[Entry],
    there: Sequence[Booked],
    copies: Sequence[Copied] = (),
    **records: Any,
) -> Compared:
    options = {key: records.pop(key) for key in ("read", "sync", "time") if key in records}
    return compare(here, there, Records(copies, **records), **options)


SHARE = ReceiptShare("r1", "s1", DAY, Decimal("120.00"), "BACS")
PART = replace(SHARE, amount=Decimal("50.00"))
PAID_HERE = {"paid": Decimal("120.00"), "unpaid": Decimal(0), "paid_on": DAY}
PAID_THERE = {"status": "PAID", "outstanding": Decimal(0), "shares": (SHARE,)}
