"""The tax of each line of a copy: of one rate, or of those of its lines in Productive. Pure."""

from collections.abc import Sequence
from decimal import Decimal

from productive_sage import money
from productive_sage.errors import Refused
from productive_sage.productive.records import Invoice
from productive_sage.tax import Charged, Charges, LineTax, Tax, own_taxes


def rates(invoice: Invoice, tax: Tax) -> Sequence[LineTax]:
    """The rate of each line."""
    one = LineTax(tax.rate_id, tax.percent, tax.goods_or_services)
    return tax.lines or (one,) * len(invoice.lines)


def taxes(invoice: Invoice, nets: Sequence[Decimal], tax: Tax) -> tuple[list[Decimal], bool]:
    """The tax of each line, and whether the copy has Productive's rate.

    It comes to Productive's tax then, where rounding explains that. Where each line has the rate
    that stands for its tax in Productive it must: raises `tax_not_exact`.
    """
    charges = Charges(
        tuple(
            Charged(net, line.tax_parts, line.tax_name)
            for line, net in zip(invoice.lines, nets, strict=True)
        ),
        invoice.tax,
        invoice.currency,
        is_discounted=bool(invoice.discount_percent),
    )
    if tax.lines:
        return _mapped(invoice, charges, tax), True
    is_its_rate = charges.is_of_rate(tax.percent)
    mirrored = charges.mirrored(tax.percent) if is_its_rate else None
    return mirrored or own_taxes(nets, tax.percent, invoice.currency), is_its_rate


def _mapped(invoice: Invoice, charges: Charges, tax: Tax) -> list[Decimal]:
    percents = [one.percent for one in tax.lines]
    own = charges.own(percents)
    # Where Sage computes the taxes nothing can be spread.
    found = charges.mirrored_by_line(percents) if tax.is_sent else own
    if found is not None and sum(found, money.ZERO) == invoice.tax:
        return found
    came_to = sum(own, money.ZERO)
    raise Refused(
        f"Productive shows {money.said(invoice.tax, invoice.currency)} tax for {invoice.label}, "
        f"and the rates that stand for its lines' taxes come to "
        f"{money.said(came_to, invoice.currency)}, which no rounding explains",
        code="tax_not_exact",
        hint="look at the taxes of its lines in Productive; or copy it with one rate for all "
        "lines, `--tax-rate` or `--no-tax`, and the difference is said",
        details={"productive": str(invoice.tax), "planned": str(came_to)},
    )
