"""Times as text: the instant in UTC, sortable and castable in SQL, with the zone beside it.

`2026-02-22T09:00:00.000000Z` has a fixed width, so the order of the texts is the order of the
instants. The zone is a second text, `+01:00` or `+01:00[Europe/Oslo]`, needed only where it
is not UTC; both together give back the very datetime.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

UTC = timezone.utc
_ZONE = re.compile(
    r"([+-])(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{6}))?)?(?:\[(.+)\])?", re.ASCII | re.DOTALL
)
_FIXED_WIDTH = len("2026-02-22T09:00:00.000000Z")


def instant_text(value: datetime) -> str:
    """The instant in UTC to the microsecond; a time without a zone has no `Z`.

    ValueError for an instant outside of the years 1 to 9999 and for one with nanoseconds.
    """
    if value.tzinfo is UTC and value.__class__ is datetime:
        return value.isoformat(timespec="microseconds")[:26] + "Z"
    if getattr(value, "nanosecond", 0):
        raise ValueError("times are kept to the microsecond; round it first")
    text = (_utc(value) or value).isoformat(timespec="microseconds")
    return text if value.utcoffset() is None else text + "Z"


def zone_text(value: datetime) -> str | None:
    """The offset and, of a ZoneInfo, the key; None for UTC and for a time without a zone.

    ValueError for a wall-clock time that its zone skips.
    """
    zone = value.tzinfo
    if zone is UTC:
        return None
    offset = value.utcoffset()
    instant = _utc(value)
    if zone is None or offset is None or instant is None:
        return None
    key = zone.key if isinstance(zone, ZoneInfo) else None
    if key is None:
        return _offset_text(offset) if offset else None
    if zone.fromutc(instant.replace(tzinfo=zone)).replace(tzinfo=None) != _wall(value):
        raise ValueError(f"{_wall(value)} does not exist in {key}: the clocks go forward over it")
    return f"{_offset_text(offset)}[{key}]"


def parse_time(text: str, zone: str | None = None) -> datetime:
    """The datetime of an instant and its zone; any ISO 8601 text that Python reads will do."""
    if len(text) == _FIXED_WIDTH and text[-1] == "Z":
        value = datetime.fromisoformat(text[:26] + "+00:00")
    else:
        value = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] == "Z" else text)
    return value if zone is None else _in_zone(value, zone)


def _in_zone(value: datetime, zone: str) -> datetime:
    offset, named = _parse_zone(zone)
    if named is not None:
        local = value.astimezone(named)
        # Else the rules of the zone changed since: the offset that was written wins.
        if local.utcoffset() == offset.utcoffset(None):
            return local
    return value.astimezone(offset)


@lru_cache(maxsize=1024)
def _parse_zone(text: str) -> tuple[timezone, ZoneInfo | None]:
    match = _ZONE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no zone; '+01:00' or '+01:00[Europe/Oslo]' is expected")
    sign, hours, minutes, seconds, microseconds, key = match.groups(default="0")
    offset = timedelta(
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds),
        microseconds=int(microseconds),
    )
    named = None
    if key != "0":
        try:
            named = ZoneInfo(key)
        except (KeyError, ValueError):
            named = None  # A machine without this zone: the offset alone is exact enough.
    return timezone(-offset if sign == "-" else offset), named


def _utc(value: datetime) -> datetime | None:
    offset = value.utcoffset()
    if offset is None:
        return None
    try:
        return _wall(value) - offset
    except OverflowError:
        raise ValueError("in UTC it is outside of the years 1 to 9999") from None


def _wall(value: datetime) -> datetime:
    return value.replace(tzinfo=None)


def _offset_text(offset: timedelta) -> str:
    # Python's own spelling: +01:00, or with seconds and microseconds where there are any.
    return datetime(2000, 1, 1, tzinfo=timezone(offset)).isoformat()[19:]
