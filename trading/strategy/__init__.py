"""Strategies: written once, run in backtests, on paper and live.

class SmaCross(Strategy):
    class Parameters:
        fast: int = 10
        slow: int = 30

    def on_start(self, ctx):
        self.fast = ctx.indicator(SMA(self.parameters.fast), self.symbol)
        self.slow = ctx.indicator(SMA(self.parameters.slow), self.symbol)

    def on_bar(self, ctx, bar):
        if self.fast.crossed_above(self.slow):
            ctx.signal("BUY", bar.symbol, 100, reason="fast crossed above slow")
"""

from trading.strategy.context import Context
from trading.strategy.figures import Figure
from trading.strategy.hosted import (
    Hosted,
    by_length,
    interval_length,
    timeframe_key,
    timeframe_of,
)
from trading.strategy.parameters import make_parameters, parameters_hash, parameters_json
from trading.strategy.strategy import Strategy
from trading.strategy.views import Bar, Fill, Signal, Tick

__all__ = [
    "Bar",
    "Context",
    "Figure",
    "Fill",
    "Hosted",
    "Signal",
    "Strategy",
    "Tick",
    "by_length",
    "interval_length",
    "make_parameters",
    "parameters_hash",
    "parameters_json",
    "timeframe_key",
    "timeframe_of",
]
