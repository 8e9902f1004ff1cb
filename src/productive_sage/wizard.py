"""configure: the answers, checked against both services before any of them is written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from productive_sage import config
from productive_sage.errors import InputNeeded, PsageError, Refused, UsageProblem
from productive_sage.models import Endpoints, Item, LedgerAccount, Settings, TaxRate
from productive_sage.productive import ProductiveClient
from productive_sage.sage import SageClient

_T = TypeVar("_T")
Changes = dict[tuple[str, ...], tuple[Any, str]]


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said on the command line; None was not said, empty removes."""

    numbering: str | None = None
    pdf: str | None = None
    default_ledger: str | None = None
    default_tax_rate: str | None = None
    map_items: tuple[str, ...] = ()
    sync_payments: bool | None = None
    sync_payments_from: date | None = None

    def are_empty(self) -> bool:
        """Whether nothing was said at all."""
        return self == Answers()


def configure(
    path: Path,
    settings: Settings,
    answers: Answers,
    *,
    sage: Callable[[], SageClient],
    productive: Callable[[], ProductiveClient],
) -> None:
    """Check every answer, then write them all in one step, or none.

    The clients are made only where an answer needs them. Raises InputNeeded without a default
    ledger account, Refused naming every answer that is not right.
    """
    if answers.are_empty():
        raise InputNeeded(
            "nothing was said to change",
            hint="say what to set, for example `psage configure --default-ledger 4000`; "
            "`psage configure --show` prints the settings",
        )
    if not (settings.default_ledger_account or answers.default_ledger):
        raise InputNeeded(
            "the default ledger account is obligatory and not set yet",
            hint="add `--default-ledger CODE|ID|NAME`",
        )
    problems: list[PsageError] = []
    changes: Changes = {}
    for step in _steps(answers, settings, sage, productive):
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
    sage: Callable[[], SageClient],
    productive: Callable[[], ProductiveClient],
) -> Iterator[Callable[[], Changes]]:
    """One check for each answer given."""
    if answers.numbering is not None:
        yield partial(_choice, "numbering", answers.numbering)
    if answers.pdf is not None:
        yield partial(_choice, "pdf", answers.pdf)
    if answers.default_ledger is not None:
        yield partial(_ledger, sage, answers.default_ledger)
    if answers.default_tax_rate is not None:
        yield partial(_tax_rate, sage, answers.default_tax_rate)
    for pair in answers.map_items:
        yield partial(_item_link, sage, productive, pair)
    if answers.sync_payments is not None or answers.sync_payments_from is not None:
        yield partial(_payments, answers, settings)


def shown(path: Path, settings: Settings) -> dict[str, str]:
    """The settings for people: names beside ids, addresses only where they are not the usual."""
    names = config.comments(path)
    plain = asdict(settings)
    tables = {key: plain.pop(key) for key in ("items", "minor_digits", "endpoints")}
    usual = asdict(Endpoints())
    rows = {key: _word(value) for key, value in plain.items()}
    rows |= {f"items.{key}": value for key, value in tables["items"].items()}
    rows |= {f"minor_digits.{key}": str(value) for key, value in tables["minor_digits"].items()}
    rows |= {
        f"endpoints.{key}": value
        for key, value in tables["endpoints"].items()
        if value != usual[key]
    }
    return {
        key: f"{names[key]}  [{value}]" if key in names and value else value
        for key, value in rows.items()
    }


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value else "-"


def _all(problems: Sequence[PsageError]) -> PsageError:
    if len(problems) == 1:
        return problems[0]
    return UsageProblem(
        "nothing was written, since several answers are not right: "
        + "; ".join(problem.message for problem in problems),
        hint=" / ".join(problem.hint for problem in problems if problem.hint),
    )


def _choice(key: str, value: str) -> Changes:
    if value not in ("sage", "productive"):
        raise UsageProblem(f"`--{key} {value}` must be `sage` or `productive`")
    return {(key,): (value, "")}


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
        changes["sync_payments",] = (answers.sync_payments, "")
    if begin:
        changes["sync_payments_from",] = (begin, "")
    return changes


def _one(found: Sequence[_T], wanted: str, kind: str, show: Callable[[_T], str]) -> _T:
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(f"there is no {kind} `{wanted}`", hint="look up its exact name or code")
    raise Refused(
        f"{len(found)} {kind}s are called `{wanted}`: " + ", ".join(show(one) for one in found),
        hint="name the one you mean by its id",
    )


def _best(candidates: Sequence[_T], *ways: Callable[[_T], bool]) -> list[_T]:
    """The candidates the first way that fits anything fits: an id before a code before a name."""
    for fits in ways:
        if found := [one for one in candidates if fits(one)]:
            return found
    return []


def _ledger(sage: Callable[[], SageClient], wanted: str) -> Changes:
    word = wanted.strip().casefold()
    if not word:
        raise UsageProblem(
            "the default ledger account is obligatory", hint="name another one instead"
        )
    found = _best(
        sage().ledger_accounts(),
        lambda a: a.id.casefold() == word,
        lambda a: a.nominal_code == word,
        lambda a: word in (a.name.casefold(), f"{a.name} ({a.nominal_code})".casefold()),
    )
    account = _one(found, wanted, "ledger account in Sage", _ledger_shown)
    if not account.is_for_sales:
        raise Refused(
            f"the ledger account {_ledger_shown(account)} is not for sales",
            hint="choose another, or make it visible in sales in Sage under Chart of Accounts",
        )
    return {("default_ledger_account",): (account.id, _ledger_shown(account))}


def _ledger_shown(account: LedgerAccount) -> str:
    if account.nominal_code and account.nominal_code not in account.name:
        return f"{account.name} ({account.nominal_code})"
    return account.name


def _tax_rate(sage: Callable[[], SageClient], wanted: str) -> Changes:
    word = wanted.strip().casefold()
    if not word:
        return {("default_tax_rate",): (None, "")}
    rates = [rate for rate in sage().tax_rates() if rate.is_visible]
    found = _best(rates, lambda r: r.id.casefold() == word, lambda r: r.name.casefold() == word)

    def show(rate: TaxRate) -> str:
        return f"{rate.name} ({rate.id})"

    rate = _one(found, wanted, "tax rate in Sage", show)
    return {("default_tax_rate",): (rate.id, rate.name)}


def _item_link(
    sage: Callable[[], SageClient], productive: Callable[[], ProductiveClient], pair: str
) -> Changes:
    left, equals, right = pair.partition("=")
    if not equals or not left.strip():
        raise UsageProblem(
            f"`--map-item {pair}` must be `SERVICE TYPE=ITEM`",
            hint='for example `--map-item "Design=DESIGN"`; an empty item removes the link',
        )
    word = left.strip().casefold()
    types: Mapping[str, str] = productive().service_types()
    found = _best(list(types), lambda i: i == word, lambda i: types[i].casefold() == word)
    service_type = _one(found, left.strip(), "service type in Productive", lambda i: i)
    wanted = right.strip()
    if not wanted:
        return {("items", service_type): (None, "")}
    item = _item(sage(), wanted)
    comment = f"{types[service_type]} -> {item.code or item.name}"
    return {("items", service_type): (f"{item.kind}:{item.id}", comment)}


def _item(sage: SageClient, wanted: str) -> Item:
    word = wanted.casefold()
    candidates = sage.items(wanted)
    if not candidates and wanted.isalnum():
        candidates = [
            i for kind in ("service", "product", "stock_item") if (i := sage.item(kind, wanted))
        ]
    found = _best(
        candidates,
        lambda i: i.id.casefold() == word,
        lambda i: i.code.casefold() == word,
        lambda i: i.name.casefold() == word,
    )
    item = _one(found, wanted, "item in Sage", lambda i: f"{i.kind} {i.code} ({i.id})")
    if not item.is_active:
        raise Refused(f"the item `{item.code or item.name}` is not active in Sage")
    return item
