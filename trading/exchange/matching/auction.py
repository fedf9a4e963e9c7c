"""The price of a call auction: where the most trades, then where the least is left over."""

from __future__ import annotations

from collections.abc import Sequence

from trading.exchange.matching.orders import ExchangeOrder
from trading.exchange.matching.state import ExchangeState
from trading.exchange.matching.stops import Stops

__all__ = ["Auction", "AuctionSide", "auction_price"]

AuctionSide = Sequence[tuple[int | None, int]]
"""Limit price and size of each order of a side; None is an order at the market."""


def auction_price(buys: AuctionSide, sells: AuctionSide, reference: int | None) -> int | None:
    """Return the uniform price of an auction, in price units; None where nothing can trade.

    Of all limit prices and the reference (the last price) it is the one at which the most trades;
    among these the one that leaves the least over, then the nearest to the reference, then the
    lowest.
    """
    prices = {price for price, _ in (*buys, *sells) if price is not None}
    if reference is not None:
        prices.add(reference)
    best: tuple[int, int, int, int] | None = None
    for price in sorted(prices):
        wanted = sum(size for limit, size in buys if limit is None or limit >= price)
        given = sum(size for limit, size in sells if limit is None or limit <= price)
        volume = min(wanted, given)
        if not volume:
            continue
        away = 0 if reference is None else abs(price - reference)
        figure = (-volume, abs(wanted - given), away, price)
        if best is None or figure < best:
            best = figure
    return None if best is None else best[3]


class Auction:
    """Runs the auctions at the open and at the close, over the book and the orders for them."""

    def __init__(self, state: ExchangeState, stops: Stops) -> None:
        self._state = state
        self._stops = stops

    def run(self, symbol: str, tif: str) -> None:
        """Trade at one price what can trade; auction orders that do not fill are cancelled."""
        called = [
            order for order in self._state.auctions[symbol].values() if order.request.tif == tif
        ]
        queues = {side: self._queue(symbol, side, called) for side in (1, -1)}
        price = auction_price(
            [(order.limit, self._state.fillable(order)) for order in queues[1]],
            [(order.limit, self._state.fillable(order)) for order in queues[-1]],
            self._state.last.get(symbol),
        )
        if price is not None:
            buys, sells = (
                [
                    order
                    for order in queues[side]
                    if order.limit is None or (order.limit - price) * side >= 0
                ]
                for side in (1, -1)
            )
            self._pair(buys, sells, price)
        for order in called:
            if order.is_open:
                self._state.cancel(order, f"{tif}: not filled in the auction")

    def _queue(self, symbol: str, side: int, called: list[ExchangeOrder]) -> list[ExchangeOrder]:
        """Orders of a side: those at the market first, then by price, the book's before others."""
        mine = [order for order in called if order.side == side]
        market = [order for order in mine if order.limit is None]
        limited = [
            *self._state.books[symbol].orders(side),
            *(o for o in mine if o.limit is not None),
        ]
        limited.sort(key=lambda order: -(order.limit or 0) * side)
        return market + limited

    def _pair(self, buys: list[ExchangeOrder], sells: list[ExchangeOrder], price: int) -> None:
        buys, sells = list(reversed(buys)), list(reversed(sells))
        while buys and sells:
            buy, sell = buys[-1], sells[-1]
            size = min(self._state.fillable(buy), self._state.fillable(sell))
            if size:
                self._state.execute(buy, sell, size, price, 0)
                self._stops.meet(buy.symbol, price)
            for queue, order in ((buys, buy), (sells, sell)):
                if not order.is_open or not self._state.fillable(order):
                    queue.pop()
