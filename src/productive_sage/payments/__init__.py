"""sync-payments: Productive's payments of copied invoices end up as Sage says, one way.

Read this file from `sync` down: which invoices may have changed, what is to be done to each
(planned whole before anything is written), then the writes, one by one. A payment is only removed
with two witnesses: the invoice in Sage, complete and without it, and the receipt itself gone or
settling something else. psage changes and removes only what it wrote.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from productive_sage import markers, money, naming
from productive_sage.copying import doubles, living
from productive_sage.desk import Desk
from productive_sage.errors import (
    AnswerIncomplete,
    CopyGone,
    NotFound,
    OutcomeUnknown,
    PaymentSyncOff,
    TooManyDeletes,
)
from productive_sage.models import INVOICE, Balance, Finding, Notice, OwnPayment, Payment, Report
from productive_sage.payments import findings, plan, shares
from productive_sage.payments.apply import Writes
from productive_sage.payments.changed import Changed
from productive_sage.payments.evidence import Evidence
from productive_sage.payments.order import OVERLAP, Order, Reach
from productive_sage.payments.papers import Papers
from productive_sage.payments.report import Verdicts

__all__ = ["BEGIN", "FULL", "OVERLAP", "UNTIL", "Order", "sync"]

_FULL_EVERY = timedelta(days=7)
_ARRIVES_WITHIN = timedelta(minutes=5)
"""A payment that broke off may still be done so long after; later, not there is never arrived."""
UNTIL, FULL, BEGIN = "payments until", "payments full", "payments from"
"""The cursors: until when was read, when all was compared, and from which day on."""


def sync(order: Order, desk: Desk, report: Report) -> None:
    """Bring Productive's payments in line with Sage; `report.until` is when the run began.

    Raises PaymentSyncOff, TooManyDeletes before anything is written, and whatever stops every
    invoice: no sign-in, no network, another business. The cursors are not moved then.
    """
    if not desk.settings.sync_payments:
        raise PaymentSyncOff
    desk.check_business()
    if not desk.dry_run:
        living.look_again(desk)
    naming.check(order.invoices, desk.productive.organization_id)
    reach = _reach(order, desk, report)
    verdicts, evidence = Verdicts(desk, report), Evidence(desk, report)
    changed = Changed(
        order=order, reach=reach, desk=desk, evidence=evidence, report=report, verdicts=verdicts
    )
    found = changed.papers()
    if not desk.store.copies.count(INVOICE):
        report.notices.append(
            Notice(
                "nothing_copied",
                "this profile knows no copied invoice, so there is nothing to synchronise; see "
                "whether PSAGE_HOME and `--profile` are those the copies were made with",
            )
        )
    report.checked = len(found)
    run = _Run(order, desk, report, evidence=evidence, verdicts=verdicts, begin=reach.begin)
    for n, papers in enumerate(found):
        desk.step("Comparing payments", n, len(found))
        if not verdicts.has_failed(papers):
            verdicts.attempt(papers, run.compare)
    found = run.weigh(found)
    writes = Writes(desk, report, verdicts)
    for n, papers in enumerate(found):
        desk.step("Bringing payments to Productive", n, len(found))
        if not verdicts.has_failed(papers):
            verdicts.attempt(papers, writes.apply, run.steps[papers.productive_id])
    writes.undouble(found)
    verdicts.remember(found)
    _move_cursors(order, reach, desk, report)


def _reach(order: Order, desk: Desk, report: Report) -> Reach:
    """How far back to read: to the last cursor, or everything once a week and after a doubt."""
    begin = desk.settings.sync_payments_from or date.min
    until, full, first = map(desk.store.cursors.get, (UNTIL, FULL, BEGIN))
    cursor = datetime.fromisoformat(until) if until else None
    if order.full or order.invoices or order.since:
        return Reach(order.full, cursor, begin)
    if cursor is None or full is None or first is None:
        return Reach(is_full=True, cursor=cursor, begin=begin)
    compared = datetime.fromisoformat(full)
    # A clock was ahead then: what happened since may be missing.
    was_ahead = max(compared, cursor) > report.until
    is_old = report.until - compared > _FULL_EVERY
    return Reach(was_ahead or is_old or begin < date.fromisoformat(first), cursor, begin)


def _move_cursors(order: Order, reach: Reach, desk: Desk, report: Report) -> None:
    """Remember how far this run got: never past its start, and only where nothing is missed."""
    if order.invoices or desk.dry_run:
        return
    until = report.until.isoformat()
    if reach.is_full:
        desk.store.cursors.set({UNTIL: until, FULL: until, BEGIN: reach.begin.isoformat()})
    elif reach.cursor and report.since and report.since <= reach.cursor - OVERLAP:
        desk.store.cursors.set({UNTIL: until})


class _Run:
    """The plans of one run."""

    def __init__(
        self,
        order: Order,
        desk: Desk,
        report: Report,
        *,
        evidence: Evidence,
        verdicts: Verdicts,
        begin: date,
    ) -> None:
        self._order = order
        self._desk = desk
        self._report = report
        self._evidence, self._verdicts = evidence, verdicts
        self._begin = begin
        self.steps: dict[str, plan.Steps] = {}
        """What is to be done, by Productive id."""
        self._balances: dict[str, Balance] = {}
        self._removals = 0

    def compare(self, papers: Papers) -> None:
        """Say in `steps` what is to be done; nothing is written."""
        document = papers.document
        self.steps[papers.productive_id] = plan.Steps()
        self._check_sent(papers)
        self._check_copy(papers)
        if document is None or document.is_draft:
            return
        if not shares.is_complete(document):
            raise AnswerIncomplete(
                f"what Sage lists as payments of {document.number} does not add up to what it says "
                "is paid, so nothing is changed",
                hint="look at the invoice in Sage; the next run tries again",
            )
        wanted, unclear = shares.of(document)
        self.steps[papers.productive_id] = steps = plan.plan(
            wanted,
            papers.payments,
            papers.own,
            copies=papers.copies,
            sent=papers.intents.keys(),
            begin=self._begin,
            write_off=self._desk.settings.settlement_discount == "write_off",
        )
        self._report.older += len(steps.older)
        steps.findings += unclear
        steps.moved = [one for one in steps.by_hand if self._desk.store.payments.is_own(one.id)]
        self._look_for_vanished(papers, steps)
        steps.removes = [pair for pair in steps.removes if self._is_proven(papers, *pair)]
        self._removals += len(steps.removes)

    def _check_sent(self, papers: Papers) -> None:
        """Raises OutcomeUnknown where a payment of an earlier run may still arrive."""
        there = {markers.in_note(one.note) for one in papers.payments}
        for marker, intent in papers.intents.items():
            # Negative where the clock was set back: such an intent is young.
            age = self._desk.productive.now() - intent.sent_at
            if marker not in there and age < _ARRIVES_WITHIN:
                raise OutcomeUnknown(
                    "a payment that was sent to Productive is not there yet, and may still arrive",
                    hint="nothing is sent twice; run the command again in a few minutes",
                )

    def _check_copy(self, papers: Papers) -> None:
        """Report what is odd about the copies."""
        document, link = papers.document, papers.link
        if document is None and not self._evidence.is_deleted(link.sage_id):
            raise CopyGone(
                f"Sage does not find its copy {link.sage_number}, and has no record of its "
                "deletion either",
                hint="look for it in Sage; the next run tries again",
            )
        if document is not None and document.is_draft:
            self._verdicts.skip(
                papers,
                Finding(
                    "copy_is_draft",
                    f"its copy `{document.number}` in Sage is not booked, so nothing can be paid",
                    f"release `{document.number}` in Sage, or delete it there",
                ),
            )
        if document and len(same := doubles.alike(document, [document, *papers.twins])) > 1:
            error = doubles.said_twice("it", same)
            self._verdicts.skip(papers, Finding(error.code, error.message, error.hint or ""))
        for older in papers.older:
            if shares.of(older)[0]:
                self._verdicts.skip(
                    papers,
                    Finding(
                        "several_copies",
                        f"the latest copy is followed, but the older {older.number} has payments "
                        "in Sage too",
                        f"move the receipts of {older.number} to {link.sage_number} in Sage, "
                        f"and void {older.number}",
                    ),
                )

    def _look_for_vanished(self, papers: Papers, steps: plan.Steps) -> None:
        """A payment the list does not show is only gone where Productive says so of itself."""
        gone, steps.vanished = steps.vanished, []
        for share, one in gone:
            payment = self._desk.productive.payment(one.payment_id)
            if payment is None:
                steps.vanished.append((share, one))
                steps.creates += [share] if share else []
            elif payment.invoice_id == papers.productive_id:
                raise AnswerIncomplete(
                    f"Productive's list of payments lacks {one.payment_id}, which is there",
                    hint="the next run tries again",
                )
            else:
                steps.findings.append(
                    Finding(
                        "payment_moved",
                        f"somebody moved psage's payment {one.payment_id} to another invoice in "
                        "Productive",
                        f"move payment {one.payment_id} back in Productive, or remove it there",
                    )
                )

    def weigh(self, found: Sequence[Papers]) -> list[Papers]:
        """Hold the plans against what Productive says of the invoices, and against the limit.

        Raises TooManyDeletes where the run would remove more than it may.
        """
        asked = [one for one in found if not self._verdicts.has_failed(one)]
        self._read_balances(asked)
        # A list that lacks an invoice proves nothing.
        self._read_balances([one for one in asked if self._is_missing(one)])
        numbered = [self._with_number(papers) for papers in found]
        planned = {one.productive_id for one in asked}
        for papers in numbered:
            if papers.productive_id not in planned:
                continue
            if not self._verdicts.has_failed(papers):
                self._verdicts.attempt(papers, self._weigh)
            for finding in self.steps[papers.productive_id].findings:
                self._verdicts.skip(papers, finding)
        self._check_limit(asked)
        return numbered

    def _check_limit(self, asked: Sequence[Papers]) -> None:
        limit = self._order.max_deletes
        if self._removals <= limit:
            return
        ids = [one.productive_id for one in asked if self.steps[one.productive_id].removes]
        order = ["--full"] if self._order.full else []
        order += [f"--since {self._order.since}"] if self._order.since else []
        order += [one.typed for one in self._order.invoices]
        order.append(f"--max-deletes {self._removals}")
        raise TooManyDeletes(
            f"this run would remove {self._removals} payments from Productive, and at most {limit} "
            "are allowed; nothing was changed",
            hint="look in Sage whether these receipts were meant to go; if so: "
            f"`psage sync-payments {' '.join(order)}`",
            details={"invoices": ids, "removals": self._removals},
        )

    def _is_missing(self, papers: Papers) -> bool:
        balance = self._balances.get(papers.productive_id)
        return not (
            self._verdicts.has_failed(papers)
            or balance
            or self._evidence.deleted_on(papers.productive_id, balance)
        )

    def _with_number(self, papers: Papers) -> Papers:
        balance = self._balances.get(papers.productive_id)
        return replace(papers, number=balance.number) if balance and balance.number else papers

    def _read_balances(self, found: Sequence[Papers]) -> None:
        """What Productive says of the invoices; nothing of those it does not show."""
        ids = [one.productive_id for one in found]
        balances, unreadable = self._desk.productive.balances(ids)
        self._balances |= balances
        for papers in found:
            if error := unreadable.get(papers.productive_id):
                self._verdicts.fail(self._with_number(papers), error)

    def _weigh(self, papers: Papers) -> None:
        document, steps = papers.document, self.steps[papers.productive_id]
        balance = self._balances.get(papers.productive_id)
        gone = self._evidence.deleted_on(papers.productive_id, balance)
        if not gone and (document is None or document.status == "VOID"):
            how = "deleted" if document is None else "voided"
            anew = f"`psage copy-invoice {papers.productive_id} --create-new`"
            said = f"its copy was {how} in Sage; {anew} makes a new one"
            steps.findings.append(Finding("copy_gone", said, anew))
        if document is None:
            return
        if balance and not gone:
            wanted = [] if document.is_draft else shares.of(document)[0]
            plan.weigh(steps, document, wanted, papers.payments, balance)
            return
        has_work = bool(steps.creates or steps.changes or papers.intents)
        steps.creates, steps.changes = [], []
        if has_work and gone is None:  # which proves nothing: the next run looks again
            raise NotFound(
                "Productive does not show it, so its payments in Sage have no place there",
                hint="see whether the token may see the invoice, or whether it was deleted",
            )
        if has_work:
            said = (
                f"it was deleted in Productive on {gone}, so its payments in Sage have no place "
                "there"
            )
            if document.status != "VOID" and document.outstanding:
                left = money.said(document.outstanding, document.currency)
                said += f", and {left} of its copy are open"
            step = (
                "restore the invoice in Productive, or take the receipts off "
                f"{papers.link.sage_number} in Sage"
            )
            steps.findings.append(Finding("not_found", said, step))
        elif document.status != "VOID" and document.outstanding:
            steps.findings.append(findings.no_invoice(document, gone))

    # --- proof of a removal

    def _is_proven(self, papers: Papers, payment: Payment, one: OwnPayment) -> bool:
        """Whether Sage positively says that what a payment stands for is gone."""
        why = self._evidence.doubt(one)
        if why:
            self._verdicts.skip(
                papers,
                Finding(
                    "not_proven",
                    f"psage's payment {payment.id} of "
                    f"{money.said(payment.amount, papers.currency)} in Productive is not removed: "
                    f"{why}",
                    f"look at {papers.link.sage_number} and its receipts in Sage; if the receipt "
                    f"is gone, remove payment {payment.id} in Productive by hand",
                ),
            )
        return not why
