"""The settings of a profile, each declared once.

A field of `Settings` says its default, what is allowed, its flag with help and completion, the
question that asks for it, and the sentence that tells it. `config` reads and writes the file by it,
`setup` and `cli/configure.py` make flags, questions and sentences of it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

# --- what is declared of a setting

Holds = Literal[
    "word",
    "yes or no",
    "date",
    "account",
    "tax rate",
    "items",
    "decimals",
    "taxes",
    "template",
    "other",
]
"""What a value is: how a flag and the wizard read it. `other` is set in the file alone."""
Check = Callable[[str, Any], str | None]
"""Given a key and a value of the file, or of a table: what it must be, None where it is."""
Tell = Callable[["Settings", Mapping[str, str], Mapping[str, str]], Iterator[str]]
"""Given the settings, names by key, and where each comes from: its sentences."""


@dataclass(frozen=True, slots=True)
class Word:
    """A value that is allowed, how it reads, and what it means."""

    value: Any
    label: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Flag:
    """How `psage configure` takes a setting; the words that are allowed follow the help."""

    name: str
    metavar: str
    help: str


@dataclass(frozen=True, slots=True)
class Asked:
    """How the wizard asks for a setting."""

    topic: str
    """One step of the walk."""
    title: str
    why: str
    only_if: tuple[str, Any] | None = None
    """Asked where another setting has this value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: a key of the file, or a table of it."""

    key: str
    holds: Holds
    check: Check
    words: tuple[Word, ...]
    flag: Flag | None
    """None where the file alone sets it."""
    asked: Asked | None
    told: tuple[str, Tell] | str
    """The subject and the sentences, or the key of the setting in whose sentence it is told."""
    is_table: bool
    path: tuple[str, ...]
    """Where it stands in the file: its key alone, or the names of a table within another."""

    @property
    def name(self) -> str:
        """How it is named in the file."""
        return ".".join(self.path)

    @property
    def allowed(self) -> tuple[str, ...]:
        """The words that may be given, where these are all."""
        return tuple(word.value for word in self.words if isinstance(word.value, str))


def _setting(
    holds: Holds,
    *,
    default: Any,
    told: tuple[str, Tell] | str,
    check: Check | None = None,
    words: tuple[Word, ...] = (),
    flag: Flag | None = None,
    asked: Asked | None = None,
    path: tuple[str, ...] = (),
) -> Any:
    """A field of `Settings`; a `default` that is a class is that of a table."""
    declared = {
        "holds": holds,
        "check": check or _one_of(words),
        "words": words,
        "flag": flag,
        "asked": asked,
        "told": told,
        "is_table": isinstance(default, type),
        "path": path,
    }
    if isinstance(default, type):
        return field(default_factory=default, metadata=declared)
    return field(default=default, metadata=declared)


# --- what is allowed


def _one_of(words: tuple[Word, ...]) -> Check:
    allowed = [word.value for word in words]
    if True in allowed:
        return _a(bool, "true or false")
    named = " or ".join(f'"{value}"' for value in allowed)
    return lambda _, value: None if value in allowed else f"must be {named}"


def _a(kind: type, words: str) -> Check:
    return lambda _, value: None if type(value) is kind else f"must be {words}"


def _pace(_: str, value: Any) -> str | None:
    return None if type(value) is int and 1 <= value <= 100 else "must be a number from 1 to 100"


def _decimals(currency: str, value: Any) -> str | None:
    """As many decimals as ISO 4217 gives a currency, or two, as Productive counts most of them.

    Any other number books a hundredfold or a hundredth, and no figure of Productive's shows it.
    """
    from productive_sage import money

    if not re.fullmatch("[A-Z]{3}", currency):
        return "is not for a currency: write three capital letters, like JPY"
    usual = money.digits(currency)
    allowed = sorted({usual, 2})
    if type(value) is int and value in allowed:
        return None
    return (
        f"must be {' or '.join(map(str, allowed))}, since {currency} has {usual or 'no'} decimals"
    )


def _folder(_: str, value: Any) -> str | None:
    if not isinstance(value, str) or "\0" in value:
        return "must be a folder in quotes"
    try:
        Path(value).expanduser()
    except RuntimeError:
        return "is in the home of a user this machine does not know"
    return None


def _sage_item(_: str, value: Any) -> str | None:
    if isinstance(value, str) and re.fullmatch(r"(service|product|stock_item):[\w-]+", value):
        return None
    return 'must be "service:ID", "product:ID" or "stock_item:ID"'


PLACEHOLDERS = ("number", "purchase_order", "subject")
"""What a template may take from a document of Productive."""


def _template(_: str, value: Any) -> str | None:
    if not isinstance(value, str) or not value.replace("\n", "").isprintable():
        return "must be a text in quotes"
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    left = re.sub("|".join(rf"\{{{name}\}}" for name in PLACEHOLDERS), "", value)
    if unknown := re.search(r"\{[^{}]*\}|[{}]", left):
        return f"holds `{unknown[0]}`, which is not known; known are {known}"
    return None


def _rate_name(_: str, value: Any) -> str | None:
    is_one = isinstance(value, str) and value.strip()
    return None if is_one else "must be a Sage tax rate in quotes: its id, or its name"


_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def address_fault(_key: str, value: Any) -> str | None:
    """Why secrets may not go to an address, None if they may."""
    if not isinstance(value, str):
        return "must be an address in quotes"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not an address, such as https://example.com"
    if " " in value or not value.isprintable():
        return "is not an address, such as https://example.com"
    if not host or parts.username or parts.password:
        return "must be a whole address such as https://example.com, without a user name"
    if parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK):
        return None
    return "must begin with https:// (http:// is for this machine alone)"


# --- sentences: who reads them does not know the keys

_Names = Mapping[str, str]


def _account(settings: "Settings", names: _Names, _: _Names) -> Iterator[str]:
    account = settings.default_ledger_account
    if not account:
        yield "None is set, so nothing can be copied: `psage configure --default-ledger CODE`."
        return
    named = names.get("default_ledger_account", account)
    yield f"Lines are booked to {named}{', unless an item says otherwise' * bool(settings.items)}."


def _items(settings: "Settings", names: _Names, _: _Names) -> Iterator[str]:
    for key, item in settings.items.items():
        service_type, arrow, name = names.get(f"items.{key}", "").partition(" -> ")
        what = service_type if arrow else f"number {key}"
        yield f"Lines of the service type {what} go to the item {name or item}."


def _rate(settings: "Settings", names: _Names, _: _Names) -> Iterator[str]:
    if settings.tax_map:
        yield "Each line has the one for its tax in Productive, unless `--tax-rate` says otherwise."
        return
    if not settings.default_tax_rate:
        yield "None is set: a copy has no tax unless `--tax-rate` says so."
        return
    named = names.get("default_tax_rate", settings.default_tax_rate)
    yield f"Customers at home are billed with {named}, unless `--tax-rate` says otherwise."


def _mapped_taxes(settings: "Settings", names: _Names, _: _Names) -> Iterator[str]:
    for key, rate in settings.tax_map.items():
        what = "without tax" if key.lower() in ("", "none") else f"with Productive's tax {key}"
        yield f"Lines {what} go with {names.get(f'tax.map.{key}', rate)} in Sage."


def _abroad(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    yield f"What is sold abroad is sold as {settings.goods_or_services.lower()}."


def _numbering(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    if settings.numbering == "productive":
        yield "Copies keep Productive's numbers."
        return
    told = " and the invoice in Productive is given its number" * settings.write_number_back
    yield f"Sage numbers the copies{told}."


def _copies(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    if settings.copies == "draft":
        yield "They are drafts in Sage until `psage release` books them."


def _reference(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    if settings.reference:
        yield (
            f"A copy's reference in Sage is `{settings.reference}`, as far as it fits, and psage's "
            "marker."
        )


def _notes(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    if settings.notes:
        yield f"A copy's internal notes in Sage are `{' / '.join(settings.notes.splitlines())}`."


def _pdf(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    kept = f" It is kept in `{settings.pdf_folder}`." if settings.pdf_folder else ""
    if settings.pdf == "sage":
        yield f"Sage makes it, and Productive gets it.{kept}"
    else:
        yield "Productive makes it, and it is attached to the copy in Sage."


def _payments(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    if not settings.sync_payments:
        yield "They are not brought to Productive; `psage configure --sync-payments` does that."
        return
    how = "written off there" if settings.settlement_discount == "write_off" else "only told"
    yield (
        f"Those from {settings.sync_payments_from} on are brought to Productive. A discount for "
        f"paying early is {how}."
    )


def _currencies(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    for currency, digits in settings.minor_digits.items():
        decimals = "no decimals" if not digits else f"{digits} decimals"
        yield f"Productive's amounts in {currency} have {decimals}."


def _calls(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    if settings.sage_calls_per_second != Settings().sage_calls_per_second:
        yield f"At most {settings.sage_calls_per_second} calls a second go to Sage."


def _addresses(settings: "Settings", _names: _Names, sources: _Names) -> Iterator[str]:
    """Only those that are not the usual ones."""
    usual = Endpoints()
    for key in Endpoints.__slots__:
        address = getattr(settings.endpoints, key)
        if address != getattr(usual, key):
            where = ", by the environment" if sources.get(f"endpoints.{key}") != "file" else ""
            service, _, what = key.partition("_")
            what = what.replace("api", "API")
            yield f"{service.capitalize()}'s address for {what} is {address}{where}."


# --- the settings


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the two services are; plain http only on loopback."""

    sage_api: str = "https://api.accounting.sage.com/v3.1"
    sage_authorize: str = "https://www.sageone.com/oauth2/auth/central?filter=apiv3.1"
    sage_token: str = "https://oauth.accounting.sage.com/token"  # noqa: S105 -- an address
    sage_revoke: str = "https://oauth.accounting.sage.com/revoke"
    productive_api: str = "https://api.productive.io/api/v2"
    productive_files: str = "https://files.productive.io"
    productive_upload: str = "https://productive-files-production.s3.eu-west-1.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one profile, checked."""

    numbering: str = _setting(
        "word",
        default="sage",
        words=(
            Word("sage", "Sage", "the copy gets the next number there"),
            Word("productive", "Productive", "the copy keeps the invoice's number"),
        ),
        flag=Flag("--numbering", "SERVICE", "Who numbers invoices"),
        asked=Asked(
            "numbering",
            "Invoice numbers",
            "Who gives the copy of an invoice its number in Sage.",
        ),
        told=("Numbers", _numbering),
    )
    copies: str = _setting(
        "word",
        default="booked",
        words=(
            Word("booked", "booked", "at once"),
            Word("draft", "drafts", "somebody reviews them, and `psage release` books them"),
        ),
        flag=Flag("--copies", "HOW", "Whether new copies are booked in Sage"),
        told=("Copies", _copies),
    )
    write_number_back: bool = _setting(
        "yes or no",
        default=False,
        words=(
            Word(value=True, label="yes", meaning="write it back to Productive"),
            Word(value=False, label="no", meaning="Productive keeps its own number"),
        ),
        flag=Flag(
            "--write-number-back", "", "Give the invoice in Productive the number Sage gave."
        ),
        asked=Asked(
            "numbering",
            "Sage's number in Productive",
            "Sage's number can replace the invoice's number in Productive, so that both are the "
            "same.",
            only_if=("numbering", "sage"),
        ),
        told="numbering",
    )
    reference: str = _setting(
        "template",
        default="",
        check=_template,
        flag=Flag(
            "--reference",
            "TEMPLATE",
            "What stands before the marker in Sage's reference: {number}, {purchase_order}, "
            "{subject}; empty removes.",
        ),
        told=("Reference", _reference),
    )
    notes: str = _setting(
        "template",
        default="",
        check=_template,
        flag=Flag(
            "--notes", "TEMPLATE", "Internal notes of a copy in Sage, likewise; empty removes."
        ),
        told=("Notes", _notes),
    )
    pdf: str = _setting(
        "word",
        default="productive",
        words=(
            Word("productive", "Productive", "attached to the copy in Sage"),
            Word("sage", "Sage", "it becomes the invoice's PDF in Productive"),
        ),
        flag=Flag("--pdf", "SERVICE", "Who makes the PDF"),
        asked=Asked(
            "pdf", "PDF", "Who makes the PDF of an invoice; the other service gets it as well."
        ),
        told=("PDF", _pdf),
    )
    pdf_folder: str = _setting("other", default="", check=_folder, told="pdf")
    default_ledger_account: str = _setting(
        "account",
        default="",
        check=_a(str, "a Sage ledger account id in quotes"),
        flag=Flag("--default-ledger", "ACCOUNT", "Ledger account for sales: code, id or name."),
        asked=Asked(
            "ledger",
            "Default ledger account",
            "Where sales are booked, unless a line's service type is linked to a Sage item.",
        ),
        told=("Ledger", _account),
    )
    default_tax_rate: str = _setting(
        "tax rate",
        default="",
        check=_a(str, "a Sage tax rate id in quotes"),
        flag=Flag(
            "--default-tax-rate", "RATE", "Sage tax rate for customers at home; empty removes."
        ),
        asked=Asked(
            "tax",
            "Default tax rate",
            "The tax of a copy, unless you name another rate; Productive's tax is not copied.",
        ),
        told=("Tax rate", _rate),
    )
    tax_map: Mapping[str, str] = _setting(
        "taxes",
        default=dict,
        path=("tax", "map"),
        check=_rate_name,
        flag=Flag(
            "--map-tax",
            "TAX=RATE",
            "Productive's tax, by name or percentage, =RATE of Sage; an empty rate removes. "
            "Repeatable.",
        ),
        told=("Tax", _mapped_taxes),
    )
    """Productive's tax by name or percentage, or `none`, to a Sage tax rate."""
    goods_or_services: str = _setting(
        "other",
        default="SERVICES",
        words=(Word("SERVICES", "services"), Word("GOODS", "goods")),
        told=("Abroad", _abroad),
    )
    items: Mapping[str, str] = _setting(
        "items",
        default=dict,
        check=_sage_item,
        flag=Flag(
            "--map-item", "TYPE=ITEM", "SERVICE TYPE=ITEM; an empty item removes. Repeatable."
        ),
        asked=Asked(
            "items",
            "Service type",
            "Its lines are booked as a Sage item, to that item's ledger account; without an "
            "item, to the default ledger account.",
        ),
        told=("Item", _items),
    )
    """Productive service type id to `kind:id` of a Sage item."""
    minor_digits: Mapping[str, int] = _setting(
        "decimals",
        default=dict,
        check=_decimals,
        flag=Flag(
            "--minor-digits",
            "CURRENCY=N",
            "Decimals of Productive's amounts: JPY=0; an empty number removes. Repeatable.",
        ),
        told=("Currency", _currencies),
    )
    """Currency to the decimals of Productive's amounts, where ISO 4217 does not say."""
    sync_payments: bool = _setting(
        "yes or no",
        default=False,
        words=(
            Word(value=True, label="yes", meaning="whenever `psage sync-payments` runs"),
            Word(value=False, label="no", meaning="payments stay in Sage"),
        ),
        flag=Flag("--sync-payments", "", "Bring payments from Sage to Productive."),
        asked=Asked(
            "payments",
            "Payment sync",
            "Payments booked in Sage can be brought to the invoices in Productive.",
        ),
        told=("Payments", _payments),
    )
    sync_payments_from: date | None = _setting(  # noqa: RUF009 -- a field
        "date",
        default=None,
        check=_a(date, "a date without quotes, like 2026-01-31"),
        flag=Flag("--sync-payments-from", "DATE", "Leave payments of earlier days alone."),
        asked=Asked(
            "payments",
            "Payments since",
            "Payments of earlier days are left alone: give the day you begin to use the sync.",
            only_if=("sync_payments", True),
        ),
        told="sync_payments",
    )
    settlement_discount: str = _setting(
        "word",
        default="warn",
        words=(
            Word("warn", "warn", "psage names the invoice and you decide"),
            Word("write_off", "write off", "it becomes a write-off there"),
        ),
        flag=Flag("--settlement-discount", "HOW", "Discount for paying early, in Productive"),
        asked=Asked(
            "payments",
            "Settlement discounts",
            "A discount for paying early is never received, so it stays open in Productive.",
            only_if=("sync_payments", True),
        ),
        told="sync_payments",
    )
    sage_calls_per_second: int = _setting("other", default=10, check=_pace, told=("Pace", _calls))
    endpoints: Endpoints = _setting(  # noqa: RUF009 -- a field
        "other", default=Endpoints, check=address_fault, told=("Address", _addresses)
    )


SETTINGS = {
    one.name: Setting(key=one.name, **{**one.metadata, "path": one.metadata["path"] or (one.name,)})
    for one in fields(Settings)
}
"""What is declared of each setting, by its key."""

_SUBJECTS = (
    "Ledger",
    "Item",
    "Tax rate",
    "Tax",
    "Abroad",
    "Copies",
    "Numbers",
    "Reference",
    "Notes",
    "PDF",
    "Payments",
)
"""What the sentences begin with; the others follow."""


def told(
    settings: Settings, names: Mapping[str, str], sources: Mapping[str, str]
) -> list[tuple[str, str]]:
    """(subject, sentence) of each setting, with names in the place of ids.

    `names` holds what ids are called by key, `sources` where a setting comes from.
    """
    sentences = [
        (one.told[0], sentence)
        for one in SETTINGS.values()
        if not isinstance(one.told, str)
        for sentence in one.told[1](settings, names, sources)
    ]
    last = len(_SUBJECTS)
    return sorted(
        sentences, key=lambda entry: _SUBJECTS.index(entry[0]) if entry[0] in _SUBJECTS else last
    )
