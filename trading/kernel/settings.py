"""Settings of a run: what must be the same for two runs to say the same."""

from __future__ import annotations

import msgspec

from trading.bars.interval import Interval, IntervalKind, parse_interval
from trading.errors import SettingsError
from trading.journal.inputs import Timeframe
from trading.numbers import MONEY_DECIMALS
from trading.orders.request import KINDS
from trading.positions.lots import METHODS, Method
from trading.times import DAY, HOUR, MINUTE, SECOND

__all__ = ["Settings", "interval_of", "timeframe_of"]


def interval_of(timeframe: Timeframe) -> Interval:
    """Return the interval of a timeframe: nanoseconds, or a text such as `5m` or `1000 ticks`."""
    if isinstance(timeframe, str):
        return parse_interval(timeframe)
    if timeframe <= 0 or DAY % timeframe:
        raise SettingsError(
            f"bars of {timeframe} ns: expected nanoseconds that divide a day, such as {MINUTE}, or "
            "a text such as '5m', 'session' or '1000 ticks'"
        )
    kind = IntervalKind.DAY if timeframe == DAY else IntervalKind.TIME
    return Interval(f"{timeframe} ns", kind, timeframe)


def timeframe_of(interval: Interval) -> Timeframe:
    """Return what bars of an interval carry: their length, or the text where it is not fixed."""
    return interval.length_ns or interval.text


class Settings(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """All times are nanoseconds.

    `prefix` begins every id of the run. `bust_memory` is for how long a fill can be taken back by
    matching later ones anew, `order_memory` for how long a finished order is kept for late reports,
    `command_memory` for how long a repeated command is recognised. `memory_max` bounds how many
    finished orders, and fills of a position, are kept by the first two (0: no bound). `emulate`
    names the kinds of orders that the venue does not know. `mark_interval` is how often accounts
    with limits are valued between orders. `day_offset` is when a day begins, after midnight in UTC.
    `bar_interval` 0 makes no bars of ticks but those of `timeframes`: nanoseconds that divide a
    day, or texts such as `5m`, `session` and `1000 ticks`. `bar_memory` is for how long after a bar
    was final a late tick revises it. Orders meet bars of
    `fills_interval`; 0 means those of the first timeframe, or all where no bars are made of ticks.
    `check_invariants` proves the books after every input.
    """

    run: str = "run"
    prefix: str = ""
    money_decimals: int = MONEY_DECIMALS
    method: Method = "FIFO"
    bust_memory: int = 0
    order_memory: int = 0
    command_memory: int = DAY
    emulate: tuple[str, ...] = ()
    mark_interval: int = SECOND
    day_offset: int = 0
    bar_interval: int = MINUTE
    bar_lateness: int = 0
    digest: bool = True
    record_bars: bool = True
    check_invariants: bool = False
    timeframes: tuple[Timeframe, ...] = ()
    bar_memory: int = HOUR
    fills_interval: Timeframe = 0
    memory_max: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SettingsError(f"unknown method {self.method!r}; there are: {' '.join(METHODS)}")
        for kind in self.emulate:
            if kind not in KINDS or kind in ("MARKET", "LIMIT"):
                raise SettingsError(
                    f"emulate: {kind!r} cannot be emulated; what can is STOP STOP_LIMIT "
                    "TRAILING_STOP"
                )
        if self.mark_interval <= 0:
            raise SettingsError(f"mark_interval: expected above 0, seen {self.mark_interval}")
        for timeframe in (self.bar_interval or MINUTE, *self.timeframes):
            interval_of(timeframe)

    @property
    def fills_timeframe(self) -> Timeframe:
        """The bars that resting orders meet: the first of those made of ticks; 0 for all."""
        if self.fills_interval:
            return self.fills_interval
        if self.bar_interval or not self.timeframes:
            return self.bar_interval
        return timeframe_of(interval_of(self.timeframes[0]))
