"""Figures of an order book and of the trades on it, kept up to date event by event."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from trading.bars.columns import instant_ns
from trading.bars.interval import parse_duration_ns
from trading.errors import TickError

# Floats are added as integers of this many binary places, so that a sum over a moving window does
# not depend on what has left it.
_BINARY_PLACES = 60
_SCALE = 2**_BINARY_PLACES


class BookValue(NamedTuple):
    """The figures at one moment; None where the book or the window does not give one.

    spread, mid, microprice, vwap: in the price's unit. imbalance: from -1 (all on the ask) to 1.
    bid_per_order, ask_per_order: size by number of orders. realized_volatility: the square root of
    the sum of squared log returns from trade to trade within the window, not annualised.
    """

    timestamp: int
    spread: float | None
    mid: float | None
    microprice: float | None
    imbalance: float | None
    bid_per_order: float | None
    ask_per_order: float | None
    vwap: float | None
    realized_volatility: float | None


class BookFeatures:
    """Spread, mid, microprice, imbalance, size per order, rolling VWAP and realised volatility.

    levels: how many levels of each side the imbalance and the sizes per order look at. window:
    the time that VWAP and realised volatility look back on; a trade is in it while it is younger.
    Events come in order of time; nothing here reads a clock.
    """

    def __init__(self, levels: int = 5, window: str | int = "1m") -> None:
        if not isinstance(levels, int) or isinstance(levels, bool) or levels < 1:
            raise TickError(f"levels is {levels!r}; it must be a whole number from 1 on")
        self.levels = levels
        self.window_ns = parse_duration_ns(window, name="window")
        if not self.window_ns:
            raise TickError('window is empty; give for example "1m"')
        self._now: int | None = None
        self._bids: list[_Level] = []
        self._asks: list[_Level] = []
        self._trades = _Window(self.window_ns)
        self._returns = _Window(self.window_ns)
        self._last_price: float | None = None

    def depth(
        self, now: Any, bids: Iterable[Sequence[float]], asks: Iterable[Sequence[float]]
    ) -> BookValue:
        """Take the whole book: levels of (price, size) or (price, size, orders), best first.

        TickError for a price or size that is no finite number, a negative size, levels that are
        not in order, and a time before the last one; the book stays as it was.
        """
        moment = self._moment(now)
        new_bids, new_asks = _levels("bids", bids, -1), _levels("asks", asks, 1)
        self._now, self._bids, self._asks = moment, new_bids, new_asks
        return self.value

    def quote(
        self, now: Any, bid: float | None, ask: float | None, bid_size: float, ask_size: float
    ) -> BookValue:
        """Take the best bid and ask alone; None for a side without orders."""
        bids = [] if bid is None else [(bid, bid_size)]
        asks = [] if ask is None else [(ask, ask_size)]
        return self.depth(now, bids, asks)

    def trade(self, now: Any, price: float, size: float) -> BookValue:
        """Take a trade."""
        moment = self._moment(now)
        price, size = _number("price", price), _number("size", size)
        if size < 0:
            raise TickError(f"size {size} of a trade is negative; it must be 0 or more")
        self._now = moment
        self._trades.add(moment, price * size, size)
        before, self._last_price = self._last_price, price
        # There is no logarithm of prices that are not above zero, and no return over them.
        if before is not None and before > 0 and price > 0:
            self._returns.add(moment, math.log(price / before) ** 2, 1.0)
        return self.value

    def advance(self, now: Any) -> BookValue:
        """Let the time be `now`: trades leave the window also in a quiet time."""
        self._now = self._moment(now)
        return self.value

    @property
    def value(self) -> BookValue:
        """The figures at the time of the last event."""
        now = 0 if self._now is None else self._now
        amount, volume = self._trades.sums(now)
        squares, returns = self._returns.sums(now)
        spread = mid = microprice = None
        if self._bids and self._asks:
            bid, ask = self._bids[0], self._asks[0]
            spread, mid = ask.price - bid.price, (bid.price + ask.price) / 2
            sizes = bid.size + ask.size
            if sizes:
                # The price leans to the side that has less.
                microprice = (bid.price * ask.size + ask.price * bid.size) / sizes
        bids, asks = self._bids[: self.levels], self._asks[: self.levels]
        bid_size, ask_size = sum(level.size for level in bids), sum(level.size for level in asks)
        both = bid_size + ask_size
        return BookValue(
            now,
            spread,
            mid,
            microprice,
            (bid_size - ask_size) / both if both else None,
            _per_order(bids),
            _per_order(asks),
            amount / volume if volume else None,
            math.sqrt(squares / _SCALE) if returns else None,
        )

    def _moment(self, now: Any) -> int:
        moment = instant_ns(now)
        if self._now is not None and moment < self._now:
            raise TickError(
                f"an event of {moment} ns comes after one of {self._now} ns; sort events by time"
            )
        return moment


class _Level(NamedTuple):
    price: float
    size: float
    orders: float | None = None


class _Window:
    """Two exact sums over what is younger than a time."""

    def __init__(self, length_ns: int) -> None:
        self.length_ns = length_ns
        self._kept: deque[tuple[int, int, int]] = deque()
        self._first = self._second = 0

    def add(self, moment: int, first: float, second: float) -> None:
        units = int(first * _SCALE), int(second * _SCALE)
        self._kept.append((moment, *units))
        self._first += units[0]
        self._second += units[1]

    def sums(self, now: int) -> tuple[int, int]:
        kept = self._kept
        while kept and kept[0][0] <= now - self.length_ns:
            _moment, first, second = kept.popleft()
            self._first -= first
            self._second -= second
        return self._first, self._second


def _per_order(levels: list[_Level]) -> float | None:
    counted = [(level.size, level.orders) for level in levels if level.orders is not None]
    orders = sum(number for _size, number in counted)
    return sum(size for size, _number in counted) / orders if orders else None


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise TickError(f"{name} is {value!r}; it must be a finite number")
    return number


def _levels(name: str, levels: Iterable[Sequence[float]], direction: int) -> list[_Level]:
    read = []
    for place, level in enumerate(levels):
        if len(level) not in (2, 3):
            raise TickError(
                f"{name}[{place}] is {level!r}; a level is (price, size) or (price, size, orders)"
            )
        numbers = [_number(f"{name}[{place}]", each) for each in level]
        if any(each < 0 for each in numbers[1:]):
            raise TickError(f"{name}[{place}] is {level!r}; sizes and orders are 0 or more")
        read.append(_Level(*numbers))
    for better, worse in pairwise(read):
        if (worse.price - better.price) * direction <= 0:
            raise TickError(
                f"{name} hold {worse.price} after {better.price}; give each price once, the best "
                "first"
            )
    return [level for level in read if level.size]
