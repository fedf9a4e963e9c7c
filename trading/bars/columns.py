"""Ticks as columns: an Arrow table or a pandas frame, checked once, as numpy arrays."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trading.bars.ticks import (
    INT64_MAX,
    SIZE_DIGITS,
    Integers,
    Numbers,
    TickColumns,
    instant_ns,
)
from trading.errors import TickError

__all__ = [
    "INT64_MAX",
    "SIZE_DIGITS",
    "Integers",
    "Numbers",
    "TickColumns",
    "TickReader",
    "as_arrow",
    "exact_numbers",
    "instant_ns",
    "nanoseconds",
    "refuse_future",
    "tick_columns",
]


_REQUIRED = ("timestamp", "symbol", "price")
_OPTIONAL = ("size", "sequence", "received", "bid", "ask")


class TickReader:
    """Reads tables of ticks, one after another; what they have in common is decoded once."""

    def __init__(self, *, allow_negative: bool = False) -> None:
        self.allow_negative = allow_negative
        self._schema: pa.Schema | None = None
        self._places: tuple[tuple[str, int], ...] = ()
        self._dictionary: pa.Array | None = None
        self._names: tuple[str, ...] = ()

    def read(self, ticks: Any, *, now: int | None = None) -> TickColumns:
        """The columns of a table; see `tick_columns`."""
        table = as_arrow(ticks)
        if self._schema is None or not table.schema.equals(self._schema):
            self._places = _places(table.column_names)
            self._schema = table.schema
        columns = {name: table.column(place) for name, place in self._places}
        timestamp = _times(columns, "timestamp")
        codes, names = self._symbols(columns["symbol"])
        is_trade = None
        if columns["price"].null_count:
            is_trade = ~np.asarray(pc.is_null(columns["price"]).combine_chunks())
        price = exact_numbers(
            columns["price"], "price", allow_negative=self.allow_negative, is_trade=is_trade
        )
        if "size" in columns:
            size = exact_numbers(columns["size"], "size", allow_negative=False, is_trade=is_trade)
        else:
            size = Numbers(np.zeros(len(timestamp), dtype=np.int64), 0, pa.int64(), 0.0, 0.0)
        read = TickColumns(
            timestamp,
            codes,
            names,
            price,
            size,
            _whole(columns, "sequence"),
            _times(columns, "received") if "received" in columns else None,
            _quotes(columns, "bid"),
            _quotes(columns, "ask"),
            is_trade,
        )
        if now is not None:
            refuse_future(read, now)
        return read

    def _symbols(
        self, column: pa.ChunkedArray
    ) -> tuple[npt.NDArray[np.integer[Any]], tuple[str, ...]]:
        if column.null_count:
            row = _first_null(column)
            raise TickError(
                f"symbol of row {row} is missing; every tick has one", row, column.null_count
            )
        if not pa.types.is_dictionary(column.type):
            if not _is_text(column.type):
                raise TickError(f"column symbol is of type {column.type}; it must hold texts")
            column = column.dictionary_encode()
        elif not _is_text(column.type.value_type):
            raise TickError(f"column symbol is of type {column.type}; it must hold texts")
        if column.num_chunks != 1:
            column = column.unify_dictionaries()
        array = _single(column)
        if self._dictionary is None or not array.dictionary.equals(self._dictionary):
            self._dictionary = array.dictionary
            self._names = _distinct(array.dictionary)
        return array.indices.to_numpy(zero_copy_only=False), self._names


def tick_columns(
    ticks: Any, *, allow_negative: bool = False, now: int | None = None
) -> TickColumns:
    """Read a table of ticks: `timestamp` (with a zone, or UTC), `symbol`, `price`, `size`, and
    where they are there `sequence`, `received`, `bid`, `ask`.

    TickError for a missing column, a time that is null, prices or sizes that are NaN, infinite,
    negative (prices may be by `allow_negative`) or beyond 64 bits, and for times after `now`, in
    nanoseconds. It names the first bad row; nothing of the table is taken then.
    """
    return TickReader(allow_negative=allow_negative).read(ticks, now=now)


def _places(names: list[str]) -> tuple[tuple[str, int], ...]:
    """Where the columns that ticks may have stand in a table."""
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise TickError(
            "a table of ticks needs the columns timestamp, symbol, price and size; "
            f"{', '.join(missing)} is missing; there are {', '.join(names) or 'none'}"
        )
    if len(set(names)) != len(names):
        raise TickError(f"column names are given twice: {', '.join(names)}; rename or drop one")
    wanted = (*_REQUIRED, *_OPTIONAL)
    return tuple((name, place) for place, name in enumerate(names) if name in wanted)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _distinct(dictionary: pa.Array) -> tuple[str, ...]:
    names = tuple(dictionary.to_pylist())
    if None in names or len(set(names)) != len(names):
        raise TickError(
            "the dictionary of column symbol holds a name twice, or none at all; encode the "
            "symbols anew: table['symbol'].cast('string').dictionary_encode()"
        )
    return names


def _first_null(column: pa.ChunkedArray) -> int:
    return int(np.argmax(np.asarray(pc.is_null(column).combine_chunks())))


def refuse_future(columns: TickColumns, now: int | Integers, ahead_ns: int = 0) -> None:
    """TickError where a tick's time is more than `ahead_ns` after `now`, or its own `now`."""
    limit = np.broadcast_to(np.asarray(now, dtype=np.int64), columns.timestamp.shape)
    _refuse(
        columns.timestamp - ahead_ns > limit,
        lambda row: (
            f"tick {row} of {columns.names[columns.symbol[row]]!r} is of "
            f"{np.datetime64(int(columns.timestamp[row]), 'ns')}Z, after the clock's "
            f"{np.datetime64(int(limit[row]), 'ns')}Z; check the clocks of the feed and of this "
            "machine"
        ),
    )


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


def _times(columns: dict[str, pa.ChunkedArray], name: str) -> Integers:
    column = columns[name]
    kind = column.type
    if column.null_count:
        row = _first_null(column)
        raise TickError(
            f"{name} of row {row} is missing; every tick has one", row, column.null_count
        )
    if pa.types.is_timestamp(kind):
        if kind.unit != "ns":
            column = _in_nanoseconds(column, name)
        array = _single(column)
        if not len(array):
            return np.zeros(0, dtype=np.int64)
        offset = array.offset
        return np.frombuffer(array.buffers()[1], dtype=np.int64)[offset : offset + len(array)]
    if pa.types.is_date(kind):
        return _integers(_in_nanoseconds(column, name))
    if pa.types.is_integer(kind):
        return _integers(column)
    raise TickError(
        f"column {name} is of type {kind}; it must hold timestamps, or whole nanoseconds"
    )


def _in_nanoseconds(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    try:
        return column.cast(pa.timestamp("ns", getattr(column.type, "tz", None)))
    except pa.ArrowInvalid:
        raise TickError(
            f"column {name} holds times that nanoseconds of 64 bits do not reach: allowed are the "
            "years 1678 to 2261; a time of day 9999 often means that there is none"
        ) from None


def nanoseconds(column: pa.ChunkedArray) -> list[Any]:
    """A column of times as Python's integers, or None; for few rows much faster than a cast."""
    if column.num_chunks == 1 and pa.types.is_timestamp(column.type):
        return list(column.chunk(0).view(pa.int64()).to_pylist())
    return list(column.cast(pa.int64()).to_pylist())


def _whole(columns: dict[str, pa.ChunkedArray], name: str) -> Integers | None:
    column = columns.get(name)
    if column is None or (column.null_count and column.null_count == len(column)):
        return None
    if column.null_count:
        row = _first_null(column)
        raise TickError(
            f"{name} of row {row} is missing, and others have one; it must be there in every row, "
            "or in none",
            row,
            column.null_count,
        )
    if not pa.types.is_integer(column.type):
        raise TickError(f"column {name} is of type {column.type}; it must hold whole numbers")
    try:
        return _integers(column)
    except pa.ArrowInvalid:
        raise TickError(f"column {name} holds numbers beyond 64 bits") from None


def _quotes(columns: dict[str, pa.ChunkedArray], name: str) -> Numbers | None:
    column = columns.get(name)
    if column is None or (column.null_count and column.null_count == len(column)):
        return None
    column = column.cast(pa.float64())
    return Numbers(_single(column).to_numpy(zero_copy_only=False), None, pa.float64())


def exact_numbers(
    column: pa.ChunkedArray,
    name: str,
    *,
    allow_negative: bool,
    is_trade: npt.NDArray[np.bool_] | None,
) -> Numbers:
    """The numbers of a column, checked; `is_trade` says which rows have one, None that all do."""
    array = _single(column)
    kind = column.type
    if is_trade is None:
        nulls = array.null_count
        if nulls:
            row = _first_null(column)
            raise TickError(f"{name} of row {row} is missing; a trade has one", row, nulls)
    elif array.null_count:
        bad = is_trade & np.asarray(pc.is_null(array))
        _refuse(bad, lambda row: f"{name} of row {row} is missing; a trade has one")
    if pa.types.is_floating(kind):
        numbers = _floats(name, array, is_trade)
    elif pa.types.is_integer(kind):
        numbers = _integer_numbers(name, array)
    elif pa.types.is_decimal(kind):
        numbers = _decimals(name, array, kind)
    else:
        raise TickError(f"column {name} is of type {kind}; it must hold numbers")
    if numbers.low < 0 and not allow_negative:
        _refuse_negative(name, array, numbers.values, is_trade)
    return numbers


def _refuse_negative(
    name: str, array: pa.Array, values: npt.NDArray[Any], is_trade: npt.NDArray[np.bool_] | None
) -> None:
    hint = "a size must be 0 or more; turn a seller's trade into a positive size"
    if name == "price":
        hint = "pass allow_negative=True for an instrument that may have one"
    _refuse(
        values < 0 if is_trade is None else (values < 0) & is_trade,
        lambda row: f"{name} {array[row].as_py()} of row {row} is negative; {hint}",
    )


def _integer_numbers(name: str, array: pa.Array) -> Numbers:
    filled = array.fill_null(0) if array.null_count else array
    try:
        values = filled.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        bad = np.asarray(pc.greater(filled, pa.scalar(INT64_MAX, pa.uint64())))
        _refuse(bad, lambda row: f"{name} {array[row].as_py()} of row {row} is beyond 64 bits")
        raise
    return Numbers(values, 0, pa.int64(), *_extent(values))


def _extent(values: npt.NDArray[Any]) -> tuple[float, float]:
    """The least and the greatest value; NaN where one is NaN."""
    if not len(values):
        return 0.0, 0.0
    return float(np.minimum.reduce(values)), float(np.maximum.reduce(values))


def _floats(
    name: str,
    array: pa.Array,
    is_trade: npt.NDArray[np.bool_] | None,
) -> Numbers:
    values = array.to_numpy(zero_copy_only=False)
    if values.dtype != np.float64:
        values = values.astype(np.float64)
    if is_trade is not None:
        # A quote has neither price nor size; what stands there is not looked at.
        _refuse(is_trade & ~np.isfinite(values), partial(_not_finite, name, values))
        values = np.where(is_trade, values, 0.0)
    low, high = _extent(values)
    if not (low > -np.inf and high < np.inf):
        _refuse(~np.isfinite(values), partial(_not_finite, name, values))
    return Numbers(values, None, pa.float64(), low, high)


def _not_finite(name: str, values: npt.NDArray[np.float64], row: int) -> str:
    return (
        f"{name} {values[row]} of row {row} is no number that a trade has; leave the row out, or "
        "make it a quote by a price of null"
    )


def _decimals(name: str, array: pa.Array, kind: pa.DataType) -> Numbers:
    if kind.scale > SIZE_DIGITS:
        raise TickError(
            f"column {name} has {kind.scale} decimal places; at most {SIZE_DIGITS} are kept"
        )
    if array.null_count:
        array = pc.fill_null(array, pa.scalar(0, kind))
    scale = max(kind.scale, 0)
    # A decimal of 128 bits is two words: the low one, and the sign's continuation above it. The
    # cast may begin its buffer anew, so that the offset is its own.
    whole = array.cast(pa.decimal128(38, scale))
    words = np.frombuffer(whole.buffers()[1], dtype=np.int64)
    pairs = words.reshape(-1, 2)[whole.offset : whole.offset + len(whole)]
    low, high = pairs[:, 0], pairs[:, 1]
    _refuse(
        high != (low >> 63),
        lambda row: f"{name} {array[row].as_py()} of row {row} is beyond 64 bits",
    )
    values = np.ascontiguousarray(low)
    return Numbers(values, scale, pa.decimal128(38, scale), *_extent(values))
