"""One document becomes a plan: what would be sent, whole, with nothing sent yet.

A dry run shows the plan, a real run sends it: there is no second way to either.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from productive_sage import markers
from productive_sage.copying import (
    after,
    allocations,
    bodies,
    bookable,
    crediting,
    drafts,
    matching,
    results,
    standing,
    versions,
    wording,
)
from productive_sage.copying.adopt import Copies
from productive_sage.copying.choosing import GoBack
from productive_sage.copying.crediting import CreditedCopy
from productive_sage.copying.customers import Customers
from productive_sage.copying.new_customers import NewCustomer
from productive_sage.copying.order import CopyOrder
from productive_sage.copying.rates import Rates
from productive_sage.copying.records import CustomerResult, Draft, FieldChange, Outcome
from productive_sage.copying.versions import Version
from productive_sage.desk import Desk
from productive_sage.errors import Refused, TotalsDiffer
from productive_sage.kept import Contact
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link, names
from productive_sage.tax import Tax, sends_taxes


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What a copy shall be, and how it comes about."""

    invoice: Invoice
    draft: Draft
    customer: Contact | NewCustomer
    """Who is billed; a new one is made first."""
    copy_number: int
    said: Version
    """What Productive says now, which the next update compares with."""
    credited: CreditedCopy | None = None
    link: Link | None = None
    """The copy that an update changes; None for a new one."""
    present: SageDocument | None = None
    """That copy as Sage holds it."""
    theirs: Sequence[tuple[str, str, str]] = ()
    """What of it an update leaves as the bookkeeper made it (see `Merged.theirs`)."""
    changes: tuple[FieldChange, ...] = ()
    takes_customer: bool = True
    """Whether the copy goes to the customer that Productive's company has."""
    unseen: SageDocument | None = None
    """A copy of the credit note that no search showed, but the list of its customer."""

    def body(self, contact_id: str) -> dict[str, Any]:
        """What is sent of the document, billed to a contact."""
        return bodies.document_body(self.draft, contact_id)

    def said_of(self, contact: Contact) -> Version:
        """What Productive says now, with the contact that is billed for it."""
        if not self.takes_customer:
            return self.said
        return replace(self.said, document={**self.said.document, "customer": contact.id})

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to send, since the copy is as it shall be."""
        return self.link is not None and not self.changes

    def left(self, done: after.Done) -> Outcome:
        """What is said of a copy that is left as it is, after what was `done` beside it."""
        link, present, draft = self.link, self.present, self.draft
        outcome = Outcome(
            "unchanged",
            self.invoice.id,
            number=self.invoice.number,
            **results.shown(present),
            pdf=done.pdf,
            notices=(*draft.notices, *done.notices),
            kind=self.invoice.kind,
            allocated=results.allocated(link, present, done) if link and present else None,
        )
        due = draft.mirrored_tax
        if due in (None, draft.tax):
            return outcome
        error = TotalsDiffer(
            f"the copy {outcome.sage_number} of {outcome.label} has {draft.tax} {draft.currency} "
            f"tax, Productive {due} {draft.currency} at the same rate",
            hint="look at the invoice in Productive; no rounding of the rate gives its tax",
        )
        return replace(outcome, action="differs", error=error)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The calls that carry it out, whole: method, path and body."""
        requests: list[dict[str, Any]] = []
        contact_id = "(the new customer)"
        if isinstance(self.customer, Contact):
            contact_id = self.customer.id
        elif not self.customer.is_planned:
            body = {"contact": dict(self.customer.body)}
            requests.append({"method": "POST", "path": "/contacts", "body": body})
        kind, body = self.draft.kind, self.body(contact_id)
        method, path = "POST", kind.path
        if self.present:
            method, path = "PUT", f"{kind.path}/{self.present.id}"
            body = bodies.update_body(kind, body, self.present)
        return [*requests, {"method": method, "path": path, "body": {kind.field: body}}]


class Planner:
    """Plans of one run's new copies, and what they have in common with those of updates."""

    def __init__(
        self, order: CopyOrder, desk: Desk, customers: Customers, rates: Rates, copies: Copies
    ) -> None:
        self._order = order
        self._desk = desk
        self._customers = customers
        self._rates = rates
        self._copies = copies
        self.numbers = bookable.Numbers(desk, is_alone=order.is_alone)
        # Of a dry run: by the copy's id, and by company and currency.
        self._would_credit: dict[str, Invoice] = {}
        self._would_make: dict[tuple[str, str], Invoice] = {}

    def create(self, invoice: Invoice, copy_number: int) -> CopyPlan:
        """Plan a new copy. Raises a Refused where it cannot be one; nothing is left behind."""
        desk = self._desk
        credited = self._copies.credited(invoice)
        unseen = crediting.check_first(desk, invoice, credited) if credited else None
        owns_number = desk.settings.numbering == "productive"
        if owns_number and not invoice.number:
            raise Refused(
                f"{invoice.label} has no number, and Productive numbers documents",
                hint="give it a number in Productive",
            )
        number = invoice.number if owns_number else None
        if credited:
            customer = self.customer(invoice, credited)
            draft = self.credit_draft(invoice, credited, copy_number, number=number)
        else:
            customer, tax = self._billing(invoice)
            draft = self.draft(invoice, tax, copy_number, number=number)
        is_new = isinstance(customer, NewCustomer)
        draft = self.addressed(draft, invoice, customer)
        draft = replace(draft, is_unbooked=self._order.leaves_drafts(desk.settings))
        self.numbers.check(invoice, number, None, is_new_customer=is_new)
        doubts = bookable.check(desk, invoice, draft, customer)
        if credited and isinstance(customer, Contact):
            doubts += standing.of_credit(desk, self._customers, invoice, draft, customer)
        draft = replace(draft, notices=(*draft.notices, *doubts))
        self.numbers.give(invoice, number)
        company, charged = invoice.company.id, invoice.tax
        country = self._customers.book.sold_to(invoice, customer)
        said = versions.said_by(draft, "", company=company, country=country, charged=charged)
        return CopyPlan(invoice, draft, customer, copy_number, said, credited, unseen=unseen)

    def _billing(self, invoice: Invoice) -> tuple[Contact | NewCustomer, Tax]:
        """Who is billed and with which tax; a person at the terminal may change their mind."""
        if self._desk.ask and self._order.is_alone and self._order.leaves_open:
            self._desk.ask.show(invoice)
        while True:
            customer = self._customers.find(invoice)
            if self._rates.maps:
                country = self._customers.book.sold_to(invoice, customer)
                is_new = isinstance(customer, NewCustomer)
                return customer, self._rates.mapped(invoice, country, is_new_customer=is_new)
            try:
                tax = self._rates.tax(
                    invoice,
                    self._customers.book.sold_to(invoice, customer),
                    kept=None,
                    is_new_customer=isinstance(customer, NewCustomer),
                    can_go_back=self._customers.was_asked(invoice),
                )
            except GoBack:
                self._customers.ask_again(invoice)
            else:
                return customer, tax

    def told(self, plan: CopyPlan) -> Outcome:
        """What a dry run says of a plan, after the plans of the documents before it."""
        if plan.is_idle:
            return plan.left(after.Done())
        if plan.link is None:
            plan = self._after_others(plan)
        draft, customer, present = plan.draft, plan.customer, plan.present
        contact_id = customer.id if isinstance(customer, Contact) else None
        name = customer.name if isinstance(customer, Contact) else str(customer.body["name"])
        is_made = isinstance(customer, NewCustomer) and not customer.is_planned
        allocated, notices = None, draft.notices
        if plan.credited and present is None:
            copy = plan.credited.document
            allocated = min(allocations.outstanding(copy), draft.total)
            after_it = allocations.Allocated(allocated, draft.total - allocated, copy.number)
            if after_it.rest:
                said = after.rest_on_account(after_it, "the credit note", draft.currency)
                notices = (*notices, said)
        return Outcome(
            "would_update" if present else "would_create",
            plan.invoice.id,
            number=plan.invoice.number,
            sage_id=present.id if present else None,
            sage_number=present.number if present else draft.number,
            sage_url=present.url if present else None,
            customer=CustomerResult(contact_id, name, created=is_made),
            net=draft.net,
            tax=draft.tax,
            total=draft.total,
            currency=draft.currency,
            notices=notices,
            planned={"requests": plan.requests, "draft": draft, "names": self._names(draft)},
            kind=draft.kind,
            is_draft=draft.is_unbooked,
            allocated=allocated,
            changes=plan.changes,
        )

    def _after_others(self, plan: CopyPlan) -> CopyPlan:
        """The plan as it is after those before it, which credit and make what they name."""
        invoice, customer = plan.invoice, plan.customer
        if plan.credited:
            first = self._would_credit.setdefault(plan.credited.document.id, invoice)
            if first is not invoice:
                raise Refused(
                    f"{invoice.label} credits {plan.credited.document.number} in Sage, as "
                    f"{first.label} does, and an invoice is credited once",
                    code="already_credited",
                )
        if isinstance(customer, Contact):
            return plan
        key = (customer.company_id, customer.currency)
        first = self._would_make.setdefault(key, invoice)
        return replace(plan, customer=replace(customer, is_planned=first is not invoice))

    def _names(self, draft: Draft) -> dict[str, str]:
        """What the ledger accounts and tax rates of a draft are called, by their ids."""
        accounts = {line.ledger_account_id for line in draft.lines}
        rates = {line.tax_rate_id for line in draft.lines if line.tax_rate_id}
        keys = {f"{names.ACCOUNT} {one}": one for one in accounts}
        keys |= {f"{names.TAX_RATE} {one}": one for one in rates}
        kept = self._desk.store.facts.names([*keys])
        return {keys[key]: name for key, name in kept.items()}

    def customer(self, invoice: Invoice, credited: CreditedCopy | None) -> Contact | NewCustomer:
        """Who is billed; a credit note is for whom its invoice's copy is for."""
        if credited is None:
            return self._customers.find(invoice)
        copy, wanted = credited.document, self._order.customer
        billed = self._customers.book.seen(
            invoice, Contact(copy.contact_id, copy.contact_name, currency=copy.currency)
        )
        if wanted is not None and not matching.named_customers([billed], wanted):
            raise Refused(
                f"{invoice.label} is for {copy.contact_name}, to whom {copy.number} is billed, "
                f"and not for `{wanted}`",
                code="customer_differs",
                hint="leave `--customer` out",
            )
        return billed

    def addressed(self, draft: Draft, invoice: Invoice, customer: Contact | NewCustomer) -> Draft:
        """The draft with an address where it needs one, and what is to be said of the customer."""
        said = self._customers.notices(invoice, customer)
        address = self._customers.book.address(invoice, customer)
        return replace(draft, address=address, notices=(*said, *draft.notices))

    def draft(self, invoice: Invoice, tax: Tax, copy_number: int, *, number: str | None) -> Draft:
        """The Sage invoice, to the cent."""
        draft = drafts.sales_document(
            invoice,
            tax=tax,
            marker=markers.of_copy(invoice.id, copy_number),
            default_ledger_account=self._desk.settings.default_ledger_account,
            items=self._desk.items(invoice),
            number=number,
        )
        return self._worded(invoice, draft)

    def _worded(self, invoice: Invoice, draft: Draft) -> Draft:
        """The draft with what people find it by in Sage, as the settings say."""
        settings = self._desk.settings
        reference, notes = settings.reference, settings.notes
        templates = {"reference": reference, "notes": notes}
        return replace(
            draft,
            reference=wording.reference(reference, invoice, draft.marker),
            notes=wording.notes(notes, invoice) if notes else None,
            worded_from={
                name: wording.values(text, invoice) for name, text in templates.items() if text
            },
        )

    def credit_draft(
        self, note: Invoice, credited: CreditedCopy, copy_number: int, *, number: str | None
    ) -> Draft:
        """The whole of the invoice's copy once more; raises where another tax is asked for."""
        draft = drafts.credit_document(
            note, credited.document, marker=markers.of_copy(note.id, copy_number), number=number
        )
        order = self._order
        if order.no_tax or order.tax_rate is not None:
            crediting.check_tax(note, credited, draft, self._rates.tax(note, "", kept=None))
        draft = replace(draft, is_tax_sent=sends_taxes(self._desk.books().country))
        return self._worded(note, draft)
