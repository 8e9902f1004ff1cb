"""Which invoices a run looks at, with their papers: all that is read before anything is planned.

Feeds tell what changed in Sage; the store, what an earlier run left; names, what somebody asked
for. Once a week, and where a cursor cannot be trusted, every copied invoice is read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time

from productive_sage import naming
from productive_sage.desk import Desk
from productive_sage.errors import NotFound, PsageError, Refused, ServiceUnavailable
from productive_sage.kinds import INVOICE
from productive_sage.naming import Name
from productive_sage.payments import unknown_copies
from productive_sage.payments.evidence import Evidence
from productive_sage.payments.order import OVERLAP, Reach, SyncOrder
from productive_sage.payments.papers import Papers
from productive_sage.payments.records import Failed, Synced
from productive_sage.payments.results import Results
from productive_sage.sage.records import SageDocument
from productive_sage.store import Link, PaymentIntent

_LOST_AT_MOST = 20
"""So many linked invoices may be missing from a whole list and are looked up; more is no list."""
_IN_PRODUCTIVE = frozenset(
    {
        "currency_differs",
        "deleted_in_productive",
        "doubled",
        "no_receipt_in_sage",
        "not_found",
        "open_in_productive",
        "open_in_sage",
        "overpaid",
        "paid_in_productive",
        "payment_moved",
    }
)
"""What may be settled by what somebody does in Productive alone."""
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


class Changed:
    """Reads what a run looks at; failures go into `synced`, and stop no other invoice."""

    def __init__(
        self,
        order: SyncOrder,
        reach: Reach,
        desk: Desk,
        evidence: Evidence,
        synced: Synced,
        results: Results,
    ) -> None:
        self._order, self._reach = order, reach
        self._desk, self._evidence = desk, evidence
        self._synced, self._results = synced, results

    def papers(self) -> list[Papers]:
        """The invoices that may have changed, with what both services say of them."""
        intents = self._desk.store.intents.open_payments()
        touched, doubles = set[str](), dict[str, list[SageDocument]]()
        if self._order.invoices:
            found = self._named()
        else:
            touched, asked = self._changed()
            doubles = unknown_copies.doubled(self._desk, self._evidence)
            unknown_copies.say_doubled_customers(
                self._desk, self._synced, self._reach.cursor or _EVER
            )
            asked |= doubles.keys() | {one.facts.productive_id for one in intents}
            found = [
                one
                for one in self._opened(asked)
                if not self._is_draft(one.link) or one.productive_id in doubles
            ]
        self._read_missing(found)
        return self._with_payments(
            [
                self._with_copies(
                    replace(
                        papers,
                        doubles=tuple(doubles.get(papers.productive_id, ())),
                        intents=_of_invoice(papers.productive_id, intents),
                    ),
                    touched,
                )
                for papers in found
            ]
        )

    # --- which invoices

    def _opened(self, productive_ids: Iterable[str]) -> list[Papers]:
        """The papers of those that have a copy in Sage, still empty."""
        store = self._desk.store
        return [
            Papers(productive_id, link, store.copies.number_of(productive_id))
            for productive_id in sorted(productive_ids, key=_by_number)
            if (link := store.copies.latest(productive_id)) and link.kind is INVOICE
        ]

    def _is_draft(self, link: Link) -> bool:
        """Whether a copy waits to be released, so that nothing can be paid; costs no call.

        One that a list shows as booked was released in Sage, which is kept.
        """
        document = self._evidence.documents.get(link.sage_id)
        if not link.waits_for_release or document is None or document.is_draft:
            return link.waits_for_release
        if not self._desk.dry_run:
            changes = {"sage_number": document.number, "pending": link.pending - {"release"}}
            self._desk.store.copies.change(link, **changes)
        return False

    def _named(self) -> list[Papers]:
        """The invoices somebody named; of those that have no copy it is said."""
        desk, evidence, synced = self._desk, self._evidence, self._synced
        ids = [one for name in self._order.invoices for one in _ids_of(name, desk, synced)]
        unknown_copies.read_unknown(desk, evidence, ids)
        told = unknown_copies.learn(desk, evidence, synced)
        found = self._opened({*ids})
        known = {one.productive_id for one in found}
        for productive_id in sorted({*ids} - told - known, key=_by_number):
            error = _not_copied(productive_id, desk.store.copies.latest(productive_id))
            synced.failed.append(Failed(productive_id, "", error))
        return found

    def _changed(self) -> tuple[set[str], set[str]]:
        """(Sage ids, Productive ids) of what changed, and of what an earlier run left."""
        store, evidence = self._desk.store, self._evidence
        if self._reach.is_full:
            evidence.read_list()
            since = self._reach.cursor or self._synced.until
            evidence.read_receipts(since - OVERLAP, only_deleted=True)
            touched = set(evidence.documents)
            asked = {link.productive_id for link in store.copies.of_invoices()}
        else:
            touched, asked = self._by_feeds()
        asked |= {one.productive_id for one in store.errands.waiting()}
        # No feed shows what people do in Productive, so what they may settle there is read.
        asked |= {
            one.productive_id for one in store.errands.findings() if one.code in _IN_PRODUCTIVE
        }
        unknown_copies.learn(self._desk, evidence, self._synced)
        links = [store.copies.at(sage_id) for sage_id in touched]
        asked |= {link.productive_id for link in links if link and link.kind is INVOICE}
        return touched, asked

    def _by_feeds(self) -> tuple[set[str], set[str]]:
        """(Sage ids, Productive ids) of what the feeds and the store say changed."""
        store, evidence = self._desk.store, self._evidence
        if self._order.since:
            since = datetime.combine(self._order.since, time.min, UTC)
        else:
            since = (self._reach.cursor or _EVER) - OVERLAP
        self._synced.since = since
        evidence.read_list(since)
        asked = set[str]()
        settled: set[str] | None = set()
        for path, receipt in evidence.read_receipts(since):
            asked |= {one.productive_id for one in store.payments.from_source(receipt.id)}
            if settled is not None:
                documents = evidence.settled_by(path, receipt)
                settled = None if documents is None else settled | documents
        if settled is None:
            evidence.read_list()  # a receipt that does not say what it settles may settle any
        touched = evidence.documents.keys() | (settled or set())
        for source_id in evidence.deleted:
            asked |= {one.productive_id for one in store.payments.from_source(source_id)}
        asked |= {link.productive_id for link in store.copies.of_invoices(since=since)}
        return touched, asked

    # --- their papers

    def _read_missing(self, found: Sequence[Papers]) -> None:
        """Read what no list has shown: by the list where that takes fewer calls."""
        missing = [one for one in found if one.link.sage_id not in self._evidence.documents]
        if self._reach.is_full:
            if len(missing) > _LOST_AT_MOST:
                raise ServiceUnavailable(
                    f"Sage's list of invoices lacks {len(missing)} of {len(found)} copies",
                    hint="try again; if it stays so, see whether the sign-in still reaches the "
                    "business",
                )
        elif len(missing) > 1 and len(missing) > self._desk.store.copies.count(INVOICE) / 200:
            self._evidence.read_list()

    def _with_copies(self, papers: Papers, touched: set[str]) -> Papers:
        store, evidence = self._desk.store, self._evidence
        *earlier, latest = store.copies.of(papers.productive_id)
        own = store.payments.of(papers.productive_id)
        looked_at = touched | {one.sage_id for one in own}
        touched_copies = [
            evidence.document(one.sage_id) for one in earlier if one.sage_id in looked_at
        ]
        return replace(
            papers,
            document=evidence.document(papers.link.sage_id),
            earlier_copies=tuple(filter(None, touched_copies)),
            own=tuple(own),
            copies=frozenset(one.sage_id for one in (*earlier, latest)),
        )

    def _with_payments(self, found: Sequence[Papers]) -> list[Papers]:
        payments, unreadable = self._desk.productive.payments.of(
            [one.productive_id for one in found]
        )
        read = [replace(one, payments=tuple(payments[one.productive_id])) for one in found]
        for papers in read:
            if error := unreadable.get(papers.productive_id):
                self._results.fail(papers, error)
        return read


def _of_invoice(productive_id: str, intents: Iterable[PaymentIntent]) -> dict[str, PaymentIntent]:
    """The new payments of an invoice that were sent and never answered for, by marker."""
    return {one.source_id: one for one in intents if one.facts.productive_id == productive_id}


def _ids_of(name: Name, desk: Desk, synced: Synced) -> list[str]:
    """The id of an invoice somebody named; none where it is told why, or told later."""
    known = dict[str, str]()
    for productive_id, number, sage_number in desk.store.copies.names(INVOICE.code):
        if name.fits(productive_id, number):
            known[productive_id] = f"{number or productive_id} ({sage_number} in Sage)"
    if not known and name.number:
        ids = [name.id] if name.id else []
        found, _ = desk.productive.invoices.read(ids=ids, numbers=[name.number])
        known = {one.id: one.label for one in found if name.fits(one.id, one.number)}
    if len(known) > 1 and desk.ask:
        return [[*known][desk.ask(f"Which is `{name.typed}`?", [*known.values()], None)]]
    if len(known) == 1 or (not known and name.id):
        return [*known] or [name.id]
    error: PsageError = NotFound(
        f"Productive has no invoice with the number `{name.typed}`",
        hint=naming.advice(name.typed, desk.store.copies.names())
        or naming.did_you_mean(name.typed, [held for _, held, _ in desk.store.copies.names()])
        or "its number is on the invoice in Productive; `psage status` shows what waits",
    )
    if known:
        error = Refused(
            f"`{name.typed}` may be {' or '.join(known.values())}",
            code="document_ambiguous",
            hint="say which with `--id` or `--number`",
            details={"documents": [*known]},
        )
    synced.failed.append(Failed("", name.typed, error))
    return []


def _not_copied(productive_id: str, link: Link | None) -> PsageError:
    """Why a document somebody named has no payments; `link` is that of a credit note."""
    if link:
        return Refused(
            f"{productive_id} is a credit note, and what it is set against is no payment",
            code="is_credit_note",
            hint="give the id of the invoice",
        )
    return Refused(
        f"invoice {productive_id} has no copy in Sage",
        code="invoice_not_copied",
        hint=f"copy it first: `psage copy-invoice {productive_id}`",
    )


def _by_number(productive_id: str) -> tuple[int, str]:
    return (int(productive_id) if productive_id.isdecimal() else 0, productive_id)
