"""MarketTables: bars, indicators and features as ticking tables of Deephaven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import pyarrow as pa

from publishing import TableWriter
from trading.bars.columns import nanoseconds
from trading.desk.live_market import Topic

# How a column of ours is called on a screen, where that is not its name with capitals.
_SHOWN = {"vwap": "VWAP", "bar_ts": "BarTime", "calc_ts": "CalcTime"}
_BARS: dict[str, Any] = {
    "symbol": str,
    "interval": str,
    "start": "Instant",
    "end": "Instant",
    **dict.fromkeys(("open", "high", "low", "close", "volume"), float),
    "count": int,
    "vwap": float,
    "state": str,
    "version": int,
    "bid": float,
    "ask": float,
}
_BOOK: dict[str, Any] = {
    "symbol": str,
    "timestamp": "Instant",
    **dict.fromkeys(
        (
            "spread",
            "mid",
            "microprice",
            "imbalance",
            "bid_per_order",
            "ask_per_order",
            "vwap",
            "realized_volatility",
        ),
        float,
    ),
}
_CHAIN: dict[str, Any] = {
    "underlying": str,
    "expiry": "Instant",
    "strike": float,
    "right": str,
    "symbol": str,
    **dict.fromkeys(
        (
            "t_days",
            "underlying_price",
            "option_price",
            "bid",
            "ask",
            "implied_vol",
            "theoretical_price",
            "delta",
            "gamma",
            "vega",
            "theta",
            "rho",
            "moneyness",
        ),
        float,
    ),
    "note": str,
}


class MarketTables:
    """Ticking tables that `publish` feeds, from any thread.

    `published` has them by name: `bars_live` (the working bar of each symbol and interval, final
    until the next one begins), `bars_final` (each final bar in its newest version), `bar_versions`
    (every version, as it came), `indicator_latest`, `indicator_history`, `book_features` and
    `option_chain`. features: the names of the indicators' columns, `IndicatorSet.features`. rows:
    how many rows of each history are kept; older ones go.
    """

    def __init__(self, features: Iterable[str] = (), *, rows: int = 100_000) -> None:
        self._features = tuple(features)
        indicators: dict[str, Any] = {
            "symbol": str,
            "timeframe": str,
            "bar_ts": "Instant",
            "final": bool,
            **dict.fromkeys(self._features, float),
            "calc_ts": "Instant",
            "indicator_version": str,
        }
        self._live = _Table("bars_live", _BARS, rows, ("symbol", "interval"))
        self._final = _Table("bars_final", _BARS, rows)
        self._latest = _Table("indicator_latest", indicators, rows, ("symbol", "timeframe"))
        self._history = _Table("indicator_history", indicators, rows)
        self._book = _Table("book_features", _BOOK, rows, ("symbol",))
        self._chain = _Table(
            "option_chain", _CHAIN, rows, ("underlying", "expiry", "strike", "right")
        )
        # The start of the newest bar that `bars_live` shows.
        self._shown: dict[tuple[str, str], int] = {}

    @property
    def published(self) -> dict[str, Any]:
        """Every table by its name."""
        final = self._final.writer.table
        return {
            "bars_live": self._live.newest(),
            "bars_final": final.last_by(["Symbol", "Interval", "Start"]),
            "bar_versions": final,
            "indicator_latest": self._latest.newest(),
            "indicator_history": self._history.writer.table,
            "book_features": self._book.newest(),
            "option_chain": self._chain.newest(),
        }

    def publish(self, topic: Topic, timeframe: str, rows: pa.Table) -> None:
        """Show what `LiveMarket` publishes."""
        if topic is Topic.BARS_LIVE:
            self._show_live(timeframe, rows)
        elif topic is Topic.BARS_FINAL:
            self._final.write(rows, interval=timeframe)
            self._show_live(timeframe, rows)
        elif topic is Topic.INDICATOR_LATEST:
            self._latest.write(rows)
        elif topic is Topic.INDICATOR_HISTORY:
            self._history.write(rows)
        elif topic is Topic.BOOK_FEATURES:
            self._book.write(rows)

    def publish_chain(self, underlying: str, chain: pa.Table) -> None:
        """Show a chain of options, as `trading.features.option_chain` gives it."""
        self._chain.write(chain, underlying=underlying)

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was published is in the tables; False if time ran out."""
        return all(table.writer.flush(timeout) for table in self._all())

    @property
    def feature_columns(self) -> list[str]:
        """The columns of the indicators, as tables and dashboards call them."""
        return [_shown(name) for name in self._features]

    @property
    def writers(self) -> tuple[TableWriter, ...]:
        """What writes the rows: their `on_replaced` tells of tables that were made anew."""
        return tuple(table.writer for table in self._all())

    def close(self) -> None:
        """Publish what is pending, then stop; the tables stay as they are."""
        for table in self._all():
            table.writer.close()

    def __enter__(self) -> MarketTables:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _all(self) -> tuple[_Table, ...]:
        return self._live, self._final, self._latest, self._history, self._book, self._chain

    def _show_live(self, timeframe: str, rows: pa.Table) -> None:
        """A revision of an older bar does not take the place of the present one."""
        starts = nanoseconds(rows["start"])
        keep = []
        for row, (symbol, start) in enumerate(zip(rows["symbol"].to_pylist(), starts, strict=True)):
            key = (symbol, timeframe)
            if start >= self._shown.get(key, start):
                self._shown[key] = start
                keep.append(row)
        if len(keep) < len(rows):
            rows = rows.take(pa.array(keep, pa.int64()))
        self._live.write(rows, interval=timeframe)


class _Table:
    """One ticking table, which takes Arrow tables by the names of their columns."""

    def __init__(
        self, name: str, columns: Mapping[str, Any], rows: int, keys: tuple[str, ...] = ()
    ) -> None:
        self._columns = columns
        self._keys = tuple(_shown(key) for key in keys)
        shown = {_shown(column): kind for column, kind in columns.items()}
        self.writer = TableWriter(shown, name=name, rows=rows, keys=self._keys)

    def newest(self) -> Any:
        """The newest row of each key."""
        return self.writer.live(*self._keys)

    def write(self, table: pa.Table, **more: str) -> None:
        """Write rows, which appear in one update; columns that the table has not are null."""
        self.writer.write_rows(_rows(table, self._columns, more))


def _rows(
    table: pa.Table, columns: Mapping[str, Any], more: Mapping[str, str]
) -> Iterator[tuple[Any, ...]]:
    there = set(table.column_names)
    values: list[list[Any]] = []
    for name, kind in columns.items():
        if name in more:
            values.append([more[name]] * len(table))
        elif name not in there:
            values.append([None] * len(table))
        elif kind == "Instant":
            values.append(nanoseconds(table[name]))
        else:
            values.append(table[name].to_pylist())
    yield from zip(*values, strict=True)


def _shown(column: str) -> str:
    return _SHOWN.get(column) or "".join(part.capitalize() for part in column.split("_"))
