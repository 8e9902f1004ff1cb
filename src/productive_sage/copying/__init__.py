"""copy-invoice and credit-note: Productive's documents become Sage's, each exactly once.

Read this file from `copy` down: what an earlier run left open is finished, then each document asked
for is read, planned, sent as one recorded write, checked to the cent and followed up. "Invoice"
means either kind here, since Productive keeps both in one list. Nothing is printed here.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from productive_sage import lanes, naming
from productive_sage.copying import (
    after,
    crediting,
    cut_short,
    doubles,
    earlier,
    in_sage,
    results,
    second_copies,
)
from productive_sage.copying.adopt import Copies, Found, copied_elsewhere, living_copy
from productive_sage.copying.carry_out import Carrier, Turn
from productive_sage.copying.customers import Customers
from productive_sage.copying.looks import Looks
from productive_sage.copying.order import CopyOrder, sources
from productive_sage.copying.plan import CopyPlan, Planner
from productive_sage.copying.rates import Rates
from productive_sage.copying.records import Outcome
from productive_sage.copying.recover import SEARCH_LAG, recovered
from productive_sage.copying.results import shown
from productive_sage.copying.together import Planned, Together
from productive_sage.copying.update import Updates
from productive_sage.desk import Desk
from productive_sage.errors import (
    CopiedAtOnce,
    OutcomeUnknown,
    PsageError,
    Refused,
    TotalsDiffer,
    UsageProblem,
)
from productive_sage.errors.notices import Notice
from productive_sage.kinds import CREDIT_NOTE, INVOICE
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link

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
    made, is_stopped, since = list[Outcome](), False, doubles.SinceThen(desk, SEARCH_LAG)
    for outcome in cut_short.completed(desk, _copy(order, desk, agree, check, since)):
        error = outcome.error
        # Where another computer is in the way, all the more is to be seen what both have made.
        is_stopped |= bool(error and error.stops_batch and not isinstance(error, CopiedAtOnce))
        is_new = outcome.action in ("created", "adopted", "differs") or earlier.is_new(outcome)
        kept = outcome
        if outcome.sage_id and is_new:
            kept = second_copies.said(desk, outcome)
            made.append(kept)
        second_copies.keep(desk, kept)
        yield kept
    is_alone = order.is_alone and order.kind is INVOICE  # it has looked for itself
    if made and not is_stopped and (not is_alone or any(map(earlier.is_new, made))):
        for outcome in doubles.of_run(desk, made, since):
            second_copies.keep(desk, outcome)
            yield outcome


def last_words(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, without those that a later one of the same copy corrects."""
    last = {one.sage_id: one for one in outcomes if one.sage_id}
    return [one for one in outcomes if not one.sage_id or one is last[one.sage_id]]


def _copy(
    order: CopyOrder,
    desk: Desk,
    agree: Agree | None,
    check: Check | None,
    since: doubles.SinceThen,
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
        run = _Run(order, desk, check)
        yield from _copy_each(run, held, agree, since)
    except (PsageError, KeyboardInterrupt):
        yield from held.values()  # what was recovered is said, whatever else fails
        raise


def _copy_each(
    run: "_Run", held: dict[str, Outcome], agree: Agree | None, since: doubles.SinceThen
) -> Iterator[Outcome]:
    """One outcome for each invoice asked for; takes out of `held` what it has said."""
    order, desk, asked = run.order, run.desk, run.read()
    invoices = [source for source in asked if isinstance(source, Invoice)]
    if order.customer is not None and len({invoice.company.id for invoice in invoices}) > 1:
        raise UsageProblem(
            "`--customer` names one customer, but these invoices are of several companies",
            hint="copy the invoices of one company at a time",
        )
    plans = run.plan_all(asked, agree) if agree and asked else {}
    # Whoever is asked about one document sees it through before the next.
    is_asking = desk.ask is not None and not (agree or order.is_saved)
    batch = Together(run, asked, plans, held)
    yield from batch.outcomes(since, one_by_one=desk.dry_run or is_asking)
    yield from list(held.values())  # Productive no longer shows these
    held.clear()


def verdict(outcomes: Sequence[Outcome]) -> int:
    """The exit code of a batch: unknown outcomes first, then partial failure, then differences."""
    codes = [outcome.error.exit_code for outcome in outcomes if outcome.error]
    failures = [code for code in codes if code != TotalsDiffer.exit_code]
    if OutcomeUnknown.exit_code in failures:
        return OutcomeUnknown.exit_code
    if failures and (len(failures) < len(outcomes) or len(set(failures)) > 1):
        return 6
    return min(failures or codes, default=0)


def _if_possible(read: Callable[[], object]) -> None:
    """Read ahead; what cannot be read now is read again where it is needed, and said there."""
    with suppress(PsageError):
        read()


# --- one document


class _Run:
    """One run: each document is held against its copy, planned, and the plan is carried out."""

    def __init__(self, order: CopyOrder, desk: Desk, check: Check | None) -> None:
        self.order = order
        self.desk = desk
        self._check = check
        self._looks = Looks(desk)
        self._customers = Customers(
            desk,
            wanted=order.customer,
            always_new=order.create_customer,
            remember=order.remember,
            is_alone=order.is_alone,
            keeps_known=order.is_selected,
            new_since=order.new_since,
        )
        count = order.count or len(order.documents())
        rates = Rates(desk, wanted=order.tax_rate, no_tax=order.no_tax, count=count)
        takes_drafts = order.leaves_drafts(desk.settings)
        self._copies = Copies(desk, order.kind, self._customers, takes_drafts=takes_drafts)
        self._planner = Planner(order, desk, self._customers, rates, self._copies)
        self._updates = Updates(order, desk, self._customers, rates, self._copies, self._planner)
        self._carrier = Carrier(
            order, desk, self._customers, self._copies, self._planner, self._looks
        )

    def read(self) -> list[Invoice | Outcome]:
        """The documents asked for; of a batch also what its first plan would have to wait for."""
        order, desk, read_at = self.order, self.desk, time.monotonic()
        reads: list[Callable[[], Any]] = [partial(list, sources(order, desk))]
        if len(order.documents()) > 1 and desk.ask is None:
            ids = [name.id for name in order.documents() if name.id]
            reads.append(partial(self._copies.look_for, ids))
            reads += [partial(_if_possible, one) for one in (desk.books, desk.sales_accounts)]
        asked: list[Invoice | Outcome]
        asked, *_ = lanes.gathered(reads, check=desk.store.db.check_idle)
        invoices = [source for source in asked if isinstance(source, Invoice)]
        self._copies.look_for([invoice.id for invoice in invoices])
        self._looks.know(invoices, read_at=read_at)
        return asked

    def plan_all(self, asked: Sequence[Invoice | Outcome], agree: Agree) -> dict[str, Planned]:
        """Plan every document, and have that agreed to."""
        plans, told = dict[str, Planned](), list[Outcome]()
        for n, source in enumerate(asked):
            self.desk.step("Planning", n, len(asked))
            if isinstance(source, Outcome):
                told.append(source)
                continue
            plan = self.plan(source, self.order.again)
            said = results.guarded(source, partial(self._told, plan))
            # Refused as it is after the plans before it: a second credit note for an invoice, say.
            plans[source.id] = said if said.action in ("refused", "failed") else plan
            told.append(said)
        agree(told)
        return plans

    def plan(self, invoice: Invoice, again: str | None) -> Planned:
        """What is to be done about a document, `again` as in the order; nothing is sent.

        The outcome itself where there is nothing to do, or where it cannot be done.
        """
        step = partial(results.guarded, invoice, partial(self._planned, invoice, again))
        return (
            results.guarded(invoice, partial(self._check, invoice, step)) if self._check else step()
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
        outcome = results.guarded(invoice, partial(self._carrier.carry_out, plan, turn))
        if outcome.sage_id or not outcome.error:
            return outcome
        made = self._customers.made(invoice)
        if made is None:
            return outcome
        said = f"the customer `{made.name}` was made in Sage before that; the next try bills it"
        notices = (*outcome.notices, Notice("customer_made", said))
        return replace(outcome, customer=made, notices=notices)

    def _planned(self, invoice: Invoice, wanted: str | None) -> Planned:
        self._check_kind(invoice)
        if not invoice.is_finalised:
            raise Refused(
                f"{invoice.label} is a draft",
                code="is_draft",
                hint="finalise it in Productive first",
            )
        known, link = (
            self.desk.store.copies.latest(invoice.id),
            self._copies.latest(invoice, wanted),
        )
        if link is None:
            link = self._copies.adopt(invoice)
            if link is None:
                self.order.check_reported(invoice)
                return self._planner.create(invoice, copy_number=1)
            if wanted is None:
                return Found(invoice, link)
        known = known or link
        link, present = self._copies.present(invoice, link)
        again = wanted or self._again(invoice, link, present)
        if again == "leave":
            return Outcome(
                "unchanged",
                invoice.id,
                number=invoice.number,
                **shown(present),
                kind=invoice.kind,
                notices=(_COPIED_SINCE,) if self.order.is_reported else (),
                allocated=results.allocated(link, present, after.Done()) if present else None,
            )
        if again == "new":
            if present:
                present.check_booked(f"the copy of {invoice.label}", invoice.typed)
            if invoice.kind is CREDIT_NOTE and present and not in_sage.gone(present):
                raise crediting.still_credited(invoice, present)
            newer = self._copies.adopt(invoice) or link
            if newer.sage_id != known.sage_id:
                raise copied_elsewhere(invoice, newer)
            return self._planner.create(invoice, copy_number=link.copy_number + 1)
        present = living_copy(self.desk, invoice, link, present)
        return self._updates.plan(invoice, link, present, overwrite=self.order.overwrite)

    def _check_kind(self, invoice: Invoice) -> None:
        if invoice.kind is self.order.kind:
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
        gone = in_sage.gone(present)
        if self.order.is_reported and present and not gone:
            return "leave"
        if self.desk.ask:
            if gone:
                question = f"The copy of {invoice.label} was {gone} in Sage."
                answers = ["leave it so", "create a new copy"]
                return ("leave", "new")[self.desk.ask(question, answers, None)]
            if present and present.is_draft:
                question = f"{invoice.label} is in Sage already, as a draft."
                answers = ["update the draft", "leave it"]
                return ("update", "leave")[self.desk.ask(question, answers, None)]
            question = f"{invoice.label} was copied to Sage as {link.sage_number} already."
            answers = ["update the copy", "create a new one", "leave it"]
            return ("update", "new", "leave")[self.desk.ask(question, answers, None)]
        if living_copy(self.desk, invoice, link, present).is_draft:
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


_COPIED_SINCE = Notice(
    "copied_since",
    "it has a copy by now, which is left as it is; `--update-existing` brings it up to date",
)
"""Said of what a report says failed."""


def _waits(invoice: Invoice, link: Link) -> Refused:
    """The refusal of a copy that is there, and waits to be released."""
    return Refused(
        f"{invoice.label} was copied to Sage already, and is a draft there",
        code="already_copied",
        hint=f"`psage release {invoice.typed}` books it; `psage {invoice.kind.command} "
        f"{invoice.typed} --update-existing` brings the draft up to date",
        details={"sage_id": link.sage_id, "sage_number": None, "copy": link.copy_number},
    )
