"""Which document of Sage is the copy of which one of Productive. Pure."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from productive_sage.kinds import INVOICE
from productive_sage.productive.records import Entry
from productive_sage.reconcile.sides import Booked, Copied, Pair

_NEVER = datetime.max.replace(tzinfo=UTC)


def pair_up(
    billed: Sequence[Entry],
    booked: Sequence[Booked],
    copies: Sequence[Copied],
    sent: Collection[str] = (),
) -> list[Pair]:
    """A pair for each document of Productive, each copy psage knows, and each marker in Sage.

    And for what was `sent` and never answered for, by Productive id. Drafts of Productive that were
    never copied are none. Of several copies the one counts that is in the books and that psage
    knows, the latest of these; a further one that was credited in full counts no more.
    """
    entries = {one.id: one for one in billed}
    documents = {one.id: one for one in booked}
    owner = {one.sage_id: one.productive_id for one in copies}
    records: dict[str, list[Copied]] = {}
    for record in sorted(copies, key=lambda one: one.copy_number):
        records.setdefault(record.productive_id, []).append(record)
    found: dict[str, list[Booked]] = {}
    for one in booked:
        marker = one.marker
        # A record comes first: people edit references.
        if key := owner.get(one.id) or (marker[0] if marker else ""):
            found.setdefault(key, []).append(one)
    keys = dict.fromkeys([*entries, *records, *found, *sent])
    pairs = (
        _pair(key, entries.get(key), records.get(key, []), found.get(key, []), documents)
        for key in keys
    )
    return [
        one
        for one in pairs
        if one.copied or one.booked or one.is_due_in_books or one.productive_id in sent
    ]


def _pair(
    key: str,
    entry: Entry | None,
    records: Sequence[Copied],
    found: Sequence[Booked],
    documents: dict[str, Booked],
) -> Pair:
    known = {one.sage_id: one for one in records if one.sage_id in documents}

    def rank(one: Booked) -> tuple[bool, bool, bool, bool, int, float]:
        record, marker = known.get(one.id), one.marker
        copy = record.copy_number if record else marker[1] if marker else 0
        made = one.document.made_at or _NEVER
        is_known, is_owed = record is not None, not one.is_credited
        return (not one.is_void, one.is_booked, is_known, is_owed, copy, -made.timestamp())

    best = max(found, key=rank, default=None)
    others = sorted(
        (one for one in found if one.is_booked and one is not best and not one.is_credited),
        key=lambda one: (one.document.made_at or _NEVER, one.id),
    )
    latest = records[-1] if records else None
    copied = known.get(best.id) if best else latest
    if best and best.is_void and latest:
        copied = copied or latest
    kind = next((one.kind for one in (entry, best, latest) if one), INVOICE)
    if best is None or not best.is_booked:
        return Pair(key, kind, entry, best, copied)
    drafts = tuple(one for one in found if one.id in known and one.document.is_draft)
    return Pair(key, kind, entry, best, copied, tuple(others), drafts)


def repeated(billed: Iterable[Entry]) -> set[str]:
    """The numbers that name several documents."""
    seen, twice = set[str](), set[str]()
    for one in billed:
        number = one.number.strip().casefold()
        (twice if number in seen else seen).add(number)
    return twice
