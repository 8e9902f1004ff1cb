"""A second living copy: the earlier one counts in Sage until a person voids it there.

It was asked for, or two machines made it at once. Either is kept for `status` until it is void.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from productive_sage import markers
from productive_sage.copying import in_sage
from productive_sage.copying.records import Outcome
from productive_sage.copying.recover import SEARCH_LAG
from productive_sage.desk import Desk
from productive_sage.errors import PsageError
from productive_sage.errors.notices import Notice
from productive_sage.kept import Finding
from productive_sage.kinds import INVOICE, Kind
from productive_sage.store import Link, Waiting

CODE = "second_copy"
TWICE = "copied_twice"


def said(desk: Desk, outcome: Outcome) -> Outcome:
    """The outcome of a new copy, with a notice where an earlier one counts; kept for `status`."""
    is_second = len(desk.store.copies.of(outcome.productive_id)) > 1
    if desk.dry_run or outcome.kind is not INVOICE or not is_second:
        return outcome
    finding = _found(desk, outcome.productive_id, outcome.label)
    _keep(desk, outcome.productive_id, finding, CODE)
    if not finding:
        return outcome
    said = f"{finding.message.removeprefix(f'{outcome.label}: ')}; {finding.next_step}"
    return replace(outcome, notices=(*outcome.notices, Notice(CODE, said)))


def keep(desk: Desk, outcome: Outcome) -> None:
    """Keep for `status` what another machine made as well, where that is what went wrong."""
    error = outcome.error
    if error and error.code == TWICE:
        finding = Finding(TWICE, error.message, error.hint or "")
        _keep(desk, outcome.productive_id, finding, TWICE)


def look_again(desk: Desk) -> None:
    """Forget what was said of other copies that are void by now."""
    for one in desk.store.errands.findings():
        if one.code == CODE and not _found(desk, one.productive_id, ""):
            _keep(desk, one.productive_id, None, CODE)
        if one.code == TWICE and not _may_be_twice(desk, one):
            _keep(desk, one.productive_id, None, TWICE)


def kept(desk: Desk, productive_id: str) -> list[Finding]:
    """What was said of other copies of an invoice and still holds, as far as is known."""
    return [
        Finding(one.code, one.message, one.next_step)
        for one in desk.store.errands.findings()
        if one.productive_id == productive_id and one.code in (CODE, TWICE)
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
    return document is not None and not in_sage.gone(document)


def _may_be_twice(desk: Desk, said: Waiting) -> bool:
    """Whether two documents with one marker live, of any copy, as far as can be seen now."""
    link = desk.store.copies.latest(said.productive_id)
    if link is None or datetime.now(UTC) - said.since < SEARCH_LAG:
        return True
    same = dict[tuple[str, int], list[str]]()
    try:
        search = markers.of_copy(link.productive_id, 1)  # which finds those of later copies too
        for key, reference in desk.sage.documents.with_marker(link.kind, search):
            marker = markers.in_reference(reference)
            if marker and marker[0] == link.productive_id:
                same.setdefault(marker, []).append(key)
        return any(_living(desk, link.kind, keys) > 1 for keys in same.values() if len(keys) > 1)
    except PsageError:
        return True


def _living(desk: Desk, kind: Kind, sage_ids: Sequence[str]) -> int:
    """How many of these documents count."""
    documents = [desk.sage.documents.known(kind, key) for key in sage_ids]
    return sum(not in_sage.gone(document) for document in documents)


def _keep(desk: Desk, productive_id: str, finding: Finding | None, code: str) -> None:
    others = [
        Finding(one.code, one.message, one.next_step)
        for one in desk.store.errands.findings()
        if one.productive_id == productive_id and one.code != code
    ]
    desk.store.errands.replace_findings(productive_id, [*others, *([finding] if finding else [])])
