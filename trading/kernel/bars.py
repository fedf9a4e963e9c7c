"""Bars of ticks inside the kernel: what a fold must offer, and the plain one that is built in."""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np

from trading.journal.codec import pack, unpack
from trading.journal.inputs import Bar
from trading.kernel.columns import MISSING, Ints, TickColumns
from trading.kernel.timers import NEVER
from trading.numbers import product_fits
from trading.times import MINUTE

__all__ = ["BarFold", "TimeBars"]


class BarFold(Protocol):
    """Makes bars of ticks. The kernel hands over ticks and asks for what is final by the clock.

    Ticks of a batch are pushed before the kernel walks through its times: a fold puts each into the
    bar that it belongs to, and gives out bars only when `close` says that it is time.
    """

    def push(self, symbol: str, time: int, price: int, size: int) -> None:
        """Take in one trade with the market's time."""
        ...

    def push_columns(self, ticks: TickColumns) -> None:
        """Take in many ticks; rows without a price or late ones are left out."""
        ...

    def late(self, ticks: TickColumns) -> Ints:
        """Return the rows whose bars are final when they arrive; it depends on the row alone."""
        ...

    def bar_end(self, event_time: int) -> int:
        """Return the end of the bar that a time belongs to."""
        ...

    @property
    def lateness(self) -> int:
        """Nanoseconds after its end at which a bar is final."""
        ...

    @property
    def due(self) -> int:
        """When the next bar becomes final, or NEVER."""
        ...

    def close(self, now: int) -> list[Bar]:
        """Return the bars that are final by now, by end and then by symbol."""
        ...

    def dump(self) -> bytes:
        """Return what a snapshot keeps."""
        ...

    def load(self, data: bytes) -> None:
        """Go on from a snapshot."""
        ...


class _Working(msgspec.Struct, array_like=True, gc=False):
    """A bar that is not final: open, high, low, close, volume, count, sum of price times size."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    count: int
    notional: int


_State = tuple[dict[int, dict[str, _Working]], int]


class TimeBars:
    """Bars of one length, aligned to 1970; a quiet interval has no bar."""

    def __init__(self, interval: int = MINUTE, lateness: int = 0) -> None:
        self.interval = interval
        self._lateness = lateness
        # End of bar → symbol → bar; ends are few, symbols may be many.
        self._working: dict[int, dict[str, _Working]] = {}
        self._due = NEVER

    @property
    def lateness(self) -> int:
        """Nanoseconds after its end at which a bar is final."""
        return self._lateness

    @property
    def due(self) -> int:
        """When the next bar becomes final, or NEVER."""
        return self._due

    def bar_end(self, event_time: int) -> int:
        """Return the end of the bar that a time belongs to."""
        return event_time - event_time % self.interval + self.interval

    def push(self, symbol: str, time: int, price: int, size: int) -> None:
        """Take in one trade."""
        end = time - time % self.interval + self.interval
        bars = self._working.get(end)
        if bars is None:
            bars = self._working[end] = {}
            self._due = min(self._due, end + self._lateness)
        bar = bars.get(symbol)
        if bar is None:
            bars[symbol] = _Working(price, price, price, price, size, 1, price * size)
            return
        bar.high = max(bar.high, price)
        bar.low = min(bar.low, price)
        bar.close = price
        bar.volume += size
        bar.count += 1
        bar.notional += price * size

    def late(self, ticks: TickColumns) -> Ints:
        """Return the rows that arrive when their bar is final."""
        if ticks.event_times is None:
            return np.empty(0, np.int64)
        ends = ticks.event_times - ticks.event_times % self.interval + self.interval
        return np.flatnonzero(ticks.times >= ends + self._lateness)

    def push_columns(self, ticks: TickColumns) -> None:
        """Take in many trades, sorted into their bars at once."""
        times = ticks.times if ticks.event_times is None else ticks.event_times
        codes, prices, sizes = ticks.codes, ticks.prices, ticks.sizes
        keep = prices != MISSING if ticks.bids is not None else None
        if ticks.event_times is not None:
            ends = times - times % self.interval + self.interval
            on_time = ticks.times < ends + self._lateness
            keep = on_time if keep is None else keep & on_time
        if keep is not None and not keep.all():
            times, codes, prices, sizes = times[keep], codes[keep], prices[keep], sizes[keep]
        if not len(times):
            return
        buckets = times // self.interval
        first = int(buckets.min())
        span, width = int(buckets.max()) - first + 1, len(ticks.symbols)
        keys = (buckets - first) * width + codes
        # A stable sort of 16-bit keys is a radix sort: several times faster than any other.
        small = span * width <= 65_536
        order = np.argsort(keys.astype(np.uint16) if small else keys, kind="stable")
        self._merge(keys[order], prices[order], sizes[order], first, ticks.symbols)

    def _merge(
        self, keys: Ints, prices: Ints, sizes: Ints, first: int, symbols: tuple[str, ...]
    ) -> None:
        """Add runs of equal keys to the working bars."""
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        stops = np.append(starts[1:], len(keys))
        biggest = max(abs(int(prices.max())), abs(int(prices.min())))
        longest = int((stops - starts).max())
        if product_fits(biggest, int(sizes.max()), longest):
            notional = np.add.reduceat(prices * sizes, starts).tolist()
        else:
            # Products beyond 64 bits would wrap in silence.
            exact = [p * s for p, s in zip(prices.tolist(), sizes.tolist(), strict=True)]
            notional = [
                sum(exact[a:b]) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)
            ]
        if product_fits(int(sizes.max()), 1, longest):
            volumes = np.add.reduceat(sizes, starts).tolist()
        else:
            volumes = [
                sum(sizes[a:b].tolist())
                for a, b in zip(starts.tolist(), stops.tolist(), strict=True)
            ]
        width = len(symbols)
        for key, opened, high, low, closed, volume, count, money in zip(
            keys[starts].tolist(),
            prices[starts].tolist(),
            np.maximum.reduceat(prices, starts).tolist(),
            np.minimum.reduceat(prices, starts).tolist(),
            prices[stops - 1].tolist(),
            volumes,
            (stops - starts).tolist(),
            notional,
            strict=True,
        ):
            end = (first + key // width + 1) * self.interval
            bars = self._working.get(end)
            if bars is None:
                bars = self._working[end] = {}
                self._due = min(self._due, end + self._lateness)
            symbol = symbols[key % width]
            bar = bars.get(symbol)
            if bar is None:
                bars[symbol] = _Working(opened, high, low, closed, volume, count, money)
                continue
            bar.high, bar.low = max(bar.high, high), min(bar.low, low)
            bar.close = closed
            bar.volume += volume
            bar.count += count
            bar.notional += money

    def close(self, now: int) -> list[Bar]:
        """Return the bars that are final by now, by end and then by symbol."""
        closed: list[Bar] = []
        for end in sorted(e for e in self._working if e + self._lateness <= now):
            bars = self._working.pop(end)
            closed += [
                Bar(
                    now,
                    symbol,
                    self.interval,
                    end - self.interval,
                    end,
                    bar.open,
                    bar.high,
                    bar.low,
                    bar.close,
                    bar.volume,
                    bar.count,
                    bar.notional,
                )
                for symbol, bar in sorted(bars.items())
            ]
        self._due = min((end + self._lateness for end in self._working), default=NEVER)
        return closed

    def dump(self) -> bytes:
        """Return what a snapshot keeps."""
        return pack((self._working, self._due))

    def load(self, data: bytes) -> None:
        """Go on from a snapshot."""
        self._working, self._due = unpack(data, _State)  # type: ignore[arg-type]
