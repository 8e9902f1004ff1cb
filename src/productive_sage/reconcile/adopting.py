"""--adopt: psage's records learn of copies in Sage that carry its marker. No service is written to.

Which document is whose is judged as for a copy (`copying/adopt.py`): by marker, customer, currency
and what Productive itself names.
"""

from collections.abc import Iterator, Sequence

from productive_sage import money
from productive_sage.copying.adopt import Copies
from productive_sage.copying.customers import Customers
from productive_sage.desk import Desk
from productive_sage.errors import PsageError
from productive_sage.errors.notices import Notice
from productive_sage.kinds import CREDIT_NOTE, INVOICE, Kind
from productive_sage.productive.records import Invoice
from productive_sage.reconcile.sides import Pair
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link

_ONE_BY_ONE = 10
"""So many documents are read one by one; more by pages."""


def adopt(desk: Desk, pairs: Sequence[Pair], notices: list[Notice]) -> list[str]:
    """Record the copies of these documents that psage does not know; says which, in words.

    Why others are not is in `notices`. Invoices come first: credit notes need their copies.
    """
    return link(desk, [one for one in pairs if _is_missing(one)], notices)


def link(
    desk: Desk, pairs: Sequence[Pair], notices: list[Notice], *, mends: bool = True
) -> list[str]:
    """The same for documents that are known to lack a record, be their copies void.

    `mends` puts a living copy in the place of the record of one that is gone.
    """
    done: list[str] = []
    listed = dict[str, SageDocument]()  # with the invoices that credit notes credit
    for kind in (INVOICE, CREDIT_NOTE):
        missing = {one.productive_id: one for one in pairs if one.kind is kind}
        if not missing:
            continue
        invoices, unreadable = desk.productive.invoices.read(ids=[*missing])
        notices += [_not(error.message) for error in unreadable.values()]
        customers = Customers(desk, wanted=None, always_new=False)
        # Records that are made anew know drafts as well.
        listed |= _listed(desk, kind, [*missing.values()])
        copies = Copies(desk, kind, customers, takes_drafts=not mends, listed=listed)
        copies.look_for([one.id for one in invoices])
        for invoice, outcome in _each(desk, copies, invoices, mends=mends):
            if isinstance(outcome, Link):
                _keep_pending(desk, outcome, missing[invoice.id], invoice)
                done.append(f"{outcome.sage_number} is linked as the copy of {invoice.label}")
            else:
                notices.append(outcome)
    return done


def _is_missing(pair: Pair) -> bool:
    return bool(pair.billed and pair.booked and pair.booked.is_booked and pair.copied is None)


def _listed(desk: Desk, kind: Kind, pairs: Sequence[Pair]) -> dict[str, SageDocument]:
    """The documents of their days with all lines, by pages; none where one by one is as quick.

    One whose row does not show all of it is left out, to be read by itself.
    """
    days = [day for one in pairs if one.booked and (day := one.booked.document.invoiced_on)]
    if len(days) <= _ONE_BY_ONE:
        return {}
    found = desk.sage.documents.all(kind, days=(min(days), max(days)), is_whole=True)
    return {
        one.id: one
        for one in found
        if one.lines and sum((line.net for line in one.lines), money.ZERO) == one.net
    }


def _each(
    desk: Desk, copies: Copies, invoices: Sequence[Invoice], *, mends: bool
) -> Iterator[tuple[Invoice, Link | Notice]]:
    for n, invoice in enumerate(invoices):
        desk.step("Linking copies", n, len(invoices))
        try:
            link = copies.adopt(invoice)
            if link is None and mends and (latest := desk.store.copies.latest(invoice.id)):
                link, _ = copies.present(invoice, latest)  # the other of two, where one is gone
        except PsageError as error:
            if error.stops_batch:
                raise
            yield invoice, _not(f"{error.message}; {error.hint}" if error.hint else error.message)
            continue
        yield invoice, link or _not(_why_none(desk, invoice))


def _why_none(desk: Desk, invoice: Invoice) -> str:
    if known := desk.store.copies.latest(invoice.id):
        return (
            f"a further document in Sage carries the marker of {invoice.label}, whose copy "
            f"{known.sage_number} is known; `psage reconcile` says more"
        )
    return f"Sage's search does not show the copy of {invoice.label} yet"


def _not(why: str) -> Notice:
    return Notice("not_adopted", f"not linked: {why}")


def _keep_pending(desk: Desk, link: Link, pair: Pair, invoice: Invoice) -> None:
    """Leave to the next copy only what is not done: the mark, and the allocation."""
    left = set(link.pending)
    if invoice.export_id == link.sage_id:
        left.discard("mark")
    if pair.booked and pair.booked.is_booked and not pair.booked.open:
        left.discard("allocate")
    desk.store.copies.change(link, pending=frozenset(left))
