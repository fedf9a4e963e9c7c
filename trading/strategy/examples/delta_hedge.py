"""A delta-hedged option: one call is bought, and its delta is sold of the underlying, every bar."""

from __future__ import annotations

import math
from datetime import datetime
from statistics import NormalDist

from trading.strategy import Bar, Context, Strategy

__all__ = ["DeltaHedge"]

_NORMAL = NormalDist()
_YEAR = 365 * 86_400.0


class DeltaHedge(Strategy):
    """Symbols are the option and its underlying; the hedge follows the Black-Scholes delta."""

    class Parameters:
        """`volatility` and `rate` per year; `band` is how many shares the hedge may be off."""

        strike: float
        expiry: datetime
        contracts: int = 10
        multiplier: int = 100
        volatility: float = 0.25
        rate: float = 0.0
        band: int = 20

    def delta(self, price: float, now: datetime) -> float:
        """Return the delta of the call at a price of the underlying."""
        p = self.parameters
        years = (p.expiry - now).total_seconds() / _YEAR
        if years <= 0.0:
            return 1.0 if price > p.strike else 0.0
        spread = p.volatility * math.sqrt(years)
        drift = (p.rate + p.volatility * p.volatility / 2) * years
        return _NORMAL.cdf((math.log(price / p.strike) + drift) / spread)

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Buy the option once, then keep the hedge; close both at the expiry."""
        option, underlying = self.symbols
        p = self.parameters
        if bar.symbol != underlying:
            return
        if ctx.now >= p.expiry:
            ctx.close(option)
            ctx.close(underlying)
            return
        held = ctx.position(option)
        if not held and ctx.bar(option, bar.timeframe) is not None:
            ctx.buy(option, p.contracts)
            held = ctx.position(option) or type(held)(p.contracts)
        wanted = -round(self.delta(bar.close, ctx.now) * int(held) * p.multiplier)
        change = wanted - int(ctx.position(underlying))
        if abs(change) > p.band or (not held and change):
            if change > 0:
                ctx.buy(underlying, change)
            else:
                ctx.sell(underlying, -change)
