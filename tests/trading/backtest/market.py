"""Prices for backtests: real daily ones, and simulated minutes that have gaps."""

from __future__ import annotations

import random
from typing import Any

import pandas as pd
from bokeh_sampledata import stocks


def daily(symbol: str = "AAPL", *, rows: int = 1_500) -> pd.DataFrame:
    """Real daily prices as they were quoted, from March 2000 on."""
    data: dict[str, Any] = getattr(stocks, symbol)
    frame = pd.DataFrame(data).head(rows)
    names = ["open", "high", "low", "close", "volume"]
    made = frame[names].copy()
    made.insert(0, "symbol", symbol)
    made.insert(0, "timestamp", pd.to_datetime(frame["date"]).dt.tz_localize("UTC"))
    return made


def minutes(
    symbol: str = "SIM", *, rows: int = 2_000, seed: int = 1, start: str = "2024-01-02T00:00:00Z"
) -> pd.DataFrame:
    """Simulated minutes in cents: jumps between bars, missing minutes, quiet ones."""
    rng = random.Random(seed)
    at, price = pd.Timestamp(start), 10_000
    made = []
    for _ in range(rows):
        opened = max(price + rng.choice((0, 0, 1, -1, 2, -2, 25, -25)), 100)
        walk = [opened]
        for _ in range(rng.randint(1, 8)):
            walk.append(max(walk[-1] + rng.randint(-12, 12), 100))
        price = walk[-1]
        made.append(
            (
                at,
                symbol,
                opened / 100,
                max(walk) / 100,
                min(walk) / 100,
                price / 100,
                rng.randint(0, 900),
            )
        )
        at += pd.Timedelta(minutes=rng.choice((1, 1, 1, 1, 1, 2, 7)))
    names = ["timestamp", "symbol", "open", "high", "low", "close", "volume"]
    return pd.DataFrame(made, columns=names)


def ticks(
    symbols: tuple[str, ...] = ("SIM",), *, rows: int = 5_000, seed: int = 1, quotes: bool = False
) -> pd.DataFrame:
    """Simulated trades in cents, a few seconds apart, with quotes around them if asked for."""
    rng = random.Random(seed)
    at = pd.Timestamp("2024-01-02T14:30:00Z")
    price = dict.fromkeys(symbols, 10_000)
    made = []
    for _ in range(rows):
        at += pd.Timedelta(milliseconds=rng.randint(1, 6_000))
        symbol = rng.choice(symbols)
        price[symbol] = max(price[symbol] + rng.randint(-3, 3), 100)
        last = price[symbol] / 100
        row = [at, symbol, last, rng.randint(1, 300)]
        made.append([*row, round(last - 0.01, 2), round(last + 0.01, 2)] if quotes else row)
    names = ["timestamp", "symbol", "price", "size"] + (["bid", "ask"] if quotes else [])
    return pd.DataFrame(made, columns=names)
