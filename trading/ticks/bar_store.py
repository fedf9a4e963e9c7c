"""BarStore: keeps final bars in PostgreSQL with two times, and reads them as known at any time.

bars = ticks.bars                                     # of a TickStore; the same login and rights
bars.keep(finished, "1m")                             # bars that became final or were revised
day = bars.read(["AAPL"], "1m", start, end)
then = bars.read(["AAPL"], "1m", start, end, known_at="2026-02-20T16:00:05Z")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from trading.bars.columns import SIZE_DIGITS, instant_ns
from trading.bars.interval import (
    NS_PER_DAY,
    NS_PER_SECOND,
    Interval,
    IntervalKind,
    parse_duration_ns,
    parse_interval,
)
from trading.corporate_actions import CorporateActions
from trading.errors import BarError, IntervalError
from trading.symbols import require_symbols
from trading.ticks.login import Login
from trading.ticks.reading import EARLIEST, LATEST

Symbols = str | Iterable[str] | None
_TIME = pa.timestamp("ns", "UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_PRICES = ("open", "high", "low", "close")
_NEEDED = ("symbol", "start", "end", *_PRICES, "volume", "count", "state")
_STATES = ("final", "revised", "partial", "empty", "missing")
# How far back the last price before a dividend is looked for.
_LOOK_BACK_DAYS = (5, 400)
# How many bars go to the database in one call.
_ROWS = 20_000
_NAMED = {
    IntervalKind.DAY: "1D",
    IntervalKind.WEEK: "1W",
    IntervalKind.MONTH: "1MO",
    IntervalKind.SESSION: "session",
}
_UNITS = (("h", 3600 * NS_PER_SECOND), ("m", 60 * NS_PER_SECOND), ("s", NS_PER_SECOND))


@dataclass(frozen=True)
class BarRecipe:
    """How bars were made; those of two recipes are never mixed.

    `calendar` is a calendar's name or None, `source` the ticks' source or None for all of them,
    `run` what the bars belong to ("live", "backtest:ID", …).
    """

    interval: str
    calendar: str | None = None
    source: str | None = None
    close_grace: str | int = "0s"
    run: str = "live"

    def __post_init__(self) -> None:
        """IntervalError for intervals by amount, and texts that are none."""
        parsed = parse_interval(self.interval)
        if parsed.is_by_amount:
            raise IntervalError(
                f"{parsed} bars begin where the one before ended, from the first tick on, so that "
                "two builders make other ones; keep the ticks, or bars of time"
            )
        grace_ns = parse_duration_ns(self.close_grace, name="close_grace")
        object.__setattr__(self, "interval", _one_spelling(parsed))
        object.__setattr__(self, "close_grace", grace_ns)

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What the database knows the recipe by."""
        grace_ns = parse_duration_ns(self.close_grace)
        return self.run, self.interval, self.calendar or "", self.source or "", grace_ns


@dataclass(frozen=True)
class HeldBars:
    """How many versions of a symbol's bars are kept, and the time that they cover."""

    symbol: str
    recipe: BarRecipe
    versions: int
    first: int | None
    last: int | None


class BarStore:
    """Final bars with both times: valid in [start, end), known since `recorded`.

    Nothing is overwritten: a revision is another version. Whoever may read a symbol's ticks may
    read its bars, and whoever may write ticks may keep bars. `TickStore.bars` gives one.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        self._series: dict[tuple[str, BarRecipe], int] = {}

    def keep(self, bars: pa.Table, recipe: BarRecipe | str) -> int:
        """Keep bars in one transaction, durably; returns how many versions are new.

        `bars` is what `BarBuilder.push` and `advance` return, in that order. A bar that is kept
        already with the same figures is not kept again, so that after a crash all may be given
        once more. BarError for bars that are still `working` and for tables that are none.
        """
        recipe = _recipe(recipe)
        table = _checked(bars)
        if not len(table):
            return 0
        names = sorted(set(table["symbol"].to_pylist()))
        require_symbols(names)
        self._register(names, recipe)
        series = np.array([self._series[name, recipe] for name in names], dtype=np.int64)
        codes = pc.index_in(table["symbol"], value_set=pa.array(names, pa.string()))
        of_rows = series[np.asarray(codes)]
        new = 0
        with self._login.transaction() as cursor:
            for rows in _rounds(of_rows, _integers(table, "start")):
                part = table.take(pa.array(rows))
                arguments = [_literal(of_rows[rows].tolist()), *_arrays(part)]
                cursor.execute(
                    "SELECT trading_ticks.keep_bars(%s::integer[], %s::bigint[], %s::integer[], "
                    "%s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], "
                    "%s::numeric[], %s::bigint[], %s::float8[], %s::numeric[], %s::text[], "
                    "%s::float8[], %s::float8[])",
                    arguments,
                )
                new += cursor.fetchone()[0]
        return new

    def read(
        self,
        symbols: Symbols,
        recipe: BarRecipe | str,
        start: Any = None,
        end: Any = None,
        *,
        known_at: Any = None,
        all_versions: bool = False,
        exact: bool = True,
        actions: CorporateActions | None = None,
    ) -> pa.Table:
        """The bars of symbols (None: of all) that start in [start, end), by symbol and time.

        Each in the newest version that was known at `known_at` (None: now); `all_versions` gives
        every one until then. The columns are those of `BarBuilder`, and `recorded`. Prices, volumes
        and amounts are decimals, or floats with `exact=False`. Asked again for the same time the
        answer is the same. BarError for a `known_at` that is still to come. `actions` gives the
        view adjusted by splits and dividends, in floats.
        """
        recipe = _recipe(recipe)
        low = EARLIEST if start is None else instant_ns(start)
        high = LATEST if end is None else instant_ns(end)
        names = [symbols] if isinstance(symbols, str) else symbols
        with self._login.transaction() as cursor:
            moment = None if known_at is None else _settled(cursor, instant_ns(known_at))
            cursor.execute(
                "SELECT * FROM trading_ticks.readable_bars(%s, %s, %s, %s, %s, %s)",
                [None if names is None else list(names), *recipe.key],
            )
            found = cursor.fetchall()
            statement = cursor.mogrify(
                'COPY (SELECT series, start, "end", open, high, low, close, volume, count, vwap, '
                "notional, state, version, bid, ask, "
                "floor(extract(epoch FROM recorded) * 1000000)::bigint * 1000 "
                "FROM trading_ticks.read_bars(%s, %s, %s, %s, %s)) TO STDOUT (FORMAT csv)",
                [[row[1] for row in found], low, high, moment, all_versions],
            )
            out = BytesIO()
            cursor.copy_expert(statement.decode(), out)
        table = _table(out.getvalue(), found, exact=exact and actions is None)
        if actions is None:
            return table
        return actions.adjust(
            table, lambda symbol, at: self._last_close(symbol, recipe, at, known_at)
        )

    def _last_close(
        self, symbol: str, recipe: BarRecipe, before: int, known_at: Any
    ) -> float | None:
        """The close of the last bar with a trade that ended before a time."""
        for days in _LOOK_BACK_DAYS:
            low = before - days * NS_PER_DAY
            kept = self.read([symbol], recipe, low, before, known_at=known_at, exact=False)
            closes = kept.filter(
                pc.and_(
                    pc.greater(kept["count"], 0),
                    pc.less_equal(kept["end"].cast(pa.int64()), before),
                )
            )["close"]
            if len(closes):
                return float(closes[-1].as_py())
        return None

    def held(self) -> list[HeldBars]:
        """What is kept of the symbols that the user may read."""
        with self._login.transaction() as cursor:
            cursor.execute("SELECT * FROM trading_ticks.held_bars()")
            return [
                HeldBars(
                    name,
                    BarRecipe(interval, calendar or None, source or None, grace, run),
                    versions,
                    first,
                    last,
                )
                for name, run, interval, calendar, source, grace, versions, first, last in (
                    cursor.fetchall()
                )
            ]

    def _register(self, names: list[str], recipe: BarRecipe) -> None:
        missing = [name for name in names if (name, recipe) not in self._series]
        if not missing:
            return
        with self._login.transaction() as cursor:
            cursor.execute(
                "SELECT * FROM trading_ticks.register_bars(%s, %s, %s, %s, %s, %s)",
                [missing, *recipe.key],
            )
            for name, series in cursor.fetchall():
                self._series[name, recipe] = series


def _recipe(given: BarRecipe | str) -> BarRecipe:
    return given if isinstance(given, BarRecipe) else BarRecipe(given)


def _one_spelling(interval: Interval) -> str:
    """The same text for the same bars: 60s is 1m, day is 1D."""
    if interval.kind in _NAMED:
        return _NAMED[interval.kind]
    for unit, length in _UNITS:
        if interval.length_ns % length == 0:
            return f"{interval.length_ns // length}{unit}"
    return f"{interval.length_ns // 1_000_000}ms"


def _checked(bars: pa.Table) -> pa.Table:
    missing = [name for name in _NEEDED if name not in bars.column_names]
    if missing:
        raise BarError(f"the table has no column {', '.join(missing)}; it is no table of bars")
    states = pc.unique(bars["state"]).to_pylist()
    other = sorted(str(state) for state in states if state not in _STATES)
    if other:
        raise BarError(
            f"bars in the state {', '.join(other)} are not kept; keep those that `push` and "
            f"`advance` return, which are {', '.join(_STATES)}"
        )
    place = bars.column_names.index("symbol")
    return bars.set_column(place, "symbol", bars["symbol"].cast(pa.string())).combine_chunks()


def _integers(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    column = table[name]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
    return np.asarray(column, dtype=np.int64)


def _rounds(series: npt.NDArray[Any], starts: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.intp]]:
    """Rows in pieces in which each bar is there once, versions in their order."""
    order = np.lexsort((starts, series))
    same = np.zeros(len(order), dtype=np.intp)
    if len(order) > 1:
        repeated = (np.diff(series[order]) == 0) & (np.diff(starts[order]) == 0)
        # The place of each row among those of its bar.
        at = np.arange(len(order))
        first = np.maximum.accumulate(np.where(np.r_[True, ~repeated], at, 0))
        same = at - first
    for version in range(int(same.max()) + 1):
        rows = np.sort(order[same == version])
        for begin in range(0, len(rows), _ROWS):
            yield rows[begin : begin + _ROWS]


def _arrays(table: pa.Table) -> list[str]:
    """The columns as arrays of PostgreSQL, in the order of `keep_bars`."""
    ones = [1] * len(table)
    there = set(table.column_names)

    def of(name: str) -> str:
        return _literal(_texts(table[name])) if name in there else _literal([None] * len(table))

    return [
        _literal(_integers(table, "start").tolist()),
        of("version") if "version" in there else _literal(ones),
        _literal(_integers(table, "end").tolist()),
        *(of(name) for name in (*_PRICES, "volume", "count", "vwap", "notional", "state")),
        of("bid"),
        of("ask"),
    ]


def _texts(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_floating(column.type):
        # The shortest text that is the same number.
        return [None if value is None else repr(value) for value in column.to_pylist()]
    if pa.types.is_decimal(column.type):
        return [None if value is None else f"{value:f}" for value in column.to_pylist()]
    return list(column.to_pylist())


def _literal(values: list[Any]) -> str:
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def _settled(cursor: Any, known_at: int) -> datetime:
    """The time as the database has it, once nothing can be recorded at it any more."""
    # Cut, not rounded: what is recorded later must not be seen.
    moment = _EPOCH + timedelta(microseconds=known_at // 1_000)
    cursor.execute("SELECT trading_ticks.settle_bars()")
    (now,) = cursor.fetchone()
    if moment > now:
        raise BarError(
            f"what is known at {moment.isoformat()} cannot be told yet: the database's clock is at "
            f"{now.isoformat()}; leave known_at out for what is known now"
        )
    return moment


def _table(text: bytes, found: list[tuple[Any, ...]], *, exact: bool) -> pa.Table:
    price = pa.decimal128(38, max((row[2] for row in found), default=0))
    size = pa.decimal128(38, min(max((row[3] for row in found), default=0), SIZE_DIGITS))
    notional = pa.decimal128(38, 2 * SIZE_DIGITS)
    if not exact:
        price = size = notional = pa.float64()
    types = {
        "series": pa.int32(),
        "start": pa.int64(),
        "end": pa.int64(),
        **dict.fromkeys(_PRICES, price),
        "volume": size,
        "count": pa.int64(),
        "vwap": pa.float64(),
        "notional": notional,
        "state": pa.string(),
        "version": pa.int32(),
        "bid": pa.float64(),
        "ask": pa.float64(),
        "recorded": pa.int64(),
    }
    if text:
        rows = pa_csv.read_csv(
            pa.BufferReader(text),
            read_options=pa_csv.ReadOptions(column_names=list(types)),
            convert_options=pa_csv.ConvertOptions(column_types=types, null_values=[""]),
        )
    else:
        rows = pa.schema(list(types.items())).empty_table()
    names = pc.index_in(rows["series"], value_set=pa.array([row[1] for row in found], pa.int32()))
    symbols = pa.array([row[0] for row in found], pa.string())
    columns = {
        "symbol": symbols.take(names.combine_chunks()),
        **dict(zip(types, rows, strict=True)),
    }
    del columns["series"]
    for name in ("start", "end", "recorded"):
        columns[name] = columns[name].cast(_TIME)
    return _in_order(pa.table(columns))


def _in_order(table: pa.Table) -> pa.Table:
    keys = [(name, "ascending") for name in ("symbol", "start", "version")]
    table = table.sort_by(keys)
    if not any(table[name].null_count < len(table) for name in ("bid", "ask")):
        table = table.drop_columns(["bid", "ask"])
    return table
