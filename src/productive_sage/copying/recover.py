"""What earlier runs left open: writes whose outcome nobody learned, and what follows a copy.

A new document or customer is looked for by its marker first. Found: recorded. Not found: sent again
with the same key while Sage surely remembers it; an older one never arrived, and is closed. A
change has neither: what Sage holds says whether it arrived, and only a young one is sent again.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from productive_sage import naming
from productive_sage.copying import (
    after,
    allocations,
    doubles,
    in_sage,
    new_customers,
    release_write,
    results,
    send,
    versions,
)
from productive_sage.copying.records import Outcome
from productive_sage.desk import Desk
from productive_sage.errors import (
    CopyIsDraft,
    OutcomeUnknown,
    PsageError,
    Refused,
    ServiceUnavailable,
    TotalsDiffer,
    UpdateLapsed,
)
from productive_sage.errors.defects import Defect, defects_told
from productive_sage.errors.notices import Notice
from productive_sage.kinds import INVOICE
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import AnyIntent, ContactIntent, CopyIntent, Link

log = logging.getLogger("psage.recover")

_KEY_LIFE = timedelta(days=1)
"""Sage keeps a key for days; psage relies on one."""
SEARCH_LAG = timedelta(minutes=5)
"""A search may miss a fresh document; after so long, not found is not there."""
_TRIED = timedelta(days=7)
"""So long is tried, at each run, what follows a copy; an outage is over by then."""
_RECOVERED = Notice("settled", "begun by an earlier run and completed now")


def recovered(desk: Desk, *, asked: Callable[[str, str], bool]) -> Iterator[Outcome]:
    """Finish what can be finished; `Outcome.recovered` says what of the earlier run that was.

    Documents that are not `asked` for now, by id and number, are held against Productive here.

    Raises only what stops every document: no sign-in, no network.
    """
    unfinished = {(link.productive_id, link.copy_number) for link in desk.store.copies.unfinished()}
    for contact in desk.store.intents.open_contacts():
        _recover_contact(desk, contact)
    for intent in desk.store.intents.open_copies():
        if outcome := _attempt(desk, intent, asked):
            if outcome.sage_id:  # and so followed up
                unfinished.discard((intent.source_id, intent.facts.copy))
            yield outcome
    waiting = _still_drafts(desk)
    for link in desk.store.copies.unfinished():
        if link.sage_id in waiting or (link.productive_id, link.copy_number) not in unfinished:
            continue
        if outcome := _complete(desk, link):
            yield _within_reason(desk, link, outcome)


def _age(desk: Desk, intent: AnyIntent) -> timedelta:
    """By Sage's clock, once it has answered; negative where that was set back: so it is young."""
    return desk.sage.now() - intent.sent_at


def _recover_contact(desk: Desk, intent: ContactIntent) -> None:
    """Refused: the copy that needs it plans afresh. Unknown: begin() guards the company."""
    try:
        if found := new_customers.find_made(desk, intent):
            desk.store.intents.finish_contact(intent, found)
        elif _age(desk, intent) < _KEY_LIFE:
            new_customers.deliver_contact(desk, intent, is_first=_age(desk, intent) > SEARCH_LAG)
        else:
            desk.store.intents.end(intent, "lapsed", "never arrived")
    except (Refused, OutcomeUnknown) as error:
        log.warning("intent %s: %s", intent.id, error)


def _attempt(desk: Desk, intent: CopyIntent, asked: Callable[[str, str], bool]) -> Outcome | None:
    number = intent.facts.number
    try:
        what = f"while recovering {intent.document_kind.name} `{number}`"
        with defects_told(f"intent {intent.id}", what):
            found, _ = desk.productive.invoices.read(ids=[intent.source_id])
            invoice = found[0] if found else None
            if intent.kind == "release":
                age = _age(desk, intent)
                outcome = release_write.recover(
                    desk,
                    intent,
                    invoice,
                    is_old=age > _KEY_LIFE,
                    may_be_under_way=age < SEARCH_LAG,
                    notice=_RECOVERED,
                )
            elif intent.kind == "update":
                outcome = _recover_update(desk, intent, invoice)
            else:
                outcome = _recover_create(desk, intent, invoice)
            if outcome and invoice and not asked(invoice.id, invoice.number):
                outcome = _against_productive(outcome, invoice)
    except PsageError as error:
        if error.stops_batch:
            raise
        if isinstance(error, Defect):
            error = OutcomeUnknown(error.message, hint=error.hint)
        outcome = results.failed(intent.document_kind, intent.source_id, number, error)
    new = "create-new" if intent.facts.asked_new else "create"
    kind = intent.kind if intent.kind in ("update", "release") else new
    return replace(outcome, recovered=kind) if outcome else None


def _against_productive(outcome: Outcome, invoice: Invoice) -> Outcome:
    """The outcome, with an error where the invoice was changed since what is in Sage was begun."""
    net = abs(invoice.net)
    if outcome.error or outcome.net in (None, net):
        return outcome
    command = f"psage {invoice.kind.command} {invoice.typed} --update-existing"
    error = TotalsDiffer(
        f"{invoice.label} is in Sage as {outcome.sage_number}, as begun before, with a net of "
        f"{outcome.net} {outcome.currency}; in Productive it is {net} {invoice.currency} now",
        hint=f"`{command}` brings it up to date",
    )
    return replace(outcome, action="differs", error=error)


def _recover_create(desk: Desk, intent: CopyIntent, invoice: Invoice | None) -> Outcome | None:
    document = send.find_made(desk, intent)
    if document is None and invoice and _is_copied_elsewhere(desk, intent, invoice):
        desk.store.intents.end(intent, "lapsed", "another machine made it")
        return None
    document = document or send.find_fresh(desk, intent)
    if document:
        link = send.record(desk, intent, document)
        if in_sage.gone(document):
            raise send.made_and_gone(intent, link, document)
    elif invoice and _age(desk, intent) < _KEY_LIFE and _may_go(desk, intent, invoice):
        is_first = (
            _age(desk, intent) > SEARCH_LAG
        )  # not found after so long: the first never arrived
        answer = send.deliver_create(desk, intent, is_first=is_first)
        link, document = send.record_answer(desk, intent, answer)
    elif _age(desk, intent) > SEARCH_LAG:
        desk.store.intents.end(intent, "lapsed", "never arrived")
        return None
    else:
        raise OutcomeUnknown(
            "it can no longer be sent as it was, and Sage does not show its copy yet",
            hint="run the command again in a few minutes",
        )
    return results.conclude(
        desk, "created", intent, link, document, invoice=invoice, notices=[_RECOVERED]
    )


def _is_copied_elsewhere(desk: Desk, intent: CopyIntent, invoice: Invoice) -> bool:
    """Whether Productive names a copy of another machine, which a search may not find yet."""
    found = doubles.made_elsewhere(desk, intent.document_kind, invoice)
    return found is not None and found[0] >= intent.facts.copy


def _may_go(desk: Desk, intent: CopyIntent, invoice: Invoice) -> bool:
    """Whether what is begun would still be begun today."""
    credited = intent.facts.credited_sage_id
    if not invoice.is_finalised or invoice.kind is not intent.document_kind:
        return False
    return credited is None or not in_sage.gone(desk.sage.documents.known(INVOICE, str(credited)))


def _recover_update(desk: Desk, intent: CopyIntent, invoice: Invoice | None) -> Outcome | None:
    links = desk.store.copies.of(intent.source_id)
    link = next((i for i in links if i.copy_number == intent.facts.copy), None)
    present = desk.sage.documents.known(intent.document_kind, intent.facts.sage_id)
    is_changeable = present and present.status != "VOID"
    if present and present.is_draft:
        is_changeable = bool(link and link.waits_for_release)
    if link is None or present is None or not is_changeable:
        desk.store.intents.end(intent, "lapsed", "not sent again")
        return None
    held = versions.held_in(present)
    before = versions.version(intent.facts.before or {"document": {}, "lines": []})
    has_arrived = versions.has_arrived(intent.document_kind, intent.payload, before, held)
    if not has_arrived and (held != before or _age(desk, intent) > _KEY_LIFE):
        desk.store.intents.end(intent, "lapsed", "not sent again")
        name = naming.to_type(intent.facts.number, link.productive_id)
        command = f"psage {link.kind.command} {name} --update-existing"
        raise UpdateLapsed(
            f"the update of {present.number} begun by an earlier run did not arrive, and is not "
            "sent any more, since the copy was changed in Sage meanwhile or a day has passed",
            hint=f"`{command}` compares both sides anew",
        )
    if has_arrived:
        link, document = send.record_update(desk, intent, link, present), present
    elif reason := allocations.locked_because(link, present):
        desk.store.intents.end(intent, "refused", reason)
        raise Refused(
            f"the update of {present.number} begun by an earlier run did not arrive, and it "
            f"cannot be sent any more: {reason}",
            code="copy_locked",
            hint="either remove the receipt or allocation in Sage and run this again, or "
            "enter the difference in Sage by hand",
        )
    else:
        link, document = send.deliver_update(desk, intent, link, present)
    return results.conclude(
        desk, "updated", intent, link, document, invoice=invoice, notices=[_RECOVERED]
    )


def _complete(desk: Desk, link: Link) -> Outcome | None:
    """Do what is left to do for a copy that is in Sage; what cannot be done is told."""
    if link.business_id != desk.sage.business_id:
        return None
    code = "not_completed"
    try:
        with defects_told(f"link {link.id}"):
            return _completed(desk, link)
    except (Refused, ServiceUnavailable) as error:
        code = error.code if isinstance(error, CopyIsDraft) else code
        why = error.message
    except Defect as error:
        why = f"{error.message}; the log has the details"
    said = f"what an earlier run left to do after the copy cannot be done: {why}"
    return Outcome(
        "unchanged",
        link.productive_id,
        sage_id=link.sage_id,
        sage_number=link.sage_number,
        notices=(Notice(code, said),),
        kind=link.kind,
    )


def _within_reason(desk: Desk, link: Link, outcome: Outcome) -> Outcome:
    """Give up what has failed for a week; a credit note's money is tried until it is done.

    What waits until somebody releases a draft has not failed.
    """
    (link,) = [one for one in desk.store.copies.of(link.productive_id) if one.id == link.id]
    if link.waits_for_release or any(one.code == CopyIsDraft.code for one in outcome.notices):
        return outcome
    name, now = f"left {link.id}", datetime.now(UTC)
    since = desk.store.cursors.get(name)
    left = link.pending
    if not left or not since:
        if left or since:
            desk.store.cursors.set({name: now.isoformat() if left else ""})
        return outcome
    if now - datetime.fromisoformat(since) < _TRIED:
        return outcome
    desk.store.copies.change(link, pending=left & {"allocate"})
    name = naming.to_type(outcome.number, link.productive_id)
    said = (
        f"what was left to do after the copy has failed for {_TRIED.days} days and is not tried "
        f"again; where it is the PDF, `psage {link.kind.command} {name} "
        "--update-existing` tries once more"
    )
    return replace(outcome, notices=(*outcome.notices, Notice("given_up", said)))


def _completed(desk: Desk, link: Link) -> Outcome | None:
    found, unreadable = desk.productive.invoices.read(ids=[link.productive_id])
    if link.productive_id in unreadable:
        raise unreadable[link.productive_id]
    document = desk.sage.documents.known(link.kind, link.sage_id)
    if document is None or document.status == "VOID":
        desk.store.copies.change(link, pending=frozenset())  # there is nothing left to do it to
        return _draft_gone(link, document) if link.waits_for_release else None
    if not link.waits_for_release:
        document.check_booked("it")
    is_released = link.waits_for_release and not document.is_draft
    if document.number != link.sage_number:  # released since
        desk.store.copies.change(link, sage_number=document.number)
    invoice = found[0] if found else None
    done = after.finish(desk, link, invoice, document, again=True)
    if invoice is None:
        desk.store.copies.change(
            link, pending=link.pending & {"allocate"} if done.is_left else frozenset()
        )
        return None
    # A run that was killed before it could say what it did says so now.
    untold = next((word for word in after.UNTOLD if word in link.pending), None)
    notice = Notice("completed", "what an earlier run left to do after the copy is done")
    return Outcome(
        untold.removesuffix("-new") if untold else "unchanged",
        link.productive_id,
        number=invoice.number,
        **results.shown(document),
        pdf=done.pdf,
        notices=(
            *([_released(document)] if is_released else []),
            *([_RECOVERED] if untold else [] if done.is_left else [notice]),
            *done.notices,
        ),
        kind=link.kind,
        allocated=results.allocated(link, document, done),
        recovered=after.UNTOLD[untold] if untold else "" if done.is_left else "rest",
    )


# --- drafts that wait to be released


def _still_drafts(desk: Desk) -> set[str]:
    """The copies that are drafts in Sage as they were, and have nothing else left to do.

    One list for each kind, however many wait; what is not in it was released or deleted there.
    """
    links = [one for one in desk.store.copies.drafts() if one.business_id == desk.sage.business_id]
    there = {
        one for kind in {link.kind for link in links} for one in desk.sage.documents.drafts(kind)
    }
    due = {"mark", *after.UNTOLD}
    return {one.sage_id for one in links if one.sage_id in there and not due & one.pending}


def _released(document: SageDocument) -> Notice:
    return Notice("released", f"its draft was released in Sage, as {document.number}")


def _draft_gone(link: Link, document: SageDocument | None) -> Outcome:
    gone = in_sage.gone(document)
    command = f"psage {link.kind.command} {link.productive_id} --create-new"
    said = f"its draft was {gone} in Sage; `{command}` makes another one"
    return Outcome(
        "unchanged",
        link.productive_id,
        sage_id=link.sage_id,
        notices=(Notice("draft_gone", said),),
        kind=link.kind,
    )
