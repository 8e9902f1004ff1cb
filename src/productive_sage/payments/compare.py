"""One invoice's payments beside what Sage says, and the proofs of what that leaves in doubt.

A payment that Productive's list lacks is looked up; one that no receipt stands behind any more is
only removed where Sage says so twice. All of it is read before anything is planned, since a run
that would remove too much removes nothing.
"""

from datetime import date, timedelta

from productive_sage import markers, naming
from productive_sage.copying import doubles
from productive_sage.desk import Desk
from productive_sage.errors import AnswerIncomplete, CopyGone, OutcomeUnknown
from productive_sage.kept import Finding
from productive_sage.payments import findings, shares
from productive_sage.payments.evidence import Evidence
from productive_sage.payments.match import Matched, Surplus, match
from productive_sage.payments.papers import Papers
from productive_sage.payments.plan import Proofs
from productive_sage.payments.records import Synced
from productive_sage.payments.results import Results

_ARRIVES_WITHIN = timedelta(minutes=5)
"""A payment that broke off may still be done so long after; later, not there is never arrived."""


class Comparison:
    """Compares one invoice after the other; nothing is written."""

    def __init__(
        self, desk: Desk, evidence: Evidence, synced: Synced, results: Results, *, begin: date
    ) -> None:
        self._desk = desk
        self._evidence = evidence
        self._synced = synced
        self._results = results
        self._begin = begin

    def of(self, papers: Papers) -> tuple[Matched, Proofs]:
        """What stands for what, and what is proven of the rest; says what is odd of the copies."""
        document = papers.document
        self._check_sent(papers)
        self._check_copies(papers)
        if document is None or document.is_draft:
            return Matched(payments=papers.payments), Proofs()
        if not shares.is_complete(document):
            raise AnswerIncomplete(
                f"what Sage lists as payments of {document.number} does not add up to what it says "
                "is paid, so nothing is changed",
                hint="look at the invoice in Sage; the next run tries again",
            )
        wanted, unclear = shares.of(document)
        matched = match(
            wanted,
            papers.payments,
            papers.own,
            copies=papers.copies,
            sent=papers.intents.keys(),
            begin=self._begin,
            write_off=self._desk.settings.settlement_discount == "write_off",
            unclear=unclear,
        )
        self._synced.left_alone += len(matched.left_alone)
        return matched, self._proofs(papers, matched)

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

    def _check_copies(self, papers: Papers) -> None:
        """Say what is odd of them. Raises CopyGone where Sage lacks one it never deleted."""
        document, number = papers.document, papers.link.sage_number
        if document is None and not self._evidence.is_deleted(papers.link.sage_id):
            raise CopyGone(
                f"Sage does not find its copy {number}, and has no record of its deletion either",
                hint="look for it in Sage; the next run tries again",
            )
        if document and document.is_draft:
            self._results.skip(
                papers,
                findings.copy_is_draft(
                    document, naming.to_type(papers.number, papers.productive_id)
                ),
            )
        if document and len(same := doubles.alike(document, [document, *papers.doubles])) > 1:
            error = doubles.said_twice("it", same)
            self._results.skip(papers, Finding(error.code, error.message, error.hint or ""))
        for earlier in papers.earlier_copies:
            if shares.of(earlier)[0]:
                self._results.skip(papers, findings.several_copies(earlier, number))

    def _proofs(self, papers: Papers, matched: Matched) -> Proofs:
        """What the services say of lost and surplus payments.

        Raises AnswerIncomplete where Productive has a payment that its list lacks.
        """
        gone, moved_away = set[str](), list[str]()
        for lost in matched.lost:
            payment = self._desk.productive.payments.one(lost.own.payment_id)
            if payment is None:
                gone.add(lost.own.marker)
            elif payment.invoice_id == papers.productive_id:
                raise AnswerIncomplete(
                    f"Productive's list of payments lacks {lost.own.payment_id}, which is there",
                    hint="the next run tries again",
                )
            else:
                moved_away.append(lost.own.payment_id)
        store = self._desk.store
        moved_here = [one.id for one in matched.by_hand if store.payments.is_own(one.id)]
        proven = [one.own.marker for one in matched.surplus if self._is_proven(papers, one)]
        return Proofs(frozenset(gone), tuple(moved_away), frozenset(moved_here), frozenset(proven))

    def _is_proven(self, papers: Papers, surplus: Surplus) -> bool:
        """Whether Sage positively says that what a payment stands for is gone."""
        doubt = self._evidence.doubt(surplus.own)
        if doubt:
            number, currency = papers.link.sage_number, papers.currency
            found = findings.not_proven(surplus.payment, currency, number, doubt)
            self._results.skip(papers, found)
        return not doubt
