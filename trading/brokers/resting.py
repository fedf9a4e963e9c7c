"""An order as the simulated broker holds it, and all that the broker remembers."""

from __future__ import annotations

import msgspec

from trading.brokers.levels import EVERY_TICK, NEVER, Levels
from trading.journal.reports import OrderFilled

__all__ = ["Flight", "PaperState", "Resting", "is_trailing", "levels_of"]


class Resting(msgspec.Struct, array_like=True, gc=False):
    """An order as the broker holds it; prices and sizes in the instrument's units."""

    order_id: str
    account: str
    symbol: str
    strategy: str
    side: int
    qty: int
    kind: str
    limit: int | None
    stop: int | None
    tif: str
    trail: int | None
    trail_bps: int | None
    reduce_only: bool
    post_only: bool
    opens_at: int | None = None
    closes_at: int | None = None
    best: int | None = None
    triggered: bool = False
    # Number of the symbol's bar during which it arrived.
    since: int = 0
    touches: int = 0
    queue: int = 0
    filled: int = 0
    value: int = 0
    fees: int = 0
    fills: int = 0
    arrived: int = 0

    @property
    def leaves(self) -> int:
        """Size that has not filled yet."""
        return self.qty - self.filled

    @property
    def rests_at_limit(self) -> bool:
        """Whether a limit price is what it waits for."""
        return self.kind == "LIMIT" or (self.kind == "STOP_LIMIT" and self.triggered)

    @property
    def waits_for_stop(self) -> bool:
        """Whether a stop price is what it waits for."""
        return self.kind in ("STOP", "STOP_LIMIT", "TRAILING_STOP") and not self.triggered


class Flight(msgspec.Struct, array_like=True, gc=False):
    """A request on its way to the broker."""

    due: int
    verb: str
    order_id: str
    resting: Resting | None = None
    qty: int = 0
    limit: int | None = None
    stop: int | None = None


class PaperState(msgspec.Struct, array_like=True, gc=False):
    """All that a simulated broker remembers."""

    now: int = 0
    # By symbol and order id, in the order of arrival.
    resting: dict[str, dict[str, Resting]] = {}
    flights: list[Flight] = []
    net: dict[str, dict[str, int]] = {}
    bars: dict[str, int] = {}
    sequence: int = 0
    executions: list[tuple[int, OrderFilled]] = []


def is_trailing(resting: Resting) -> bool:
    """Whether a trailing stop waits for trades, and for nothing else."""
    return (
        resting.kind == "TRAILING_STOP"
        and not resting.triggered
        and resting.opens_at is None
        and resting.closes_at is None
        and resting.tif != "AT_OPEN"
    )


def levels_of(resting: Resting, touches: bool) -> Levels:
    """Return at which ticks an order has to be looked at; `touches` where a touch may fill."""
    if resting.opens_at is not None or resting.closes_at is not None:
        return NEVER
    at_limit = resting.rests_at_limit
    price = resting.limit if at_limit else resting.stop
    market = resting.triggered and not at_limit
    if is_trailing(resting):
        return NEVER  # the stop moves with the market: the kernel follows it over many ticks
    if price is None or market or resting.kind == "TRAILING_STOP" or resting.tif == "AT_OPEN":
        return EVERY_TICK
    low, high, low_ask, high_bid = NEVER
    if not at_limit:
        return (
            (low, price, low_ask, high_bid)
            if resting.side > 0
            else (
                price,
                high,
                low_ask,
                high_bid,
            )
        )
    # A touch matters where it may fill or moves the queue.
    touch = 0 if touches else 1
    if resting.side > 0:
        return price - touch, high, price, high_bid
    return low, price + touch, low_ask, price
