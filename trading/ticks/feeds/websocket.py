"""Ticks from a WebSocket: any JSON messages, read by a mapping of their fields."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa
from websockets.exceptions import InvalidURI, WebSocketException
from websockets.sync.client import connect

from trading.bars.columns import SIZE_DIGITS, instant_ns
from trading.errors import FeedError, TickError
from trading.symbols import ALLOWED, is_symbol
from trading.ticks.feeds.events import Event, Gap, Heartbeat, Ticks
from trading.ticks.feeds.gaps import SequenceGaps
from trading.ticks.feeds.volumes import VolumeTotals

_LOG = logging.getLogger(__name__)
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_NUMBERS = ("price", "size", "bid", "ask", "bid_size", "ask_size")
_KIND = pa.decimal128(28, SIZE_DIGITS)


@dataclass(frozen=True)
class FieldMapping:
    """Where a message holds what; paths lead into objects by dots, such as `data.p`.

    items: the path of a list of ticks in a message; without one the message is a tick itself, or a
    list of ticks. unit: what numbers of `timestamp` count (s, ms, us, ns); texts are ISO 8601.
    Without `timestamp` the time of receipt is taken. `total_volume` is a day's volume so far, from
    which sizes are made. `only` are fields that a message must have with these values; others are
    passed over, as are messages without any of the mapped fields (heartbeats, replies).
    """

    symbol: str = "symbol"
    price: str | None = "price"
    size: str | None = "size"
    timestamp: str | None = "timestamp"
    unit: str = "ms"
    bid: str | None = None
    ask: str | None = None
    bid_size: str | None = None
    ask_size: str | None = None
    sequence: str | None = None
    total_volume: str | None = None
    items: str | None = None
    only: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.unit not in _UNITS:
            raise FeedError(f"unit {self.unit!r} is none of {', '.join(_UNITS)}")
        if self.price is None and self.bid is None and self.ask is None:
            raise FeedError("a mapping needs price, or bid or ask")

    def ticks_of(self, message: Any, received: int) -> list[dict[str, Any]]:
        """The ticks of a message; TickError for one that has a bad field."""
        items = message if self.items is None else _at(message, self.items)
        if not isinstance(items, list):
            items = [items]
        return [self._tick(item, received) for item in items if self._is_tick(item)]

    def _is_tick(self, item: Any) -> bool:
        return (
            isinstance(item, dict)
            and all(_at(item, path) == value for path, value in self.only.items())
            and _at(item, self.symbol) is not None
            and any(
                path is not None and _at(item, path) is not None
                for path in (self.price, self.bid, self.ask)
            )
        )

    def _tick(self, item: dict[str, Any], received: int) -> dict[str, Any]:
        symbol = str(_at(item, self.symbol))
        if not is_symbol(symbol):
            raise TickError(f"{symbol!r:.100} is no symbol; allowed are {ALLOWED}")
        tick: dict[str, Any] = {"symbol": symbol, "received": received}
        for name in (*_NUMBERS, "total_volume"):
            path = getattr(self, name)
            if path is not None:
                tick[name] = _decimal(name, _at(item, path))
        stamp = None if self.timestamp is None else _at(item, self.timestamp)
        tick["timestamp"] = received if stamp is None else self._instant(stamp)
        if self.sequence is not None:
            sequence = _at(item, self.sequence)
            if not isinstance(sequence, int) or isinstance(sequence, bool):
                raise TickError(f"sequence {sequence!r} of {tick['symbol']!r} is no whole number")
            tick["sequence"] = sequence
        return tick

    def _instant(self, stamp: Any) -> int:
        if isinstance(stamp, (int, Decimal)) and not isinstance(stamp, bool):
            return int(stamp * _UNITS[self.unit])
        if isinstance(stamp, str):
            if stamp.lstrip("-").isdigit():
                return int(stamp) * _UNITS[self.unit]
            try:
                moment = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
            except ValueError:
                raise TickError(f"timestamp {stamp!r} is no ISO 8601 time") from None
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=timezone.utc)
            return instant_ns(moment)
        raise TickError(f"timestamp {stamp!r} is neither a number nor a text")


class WebSocketFeed:
    """A feed from a WebSocket that connects again when it is cut off.

    `subscribe` are messages (texts, or objects sent as JSON) sent after each connection. Ticks that
    come within `batch_s` come together. After a loss a `Gap` covers the time from the last message
    to the first one after it; with `contiguous` a jump of a symbol's sequence is a gap, too. It
    tries again after 0.1 s, then twice as long each time up to `retry_s`, and for
    `max_retries` times in a row (None: for ever), then FeedError. A connection on which nothing
    came for `silence_s` counts as lost; a quiet one gives a `Heartbeat` twice a second. Messages
    that cannot be read are counted in `rejected`,
    and the last reason stands in `last_error`.
    """

    def __init__(
        self,
        url: str,
        mapping: FieldMapping,
        *,
        subscribe: Sequence[Any] = (),
        symbols: Sequence[str] = (),
        name: str = "websocket",
        batch_s: float = 0.05,
        batch_rows: int = 10_000,
        contiguous: bool = False,
        silence_s: float = 60.0,
        retry_s: float = 30.0,
        max_retries: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.symbols = name, tuple(symbols)
        self.rejected = 0
        self.last_error: str | None = None
        self.connections = 0
        self._url, self._mapping, self._subscribe = url, mapping, subscribe
        self._batch_s, self._batch_rows, self._silence_s = batch_s, batch_rows, silence_s
        self._retry_s, self._max_retries, self._headers = retry_s, max_retries, headers
        self._gaps = SequenceGaps() if contiguous else None
        self._totals = VolumeTotals()
        self._stopped = threading.Event()
        self._last: int | None = None
        self._lost = False

    def stop(self) -> None:
        """End `events` soon; another thread may call this."""
        self._stopped.set()

    def events(self) -> Iterator[Event]:
        """Yield ticks and gaps as they come, until `stop`."""
        failures = 0
        while not self._stopped.is_set():
            before = self.connections
            try:
                yield from self._connection()
            except (InvalidURI, ValueError) as error:
                raise FeedError(f"{self._url} cannot be connected to: {error}") from error
            except (WebSocketException, OSError) as error:
                reason = str(error) or type(error).__name__
            else:
                reason = "the server closed the connection"
            if self._stopped.is_set():
                return
            failures = 1 if self.connections > before else failures + 1
            self._lost = self._last is not None
            self.last_error = reason
            if self._max_retries is not None and failures > self._max_retries:
                raise FeedError(f"{self._url} failed {failures} times in a row: {reason}")
            _LOG.warning("%s is lost (%s); trying again", self._url, reason)
            self._stopped.wait(min(0.1 * 2 ** min(failures - 1, 20), self._retry_s))

    def _connection(self) -> Iterator[Event]:
        headers = dict(self._headers or {})
        with connect(self._url, additional_headers=headers, open_timeout=10) as socket:
            self.connections += 1
            for message in self._subscribe:
                socket.send(message if isinstance(message, str) else json.dumps(message))
            waiting: list[dict[str, Any]] = []
            heard = flushed = time.monotonic()
            try:
                while not self._stopped.is_set():
                    wait = (
                        0.5 if not waiting else max(flushed + self._batch_s - time.monotonic(), 0)
                    )
                    try:
                        text = socket.recv(timeout=wait)
                    except TimeoutError:
                        if time.monotonic() - heard > self._silence_s:
                            raise OSError(f"nothing came for {self._silence_s} s") from None
                        if not waiting and not self._lost:
                            yield Heartbeat(time.time_ns())
                    else:
                        heard = time.monotonic()
                        if not waiting:
                            flushed = heard
                        received = time.time_ns()
                        if self._lost and self._last is not None:
                            self._lost = False
                            yield Gap(self._last, received, None, "the connection was lost")
                        self._last = received
                        waiting += self._parsed(text, received)
                    is_due = time.monotonic() - flushed >= self._batch_s
                    if waiting and (is_due or len(waiting) >= self._batch_rows):
                        ready, waiting = waiting, []
                        yield from self._events_of(ready)
            except (WebSocketException, OSError):
                # What came before the loss is not lost with it.
                yield from self._events_of(waiting)
                raise
            yield from self._events_of(waiting)

    def _parsed(self, text: str | bytes, received: int) -> list[dict[str, Any]]:
        try:
            return self._mapping.ticks_of(json.loads(text, parse_float=Decimal), received)
        except (ValueError, TypeError) as error:
            self._reject(error)
            return []

    def _events_of(self, ticks: list[dict[str, Any]]) -> Iterator[Event]:
        if not ticks:
            return
        try:
            table = _table(ticks, self._totals)
            gaps = [] if self._gaps is None else self._gaps.push(table)
        except (TickError, pa.ArrowInvalid) as error:
            if len(ticks) == 1:
                self._reject(error)
                return
            # One bad tick must not take the others with it.
            for tick in ticks:
                yield from self._events_of([tick])
            return
        yield from gaps
        yield Ticks(table)

    def _reject(self, error: Exception) -> None:
        self.rejected += 1
        self.last_error = str(error)
        _LOG.warning("a message of %s cannot be read: %s", self._url, error)


def _at(item: Any, path: str) -> Any:
    for step in path.split("."):
        if not isinstance(item, dict):
            return None
        item = item.get(step)
    return item


def _decimal(name: str, value: Any) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise TickError(f"{name} {value!r} is no number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise TickError(f"{name} {value!r} is no number") from None
    if not number.is_finite() or (number < 0 and name not in ("price", "bid", "ask")):
        raise TickError(f"{name} {value!r} is no number that ticks have")
    return number


def _table(ticks: list[dict[str, Any]], totals: VolumeTotals) -> pa.Table:
    """Ticks as a table. Totals become sizes; a tick whose total did not grow is a quote."""
    columns: dict[str, Any] = {
        "timestamp": pa.array([t["timestamp"] for t in ticks]).cast(pa.timestamp("ns", "UTC")),
        "symbol": pa.array([t["symbol"] for t in ticks], pa.string()),
    }
    for name in _NUMBERS:
        if any(t.get(name) is not None for t in ticks) or name in ("price", "size"):
            columns[name] = pa.array([t.get(name) for t in ticks], _KIND)
    if any(t.get("total_volume") is not None for t in ticks):
        columns["size"] = pa.array(_sizes(ticks, totals), _KIND)
    else:
        sizes = [Decimal(0) if t.get("size") is None else t["size"] for t in ticks]
        has_price = [t.get("price") is not None for t in ticks]
        columns["size"] = pa.array(
            [s if p else None for s, p in zip(sizes, has_price, strict=True)], _KIND
        )
    if "sequence" in ticks[0]:
        columns["sequence"] = pa.array([t["sequence"] for t in ticks], pa.int64())
    columns["received"] = pa.array([t["received"] for t in ticks]).cast(pa.timestamp("ns", "UTC"))
    return pa.table(columns)


def _sizes(ticks: list[dict[str, Any]], totals: VolumeTotals) -> list[Decimal | None]:
    sizes: list[Decimal | None] = []
    for tick in ticks:
        total = tick.get("total_volume")
        if tick.get("price") is None:
            sizes.append(None)
        elif total is None:
            sizes.append(tick.get("size") or Decimal(0))
        else:
            symbol = np.array([tick["symbol"]], dtype=object)
            [size] = totals.sizes(symbol, np.array([total], dtype=object)).tolist()
            sizes.append(size)
    return sizes
