"""Orders that the kernel holds until their trigger, for venues that do not know them."""

from __future__ import annotations

from collections.abc import Callable

from trading.brokers.levels import EVERY_TICK, NEVER, LevelBook, Levels
from trading.orders.order import Order
from trading.orders.status import OrderStatus
from trading.orders.writer import OrderWriter
from trading.risk.account import Market

__all__ = ["Emulator"]

_EMULATED = OrderStatus.EMULATED


class Emulator:
    """Holds stops and trailing stops per symbol; a reached one is released to the market.

    A stop becomes a market order, a stop-limit a limit order. Triggers are trades, not quotes.
    """

    def __init__(
        self, writer: OrderWriter, market: Market, submit: Callable[[Order], None]
    ) -> None:
        self._writer = writer
        self._market = market
        self._submit = submit
        self.held: dict[str, list[str]] = {}
        self.levels = LevelBook()

    def hold(self, order: Order) -> None:
        """Hold an order until its trigger; one that is reached already is released at once."""
        self._writer.event(order, "EMULATED")
        self.held.setdefault(order.symbol, []).append(order.order_id)
        self.replaced(order)

    def on_price(self, symbol: str, price: int) -> None:
        """Release what a trade has reached, and let trailing stops follow it."""
        for order_id in list(self.held.get(symbol, ())):
            order = self._writer.orders.get(order_id)
            if order is None or order.status is not _EMULATED:
                self._drop(symbol, order_id)
            else:
                self._meet(order, price)

    def _meet(self, order: Order, price: int) -> None:
        if order.kind == "TRAILING_STOP":
            self._follow(order, price)
        if order.stop is None or (price - order.stop) * order.side < 0:
            return
        self._drop(order.symbol, order.order_id)
        order.triggered = True
        order.kind = "LIMIT" if order.kind == "STOP_LIMIT" else "MARKET"
        order.stop = order.trail = order.trail_bps = None
        self._writer.event(order, "RELEASED")
        self._submit(order)

    def _follow(self, order: Order, price: int) -> None:
        if order.trail is not None:
            distance = order.trail
        else:
            step = self._market.specs[order.symbol].price_increment
            distance = -(-abs(price) * (order.trail_bps or 0) // (10_000 * step)) * step
        stop = price + order.side * distance
        if order.stop is None or (stop - order.stop) * order.side < 0:
            self._writer.move_stop(order, stop)
            self.levels.set(order.order_id, order.symbol, _levels_of(order))

    def _drop(self, symbol: str, order_id: str) -> None:
        held = self.held[symbol]
        held.remove(order_id)
        if not held:
            del self.held[symbol]
        self.levels.drop(order_id)

    def changed(self, order: Order) -> None:
        """Hear that an order is held, has other terms, or has ended."""
        if order.status is not _EMULATED:
            if order.order_id in self.held.get(order.symbol, ()):
                self._drop(order.symbol, order.order_id)
            return
        self.levels.set(order.order_id, order.symbol, _levels_of(order))

    def replaced(self, order: Order) -> None:
        """Hear that an order has other terms: a stop that is reached already acts at once."""
        self.changed(order)
        last = self._market.last.get(order.symbol)
        if order.status is _EMULATED and last is not None:
            self._meet(order, last)

    def restore(self, held: dict[str, list[str]]) -> None:
        """Go on from a snapshot."""
        self.held.clear()
        self.held.update(held)
        self.levels.clear()
        for order_ids in held.values():
            for order_id in order_ids:
                order = self._writer.orders.get(order_id)
                if order is not None:
                    self.changed(order)


def _levels_of(order: Order) -> Levels:
    """Where a trade triggers an order, or moves its stop: every move is said, so it is walked."""
    stop, side = order.stop, order.side
    if stop is None:
        return EVERY_TICK
    low, high, low_ask, high_bid = NEVER
    trigger = (low, stop) if side > 0 else (stop, high)
    if order.kind != "TRAILING_STOP":
        return *trigger, low_ask, high_bid
    if order.trail is not None:
        moves = stop - side * (order.trail + 1)
    elif stop <= 0:
        return EVERY_TICK
    else:
        # The distance is at least so many basis points of the price: at no nearer price it moves.
        part = 10_000 + side * (order.trail_bps or 0)
        moves = -(-stop * 10_000 // part) if side > 0 else stop * 10_000 // part
    return (moves, stop, low_ask, high_bid) if side > 0 else (stop, moves, low_ask, high_bid)
