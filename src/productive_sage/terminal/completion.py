"""What the shell offers behind a word: read from psage's own files, without asking anybody."""

from datetime import date
from pathlib import Path
from typing import Any

from productive_sage import tax
from productive_sage.sage.records import TAX_RATES, TaxRate
from productive_sage.store import Store

Offers = list[tuple[str, str]]
"""What would be typed, and what that is."""

_AT_MOST = 200
"""A longer list helps nobody; the newest documents come first."""


def documents(path: Path, kind: str, begun: str, *, by_number: bool) -> Offers:
    """The documents of a kind (a code, or empty for both) that have a copy, by Productive's id.

    `by_number`: by the numbers they have in Productive instead. `path` is the store's.
    """
    if not path.exists():
        return []
    with Store(path, read_only=True) as store:
        copied = store.copies.names(kind)
    offers: dict[str, str] = {}
    for key, number, sage_number in copied:
        word = number if by_number else key
        if word and word.startswith(begun):
            offers.setdefault(word, f"{number or key}, {sage_number} in Sage")
    return [*offers.items()][:_AT_MOST]


def accounts(path: Path, begun: str) -> Offers:
    """The ledger accounts for sales that psage last read from Sage, by code."""
    return [
        (code, name) for code, name in _last_read(path, "ledger accounts") if code.startswith(begun)
    ]


def tax_rates(path: Path, begun: str, today: date) -> Offers:
    """The tax rates that psage last read from Sage, by id; those that may be used today.

    One may begin with what people see of them, too.
    """
    rates = map(TaxRate.from_row, _last_read(path, TAX_RATES))
    return [
        (rate.id, rate.name)
        for rate in rates
        if any(word.casefold().startswith(begun.casefold()) for word in (rate.id, rate.name))
        and tax.is_valid(rate, today)
    ]


def _last_read(path: Path, what: str) -> list[Any]:
    if not path.exists():
        return []
    with Store(path, read_only=True) as store:
        return store.facts.newest(what) or []
