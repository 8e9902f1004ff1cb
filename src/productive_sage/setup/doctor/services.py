"""The checks of both services: sign-ins, rights, and what the settings name in Sage."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from productive_sage import tax
from productive_sage.errors import ConfigInvalid, PsageError, Refused, SignInExpired, TaxRateInvalid
from productive_sage.kept import SOON, in_words
from productive_sage.productive.calls import Token
from productive_sage.productive.client import ProductiveClient
from productive_sage.sage.calls import sage_http
from productive_sage.sage.client import SageClient
from productive_sage.sage.records import Item, LedgerAccount, TaxRate
from productive_sage.setup import rights
from productive_sage.setup.doctor.checks import Doubt, not_tried
from productive_sage.setup.doctor.ground import Ground
from productive_sage.signin.oauth import SageTokens
from productive_sage.store import Store
from productive_sage.text import clean, counted

_RECENT = timedelta(days=31)
"""A lock date this near may stop an invoice of this month or the last."""


def productive(ground: Ground) -> str:
    """Productive takes the token, and the token belongs to the organisation."""
    sign_in = ground.sign_in("Productive", ground.vault.productive)
    settings = ground.reachable("Productive")
    client = ProductiveClient(
        ground.connections(),
        settings.endpoints,
        Token(sign_in.token, sign_in.organization_id),
        read_only=True,
    )
    name = client.organization_name()
    if name is None:
        why = f"its token does not belong to organisation `{sign_in.organization_id}` any more"
        raise SignInExpired("Productive", why)
    ground.productive = client
    return f"connected to {clean(name)} ({sign_in.organization_id})"


def rights_in_productive(ground: Ground) -> str:
    """The token may read what psage reads."""
    client = ground.productive
    if client is None:
        raise not_tried("productive")
    paths = dict(rights.IN_PRODUCTIVE)
    if ground.settings and ground.settings.sync_payments:
        paths["payments"] = "/payments"
    if denied := rights.denied(client.refusal, paths):
        raise PsageError(
            f"the token may not read {denied}",
            code="rights_missing",
            hint="an administrator of Productive can give its person the right; or make "
            "another token and run `psage connect productive`",
        )
    return f"may read {', '.join(paths)}; only writing shows what it may write"


def sage(ground: Ground) -> str:
    """Sage takes or renews the sign-in, which is for the business of the copies."""
    sign_in = ground.sign_in("Sage", ground.vault.sage)
    settings = ground.reachable("Sage")
    token_http = sage_http(ground.connections(), settings.endpoints.sage_token)
    tokens = SageTokens(ground.vault, token_http, clock=ground.clock)
    http = sage_http(
        ground.connections(),
        settings.endpoints.sage_api,
        credentials=tokens,
        calls_per_second=settings.sage_calls_per_second,
        read_only=True,
    )
    client = SageClient(http, sign_in.business_id)
    try:
        name, country = client.country(sign_in.business_id)
        # The business itself may be shown where a dead subscription closes all the rest.
        ground.refusals["/financial_settings"] = client.refusal("/financial_settings")
    finally:
        ground.sign_ins["Sage"] = tokens.sign_in
    _check_business(ground, sign_in.business_id)
    ground.sage = client
    if tokens.sign_in.scope == "readonly":
        raise PsageError(
            f"Sage lets psage read in {name}, but not write",
            code="rights_missing",
            hint="run `psage connect sage` with an app that may have full access",
        )
    until = datetime.fromtimestamp(tokens.sign_in.refresh_until, UTC)
    left = until - ground.now()
    said = f"connected to {clean(name)} ({country})"
    said += f"; {in_words(until, left.days)}"
    if left < SOON:
        raise Doubt(said, "run `psage connect sage`")
    return said


def _check_business(ground: Ground, business_id: str) -> None:
    if not ground.home.store.exists():
        return
    with Store(ground.home.store, read_only=True) as store:
        others = store.copies.businesses() - {business_id}
    if others:
        raise Refused(
            "this profile holds copies in another Sage business than the one connected",
            code="different_business",
            hint="run `psage connect sage` and choose the former business, or use another "
            "`--profile` for this one",
            details={"connected": business_id, "links": sorted(others)},
        )


def rights_in_sage(ground: Ground) -> str:
    """Whoever signed in may see what psage needs."""
    sage = ground.client()

    def refusal(path: str) -> str | None:
        return ground.refusals[path] if path in ground.refusals else sage.refusal(path)

    if denied := rights.denied(refusal, rights.IN_SAGE):
        raise PsageError(
            f"the sign-in may not read {denied}",
            code="rights_missing",
            hint=f"{rights.GIVES} Sales, Contacts and Settings; then run `psage doctor` again",
        )
    if denied := rights.denied(refusal, rights.USEFUL_IN_SAGE):
        raise Doubt(
            f"the sign-in may not read {denied}: {rights.WITHOUT_USEFUL}",
            f"{rights.GIVES} Sales, Purchases and Contacts; then run `psage doctor` again",
        )
    names = ", ".join([*rights.IN_SAGE, *rights.USEFUL_IN_SAGE])
    return f"may read {names}, as only Full access to Sales, Purchases and Contacts lets it"


def edition_of_sage(ground: Ground) -> str:
    """The subscription is alive, and its edition has what psage uses."""
    subscriptions = ground.client().subscriptions()
    active = [edition for edition, is_active in subscriptions if is_active]
    if not subscriptions:
        return "Sage does not say which edition this is"
    if not active:
        raise Doubt("no subscription is active", "renew it in Sage, or it refuses every call")
    if set(active) == {"START"}:
        raise Doubt(
            "Accounting Start has neither foreign currencies nor allocations: a credit note "
            "must be set against its invoice by hand",
            "upgrade in Sage to Standard or Plus if you need them",
        )
    return ", ".join(active)


def ledger_account(ground: Ground) -> str:
    """Sales can be booked to the default account."""
    sage = ground.client()
    wanted = ground.settings.default_ledger_account if ground.settings else ""
    if not wanted:
        raise not_tried("settings")
    ground.accounts = sage.ledger_accounts()
    account = next((one for one in ground.accounts if one.id == wanted), None)
    hint = "choose another with `psage configure --default-ledger CODE`"
    if account is None:
        raise ConfigInvalid(f"Sage has no ledger account `{wanted}` any more", hint=hint)
    if not account.is_for_sales:
        hint += ", or make it visible in sales in Sage under Chart of Accounts"
        raise ConfigInvalid(
            f"the ledger account {account.shown} is not for sales any more", hint=hint
        )
    return f"{account.shown} is there and for sales"


def tax_rate(ground: Ground) -> str:
    """The default tax rate, and what stands for Productive's taxes, can be used today."""
    sage = ground.client()
    if ground.settings and ground.settings.tax_map:
        _check_tax_map(sage.tax_rates(), ground.settings.tax_map, ground.today())
    wanted = ground.settings.default_tax_rate if ground.settings else ""
    if not wanted and ground.settings and ground.settings.tax_map:
        rates = counted(len(ground.settings.tax_map), "rate")
        return f"{rates} for Productive's taxes, there and valid today"
    if not wanted:
        if sage.books().is_registered:
            return "none is set; a copy has no tax unless one is asked for"
        return "none is set, and the business, not registered for VAT in Sage, takes no tax"
    hint = "choose another with `psage configure --default-tax-rate ID`"
    try:
        rate = tax.find(sage.tax_rates(), wanted, ground.today())
    except TaxRateInvalid as error:
        any_more = "" if error.details else " any more"
        raise ConfigInvalid(error.message + any_more, hint=hint) from None
    try:
        percent = tax.percent_on(rate, ground.today())
    except TaxRateInvalid as error:
        raise ConfigInvalid(error.message, hint=hint) from None
    if not sage.books().is_registered:
        raise Doubt(
            f"the business is not registered for VAT in Sage, which takes no tax from it, and "
            f"the default tax rate is {rate.name}",
            'remove it with `psage configure --default-tax-rate ""`; or register the business '
            "in Sage under Settings, Financial Settings, where it is",
        )
    return f"{rate.name} is there, {percent.normalize():f} % today"


def _check_tax_map(rates: Sequence[TaxRate], table: Mapping[str, str], today: date) -> None:
    """Raises ConfigInvalid naming everything that stands for a tax and cannot be used."""
    wrong = dict[str, str]()
    for key, wanted in table.items():
        try:
            tax.percent_on(tax.find(rates, wanted, today), today)
        except TaxRateInvalid as error:
            wrong[key] = error.message
    if wrong:
        flags = " ".join(f'--map-tax "{key}=RATE"' for key in wrong)
        raise ConfigInvalid(
            "; ".join(f"for Productive's tax `{key}`: {why}" for key, why in wrong.items()),
            hint=f"name another with `psage configure {flags}`",
        )


def items(ground: Ground) -> str:
    """Each linked item can be sold, and its service type is in use."""
    sage = ground.client()
    linked = ground.settings.items if ground.settings else {}
    if not linked:
        return "no service type is linked to one"
    if ground.accounts is None:
        ground.accounts = sage.ledger_accounts()
    types = ground.productive.service_types() if ground.productive else dict.fromkeys(linked, "")
    faults = []
    for service_type, reference in linked.items():
        fault = _fault(sage.item(*reference.split(":", 1)), reference, ground.accounts)
        if fault:
            faults.append(f"that of `{types.get(service_type) or service_type}` {fault}")
    if faults:
        raise ConfigInvalid(
            f"of the linked items, {', and '.join(faults)}",
            hint='link another with `psage configure --map-item "SERVICE TYPE=ITEM"`',
        )
    if unused := [service_type for service_type in linked if service_type not in types]:
        raise Doubt(
            f"an item is linked to the service type {' and '.join(unused)}, which Productive "
            "does not have in use",
            f"take `{unused[0]}` out of `[items]` in `{ground.home.config}`",
        )
    return f"{counted(len(linked), 'linked item')}, there and active"


def lock_date(ground: Ground) -> str:
    """The closed period of Sage does not reach into days that are still invoiced."""
    locked = ground.client().lock_date()
    if locked is None:
        return "no period is closed in Sage"
    said = f"Sage is closed up to and with {locked}"
    if locked > ground.today() - _RECENT:
        raise Doubt(
            f"{said}, and refuses a document of that time",
            "if invoices of that time are still to be copied, move the lockdown date in Sage "
            "under Settings, Accounting Dates",
        )
    return said


def _fault(item: Item | None, reference: str, accounts: Sequence[LedgerAccount]) -> str:
    """Why an item cannot be sold; empty where it can."""
    if item is None:
        return f"({reference}) is gone from Sage"
    name = clean(item.code or item.name)
    if not item.is_active:
        return f"({name}) is not active in Sage"
    account = next((one for one in accounts if one.id == item.ledger_account_id), None)
    if account and not account.is_for_sales:
        return f"({name}) books to {account.shown}, which is not for sales"
    return ""
