"""What a setting may be: the keys, and what Sage has to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from productive_sage import money, tax
from productive_sage.sage.records import Item, LedgerAccount, TaxRate
from productive_sage.text import one_line

Key = tuple[str, ...]
"""A key of the settings: (`numbering`,), or (`items`, a service type's id)."""
Changes = dict[Key, tuple[Any, str]]
"""What `config.edit` takes: the value, None to remove it, and its name for people."""


@dataclass(frozen=True, slots=True)
class Option:
    """A possible answer: what is written for it, and how it reads."""

    value: Any
    label: str
    words: tuple[str, ...] = ()
    """What may be typed for it, in lower case: an id before a code before a name."""
    name: str = ""
    """What stands beside an id in the file."""
    meaning: str = ""
    """Said behind the label where it stands in a list."""
    warning: str = ""
    """Said to somebody who chooses it."""


def called(options: Sequence[Option], typed: str) -> list[Option]:
    """Those called just so: by an id before by a code before by a name."""
    word = typed.strip().casefold()
    for place in range(max((len(option.words) for option in options), default=0)):
        if found := [option for option in options if word in option.words[place : place + 1]]:
            return found
    return []


def account_option(account: LedgerAccount) -> Option:
    """A ledger account, called by its id, its code or its name."""
    full = f"{account.name} ({account.nominal_code})"
    words = folded(account.id, account.nominal_code, account.name, full)
    return Option(account.id, account.shown, words, account.shown)


def rate_option(rate: TaxRate, rates: Sequence[TaxRate], today: date) -> Option:
    """A tax rate, called by its id, its name, its code or its percentage."""
    name, percent = one_line(tax.label(rate, rates)), money.plain(tax.percent_on(rate, today))
    words = folded(rate.id, rate.name, rate.code, f"{percent}%", percent)
    return Option(rate.id, name, words, name)


def item_option(item: Item) -> Option:
    """An item, called by its id, its code or its name."""
    code, name = one_line(item.code), one_line(item.name)
    both = ", ".join(dict.fromkeys(filter(None, (code, name))))
    return Option(
        item.reference,
        f"{both} ({item.kind.replace('_', ' ')})",
        folded(item.id, item.code, item.name),
        item.shown,
    )


def folded(*words: str) -> tuple[str, ...]:
    """Words as they are compared with what is typed."""
    return tuple(word.strip().casefold() for word in words)
