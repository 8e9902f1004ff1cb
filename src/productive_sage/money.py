"""Money as `Decimal`, from text to text, never through `float`.

Amounts are in major units of the document's currency (120.50) unless a name says minor.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from productive_sage.errors import AmountsUnclear
from productive_sage.text import quoted

ZERO = Decimal(0)
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_DIGITS, _DECIMALS, _FIGURES = 12, 12, 24
"""Powers of ten beyond which a number is no amount, and how many figures one may have.

The product of two amounts can still be counted to the cent.
"""

# ISO 4217 minor units where they are not two.
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split()
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND".split()
_FOUR_DECIMALS = "CLF UYW".split()
_EXPONENTS = {
    **dict.fromkeys(_NO_DECIMALS, 0),
    **dict.fromkeys(_THREE_DECIMALS, 3),
    **dict.fromkeys(_FOUR_DECIMALS, 4),
}


def digits(currency: str) -> int:
    """How many decimals the currency has by ISO 4217: 2 for GBP, 0 for JPY."""
    return _EXPONENTS.get(currency, 2)


def parse(value: Any) -> Decimal:
    """Read a number as the services send it: `15000`, `"15000.0"`, `Decimal`; never a float.

    Raises AmountsUnclear for anything that is not a finite number of a sane size.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise AmountsUnclear(f"`{quoted(value)}` is not an amount")
    # `Decimal` takes more for a number than a service writes: `1_000`, and digits of any script.
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise AmountsUnclear(f"`{quoted(value)}` is not an amount")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise AmountsUnclear(f"`{quoted(value)}` is not an amount") from None
    if not number.is_finite():
        raise AmountsUnclear(f"`{quoted(value)}` is not an amount")
    if not -_DECIMALS <= number.adjusted() <= _DIGITS or len(number.as_tuple().digits) > _FIGURES:
        raise AmountsUnclear(f"`{quoted(value)}` is an amount of a size psage does not take")
    return number


def from_minor(value: Any, minor_digits: int) -> Decimal:
    """Turn whole minor units (12050) into major units (120.50).

    Raises AmountsUnclear for a fraction of a minor unit, and for what is written like one: both
    would mean that the unit is another.
    """
    minor = parse(value)
    exponent = minor.as_tuple().exponent
    if minor != minor.to_integral_value() or (isinstance(exponent, int) and exponent < -1):
        raise AmountsUnclear(
            f"`{quoted(value)}` is not a whole number of minor units (12050 for 120.50)"
        )
    return minor.scaleb(-minor_digits).quantize(Decimal(1).scaleb(-minor_digits))


def round_half_up(value: Decimal, currency: str) -> Decimal:
    """Round to the currency's decimals, a half away from zero.

    Raises AmountsUnclear where there are more figures than can be counted exactly.
    """
    try:
        return value.quantize(Decimal(1).scaleb(-digits(currency)), ROUND_HALF_UP)
    except InvalidOperation:
        raise AmountsUnclear(
            f"`{quoted(str(value))}` {currency} is an amount of a size psage does not take"
        ) from None


def is_exact(value: Decimal, currency: str) -> bool:
    """Whether the value needs no rounding in this currency."""
    return value == round_half_up(value, currency)


def sage_unit(currency: str) -> Decimal:
    """The smallest amount Sage keeps: two decimals at most, also for a currency with three."""
    return Decimal(1).scaleb(-min(digits(currency), 2))


def round_for_sage(value: Decimal, currency: str) -> Decimal:
    """Round to what Sage keeps of the currency, a half away from zero."""
    return value.quantize(sage_unit(currency), ROUND_HALF_UP)


def for_sage(value: Decimal) -> str:
    """An amount as Sage takes it, whatever the currency: with two decimals.

    Raises AmountsUnclear if it has more: an amount is never rounded on its way out.
    """
    cents = value.quantize(Decimal("0.01"))
    if cents != value:
        raise AmountsUnclear(f"{value} has more than the two decimals Sage takes")
    return text(cents)


def plain(value: Decimal) -> str:
    """A number without needless zeros: `20` for 20.00."""
    return text(value.normalize())


def text(value: Decimal) -> str:
    """The number as plain digits, without an exponent: what is sent, stored and shown."""
    return format(value, "f")


def amount(value: Decimal, currency: str) -> str:
    """An exact amount as text with all the currency's decimals: `120.00`.

    Raises AmountsUnclear if the value has more decimals than the currency: an amount is never
    rounded on its way out.
    """
    if not is_exact(value, currency):
        raise AmountsUnclear(f"{value} has more decimals than {currency} knows")
    return text(round_half_up(value, currency))


def said(value: Decimal, currency: str) -> str:
    """An amount for people: `120.00 GBP`; as it is where it has more decimals than its currency."""
    exact = amount(value, currency) if is_exact(value, currency) else text(value)
    return f"{exact} {currency}"


def spread(total: Decimal, weights: Sequence[Decimal], currency: str) -> list[Decimal]:
    """Split `total` in proportion to `weights` by largest remainder, to what Sage keeps.

    The parts add up to `total` exactly. Weights may be negative; their sum must not be zero.
    """
    unit = sage_unit(currency)
    whole = sum(weights, ZERO)
    exact = [total * weight / whole for weight in weights]
    parts = [share.quantize(unit, ROUND_FLOOR) for share in exact]
    missing = int((total - sum(parts, ZERO)) / unit)
    by_remainder = sorted(
        range(len(parts)), key=lambda i: (parts[i] - exact[i], -abs(weights[i]), i)
    )
    for index in by_remainder[:missing]:
        parts[index] += unit
    return parts
