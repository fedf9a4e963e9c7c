"""P&L of symbols whose shares were split: executions and splits, one by one in their order.

Everywhere else a sum over executions is enough. A split changes how many shares a lot has and not
what they cost, and fractions of a share are paid out, so that what comes after depends on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from trading.corporate_actions import Action
from trading.times import nanoseconds

__all__ = ["SplitBook", "money", "split_books"]

# Digits beyond the point of amounts that have no last one, such as a third of a dollar.
_MONEY_PLACES = 10

Row = tuple[int, str, str, str, str, datetime, Decimal, Decimal | None, Decimal | None]
"""Book, account, run, strategy, symbol, time, signed quantity, price and fees of an execution."""


class SplitBook:
    """Lots of one book, first in, first out. Sizes are signed; money is without the multiplier.

    `unit` is the smallest size that can be held; without it, fractions of any size can.
    """

    def __init__(self, unit: Fraction | None = None) -> None:
        self._unit = unit
        self._lots: deque[tuple[Fraction, Fraction]] = deque()
        self.realized = Fraction(0)
        self.fees = Fraction(0)
        self.fills = 0

    @property
    def net(self) -> Fraction:
        """What is held, below 0 when it is owed."""
        return sum((size for size, _ in self._lots), Fraction(0))

    @property
    def cost(self) -> Fraction:
        """What the open units were traded for, signed as they are."""
        return sum((value for _, value in self._lots), Fraction(0))

    def book(self, quantity: Fraction, price: Fraction, fees: Fraction) -> None:
        """Close lots of the other side, oldest first, and open one with what is left."""
        self.fees += fees
        self.fills += 1
        while quantity and self._lots and (self._lots[0][0] > 0) != (quantity > 0):
            size, value = self._lots[0]
            if abs(size) > abs(quantity):
                part = -quantity / size
                self.realized += -quantity * price - value * part
                self._lots[0] = (size + quantity, value * (1 - part))
                return
            self.realized += size * price - value
            quantity += size
            self._lots.popleft()
        if quantity:
            self._lots.append((quantity, quantity * price))

    def split(self, new: int, old: int) -> None:
        """Turn every `old` units into `new`; a fraction of a unit goes, the cost stays."""
        held = self._lots
        self._lots = deque()
        before = after = spare = Fraction(0)
        for size, value in held:
            before += size
            whole = self._whole(before * new / old)
            if whole == after:
                # Too small to be one unit: its cost goes on with the next lot.
                spare += value
                continue
            self._lots.append((whole - after, value + spare))
            after, spare = whole, Fraction(0)
        if spare and self._lots:
            size, value = self._lots[-1]
            self._lots[-1] = (size, value + spare)
        elif spare:
            self.realized -= spare

    def _whole(self, size: Fraction) -> Fraction:
        if self._unit is None:
            return size
        return int(size / self._unit) * self._unit


def split_books(
    rows: Iterable[Row],
    splits: Mapping[str, Sequence[Action]],
    units: Mapping[str, Fraction],
) -> dict[int, tuple[tuple[str, str, str, str], SplitBook]]:
    """Return each book's account, run, strategy and symbol, and its lots after rows and splits.

    `rows` are ordered by book and time. A split comes before the executions of its own moment.
    """
    found: dict[int, tuple[tuple[str, str, str, str], SplitBook]] = {}
    waiting: dict[int, deque[Action]] = {}
    for book, account, run, strategy, symbol, executed, quantity, price, fees in rows:
        if book not in found:
            found[book] = (account, run, strategy, symbol), SplitBook(units.get(symbol))
            waiting[book] = deque(splits.get(symbol, ()))
        lots, ahead = found[book][1], waiting[book]
        while ahead and ahead[0].time <= nanoseconds(executed):
            action = ahead.popleft()
            lots.split(action.new, action.old)
        lots.book(Fraction(quantity), Fraction(price or 0), Fraction(fees or 0))
    for book, ahead in waiting.items():
        for action in ahead:
            found[book][1].split(action.new, action.old)
    return found


def money(amount: Fraction) -> Decimal:
    """Return an amount with at most ten decimals, half to even; an exact one as it is."""
    scaled = round(amount * 10**_MONEY_PLACES)
    return Decimal(scaled).scaleb(-_MONEY_PLACES)
