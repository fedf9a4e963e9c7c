"""LiveMarket: what follows from a feed's events, published by topic as it changes.

market = LiveMarket({"1m": BarKeeper(ticks, "1m")}, publish, indicators=indicators)
for event in feed.events():
    market.take(event)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from trading.features import BookFeatures
from trading.indicators import IndicatorSet
from trading.ticks.feeds import Depth, Event, Gap, Heartbeat, Ticks

_TIME = pa.timestamp("ns", "UTC")


class Topic(str, Enum):
    """What is published, by the names that subscribers use."""

    BARS_LIVE = "md:bars.live"
    BARS_FINAL = "md:bars.final"
    INDICATOR_LATEST = "md:indicators.latest"
    INDICATOR_HISTORY = "md:indicators.history"
    BOOK_FEATURES = "md:features.book"


Publish = Callable[[Topic, str, pa.Table], object]
"""Takes a topic, the timeframe (empty for book features) and the rows."""


class Builder(Protocol):
    """What makes bars: a `BarBuilder`, or a `BarKeeper`, which keeps them too."""

    def push(self, ticks: Any) -> pa.Table:
        """Take ticks; the bars that became final or were revised."""

    def advance(self, now: Any) -> pa.Table:
        """Let the clock go on; the bars that became final by that."""

    def working(self, symbols: Collection[str] | None = None) -> pa.Table:
        """The open bars, of all symbols for None."""

    def gap(self, start: Any, end: Any, symbol: str | None = None) -> None:
        """Say that no data came."""


class LiveMarket:
    """Bars of several timeframes, their indicators and features of the book, event by event.

    builders: one for each timeframe. publish: is called with what changed, on the thread of `take`.
    Working bars are published as they change, final ones once they are final, revisions too.
    Indicators are computed of final bars, and shown for working ones without being changed by them.
    levels and window: those of `BookFeatures`.
    """

    def __init__(
        self,
        builders: Mapping[str, Builder],
        publish: Publish,
        *,
        indicators: IndicatorSet | None = None,
        levels: int = 5,
        window: str = "1m",
    ) -> None:
        self._builders = dict(builders)
        self._publish = publish
        self._indicators = indicators
        self._levels, self._window = levels, window
        self._books: dict[str, BookFeatures] = {}

    def take(self, event: Event) -> None:
        """Take an event of a feed, and publish what follows from it."""
        if isinstance(event, Ticks):
            self.push(event.table)
        elif isinstance(event, Gap):
            for builder in self._builders.values():
                builder.gap(event.start, event.end, event.symbol)
        elif isinstance(event, Heartbeat):
            self.advance(event.time)
        elif isinstance(event, Depth):
            self._show_books(event.table)

    def push(self, ticks: pa.Table) -> None:
        """Take ticks; with a tick store, append them before."""
        if not len(ticks):
            return
        symbols = ticks["symbol"].unique().to_pylist()
        for timeframe, builder in self._builders.items():
            self._show_final(timeframe, builder.push(ticks))
            self._show_working(timeframe, builder.working(symbols))

    def advance(self, now: Any) -> None:
        """Let the clock go on."""
        for timeframe, builder in self._builders.items():
            self._show_final(timeframe, builder.advance(now))

    def _show_final(self, timeframe: str, finished: pa.Table) -> None:
        if not len(finished):
            return
        self._publish(Topic.BARS_FINAL, timeframe, finished)
        if self._indicators is not None:
            history = self._indicators.push(timeframe, finished)
            if len(history):
                self._publish(Topic.INDICATOR_HISTORY, timeframe, history)
                self._publish(Topic.INDICATOR_LATEST, timeframe, history)

    def _show_working(self, timeframe: str, working: pa.Table) -> None:
        if not len(working):
            return
        self._publish(Topic.BARS_LIVE, timeframe, working)
        if self._indicators is not None:
            preview = self._indicators.preview(timeframe, working)
            if len(preview):
                self._publish(Topic.INDICATOR_LATEST, timeframe, preview)

    def _show_books(self, table: pa.Table) -> None:
        rows = []
        for symbol, moment, bids, asks in _books(table):
            book = self._books.get(symbol)
            if book is None:
                book = self._books[symbol] = BookFeatures(self._levels, self._window)
            value = book.depth(moment, bids, asks)._asdict()
            rows.append({"symbol": symbol, **value})
        if rows:
            shown = pa.Table.from_pylist(rows)
            stamps = shown["timestamp"].cast(_TIME)
            place = shown.column_names.index("timestamp")
            self._publish(Topic.BOOK_FEATURES, "", shown.set_column(place, "timestamp", stamps))


_Levels = list[tuple[float, float, int]]


def _books(table: pa.Table) -> Iterator[tuple[str, int, _Levels, _Levels]]:
    """Each symbol's newest book of a table of levels, best level first."""
    times = np.asarray(table["timestamp"].cast(_TIME).cast(pa.int64()))
    symbols = table["symbol"].cast(pa.string()).to_pylist()
    newest: dict[str, int] = {}
    for symbol, moment in zip(symbols, times.tolist(), strict=True):
        newest[symbol] = max(moment, newest.get(symbol, moment))
    sides: dict[str, dict[str, _Levels]] = {name: {"bid": [], "ask": []} for name in newest}
    order = np.argsort(np.asarray(table["level"]), kind="stable").tolist()
    columns = {name: table[name].to_pylist() for name in ("side", "price", "size", "orders")}
    for row in order:
        symbol = symbols[row]
        if times[row] == newest[symbol]:
            sides[symbol][columns["side"][row]].append(
                (
                    float(columns["price"][row]),
                    float(columns["size"][row]),
                    int(columns["orders"][row]),
                )
            )
    for symbol, moment in newest.items():
        yield symbol, moment, sides[symbol]["bid"], sides[symbol]["ask"]
