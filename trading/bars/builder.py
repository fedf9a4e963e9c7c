"""Bars from ticks: all at once, or as the ticks come.

bars(ticks, "1m", calendar="XNYS")                 # a recording, as a table

builder = BarBuilder("1m", lateness="2s")
finished = builder.push(ticks)                     # bars that became final, or were revised
finished = builder.advance(now)                    # by the clock, where no tick comes
open_bars = builder.working()
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from trading.bars.calendar import TradingCalendar
from trading.bars.columns import TickReader, refuse_future, tick_columns
from trading.bars.engine import BarEngine
from trading.bars.fold import fold, in_order
from trading.bars.grid import in_places
from trading.bars.interval import Interval, parse_duration_ns, parse_interval
from trading.bars.tables import bar_table, empty_table, group_table
from trading.bars.ticks import INT64_MAX, SIZE_DIGITS, Numbers, TickColumns, instant_ns
from trading.bars.working import BarRow
from trading.errors import TickError

_LOG = logging.getLogger(__name__)
_NO_TICKS = Numbers(np.zeros(0), None, pa.float64())


def bars(
    ticks: Any,
    interval: str | Interval,
    *,
    calendar: str | TradingCalendar | None = None,
    lateness: str | int = "0s",
    close_grace: str | int = "0s",
    since: Any = None,
    allow_negative: bool = False,
) -> pa.Table:
    """The bars of a table of ticks, each in its newest version, by symbol and time.

    Without a column `received` the table is a recording: ticks count by their time, and none is
    late. With it, a tick that came at `end + lateness` or after makes its bar `revised`. With a
    `calendar` bars without a trade are there too, as `empty`, from each symbol's first tick to its
    last; without one nobody can say whether the market was open. Trades up to `close_grace` after a
    session belong to its last bar. Bars that began before `since` are `partial`, and so is the last
    bar of an interval by amount that was not reached.
    """
    columns = tick_columns(ticks, allow_negative=allow_negative)
    parsed = parse_interval(interval)
    if columns.received is None:
        columns = in_order(columns)
    builder = BarBuilder(
        parsed,
        calendar=calendar,
        lateness=lateness,
        close_grace=close_grace,
        since=since if since is not None else -(2**63),
        allow_negative=allow_negative,
        keep=None,
    )
    if not len(columns):
        return empty_table(columns.price, columns.size, quotes=columns.bid is not None)
    whole = builder.whole(columns)
    if whole is None:
        versions = [builder.push_columns(columns), builder.finish()]
        whole = _newest(pa.concat_tables(versions))
    return whole


def _newest(versions: pa.Table) -> pa.Table:
    """The last version of each bar, by symbol and time."""
    symbols = versions["symbol"].to_pylist()
    starts = versions["start"].cast(pa.int64()).to_pylist()
    last = {key: row for row, key in enumerate(zip(symbols, starts, strict=True))}
    return versions.take(pa.array([last[key] for key in sorted(last)], pa.int64()))


class BarBuilder:
    """Builds the bars of many symbols from ticks as they come, in chunks of any size.

    interval: "1m", "session", "1000 ticks", …; lateness: how long after its end a bar waits
    for ticks. The clock is the latest `received` of a tick (its time, where the ticks have none) or
    `advance(now)`, whichever is later. A tick whose clock is at its bar's `end + lateness` or after
    is late: it revises the bar. `revise_every` gathers the late ticks of so much time into one
    revision ("0s": one for each late tick).

    since: when the subscription began; the bar within which that was is `partial`. None takes the
    first tick's time. With a `calendar`, symbols that were seen or are named in `symbols` get
    `empty` bars too, or `missing` ones where `gap` said that no data came.

    Bars can be revised for the time `keep` (default a day; None: for ever); a tick that comes later
    than that is counted in `too_late`. Ticks outside of the calendar's sessions make no bars; they
    are counted in `outside`, by symbol, except in the time `close_grace` after a session's end:
    these belong to its last bar.

    ahead: refuse ticks whose time is so much after their `received` (after the clock, where they
    have none: call `advance` then, so that the clock goes on in a quiet time). None: take them.
    only_symbols: refuse ticks of symbols that are not named in `symbols`.
    """

    def __init__(
        self,
        interval: str | Interval,
        *,
        calendar: str | TradingCalendar | None = None,
        lateness: str | int = "0s",
        since: Any = None,
        symbols: Iterable[str] = (),
        revise_every: str | int = "0s",
        close_grace: str | int = "0s",
        keep: str | int | None = "1D",
        ahead: str | int | None = None,
        only_symbols: bool = False,
        allow_negative: bool = False,
    ) -> None:
        self.interval = parse_interval(interval)
        self.lateness_ns = parse_duration_ns(lateness, name="lateness")
        self._engine = BarEngine(
            self.interval,
            calendar=calendar,
            lateness_ns=self.lateness_ns,
            since=None if since is None else instant_ns(since),
            symbols=symbols,
            revise_ns=parse_duration_ns(revise_every, name="revise_every"),
            grace_ns=parse_duration_ns(close_grace, name="close_grace"),
            keep_ns=None if keep is None else parse_duration_ns(keep, name="keep"),
            on_outside=_log_outside,
            on_too_late=_log_too_late,
        )
        self._ahead_ns = None if ahead is None else parse_duration_ns(ahead, name="ahead")
        self._only_symbols = only_symbols
        self._reader = TickReader(allow_negative=allow_negative)
        self._price: Numbers | None = None
        self._size: Numbers | None = None
        self._has_quotes = False
        # No bar has a larger volume, where sizes are integers.
        self._volume_bound = 0
        # Most pushes end no bar, and making a table takes as long as folding a few hundred ticks.
        self._empty_table: tuple[Any, pa.Table] | None = None

    @property
    def outside(self) -> dict[str, int]:
        """How many ticks of each symbol came outside of the sessions."""
        return self._engine.outside

    @property
    def too_late(self) -> dict[str, int]:
        """How many ticks of each symbol came too late to revise their bar."""
        return self._engine.revisions.too_late

    def push(self, ticks: Any) -> pa.Table:
        """Take ticks; returns the bars that became final or were revised, in the order of that.

        TickError, and nothing is taken, where a tick is bad.
        """
        return self.push_columns(self._reader.read(ticks))

    def push_columns(self, columns: TickColumns) -> pa.Table:
        """`push` for ticks that were read by `tick_columns` before."""
        if not len(columns):
            return self._table([])
        self._check(columns)
        return self._table(self._engine.push(columns, columns.received))

    def advance(self, now: Any) -> pa.Table:
        """Let the clock be at `now`; returns the bars that became final, or were revised, by that.

        A time before the clock changes nothing.
        """
        return self._table(self._engine.advance(instant_ns(now)))

    def finish(self) -> pa.Table:
        """End: all open bars and revisions, without waiting. Bars by amount are `partial` then."""
        return self._table(self._engine.finish())

    def working(self, symbols: Collection[str] | None = None) -> pa.Table:
        """The bars that are open now, by symbol and time; their state is `working`.

        symbols: of these alone; None: of all.
        """
        return self._table(self._engine.working(symbols))

    def gap(self, start: Any, end: Any, symbol: str | None = None) -> None:
        """Say that no data came in [start, end), for one symbol or for all.

        Bars without a trade there are `missing`, bars with some are `partial`. A gap concerns the
        bars that are not final yet.
        """
        low, high = instant_ns(start), instant_ns(end)
        if low >= high:
            raise TickError(
                f"a gap from {start} to {end} is empty; its end must come after its start"
            )
        self._engine.gap(low, high, symbol)

    def whole(self, columns: TickColumns) -> pa.Table | None:
        """All bars of a recording at once, or None where that takes the builder's own way."""
        grid = self._engine.grid
        if (
            grid is None
            or grid.calendar is not None
            or columns.received is not None
            or columns.is_trade is not None
            or columns.bid is not None
            or self._engine.has_gaps
        ):
            return None
        slots = grid.slots(int(columns.timestamp[0]), int(columns.timestamp[-1]))
        place, inside = in_places(columns.timestamp, slots, is_sorted=True)
        if inside is not None:
            return None
        groups = fold(columns, place, len(slots))
        return group_table(groups, columns, slots, self._engine.since)

    def _take_types(self, columns: TickColumns) -> None:
        if self._price is None or self._size is None:
            self._price, self._size = columns.price, columns.size
        elif (
            columns.price.arrow_type != self._price.arrow_type
            or columns.size.arrow_type != self._size.arrow_type
        ):
            raise TickError(
                f"prices and sizes came as {self._price.arrow_type} and {self._size.arrow_type} "
                f"before, now as {columns.price.arrow_type} and {columns.size.arrow_type}; one "
                "builder takes one type of numbers"
            )

    def _check(self, columns: TickColumns) -> None:
        """Refuse ticks that do not fit this builder, before anything of them is taken."""
        if self._only_symbols:
            self._refuse_unknown(columns)
        now = self._engine.clock if columns.received is None else columns.received
        if self._ahead_ns is not None and now is not None:
            refuse_future(columns, now, self._ahead_ns)
        self._take_types(columns)
        if columns.size.digits == 0:
            self._check_volume(columns.size)
        self._has_quotes |= columns.bid is not None or columns.ask is not None

    def _refuse_unknown(self, columns: TickColumns) -> None:
        unknown = [
            code for code, name in enumerate(columns.names) if name not in self._engine.symbols
        ]
        rows = np.flatnonzero(np.isin(columns.symbol, unknown))
        if not len(rows):
            return
        row = int(rows[0])
        known = ", ".join(repr(name) for name in sorted(self._engine.symbols)[:5])
        more = f" and {len(self._engine.symbols) - 5} more" if len(self._engine.symbols) > 5 else ""
        raise TickError(
            f"{columns.names[columns.symbol[row]]!r} of row {row} is no symbol of this builder, "
            f"which knows {known or 'none'}{more}; name it in symbols=, or leave out "
            "only_symbols=True. The table was not taken",
            row,
            len(rows),
        )

    def _check_volume(self, size: Numbers) -> None:
        """Refuse ticks before they are taken, where a bar's whole volume could pass 64 bits."""
        self._volume_bound += int(size.high) * len(size.values)
        if self._volume_bound <= INT64_MAX:
            return
        largest = self._engine.largest_volume() // 10**SIZE_DIGITS
        self._volume_bound = largest + sum(size.values.tolist())
        if self._volume_bound > INT64_MAX:
            reached, self._volume_bound = self._volume_bound, largest
            row = int(np.argmax(size.values))
            raise TickError(
                f"with these ticks a bar's volume could reach {reached:,}, beyond 64 bits; the "
                f"largest size is {size.values[row]} in row {row}. Give the sizes as decimals "
                "(decimal128), or in a larger unit. The table was not taken",
                row,
            )

    def _table(self, rows: list[BarRow]) -> pa.Table:
        price, size = self._price or _NO_TICKS, self._size or _NO_TICKS
        if rows:
            return bar_table(rows, price, size, quotes=self._has_quotes)
        key = (price.arrow_type, size.arrow_type, self._has_quotes)
        if self._empty_table is None or self._empty_table[0] != key:
            self._empty_table = (key, empty_table(price, size, quotes=self._has_quotes))
        return self._empty_table[1]


def _log_outside(symbol: str) -> None:
    _LOG.warning("ticks of %s outside of its sessions make no bars; they are counted", symbol)


def _log_too_late(symbol: str, end: int) -> None:
    _LOG.error(
        "a tick of %s came too late to revise the bar that ended at %s; "
        "build the bars of that day anew from the tick store",
        symbol,
        np.datetime64(end, "ns"),
    )
