"""The market's process: a feed, the tick store, bars and indicators, told to who listens.

Ticks go to the engine and the newest values to the API as soon as they come. A second thread
appends them to the tick store, keeps bars, and publishes what follows from them.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trading.desk import LiveMarket, Topic
from trading.desk.option_board import SimulatedOptions, ladder
from trading.errors import FeedError, SequenceConflict, TickStoreError
from trading.indicators import ATR, EMA, RSI, IndicatorSet
from trading.processes.config import DeskConfig
from trading.processes.publishing import LinkServer
from trading.processes.recent_bars import bar_recipe, recent_bars, work_out
from trading.ticks import TickStore, files
from trading.ticks.bar_keeper import BarKeeper
from trading.ticks.feeds import Depth, Event, Feed, Gap, RecordedTicks, SimulatedMarket, Ticks

__all__ = ["CHAIN", "MarketProcess", "desk_indicators"]

_LOG = logging.getLogger(__name__)
_KEEP_S = 0.1
# The keeper rests for so many times what its last turn took: the more there is to do, the more is
# done together, and ticks pass it by without waiting.
_REST = 1.5
_KEEP_MAX_S = 1.0
_OPTIONS_S = 1.0
_WARM_BARS = 120
_RETRY_S = 0.5
_WAITING_MAX = 2_000
_TIME = pa.timestamp("ns", "UTC")
_STEP_S = 0.02
_SIMULATED = "simulated"
CHAIN = "md:options.chain"
"""The topic of option chains, by underlying."""


def desk_indicators() -> IndicatorSet:
    """Return the indicators that a desk shows."""
    return IndicatorSet({"ema_20": EMA(20), "rsi_14": RSI(14), "atr_14": ATR(14)}, version="1")


class MarketProcess:
    """Runs a desk's market until it is told to stop."""

    def __init__(self, config: DeskConfig) -> None:
        self._config = config
        login = {
            "user": "desk_market",
            "password": config.logins["desk_market"],
            **config.store,
        }
        self._ticks = TickStore(login)
        self._stop = threading.Event()
        self._waiting: queue.Queue[Event] = queue.Queue(_WAITING_MAX)
        self._values: dict[str, dict[tuple[str, str], dict[str, Any]]] = {
            kind: {} for kind in ("prices", "depth", "bars", "indicators", "options")
        }
        self._lock = threading.Lock()
        self._server = LinkServer(config.ports["market"], config.link_key, current=self._current)
        self._begin = time.time_ns()
        self.rows = 0
        self.newest = 0
        self.problem = ""
        self._live: LiveMarket | None = None
        self._indicators = desk_indicators()
        self._options = (
            SimulatedOptions(config.options, calendar=config.calendar) if config.options else None
        )
        self._options_due = 0.0
        self.is_replay = bool(config.replay)
        self.bar_delays: dict[str, float] = {}

    # --- life -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Publish until `stop` is called; a recording that is over leaves its values standing."""
        # Bars of an earlier life are finished before the first tick of this one comes.
        self._live = self._market()
        self._server.start()
        feed = self._feed()
        keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        keeper.start()
        try:
            self._follow(feed)
            while not self._stop.wait(1.0):
                self._tell_status()
        finally:
            self._stop.set()
            keeper.join(10)
            self._server.stop()
            self._ticks.close()

    def stop(self) -> None:
        """End it; what has come is kept before."""
        self._stop.set()

    def _feed(self) -> Feed:
        config = self._config
        if config.replay:
            recording = _recording(config.replay, self._ticks.newest("replay"))
            return RecordedTicks(recording, speed=config.speed, batch_s=0.05, name="replay")
        prices = {}
        newest = self._ticks.newest(_SIMULATED)
        for symbol, text in config.symbols.items():
            try:
                prices[symbol] = float(self._last_price(symbol, newest) or text)
            except ValueError:
                raise FeedError(f"{symbol}={text!r}: a price is expected") from None
        # Read last: the times of the ticks begin here, and reading earlier prices took a while.
        self._begin = time.time_ns()
        return SimulatedMarket(
            prices,
            seed=self._begin % 2**32 if config.seed is None else config.seed,
            start=self._begin,
            rate=config.rate,
            depth_every_s=0.2,
            step_s=_STEP_S,
        )

    def _last_price(self, symbol: str, newest: int | None) -> float | None:
        """Where an earlier life of this market stopped, which told its newest tick then."""
        if newest is None:
            return None
        table = self._ticks.read(symbol, newest - 60_000_000_000, source=_SIMULATED, exact=False)
        prices = table["price"].drop_null()
        return float(prices[-1].as_py()) if len(prices) else None

    def _market(self) -> LiveMarket:
        keepers = {}
        now = None if self.is_replay else self._begin
        for frame in self._config.timeframes:
            recipe = bar_recipe(self._config, frame)
            keeper = BarKeeper(self._ticks, recipe, lateness="0s" if self.is_replay else "1s")
            keeper.catch_up(now)
            keepers[frame] = keeper
            # Ready at once: they go on from the bars of an earlier life.
            bars = recent_bars(self._ticks, self._config, recipe, _WARM_BARS)
            work_out(self._indicators, frame, bars)
        return LiveMarket(keepers, self._publish, indicators=self._indicators)

    @property
    def waiting(self) -> int:
        """Events that are not kept yet."""
        return self._waiting.qsize()

    # --- the feed's thread ------------------------------------------------------------------------

    def _follow(self, feed: Feed) -> None:
        begun, told = time.monotonic(), 0.0
        if not self.is_replay:
            # What it tells is due by its own times: otherwise every tick would be late by the time
            # between making the feed and following it.
            begun -= (time.time_ns() - self._begin) / 1e9
        for given in feed.events():
            event = given
            if event.due_s is not None:
                self._stop.wait(begun + event.due_s - time.monotonic())
            if self._stop.is_set():
                return
            if isinstance(event, Ticks):
                event = Ticks(self._numbered(event.table))
                self._take_ticks(event.table)
            elif isinstance(event, Gap):
                message = {"start": event.start, "end": event.end, "symbol": event.symbol}
                self._server.publish("ticks", {"kind": "gap", **message})
            elif isinstance(event, Depth):
                self._take_depth(event.table)
            self._wait_room()
            self._waiting.put(event)
            if time.monotonic() - told >= 1.0:
                told = time.monotonic()
                self._tell_status()

    def _wait_room(self) -> None:
        """Stand still while the tick store is behind."""
        while self._waiting.qsize() >= _WAITING_MAX - 1 and not self._stop.is_set():
            time.sleep(0.01)

    def _numbered(self, table: pa.Table) -> pa.Table:
        """Give each tick a sequence that no other life of this source has used."""
        if self.is_replay and "sequence" in table.column_names:
            return table
        begin = 0 if self.is_replay else self._begin
        numbers = np.arange(self.rows, self.rows + len(table), dtype=np.int64) + begin
        column = pa.array(numbers)
        if "sequence" in table.column_names:
            return table.set_column(table.column_names.index("sequence"), "sequence", column)
        return table.append_column("sequence", column)

    def _take_ticks(self, table: pa.Table) -> None:
        self.rows += len(table)
        if self._server.is_asked("ticks"):
            self._server.publish("ticks", {"kind": "ticks", "table": _packed(table)})
        self.newest = time.time_ns()
        self._say("prices", _prices(table))

    def _take_depth(self, table: pa.Table) -> None:
        self._say("depth", _books(table, self._values["prices"]))

    def _tell_status(self) -> None:
        message = {
            "kind": "status",
            "rows": self.rows,
            "newest": self.newest,
            "waiting": self._waiting.qsize(),
            "problem": self.problem,
            "is_replay": self.is_replay,
        }
        for kind in ("values", "tables"):
            self._server.publish(kind, message)

    # --- the keeper's thread ----------------------------------------------------------------------

    def _keep(self) -> None:
        rest = _KEEP_S
        while not self._stop.is_set() or not self._waiting.empty():
            self._stop.wait(rest)
            begun = time.monotonic()
            events = []
            while not self._waiting.empty():
                events.append(self._waiting.get())
            try:
                self._take(events)
                self._show_options()
            except Exception as error:  # the process ends, and is started again
                _LOG.exception("the market cannot keep what it is told")
                self.problem = f"{type(error).__name__}: {error}"
                self._stop.set()
                raise
            rest = min(max(_KEEP_S, _REST * (time.monotonic() - begun)), _KEEP_MAX_S)

    def _take(self, events: Iterable[Event]) -> None:
        live = self._live
        assert live is not None
        tables: list[pa.Table] = []
        books: list[pa.Table] = []
        for event in events:
            if isinstance(event, Ticks):
                tables.append(event.table)
            elif isinstance(event, Depth):
                books.append(event.table)
            else:
                self._take_together(tables)
                live.take(event)
        self._take_together(tables)
        # Features of books are for the screens alone, and only the newest book of each symbol.
        if books and self._server.is_asked("tables"):
            live.take(Depth(pa.concat_tables(books, promote_options="default")))
        if not self.is_replay:
            live.advance(time.time_ns())

    def _take_together(self, tables: list[pa.Table]) -> None:
        if not tables:
            return
        live = self._live
        assert live is not None
        table = pa.concat_tables(tables, promote_options="default")
        tables.clear()
        self._append(table)
        live.push(table)

    def _append(self, table: pa.Table) -> None:
        """Keep ticks; while the database is away they wait, and known ones are kept once."""
        source = "replay" if self.is_replay else _SIMULATED
        while True:
            try:
                self._ticks.append(
                    table, source=source, lateness="60s", allow_negative=self.is_replay
                )
                self.problem = ""
                return
            except SequenceConflict as conflict:
                _LOG.warning("%s", conflict)
                return
            except TickStoreError as error:
                self.problem = str(error)
                _LOG.warning("the tick store does not take ticks: %s", error)
                if self._stop.wait(_RETRY_S):
                    return

    def _show_options(self) -> None:
        """Quote the options on the underlying's newest price."""
        board, due = self._options, time.monotonic()
        if board is None or due < self._options_due:
            return
        known = self._values["prices"].get((board.underlying, ""), {}).get("price")
        if known is None:
            return
        self._options_due = due + _OPTIONS_S
        now, price = time.time_ns(), float(known)
        chain = board.chain(now, price)
        self._say("options", [ladder(board.underlying, chain, now, price)])
        self._tell_table(CHAIN, board.underlying, chain)

    def _tell_table(self, topic: str, of: str, rows: pa.Table) -> None:
        """Tell rows to the screens, where there are some."""
        if self._server.is_asked("tables"):
            message = {"kind": "table", "topic": topic, "of": of, "table": _packed(rows)}
            self._server.publish("tables", message)

    def _publish(self, topic: Topic, timeframe: str, rows: pa.Table) -> None:
        self._tell_table(topic.value, timeframe, rows)
        if topic in (Topic.BARS_LIVE, Topic.BARS_FINAL):
            items = _bars(rows, timeframe)
            if topic is Topic.BARS_FINAL and not self.is_replay:
                now = time.time_ns()
                for item in items:
                    self.bar_delays[item["symbol"]] = (now - item["end"]) / 1e9
            self._say("bars", items if topic is Topic.BARS_LIVE else _newest_of_each(items))
            if topic is Topic.BARS_FINAL:
                self._server.publish("values", {"kind": "bars_final", "items": items})
        elif topic is Topic.INDICATOR_LATEST:
            self._say("indicators", _plain(rows, timeframe))

    # --- who listens ------------------------------------------------------------------------------

    def _say(self, kind: str, items: list[dict[str, Any]]) -> None:
        if not items:
            return
        with self._lock:
            values = self._values[kind]
            for item in items:
                values[item["symbol"], item.get("timeframe", "")] = item
        self._server.publish("values", {"kind": kind, "items": items})

    def _current(self, kind: str) -> list[Any]:
        if kind != "values":
            return []
        with self._lock:
            return [
                {"kind": each, "items": list(values.values())}
                for each, values in self._values.items()
                if values
            ]


def _recording(names: Sequence[str], newest: int | None) -> pa.Table:
    """The ticks of files that come after the newest kept one: a replay goes on where it stopped."""
    pieces = [table for name in names for table, _done, _whole in files.read(Path(name))]
    table = pa.concat_tables(pieces, promote_options="permissive")
    if newest is None:
        return table
    return table.filter(pc.greater(table["timestamp"].cast(_TIME).cast(pa.int64()), newest))


def _packed(table: pa.Table) -> bytes:
    """A table as Arrow's stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _text(value: float | None) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return text or "0"


def _prices(table: pa.Table) -> list[dict[str, Any]]:
    """The newest price and quote of each symbol of a table of ticks."""
    names = set(table.column_names)
    columns = {name: table[name].to_pylist() for name in names - {"timestamp", "received"}}
    stamps = table["timestamp"].cast(_TIME).cast(pa.int64()).to_pylist()
    found: dict[str, dict[str, Any]] = {}
    for row, symbol in enumerate(columns["symbol"]):
        item = found.get(symbol)
        if item is None:
            item = found[symbol] = {"symbol": symbol}
        item["time"] = stamps[row]
        if columns["price"][row] is not None:
            item["price"] = _text(columns["price"][row])
            item["size"] = _text(columns["size"][row]) if "size" in names else None
        for name in ("bid", "ask", "bid_size", "ask_size"):
            if name in names and columns[name][row] is not None:
                item[name] = _text(columns[name][row])
    return list(found.values())


def _books(
    table: pa.Table, prices: Mapping[tuple[str, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    now = time.time_ns()
    found: dict[str, dict[str, Any]] = {}
    stamps = table["timestamp"].cast(_TIME).cast(pa.int64()).to_pylist()
    columns = [table[n].to_pylist() for n in ("symbol", "side", "level", "price", "size", "orders")]
    rows = sorted(zip(stamps, *columns, strict=True), key=lambda row: (row[0], row[3]))
    for stamp, symbol, side, _level, price, size, orders in rows:
        book = found.get(symbol)
        if book is None or stamp > book["time"]:
            book = found[symbol] = {"symbol": symbol, "time": stamp, "ingested": now}
            book["last_price"] = prices.get((symbol, ""), {}).get("price")
            book["bid"], book["ask"] = [], []
        book[side].append([_text(price), _text(size), int(orders)])
    return list(found.values())


_BAR = ("symbol", "start", "end", "open", "high", "low", "close", "volume", "count", "vwap")


def _bars(table: pa.Table, timeframe: str) -> list[dict[str, Any]]:
    names = [*_BAR, *(each for each in ("state", "version") if each in table.column_names)]
    columns = []
    for name in names:
        column = table[name]
        if name in ("start", "end"):
            column = column.cast(pa.int64())
        values = column.to_pylist()
        if name in ("open", "high", "low", "close", "volume"):
            values = [_text(value) for value in values]
        columns.append(values)
    return [
        {"timeframe": timeframe, **dict(zip(names, row, strict=True))}
        for row in zip(*columns, strict=True)
    ]


def _newest_of_each(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of bars that became final together, each symbol's last one: the chart's newest candle."""
    newest: dict[str, dict[str, Any]] = {}
    for item in items:
        if item["start"] >= newest.get(item["symbol"], item)["start"]:
            newest[item["symbol"]] = item
    return list(newest.values())


def _plain(table: pa.Table, timeframe: str) -> list[dict[str, Any]]:
    columns = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(_TIME).cast(pa.int64())
        elif pa.types.is_dictionary(column.type):
            column = pc.cast(column, pa.string())
        columns[name] = column.to_pylist()
    return [
        {**{name: values[row] for name, values in columns.items()}, "timeframe": timeframe}
        for row in range(len(table))
    ]
