"""Pairs: two symbols that move together; sell the dear one and buy the cheap one."""

from __future__ import annotations

import math

from trading.indicators import ZScore
from trading.strategy import Bar, Context, Strategy

__all__ = ["Pairs"]


class Pairs(Strategy):
    """Trades the ratio of two symbols back to its mean, with equal money on both sides."""

    class Parameters:
        """The z-score of the ratio's logarithm at which it enters and leaves; money a side."""

        length: int = 60
        enter: float = 2.0
        leave: float = 0.5
        notional: float = 20_000

    warmup = 60

    def on_start(self, ctx: Context) -> None:
        """Begin with no bar of either symbol; both must be instruments of the run."""
        for symbol in self.symbols:
            ctx.instrument(symbol)
        self.score = ZScore(self.parameters.length)
        self.closes: dict[str, Bar] = {}

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Act when both symbols have a bar of the same end."""
        self.closes[bar.symbol] = bar
        first, second = (self.closes.get(symbol) for symbol in self.symbols)
        if first is None or second is None or first.raw.end != second.raw.end:
            return
        z = self.score.update(math.log(first.close / second.close))
        if z is None:
            return
        held = ctx.position(first.symbol)
        if not held and abs(z) > self.parameters.enter:
            cheap, dear = (first, second) if z < 0 else (second, first)
            ctx.buy(cheap.symbol, int(self.parameters.notional / cheap.close), tag="pair")
            ctx.sell(dear.symbol, int(self.parameters.notional / dear.close), tag="pair")
        elif held and abs(z) < self.parameters.leave:
            ctx.close(first.symbol, tag="pair")
            ctx.close(second.symbol, tag="pair")
