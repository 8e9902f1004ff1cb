"""Which Sage tax rate a copy carries: named, kept, asked for, configured, or the one for no tax."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial

from productive_sage import tax
from productive_sage.copying import choosing, drafts
from productive_sage.desk import Desk
from productive_sage.errors import Refused, TaxRateInvalid
from productive_sage.errors.notices import Notice
from productive_sage.money import ZERO, plain
from productive_sage.productive.records import Invoice, InvoiceLine
from productive_sage.sage.records import TaxRate
from productive_sage.tax import LineTax, Sale, Tax, taxmap


@dataclass(frozen=True, slots=True)
class _Usable:
    """A rate that a line can carry."""

    rate: TaxRate
    percent: Decimal
    kind: str | None
    """Goods or services, where Sage wants to know that."""
    said: Notice | None


class Rates:
    """The tax rates of one run; a person is asked once, and once more where a country is unclear.

    `wanted` is a rate as somebody names it, or None.
    """

    def __init__(self, desk: Desk, *, wanted: str | None, no_tax: bool, count: int) -> None:
        """For a run of `count` documents."""
        self._desk = desk
        self._wanted = "" if no_tax else wanted
        self._count = count
        self._answers: dict[str, TaxRate | None] = {}
        self._is_read_anew = False
        self._has_rates_anew = False

    def tax(
        self,
        invoice: Invoice,
        country: str,
        *,
        kept: str | None,
        is_new_customer: bool = False,
        can_go_back: bool = False,
    ) -> Tax:
        """The rate of the whole copy for a customer in `country`, as `tax.country_of` gives it.

        `kept` is the rate of the present copy: empty for no tax, None where there is no copy. No
        tax means the zero rate for a customer abroad, where the country's rules want that. Another
        one that was named is Sage's to judge, but for a customer that would have to be made first:
        raises TaxRateInvalid there. A person who is asked and `can_go_back` may raise GoBack.
        """
        return self._believed(
            partial(
                self._tax,
                invoice,
                country,
                kept=kept,
                is_new_customer=is_new_customer,
                can_go_back=can_go_back,
            )
        )

    def _tax(
        self,
        invoice: Invoice,
        country: str,
        *,
        kept: str | None,
        is_new_customer: bool,
        can_go_back: bool,
    ) -> Tax:
        named = self._wanted or kept or self._desk.settings.default_tax_rate
        sale = Sale(self._desk.books().country, country, is_registered=self._is_registered(named))
        day = drafts.date_of(invoice)
        rate, is_asked = self._chosen(invoice, sale, day, kept, can_go_back=can_go_back)
        is_none = rate is None or tax.is_no_tax(rate, sale.home)
        found = self._usable(invoice, sale, rate, even_hidden=kept, is_new_customer=is_new_customer)
        notices = [found.said] if found.said else []
        if found.percent and sale.is_abroad and kept is None and self._wanted is not None:
            notices.append(home_rate(invoice, sale, found.rate))
        is_usual = kept is None and not is_asked
        if is_usual and not sale.is_registered and (usual := self._taxing(day)):
            notices.append(_left_out(usual))
        return Tax(
            found.rate.id,
            found.percent,
            goods_or_services=found.kind,
            is_none_asked=is_none and is_asked,
            is_sent=tax.sends_taxes(sale.home),
            notices=tuple(notices),
        )

    @property
    def maps(self) -> bool:
        """Whether the settings say what stands for Productive's taxes, and nobody named a rate."""
        return bool(self._desk.settings.tax_map) and self._wanted is None

    def stand_for(self, rate_ids: Collection[str]) -> bool:
        """Whether the settings name all these rates, or the one for no tax."""
        desk, home = self._desk, self._desk.books().country
        wanted = set(map(tax.folded, desk.settings.tax_map.values()))
        return all(
            tax.is_no_tax(rate, home) or wanted & set(map(tax.folded, (rate.id, rate.name)))
            for rate in desk.tax_rates()
            if rate.id in rate_ids
        )

    def mapped(self, invoice: Invoice, country: str, *, is_new_customer: bool = False) -> Tax:
        """The rate of each line that stands for its tax in Productive; raises as `tax` does.

        Raises `tax_unmapped` naming every line for whose tax none stands, and `tax_not_exact` where
        that is another percentage. No tax means the zero rate abroad, as for one rate.
        """
        return self._believed(
            partial(self._mapped, invoice, country, is_new_customer=is_new_customer)
        )

    def _mapped(self, invoice: Invoice, country: str, *, is_new_customer: bool) -> Tax:
        table, home = self._desk.settings.tax_map, self._desk.books().country
        unmapped = [n for n, line in enumerate(invoice.lines, 1) if not _is_mapped(table, line)]
        if unmapped:
            raise _unmapped(invoice, unmapped)
        sale = Sale(home, country, is_registered=self._is_registered("mapped"))
        rates, notices = list[LineTax](), dict[str, Notice]()
        for n, line in enumerate(invoice.lines, 1):
            key = taxmap.key_of(table, line)
            rate = self._standing_for(invoice, key, table[key]) if key is not None else None
            found = self._usable(
                invoice, sale, rate, even_hidden=None, is_new_customer=is_new_customer
            )
            charged = taxmap.percent(line)
            if charged not in (None, found.percent):
                raise _other_percentage(invoice, n, found)
            if found.said:
                notices.setdefault(found.said.code, found.said)
            if found.percent and sale.is_abroad:
                notices.setdefault("home_rate_abroad", home_rate(invoice, sale, found.rate))
            what = taxmap.as_charged(line)
            rates.append(LineTax(found.rate.id, found.percent, found.kind, what))
        is_sent = tax.sends_taxes(home)
        return Tax("", ZERO, is_sent=is_sent, notices=(*notices.values(),), lines=(*rates,))

    def _standing_for(self, invoice: Invoice, key: str, wanted: str) -> TaxRate:
        try:
            return tax.find(self._desk.tax_rates(), wanted, drafts.date_of(invoice))
        except TaxRateInvalid as error:
            raise error.reworded(
                f"{error.message}, which stands for the tax `{key}` of Productive in the settings"
            ) from None

    def _usable(
        self,
        invoice: Invoice,
        sale: Sale,
        rate: TaxRate | None,
        *,
        even_hidden: str | None,
        is_new_customer: bool,
    ) -> "_Usable":
        """A rate as it can be used, None for no tax: abroad that is the zero rate by some rules."""
        day, rates = drafts.date_of(invoice), self._desk.tax_rates()
        is_none = rate is None or tax.is_no_tax(rate, sale.home)
        if is_none and sale.is_zero_rated:
            rate = tax.zero_rate(rates, sale.home, day)
        rate = rate or tax.no_tax(rates, sale.home, day)
        percent = tax.percent_on(rate, day, even_hidden=rate.id == even_hidden)
        _check_taxable(invoice, sale, rate, percent)
        if is_new_customer and sale.is_zero_rated and not tax.is_zero_rate(rate, sale.home):
            raise TaxRateInvalid(
                f"`{invoice.company.name}` is abroad ({sale.country}), where Sage takes the zero "
                f"rate alone, and {invoice.label} was to carry `{rate.name}`",
                hint=f"{'leave `--tax-rate` out' if self._wanted else 'say `--no-tax`'}, which "
                "means the zero rate there; or enter the customer in Sage first, and have Sage "
                "decide",
            )
        is_abroad = sale.is_zero_rated and not percent
        kind = self._desk.settings.goods_or_services if is_abroad and sale.wants_type else None
        said = _sold_abroad(sale, rate, kind) if is_abroad else None
        return _Usable(rate, percent, kind, said)

    def _believed(self, asked: Callable[[], Tax]) -> Tax:
        """What is found; before a rate is refused all are read anew, once in a run."""
        try:
            return asked()
        except TaxRateInvalid:
            if self._has_rates_anew:
                raise
            self._has_rates_anew = True
            self._desk.tax_rates(anew=True)
            return asked()

    def differ(self, before: str, now: str) -> bool:
        """Whether other rules hold for customers in two countries, as `tax.country_of` has them."""
        home = self._desk.books().country
        one, other = Sale(home, before), Sale(home, now)
        rules = [(s.is_at_home, s.is_abroad, s.is_zero_rated, s.wants_type) for s in (one, other)]
        return rules[0] != rules[1]

    def _is_registered(self, rate: str) -> bool:
        """Whether the business is registered for VAT.

        Before a rate is refused or left out because it is not, that is read anew, once in a run.
        """
        books = self._desk.books()
        if not books.is_registered and rate and not self._is_read_anew:
            self._is_read_anew = True
            books = self._desk.books(anew=True)
        return books.is_registered

    def _chosen(
        self, invoice: Invoice, sale: Sale, day: date, kept: str | None, *, can_go_back: bool
    ) -> tuple[TaxRate | None, bool]:
        """The rate, or None for no tax; and whether somebody asked for it now.

        The configured rate is for customers at home: abroad the country's own rule applies. Where
        the rule or the customer's country is not known, a rate with a percentage is used only if
        somebody says so: raises `tax_rule_unknown` or `country_unclear` where nobody can be asked.
        """
        if self._wanted is not None:
            return self._found(self._wanted, day), True
        if kept is not None:
            return self._found(kept, day), False
        if not sale.is_registered or sale.is_zero_rated:
            return None, False
        if self._desk.ask:
            return self._asked(invoice, sale, day, can_go_back=can_go_back), True
        if not sale.is_at_home and (usual := self._taxing(day)):
            raise _doubt(invoice, sale, usual)
        return self._found(self._desk.settings.default_tax_rate, day), False

    def _found(self, wanted: str, day: date) -> TaxRate | None:
        return tax.find(self._desk.tax_rates(), wanted, day) if wanted else None

    def _taxing(self, day: date) -> TaxRate | None:
        """The configured rate, if it has a percentage."""
        usual = self._found(self._desk.settings.default_tax_rate, day)
        return usual if usual and tax.percent_on(usual, day) else None

    def _asked(
        self, invoice: Invoice, sale: Sale, day: date, *, can_go_back: bool
    ) -> TaxRate | None:
        """What a person chooses: once for all customers at home, and for each of the others."""
        ask, home = self._desk.ask, sale.home
        key = "" if sale.is_at_home else invoice.company.id
        if ask and key not in self._answers:
            rates = self._desk.tax_rates()
            usable = [r for r in rates if tax.is_valid(r, day) and not tax.is_no_tax(r, home)]
            choices: list[TaxRate | None] = [None, *usable]
            why = _why(invoice, sale)
            question, enter = f"{why[0].upper()}{why[1:]}. Which rate shall its copy carry?", None
            if sale.is_at_home:
                question, enter = "Which tax rate shall the copy carry?", 0
                if self._count > 1:
                    question = (
                        f"Which tax rate shall the copies of the {self._count} documents carry, "
                        "where the customer is at home?"
                    )
                usual = self._usual_or_none(day)
                choices.sort(key=lambda rate: rate != usual)  # Enter means the configured one
            labels = [tax.label(rate, rates) if rate else "no tax" for rate in choices]
            keys = [choosing.BACK] if can_go_back else []
            picked = ask(question, labels, enter, keys)
            if picked == len(choices):
                raise choosing.GoBack
            self._answers[key] = choices[picked]
        return self._answers[key]

    def _usual_or_none(self, day: date) -> TaxRate | None:
        """The configured rate, if a person can still choose it."""
        try:
            usual = self._found(self._desk.settings.default_tax_rate, day)
        except TaxRateInvalid:
            return None
        home = self._desk.books().country
        return None if usual is None or tax.is_no_tax(usual, home) else usual


def _why(invoice: Invoice, sale: Sale) -> str:
    """Why the rate of customers at home is not taken."""
    name = invoice.company.name
    if not sale.is_abroad:
        return f"neither Sage nor Productive says in which country `{name}` is"
    return (
        f"`{name}` is abroad ({sale.country}), and psage does not know which rate a business in "
        f"{sale.home} has to take there"
    )


def _doubt(invoice: Invoice, sale: Sale, usual: TaxRate) -> Refused:
    said = (
        f"{_why(invoice, sale)}; the default tax rate `{usual.name}` is for customers in "
        f"{sale.home}"
    )
    if sale.is_abroad:
        return Refused(
            said, code="tax_rule_unknown", hint="say which with `--tax-rate` or `--no-tax`"
        )
    return Refused(
        said,
        code="country_unclear",
        hint="enter the country in the customer's address in Sage or Productive, or say which rate "
        "with `--tax-rate` or `--no-tax`",
    )


def _check_taxable(invoice: Invoice, sale: Sale, rate: TaxRate, percent: Decimal) -> None:
    """Raises `not_registered_for_tax` or `tax_unsupported` where no tax can be sent."""
    if percent and not sale.is_registered:
        raise Refused(
            f"the business is not registered for tax in Sage, so {invoice.label} cannot carry "
            f"`{rate.name}`",
            code="not_registered_for_tax",
            hint="copy it with `--no-tax`; if the business is registered by now, say so in Sage "
            "under Settings > Financial Settings",
        )
    if percent and not sale.is_supported:
        raise Refused(
            f"psage does not support the taxes of a business in {sale.home}, so {invoice.label} "
            f"cannot carry `{rate.name}`",
            code="tax_unsupported",
            hint="copy it with `--no-tax` and add the tax in Sage, or enter it there by hand",
        )


def _sold_abroad(sale: Sale, rate: TaxRate, kind: str | None) -> Notice:
    said = f" as {kind.lower()}" if kind else ""
    return Notice(
        "sold_abroad",
        f"the customer is outside {sale.home}: the lines go with {rate.name}{said}",
    )


def _is_mapped(table: Mapping[str, str], line: InvoiceLine) -> bool:
    return taxmap.has_no_tax(line) or taxmap.key_of(table, line) is not None


def _unmapped(invoice: Invoice, numbers: Sequence[int]) -> Refused:
    """The refusal that names each line for whose tax no rate stands in the settings."""
    lines = {n: invoice.lines[n - 1] for n in numbers}
    said = ", ".join(f"line {n} has {taxmap.shown(line)}" for n, line in lines.items())
    keys = list(dict.fromkeys(map(taxmap.key_for, lines.values())))
    flags = " ".join(f'--map-tax "{key}=RATE"' for key in keys)
    written = ", ".join(f'`"{key}" = "RATE"`' for key in keys)
    return Refused(
        f"the settings name no tax rate of Sage for taxes of {invoice.label}: {said}",
        code="tax_unmapped",
        hint=f"`psage configure {flags}` names it, or in the settings file, under `[tax.map]`, "
        f"{written}; `--tax-rate` and `--no-tax` copy it with one rate for all lines",
        details={
            "lines": [
                {
                    "line": n,
                    "tax": line.tax_name,
                    "percentage": None if (rate := taxmap.percent(line)) is None else plain(rate),
                }
                for n, line in lines.items()
            ]
        },
    )


def _other_percentage(invoice: Invoice, n: int, found: _Usable) -> Refused:
    """The refusal where what stands for a tax is another percentage."""
    line = invoice.lines[n - 1]
    key = taxmap.key_for(line)
    return Refused(
        f"line {n} of {invoice.label} has {taxmap.shown(line)} in Productive, for which "
        f"`{found.rate.name}` stands in the settings: {plain(found.percent)} % on "
        f"{drafts.date_of(invoice)}",
        code="tax_not_exact",
        hint=f'name another rate with `psage configure --map-tax "{key}=RATE"`',
        details={
            "productive": plain(taxmap.percent(line) or ZERO),
            "planned": plain(found.percent),
        },
    )


def home_rate(invoice: Invoice, sale: Sale, rate: TaxRate) -> Notice:
    """What is said of a rate with a percentage where the customer is abroad."""
    doubt = ", which Sage may refuse" if sale.is_zero_rated else ""
    return Notice(
        "home_rate_abroad",
        f"`{invoice.company.name}` is abroad ({sale.country}), and the copy carries "
        f"`{rate.name}`, a rate for customers in {sale.home}{doubt}",
    )


def _left_out(usual: TaxRate) -> Notice:
    return Notice(
        "default_tax_rate_left_out",
        "the business is not registered for tax in Sage, so the copy goes without the default tax "
        f"rate `{usual.name}`",
    )
