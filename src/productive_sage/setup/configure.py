"""configure: what was said by flags, checked against both services before any of it is written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from productive_sage import config, tax
from productive_sage.desk import Desk
from productive_sage.errors import InputNeeded, PsageError, Refused, TaxRateInvalid, UsageProblem
from productive_sage.naming import did_you_mean
from productive_sage.sage.client import ITEM_LISTS
from productive_sage.settings import SETTINGS, Endpoints, Settings
from productive_sage.settings.declared import Setting
from productive_sage.setup.choices import (
    Changes,
    Option,
    account_option,
    called,
    folded,
    item_option,
)
from productive_sage.tax import taxmap
from productive_sage.text import one_line

Said = Mapping[str, Any]
"""What was said on the command line, by the key of its setting; an empty text removes."""
_Desk = Callable[[], Desk]
"""Opens both services; called only where an answer needs it."""


def configure(path: Path, settings: Settings, said: Said, desk: _Desk) -> None:
    """Check every answer, then write them all in one step, or none.

    Raises InputNeeded without a default ledger account, Refused naming every answer that is not
    right.
    """
    if not (settings.default_ledger_account or said.get("default_ledger_account")):
        raise InputNeeded(
            "the default ledger account is obligatory and not set yet",
            hint="add `--default-ledger CODE|ID|NAME`",
        )
    if not said:
        raise InputNeeded(
            "nothing was said to change",
            hint="say what to set, for example `psage configure --default-ledger 4000`; "
            "`psage configure --show` prints the settings",
        )
    problems: list[PsageError] = []
    changes: Changes = {}
    for step in _steps(said, settings, desk):
        try:
            changes.update(step())
        except (Refused, UsageProblem, InputNeeded) as error:
            problems.append(error)
    if problems:
        raise _all(problems)
    config.edit(path, changes)


def _steps(said: Said, settings: Settings, desk: _Desk) -> Iterator[Callable[[], Changes]]:
    """One check for each answer given."""
    for key, one in SETTINGS.items():
        if key not in said:
            continue
        value = said[key]
        if one.holds == "word":
            yield partial(_choice, one, value)
        elif one.holds == "yes or no":
            yield partial(_switch, key, said, settings)
        elif one.holds == "date":
            yield partial(dict, {(key,): (value, "")})
        elif one.holds == "account":
            yield partial(_ledger, desk, value)
        elif one.holds == "tax rate":
            yield partial(_tax_rate, desk, value)
        elif one.holds == "template":
            yield partial(_template, one, value)
        else:
            of_pair = {
                "items": partial(_item_link, settings, desk),
                "taxes": partial(_mapped_tax, dict(settings.tax_map), {}, desk),
            }.get(one.holds, _decimals)
            yield from (partial(of_pair, pair) for pair in value)


def _all(problems: Sequence[PsageError]) -> PsageError:
    if len(problems) == 1:
        return problems[0]
    return UsageProblem(
        "nothing was written, since several answers are not right: "
        + "; ".join(problem.message for problem in problems),
        hint=" / ".join(dict.fromkeys(problem.hint for problem in problems if problem.hint)),
    )


def _choice(setting: Setting, value: str) -> Changes:
    if setting.flag and value not in setting.allowed:
        raise UsageProblem(
            f"`{setting.flag.name} {value}` must be "
            + " or ".join(f"`{word}`" for word in setting.allowed),
            hint=did_you_mean(value, setting.allowed)
            or f"write it as `{setting.flag.name} {setting.allowed[0]}`",
        )
    return {(setting.key,): (value, "")}


def _template(setting: Setting, value: str) -> Changes:
    if setting.flag and (problem := setting.check(setting.key, value)):
        raise UsageProblem(
            f"`{setting.flag.name} {value}` {problem}",
            hint=f'for example `psage configure {setting.flag.name} "{{number}} {{subject}}"`',
        )
    return {(setting.key,): (value.strip() or None, "")}


def _switch(key: str, said: Said, settings: Settings) -> Changes:
    """A yes or no; the sync's first day nobody but the person can know."""
    begin = said.get("sync_payments_from") or settings.sync_payments_from
    if key == "sync_payments" and said[key] and not begin:
        raise InputNeeded(
            "the payment sync needs the day it begins with: payments of earlier days are left "
            "alone",
            hint="add `--sync-payments-from DATE`, for example the day of the switch-over",
        )
    return {(key,): (said[key], "")}


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


def _ledger(desk: _Desk, wanted: str) -> Changes:
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
    return {("default_ledger_account",): (option.value, option.name)}


def _tax_rate(desk: _Desk, wanted: str) -> Changes:
    if not wanted.strip():
        return {("default_tax_rate",): (None, "")}
    return {("default_tax_rate",): _rate_today(desk, wanted, "--default-tax-rate")}


def _rate_today(desk: _Desk, wanted: str, flag: str) -> tuple[str, str]:
    """The id and the name of a tax rate that can be used today; `flag` is what names another."""
    rates, today = desk().tax_rates(anew=True), datetime.now(UTC).date()
    try:
        rate = tax.find(rates, wanted, today)
    except TaxRateInvalid as error:
        raise Refused(error.message, hint=error.hint) from None
    if not tax.is_valid(rate, today):
        why = "not valid today" if rate.is_visible else "hidden in Sage"
        raise Refused(f"the tax rate {rate.name} is {why}", hint=f"choose another with `{flag}`")
    return rate.id, one_line(tax.label(rate, rates))


def _mapped_tax(table: dict[str, str], said: dict[str, str], desk: _Desk, pair: str) -> Changes:
    """What stands for a tax of Productive; a key that says the same is written anew.

    `table` is the settings' own, with what was `said` before this pair.
    """
    left, equals, right = (part.strip() for part in pair.rpartition("="))
    if not equals or not left:
        raise UsageProblem(
            f"`--map-tax {pair}` must be `TAX=RATE`",
            hint='for example `--map-tax "VAT 20%=Standard"`, or `--map-tax none="No VAT"` for '
            "lines without tax; an empty rate removes it",
        )
    key = taxmap.key_like(table, left)
    rate, name = _rate_today(desk, right, "--map-tax") if right else (None, "")
    if said.setdefault(key, rate or "") != (rate or ""):
        raise UsageProblem(
            f"`--map-tax` gives the tax `{left}` two rates", hint="give each tax one of them"
        )
    table[key] = rate or ""
    return {(*SETTINGS["tax_map"].path, key): (rate, name)}


def _decimals(pair: str) -> Changes:
    """How many decimals Productive's amounts have in a currency."""
    left, equals, right = (part.strip() for part in pair.partition("="))
    currency = left.upper()
    if not (equals and left) or (right and not right.isdecimal()):
        raise UsageProblem(
            f"`--minor-digits {pair}` must be `CURRENCY=DECIMALS`",
            hint="for example `--minor-digits JPY=0`; `--minor-digits JPY=` removes it",
        )
    if right and (problem := SETTINGS["minor_digits"].check(currency, int(right))):
        raise UsageProblem(
            f"`--minor-digits {pair}` {problem}",
            hint="look at the amounts of an invoice in that currency in Productive; a currency is "
            "written as it is there, like JPY",
        )
    return {("minor_digits", currency): (int(right) if right else None, "")}


def _item_link(
    settings: Settings,
    desk: _Desk,
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
    for one in [one for one in SETTINGS.values() if one.is_table]:
        plain |= {f"{one.name}.{key}": value for key, value in plain.pop(one.key).items()}
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
