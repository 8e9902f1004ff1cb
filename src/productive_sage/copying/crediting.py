"""What a credit note must be: the whole of its invoice's copy in Sage, and the first for it."""

from collections.abc import Iterator
from dataclasses import dataclass

from productive_sage import markers, money
from productive_sage.copying import in_sage
from productive_sage.copying.records import Draft
from productive_sage.desk import Desk
from productive_sage.errors import Refused, RefusedBySage, TaxRateInvalid
from productive_sage.kinds import CREDIT_NOTE
from productive_sage.productive.records import Invoice
from productive_sage.sage.receipts import ALLOCATIONS
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link
from productive_sage.tax import Tax, own_taxes


@dataclass(frozen=True, slots=True)
class CreditedCopy:
    """The copy of the invoice a credit note credits."""

    link: Link
    document: SageDocument


def check_tax(note: Invoice, credited: CreditedCopy, draft: Draft, tax: Tax) -> None:
    """Raises TaxRateInvalid where a tax that was asked for makes another total than the copy's."""
    currency = draft.currency
    nets = [line.net for line in draft.lines]
    asked = sum(own_taxes(nets, tax.percent, currency), money.ZERO)
    # The copy's own rate may come to a cent more or less there: its taxes are spread.
    if asked == draft.tax or tax.rate_id == draft.tax_rate_id:
        return
    raise TaxRateInvalid(
        f"{note.label} credits the whole of {credited.document.number}, which is "
        f"{money.said(draft.total, currency)} with {money.said(draft.tax, currency)} tax; with the "
        f"tax asked for it would be {money.said(draft.net + asked, currency)}",
        hint="leave `--tax-rate` and `--no-tax` out: a credit note has the tax of its invoice's "
        "copy",
        details={"copy": str(draft.total), "asked": str(draft.net + asked)},
    )


def check_whole(note: Invoice, credited: CreditedCopy, draft: Draft) -> None:
    """Raises `partial_credit` where an update would leave something of the copy open."""
    if draft.total == credited.document.total:
        return
    raise Refused(
        f"{note.label} credits the whole of {credited.document.number}, which is "
        f"{money.said(credited.document.total, draft.currency)}, but as its copy was changed in "
        f"Sage it is {money.said(draft.total, draft.currency)}",
        code="partial_credit",
        hint=f"`psage credit-note {note.typed} --update-existing --overwrite` makes it whole again",
        details={"copy": str(credited.document.total), "credit_note": str(draft.total)},
    )


def check_contact(note: Invoice, credited: CreditedCopy, present: SageDocument) -> None:
    """Raises `customer_differs` where Sage would not set the changed copy against its invoice.

    Before that its allocation has to go, and only documents of one contact can be allocated.
    """
    copy = credited.document
    if present.contact_id == copy.contact_id:
        return
    raise Refused(
        f"{present.number}, the copy of {note.label}, is for `{present.contact_name}` in Sage, and "
        f"{copy.number}, which it credits, for `{copy.contact_name}`: changed, it could not be set "
        "against that again",
        code="customer_differs",
        hint="put the customer right in Sage, then run this again; or "
        f"`psage credit-note {note.typed} --update-existing --overwrite`",
    )


def check_first(desk: Desk, note: Invoice, credited: CreditedCopy) -> SageDocument | None:
    """Raises `already_credited` where another living credit note is for the same copy.

    It may be known here, or set against the copy in Sage, or, where another machine made it and
    could not allocate it, carry the marker of a Productive credit note for the same invoice. One
    that carries the marker of `note` itself is its copy, which no search showed yet: that is given.
    """
    own = None
    for found in _others(desk, note, credited):
        marker = markers.in_reference(found.reference)
        if marker and marker[0] == note.id:
            own = found
            continue
        whose = f"made for Productive credit note {marker[0]}" if marker else "not made by psage"
        raise Refused(
            f"{credited.document.number}, the copy of the invoice {note.label} credits, has a "
            f"credit note in Sage already: {found.number} over "
            f"{money.said(found.total, found.currency)}, {whose}",
            code="already_credited",
            hint=f"look at {found.number} in Sage; if it is wrong, void it there and run this "
            "again",
            details={
                "sage_id": found.id,
                "sage_number": found.number,
                "reference": found.reference,
            },
        )
    return own


def _others(desk: Desk, note: Invoice, credited: CreditedCopy) -> Iterator[SageDocument]:
    """The living credit notes for a copy, other than those known to be made for `note`."""
    own = {link.sage_id for link in desk.store.copies.of(note.id)}
    known = {link.sage_id for link in desk.store.copies.crediting(credited.document.id)}
    known |= _allocated(desk, credited.document)
    for sage_id in sorted(known - own):
        document = desk.sage.documents.one(CREDIT_NOTE, sage_id)
        if document and not in_sage.gone(document):
            yield document
    for document in desk.sage.documents.credit_notes(credited.document.contact_id):
        marker = markers.in_reference(document.reference)
        if document.id in own | known or in_sage.gone(document) or not marker:
            continue
        is_same_currency = document.currency == credited.document.currency
        if marker[0] == note.id or (
            is_same_currency and _is_for(desk, marker[0], credited, document)
        ):
            yield document


def _allocated(desk: Desk, copy: SageDocument) -> set[str]:
    """The credit notes that are set against a copy."""
    found = set[str]()
    for row in copy.settlements or ():
        if not row.allocation_id:
            continue
        paths = {row.artefact_path} if row.artefact_path else _sources(desk, row.allocation_id)
        found |= {path.rpartition("/")[2] for path in paths if path.startswith(CREDIT_NOTE.path)}
    return found


def _sources(desk: Desk, allocation_id: str) -> frozenset[str]:
    """Where what an allocation gives away is kept; nothing where this sign-in may not read it."""
    try:
        allocation = desk.sage.receipts.one(ALLOCATIONS, allocation_id)
    except RefusedBySage:
        return frozenset()
    return allocation.from_paths if allocation else frozenset()


def _is_for(desk: Desk, productive_id: str, credited: CreditedCopy, found: SageDocument) -> bool:
    """Whether a credit note another machine made credits this copy.

    Productive says which invoice it is for; where it was deleted there, its date and figures do.
    """
    notes, unreadable = desk.productive.invoices.read(ids=[productive_id])
    if notes and notes[0].credited:
        return notes[0].credited.id == credited.link.productive_id
    if notes or productive_id in unreadable:
        return False
    copy = credited.document
    on = found.original_on
    is_elsewhere = any(row.artefact_id not in ("", copy.id) for row in found.settlements or ())
    return not is_elsewhere and found.total == copy.total and on in (None, copy.invoiced_on)


def still_credited(note: Invoice, present: SageDocument) -> Refused:
    """The refusal of a second living credit note, which would credit one invoice twice."""
    return Refused(
        f"{note.label} has a living copy in Sage, {present.number} over "
        f"{money.said(present.total, present.currency)}, and an invoice is credited once",
        code="already_credited",
        hint=f"`psage credit-note {note.typed} --update-existing` brings it up to date; or void "
        f"{present.number} in Sage, and run this again",
        details={"sage_id": present.id, "sage_number": present.number},
    )
