"""Recorded ticks as a feed: files, tables, or a range of a tick store."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trading.bars.columns import tick_columns
from trading.errors import FeedError
from trading.ticks import files
from trading.ticks.feeds.events import Event, Ticks
from trading.ticks.store import TickStore


class RecordedTicks:
    """Plays recorded ticks in the order of their times.

    source: Parquet or CSV files, a tick table, or a TickStore with `symbols`, `start` and `end`.
    speed: how many times faster than recorded; infinity says that nothing has to be waited for.
    Ticks that are due within `batch_s` seconds come together, at most `batch_rows` of them.
    """

    def __init__(
        self,
        source: str | Path | Iterable[str | Path] | pa.Table | TickStore,
        *,
        symbols: Iterable[str] | None = None,
        start: Any = None,
        end: Any = None,
        speed: float = math.inf,
        batch_s: float = 0.0,
        batch_rows: int = 10_000,
        name: str = "recorded",
    ) -> None:
        if not speed > 0 or not batch_s >= 0 or batch_rows < 1:
            raise FeedError(
                f"speed {speed} and batch_rows {batch_rows} must be above 0, batch_s {batch_s} "
                "0 or more"
            )
        self.name = name
        self._speed, self._batch_s, self._batch_rows = speed, batch_s, batch_rows
        table = _table(source, symbols, start, end)
        columns = tick_columns(table, allow_negative=True) if len(table) else None
        if columns is None:
            self._table, self._stamps = table, np.zeros(0, dtype=np.int64)
            self.symbols: tuple[str, ...] = ()
            return
        stamps = columns.timestamp
        if not (stamps[1:] >= stamps[:-1]).all():
            order = np.argsort(stamps, kind="stable")
            table, stamps = table.take(pa.array(order)), stamps[order]
        self._table, self._stamps = table, stamps
        self.symbols = tuple(sorted({columns.names[code] for code in np.unique(columns.symbol)}))

    def __len__(self) -> int:
        return len(self._table)

    def events(self) -> Iterator[Event]:
        """Yield the ticks; a second call begins again."""
        stamps, begin = self._stamps, 0
        while begin < len(stamps):
            end = min(begin + self._batch_rows, len(stamps))
            if not math.isinf(self._speed):
                until = int(stamps[begin]) + int(self._batch_s * self._speed * 1e9)
                end = min(end, int(np.searchsorted(stamps, until, side="right")))
            due = float(stamps[end - 1] - stamps[0]) / 1e9 / self._speed
            yield Ticks(self._table.slice(begin, end - begin), due)
            begin = end


def _table(source: Any, symbols: Iterable[str] | None, start: Any, end: Any) -> pa.Table:
    if isinstance(source, TickStore):
        return source.read(None if symbols is None else list(symbols), start, end)
    if symbols is not None or start is not None or end is not None:
        raise FeedError("symbols, start and end choose from a TickStore; cut other sources before")
    if isinstance(source, pa.Table):
        return source
    paths = [source] if isinstance(source, (str, Path)) else list(source)
    pieces = [table for path in paths for table, _done, _whole in files.read(Path(path))]
    if not pieces:
        raise FeedError("a recording needs at least one file with ticks")
    return pa.concat_tables(pieces, promote_options="permissive")
