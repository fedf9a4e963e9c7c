"""From which prices on a tick matters to an order that waits, kept sorted per symbol."""

from __future__ import annotations

from bisect import bisect_left, insort

from trading.numbers import INT64_MAX

__all__ = ["EVERY_TICK", "NEVER", "LevelBook", "Levels"]

Levels = tuple[int, int, int, int]
"""A tick matters where price <= the first or >= the second, ask <= the third or bid >= the last."""

NEVER: Levels = (-INT64_MAX, INT64_MAX, -INT64_MAX, INT64_MAX)
EVERY_TICK: Levels = (INT64_MAX, -INT64_MAX, INT64_MAX, -INT64_MAX)


class _Sorted:
    """The levels of one symbol's orders: four sorted lists, and how many orders want every tick."""

    __slots__ = ("columns", "every")

    def __init__(self) -> None:
        self.columns: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
        self.every = 0


class LevelBook:
    """Levels of waiting orders by id; `moved` collects the symbols whose levels have changed."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, Levels]] = {}
        self._sorted: dict[str, _Sorted] = {}
        self.moved: set[str] = set()

    def set(self, order_id: str, symbol: str, levels: Levels) -> None:
        """Note what an order waits for, in place of what it waited for before."""
        known = self._of.get(order_id)
        if known is not None:
            if known[1] == levels:
                return
            self.drop(order_id)
        self._of[order_id] = symbol, levels
        found = self._sorted.get(symbol)
        if found is None:
            found = self._sorted[symbol] = _Sorted()
        if levels == EVERY_TICK:
            found.every += 1
        else:
            for column, level, never in zip(found.columns, levels, NEVER, strict=True):
                if level != never:
                    insort(column, level)
        self.moved.add(symbol)

    def drop(self, order_id: str) -> None:
        """Forget an order."""
        known = self._of.pop(order_id, None)
        if known is None:
            return
        symbol, levels = known
        found = self._sorted[symbol]
        if levels == EVERY_TICK:
            found.every -= 1
        else:
            for column, level, never in zip(found.columns, levels, NEVER, strict=True):
                if level != never:
                    del column[bisect_left(column, level)]
        self.moved.add(symbol)

    def levels(self, symbol: str) -> Levels:
        """Return from which prices on a tick of a symbol matters to any order."""
        found = self._sorted.get(symbol)
        if found is None:
            return NEVER
        if found.every:
            return EVERY_TICK
        lows, highs, asks, bids = found.columns
        return (
            lows[-1] if lows else NEVER[0],
            highs[0] if highs else NEVER[1],
            asks[-1] if asks else NEVER[2],
            bids[0] if bids else NEVER[3],
        )

    def clear(self) -> None:
        """Forget everything."""
        self._of.clear()
        self._sorted.clear()
