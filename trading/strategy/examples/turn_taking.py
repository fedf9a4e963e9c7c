"""Turn taking: holds a symbol for some bars, rests for some, whatever prices do."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from trading.strategy import Bar, Context, Strategy

__all__ = ["TurnTaking"]


class TurnTaking(Strategy):
    """Trades from the first bar on and has no opinion: for trying out a desk."""

    class Parameters:
        """`hold` and `rest` are counts of bars; `size` is the hint of each signal."""

        hold: Annotated[int, Meta(ge=1)] = 3
        rest: Annotated[int, Meta(ge=1)] = 2
        size: float = 100

    def on_start(self, ctx: Context) -> None:  # noqa: ARG002 - nothing is needed of it
        """Count bars since each symbol's last signal; the first one is due at once."""
        self.waited: dict[str, int] = {}

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Buy after the rest, sell after the holding time."""
        p, symbol = self.parameters, bar.symbol
        held = ctx.position(symbol) > 0
        waited = self.waited.get(symbol, p.rest - 1) + 1
        self.waited[symbol] = waited
        if held and waited >= p.hold:
            ctx.signal("SELL", symbol, p.size, reason=f"held for {waited} bars")
            self.waited[symbol] = 0
        elif not held and waited >= p.rest:
            ctx.signal("BUY", symbol, p.size, reason=f"rested for {waited} bars")
            self.waited[symbol] = 0
