"""Limits: what an account may do, as values that hold for a time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from trading.errors import LimitsError, NumberError
from trading.numbers import Number, to_decimal

__all__ = ["BREAK_GLASS", "DRAWDOWN_STEPS", "Cluster", "HeldLimits", "Limits", "LimitsHistory"]

BREAK_GLASS = "break-glass"
"""Stands for the second person where one alone has put limits in force; it is nobody's login."""

DRAWDOWN_STEPS = (("0.05", "0.7"), ("0.10", "0.4"), ("0.15", "0"))
"""Drawdown from the high-water mark, and the part of a size that is still traded from there on."""


class Cluster(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Symbols that move together, and the notional that they may have in sum."""

    name: str
    symbols: tuple[str, ...]
    max_notional: str


_AMOUNTS = (
    "max_order_notional",
    "max_symbol_notional",
    "max_gross_exposure",
    "max_net_exposure",
    "max_strategy_notional",
    "max_daily_loss",
    "max_correlated_notional",
    "max_order_quantity",
    "max_position",
)
_SHARES = (
    *("max_order_equity_share", "price_collar", "max_correlation", "max_portfolio_heat"),
    "halt_drawdown",
)


class Limits(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one account may do; None is no limit.

    Amounts are in the account's currency, quantities in the instrument's own size, shares are
    parts of one (`0.05` is five per cent) of equity, or of the last price for `price_collar`.
    Numbers are taken as int, float, str or Decimal and kept as text, which is how they are stored.
    Rates are a count within a window of nanoseconds.

    Some limits act by themselves: an account that has lost `max_daily_loss` in a day, or has fallen
    by `halt_drawdown` of its highest equity, is halted, and with `flatten_on_halt` its positions
    are closed then. An engine halts it as well when its feed has been silent for `max_feed_silence`
    nanoseconds.
    """

    symbols: tuple[str, ...] | None = None
    max_order_quantity: Any = None
    max_order_notional: Any = None
    max_order_equity_share: Any = None
    price_collar: Any = None
    max_position: Any = None
    max_symbol_notional: Any = None
    max_gross_exposure: Any = None
    max_net_exposure: Any = None
    max_strategy_notional: Any = None
    max_daily_loss: Any = None
    drawdown_steps: tuple[tuple[str, str], ...] = DRAWDOWN_STEPS
    clusters: tuple[Cluster, ...] = ()
    max_correlation: Any = None
    max_correlated_notional: Any = None
    max_portfolio_heat: Any = None
    max_orders: int | None = None
    order_window: int = 1_000_000_000
    max_cancels: int | None = None
    cancel_window: int = 1_000_000_000
    duplicate_window: int | None = None
    halt_drawdown: Any = None
    flatten_on_halt: bool = False
    max_feed_silence: int | None = None

    def __post_init__(self) -> None:
        for name in (*_AMOUNTS, *_SHARES):
            value = getattr(self, name)
            if value is not None:
                number = _not_negative(value, name)
                msgspec.structs.force_setattr(self, name, f"{number:f}")
        if (self.max_correlation is None) != (self.max_correlated_notional is None):
            raise LimitsError("max_correlation and max_correlated_notional belong together")
        last = Decimal(0)
        for at, scale in self.drawdown_steps:
            step, part = _not_negative(at, "drawdown_steps"), _not_negative(scale, "drawdown_steps")
            if not last < step <= 1 or part > 1:
                raise LimitsError(
                    "drawdown_steps: expected rising drawdowns above 0 and scales from 0 to 1, "
                    f"seen {at}: {scale} after {last}"
                )
            last = step
        for name in ("max_orders", "max_cancels", "duplicate_window", "max_feed_silence"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise LimitsError(f"{name}: expected a count of 0 or more, seen {value}")

    def decimal(self, name: str) -> Decimal | None:
        """Return a limit as a Decimal, or None where there is none."""
        value = getattr(self, name)
        return None if value is None else to_decimal(value, name)


def _not_negative(value: Number, name: str) -> Decimal:
    try:
        number = to_decimal(value, name)
    except NumberError as error:
        raise LimitsError(str(error)) from None
    if number < 0:
        raise LimitsError(f"{name}: expected a limit of 0 or more, seen {number}")
    return number


class HeldLimits(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Limits with the time for which they hold, and the two people behind them.

    `limits_id` names them in every decision; `valid_to` is None for as long as nothing replaces
    them.
    """

    limits_id: str
    limits: Limits
    valid_from: int
    valid_to: int | None
    requested_by: str
    approved_by: str
    recorded: int

    def check(self) -> None:
        """Raise LimitsError where one person alone set them, or their time is empty."""
        if not self.requested_by or not self.approved_by:
            raise LimitsError(
                f"limits {self.limits_id}: a person who asks and another who approves are needed"
            )
        if self.requested_by == self.approved_by:
            raise LimitsError(
                f"limits {self.limits_id}: {self.requested_by} asked for them and cannot approve "
                "them too; another person must"
            )
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise LimitsError(
                f"limits {self.limits_id}: they end at {self.valid_to}, which is not after their "
                f"beginning {self.valid_from}"
            )


class LimitsHistory(msgspec.Struct, array_like=True, gc=False):
    """The limits of one account: the newest that were recorded for a time hold then."""

    held: list[HeldLimits] = []

    def add(self, held: HeldLimits) -> None:
        """Record limits for their time; LimitsError when they are not properly approved."""
        held.check()
        self.held.append(held)

    def at(self, time: int, known: int | None = None) -> HeldLimits | None:
        """Return the limits that hold at a time, as they were known at another."""
        for held in reversed(self.held):
            if known is not None and held.recorded > known:
                continue
            if held.valid_from <= time and (held.valid_to is None or time < held.valid_to):
                return held
        return None

    def next_change(self, time: int) -> int | None:
        """Return when limits begin or end next, or None."""
        times = [
            each
            for held in self.held
            for each in (held.valid_from, held.valid_to)
            if each is not None and each > time
        ]
        return min(times, default=None)
