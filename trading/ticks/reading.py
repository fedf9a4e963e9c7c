"""Reads kept ticks into Arrow: by symbol and time, exact, in the order of their times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trading.bars.columns import Integers
from trading.ticks.appending import NONE
from trading.ticks.copying import copied, copied_blocks
from trading.ticks.scaling import Mask, rescaled

# What no time can be beyond.
EARLIEST, LATEST = -(2**63) + 1, 2**63 - 1
_BASE = [("ts", np.int64), ("seq", np.int64), ("received", np.int64), ("series", np.int32)]
_TRADE = [("price", np.int64), ("size", np.int64)]
_QUOTE = [(name, np.int64) for name in ("bid", "ask", "bid_size", "ask_size")]


@dataclass(frozen=True)
class Layout:
    """The series that a read takes from, with what their numbers mean; arrays go by series."""

    names: tuple[str, ...]
    series: list[int]
    code: npt.NDArray[np.int32]
    stream: Integers
    price_digits: Integers
    size_digits: Integers
    has_quotes: bool

    @property
    def price_places(self) -> int:
        """The decimal places of the prices in the table."""
        return int(self.price_digits[self.series].max(initial=0))

    @property
    def size_places(self) -> int:
        """The decimal places of the sizes in the table."""
        return int(self.size_digits[self.series].max(initial=0))


def layout(cursor: Any, symbols: list[str] | None, source: str | None) -> Layout:
    """What the user may read of the symbols."""
    cursor.execute("SELECT * FROM trading_ticks.readable(%s, %s)", [symbols, source])
    rows = cursor.fetchall()
    cursor.execute("SELECT bool_or(quotes > 0) FROM trading_ticks.held(%s, %s)", [symbols, source])
    (has_quotes,) = cursor.fetchone()
    names = tuple(sorted({row[0] for row in rows}))
    place = {name: number for number, name in enumerate(names)}
    highest = max((row[3] for row in rows), default=0) + 1
    code = np.zeros(highest, dtype=np.int32)
    stream, prices, sizes = (np.zeros(highest, dtype=np.int64) for _ in range(3))
    for name, _source, of_stream, series, price_digits, size_digits in rows:
        code[series], stream[series] = place[name], of_stream
        prices[series], sizes[series] = price_digits, size_digits
    series_numbers = [row[3] for row in rows]
    return Layout(names, series_numbers, code, stream, prices, sizes, bool(has_quotes))


def read(cursor: Any, found: Layout, start: int, end: int, *, exact: bool) -> pa.Table:
    """The ticks of a layout in [start, end)."""
    # The views give what is asked for here, and no more than the user may read.
    asked = "{" + ",".join(map(str, found.series)) + "}"
    cursor.execute(
        "SELECT set_config('trading_ticks.series', %s, true), "
        "set_config('trading_ticks.low', %s, true), set_config('trading_ticks.high', %s, true)",
        [asked, str(start), str(end)],
    )
    trades = _kind(cursor, "trade", _TRADE, found, start, end)
    if not found.has_quotes:
        return _table(found, trades, None, exact=exact)
    quotes = _kind(cursor, "quote", _QUOTE, found, start, end)
    return _table(found, *_merged(found, trades, quotes), exact=exact)


def _kind(
    cursor: Any, kind: str, own: list[tuple[str, Any]], found: Layout, start: int, end: int
) -> dict[str, npt.NDArray[Any]]:
    """The trades or quotes that were asked for, in the order of time, then of sequence."""
    single = _single(cursor, kind, own, found)
    blocks = _blocks(cursor, kind, own, start, end)
    if not len(blocks["ts"]):
        return _in_order(single)
    if not len(single["ts"]):
        return _in_order(blocks)
    return _in_order({name: np.concatenate([v, single[name]]) for name, v in blocks.items()})


def _single(
    cursor: Any, kind: str, own: list[tuple[str, Any]], found: Layout
) -> dict[str, npt.NDArray[Any]]:
    """Ticks that are kept one by one."""
    # PostgreSQL takes as long to give out a column as to find the row.
    alone = found.series[0] if len(found.series) == 1 else None
    columns = [each for each in [*_BASE, *own] if alone is None or each[0] != "series"]
    never_null = ("ts", "seq", "series", "price", "size")
    names = [
        name if name in never_null else f"coalesce({name}, {NONE + 1} - 1)"
        for name, _width in columns
    ]
    statement = f"SELECT {', '.join(names)} FROM trading_ticks.asked_{kind}s"
    rows = copied(cursor, statement, columns)
    if alone is not None:
        rows["series"] = np.full(len(rows["ts"]), alone, dtype=np.int32)
    return rows


def _blocks(
    cursor: Any, kind: str, own: list[tuple[str, Any]], start: int, end: int
) -> dict[str, npt.NDArray[Any]]:
    """Ticks that are kept in blocks; those of the first and the last ones may be out of time."""
    arrays = [name for name, _width in [*_BASE, *own] if name != "series"]
    statement = f"SELECT {', '.join(arrays)}, series FROM trading_ticks.asked_{kind}_blocks"
    rows = copied_blocks(cursor, statement, arrays, "series", NONE)
    ts = rows["ts"]
    if not len(ts) or (ts.min() >= start and ts.max() < end):
        return rows
    inside = (ts >= start) & (ts < end)
    return {name: values[inside] for name, values in rows.items()}


def _in_order(rows: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    ts, seq = rows["ts"], rows["seq"]
    is_sorted = (ts[1:] > ts[:-1]) | ((ts[1:] == ts[:-1]) & (seq[1:] >= seq[:-1]))
    if is_sorted.all():
        return rows
    order = np.lexsort((seq, ts))
    return {name: values[order] for name, values in rows.items()}


def _merged(
    found: Layout, trades: dict[str, npt.NDArray[Any]], quotes: dict[str, npt.NDArray[Any]]
) -> tuple[dict[str, npt.NDArray[Any]], Mask]:
    """Trades and quotes together, those of one tick in one row, and which rows have a trade."""
    count = len(trades["ts"])
    if not len(quotes["ts"]):
        missing = {name: np.full(count, NONE) for name, _width in _QUOTE}
        return {**trades, **missing}, np.ones(count, dtype=np.bool_)
    stream = np.r_[found.stream[trades["series"]], found.stream[quotes["series"]]]
    seq = np.r_[trades["seq"], quotes["seq"]]
    order = np.lexsort((seq, stream))
    pair = (stream[order][1:] == stream[order][:-1]) & (seq[order][1:] == seq[order][:-1])
    # The sort is stable: the trade comes first.
    of_trade, of_quote = order[:-1][pair], order[1:][pair] - count
    alone = np.ones(len(quotes["ts"]), dtype=np.bool_)
    alone[of_quote] = False
    rows = {name: np.r_[trades[name], quotes[name][alone]] for name, _width in _BASE}
    extra = int(alone.sum())
    for name, _width in _TRADE:
        rows[name] = np.r_[trades[name], np.zeros(extra, dtype=np.int64)]
    for name, _width in _QUOTE:
        values = np.full(count + extra, NONE)
        values[of_trade] = quotes[name][of_quote]
        values[count:] = quotes[name][alone]
        rows[name] = values
    rows["is_trade"] = np.arange(count + extra) < count
    rows = _in_order(rows)
    return rows, rows.pop("is_trade")


def _table(
    found: Layout, rows: dict[str, npt.NDArray[Any]], is_trade: Mask | None, *, exact: bool
) -> pa.Table:
    series = rows["series"]
    missing = None if is_trade is None else ~is_trade
    columns: dict[str, Any] = {
        "timestamp": pa.array(rows["ts"]).cast(pa.timestamp("ns", "UTC")),
        "symbol": pa.DictionaryArray.from_arrays(
            pa.array(found.code[series]), pa.array(found.names, pa.string())
        ),
    }
    prices = (found.price_digits, found.price_places)
    sizes = (found.size_digits, found.size_places)

    def number(name: str, of: tuple[Integers, int], null: Mask | None) -> pa.Array:
        digits, places = of
        values = rows[name] if null is None else np.where(null, 0, rows[name])
        more = places - digits[series]
        if more.any():
            values = rescaled(values, more)
        return _decimals(values, places, null) if exact else _floats(values, places, null)

    columns["price"] = number("price", prices, missing)
    columns["size"] = number("size", sizes, missing)
    if found.has_quotes:
        for name, _width in _QUOTE:
            of = sizes if name.endswith("size") else prices
            columns[name] = number(name, of, rows[name] == NONE)
    own = rows["seq"] < 0
    if not own.all():
        columns["sequence"] = pa.array(rows["seq"], mask=own)
    unknown = rows["received"] == NONE
    if not unknown.all():
        columns["received"] = pa.array(rows["received"], mask=unknown).cast(
            pa.timestamp("ns", "UTC")
        )
    return pa.table(columns)


def _decimals(values: Integers, places: int, null: Mask | None) -> pa.Array:
    """Integers as decimals of 128 bits: the low word, and the sign's continuation above it."""
    words = np.empty((len(values), 2), dtype=np.int64)
    words[:, 0] = values
    words[:, 1] = values >> 63
    bits = None
    if null is not None and null.any():
        bits = pa.py_buffer(np.packbits(~null, bitorder="little").tobytes())
    return pa.Array.from_buffers(
        pa.decimal128(19, places), len(values), [bits, pa.py_buffer(words)]
    )


def _floats(values: Integers, places: int, null: Mask | None) -> pa.Array:
    return pa.array(values / 10.0**places, mask=null)
