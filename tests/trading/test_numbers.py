"""Exact numbers: what is taken, what is refused, and shares that add up."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.errors import NumberError
from trading.numbers import (
    div_away,
    div_half_even,
    fee_share,
    from_units,
    product_fits,
    round_to_increment,
    to_decimal,
    to_units,
)


@pytest.mark.parametrize(
    ("given_as", "decimals", "units"),
    [
        (101, 2, 10100),
        ("101.25", 2, 10125),
        (Decimal("101.250"), 2, 10125),
        (0.29, 2, 29),  # int(0.29 * 100) is 28
        (1.15, 2, 115),
        (1e-8, 8, 1),
        (np.float64(4.35), 2, 435),
        (np.int64(7), 3, 7000),
        (" -3.5 ", 1, -35),
        ("1e3", 0, 1000),
        (0, 5, 0),
    ],
)
def test_what_is_taken(given_as: object, decimals: int, units: int) -> None:
    assert to_units(given_as, decimals) == units
    assert from_units(units, decimals) == to_decimal(given_as)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("1.001", "more than 2 decimals"),
        (0.1 + 0.2, "more than 2 decimals"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        ("NaN", "finite"),
        (Decimal("-Infinity"), "finite"),
        (Decimal("sNaN"), "finite"),
        ("ten", "the text 'ten'"),
        (True, "truth value"),
        (None, "NoneType"),
        ([1], "list"),
        ("1e90", "digits"),
    ],
)
def test_what_is_refused(bad: object, said: str) -> None:
    with pytest.raises(NumberError, match=said) as caught:
        to_units(bad, 2, "limit_price")
    assert str(caught.value).startswith("limit_price: ")


def test_every_two_decimal_price_survives_a_float() -> None:
    assert all(to_units(cents / 100, 2) == cents for cents in range(20_000))


@given(st.integers(-(10**30), 10**30), st.integers(0, 18))
def test_there_and_back(units: int, decimals: int) -> None:
    with localcontext() as context:
        context.prec = 3  # the thread's context must not matter
        assert to_units(from_units(units, decimals), decimals) == units


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.integers(1, 10**6), min_size=1, max_size=20),
)
def test_shares_of_a_fee_add_up(fee: int, pieces: list[int]) -> None:
    quantity, before, shares = sum(pieces), 0, []
    for piece in pieces:
        shares.append(fee_share(fee, quantity, before, piece))
        assert abs(shares[-1] - Fraction(fee * piece, quantity)) < 1
        before += piece
    assert sum(shares) == fee


@given(st.integers(-(10**12), 10**12), st.integers(-(10**6), 10**6).filter(bool))
def test_rounded_quotients(a: int, b: int) -> None:
    exact = Fraction(a, b)
    assert div_half_even(a, b) == round(exact)
    away = div_away(a, b)
    assert abs(away) >= abs(exact) > abs(away) - 1 or away == exact == 0


@pytest.mark.parametrize(
    ("value", "step", "way", "rounded"),
    [
        ("100.13", "0.25", "down", "100.00"),
        ("100.13", "0.25", "up", "100.25"),
        ("100.125", "0.25", "nearest", "100.00"),
        ("100.375", "0.25", "nearest", "100.50"),
        ("-0.13", "0.25", "down", "-0.25"),
        (7, 5, "up", "10"),
    ],
)
def test_rounding_to_an_increment(value: object, step: object, way: str, rounded: str) -> None:
    assert round_to_increment(value, step, way) == Decimal(rounded)  # type: ignore[arg-type]


def test_numpy_would_wrap() -> None:
    assert product_fits(3_037_000_499, 3_037_000_499)
    assert not product_fits(3_037_000_500, 3_037_000_500)
    with np.errstate(over="ignore"):
        assert np.int64(3_037_000_500) * np.int64(3_037_000_500) < 0
