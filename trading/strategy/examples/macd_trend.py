"""MACD trend: with the MACD above its signal line, and only where the longer trend agrees."""

from __future__ import annotations

from trading.indicators import EMA, MACD
from trading.strategy import Bar, Context, Strategy

__all__ = ["MacdTrend"]


class MacdTrend(Strategy):
    """Buys where the histogram turns positive above a long average, leaves where it turns."""

    class Parameters:
        """Lengths in bars; confidence grows with the histogram in parts of the price."""

        fast: int = 12
        slow: int = 26
        signal: int = 9
        trend: int = 100
        size: float = 100

    warmup = 300

    def on_start(self, ctx: Context) -> None:
        """Let MACD and the trend follow the closes."""
        p = self.parameters
        self.macd = ctx.indicator(MACD(p.fast, p.slow, p.signal), self.symbol)
        self.trend = ctx.indicator(EMA(p.trend), self.symbol)

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Follow the histogram's sign."""
        if not (self.macd.ready and self.trend.ready) or self.macd.previous is None:
            return
        now, before = self.macd.value.histogram, self.macd.previous.histogram
        held, size = ctx.position(bar.symbol), self.parameters.size
        if now > 0 >= before and bar.close > self.trend.value and not held:
            confidence = min(1.0, abs(now) / bar.close * 1_000)
            ctx.signal("BUY", bar.symbol, size, confidence, "histogram turned positive in a trend")
        elif now < 0 <= before and held:
            ctx.signal("SELL", bar.symbol, size, reason="histogram turned negative")
