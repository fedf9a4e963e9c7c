"""Times inside the trading package: nanoseconds since 1970 in UTC, as int."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from trading.errors import NumberError

__all__ = ["DAY", "HOUR", "MILLISECOND", "MINUTE", "SECOND", "moment", "nanoseconds"]

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 3_600 * SECOND
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def nanoseconds(time: datetime | int) -> int:
    """Return a time as nanoseconds since 1970 in UTC; a datetime needs its time zone."""
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise NumberError(
                f"the time {time} has no time zone; give one, such as datetime.timezone.utc"
            )
        # In whole microseconds: a float of seconds loses the last digits.
        return (time - _EPOCH) // timedelta(microseconds=1) * 1_000
    if isinstance(time, bool) or not isinstance(time, int):
        raise NumberError(f"expected a datetime or nanoseconds as int, seen {time!r}")
    return time


def moment(time: int) -> datetime:
    """Return nanoseconds as a datetime in UTC, cut to the microseconds that it can hold."""
    return _EPOCH + timedelta(0, 0, time // 1_000)
