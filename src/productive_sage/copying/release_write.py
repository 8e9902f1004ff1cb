"""The recorded write that books a draft: looked at before it is sent again, and never sent twice.

Sage takes no key for it, and needs none: a document that is booked is no draft any more.
"""

from collections.abc import Sequence

from productive_sage.copying import drafts, in_sage, results, send, write_once
from productive_sage.copying.records import Outcome
from productive_sage.copying.versions import Written
from productive_sage.desk import Desk
from productive_sage.errors import RefusedBySage
from productive_sage.errors.notices import Notice
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import CopyFacts, CopyIntent, Link


def number_kept(link: Link) -> str | None:
    """The number that a draft was made to get when it is booked; None where Sage gives one."""
    written = Written.from_text(link.written) if link.written else None
    return written.said.document.get("number") if written and link.number_sent else None


def begin(desk: Desk, invoice: Invoice, link: Link, present: SageDocument) -> CopyIntent:
    """Commit that a draft is about to be booked as it stands in Sage."""
    facts = CopyFacts(
        copy=link.copy_number,
        number=invoice.number,
        currency=present.currency,
        kind=link.kind.code,
        sage_id=link.sage_id,
        credited_sage_id=link.credited_sage_id,
        expected=drafts.as_it_is(present, number_kept(link)),
    )
    return desk.store.intents.begin(
        "release",
        invoice.id,
        desk.sage.business_id,
        payload={"id": link.sage_id},
        facts=facts,
        at=desk.sage.now(),
    )


def deliver(
    desk: Desk, intent: CopyIntent, link: Link, *, is_first: bool = True
) -> tuple[Link, SageDocument]:
    """Send a release and record it; see `write_once.deliver` for what is raised.

    Raises CopyIsDraft where Sage says yes and leaves it a draft all the same.
    """
    kind = intent.document_kind

    def look() -> SageDocument | None:
        found = desk.sage.documents.one(kind, link.sage_id)
        return None if found is None or found.is_draft else found

    try:
        document = write_once.deliver(
            desk.store,
            intent,
            send=lambda _, record: desk.sage.documents.release(kind, link.sage_id, record),
            look=look,
            is_first=is_first,
        )
    except RefusedBySage as error:
        desk.doubt_facts()
        number = number_kept(link)
        if number and any(kind.number in field for field in error.fields):
            raise send.number_taken(number, None) from None
        error.hint = (
            "mend in Sage what it names, or release the draft there; the next run does what is "
            "left to do after it"
        )
        raise
    if document.is_draft:  # its answer may still say what it was
        document = look() or document
    if document.is_draft:
        what = f"Sage took the release, but {link.kind.name} `{intent.facts.number}`"
        desk.store.intents.end(intent, "refused", f"{what} is still a draft")
        document.check_booked(what)
    return record(desk, intent, link, document), document


def record(desk: Desk, intent: CopyIntent, link: Link, document: SageDocument) -> Link:
    """Record that a draft is booked."""
    return desk.store.intents.finish_release(
        intent,
        link,
        sage_number=document.number,
        pending=link.pending - {"release"} | {"released"},
    )


def concluded(
    desk: Desk,
    intent: CopyIntent,
    link: Link,
    document: SageDocument,
    invoice: Invoice | None,
    notices: Sequence[Notice] = (),
) -> Outcome:
    """Check that it is booked as it stood there, and do what waited for that."""
    return results.conclude(
        desk, "released", intent, link, document, invoice=invoice, notices=notices
    )


def recover(
    desk: Desk,
    intent: CopyIntent,
    invoice: Invoice | None,
    *,
    is_old: bool,
    may_be_under_way: bool,
    notice: Notice,
) -> Outcome | None:
    """Finish a release that an earlier run began; None where it is not sent any more.

    `is_old`: somebody has to say it again.
    """
    links = desk.store.copies.of(intent.source_id)
    link = next((one for one in links if one.sage_id == intent.facts.sage_id), None)
    present = desk.sage.documents.known(intent.document_kind, intent.facts.sage_id)
    if link is None or present is None or in_sage.gone(present) or (present.is_draft and is_old):
        desk.store.intents.end(intent, "lapsed", "not sent again")
        return None
    if present.is_draft:
        link, present = deliver(desk, intent, link, is_first=not may_be_under_way)
    else:
        link = record(desk, intent, link, present)
    return concluded(desk, intent, link, present, invoice, [notice])
