"""The questions of the wizard, as data, and what the services know that they need."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any

from productive_sage import tax
from productive_sage.desk import Desk
from productive_sage.errors import PsageError, Refused, Temporary
from productive_sage.errors.notices import Notice
from productive_sage.settings import SETTINGS, Settings
from productive_sage.settings.declared import Setting, Word
from productive_sage.setup.choices import (
    Key,
    Option,
    account_option,
    called,
    folded,
    item_option,
    rate_option,
)
from productive_sage.text import one_line


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the walk, and everything that may be answered to it."""

    key: Key
    topic: str
    title: str
    why: str
    options: tuple[Option, ...] = ()
    search: Callable[[str], Sequence[Option]] | None = None
    """What a typed text finds; without it only the options as they are listed count."""
    how: str = ""
    """What may be typed to be searched for."""
    searching: str = ""
    """Said before a search that takes a moment."""
    nothing: str = ""
    """Said of a text that finds nothing."""
    reads: Callable[[Any], str] = str
    """How a value reads that is not among the options."""
    unset: str = "not set"
    is_needed: bool = False
    may_clear: bool = False
    may_skip: bool = False
    only_if: tuple[Key, Any] | None = None
    """Asked where another question has this answer."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What the services know that the questions need, read before the first of them."""

    desk: Desk
    """For items, which are searched for one by one."""
    accounts: tuple[Option, ...]
    business: str = ""
    tax_rates: tuple[Option, ...] = ()
    service_types: Mapping[str, str] = field(default_factory=dict)
    copied: int = 0
    """Invoices that have a copy."""
    items: dict[str, str] = field(default_factory=dict)
    """How the items met so far read, by their reference."""


def read_accounts(desk: Desk) -> ServiceFacts:
    """The ledger accounts for sales, by code; raises Refused where Sage shows none."""
    accounts = [account for account in desk.ledger_accounts() if account.is_for_sales]
    if not accounts:
        raise Refused(
            "Sage shows no ledger account for sales",
            hint="make one visible in sales in Sage under Chart of Accounts",
        )
    accounts.sort(key=lambda account: (account.nominal_code.zfill(12), account.name))
    return ServiceFacts(desk, tuple(map(account_option, accounts)))


def read_facts(desk: Desk, *, copied: int, today: date) -> ServiceFacts:
    """Everything the whole walk needs. Raises what the services say."""
    sage = desk.sage
    business, _ = sage.country(sage.business_id)
    accounts = read_accounts(desk).accounts
    rates = [rate for rate in desk.tax_rates(anew=True) if tax.is_valid(rate, today)]
    in_order = sorted(desk.service_types().items(), key=lambda entry: entry[1].casefold())
    return ServiceFacts(
        desk,
        accounts,
        one_line(business),
        tuple(rate_option(rate, rates, today) for rate in rates),
        dict(in_order),
        copied,
    )


_TOPICS = ("numbering", "pdf", "payments", "ledger", "items", "tax", "copies")
"""The steps of the walk; another follows."""


def questions(settings: Settings, facts: ServiceFacts) -> tuple[Question, ...]:
    """Every question, in the order they are put."""
    found = [q for one in SETTINGS.values() if one.asked for q in _of(one, settings, facts)]
    place = {topic: n for n, topic in enumerate(_TOPICS)}
    return tuple(sorted(found, key=lambda q: place.get(q.topic, len(place))))


def _of(setting: Setting, settings: Settings, facts: ServiceFacts) -> Iterator[Question]:
    """The question about a setting; one for each service type about their items."""
    asked = setting.asked
    if asked is None:
        return
    plain = Question(
        key=(setting.key,),
        topic=asked.topic,
        title=asked.title,
        why=asked.why,
        options=tuple(_worded(setting, word, settings, facts) for word in setting.words),
        only_if=asked.only_if and ((asked.only_if[0],), asked.only_if[1]),
    )
    if setting.holds == "items":
        yield from (_about_item(plain, facts, type_id) for type_id in facts.service_types)
    elif setting.holds == "account":
        yield _about_account(plain, facts.accounts)
    elif setting.holds == "tax rate":
        yield _about_tax_rate(plain, facts.tax_rates)
    elif setting.holds == "date":
        yield _about_day(plain)
    else:
        yield plain


def ledger_question(settings: Settings, facts: ServiceFacts) -> Question:
    """The one setting that must have a value."""
    return next(_of(SETTINGS["default_ledger_account"], settings, facts))


def _worded(setting: Setting, word: Word, settings: Settings, facts: ServiceFacts) -> Option:
    """A word that is allowed, or yes or no by its letter too."""
    typed = (word.label, word.label[0]) if word.value in (True, False) else (word.value, word.label)
    warning = None
    if setting.key == "numbering":
        warning = numbering_notice(settings.numbering, word.value, facts.copied)
    return Option(
        word.value,
        word.label,
        folded(*typed),
        meaning=word.meaning,
        warning=warning.message if warning else "",
    )


def _dated(typed: str) -> list[Option]:
    with suppress(ValueError):
        day = date.fromisoformat(typed)
        if day.isoformat() == typed:  # no other way of writing it
            return [Option(day, typed, (typed,))]
    return []


def _about_day(plain: Question) -> Question:
    return replace(
        plain,
        search=_dated,
        how="a date like 2026-01-31",
        nothing="is not a date: write the year first, like 2026-01-31.",
        is_needed=True,
    )


def _about_account(plain: Question, accounts: tuple[Option, ...]) -> Question:
    return replace(
        plain,
        options=accounts,
        search=partial(_matching, accounts),
        how="part of the name or code to search",
        nothing="is in no name or code of a sales account.",
        reads=lambda value: f"{value}, which is no sales account in Sage: choose another",
        is_needed=True,
    )


def _about_item(plain: Question, facts: ServiceFacts, type_id: str) -> Question:
    name = facts.service_types[type_id]
    is_alone = list(facts.service_types.values()).count(name) == 1
    shown = name if name and is_alone else f"{name} ({type_id})".strip()
    is_first = type_id == next(iter(facts.service_types))
    return replace(
        plain,
        key=("items", type_id),
        title=f"{plain.title} {shown}",
        why=plain.why if is_first else "",
        search=partial(_active_items, facts, name),
        how="part of an item's name or code to search",
        searching="Searching in Sage ...",
        nothing="is in no name or code of an active item in Sage.",
        reads=partial(_item_words, facts),
        unset="no item",
        may_clear=True,
        may_skip=True,
    )


def _about_tax_rate(plain: Question, rates: tuple[Option, ...]) -> Question:
    return replace(
        plain,
        options=rates,
        search=partial(_matching, rates),
        how="part of the name to search",
        nothing="is in no name of a tax rate in Sage.",
        reads=partial(_rate_words, rates),
        unset="none, so no tax",
        may_clear=True,
    )


def _rate_words(rates: Sequence[Option], written: str) -> str:
    """How a rate in the settings reads that is written there in words."""
    found = called(rates, written)
    if len(found) == 1:
        return found[0].label
    return f"{written}, which is no tax rate in Sage now: copies are refused"


def _matching(options: Sequence[Option], typed: str) -> list[Option]:
    """Those called just so, else those with the text in them."""
    word = typed.casefold()
    return called(options, word) or [o for o in options if word in o.label.casefold()]


def _active_items(facts: ServiceFacts, service_type: str, typed: str) -> list[Option]:
    found = [item_option(item) for item in facts.desk.search_items(typed) if item.is_active]
    facts.items.update({option.value: option.label for option in found})
    return [
        Option(o.value, o.label, o.words, f"{service_type} -> {o.name}")
        for o in called(found, typed) or found
    ]


def _item_words(facts: ServiceFacts, reference: str) -> str:
    """How a linked item reads: by name, or why its lines would be refused."""
    if reference not in facts.items:
        try:
            item = facts.desk.read_item(reference)
        except PsageError as error:
            if ends_the_walk(error):
                raise
            return reference
        words = item_option(item).label if item else f"{reference}, which is not in Sage"
        if item is None or not item.is_active:
            words += ", which is not active in Sage" if item else ""
            words += ": such lines are refused"
        facts.items[reference] = words
    return facts.items[reference]


def ends_the_walk(error: PsageError) -> bool:
    """A dead sign-in does; a bad moment, or a right that is missing, must not cost all answers."""
    return error.stops_batch and not isinstance(error, Temporary)


def numbering_notice(before: str, after: str, copied: int) -> Notice | None:
    """What it means that somebody else numbers now that `copied` invoices are in Sage."""
    rules = {
        "productive": "The next copies take Productive's numbers; where Sage has given such a "
        "number already, the copy is refused until the number is changed in Productive.",
        "sage": "The next copies take Sage's next number, which may run into numbers that came "
        "from Productive: check the next number in Sage's settings first.",
    }
    if before == after or not copied:
        return None
    said = "1 invoice is copied already and keeps its number. "
    if copied > 1:
        said = f"{copied} invoices are copied already and keep their numbers. "
    return Notice("numbering_changed", said + rules[after])
