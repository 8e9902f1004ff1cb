"""copy-invoice and credit-note: Productive's documents become Sage's, each exactly once.

Read this file from `copy` down: what an earlier run left open is finished, then each document asked
for is read, planned, sent as one recorded write, checked to the cent and followed up. "Invoice"
means either kind here, since Productive keeps both in one list. Nothing is printed here.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from productive_sage import naming
from productive_sage.basics import CREDIT_NOTE, INVOICE, Notice
from productive_sage.copying import after, crediting, doubles, drafts, earlier, second_copies, send
from productive_sage.copying.adopt import Copies, Found, copied_elsewhere, living_copy
from productive_sage.copying.carry_out import Carrier, Turn
from productive_sage.copying.customers import Customers
from productive_sage.copying.looks import Looks
from productive_sage.copying.order import CopyOrder, sources
from productive_sage.copying.plan import CopyPlan, Planner
from productive_sage.copying.rates import Rates
from productive_sage.copying.records import Outcome
from productive_sage.copying.recover import SEARCH_LAG, recovered
from productive_sage.copying.send import shown
from productive_sage.copying.update import Updates
from productive_sage.desk import Desk
from productive_sage.errors import (
    OutcomeUnknown,
    PsageError,
    Refused,
    TotalsDiffer,
    UsageProblem,
)
from productive_sage.errors.defects import defects_told
from productive_sage.lanes import Lanes, Stopped, Turns
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link

_P = TypeVar("_P")
Planned = CopyPlan | Found | Outcome
"""What is to be done about a document; an outcome where that is nothing."""


_AT_ONCE = 12
"""So many documents are under way together: while one is sent, others are followed up or planned.
"""
_AHEAD = 2
"""So many places before its turn a document is looked at for the last time."""

Agree = Callable[[Sequence[Outcome]], None]
"""Told what would become of each document, before any is sent; raises where a person says no."""
Check = Callable[[Invoice, Callable[[], Planned]], Planned]
"""Given a document and how it is planned; gives what is done about it, or raises."""


def copy(
    order: CopyOrder, desk: Desk, agree: Agree | None = None, check: Check | None = None
) -> Iterator[Outcome]:
    """Copy the invoices in the order asked for; one outcome each, whatever happens to the others.

    First come the outcomes of what an earlier run left open, and last a second one, its last word,
    for each copy that turns out to be in Sage twice (see `last_words`). A dry run only plans. With
    `agree` all documents are planned, and agreed to, before the first is sent. `check` sees each
    plan, to keep it or to hold it against one that was saved.
    The settings are checked by then (`CopyOrder.check`). Raises what no document can get past:
    `different_business`, a missing sign-in, a dead network.
    """
    began, made, is_stopped = time.monotonic(), list[Outcome](), False
    for outcome in _copy(order, desk, agree, check):
        is_stopped |= outcome.error is not None and outcome.error.stops_batch
        is_new = outcome.action in ("created", "adopted", "differs") or earlier.is_new(outcome)
        kept = outcome
        if outcome.sage_id and is_new:
            kept = second_copies.said(desk, outcome)
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


def _copy(
    order: CopyOrder, desk: Desk, agree: Agree | None, check: Check | None
) -> Iterator[Outcome]:
    if order.pdf and len(order.documents()) > 1:
        raise UsageProblem(
            "`--pdf-file` is the PDF of one document",
            hint=f"for several, put files with the documents' numbers in their names into "
            f"`{desk.pdf_folder}`",
        )
    desk.check_business()
    naming.check(order.documents(), desk.productive.organization_id)
    if not desk.dry_run:
        second_copies.look_again(desk)
    desk = replace(desk, handed_pdf=order.handed_pdf)
    held: dict[str, Outcome] = {}
    try:
        for outcome in () if desk.dry_run else recovered(desk, asked=order.names):
            if order.names(outcome.productive_id, outcome.number):
                first = held.get(outcome.productive_id)
                held[outcome.productive_id] = earlier.both(first, outcome) if first else outcome
            else:
                yield outcome
        yield from _copy_each(order, desk, held, agree, check)
    except (PsageError, KeyboardInterrupt):
        yield from held.values()  # what was recovered is said, whatever else fails
        raise


def _copy_each(
    order: CopyOrder,
    desk: Desk,
    held: dict[str, Outcome],
    agree: Agree | None,
    check: Check | None,
) -> Iterator[Outcome]:
    """One outcome for each invoice asked for; takes out of `held` what it has said."""
    read_at = time.monotonic()
    asked = list(sources(order, desk))
    invoices = [source for source in asked if isinstance(source, Invoice)]
    if order.customer is not None and len({invoice.company.id for invoice in invoices}) > 1:
        raise UsageProblem(
            "`--customer` names one customer, but these invoices are of several companies",
            hint="copy the invoices of one company at a time",
        )
    run = _Run(order, desk, Looks(desk, invoices, read_at=read_at), check)
    run.copies.look_for([invoice.id for invoice in invoices])
    plans = run.plan_all(asked, agree) if agree else {}
    # Whoever is asked about one document sees it through before the next.
    is_asking = desk.ask is not None and not (agree or order.is_saved)
    batch = _Together(run, asked, plans, held)
    works = [partial(batch.outcome, place) for place in range(len(asked))]
    yield from batch.lanes.run(works, at_once=1 if desk.dry_run or is_asking else _AT_ONCE)
    yield from list(held.values())  # Productive no longer shows these
    held.clear()


class _Together:
    """The documents of a run, each under way by itself: planned and sent in the order asked for."""

    def __init__(
        self,
        run: "_Run",
        asked: Sequence[Invoice | Outcome],
        plans: Mapping[str, Planned],
        held: dict[str, Outcome],
    ) -> None:
        self.lanes = Lanes(run.desk.store.db.check_idle)
        self._run = run
        self._asked = asked
        self._plans = plans
        self._held = held
        self._planning, self._sending = Turns(self.lanes), Turns(self.lanes)
        self._stopped_by: PsageError | None = None
        self._unknown = (
            {intent.source_id for intent in run.desk.store.intents.open_copies()}
            if run.desk.dry_run
            else set[str]()
        )
        self._after = _dependencies(asked)

    def outcome(self, place: int) -> Outcome:
        """What becomes of the document at a place of what is asked for."""
        source = self._asked[place]
        try:
            if isinstance(source, Outcome):
                return source
            return self._outcome(place, source)
        finally:
            self._planning.give_up(place)
            self._sending.give_up(place)

    def _outcome(self, place: int, source: Invoice) -> Outcome:
        order, before = self._run.order, self._held.pop(source.id, None)
        is_as_asked = before is not None and earlier.is_as_asked(order, before)
        if before and is_as_asked and (before.error or not earlier.is_new(before)):
            return before
        # What an earlier run had begun may be of another day: it is held against today's.
        again = "update" if is_as_asked else order.again
        try:
            outcome = self._copied(place, source, again)
        except Stopped:
            if self._stopped_by is None:
                raise
            outcome = _not_tried(source, self._stopped_by)
        if outcome.error and outcome.error.stops_batch:
            self._stopped_by = self._stopped_by or outcome.error
        if source.id in self._unknown:
            said = "an earlier write for it has no answer yet; a real run finds out first"
            notices = (*outcome.notices, Notice("open_write", said))
            outcome = replace(outcome, notices=notices)
        return earlier.both(before, outcome) if before else outcome

    def _copied(self, place: int, source: Invoice, again: str | None) -> Outcome:
        with self._planning.of(place):
            for other in self._after[place]:
                self._sending.wait_for(other + 1)
            self._check_goes_on()
            plan = self._plans.get(source.id) or self._run.plan(source, again)
        if self.lanes.is_shared:
            self._sending.wait_for(place - _AHEAD)
            self._run.look(source, plan)
        return self._run.carry_out(source, plan, partial(self._turn, place))

    @contextmanager
    def _turn(self, place: int) -> Iterator[None]:
        with self._sending.of(place):
            self._check_goes_on()
            yield

    def _check_goes_on(self) -> None:
        if self._stopped_by:
            raise Stopped


def _dependencies(asked: Sequence[Invoice | Outcome]) -> list[set[int]]:
    """For each document those before it that its plan has to know the end of.

    They are about the same invoice: it is named twice, or has two credit notes.
    """
    found, by_invoice = list[set[int]](), dict[str, set[int]]()
    for place, source in enumerate(asked):
        about = set[str]()
        if isinstance(source, Invoice):
            about = {source.id} | ({source.credited.id} if source.credited else set())
        found.append({other for one in about for other in by_invoice.get(one, ())})
        for one in about:
            by_invoice.setdefault(one, set()).add(place)
    return found


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

    def __init__(self, order: CopyOrder, desk: Desk, looks: Looks, check: Check | None) -> None:
        self.order = self._order = order
        self.desk = self._desk = desk
        self._looks = looks
        self._check = check
        self._customers = Customers(
            desk,
            wanted=order.customer,
            always_new=order.create_customer,
            remember=order.remember,
            is_alone=order.is_alone,
            new_since=order.new_since,
        )
        count = order.count or len(order.documents())
        rates = Rates(desk, wanted=order.tax_rate, no_tax=order.no_tax, count=count)
        takes_drafts = order.leaves_drafts(desk.settings)
        self.copies = Copies(desk, order.kind, self._customers, takes_drafts=takes_drafts)
        self._planner = Planner(order, desk, self._customers, rates, self.copies)
        self._updates = Updates(order, desk, self._customers, rates, self.copies, self._planner)
        self._carrier = Carrier(order, desk, self._customers, self.copies, self._planner, looks)

    def plan_all(self, asked: Sequence[Invoice | Outcome], agree: Agree) -> dict[str, Planned]:
        """Plan every document, and have that agreed to."""
        plans, told = dict[str, Planned](), list[Outcome]()
        for n, source in enumerate(asked):
            self._desk.step("Planning", n, len(asked))
            if isinstance(source, Outcome):
                told.append(source)
                continue
            plan = self.plan(source, self._order.again)
            said = self._guarded(source, partial(self._told, plan))
            # Refused as it is after the plans before it: a second credit note for an invoice, say.
            plans[source.id] = said if said.action in ("refused", "failed") else plan
            told.append(said)
        agree(told)
        return plans

    def plan(self, invoice: Invoice, again: str | None) -> Planned:
        """What is to be done about a document, `again` as in the order; nothing is sent.

        The outcome itself where there is nothing to do, or where it cannot be done.
        """
        step = partial(self._guarded, invoice, partial(self._planned, invoice, again))
        return (
            self._guarded(invoice, partial(self._check, invoice, step)) if self._check else step()
        )

    def look(self, invoice: Invoice, plan: Planned) -> None:
        """Look ahead of its turn whether another machine has copied what shall be copied."""
        if isinstance(plan, CopyPlan) and plan.link is None:
            with suppress(PsageError):  # in its turn it is looked once more, and said
                self._looks.prepare(invoice.id)

    def carry_out(self, invoice: Invoice, plan: Planned, turn: Turn) -> Outcome:
        """Do what is planned, or in a dry run say it; whatever goes wrong is in the outcome."""
        if isinstance(plan, Outcome):
            return plan
        outcome = self._guarded(invoice, partial(self._carrier.carry_out, plan, turn))
        if outcome.sage_id or not outcome.error:
            return outcome
        made = self._customers.made(invoice)
        if made is None:
            return outcome
        said = f"the customer `{made.name}` was made in Sage before that; the next try bills it"
        notices = (*outcome.notices, Notice("customer_made", said))
        return replace(outcome, customer=made, notices=notices)

    def _guarded(self, invoice: Invoice, step: Callable[[], _P]) -> _P | Outcome:
        """What a step gives, or the outcome of a document that did not get through it."""
        try:
            with defects_told(f"invoice {invoice.id}", f"with {invoice.label}"):
                return step()
        except PsageError as error:
            return send.failed(invoice.kind, invoice.id, invoice.number, error)

    def _planned(self, invoice: Invoice, wanted: str | None) -> Planned:
        self._check_kind(invoice)
        if not invoice.is_finalised:
            raise Refused(
                f"{invoice.label} is a draft",
                code="is_draft",
                hint="finalise it in Productive first",
            )
        known, link = (
            self._desk.store.copies.latest(invoice.id),
            self.copies.latest(invoice, wanted),
        )
        if link is None:
            link = self.copies.adopt(invoice)
            if link is None:
                return self._planner.create(invoice, copy_number=1)
            if wanted is None:
                return Found(invoice, link)
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
            if present:
                present.check_booked(f"the copy of {invoice.label}", invoice.typed)
            if invoice.kind is CREDIT_NOTE and present and not drafts.gone(present):
                raise crediting.still_credited(invoice, present)
            newer = self.copies.adopt(invoice) or link
            if newer.sage_id != known.sage_id:
                raise copied_elsewhere(invoice, newer)
            return self._planner.create(invoice, copy_number=link.copy_number + 1)
        present = living_copy(self._desk, invoice, link, present)
        return self._updates.plan(invoice, link, present, overwrite=self._order.overwrite)

    def _check_kind(self, invoice: Invoice) -> None:
        if invoice.kind is self._order.kind:
            return
        if invoice.kind is CREDIT_NOTE:
            raise Refused(
                f"{invoice.label} is a credit note, which is not copied as an invoice",
                code="is_credit_note",
                hint=f"copy it with `psage credit-note {invoice.typed}`",
            )
        raise Refused(
            f"{invoice.label} is not a credit note",
            code="not_a_credit_note",
            hint=f"copy it with `psage copy-invoice {invoice.typed}`",
        )

    def _again(self, invoice: Invoice, link: Link, present: SageDocument | None) -> str:
        """What to do about an invoice that has a copy: update, new or leave."""
        gone = drafts.gone(present)
        if self._desk.ask:
            if gone:
                question = f"The copy of {invoice.label} was {gone} in Sage."
                answers = ["leave it so", "create a new copy"]
                return ("leave", "new")[self._desk.ask(question, answers, None)]
            if present and present.is_draft:
                question = f"{invoice.label} is in Sage already, as a draft."
                answers = ["update the draft", "leave it"]
                return ("update", "leave")[self._desk.ask(question, answers, None)]
            question = f"{invoice.label} was copied to Sage as {link.sage_number} already."
            answers = ["update the copy", "create a new one", "leave it"]
            return ("update", "new", "leave")[self._desk.ask(question, answers, None)]
        if living_copy(self._desk, invoice, link, present).is_draft:
            raise _waits(invoice, link)
        raise Refused(
            f"{invoice.label} was copied to Sage already, as {link.sage_number}",
            code="already_copied",
            hint=f"`psage {invoice.kind.command} {invoice.typed} --update-existing` brings that up "
            "to date, `--create-new` makes another copy",
            details={
                "sage_id": link.sage_id,
                "sage_number": link.sage_number,
                "copy": link.copy_number,
            },
        )

    def _told(self, plan: Planned) -> Outcome:
        """What would become of a document."""
        if isinstance(plan, Outcome):
            return plan
        if isinstance(plan, Found):
            number = plan.link.sage_number
            return Outcome("adopted", plan.invoice.id, plan.invoice.number, sage_number=number)
        return self._planner.told(plan)


def _waits(invoice: Invoice, link: Link) -> Refused:
    """The refusal of a copy that is there, and waits to be released."""
    return Refused(
        f"{invoice.label} was copied to Sage already, and is a draft there",
        code="already_copied",
        hint=f"`psage release {invoice.typed}` books it; `psage {invoice.kind.command} "
        f"{invoice.typed} --update-existing` brings the draft up to date",
        details={"sage_id": link.sage_id, "sage_number": None, "copy": link.copy_number},
    )
