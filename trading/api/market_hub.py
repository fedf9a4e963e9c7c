"""The newest market values, as the market's process tells them: for routes and for sockets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa

from trading.errors import LinkError
from trading.local_link import AsyncLink, pack_frame

__all__ = ["Key", "MarketHub", "Value", "bar_rows", "instant", "instant_text"]

Key = tuple[str, str, str]
"""Topic, symbol, and timeframe where the topic has some."""

_RETRY_S = 0.3


def instant(nanoseconds: int | None) -> str | None:
    """Return a time as the API shows it."""
    if nanoseconds is None:
        return None
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06d}Z"


@lru_cache(4096)
def _second(seconds: int) -> str:
    """The whole seconds of a time: most times that are shown lie in the same few."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}"


class Value:
    """The newest value under a key: for routes as a dict, for sockets as JSON.

    Both are made when somebody first asks: most values are followed by newer ones before.
    """

    __slots__ = ("_item", "_json", "raw", "topic")

    def __init__(self, topic: str, raw: dict[str, Any]) -> None:
        self.topic = topic
        self.raw = raw
        self._item: dict[str, Any] | None = None
        self._json: str | None = None

    @property
    def item(self) -> dict[str, Any]:
        """The value as the API shows it."""
        if self._item is None:
            self._item = _SHAPES[self.topic](self.raw)
        return self._item

    @property
    def json(self) -> str:
        """The same as text."""
        if self._json is None:
            self._json = msgspec.json.encode(self.item).decode()
        return self._json


class MarketHub:
    """Follows the market's process in the server's loop; `listen` is called with what changed."""

    def __init__(self, port: int | None, key: str) -> None:
        self._port = port
        self._key = key
        self._task: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[list[Key]], None]] = []
        self.values: dict[Key, Value] = {}
        self.status: dict[str, Any] = {}
        self.is_connected = False
        self.heard = 0.0

    def listen(self, listener: Callable[[list[Key]], None]) -> None:
        """Call a function with the keys of each change, in the loop."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Begin to follow; in the server's loop."""
        if self._port is not None:
            self._task = asyncio.create_task(self._follow(self._port))

    async def close(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def age_s(self) -> float | None:
        """How long ago the newest tick came; None where none has come yet."""
        newest = self.status.get("newest")
        return None if not newest else max(0.0, time.time() - newest / 1e9)

    def get(self, topic: str, symbol: str, timeframe: str = "") -> dict[str, Any] | None:
        """Return the newest value; None where there is none."""
        found = self.values.get((topic, symbol, timeframe))
        return None if found is None else found.item

    async def _follow(self, port: int) -> None:
        while True:
            link: AsyncLink | None = None
            try:
                link = await AsyncLink.connect(port, self._key)
                link.write(pack_frame({"subscribe": ["values"]}))
                self.is_connected = True
                while True:
                    self._take(await link.receive())
            except LinkError:
                self.is_connected = False
                await asyncio.sleep(_RETRY_S)
            finally:
                self.is_connected = False
                if link is not None:
                    link.close()

    def _take(self, message: dict[str, Any]) -> None:
        self.heard = time.monotonic()
        kind = message["kind"]
        if kind == "status":
            self.status = message
            return
        if kind not in _SHAPES:
            return
        changed = []
        for raw in message["items"]:
            key = (kind, raw["symbol"], raw.get("timeframe", ""))
            known = self.values.get(key)
            if known is not None and kind == "prices":
                # A quote leaves the last price as it was.
                given = {name: value for name, value in raw.items() if value is not None}
                self.values[key] = Value(kind, known.raw | given)
            else:
                self.values[key] = Value(kind, raw)
            changed.append(key)
        for listener in self._listeners:
            listener(changed)


def _price(raw: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "price",
        "symbol": raw["symbol"],
        "price": raw.get("price"),
        "size": raw.get("size"),
        "bid": raw.get("bid"),
        "ask": raw.get("ask"),
        "bid_size": raw.get("bid_size"),
        "ask_size": raw.get("ask_size"),
        "time": instant(raw["time"]),
    }


def _depth(raw: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "depth",
        "instrument_id": raw["symbol"],
        "last_price": raw.get("last_price"),
        "exchange_ts": instant(raw["time"]),
        "ingest_ts": instant(raw["ingested"]),
        "buy_levels": _levels(raw["bid"]),
        "sell_levels": _levels(raw["ask"]),
    }


def _levels(levels: list[list[Any]]) -> list[dict[str, Any]]:
    total = sum(float(size) for _, size, _ in levels) or 1.0
    return [
        {
            "price": price,
            "quantity": size,
            "orders": orders,
            "ratio": round(float(size) / total, 4),
        }
        for price, size, orders in levels
    ]


def bar_data(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a bar as routes and sockets show it."""
    return {**raw, "start": instant(raw["start"]), "end": instant(raw["end"])}


def _bar(raw: dict[str, Any]) -> dict[str, Any]:
    return {"type": "bar", "mode": "live", "session_id": None, "data": bar_data(raw)}


def _indicator(raw: dict[str, Any]) -> dict[str, Any]:
    times = {name: instant(raw[name]) for name in ("bar_ts", "calc_ts") if name in raw}
    return {"type": "indicator", "data": {**raw, **times}}


def _options(raw: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "options",
        "underlying": raw["symbol"],
        "underlying_price": raw["underlying_price"],
        "time": instant(raw["time"]),
        "model": raw["model"],
        "rate": raw["rate"],
        "expiries": [{**each, "expiry": instant(each["expiry"])} for each in raw["expiries"]],
    }


_SHAPES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "prices": _price,
    "depth": _depth,
    "bars": _bar,
    "indicators": _indicator,
    "options": _options,
}


# --- final bars of the tick store -----------------------------------------------------------------

_BAR_FIELDS = ("start", "end", "open", "high", "low", "close", "volume", "count", "vwap", "state")


def bar_rows(table: pa.Table, timeframe: str) -> list[dict[str, Any]]:
    """Return the bars of a table of the tick store, in its order."""
    columns: dict[str, list[Any]] = {}
    for name in (*_BAR_FIELDS, "version", "recorded", "symbol"):
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
        values = column.to_pylist()
        if name in ("open", "high", "low", "close", "volume"):
            values = [None if value is None else _plain(value) for value in values]
        columns[name] = values
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [
        {**bar_data({"timeframe": timeframe, **row}), "recorded": instant_text(row["recorded"])}
        for row in rows
    ]


def instant_text(value: int | None) -> str | None:
    """Return nanoseconds as a time of the API."""
    return None if value is None else bar_data({"start": value, "end": value})["start"]


def _plain(value: Any) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
