"""The plan of an update: what psage wrote, what Sage holds and what Productive says, compared.

Gives a plan where there is something to send, and the outcome itself where there is not.
"""

from dataclasses import replace
from functools import partial

from productive_sage.copying import bookable, changes, drafts, in_sage, merge, standing, versions
from productive_sage.copying.adopt import Copies, as_made
from productive_sage.copying.crediting import CreditedCopy
from productive_sage.copying.customers import Customers
from productive_sage.copying.merge import Merged
from productive_sage.copying.new_customers import NewCustomer
from productive_sage.copying.order import CopyOrder
from productive_sage.copying.plan import CopyPlan, Planner
from productive_sage.copying.rates import Rates
from productive_sage.copying.records import Draft, FieldChange, Outcome
from productive_sage.copying.versions import Version, Written
from productive_sage.desk import Desk
from productive_sage.errors import TaxRateInvalid
from productive_sage.errors.notices import Notice
from productive_sage.kept import Contact
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link


class Updates:
    """Plans of one run's updates."""

    def __init__(
        self,
        order: CopyOrder,
        desk: Desk,
        customers: Customers,
        rates: Rates,
        copies: Copies,
        planner: Planner,
    ) -> None:
        self._order = order
        self._desk = desk
        self._customers = customers
        self._rates = rates
        self._copies = copies
        self._planner = planner

    def plan(
        self, invoice: Invoice, link: Link, present: SageDocument, *, overwrite: bool
    ) -> CopyPlan | Outcome:
        """Plan an update; the outcome where both sides changed the same and nothing is sent.

        A plan without changes leaves the copy as it is. Raises a Refused where Sage would not take
        the update.
        """
        credited = self._copies.credited(invoice)
        known = link.written or as_made(present)  # a copy told from a list has no record of it
        written = Written.from_text(known) if known else None
        customer, is_asked = self._present_customer(
            invoice, present, credited, written, overwrite=overwrite
        )
        draft = self._draft(
            invoice, link, present, customer, credited, written, overwrite=overwrite
        )
        draft = replace(draft, is_unbooked=present.is_draft)
        is_for_same = isinstance(customer, Contact) and customer.id == present.contact_id
        if not is_for_same or (written and "address" in written.said.document):
            draft = self._planner.addressed(draft, invoice, customer)
        said = self._said(invoice, draft, customer, None if is_asked else written)
        merged = merge.merge(
            draft,
            said,
            present,
            written,
            percent=partial(changes.percent, self._desk, invoice, present),
            overwrite=overwrite,
        )
        if merged.conflicts:
            if self._overwrites(invoice, present, merged):
                return self.plan(invoice, link, present, overwrite=True)
            return changes.conflicting(self._desk, invoice, present, merged)
        draft = replace(merged.draft, is_tax_known=self._is_tax_known(written, said))
        draft = drafts.retaxed(invoice, draft)
        plan = CopyPlan(
            invoice,
            draft,
            customer,
            link.copy_number,
            said,
            link=link,
            present=present,
            theirs=merged.theirs,
            takes_customer=merged.takes_customer,
        )
        return self._with_changes(plan, link, present, merged, credited)

    def _with_changes(
        self,
        plan: CopyPlan,
        link: Link,
        present: SageDocument,
        merged: Merged,
        credited: CreditedCopy | None,
    ) -> CopyPlan:
        """The plan with what it changes of the copy, and what is in doubt about that."""
        invoice, draft, customer = plan.invoice, plan.draft, plan.customer
        changes.check_merged(invoice, draft, present, credited)
        notices = (*changes.kept(self._desk, present, customer, merged), *draft.notices)
        draft = replace(draft, notices=notices)
        differ = tuple(changes.named(self._desk, present, customer, one) for one in merged.changes)
        if differ and "reference" not in {one.field for one in differ}:
            differ += changes.replaced_reference(present, draft)
        if differ:
            billed = customer if merged.takes_customer else None
            doubts = self._check(
                invoice, link, present, draft, differ, customer=billed, credited=credited
            )
            draft = replace(draft, notices=(*draft.notices, *doubts))
        if not merged.takes_customer:
            customer = Contact(present.contact_id, present.contact_name, currency=present.currency)
        return replace(plan, draft=draft, customer=customer, changes=differ)

    def _said(
        self,
        invoice: Invoice,
        draft: Draft,
        customer: Contact | NewCustomer,
        before: Written | None,
    ) -> Version:
        """What Productive says; of the customer what it said `before`, if it did."""
        billed = customer.id if isinstance(customer, Contact) else ""
        if before:
            billed = before.said.document.get("customer", billed)
        return versions.said_by(
            draft,
            billed,
            company=invoice.company.id,
            country=self._customers.book.sold_to(invoice, customer),
            charged=invoice.tax,
        )

    def _check(
        self,
        invoice: Invoice,
        link: Link,
        present: SageDocument,
        draft: Draft,
        differ: tuple[FieldChange, ...],
        *,
        customer: Contact | NewCustomer | None,
        credited: CreditedCopy | None,
    ) -> tuple[Notice, ...]:
        """What is in doubt; `customer` where that is who is billed from now on.

        Raises a Refused where Sage would not take the update.
        """
        desk = self._desk
        changes.check_changeable(desk, invoice, link, present, None if customer else credited)
        # A date that was moved past its due date is Sage's to judge.
        if {"customer", "due date"} & {one.field for one in differ}:
            bookable.check_due(invoice, draft)
        if isinstance(customer, Contact):
            customer = self._customers.book.seen(invoice, customer)
        is_new = isinstance(customer, NewCustomer)
        self._planner.numbers.check(invoice, draft.number, link, is_new_customer=is_new)
        doubts = bookable.check_changed(desk, invoice, draft, present, customer)
        if customer is None:
            kept = Contact(present.contact_id, present.contact_name, currency=present.currency)
            doubts += tuple(bookable.inactive(self._customers.book.seen(invoice, kept)))
        if credited and isinstance(customer, Contact):
            doubts += standing.of_credit(desk, self._customers, invoice, draft, customer)
        self._planner.numbers.give(invoice, draft.number)
        return doubts

    def _draft(
        self,
        invoice: Invoice,
        link: Link,
        present: SageDocument,
        customer: Contact | NewCustomer,
        credited: CreditedCopy | None,
        written: Written | None,
        *,
        overwrite: bool,
    ) -> Draft:
        """The copy as Productive says; a number Sage gave stays, whoever numbers the next one."""
        owns_number = link.number_sent and self._desk.settings.numbering == "productive"
        number = (invoice.number or None) if owns_number else None
        if credited:
            return self._planner.credit_draft(invoice, credited, link.copy_number, number=number)
        country = self._customers.book.sold_to(invoice, customer)
        if self._rates.maps and (overwrite or self._is_mapped(present, written)):
            tax = self._rates.mapped(invoice, country)
            return self._planner.draft(invoice, tax, link.copy_number, number=number)
        kept = self._kept_rate(invoice, link, present, written)
        before = written.said.document.get("country") if written else None
        is_for_same = isinstance(customer, Contact) and customer.id == present.contact_id
        if not before and not is_for_same:
            other = Contact(present.contact_id, present.contact_name, currency=present.currency)
            before = self._customers.book.sold_to(invoice, other)
        if before and country and self._rates.differ(before, country):
            kept = None  # on the country hangs the tax
        tax = self._rates.tax(invoice, country, kept=kept)
        return self._planner.draft(invoice, tax, link.copy_number, number=number)

    def _is_mapped(self, present: SageDocument, written: Written | None) -> bool:
        """Whether the copy has the rates that stand for its taxes in Productive.

        The settings rewrite no copy that was made without them. Where nobody knows how it was made,
        several rates say so, if the settings name them all.
        """
        if written and written.said.document:
            return written.said.document.get("taxes") == versions.MAPPED
        rates = {line.tax_rate_id for line in present.lines}
        return len(rates) > 1 and self._rates.stand_for(rates)

    def _is_tax_known(self, written: Written | None, said: Version) -> bool:
        """Whether what Productive charges is no news: said with an earlier write, or not wanted."""
        if self._order.no_tax:
            return True
        before = written.said.document.get("charged") if written else None
        return self._order.tax_rate is None and before == said.document["charged"]

    def _overwrites(self, invoice: Invoice, present: SageDocument, merged: Merged) -> bool:
        """Whether a person wants the copy as Productive says although Sage has other things."""
        if self._desk.ask is None:
            return False
        differ = [changes.named(self._desk, present, None, one) for one in merged.conflicts]
        question = (
            f"The copy {present.number} of {invoice.label} was changed in Sage: "
            f"{changes.figures(differ)}"
        )
        answers = ["leave the copy as it is", "make it as Productive says"]
        return self._desk.ask(question, answers, 0) == 1

    def _present_customer(
        self,
        invoice: Invoice,
        present: SageDocument,
        credited: CreditedCopy | None,
        written: Written | None,
        *,
        overwrite: bool,
    ) -> tuple[Contact | NewCustomer, bool]:
        """Who is billed from now on, and whether Productive or a person now says so.

        The customer the copy has, unless one is asked for, or the company is another one now.
        """
        if credited:
            return self._planner.customer(invoice, credited), overwrite
        company = written.said.document.get("company") if written else None
        if (
            self._order.customer is not None
            or self._order.create_customer
            or company not in (None, invoice.company.id)
        ):
            return self._customers.find(invoice), True
        linked = self._desk.store.customers.of(
            invoice.company.id, invoice.currency, self._desk.sage.business_id
        )
        if linked and linked.id == present.contact_id:
            return linked, False
        if overwrite and written and (before := written.said.document.get("customer")):
            return self._desk.sage.contacts.one(before) or Contact(before, ""), True
        name, currency = present.contact_name, present.currency
        return Contact(present.contact_id, name, currency=currency), False

    def _kept_rate(
        self, invoice: Invoice, link: Link, present: SageDocument, written: Written | None
    ) -> str | None:
        """The tax rate the copy has, which an update keeps; None where one was asked for."""
        if self._order.no_tax or self._order.tax_rate is not None:
            return None
        was_mapped = written and written.said.document.get("taxes") == versions.MAPPED
        if link.tax_rate_id is not None and not was_mapped:
            return link.tax_rate_id
        rate = in_sage.sage_line_tax_rate(present.lines)
        if rate is None and self._desk.ask is None:
            raise TaxRateInvalid(
                f"the lines of {present.number} in Sage carry different tax rates, and psage gives "
                f"all lines of {invoice.label} one",
                hint="say which with `--tax-rate` or `--no-tax`",
            )
        return rate
