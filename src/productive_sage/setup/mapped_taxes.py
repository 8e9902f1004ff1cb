"""What of `[tax.map]` is for no tax of Productive, or can stand for none: said, and written so.

A name may be that of a tax to come, and Productive shows no token everything; a copy refuses what
does not fit in any case.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date

from productive_sage import money, tax
from productive_sage.desk import Desk
from productive_sage.errors import PsageError, TaxRateInvalid
from productive_sage.errors.notices import Notice
from productive_sage.naming import did_you_mean
from productive_sage.productive.records import ChargedTax
from productive_sage.tax import taxmap


def notices(pairs: Iterable[str], desk: Desk, today: date) -> list[Notice]:
    """What is to be said of pairs `TAX=RATE` that were set, as far as both services tell."""
    theirs: list[ChargedTax] = []
    with suppress(PsageError):
        theirs = desk.productive.taxes()
    return [notice for pair in pairs for notice in _of(pair, theirs, desk, today)]


def _of(pair: str, theirs: Sequence[ChargedTax], desk: Desk, today: date) -> Iterator[Notice]:
    key, _, wanted = (part.strip() for part in pair.rpartition("="))
    if not wanted or taxmap.stands_for_none(key):
        return
    said = taxmap.percentage(key)
    meant = [one for one in theirs if tax.folded(one.name) == tax.folded(key)]
    meant = meant or [one for one in theirs if one.percent == said]
    if theirs and not meant:
        yield Notice("tax_not_in_productive", _unknown(key, theirs))
    charged = {one.percent for one in meant} or {said} - {None}
    with suppress(TaxRateInvalid):
        rate = tax.find(desk.tax_rates(), wanted, today)
        percent = tax.percent_on(rate, today)
        if charged and percent not in charged:
            shown = " or ".join(f"{money.plain(one)} %" for one in charged if one is not None)
            yield Notice(
                "tax_rate_differs",
                f"the tax `{key}` is {shown}, and {tax.label(rate, desk.tax_rates())} is "
                f"{money.plain(percent)} %: a document with that tax will be refused, since its "
                "copy would not be to the cent",
            )


def _unknown(key: str, theirs: Sequence[ChargedTax]) -> str:
    names = list(dict.fromkeys(one.name for one in theirs if one.name))
    near = did_you_mean(key, names) or "it has " + ", ".join(f"`{name}`" for name in names)
    said = taxmap.percentage(key)
    what = f"called `{key}`" if said is None else f"of {money.plain(said)} %"
    return f"Productive has no tax {what}, so that this stands for no line; {near}"
