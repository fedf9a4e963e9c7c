"""Breakout with an ATR stop: an entry above the channel, in a bracket with target and stop."""

from __future__ import annotations

from trading.indicators import ATR, DonchianChannel
from trading.sizing import equity_at_risk
from trading.strategy import Bar, Context, Fill, Strategy

__all__ = ["Breakout"]


class Breakout(Strategy):
    """Buys a close above the channel of the bars before; risks a fixed part of equity."""

    class Parameters:
        """Lengths in bars; stop and target in multiples of the average true range."""

        channel: int = 20
        atr: int = 14
        stop: float = 2.0
        target: float = 4.0
        risk: float = 0.01

    warmup = 150

    def on_start(self, ctx: Context) -> None:
        """Begin with no bracket, and let channel and range follow the bars."""
        self.bracket = ""
        self.exits = 0
        self.on_parameters(ctx)

    def on_parameters(self, ctx: Context) -> None:
        """Let channel and range follow the bars; a bracket that works stays."""
        self.channel = ctx.indicator(DonchianChannel(self.parameters.channel), self.symbol)
        self.atr = ctx.indicator(ATR(self.parameters.atr), self.symbol)

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Enter on a breakout while flat and nothing is on its way."""
        if self.channel.previous is None or not self.atr.ready or self.bracket:
            return
        if bar.close <= self.channel.previous.upper:
            return
        p, symbol, equity = self.parameters, bar.symbol, ctx.equity
        stop = ctx.round_price(symbol, bar.close - p.stop * self.atr.value, "down")
        target = ctx.round_price(symbol, bar.close + p.target * self.atr.value, "up")
        if equity is None or stop <= 0:
            return
        spec = ctx.instrument(symbol)
        size = equity_at_risk(spec, equity, p.risk, entry=bar.close, stop=stop)
        # What the account can pay bounds the size as well.
        size = min(size, spec.size(spec.size_units(int(equity / bar.exact("close")))))
        if size > 0:
            self.bracket = ctx.bracket(symbol, "BUY", size, target=target, stop=stop)

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        """Be free for the next entry when an exit has closed the position."""
        if fill.side == "SELL" and not ctx.position(fill.symbol):
            self.bracket = ""
            self.exits += 1
