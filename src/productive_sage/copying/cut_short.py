"""What an interrupt leaves without an outcome although it was sent: told from psage's records."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from decimal import Decimal

from productive_sage.copying.records import Outcome
from productive_sage.desk import Desk
from productive_sage.errors import OutcomeUnknown
from productive_sage.errors.notices import Notice
from productive_sage.store import CopyIntent

_ACTIONS = {"update": "updated", "release": "released"}
_LEFT = Notice("left_to_do", "what follows it is left to the next run")


def completed(desk: Desk, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """The outcomes of a run, and where it is interrupted those of what it had sent by then."""
    mark, told = desk.store.intents.mark(), set[str]()
    try:
        for outcome in outcomes:
            told.add(outcome.productive_id)
            yield outcome
    except KeyboardInterrupt:
        yield from _left(desk, mark, told)
        raise


def _left(desk: Desk, mark: int, told: Collection[str]) -> Iterator[Outcome]:
    """What became of documents sent since a mark (see `Intents.mark`) and not told of yet."""
    intents = desk.store.intents
    for intent in intents.copies_since(mark, is_open=False):
        if intent.source_id not in told:
            yield _done(desk, intent)
    for intent in intents.copies_since(mark, is_open=True):
        if intent.source_id not in told:
            yield _unknown(intent)


def _done(desk: Desk, intent: CopyIntent) -> Outcome:
    facts, link = intent.facts, desk.store.copies.latest(intent.source_id)
    net, tax, total = (
        Decimal(facts.expected[name]) if name in facts.expected else None
        for name in ("net", "tax", "total")
    )
    return Outcome(
        _ACTIONS.get(intent.kind, "created"),
        intent.source_id,
        number=facts.number,
        sage_id=link.sage_id if link else None,
        sage_number=link.sage_number if link else None,
        net=net,
        tax=tax,
        total=total,
        currency=facts.currency or None,
        notices=(_LEFT,),
        kind=intent.document_kind,
        is_draft=bool(facts.expected.get("is_draft")),
    )


def _unknown(intent: CopyIntent) -> Outcome:
    number, kind = intent.facts.number, intent.document_kind
    outcome = Outcome("unknown", intent.source_id, number=number, kind=kind)
    error = OutcomeUnknown(
        f"{outcome.label} was sent to Sage, and its answer was not waited for",
        hint="nothing will be sent twice; run the command again and psage finds out",
    )
    return replace(outcome, error=error)
