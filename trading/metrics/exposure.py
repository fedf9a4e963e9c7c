"""Exposure and turnover by day: what was held and what was traded, in money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading.errors import MetricsError
from trading.metrics.curve import TIME_ZONE, days_in, instants
from trading.metrics.prices import Path, Prices
from trading.metrics.records import fills_of
from trading.positions import Fill
from trading.specification import InstrumentSpec
from trading.times import DAY

__all__ = ["exposure"]

Floats = npt.NDArray[np.float64]
Days = npt.NDArray[np.datetime64]


def exposure(
    fills: Any,
    days: Any,
    *,
    prices: Any = None,
    time_zone: str = TIME_ZONE,
    instruments: Mapping[str, InstrumentSpec] | None = None,
) -> pd.DataFrame:
    """Return what was held at the end of each day, and traded in it: `date` and money columns.

    `days` are those of an equity curve, in order. `long` and `short` (<= 0) are market values,
    `gross` and `net` their difference and sum, `turnover` the value of all that was bought and sold
    since the day before. A position is worth its symbol's last price in `prices` (bars or ticks) by
    then, or that of its last fill.
    """
    grid = np.asarray(days, dtype="datetime64[D]")
    if len(grid) == 0 or (grid[1:] <= grid[:-1]).any():
        raise MetricsError("days: expected at least one, each later than the one before")
    given = fills_of(fills)
    known = None if prices is None else Prices.of(prices)
    long, short, turnover = (np.zeros(len(grid)) for _ in range(3))
    by_symbol: dict[str, list[Fill]] = {}
    for fill in given:
        by_symbol.setdefault(fill.symbol, []).append(fill)
    for symbol, own in by_symbol.items():
        spec = (instruments or {}).get(symbol)
        factor = 1.0 if spec is None else spec.multiplier / 10.0**spec.multiplier_decimals
        path = None if known is None else known.path(symbol)
        held, traded, marks = _one(own, path, grid, time_zone)
        value = held * marks * factor
        long += np.maximum(value, 0.0)
        short += np.minimum(value, 0.0)
        turnover += traded * factor
    return pd.DataFrame(
        {
            "date": grid.astype("datetime64[s]"),
            "long": long,
            "short": short,
            "gross": long - short,
            "net": long + short,
            "turnover": turnover,
        }
    )


def _one(
    fills: list[Fill], path: Path | None, grid: Days, time_zone: str
) -> tuple[Floats, Floats, Floats]:
    """Of one symbol by day: what is held at the end, the value traded, and the price."""
    when = days_in(instants([fill.timestamp for fill in fills]), time_zone)
    sizes = np.array([float(f.quantity) * (1 if f.side == "BUY" else -1) for f in fills])
    prices = np.array([float(fill.price) for fill in fills])
    rows = np.searchsorted(when, grid, side="right")
    held = np.concatenate([[0.0], np.cumsum(sizes)])[rows]
    # Sums of floats that should be 0 are not quite.
    held[np.abs(held) < 1e-9 * max(1.0, float(np.abs(sizes).max()))] = 0.0
    value = np.concatenate([[0.0], np.cumsum(np.abs(sizes) * np.abs(prices))])
    traded = np.diff(np.concatenate([[0.0], value[rows]]))
    marks = np.concatenate([[np.nan], prices])[rows]
    if path is not None and len(path.end):
        # By its middle a daily bar belongs to its day, in whichever zone that begins at midnight.
        short = path.end - path.start <= DAY
        moment = np.where(short, path.start + (path.end - path.start) // 2, path.end - 1)
        ends = days_in(pd.Series(pd.to_datetime(moment, unit="ns", utc=True)), time_zone)
        at = np.searchsorted(ends, grid, side="right") - 1
        marks = np.where(at >= 0, path.last[np.maximum(at, 0)], marks)
    return held, traded, np.where(held == 0, 0.0, marks)
