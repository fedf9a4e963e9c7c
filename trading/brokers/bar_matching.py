"""How resting orders meet a bar: at its open, on the way between its extremes, at its close."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

from trading.brokers.fill_models import FillModel
from trading.brokers.resting import Resting

__all__ = ["BarPrices", "Matching", "meet_bar"]

BarPrices = tuple[int, int, int, int]
"""Open, high, low and close in price units."""


class Matching(Protocol):
    """What is done to an order that meets a price."""

    model: FillModel

    def fill(self, resting: Resting, price: int, executed: int, *, maker: bool) -> None:
        """Execute what the volume and the position allow, at one price."""
        ...

    def finish(self, resting: Resting, reason: str = "") -> None:
        """Cancel what is left of an order that does not rest."""
        ...

    def trigger(self, resting: Resting) -> None:
        """Note that a stop was reached."""
        ...

    def follow(self, resting: Resting, price: int | None) -> None:
        """Let a trailing stop follow the best price since it arrived."""
        ...

    def worse(self, resting: Resting, price: int) -> int:
        """The price with slippage, never beyond the order's limit."""
        ...

    def fits(self, resting: Resting, price: int) -> bool:
        """Whether the order would trade at this price."""
        ...

    def touched(self, resting: Resting, size: int) -> bool:
        """Whether a trade at the limit itself reaches this order in the queue."""
        ...


def meet_bar(
    broker: Matching,
    listed: dict[str, Resting],
    number: int,
    path: tuple[int, int, int, int],
    start: int,
    end: int,
) -> None:
    """Let the orders of a symbol meet the prices of a bar of [start, end) in their order.

    `listed` are the orders by id; those that end leave it. `number` is the bar's.
    """
    _at_open(broker, listed, number, path[0], start, end)
    for before, after in pairwise(path):
        if not listed:
            return
        _move(broker, listed, number, before, after, end)
    _at_close(broker, listed, number, path[3], end)


def _eligible(broker: Matching, listed: dict[str, Resting], number: int, end: int) -> list[Resting]:
    """Orders that may meet this bar: those that came before its end.

    An order that the close of another symbol's bar has caused must not trade in the past. With
    `intrabar`, orders that arise while this bar is met trade in the rest of it.
    """
    if broker.model.name == "intrabar":
        return [e for e in listed.values() if e.arrived < end or e.since == number]
    return [e for e in listed.values() if e.since < number and e.arrived < end]


def _at_open(
    broker: Matching, listed: dict[str, Resting], number: int, price: int, start: int, end: int
) -> None:
    at_open = broker.model.name in ("next_open", "intrabar")
    for resting in _eligible(broker, listed, number, end):
        if resting.order_id not in listed or resting.tif == "AT_CLOSE":
            continue
        if resting.opens_at is not None and resting.opens_at >= end:
            continue
        if resting.waits_for_stop:
            if resting.stop is not None and (price - resting.stop) * resting.side >= 0:
                # The gap went through the stop: it fills at what the market opened with.
                broker.trigger(resting)
                if broker.fits(resting, price):
                    broker.fill(resting, broker.worse(resting, price), start, maker=False)
            elif resting.kind == "TRAILING_STOP":
                broker.follow(resting, price)
            continue
        auction = resting.tif == "AT_OPEN"
        if resting.limit is not None:
            if broker.fits(resting, price):
                # At or beyond its limit the market opened in favour of the order.
                broker.fill(resting, price, start, maker=False)
        elif at_open or auction:
            broker.fill(resting, broker.worse(resting, price), start, maker=False)
        else:
            continue
        if auction or resting.tif in ("IOC", "FOK"):
            broker.finish(resting)


def _move(
    broker: Matching, listed: dict[str, Resting], number: int, start: int, target: int, end: int
) -> None:
    """Let the price go from one point to the next, and fill what lies on its way in order."""
    way = 1 if target > start else -1
    price = start
    met: set[str] = set()
    while True:
        best: tuple[int, Resting] | None = None
        for resting in _eligible(broker, listed, number, end):
            if resting.order_id in met or resting.order_id not in listed:
                continue
            level = _level(resting, way, target)
            # Behind the price lies what it has passed already.
            if level is None or (level - price) * way < 0:
                continue
            if best is None or (level - best[0]) * way < 0:
                best = level, resting
        if best is None:
            break
        price, resting = best
        met.add(resting.order_id)
        waited = resting.waits_for_stop
        _cross(broker, resting, price, target, end)
        if waited and resting.kind == "STOP_LIMIT" and resting.triggered:
            # It may meet its limit on the same way, once.
            met.discard(resting.order_id)
    for resting in _eligible(broker, listed, number, end):
        if resting.kind == "TRAILING_STOP" and resting.waits_for_stop:
            broker.follow(resting, target)


def _level(resting: Resting, way: int, target: int) -> int | None:
    """The price at which a move towards `target` meets the order, or None."""
    if resting.tif == "AT_CLOSE" or resting.opens_at is not None:
        return None
    if resting.waits_for_stop:
        level, meets = resting.stop, resting.side == way
    elif resting.rests_at_limit:
        level, meets = resting.limit, resting.side == -way
    else:
        return None
    if level is None or not meets or (target - level) * way < 0:
        return None
    return level


def _cross(broker: Matching, resting: Resting, price: int, target: int, end: int) -> None:
    if resting.waits_for_stop:
        broker.trigger(resting)
        if broker.fits(resting, price):
            broker.fill(resting, broker.worse(resting, price), end, maker=False)
    elif target != price or broker.touched(resting, 0):
        # Traded through; a move that ends at the limit has only touched it.
        broker.fill(resting, price, end, maker=True)


def _at_close(
    broker: Matching, listed: dict[str, Resting], number: int, price: int, end: int
) -> None:
    at_close = broker.model.name in ("next_close", "this_close")
    for resting in _eligible(broker, listed, number, end):
        if resting.order_id not in listed:
            continue
        if resting.tif == "AT_CLOSE":
            if resting.closes_at is not None and end < resting.closes_at:
                continue
            if broker.fits(resting, price):
                broker.fill(resting, price, end, maker=False)
            broker.finish(resting)
        elif resting.limit is None and not resting.waits_for_stop:
            waiting = resting.triggered or broker.model.volume_share is not None
            if at_close or waiting:
                broker.fill(resting, broker.worse(resting, price), end, maker=False)
            if at_close and resting.tif in ("IOC", "FOK"):
                broker.finish(resting)
