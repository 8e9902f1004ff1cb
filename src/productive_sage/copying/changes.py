"""What an update changes, keeps and may not touch, in words a person reads: names, not ids."""

from collections.abc import Iterable
from decimal import Decimal

from productive_sage import money
from productive_sage.copying import allocations, crediting, drafts, in_sage
from productive_sage.copying.crediting import CreditedCopy
from productive_sage.copying.merge import Change, Merged
from productive_sage.copying.new_customers import NewCustomer
from productive_sage.copying.records import Draft, FieldChange, Outcome
from productive_sage.copying.results import shown
from productive_sage.desk import Desk
from productive_sage.errors import Refused, TaxRateInvalid, TotalsDiffer
from productive_sage.errors.notices import Notice
from productive_sage.kept import Contact
from productive_sage.kinds import CREDIT_NOTE
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link
from productive_sage.tax import percent_on


def named(
    desk: Desk, present: SageDocument, customer: Contact | NewCustomer | None, change: Change
) -> FieldChange:
    """A change as people read it: names, not ids."""
    field = change.field
    names: dict[str, str] = {}
    if field == "tax rate":
        names = {rate.id: rate.name for rate in desk.tax_rates()}
    elif field == "ledger account":
        names = {one.id: f"{one.nominal_code} {one.name}".strip() for one in desk.ledger_accounts()}
    elif field == "item":
        names = desk.item_names()
    elif field == "customer":
        names = {present.contact_id: present.contact_name}
        if isinstance(customer, Contact):
            names.setdefault(customer.id, customer.name)
        elif customer:
            names[""] = str(customer.body["name"])
        for value in {change.sage, change.productive} - names.keys():
            if value and (found := desk.contact(value) or desk.sage.contacts.one(value)):
                names[value] = found.name
    old, new = (names.get(value, value) or "none" for value in (change.sage, change.productive))
    return FieldChange(change.name, old, new)


def kept(
    desk: Desk, present: SageDocument, customer: Contact | NewCustomer, merged: Merged
) -> list[Notice]:
    """What is said of each thing that only the bookkeeper changed."""
    theirs = [named(desk, present, customer, one) for one in merged.kept]
    return [Notice("kept", f"kept as it was changed in Sage: {figures([one])}") for one in theirs]


def conflicting(desk: Desk, invoice: Invoice, present: SageDocument, merged: Merged) -> Outcome:
    """The outcome where both sides changed the same thing, so that nothing is written."""
    differ = [named(desk, present, None, one) for one in merged.conflicts]
    command = f"psage {invoice.kind.command} {invoice.typed} --update-existing --overwrite"
    error = TotalsDiffer(
        f"the copy {present.number} of {invoice.label} was changed in Sage, so nothing was "
        f"written: {figures(differ)}",
        code="changed_in_sage",
        hint=f"to have it as Productive says: `{command}`; else put into Productive what Sage has",
        details={
            one.name: {"sage": name.old, "productive": name.new, "written": one.written}
            for one, name in zip(merged.conflicts, differ, strict=True)
        },
    )
    return Outcome(
        "differs",
        invoice.id,
        number=invoice.number,
        **shown(present),
        error=error,
        kind=invoice.kind,
    )


def figures(changes: Iterable[FieldChange]) -> str:
    """Both sides' values of what differs."""
    return "; ".join(f"{one.field}: Sage {one.old}, Productive {one.new}" for one in changes)


def replaced_reference(present: SageDocument, draft: Draft) -> tuple[FieldChange, ...]:
    """What stands in the place of the marker, which an update brings back."""
    is_as_it_was = present.reference == draft.reference
    return () if is_as_it_was else (FieldChange("reference", present.reference, draft.reference),)


def check_merged(
    invoice: Invoice, draft: Draft, present: SageDocument, credited: CreditedCopy | None
) -> None:
    """Raises `copy_locked` for another currency, `partial_credit` where something stays open."""
    if credited:
        crediting.check_whole(invoice, credited, draft)
    if draft.currency != present.currency:
        raise Refused(
            f"the copy of {invoice.label} is in {present.currency}, and a document in Sage "
            f"keeps its currency; the {invoice.kind.name} is in {draft.currency} now",
            code="copy_locked",
            hint=f"`psage {invoice.kind.command} {invoice.typed} --create-new` makes a new copy; "
            "then void the old one in Sage",
        )


def check_changeable(
    desk: Desk, invoice: Invoice, link: Link, present: SageDocument, credited: CreditedCopy | None
) -> None:
    """Raises `copy_locked`, or `customer_differs` for a credit note that keeps its customer."""
    if credited:
        crediting.check_contact(invoice, credited, present)
    first = "remove the receipt or allocation in Sage"
    reason = allocations.locked_because(link, present)
    # What psage has allocated would be taken back first: that is worth a look of now.
    if reason in (None, in_sage.LOCKED) and _is_closed(
        desk, present, anew=bool(allocations.of(link, present)), is_locked=bool(reason)
    ):
        first = "open the period in Sage's settings"
        reason = f"it is dated {present.invoiced_on}, in a closed period"
    if reason:
        ways = "credit the invoice in Productive and invoice the difference"
        if invoice.kind is CREDIT_NOTE:
            ways = "enter the difference in Sage by hand"
        if present.is_draft:
            command = f"psage {invoice.kind.command} {invoice.typed} --create-new --draft"
            ways = f"delete the draft in Sage, and `{command}` makes another"
        raise Refused(
            f"the copy {present.number} of {invoice.label} cannot be changed in Sage: {reason}",
            code="copy_locked",
            hint=f"either {first} and run this again, or {ways}",
            details={"sage_id": present.id, "status": present.status, "reason": reason},
        )


def _is_closed(desk: Desk, present: SageDocument, *, anew: bool, is_locked: bool) -> bool:
    """Whether the copy's period is closed, which Sage does not say of what psage has allocated.

    Nor does it say why a document `is_locked`: then the last closed day explains it too. What is
    not booked is in no period.
    """
    if present.is_draft and not is_locked:
        return False
    day = present.invoiced_on.isoformat() if present.invoiced_on else "9"

    def is_in(closed: str) -> bool:
        return day < closed or (is_locked and day == closed)

    return (anew or is_in(desk.books().locked_until)) and is_in(desk.books(anew=True).locked_until)


def percent(desk: Desk, invoice: Invoice, present: SageDocument, rate_id: str) -> Decimal:
    """The percentage of a rate that a line of the copy has in Sage; none for none."""
    if not rate_id:
        return money.ZERO
    for anew in (False, True):
        for rate in desk.tax_rates(anew=anew):
            if rate.id == rate_id:
                return percent_on(rate, drafts.date_of(invoice), even_hidden=True)
    raise TaxRateInvalid(
        f"a line of {present.number}, the copy of {invoice.label}, has a tax rate Sage no "
        f"longer lists: `{rate_id}`",
        hint="choose another for the line in Sage, and run this again",
    )
