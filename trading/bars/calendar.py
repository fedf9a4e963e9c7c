"""When a market is open: sessions, breaks, half days and holidays as arrays of nanoseconds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from trading.errors import CalendarError

Nanoseconds = npt.NDArray[np.int64]

NS_PER_HOUR = 3_600_000_000_000
_NS_PER_DAY = 24 * NS_PER_HOUR
# Schedules are made for whole blocks of years: making one takes half a second, asking it nothing.
_YEARS_PER_BLOCK = 10
# The package's schedules of these say nothing of the hour in which the venue is closed every day:
# its end is the time at which the next session opens, this many hours after the close.
_HOURS_CLOSED_DAILY = {"CMES": 1, "us_futures": 1, "CME": 1}


class TradingCalendar:
    """The sessions of one market, in order of time.

    `opens` and `closes` are int64 nanoseconds since 1970 UTC, `breaks` an array of shape (n, 2)
    that holds -1 where a session has no break. A session that opens the evening before carries the
    date of its close in the market's `zone`.
    """

    def __init__(
        self,
        name: str,
        zone: str,
        opens: Nanoseconds,
        closes: Nanoseconds,
        breaks: Nanoseconds | None = None,
    ) -> None:
        try:
            self.zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise CalendarError(f"calendar {name!r}: {zone!r} is no time zone") from None
        self.name = name
        self.opens = np.asarray(opens, dtype=np.int64)
        self.closes = np.asarray(closes, dtype=np.int64)
        if breaks is None:
            breaks = np.full((len(self.opens), 2), -1, dtype=np.int64)
        self.breaks = np.asarray(breaks, dtype=np.int64).reshape(len(self.opens), 2)
        if len(self.opens) != len(self.closes) or (self.opens >= self.closes).any():
            raise CalendarError(f"calendar {name!r}: every session must close after it opens")
        if (self.opens[1:] < self.closes[:-1]).any():
            raise CalendarError(f"calendar {name!r}: sessions overlap or are not in order of time")

    @classmethod
    def of_sessions(
        cls, name: str, zone: str, sessions: Sequence[tuple[Any, Any]]
    ) -> TradingCalendar:
        """A calendar of (open, close) pairs: datetimes with a time zone, or nanoseconds."""
        from trading.bars.ticks import instant_ns  # noqa: PLC0415

        pairs = [(instant_ns(opens), instant_ns(closes)) for opens, closes in sessions]
        array = np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)
        return cls(name, zone, array[:, 0], array[:, 1])

    def between(self, low: int, high: int) -> slice:
        """The sessions that have a moment in [low, high]."""
        first = int(np.searchsorted(self.closes, low, side="right"))
        last = int(np.searchsorted(self.opens, high, side="right"))
        return slice(first, max(first, last))

    def segments(self, low: int, high: int) -> tuple[Nanoseconds, Nanoseconds]:
        """Starts and ends of what is open in [low, high]; a break divides a session in two."""
        part = self.between(low, high)
        opens, closes, breaks = self.opens[part], self.closes[part], self.breaks[part]
        broken = breaks[:, 0] >= 0
        starts = np.sort(np.concatenate([opens, breaks[broken, 1]]))
        ends = np.sort(np.concatenate([closes, breaks[broken, 0]]))
        return starts, ends

    def local_dates(self, moments: Nanoseconds) -> npt.NDArray[np.datetime64]:
        """The dates of moments in the market's zone, as datetime64[D]."""
        if self.zone.key == "UTC":
            return moments.astype("datetime64[ns]").astype("datetime64[D]")
        import pandas as pd  # noqa: PLC0415

        local = pd.DatetimeIndex(moments, tz="UTC").tz_convert(self.zone)
        dates = local.tz_localize(None).normalize().to_numpy()
        return dates.astype("datetime64[D]")

    def midnights(self, dates: npt.NDArray[np.datetime64]) -> Nanoseconds:
        """The nanoseconds at which dates begin in the market's zone."""
        if self.zone.key == "UTC":
            return dates.astype("datetime64[ns]").astype(np.int64)
        import pandas as pd  # noqa: PLC0415

        local = pd.DatetimeIndex(dates.astype("datetime64[ns]"))
        # Where a clock is set forward at midnight the day begins at one o'clock.
        moments = local.tz_localize(self.zone, ambiguous=True, nonexistent="shift_forward")
        return moments.tz_convert("UTC").as_unit("ns").asi8


def calendar_for(name: str | TradingCalendar, low: int, high: int) -> TradingCalendar:
    """The calendar of a market for a stretch of time in nanoseconds.

    `name` is one of `exchange_calendars` ("XNYS", "XLON", "CMES", "24/5", …) or "24/7", which is
    open always, in sessions of a UTC day. CalendarError for an unknown one, and where its holidays
    are not known for that time.
    """
    if isinstance(name, TradingCalendar):
        return name
    first = _year_of(low) // _YEARS_PER_BLOCK * _YEARS_PER_BLOCK
    last = _year_of(high) // _YEARS_PER_BLOCK * _YEARS_PER_BLOCK + _YEARS_PER_BLOCK - 1
    if name == "24/7":
        return _always(first, last)
    return _known(name, first, last, _year_of(high))


def _year_of(moment: int) -> int:
    return int(np.datetime64(moment, "ns").astype("datetime64[Y]").astype(int)) + 1970


def _first_ns(year: int) -> int:
    return int(np.datetime64(f"{year:04d}-01-01", "ns").astype(np.int64))


@lru_cache(maxsize=32)
def _always(first: int, last: int) -> TradingCalendar:
    opens = np.arange(_first_ns(first), _first_ns(last + 1), _NS_PER_DAY, dtype=np.int64)
    return TradingCalendar("24/7", "UTC", opens, opens + _NS_PER_DAY)


@lru_cache(maxsize=64)
def _known(name: str, first: int, last: int, needed: int) -> TradingCalendar:
    import exchange_calendars  # noqa: PLC0415

    # The package uses what pandas will take away; it is pinned, and its users can do nothing about
    # it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _made(exchange_calendars, name, first, last, needed)


def _made(
    exchange_calendars: Any, name: str, first: int, last: int, needed: int
) -> TradingCalendar:
    names = exchange_calendars.get_calendar_names(include_aliases=True)
    if name not in names:
        import difflib  # noqa: PLC0415

        near = difflib.get_close_matches(str(name).upper(), names, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise CalendarError(
            f"no calendar {name!r}{hint} Allowed are the codes of exchange_calendars, as XNYS, "
            '"24/5" and "24/7"'
        )
    schedule = None
    # Some markets publish their holidays a year ahead: take as much of the block as there is.
    for end in [
        date(last, 12, 31),
        *(date(year, 12, 31) for year in range(last - 1, needed - 1, -1)),
    ]:
        try:
            schedule = exchange_calendars.get_calendar(
                name, start=f"{first:04d}-01-01", end=end.isoformat()
            )
            break
        except ValueError as error:
            reason = str(error)
    if schedule is None:
        raise CalendarError(f"calendar {name} does not reach the year {needed}: {reason}")
    breaks = np.stack([schedule.break_starts_nanos, schedule.break_ends_nanos], axis=1)
    breaks = np.where(breaks < 0, -1, breaks)
    closes = np.asarray(schedule.closes_nanos, dtype=np.int64)
    opens = np.asarray(schedule.opens_nanos, dtype=np.int64)
    hours = _HOURS_CLOSED_DAILY.get(name)
    if hours:
        whole = closes - opens == _NS_PER_DAY
        closes = np.where(whole, closes - hours * NS_PER_HOUR, closes)
    return TradingCalendar(name, str(schedule.tz), opens, closes, breaks)
