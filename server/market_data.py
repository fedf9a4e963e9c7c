"""The market that the server shows: its symbols, its book, and the thread that plays a feed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from server.market.feed import MarketFeed, TickBatch
from server.market.positions import Book, Position
from server.market.simulator import Simulator

logger = logging.getLogger(__name__)

# Yesterday's closing prices, in dollars.
BASE_PRICES = {
    "AAPL": 228.0,
    "GOOGL": 192.0,
    "MSFT": 415.0,
    "AMZN": 225.0,
    "TSLA": 355.0,
    "NVDA": 138.0,
    "META": 700.0,
    "NFLX": 1020.0,
}
SYMBOLS = list(BASE_PRICES)
# Shares held, negative when short.
POSITIONS = {
    "AAPL": 1_500,
    "GOOGL": 1_200,
    "MSFT": 800,
    "AMZN": -600,
    "TSLA": -400,
    "NVDA": 2_500,
    "META": 300,
    "NFLX": -150,
}
# Average price paid (or received, when short) for each position, in dollars.
ENTRY_PRICES = {
    "AAPL": 221.4,
    "GOOGL": 186.25,
    "MSFT": 421.1,
    "AMZN": 231.8,
    "TSLA": 342.6,
    "NVDA": 129.75,
    "META": 684.3,
    "NFLX": 1043.5,
}
# Shares held of a symbol that POSITIONS does not know, as in a replay of other prices.
DEFAULT_QUANTITY = 100


# How long a feed may take to make a batch before the tables say that it is silent.
SILENT_SECONDS = 5.0


class RowWriter(Protocol):
    """Anything that takes a table's rows one by one.

    A writer that also has `write_columns(*columns)` is given whole batches through it.
    """

    def write_row(self, *values: Any) -> None:
        """Publish one row, the values in the order of the columns."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How a feed is doing.

    Attributes:
        source: name of the feed.
        state: STARTING, LIVE, FAILING (the newest batch could not be published), SILENT (the feed
            was asked for ticks and does not answer), ENDED (it had no more), STOPPED or FAILED
            (the feed itself raised).
        ticks: ticks published so far.
        errors: batches that could not be published, and failures of the feed itself.
        last_error: the cause of the newest of them, empty if there was none.
    """

    source: str
    state: str = "STARTING"
    ticks: int = 0
    errors: int = 0
    last_error: str = ""


class FeedPlayer:
    """Plays a feed into the price and risk tables on a thread of its own.

    An error is logged with its traceback, counted and shown in `status`; a batch that fails
    leaves the feed running until the next, a feed that fails ends.

    Args:
        feed: where the ticks come from.
        book: positions for the risk table.
        price_writer: takes the price columns of `TickBatch.price_columns`.
        risk_writer: takes the risk columns of `Book.risk_columns`.
        on_status: called on the feed's thread when the state or the error count changes.
        on_batch: called on the feed's thread with each batch that was published.
    """

    def __init__(
        self,
        feed: MarketFeed,
        book: Book,
        price_writer: RowWriter,
        risk_writer: RowWriter,
        on_status: Callable[[FeedStatus], None] | None = None,
        on_batch: Callable[[TickBatch], None] | None = None,
    ) -> None:
        self._feed = feed
        self._book = book
        self._price_writer = price_writer
        self._risk_writer = risk_writer
        self.on_status = on_status
        self.on_batch = on_batch
        self.status = FeedStatus(source=feed.name)
        self.asked_feed_at: float | None = None
        self.stop_event = threading.Event()
        self.thread = threading.Thread(target=self._run, name="market-data", daemon=True)

    def start(self) -> FeedPlayer:
        """Start playing; returns itself."""
        self.thread.start()
        return self

    def health(self) -> FeedStatus:
        """Return the status, SILENT where the feed has not answered for long."""
        asked = self.asked_feed_at
        if asked is not None and time.monotonic() - asked > SILENT_SECONDS:
            return replace(self.status, state="SILENT", last_error="the feed does not answer")
        return self.status

    def stop(self, timeout: float = 5.0) -> None:
        """Stop playing and wait until the thread has ended."""
        self.stop_event.set()
        self.thread.join(timeout)

    def _run(self) -> None:
        started = time.monotonic()
        state = "ENDED"
        try:
            for batch in self._watched(self._feed.batches()):
                if self.stop_event.wait(max(0.0, started + batch.due_s - time.monotonic())):
                    state = "STOPPED"
                    break
                try:
                    write_columns(self._price_writer, batch.price_columns())
                    write_columns(self._risk_writer, self._book.risk_columns(batch))
                except Exception as error:  # noqa: BLE001 - one bad batch must not end the market
                    self._failed("FAILING", "a batch of ticks could not be published", error)
                else:
                    self._became("LIVE", ticks=self.status.ticks + len(batch))
                    self._tell(self.on_batch, batch, "a batch of ticks")
        except BaseException as error:  # noqa: BLE001 - whatever it was, the tables must say so
            self._failed("FAILED", "the market data feed failed", error)
        else:
            self._became(state)

    def _watched(self, batches: Iterator[TickBatch]) -> Iterator[TickBatch]:
        """Note when the feed is asked for a batch, so that one that never answers is seen."""
        while True:
            self.asked_feed_at = time.monotonic()
            batch = next(batches, None)
            self.asked_feed_at = None
            if batch is None:
                return
            yield batch

    def _failed(self, state: str, what: str, error: BaseException) -> None:
        logger.error("%s: %s", what, error, exc_info=error)
        cause = f"{type(error).__name__}: {error}"
        self._became(state, errors=self.status.errors + 1, last_error=cause)

    def _became(self, state: str, **changes: Any) -> None:
        before, self.status = self.status, replace(self.status, state=state, **changes)
        if (before.state, before.errors) != (self.status.state, self.status.errors):
            self._tell(self.on_status, self.status, "the feed's status")

    def _tell(self, listener: Callable[[Any], None] | None, news: Any, what: str) -> None:
        if listener is not None:
            try:
                listener(news)
            except Exception:
                logger.exception("a listener to %s raised", what)


def write_columns(writer: RowWriter, columns: tuple[npt.NDArray[Any], ...]) -> None:
    """Give a batch to a writer: at once if it can take columns, else row by row."""
    at_once = getattr(writer, "write_columns", None)
    if at_once is not None:
        at_once(*columns)
        return
    # Java-backed writers take Python's own numbers, not numpy's.
    for row in zip(*(np.asarray(column).tolist() for column in columns), strict=True):
        writer.write_row(*row)


def fitting(writer: RowWriter) -> RowWriter:
    """Return a writer that takes our rows: a writer of a table gets the columns that it has."""
    columns = getattr(getattr(writer, "table", None), "columns", None)
    return writer if columns is None else _FirstColumns(writer, len(columns))


class _FirstColumns:
    """Gives a writer the first values of each row."""

    def __init__(self, writer: RowWriter, count: int) -> None:
        self._writer = writer
        self._count = count

    def write_row(self, *values: Any) -> None:
        """Publish the first values of a row."""
        self._writer.write_row(*values[: self._count])


def book_for(feed: MarketFeed) -> Book:
    """Return the desk's book in the symbols of a feed.

    Simulated symbols are held at their known entry prices; recorded ones, whose prices belong
    to another time, as if bought at their opening price.
    """
    opening = feed.opening_prices
    entry = ENTRY_PRICES if isinstance(feed, Simulator) else {}
    return Book(
        {
            s: Position(POSITIONS.get(s, DEFAULT_QUANTITY), entry.get(s, opening[s]))
            for s in feed.symbols
        }
    )


def start_market_data(
    price_writer: RowWriter,
    risk_writer: RowWriter,
    tick_interval: float = 0.2,
    *,
    feed: MarketFeed | None = None,
) -> tuple[threading.Thread, threading.Event]:
    """Start ticking prices and risk into two writers; return the thread and its stop event.

    Rows are Symbol, Price, Bid, Ask, Volume, Change, ChangePct, Timestamp and Symbol, Position,
    MarketValue, UnrealizedPnL, Delta, Gamma, Theta, Vega, Timestamp, the timestamp being
    nanoseconds since the epoch. A `DynamicTableWriter` gets as many of them as its table has.

    Args:
        price_writer: takes a row a tick.
        risk_writer: takes a row a tick.
        tick_interval: seconds between ticks of the simulated market, when no feed is given.
        feed: another source of market data.
    """
    source = feed or Simulator(BASE_PRICES, tick_interval=tick_interval)
    writers = fitting(price_writer), fitting(risk_writer)
    player = FeedPlayer(source, book_for(source), *writers).start()
    return player.thread, player.stop_event
