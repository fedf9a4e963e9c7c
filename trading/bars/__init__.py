"""Bars from ticks: exact, honest about gaps, revised when late ticks come.

table = bars(ticks, "5m", calendar="XNYS")

builder = BarBuilder("1m", lateness="2s")
finished = builder.push(ticks)       # bars that became final, or were revised
finished = builder.advance(now)      # by the clock

weeks = compose(days, "1W", calendar="XNYS")
"""

from trading.bars.builder import BarBuilder, bars
from trading.bars.calendar import TradingCalendar, calendar_for
from trading.bars.compose import compose
from trading.bars.interval import Interval, IntervalKind, parse_duration_ns, parse_interval
from trading.bars.verify import TickSource, Verification, verify

__all__ = [
    "BarBuilder",
    "Interval",
    "IntervalKind",
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
