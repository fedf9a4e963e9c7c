"""Days: when one ends, and on which day a trade settles."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trading.bars.calendar import calendar_for
from trading.errors import SettlementError
from trading.specification import InstrumentSpec
from trading.times import DAY, nanoseconds

__all__ = ["LAGS", "day_end", "day_of", "settlement_day", "zone_of"]

LAGS = {"EQUITY": 1, "OPTION": 1, "FX": 2, "CRYPTO": 0}
"""Business days from trade to settlement. Futures and indices exchange no notional amount."""

_AHEAD = 30 * DAY


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by name; SettlementError where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise SettlementError(f"{name!r} is no time zone; write one such as Europe/Oslo") from None


def day_end(day: date, zone: ZoneInfo) -> int:
    """Return when a day is over in a zone, in nanoseconds."""
    midnight = datetime.combine(day + timedelta(days=1), time(), zone)
    return nanoseconds(midnight.astimezone(timezone.utc))


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """Return the day of a moment in a zone."""
    return moment.astimezone(zone).date()


def settlement_day(spec: InstrumentSpec, trade_day: date) -> date | None:
    """Return the day on which a trade of a day settles; None where nothing changes hands.

    Business days are those of the instrument's calendar, else Monday to Friday; a market that
    trades every day and settles at once settles on the day itself.
    """
    lag = LAGS.get(spec.kind)
    if lag is None:
        return None
    if not lag:
        return trade_day
    if spec.calendar:
        begin = nanoseconds(datetime.combine(trade_day, time(), timezone.utc))
        calendar = calendar_for(spec.calendar, begin, begin + _AHEAD)
        part = calendar.between(begin, begin + _AHEAD)
        days = [
            each
            for each in calendar.local_dates(calendar.closes[part]).tolist()
            if each > trade_day
        ]
        if len(days) >= lag:
            found: date = days[lag - 1]
            return found
    day = trade_day
    while lag:
        day += timedelta(days=1)
        lag -= day.weekday() < 5
    return day
