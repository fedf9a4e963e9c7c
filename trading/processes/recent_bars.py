"""Kept bars of the near past: what indicators and screens begin with."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from trading.bars import parse_interval
from trading.indicators import IndicatorSet
from trading.processes.config import DeskConfig
from trading.ticks import TickStore
from trading.ticks.bar_store import BarRecipe

__all__ = ["bar_recipe", "recent_bars", "work_out"]

_DAY = 86_400_000_000_000


def bar_recipe(config: DeskConfig, timeframe: str) -> BarRecipe:
    """Return how a desk makes its bars of a timeframe."""
    source = "replay" if config.replay else "simulated"
    return BarRecipe(timeframe, config.calendar or None, source)


def recent_bars(ticks: TickStore, config: DeskConfig, recipe: BarRecipe, count: int) -> pa.Table:
    """Return about the newest `count` kept bars of each symbol, in floats, by symbol and time."""
    symbols = list(config.symbols)
    newest = ticks.newest(recipe.source)
    if newest is None:
        return ticks.bars.read(symbols, recipe, 0, 1, exact=False)
    length = parse_interval(recipe.interval).length_ns or _DAY
    return ticks.bars.read(symbols, recipe, newest - count * length, exact=False)


def work_out(indicators: IndicatorSet, timeframe: str, bars: pa.Table) -> pa.Table:
    """Push kept bars, each in its newest version, into indicators; returns the history rows."""
    if not len(bars):
        return indicators.latest().slice(0, 0)
    # A revised bar is one that was taken once already: here it comes for the first time.
    states = pc.if_else(pc.equal(bars["state"], "revised"), "final", bars["state"])
    place = bars.column_names.index("state")
    return indicators.push(timeframe, bars.set_column(place, "state", states))
