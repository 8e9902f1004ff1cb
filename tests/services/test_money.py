from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from productive_sage import money
from productive_sage.errors import AmountsUnclear


@pytest.mark.parametrize("sent", [15000, "15000", "15000.0", Decimal(15000)])
def test_minor_units_are_read_in_every_form_productive_sends(sent: object) -> None:
    assert money.from_minor(sent, 2) == Decimal("150.00")


@pytest.mark.parametrize(
    "sent",
    [
        "150.5",
        1.5,
        True,
        None,
        "",
        "12,00",
        "NaN",
        "Infinity",
        "1_000",
        "\uff11\uff12",
        " 12",
        "1.",
    ],
)
def test_what_is_not_a_whole_number_of_minor_units_is_refused(sent: object) -> None:
    with pytest.raises(AmountsUnclear):
        money.from_minor(sent, 2)


@pytest.mark.parametrize("sent", ["150.00", "15000.00", Decimal("15000.00"), "0.00", "15000.000"])
def test_what_is_written_like_major_units_is_refused(sent: object) -> None:
    with pytest.raises(AmountsUnclear, match="not a whole number of minor units"):
        money.from_minor(sent, 2)


@pytest.mark.parametrize(
    "sent",
    [
        "1e30",
        "1e999999999",
        "1e-999999999",
        Decimal("1e999999"),
        "9" * 2_000_000,
        10**4000,
        "0.3e-40",
    ],
    ids=lambda sent: repr(sent)[:12] if isinstance(sent, (str, Decimal)) else "long number",
)
def test_absurd_numbers_are_refused_and_quoted_in_brief(sent: object) -> None:
    with pytest.raises(AmountsUnclear) as caught:
        money.parse(sent)
    with pytest.raises(AmountsUnclear):
        money.from_minor(sent, 2)

    assert len(caught.value.message) < 100


def test_a_product_too_large_to_be_counted_is_refused() -> None:
    with pytest.raises(AmountsUnclear, match="of a size psage does not take"):
        money.round_half_up(Decimal("1e27") * 3, "GBP")


@pytest.mark.parametrize(
    ("value", "currency", "rounded"),
    [
        ("0.005", "GBP", "0.01"),
        ("-0.005", "GBP", "-0.01"),
        ("2.344999", "GBP", "2.34"),
        ("0.5", "JPY", "1"),
        ("1.0005", "KWD", "1.001"),
    ],
)
def test_a_half_is_rounded_away_from_zero(value: str, currency: str, rounded: str) -> None:
    assert money.round_half_up(Decimal(value), currency) == Decimal(rounded)


def test_an_amount_is_never_rounded_on_its_way_out() -> None:
    assert money.amount(Decimal("1E+2"), "GBP") == "100.00"
    assert money.amount(Decimal(100), "JPY") == "100"
    with pytest.raises(AmountsUnclear):
        money.amount(Decimal("1.005"), "GBP")


amounts = st.decimals(-10_000, 10_000, places=2)


@given(total=amounts, weights=st.lists(amounts, min_size=1, max_size=20))
def test_a_spread_adds_up_and_is_within_a_cent_of_the_exact_share(
    total: Decimal, weights: list[Decimal]
) -> None:
    whole = sum(weights, Decimal(0))
    if whole == 0:
        return

    parts = money.spread(total, weights, "GBP")

    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert money.is_exact(part, "GBP")
        assert abs(part - total * weight / whole) < Decimal("0.010001")


def test_equal_remainders_go_to_the_larger_amount_first() -> None:
    assert money.spread(Decimal("0.01"), [Decimal(1), Decimal(1)], "GBP") == [
        Decimal("0.01"),
        Decimal("0.00"),
    ]
