"""Longer bars from shorter ones: five 1-minute bars make one of 5 minutes, days make a week.

compose(bars(ticks, "1m"), "5m")       # equals bars(ticks, "5m")
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trading.bars.calendar import TradingCalendar
from trading.bars.fold import NOTIONAL_DIGITS, whole_units
from trading.bars.grid import Grid
from trading.bars.interval import Interval, parse_interval
from trading.bars.tables import (
    NOTIONAL_TYPE,
    bar_schema,
    notional_array,
    price_array,
    volume_units_array,
)
from trading.bars.ticks import SIZE_DIGITS, Numbers, instant_ns
from trading.errors import BarError, IntervalError

# Decimals of Arrow have up to 76 digits; the thread's context may round at 28.
_ALL_DIGITS = Context(prec=100)
_NEEDED = ("symbol", "start", "end", "open", "high", "low", "close", "volume")
_VWAP_DIVISOR = 10 ** (NOTIONAL_DIGITS - SIZE_DIGITS)
# The first state of these that a part has is the state of a bar that has trades.
_STATES = ("working", "partial", "missing", "revised")


def compose(
    bars: Any,
    interval: str | Interval,
    *,
    calendar: str | TradingCalendar | None = None,
    since: Any = None,
) -> pa.Table:
    """The bars of `interval` that shorter bars make up, by symbol and time.

    bars: a table of bars, or a frame with symbol, start, end, open, high, low, close, volume; of
    several versions of a bar the newest counts. Volume, count and notional amount are added
    exactly; `vwap` is the notional amount over the volume, the same bits as from ticks. Bars
    without `notional` are weighed by vwap × volume, which is rounded once a part.

    The state: `working` if a part is; without any trade `missing` if a part is, else `empty`; with
    trades `partial` if a part is partial or missing, or where `since` lies inside the bar; else
    `revised` if a part is; else `final`. The version grows by one for each revision of a part.

    BarError where columns are missing or a part lies in two bars of the interval.
    """
    parsed = parse_interval(interval)
    if parsed.is_by_amount:
        raise IntervalError(
            f"{parsed} bars are made of ticks, not of other bars; give a time such as 5m or 1W"
        )
    table = _newest(_as_table(bars))
    if not len(table):
        return table
    parts = _Parts(table, Grid(parsed, calendar), None if since is None else instant_ns(since))
    return parts.joined()


def _as_table(bars: Any) -> pa.Table:
    if isinstance(bars, pa.RecordBatch):
        bars = pa.Table.from_batches([bars])
    if not isinstance(bars, pa.Table):
        if not hasattr(bars, "columns"):
            raise BarError(
                f"expected an Arrow table or a pandas frame of bars, got {type(bars).__name__}"
            )
        bars = pa.Table.from_pandas(bars, preserve_index=False)
    missing = [name for name in _NEEDED if name not in bars.column_names]
    if missing:
        raise BarError(
            f"bars need the columns {', '.join(_NEEDED)}; {', '.join(missing)} is missing"
        )
    for name in ("symbol", "start", "end"):
        if bars[name].null_count:
            raise BarError(f"a bar has no {name}; every bar has one")
    return bars.combine_chunks()


def _moments(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    kind = pa.timestamp("ns", getattr(table[name].type, "tz", None))
    column = table[name]
    if not pa.types.is_integer(column.type):
        column = column.cast(kind).cast(pa.int64())
    return np.asarray(column, dtype=np.int64)


def _newest(table: pa.Table) -> pa.Table:
    """The bars by symbol and time, each in its last version."""
    starts = _moments(table, "start")
    names = table["symbol"].cast(pa.string()).combine_chunks().dictionary_encode()
    rank = np.argsort(np.argsort(np.array(names.dictionary.to_pylist(), dtype=object)))
    symbol = rank[np.asarray(names.indices)] if len(table) else np.zeros(0, dtype=np.intp)
    if "version" in table.column_names:
        version = np.asarray(table["version"], dtype=np.int64)
    else:
        version = np.arange(len(table))
    order = np.lexsort((version, starts, symbol))
    if len(order):
        same = (np.diff(symbol[order]) == 0) & (np.diff(starts[order]) == 0)
        order = order[np.append(~same, True)]
    return table.take(pa.array(order))


class _Parts:
    """Bars by symbol and time, in groups that make one bar each."""

    def __init__(self, table: pa.Table, grid: Grid, since: int | None) -> None:
        self.table = table
        self.since = since
        starts, ends = _moments(table, "start"), _moments(table, "end")
        slots = grid.slots(int(starts.min()), int(ends.max()) - 1)
        # The first bar that ends after a part begins, and the last that begins before it ends.
        place = np.searchsorted(slots.ends, starts, side="right")
        last = np.searchsorted(slots.starts, ends, side="left") - 1
        self._refuse(place != last, grid, starts, ends)
        symbols = table["symbol"].cast(pa.string()).combine_chunks()
        changes = np.diff(place) != 0
        if len(table) > 1:
            changes |= np.asarray(pc.not_equal(symbols[1:], symbols[:-1]))
        begins = np.append(True, changes)
        self.first = np.flatnonzero(begins)
        self.last = np.append(self.first[1:], len(table)) - 1
        self.group = np.cumsum(begins) - 1
        self.starts, self.ends = slots.starts[place[self.first]], slots.ends[place[self.first]]
        names = table.column_names
        self.count = None
        if "count" in names:
            self.count = np.asarray(table["count"].fill_null(0), dtype=np.int64)
        self.traded = (
            np.asarray(pc.is_valid(table["close"]))
            if self.count is None
            else np.asarray(self.count > 0)
        )

    def _refuse(
        self,
        bad: npt.NDArray[np.bool_],
        grid: Grid,
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
    ) -> None:
        if not bad.any():
            return
        row = int(np.argmax(bad))
        raise BarError(
            f"the bar of {self.table['symbol'][row].as_py()!r} from "
            f"{np.datetime64(int(starts[row]), 'ns')}Z to {np.datetime64(int(ends[row]), 'ns')}Z "
            f"does not lie in one bar of {grid.interval}; take shorter bars that divide it, made "
            "with the same calendar (for weeks and months of sessions that begin the evening "
            'before: "session" bars)'
        )

    def joined(self) -> pa.Table:
        """One bar for each group."""
        table = self.table
        price = _numbers(table["close"])
        size = Numbers(np.zeros(0), None, table["volume"].type)
        names = table.column_names
        has_quotes = "bid" in names and "ask" in names
        volume = self._volume()
        notional = self._notional(volume)
        totals = np.add.reduceat(volume, self.first)
        vwap: list[float | None] = [None] * len(self.first)
        amounts: pa.Array = pa.nulls(len(self.first), NOTIONAL_TYPE)
        if notional is not None:
            sums = np.add.reduceat(notional, self.first).tolist()
            vwap = [
                amount / (total * _VWAP_DIVISOR) if total else None
                for amount, total in zip(sums, totals.tolist(), strict=True)
            ]
            amounts = notional_array(sums)
        count: Any = pa.nulls(len(self.first), pa.int64())
        if self.count is not None:
            count = pa.array(np.add.reduceat(self.count, self.first))
        arrays = [
            table["symbol"].cast(pa.string()).take(pa.array(self.first)).combine_chunks(),
            self.starts,
            self.ends,
            *self._prices(price),
            volume_units_array(totals.tolist(), size.arrow_type),
            count,
            pa.array(vwap, pa.float64()),
            amounts,
            pa.array(self._states(), pa.string()),
            self._versions(),
        ]
        if has_quotes:
            arrays += self._quotes()
        schema = bar_schema(price, size, quotes=has_quotes)
        return pa.table(
            [
                pa.array(array, field.type) if isinstance(array, np.ndarray) else array
                for array, field in zip(arrays, schema, strict=True)
            ],
            schema=schema,
        )

    def _volume(self) -> npt.NDArray[Any]:
        """The volumes as Python's integers of 9 decimal places."""
        units, digits = whole_units(_numbers(self.table["volume"].fill_null(0)))
        exact: npt.NDArray[Any] = units.astype(object) * 10 ** (SIZE_DIGITS - digits)
        return exact

    def _notional(self, volume: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """The notional amounts as Python's integers of 18 decimal places; None where unknown."""
        names = self.table.column_names
        if "notional" in names and not self.table["notional"].null_count:
            amounts = self.table["notional"].cast(NOTIONAL_TYPE).to_pylist()
            return np.array([_units(x, NOTIONAL_DIGITS) for x in amounts], dtype=object)
        if "vwap" not in names:
            return None
        weights, digits = whole_units(_numbers(self.table["vwap"].cast(pa.float64()).fill_null(0)))
        scale = 10 ** (NOTIONAL_DIGITS - SIZE_DIGITS - digits)
        weighed: npt.NDArray[Any] = weights.astype(object) * volume * scale
        return weighed

    def _prices(self, price: Numbers) -> list[pa.Array]:
        """Open, high, low and close: of parts with trades, else of the last part."""
        rows = np.arange(len(self.table))
        first = np.minimum.reduceat(np.where(self.traded, rows, len(rows)), self.first)
        last = np.maximum.reduceat(np.where(self.traded, rows, -1), self.first)
        empty = last < 0
        first, last = np.where(empty, self.last, first), np.where(empty, self.last, last)
        counts = self.traded.copy()
        counts[self.last[empty]] = True
        nothing = np.asarray(pc.is_null(self.table["close"]))[last]
        columns = []
        for name, take in (("open", first), ("high", None), ("low", None), ("close", last)):
            numbers = _numbers(self.table[name])
            values = numbers.values
            if take is not None:
                column = values[take]
            else:
                outer = values.max() if name == "low" else values.min()
                extreme = np.maximum if name == "high" else np.minimum
                column = extreme.reduceat(np.where(counts, values, outer), self.first)
            array = price_array(column, price)
            columns.append(pc.if_else(pa.array(nothing), pa.scalar(None, array.type), array))
        return columns

    def _states(self) -> list[str]:
        number = len(self.first)
        states = np.full(len(self.table), "final", dtype=object)
        if "state" in self.table.column_names:
            states = np.array(self.table["state"].to_pylist(), dtype=object)
        has = {
            state: np.bincount(self.group[states == state], minlength=number) > 0
            for state in _STATES
        }
        traded = np.bincount(self.group[self.traded], minlength=number) > 0
        if self.since is not None:
            has["partial"] |= (self.starts < self.since) & (self.since < self.ends)
        result = np.full(number, "final", dtype=object)
        result[has["revised"]] = "revised"
        result[has["partial"] | has["missing"]] = "partial"
        result[~traded] = "empty"
        result[~traded & has["missing"]] = "missing"
        result[has["working"]] = "working"
        return result.tolist()

    def _versions(self) -> npt.NDArray[np.int32]:
        if "version" not in self.table.column_names:
            return np.ones(len(self.first), dtype=np.int32)
        # A bar that is not final yet has version 0.
        more = np.maximum(np.asarray(self.table["version"], dtype=np.int64) - 1, 0)
        return (1 + np.add.reduceat(more, self.first)).astype(np.int32)

    def _quotes(self) -> list[pa.Array]:
        """The last bid and ask that a part has, both of one quote."""
        bid, ask = self.table["bid"], self.table["ask"]
        quoted = np.asarray(pc.or_(pc.is_valid(bid), pc.is_valid(ask)))
        rows = np.where(quoted, np.arange(len(self.table)), -1)
        last = np.maximum.reduceat(rows, self.first)
        take = pa.array(last, mask=last < 0)
        return [side.take(take).combine_chunks().cast(pa.float64()) for side in (bid, ask)]


def _units(value: Decimal, digits: int) -> int:
    return int(value.scaleb(digits, _ALL_DIGITS))


def _numbers(column: pa.ChunkedArray) -> Numbers:
    """A column of bars; what is null is 0 here."""
    kind = column.type
    if pa.types.is_decimal(kind):
        digits = kind.scale
        units = [0 if x is None else _units(x, digits) for x in column.to_pylist()]
        dtype: Any = np.int64 if all(abs(unit) < 2**63 for unit in units) else object
        return Numbers(np.array(units, dtype=dtype), digits, kind)
    filled = column.fill_null(0) if column.null_count else column
    if pa.types.is_integer(kind):
        return Numbers(np.asarray(filled.cast(pa.int64())), 0, pa.int64())
    if pa.types.is_floating(kind):
        return Numbers(np.asarray(filled.cast(pa.float64())), None, pa.float64())
    raise BarError(f"a column of bars is of type {kind}; prices and volumes are numbers")
