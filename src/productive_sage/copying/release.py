"""release: the drafts that were left in Sage for somebody's review are booked there.

Read this file from `release` down. A draft is booked as it stands in Sage, with what the bookkeeper
made of it; where its amount is not Productive's any more, it is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from productive_sage import money, naming
from productive_sage.copying import (
    Agree,
    after,
    bookable,
    cut_short,
    release_write,
    results,
    standing,
)
from productive_sage.copying.adopt import Copies, living_copy
from productive_sage.copying.customers import Customers
from productive_sage.copying.order import CopyOrder, sources
from productive_sage.copying.records import Outcome
from productive_sage.copying.recover import recovered
from productive_sage.desk import Desk
from productive_sage.errors import PsageError, Refused, RefusedBySage
from productive_sage.errors.notices import Notice
from productive_sage.kinds import CREDIT_NOTE, INVOICE
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link


@dataclass(frozen=True, slots=True)
class ReleaseOrder:
    """Which drafts a person wants to have booked."""

    keys: tuple[str, ...] = ()
    """As they were typed; none where all are meant that wait."""
    by_number: bool = False
    by_id: bool = False

    def names(self, productive_id: str, number: str) -> bool:
        """Whether a document is asked for."""
        return not self.keys or self._documents().names(productive_id, number)

    def documents(self, desk: Desk) -> CopyOrder:
        """The documents as they are read from Productive."""
        if self.keys:
            return self._documents()
        drafts = desk.store.copies.drafts()
        own = [one.productive_id for one in drafts if one.business_id == desk.sage.business_id]
        return CopyOrder(tuple(dict.fromkeys(own)), by_id=True)

    def _documents(self) -> CopyOrder:
        return CopyOrder(self.keys, by_number=self.by_number, by_id=self.by_id)


def release(order: ReleaseOrder, desk: Desk, agree: Agree | None = None) -> Iterator[Outcome]:
    """Book the drafts asked for; one outcome each, whatever happens to the others.

    As `copying.copy`: first what an earlier run left open; a dry run only plans; with `agree` all
    are looked at, and agreed to, before the first is booked.
    """
    yield from cut_short.completed(desk, _release(order, desk, agree))


def _release(order: ReleaseOrder, desk: Desk, agree: Agree | None) -> Iterator[Outcome]:
    desk.check_business()
    if order.keys:
        naming.check(order.documents(desk).documents(), desk.productive.organization_id)
    done = set[str]()
    for outcome in () if desk.dry_run else recovered(desk, asked=order.names):
        if outcome.recovered == "release":
            done.add(outcome.productive_id)
        yield outcome
    wanted = order.documents(desk)
    asked = list(sources(wanted, desk)) if wanted.keys else []
    # What a credit note is set against has to be booked before it.
    asked.sort(key=lambda one: one.kind is CREDIT_NOTE)
    run = _Run(desk, [one for one in asked if isinstance(one, Invoice)])
    if agree:
        agree([one if isinstance(one, Outcome) else run.told(one) for one in asked])
    stopped_by: PsageError | None = None
    for one in asked:
        if isinstance(one, Outcome):
            yield one
        elif one.id not in done:
            if stopped_by:
                outcome = results.not_tried(one.kind, one.id, one.number, stopped_by)
            else:
                outcome = run.told(one) if desk.dry_run else run.booked(one)
            stopped_by = stopped_by or results.stopping(outcome)
            yield outcome


class _Run:
    """One run over the documents asked for."""

    def __init__(self, desk: Desk, asked: Sequence[Invoice]) -> None:
        self._desk = desk
        self._asked = {one.id for one in asked}
        self._customers = Customers(desk, wanted=None, always_new=False)
        self._numbers = bookable.Numbers(desk, is_alone=len(asked) == 1)
        self._copies = {
            kind: Copies(desk, kind, self._customers, takes_drafts=True)
            for kind in (INVOICE, CREDIT_NOTE)
        }
        for kind, copies in self._copies.items():
            copies.look_for([one.id for one in asked if one.kind is kind])

    def told(self, invoice: Invoice) -> Outcome:
        """What would become of a document."""
        return results.guarded(invoice, partial(self._told, invoice))

    def booked(self, invoice: Invoice) -> Outcome:
        """Book its draft; whatever goes wrong is in the outcome."""
        return results.guarded(invoice, partial(self._booked, invoice))

    def _told(self, invoice: Invoice) -> Outcome:
        link, present = self._draft(invoice)
        outcome = _of(invoice, present)
        if not present.is_draft:
            return _is_booked(outcome, present)
        doubts = self._check(invoice, link, present, is_planned=True)
        path = f"{link.kind.path}/{link.sage_id}/release"
        request = {"method": "POST", "path": path, "body": None}
        return replace(
            outcome, action="would_release", planned={"requests": [request]}, notices=doubts
        )

    def _booked(self, invoice: Invoice) -> Outcome:
        desk, (link, present) = self._desk, self._draft(invoice)
        if not present.is_draft:
            return self._left(invoice, link, present)
        doubts = self._check(invoice, link, present, is_planned=False)
        intent = release_write.begin(desk, invoice, link, present)
        try:
            link, document = release_write.deliver(desk, intent, link)
        except RefusedBySage:
            link, present = self._draft(invoice)
            if present.is_draft:
                raise
            return self._left(invoice, link, present)  # somebody was quicker
        return release_write.concluded(desk, intent, link, document, invoice, doubts)

    def _left(self, invoice: Invoice, link: Link, present: SageDocument) -> Outcome:
        """Do what waited for a copy that somebody else has booked."""
        done = after.finish(self._desk, link, invoice, present, again=True)
        outcome = _of(invoice, present)
        outcome = replace(outcome, pdf=done.pdf, notices=tuple(done.notices))
        return _is_booked(outcome, present)

    def _draft(self, invoice: Invoice) -> tuple[Link, SageDocument]:
        """The latest copy, as it is in Sage; one that another machine made is linked first."""
        copies = self._copies[invoice.kind]
        link = copies.latest(invoice, None) or copies.adopt(invoice)
        if link is None:
            raise Refused(
                f"{invoice.label} has no copy in Sage",
                code="invoice_not_copied",
                hint=f"`psage {invoice.kind.command} {invoice.typed} --draft` makes one to review",
            )
        link, present = copies.present(invoice, link)
        return link, living_copy(self._desk, invoice, link, present)

    def _check(
        self, invoice: Invoice, link: Link, present: SageDocument, *, is_planned: bool
    ) -> tuple[Notice, ...]:
        """What is in doubt of a draft that shall be booked.

        Raises a Refused where it is not what Productive says, comes too early, or Sage would not.
        """
        if not invoice.is_finalised:
            raise Refused(
                f"{invoice.label} is a draft in Productive",
                code="is_draft",
                hint="finalise it in Productive first",
            )
        net = -invoice.net if invoice.kind is CREDIT_NOTE else invoice.net
        if (present.net, present.currency) != (net, invoice.currency):
            raise Refused(
                f"the draft of {invoice.label} in Sage is "
                f"{money.said(present.net, present.currency)} net, and the {invoice.kind.name} in "
                f"Productive {money.said(net, invoice.currency)}",
                code="copy_outdated",
                hint=f"bring the draft up to date: `psage {invoice.kind.command} {invoice.typed} "
                "--update-existing`, then this again",
                details={"sage_id": present.id, "sage": str(present.net), "productive": str(net)},
            )
        credited = invoice.credited
        if not (is_planned and credited and credited.id in self._asked):
            self._copies[INVOICE].credited(invoice)  # raises CopyIsDraft where it is not booked
        return standing.check_release(
            self._desk, self._customers, self._numbers, invoice, link, present
        )


def _of(invoice: Invoice, present: SageDocument) -> Outcome:
    return Outcome(
        "unchanged",
        invoice.id,
        number=invoice.number,
        **results.shown(present),
        kind=invoice.kind,
    )


def _is_booked(outcome: Outcome, present: SageDocument) -> Outcome:
    said = Notice("already_booked", f"it is booked in Sage already, as {present.number}")
    return replace(outcome, notices=(said, *outcome.notices))
