"""sync-payments: Productive's payments of copied invoices end up as Sage says, one way.

Read this file from `sync` down: which invoices may have changed, what is to be done to each
(planned whole before anything is written), then the writes, one by one. A payment is only removed
with two witnesses: the invoice in Sage, complete and without it, and the receipt itself gone or
settling something else. psage changes and removes only what it wrote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from productive_sage import naming
from productive_sage.copying import second_copies
from productive_sage.copying.elsewhere import marked_meanwhile, note_marks
from productive_sage.desk import Desk
from productive_sage.errors import PaymentSyncOff, Refused
from productive_sage.kinds import INVOICE
from productive_sage.payments import unknown_copies
from productive_sage.payments.changed import Changed
from productive_sage.payments.compare import Comparison
from productive_sage.payments.evidence import Evidence
from productive_sage.payments.match import Matched
from productive_sage.payments.order import OVERLAP, Reach, SyncOrder
from productive_sage.payments.papers import Papers
from productive_sage.payments.plan import PaymentPlan, Proofs, decide, undecided
from productive_sage.payments.records import Synced
from productive_sage.payments.results import Results, nothing_copied
from productive_sage.payments.writes import Writes
from productive_sage.productive.records import Balance
from productive_sage.settings import Settings

__all__ = ["BEGIN", "FULL", "OVERLAP", "UNTIL", "SyncOrder", "check", "sync"]

_FULL_EVERY = timedelta(days=7)
UNTIL, FULL, BEGIN = "payments until", "payments full", "payments from"
"""The cursors: until when was read, when all was compared, and from which day on."""


def check(settings: Settings) -> None:
    """Raises PaymentSyncOff unless payments may be synchronised."""
    if not settings.sync_payments:
        raise PaymentSyncOff


def sync(order: SyncOrder, desk: Desk, synced: Synced) -> None:
    """Bring Productive's payments in line with Sage; `synced.until` is when the run began.

    The settings are checked by then. Raises `too_many_deletes` before anything is written, and
    whatever stops every invoice: no sign-in, no network, another business. The cursors are not
    moved then.
    """
    desk.check_business()
    if not desk.dry_run:
        second_copies.look_again(desk)
    naming.check(order.invoices, desk.productive.organization_id)
    reach = _reach(order, desk, synced)
    results, evidence = Results(desk, synced), Evidence(desk, synced)
    found = Changed(order, reach, desk, evidence, synced, results).papers()
    if not (desk.store.copies.count(INVOICE) or unknown_copies.is_said(synced)):
        nothing_copied(synced)
    synced.checked = len(found)
    comparison = Comparison(desk, evidence, synced, results, begin=reach.begin)
    compared: dict[str, tuple[Matched, Proofs]] = {}
    for n, papers in enumerate(found):
        desk.step("Comparing payments", n, len(found))
        if not results.has_failed(papers) and (known := results.attempt(papers, comparison.of)):
            compared[papers.productive_id] = known
    found, plans = _planned(found, compared, desk, evidence, results)
    _check_limit(order, plans)
    writes = Writes(desk, synced, results)
    for n, papers in enumerate(found):
        desk.step("Bringing payments to Productive", n, len(found))
        if not results.has_failed(papers):
            results.attempt(papers, writes.apply, plans[papers.productive_id])
    writes.undouble(found)
    results.remember(found, is_full=reach.is_full)
    _move_cursors(order, reach, desk, synced)


def _reach(order: SyncOrder, desk: Desk, synced: Synced) -> Reach:
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
    was_ahead = max(compared, cursor) > synced.until
    is_old = synced.until - compared > _FULL_EVERY
    return Reach(was_ahead or is_old or begin < date.fromisoformat(first), cursor, begin)


def _planned(
    found: Sequence[Papers],
    compared: Mapping[str, tuple[Matched, Proofs]],
    desk: Desk,
    evidence: Evidence,
    results: Results,
) -> tuple[list[Papers], dict[str, PaymentPlan]]:
    """The plan of each invoice that was compared, and the papers with Productive's numbers."""
    asked = [one for one in found if one.productive_id in compared]
    balances = _balances(asked, desk, evidence, results)
    if not desk.dry_run:
        named = {key: one.export_id for key, one in balances.items()}
        note_marks(desk, marked_meanwhile(desk, named))
    numbered = [_numbered(papers, balances) for papers in found]
    plans: dict[str, PaymentPlan] = {}
    for papers in numbered:
        if papers.productive_id not in compared:
            continue
        known, decided = compared[papers.productive_id], None
        if not results.has_failed(papers):
            balance = balances.get(papers.productive_id)
            decided = results.attempt(papers, _plan, *known, balance, evidence)
        plans[papers.productive_id] = decided = decided or undecided(*known)
        for finding in decided.findings:
            results.skip(papers, finding)
        if decided.problem:
            results.fail(papers, decided.problem)
    return numbered, plans


def _plan(
    papers: Papers, matched: Matched, proofs: Proofs, balance: Balance | None, evidence: Evidence
) -> PaymentPlan:
    return decide(
        matched,
        proofs,
        balance,
        document=papers.document,
        productive_id=papers.productive_id,
        sage_number=papers.link.sage_number,
        deleted_on=evidence.deleted_on(papers.productive_id, balance),
        sent=papers.intents.keys(),
    )


def _balances(
    asked: Sequence[Papers], desk: Desk, evidence: Evidence, results: Results
) -> dict[str, Balance]:
    """What Productive says of the invoices; nothing of those it does not show."""
    balances: dict[str, Balance] = {}

    def read(some: Sequence[Papers]) -> None:
        known, unreadable = desk.productive.payments.balances([one.productive_id for one in some])
        balances.update(known)
        for papers in some:
            if error := unreadable.get(papers.productive_id):
                results.fail(_numbered(papers, balances), error)

    def is_missing(papers: Papers) -> bool:
        is_known = results.has_failed(papers) or papers.productive_id in balances
        return not is_known and not evidence.deleted_on(papers.productive_id, None)

    read(asked)
    # A list that lacks an invoice proves nothing.
    read([one for one in asked if is_missing(one)])
    return balances


def _numbered(papers: Papers, balances: Mapping[str, Balance]) -> Papers:
    """The papers with the number Productive has for the invoice today."""
    balance = balances.get(papers.productive_id)
    return replace(papers, number=balance.number) if balance and balance.number else papers


def _check_limit(order: SyncOrder, plans: Mapping[str, PaymentPlan]) -> None:
    """Raises `too_many_deletes` where the run would remove more than it may."""
    removals = sum(len(one.removes) for one in plans.values())
    if removals <= order.max_deletes:
        return
    words = ["--full"] if order.full else []
    words += [f"--since {order.since}"] if order.since else []
    words += [one.typed for one in order.invoices]
    words.append(f"--max-deletes {removals}")
    raise Refused(
        f"this run would remove {removals} payments from Productive, and at most "
        f"{order.max_deletes} are allowed; nothing was changed",
        code="too_many_deletes",
        hint="look in Sage whether these receipts were meant to go; if so: "
        f"`psage sync-payments {' '.join(words)}`",
        details={
            "invoices": [key for key, one in plans.items() if one.removes],
            "removals": removals,
        },
    )


def _move_cursors(order: SyncOrder, reach: Reach, desk: Desk, synced: Synced) -> None:
    """Remember how far this run got: never past its start, and only where nothing is missed."""
    if order.invoices or desk.dry_run:
        return
    until = synced.until.isoformat()
    if reach.is_full:
        desk.store.cursors.set({UNTIL: until, FULL: until, BEGIN: reach.begin.isoformat()})
    elif reach.cursor and synced.since and synced.since <= reach.cursor - OVERLAP:
        desk.store.cursors.set({UNTIL: until})
