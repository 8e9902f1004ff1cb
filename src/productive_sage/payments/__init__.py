"""sync-payments: Productive's payments of copied invoices end up as Sage says, one way.

Read this file from `sync` down: which invoices may have changed, what is to be done to each
(planned whole before anything is written), then the writes, one by one. A payment is only removed
with two witnesses: the invoice in Sage, complete and without it, and the receipt itself gone or
settling something else. psage changes and removes only what it wrote.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from productive_sage import markers, money, naming
from productive_sage.copying import doubles, living
from productive_sage.desk import Desk
from productive_sage.errors import (
    AnswerIncomplete,
    CopiedTwice,
    CopyGone,
    DocumentAmbiguous,
    InvoiceNotCopied,
    IsCreditNote,
    NotFound,
    OutcomeUnknown,
    PaymentSyncOff,
    PsageError,
    Refused,
    RefusedBySage,
    ServiceUnavailable,
    TooManyDeletes,
)
from productive_sage.models import (
    INVOICE,
    Balance,
    Change,
    Failed,
    Finding,
    Notice,
    OwnPayment,
    Payment,
    Receipt,
    ReceiptShare,
    Report,
    SageDocument,
    Settlement,
    Skipped,
)
from productive_sage.naming import Name
from productive_sage.payments import findings, plan, shares
from productive_sage.sage.client import ALLOCATIONS, RECEIPTS
from productive_sage.store import Intent, Link

log = logging.getLogger("psage.payments")

OVERLAP = timedelta(hours=48)
"""How far each run reads back before the mark: an index may lag, and so may a clock."""
_FULL_EVERY = timedelta(days=7)
_ARRIVES_WITHIN = timedelta(minutes=5)
"""A payment that broke off may still be done so long after; later, not there is never arrived."""
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
UNTIL, FULL, BEGIN = "payments until", "payments full", "payments from"


@dataclass(frozen=True, slots=True)
class Order:
    """What the person asked for."""

    since: date | None = None
    full: bool = False
    invoices: tuple[Name, ...] = ()
    """As people name them; empty for all."""
    max_deletes: int = 20


@dataclass
class _Case:
    """One invoice: what Sage says of its copies, what Productive holds, and what to do."""

    productive_id: str
    link: Link
    document: SageDocument | None = None
    older: list[SageDocument] = field(default_factory=list)
    """Earlier copies that somebody or something touched."""
    payments: list[Payment] = field(default_factory=list)
    balance: Balance | None = None
    """None where Productive does not show the invoice."""
    intents: dict[str, Intent] = field(default_factory=dict)
    """New payments of an earlier run whose outcome is not known, by marker."""
    wanted: list[ReceiptShare] = field(default_factory=list)
    """What settles the latest copy."""
    steps: plan.Steps = field(default_factory=plan.Steps)
    made: dict[str, str] = field(default_factory=dict)
    """The ids of the payments this run has created, by marker."""
    number: str = ""
    is_failed: bool = False

    @property
    def currency(self) -> str:
        return self.document.currency if self.document else ""

    @property
    def label(self) -> str:
        """The same in every run, or what was said once would be said again."""
        number = self.number or self.productive_id
        return f"invoice `{number}` ({self.link.sage_number} in Sage)"


def sync(order: Order, desk: Desk, report: Report) -> None:
    """Bring Productive's payments in line with Sage; `report.until` is when the run began.

    Raises PaymentSyncOff, TooManyDeletes before anything is written, and whatever stops every
    invoice: no sign-in, no network, another business. The marks are not moved then.
    """
    if not desk.settings.sync_payments:
        raise PaymentSyncOff
    desk.check_business()
    if not desk.dry_run:
        living.look_again(desk)
    naming.check(order.invoices, desk.productive.organization_id)
    run = _Run(order, desk, report)
    cases = run.cases()
    if not desk.store.copies():
        report.notices.append(
            Notice(
                "nothing_copied",
                "this profile knows no copied invoice, so there is nothing to synchronise; see "
                "whether PSAGE_HOME and `--profile` are those the copies were made with",
            )
        )
    report.checked = len(cases)
    for n, case in enumerate(cases):
        desk.step("Comparing payments", n, len(cases))
        if not case.is_failed:
            run.attempt(case, run.plan)
    run.weigh([case for case in cases if not case.is_failed])
    for n, case in enumerate(cases):
        desk.step("Bringing payments to Productive", n, len(cases))
        if not case.is_failed:
            run.attempt(case, run.apply)
    run.undouble([case for case in cases if case.made])
    run.remember(cases)
    run.move_marks()


class _Run:
    """The state of one run: what the feeds said, and what was read already."""

    def __init__(self, order: Order, desk: Desk, report: Report) -> None:
        self._order = order
        self._desk = desk
        self._report = report
        self._begin = desk.settings.sync_payments_from or date.min
        self._documents: dict[str, SageDocument | None] = {}
        self._whole: dict[str, SageDocument | None] = {}
        """Read one by one in this run, with everything: a witness."""
        self._deleted: set[str] = set()
        self._gone: set[str] | None = None
        self._deletions: dict[str, date] | None = None
        self._named: list[str] = []
        """The invoices asked for, by Productive id."""
        self._elsewhere = set[str]()
        """Productive ids of copies that a real run would link."""
        self._twins: dict[str, list[SageDocument]] = {}
        """Copies of the linked invoices that are not those linked, by Productive id."""
        self._removals = 0
        self._cursor = desk.store.cursor(UNTIL)
        self._is_full = self._must_be_full()

    # --- which invoices

    def _must_be_full(self) -> bool:
        order, store = self._order, self._desk.store
        if order.full or order.invoices or order.since:
            return order.full
        full, begin = store.cursor(FULL), store.cursor(BEGIN)
        if self._cursor is None or full is None or begin is None:
            return True
        until, compared = self._report.until, datetime.fromisoformat(full)
        if max(compared, datetime.fromisoformat(self._cursor)) > until:
            return True  # a clock was ahead then: what happened since may be missing
        return until - compared > _FULL_EVERY or self._begin < date.fromisoformat(begin)

    def _changed_or_asked(self, intents: list[Intent]) -> tuple[set[str], set[str]]:
        """(Sage ids, Productive ids) of what this run looks at."""
        store = self._desk.store
        if self._order.invoices:
            self._named = [one for name in self._order.invoices for one in self._ids_of(name)]
            self._read_unknown(self._named)
            if self._desk.dry_run:
                self._say_unknown()
            else:
                self._adopt()
            return set(), set(self._named)
        if self._is_full:
            self._read_list()
            since = datetime.fromisoformat(self._cursor) if self._cursor else self._report.until
            self._feeds(since - OVERLAP, only_deleted=True)
            touched = set(self._documents)
            asked = {link.productive_id for link in store.copied_invoices()}
        else:
            touched, asked = self._changed()
        asked |= {one.productive_id for one in store.waiting()}
        # No feed shows what people do in Productive, so what they may settle there is read.
        asked |= {one.productive_id for one in store.reports() if one.code in _IN_PRODUCTIVE}
        if not self._desk.dry_run:
            self._adopt()
        asked |= self._look_for_twins()
        return touched, asked | {str(intent.context["productive_id"]) for intent in intents}

    def cases(self) -> list[_Case]:
        """The invoices that may have changed, with what Sage says of their copies."""
        store = self._desk.store
        intents = store.open_payments()
        touched, asked = self._changed_or_asked(intents)
        links = {sage_id: store.linked(sage_id) for sage_id in touched}
        asked |= {link.productive_id for link in links.values() if link and link.kind is INVOICE}
        cases = list(filter(None, map(self._case, sorted(asked, key=_by_number))))
        for case in cases:
            case.intents = {
                intent.source_id: intent
                for intent in intents
                if intent.context["productive_id"] == case.productive_id
            }
        self._read_documents(cases)
        for case in cases:
            copies = store.links(case.productive_id)[:-1]
            kept = {one.sage_id for one in store.mirrored(case.productive_id)}
            for copy in copies:
                if copy.sage_id in touched | kept and (found := self._document(copy.sage_id)):
                    case.older.append(found)
            case.document = self._document(case.link.sage_id)
        ids = [case.productive_id for case in cases]
        payments, unreadable = self._desk.productive.payments(ids)
        for case in cases:
            case.payments = payments[case.productive_id]
            if error := unreadable.get(case.productive_id):
                self._fail(case, error)
        return cases

    def _look_for_twins(self) -> set[str]:
        """The invoices another machine has copied as well, as far as what was read anyway shows.

        What was said before is searched for, and said until it is settled.
        """
        desk, store = self._desk, self._desk.store
        found = [document for document in self._documents.values() if document]
        for one in store.reports():
            link = store.latest(one.productive_id) if one.code == CopiedTwice.code else None
            if link:
                marker = markers.of_copy(link.productive_id, link.copy)
                ids = {sage_id for sage_id, _ in desk.sage.marked(INVOICE, marker)}
                ids -= self._documents.keys()
                found += [twin for sage_id in ids if (twin := self._witness(sage_id))]
        for document in found:
            mark = markers.in_reference(document.reference)
            if mark and store.links(mark[0]) and not store.linked(document.id):
                self._twins.setdefault(mark[0], []).append(document)
        self._look_for_doubled_customers()
        return set(self._twins)

    def _look_for_doubled_customers(self) -> None:
        """Say where Sage holds a customer twice that was made since the last run."""
        since = datetime.fromisoformat(self._cursor or "2000-01-01T00:00:00+00:00")
        if not self._desk.store.has_made_customers(since):
            return
        try:
            contacts = self._desk.sage.customers(since - OVERLAP)
        except Refused:  # a sign-in that may not read contacts synchronises all the same
            return
        for same in doubles.doubled(contacts):
            error = doubles.customer_doubled(same)
            self._report.notices.append(Notice(error.code, f"{error.message}; {error.hint}"))

    def _ids_of(self, name: Name) -> list[str]:
        """The id of an invoice somebody named; none where it is told why, or told later."""
        desk, known = self._desk, dict[str, str]()
        for productive_id, number, sage_number in desk.store.names(INVOICE.code):
            if name.fits(productive_id, number):
                known[productive_id] = f"{number or productive_id} ({sage_number} in Sage)"
        if not known and name.number:
            ids = [name.id] if name.id else []
            found, _ = desk.productive.invoices(ids=ids, numbers=[name.number])
            known = {one.id: one.label for one in found if name.fits(one.id, one.number)}
        if len(known) > 1 and desk.ask:
            return [[*known][desk.ask(f"Which is `{name.typed}`?", [*known.values()], None)]]
        if len(known) == 1 or (not known and name.id):
            return [*known] or [name.id]
        error: PsageError = NotFound(
            f"Productive has no invoice with the number `{name.typed}`",
            hint=naming.did_you_mean(name.typed, [held for _, held, _ in desk.store.names()])
            or "its number is on the invoice in Productive; `psage status` shows what waits",
        )
        if known:
            error = DocumentAmbiguous(
                f"`{name.typed}` may be {' or '.join(known.values())}",
                hint="say which with `--id` or `--number`",
                details={"documents": [*known]},
            )
        self._report.failed.append(Failed("", name.typed, error))
        return []

    def _read_unknown(self, productive_ids: Sequence[str]) -> None:
        """Read the copies Productive names of these invoices, and the store does not know."""
        balances, _ = self._desk.productive.balances(
            [one for one in productive_ids if one.isdecimal()]
        )
        for productive_id, balance in balances.items():
            links = self._desk.store.links(productive_id)
            if sage_id := doubles.unknown(balance.export_id, links):
                self._documents[sage_id] = self._witness(sage_id)

    def _say_unknown(self) -> None:
        """Say which copies a real run would link first; a dry run records nothing."""
        for document in self._documents.values():
            mark = markers.in_reference(document.reference) if document else None
            if document and mark and not self._desk.store.linked(document.id):
                self._elsewhere.add(mark[0])
                self._report.notices.append(
                    Notice(
                        "copied_elsewhere",
                        f"{document.number} in Sage is a copy of invoice {mark[0]} that is not in "
                        "psage's records; a real run links it and brings its payments",
                    )
                )

    def _adopt(self) -> None:
        """Link the copies of other machines, or of after a backup of the store was made.

        They are among the documents that were read, and Productive names each as the copy.
        """
        store, found = self._desk.store, dict[str, tuple[int, SageDocument]]()
        for document in self._documents.values():
            mark = markers.in_reference(document.reference) if document else None
            if document is None or mark is None or document.is_draft or store.linked(document.id):
                continue
            latest = store.latest(mark[0])
            if mark[1] > max(latest.copy if latest else 0, found.get(mark[0], (0,))[0]):
                found[mark[0]] = mark[1], document
        balances, _ = self._desk.productive.balances([*found])
        for productive_id, (copy, document) in found.items():
            balance, business = balances.get(productive_id), self._desk.sage.business_id
            if balance and balance.export_id == document.id:
                link = Link.found(
                    *(INVOICE, productive_id, copy, business, document),
                    credited_sage_id=None,
                    written=None,
                )
                store.adopt(replace(link, pending=frozenset()))

    def _case(self, productive_id: str) -> _Case | None:
        link = self._desk.store.latest(productive_id)
        if link and link.kind is INVOICE:
            return _Case(productive_id, link, number=self._desk.store.number(productive_id))
        if productive_id in self._named and productive_id not in self._elsewhere:
            error: PsageError = InvoiceNotCopied(
                f"invoice {productive_id} has no copy in Sage",
                hint=f"copy it first: `psage copy-invoice {productive_id}`",
            )
            if link:
                error = IsCreditNote(
                    f"{productive_id} is a credit note, and what it is set against is no payment",
                    hint="give the id of the invoice",
                )
            self._report.failed.append(Failed(productive_id, "", error))
        return None

    def _changed(self) -> tuple[set[str], set[str]]:
        """(Sage ids, Productive ids) of what the feeds and the store say changed."""
        sage, store = self._desk.sage, self._desk.store
        if self._order.since:
            since = datetime.combine(self._order.since, time.min, UTC)
        else:
            since = datetime.fromisoformat(str(self._cursor)) - OVERLAP
        self._report.since = since
        for document in sage.invoices(since):
            self._documents[document.id] = document
        asked = set[str]()
        settled: set[str] | None = set()
        for path, receipt in self._feeds(since):
            asked |= {one.productive_id for one in store.mirrored_from(receipt.id)}
            if settled is not None:
                documents = self._settled_by(path, receipt)
                settled = None if documents is None else settled | documents
        if settled is None:
            self._read_list()  # a receipt that does not say what it settles may settle any
        touched = self._documents.keys() | (settled or set())
        for source_id in self._deleted:
            asked |= {one.productive_id for one in store.mirrored_from(source_id)}
        asked |= {link.productive_id for link in store.copied_invoices(since=since)}
        return touched, asked

    def _feeds(self, since: datetime, *, only_deleted: bool = False) -> list[tuple[str, Receipt]]:
        """The receipts and allocations changed since; keeps in mind which were deleted."""
        sage, changed = self._desk.sage, []
        for path in (RECEIPTS, ALLOCATIONS):
            try:
                if not only_deleted:
                    changed += [(path, one) for one in sage.receipts(path, since)]
                self._deleted |= sage.deleted(path, since)
            except RefusedBySage as error:
                if error.status != 403:
                    raise
                self._cannot_see(path, error)
        return changed

    def _settled_by(self, path: str, receipt: Receipt) -> frozenset[str] | None:
        """What a receipt settles; read whole where the row of the list does not say.

        None where Sage does not say it there either.
        """
        if receipt.document_ids is not None:
            return receipt.document_ids
        try:
            whole = self._desk.sage.receipt(path, receipt.id)
        except RefusedBySage as error:
            if error.status != 403:
                raise
            self._cannot_see(path, error)
            return frozenset()
        return whole.document_ids if whole else frozenset()

    def _cannot_see(self, path: str, error: RefusedBySage) -> None:
        what = "allocations" if path == ALLOCATIONS else "receipts"
        code = f"{what}_not_readable"
        if code in {notice.code for notice in self._report.notices}:
            return
        self._report.notices.append(
            Notice(
                code,
                f"this sign-in may not read {what} in Sage ({error.words}), so a change of one is "
                "only seen through its invoice, or by the weekly comparison, and a payment whose "
                "removal would need it stays; full access to Sales, Purchases and Contacts lets "
                "psage see them",
            )
        )

    # --- what Sage says

    def _read_list(self) -> None:
        for document in self._desk.sage.invoices():
            self._documents[document.id] = document

    def _read_documents(self, cases: list[_Case]) -> None:
        """Read what is missing: by the list where that takes fewer calls."""
        missing = [c for c in cases if c.link.sage_id not in self._documents]
        if self._is_full:
            if len(missing) > _LOST_AT_MOST:
                raise ServiceUnavailable(
                    f"Sage's list of invoices lacks {len(missing)} of {len(cases)} copies",
                    hint="try again; if it stays so, see whether the sign-in still reaches the "
                    "business",
                )
        elif len(missing) > 1 and len(missing) > self._desk.store.copies() / 200:
            self._read_list()

    def _document(self, sage_id: str) -> SageDocument | None:
        """A copy with what settles it, or None where Sage has it no more."""
        document = self._documents.get(sage_id)
        if document is None or not shares.is_complete(document):
            document = self._witness(sage_id)
        return document and self._clarified(document)

    def _witness(self, sage_id: str) -> SageDocument | None:
        if sage_id not in self._whole:
            self._whole[sage_id] = self._desk.sage.document(INVOICE, sage_id)
        return self._whole[sage_id]

    def _clarified(self, document: SageDocument) -> SageDocument:
        """Say of each allocation what it takes from, where the invoice does not."""
        rows = document.settlements or ()
        if all(row.artefact_path or not row.allocation_id for row in rows):
            return document
        return replace(document, settlements=tuple(map(self._with_path, rows)))

    def _with_path(self, row: Settlement) -> Settlement:
        if row.artefact_path or not row.allocation_id:
            return row
        try:
            allocation = self._desk.sage.receipt(ALLOCATIONS, row.allocation_id)
        except RefusedBySage:
            return row
        paths = {
            path.split("/")[1] for path in (allocation.from_paths if allocation else ()) if path
        }
        return replace(row, artefact_path=f"/{paths.pop()}") if len(paths) == 1 else row

    # --- the plan of one invoice

    def attempt(self, case: _Case, step: Callable[..., None], *what: Any) -> None:
        """Do one step for an invoice; what goes wrong with it stops no other."""
        try:
            step(case, *what)
        except PsageError as error:
            if error.stops_batch:
                raise
            self._fail(case, error)
        except Exception:  # one invoice's defect must not stop the others
            log.exception("invoice %s", case.productive_id)
            hint = "the log has the details; please report it"
            self._fail(
                case,
                PsageError(f"psage met something it does not expect with {case.label}", hint=hint),
            )

    def _fail(self, case: _Case, error: PsageError) -> None:
        case.is_failed = True
        if case.label not in error.message:
            error = error.reworded(f"{case.label}: {error.message}")
        self._report.failed.append(Failed(case.productive_id, case.number, error))
        if not self._desk.dry_run:
            self._desk.store.keep_waiting(
                case.productive_id, error.code, error.message, next_step=_step_after(error, case)
            )

    def _skip(self, case: _Case, one: Finding) -> None:
        message = f"{case.label}: {one.message}"
        self._report.skipped.append(
            Skipped(case.productive_id, case.number, one.code, message, one.next_step)
        )

    def plan(self, case: _Case) -> None:
        """Say in `case.steps` what is to be done; nothing is written."""
        document = case.document
        self._check_sent(case)
        self._check_copy(case)
        if document is None or document.is_draft:
            return
        if not shares.is_complete(document):
            raise AnswerIncomplete(
                f"what Sage lists as payments of {document.number} does not add up to what it says "
                "is paid, so nothing is changed",
                hint="look at the invoice in Sage; the next run tries again",
            )
        wanted, unclear = shares.of(document)
        case.wanted = wanted
        case.steps = steps = plan.plan(
            wanted,
            case.payments,
            self._desk.store.mirrored(case.productive_id),
            copies={link.sage_id for link in self._desk.store.links(case.productive_id)},
            sent=case.intents.keys(),
            begin=self._begin,
            write_off=self._desk.settings.settlement_discount == "write_off",
        )
        self._report.older += len(steps.older)
        steps.findings += unclear
        steps.moved = [one for one in steps.by_hand if self._desk.store.is_mirrored(one.id)]
        self._look_for_vanished(case)
        steps.removes = [pair for pair in steps.removes if self._is_proven(case, *pair)]
        self._removals += len(steps.removes)

    def _check_sent(self, case: _Case) -> None:
        """Raises OutcomeUnknown where a payment of an earlier run may still arrive."""
        there = {markers.in_note(one.note) for one in case.payments}
        for marker, intent in case.intents.items():
            # Negative where the clock was set back: such an intent is young.
            age = self._desk.productive.now() - intent.sent_at
            if marker not in there and age < _ARRIVES_WITHIN:
                raise OutcomeUnknown(
                    "a payment that was sent to Productive is not there yet, and may still arrive",
                    hint="nothing is sent twice; run the command again in a few minutes",
                )

    def _check_copy(self, case: _Case) -> None:
        """Report what is odd about the copies."""
        if case.document is None and case.link.sage_id not in self._deleted_copies():
            raise CopyGone(
                f"Sage does not find its copy {case.link.sage_number}, and has no record of its "
                "deletion either",
                hint="look for it in Sage; the next run tries again",
            )
        if case.document is not None and case.document.is_draft:
            self._skip(
                case,
                Finding(
                    "copy_is_draft",
                    f"its copy `{case.document.number}` in Sage is not booked, so nothing can be "
                    "paid",
                    f"release `{case.document.number}` in Sage, or delete it there",
                ),
            )
        twins = self._twins.get(case.productive_id, [])
        if case.document and len(same := doubles.alike(case.document, [case.document, *twins])) > 1:
            error = doubles.said_twice("it", same)
            self._skip(case, Finding(error.code, error.message, error.hint or ""))
        for older in case.older:
            if shares.of(older)[0]:
                self._skip(
                    case,
                    Finding(
                        "several_copies",
                        f"the latest copy is followed, but the older {older.number} has payments "
                        "in Sage too",
                        f"move the receipts of {older.number} to {case.link.sage_number} in Sage, "
                        f"and void {older.number}",
                    ),
                )

    def _deleted_copies(self) -> set[str]:
        """The invoices Sage has a record of having deleted, read where one is missing."""
        if self._gone is None:
            self._gone = self._desk.sage.deleted(INVOICE.path, datetime(2000, 1, 1, tzinfo=UTC))
        return self._gone

    def _look_for_vanished(self, case: _Case) -> None:
        """A payment the list does not show is only gone where Productive says so of itself."""
        gone, case.steps.vanished = case.steps.vanished, []
        for share, one in gone:
            payment = self._desk.productive.payment(one.payment_id)
            if payment is None:
                case.steps.vanished.append((share, one))
                case.steps.creates += [share] if share else []
            elif payment.invoice_id == case.productive_id:
                raise AnswerIncomplete(
                    f"Productive's list of payments lacks {one.payment_id}, which is there",
                    hint="the next run tries again",
                )
            else:
                case.steps.findings.append(
                    Finding(
                        "payment_moved",
                        f"somebody moved psage's payment {one.payment_id} to another invoice in "
                        "Productive",
                        f"move payment {one.payment_id} back in Productive, or remove it there",
                    )
                )

    def weigh(self, cases: list[_Case]) -> None:
        """Hold the plans against what Productive says of the invoices, and against the limit.

        Raises TooManyDeletes where the run would remove more than it may.
        """
        self._read_balances(cases)
        # A list that lacks an invoice proves nothing.
        missing = [c for c in cases if not (c.is_failed or c.balance or self._deleted_on(c))]
        self._read_balances(missing)
        for case in cases:
            if not case.is_failed:
                self.attempt(case, self._weigh)
            for finding in case.steps.findings:
                self._skip(case, finding)
        limit = self._order.max_deletes
        if self._removals <= limit:
            return
        ids = [case.productive_id for case in cases if case.steps.removes]
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

    def _read_balances(self, cases: list[_Case]) -> None:
        """What Productive says of the invoices; nothing of those it does not show."""
        balances, unreadable = self._desk.productive.balances([one.productive_id for one in cases])
        for case in cases:
            case.balance = balances.get(case.productive_id)
            if case.balance and case.balance.number:
                case.number = case.balance.number
            if error := unreadable.get(case.productive_id):
                self._fail(case, error)

    def _weigh(self, case: _Case) -> None:
        document, balance, steps = case.document, case.balance, case.steps
        gone = self._deleted_on(case)
        if not gone and (document is None or document.status == "VOID"):
            how = "deleted" if document is None else "voided"
            anew = f"`psage copy-invoice {case.productive_id} --create-new`"
            said = f"its copy was {how} in Sage; {anew} makes a new one"
            steps.findings.append(Finding("copy_gone", said, anew))
        if document is None:
            return
        if balance and not gone:
            plan.weigh(steps, document, case.wanted, case.payments, balance)
            return
        has_work = bool(steps.creates or steps.changes or case.intents)
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
                f"{case.link.sage_number} in Sage"
            )
            steps.findings.append(Finding("not_found", said, step))
        elif document.status != "VOID" and document.outstanding:
            steps.findings.append(findings.no_invoice(document, gone))

    def _deleted_on(self, case: _Case) -> date | None:
        """When an invoice was deleted in Productive, as far as this token may see that."""
        if case.balance:
            return case.balance.deleted_on
        if self._deletions is None:
            try:
                self._deletions = self._desk.productive.deleted_invoices()
            except Refused:
                self._deletions = {}
        return self._deletions.get(case.productive_id)

    # --- proof of a removal

    def _is_proven(self, case: _Case, payment: Payment, one: OwnPayment) -> bool:
        """Whether Sage positively says that what a payment stands for is gone."""
        document = self._witness(one.sage_id)
        if document is None:
            why = "its copy is gone from Sage, which proves nothing about the payment"
        elif document.is_draft:
            why = f"{document.number} in Sage is not booked, which proves nothing about the payment"
        elif not shares.is_complete(document):
            why = "what Sage says of its copy does not add up"
        elif _names(document, one.source_id):
            if shares.says_no_more(document, one):
                return True
            why = f"{document.number} in Sage still names its receipt"
        elif self._is_gone(one.source_id, one.sage_id):
            return True
        else:
            why = f"whether its receipt `{one.source_id}` is gone cannot be seen in Sage"
        self._skip(
            case,
            Finding(
                "not_proven",
                f"psage's payment {payment.id} of {money.said(payment.amount, case.currency)} in "
                f"Productive is not removed: {why}",
                f"look at {case.link.sage_number} and its receipts in Sage; if the receipt is "
                f"gone, remove payment {payment.id} in Productive by hand",
            ),
        )
        return False

    def _is_gone(self, source_id: str, sage_id: str) -> bool:
        """Whether a receipt or allocation is deleted, or settles the invoice no more."""
        if source_id in self._deleted:
            return True
        for path in (RECEIPTS, ALLOCATIONS):
            try:
                found = self._desk.sage.receipt(path, source_id)
            except RefusedBySage as error:
                if error.status != 403:
                    raise
                return False
            if found:
                return found.document_ids is not None and sage_id not in found.document_ids
        return True

    # --- the writes

    def apply(self, case: _Case) -> None:
        """Do what was planned for one invoice: remove, change, create."""
        steps, store = case.steps, self._desk.store
        if not self._desk.dry_run:
            for one in steps.found:
                store.mirror(one, case.intents.pop(one.marker, None))
            copied = {markers.in_note(payment.note) for payment in steps.by_hand}
            for share, one in steps.vanished:
                # Without its record a person's copy of a payment would pass for psage's own.
                if share is None or one.marker not in copied:
                    store.unmirror(one.marker)
            for intent in case.intents.values():
                store.close(intent, "lapsed", "never arrived")
        # A step that failed ends it, or a payment could stand beside the one it replaces.
        writes: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            *((self._remove, pair) for pair in steps.removes),
            *((self._change, change) for change in steps.changes),
            *((self._create, (share,)) for share in steps.creates),
        ]
        for write, what in writes:
            self.attempt(case, write, *what)
            if case.is_failed:
                return
        self._report.settled += 1
        if not self._desk.dry_run:
            store.stop_waiting(case.productive_id)

    def _check_gone(self, case: _Case, payment: Payment) -> None:
        """Raises ServiceUnavailable where Productive still has what it did not plainly remove."""
        held, _ = self._desk.productive.payments([case.productive_id])
        if any(row.id == payment.id for row in held[case.productive_id]):
            raise ServiceUnavailable(
                f"Productive did not remove payment {payment.id}, nor said why",
                hint="the next run tries again; if it stays so, remove it in Productive by hand",
            )

    def _remove(self, case: _Case, payment: Payment, one: OwnPayment) -> None:
        if not self._desk.dry_run:
            # One that is said to be gone is forgotten when the next run does not see it either.
            if self._desk.productive.delete_payment(payment.id):
                self._desk.store.unmirror(one.marker)
            else:
                self._check_gone(case, payment)
        self._report.deleted.append(
            Change(
                case.productive_id,
                case.number,
                case.link.sage_number,
                payment.id,
                one.source_id,
                payment.written_off_on or payment.paid_on,
                payment.amount,
                case.currency,
                one.is_discount,
            )
        )

    def _change(
        self, case: _Case, payment: Payment, share: ReceiptShare, changes: Mapping[str, Any]
    ) -> None:
        if not self._desk.dry_run:
            self._desk.productive.change_payment(payment.id, self._attributes(case, changes))
            self._desk.store.mirror(
                OwnPayment(share.marker, case.productive_id, payment.id, share.reference)
            )
        self._report.updated.append(_changed(case, share, payment.id))

    def _create(self, case: _Case, share: ReceiptShare) -> None:
        payment_id = None
        if not self._desk.dry_run:
            on = "written_off_on" if share.is_discount else "paid_on"
            values = {"amount": share.amount, on: share.on, "note": shares.note_of(share)}
            attributes = {"invoice_id": int(case.productive_id), **self._attributes(case, values)}
            payment_id = self._send(case, share, attributes)
            case.made[share.marker] = payment_id
        self._report.created.append(_changed(case, share, payment_id))

    def _send(self, case: _Case, share: ReceiptShare, attributes: Mapping[str, Any]) -> str:
        """POST a payment once: no key makes it repeatable, so an unknown end stays open."""
        desk = self._desk
        intent = desk.store.begin(
            "payment",
            share.marker,
            desk.sage.business_id,
            payload=attributes,
            context={"productive_id": case.productive_id},
            at=desk.productive.now(),
        )
        try:
            payment_id = desk.productive.create_payment(attributes)
        except OutcomeUnknown:
            raise
        except PsageError as error:
            desk.store.close(intent, "refused", error.message)
            raise
        one = OwnPayment(share.marker, case.productive_id, payment_id, share.reference)
        try:
            desk.store.mirror(one, intent)
        except PsageError as error:
            raise OutcomeUnknown(
                f"payment {payment_id} is in Productive, but could not be recorded: "
                f"{error.message}",
                hint=f"{error.hint}; the next run finds it by its note",
            ) from error
        return payment_id

    def undouble(self, cases: list[_Case]) -> None:
        """Look whether another machine created the same payments meanwhile.

        Of two with one marker the lower id stays, and who made the other removes it.
        """
        ids = [case.productive_id for case in cases]
        payments, _ = self._desk.productive.payments(ids) if ids else ({}, {})
        for case in cases:
            known = {one.id for one in case.payments}
            for payment in payments[case.productive_id]:  # the oldest first
                marker = markers.in_note(payment.note) or ""
                own = case.made.get(marker, payment.id)
                if payment.id not in known and int(payment.id) < int(own):
                    self.attempt(case, self._give_way, case.made.pop(marker), payment)

    def _give_way(self, _case: _Case, own: str, other: Payment) -> None:
        self._desk.productive.delete_payment(own)
        self._desk.store.mirror(shares.as_mirrored(other, markers.in_note(other.note) or ""))
        self._report.created = [one for one in self._report.created if one.payment_id != own]

    def _attributes(self, case: _Case, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values as Productive writes them: whole minor units, plain dates."""
        sent = dict(values)
        if "amount" in sent:
            sent["amount"] = self._desk.productive.minor(sent["amount"], case.currency)
        return {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in sent.items()
        }

    # --- the end

    def remember(self, cases: list[_Case]) -> None:
        """Keep what somebody should look at until a run finds it settled."""
        report, store = self._report, self._desk.store
        said = {(one.productive_id, one.code, one.message) for one in store.reports()}
        report.skipped = [
            replace(one, is_new=(one.productive_id, one.code, one.message) not in said)
            for one in report.skipped
        ]
        now: dict[str, list[Finding]] = {}
        for one in report.skipped:
            found = Finding(one.code, one.message, one.next_step)
            now.setdefault(one.productive_id, []).append(found)
        before = {productive_id for productive_id, _, _ in said}
        for case in cases:
            # Written only where something is or was to be said: a quiet run writes nothing.
            if case.productive_id in before | now.keys() and not (
                case.is_failed or self._desk.dry_run
            ):
                present = now.get(case.productive_id, [])
                present = [*present, *living.kept(self._desk, case.productive_id)]
                store.replace_reports(case.productive_id, present)

    def move_marks(self) -> None:
        """Remember how far this run got: never past its start, and only where nothing is missed."""
        if self._order.invoices or self._desk.dry_run:
            return
        until = self._report.until.isoformat()
        if self._is_full:
            marks = {UNTIL: until, FULL: until, BEGIN: self._begin.isoformat()}
            self._desk.store.set_cursors(marks)
        elif self._cursor and self._report.since:
            needed = datetime.fromisoformat(self._cursor) - OVERLAP
            if self._report.since <= needed:
                self._desk.store.set_cursors({UNTIL: until})


def _changed(case: _Case, share: ReceiptShare, payment_id: str | None) -> Change:
    return Change(
        case.productive_id,
        case.number,
        case.link.sage_number,
        payment_id,
        share.source_id,
        share.on,
        share.amount,
        case.currency,
        share.is_discount,
    )


def _step_after(error: PsageError, case: _Case) -> str:
    """What settles an invoice that failed; empty where the next run will by itself."""
    again = f"`psage sync-payments --invoice {case.productive_id}`"
    if error.hint:
        return error.hint.replace("run the command again", f"run {again}")
    if isinstance(error, Refused):
        return f"look at the invoice and its payments in Productive, then run {again}"
    return ""


def _names(document: SageDocument, source_id: str) -> bool:
    rows: Iterable[Settlement] = document.settlements or ()
    return any(source_id in (row.receipt_id, row.allocation_id) for row in rows)


def _by_number(productive_id: str) -> tuple[int, str]:
    return (int(productive_id) if productive_id.isdecimal() else 0, productive_id)
