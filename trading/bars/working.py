"""One bar that is being built, and a version of it as it is published."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from trading.bars.fold import NOTIONAL_DIGITS
from trading.bars.ticks import SIZE_DIGITS

__all__ = ["VWAP_DIVISOR", "BarRow", "OpenBar"]

VWAP_DIVISOR = 10 ** (NOTIONAL_DIGITS - SIZE_DIGITS)
"""What a notional amount is more than volume times price, in their decimal places."""


class OpenBar(msgspec.Struct, array_like=True, gc=False):
    """The ticks of one bar so far: which was first, which last, and what they add up to.

    Two of them can be joined in any order: `volume` is an integer of 9 decimal places, `notional`
    one of 18, and opens and closes go by (time, sequence).
    """

    symbol: str
    start: int
    end: int
    count: int = 0
    version: int = 0
    volume: int = 0
    notional: int = 0
    first: tuple[int, int] | None = None
    last: tuple[int, int] | None = None
    # Prices are floats or integers, as the ticks have them.
    open: Any = None
    high: Any = None
    low: Any = None
    close: Any = None
    bid: float | None = None
    ask: float | None = None
    quoted: tuple[int, int] | None = None

    def add(
        self,
        first: tuple[int, int],
        last: tuple[int, int],
        prices: tuple[Any, Any, Any, Any],
        volume: int,
        notional: int,
        count: int,
    ) -> None:
        """Join ticks that were folded; `prices` are open, high, low and close."""
        opens, high, low, closes = prices
        if self.count == 0:
            self.first, self.last = first, last
            self.open, self.high, self.low, self.close = prices
        else:
            assert self.first is not None
            assert self.last is not None
            if first < self.first:
                self.first, self.open = first, opens
            if last >= self.last:
                self.last, self.close = last, closes
            self.high = max(self.high, high)
            self.low = min(self.low, low)
        self.volume += volume
        self.notional += notional
        self.count += count

    def add_one(self, at: tuple[int, int], price: Any, size: int, amount: int) -> None:
        """Join one tick of a time and arrival."""
        if self.count == 0:
            self.first = self.last = at
            self.open = self.high = self.low = self.close = price
        else:
            if at < self.first:  # type: ignore[operator]  # a bar with a tick has both
                self.first, self.open = at, price
            if at >= self.last:  # type: ignore[operator]
                self.last, self.close = at, price
            if price > self.high:
                self.high = price
            elif price < self.low:
                self.low = price
        self.volume += size
        self.notional += amount
        self.count += 1

    def quote(self, moment: tuple[int, int], bid: float, ask: float) -> None:
        """Keep the latest quote."""
        if self.quoted is None or moment >= self.quoted:
            self.quoted = moment
            self.bid = None if bid != bid else bid
            self.ask = None if ask != ask else ask

    def row(self, state: str, filled: Any = None) -> BarRow:
        """The bar as a row; `filled` is the price of a bar without a trade."""
        if self.count:
            prices = (self.open, self.high, self.low, self.close)
        else:
            prices = (filled, filled, filled, filled)
        vwap = self.notional / (self.volume * VWAP_DIVISOR) if self.volume else None
        return BarRow(
            self.symbol,
            self.start,
            self.end,
            *prices,
            self.volume,
            self.count,
            vwap,
            self.notional,
            state,
            self.version,
            self.bid,
            self.ask,
        )


class BarRow(NamedTuple):
    """One version of a bar, as it is published."""

    symbol: str
    start: int
    end: int
    open: Any
    high: Any
    low: Any
    close: Any
    volume: int
    ticks: int
    vwap: float | None
    # An integer of 18 decimal places.
    notional: int
    state: str
    version: int
    bid: float | None
    ask: float | None
