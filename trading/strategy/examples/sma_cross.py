"""SMA cross: long while the fast average is above the slow one, flat otherwise."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from trading.indicators import SMA
from trading.strategy import Bar, Context, Strategy

__all__ = ["SmaCross"]


class SmaCross(Strategy):
    """Buys when the fast average crosses above the slow one, sells when it crosses below."""

    class Parameters:
        """Lengths in bars; `size` is the hint of each signal."""

        fast: Annotated[int, Meta(ge=1)] = 10
        slow: Annotated[int, Meta(ge=2)] = 30
        size: float = 100

        def __post_init__(self) -> None:
            if self.fast >= self.slow:
                raise ValueError(f"fast {self.fast} must be below slow {self.slow}")

    warmup = 30

    def on_start(self, ctx: Context) -> None:
        """Let both averages follow the closes."""
        self.fast = ctx.indicator(SMA(self.parameters.fast), self.symbol)
        self.slow = ctx.indicator(SMA(self.parameters.slow), self.symbol)

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Give a signal where the averages cross."""
        size = self.parameters.size
        if self.fast.crossed_above(self.slow):
            ctx.signal("BUY", bar.symbol, size, reason="fast average crossed above slow")
        elif self.fast.crossed_below(self.slow) and ctx.position(bar.symbol) > 0:
            ctx.signal("SELL", bar.symbol, size, reason="fast average crossed below slow")
