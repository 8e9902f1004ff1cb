"""configure: what was said by flags or asked for one by one, checked before any of it is written.

Both ways end in the same `Changes`, which `config.edit` writes in one step, or not at all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Any

from productive_sage import config, money, tax
from productive_sage.desk import Desk
from productive_sage.errors import (
    ConfigInvalid,
    InputNeeded,
    Locked,
    PsageError,
    Refused,
    TaxRateInvalid,
    Temporary,
    UsageProblem,
)
from productive_sage.models import Endpoints, Item, LedgerAccount, Notice, Settings, TaxRate
from productive_sage.naming import did_you_mean
from productive_sage.sage.client import ITEM_LISTS
from productive_sage.text import one_line

Key = tuple[str, ...]
"""A key of the settings: (`numbering`,), or (`items`, a service type's id)."""
Changes = dict[Key, tuple[Any, str]]
"""What `config.edit` takes: the value, None to remove it, and its name for people."""

NUMBERING, LEDGER, TAX_RATE = ("numbering",), ("default_ledger_account",), ("default_tax_rate",)
WRITE_BACK, PDF = ("write_number_back",), ("pdf",)
SYNC, SYNC_FROM, DISCOUNT = ("sync_payments",), ("sync_payments_from",), ("settlement_discount",)


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


# --- answers given as flags


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said on the command line; None was not said, empty removes."""

    numbering: str | None = None
    write_number_back: bool | None = None
    pdf: str | None = None
    default_ledger: str | None = None
    default_tax_rate: str | None = None
    map_items: tuple[str, ...] = ()
    sync_payments: bool | None = None
    sync_payments_from: date | None = None
    settlement_discount: str | None = None
    minor_digits: tuple[str, ...] = ()

    def are_empty(self) -> bool:
        """Whether nothing was said at all."""
        return self == Answers()


def configure(
    path: Path,
    settings: Settings,
    answers: Answers,
    desk: Callable[[], Desk],
) -> None:
    """Check every answer, then write them all in one step, or none.

    `desk` is called only where an answer needs it. Raises InputNeeded without a default
    ledger account, Refused naming every answer that is not right.
    """
    if not (settings.default_ledger_account or answers.default_ledger):
        raise InputNeeded(
            "the default ledger account is obligatory and not set yet",
            hint="add `--default-ledger CODE|ID|NAME`",
        )
    if answers.are_empty():
        raise InputNeeded(
            "nothing was said to change",
            hint="say what to set, for example `psage configure --default-ledger 4000`; "
            "`psage configure --show` prints the settings",
        )
    problems: list[PsageError] = []
    changes: Changes = {}
    for step in _steps(answers, settings, desk):
        try:
            changes.update(step())
        except (Refused, UsageProblem, InputNeeded) as error:
            problems.append(error)
    if problems:
        raise _all(problems)
    config.edit(path, changes)


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


def _steps(
    answers: Answers,
    settings: Settings,
    desk: Callable[[], Desk],
) -> Iterator[Callable[[], Changes]]:
    """One check for each answer given."""
    if answers.numbering is not None:
        yield partial(_choice, NUMBERING, answers.numbering, ("sage", "productive"))
    if answers.write_number_back is not None:
        yield lambda: {WRITE_BACK: (answers.write_number_back, "")}
    if answers.pdf is not None:
        yield partial(_choice, PDF, answers.pdf, ("sage", "productive"))
    if answers.default_ledger is not None:
        yield partial(_ledger, desk, answers.default_ledger)
    if answers.default_tax_rate is not None:
        yield partial(_tax_rate, desk, answers.default_tax_rate)
    for pair in answers.map_items:
        yield partial(_item_link, settings, desk, pair)
    for pair in answers.minor_digits:
        yield partial(_decimals, pair)
    if answers.sync_payments is not None or answers.sync_payments_from is not None:
        yield partial(_payments, answers, settings)
    if answers.settlement_discount is not None:
        yield partial(_choice, DISCOUNT, answers.settlement_discount, ("warn", "write_off"))


def _all(problems: Sequence[PsageError]) -> PsageError:
    if len(problems) == 1:
        return problems[0]
    return UsageProblem(
        "nothing was written, since several answers are not right: "
        + "; ".join(problem.message for problem in problems),
        hint=" / ".join(dict.fromkeys(problem.hint for problem in problems if problem.hint)),
    )


def _choice(key: Key, value: str, allowed: Sequence[str]) -> Changes:
    if value not in allowed:
        flag = key[0].replace("_", "-")
        raise UsageProblem(
            f"`--{flag} {value}` must be " + " or ".join(f"`{word}`" for word in allowed)
        )
    return {key: (value, "")}


def _payments(answers: Answers, settings: Settings) -> Changes:
    """The sync and the day it begins with, which nobody but the person can know."""
    changes: Changes = {}
    begin = answers.sync_payments_from
    if answers.sync_payments and not (begin or settings.sync_payments_from):
        raise InputNeeded(
            "the payment sync needs the day it begins with: payments of earlier days are left "
            "alone",
            hint="add `--sync-payments-from DATE`, for example the day of the switch-over",
        )
    if answers.sync_payments is not None:
        changes[SYNC] = (answers.sync_payments, "")
    if begin:
        changes[SYNC_FROM] = (begin, "")
    return changes


def _exact(options: Sequence[Option], typed: str) -> list[Option]:
    """Those called just so: by an id before by a code before by a name."""
    word = typed.strip().casefold()
    for place in range(max((len(option.words) for option in options), default=0)):
        if found := [option for option in options if word in option.words[place : place + 1]]:
            return found
    return []


def _one(options: Sequence[Option], wanted: str, kind: str) -> Option:
    """The option somebody means; raises Refused, naming what comes near."""
    found = _exact(options, wanted)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(
            f"there is no {kind} `{wanted}`",
            hint=did_you_mean(
                wanted, {word: one.name or one.label for one in options for word in one.words}
            )
            or "`psage configure` alone shows them all, and asks",
        )
    raise Refused(
        f"{len(found)} {kind}s are called `{wanted}`: "
        + ", ".join(f"{option.label} ({option.value})" for option in found),
        hint="name the one you mean by its id",
    )


def _ledger(desk: Callable[[], Desk], wanted: str) -> Changes:
    if not wanted.strip():
        raise UsageProblem(
            "the default ledger account is obligatory", hint="name another one instead"
        )
    options = {_account(account): account for account in desk().ledger_accounts()}
    for_sales = [option for option, account in options.items() if account.is_for_sales]
    exact = _exact(list(options), wanted)
    option = _one(exact or for_sales, wanted, "ledger account in Sage")
    if not options[option].is_for_sales:
        raise Refused(
            f"the ledger account {option.label} is not for sales",
            hint="choose another, or make it visible in sales in Sage under Chart of Accounts",
        )
    return {LEDGER: (option.value, option.name)}


def _tax_rate(desk: Callable[[], Desk], wanted: str) -> Changes:
    if not wanted.strip():
        return {TAX_RATE: (None, "")}
    rates, today = desk().tax_rates(anew=True), datetime.now(UTC).date()
    try:
        rate = tax.find(rates, wanted, today)
    except TaxRateInvalid as error:
        raise Refused(error.message, hint=error.hint) from None
    if not tax.is_valid(rate, today):
        why = "not valid today" if rate.is_visible else "hidden in Sage"
        raise Refused(
            f"the tax rate {rate.name} is {why}",
            hint="choose another with `--default-tax-rate`",
        )
    return {TAX_RATE: (rate.id, one_line(tax.label(rate, rates)))}


def _decimals(pair: str) -> Changes:
    """How many decimals Productive's amounts have in a currency."""
    left, equals, right = (part.strip() for part in pair.partition("="))
    currency = left.upper()
    if not (equals and left) or (right and not right.isdecimal()):
        raise UsageProblem(
            f"`--minor-digits {pair}` must be `CURRENCY=DECIMALS`",
            hint="for example `--minor-digits JPY=0`; `--minor-digits JPY=` removes it",
        )
    if right and (problem := config.check_digits(currency)(int(right))):
        raise UsageProblem(
            f"`--minor-digits {pair}` {problem}",
            hint="look at the amounts of an invoice in that currency in Productive",
        )
    return {("minor_digits", currency): (int(right) if right else None, "")}


def _item_link(
    settings: Settings,
    desk: Callable[[], Desk],
    pair: str,
) -> Changes:
    left, equals, right = (part.strip() for part in pair.partition("="))
    if not equals or not left:
        raise UsageProblem(
            f"`--map-item {pair}` must be `SERVICE TYPE=ITEM`",
            hint='for example `--map-item "Design=DESIGN"`; an empty item removes the link',
        )
    if not right and left in settings.items:  # also of a service type no longer in use
        return {("items", left): (None, "")}
    types = [
        Option(type_id, name, _words(type_id, name))
        for type_id, name in desk().service_types().items()
    ]
    service_type = _one(types, left, "service type in Productive")
    if not right:
        return {("items", service_type.value): (None, "")}
    item = _item(desk(), right)
    return {("items", service_type.value): (item.value, f"{service_type.label} -> {item.name}")}


_BEGINNING = 3
"""So many letters of a mistyped item are searched for."""


def _item(desk: Desk, wanted: str) -> Option:
    items = desk.search_items(wanted)
    if not items and wanted.isalnum():
        items = [item for kind in ITEM_LISTS if (item := desk.read_item(f"{kind}:{wanted}"))]
    options = {_item_option(item): item for item in items}
    if not _exact(list(options), wanted):
        # A search finds no slip; the same beginning is mostly right.
        alike = [item for item in desk.search_items(wanted[:_BEGINNING]) if item.is_active]
        options |= {_item_option(item): item for item in alike}
    option = _one(list(options), wanted, "item in Sage")
    if not options[option].is_active:
        raise Refused(f"the item `{option.name}` is not active in Sage")
    return option


# --- what Sage has to choose from


def _account(account: LedgerAccount) -> Option:
    full = f"{account.name} ({account.nominal_code})"
    words = _words(account.id, account.nominal_code, account.name, full)
    return Option(account.id, account.shown, words, account.shown)


def _rate(rate: TaxRate, rates: Sequence[TaxRate], today: date) -> Option:
    name, percent = one_line(tax.label(rate, rates)), money.plain(tax.percent_on(rate, today))
    words = _words(rate.id, rate.name, rate.code, f"{percent}%", percent)
    return Option(rate.id, name, words, name)


def _item_option(item: Item) -> Option:
    code, name = one_line(item.code), one_line(item.name)
    both = ", ".join(dict.fromkeys(filter(None, (code, name))))
    return Option(
        item.reference,
        f"{both} ({item.kind.replace('_', ' ')})",
        _words(item.id, item.code, item.name),
        item.shown,
    )


def _words(*words: str) -> tuple[str, ...]:
    return tuple(word.strip().casefold() for word in words)


# --- the settings, shown


def shown(
    path: Path, settings: Settings, environment: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Value and source (`file`, `environment`, `default`) of each setting, for people.

    `names` stand beside ids, by key. An address is left out where nobody set it.
    """
    sources = config.sources(path, environment)
    plain = asdict(settings)
    for table in ("items", "minor_digits", "endpoints"):
        plain |= {f"{table}.{key}": value for key, value in plain.pop(table).items()}
    for key in asdict(Endpoints()):
        if f"endpoints.{key}" not in sources:
            del plain[f"endpoints.{key}"]
    rows = {key: _word(value) for key, value in plain.items()}
    return {
        key: (
            f"{names[key]} [{value}]" if key in names else value,
            sources.get(key, "default"),
        )
        for key, value in rows.items()
    }


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not set" if value in ("", None) else str(value)


# --- questions, as data


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
    return Facts(desk, tuple(map(_account, accounts)))


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
        tuple(_rate(rate, rates, today) for rate in rates),
        dict(in_order),
        copied,
    )


def _questions(settings: Settings, facts: Facts) -> tuple[Question, ...]:
    """Every question, in the order they are put."""
    return (
        _numbering_question(settings, facts.copied),
        _WRITE_BACK,
        _PDF,
        _SYNC,
        _SYNC_FROM,
        _DISCOUNT,
        _ledger_question(facts.accounts),
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


def _ledger_question(accounts: tuple[Option, ...]) -> Question:
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
    found = _exact(rates, written)
    if len(found) == 1:
        return found[0].label
    return f"{written}, which is no tax rate in Sage now: copies are refused"


def _matching(options: Sequence[Option], typed: str) -> list[Option]:
    """Those called just so, else those with the text in them."""
    word = typed.casefold()
    return _exact(options, word) or [o for o in options if word in o.label.casefold()]


def _active_items(facts: Facts, service_type: str, typed: str) -> list[Option]:
    found = [_item_option(item) for item in facts.desk.search_items(typed) if item.is_active]
    facts.items.update({option.value: option.label for option in found})
    return [
        Option(o.value, o.label, o.words, f"{service_type} -> {o.name}")
        for o in _exact(found, typed) or found
    ]


def _item_words(facts: Facts, reference: str) -> str:
    """How a linked item reads: by name, or why its lines would be refused."""
    if reference not in facts.items:
        try:
            item = facts.desk.read_item(reference)
        except PsageError as error:
            if _ends_the_walk(error):
                raise
            return reference
        words = _item_option(item).label if item else f"{reference}, which is not in Sage"
        if item is None or not item.is_active:
            words += ", which is not active in Sage" if item else ""
            words += ": such lines are refused"
        facts.items[reference] = words
    return facts.items[reference]


def _ends_the_walk(error: PsageError) -> bool:
    """A dead sign-in does; a bad moment, or a right that is missing, must not cost all answers."""
    return error.stops_batch and not isinstance(error, Temporary)


# --- the walk through the questions, on a terminal

_PAGE = 15
"""Options shown at once."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at a terminal: `say` shows a paragraph, `ask` gives the line typed at a prompt.

    `say` takes the text, what stands before its first line, and what before the others.
    """

    say: Callable[..., None]
    ask: Callable[[str], str]


class _Move(Enum):
    KEEP = auto()
    SKIP = auto()
    BACK = auto()
    YES = auto()
    NO = auto()


Save = Callable[[Settings, Changes], Settings | None]
"""Writes changes to the settings a person saw; returns the present ones where they are others."""


def walk(person: Person, settings: Settings, facts: Facts, save: Save) -> None:
    """Put the questions, show what will change, and have it written once the person agrees."""
    changes: Changes = {}
    been: list[int] = []
    at = 0
    person.say(f"Business in Sage: {facts.business}")
    while True:
        asked = [q for q in _questions(settings, facts) if _applies(q, settings, changes)]
        if at < len(asked):
            value = _value(settings, changes, asked[at].key)
            move = _put(person, asked, at, value, can_go_back=bool(been))
            if move is _Move.BACK:
                at = been.pop()
                continue
            been.append(at)
            if isinstance(move, Option):
                _confirm(person, move)
                changes = _new({**changes, asked[at].key: (move.value, move.name)}, settings)
            at = _next(asked, at, move)
            continue
        # The answer to a question that no longer arises is not written.
        wanted = {q.key: changes[q.key] for q in asked if q.key in changes}
        verdict = _verdict(person, [q for q in asked if q.key in wanted], settings, wanted)
        if verdict is _Move.NO:
            return
        if verdict is _Move.BACK:
            at = been.pop()
            continue
        present = _saved(person, save, settings, wanted)
        if present is None:
            return
        if present != settings:
            settings, changes, been, at = present, _new(changes, present), [], 0


def ask_ledger(person: Person, facts: Facts) -> str:
    """The id of the default ledger account, where that is all that is missing."""
    person.say("This setting is a must and has no value yet. Ctrl-C stops and changes nothing.")
    move = _put(person, [_ledger_question(facts.accounts)], 0, None, can_go_back=False)
    if not isinstance(move, Option):
        raise TypeError(move)
    _confirm(person, move)
    return str(move.value)


def _value(settings: Settings, changes: Changes, key: Key) -> Any:
    """What holds now, None where nothing is set."""
    if key in changes:
        return changes[key][0]
    value = getattr(settings, key[0])
    if len(key) > 1:
        value = value.get(key[1])
    return None if value == "" else value


def _new(changes: Changes, settings: Settings) -> Changes:
    """The changes that are any."""
    return {
        key: change for key, change in changes.items() if change[0] != _value(settings, {}, key)
    }


def _applies(question: Question, settings: Settings, changes: Changes) -> bool:
    if question.only_if is None:
        return True
    key, answer = question.only_if
    return bool(_value(settings, changes, key) == answer)


def _next(asked: Sequence[Question], at: int, move: Option | _Move) -> int:
    at += 1
    while move is _Move.SKIP and at < len(asked) and asked[at].may_skip:
        at += 1
    return at


def _put(
    person: Person, asked: Sequence[Question], at: int, value: Any, *, can_go_back: bool
) -> Option | _Move:
    """Put one question until there is an answer, or a move."""
    question = asked[at]
    person.say()
    person.say(_heading(asked, at))
    if question.why:
        person.say(question.why)
    keys = _keys(question, value, can_go_back=can_go_back)
    shown = _list(person, question.options, value)
    if value is not None and not _is_listed(question, value):
        person.say(f"Set now: {_reads(question, value)}.")
    person.say(_hint(question, value, keys))
    while True:
        typed = person.ask("Answer")
        if typed.casefold() in keys:
            return keys[typed.casefold()]
        if not typed:
            person.say("An answer is needed here.")
            continue
        # Nominal codes are numbers too, but longer ones.
        if typed.isdecimal() and len(typed) < 3 and 1 <= int(typed) <= len(shown):
            return shown[int(typed) - 1]
        found = _found(person, question, typed)
        exact = _exact(found, typed)
        if len(exact) == 1:
            return exact[0]
        if found:
            shown = _list(person, found, value)


def _heading(asked: Sequence[Question], at: int) -> str:
    question = asked[at]
    topics = list(dict.fromkeys(q.topic for q in asked))
    heading = question.title
    if len(topics) > 1:
        step = topics.index(question.topic) + 1
        heading = f"Step {step} of {len(topics)}: {question.title}"
    twins = [q.key for q in asked if q.may_skip]
    if question.may_skip and len(twins) > 1:
        heading += f", {twins.index(question.key) + 1} of {len(twins)}"
    return heading


def _keys(question: Question, value: Any, *, can_go_back: bool) -> dict[str, Option | _Move]:
    """What has a meaning of its own when it is typed; Enter is the empty text."""
    keys: dict[str, Option | _Move] = {}
    is_right = _is_listed(question, value) if question.options else value is not None
    if is_right or not question.is_needed:
        keys[""] = _Move.KEEP
    if question.may_clear:
        keys["-"] = Option(None, question.unset)
    if question.may_skip:
        keys["s"] = _Move.SKIP
    if can_go_back:
        keys["b"] = _Move.BACK
    return keys


def _hint(question: Question, value: Any, keys: Mapping[str, Option | _Move]) -> str:
    is_shown = value is not None and not _is_listed(question, value)
    says = {
        "": "Enter to keep it" if is_shown else f'Enter to keep "{_reads(question, value)}"',
        "-": f"- for {question.unset}",
        "s": "s to skip the remaining service types",
        "b": "b to go back",
    }
    ways = [question.how] if question.how else []
    if question.options or question.searching:
        ways.append("a number to choose")
    ways += [says[key] for key in keys if (key, value) != ("-", None)]
    return f"Type {', '.join(ways)}."


def _is_listed(question: Question, value: Any) -> bool:
    return value in [option.value for option in question.options]


def _reads(question: Question, value: Any) -> str:
    """How a value of the settings reads."""
    if value is None:
        return question.unset
    labels = [option.label for option in question.options if option.value == value]
    return labels[0] if labels else question.reads(value)


def _list(person: Person, options: Sequence[Option], value: Any) -> list[Option]:
    """Show the options with their numbers, as many as fit; returns those."""
    shown = list(options[:_PAGE])
    if not shown:
        return shown
    person.say()
    for number, option in enumerate(shown, start=1):
        meaning = f": {option.meaning}" if option.meaning else ""
        now = " (current)" if option.value == value else ""
        person.say(f"{option.label}{meaning}{now}", f"{number:>3}  ", "     ")
    if len(options) > _PAGE:
        person.say(f"{_PAGE} of {len(options)} are shown: search for the others.")
    person.say()
    return shown


def _found(person: Person, question: Question, typed: str) -> list[Option]:
    """What a typed text may mean; that it means nothing, or that the search failed, is said."""
    if question.search is None:
        if not (found := _exact(question.options, typed)):
            person.say(f"Type a number from 1 to {len(question.options)}.")
        return found
    if question.searching:
        person.say(question.searching)
    try:
        found = list(question.search(typed))
    except PsageError as error:
        if _ends_the_walk(error):
            raise
        person.say(_sentence(error))
        return []
    if not found:
        person.say(f"`{typed}` {question.nothing}")
    return found


def _confirm(person: Person, option: Option) -> None:
    person.say(f"Chosen: {option.label}")
    if option.warning:
        person.say(f"Warning: {option.warning}")


def _verdict(
    person: Person, changed: Sequence[Question], settings: Settings, changes: Changes
) -> _Move:
    """Show what will change, and ask whether to write it."""
    person.say()
    if not changed:
        person.say("Nothing was changed, so nothing was written.")
        return _Move.NO
    person.say("This will change:")
    person.say()
    for question in changed:
        before = _reads(question, _value(settings, {}, question.key))
        after = changes[question.key][0]
        person.say(f"{question.title}: {before} -> {_reads(question, after)}", "- ", "  ")
        for option in question.options:
            if option.value == after and option.warning:
                person.say(f"Warning: {option.warning}", "  ", "  ")
    person.say()
    person.say("Enter or y writes it, n leaves everything as it was, b goes back.")
    answers = {
        "": _Move.YES,
        "y": _Move.YES,
        "yes": _Move.YES,
        "n": _Move.NO,
        "no": _Move.NO,
        "b": _Move.BACK,
    }
    while (word := person.ask("Write these settings? [Y/n/b]").casefold()) not in answers:
        person.say("Type y, n or b.")
    if answers[word] is _Move.NO:
        person.say("Nothing was written; the settings are as they were.")
    return answers[word]


def _saved(person: Person, save: Save, settings: Settings, changes: Changes) -> Settings | None:
    """None once it is written, else the settings as they are, after saying why it is not."""
    try:
        present = save(settings, changes)
    except (Locked, ConfigInvalid) as error:
        person.say(f"Not written: {_sentence(error)}")
        return settings
    if present is not None:
        person.say(
            "Not written: the settings were changed by somebody else meanwhile. Your answers are "
            "kept; look at each of them again."
        )
    return present


def _sentence(error: PsageError) -> str:
    return f"{error.message}; {error.hint}." if error.hint else f"{error.message}."
