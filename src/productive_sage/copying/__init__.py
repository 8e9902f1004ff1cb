"""copy-invoice and credit-note: Productive's documents become Sage's, each exactly once.

Read this file from `copy` down: what an earlier run left open is settled, then each document asked
for is read, planned, sent as one recorded write, checked to the cent and followed up. "Invoice"
means either kind here, since Productive keeps both in one list. Nothing is printed here.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import timedelta

from productive_sage import naming
from productive_sage.copying import after, crediting, doubles, drafts, earlier, living, merge, send
from productive_sage.copying.adopt import Copies, copied_elsewhere
from productive_sage.copying.contacts import NewCustomer
from productive_sage.copying.customers import Customers
from productive_sage.copying.merge import Written
from productive_sage.copying.order import Order, sources
from productive_sage.copying.plan import Plan, Planner
from productive_sage.copying.rates import Rates
from productive_sage.copying.recover import SEARCH_LAG, settle
from productive_sage.copying.send import shown
from productive_sage.copying.update import Updates
from productive_sage.desk import Desk
from productive_sage.errors import (
    AlreadyCopied,
    CopyGone,
    IsCreditNote,
    IsDraft,
    NoDefaultLedger,
    NotACreditNote,
    OutcomeUnknown,
    PsageError,
    RefusedBySage,
    TotalsDiffer,
    UsageProblem,
)
from productive_sage.models import (
    CREDIT_NOTE,
    INVOICE,
    Contact,
    CustomerResult,
    Invoice,
    Notice,
    Outcome,
    SageDocument,
)
from productive_sage.store import CopyFacts, CopyIntent, Link

log = logging.getLogger("psage.copying")


def copy(order: Order, desk: Desk) -> Iterator[Outcome]:
    """Copy the invoices in the order asked for; one outcome each, whatever happens to the others.

    First come the outcomes of what an earlier run left open, and last a second one, its last word,
    for each copy that turns out to be in Sage twice (see `last_words`). A dry run only plans.
    Raises what no document can get past: NoDefaultLedger, DifferentBusiness, a missing sign-in, a
    dead network.
    """
    began, made, is_stopped = time.monotonic(), list[Outcome](), False
    for outcome in _copy(order, desk):
        is_stopped |= outcome.error is not None and outcome.error.stops_batch
        is_new = outcome.action in ("created", "adopted", "differs") or earlier.is_new(outcome)
        kept = outcome
        if outcome.sage_id and is_new:
            kept = living.said(desk, outcome)
            made.append(kept)
        yield kept
    is_alone = order.is_alone and order.kind is INVOICE  # it has looked for itself
    if made and not is_stopped and (not is_alone or any(map(earlier.is_new, made))):
        taken = timedelta(seconds=time.monotonic() - began)
        yield from doubles.of_run(desk, made, desk.sage.now() - taken - SEARCH_LAG)


def last_words(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, without those that a later one of the same copy corrects."""
    last = {one.sage_id: one for one in outcomes if one.sage_id}
    return [one for one in outcomes if not one.sage_id or one is last[one.sage_id]]


def _copy(order: Order, desk: Desk) -> Iterator[Outcome]:
    if not desk.settings.default_ledger_account:
        raise NoDefaultLedger
    if order.pdf and len(order.documents()) > 1:
        raise UsageProblem(
            "`--pdf-file` is the PDF of one document",
            hint=f"for several, put files with the documents' numbers in their names into "
            f"`{desk.pdf_folder}`",
        )
    desk.check_business()
    if not desk.dry_run:
        living.look_again(desk)
    naming.check(order.documents(), desk.productive.organization_id)
    desk = replace(desk, handed_pdf=order.handed_pdf)
    held: dict[str, Outcome] = {}
    try:
        for outcome in () if desk.dry_run else settle(desk, asked=order.names):
            if order.names(outcome.productive_id, outcome.number):
                first = held.get(outcome.productive_id)
                held[outcome.productive_id] = earlier.both(first, outcome) if first else outcome
            else:
                yield outcome
        yield from _copy_each(order, desk, held)
    except (PsageError, KeyboardInterrupt):
        yield from held.values()  # what was settled is said, whatever else fails
        raise


def _copy_each(order: Order, desk: Desk, held: dict[str, Outcome]) -> Iterator[Outcome]:
    """One outcome for each invoice asked for; takes out of `held` what it has said."""
    asked = list(sources(order, desk))
    invoices = [source for source in asked if isinstance(source, Invoice)]
    if order.customer is not None and len({invoice.company.id for invoice in invoices}) > 1:
        raise UsageProblem(
            "`--customer` names one customer, but these invoices are of several companies",
            hint="copy the invoices of one company at a time",
        )
    run = _Run(order, desk)
    run.copies.look_for([invoice.id for invoice in invoices])
    stopped_by: PsageError | None = None
    unknown = (
        {intent.source_id for intent in desk.store.intents.open_copies()} if desk.dry_run else set()
    )
    for source in asked:
        before = held.pop(source.id, None) if isinstance(source, Invoice) else None
        if not isinstance(source, Invoice):
            yield source
        elif (
            before
            and earlier.is_as_asked(order, before)
            and (before.error or not earlier.is_new(before))
        ):
            yield before
        else:
            # What an earlier run had begun may be of another day: it is held against today's.
            again = "update" if before and earlier.is_as_asked(order, before) else order.again
            outcome = _not_tried(source, stopped_by) if stopped_by else run.attempt(source, again)
            if outcome.error and outcome.error.stops_batch:
                stopped_by = stopped_by or outcome.error
            if source.id in unknown:
                said = "an earlier write for it has no answer yet; a real run settles that first"
                notices = (*outcome.notices, Notice("open_write", said))
                outcome = replace(outcome, notices=notices)
            yield earlier.both(before, outcome) if before else outcome
    yield from list(held.values())  # Productive no longer shows these
    held.clear()


def _not_tried(invoice: Invoice, stopped_by: PsageError) -> Outcome:
    error = stopped_by.reworded(f"{invoice.label} was not tried: {stopped_by.message}")
    return Outcome("failed", invoice.id, number=invoice.number, error=error, kind=invoice.kind)


def verdict(outcomes: Sequence[Outcome]) -> int:
    """The exit code of a batch: unknown outcomes first, then partial failure, then differences."""
    codes = [outcome.error.exit_code for outcome in outcomes if outcome.error]
    failures = [code for code in codes if code != TotalsDiffer.exit_code]
    if OutcomeUnknown.exit_code in failures:
        return OutcomeUnknown.exit_code
    if failures and (len(failures) < len(outcomes) or len(set(failures)) > 1):
        return 6
    return min(failures or codes, default=0)


# --- one document


class _Run:
    """One run: each document is held against its copy, planned, and the plan is carried out."""

    def __init__(self, order: Order, desk: Desk) -> None:
        self._order = order
        self._desk = desk
        self._customers = Customers(
            desk,
            wanted=order.customer,
            always_new=order.create_customer,
            remember=order.remember,
            is_alone=order.is_alone,
        )
        count = len(order.documents())
        rates = Rates(desk, wanted=order.tax_rate, no_tax=order.no_tax, count=count)
        self.copies = Copies(desk, order.kind, self._customers)
        self._planner = Planner(order, desk, self._customers, rates, self.copies)
        self._updates = Updates(order, desk, self._customers, rates, self.copies, self._planner)

    def attempt(self, invoice: Invoice, again: str | None) -> Outcome:
        """Copy one invoice, `again` as in the order; whatever goes wrong is in the outcome."""
        try:
            return self._copy(invoice, again)
        except PsageError as error:
            outcome = send.failed(invoice.kind, invoice.id, invoice.number, error)
        except Exception:  # one document's defect must not stop the others
            log.exception("invoice %s", invoice.id)
            outcome = send.failed(
                invoice.kind,
                invoice.id,
                invoice.number,
                PsageError(
                    f"psage met something it does not expect with {invoice.label}",
                    hint="the log has the details; please report it",
                ),
            )
        made = self._customers.made(invoice)
        if made is None:
            return outcome
        said = f"the customer `{made.name}` was made in Sage before that; the next try bills it"
        notices = (*outcome.notices, Notice("customer_made", said))
        return replace(outcome, customer=made, notices=notices)

    def _copy(self, invoice: Invoice, wanted: str | None) -> Outcome:
        self._check_kind(invoice)
        if not invoice.is_finalised:
            raise IsDraft(f"{invoice.label} is a draft", hint="finalise it in Productive first")
        known, link = (
            self._desk.store.copies.latest(invoice.id),
            self.copies.latest(invoice, wanted),
        )
        if link is None:
            link = self.copies.adopt(invoice)
            if link is None:
                return self._create(invoice, copy=1)
            if wanted is None:
                return self._adopted(invoice, link)
        known = known or link
        link, present = self.copies.present(invoice, link)
        again = wanted or self._again(invoice, link, present)
        if again == "leave":
            return Outcome(
                "unchanged",
                invoice.id,
                number=invoice.number,
                **shown(present),
                kind=invoice.kind,
                allocated=send.allocated(link, present, after.Done()) if present else None,
            )
        if again == "new":
            if invoice.kind is CREDIT_NOTE and present and not drafts.gone(present):
                raise crediting.still_credited(invoice, present)
            newer = self.copies.adopt(invoice) or link
            if newer.sage_id != known.sage_id:
                raise copied_elsewhere(invoice, newer)
            return self._create(invoice, copy=link.copy + 1)
        present = self._living(invoice, link, present)
        plan = self._updates.plan(invoice, link, present, overwrite=self._order.overwrite)
        return self._carry_out(plan) if isinstance(plan, Plan) else plan

    def _check_kind(self, invoice: Invoice) -> None:
        if invoice.kind is self._order.kind:
            return
        if invoice.kind is CREDIT_NOTE:
            raise IsCreditNote(
                f"{invoice.label} is a credit note, which is not copied as an invoice",
                hint=f"copy it with `psage credit-note {invoice.id}`",
            )
        raise NotACreditNote(
            f"{invoice.label} is not a credit note",
            hint=f"copy it with `psage copy-invoice {invoice.id}`",
        )

    def _again(self, invoice: Invoice, link: Link, present: SageDocument | None) -> str:
        """What to do about an invoice that has a copy: update, new or leave."""
        gone = drafts.gone(present)
        if self._desk.ask:
            if gone:
                question = f"The copy of {invoice.label} was {gone} in Sage."
                answers = ["leave it so", "create a new copy"]
                return ("leave", "new")[self._desk.ask(question, answers, None)]
            question = f"{invoice.label} was copied to Sage as {link.sage_number} already."
            answers = ["update the copy", "create a new one", "leave it"]
            return ("update", "new", "leave")[self._desk.ask(question, answers, None)]
        self._living(invoice, link, present)
        raise AlreadyCopied(
            f"{invoice.label} was copied to Sage already, as {link.sage_number}",
            hint=f"`psage {invoice.kind.command} {invoice.id} --update-existing` brings that up "
            "to date, `--create-new` makes another copy",
            details={"sage_id": link.sage_id, "sage_number": link.sage_number, "copy": link.copy},
        )

    def _living(self, invoice: Invoice, link: Link, present: SageDocument | None) -> SageDocument:
        """The copy, or CopyGone."""
        gone = drafts.gone(present)
        if present and not gone:
            return present
        command = f"psage {invoice.kind.command} {invoice.id} --create-new"
        hint = f"if it shall be in the books again: `{command}`"
        if self._desk.settings.numbering == "productive":
            hint += (
                f"; its number is used up, so give the {invoice.kind.name} another in Productive "
                "first"
            )
        raise CopyGone(
            f"the copy {link.sage_number} of {invoice.label} was {gone} in Sage",
            hint=hint,
            details={"sage_id": link.sage_id, "sage_number": link.sage_number},
        )

    def _adopted(self, invoice: Invoice, link: Link) -> Outcome:
        present = self._living(invoice, link, self._desk.sage.known(link.kind, link.sage_id))
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
            allocated=send.allocated(link, present, done),
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
                hint=f"`psage {invoice.kind.command} {invoice.id} --update-existing` brings it up "
                "to date",
            ),
        )

    def _create(self, invoice: Invoice, *, copy: int) -> Outcome:
        """Make a copy; once more, for another contact, where Sage has the known one no more."""
        try:
            return self._carry_out(self._planner.create(invoice, copy))
        except RefusedBySage as error:
            is_of_contact = "contact" in f"{error.words} {error.fields}".lower()
            missing = self._customers.forget_missing(invoice) if is_of_contact else None
            if missing is None:
                raise
        outcome = self._carry_out(self._planner.create(invoice, copy))
        said = (
            f"the contact `{missing.name}`, which was billed for {invoice.company.name} until now, "
            "is no longer in Sage, so it was looked up again"
        )
        return replace(outcome, notices=(*outcome.notices, Notice("customer_missing", said)))

    def _carry_out(self, plan: Plan) -> Outcome:
        """Do what is planned, or in a dry run say it."""
        if self._desk.dry_run:
            return self._planner.told(plan)
        if plan.link is None or plan.present is None:
            return self._make(plan)
        if plan.is_idle:
            return self._leave(plan, plan.link, plan.present)
        return self._change(plan, plan.link, plan.present)

    def _make(self, plan: Plan) -> Outcome:
        """Send a new copy, after a last look whether another machine has made it meanwhile."""
        desk, invoice = self._desk, plan.invoice
        # In a batch it can be a while since it was read.
        named = plan.unseen.id if plan.unseen else desk.productive.export_id(invoice.id)
        if outcome := self._made_meanwhile(plan, named):
            return outcome
        plan = replace(plan, invoice=replace(invoice, export_id=named))
        if plan.unseen:
            raise crediting.still_credited(invoice, plan.unseen)
        contact = self._customers.billed(invoice, plan.customer)
        if isinstance(plan.customer, NewCustomer):  # which took a while
            last = desk.productive.export_id(invoice.id)
            if outcome := self._made_meanwhile(plan, last):
                return outcome
        intent = self._begin(invoice.kind.code, plan, contact)
        link, document = send.deliver_create(desk, intent)
        is_alone = self._order.is_alone and not plan.credited
        named_before = doubles.named(desk, invoice.id) if is_alone else None
        outcome = self._conclude("created", plan, intent, link, document)
        if not is_alone:
            return outcome
        named_by_others = {named_before, doubles.named(desk, invoice.id)} - {named}
        return doubles.checked(desk, outcome, document, named_by_others)

    def _change(self, plan: Plan, link: Link, present: SageDocument) -> Outcome:
        """Send an update."""
        contact = self._customers.billed(plan.invoice, plan.customer)
        intent = self._begin("update", plan, contact)
        link, document = send.deliver_update(self._desk, intent, link, present)
        outcome = self._conclude("updated", plan, intent, link, document)
        return replace(outcome, changes=plan.changes)

    def _leave(self, plan: Plan, link: Link, present: SageDocument) -> Outcome:
        """Leave a copy as it is; a PDF that changed in Productive is still replaced."""
        desk = self._desk
        # Both sides may have made the same change.
        own = merge.own_part(merge.held_in(present), plan.theirs)
        written = Written(plan.said, own).as_text()
        if written != link.written:
            desk.store.copies.change(link, written=written)
        if self._order.with_pdf and desk.settings.pdf == "productive":
            link = replace(link, pending=link.pending | {"pdf"})
        return plan.left(after.finish(desk, link, plan.invoice, present, again=True))

    def _made_meanwhile(self, plan: Plan, named: str | None) -> Outcome | None:
        """The outcome of a copy that Productive names by now, and did not when it was read.

        Raises AlreadyCopied where one more was asked for.
        """
        if named == plan.invoice.export_id:
            return None
        invoice = replace(plan.invoice, export_id=named)
        link = self.copies.adopt(invoice)
        if link is None or (plan.copy == 1 and self._order.again != "new"):
            return self._adopted(invoice, link) if link else None
        raise copied_elsewhere(invoice, link)

    def _begin(self, kind: str, plan: Plan, contact: Contact) -> CopyIntent:
        """Commit what is about to be sent."""
        desk, invoice, draft = self._desk, plan.invoice, plan.draft
        pending = after.pending(desk, with_pdf=self._order.with_pdf)
        facts = CopyFacts(
            kind=invoice.kind.code,
            credited_sage_id=plan.credited.copy.id if plan.credited else None,
            copy=plan.copy,
            sage_id=plan.link.sage_id if plan.link else "",
            tax_rate_id=draft.tax_rate_id,
            said=asdict(plan.said_of(contact)),
            before=asdict(merge.held_in(plan.present)) if plan.present else None,
            theirs=plan.theirs,
            expected=drafts.expectation(draft),
            pending=(*sorted(pending | ({"allocate"} if plan.credited else set())),),
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
        self, action: str, plan: Plan, intent: CopyIntent, link: Link, document: SageDocument
    ) -> Outcome:
        contact_id = document.contact_id or str(intent.payload["contact_id"])
        name = document.contact_name or str(intent.facts.contact_name)
        return send.conclude(
            self._desk,
            action,
            intent,
            link,
            document,
            invoice=plan.invoice,
            customer=CustomerResult(contact_id, name, isinstance(plan.customer, NewCustomer)),
            notices=plan.draft.notices,
        )
