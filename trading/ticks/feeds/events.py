"""What a feed gives: ticks, gaps and order books, in the order in which they become known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True)
class Ticks:
    """A tick table, as `TickStore.append` and `BarBuilder.push` take it.

    `due_s` is how many seconds after the start of the feed it is due, None for now.
    """

    table: pa.Table
    due_s: float | None = None


@dataclass(frozen=True)
class Gap:
    """No data came in [start, end), nanoseconds since 1970 UTC, for a symbol or (None) for all."""

    start: int
    end: int
    symbol: str | None = None
    reason: str = ""
    due_s: float | None = None


@dataclass(frozen=True)
class Depth:
    """Order books: `timestamp`, `symbol`, `side` (bid, ask), `level` (from 1), `price`, `size`,
    `orders`.
    """

    table: pa.Table
    due_s: float | None = None


@dataclass(frozen=True)
class Heartbeat:
    """Nothing came until `time` (nanoseconds since 1970 UTC), and the connection is well.

    Bars become final by it where no tick comes.
    """

    time: int
    due_s: float | None = None


Event = Ticks | Gap | Depth | Heartbeat


class Feed(Protocol):
    """A source of market data; it makes events and leaves the waiting until `due_s` to others."""

    @property
    def name(self) -> str:
        """What statuses and the tick store call this source."""

    @property
    def symbols(self) -> Sequence[str]:
        """The symbols that are known beforehand; empty where the source says them only later."""

    def events(self) -> Iterator[Event]:
        """Yield events with `due_s` never decreasing."""
