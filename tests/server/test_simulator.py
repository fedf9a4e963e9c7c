"""The simulated market: reproducible, and with the statistics that it promises."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.market.simulator import TRADING_SECONDS_A_YEAR, Simulator
from server.market_data import BASE_PRICES, SYMBOLS


def ticks(seed: int | None, count: int = 50, **options: float) -> list[tuple[object, ...]]:
    feed = Simulator(BASE_PRICES, seed=seed, **options)
    # The last column is the clock's.
    return [
        tuple(c.tolist() for c in batch.price_columns()[:-1])
        for batch in islice(feed.batches(), count)
    ]


@given(seed=st.integers(0, 2**32))
def test_same_seed_same_ticks(seed: int) -> None:
    assert ticks(seed, 5) == ticks(seed, 5)
    assert ticks(seed, 5) != ticks(seed + 1, 5)


def test_a_feed_starts_again_from_the_beginning_and_keeps_a_seed_that_it_drew() -> None:
    feed = Simulator(BASE_PRICES)
    first, second = ([b.price.tolist() for b in islice(feed.batches(), 5)] for _ in range(2))
    assert first == second
    assert ticks(None, 5) != ticks(None, 5)


@given(
    seed=st.integers(0, 2**32),
    volatility=st.floats(0.0, 50.0),
    interval=st.floats(0.001, 10.0),
)
def test_quotes_stand_around_a_positive_price_and_volume_grows(
    seed: int, volatility: float, interval: float
) -> None:
    feed = Simulator(BASE_PRICES, seed=seed, volatility=volatility, tick_interval=interval)
    volume = np.zeros(len(SYMBOLS))
    due = -1.0
    for batch in islice(feed.batches(), 30):
        assert batch.due_s > due
        due = batch.due_s
        assert (batch.bid > 0).all()
        assert (batch.bid < batch.price).all()
        assert (batch.price < batch.ask).all()
        assert (batch.volume >= volume).all()
        volume = batch.volume
        symbol, price, _, _, _, change, change_pct, _ = batch.price_columns()
        for s, p, c, pct in zip(symbol, price, change, change_pct, strict=True):
            assert c == p - BASE_PRICES[s]
            assert pct == pytest.approx(100 * (p / BASE_PRICES[s] - 1), abs=1e-9)


def test_returns_have_the_volatility_that_was_asked_for() -> None:
    interval, volatility = 60.0, 0.5
    feed = Simulator(
        {"A": 10_000.0, "B": 10_000.0}, seed=3, tick_interval=interval, volatility=volatility
    )
    path = np.array([b.price for b in islice(feed.batches(), 5_000)])
    a_year = np.diff(np.log(path), axis=0).std() * math.sqrt(TRADING_SECONDS_A_YEAR / interval)
    assert a_year == pytest.approx(volatility, rel=0.03)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tick_interval": 0.0}, "tick_interval"),
        ({"tick_interval": math.nan}, "tick_interval"),
        ({"volatility": -0.1}, "volatility"),
        ({"base_prices": {"AAPL": 0.0}}, "base prices"),
        ({"base_prices": {}}, "base prices"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Simulator(**{"base_prices": BASE_PRICES, **options})  # type: ignore[arg-type]
