"""The grid of time bars: which stretch of time each bar of an interval covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.bars.calendar import Nanoseconds, TradingCalendar, calendar_for
from trading.bars.interval import NS_PER_DAY, Interval, IntervalKind
from trading.errors import IntervalError

# 1970-01-01 was a Thursday; weeks begin on Monday.
_FIRST_MONDAY = -3 * NS_PER_DAY
_SLOTS_MAX = 50_000_000


@dataclass(frozen=True)
class Slots:
    """Bars in order of time, disjoint: each covers [start, end), in nanoseconds."""

    starts: Nanoseconds
    ends: Nanoseconds

    def __len__(self) -> int:
        return len(self.starts)

    def only(self, number: int) -> Slots:
        """One of them."""
        return Slots(self.starts[number : number + 1], self.ends[number : number + 1])

    def find(self, moments: Nanoseconds) -> Nanoseconds:
        """The number of the bar of each moment, -1 where none covers it."""
        found = np.searchsorted(self.starts, moments, side="right") - 1
        return np.where((found >= 0) & (moments < self.ends[np.maximum(found, 0)]), found, -1)


class Grid:
    """The bars of an interval, with or without the sessions of a market."""

    def __init__(self, interval: Interval, calendar: str | TradingCalendar | None = None) -> None:
        if interval.is_by_amount:
            raise IntervalError(f"{interval} bars end by what is traded; they have no grid of time")
        if interval.kind is IntervalKind.SESSION and calendar is None:
            raise IntervalError(
                'session bars need the market\'s calendar: bars(…, "session", calendar="XNYS")'
            )
        self.interval = interval
        self.calendar = calendar

    def slot(self, moment: int, grace_ns: int = 0) -> tuple[int, int] | None:
        """Start and end of the bar of one moment; None where none covers it.

        A moment up to `grace_ns` after a bar's end that no other bar covers belongs to it.
        """
        if self.calendar is None and self.interval.divides_day:
            start = moment - moment % self.interval.length_ns
            return start, start + self.interval.length_ns
        slots = self.slots(moment - grace_ns, moment)
        if not len(slots):
            return None
        place, inside = in_places(np.array([moment]), slots, is_sorted=False, grace_ns=grace_ns)
        if inside is not None:
            return None
        number = int(place[0])
        return int(slots.starts[number]), int(slots.ends[number])

    def slots(self, low: int, high: int) -> Slots:
        """The bars that have a moment in [low, high]."""
        slots = (
            self._of_sessions(low, high) if self.calendar is not None else self._plain(low, high)
        )
        keep = (slots.ends > low) & (slots.starts <= high)
        if keep.all():
            return slots
        return Slots(slots.starts[keep], slots.ends[keep])

    def _plain(self, low: int, high: int) -> Slots:
        kind, length = self.interval.kind, self.interval.length_ns
        if kind is IntervalKind.WEEK:
            return _uniform(low, high, 7 * NS_PER_DAY, _FIRST_MONDAY)
        if kind is IntervalKind.MONTH:
            first = np.datetime64(low, "ns").astype("datetime64[M]")
            last = np.datetime64(high, "ns").astype("datetime64[M]")
            edges = np.arange(first, last + 2).astype("datetime64[ns]").astype(np.int64)
            return Slots(edges[:-1], edges[1:])
        if self.interval.divides_day:
            return _uniform(low, high, length, 0)
        days = _uniform(low, high, NS_PER_DAY, 0)
        return _divided(days.starts, days.ends, length)

    def _of_sessions(self, low: int, high: int) -> Slots:
        assert self.calendar is not None
        kind = self.interval.kind
        # A week and a month begin before the first moment asked for, and end after the last.
        margin = 40 * NS_PER_DAY
        calendar = calendar_for(self.calendar, low - margin, high + margin)
        if kind in (IntervalKind.WEEK, IntervalKind.MONTH):
            return self._by_period(calendar, calendar.between(low - margin, high + margin))
        part = calendar.between(low, high)
        if kind is IntervalKind.SESSION:
            return Slots(calendar.opens[part], calendar.closes[part])
        if kind is IntervalKind.DAY:
            if part.start == part.stop:
                return Slots(calendar.opens[part], calendar.closes[part])
            dates = np.unique(
                calendar.local_dates(
                    np.concatenate([calendar.opens[part], calendar.closes[part] - 1])
                )
            )
            return Slots(calendar.midnights(dates), calendar.midnights(dates + 1))
        starts, ends = calendar.segments(low, high)
        if not self.interval.divides_day:
            return _divided(starts, ends, self.interval.length_ns)
        return _clipped(starts, ends, self.interval.length_ns)

    def _by_period(self, calendar: TradingCalendar, part: slice) -> Slots:
        opens, closes = calendar.opens[part], calendar.closes[part]
        if not len(opens):
            return Slots(opens, closes)
        dates = calendar.local_dates(closes - 1)
        if self.interval.kind is IntervalKind.WEEK:
            period = (dates.astype(np.int64) + 3) // 7
        else:
            period = dates.astype("datetime64[M]").astype(np.int64)
        first = np.flatnonzero(np.concatenate(([True], period[1:] != period[:-1])))
        last = np.concatenate((first[1:], [len(opens)])) - 1
        # The outermost ones may be cut by the margin; they are not asked for.
        return Slots(opens[first], closes[last])


def in_places(
    ts: Nanoseconds, slots: Slots, *, is_sorted: bool, grace_ns: int = 0
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


def _uniform(low: int, high: int, length: int, origin: int) -> Slots:
    first = (low - origin) // length
    count = (high - origin) // length - first + 1
    if count > _SLOTS_MAX:
        raise IntervalError(
            f"{count:,} bars lie between the first and the last tick; take a longer interval, or "
            "fewer days at a time"
        )
    starts = origin + (first + np.arange(count, dtype=np.int64)) * length
    return Slots(starts, starts + length)


def _divided(starts: Nanoseconds, ends: Nanoseconds, length: int) -> Slots:
    """Bars counted from the start of each stretch; the last one ends with it."""
    counts = -(-(ends - starts) // length)
    owner = np.repeat(np.arange(len(starts)), counts)
    before = np.concatenate(([0], np.cumsum(counts)))[owner]
    first = starts[owner] + (np.arange(len(owner)) - before) * length
    return Slots(first, np.minimum(first + length, ends[owner]))


def _clipped(starts: Nanoseconds, ends: Nanoseconds, length: int) -> Slots:
    """Bars of the clock, cut where a stretch opens or closes within one."""
    floors = starts // length * length
    counts = -(-(ends - floors) // length)
    owner = np.repeat(np.arange(len(starts)), counts)
    before = np.concatenate(([0], np.cumsum(counts)))[owner]
    first = floors[owner] + (np.arange(len(owner)) - before) * length
    return Slots(np.maximum(first, starts[owner]), np.minimum(first + length, ends[owner]))
