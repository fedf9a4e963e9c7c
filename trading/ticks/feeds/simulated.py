"""A simulated market with trades, quotes and order books: the same events for the same seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from trading.bars.columns import Integers, instant_ns
from trading.errors import FeedError
from trading.ticks.feeds.events import Depth, Event, Ticks

# A trading year: 252 sessions of 6.5 hours.
YEAR_S = 252 * 6.5 * 3600
DEFAULT_START = "2026-01-05T14:30:00Z"


class SimulatedMarket:
    """Prices that follow a driftless geometric Brownian motion on a grid of `increment`.

    Each symbol ticks `rate` times a second on average, at random moments; a share `trade_share` of
    the ticks are trades at the bid or the ask, the others are quotes. Sizes are whole lots. Every
    `depth_every_s` seconds the books are given with `levels` a side; None gives none. Events come
    in steps of `step_s`. It ends after `seconds` (None: never). Times begin at `start`.
    """

    name = "simulated"

    def __init__(
        self,
        prices: Mapping[str, float],
        *,
        seed: int = 0,
        start: Any = DEFAULT_START,
        seconds: float | None = None,
        rate: float = 10.0,
        trade_share: float = 0.4,
        volatility: float = 0.35,
        increment: float = 0.01,
        lot: int = 100,
        levels: int = 5,
        depth_every_s: float | None = 1.0,
        step_s: float = 1.0,
    ) -> None:
        numbers = {"rate": rate, "increment": increment, "step_s": step_s, "lot": lot}
        bad = {n: v for n, v in numbers.items() if not (math.isfinite(v) and v > 0)}
        bad |= {n: v for n, v in prices.items() if not (math.isfinite(v) and v > 0)}
        if bad or not prices:
            raise FeedError(f"prices and {', '.join(numbers)} must be above 0, not {bad or 'none'}")
        if not 0 <= trade_share <= 1 or not volatility >= 0 or levels < 1:
            raise FeedError(
                f"trade_share {trade_share} must be from 0 to 1, volatility {volatility} 0 or more "
                f"and levels {levels} 1 or more"
            )
        self.symbols = tuple(prices)
        self._prices = np.array([float(price) for price in prices.values()])
        self._seed, self._start = seed, instant_ns(start)
        self._steps = None if seconds is None else math.ceil(seconds / step_s)
        self._rate, self._trade_share, self._volatility = rate, trade_share, volatility
        # Prices are whole increments inside, so that floats are the nearest to their decimals.
        self._per_unit = round(1 / increment) if increment < 1 else 1 / increment
        self._lot, self._levels = lot, levels
        self._depth_steps = None if depth_every_s is None else max(round(depth_every_s / step_s), 1)
        self._step_ns = round(step_s * 1e9)

    def events(self) -> Iterator[Event]:
        """Yield the events; a second call begins again with the same ones."""
        random = np.random.default_rng(self._seed)
        level = np.log(self._prices)
        counts = np.zeros(len(level), dtype=np.int64)
        step = 0
        while self._steps is None or step < self._steps:
            due = (step + 1) * self._step_ns / 1e9
            begin = self._start + step * self._step_ns
            table, level = self._ticks(random, level, counts, begin)
            if len(table):
                yield Ticks(table, due)
            if self._depth_steps is not None and step % self._depth_steps == 0:
                yield Depth(self._books(random, level, begin + self._step_ns), due)
            step += 1

    def _ticks(
        self, random: np.random.Generator, level: Any, counts: Integers, begin: int
    ) -> tuple[pa.Table, Any]:
        """The ticks of a step, and the logarithms of the prices after it."""
        number = random.poisson(self._rate * self._step_ns / 1e9, len(level))
        symbol = np.repeat(np.arange(len(level)), number)
        stamp = begin + random.integers(0, self._step_ns, len(symbol))
        order = np.lexsort((stamp, symbol))
        stamp = stamp[order]
        deviation = self._volatility * math.sqrt(1 / self._rate / YEAR_S)
        moves = random.normal(-(deviation**2) / 2, deviation, len(symbol))
        # Sums of moves within each symbol.
        total = np.cumsum(moves)
        before = np.r_[0.0, total][np.cumsum(number) - number]
        path = level[symbol] + total - before[symbol]
        after = level.copy()
        np.put(after, symbol, path)
        first = np.cumsum(number) - number
        sequence = counts[symbol] + 1 + np.arange(len(symbol)) - first[symbol]
        counts += number
        bid, ask = self._quote(np.exp(path))
        is_buy = random.random(len(symbol)) < 0.5
        is_quote = random.random(len(symbol)) >= self._trade_share
        sizes = self._lot * (1 + random.poisson(2.0, (3, len(symbol))))
        columns = {
            "timestamp": stamp,
            "symbol": symbol,
            "price": np.where(is_buy, ask, bid) / self._per_unit,
            "size": sizes[0],
            "bid": bid / self._per_unit,
            "ask": ask / self._per_unit,
            "bid_size": sizes[1],
            "ask_size": sizes[2],
            "sequence": sequence,
        }
        by_time = np.argsort(stamp, kind="stable")
        return self._table({n: v[by_time] for n, v in columns.items()}, is_quote[by_time]), after

    def _quote(self, price: Any) -> tuple[Any, Any]:
        """Bid and ask around a price, in increments: at least one apart, a basis point a side."""
        middle = price * self._per_unit
        half = np.maximum(np.rint(middle * 0.0001), 1)
        bid = np.maximum(np.floor(middle) - half + 1, 1)
        return bid, bid + 2 * half - 1

    def _books(self, random: np.random.Generator, level: Any, moment: int) -> pa.Table:
        bid, ask = self._quote(np.exp(level))
        away = np.arange(self._levels)
        sides = np.stack([np.maximum(bid[:, None] - away, 1), ask[:, None] + away], axis=1)
        orders = 1 + random.poisson(3.0, sides.shape)
        sizes = self._lot * orders * (1 + random.poisson(2.0, sides.shape))
        count = sides.size
        names = pa.array(np.repeat(np.array(self.symbols, dtype=object), 2 * self._levels))
        side = np.tile(np.repeat(np.array(["bid", "ask"], dtype=object), self._levels), len(level))
        return pa.table(
            {
                "timestamp": pa.array(np.full(count, moment)).cast(pa.timestamp("ns", "UTC")),
                "symbol": names,
                "side": pa.array(side),
                "level": pa.array(np.tile(away + 1, 2 * len(level))),
                "price": pa.array(sides.ravel() / self._per_unit),
                "size": pa.array(sizes.ravel()),
                "orders": pa.array(orders.ravel()),
            }
        )

    def _table(self, columns: dict[str, Any], is_quote: Any) -> pa.Table:
        arrays = {name: pa.array(values) for name, values in columns.items()}
        arrays["timestamp"] = arrays["timestamp"].cast(pa.timestamp("ns", "UTC"))
        arrays["symbol"] = pa.DictionaryArray.from_arrays(
            columns["symbol"].astype(np.int32), pa.array(self.symbols, pa.string())
        ).cast(pa.string())
        for name in ("price", "size"):
            arrays[name] = pa.array(columns[name], mask=is_quote)
        return pa.table(arrays)
