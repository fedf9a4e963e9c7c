"""The exchange's trades and quotes as a feed of ticks, over the link that orders go over.

    broker = ExchangeBroker("127.0.0.1", 7001, account="ACC", key=key, instruments=specs)
    feed = broker.market_data(["AAPL"])
    broker.connect()
    for event in feed.events(): ...

A quote says how the best prices are by now: while a reader is slow, or none is there, several
changes become one. Trades come one by one.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import pyarrow as pa

from trading.bars.columns import SIZE_DIGITS
from trading.errors import FeedError
from trading.exchange.wire import Quote, TradePrint
from trading.numbers import from_units, optional_decimal
from trading.specification import InstrumentSpec
from trading.ticks.feeds.events import Event, Gap, Heartbeat, Ticks

__all__ = ["ExchangeFeed"]

_BATCH_S = 0.02
_BATCH_ROWS = 2_000
_QUIET_S = 0.5
_WAITING = 50_000
_TIME = pa.timestamp("ns", "UTC")
_NUMBER = pa.decimal128(38, SIZE_DIGITS)

_Row = tuple[Quote | TradePrint, int]


class ExchangeFeed:
    """A feed of the symbols that a broker's exchange trades; made by `ExchangeBroker.market_data`.

    A gap covers the time from the loss of the link to the first log-on after it, and what a reader
    missed who was more than 50,000 messages behind. The feed ends when the broker is closed.
    """

    name = "exchange"

    def __init__(self, instruments: Mapping[str, InstrumentSpec]) -> None:
        for spec in instruments.values():
            finest = max(spec.price_decimals, spec.size_decimals)
            if finest > SIZE_DIGITS:
                raise FeedError(
                    f"{spec.symbol} has {finest} decimals, ticks have {SIZE_DIGITS} at most"
                )
        self.symbols: Sequence[str] = tuple(instruments)
        self._specs = instruments
        self._waiting: queue.SimpleQueue[_Row | Gap | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._lost_at: int | None = None
        self._late_since: int | None = None

    # --- the broker's thread ----------------------------------------------------------------------

    def put(self, message: Quote | TradePrint) -> None:
        """Add what the exchange has said."""
        now = time.time_ns()
        if self._waiting.qsize() >= _WAITING:
            self._late_since = now if self._late_since is None else self._late_since
            return
        if self._late_since is not None:
            self._waiting.put(Gap(self._late_since, now, None, "the reader was too slow"))
            self._late_since = None
        self._waiting.put((message, now))

    def link_is_up(self) -> None:
        """Note that the exchange tells again, from now on."""
        if self._lost_at is not None:
            self._waiting.put(Gap(self._lost_at, time.time_ns(), None, "the link was down"))
            self._lost_at = None

    def link_is_down(self) -> None:
        """Note that nothing is told until the next log-on."""
        if self._lost_at is None:
            self._lost_at = time.time_ns()

    def stop(self) -> None:
        """End `events` soon; another thread may call this."""
        self._stopped.set()
        self._waiting.put(None)

    # --- the reader -------------------------------------------------------------------------------

    def events(self) -> Iterator[Event]:
        """Yield ticks and gaps as they come, and heartbeats where nothing comes, until `stop`."""
        while not self._stopped.is_set():
            rows: list[_Row] = []
            end, gap = time.monotonic() + _QUIET_S, None
            while len(rows) < _BATCH_ROWS:
                try:
                    found = self._waiting.get(timeout=max(end - time.monotonic(), 0.0))
                except queue.Empty:
                    break
                if found is None:
                    break
                if isinstance(found, Gap):
                    gap = found
                    break
                if not rows:
                    end = time.monotonic() + _BATCH_S
                rows.append(found)
            if rows:
                yield Ticks(self._table(rows))
            if gap is not None:
                yield gap
            elif not rows and self._lost_at is None and not self._stopped.is_set():
                yield Heartbeat(time.time_ns())

    def _table(self, rows: Sequence[_Row]) -> pa.Table:
        names = ("price", "size", "bid", "ask", "bid_size", "ask_size")
        columns: dict[str, list[Decimal | None]] = {name: [] for name in names}
        for message, _ in rows:
            for name, value in zip(names, self._numbers(message), strict=True):
                columns[name].append(value)
        return pa.table(
            {
                "timestamp": pa.array([each.time for each, _ in rows]).cast(_TIME),
                "symbol": pa.array([each.symbol for each, _ in rows], pa.string()),
                **{name: pa.array(each, _NUMBER) for name, each in columns.items()},
                "received": pa.array([received for _, received in rows]).cast(_TIME),
            }
        )

    def _numbers(self, message: Quote | TradePrint) -> tuple[Decimal | None, ...]:
        spec = self._specs[message.symbol]
        if isinstance(message, TradePrint):
            price = from_units(message.price, spec.price_decimals)
            return price, from_units(message.size, spec.size_decimals), None, None, None, None
        bid = optional_decimal(message.bid, spec.price_decimals)
        ask = optional_decimal(message.ask, spec.price_decimals)
        return (
            *(None, None, bid, ask),
            None if bid is None else from_units(message.bid_size, spec.size_decimals),
            None if ask is None else from_units(message.ask_size, spec.size_decimals),
        )
