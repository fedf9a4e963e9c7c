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

from typing import TYPE_CHECKING

from trading.on_demand import on_demand

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
    "trading.bars.builder": ("BarBuilder", "bars"),
    "trading.bars.calendar": ("TradingCalendar", "calendar_for"),
    "trading.bars.composing": ("compose",),
    "trading.bars.interval": ("Interval", "IntervalKind", "parse_duration_ns", "parse_interval"),
    "trading.bars.verifying": ("TableTicks", "TickSource", "Verification", "verify"),
}

__getattr__ = on_demand(__name__, _HOMES, globals())
