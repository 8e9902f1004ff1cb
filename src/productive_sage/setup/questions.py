"""The questions of the wizard, as data, and what the services know that they need."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

from productive_sage import tax
from productive_sage.desk import Desk
from productive_sage.errors import PsageError, Refused, Temporary
from productive_sage.models import Notice, Settings
from productive_sage.setup.choices import (
    DISCOUNT,
    LEDGER,
    NUMBERING,
    PDF,
    SYNC,
    SYNC_FROM,
    TAX_RATE,
    WRITE_BACK,
    Key,
    Option,
    account_option,
    called,
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
class Facts:
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


def read_accounts(desk: Desk) -> Facts:
    """The ledger accounts for sales, by code; raises Refused where Sage shows none."""
    accounts = [account for account in desk.ledger_accounts() if account.is_for_sales]
    if not accounts:
        raise Refused(
            "Sage shows no ledger account for sales",
            hint="make one visible in sales in Sage under Chart of Accounts",
        )
    accounts.sort(key=lambda account: (account.nominal_code.zfill(12), account.name))
    return Facts(desk, tuple(map(account_option, accounts)))


def read_facts(desk: Desk, *, copied: int, today: date) -> Facts:
    """Everything the whole walk needs. Raises what the services say."""
    sage = desk.sage
    business, _ = sage.country(sage.business_id)
    accounts = read_accounts(desk).accounts
    rates = [rate for rate in desk.tax_rates(anew=True) if tax.is_valid(rate, today)]
    in_order = sorted(desk.service_types().items(), key=lambda entry: entry[1].casefold())
    return Facts(
        desk,
        accounts,
        one_line(business),
        tuple(rate_option(rate, rates, today) for rate in rates),
        dict(in_order),
        copied,
    )


def questions(settings: Settings, facts: Facts) -> tuple[Question, ...]:
    """Every question, in the order they are put."""
    return (
        _numbering_question(settings, facts.copied),
        _WRITE_BACK,
        _PDF,
        _SYNC,
        _SYNC_FROM,
        _DISCOUNT,
        ledger_question(facts.accounts),
        *map(partial(_item_question, facts), facts.service_types),
        _tax_rate_question(facts.tax_rates),
    )


def _yes_or_no(yes: str, no: str) -> tuple[Option, Option]:
    return (
        Option(value=True, label="yes", words=("yes", "y"), meaning=yes),
        Option(value=False, label="no", words=("no", "n"), meaning=no),
    )


def _numbering_question(settings: Settings, copied: int) -> Question:
    def option(value: str, meaning: str) -> Option:
        notice = numbering_notice(settings.numbering, value, copied)
        warning = notice.message if notice else ""
        return Option(value, value.title(), (value,), meaning=meaning, warning=warning)

    return Question(
        key=NUMBERING,
        topic="numbering",
        title="Invoice numbers",
        why="Who gives the copy of an invoice its number in Sage.",
        options=(
            option("sage", "the copy gets the next number there"),
            option("productive", "the copy keeps the invoice's number"),
        ),
    )


_WRITE_BACK = Question(
    key=WRITE_BACK,
    topic="numbering",
    title="Sage's number in Productive",
    why="Sage's number can replace the invoice's number in Productive, so that both are the same.",
    options=_yes_or_no("write it back to Productive", "Productive keeps its own number"),
    only_if=(NUMBERING, "sage"),
)
_PDF = Question(
    key=PDF,
    topic="pdf",
    title="PDF",
    why="Who makes the PDF of an invoice; the other service gets it as well.",
    options=(
        Option("productive", "Productive", ("productive",), meaning="attached to the copy in Sage"),
        Option("sage", "Sage", ("sage",), meaning="it becomes the invoice's PDF in Productive"),
    ),
)
_SYNC = Question(
    key=SYNC,
    topic="payments",
    title="Payment sync",
    why="Payments booked in Sage can be brought to the invoices in Productive.",
    options=_yes_or_no("whenever `psage sync-payments` runs", "payments stay in Sage"),
)


def _dated(typed: str) -> list[Option]:
    with suppress(ValueError):
        day = date.fromisoformat(typed)
        if day.isoformat() == typed:  # no other way of writing it
            return [Option(day, typed, (typed,))]
    return []


_SYNC_FROM = Question(
    key=SYNC_FROM,
    topic="payments",
    title="Payments since",
    why="Payments of earlier days are left alone: give the day you begin to use the sync.",
    search=_dated,
    how="a date like 2026-01-31",
    nothing="is not a date: write the year first, like 2026-01-31.",
    is_needed=True,
    only_if=(SYNC, True),
)
_DISCOUNT = Question(
    key=DISCOUNT,
    topic="payments",
    title="Settlement discounts",
    why="A discount for paying early is never received, so it stays open in Productive.",
    options=(
        Option("warn", "warn", ("warn",), meaning="psage names the invoice and you decide"),
        Option(
            "write_off",
            "write off",
            ("write_off", "write off"),
            meaning="it becomes a write-off there",
        ),
    ),
    only_if=(SYNC, True),
)


def ledger_question(accounts: tuple[Option, ...]) -> Question:
    """The one setting that must have a value."""
    return Question(
        key=LEDGER,
        topic="ledger",
        title="Default ledger account",
        why="Where sales are booked, unless a line's service type is linked to a Sage item.",
        options=accounts,
        search=partial(_matching, accounts),
        how="part of the name or code to search",
        nothing="is in no name or code of a sales account.",
        reads=lambda value: f"{value}, which is no sales account in Sage: choose another",
        is_needed=True,
    )


def _item_question(facts: Facts, type_id: str) -> Question:
    name = facts.service_types[type_id]
    is_alone = list(facts.service_types.values()).count(name) == 1
    shown = name if name and is_alone else f"{name} ({type_id})".strip()
    is_first = type_id == next(iter(facts.service_types))
    return Question(
        key=("items", type_id),
        topic="items",
        title=f"Service type {shown}",
        why="Its lines are booked as a Sage item, to that item's ledger account; without an "
        "item, to the default ledger account."
        if is_first
        else "",
        search=partial(_active_items, facts, name),
        how="part of an item's name or code to search",
        searching="Searching in Sage ...",
        nothing="is in no name or code of an active item in Sage.",
        reads=partial(_item_words, facts),
        unset="no item",
        may_clear=True,
        may_skip=True,
    )


def _tax_rate_question(rates: tuple[Option, ...]) -> Question:
    return Question(
        key=TAX_RATE,
        topic="tax",
        title="Default tax rate",
        why="The tax of a copy, unless you name another rate; Productive's tax is not copied.",
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


def _active_items(facts: Facts, service_type: str, typed: str) -> list[Option]:
    found = [item_option(item) for item in facts.desk.search_items(typed) if item.is_active]
    facts.items.update({option.value: option.label for option in found})
    return [
        Option(o.value, o.label, o.words, f"{service_type} -> {o.name}")
        for o in called(found, typed) or found
    ]


def _item_words(facts: Facts, reference: str) -> str:
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
