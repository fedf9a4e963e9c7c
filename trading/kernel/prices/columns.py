"""Ticks as columns: numpy arrays on one side, an input of the journal on the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trading.errors import JournalError
from trading.journal.inputs import Tick, TickBatch

__all__ = ["MISSING", "Ints", "TickColumns"]

Ints = npt.NDArray[np.int64]

MISSING = -(2**63)
"""Stands for a price, bid or ask that a tick does not have."""


class TickColumns:
    """Ticks in order of arrival; prices and sizes are whole numbers in each instrument's units.

    `codes` are places in `symbols`. `times` are arrivals in nanoseconds and never go back;
    `event_times` are the market's, where they differ. JournalError for columns that do not fit
    together.
    """

    __slots__ = ("asks", "bids", "codes", "event_times", "prices", "sizes", "symbols", "times")

    def __init__(
        self,
        symbols: Sequence[str],
        times: npt.ArrayLike,
        codes: npt.ArrayLike,
        prices: npt.ArrayLike,
        sizes: npt.ArrayLike,
        bids: npt.ArrayLike | None = None,
        asks: npt.ArrayLike | None = None,
        event_times: npt.ArrayLike | None = None,
    ) -> None:
        self.symbols = tuple(symbols)
        self.times = _ints(times, "times")
        # 64-bit codes: taking rows by 32-bit ones is several times slower.
        self.codes = _ints(codes, "codes")
        self.prices = _ints(prices, "prices")
        self.sizes = _ints(sizes, "sizes")
        self.bids = None if bids is None else _ints(bids, "bids")
        self.asks = None if asks is None else _ints(asks, "asks")
        self.event_times = None if event_times is None else _ints(event_times, "event_times")
        self._check()

    def _check(self) -> None:
        count = len(self.times)
        for name in ("codes", "prices", "sizes", "bids", "asks", "event_times"):
            column = getattr(self, name)
            if column is not None and len(column) != count:
                raise JournalError(f"{name} has {len(column)} rows where times has {count}")
        if (self.bids is None) != (self.asks is None):
            raise JournalError("bids and asks come together")
        if not count:
            return
        if int(self.codes.min()) < 0 or int(self.codes.max()) >= len(self.symbols):
            raise JournalError(f"a code is none of the {len(self.symbols)} symbols")
        if count > 1 and bool(np.any(self.times[1:] < self.times[:-1])):
            at = int(np.argmax(self.times[1:] < self.times[:-1])) + 1
            raise JournalError(
                f"row {at} arrived at {self.times[at]}, before the one above it; sort by arrival "
                "and give the market's time as event_times"
            )
        if int(self.sizes.min()) < 0:
            raise JournalError("a size is below 0")
        if self.bids is None and int(self.prices.min()) == MISSING:
            raise JournalError("a tick has neither a price nor a quote")

    def __len__(self) -> int:
        return len(self.times)

    def slice(self, start: int, stop: int) -> TickColumns:
        """Return some of the rows, as views."""
        part = object.__new__(TickColumns)
        part.symbols = self.symbols
        for name in ("times", "codes", "prices", "sizes", "bids", "asks", "event_times"):
            column = getattr(self, name)
            setattr(part, name, None if column is None else column[start:stop])
        return part

    def tick(self, row: int, time: int | None = None) -> Tick:
        """Return one row as an input by itself, arrived at its own or at a later time."""
        price = self.prices.item(row)
        bid = MISSING if self.bids is None else self.bids.item(row)
        ask = MISSING if self.asks is None else self.asks.item(row)
        return Tick(
            self.times.item(row) if time is None else time,
            self.symbols[self.codes.item(row)],
            None if price == MISSING else price,
            self.sizes.item(row),
            None if bid == MISSING else bid,
            None if ask == MISSING else ask,
            None if self.event_times is None else self.event_times.item(row),
        )

    def to_batch(self) -> TickBatch:
        """Return the input of the journal that holds these ticks."""
        return TickBatch(
            self.symbols,
            _bytes(self.times),
            _bytes(self.codes),
            _bytes(self.prices),
            _bytes(self.sizes),
            b"" if self.bids is None else _bytes(self.bids),
            b"" if self.asks is None else _bytes(self.asks),
            b"" if self.event_times is None else _bytes(self.event_times),
        )

    @classmethod
    def from_batch(cls, batch: TickBatch) -> TickColumns:
        """Return the columns that an input of the journal holds."""
        return cls(
            batch.symbols,
            _column(batch.times),
            _column(batch.codes),
            _column(batch.prices),
            _column(batch.sizes),
            _column(batch.bids) if batch.bids else None,
            _column(batch.asks) if batch.asks else None,
            _column(batch.event_times) if batch.event_times else None,
        )


def _ints(values: npt.ArrayLike, name: str) -> Ints:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise JournalError(
            f"{name}: expected whole numbers, seen {array.dtype}; prices and sizes are counted in "
            "the instrument's units"
        )
    if array.dtype == np.uint64 and array.size and int(array.max()) > 2**63 - 1:
        raise JournalError(f"{name}: {array.max()} is beyond a signed 64-bit integer")
    return np.ascontiguousarray(array, np.int64)


def _bytes(column: Ints) -> bytes:
    return column.astype("<i8", copy=False).tobytes()


def _column(data: bytes) -> Ints:
    if len(data) % 8:
        raise JournalError(f"{len(data)} bytes are no column of 64-bit integers")
    return np.frombuffer(data, "<i8").astype(np.int64, copy=False)
