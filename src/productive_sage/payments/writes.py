"""What was planned for an invoice is done in Productive: removed, changed, created, one by one.

Each new payment is an intent on disk before it is sent. psage changes and removes only what it
wrote.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from productive_sage import markers, money
from productive_sage.desk import Desk
from productive_sage.errors import OutcomeUnknown, PsageError, ServiceUnavailable
from productive_sage.http import Recorder
from productive_sage.kept import OwnPayment
from productive_sage.payments import results as told
from productive_sage.payments import shares
from productive_sage.payments.match import Correction, Surplus
from productive_sage.payments.papers import Papers
from productive_sage.payments.plan import PaymentPlan
from productive_sage.payments.records import ReceiptShare, Synced
from productive_sage.productive.records import Payment
from productive_sage.store import About, PaymentFacts


class Writes:
    """Makes plans true; a dry run says the same and writes nothing."""

    def __init__(self, desk: Desk, synced: Synced, results: told.Results) -> None:
        self._desk = desk
        self._synced = synced
        self._results = results
        self._made: dict[str, dict[str, str]] = {}
        """The ids of the payments this run has created, by Productive id and marker."""

    def apply(self, papers: Papers, plan: PaymentPlan) -> None:
        """Do what was planned for one invoice; the first step that fails ends it.

        Else a payment could stand beside the one it replaces.
        """
        if not self._desk.dry_run:
            self._record(papers, plan)
        for surplus in plan.removes:
            self._remove(papers, surplus)
        for correction in plan.corrections:
            self._correct(papers, correction)
        for share in plan.creates:
            self._create(papers, share)
        self._synced.done += 1
        if not self._desk.dry_run:
            self._desk.store.errands.stop_waiting(papers.productive_id)

    def _record(self, papers: Papers, plan: PaymentPlan) -> None:
        """Bring psage's records in line with what Productive holds."""
        store = self._desk.store
        for one in plan.records:
            store.payments.record(one, papers.intents.get(one.marker))
        for marker in plan.forgets:
            store.payments.forget(marker)
        for marker in plan.lapses:
            store.intents.end(papers.intents[marker], "lapsed", "never arrived")

    def _remove(self, papers: Papers, surplus: Surplus) -> None:
        payment, own = surplus.payment, surplus.own
        if not self._desk.dry_run:
            # One that is said to be gone is forgotten when the next run does not see it either.
            if self._delete(papers, payment):
                self._desk.store.payments.forget(own.marker)
            else:
                self._check_gone(papers, payment)
        self._synced.deleted.append(told.removed(papers, payment, own))

    def _delete(self, papers: Papers, payment: Payment) -> bool:
        """Remove a payment; False where Productive does not plainly say it is done."""
        on = "written_off_on" if payment.written_off_on else "paid_on"
        own = shares.as_own(payment, markers.in_note(payment.note) or "")
        removed = {
            "amount": money.text(payment.amount),
            on: str(payment.written_off_on or payment.paid_on or ""),
            **({"receipt": own.source_id} if own.marker else {}),
        }
        return self._desk.productive.payments.delete(payment.id, self._record_of(papers, removed))

    def _record_of(self, papers: Papers, removed: Mapping[str, Any] | None = None) -> Recorder:
        """What records a write about a payment of an invoice."""
        about = About(papers.productive_id, papers.number, papers.currency, removed or {})
        return self._desk.store.events.recorder(about)

    def _check_gone(self, papers: Papers, payment: Payment) -> None:
        """Raises ServiceUnavailable where Productive still has what it did not plainly remove."""
        held, _ = self._desk.productive.payments.of([papers.productive_id])
        if any(row.id == payment.id for row in held[papers.productive_id]):
            raise ServiceUnavailable(
                f"Productive did not remove payment {payment.id}, nor said why",
                hint="the next run tries again; if it stays so, remove it in Productive by hand",
            )

    def _correct(self, papers: Papers, correction: Correction) -> None:
        payment, share = correction.payment, correction.share
        if not self._desk.dry_run:
            values = self._attributes(papers, correction.values)
            self._desk.productive.payments.change(payment.id, values, self._record_of(papers))
            self._desk.store.payments.record(
                OwnPayment(share.marker, papers.productive_id, payment.id, share.reference)
            )
        self._synced.updated.append(told.written(papers, share, payment.id))

    def _create(self, papers: Papers, share: ReceiptShare) -> None:
        payment_id = None
        if not self._desk.dry_run:
            on = "written_off_on" if share.is_discount else "paid_on"
            values = {"amount": share.amount, on: share.on, "note": shares.note_of(share)}
            invoice = {"invoice_id": int(papers.productive_id)}
            payment_id = self._send(papers, share, invoice | self._attributes(papers, values))
            self._made.setdefault(papers.productive_id, {})[share.marker] = payment_id
        self._synced.created.append(told.written(papers, share, payment_id))

    def _send(self, papers: Papers, share: ReceiptShare, attributes: Mapping[str, Any]) -> str:
        """POST a payment once: no key makes it repeatable, so an unknown end stays open."""
        desk = self._desk
        intent = desk.store.intents.begin(
            "payment",
            share.marker,
            desk.sage.business_id,
            payload=attributes,
            facts=PaymentFacts(papers.productive_id, papers.number, papers.currency),
            at=desk.productive.now(),
        )
        try:
            record = desk.store.intents.recorder(intent)
            payment_id = desk.productive.payments.create(attributes, record)
        except OutcomeUnknown:
            raise
        except PsageError as error:
            desk.store.intents.end(intent, "refused", error.message)
            raise
        one = OwnPayment(share.marker, papers.productive_id, payment_id, share.reference)
        try:
            desk.store.payments.record(one, intent)
        except PsageError as error:
            raise OutcomeUnknown(
                f"payment {payment_id} is in Productive, but could not be recorded: "
                f"{error.message}",
                hint=f"{error.hint}; the next run finds it by its note",
            ) from error
        return payment_id

    def _attributes(self, papers: Papers, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values as Productive writes them: whole minor units, plain dates."""
        sent = dict(values)
        if "amount" in sent:
            sent["amount"] = self._desk.productive.reader.minor(sent["amount"], papers.currency)
        return {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in sent.items()
        }

    # --- another machine at the same time

    def undouble(self, all_papers: Collection[Papers]) -> None:
        """Look whether another machine created the same payments meanwhile.

        Of two with one marker the lower id stays, and who made the other removes it.
        """
        created = [one for one in all_papers if self._made.get(one.productive_id)]
        ids = [papers.productive_id for papers in created]
        payments, _ = self._desk.productive.payments.of(ids) if ids else ({}, {})
        for papers in created:
            made = self._made[papers.productive_id]
            known = {one.id for one in papers.payments}
            for payment in payments[papers.productive_id]:  # the oldest first
                marker = markers.in_note(payment.note) or ""
                own = made.get(marker, payment.id)
                if payment.id not in known and int(payment.id) < int(own):
                    self._results.attempt(papers, self._give_way, made.pop(marker), payment)

    def _give_way(self, papers: Papers, own: str, other: Payment) -> None:
        self._delete(papers, replace(other, id=own))
        self._desk.store.payments.record(shares.as_own(other, markers.in_note(other.note) or ""))
        self._synced.created = [one for one in self._synced.created if one.payment_id != own]
