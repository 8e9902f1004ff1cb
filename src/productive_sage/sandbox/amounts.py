"""The sandbox's own arithmetic: decimals in, decimals out, rounding half up."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

ZERO = Decimal(0)
_PLAIN = re.compile(r"^-?\d{1,12}(\.\d{1,10})?$")


def digits_of(currency: str) -> int:
    """Decimals of a currency as the accounts keep it."""
    return 0 if currency == "JPY" else 2


def half_up(amount: Decimal, digits: int = 2) -> Decimal:
    """Round half away from zero to `digits` decimals."""
    return amount.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def is_money(value: object) -> bool:
    """Say whether this is an amount as Sage takes it: two decimals at most, for every currency."""
    number = decimal_of(value)
    return number is not None and int(number.as_tuple().exponent) >= -2


def decimal_of(value: object) -> Decimal | None:
    """Read a JSON number or numeric string; None when it is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    # repr of a float is its shortest decimal form, so 0.1 stays 0.1.
    text = value.strip() if isinstance(value, str) else str(value)
    return Decimal(text) if _PLAIN.match(text) else None
