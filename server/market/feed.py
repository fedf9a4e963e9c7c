"""Market data as a feed: batches of ticks, each with the time at which it is due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from publishing.kinds import KINDS

FloatArray = npt.NDArray[np.float64]
LongArray = npt.NDArray[np.int64]
# For what has no value.
NULL_DOUBLE: float = KINDS["double"].null


@dataclass(frozen=True, slots=True, eq=False)
class TickBatch:
    """Ticks that become known at the same moment; every column has one entry a tick.

    Attributes:
        due_s: seconds after the start of the feed at which the batch is due.
        symbol: ticker symbols.
        price: last traded price, in dollars.
        bid: best bid, in dollars.
        ask: best ask, in dollars.
        volume: shares traded since the session opened; in fractions where the market has them.
        reference: the session's reference price (the previous close), in dollars.
        timestamp_ns: market time, in nanoseconds since the epoch, UTC.
    """

    due_s: float
    symbol: npt.NDArray[np.object_]
    price: FloatArray
    bid: FloatArray
    ask: FloatArray
    volume: LongArray | FloatArray
    reference: FloatArray
    timestamp_ns: LongArray

    def __len__(self) -> int:
        return len(self.symbol)

    def price_columns(self) -> tuple[npt.NDArray[Any], ...]:
        """Return the columns of the price tables, in their order.

        Symbol, Price, Bid, Ask, Volume, Change (dollars against the reference price),
        ChangePct (the same in percent of its absolute value, null where it is 0), Timestamp
        (nanoseconds since the epoch).
        """
        change = self.price - self.reference
        base = np.abs(self.reference)
        change_pct = np.full(len(self), NULL_DOUBLE)
        np.divide(100.0 * change, base, out=change_pct, where=base != 0)
        return (
            self.symbol,
            self.price,
            self.bid,
            self.ask,
            self.volume,
            change,
            change_pct,
            self.timestamp_ns,
        )


class MarketFeed(Protocol):
    """A source of market data; it makes ticks and leaves the waiting to whoever plays it."""

    @property
    def name(self) -> str:
        """What the status table calls this source."""

    @property
    def symbols(self) -> Sequence[str]:
        """Every symbol that the feed may tick, in a fixed order."""

    @property
    def opening_prices(self) -> dict[str, float]:
        """The first session's reference price of every symbol, in dollars."""

    def batches(self) -> Iterator[TickBatch]:
        """Yield batches with `due_s` never decreasing; a second call starts from the beginning."""
