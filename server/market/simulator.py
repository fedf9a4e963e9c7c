"""Simulated market data: geometric Brownian motion, the same ticks for the same seed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping

import numpy as np

from server.market.feed import FloatArray, LongArray, TickBatch

# A trading year: 252 sessions of 6.5 hours.
TRADING_SECONDS_A_YEAR = 252 * 6.5 * 3600
TICK_SIZE = 0.01
# Half of the quoted spread as a share of the price; at least one tick is quoted.
HALF_SPREAD = 0.0001
# Shares traded in a symbol each second, on average, in lots of 100.
SHARES_A_SECOND = 2_000
LOT = 100


class Simulator:
    """A market that ticks every symbol once an interval.

    Prices follow a driftless geometric Brownian motion and are quoted in cents; volume adds up
    from the start of the feed. The same seed and options give the same ticks, but for their
    timestamps, which begin with the clock's at the start of the feed.

    Args:
        base_prices: the reference price of each symbol, in dollars.
        tick_interval: seconds between two ticks of a symbol, above 0.
        volatility: annualised standard deviation of returns (0.35 is 35 %), 0 or more.
        seed: seed of the random generator; None draws one.
    """

    name = "simulator"

    def __init__(
        self,
        base_prices: Mapping[str, float],
        *,
        tick_interval: float = 0.2,
        volatility: float = 0.35,
        seed: int | None = None,
    ) -> None:
        if not (math.isfinite(tick_interval) and tick_interval > 0):
            raise ValueError(f"tick_interval must be above 0 seconds, not {tick_interval!r}")
        if not (math.isfinite(volatility) and volatility >= 0):
            raise ValueError(f"volatility must be 0 or more a year, not {volatility!r}")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must be 0 or more, not {seed}")
        bad = {s: p for s, p in base_prices.items() if not (math.isfinite(p) and p > 0)}
        if bad or not base_prices:
            raise ValueError(f"base prices must be given and above 0, not {bad or 'none at all'}")
        self.symbols = tuple(base_prices)
        self.opening_prices = dict(base_prices)
        self.tick_interval = tick_interval
        self.volatility = volatility
        self.seed = np.random.SeedSequence(seed).entropy if seed is None else seed

    def batches(self) -> Iterator[TickBatch]:
        """Yield one tick of every symbol an interval, without end."""
        random = np.random.default_rng(self.seed)
        symbol = np.array(self.symbols, dtype=object)
        reference = np.array([self.opening_prices[s] for s in self.symbols])
        step = self.volatility * math.sqrt(self.tick_interval / TRADING_SECONDS_A_YEAR)
        lots_a_tick = SHARES_A_SECOND * self.tick_interval / LOT
        log_return = np.zeros(len(symbol))
        volume: LongArray = np.zeros(len(symbol), dtype=np.int64)
        started_ns = time.time_ns()
        tick = 0
        while True:
            log_return += step * random.standard_normal(len(symbol)) - step * step / 2
            price = np.maximum(_to_tick_size(reference * np.exp(log_return)), 2 * TICK_SIZE)
            half_spread = np.maximum(_to_tick_size(price * HALF_SPREAD), TICK_SIZE)
            volume = volume + LOT * random.poisson(lots_a_tick, len(symbol))
            yield TickBatch(
                due_s=tick * self.tick_interval,
                symbol=symbol,
                price=price,
                bid=_to_tick_size(price - half_spread),
                ask=_to_tick_size(price + half_spread),
                volume=volume,
                reference=reference,
                timestamp_ns=np.full(
                    len(symbol), started_ns + round(tick * self.tick_interval * 1e9), dtype=np.int64
                ),
            )
            tick += 1


def _to_tick_size(price: FloatArray) -> FloatArray:
    # Dividing by 100 gives the double nearest to the cent, multiplying by 0.01 does not.
    cents: FloatArray = np.round(price * 100)
    return cents / 100
