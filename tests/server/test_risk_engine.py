"""Greeks: published values, an independent implementation, identities, and the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from server.risk_engine import calculate_greeks, option_greeks

prices = st.floats(1.0, 5_000.0)
moneyness = st.floats(0.3, 3.0)
times = st.floats(0.01, 5.0)
rates = st.floats(-0.02, 0.15)
volatilities = st.floats(0.05, 1.5)


def test_values_published_by_hull() -> None:
    # Hull, Options, Futures, and Other Derivatives: the running example of "The Greek letters".
    delta, gamma, theta, vega = calculate_greeks(49, strike=50, T=0.3846, r=0.05, sigma=0.2)
    assert delta == pytest.approx(0.52160, abs=5e-6)
    assert gamma == pytest.approx(0.06555, abs=5e-6)
    assert vega / 100 == pytest.approx(0.12105, abs=5e-6)
    assert theta / 365 == pytest.approx(-0.01180, abs=5e-6)


def test_strike_is_five_percent_above_the_price_where_none_is_given() -> None:
    assert calculate_greeks(200.0) == calculate_greeks(200.0, strike=210.0)


@given(price=prices, ratio=moneyness, t=times, r=rates, sigma=volatilities)
def test_greeks_equal_those_of_vollib(
    price: float, ratio: float, t: float, r: float, sigma: float
) -> None:
    from vollib.black_scholes.greeks import analytical

    strike = price * ratio
    for flag, kind in (("c", "call"), ("p", "put")):
        ours = option_greeks(price, strike, t, r, sigma, kind)  # type: ignore[arg-type]
        arguments = (flag, price, strike, t, r, sigma)
        assert ours.delta == pytest.approx(analytical.delta(*arguments), abs=1e-9)
        assert ours.gamma == pytest.approx(analytical.gamma(*arguments), rel=1e-6, abs=1e-12)
        # vollib gives theta a day and vega for one point of volatility.
        assert ours.theta / 365 == pytest.approx(analytical.theta(*arguments), rel=1e-6, abs=1e-9)
        assert ours.vega / 100 == pytest.approx(analytical.vega(*arguments), rel=1e-6, abs=1e-9)


@given(price=prices, ratio=moneyness, t=times, r=rates, sigma=volatilities)
def test_put_and_call_satisfy_parity(
    price: float, ratio: float, t: float, r: float, sigma: float
) -> None:
    call = option_greeks(price, price * ratio, t, r, sigma, "call")
    put = option_greeks(price, price * ratio, t, r, sigma, "put")
    assert call.delta - put.delta == pytest.approx(1.0, abs=1e-12)
    assert call.gamma == put.gamma
    assert call.vega == put.vega
    carry = r * price * ratio * math.exp(-r * t)
    assert call.theta - put.theta == pytest.approx(-carry, rel=1e-9, abs=1e-9)


@given(
    price=st.one_of(st.just(0.0), st.floats(1e-12, 1e9)),
    strike=st.floats(1e-9, 1e9),
    t=st.one_of(st.just(0.0), st.floats(0.0, 100.0)),
    r=st.floats(-0.1, 1.0),
    sigma=st.one_of(st.just(0.0), st.floats(0.0, 10.0)),
    kind=st.sampled_from(["call", "put"]),
)
def test_nothing_is_ever_infinite_or_not_a_number(
    price: float, strike: float, t: float, r: float, sigma: float, kind: str
) -> None:
    greeks = option_greeks(price, strike, t, r, sigma, kind)  # type: ignore[arg-type]
    assert all(np.isfinite(g) for g in greeks)
    low, high = (0.0, 1.0) if kind == "call" else (-1.0, 0.0)
    assert low <= greeks.delta <= high
    assert greeks.gamma >= 0
    assert greeks.vega >= 0


@pytest.mark.parametrize(
    ("price", "delta"), [(120.0, 1.0), (80.0, 0.0), (100.0, 0.5)], ids=["in", "out", "at"]
)
def test_at_expiry_delta_is_whether_the_option_pays(price: float, delta: float) -> None:
    greeks = option_greeks(price, 100.0, T=0.0, r=0.05, sigma=0.2)
    assert (greeks.delta, greeks.gamma, greeks.vega) == (delta, 0.0, 0.0)


def test_without_volatility_the_call_is_a_forward_or_nothing() -> None:
    # Worth S - K e^(-rT): in the money on the forward though out of it on the spot.
    inside = option_greeks(99.0, 100.0, T=1.0, r=0.05, sigma=0.0)
    assert (inside.delta, inside.gamma) == (1.0, 0.0)
    assert inside.theta == pytest.approx(-0.05 * 100 * math.exp(-0.05))
    outside = option_greeks(90.0, 100.0, T=1.0, r=0.05, sigma=0.0)
    assert (outside.delta, outside.theta) == (0.0, 0.0)


@given(price=prices, ratio=moneyness, r=rates, sigma=volatilities)
def test_the_edge_is_the_limit_of_what_leads_to_it(
    price: float, ratio: float, r: float, sigma: float
) -> None:
    assume(abs(ratio - 1) > 0.01)
    near = option_greeks(price, price * ratio, 1e-9, r, sigma)
    edge = option_greeks(price, price * ratio, 0.0, r, sigma)
    assert np.allclose(near, edge, rtol=1e-6, atol=1e-6)


def test_arrays_broadcast_and_equal_single_values() -> None:
    spots = np.array([80.0, 100.0, 120.0])
    strikes = np.array([[90.0], [110.0]])
    together = option_greeks(spots, strikes, kind="put")
    assert together.delta.shape == (2, 3)
    for row, strike in enumerate(strikes[:, 0]):
        for column, spot in enumerate(spots):
            alone = option_greeks(spot, strike, kind="put")
            assert [g[row, column] for g in together] == pytest.approx([float(g) for g in alone])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"price": -1.0}, "price"),
        ({"price": math.nan}, "price"),
        ({"strike": 0.0}, "strike"),
        ({"T": -0.1}, "T"),
        ({"sigma": -0.2}, "sigma"),
        ({"r": math.inf}, "r"),
        ({"kind": "straddle"}, "kind"),
    ],
)
def test_an_argument_out_of_range_is_named(arguments: dict[str, object], name: str) -> None:
    good: dict[str, object] = {"price": 100.0, "strike": 100.0}
    with pytest.raises(ValueError, match=f"^{name} must be"):
        option_greeks(**{**good, **arguments})  # type: ignore[arg-type]
