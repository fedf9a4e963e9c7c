"""What is asked of the market: one order, or a bracket of three.

OrderRequest("ACC", "AAPL", "BUY", 100, "LIMIT", limit_price="228.25")
Bracket(entry=OrderRequest("ACC", "AAPL", "BUY", 100), target="235", stop="224.50")
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec

from trading.errors import InvalidOrderRequest
from trading.numbers import Number, to_decimal

__all__ = [
    "KINDS",
    "SIDES",
    "TIMES_IN_FORCE",
    "TRIGGERS",
    "Bracket",
    "OneCancelsOther",
    "OneTriggersOther",
    "OrderRequest",
]

SIDES = ("BUY", "SELL")
KINDS = ("MARKET", "LIMIT", "STOP", "STOP_LIMIT", "TRAILING_STOP")
TIMES_IN_FORCE = ("DAY", "GTC", "GTD", "IOC", "FOK", "AT_OPEN", "AT_CLOSE")
TRIGGERS = ("LAST", "BID_ASK")

_NEEDS_LIMIT = {"LIMIT", "STOP_LIMIT"}
_NEEDS_STOP = {"STOP", "STOP_LIMIT"}


class OrderRequest(msgspec.Struct, frozen=True, gc=False):
    """One order as it is asked for; numbers are taken as int, float, str or Decimal.

    `trail` is the distance of a trailing stop in price, `trail_bps` the same in basis points of
    the best price seen. `expire_at` is needed by GTD. `not_before` holds an order back until then
    and `flat_by` closes what is left of its position at that time.
    """

    account: str
    symbol: str
    side: str
    quantity: Any
    kind: str = "MARKET"
    limit_price: Any = None
    stop_price: Any = None
    time_in_force: str = "GTC"
    strategy: str = ""
    trail: Any = None
    trail_bps: int | None = None
    expire_at: datetime | int | None = None
    reduce_only: bool = False
    post_only: bool = False
    emulate: bool = False
    not_before: datetime | int | None = None
    flat_by: datetime | int | None = None
    tag: str = ""

    def problems(self) -> list[str]:
        """Return everything that keeps this from being an order on any market, in plain words."""
        found = [
            f"{name} {value!r} is none of {' '.join(allowed)}"
            for name, value, allowed in (
                ("side", self.side, SIDES),
                ("kind", self.kind, KINDS),
                ("time_in_force", self.time_in_force, TIMES_IN_FORCE),
            )
            if value not in allowed
        ]
        if self.kind in KINDS:
            found += self._price_problems()
        if (self.time_in_force == "GTD") != (self.expire_at is not None):
            found.append("GTD and expire_at belong together")
        if self.time_in_force in ("AT_OPEN", "AT_CLOSE") and self.kind not in ("MARKET", "LIMIT"):
            found.append(f"{self.time_in_force} is for market and limit orders, not {self.kind}")
        if self.post_only and self.kind != "LIMIT":
            found.append(f"post_only is for limit orders, not {self.kind}")
        if self.post_only and self.time_in_force in ("IOC", "FOK"):
            found.append(f"post_only contradicts {self.time_in_force}")
        return found

    def _price_problems(self) -> list[str]:
        found = []
        for name, value, needed in (
            ("limit_price", self.limit_price, self.kind in _NEEDS_LIMIT),
            ("stop_price", self.stop_price, self.kind in _NEEDS_STOP),
        ):
            if needed and value is None:
                found.append(f"a {self.kind} order needs a {name}")
            trailing = self.kind == "TRAILING_STOP" and name == "stop_price"
            if value is not None and not needed and not trailing:
                found.append(f"a {self.kind} order has no {name}")
        trails = [value for value in (self.trail, self.trail_bps) if value is not None]
        if (self.kind == "TRAILING_STOP") != (len(trails) == 1):
            found.append("trail or trail_bps, one of them, is for a TRAILING_STOP alone")
        return found

    def checked(self) -> OrderRequest:
        """Return the request itself; InvalidOrderRequest lists all that is wrong with it."""
        found = self.problems()
        if found:
            raise InvalidOrderRequest(
                f"{self.side} {self.quantity} {self.symbol} {self.kind}: " + "; ".join(found)
            )
        return self


class Bracket(msgspec.Struct, frozen=True, gc=False):
    """An entry with its two exits: `target` is a limit price, `stop` a stop price.

    The exits are sent for what the entry filled, and one's fill reduces the other by as much.
    """

    entry: OrderRequest
    target: Any
    stop: Any

    def problems(self, reference: Number | None = None) -> list[str]:
        """Return what is wrong: BUY needs target > entry > stop > 0, SELL the mirror of it.

        `reference` is the price that a market entry is compared with.
        """
        found = self.entry.problems()
        if self.entry.reduce_only:
            found.append("a bracket's entry opens a position and cannot be reduce_only")
        return found + self.side_problems(reference)

    def side_problems(self, reference: Number | None = None) -> list[str]:
        """Return what is wrong with the places of the three prices alone."""
        found = []
        if self.entry.kind == "LIMIT":
            reference = self.entry.limit_price
        elif self.entry.kind in ("STOP", "STOP_LIMIT"):
            reference = self.entry.stop_price
        target, stop = to_decimal(self.target, "target"), to_decimal(self.stop, "stop")
        chain = (
            [stop, target]
            if reference is None
            else [
                stop,
                to_decimal(reference, "entry price"),
                target,
            ]
        )
        up = self.entry.side == "BUY"
        ordered = chain if up else chain[::-1]
        if any(a >= b for a, b in pairwise(ordered)):
            order = "target > entry > stop" if up else "stop > entry > target"
            names = ("target", "stop") if reference is None else ("target", "entry", "stop")
            seen = ", ".join(f"{n} {p:f}" for n, p in zip(names, chain[::-1], strict=True))
            found.append(f"a {self.entry.side} bracket needs {order}, seen {seen}")
        if min(chain) <= 0:
            found.append(f"all prices of a bracket are above 0, seen {min(chain)}")
        return found


class OneCancelsOther(msgspec.Struct, frozen=True, gc=False):
    """Two or more orders of which any fill of one cancels the others (OCO)."""

    orders: tuple[OrderRequest, ...]


class OneTriggersOther(msgspec.Struct, frozen=True, gc=False):
    """A parent whose fills send the child (OTO): for what filled, or only when it is full."""

    parent: OrderRequest
    child: OrderRequest
    when_full: bool = False
