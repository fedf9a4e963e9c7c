"""Bars of one interval as they are built: what is open, final, revised, empty or missing.

The engine knows nothing of tables: `BarBuilder` feeds it from Arrow, the kernel from its own
columns of whole numbers, and both get rows.

    engine = BarEngine(parse_interval("1m"), lateness_ns=2_000_000_000)
    rows = engine.push(columns, known)
    rows = engine.advance(now)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from trading.bars.amounts import AmountCutter
from trading.bars.calendar import TradingCalendar
from trading.bars.fold import DecimalPlaces, fold, pieces
from trading.bars.grid import Grid, Slots, in_places
from trading.bars.interval import Interval
from trading.bars.revisions import Revisions
from trading.bars.ticks import Integers, TickColumns, is_in_order
from trading.bars.working import BarRow, OpenBar

__all__ = ["NEVER", "BarEngine", "EngineState"]

NEVER = 2**63 - 1
"""A time that no bar ends at."""
_BEGIN = -(2**63)


class EngineState(msgspec.Struct, array_like=True, gc=False):
    """All that an engine remembers of bars by time, and how far bars by amount have come."""

    clock: int | None
    since: int | None
    next_end: int
    arrivals: int
    open: list[OpenBar]
    closed: list[OpenBar]
    revisions_due: list[tuple[str, int, int]]
    symbols: dict[str, int | None]
    closes: dict[str, Any]
    gaps: list[tuple[str | None, int, int]]
    outside: dict[str, int]
    too_late: dict[str, int]
    amounts: dict[str, int]


class BarEngine:
    """Builds the bars of many symbols for one interval; times are nanoseconds.

    `known` is when a tick came, never going back; a tick whose `known` is at its bar's end plus
    `lateness_ns` or after is late and revises the bar. `revise_ns` gathers late ticks of so much
    time into one revision, `grace_ns` is how long after a session a trade belongs to its last bar,
    `keep_ns` for how long a bar can be revised (None: for ever). `units` gives the decimal places
    of a symbol's prices and sizes where their columns hold whole numbers of them.
    """

    def __init__(
        self,
        interval: Interval,
        *,
        calendar: str | TradingCalendar | None = None,
        lateness_ns: int = 0,
        since: int | None = None,
        symbols: Iterable[str] = (),
        revise_ns: int = 0,
        grace_ns: int = 0,
        keep_ns: int | None = None,
        units: Callable[[str], tuple[int, int]] | None = None,
        on_outside: Callable[[str], None] | None = None,
        on_too_late: Callable[[str, int], None] | None = None,
    ) -> None:
        self.interval = interval
        self.lateness_ns = lateness_ns
        self.outside: dict[str, int] = {}
        self.revisions = Revisions(revise_ns, keep_ns, on_too_late)
        self.grid = None if interval.is_by_amount else Grid(interval, calendar)
        self._cutter = AmountCutter(interval, units) if interval.is_by_amount else None
        self.since = since
        self.clock: int | None = None
        self._grace_ns = grace_ns
        self._on_outside = on_outside
        self._places = DecimalPlaces()
        # The bar of the latest ticks, and the clock before which no bar can become final.
        self._slot: Slots | None = None
        self._slot_bounds = (0, 0)
        self._next_end = NEVER if calendar is None else _BEGIN
        self._arrivals = 0
        self._open: dict[tuple[str, int], OpenBar] = {}
        self.symbols: dict[str, int | None] = dict.fromkeys(symbols)
        self._closes: dict[str, Any] = {}
        self._gaps: list[tuple[str | None, int, int]] = []

    # --- what comes in ----------------------------------------------------------------------------

    def begin(self, moment: int) -> None:
        """Note when the subscription began, unless that is known."""
        if self.since is None:
            self.since = moment

    def gap(self, start: int, end: int, symbol: str | None) -> None:
        """Note that no data came in [start, end), for one symbol or for all."""
        self._gaps.append((symbol, start, end))

    def push(self, columns: TickColumns, received: Integers | None = None) -> list[BarRow]:
        """Take ticks as they came; returns what became final or was revised, in that order."""
        known = columns.timestamp if received is None else received
        is_sorted = is_in_order(known)
        if self.clock is not None and known[0] < self.clock:
            known = np.maximum(known, self.clock)
        if not is_sorted:
            known = np.maximum.accumulate(known)
        self.begin(int(known[0]))
        arrival = self._arrivals
        self._arrivals += len(columns)
        if columns.bid is not None or columns.ask is not None:
            self._take_quotes(columns, known)
        traded = known
        if columns.is_trade is not None:
            trades = np.flatnonzero(columns.is_trade)
            columns, traded = columns.take(trades), known[trades]
        if self._cutter is not None:
            rows = self.push_amounts(columns, arrival) if len(columns) else []
            self.clock = int(known[-1])
            return [row for _place, row in rows]
        late: list[tuple[int, tuple[str, int], OpenBar]] = []
        if len(columns):
            if received is not None:
                is_sorted = is_in_order(columns.timestamp)
            found = self.push_in_time(columns, traded, arrival, is_sorted=is_sorted)
            if found is not None:
                late = self._late_bars(*found)
        self.clock = int(known[-1])
        finals = self._finals(self.clock)
        if not late and not self.revisions.due:
            return [row for _due, row in finals]
        return self._with_revisions(finals, late)

    def push_in_time(
        self, columns: TickColumns, known: Integers, arrival: int = 0, *, is_sorted: bool
    ) -> tuple[TickColumns, Integers, npt.NDArray[Any], Integers, Slots] | None:
        """Put ticks that are in time into their bars; returns the late ones with their places."""
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
                return None
            place: npt.NDArray[Any] = np.zeros(len(columns), dtype=np.intp)
        else:
            place, inside = in_places(ts, slots, is_sorted=is_sorted, grace_ns=self._grace_ns)
            if inside is not None:
                self._count_outside(columns, ~inside)
                columns, known = columns.take(inside), known[inside]
                place, sequence = place[inside], sequence[inside]
                if not len(columns):
                    return None
            self._slot = slots.only(int(place[-1]))
        limit = slots.ends + self.lateness_ns
        late = None
        if int(known[-1]) >= int(limit[int(place.min())]):
            is_late = known >= limit[place]
            if is_late.any():
                late = columns.take(is_late), known[is_late], place[is_late], sequence[is_late]
                columns, place, sequence = (
                    columns.take(~is_late),
                    place[~is_late],
                    sequence[~is_late],
                )
        if len(columns):
            self._merge(columns, place, sequence, slots, is_sorted=is_sorted)
        return None if late is None else (*late, slots)

    def _slots(self, low: int, high: int) -> Slots:
        """The bars of [low, high]; mostly the one that the last ticks were in."""
        slot = self._slot
        if slot is not None and slot.starts[0] <= low and high < slot.ends[0]:
            return slot
        assert self.grid is not None
        return self.grid.slots(low - self._grace_ns, high)

    def slot_of(self, moment: int) -> tuple[int, int] | None:
        """The bar that a moment belongs to, as start and end; None outside of the sessions."""
        start, end = bounds = self._slot_bounds
        if start <= moment < end:
            return bounds
        assert self.grid is not None
        found = self.grid.slot(moment, self._grace_ns)
        if found is not None and found[0] <= moment < found[1]:
            self._slot_bounds = found
        return found

    def add(
        self,
        symbol: str,
        at: tuple[int, int],
        slot: tuple[int, int],
        price: Any,
        size: int,
        amount: int,
    ) -> bool:
        """Put one tick that is in time into its bar; size and notional amount as in `OpenBar`.

        `at` is its time and arrival. True where the bar is a new one.
        """
        bar = self._open.get((symbol, slot[0]))
        if bar is not None:
            bar.add_one(at, price, size, amount)
            return False
        self._open_bar(symbol, slot[0], slot[1]).add_one(at, price, size, amount)
        return True

    def revise(
        self,
        symbol: str,
        at: tuple[int, int],
        known: int,
        slot: tuple[int, int],
        price: Any,
        size: int,
        amount: int,
    ) -> list[BarRow]:
        """Put one late tick into its bar; returns the revision where it is not to be gathered."""
        tick = OpenBar(symbol, *slot)
        tick.add_one(at, price, size, amount)
        return [row for _, _, row in self.revisions.revise(known, (symbol, slot[0]), tick)]

    def add_amount(
        self,
        symbol: str,
        moment: int,
        arrival: int,
        price: int,
        units: int,
        size: int,
        amount: int,
    ) -> BarRow | None:
        """Put one tick into a bar by amount; returns the bar where it reached its amount.

        `units` is the size in the symbol's own units, size and amount as in `OpenBar`.
        """
        assert self._cutter is not None
        bar = self._open.get((symbol, 0))
        if bar is None:
            bar = self._open[symbol, 0] = OpenBar(symbol, moment, moment + 1)
        bar.add_one((arrival, arrival), price, size, amount)
        bar.start, bar.end = min(bar.start, moment), max(bar.end, moment + 1)
        if not self._cutter.count(symbol, price, units):
            return None
        bar.version += 1
        del self._open[symbol, 0]
        return bar.row(self._state(bar))

    def _take_quotes(self, columns: TickColumns, known: Integers) -> None:
        """Keep the last quote of each open bar; after a bar is final none counts."""
        if self.grid is None:
            return
        ts = columns.timestamp
        sides = [side.values for side in (columns.bid, columns.ask) if side is not None]
        quoted = (
            ~np.isnan(sides[0]) if len(sides) == 1 else ~(np.isnan(sides[0]) & np.isnan(sides[1]))
        )
        slots = self._slots(int(ts.min()), int(ts.max()))
        place, inside = in_places(ts, slots, is_sorted=False)
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
            if self.symbols.get(symbol) is None:
                self.symbols[symbol] = start
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
        for piece, code, number in pieces(groups, columns, sequence):
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
            for piece, code, _number in pieces(groups, tick, sequence[one]):
                symbol, start = columns.names[code], int(slots.starts[slot])
                bar = OpenBar(symbol, start, int(slots.ends[slot]))
                bar.add(*piece)
                late.append((int(known[row]), (symbol, start), bar))
        return late

    def push_amounts(self, columns: TickColumns, arrival: int) -> list[tuple[int, BarRow]]:
        """Take ticks of bars by amount; returns those that were reached, with the arrival of each.

        An arrival is that of the tick which reached the bar's amount.
        """
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
        for piece, code, number in pieces(groups, in_arrival, arrivals):
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
        return rows

    def _count_outside(self, columns: TickColumns, rows: npt.NDArray[np.bool_]) -> None:
        codes, counts = np.unique(columns.symbol[rows], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self.count_outside(columns.names[code], count)

    def count_outside(self, symbol: str, count: int = 1) -> None:
        """Count ticks that came outside of the sessions; they make no bars."""
        if symbol not in self.outside and self._on_outside is not None:
            self._on_outside(symbol)
        self.outside[symbol] = self.outside.get(symbol, 0) + count

    # --- what comes out ---------------------------------------------------------------------------

    def advance(self, now: int) -> list[BarRow]:
        """Let the clock be at `now`; returns what became final, or was revised, by that.

        A time before the clock changes nothing.
        """
        moment = now if self.clock is None else max(now, self.clock)
        self.clock = moment
        self.begin(moment)
        if self._cutter is not None:
            return []
        finals = self._finals(moment)
        if not self.revisions.due:
            return [row for _due, row in finals]
        return self._with_revisions(finals, [])

    @property
    def due(self) -> int:
        """When a bar becomes final, or a gathered revision is due, at the earliest; or NEVER."""
        if self._cutter is not None:
            return NEVER
        due = self._next_end
        if due == _BEGIN:
            # Nothing was asked yet: at once, where there is anything to ask for.
            due = due if self._open or self.symbols else NEVER
        elif due != NEVER:
            due += self.lateness_ns
        return min([due, *self.revisions.due.values()])

    def finish(self) -> list[BarRow]:
        """End: all open bars and revisions, without waiting. Bars by amount are `partial` then."""
        if self._cutter is None:
            return [row for _due, row in self._finals(None)] + [
                r for _, _, r in self.revisions.dues(None)
            ]
        rows = []
        for bar in self._open.values():
            bar.version += 1
            rows.append(bar.row("partial"))
        self._open.clear()
        return rows

    def working(self, symbols: Collection[str] | None = None) -> list[BarRow]:
        """The bars that are open now, by symbol and time, of some symbols or all (None)."""
        keys = [key for key in self._open if symbols is None or key[0] in symbols]
        return [self._open[key].row("working") for key in sorted(keys)]

    @property
    def has_gaps(self) -> bool:
        """Whether some time without data is known."""
        return bool(self._gaps)

    def largest_volume(self) -> int:
        """The largest volume of a bar that can still grow, as in `OpenBar`."""
        return max(
            (b.volume for b in (*self._open.values(), *self.revisions.bars.values())), default=0
        )

    def set_calendar(self, calendar: TradingCalendar) -> None:
        """Take other sessions from now on: those known before, and more."""
        self.grid = Grid(self.interval, calendar)
        self._slot, self._slot_bounds, self._next_end = None, (0, 0), _BEGIN

    def _finals(self, clock: int | None) -> list[tuple[int, BarRow]]:
        """The bars that are final by the clock (None: all), and since when each is."""
        assert self.grid is not None
        if clock is not None and clock - self.lateness_ns < self._next_end:
            return []
        keys = [
            key
            for key, bar in self._open.items()
            if clock is None or bar.end + self.lateness_ns <= clock
        ]
        if self.grid.calendar is not None:
            keys += self._empty(clock, keys)
        rows = []
        for key in sorted(keys, key=lambda key: (self._bar_end(key), key)):
            bar = self._open.pop(key)
            due = bar.end + self.lateness_ns
            bar.version += 1
            rows.append((due, bar.row(self._state(bar), self._closes.get(bar.symbol))))
            if bar.count:
                self._closes[bar.symbol] = bar.close
            self.revisions.bars[key] = bar
        ends = [bar.end for bar in self._open.values()]
        if self.grid.calendar is not None and clock is not None:
            ends.append(self._next_empty(clock - self.lateness_ns))
        self._next_end = min(ends, default=NEVER)
        if rows and clock is not None:
            before = self.revisions.forget(clock)
            self._gaps = [gap for gap in self._gaps if gap[2] >= before]
        return rows

    def _next_empty(self, moment: int) -> int:
        """When the next bar without a trade can end.

        `moment` itself where the market is closed and its sessions are known by a name alone.
        """
        assert self.grid is not None
        slots = self.grid.slots(moment, moment)
        if len(slots):
            return int(slots.ends[-1])
        calendar = self.grid.calendar
        if not isinstance(calendar, TradingCalendar):
            return moment
        after = int(np.searchsorted(calendar.opens, moment, side="right"))
        if after == len(calendar.opens):
            return NEVER
        opens = int(calendar.opens[after])
        return int(self.grid.slots(opens, opens).ends[0])

    def _bar_end(self, key: tuple[str, int]) -> int:
        return self._open[key].end

    def _empty(self, clock: int | None, keys: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Open the bars without a trade that the clock has passed; returns their keys."""
        assert self.grid is not None
        # A symbol that was only named begins with the subscription, any other with its first tick.
        begins = {
            symbol: self.since if first is None else first for symbol, first in self.symbols.items()
        }
        begun = {symbol: begin for symbol, begin in begins.items() if begin is not None}
        if not begun:
            return []
        low = min(begun.values())
        ends = [self._bar_end(key) for key in keys]
        high = max(ends, default=low) if clock is None else clock - self.lateness_ns
        if high <= low:
            return []
        slots = self.grid.slots(low, high)
        passed = slots.ends <= high
        added = []
        for symbol, begin in begun.items():
            for start, end in zip(
                slots.starts[passed].tolist(), slots.ends[passed].tolist(), strict=True
            ):
                if end > begin and (symbol, start) not in self._open:
                    self._open[symbol, start] = OpenBar(symbol, start, end)
                    added.append((symbol, start))
            self.symbols[symbol] = max(begin, high)
        return added

    def _state(self, bar: OpenBar) -> str:
        is_cut = any(
            symbol in (None, bar.symbol) and low < bar.end and high > bar.start
            for symbol, low, high in self._gaps
        )
        if not bar.count:
            return "missing" if is_cut else "empty"
        began_inside = self.since is not None and bar.start < self.since < bar.end
        return "partial" if is_cut or began_inside else "final"

    def _with_revisions(
        self,
        finals: list[tuple[int, BarRow]],
        late: list[tuple[int, tuple[str, int], OpenBar]],
    ) -> list[BarRow]:
        """Finals and revisions in order of the time at which they became known."""
        rows: list[tuple[int, int, BarRow]] = [(due, 0, row) for due, row in finals]
        for moment, key, tick in late:
            rows += self.revisions.dues(moment)
            rows += self.revisions.revise(moment, key, tick)
        rows += self.revisions.dues(self.clock)
        rows.sort(key=lambda each: each[:2])
        return [row for _due, _kind, row in rows]

    # --- state ------------------------------------------------------------------------------------

    def state(self) -> EngineState:
        """What the engine remembers; to be used or packed before it goes on."""
        return EngineState(
            self.clock,
            self.since,
            self._next_end,
            self._arrivals,
            list(self._open.values()),
            list(self.revisions.bars.values()),
            [(symbol, start, due) for (symbol, start), due in self.revisions.due.items()],
            self.symbols,
            self._closes,
            self._gaps,
            self.outside,
            self.revisions.too_late,
            {} if self._cutter is None else self._cutter.state(),
        )

    def restore(self, state: EngineState) -> None:
        """Go on from a state."""
        self.clock, self.since, self._arrivals = state.clock, state.since, state.arrivals
        self._next_end, self._slot, self._slot_bounds = state.next_end, None, (0, 0)
        by_amount = self._cutter is not None
        self._open = {(b.symbol, 0 if by_amount else b.start): b for b in state.open}
        self.revisions.bars = {(b.symbol, b.start): b for b in state.closed}
        self.revisions.due = {(symbol, start): due for symbol, start, due in state.revisions_due}
        self.symbols, self._closes, self._gaps = state.symbols, state.closes, state.gaps
        self.outside, self.revisions.too_late = state.outside, state.too_late
        if self._cutter is not None:
            self._cutter.restore(state.amounts)
