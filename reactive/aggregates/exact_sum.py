"""A running sum without drift: it is exact inside, and rounded once, when it is read."""

from __future__ import annotations

from collections.abc import Hashable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact
from fractions import Fraction
from math import copysign, fsum, inf, isfinite, isinf, nan
from numbers import Integral
from operator import neg
from typing import Any

PARTS_MAX = 16
"""Terms that wait before they are folded; below it, summing them is cheaper than folding them."""

_EXACTLY = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


class ExactSum:
    """An accumulator: the total of the members' values.

    It equals `math.fsum` of them, in whatever order they came and went. Whole numbers alone give an
    exact int, decimals (with whole numbers) an exact Decimal; a float among them makes the total a
    float. Null is ignored; a NaN, or infinities of both signs, make the total NaN while they are in
    it. A total beyond the largest double is infinite. A value that is not a number raises TypeError
    and leaves the total as it was.

    The floats are kept as a list of doubles whose exact sum is the total (Shewchuk 1997): `fsum`
    rounds it, and folds it by taking away what it has rounded to until nothing is left.
    """

    __slots__ = (
        "_decimals",
        "_floats",
        "_infinite",
        "_nans",
        "_odd",
        "_parts",
        "_points",
        "_whole",
        "count",
    )

    def __init__(self) -> None:
        self._parts: list[float] = []
        self._whole = 0
        self._points = Decimal(0)
        self._floats = 0
        self._decimals = 0
        self._nans = 0
        self._infinite = [0, 0]
        self._odd = 0  # members that are no finite floats
        self.count = 0
        """How many numbers are in."""

    def insert(self, member: Hashable, value: Any) -> None:
        """Add a member."""
        self._count(value, 1)

    def delete(self, member: Hashable, value: Any) -> None:
        """Remove a member whose value is `value`."""
        self._count(value, -1)

    def replace(self, member: Hashable, old: Any, new: Any) -> None:
        """Change a member's value."""
        if new.__class__ is float and old.__class__ is float:
            change = new - old
            if change - change == 0.0:  # neither of them is infinite or NaN
                parts = self._parts
                parts.append(new)
                parts.append(-old)
                return
        if new.__class__ is int and old.__class__ is int:
            self._whole += new - old
            return
        self._count(old, -1)
        self._count(new, 1)

    def replace_many(self, olds: list[Any], news: list[Any]) -> bool:
        """Change the values of many members if all are finite floats; return whether they were."""
        # With nothing odd inside, the old ones are; and one NaN or infinity shows in a sum.
        if self._odd or set(map(type, news)) != {float} or not isfinite(sum(news)):
            return False
        # Side by side, and the total last: fsum is twice as fast while its running sum is small.
        parts = [0.0] * (2 * len(news))
        parts[::2] = news
        parts[1::2] = map(neg, olds)
        self._parts = parts + self._parts
        return True

    def value(self) -> Any:
        """Return the total."""
        if len(self._parts) > PARTS_MAX:
            self._fold()
        if self._odd:
            special = self._special()
            if special is not None:
                return special
            if not self._floats:
                return self._exact() if self._decimals else self._whole
            if self._whole or self._points:
                return _as_float(self.fraction())
        try:
            return fsum(self._parts) if self._floats else 0
        except OverflowError:  # fsum gives up on sums that pass the largest double on their way
            return _as_float(self.fraction())

    def mean(self) -> Any:
        """Return the total over the count, rounded once; null where there are no numbers."""
        if not self.count:
            return None
        parts = self._fold()
        if self._odd:
            special = self._special()
            if special is not None:
                return special
            if self._decimals and not self._floats:
                return self._exact() / self.count
            if self._whole or self._points:
                return _as_float(self.fraction() / self.count)
        # The same as the line above, in a fraction of its time.
        ratios = [part.as_integer_ratio() for part in parts]
        finest = max((below for _, below in ratios), default=1)
        above = sum(above * (finest // below) for above, below in ratios)
        try:
            return above / (finest * self.count)
        except OverflowError:
            return inf if above > 0 else -inf

    def _exact(self) -> Decimal:
        return _EXACTLY.add(self._points, self._whole)

    def fraction(self) -> Fraction:
        """Return the exact total of the finite numbers."""
        return sum(map(Fraction, self._parts), Fraction(self._points) + self._whole)

    def _special(self) -> float | None:
        plus, minus = self._infinite
        if self._nans or (plus and minus):
            return nan
        if plus or minus:
            return inf if plus else -inf
        return None

    def _count(self, number: Any, sign: int) -> None:
        if number is None:
            self._odd += sign
            return
        if isinstance(number, Decimal) and not number.is_finite():
            number = nan if number.is_nan() else copysign(inf, number)
        if isinstance(number, float):
            self._floats += sign
            if isfinite(number):
                # Not `sign * number`: numbers of a subclass (numpy's) go in as plain doubles.
                self._parts.append(float(number) if sign > 0 else -float(number))
            else:
                self._odd += sign
                if isinf(number):
                    self._infinite[number < 0] += sign
                else:
                    self._nans += sign
            if not self._floats:
                self._parts.clear()
        elif isinstance(number, (int, Integral)):
            self._whole += sign * int(number)
            self._odd += sign
        elif isinstance(number, Decimal):
            self._decimals += sign
            # Not `-number`: that rounds to the precision of the current context.
            change = _EXACTLY.add if sign > 0 else _EXACTLY.subtract
            self._points = change(self._points, number)
            self._odd += sign
        else:
            raise TypeError(f"a sum takes numbers, given {type(number).__name__} {number!r}")
        self.count += sign

    def _fold(self) -> list[float]:
        """Write the parts as few doubles with the same exact sum."""
        parts = self._parts
        folded: list[float] = []
        try:
            while (rounded := fsum(parts)) != 0.0:
                folded.append(rounded)
                parts.append(-rounded)
        except OverflowError:
            del parts[len(parts) - len(folded) :]
            folded = _cancelled(parts)
        self._parts = folded
        return folded


def _cancelled(parts: list[float]) -> list[float]:
    """Drop what was added and taken away again; the way out where `fsum` overflows."""
    left: dict[float, int] = {}
    for part in parts:
        size = abs(part)
        left[size] = left.get(size, 0) + (1 if part > 0 else -1)
    return [copysign(size, times) for size, times in left.items() for _ in range(abs(times))]


def _as_float(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return inf if exact > 0 else -inf
