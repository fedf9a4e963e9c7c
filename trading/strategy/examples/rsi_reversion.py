"""RSI mean reversion: buy what fell too far, sell when it is back, or when it took too long."""

from __future__ import annotations

from trading.indicators import RSI
from trading.strategy import Bar, Context, Strategy

__all__ = ["RsiReversion"]


class RsiReversion(Strategy):
    """Buys below `low`, sells above `high` or after `patience` bars."""

    class Parameters:
        """RSI levels between 0 and 100; `patience` in bars."""

        length: int = 14
        low: float = 30.0
        high: float = 55.0
        patience: int = 20
        size: float = 100

    warmup = 250

    def on_start(self, ctx: Context) -> None:
        """Let the RSI of each symbol follow its closes."""
        self.rsi = {s: ctx.indicator(RSI(self.parameters.length), s) for s in self.symbols}
        self.held_for = dict.fromkeys(self.symbols, 0)

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Buy weakness, sell strength."""
        p, symbol, rsi = self.parameters, bar.symbol, self.rsi[bar.symbol]
        if not rsi.ready:
            return
        if not ctx.position(symbol):
            self.held_for[symbol] = 0
            if rsi.value < p.low:
                ctx.signal("BUY", symbol, p.size, 1 - rsi.value / 100, f"RSI {rsi.value:.1f}")
            return
        self.held_for[symbol] += 1
        if rsi.value > p.high:
            ctx.signal("SELL", symbol, p.size, reason=f"RSI {rsi.value:.1f}")
        elif self.held_for[symbol] >= p.patience:
            ctx.signal("SELL", symbol, p.size, reason="it took too long")
