"""The settings of a profile, each declared once.

A field of `Settings` says its default, what is allowed, its flag with help and completion, the
question that asks for it, and the sentence that tells it. `config` reads and writes the file by it,
`setup` and `cli/configure.py` make flags, questions and sentences of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date

from productive_sage.settings import allowed, sentences
from productive_sage.settings.declared import Asked, Flag, Setting, Word, setting


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

    numbering: str = setting(
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
        told=("Numbers", sentences.numbering),
    )
    copies: str = setting(
        "word",
        default="booked",
        words=(
            Word("booked", "booked", "at once"),
            Word("draft", "drafts", "somebody reviews them, and `psage release` books them"),
        ),
        flag=Flag("--copies", "HOW", "Whether new copies are booked in Sage"),
        asked=Asked(
            "copies",
            "New copies",
            "Whether a copy is in Sage's books at once; `--draft` and `--booked` say it for one "
            "run.",
        ),
        told=("Copies", sentences.copies),
    )
    write_number_back: bool = setting(
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
    reference: str = setting(
        "template",
        default="",
        check=allowed.template,
        flag=Flag(
            "--reference",
            "TEMPLATE",
            "What stands before the marker in Sage's reference: {number}, {purchase_order}, "
            "{subject}; empty removes.",
        ),
        told=("Reference", sentences.reference),
    )
    notes: str = setting(
        "template",
        default="",
        check=allowed.template,
        flag=Flag(
            "--notes", "TEMPLATE", "Internal notes of a copy in Sage, likewise; empty removes."
        ),
        told=("Notes", sentences.notes),
    )
    pdf: str = setting(
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
        told=("PDF", sentences.pdf),
    )
    pdf_folder: str = setting("other", default="", check=allowed.folder, told="pdf")
    default_ledger_account: str = setting(
        "account",
        default="",
        check=allowed.of_kind(str, "a Sage ledger account id in quotes"),
        flag=Flag("--default-ledger", "ACCOUNT", "Ledger account for sales: code, id or name."),
        asked=Asked(
            "ledger",
            "Default ledger account",
            "Where sales are booked, unless a line's service type is linked to a Sage item.",
        ),
        told=("Ledger", sentences.account),
    )
    default_tax_rate: str = setting(
        "tax rate",
        default="",
        check=allowed.of_kind(str, "a Sage tax rate id in quotes"),
        flag=Flag(
            "--default-tax-rate", "RATE", "Sage tax rate for customers at home; empty removes."
        ),
        asked=Asked(
            "tax",
            "Default tax rate",
            "The tax of a copy, unless you name another rate; Productive's tax is not copied.",
        ),
        told=("Tax rate", sentences.rate),
    )
    tax_map: Mapping[str, str] = setting(
        "taxes",
        default=dict,
        path=("tax", "map"),
        check=allowed.rate_name,
        flag=Flag(
            "--map-tax",
            "TAX=RATE",
            "Productive's tax, by name or percentage, =RATE of Sage; an empty rate removes. "
            "Repeatable.",
        ),
        told=("Tax", sentences.mapped_taxes),
    )
    """Productive's tax by name or percentage, or `none`, to a Sage tax rate."""
    goods_or_services: str = setting(
        "other",
        default="SERVICES",
        words=(Word("SERVICES", "services"), Word("GOODS", "goods")),
        told=("Abroad", sentences.abroad),
    )
    items: Mapping[str, str] = setting(
        "items",
        default=dict,
        check=allowed.sage_item,
        flag=Flag(
            "--map-item", "TYPE=ITEM", "SERVICE TYPE=ITEM; an empty item removes. Repeatable."
        ),
        asked=Asked(
            "items",
            "Service type",
            "Its lines are booked as a Sage item, to that item's ledger account; without an "
            "item, to the default ledger account.",
        ),
        told=("Item", sentences.items),
    )
    """Productive service type id to `kind:id` of a Sage item."""
    minor_digits: Mapping[str, int] = setting(
        "decimals",
        default=dict,
        check=allowed.decimals,
        flag=Flag(
            "--minor-digits",
            "CURRENCY=N",
            "Decimals of Productive's amounts: JPY=0; an empty number removes. Repeatable.",
        ),
        told=("Currency", sentences.currencies),
    )
    """Currency to the decimals of Productive's amounts, where ISO 4217 does not say."""
    sync_payments: bool = setting(
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
        told=("Payments", sentences.payments),
    )
    sync_payments_from: date | None = setting(  # noqa: RUF009 -- a field
        "date",
        default=None,
        check=allowed.of_kind(date, "a date without quotes, like 2026-01-31"),
        flag=Flag("--sync-payments-from", "DATE", "Leave payments of earlier days alone."),
        asked=Asked(
            "payments",
            "Payments since",
            "Payments of earlier days are left alone: give the day you begin to use the sync.",
            only_if=("sync_payments", True),
        ),
        told="sync_payments",
    )
    settlement_discount: str = setting(
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
    sage_calls_per_second: int = setting(
        "other", default=10, check=allowed.pace, told=("Pace", sentences.calls)
    )
    endpoints: Endpoints = setting(  # noqa: RUF009 -- a field
        "other",
        default=Endpoints,
        check=allowed.address_fault,
        told=("Address", sentences.addresses),
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
    found = [
        (one.told[0], sentence)
        for one in SETTINGS.values()
        if not isinstance(one.told, str)
        for sentence in one.told[1](settings, names, sources)
    ]
    last = len(_SUBJECTS)
    return sorted(
        found, key=lambda entry: _SUBJECTS.index(entry[0]) if entry[0] in _SUBJECTS else last
    )
