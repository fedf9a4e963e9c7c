"""The market in Deephaven: tables that a link to the market's process feeds."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from publishing import Publisher, PublishingStopped
from trading.desk import MarketTables, Topic
from trading.errors import LinkError, TradingError
from trading.local_link import Link
from trading.processes.config import DeskConfig
from trading.processes.market import CHAIN, desk_indicators
from trading.processes.recent_bars import bar_recipe, recent_bars, work_out
from trading.ticks import TickStore

__all__ = ["MarketScreens"]

_LOG = logging.getLogger(__name__)
_BARS = 500
# What comes is shown together, four times a second: faster than people read, and few cycles.
_PUBLISH_S = 0.25
_WAITING_MAX = 2_000
_SILENT_S = 15.0
_RETRY_S = 0.5
_STATUS_S = 1.0
_LEADERS = 5
_NUMBERS = ("price", "size", "bid", "ask", "bid_size", "ask_size")
_TICKS = {
    "Timestamp": "Instant",
    "Symbol": "string",
    **dict.fromkeys(("Price", "Size", "Bid", "Ask", "BidSize", "AskSize"), "double"),
    "Sequence": "long",
}
_PRICES = {
    "Symbol": "string",
    **dict.fromkeys(("Price", "Bid", "Ask", "Volume", "Change", "ChangePct"), "double"),
    "Timestamp": "Instant",
}
_STATUS = {
    "Source": "string",
    "State": "string",
    "Ticks": "long",
    "Errors": "long",
    "LastError": "string",
    "Timestamp": "Instant",
}


class _Price:
    """The newest price and quote of a symbol, and what has been traded since the beginning."""

    def __init__(self) -> None:
        self.price: float | None = None
        self.first: float | None = None
        self.bid: float | None = None
        self.ask: float | None = None
        self.volume = 0.0
        self.time = 0

    def take(self, price: Any, size: Any, bid: Any, ask: Any, time_ns: int) -> None:
        if price is not None:
            self.price = price
            self.first = price if self.first is None else self.first
            self.volume += size or 0.0
        self.bid = self.bid if bid is None else bid
        self.ask = self.ask if ask is None else ask
        self.time = time_ns

    def row(self, symbol: str) -> tuple[Any, ...]:
        change = percent = None
        if self.price is not None and self.first is not None:
            change = self.price - self.first
            percent = 100 * change / self.first if self.first else None
        return symbol, self.price, self.bid, self.ask, self.volume, change, percent, self.time


class MarketScreens:
    """Follows the market's process; after a cut it connects again and loads the bars it missed.

    `published` has the tables of `MarketTables` by name, and `ticks`, `prices_live`, `top_movers`,
    `volume_leaders`, `option_ladder` and `feed_status`. rows: how many of each history are kept.
    """

    def __init__(self, config: DeskConfig, publisher: Publisher, *, rows: int = 100_000) -> None:
        self._config = config
        self.tables = MarketTables(desk_indicators().features, rows=rows)
        self.features = self.tables.feature_columns
        self._ticks = publisher.table("ticks", _TICKS, rows=rows)
        self._prices = publisher.table("prices", _PRICES, rows=1_000, keys="Symbol")
        self._status = publisher.table("feed_status", _STATUS, rows=10)
        self._store = TickStore(
            {
                "user": "desk_market",
                "password": config.logins["desk_market"],
                **config.store,
            }
        )
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue(_WAITING_MAX)
        self._stop = threading.Event()
        self._newest: dict[str, _Price] = {}
        # The start of the newest bar that was shown, by timeframe.
        self._shown: dict[str, int] = {}
        self._cuts = 0
        self._problem = "the market's process has not answered yet"
        self._told = 0.0
        self.rows = 0
        self._threads = [
            threading.Thread(target=self._follow, name="market link", daemon=True),
            threading.Thread(target=self._publish, name="market screens", daemon=True),
        ]

    def published(self) -> dict[str, Any]:
        """Return every table by its name; other ones after a table failed in the engine."""
        from deephaven import agg

        from server.tables import with_staleness

        status = with_staleness(self._status.blink)
        stale = status.agg_by([agg.max_("StaleFlag")]).view("Stale = StaleFlag == 1")
        prices = self._prices.live("Symbol").natural_join(stale, on=[])
        shown: dict[str, Any] = {
            **self.tables.published,
            "ticks": self._ticks.table,
            "prices_live": prices,
            "top_movers": prices.update_view("Moved = abs(ChangePct)")
            .sort_descending("Moved")
            .head(_LEADERS)
            .drop_columns("Moved"),
            "volume_leaders": prices.sort_descending("Volume").head(_LEADERS),
            "feed_status": status.drop_columns("StaleFlag"),
        }
        # An expiry that has passed is told a last time, with no days left.
        shown["option_chain"] = shown["option_chain"].where("TDays > 0")
        shown["option_ladder"] = _ladder(shown["option_chain"])
        return shown

    def when_replaced(self, call: Callable[[], object]) -> None:
        """Call a function when tables had to be made anew."""
        for writer in (self._ticks, self._prices, self._status, *self.tables.writers):
            writer.on_replaced = call

    def start(self) -> None:
        """Begin to follow."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Follow no more; the tables stay as they are."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        self.tables.close()
        self._store.close()

    # --- the link's thread ------------------------------------------------------------------------

    def _follow(self) -> None:
        while not self._stop.is_set():
            link: Link | None = None
            try:
                link = Link(self._config.ports["market"], self._config.link_key)
                link.send({"subscribe": ["ticks", "tables"]})
                self._put({"kind": "load"})
                while not self._stop.is_set():
                    self._put(link.receive(_SILENT_S))
            except LinkError as error:
                self._cuts += 1
                self._problem = str(error)
                self._stop.wait(_RETRY_S)
            finally:
                if link is not None:
                    link.close()

    def _put(self, message: dict[str, Any]) -> None:
        """Hand a message over; while the engine is slow the link waits, and is cut at last."""
        while not self._stop.is_set():
            try:
                self._waiting.put(message, timeout=0.5)
                return
            except queue.Full:
                continue

    # --- the screens' thread ----------------------------------------------------------------------

    def _publish(self) -> None:
        while not self._stop.wait(_PUBLISH_S):
            try:
                touched: set[str] = set()
                while not self._waiting.empty():
                    self._take(self._waiting.get(), touched)
                for symbol in touched:
                    self._prices.write_row(*self._newest[symbol].row(symbol))
                self._tell_status()
            except PublishingStopped:
                return
            except TradingError as error:
                self._problem = str(error)
                _LOG.warning("the screens lack something of the market: %s", error)
            except Exception:  # noqa: BLE001 - the screens go on with what comes next
                _LOG.exception("something of the market could not be shown")

    def _take(self, message: dict[str, Any], touched: set[str]) -> None:
        kind = message["kind"]
        if kind == "load":
            self._load()
        elif kind == "ticks":
            self._problem = ""
            self._take_ticks(_unpacked(message["table"]), touched)
        elif kind == "status":
            self._problem = str(message["problem"])
        elif kind == "table":
            table, of = _unpacked(message["table"]), str(message["of"])
            if message["topic"] == CHAIN:
                self.tables.publish_chain(of, table)
            else:
                self._show(Topic(message["topic"]), of, table)

    def _show(self, topic: Topic, timeframe: str, table: pa.Table) -> None:
        if topic is Topic.BARS_FINAL and len(table):
            newest = pc.max(table["start"].cast(pa.int64())).as_py()
            self._shown[timeframe] = max(newest, self._shown.get(timeframe, newest))
        self.tables.publish(topic, timeframe, table)

    def _load(self) -> None:
        """Show the kept bars that were not shown yet, and their indicators."""
        for timeframe in self._config.timeframes:
            recipe = bar_recipe(self._config, timeframe)
            bars = recent_bars(self._store, self._config, recipe, _BARS)
            history = work_out(desk_indicators(), timeframe, bars)
            since = self._shown.get(timeframe, -1)
            fresh = bars.filter(pc.greater(bars["start"].cast(pa.int64()), since))
            if len(fresh):
                self._show(Topic.BARS_FINAL, timeframe, fresh)
            late = history.filter(pc.greater(history["bar_ts"].cast(pa.int64()), since))
            if len(late):
                self.tables.publish(Topic.INDICATOR_HISTORY, timeframe, late)
                self.tables.publish(Topic.INDICATOR_LATEST, timeframe, late)

    def _take_ticks(self, table: pa.Table, touched: set[str]) -> None:
        names = set(table.column_names)
        stamps = table["timestamp"].cast(pa.int64()).to_pylist()
        symbols = table["symbol"].cast(pa.string()).to_pylist()
        nothing = [None] * len(table)
        numbers = [
            table[name].cast(pa.float64()).to_pylist() if name in names else nothing
            for name in _NUMBERS
        ]
        sequence = table["sequence"].to_pylist() if "sequence" in names else nothing
        self.rows += len(table)
        for row in zip(stamps, symbols, *numbers, sequence, strict=True):
            self._ticks.write_row(*row)
            stamp, symbol, price, size, bid, ask = row[:6]
            known = self._newest.get(symbol)
            if known is None:
                known = self._newest[symbol] = _Price()
            known.take(price, size, bid, ask, stamp)
            touched.add(symbol)

    def _tell_status(self) -> None:
        now = time.monotonic()
        if now < self._told + _STATUS_S:
            return
        self._told = now
        source = "replay" if self._config.replay else "simulated"
        state = "AWAY" if self._problem else "LIVE"
        self._status.write_row(source, state, self.rows, self._cuts, self._problem, time.time_ns())


def _unpacked(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def _ladder(chain: Any) -> Any:
    """Calls and puts side by side, by expiry and strike."""
    shown = ("Bid", "Ask", "ImpliedVol", "Delta", "Gamma", "Vega", "Theta")
    keys = ["Underlying", "Expiry", "Strike"]
    sides = [
        chain.where(f"Right = `{right}`").view([*keys, *(f"{word}{n} = {n}" for n in shown)])
        for right, word in (("C", "Call"), ("P", "Put"))
    ]
    calls, puts = sides
    both = calls.natural_join(puts, on=keys)
    order = [
        *(f"Call{name}" for name in ("Theta", "Vega", "Gamma", "Delta", "ImpliedVol")),
        *("CallBid", "CallAsk", "Strike", "PutBid", "PutAsk"),
        *(f"Put{name}" for name in ("ImpliedVol", "Delta", "Gamma", "Vega", "Theta")),
    ]
    return both.sort(["Underlying", "Expiry", "Strike"]).view(["Underlying", "Expiry", *order])
