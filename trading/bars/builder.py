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
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trading.bars.amounts import AmountCutter
from trading.bars.calendar import TradingCalendar
from trading.bars.columns import (
    INT64_MAX,
    SIZE_DIGITS,
    Integers,
    Numbers,
    TickColumns,
    TickReader,
    instant_ns,
    refuse_future,
    tick_columns,
)
from trading.bars.fold import NOTIONAL_DIGITS, DecimalPlaces, Groups, fold, in_order
from trading.bars.grid import Grid, Slots
from trading.bars.interval import (
    Interval,
    parse_duration_ns,
    parse_interval,
)
from trading.bars.working import (
    BarRow,
    OpenBar,
    bar_table,
    empty_table,
    group_table,
)
from trading.errors import TickError

_LOG = logging.getLogger(__name__)
_NEVER = 2**63 - 1
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
        self.outside: dict[str, int] = {}
        self.too_late: dict[str, int] = {}
        self._grid = None if self.interval.is_by_amount else Grid(self.interval, calendar)
        self._cutter = AmountCutter(self.interval) if self.interval.is_by_amount else None
        self._since = None if since is None else instant_ns(since)
        self._revise_ns = parse_duration_ns(revise_every, name="revise_every")
        self._grace_ns = parse_duration_ns(close_grace, name="close_grace")
        self._keep_ns = None if keep is None else parse_duration_ns(keep, name="keep")
        self._ahead_ns = None if ahead is None else parse_duration_ns(ahead, name="ahead")
        self._only_symbols = only_symbols
        self._reader = TickReader(allow_negative=allow_negative)
        self._places = DecimalPlaces()
        # The bar of the latest ticks, and the clock before which no bar can become final.
        self._slot: Slots | None = None
        self._next_end = -(2**63)
        self._clock: int | None = None
        self._arrivals = 0
        self._open: dict[tuple[str, int], OpenBar] = {}
        self._closed: dict[tuple[str, int], OpenBar] = {}
        # Revisions that wait for the end of their stretch of receipt: bar to (due, bar).
        self._due: dict[tuple[str, int], int] = {}
        self._symbols: dict[str, int | None] = dict.fromkeys(symbols)
        self._closes: dict[str, Any] = {}
        self._gaps: list[tuple[str | None, int, int]] = []
        self._price: Numbers | None = None
        self._size: Numbers | None = None
        self._has_quotes = False
        # No bar has a larger volume, where sizes are integers.
        self._volume_bound = 0
        # Most pushes end no bar, and making a table takes as long as folding a few hundred ticks.
        self._empty_table: tuple[Any, pa.Table] | None = None

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
        known = columns.timestamp if columns.received is None else columns.received
        is_sorted = _is_sorted(known)
        if self._clock is not None and known[0] < self._clock:
            known = np.maximum(known, self._clock)
        if not is_sorted:
            known = np.maximum.accumulate(known)
        if self._since is None:
            self._since = int(known[0])
        arrival = self._arrivals
        self._arrivals += len(columns)
        if columns.bid is not None or columns.ask is not None:
            self._take_quotes(columns, known)
        if columns.is_trade is not None:
            trades = np.flatnonzero(columns.is_trade)
            columns, traded = columns.take(trades), known[trades]
        else:
            traded = known
        if self._cutter is not None:
            rows = self._push_amounts(columns, arrival) if len(columns) else []
            self._clock = int(known[-1])
            return self._table(rows)
        late = []
        if len(columns):
            if columns.received is not None:
                is_sorted = _is_sorted(columns.timestamp)
            late = self._push_times(columns, traded, arrival, is_sorted=is_sorted)
        self._clock = int(known[-1])
        finals = self._finals(self._clock)
        if not late and not self._due:
            return self._table([row for _due, row in finals])
        return self._table(self._with_revisions(finals, late))

    def advance(self, now: Any) -> pa.Table:
        """Let the clock be at `now`; returns the bars that became final, or were revised, by that.

        A time before the clock changes nothing.
        """
        moment = instant_ns(now)
        if self._clock is not None and moment < self._clock:
            moment = self._clock
        self._clock = moment
        if self._since is None:
            self._since = moment
        if self._cutter is not None:
            return self._table([])
        return self._table(self._with_revisions(self._finals(moment), []))

    def finish(self) -> pa.Table:
        """End: all open bars and revisions, without waiting. Bars by amount are `partial` then."""
        rows = [row for _due, row in self._finals(None)] if self._cutter is None else []
        rows += self._revisions_until(None)
        if self._cutter is not None:
            for bar in self._open.values():
                bar.version += 1
                rows.append(bar.row("partial"))
            self._open.clear()
        return self._table(rows)

    def working(self, symbols: Collection[str] | None = None) -> pa.Table:
        """The bars that are open now, by symbol and time; their state is `working`.

        symbols: of these alone; None: of all.
        """
        keys = [key for key in self._open if symbols is None or key[0] in symbols]
        return self._table([self._open[key].row("working") for key in sorted(keys)])

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
        self._gaps.append((symbol, low, high))

    def whole(self, columns: TickColumns) -> pa.Table | None:
        """All bars of a recording at once, or None where that takes the builder's own way."""
        if (
            self._grid is None
            or self._grid.calendar is not None
            or columns.received is not None
            or columns.is_trade is not None
            or columns.bid is not None
            or self._gaps
        ):
            return None
        slots = self._grid.slots(int(columns.timestamp[0]), int(columns.timestamp[-1]))
        place, inside = _places(columns.timestamp, slots, is_sorted=True)
        if inside is not None:
            return None
        groups = fold(columns, place, len(slots))
        return group_table(groups, columns, slots, self._since)

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
        now = self._clock if columns.received is None else columns.received
        if self._ahead_ns is not None and now is not None:
            refuse_future(columns, now, self._ahead_ns)
        self._take_types(columns)
        if columns.size.digits == 0:
            self._check_volume(columns.size)
        self._has_quotes |= columns.bid is not None or columns.ask is not None

    def _refuse_unknown(self, columns: TickColumns) -> None:
        unknown = [code for code, name in enumerate(columns.names) if name not in self._symbols]
        rows = np.flatnonzero(np.isin(columns.symbol, unknown))
        if not len(rows):
            return
        row = int(rows[0])
        known = ", ".join(repr(name) for name in sorted(self._symbols)[:5])
        more = f" and {len(self._symbols) - 5} more" if len(self._symbols) > 5 else ""
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
        bars = (*self._open.values(), *self._closed.values())
        largest = max((bar.volume for bar in bars), default=0) // 10**SIZE_DIGITS
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

    def _push_times(
        self, columns: TickColumns, known: Integers, arrival: int, *, is_sorted: bool
    ) -> list[tuple[int, tuple[str, int], OpenBar]]:
        """Put ticks that are in time into their bars; returns the late ones, as they came."""
        ts = columns.timestamp
        sequence = columns.sequence
        if sequence is None:
            sequence = np.arange(arrival, arrival + len(columns), dtype=np.int64)
        elif is_sorted:
            is_sorted = bool(((ts[1:] > ts[:-1]) | (sequence[1:] >= sequence[:-1])).all())
        low, high = (int(ts[0]), int(ts[-1])) if is_sorted else (int(ts.min()), int(ts.max()))
        slots = self._slots(low, high)
        if len(slots) == 1 and slots.starts[0] <= low and high < slots.ends[0]:
            if int(known[-1]) < int(slots.ends[0]) + self.lateness_ns:
                self._slot = slots
                self._merge(columns, None, sequence, slots, is_sorted=is_sorted)
                return []
            place = np.zeros(len(columns), dtype=np.intp)
        else:
            place, inside = _places(ts, slots, is_sorted=is_sorted, grace_ns=self._grace_ns)
            if inside is not None:
                self._count_outside(columns, ~inside)
                columns, known = columns.take(inside), known[inside]
                place, sequence = place[inside], sequence[inside]
                if not len(columns):
                    return []
            self._slot = _last_of(slots, int(place[-1]))
        limit = slots.ends + self.lateness_ns
        late: list[tuple[int, tuple[str, int], OpenBar]] = []
        if int(known[-1]) >= int(limit[int(place.min())]):
            is_late = known >= limit[place]
            if is_late.any():
                late = self._late_bars(
                    columns.take(is_late), known[is_late], place[is_late], sequence[is_late], slots
                )
                columns, place, sequence = (
                    columns.take(~is_late),
                    place[~is_late],
                    sequence[~is_late],
                )
        if len(columns):
            self._merge(columns, place, sequence, slots, is_sorted=is_sorted)
        return late

    def _slots(self, low: int, high: int) -> Slots:
        """The bars of [low, high]; mostly the one that the last ticks were in."""
        slot = self._slot
        if slot is not None and slot.starts[0] <= low and high < slot.ends[0]:
            return slot
        assert self._grid is not None
        return self._grid.slots(low - self._grace_ns, high)

    def _take_quotes(self, columns: TickColumns, known: Integers) -> None:
        """Keep the last quote of each open bar; after a bar is final none counts."""
        if self._grid is None:
            return
        ts = columns.timestamp
        sides = [side.values for side in (columns.bid, columns.ask) if side is not None]
        quoted = (
            ~np.isnan(sides[0]) if len(sides) == 1 else ~(np.isnan(sides[0]) & np.isnan(sides[1]))
        )
        slots = self._slots(int(ts.min()), int(ts.max()))
        place, inside = _places(ts, slots, is_sorted=False)
        if inside is not None:
            quoted &= inside
        quoted[quoted] &= known[quoted] < slots.ends[place[quoted]] + self.lateness_ns
        rows = np.flatnonzero(quoted)
        nothing = np.full(len(ts), np.nan)
        bids = nothing if columns.bid is None else columns.bid.values
        asks = nothing if columns.ask is None else columns.ask.values
        order = rows if columns.sequence is None else rows[np.argsort(columns.sequence[rows])]
        order = order[np.argsort(ts[order], kind="stable")]
        latest = {(int(columns.symbol[row]), int(place[row])): row for row in order.tolist()}
        for (code, slot), row in latest.items():
            symbol, start = columns.names[code], int(slots.starts[slot])
            bar = self._open_bar(symbol, start, int(slots.ends[slot]))
            bar.quote((int(ts[row]), row), float(bids[row]), float(asks[row]))

    def _open_bar(self, symbol: str, start: int, end: int) -> OpenBar:
        bar = self._open.get((symbol, start))
        if bar is None:
            bar = self._open[symbol, start] = OpenBar(symbol, start, end)
            self._next_end = min(self._next_end, end)
            if self._symbols.get(symbol) is None:
                self._symbols[symbol] = start
        return bar

    def _merge(
        self,
        columns: TickColumns,
        place: npt.NDArray[Any] | None,
        sequence: Integers,
        slots: Slots,
        *,
        is_sorted: bool,
    ) -> None:
        """Fold ticks into the open bars; `place` is None where all are in the first slot."""
        if not is_sorted:
            order = np.lexsort((sequence, columns.timestamp))
            columns, sequence = columns.take(order), sequence[order]
            place = None if place is None else place[order]
        # Only the bars that these ticks are in: a chunk after a quiet night must not pay for it.
        low, width = 0, 1
        if place is not None:
            low = int(place.min())
            width = int(place.max()) - low + 1
            place = place - low
        groups = fold(columns, place, width, self._places)
        starts, ends = slots.starts[low : low + width].tolist(), slots.ends[low:].tolist()
        for piece, code, number in _group_pieces(groups, columns, sequence):
            self._open_bar(columns.names[code], starts[number], ends[number]).add(*piece)

    def _late_bars(
        self,
        columns: TickColumns,
        known: Integers,
        place: npt.NDArray[Any],
        sequence: Integers,
        slots: Slots,
    ) -> list[tuple[int, tuple[str, int], OpenBar]]:
        """Each late tick as (clock, bar's key, a bar of this tick alone)."""
        late = []
        for row in range(len(columns)):
            one = slice(row, row + 1)
            tick, slot = columns.take(one), int(place[row])
            groups = fold(tick, None, 1, self._places)
            for piece, code, _number in _group_pieces(groups, tick, sequence[one]):
                symbol, start = columns.names[code], int(slots.starts[slot])
                bar = OpenBar(symbol, start, int(slots.ends[slot]))
                bar.add(*piece)
                late.append((int(known[row]), (symbol, start), bar))
        return late

    def _finals(self, clock: int | None) -> list[tuple[int, BarRow]]:
        """The bars that are final by the clock (None: all), and since when each is."""
        assert self._grid is not None
        if clock is not None and clock - self.lateness_ns < self._next_end:
            return []
        keys = [
            key
            for key, bar in self._open.items()
            if clock is None or bar.end + self.lateness_ns <= clock
        ]
        if self._grid.calendar is not None:
            keys += self._empty(clock, keys)
        rows = []
        for key in sorted(keys, key=lambda key: (self._bar_end(key), key)):
            bar = self._open.pop(key)
            due = bar.end + self.lateness_ns
            bar.version += 1
            rows.append((due, bar.row(self._state(bar), self._closes.get(bar.symbol))))
            if bar.count:
                self._closes[bar.symbol] = bar.close
            self._closed[key] = bar
        ends = [bar.end for bar in self._open.values()]
        if self._grid.calendar is not None and clock is not None:
            ends.append(self._next_empty(clock - self.lateness_ns))
        self._next_end = min(ends, default=_NEVER)
        if rows and self._keep_ns is not None and clock is not None:
            self._forget(clock - self._keep_ns)
        return rows

    def _next_empty(self, moment: int) -> int:
        """When the next bar without a trade can end; `moment` itself where the market is closed."""
        assert self._grid is not None
        slots = self._grid.slots(moment, moment)
        return int(slots.ends[-1]) if len(slots) else moment

    def _bar_end(self, key: tuple[str, int]) -> int:
        return self._open[key].end

    def _empty(self, clock: int | None, keys: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Open the bars without a trade that the clock has passed; returns their keys."""
        assert self._grid is not None
        # A symbol that was only named begins with the subscription, any other with its first tick.
        begins = {
            symbol: self._since if first is None else first
            for symbol, first in self._symbols.items()
        }
        begun = {symbol: begin for symbol, begin in begins.items() if begin is not None}
        if not begun:
            return []
        low = min(begun.values())
        ends = [self._bar_end(key) for key in keys]
        high = max(ends, default=low) if clock is None else clock - self.lateness_ns
        if high <= low:
            return []
        slots = self._grid.slots(low, high)
        passed = slots.ends <= high
        added = []
        for symbol, begin in begun.items():
            for start, end in zip(
                slots.starts[passed].tolist(), slots.ends[passed].tolist(), strict=True
            ):
                if end > begin and (symbol, start) not in self._open:
                    self._open[symbol, start] = OpenBar(symbol, start, end)
                    added.append((symbol, start))
            self._symbols[symbol] = max(begin, high)
        return added

    def _state(self, bar: OpenBar) -> str:
        is_cut = any(
            symbol in (None, bar.symbol) and low < bar.end and high > bar.start
            for symbol, low, high in self._gaps
        )
        if not bar.count:
            return "missing" if is_cut else "empty"
        began_inside = self._since is not None and bar.start < self._since < bar.end
        return "partial" if is_cut or began_inside else "final"

    def _with_revisions(
        self,
        finals: list[tuple[int, BarRow]],
        late: list[tuple[int, tuple[str, int], OpenBar]],
    ) -> list[BarRow]:
        """Finals and revisions in order of the time at which they became known."""
        rows: list[tuple[int, int, BarRow]] = [(due, 0, row) for due, row in finals]
        for moment, key, tick in late:
            rows += self._dues(moment)
            bar = self._closed.get(key)
            if bar is None:
                if self._keep_ns is not None and tick.end < moment - self._keep_ns:
                    self.too_late[key[0]] = self.too_late.get(key[0], 0) + 1
                    _LOG.error(
                        "a tick of %s came too late to revise the bar that ended at %s; "
                        "build the bars of that day anew from the tick store",
                        key[0],
                        np.datetime64(tick.end, "ns"),
                    )
                    continue
                bar = self._closed[key] = OpenBar(key[0], tick.start, tick.end)
            _joined(bar, tick)
            if self._revise_ns:
                due = (moment // self._revise_ns + 1) * self._revise_ns
                self._due.setdefault(key, due)
            else:
                bar.version += 1
                rows.append((moment, 1, bar.row("revised")))
        rows += self._dues(self._clock)
        rows.sort(key=lambda each: each[:2])
        return [row for _due, _kind, row in rows]

    def _dues(self, clock: int | None) -> list[tuple[int, int, BarRow]]:
        rows = []
        ready = [(due, key) for key, due in self._due.items() if clock is None or due <= clock]
        for due, key in sorted(ready):
            del self._due[key]
            bar = self._closed[key]
            bar.version += 1
            rows.append((due, 1, bar.row("revised")))
        return rows

    def _revisions_until(self, clock: int | None) -> list[BarRow]:
        return [row for _due, _kind, row in self._dues(clock)]

    def _forget(self, before: int) -> None:
        """Drop what can be revised no more; a bar whose revision is not out yet is kept."""
        for key in list(self._closed):
            if self._closed[key].end >= before:
                break
            if key not in self._due:
                del self._closed[key]
        self._gaps = [gap for gap in self._gaps if gap[2] >= before]

    def _push_amounts(self, columns: TickColumns, arrival: int) -> list[BarRow]:
        assert self._cutter is not None
        ordinal, complete = self._cutter.cut(columns)
        width = int(ordinal.max()) + 1
        groups = fold(columns, ordinal, width)
        # Opens and closes go by arrival here, and a bar covers all of its ticks' times.
        arrivals = np.arange(arrival, arrival + len(columns), dtype=np.int64)
        key = columns.symbol.astype(np.intp) * width + ordinal
        starts = np.full(len(columns.names) * width, 2**63 - 1, dtype=np.int64)
        ends = np.full(len(starts), -(2**63), dtype=np.int64)
        np.minimum.at(starts, key, columns.timestamp)
        np.maximum.at(ends, key, columns.timestamp)
        in_arrival = replace(columns, timestamp=arrivals)
        rows: list[tuple[int, BarRow]] = []
        for piece, code, number in _group_pieces(groups, in_arrival, arrivals):
            symbol, place = columns.names[code], code * width + number
            start, end = int(starts[place]), int(ends[place]) + 1
            bar = self._open.setdefault((symbol, 0), OpenBar(symbol, start, end))
            bar.add(*piece)
            bar.start, bar.end = min(bar.start, start), max(bar.end, end)
            if number < complete[code]:
                bar.version += 1
                rows.append((piece[1][0], bar.row(self._state(bar))))
                del self._open[symbol, 0]
        rows.sort(key=lambda each: each[0])
        return [row for _place, row in rows]

    def _count_outside(self, columns: TickColumns, rows: npt.NDArray[np.bool_]) -> None:
        codes, counts = np.unique(columns.symbol[rows], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            name = columns.names[code]
            if name not in self.outside:
                _LOG.warning(
                    "ticks of %s outside of its sessions make no bars; they are counted", name
                )
            self.outside[name] = self.outside.get(name, 0) + count

    def _table(self, rows: list[BarRow]) -> pa.Table:
        price, size = self._price or _NO_TICKS, self._size or _NO_TICKS
        if rows:
            return bar_table(rows, price, size, quotes=self._has_quotes)
        key = (price.arrow_type, size.arrow_type, self._has_quotes)
        if self._empty_table is None or self._empty_table[0] != key:
            self._empty_table = (key, empty_table(price, size, quotes=self._has_quotes))
        return self._empty_table[1]


def _is_sorted(times: Integers) -> bool:
    return bool(np.logical_and.reduce(times[1:] >= times[:-1]))


def _last_of(slots: Slots, number: int) -> Slots:
    return Slots(slots.starts[number : number + 1], slots.ends[number : number + 1])


# (first key, last key, (open, high, low, close), volume, notional, count): ticks that were folded.
_Piece = tuple[tuple[int, int], tuple[int, int], tuple[Any, Any, Any, Any], int, int, int]


def _places(
    ts: Integers, slots: Slots, *, is_sorted: bool, grace_ns: int = 0
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """The slot of each tick, and which ticks have one; None where all have."""
    if is_sorted and not grace_ns:
        begins = np.searchsorted(ts, slots.starts, side="left")
        counts = np.searchsorted(ts, slots.ends, side="left") - begins
        if int(counts.sum()) == len(ts):
            return np.repeat(np.arange(len(slots), dtype=np.int32), counts), None
    if not len(slots):
        return np.full(len(ts), -1, dtype=np.intp), np.zeros(len(ts), dtype=np.bool_)
    place = np.searchsorted(slots.starts, ts, side="right") - 1
    inside = (place >= 0) & (ts < slots.ends[np.maximum(place, 0)] + grace_ns)
    return place, None if inside.all() else inside


def _group_pieces(
    groups: Groups, columns: TickColumns, sequence: Integers
) -> Iterable[tuple[_Piece, int, int]]:
    ts, price = columns.timestamp, columns.price.values
    firsts, lasts = groups.first, groups.last
    prices = (price[firsts], groups.high, groups.low, price[lasts])
    pieces = zip(
        groups.symbol.tolist(),
        groups.slot.tolist(),
        zip(ts[firsts].tolist(), sequence[firsts].tolist(), strict=True),
        zip(ts[lasts].tolist(), sequence[lasts].tolist(), strict=True),
        zip(*(column.tolist() for column in prices), strict=True),
        groups.volume.scaled(SIZE_DIGITS),
        groups.notional.scaled(NOTIONAL_DIGITS),
        groups.count.tolist(),
        strict=True,
    )
    for code, slot, *piece in pieces:
        yield tuple(piece), code, slot


def _joined(bar: OpenBar, tick: OpenBar) -> None:
    """Join a bar of late ticks to the bar that it revises."""
    assert tick.first is not None
    assert tick.last is not None
    prices = (tick.open, tick.high, tick.low, tick.close)
    bar.add(tick.first, tick.last, prices, tick.volume, tick.notional, tick.count)
