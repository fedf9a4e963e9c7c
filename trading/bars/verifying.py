"""Whether kept bars equal the bars that their ticks make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trading.bars.builder import bars
from trading.bars.calendar import TradingCalendar, calendar_for
from trading.bars.interval import NS_PER_DAY, Interval, parse_duration_ns, parse_interval
from trading.bars.ticks import instant_ns
from trading.errors import BarError, IntervalError

_COMPARED = ("end", "open", "high", "low", "close", "volume", "count", "vwap", "notional")
_TIME = pa.timestamp("ns", tz="UTC")


class TickSource(Protocol):
    """What kept ticks are read from, such as a tick store."""

    def read(self, symbols: Any, start: Any, end: Any) -> pa.Table:
        """The ticks of symbols with a time in [start, end)."""


class TableTicks:
    """A table of ticks, read as a tick store is."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def read(self, symbols: Any, start: Any, end: Any) -> pa.Table:
        """The ticks of symbols with a time in [start, end)."""
        low, high = (pa.scalar(instant_ns(at), pa.int64()) for at in (start, end))
        time = self.table["timestamp"]
        if not pa.types.is_integer(time.type):
            time = time.cast(pa.timestamp("ns", getattr(time.type, "tz", None))).cast(pa.int64())
        inside = pc.and_(pc.greater_equal(time, low), pc.less(time, high))
        names = pa.array(list(symbols), pa.string())
        wanted = pc.is_in(self.table["symbol"].cast(pa.string()), value_set=names)
        return self.table.filter(pc.and_(inside, wanted))


@dataclass(frozen=True)
class Difference:
    """One figure of one bar that is not what the ticks say; None where there is no such bar."""

    symbol: str
    start: int
    field: str
    kept: Any
    rebuilt: Any

    def __str__(self) -> str:
        return (
            f"{self.symbol} {np.datetime64(self.start, 'ns')}Z {self.field}: kept {self.kept}, "
            f"from ticks {self.rebuilt}"
        )


@dataclass(frozen=True)
class Verification:
    """How many bars with trades were compared, and what differs."""

    compared: int
    differences: list[Difference]


def verify(
    kept: pa.Table,
    ticks: TickSource,
    interval: str | Interval,
    *,
    calendar: str | TradingCalendar | None = None,
    lateness: str | int = "0s",
    close_grace: str | int = "0s",
    day: date | None = None,
    allow_negative: bool = False,
) -> Verification:
    """Build bars again from their ticks, and compare them with those that were kept.

    kept: a table of bars; of several versions the newest counts. day: bars that start on it, in
    the calendar's time zone (UTC without one); None: from the first kept bar to the last. Bars
    without a trade depend on what was known of the feed, and only have to be without a trade.
    IntervalError for intervals by amount: where such bars begin depends on all ticks before.
    """
    parsed = parse_interval(interval)
    if parsed.is_by_amount:
        raise IntervalError(
            f"{parsed} bars begin where the one before ended, from the first tick on; only bars "
            "of time can be verified"
        )
    missing = [n for n in ("symbol", "start", *_COMPARED[:7]) if n not in kept.column_names]
    if missing:
        raise BarError(f"kept bars have no column {', '.join(missing)}; they are no table of bars")
    rows = _rows(kept)
    if day is not None:
        low, high = _day(day, calendar)
        rows = {key: row for key, row in rows.items() if low <= key[1] < high}
    elif rows:
        low, high = min(at for _s, at in rows), max(row["end"] for row in rows.values())
    else:
        return Verification(0, [])
    symbols = sorted(set(pc.unique(kept["symbol"].cast(pa.string())).to_pylist()))
    read = ticks.read(
        symbols,
        *(_moment(at) for at in _reach(low, high, rows, parse_duration_ns(close_grace))),
    )
    rebuilt = bars(
        read,
        parsed,
        calendar=calendar,
        lateness=lateness,
        close_grace=close_grace,
        allow_negative=allow_negative,
    )
    built = {key: row for key, row in _rows(rebuilt).items() if low <= key[1] < high}
    return _compared(rows, built)


def _moment(at: int) -> Any:
    """A time that every source of ticks understands."""
    return pa.scalar(at, pa.int64()).cast(_TIME).as_py()


def _reach(
    low: int, high: int, rows: dict[tuple[str, int], dict[str, Any]], grace_ns: int
) -> tuple[int, int]:
    """The time whose ticks the bars can hold: the last ones may end after their day."""
    last = max((row["end"] for row in rows.values()), default=high)
    return low, max(high, last) + grace_ns


def _day(day: date, calendar: str | TradingCalendar | None) -> tuple[int, int]:
    begin = int(np.datetime64(day, "ns").astype(np.int64))
    if calendar is None:
        return begin, begin + NS_PER_DAY
    market = calendar_for(calendar, begin - NS_PER_DAY, begin + 2 * NS_PER_DAY)
    dates = np.array([day], dtype="datetime64[D]")
    low, high = market.midnights(np.append(dates, dates + 1)).tolist()
    return low, high


def _rows(table: pa.Table) -> dict[tuple[str, int], dict[str, Any]]:
    """The newest version of each bar, by symbol and start."""
    names = [
        name for name in ("symbol", "start", "version", *_COMPARED) if name in table.schema.names
    ]
    columns = {}
    for name in names:
        column = table[name]
        if name in ("start", "end") and not pa.types.is_integer(column.type):
            zone = getattr(column.type, "tz", None)
            column = column.cast(pa.timestamp("ns", zone)).cast(pa.int64())
        columns[name] = column.to_pylist()
    newest: dict[tuple[str, int], dict[str, Any]] = {}
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(names, values, strict=True))
        key = (str(row["symbol"]), int(row["start"]))
        if key not in newest or row.get("version", 0) >= newest[key].get("version", 0):
            newest[key] = row
    return newest


def _compared(
    kept: dict[tuple[str, int], dict[str, Any]], built: dict[tuple[str, int], dict[str, Any]]
) -> Verification:
    differences = []
    compared = 0
    for key in sorted({*kept, *built}):
        ours, theirs = kept.get(key), built.get(key)
        ours = ours if ours is not None and ours["count"] else None
        theirs = theirs if theirs is not None and theirs["count"] else None
        if ours is None and theirs is None:
            continue
        compared += 1
        if ours is None or theirs is None:
            counts = [None if row is None else row["count"] for row in (ours, theirs)]
            differences.append(Difference(*key, "count", *counts))
            continue
        differences += [
            Difference(*key, name, ours[name], theirs[name])
            for name in _COMPARED
            if name in ours and name in theirs and ours[name] != theirs[name]
        ]
    return Verification(compared, differences)
