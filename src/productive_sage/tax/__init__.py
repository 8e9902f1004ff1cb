"""Which tax rate a copy carries, and what it comes to on each line.

Pure: tables and arithmetic. A rate is named as people see it in Sage (`Standard 20.00%`). Rules for
customers abroad are known for businesses in GB and IE alone; elsewhere somebody has to say.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from productive_sage import money
from productive_sage.errors import TaxRateInvalid
from productive_sage.errors.notices import Notice
from productive_sage.naming import did_you_mean
from productive_sage.sage.records import TaxRate

_EU = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()
)
_PREFIXES = {country: country for country in (*_EU, "GB", "XI", "CH", "NO")} | {"EL": "GR"}
"""The country by the first letters of a tax number; XI is Northern Ireland."""
_SAME_TAXES = {"GB": frozenset(("GB", "XI", "IM"))}
"""Northern Ireland and the Isle of Man are at home for a business in GB."""
_WITH_RULE = frozenset(("GB", "IE"))
_UNSUPPORTED = frozenset(("US", "CA"))
_NO_TAX = frozenset(("notax", "novat"))
_PERCENT = re.compile(r"(\d+(?:[.,]\d+)?)%")


@dataclass(frozen=True, slots=True)
class LineTax:
    """The tax rate of one line of a copy."""

    rate_id: str
    percent: Decimal
    goods_or_services: str | None = None
    """Set where Sage wants to know what is sold abroad."""
    charged: str = ""
    """The line's tax in Productive, where that decided on the rate; else empty."""


@dataclass(frozen=True, slots=True)
class Tax:
    """The tax of a copy: one rate, or one for each line."""

    rate_id: str
    percent: Decimal
    goods_or_services: str | None = None
    """Set where Sage wants to know what is sold abroad."""
    is_none_asked: bool = False
    """Whether somebody asked for no tax: that Productive has some is no news then."""
    is_sent: bool = True
    """False where Sage computes the tax and lets nobody send it."""
    notices: tuple[Notice, ...] = ()
    lines: tuple[LineTax, ...] = ()
    """Of each line, where the settings say which rate stands for its tax in Productive."""


# --- rates


def percent_on(rate: TaxRate, day: date, *, even_hidden: bool = False) -> Decimal:
    """The rate's percentage on a day.

    Raises TaxRateInvalid where the rate is hidden or has no percentage for the day.
    """
    if not rate.is_visible and not even_hidden:
        raise TaxRateInvalid(
            f"the tax rate `{rate.name}` ({rate.id}) is hidden in Sage",
            hint="choose another with `--tax-rate`",
        )
    for percent, since, until in rate.percentages:
        if (since is None or since <= day) and (until is None or day <= until):
            return percent
    raise TaxRateInvalid(
        f"the tax rate `{rate.name}` ({rate.id}) is not valid on {day}",
        hint="choose another with `--tax-rate`",
    )


def is_valid(rate: TaxRate, day: date) -> bool:
    """Whether a document of a day may carry the rate."""
    try:
        percent_on(rate, day)
    except TaxRateInvalid:
        return False
    return True


def label(rate: TaxRate, rates: Sequence[TaxRate]) -> str:
    """How people see the rate; with its id where another visible one looks the same."""
    namesakes = [one for one in rates if one.name == rate.name and one.is_visible]
    return f"{rate.name} ({rate.id})" if len(namesakes) > 1 else rate.name


def find(rates: Sequence[TaxRate], wanted: str, day: date) -> TaxRate:
    """The rate somebody means: by id, as people see it, by Sage's code, or by percentage.

    Case and spaces do not matter, and `Standard` means `Standard 20.00%`. Of several, those valid
    on the day count. Raises TaxRateInvalid where there is none, or still more than one.
    """
    word = folded(wanted)
    ways: tuple[Callable[[TaxRate], bool], ...] = (
        lambda rate: rate.id == wanted.strip(),
        lambda rate: folded(rate.id) == word,
        lambda rate: word in (folded(rate.name), folded(f"{rate.name} ({rate.id})")),
        lambda rate: word in (folded(rate.code), _without_percent(rate.name)),
        lambda rate: is_valid(rate, day) and _is_percentage(word, percent_on(rate, day)),
    )
    for is_meant in ways:
        found = [rate for rate in rates if word and is_meant(rate)]
        found = [rate for rate in found if is_valid(rate, day)] or found
        if len(found) == 1:
            return found[0]
        if found:
            raise TaxRateInvalid(
                f"Sage has {len(found)} tax rates that `{wanted}` may mean: {_with_ids(found)}",
                hint="name one by its id",
                details={"tax_rates": [rate.id for rate in found]},
            )
    rest = f"the rates of this business: {_all(rates, day)}"
    raise TaxRateInvalid(
        f"Sage has no tax rate `{wanted}`",
        hint=" ".join(filter(None, (_near(rates, wanted, day), rest))),
    )


def _near(rates: Sequence[TaxRate], wanted: str, day: date) -> str:
    """A question that names the rates whose name or code comes near, or nothing."""
    words = {
        word: rate.name
        for rate in rates
        if is_valid(rate, day)
        for word in (rate.name, _without_percent(rate.name), rate.code, rate.id)
    }
    return did_you_mean(wanted, words)


def is_no_tax(rate: TaxRate, home: str) -> bool:
    """Whether the rate is the one for no tax, by its id, its code or its name."""
    return rate.id == f"{home}_NO_TAX" or bool(
        _NO_TAX & {folded(rate.code), _without_percent(rate.name)}
    )


def no_tax(rates: Sequence[TaxRate], home: str, day: date) -> TaxRate:
    """The rate for no tax: called so, else the only one of 0 %.

    Raises TaxRateInvalid where Sage shows none, or several: a line must carry a rate.
    """
    zero = [rate for rate in rates if is_valid(rate, day) and percent_on(rate, day) == 0]
    called_so = [rate for rate in zero if is_no_tax(rate, home)]
    found = [rate for rate in called_so if rate.id == f"{home}_NO_TAX"] or called_so or zero
    if len(found) == 1:
        return found[0]
    if called_so:
        raise TaxRateInvalid(
            f"Sage has {len(found)} tax rates for no tax: {_with_ids(found)}",
            hint="say which with `--tax-rate ID`, or hide the others in Sage",
        )
    known = f": {_all(zero, day)}" if zero else ""
    raise TaxRateInvalid(
        "Sage shows no tax rate for no tax (`No Tax` or `No VAT`), and a line must carry one",
        hint="make it visible in Sage under Settings > Tax Rates, or name another rate with "
        f"`--tax-rate`{known}",
    )


def is_zero_rate(rate: TaxRate, home: str) -> bool:
    """Whether the rate is the zero rate of a business, by its id or its code."""
    return rate.id == f"{home}_ZERO" or folded(rate.code) == "zero"


def zero_rate(rates: Sequence[TaxRate], home: str, day: date) -> TaxRate:
    """The zero rate of a business. Raises TaxRateInvalid where Sage shows none."""
    zero = [rate for rate in rates if is_valid(rate, day) and percent_on(rate, day) == 0]
    found = [rate for rate in zero if is_zero_rate(rate, home)]
    found = [rate for rate in found if rate.id == f"{home}_ZERO"] or found
    if len(found) == 1:
        return found[0]
    raise TaxRateInvalid(
        f"Sage shows no zero rate (`{home}_ZERO`), which a customer abroad needs",
        hint="make it visible in Sage under Settings > Tax Rates, or name another with "
        "`--tax-rate`",
    )


def _with_ids(rates: Sequence[TaxRate]) -> str:
    return ", ".join(f"{rate.name} ({rate.id})" for rate in rates)


def _all(rates: Sequence[TaxRate], day: date) -> str:
    return ", ".join(label(rate, rates) for rate in rates if is_valid(rate, day)) or "none"


def folded(value: str) -> str:
    """Without case, spaces and underscores; `20.00 %` is `20%`."""
    plain = unicodedata.normalize("NFKC", value).casefold().replace("_", " ")
    return _PERCENT.sub(lambda found: f"{_plain(found[1])}%", "".join(plain.split()))


def _without_percent(name: str) -> str:
    return _PERCENT.sub("", folded(name))


def _plain(number: str) -> str:
    return money.plain(Decimal(number.replace(",", ".")))


def _is_percentage(word: str, percent: Decimal) -> bool:
    number = word.removesuffix("%")
    is_number = re.fullmatch(r"\d+(?:[.,]\d+)?", number)
    return bool(is_number) and Decimal(number.replace(",", ".")) == percent


# --- countries


def country_of(country: str, tax_number: str, postal_code: str = "") -> str:
    """Where a customer is: as an address says it, else by the tax number; empty where unknown.

    XI is Northern Ireland, which trades in goods as a part of the EU.
    """
    by_number = _country_of_number(tax_number)
    is_northern_irish = by_number == "XI" or postal_code.strip().upper().startswith("BT")
    return "XI" if country == "GB" and is_northern_irish else country or by_number


def _country_of_number(tax_number: str) -> str:
    number = re.sub(r"[^A-Z0-9]", "", tax_number.upper())
    # At home `NO 123` may be short for number; Norway's have nine digits.
    is_one = re.fullmatch(r"NO\d{9}(MVA)?|(?!NO)[A-Z]{2}(?=(.*\d){5})[A-Z0-9]{5,15}", number)
    return _PREFIXES.get(number[:2], "") if is_one else ""


@dataclass(frozen=True, slots=True)
class Sale:
    """From where to where something is sold, as two-letter countries: what the rules hang on."""

    home: str
    country: str
    """Of the customer: empty where it is not known, XI for Northern Ireland."""
    is_registered: bool = True
    """Whether the business is registered for VAT."""

    @property
    def is_abroad(self) -> bool:
        """Whether the customer is known to be abroad."""
        return bool(self.country) and not self.is_at_home

    @property
    def is_at_home(self) -> bool:
        """Whether the customer is known to be at home."""
        return self.country in _SAME_TAXES.get(self.home, (self.home,))

    @property
    def is_zero_rated(self) -> bool:
        """Whether the lines must carry the zero rate because the customer is abroad."""
        return self.is_registered and self.is_abroad and self.home in _WITH_RULE

    @property
    def wants_type(self) -> bool:
        """Whether zero-rated lines must say if goods or services are sold.

        A business in IE says it for customers in the EU and in Northern Ireland alone.
        """
        return self.is_zero_rated and (self.home == "GB" or self.country in {*_EU, "XI"})

    @property
    def is_supported(self) -> bool:
        """Whether psage knows how the business's taxes are sent: not in the US and Canada."""
        return self.home not in _UNSUPPORTED


def sends_taxes(home: str) -> bool:
    """Whether a business sends the taxes of lines: in Spain Sage computes them and takes none."""
    return home != "ES"


# --- what it comes to


def own_taxes(nets: Sequence[Decimal], percent: Decimal, currency: str) -> list[Decimal]:
    """The tax of each line by itself: the rate on its net, half up."""
    return [money.round_for_sage(net * percent / 100, currency) for net in nets]


def spread(exact: Sequence[Decimal], whole: Decimal, currency: str) -> list[Decimal] | None:
    """The taxes of the lines, each `exact` before it is rounded, so that they add up to `whole`.

    Those whose own rounding lost most go first; none is moved by more than one minor unit, nor
    further than that from its exact tax. None where that is not enough.
    """
    taxes = [money.round_for_sage(tax, currency) for tax in exact]
    unit = money.sage_unit(currency)
    missing = (whole - sum(taxes, money.ZERO)) / unit
    step = unit.copy_sign(missing)
    lost = [(own - tax) / step for own, tax in zip(exact, taxes, strict=True)]
    movable = [n for n, own in enumerate(exact) if own and lost[n] >= 0]
    if missing != missing.to_integral_value() or abs(missing) > len(movable):
        return None
    movable.sort(key=lambda n: (-lost[n], -abs(exact[n]), n))
    for n in movable[: int(abs(missing))]:
        taxes[n] += step
    return taxes


@dataclass(frozen=True, slots=True)
class Charged:
    """What Productive charges on one line: its net, and the percentages of its rate's parts."""

    net: Decimal
    parts: tuple[Decimal, ...] | None
    """None where Productive does not show the rate; empty for no tax."""
    rate: str = ""
    """What Productive calls it: it may round the tax of each rate by itself."""


@dataclass(frozen=True, slots=True)
class Charges:
    """What Productive charges tax on, and the tax it says that comes to."""

    lines: tuple[Charged, ...]
    tax: Decimal
    currency: str
    is_discounted: bool = False
    """Whether a discount on the whole document comes off the lines, which rounds once more."""

    def is_of_rate(self, percent: Decimal) -> bool:
        """Whether it is the tax of one rate of `percent` on all lines.

        Where Productive does not show the rates, whether the tax is what that comes to.
        """
        rates = {
            sum(one.parts, money.ZERO) for one in self.lines if one.parts is not None and one.net
        }
        if rates == {money.ZERO} and self.tax:
            rates = set()  # it comes from somewhere else
        is_shown = rates and all(one.parts is not None for one in self.lines)
        return rates <= {percent} and (bool(is_shown) or self.mirrored(percent) is not None)

    def comes_from(self, percents: Sequence[Decimal]) -> bool:
        """Whether some way of rounding makes the tax of the lines' rates.

        Line by line or on the subtotal of each rate; the parts of a rate together or one by one.
        """
        lines = list(zip(self.lines, percents, strict=True))
        exact = [one.net * percent / 100 for one, percent in lines]
        parts: dict[tuple[str, Decimal], list[int]] = {}
        for one, percent in lines:
            if percent:
                parts.setdefault((one.rate, percent), []).append(len(one.parts or ()))
        roundings = sum(
            max(*counts, 1) * (len(counts) + 1 if self.is_discounted else 1)
            for counts in parts.values()
        )
        on_subtotal = sum(exact, money.ZERO)
        if abs(self.tax - on_subtotal) <= money.sage_unit(self.currency) / 2 * roundings:
            return True
        by_part = (
            money.round_for_sage(one.net * part / 100, self.currency)
            for one, percent in lines
            for part in one.parts or (percent,)
        )
        return self.tax in (sum(self.own(percents), money.ZERO), sum(by_part, money.ZERO))

    def own(self, percents: Sequence[Decimal]) -> list[Decimal]:
        """The tax of each line by itself: its rate on its net, half up."""
        lines = zip(self.lines, percents, strict=True)
        return [money.round_for_sage(one.net * rate / 100, self.currency) for one, rate in lines]

    def mirrored(self, percent: Decimal) -> list[Decimal] | None:
        """As `mirrored_by_line`, of one rate."""
        return self.mirrored_by_line([percent] * len(self.lines))

    def mirrored_by_line(self, percents: Sequence[Decimal]) -> list[Decimal] | None:
        """The lines' taxes that add up to Productive's; None where rounding does not explain it."""
        if not self.comes_from(percents):
            return None
        lines = zip(self.lines, percents, strict=True)
        exact = [one.net * percent / 100 for one, percent in lines]
        return spread(exact, self.tax, self.currency)
