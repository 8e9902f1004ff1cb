"""What of the settings (`[tax.map]`) stands for the tax of a line in Productive. Pure.

A key is the name of a tax in Productive or its percentage, `none` stands for lines without a tax.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import combinations

from productive_sage import money
from productive_sage.productive.records import InvoiceLine
from productive_sage.tax import folded

NONE = "none"
_PERCENTAGE = re.compile(r"(\d+(?:[.,]\d+)?)%?", re.ASCII)


def has_no_tax(line: InvoiceLine) -> bool:
    """Whether Productive says that a line has no tax; one of 0 % is a tax."""
    return line.tax_parts == () and not line.tax_name


def percent(line: InvoiceLine) -> Decimal | None:
    """The percentage of a line's tax; None where Productive does not show it."""
    return None if line.tax_parts is None else sum(line.tax_parts, money.ZERO)


def key_of(table: Mapping[str, str], line: InvoiceLine) -> str | None:
    """The key that means a line's tax, by its name before its percentage; None where none does."""
    if has_no_tax(line):
        return next((key for key in table if stands_for_none(key)), None)
    by_name = (key for key in table if line.tax_name and folded(key) == folded(line.tax_name))
    rate = percent(line)
    by_percentage = (key for key in table if rate is not None and percentage(key) == rate)
    return next(by_name, None) or next(by_percentage, None)


def key_like(table: Mapping[str, str], typed: str) -> str:
    """The key of the table that says the same as what is typed, else that itself."""
    if typed in table:
        return typed
    return next((key for key in table if _is_same(key, typed)), typed)


def contradiction(table: Mapping[str, str]) -> tuple[str, str] | None:
    """Two keys for one tax that give it two rates, where there are any."""
    pairs = combinations(table, 2)
    differ = (pair for pair in pairs if folded(table[pair[0]]) != folded(table[pair[1]]))
    return next((pair for pair in differ if _is_same(*pair)), None)


def stands_for_none(key: str) -> bool:
    """Whether a key is for lines without a tax."""
    return folded(key) in ("", NONE)


def percentage(key: str) -> Decimal | None:
    """The percentage that a key says; None for a name."""
    found = _PERCENTAGE.fullmatch("".join(key.split()))
    return Decimal(found[1].replace(",", ".")) if found else None


def _is_same(key: str, other: str) -> bool:
    rate = percentage(key)
    return folded(key) == folded(other) or (rate is not None and rate == percentage(other))


def shown(line: InvoiceLine) -> str:
    """A line's tax as people know it."""
    if has_no_tax(line):
        return "no tax"
    rate = percent(line)
    number = "" if rate is None else f"{money.plain(rate)} %"
    if line.tax_name:
        return f"`{line.tax_name}`" + (f" ({number})" if number else "")
    return number or "a tax that Productive does not show"


def key_for(line: InvoiceLine) -> str:
    """The key that maps a line's tax, to be written."""
    if has_no_tax(line):
        return NONE
    rate = percent(line)
    return line.tax_name or (money.plain(rate) if rate is not None else "PERCENTAGE")


def as_charged(line: InvoiceLine) -> str:
    """A line's tax as it is kept, to tell whether it has changed in Productive since."""
    rate = percent(line)
    return f"{line.tax_name}|{'' if rate is None else money.plain(rate)}"
