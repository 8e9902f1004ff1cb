"""What a run says of each invoice, and what of it the next run has to know."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

from productive_sage import naming
from productive_sage.copying import elsewhere, second_copies
from productive_sage.desk import Desk
from productive_sage.errors import PsageError, Refused, RefusedBySage
from productive_sage.errors.defects import defects_told
from productive_sage.errors.notices import Notice
from productive_sage.kept import Finding, OwnPayment
from productive_sage.payments.papers import Papers
from productive_sage.payments.records import Failed, PaymentChange, ReceiptShare, Skipped, Synced
from productive_sage.productive.records import Payment
from productive_sage.sage.receipts import ALLOCATIONS

_T = TypeVar("_T")
_What = ParamSpec("_What")


class Results:
    """Which invoices failed, and what a person should look at; one invoice stops no other."""

    def __init__(self, desk: Desk, synced: Synced) -> None:
        self._desk = desk
        self._synced = synced
        self._failed = set[str]()

    def has_failed(self, papers: Papers) -> bool:
        """Whether nothing more is done for an invoice in this run."""
        return papers.productive_id in self._failed

    def attempt(
        self,
        papers: Papers,
        step: Callable[Concatenate[Papers, _What], _T],
        *what: _What.args,
        **more: _What.kwargs,
    ) -> _T | None:
        """What a step gives for an invoice, or None where it went wrong: then that is said."""
        try:
            with defects_told(f"invoice {papers.productive_id}", f"with {papers.label}"):
                return step(papers, *what, **more)
        except PsageError as error:
            if error.stops_batch:
                raise
            self.fail(papers, error)
        return None

    def fail(self, papers: Papers, error: PsageError) -> None:
        """Say why an invoice is not done; the next run tries it again."""
        self._failed.add(papers.productive_id)
        if papers.label not in error.message:
            error = error.reworded(f"{papers.label}: {error.message}")
        self._synced.failed.append(Failed(papers.productive_id, papers.number, error))
        if not self._desk.dry_run:
            self._desk.store.errands.keep_waiting(
                papers.productive_id,
                error.code,
                error.message,
                next_step=_step_after(error, papers),
            )

    def skip(self, papers: Papers, one: Finding) -> None:
        """Say what a person should look at; it stops nothing."""
        message = f"{papers.label}: {one.message}"
        self._synced.skipped.append(
            Skipped(papers.productive_id, papers.number, one.code, message, one.next_step)
        )

    def remember(self, all_papers: Collection[Papers], *, is_full: bool) -> None:
        """Keep what somebody should look at until a run finds it no more."""
        synced, store = self._synced, self._desk.store
        said = {(one.productive_id, one.code, one.message) for one in store.errands.findings()}
        synced.skipped = [
            replace(one, is_new=(one.productive_id, one.code, one.message) not in said)
            for one in synced.skipped
        ]
        now: dict[str, list[Finding]] = {}
        for one in synced.skipped:
            found = Finding(one.code, one.message, one.next_step)
            now.setdefault(one.productive_id, []).append(found)
        before = {productive_id for productive_id, _, _ in said}
        for papers in all_papers:
            # Written only where something is or was to be said: a quiet run writes nothing.
            if papers.productive_id in before | now.keys() and not (
                self.has_failed(papers) or self._desk.dry_run
            ):
                present = now.get(papers.productive_id, [])
                kept = self._kept(papers.productive_id, present, is_full=is_full)
                store.errands.replace_findings(papers.productive_id, [*present, *kept])
        if not self._desk.dry_run:
            self._remember_untaken({one.productive_id for one in all_papers}, now, is_full=is_full)

    def _kept(
        self, productive_id: str, present: Sequence[Finding], *, is_full: bool
    ) -> list[Finding]:
        """What was said of an invoice before, and this run may not have looked for."""
        codes = {one.code for one in present}
        known = second_copies.kept(self._desk, productive_id)
        if not (is_full or productive_id in {one.entry.id for one in self._synced.adopted}):
            known += [
                Finding(one.code, one.message, one.next_step)
                for one in self._desk.store.errands.findings()
                if one.productive_id == productive_id and one.code == elsewhere.CODE
            ]
        return [one for one in known if one.code not in codes]

    def _remember_untaken(
        self, done: Collection[str], now: Mapping[str, Sequence[Finding]], *, is_full: bool
    ) -> None:
        """Keep which documents with a marker are not taken for copies; of others than `done`."""
        store, findings = self._desk.store, self._desk.store.errands.findings()
        before = {one.productive_id for one in findings if one.code == elsewhere.CODE}
        for productive_id in (now.keys() | (before if is_full else set())) - {*done}:
            kept = [
                Finding(one.code, one.message, one.next_step)
                for one in findings
                if one.productive_id == productive_id and one.code != elsewhere.CODE
            ]
            found = [*kept, *now.get(productive_id, ())]
            store.errands.replace_findings(productive_id, found)


def _step_after(error: PsageError, papers: Papers) -> str:
    """What helps an invoice that failed; empty where the next run will by itself."""
    name = naming.to_type(papers.number, papers.productive_id)
    again = f"`psage sync-payments --invoice {name}`"
    if error.hint:
        return error.hint.replace("run the command again", f"run {again}")
    if isinstance(error, Refused):
        return f"look at the invoice and its payments in Productive, then run {again}"
    return ""


def written(papers: Papers, share: ReceiptShare, payment_id: str | None) -> PaymentChange:
    """The line about a payment that was created or updated; a dry run creates without an id."""
    return PaymentChange(
        papers.productive_id,
        papers.number,
        papers.link.sage_number,
        payment_id,
        share.source_id,
        share.on,
        share.amount,
        papers.currency,
        share.is_discount,
    )


def removed(papers: Papers, payment: Payment, one: OwnPayment) -> PaymentChange:
    """The line about a payment that was removed."""
    return PaymentChange(
        papers.productive_id,
        papers.number,
        papers.link.sage_number,
        payment.id,
        one.source_id,
        payment.written_off_on or payment.paid_on,
        payment.amount,
        papers.currency,
        one.is_discount,
    )


def cannot_see(synced: Synced, path: str, error: RefusedBySage) -> None:
    """Say once that this sign-in may not read receipts or allocations."""
    what = "allocations" if path == ALLOCATIONS else "receipts"
    code = f"{what}_not_readable"
    if code in {notice.code for notice in synced.notices}:
        return
    synced.notices.append(
        Notice(
            code,
            f"this sign-in may not read {what} in Sage ({error.words}), so a change of one is "
            "only seen through its invoice, or by the weekly comparison, and a payment whose "
            "removal would need it stays; full access to Sales, Purchases and Contacts lets "
            "psage see them",
        )
    )


def nothing_copied(synced: Synced) -> None:
    """Say that the profile knows no copies: likely it is not the one they were made with."""
    synced.notices.append(
        Notice(
            "nothing_copied",
            "this profile knows no copied invoice, so there is nothing to synchronise; see "
            "whether PSAGE_HOME and `--profile` are those the copies were made with",
        )
    )
