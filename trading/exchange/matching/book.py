"""The book of one symbol: resting orders by price, and by time within a price."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from trading.exchange.matching.orders import ExchangeOrder

__all__ = ["Book", "DepthLevel"]

DepthLevel = tuple[int, int, int]
"""Price, size and number of orders."""


class Book:
    """Resting limit orders; the best price first, at one price the one that came first.

    Keys are prices times the side, so that on both sides the largest key is the best price.
    """

    def __init__(self) -> None:
        self._keys: dict[int, list[int]] = {1: [], -1: []}
        self._levels: dict[int, dict[int, dict[str, ExchangeOrder]]] = {1: {}, -1: {}}
        self._sizes: dict[int, dict[int, int]] = {1: {}, -1: {}}

    def add(self, order: ExchangeOrder) -> None:
        """Let an order rest behind those of its price."""
        side, key = order.side, self._key(order)
        level = self._levels[side].get(key)
        if level is None:
            level = self._levels[side][key] = {}
            self._sizes[side][key] = 0
            insort(self._keys[side], key)
        level[order.venue_id] = order
        self._sizes[side][key] += order.leaves
        order.resting = True

    def remove(self, order: ExchangeOrder) -> None:
        """Take an order out; harmless where it does not rest."""
        if not order.resting:
            return
        side, key = order.side, self._key(order)
        level = self._levels[side][key]
        del level[order.venue_id]
        self._sizes[side][key] -= order.leaves
        order.resting = False
        if not level:
            del self._levels[side][key], self._sizes[side][key]
            keys = self._keys[side]
            del keys[bisect_left(keys, key)]

    def resize(self, order: ExchangeOrder, change: int) -> None:
        """Note that a resting order's open size has changed; it keeps its place."""
        if order.resting:
            self._sizes[order.side][self._key(order)] += change

    def best(self, side: int) -> ExchangeOrder | None:
        """Return the order of a side that trades next."""
        keys = self._keys[side]
        if not keys:
            return None
        return next(iter(self._levels[side][keys[-1]].values()))

    def best_price(self, side: int) -> int | None:
        """Return the best price of a side, in price units."""
        keys = self._keys[side]
        return keys[-1] * side if keys else None

    def best_size(self, side: int) -> int:
        """Return the size at the best price of a side."""
        keys = self._keys[side]
        return self._sizes[side][keys[-1]] if keys else 0

    def orders(self, side: int) -> Iterator[ExchangeOrder]:
        """Yield the orders of a side in the order in which they trade."""
        for key in reversed(self._keys[side]):
            yield from self._levels[side][key].values()

    def depth(self, side: int, levels: int) -> list[DepthLevel]:
        """Return the best levels of a side."""
        keys = self._keys[side]
        return [
            (key * side, self._sizes[side][key], len(self._levels[side][key]))
            for key in reversed(keys[-levels:] if levels else keys)
        ]

    @staticmethod
    def _key(order: ExchangeOrder) -> int:
        if order.limit is None:
            raise AssertionError(f"order {order.venue_id} has no limit price and cannot rest")
        return order.limit * order.side
