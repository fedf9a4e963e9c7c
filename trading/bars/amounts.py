"""Bars that end by what is traded: so many ticks, so much volume, so much notional amount."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.bars.fold import NOTIONAL_DIGITS, whole_units
from trading.bars.interval import Interval, IntervalKind
from trading.bars.ticks import TickColumns

_INT64_SAFE = 2**62


class AmountCutter:
    """Says which bar each tick belongs to, for one interval; keeps what each symbol has so far.

    A tick is never divided: the one that reaches the threshold is the last of its bar, and what it
    has above the threshold is not carried over. Ticks count in the order in which they came.
    """

    def __init__(
        self, interval: Interval, units: Callable[[str], tuple[int, int]] | None = None
    ) -> None:
        self.interval = interval
        # The decimal places of a symbol's prices and sizes, where columns hold whole numbers.
        self._units = units
        self._so_far: dict[str, int] = {}
        # Amounts are kept as integers of so many decimal places.
        self._digits = 0 if interval.kind is IntervalKind.TICKS else NOTIONAL_DIGITS

    def state(self) -> dict[str, int]:
        """What each symbol's open bar has so far, in units of the smallest decimal place."""
        return dict(self._so_far)

    def restore(self, state: dict[str, int]) -> None:
        """Go on from a state."""
        self._so_far = dict(state)

    def cut(self, columns: TickColumns) -> tuple[npt.NDArray[np.intp], dict[int, int]]:
        """The ordinal of each tick's bar within this call, from 0 on for each symbol.

        The second value says for each symbol's code how many bars were completed: ordinals below
        it.
        """
        ordinal = np.zeros(len(columns), dtype=np.intp)
        complete: dict[int, int] = {}
        for code in np.unique(columns.symbol).tolist():
            rows = np.flatnonzero(columns.symbol == code)
            name = columns.names[code]
            before = self._so_far.get(name, 0)
            if self.interval.kind is IntervalKind.TICKS:
                threshold = int(self.interval.threshold)
                ordinal[rows] = (before + np.arange(len(rows))) // threshold
                complete[code], self._so_far[name] = divmod(before + len(rows), threshold)
                continue
            amounts, digits = self._amounts(columns, rows)
            ends, rest = self._ends(amounts, digits, before)
            ordinal[rows] = np.searchsorted(ends, np.arange(len(rows)), side="left")
            complete[code], self._so_far[name] = len(ends), rest
        return ordinal, complete

    def count(self, symbol: str, price: int, size: int) -> bool:
        """Count one tick in whole units of its symbol; True where it reached the threshold."""
        if self.interval.kind is IntervalKind.TICKS:
            amount = 1
        else:
            price_digits, size_digits = (0, 0) if self._units is None else self._units(symbol)
            amount, digits = size, size_digits
            if self.interval.kind is IntervalKind.NOTIONAL:
                amount, digits = abs(price * size), size_digits + price_digits
            amount *= 10 ** (self._digits - digits)
        so_far = self._so_far.get(symbol, 0) + amount
        reached = so_far >= int(self.interval.threshold.scaleb(self._digits))
        self._so_far[symbol] = 0 if reached else so_far
        return reached

    def _amounts(self, columns: TickColumns, rows: Any) -> tuple[npt.NDArray[Any], int]:
        sizes, size_digits = whole_units(columns.size.take(rows))
        places = self._units
        name = columns.names[columns.symbol[rows[0]]]
        if places is not None:
            size_digits = places(name)[1]
        if self.interval.kind is IntervalKind.VOLUME:
            return sizes, size_digits
        prices, price_digits = whole_units(columns.price.take(rows))
        if places is not None:
            price_digits = places(name)[0]
        largest = int(abs(prices).max()) * int(sizes.max()) if len(rows) else 0
        if largest >= _INT64_SAFE:
            prices, sizes = prices.astype(object), sizes.astype(object)
        return abs(prices * sizes), price_digits + size_digits

    def _ends(
        self, amounts: npt.NDArray[Any], digits: int, before: int
    ) -> tuple[npt.NDArray[np.intp], int]:
        """The place of each bar's last tick, and what the open bar has."""
        scale = 10 ** (self._digits - digits)
        threshold = int(self.interval.threshold.scaleb(self._digits))
        total = before + sum(amounts.tolist()) * scale
        if total >= _INT64_SAFE * scale or before % scale or threshold % scale:
            amounts, scale = amounts.astype(object) * scale, 1
        reached = np.cumsum(amounts)
        # What the open bar needs still, in the units of this piece.
        target = (threshold - before) // scale
        step = threshold // scale
        ends: list[int] = []
        while True:
            place = int(np.searchsorted(reached, target, side="left"))
            if place >= len(reached):
                break
            ends.append(place)
            target = int(reached[place]) + step
        base = target - step
        last = int(reached[-1]) if len(reached) else 0
        rest = (last - base) * scale
        return np.array(ends, dtype=np.intp), rest
