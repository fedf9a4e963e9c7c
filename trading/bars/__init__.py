"""Bars from ticks: exact, honest about gaps, revised when late ticks come.

table = bars(ticks, "5m", calendar="XNYS")

builder = BarBuilder("1m", lateness="2s")
finished = builder.push(ticks)       # bars that became final, or were revised
finished = builder.advance(now)      # by the clock

weeks = compose(days, "1W", calendar="XNYS")

What is named here is loaded when it is asked for: the engine inside, which the kernel shares, needs
no tables.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trading.bars.builder import BarBuilder, bars
    from trading.bars.calendar import TradingCalendar, calendar_for
    from trading.bars.composing import compose
    from trading.bars.interval import Interval, IntervalKind, parse_duration_ns, parse_interval
    from trading.bars.verifying import TableTicks, TickSource, Verification, verify

__all__ = [
    "BarBuilder",
    "Interval",
    "IntervalKind",
    "TableTicks",
    "TickSource",
    "TradingCalendar",
    "Verification",
    "bars",
    "calendar_for",
    "compose",
    "parse_duration_ns",
    "parse_interval",
    "verify",
]

_HOMES = {
    "builder": ("BarBuilder", "bars"),
    "calendar": ("TradingCalendar", "calendar_for"),
    "composing": ("compose",),
    "interval": ("Interval", "IntervalKind", "parse_duration_ns", "parse_interval"),
    "verifying": ("TableTicks", "TickSource", "Verification", "verify"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            found = globals()[name] = getattr(import_module(f"trading.bars.{module}"), name)
            return found
    raise AttributeError(f"module 'trading.bars' has no attribute {name!r}")
