"""The market's process as a feed: what an engine in another process trades on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pyarrow as pa

from trading.errors import LinkError
from trading.local_link import Link
from trading.ticks.feeds import Event, Gap, Ticks

__all__ = ["LinkedMarket"]

_RETRY_S = 0.2
_SILENT_S = 15.0


class LinkedMarket:
    """Follows the market's process; after a cut it connects again, and tells the gap."""

    name = "market"

    def __init__(self, port: int, key: str, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        self._port = port
        self._key = key
        self._newest = 0

    def events(self) -> Iterator[Event]:
        """Yield ticks as they come, for ever."""
        while True:
            try:
                link = Link(self._port, self._key)
            except LinkError:
                time.sleep(_RETRY_S)
                continue
            try:
                link.send({"subscribe": ["ticks"]})
                now = time.time_ns()
                if self._newest:
                    yield Gap(self._newest, now, None, "the market's process was away")
                while True:
                    yield from self._event(link.receive(_SILENT_S))
            except LinkError:
                time.sleep(_RETRY_S)
            finally:
                link.close()

    def _event(self, message: dict[str, object]) -> Iterator[Event]:
        self._newest = time.time_ns()
        kind = message["kind"]
        if kind == "ticks":
            with pa.ipc.open_stream(message["table"]) as reader:
                yield Ticks(reader.read_all())
        elif kind == "gap":
            start, end = message["start"], message["end"]
            assert isinstance(start, int)
            assert isinstance(end, int)
            symbol = message["symbol"]
            yield Gap(start, end, None if symbol is None else str(symbol))
