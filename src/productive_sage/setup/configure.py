"""configure: what was said by flags, checked against both services before any of it is written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from productive_sage import config, tax
from productive_sage.desk import Desk
from productive_sage.errors import InputNeeded, PsageError, Refused, TaxRateInvalid, UsageProblem
from productive_sage.models import Endpoints, Settings
from productive_sage.naming import did_you_mean
from productive_sage.sage.client import ITEM_LISTS
from productive_sage.setup.choices import (
    DISCOUNT,
    LEDGER,
    NUMBERING,
    PDF,
    SYNC,
    SYNC_FROM,
    TAX_RATE,
    WRITE_BACK,
    Changes,
    Key,
    Option,
    account_option,
    called,
    folded,
    item_option,
)
from productive_sage.text import one_line

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


def _one(options: Sequence[Option], wanted: str, kind: str) -> Option:
    """The option somebody means; raises Refused, naming what comes near."""
    found = called(options, wanted)
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
    options = {account_option(account): account for account in desk().ledger_accounts()}
    for_sales = [option for option, account in options.items() if account.is_for_sales]
    exact = called(list(options), wanted)
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
        Option(type_id, name, folded(type_id, name))
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
    options = {item_option(item): item for item in items}
    if not called(list(options), wanted):
        # A search finds no slip; the same beginning is mostly right.
        alike = [item for item in desk.search_items(wanted[:_BEGINNING]) if item.is_active]
        options |= {item_option(item): item for item in alike}
    option = _one(list(options), wanted, "item in Sage")
    if not options[option].is_active:
        raise Refused(f"the item `{option.name}` is not active in Sage")
    return option


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
