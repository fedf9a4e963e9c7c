"""Stop orders: which of them a trade reaches, and trailing stops that follow the price."""

from __future__ import annotations

from trading.exchange.matching.orders import ExchangeOrder
from trading.exchange.matching.state import ExchangeState

__all__ = ["Stops"]


class Stops:
    """Watches the orders that wait for their stop price; `reached` are those whose turn comes."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state
        self.reached: list[ExchangeOrder] = []

    def meet(self, symbol: str, price: int) -> None:
        """Let the waiting orders of a symbol hear of a trade; those reached act later, in turn."""
        waiting = self._state.waiting[symbol]
        if not waiting:
            return
        reached = []
        for order in waiting.values():
            self.follow(order, price)
            if self.is_reached(order, price):
                reached.append(order)
        for order in reached:
            del waiting[order.venue_id]
        self.reached += reached

    @staticmethod
    def is_reached(order: ExchangeOrder, price: int | None) -> bool:
        """Whether a price is at or beyond an order's stop."""
        if price is None or order.stop is None:
            return False
        return (price - order.stop) * order.side >= 0

    def follow(self, order: ExchangeOrder, price: int) -> None:
        """Let a trailing stop follow the best price since it arrived."""
        request = order.request
        if request.kind != "TRAILING_STOP":
            return
        if order.best is not None and (price - order.best) * order.side >= 0:
            return
        order.best = price
        if request.trail is not None:
            distance = request.trail
        else:
            step = self._state.specs[order.symbol].price_increment
            part = abs(price) * (request.trail_bps or 0)
            distance = -(-part // (10_000 * step)) * step
        stop = price + order.side * distance
        # A stop that was given holds until the market has moved far enough.
        if order.stop is None or (stop - order.stop) * order.side < 0:
            order.stop = stop
