"""What a backtest may be given, as one Arrow table with the usual column names.

Taken are pandas and polars frames, Arrow tables, CSV and Parquet files, several of them, a dict of
frames by symbol, and anything with `read(symbols, start, end)`, such as a tick store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from trading.bars.columns import instant_ns
from trading.errors import BacktestError, TickError
from trading.times import nanoseconds

__all__ = ["instant", "read_table"]

NS = pa.timestamp("ns", "UTC")
PRICES = ("open", "high", "low", "close")
_ALIASES = {
    "date": "timestamp",
    "datetime": "timestamp",
    "time": "timestamp",
    "ts": "timestamp",
    "start": "timestamp",
    "ticker": "symbol",
    "quantity": "size",
    "qty": "size",
    "index": "timestamp",
}


def instant(value: Any, what: str) -> int | None:
    """Return a bound of a run in nanoseconds: a text, date or datetime (UTC without a zone)."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if isinstance(value, datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=timezone.utc)
        if isinstance(value, datetime):
            return nanoseconds(value)
        return instant_ns(value)
    except (ValueError, TickError):
        raise BacktestError(
            f"{what}: {value!r} is no time; write 2024-03-05, 2024-03-05T14:30:00Z, or give a "
            "datetime"
        ) from None


def read_table(
    data: Any, symbols: Sequence[str] = (), start: int | None = None, end: int | None = None
) -> pa.Table:
    """Return data as a table with timestamp, symbol and either open … close or price.

    `symbols` are those of the strategies: one of them names data that has no symbol column, and a
    store is asked for them alone. BacktestError says what is missing.
    """
    if hasattr(data, "read") and not isinstance(data, (str, Path)):
        return _usual(data.read(list(symbols) or None, start, end), symbols, "the store")
    if isinstance(data, Mapping) and not hasattr(data, "columns"):
        parts = [_usual(_arrow(frame), (name,), name) for name, frame in data.items()]
        return _joined(parts, "the frames")
    if isinstance(data, (str, Path)):
        return _usual(_file(Path(data)), symbols, str(data))
    if isinstance(data, (list, tuple)):
        parts = []
        for each in data:
            if not isinstance(each, (str, Path)):
                raise BacktestError(
                    f"a list of data holds paths, seen {type(each).__name__}; give a dict of "
                    "frames by symbol, or one frame with a symbol column"
                )
            named = symbols if len(data) == 1 else (Path(each).stem,)
            parts.append(_usual(_file(Path(each)), named, str(each)))
        return _joined(parts, "the files")
    return _usual(_arrow(data), symbols, "the data")


def _joined(parts: list[pa.Table], what: str) -> pa.Table:
    if not parts:
        raise BacktestError(f"{what}: there are none; give at least one")
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowInvalid as error:
        raise BacktestError(f"{what} do not have the same columns: {error}") from None


def _file(path: Path) -> pa.Table:
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there; give files of bars or ticks (.parquet, .csv)"
        )
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        if path.suffix == ".csv":
            return pa_csv.read_csv(path)
    except pa.ArrowInvalid as error:
        raise BacktestError(f"{path} cannot be read: {error}") from None
    raise BacktestError(f"{path} must end in .parquet or .csv")


def _arrow(data: Any) -> pa.Table:
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    module = type(data).__module__.partition(".")[0]
    if module == "polars" and hasattr(data, "to_arrow"):
        return data.to_arrow()
    if module == "pandas" and hasattr(data, "columns"):
        # An index of times is a column that has not been named so.
        named = {str(name).lower() for name in data.columns}
        keep = "timestamp" not in named and not (set(_ALIASES) & named - {"index", "symbol"})
        return pa.Table.from_pandas(data.reset_index() if keep else data, preserve_index=False)
    raise BacktestError(
        f"data: expected a pandas or polars frame, an Arrow table, a path, a dict of frames or a "
        f"tick store, seen {type(data).__name__}"
    )


def _usual(table: pa.Table, symbols: Sequence[str], what: str) -> pa.Table:
    """The table with the usual names, a symbol column, times in UTC and no missing rows."""
    lower = [str(name).strip().lower().replace(" ", "_") for name in table.column_names]
    names = [
        _ALIASES[name] if name in _ALIASES and _ALIASES[name] not in lower else name
        for name in lower
    ]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise BacktestError(f"{what}: columns are given twice: {', '.join(twice)}; drop one")
    table = table.rename_columns(names)
    is_bars = set(PRICES) <= set(names)
    if "timestamp" not in names or not (is_bars or "price" in names):
        raise BacktestError(
            f"{what} needs timestamp and either open, high, low, close or price; it has "
            f"{', '.join(names) or 'nothing'}"
        )
    table = table.set_column(names.index("timestamp"), "timestamp", _times(table, what))
    if "symbol" not in names:
        if len(symbols) > 1:
            raise BacktestError(
                f"{what} has no symbol column, and the strategies name {len(symbols)} symbols; "
                "add the column, or give a dict of frames by symbol"
            )
        name = symbols[0] if symbols else "DATA"
        repeated = pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(len(table), np.int32)), pa.array([name])
        )
        table = table.append_column("symbol", repeated.cast(pa.string()))
    else:
        at = table.column_names.index("symbol")
        table = table.set_column(at, "symbol", table.column("symbol").cast(pa.string()))
    if is_bars:
        table = _bars(table, what)
    elif "size" not in names:
        table = table.append_column("size", pa.array(np.zeros(len(table), np.int64)))
    return table


def _bars(table: pa.Table, what: str) -> pa.Table:
    """Bars without those that nothing is known of, and without revisions, which came later."""
    if "volume" not in table.column_names:
        table = table.append_column("volume", pa.array(np.zeros(len(table), np.int64)))
    else:
        at = table.column_names.index("volume")
        table = table.set_column(at, "volume", pc.fill_null(table.column("volume"), 0))
    if "state" in table.column_names:
        wanted = pa.array(["final", "partial", "empty"])
        table = table.filter(pc.is_in(table.column("state"), wanted))
    known = pc.is_valid(table.column("close"))
    for name in PRICES:
        column = table.column(name)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)
            table = table.set_column(table.column_names.index(name), name, column)
        known = pc.and_(known, pc.is_valid(column))
    missing = len(table) - int(pc.sum(pc.cast(known, pa.int64())).as_py() or 0)
    whole = table.filter(known)
    if missing and not len(whole):
        raise BacktestError(f"{what}: all {missing} bars lack a price")
    return whole


def _times(table: pa.Table, what: str) -> pa.ChunkedArray:
    column = table.column("timestamp")
    kind = column.type
    if column.null_count:
        raise BacktestError(f"{what}: {column.null_count} rows have no timestamp")
    try:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            column = pc.cast(column, pa.timestamp("ns"))
        elif pa.types.is_integer(kind):
            return pc.cast(column, pa.int64()).cast(NS)
        elif pa.types.is_date(kind):
            column = column.cast(pa.timestamp("ns"))
        if not pa.types.is_timestamp(column.type):
            raise BacktestError(f"{what}: timestamp is of type {kind}; give times")
        if column.type.tz is None:
            # Without a zone it is UTC.
            return column.cast(pa.timestamp("ns")).cast(pa.int64()).cast(NS)
        return column.cast(NS)
    except pa.ArrowInvalid as error:
        raise BacktestError(f"{what}: timestamp cannot be read: {error}") from None
