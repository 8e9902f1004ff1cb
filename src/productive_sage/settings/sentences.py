"""What is set, in sentences: who reads them does not know the keys."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from productive_sage.settings import Settings


_Names = Mapping[str, str]


def account(settings: "Settings", names: _Names, _: _Names) -> Iterator[str]:
    """Where lines are booked."""
    account = settings.default_ledger_account
    if not account:
        yield "None is set, so nothing can be copied: `psage configure --default-ledger CODE`."
        return
    named = names.get("default_ledger_account", account)
    yield f"Lines are booked to {named}{', unless an item says otherwise' * bool(settings.items)}."


def items(settings: "Settings", names: _Names, _: _Names) -> Iterator[str]:
    """Which service types are linked to an item."""
    for key, item in settings.items.items():
        service_type, arrow, name = names.get(f"items.{key}", "").partition(" -> ")
        what = service_type if arrow else f"number {key}"
        yield f"Lines of the service type {what} go to the item {name or item}."


def rate(settings: "Settings", names: _Names, _: _Names) -> Iterator[str]:
    """Which tax rate a copy has."""
    if settings.tax_map:
        yield "Each line has the one for its tax in Productive, unless `--tax-rate` says otherwise."
        return
    if not settings.default_tax_rate:
        yield "None is set: a copy has no tax unless `--tax-rate` says so."
        return
    named = names.get("default_tax_rate", settings.default_tax_rate)
    yield f"Customers at home are billed with {named}, unless `--tax-rate` says otherwise."


def mapped_taxes(settings: "Settings", names: _Names, _: _Names) -> Iterator[str]:
    """What stands for Productive's taxes."""
    for key, rate in settings.tax_map.items():
        what = "without tax" if key.lower() in ("", "none") else f"with Productive's tax {key}"
        yield f"Lines {what} go with {names.get(f'tax.map.{key}', rate)} in Sage."


def abroad(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    """What is sold abroad."""
    yield f"What is sold abroad is sold as {settings.goods_or_services.lower()}."


def numbering(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    """Who numbers."""
    if settings.numbering == "productive":
        yield "Copies keep Productive's numbers."
        return
    told = " and the invoice in Productive is given its number" * settings.write_number_back
    yield f"Sage numbers the copies{told}."


def copies(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    """Whether copies are booked, or drafts."""
    if settings.copies == "draft":
        yield "They are drafts in Sage until `psage release` books them."


def reference(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    """What stands beside the marker."""
    if settings.reference:
        yield (
            f"A copy's reference in Sage is `{settings.reference}`, as far as it fits, and psage's "
            "marker."
        )


def notes(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    """What stands in the internal notes."""
    if settings.notes:
        yield f"A copy's internal notes in Sage are `{' / '.join(settings.notes.splitlines())}`."


def pdf(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    """Who makes the PDF."""
    kept = f" It is kept in `{settings.pdf_folder}`." if settings.pdf_folder else ""
    if settings.pdf == "sage":
        yield f"Sage makes it, and Productive gets it.{kept}"
    else:
        yield "Productive makes it, and it is attached to the copy in Sage."


def payments(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    """Which payments are brought to Productive."""
    if not settings.sync_payments:
        yield "They are not brought to Productive; `psage configure --sync-payments` does that."
        return
    how = "written off there" if settings.settlement_discount == "write_off" else "only told"
    yield (
        f"Those from {settings.sync_payments_from} on are brought to Productive. A discount for "
        f"paying early is {how}."
    )


def currencies(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    """How Productive counts a currency."""
    for currency, digits in settings.minor_digits.items():
        decimals = "no decimals" if not digits else f"{digits} decimals"
        yield f"Productive's amounts in {currency} have {decimals}."


def calls(settings: "Settings", _names: _Names, _: _Names) -> Iterator[str]:
    """How fast Sage is asked."""
    if settings.sage_calls_per_second != type(settings)().sage_calls_per_second:
        yield f"At most {settings.sage_calls_per_second} calls a second go to Sage."


def addresses(settings: "Settings", _names: _Names, sources: _Names) -> Iterator[str]:
    """Which addresses are not the usual ones."""
    for field in fields(settings.endpoints):
        key, address = field.name, getattr(settings.endpoints, field.name)
        if address != field.default:
            where = ", by the environment" if sources.get(f"endpoints.{key}") != "file" else ""
            service, _, what = key.partition("_")
            what = what.replace("api", "API")
            yield f"{service.capitalize()}'s address for {what} is {address}{where}."
