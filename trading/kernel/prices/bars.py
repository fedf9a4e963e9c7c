"""Bars of ticks inside the kernel: what a fold must offer, and the one that the platform builds.

`TickBars` hands the kernel's ticks to the engines of `trading.bars`, so that backtest, live and a
table of a recording have the same bars.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np

from trading.bars.calendar import TradingCalendar
from trading.bars.engine import NEVER as NO_BAR
from trading.bars.engine import BarEngine, EngineState
from trading.bars.interval import Interval, IntervalKind
from trading.bars.ticks import SIZE_DIGITS, Integers, Numbers, is_in_order
from trading.bars.ticks import TickColumns as EngineColumns
from trading.bars.working import BarRow, OpenBar
from trading.errors import JournalError, SettingsError
from trading.journal.codec import pack, unpack
from trading.journal.inputs import Bar, Timeframe
from trading.kernel.prices.columns import MISSING, TickColumns
from trading.kernel.settings import interval_of, timeframe_of
from trading.kernel.timers import NEVER
from trading.risk.account import Market
from trading.times import HOUR, MINUTE

__all__ = ["BarFold", "TickBars", "Told"]

Told = tuple[int | None, list[Bar]]
"""What one tick caused: the end of the final bar that it came too late for, and bars."""

_ON_TIME: Told = (None, [])
_VOLUME = 10**SIZE_DIGITS
_AMOUNT = 10 ** (2 * SIZE_DIGITS)


class BarFold(Protocol):
    """Makes bars of ticks. The kernel hands over ticks and asks for what is final by the clock.

    Ticks of a batch are pushed before the kernel walks through its times: a fold puts each into the
    bar that it belongs to, names the rows at which it has something to say at once (late ticks,
    bars by amount), and gives out other bars only when `close` says that it is time.
    """

    due: int
    """When the next bar becomes final, or NEVER."""

    def connect(self, market: Market) -> None:
        """Look up instruments and sessions here."""
        ...

    def refresh(self) -> None:
        """Hear that instruments or sessions have changed."""
        ...

    def begin(self, now: int) -> None:
        """Hear when prices or the time begin: a bar that began before is partial."""
        ...

    def gap(self, start: int, end: int, symbol: str) -> None:
        """Hear that no data came in [start, end), for one symbol or (empty) for all."""
        ...

    def push(self, symbol: str, time: int, price: int, size: int, known: int) -> Told:
        """Take in one trade with the market's time, known at another."""
        ...

    def push_columns(self, ticks: TickColumns, known: Integers) -> list[int]:
        """Take in many ticks; returns the rows, in order, for which `told` is to be asked."""
        ...

    def told(self, row: int) -> Told:
        """Return what one of these rows causes, when the kernel has come to it."""
        ...

    def close(self, now: int) -> list[Bar]:
        """Return the bars that are final by now: by end, longer ones first, then by symbol."""
        ...

    def dump(self) -> bytes:
        """Return what a snapshot keeps."""
        ...

    def load(self, data: bytes) -> None:
        """Go on from a snapshot."""
        ...


class _Series(msgspec.Struct, gc=False):
    """One interval of one calendar: its engine, and the timeframe that its bars carry."""

    timeframe: Timeframe
    rank: int
    engine: BarEngine


class TickBars:
    """Bars of several timeframes from ticks, by the sessions that the journal has defined.

    The first timeframe says which ticks are late. `lateness` is how long after its end a bar waits
    for ticks, `memory` for how long after that a late tick revises it; both in nanoseconds. Symbols
    whose calendar has sessions get bars only within them, empty ones included; others have no bar
    in a quiet interval. A bar carries its length in nanoseconds as `interval`, or the text of a
    timeframe that has no fixed length.
    """

    def __init__(self, *timeframes: Timeframe, lateness: int = 0, memory: int = HOUR) -> None:
        asked = timeframes or (MINUTE,)
        self._intervals = [interval_of(each) for each in asked]
        self._names: list[Timeframe] = [timeframe_of(each) for each in self._intervals]
        if len(set(self._names)) != len(self._names):
            raise SettingsError(f"a timeframe is given twice: {', '.join(map(str, asked))}")
        self.lateness = lateness
        self._memory = memory
        self._market = Market(0)
        self._began: int | None = None
        self._arrivals = 0
        # By calendar, "" for those without sessions; and the same by symbol.
        self._series: dict[str, list[_Series]] = {}
        self._of: dict[str, list[_Series]] = {}
        self._told: dict[int, list[tuple[_Series, tuple[int, ...] | BarRow]]] = {}
        self._ticks: tuple[TickColumns, Integers] | None = None
        self.due = NEVER

    # --- instruments and sessions -----------------------------------------------------------------

    def connect(self, market: Market) -> None:
        """Look up instruments and sessions here."""
        self._market = market
        self.refresh()

    def refresh(self) -> None:
        """Hear that instruments or sessions have changed."""
        self._of.clear()
        for name, series in self._series.items():
            if name:
                calendar = self._calendar(name)
                for each in series:
                    if each.engine.grid is not None and calendar is not None:
                        each.engine.set_calendar(calendar)
        self._find_due()

    def _calendar(self, name: str) -> TradingCalendar | None:
        sessions = self._market.sessions.get(name)
        return None if not sessions else TradingCalendar.of_sessions(name, "UTC", sessions)

    def _calendar_of(self, symbol: str) -> str:
        spec = self._market.specs.get(symbol)
        return spec.calendar if spec is not None and spec.calendar in self._market.sessions else ""

    def _series_of(self, symbol: str) -> list[_Series]:
        found = self._of.get(symbol)
        if found is None:
            found = self._of[symbol] = self._series_in(self._calendar_of(symbol))
        return found

    def _series_in(self, name: str) -> list[_Series]:
        found = self._series.get(name)
        if found is None:
            calendar = self._calendar(name) if name else None
            found = self._series[name] = [
                _Series(timeframe, rank, self._engine(interval, calendar))
                for rank, (timeframe, interval) in enumerate(
                    zip(self._names, self._intervals, strict=True)
                )
                # Session bars of a market without sessions are none.
                if calendar is not None or interval.kind is not IntervalKind.SESSION
            ]
        return found

    def _engine(self, interval: Interval, calendar: TradingCalendar | None) -> BarEngine:
        return BarEngine(
            interval,
            calendar=calendar,
            lateness_ns=self.lateness,
            since=self._began,
            keep_ns=self._memory + self.lateness,
            units=self._units,
        )

    def _units(self, symbol: str) -> tuple[int, int]:
        spec = self._market.specs[symbol]
        return spec.price_decimals, spec.size_decimals

    def begin(self, now: int) -> None:
        """Hear when prices or the time begin: a bar that began before is partial."""
        if self._began is None:
            self._began = now
            for series in self._series.values():
                for each in series:
                    each.engine.begin(now)

    def gap(self, start: int, end: int, symbol: str) -> None:
        """Hear that no data came in [start, end), for one symbol or (empty) for all."""
        groups = [self._series_of(symbol)] if symbol else list(self._series.values())
        for series in groups:
            for each in series:
                each.engine.gap(start, end, symbol or None)

    # --- ticks ------------------------------------------------------------------------------------

    def push(self, symbol: str, time: int, price: int, size: int, known: int) -> Told:
        """Take in one trade with the market's time, known at another."""
        self._arrivals += 1
        series = self._of.get(symbol)
        if series is None:
            series = self._series_of(symbol)
        late, bars = None, _ON_TIME[1]
        for each in series:
            engine = each.engine
            if engine.grid is None:
                row = engine.add_amount(
                    symbol,
                    time,
                    self._arrivals,
                    price,
                    size,
                    size * _VOLUME,
                    price * size * _AMOUNT,
                )
                if row is not None:
                    bars = [*bars, self._bar(each, row, known)]
                continue
            slot = engine.slot_of(time)
            if slot is None:
                engine.count_outside(symbol)
                continue
            if known < slot[1] + self.lateness:
                if engine.add(
                    symbol,
                    (time, self._arrivals),
                    slot,
                    price,
                    size * _VOLUME,
                    price * size * _AMOUNT,
                ):
                    self.due = min(self.due, engine.due)
                continue
            if each.rank == 0:
                late = slot[1]
            bars = [
                *bars,
                *self._revise(each, symbol, time, self._arrivals, slot, price, size, known),
            ]
        return late, bars

    def _revise(
        self,
        series: _Series,
        symbol: str,
        time: int,
        arrival: int,
        slot: tuple[int, int],
        price: int,
        size: int,
        known: int,
    ) -> list[Bar]:
        rows = series.engine.revise(
            symbol, (time, arrival), known, slot, price, size * _VOLUME, price * size * _AMOUNT
        )
        return [self._bar(series, row, known) for row in rows]

    def push_columns(self, ticks: TickColumns, known: Integers) -> list[int]:
        """Take in many ticks; returns the rows, in order, for which `told` is to be asked."""
        self._told.clear()
        self._ticks = ticks, known
        base = self._arrivals
        rows = np.flatnonzero(ticks.prices != MISSING) if ticks.bids is not None else None
        if rows is not None and len(rows) == len(ticks):
            rows = None
        self._arrivals += len(ticks) if rows is None else len(rows)
        groups: dict[str, list[int]] = {}
        for code, symbol in enumerate(ticks.symbols):
            groups.setdefault(self._calendar_of(symbol), []).append(code)
        for calendar, codes in groups.items():
            part = rows
            if len(groups) > 1:
                chosen = np.isin(ticks.codes if rows is None else ticks.codes[rows], codes)
                part = np.flatnonzero(chosen) if rows is None else rows[chosen]
            self._push_part(self._series_in(calendar), ticks, known, part, base, rows)
        self._find_due()
        return sorted(self._told)

    def _push_part(
        self,
        series: list[_Series],
        ticks: TickColumns,
        known: Integers,
        part: Integers | None,
        base: int,
        priced: Integers | None,
    ) -> None:
        """Push the ticks of one calendar; `part` are their rows, None for all."""
        times = ticks.times if ticks.event_times is None else ticks.event_times
        codes, prices, sizes = ticks.codes, ticks.prices, ticks.sizes
        places = np.arange(len(times)) if part is None else part
        # Arrivals count ticks with a price, whatever calendar they belong to.
        order = places if priced is None else np.searchsorted(priced, places)
        if part is not None:
            times, codes, prices, sizes = times[part], codes[part], prices[part], sizes[part]
            known = known[part]
        if not len(times):
            return
        columns = EngineColumns(
            times, codes, ticks.symbols, Numbers(prices, 0), Numbers(sizes, 0), base + 1 + order
        )
        is_sorted = ticks.event_times is None or is_in_order(times)
        for each in series:
            engine = each.engine
            if engine.grid is None:
                # An amount counts ticks as they came, and says so by the place of each.
                for place, row in engine.push_amounts(columns, base + 1):
                    self._told.setdefault(int(places[place - base - 1]), []).append((each, row))
                continue
            found = engine.push_in_time(columns, known, is_sorted=is_sorted)
            if found is None:
                continue
            _, _, slot, sequence, slots = found
            rows = places[np.searchsorted(columns.sequence, sequence)]  # type: ignore[arg-type]
            for row, number, arrival in zip(
                rows.tolist(), slot.tolist(), sequence.tolist(), strict=True
            ):
                bounds = int(slots.starts[number]), int(slots.ends[number]), arrival
                self._told.setdefault(row, []).append((each, bounds))

    def told(self, row: int) -> Told:
        """Return what one of these rows causes, when the kernel has come to it."""
        assert self._ticks is not None
        ticks, times = self._ticks
        late, bars = None, []
        known = times.item(row)
        for series, said in self._told.pop(row):
            if isinstance(said, BarRow):
                bars.append(self._bar(series, said, known))
                continue
            start, end, arrival = said
            if series.rank == 0:
                late = end
            tick = ticks.tick(row)
            time = tick.time if tick.event_time is None else tick.event_time
            price = 0 if tick.price is None else tick.price
            bars += self._revise(
                series, tick.symbol, time, arrival, (start, end), price, tick.size, known
            )
        return late, bars

    # --- what is final ----------------------------------------------------------------------------

    def close(self, now: int) -> list[Bar]:
        """Return the bars that are final by now: by end, longer ones first, then by symbol."""
        closed = []
        for group in self._series.values():
            for series in group:
                if series.engine.due <= now:
                    closed += [
                        (row.end, -series.rank, row.symbol, row.start, series, row)
                        for row in series.engine.advance(now)
                    ]
        closed.sort(key=lambda each: each[:4])
        self._find_due()
        return [self._bar(series, row, now) for *_, series, row in closed]

    def _bar(self, series: _Series, row: BarRow, time: int) -> Bar:
        return Bar(
            time,
            row.symbol,
            series.timeframe,
            row.start,
            row.end,
            row.open,
            row.high,
            row.low,
            row.close,
            row.volume // _VOLUME,
            row.ticks,
            row.notional // _AMOUNT,
            row.state,
        )

    def working(self) -> list[Bar]:
        """Return the bars that are not final yet, by timeframe, symbol and time."""
        return [
            self._bar(series, row, row.start)
            for group in self._series.values()
            for series in group
            for row in series.engine.working()
        ]

    @property
    def outside(self) -> dict[str, int]:
        """How many ticks of each symbol came outside of its sessions, and made no bar."""
        counts: dict[str, int] = {}
        for group in self._series.values():
            for symbol, count in group[0].engine.outside.items() if group else ():
                counts[symbol] = counts.get(symbol, 0) + count
        return counts

    def _find_due(self) -> None:
        dues = [each.engine.due for group in self._series.values() for each in group]
        due = min(dues, default=NO_BAR)
        self.due = NEVER if due == NO_BAR else due

    # --- snapshots --------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Return what a snapshot keeps."""
        engines = [
            (name, series.rank, series.engine.state())
            for name, group in self._series.items()
            for series in group
        ]
        return pack(_State(self._began, self._arrivals, engines))

    def load(self, data: bytes) -> None:
        """Go on from a snapshot."""
        self._series.clear()
        self._of.clear()
        try:
            state = unpack(data, _State)
        except JournalError:
            state = self._state_of_older(data)
        self._began, self._arrivals = state.began, state.arrivals
        for name, rank, engine in state.engines:
            for series in self._series_in(name):
                if series.rank == rank:
                    series.engine.restore(engine)
        self._find_due()

    def _state_of_older(self, data: bytes) -> _State:
        """What a snapshot of before there were several timeframes says: its working bars."""
        working = unpack(data, _OlderState).working
        bars = [
            OpenBar(
                *(symbol, end - self._intervals[0].length_ns, end, bar.count, 0),
                *(bar.volume * _VOLUME, bar.notional * _AMOUNT),
                first=(end - self._intervals[0].length_ns, 0),
                last=(end - self._intervals[0].length_ns, 0),
                open=bar.open,
                high=bar.high,
                low=bar.low,
                close=bar.close,
            )
            for end, found in working.items()
            for symbol, bar in found.items()
        ]
        symbols: dict[str, int | None] = {bar.symbol: bar.start for bar in bars}
        due = min((bar.end for bar in bars), default=NO_BAR)
        began = min((bar.start for bar in bars), default=0)
        state = EngineState(None, began, due, 0, bars, [], [], symbols, {}, [], {}, {}, {})
        return _State(began, 0, [("", 0, state)])


class _State(msgspec.Struct, array_like=True, gc=False):
    began: int | None
    arrivals: int
    engines: list[tuple[str, int, EngineState]]


class _OlderBar(msgspec.Struct, array_like=True, gc=False):
    open: int
    high: int
    low: int
    close: int
    volume: int
    count: int
    notional: int


class _OlderState(msgspec.Struct, array_like=True, gc=False):
    working: dict[int, dict[str, _OlderBar]]
    due: int
