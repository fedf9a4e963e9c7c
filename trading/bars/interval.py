"""What one bar covers: a length of time, a session, a week, a month, or an amount of trading."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum

from trading.errors import IntervalError

NS_PER_SECOND = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_SECOND

_NS_PER_UNIT = {
    "ms": 1_000_000,
    "s": NS_PER_SECOND,
    "m": 60 * NS_PER_SECOND,
    "min": 60 * NS_PER_SECOND,
    "h": 3_600 * NS_PER_SECOND,
    "d": NS_PER_DAY,
}
_ALLOWED = (
    'allowed are times such as "30s", "1m", "75m", "1h" and "1D", "session", "1W", "1MO", and '
    'amounts such as "1000 ticks", "10000 volume" and "1e6 notional"'
)


class IntervalKind(Enum):
    """By what a bar ends."""

    TIME = "time"
    DAY = "day"
    SESSION = "session"
    WEEK = "week"
    MONTH = "month"
    TICKS = "ticks"
    VOLUME = "volume"
    NOTIONAL = "notional"


@dataclass(frozen=True)
class Interval:
    """A parsed interval: `length_ns` of a TIME bar, `threshold` of TICKS, VOLUME and NOTIONAL."""

    text: str
    kind: IntervalKind
    length_ns: int = 0
    threshold: Decimal = Decimal(0)

    @property
    def is_by_amount(self) -> bool:
        """Whether a bar ends by what was traded, not by the clock."""
        return self.kind in (IntervalKind.TICKS, IntervalKind.VOLUME, IntervalKind.NOTIONAL)

    @property
    def divides_day(self) -> bool:
        """Whether whole bars of this length fill a day; others begin at each session's open."""
        return self.length_ns > 0 and NS_PER_DAY % self.length_ns == 0

    def __str__(self) -> str:
        return self.text


def parse_duration_ns(text: str | int, *, name: str = "duration") -> int:
    """Nanoseconds of "5s", "250ms", "1m", "2h" or "1D"; an int is taken as nanoseconds.

    IntervalError for anything else, and for a negative duration.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        if text < 0:
            raise IntervalError(f"{name} {text} ns is negative; it must be 0 or more")
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", str(text))
    unit = _NS_PER_UNIT.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise IntervalError(
            f'{name} {text!r} is no duration; write for example "5s", "250ms", "1m"'
        )
    return int(Decimal(match[1]) * unit)


def parse_interval(text: str | Interval) -> Interval:
    """The interval of a text such as "1m", "session" or "1000 ticks"; IntervalError otherwise."""
    if isinstance(text, Interval):
        return text
    plain = str(text).strip()
    named = {
        "session": IntervalKind.SESSION,
        "1w": IntervalKind.WEEK,
        "week": IntervalKind.WEEK,
        "1mo": IntervalKind.MONTH,
        "month": IntervalKind.MONTH,
        "1d": IntervalKind.DAY,
        "day": IntervalKind.DAY,
    }.get(plain.lower())
    if named is not None:
        return Interval(plain, named, NS_PER_DAY if named is IntervalKind.DAY else 0)
    amount = re.fullmatch(r"([0-9][0-9_.eE+]*)\s+(ticks|volume|notional)", plain)
    if amount:
        return Interval(plain, IntervalKind(amount[2]), threshold=_threshold(plain, amount[1]))
    match = re.fullmatch(r"(\d+)\s*(ms|s|min|m|h)", plain)
    if match is None or int(match[1]) == 0:
        raise IntervalError(f"{text!r} is no interval of bars; {_ALLOWED}")
    length_ns = int(match[1]) * _NS_PER_UNIT[match[2]]
    if length_ns > NS_PER_DAY:
        raise IntervalError(f"{text!r} is longer than a day; {_ALLOWED}")
    if length_ns == NS_PER_DAY:
        return Interval(plain, IntervalKind.DAY, NS_PER_DAY)
    return Interval(plain, IntervalKind.TIME, length_ns)


def _threshold(text: str, number: str) -> Decimal:
    try:
        threshold = Decimal(number)
    except InvalidOperation:
        threshold = Decimal(0)
    if threshold <= 0 or (text.endswith("ticks") and threshold != int(threshold)):
        raise IntervalError(f"{text!r} has no whole amount above 0 to end a bar by; {_ALLOWED}")
    return threshold
