"""What the shell offers behind a word: read from psage's own files, without asking anybody."""

from pathlib import Path

from productive_sage.ledger import Ledger

Offers = list[tuple[str, str]]
"""What would be typed, and what that is."""

_AT_MOST = 200
"""A longer list helps nobody; the newest documents come first."""


def documents(path: Path, kind: str, begun: str, *, by_number: bool) -> Offers:
    """The documents of a kind (a code, or empty for both) that have a copy, by Productive's id.

    `by_number`: by the numbers they have in Productive instead. `path` is the ledger's.
    """
    if not path.exists():
        return []
    with Ledger(path, read_only=True) as ledger:
        copied = ledger.names(kind)
    offers: dict[str, str] = {}
    for key, number, sage_number in copied:
        word = number if by_number else key
        if word and word.startswith(begun):
            offers.setdefault(word, f"{number or key}, {sage_number} in Sage")
    return [*offers.items()][:_AT_MOST]


def known(path: Path, what: str, begun: str) -> Offers:
    """The `ledger accounts` or `tax rates` that psage last read from Sage, by code or id."""
    if not path.exists():
        return []
    with Ledger(path, read_only=True) as ledger:
        rows = ledger.last_cached(what) or []
    return [(str(word), str(name)) for word, name, *_ in rows if str(word).startswith(begun)]
