"""A second living copy: the earlier one counts in Sage until a person voids it there."""

from dataclasses import replace

from productive_sage.basics import INVOICE, Finding, Notice
from productive_sage.copying import drafts
from productive_sage.copying.records import Outcome
from productive_sage.desk import Desk
from productive_sage.errors import PsageError
from productive_sage.store import Link

CODE = "second_copy"


def said(desk: Desk, outcome: Outcome) -> Outcome:
    """The outcome of a new copy, with a notice where an earlier one counts; kept for `status`."""
    is_second = len(desk.store.copies.of(outcome.productive_id)) > 1
    if desk.dry_run or outcome.kind is not INVOICE or not is_second:
        return outcome
    finding = _found(desk, outcome.productive_id, outcome.label)
    _keep(desk, outcome.productive_id, finding)
    if not finding:
        return outcome
    said = f"{finding.message.removeprefix(f'{outcome.label}: ')}; {finding.next_step}"
    return replace(outcome, notices=(*outcome.notices, Notice(CODE, said)))


def look_again(desk: Desk) -> None:
    """Forget what was said of earlier copies that are void by now."""
    for one in desk.store.errands.findings():
        if one.code == CODE and not _found(desk, one.productive_id, ""):
            _keep(desk, one.productive_id, None)


def kept(desk: Desk, productive_id: str) -> list[Finding]:
    """What was said of earlier copies of an invoice and still holds, as far as is known."""
    return [
        Finding(one.code, one.message, one.next_step)
        for one in desk.store.errands.findings()
        if one.productive_id == productive_id and one.code == CODE
    ]


def _found(desk: Desk, productive_id: str, label: str) -> Finding | None:
    links = desk.store.copies.of(productive_id)
    living = [link for link in links if _counts(desk, link)]
    if len(living) < 2:
        return None
    *earlier, latest = living
    numbers = " and ".join(link.sage_number for link in earlier)
    verb = "count" if len(earlier) > 1 else "counts"
    return Finding(
        CODE,
        f"{label}: {numbers} still {verb} in Sage beside {latest.sage_number}, so the invoice is "
        "in the books more than once",
        f"void {numbers} in Sage, unless both are meant",
    )


def _counts(desk: Desk, link: Link) -> bool:
    """Whether a copy is in the books; one that cannot be read now is taken to be."""
    try:
        document = desk.sage.documents.known(link.kind, link.sage_id)
    except PsageError:
        return True
    return document is not None and not drafts.gone(document)


def _keep(desk: Desk, productive_id: str, finding: Finding | None) -> None:
    others = [
        Finding(one.code, one.message, one.next_step)
        for one in desk.store.errands.findings()
        if one.productive_id == productive_id and one.code != CODE
    ]
    desk.store.errands.replace_findings(productive_id, [*others, *([finding] if finding else [])])
