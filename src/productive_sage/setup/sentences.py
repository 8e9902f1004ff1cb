"""The settings as a person reads them: a sentence each, with names in the place of ids."""

from collections.abc import Iterator, Mapping

from productive_sage.basics import Endpoints, Settings


def told(
    settings: Settings, names: Mapping[str, str], sources: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """(subject, sentence) of each setting; addresses only where they are not the usual ones.

    `names` holds what ids are called by key, `sources` where a setting comes from.
    """
    yield "Ledger", _account(settings, names)
    for key, item in settings.items.items():
        service_type, arrow, name = names.get(f"items.{key}", "").partition(" -> ")
        what = service_type if arrow else f"number {key}"
        yield "Item", f"Lines of the service type {what} go to the item {name or item}."
    yield "Tax rate", _rate(settings, names)
    yield "Abroad", f"What is sold abroad is sold as {settings.goods_or_services.lower()}."
    yield "Numbers", _numbering(settings)
    yield "PDF", _pdf(settings)
    yield "Payments", _payments(settings)
    for currency, digits in settings.minor_digits.items():
        decimals = "no decimals" if not digits else f"{digits} decimals"
        yield "Currency", f"Productive's amounts in {currency} have {decimals}."
    if settings.sage_calls_per_second != Settings().sage_calls_per_second:
        yield "Pace", f"At most {settings.sage_calls_per_second} calls a second go to Sage."
    usual = Endpoints()
    for key in Endpoints.__slots__:
        address = getattr(settings.endpoints, key)
        if address != getattr(usual, key):
            where = ", by the environment" if sources.get(f"endpoints.{key}") != "file" else ""
            service, _, what = key.partition("_")
            what = what.replace("api", "API")
            yield "Address", f"{service.capitalize()}'s address for {what} is {address}{where}."


def _account(settings: Settings, names: Mapping[str, str]) -> str:
    account = settings.default_ledger_account
    if not account:
        return "None is set, so nothing can be copied: `psage configure --default-ledger CODE`."
    named = names.get("default_ledger_account", account)
    return f"Lines are booked to {named}{', unless an item says otherwise' * bool(settings.items)}."


def _rate(settings: Settings, names: Mapping[str, str]) -> str:
    if not settings.default_tax_rate:
        return "None is set: a copy has no tax unless `--tax-rate` says so."
    named = names.get("default_tax_rate", settings.default_tax_rate)
    return f"Customers at home are billed with {named}, unless `--tax-rate` says otherwise."


def _numbering(settings: Settings) -> str:
    if settings.numbering == "productive":
        return "Copies keep Productive's numbers."
    told = " and the invoice in Productive is given its number" * settings.write_number_back
    return f"Sage numbers the copies{told}."


def _pdf(settings: Settings) -> str:
    kept = f" It is kept in `{settings.pdf_folder}`." if settings.pdf_folder else ""
    if settings.pdf == "sage":
        return f"Sage makes it, and Productive gets it.{kept}"
    return "Productive makes it, and it is attached to the copy in Sage."


def _payments(settings: Settings) -> str:
    if not settings.sync_payments:
        return "They are not brought to Productive; `psage configure --sync-payments` does that."
    how = "written off there" if settings.settlement_discount == "write_off" else "only told"
    return (
        f"Those from {settings.sync_payments_from} on are brought to Productive. A discount for "
        f"paying early is {how}."
    )
