"""Carrying out what is planned: each document one recorded write, checked and followed up."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace

from productive_sage.copying import after, crediting, doubles, drafts, results, send, versions
from productive_sage.copying.adopt import Copies, Found, copied_elsewhere, living_copy
from productive_sage.copying.customers import Customers
from productive_sage.copying.looks import Looks
from productive_sage.copying.new_customers import NewCustomer
from productive_sage.copying.order import CopyOrder
from productive_sage.copying.plan import CopyPlan, Planner
from productive_sage.copying.records import CustomerResult, Outcome
from productive_sage.copying.results import shown
from productive_sage.copying.versions import Written
from productive_sage.desk import Desk
from productive_sage.errors import RefusedBySage, TotalsDiffer
from productive_sage.errors.notices import Notice
from productive_sage.kept import Contact
from productive_sage.kinds import INVOICE
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import CopyFacts, CopyIntent, Link

Turn = Callable[[], AbstractContextManager[None]]
"""What a document is sent in: no two at once, and in the order they were asked for."""


def _waiting(plan: CopyPlan) -> set[str]:
    """What a plan leaves to be done, beside what the settings want after any copy."""
    release = {"release"} if plan.draft.is_unbooked else set()
    return release | ({"allocate"} if plan.credited else set())


class Carrier:
    """Carries out the plans of one run."""

    def __init__(
        self,
        order: CopyOrder,
        desk: Desk,
        customers: Customers,
        copies: Copies,
        planner: Planner,
        looks: Looks,
    ) -> None:
        self._order = order
        self._desk = desk
        self._customers = customers
        self._copies = copies
        self._planner = planner
        self._looks = looks

    def carry_out(self, plan: CopyPlan | Found, turn: Turn = nullcontext) -> Outcome:
        """Do what is planned, or in a dry run say it; what is sent to Sage waits for its `turn`."""
        if isinstance(plan, Found):
            return self._adopted(plan.invoice, plan.link)
        if self._desk.dry_run:
            return self._planner.told(plan)
        if plan.link is None or plan.present is None:
            return self._create(plan, turn)
        if plan.is_idle:
            return self._leave(plan, plan.link, plan.present)
        return self._change(plan, plan.link, plan.present, turn)

    def _create(self, plan: CopyPlan, turn: Turn) -> Outcome:
        """Make a copy; once more, for another contact, where Sage has the known one no more.

        Not of a saved plan, which was agreed to for that contact. What Sage answered is recorded
        when the next document is on its way: if psage is killed before, both are open, and found.
        """
        invoice, missing = plan.invoice, None
        with turn():
            try:
                made = self._make(plan)
            except RefusedBySage as error:
                is_of_contact = "contact" in f"{error.words} {error.fields}".lower()
                may_be_another = is_of_contact and not self._order.is_saved
                missing = self._customers.forget_missing(invoice) if may_be_another else None
                if missing is None:
                    raise
                made = self._make(self._planner.create(invoice, plan.copy_number))
        outcome = made if isinstance(made, Outcome) else self._follow(*made)
        if missing is None:
            return outcome
        said = (
            f"the contact `{missing.name}`, which was billed for {invoice.company.name} until now, "
            "is no longer in Sage, so it was looked up again"
        )
        return replace(outcome, notices=(*outcome.notices, Notice("customer_missing", said)))

    def _make(self, plan: CopyPlan) -> Outcome | tuple[CopyPlan, CopyIntent, SageDocument]:
        """Send a new copy, after a last look whether another machine has made it meanwhile.

        The outcome where one has; else the plan as it was sent, and what came of it.
        """
        desk, invoice = self._desk, plan.invoice
        # In a batch it can be a while since it was read.
        named = plan.unseen.id if plan.unseen else self._looks.named(invoice.id)
        if outcome := self._made_meanwhile(plan, named):
            return outcome
        plan = replace(plan, invoice=replace(invoice, export_id=named))
        if plan.unseen:
            raise crediting.still_credited(invoice, plan.unseen)
        contact = self._customers.billed(invoice, plan.customer)
        if isinstance(plan.customer, NewCustomer):  # which took a while
            last = desk.productive.invoices.export_id(invoice.id)
            if outcome := self._made_meanwhile(plan, last):
                return outcome
        intent = self._begin(invoice.kind.code, plan, contact)
        return plan, intent, send.deliver_create(desk, intent)

    def _follow(self, plan: CopyPlan, intent: CopyIntent, answer: SageDocument) -> Outcome:
        """Record a new copy, do what follows it, and say what came of it."""
        desk, invoice = self._desk, plan.invoice
        link, document = send.record_answer(desk, intent, answer)
        self._looks.made(invoice.id)
        is_alone = self._order.is_alone and not plan.credited
        named_before = doubles.named(desk, invoice.id) if is_alone else None
        outcome = self._conclude("created", plan, intent, link, document)
        if not is_alone:
            return outcome
        named_by_others = {named_before, doubles.named(desk, invoice.id)} - {invoice.export_id}
        return doubles.checked(desk, outcome, document, named_by_others)

    def _change(self, plan: CopyPlan, link: Link, present: SageDocument, turn: Turn) -> Outcome:
        """Send an update."""
        with turn():
            contact = self._customers.billed(plan.invoice, plan.customer)
            intent = self._begin("update", plan, contact)
            link, document = send.deliver_update(self._desk, intent, link, present)
        outcome = self._conclude("updated", plan, intent, link, document)
        return replace(outcome, changes=plan.changes)

    def _leave(self, plan: CopyPlan, link: Link, present: SageDocument) -> Outcome:
        """Leave a copy as it is; a PDF that changed in Productive is still replaced."""
        desk = self._desk
        # Both sides may have made the same change.
        own = versions.own_part(versions.held_in(present), plan.theirs)
        written = Written(plan.said, own).as_text()
        if written != link.written:
            desk.store.copies.change(link, written=written)
        if self._order.with_pdf and desk.settings.pdf == "productive":
            link = replace(link, pending=link.pending | {"pdf"})
        return plan.left(after.finish(desk, link, plan.invoice, present, again=True))

    def _made_meanwhile(self, plan: CopyPlan, named: str | None) -> Outcome | None:
        """The outcome of a copy that Productive names by now, and did not when it was read.

        Raises `already_copied` where one more was asked for.
        """
        if named == plan.invoice.export_id:
            return None
        invoice = replace(plan.invoice, export_id=named)
        link = self._copies.adopt(invoice)
        if link is None or (plan.copy_number == 1 and self._order.again != "new"):
            return self._adopted(invoice, link) if link else None
        raise copied_elsewhere(invoice, link)

    def _adopted(self, invoice: Invoice, link: Link) -> Outcome:
        present = living_copy(
            self._desk, invoice, link, self._desk.sage.documents.known(link.kind, link.sage_id)
        )
        done = after.Done()
        if not self._desk.dry_run:
            self._customers.remember(invoice, present.contact_id, present.contact_name)
            if self._order.pdf:
                link = replace(link, pending=link.pending | {"pdf"})
            done = after.finish(self._desk, link, invoice, present, again=True)
        outcome = Outcome(
            "adopted",
            invoice.id,
            number=invoice.number,
            **shown(present),
            notices=(
                Notice("adopted", f"found in Sage (reference `{present.reference}`) and linked"),
                *done.notices,
            ),
            kind=invoice.kind,
            allocated=results.allocated(link, present, done),
        )
        net = invoice.net if invoice.kind is INVOICE else -invoice.net
        if present.net == net and present.currency == invoice.currency:
            if abs(invoice.tax) == present.tax or self._order.no_tax:
                return outcome
            notice = Notice("tax_not_mirrored", drafts.both_taxes(invoice, present.tax))
            return replace(outcome, notices=(*outcome.notices, notice))
        return replace(
            outcome,
            action="differs",
            error=TotalsDiffer(
                f"the copy {present.number} of {invoice.label} found in Sage has a net of "
                f"{present.net} {present.currency}, the {invoice.kind.name} in Productive {net} "
                f"{invoice.currency}",
                hint=f"`psage {invoice.kind.command} {invoice.typed} --update-existing` brings it "
                "up to date",
            ),
        )

    def _begin(self, kind: str, plan: CopyPlan, contact: Contact) -> CopyIntent:
        """Commit what is about to be sent."""
        desk, invoice, draft = self._desk, plan.invoice, plan.draft
        pending = after.pending(desk, with_pdf=self._order.with_pdf)
        facts = CopyFacts(
            kind=invoice.kind.code,
            credited_sage_id=plan.credited.document.id if plan.credited else None,
            copy=plan.copy_number,
            sage_id=plan.link.sage_id if plan.link else "",
            tax_rate_id=draft.tax_rate_id,
            said=asdict(plan.said_of(contact)),
            before=asdict(versions.held_in(plan.present)) if plan.present else None,
            theirs=plan.theirs,
            expected=drafts.expectation(draft),
            pending=(*sorted(pending | _waiting(plan)),),
            number=invoice.number,
            number_sent=draft.number is not None,
            asked_new=self._order.again == "new",
            company_id=invoice.company.id,
            currency=invoice.currency,
            contact_name=contact.name,
            country=contact.country,
            remember=self._customers.remembers(invoice, contact),
            agreed=self._customers.is_agreed(invoice, contact),
        )
        return desk.store.intents.begin(
            kind,
            invoice.id,
            desk.sage.business_id,
            payload=plan.body(contact.id),
            facts=facts,
            at=desk.sage.now(),
        )

    def _conclude(
        self, action: str, plan: CopyPlan, intent: CopyIntent, link: Link, document: SageDocument
    ) -> Outcome:
        contact_id = document.contact_id or str(intent.payload["contact_id"])
        name = document.contact_name or intent.facts.contact_name
        is_made = self._customers.made(plan.invoice) is not None
        return results.conclude(
            self._desk,
            action,
            intent,
            link,
            document,
            invoice=plan.invoice,
            customer=CustomerResult(contact_id, name, created=is_made),
            notices=plan.draft.notices,
        )
