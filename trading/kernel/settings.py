"""Settings of a run: what must be the same for two runs to say the same."""

from __future__ import annotations

import msgspec

from trading.errors import SettingsError
from trading.numbers import MONEY_DECIMALS
from trading.orders.request import KINDS
from trading.positions.lots import METHODS, Method
from trading.times import DAY, MINUTE, SECOND

__all__ = ["Settings"]


class Settings(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """All times are nanoseconds.

    `prefix` begins every id of the run. `bust_memory` is for how long a fill can be taken back by
    matching later ones anew, `order_memory` for how long a finished order is kept for late reports,
    `command_memory` for how long a repeated command is recognised. `emulate` names the kinds of
    orders that the venue does not know. `mark_interval` is how often accounts with limits are
    valued between orders. `day_offset` is when a day begins, after midnight in UTC.
    `bar_interval` 0 makes no bars of ticks. Orders meet bars of `fills_interval`, 0 being
    `bar_interval`, or all bars where that is 0 too. `check_invariants` proves the books after
    every input.
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
    fills_interval: int = 0

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
        if self.bar_interval and DAY % self.bar_interval:
            raise SettingsError(f"bar_interval: {self.bar_interval} ns do not divide a day")
