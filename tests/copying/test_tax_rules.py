"""The pure part of taxes: which rate is meant, where a customer is, and every cent of it."""

from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from productive_sage import tax
from productive_sage.errors import TaxRateInvalid
from productive_sage.sage.records import TaxRate
from productive_sage.tax import Charged, Charges, Sale

CENT = Decimal("0.01")
DAY = date(2026, 2, 9)


def a_rate(key: str, code: str, name: str, percent: str, **more: bool) -> TaxRate:
    percentages = ((Decimal(percent), None, None),)
    return TaxRate(key, code, name, **{"is_visible": True, **more}, percentages=percentages)


STANDARD = TaxRate(
    "GB_STANDARD",
    "STANDARD",
    "Standard 20.00%",
    is_visible=True,
    percentages=(
        (Decimal("17.5"), None, date(2011, 1, 3)),
        (Decimal(20), date(2011, 1, 4), None),
    ),
)
LOWER = a_rate("GB_LOWER", "LOWER", "Lower Rate 5.00%", "5")
ZERO = a_rate("GB_ZERO", "ZERO", "Zero Rated 0.00%", "0")
EXEMPT = a_rate("GB_EXEMPT", "EXEMPT", "Exempt 0.00%", "0")
NO_TAX = a_rate("GB_NO_TAX", "NO_TAX", "No VAT", "0")
FLAT = a_rate("GB_FLAT", "FLAT", "Flat 7.50%", "7.5", is_visible=False)
ENDED = replace(LOWER, id="GB_2020", percentages=((Decimal(5), None, date(2020, 12, 31)),))
RATES = [STANDARD, LOWER, ZERO, EXEMPT, NO_TAX, FLAT]


# --- rates


@pytest.mark.parametrize(("day", "percent"), [(date(2011, 1, 3), "17.5"), (date(2011, 1, 4), "20")])
def test_the_percentage_is_that_of_the_documents_date(day: date, percent: str) -> None:
    assert tax.percent_on(STANDARD, day) == Decimal(percent)


def test_a_hidden_or_ended_rate_is_refused() -> None:
    with pytest.raises(TaxRateInvalid, match="not valid on 2026-02-09"):
        tax.percent_on(ENDED, DAY)
    with pytest.raises(TaxRateInvalid, match="hidden"):
        tax.percent_on(FLAT, DAY)
    assert tax.percent_on(FLAT, DAY, even_hidden=True) == Decimal("7.5")


@pytest.mark.parametrize(
    ("wanted", "rate"),
    [
        ("GB_STANDARD", STANDARD),
        (" gb_standard ", STANDARD),
        ("Standard 20.00%", STANDARD),
        ("standard  20 %", STANDARD),
        ("Standard 20,0%", STANDARD),
        ("Standard 20.00% (GB_STANDARD)", STANDARD),
        ("Standard\N{NO-BREAK SPACE}20.00%", STANDARD),
        ("standard", STANDARD),
        ("20%", STANDARD),
        ("20", STANDARD),
        ("20.00 %", STANDARD),
        ("Lower Rate", LOWER),
        ("LOWER", LOWER),
        ("5", LOWER),
        ("no vat", NO_TAX),
        ("No Tax", NO_TAX),
        ("flat", FLAT),
    ],
)
def test_a_rate_is_meant_by_what_people_see_of_it(wanted: str, rate: TaxRate) -> None:
    assert tax.find([*RATES, ENDED], wanted, DAY) is rate


@pytest.mark.parametrize("wanted", ["GB_NONE", "7.5%", "Standard 5%", "%", "  ", "rate", "200"])
def test_what_is_no_rate_is_refused_naming_those_there_are(wanted: str) -> None:
    with pytest.raises(TaxRateInvalid, match="no tax rate") as refused:
        tax.find(RATES, wanted, DAY)

    assert "Standard 20.00%, Lower Rate 5.00%, Zero Rated 0.00%" in (refused.value.hint or "")
    assert "Flat" not in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ("0%", ["Zero Rated 0.00% (GB_ZERO)", "Exempt 0.00% (GB_EXEMPT)", "No VAT (GB_NO_TAX)"]),
        ("Standard 20.00%", ["(GB_STANDARD)", "(f3)"]),
    ],
)
def test_several_rates_of_one_percentage_or_name_are_refused_by_name(
    wanted: str, named: list[str]
) -> None:
    with pytest.raises(TaxRateInvalid) as refused:
        tax.find([*RATES, replace(STANDARD, id="f3")], wanted, DAY)

    assert [one for one in named if one not in refused.value.message] == []


def test_a_rate_reads_as_people_see_it_with_its_id_where_two_look_the_same() -> None:
    namesake = replace(LOWER, id="f3", is_visible=True)

    assert tax.label(LOWER, RATES) == "Lower Rate 5.00%"
    assert tax.label(LOWER, [*RATES, replace(namesake, is_visible=False)]) == "Lower Rate 5.00%"
    assert tax.label(LOWER, [*RATES, namesake]) == "Lower Rate 5.00% (GB_LOWER)"


GUID = "8a9b4b1f174c11e691e20a5d7cf84c3e"


@pytest.mark.parametrize(
    "rate",
    [
        NO_TAX,
        a_rate(GUID, "NO_TAX", "Outside 0.00%", "0"),
        a_rate(GUID, "X1", "No Tax", "0"),
        a_rate(GUID, "X1", "no vat 0.00 %", "0"),
    ],
    ids=lambda rate: rate.name,
)
def test_the_rate_for_no_tax_is_known_by_id_code_or_name(rate: TaxRate) -> None:
    hidden = replace(NO_TAX, id="f3", is_visible=False)

    assert tax.no_tax([STANDARD, ZERO, EXEMPT, hidden, rate], "GB", DAY) is rate
    assert tax.is_no_tax(rate, "GB")
    assert not tax.is_no_tax(ZERO, "GB")


def test_the_only_rate_without_a_percentage_is_the_one_for_no_tax() -> None:
    assert tax.no_tax([STANDARD, EXEMPT, FLAT], "GB", DAY) is EXEMPT


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ([STANDARD, ZERO, EXEMPT], "Zero Rated 0.00%, Exempt 0.00%"),
        ([STANDARD], "make it visible"),
        ([replace(NO_TAX, is_visible=False)], "make it visible"),
        ([replace(NO_TAX, id="f1"), replace(NO_TAX, id="f2")], "No VAT (f1), No VAT (f2)"),
        ([a_rate("GB_NO_TAX", "NO_TAX", "No VAT", "20")], "make it visible"),
    ],
)
def test_without_one_rate_for_no_tax_it_is_said_what_to_do(
    rates: list[TaxRate], words: str
) -> None:
    with pytest.raises(TaxRateInvalid) as refused:
        tax.no_tax(rates, "GB", DAY)

    assert words in f"{refused.value.message} {refused.value.hint}"
    assert "--tax-rate" in (refused.value.hint or "")


def test_the_zero_rate_is_known_by_id_or_code() -> None:
    other = replace(ZERO, id=GUID)

    assert tax.zero_rate([*RATES, other], "GB", DAY) is ZERO
    assert tax.zero_rate([STANDARD, EXEMPT, other], "GB", DAY) is other
    with pytest.raises(TaxRateInvalid, match="GB_ZERO"):
        tax.zero_rate([STANDARD, EXEMPT, NO_TAX], "GB", DAY)


# --- countries


@pytest.mark.parametrize(
    ("country", "number", "postal_code", "found"),
    [
        ("FR", "GB123456789", "", "FR"),
        ("", "FR40303265045", "", "FR"),
        ("", "fr 40 303 265 045", "", "FR"),
        ("", "EL123456789", "", "GR"),
        ("", "XI123456789", "", "XI"),
        ("GB", "XI 123456789", "", "XI"),
        ("GB", "", "BT1 5GS", "XI"),
        ("GB", "GB123456789", "B1 1AA", "GB"),
        ("", "CHE-123.456.789 MWST", "", "CH"),
        ("", "NO987654325MVA", "", "NO"),
        ("", "NL123456789B01", "", "NL"),
        ("", "ATU12345678", "", "AT"),
        ("", "123 4567 82", "", ""),
        ("", "No. 4711", "", ""),
        ("", "NO 12345", "", ""),
        ("", "DE", "", ""),
        ("", "Details follow", "", ""),
        ("", "ZZ123456789", "", ""),
        ("", "", "BT1 5GS", ""),
    ],
)
def test_where_a_customer_is(country: str, number: str, postal_code: str, found: str) -> None:
    assert tax.country_of(country, number, postal_code) == found


@pytest.mark.parametrize(
    ("home", "country", "is_at_home", "is_zero_rated", "wants_type"),
    [
        ("GB", "GB", True, False, False),
        ("GB", "XI", True, False, False),
        ("GB", "IM", True, False, False),
        ("GB", "FR", False, True, True),
        ("GB", "US", False, True, True),
        ("GB", "", False, False, False),
        ("IE", "IE", True, False, False),
        ("IE", "DE", False, True, True),
        ("IE", "XI", False, True, True),
        ("IE", "GB", False, True, False),
        ("IE", "US", False, True, False),
        ("IE", "", False, False, False),
        ("FR", "FR", True, False, False),
        ("FR", "DE", False, False, False),
    ],
)
def test_the_rules_for_sales_abroad(
    home: str, country: str, is_at_home: bool, is_zero_rated: bool, wants_type: bool
) -> None:
    sale = Sale(home, country)

    assert sale.is_at_home == is_at_home
    assert sale.is_abroad == (bool(country) and not is_at_home)
    assert (sale.is_zero_rated, sale.wants_type) == (is_zero_rated, wants_type)
    unregistered = replace(sale, is_registered=False)
    assert (unregistered.is_zero_rated, unregistered.wants_type) == (False, False)


# --- cents


def charges(
    nets: list[str], whole: str, *parts: str, currency: str = "GBP", **more: bool
) -> Charges:
    rate = tuple(map(Decimal, parts))
    lines = tuple(Charged(Decimal(net), rate) for net in nets)
    return Charges(lines, Decimal(whole), currency, **more)


@pytest.mark.parametrize(
    ("charged", "percent", "taxes"),
    [
        (charges(["2.53", "3.68", "10.03"], "3.26", "20"), "20", ["0.51", "0.74", "2.01"]),
        (charges(["2.53", "3.68", "10.03"], "3.25", "20"), "20", ["0.51", "0.74", "2.00"]),
        (charges(["0.02", "0.02", "0.02"], "0.01", "20"), "20", ["0.01", "0.00", "0.00"]),
        (charges(["0.03", "0.00", "0.03"], "0.01", "20"), "20", ["0.01", "0.00", "0.00"]),
        (charges(["10.10"], "1.51", "5", "9.975"), "14.975", ["1.51"]),
        (charges(["10.10"], "1.52", "5", "9.975"), "14.975", ["1.52"]),
        (charges(["10.10"], "1.51", "14.975"), "14.975", ["1.51"]),
        (charges(["103", "103", "104"], "31", "10", currency="JPY"), "10", ["10", "10", "11"]),
        (charges(["1.13", "1.13"], "0.45", "20"), "20", ["0.22", "0.23"]),
        (charges(["5.00", "-1.13"], "0.77", "20"), "20", ["1.00", "-0.23"]),
    ],
)
def test_the_lines_taxes_come_to_productives_tax(
    charged: Charges, percent: str, taxes: list[str]
) -> None:
    assert charged.is_of_rate(Decimal(percent))
    found = charged.mirrored(Decimal(percent))

    assert found is not None
    assert [str(one) for one in sorted(found)] == sorted(taxes, key=Decimal)


@pytest.mark.parametrize(
    "charged",
    [
        charges(["10.00"], "2.01", "20"),
        charges(["10.00"], "1.98", "20"),
        charges(["2.53", "3.68", "10.03"], "3.24", "20"),
        charges(["10.10"], "1.53", "20"),
        charges(["1.00"], "0.205", "20", currency="KWD"),
    ],
)
def test_a_cent_that_no_rounding_explains_is_not_hidden(charged: Charges) -> None:
    assert charged.is_of_rate(Decimal(20))
    assert charged.mirrored(Decimal(20)) is None


def unknown(nets: list[str], whole: str) -> Charges:
    return Charges(tuple(Charged(Decimal(net), None) for net in nets), Decimal(whole), "GBP")


@pytest.mark.parametrize(
    ("charged", "is_of_rate"),
    [
        (charges(["10.00"], "2.00", "20"), True),
        (charges(["10.00"], "0.50", "5"), False),
        (charges(["10.00"], "0.00"), False),
        (charges(["0.00"], "0.00"), True),
        (Charges((*charges(["9.00"], "0", "20").lines, Charged(CENT, ())), CENT, "GBP"), False),
        (unknown(["25065.69"], "5013.14"), True),
        (unknown(["2.53", "3.68", "10.03"], "3.25"), True),
        (unknown(["10.00"], "2.01"), False),
        (unknown(["10.00"], "0.00"), False),
        (charges(["10.00"], "2.00"), True),  # not by its lines, yet by its tax
        (charges(["10.00"], "1.00"), False),
    ],
)
def test_a_copy_has_productives_rate_where_every_line_or_else_the_tax_says_so(
    charged: Charges, is_of_rate: bool
) -> None:
    assert charged.is_of_rate(Decimal(20)) == is_of_rate


@st.composite
def charged_by_productive(draw: st.DrawFn) -> tuple[Charges, Decimal]:
    """Lines of one rate, and their tax rounded in one of Productive's ways; with the percentage."""
    currency, unit = draw(st.sampled_from([("GBP", CENT), ("JPY", Decimal(1)), ("KWD", CENT)]))
    parts = draw(
        st.lists(st.decimals(0, 30, places=3).filter(bool), max_size=2).map(tuple)
        | st.sampled_from([(Decimal(20),), (Decimal(5), Decimal("9.975"))])
    )
    nets = [cents * unit for cents in draw(st.lists(st.integers(-999, 99_999), min_size=1))]

    def half_up(value: Decimal) -> Decimal:
        return value.quantize(unit, ROUND_HALF_UP)

    rates = parts if draw(st.booleans()) else (sum(parts, Decimal(0)),)
    bases = nets if draw(st.booleans()) else [sum(nets, Decimal(0))]
    whole = sum((half_up(base * rate / 100) for base in bases for rate in rates), Decimal(0))
    lines = tuple(Charged(net, parts) for net in nets)
    return Charges(lines, whole, currency), sum(parts, Decimal(0))


PARTS = [0, *(pytest.param(n, marks=pytest.mark.torture) for n in range(1, 3))]
"""Each of hundreds of random invoices; `make check` plays one."""


@pytest.mark.parametrize("part", PARTS)
@settings(max_examples=500, deadline=None)
@given(case=charged_by_productive())
def test_whatever_way_productive_rounds_the_copys_tax_is_its_own_to_the_cent(
    part: int,
    case: tuple[Charges, Decimal],
) -> None:
    charged, percent = case
    nets = [one.net for one in charged.lines]
    unit = Decimal(1) if charged.currency == "JPY" else CENT

    taxes = charged.mirrored(percent)

    assert taxes is not None
    assert sum(taxes) == charged.tax
    for one, net, own in zip(
        taxes, nets, tax.own_taxes(nets, percent, charged.currency), strict=True
    ):
        assert abs(one - own) <= unit
        assert abs(one - net * percent / 100) <= unit
        assert one == 0 or net


@pytest.mark.parametrize("part", PARTS)
@settings(max_examples=200, deadline=None)
@given(case=charged_by_productive(), off=st.integers(-300, 300))
def test_a_tax_that_is_off_is_mirrored_whole_or_not_at_all(
    part: int, case: tuple[Charges, Decimal], off: int
) -> None:
    charged, percent = case
    charged = replace(charged, tax=charged.tax + off * CENT, is_discounted=bool(off % 2))

    taxes = charged.mirrored(percent)

    unit = Decimal(1) if charged.currency == "JPY" else CENT
    assert taxes is None or sum(taxes) == charged.tax
    for one, line in zip(taxes or (), charged.lines, strict=False):
        assert abs(one - line.net * percent / 100) <= unit
