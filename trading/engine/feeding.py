"""A feed of ticks as inputs of the engine: read in a thread of its own, at the feed's pace."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from trading.engine.inbox import Inbox, Item
from trading.errors import TradingError
from trading.history.columns import Market, as_ticks
from trading.journal.inputs import FeedGap
from trading.kernel import TickColumns
from trading.specification import InstrumentSpec
from trading.ticks.feeds.events import Feed, Gap, Ticks

__all__ = ["Feeder"]

_LOG = logging.getLogger(__name__)
_ROWS = 10_000


class Feeder:
    """Puts the ticks of a feed into the inbox, those of known instruments alone.

    Ticks that do not fit their instrument (a price off the increment) are left out, with a warning
    and in `problem`; `rows` counts those that were taken.
    """

    def __init__(self, feed: Feed, inbox: Inbox, specs: Iterable[InstrumentSpec]) -> None:
        self._feed = feed
        self._inbox = inbox
        self._specs: Mapping[str, InstrumentSpec] = {spec.symbol: spec for spec in specs}
        self._symbols = pa.array(list(self._specs), pa.string())
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.rows = 0
        self.ended = False
        # When the feed last gave anything, by time.monotonic().
        self.heard_at = time.monotonic()
        self.problem = ""

    def start(self) -> None:
        """Begin to read, unless that was done already."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="engine-feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no more; a feed that waits for its source, and cannot be stopped, is left alone."""
        self._stop.set()
        end = getattr(self._feed, "stop", None)
        if end is not None:
            end()
        if self._thread is not None:
            self._thread.join(2.0)

    def _run(self) -> None:
        begun = time.monotonic()
        try:
            for event in self._feed.events():
                if event.due_s is not None:
                    self._stop.wait(begun + event.due_s - time.monotonic())
                if self._stop.is_set():
                    return
                self.heard_at = time.monotonic()
                if isinstance(event, Ticks):
                    self._ticks(event.table)
                elif isinstance(event, Gap):
                    gap = FeedGap(0, event.start, event.end, event.symbol or "")
                    self._inbox.put(Item(gap))
        except Exception as error:  # noqa: BLE001 - a feed may raise anything; the engine goes on
            self._warn(f"feed {self._feed.name} ended: {error}")
        self.ended = True

    def _ticks(self, table: pa.Table) -> None:
        known = table.filter(pc.is_in(table.column("symbol").cast(pa.string()), self._symbols))
        if not len(known):
            return
        try:
            columns = as_ticks(known, Market(self._specs))
        except TradingError as error:
            self._warn(f"{len(known)} ticks of feed {self._feed.name} are left out: {error}")
            return
        for part in _parts(columns):
            self._inbox.wait_room(self._stop)
            self._inbox.put(Item(part))
        self.rows += len(columns)

    def _warn(self, text: str) -> None:
        self.problem = text
        _LOG.warning(text)


def _parts(columns: TickColumns) -> Iterator[TickColumns]:
    for at in range(0, len(columns), _ROWS):
        yield columns.slice(at, min(at + _ROWS, len(columns)))
