"""What became of a document: refused, or in Sage, followed up and held against its plan."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from productive_sage.copying import after, allocations, drafts
from productive_sage.copying.records import CustomerResult, Outcome
from productive_sage.desk import Desk
from productive_sage.errors import (
    OutcomeUnknown,
    PsageError,
    Refused,
    ServiceRefused,
    TotalsDiffer,
)
from productive_sage.errors.defects import defects_told
from productive_sage.errors.notices import Notice
from productive_sage.kinds import Kind
from productive_sage.productive.records import Invoice
from productive_sage.sage.records import SageDocument
from productive_sage.store import CopyIntent, Link

_T = TypeVar("_T")


def failed(kind: Kind, productive_id: str, number: str, error: PsageError) -> Outcome:
    """The outcome of a document that did not get through, its error naming the document."""
    name = f"{kind.name} `{number or productive_id}`"
    if isinstance(error, ServiceRefused):
        error = error.reworded(f"{error.service} refused {name} ({error.what}): {error.words}")
    elif name not in error.message:
        error = error.reworded(f"{name}: {error.message}")
    if isinstance(error, OutcomeUnknown):
        action = "unknown"
    else:
        action = "refused" if isinstance(error, Refused) else "failed"
    return Outcome(action, productive_id, number=number, error=error, kind=kind)


def stopping(outcome: Outcome) -> PsageError | None:
    """What keeps the documents after this one from being tried too, in words that name none."""
    error = outcome.error
    if error is None or not error.stops_batch:
        return None
    return error.reworded(error.message.removeprefix(f"{outcome.label}: "))


def not_tried(kind: Kind, productive_id: str, number: str, stopped_by: PsageError) -> Outcome:
    """The outcome of a document whose turn did not come, since something stopped them all."""
    one = Outcome("failed", productive_id, number=number, kind=kind)
    said = f"{one.label} was not tried: {stopped_by.message}"
    return replace(one, error=stopped_by.reworded(said))


def guarded(invoice: Invoice, step: Callable[[], _T]) -> _T | Outcome:
    """What a step gives, or the outcome of a document that did not get through it."""
    try:
        with defects_told(f"invoice {invoice.id}", f"with {invoice.label}"):
            return step()
    except PsageError as error:
        return failed(invoice.kind, invoice.id, invoice.number, error)


def conclude(
    desk: Desk,
    action: str,
    intent: CopyIntent,
    link: Link,
    document: SageDocument,
    *,
    invoice: Invoice | None,
    customer: CustomerResult | None = None,
    notices: Sequence[Notice] = (),
) -> Outcome:
    """Check Sage's answer against the plan, follow up, and say what became of the invoice.

    `invoice` is None where Productive no longer has it.
    """
    again = intent.kind in ("update", "release")
    done = after.finish(desk, link, invoice, document, again=again)
    outcome = Outcome(
        action,
        link.productive_id,
        number=invoice.number if invoice else intent.facts.number,
        **{**shown(document), **({"customer": customer} if customer else {})},
        pdf=done.pdf,
        notices=(*notices, *done.notices),
        kind=link.kind,
        allocated=allocated(link, document, done),
    )
    differ = drafts.differences(intent.facts.expected, document)
    if not differ:
        return outcome
    desk.doubt_facts()
    return replace(
        outcome,
        action="differs",
        error=TotalsDiffer(
            f"the copy {document.number} is in Sage, but not as planned: "
            + figures(differ, "planned", "Sage has"),
            hint="release it in Sage, then run this again: psage does what is left to do then"
            if document.is_draft and not intent.facts.expected.get("is_draft")
            else "look at the copy in Sage; psage has recorded it and will not copy again",
            details={
                name: {"planned": planned, "found": found}
                for name, (planned, found) in differ.items()
            },
        ),
    )


def allocated(link: Link, document: SageDocument, done: after.Done) -> Decimal | None:
    """What of a credit note is set against its invoice; None for an invoice."""
    if not link.credited_sage_id:
        return None
    return allocations.total(link, document) if done.allocated is None else done.allocated


def figures(differ: Mapping[str, tuple[str, str]], first: str, second: str) -> str:
    """Both figures of everything that differs, in words."""
    return "; ".join(f"{name} {first} {a}, {second} {b}" for name, (a, b) in differ.items())


def shown(document: SageDocument | None) -> dict[str, Any]:
    """What every outcome says of the Sage document."""
    if document is None:
        return {}
    return {
        "is_draft": document.is_draft,
        "sage_id": document.id,
        "sage_number": document.number,
        "sage_url": document.url,
        "customer": CustomerResult(document.contact_id, document.contact_name, created=False),
        "net": document.net,
        "tax": document.tax,
        "total": document.total,
        "currency": document.currency,
    }
