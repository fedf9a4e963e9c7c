"""Ticks as columns: an Arrow table or a pandas frame, checked once, as numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trading.errors import TickError

Integers = npt.NDArray[np.int64]
# Sizes and notional amounts are added as integers of this many decimal places.
SIZE_DIGITS = 9
_INT64_MAX = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def instant_ns(moment: Any) -> int:
    """Nanoseconds since 1970 UTC of an int, a datetime with a zone, or a pandas or numpy time."""
    if isinstance(moment, (int, np.integer)) and not isinstance(moment, bool):
        return int(moment)
    value = getattr(moment, "value", None)
    if isinstance(value, int) and getattr(moment, "tzinfo", None) is not None:
        return int(moment.as_unit("ns").value)
    if isinstance(moment, np.datetime64):
        return int(moment.astype("datetime64[ns]").astype(np.int64))
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise TickError(
            f"{moment!r} is no moment in time; give a datetime with a time zone, or nanoseconds"
        )
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


@dataclass(frozen=True)
class Numbers:
    """A column of exact numbers: floats as they came, or integers of `digits` decimal places."""

    values: npt.NDArray[Any]
    # None for floats.
    digits: int | None
    arrow_type: pa.DataType

    def take(self, rows: Any) -> Numbers:
        """Some of the rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True)
class TickColumns:
    """Ticks as arrays of one length, in the order in which they came.

    `symbol` counts into `names`. `received` is None where nothing says when a tick came, and
    `sequence` where the order of rows decides. Rows without a price are quotes: they carry `bid`
    and `ask` alone, and `is_trade` says which they are (None: all are trades).
    """

    timestamp: Integers
    symbol: npt.NDArray[np.integer[Any]]
    names: tuple[str, ...]
    price: Numbers
    size: Numbers
    sequence: Integers | None = None
    received: Integers | None = None
    bid: Numbers | None = None
    ask: Numbers | None = None
    is_trade: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.timestamp)

    def take(self, rows: Any) -> TickColumns:
        """Some of the rows: an index array, a mask or a slice."""

        def part(column: Any) -> Any:
            if column is None:
                return None
            return column.take(rows) if isinstance(column, Numbers) else column[rows]

        return replace(
            self,
            timestamp=self.timestamp[rows],
            symbol=self.symbol[rows],
            price=self.price.take(rows),
            size=self.size.take(rows),
            sequence=part(self.sequence),
            received=part(self.received),
            bid=part(self.bid),
            ask=part(self.ask),
            is_trade=part(self.is_trade),
        )


def tick_columns(
    ticks: Any, *, allow_negative: bool = False, now: int | None = None
) -> TickColumns:
    """Read a table of ticks: `timestamp` (with a zone, or UTC), `symbol`, `price`, `size`, and
    where they are there `sequence`, `received`, `bid`, `ask`.

    TickError for a missing column, a time that is null, prices or sizes that are NaN, infinite,
    negative (prices may be by `allow_negative`) or beyond 64 bits, and for times after `now`, in
    nanoseconds. It names the first bad row; nothing of the table is taken then.
    """
    table = as_arrow(ticks)
    missing = [name for name in ("timestamp", "symbol", "price") if name not in table.column_names]
    if missing:
        raise TickError(
            f"a table of ticks needs the columns timestamp, symbol, price and size; "
            f"{', '.join(missing)} is missing; there are {', '.join(table.column_names) or 'none'}"
        )
    timestamp = _times(table, "timestamp")
    codes, names = _symbols(table)
    price_column = table["price"]
    is_trade = None
    if price_column.null_count:
        is_trade = ~np.asarray(pc.is_null(price_column).combine_chunks())
    price = exact_numbers(table, "price", allow_negative=allow_negative, is_trade=is_trade)
    if "size" in table.column_names:
        size = exact_numbers(table, "size", allow_negative=False, is_trade=is_trade)
    else:
        size = Numbers(np.zeros(len(timestamp), dtype=np.int64), 0, pa.int64())
    columns = TickColumns(
        timestamp,
        codes,
        names,
        price,
        size,
        _whole(table, "sequence"),
        _times(table, "received") if "received" in table.column_names else None,
        _quotes(table, "bid"),
        _quotes(table, "ask"),
        is_trade,
    )
    if now is not None:
        _refuse(
            timestamp > now,
            lambda row: (
                f"tick {row} of {names[codes[row]]!r} is of "
                f"{np.datetime64(int(timestamp[row]), 'ns')}Z, after the clock's "
                f"{np.datetime64(now, 'ns')}Z; check the clocks of the feed and of this machine"
            ),
        )
    return columns


def as_arrow(ticks: Any) -> pa.Table:
    """An Arrow table of what a table of ticks may come as; TickError for anything else."""
    if isinstance(ticks, pa.Table):
        return ticks
    if isinstance(ticks, pa.RecordBatch):
        return pa.Table.from_batches([ticks])
    if type(ticks).__module__.startswith("pandas") and hasattr(ticks, "columns"):
        return pa.Table.from_pandas(ticks, preserve_index=False)
    raise TickError(
        f"expected an Arrow table or a pandas frame of ticks, got {type(ticks).__name__}"
    )


def _refuse(bad: npt.NDArray[np.bool_], message: Any) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad))
    count = int(bad.sum())
    more = f"; {count} rows are bad, this is the first" if count > 1 else ""
    raise TickError(f"{message(row)}{more}. The table was not taken", row, count)


def _single(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _integers(column: pa.ChunkedArray) -> Integers:
    values: Integers = _single(column.cast(pa.int64())).to_numpy()
    return values


def _times(table: pa.Table, name: str) -> Integers:
    column = table[name]
    if column.null_count:
        row = int(np.argmax(np.asarray(pc.is_null(column).combine_chunks())))
        raise TickError(
            f"{name} of row {row} is missing; every tick has one", row, column.null_count
        )
    if pa.types.is_timestamp(column.type):
        if column.type.unit != "ns":
            column = column.cast(pa.timestamp("ns", column.type.tz))
        array = _single(column)
        return np.frombuffer(array.buffers()[1], dtype=np.int64)[
            array.offset : array.offset + len(array)
        ]
    if pa.types.is_date(column.type):
        return _integers(column.cast(pa.timestamp("ns")))
    if pa.types.is_integer(column.type):
        return _integers(column)
    raise TickError(
        f"column {name} is of type {column.type}; it must hold timestamps, or whole nanoseconds"
    )


def _symbols(table: pa.Table) -> tuple[npt.NDArray[np.integer[Any]], tuple[str, ...]]:
    column = table["symbol"]
    if column.null_count:
        row = int(np.argmax(np.asarray(pc.is_null(column).combine_chunks())))
        raise TickError(
            f"symbol of row {row} is missing; every tick has one", row, column.null_count
        )
    if not pa.types.is_dictionary(column.type):
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise TickError(f"column symbol is of type {column.type}; it must hold texts")
        column = column.dictionary_encode()
    array = column.unify_dictionaries()
    array = _single(array)
    return array.indices.to_numpy(zero_copy_only=False), tuple(array.dictionary.to_pylist())


def _whole(table: pa.Table, name: str) -> Integers | None:
    if name not in table.column_names or table[name].null_count == len(table):
        return None
    column = table[name]
    if column.null_count or not pa.types.is_integer(column.type):
        raise TickError(f"column {name} must hold whole numbers in every row, or in none")
    return _integers(column)


def _quotes(table: pa.Table, name: str) -> Numbers | None:
    if name not in table.column_names or table[name].null_count == len(table):
        return None
    column = table[name].cast(pa.float64())
    return Numbers(_single(column).to_numpy(zero_copy_only=False), None, pa.float64())


def exact_numbers(
    table: pa.Table,
    name: str,
    *,
    allow_negative: bool,
    is_trade: npt.NDArray[np.bool_] | None,
) -> Numbers:
    """The numbers of a column, checked; `is_trade` says which rows have one, None that all do."""
    column = table[name]
    array = _single(column)
    kind = column.type
    if is_trade is None and array.null_count:
        row = int(np.argmax(np.asarray(pc.is_null(array))))
        raise TickError(f"{name} of row {row} is missing; a trade has one", row, array.null_count)
    if pa.types.is_floating(kind):
        numbers = _floats(name, array, kind, is_trade)
    elif pa.types.is_integer(kind):
        filled = array.fill_null(0) if array.null_count else array
        try:
            numbers = Numbers(filled.cast(pa.int64()).to_numpy(), 0, pa.int64())
        except pa.ArrowInvalid:
            raise TickError(f"column {name} holds numbers beyond 64 bits") from None
    elif pa.types.is_decimal(kind):
        numbers = _decimals(name, array, kind)
    else:
        raise TickError(f"column {name} is of type {kind}; it must hold numbers")
    if not allow_negative:
        negative = numbers.values < 0
        if is_trade is not None:
            negative &= is_trade
        hint = "; pass allow_negative=True for an instrument that may have one"
        _refuse(
            negative,
            lambda row: (
                f"{name} {column[row].as_py()} of row {row} is negative"
                f"{hint if name == 'price' else ''}"
            ),
        )
    return numbers


def _floats(
    name: str, array: pa.Array, kind: pa.DataType, is_trade: npt.NDArray[np.bool_] | None
) -> Numbers:
    values = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    # The sum is finite only if each of them is, and it is quicker than to ask each.
    if not np.isfinite(values.sum()):
        bad = ~np.isfinite(values)
        if is_trade is not None:
            bad &= is_trade
            values = np.where(is_trade, values, 0.0)
        _refuse(bad, lambda row: f"{name} {values[row]} of row {row} is no number that trades have")
        if not np.isfinite(values).all():
            values = np.where(np.isfinite(values), values, 0.0)
    return Numbers(values, None, kind if pa.types.is_float64(kind) else pa.float64())


def _decimals(name: str, array: pa.Array, kind: pa.DataType) -> Numbers:
    if kind.scale > SIZE_DIGITS:
        raise TickError(
            f"column {name} has {kind.scale} decimal places; at most {SIZE_DIGITS} are kept"
        )
    if array.null_count:
        array = pc.fill_null(array, pa.scalar(0, kind))
    # A decimal of 128 bits is two words: the low one, and the sign's continuation above it.
    words = np.frombuffer(array.cast(pa.decimal128(38, kind.scale)).buffers()[1], dtype=np.int64)
    pairs = words.reshape(-1, 2)[array.offset : array.offset + len(array)]
    low, high = pairs[:, 0], pairs[:, 1]
    _refuse(
        high != (low >> 63),
        lambda row: f"{name} {array[row].as_py()} of row {row} is beyond 64 bits",
    )
    return Numbers(np.ascontiguousarray(low), max(kind.scale, 0), pa.decimal128(38, kind.scale))
