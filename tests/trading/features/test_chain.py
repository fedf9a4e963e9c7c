"""Implied volatility and Greeks against published values, the library, and finite differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vollib.black import black
from vollib.black.greeks import analytical as black_greeks
from vollib.black_scholes import black_scholes
from vollib.black_scholes.greeks import analytical as scholes_greeks

from trading.errors import OptionError
from trading.features import (
    by_strike,
    days_to_expiry,
    greeks,
    implied_volatility,
    option_chain,
    option_price,
)

MODELS = ["black_scholes", "black_76"]


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def test_published_values() -> None:
    """Hull, Options, Futures and Other Derivatives: the examples of Black-Scholes and Black."""
    call = option_price("C", 42, 40, 365 / 2, 0.2, rate=0.1)
    put = option_price("P", 42, 40, 365 / 2, 0.2, rate=0.1)
    assert float(call) == pytest.approx(4.76, abs=0.005)
    assert float(put) == pytest.approx(0.81, abs=0.005)
    # A put on a future: 20, strike 20, nine percent, four months, 25 %.
    future = option_price("P", 20, 20, 365 / 3, 0.25, rate=0.09, model="black_76")
    assert float(future) == pytest.approx(1.12, abs=0.005)
    # The Greeks of a call: stock 49, strike 50, 5 %, 20 weeks, 20 %.
    figures = greeks("C", 49, 50, 0.3846 * 365, 0.2, rate=0.05)
    assert float(figures.delta) == pytest.approx(0.522, abs=5e-4)
    assert float(figures.gamma) == pytest.approx(0.066, abs=5e-4)
    assert float(figures.vega) == pytest.approx(0.121, abs=5e-4)
    assert float(figures.theta) == pytest.approx(-4.31 / 365, abs=5e-5)
    assert float(figures.rho) == pytest.approx(8.91 / 100, abs=5e-4)


OPTIONS = {
    "right": st.sampled_from(["C", "P"]),
    "spot": st.floats(10, 500),
    "ratio": st.floats(0.7, 1.4),
    "days": st.floats(1, 700),
    "sigma": st.floats(0.08, 1.2),
    "rate": st.floats(0, 0.12),
}


@settings(deadline=None, max_examples=100)
@given(**OPTIONS)
def test_equal_to_the_library(
    right: str, spot: float, ratio: float, days: float, sigma: float, rate: float
) -> None:
    strike, years, flag = spot * ratio, days / 365, right.lower()
    names = ("delta", "gamma", "vega", "theta", "rho")
    ours = greeks(right, spot, strike, days, sigma, rate=rate)
    price = black_scholes(flag, spot, strike, years, rate, sigma)
    assert float(ours.price) == pytest.approx(price, rel=1e-9, abs=1e-11)
    for name in names:
        theirs = getattr(scholes_greeks, name)(flag, spot, strike, years, rate, sigma)
        assert float(getattr(ours, name)) == pytest.approx(theirs, rel=1e-8, abs=1e-11), name
    ours = greeks(right, spot, strike, days, sigma, rate=rate, model="black_76")
    price = black(flag, spot, strike, years, rate, sigma)
    assert float(ours.price) == pytest.approx(price, rel=1e-9, abs=1e-11)
    for name in names:
        theirs = getattr(black_greeks, name)(flag, spot, strike, years, rate, sigma)
        assert float(getattr(ours, name)) == pytest.approx(theirs, rel=1e-8, abs=1e-11), name


@settings(deadline=None, max_examples=60)
@given(**OPTIONS, model=st.sampled_from(MODELS))
def test_equal_to_finite_differences(
    right: str, spot: float, ratio: float, days: float, sigma: float, rate: float, model: Any
) -> None:
    strike = spot * ratio

    def price(s: float = spot, d: float = days, v: float = sigma, r: float = rate) -> float:
        return float(option_price(right, s, strike, d, v, rate=r, model=model))

    ours = greeks(right, spot, strike, days, sigma, rate=rate, model=model)
    h = spot * 1e-4
    near = {"rel": 2e-3, "abs": 1e-6 * spot}
    assert float(ours.delta) == pytest.approx((price(spot + h) - price(spot - h)) / (2 * h), **near)
    gamma = (price(spot + h) - 2 * price() + price(spot - h)) / h**2
    assert float(ours.gamma) == pytest.approx(gamma, rel=1e-2, abs=1e-5)
    vega = (price(v=sigma + 1e-5) - price(v=sigma - 1e-5)) / 2e-5
    assert float(ours.vega) == pytest.approx(vega / 100, **near)
    theta = -(price(d=days + 1e-3) - price(d=days - 1e-3)) / 2e-3
    assert float(ours.theta) == pytest.approx(theta, **near)
    rho = (price(r=rate + 1e-6) - price(r=rate - 1e-6)) / 2e-6
    assert float(ours.rho) == pytest.approx(rho / 100, **near)


@settings(deadline=None, max_examples=100)
@given(**OPTIONS, model=st.sampled_from(MODELS))
def test_the_implied_volatility_gives_the_price_back(
    right: str, spot: float, ratio: float, days: float, sigma: float, rate: float, model: Any
) -> None:
    strike = spot * ratio
    price = float(option_price(right, spot, strike, days, sigma, rate=rate, model=model))
    found = implied_volatility(price, right, spot, strike, days, rate=rate, model=model)
    figures = greeks(right, spot, strike, days, sigma, rate=rate, model=model)
    if found is None:
        # So far in or out of the money that the price says nothing.
        assert float(figures.vega) < 1e-6
        return
    again = float(option_price(right, spot, strike, days, found, rate=rate, model=model))
    assert again == pytest.approx(price, rel=1e-9, abs=1e-9)
    if float(figures.vega) > 1e-4:
        assert found == pytest.approx(sigma, rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_put_call_parity(model: Any) -> None:
    call, put = (float(option_price(r, 105, 100, 90, 0.3, model=model)) for r in "CP")
    discount = math.exp(-0.068 * 90 / 365)
    held = 105 if model == "black_scholes" else 105 * discount
    assert call - put == pytest.approx(held - 100 * discount, abs=1e-12)


def test_days_pass_within_sessions() -> None:
    expiry = ns("2024-03-08T21:00")  # A Friday's close in New York.
    for moment, days in [
        ("2024-03-04T14:30", 5.0),
        ("2024-03-04T10:00", 5.0),
        ("2024-03-04T17:45", 4.5),
        ("2024-03-04T21:00", 4.0),
        ("2024-03-05T03:00", 4.0),
        ("2024-03-08T14:30", 1.0),
        ("2024-03-08T20:59", 1 / 390),
        ("2024-03-08T21:00", 0.0),
        ("2024-03-09T12:00", 0.0),
        # A Saturday has no session: its day passes by the clock.
        ("2024-03-02T17:00", 6.5),
        ("2024-03-01T21:00", 7.0),
    ]:
        assert days_to_expiry(ns(moment), expiry, calendar="XNYS") == pytest.approx(days), moment
    assert days_to_expiry(ns("2024-03-04T15:00"), expiry) == 4.25
    # A half day passes too, within its three and a half hours.
    half = days_to_expiry(ns("2024-11-29T16:15"), ns("2024-11-29T18:00"), calendar="XNYS")
    assert half == pytest.approx(0.5)


def chain_input() -> pd.DataFrame:
    expiries = pd.to_datetime(["2024-03-15T20:00", "2024-04-19T20:00"], utc=True)
    rows = []
    for expiry in expiries:
        for strike in (110.0, 90.0, 100.0):
            for right in ("P", "C"):
                days = days_to_expiry(ns("2024-03-04T14:30"), expiry, calendar="XNYS")
                price = float(option_price(right, 101.0, strike, days, 0.25))
                name = f"XYZ{expiry:%y%m%d}{right}{round(strike * 1000):08d}"
                rows.append((name, strike, expiry, right, price))
    return pd.DataFrame(rows, columns=["symbol", "strike", "expiry", "right", "price"])


def test_a_chain_by_expiry_strike_and_right() -> None:
    options = chain_input()
    chain = option_chain(
        options, now=ns("2024-03-04T14:30"), underlying_price=101.0, calendar="XNYS"
    )
    rows = chain.to_pylist()
    assert [(r["expiry"].month, r["strike"], r["right"]) for r in rows] == [
        (month, strike, right)
        for month in (3, 4)
        for strike in (90.0, 100.0, 110.0)
        for right in "CP"
    ]
    for row in rows:
        assert row["implied_vol"] == pytest.approx(0.25, rel=1e-8)
        assert row["theoretical_price"] == pytest.approx(row["option_price"], rel=1e-9)
        assert row["moneyness"] == 101.0 / row["strike"]
        assert (row["delta"] > 0) == (row["right"] == "C")
        assert row["note"] is None
    assert {round(row["t_days"]) for row in rows} == {12, 47}
    desk = by_strike(chain)
    assert len(desk) == 6
    first = desk.to_pylist()[0]
    assert (first["strike"], first["call_symbol"]) == (90.0, "XYZ240315C00090000")
    assert first["call_delta"] - first["put_delta"] == pytest.approx(1.0, abs=1e-12)
    assert first["moneyness"] == 101.0 / 90.0


def test_prices_that_no_volatility_gives_are_said() -> None:
    expiry = pd.Timestamp("2024-03-15T20:00", tz="UTC")
    options = pd.DataFrame(
        [
            (90.0, expiry, "C", 5.0),
            (100.0, expiry, "C", 200.0),
            (100.0, expiry, "P", float("nan")),
            (100.0, pd.Timestamp("2024-03-01T20:00", tz="UTC"), "P", 1.0),
        ],
        columns=["strike", "expiry", "right", "price"],
    )
    options["volatility"] = [0.3, None, None, None]
    chain = option_chain(options, now=ns("2024-03-04T14:30"), underlying_price=101.0)
    notes = {
        (r["expiry"].day, r["strike"], r["right"]): (r["note"], r["implied_vol"], r["delta"])
        for r in chain.to_pylist()
    }
    assert notes[1, 100.0, "P"] == ("expired", None, None)
    assert notes[15, 100.0, "C"] == ("above the highest value", None, None)
    assert notes[15, 100.0, "P"] == ("no price", None, None)
    note, implied, delta = notes[15, 90.0, "C"]
    # With a volatility of its own it has Greeks all the same.
    assert (note, implied) == ("below intrinsic value", None)
    assert delta > 0.9


def test_an_empty_chain_and_wrong_ones() -> None:
    options = pa.Table.from_pandas(chain_input(), preserve_index=False)
    assert len(option_chain(options.slice(0, 0), now=0, underlying_price=1.0)) == 0
    with pytest.raises(OptionError, match="pass underlying_price="):
        option_chain(options, now=0)
    with pytest.raises(OptionError, match="right, price is missing"):
        option_chain(options.drop_columns(["right", "price"]), now=0, underlying_price=1.0)
    with pytest.raises(OptionError, match="got list"):
        option_chain([1], now=0)
    with pytest.raises(OptionError, match="'X'; it must be C or P"):
        greeks("X", 1, 1, 1, 0.1)
    with pytest.raises(OptionError, match="model is 'heston'"):
        greeks("C", 1, 1, 1, 0.1, model="heston")  # type: ignore[arg-type]
    bad = options.set_column(2, "expiry", pa.array(["2024"] * len(options)))
    with pytest.raises(OptionError, match="must be a moment"):
        option_chain(bad, now=0, underlying_price=1.0)
    chain = option_chain(options, now=0, underlying_price=101.0)
    with pytest.raises(OptionError, match="several calls"):
        by_strike(pa.concat_tables([chain, chain]))
