"""The feeds of the market data server, as feeds of ticks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trading.ticks.feeds.events import Event, Ticks
from trading.ticks.feeds.volumes import VolumeTotals


class TickBatch(Protocol):
    """Ticks that become known at the same moment; `volume` is the session's total."""

    @property
    def due_s(self) -> float:
        """Seconds after the start of the feed."""

    @property
    def symbol(self) -> npt.NDArray[np.object_]:
        """Symbols."""

    @property
    def price(self) -> npt.NDArray[np.float64]:
        """Last traded prices."""

    @property
    def bid(self) -> npt.NDArray[np.float64]:
        """Best bids."""

    @property
    def ask(self) -> npt.NDArray[np.float64]:
        """Best asks."""

    @property
    def volume(self) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
        """What was traded since the session opened."""

    @property
    def timestamp_ns(self) -> npt.NDArray[np.int64]:
        """Nanoseconds since 1970 UTC."""


class MarketFeed(Protocol):
    """What this package needs of a feed of the server: its simulator, its replay, or another."""

    @property
    def name(self) -> str:
        """What the source is called."""

    @property
    def symbols(self) -> Sequence[str]:
        """Every symbol that the feed may tick."""

    def batches(self) -> Iterator[Any]:
        """Yield `TickBatch`es."""


class FromMarketFeed:
    """Turns a server's feed into ticks: its total volumes into sizes, counted by sequence.

    A tick whose total did not grow is a quote: there was no trade. Prices are rounded to `digits`
    decimal places, as replays of adjusted prices have more than are kept exactly.
    """

    def __init__(self, feed: MarketFeed, *, digits: int = 6) -> None:
        self._feed = feed
        self._digits = digits
        self.name = feed.name
        self.symbols = tuple(feed.symbols)

    def events(self) -> Iterator[Event]:
        """Yield the feed's batches as `Ticks`, due when they were."""
        totals = VolumeTotals(from_start=True)
        sequence = dict.fromkeys(self.symbols, 0)
        for batch in self._feed.batches():
            sizes = totals.sizes(batch.symbol, batch.volume)
            numbers = []
            for symbol in batch.symbol.tolist():
                sequence[symbol] += 1
                numbers.append(sequence[symbol])
            yield Ticks(self._table(batch, sizes, numbers), batch.due_s)

    def _table(self, batch: TickBatch, sizes: Any, sequence: list[int]) -> pa.Table:
        quiet = sizes == 0

        def price(values: npt.NDArray[np.float64], mask: Any = None) -> pa.Array:
            return pa.array(np.round(values, self._digits), mask=mask)

        return pa.table(
            {
                "timestamp": pa.array(batch.timestamp_ns).cast(pa.timestamp("ns", "UTC")),
                "symbol": pa.array(batch.symbol, pa.string()),
                "price": price(batch.price, quiet),
                "size": pa.array(sizes, mask=quiet),
                "bid": price(batch.bid),
                "ask": price(batch.ask),
                "sequence": pa.array(sequence, pa.int64()),
            }
        )
