"""What stands for a line's tax in Productive, and that the taxes come to Productive's: pure."""

from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from productive_sage.copying.drafts import sales_document
from productive_sage.copying.records import Draft
from productive_sage.errors import Refused
from productive_sage.kinds import INVOICE
from productive_sage.productive.records import Address, Company, Invoice, InvoiceLine
from productive_sage.tax import LineTax, Tax, spread, taxmap

DAY = date(2026, 2, 9)

CENT = Decimal("0.01")


def line(name: str = "", *parts: str, is_shown: bool = True, amount: str = "10.00") -> InvoiceLine:
    """A line with a tax of this name and these percentages."""
    rate = tuple(map(Decimal, parts)) if is_shown else None
    price = Decimal(amount)
    return InvoiceLine(
        "1", "Work", Decimal(1), price, Decimal(0), price, tax_parts=rate, tax_name=name
    )


TABLE = {"VAT 20%": "A", "20": "B", "5,0 %": "C", "none": "D", "Reverse charge": "E", "0": "F"}


@pytest.mark.parametrize(
    ("one", "key"),
    [
        (line("VAT 20%", "20"), "VAT 20%"),
        (line("vat  20.00 %", "20"), "VAT 20%"),
        (line("Something", "20"), "20"),
        (line("", "20"), "20"),
        (line("VAT", "5"), "5,0 %"),
        (line("Both", "2", "3"), "5,0 %"),
        (line("Reverse charge"), "Reverse charge"),
        (line("Exempt"), "0"),
        (line(), "none"),
        (line("VAT 17%", "17"), None),
        (line(is_shown=False), None),
        (line("VAT 20%", is_shown=False), "VAT 20%"),
        (line("VAT 17%", is_shown=False), None),
    ],
)
def test_a_tax_is_meant_by_its_name_before_its_percentage(
    one: InvoiceLine, key: str | None
) -> None:
    assert taxmap.key_of(TABLE, one) == key


@pytest.mark.parametrize(
    ("one", "shown", "key"),
    [
        (line("VAT 20%", "20"), "`VAT 20%` (20 %)", "VAT 20%"),
        (line("", "9.5", "0.5"), "10 %", "10"),
        (line("Exempt"), "`Exempt` (0 %)", "Exempt"),
        (line(), "no tax", "none"),
        (line("VAT", is_shown=False), "`VAT`", "VAT"),
        (line(is_shown=False), "a tax that Productive does not show", "PERCENTAGE"),
    ],
)
def test_a_tax_is_said_as_people_know_it(one: InvoiceLine, shown: str, key: str) -> None:
    assert (taxmap.shown(one), taxmap.key_for(one)) == (shown, key)
    assert taxmap.has_no_tax(one) == (shown == "no tax")


def test_a_line_without_tax_is_in_no_table_that_does_not_say_so() -> None:
    assert taxmap.key_of({"0": "A", "": "B"}, line()) == ""
    assert taxmap.key_of({"0": "A"}, line()) is None


# --- to the cent


def test_a_line_without_a_rate_never_gets_a_cent() -> None:
    assert spread([Decimal(0)], CENT, "GBP") is None
    assert spread([Decimal(0), Decimal("0.004")], CENT, "GBP") == [0, CENT]


RATES = {"A": ("20",), "B": ("5",), "C": ("5", "9.975"), "D": ("17.5",), "E": (), "F": ("20",)}


@st.composite
def taxed(draw: st.DrawFn, off: st.SearchStrategy[int]) -> tuple[Invoice, Tax]:
    """An invoice whose lines have taxes, rounded in one of Productive's ways, or off by some."""
    currency, unit = draw(st.sampled_from([("GBP", CENT), ("JPY", Decimal(1))]))
    names = draw(st.lists(st.sampled_from([*RATES]), min_size=1, max_size=30))
    nets = [draw(st.integers(-50, 99_999)) * unit for _ in names]
    if sum(nets) < 0:
        nets = [-net for net in nets]

    def half_up(value: Decimal) -> Decimal:
        return value.quantize(unit, ROUND_HALF_UP)

    is_apart, on_subtotal = draw(st.booleans()), draw(st.booleans())
    rates = {name: tuple(map(Decimal, parts)) for name, parts in RATES.items()}
    parts = {n: p if is_apart else (sum(p, Decimal(0)),) for n, p in rates.items()}
    bases = list(zip(names, nets, strict=True))
    if on_subtotal:
        bases = [(n, sum((b for m, b in bases if m == n), Decimal(0))) for n in set(names)]
    whole = sum((half_up(b * p / 100) for n, b in bases for p in parts[n]), Decimal(0))
    lines = [
        replace(line(name, *RATES[name]), id=str(n), amount=net, unit_price=net)
        for n, (name, net) in enumerate(zip(names, nets, strict=True))
    ]
    percents = [sum(rates[name], Decimal(0)) for name in names]
    tax = Tax(
        "", Decimal(0), lines=tuple(map(LineTax, names, percents, [None] * len(names), names))
    )
    return an_invoice(lines, currency, tax=whole + draw(off) * unit), tax


def an_invoice(lines: list[InvoiceLine], currency: str, *, tax: Decimal) -> Invoice:
    known: dict[str, Any] = {"kind": INVOICE, "company": Company("5", "J"), "bill_to": Address()}
    net = sum((one.amount for one in lines), Decimal(0))
    return Invoice(
        *("123", "INV-1", currency, DAY, None, True),
        **known,
        net=net,
        tax=tax,
        discount_percent=Decimal(0),
        lines=tuple(lines),
    )


def planned(invoice: Invoice, tax: Tax) -> Draft | None:
    """The draft; None where it is refused since the tax cannot be Productive's."""
    try:
        return sales_document(
            invoice, tax=tax, marker="M", default_ledger_account="1", items={}, number=None
        )
    except Refused as error:
        if error.code == "tax_not_exact":
            return None
        raise


PARTS = [0, *(pytest.param(n, marks=pytest.mark.torture) for n in range(1, 4))]
"""Each of hundreds of random invoices; `make check` plays one."""


@pytest.mark.parametrize("part", PARTS)
@settings(max_examples=400, deadline=None)
@given(case=taxed(off=st.sampled_from([0, 0, 0, 1, -1, 2, -7, 50])))
def test_the_taxes_of_the_lines_come_to_productives_to_the_cent_or_nothing_is_planned(
    part: int, case: tuple[Invoice, Tax]
) -> None:
    invoice, tax = case
    unit = Decimal(1) if invoice.currency == "JPY" else CENT
    draft = planned(invoice, tax)
    if draft is None:
        return

    assert sum(one.tax for one in draft.lines) == draft.tax == invoice.tax
    assert draft.total == invoice.net + invoice.tax
    assert draft.notices == ()
    for one, rate in zip(draft.lines, tax.lines, strict=True):
        assert one.tax_rate_id == rate.rate_id
        assert abs(one.tax - one.net * rate.percent / 100) <= unit
        assert one.tax == 0 or (one.net and rate.percent)


@pytest.mark.parametrize("part", PARTS)
@settings(max_examples=300, deadline=None)
@given(case=taxed(off=st.just(0)))
def test_what_productive_rounds_in_its_ways_is_always_planned(
    part: int, case: tuple[Invoice, Tax]
) -> None:
    draft = planned(*case)

    assert draft is not None
    assert draft.tax == case[0].tax
