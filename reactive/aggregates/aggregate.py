"""The aggregates of groups: those that are updated incrementally, and any function."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from numbers import Integral
from typing import Any

from reactive.aggregates.accumulator import Accumulator
from reactive.aggregates.exact_sum import ExactSum
from reactive.aggregates.extreme import Extreme
from reactive.errors import AggregateError

Reduce = Callable[[list[Any]], Any]
_SMALLEST = 1074
"""The smallest positive double is 2**-1074."""


@dataclass(frozen=True)
class Aggregate:
    """A way to reduce the values of a group's members to one.

    `weight` names a second field or computed value of each member; the values are then pairs.
    """

    name: str
    start: Callable[[], Accumulator]
    weight: str | None = None
    calls_back: bool = False
    """Whether its value is computed by a function of the user."""


class _Count(Accumulator):
    """All members count, those without a value too: it is what `len` gives."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members = 0

    def insert(self, member: Hashable, value: Any) -> None:
        self._members += 1

    def delete(self, member: Hashable, value: Any) -> None:
        self._members -= 1

    def replace(self, member: Hashable, old: Any, new: Any) -> None:
        pass

    def value(self) -> int:
        return self._members


class _Mean(ExactSum):
    """An exact sum that is read as the mean."""

    __slots__ = ()

    def value(self) -> Any:
        return self.mean()


class _Deviation(Accumulator):
    """The sample standard deviation, from exact sums of the values and of their squares.

    Every finite double is a whole multiple of 2**-1074, so both sums are whole numbers, or
    fractions where a decimal is in.
    """

    __slots__ = ("_special", "_squares", "_sum", "_values")

    def __init__(self) -> None:
        self._values = 0
        self._sum: int | Fraction = 0
        self._squares: int | Fraction = 0
        self._special = 0

    def insert(self, member: Hashable, value: Any) -> None:
        self._count(value, 1)

    def delete(self, member: Hashable, value: Any) -> None:
        self._count(value, -1)

    def value(self) -> float | None:
        n = self._values
        if n < 2:
            return None
        if self._special:
            return math.nan
        spread = n * self._squares - self._sum * self._sum
        try:
            below = spread.denominator * n * (n - 1)
            return _root_of_ratio(spread.numerator, below << 2 * _SMALLEST)
        except OverflowError:
            return math.inf

    def _count(self, value: Any, sign: int) -> None:
        if value is None:
            return
        units: int | Fraction
        if not isinstance(value, (float, int, Integral, Decimal)):
            raise TypeError(f"a deviation takes numbers, given {type(value).__name__} {value!r}")
        self._values += sign
        if isinstance(value, (int, Integral)):
            units = int(value) << _SMALLEST
        elif not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
            self._special += sign
            return
        elif isinstance(value, Decimal):
            units = Fraction(value) * 2**_SMALLEST
        else:
            numerator, denominator = value.as_integer_ratio()
            units = numerator << (_SMALLEST + 1 - denominator.bit_length())
        self._sum += sign * units
        self._squares += sign * units * units


def _root_of_ratio(numerator: int, denominator: int) -> float:
    """Return the square root of a fraction, rounded once (as in CPython's statistics module)."""
    scale = (numerator.bit_length() - denominator.bit_length() - 109) // 2
    if scale >= 0:
        return float(_odd_root(numerator, denominator << 2 * scale) << scale)
    return _odd_root(numerator << -2 * scale, denominator) / (1 << -scale)


def _odd_root(numerator: int, denominator: int) -> int:
    """Return the whole square root of a fraction, made odd where it is not exact."""
    root = math.isqrt(numerator // denominator)
    return root | (root * root * denominator != numerator)


class _WeightedMean(Accumulator):
    """The sum of value × weight over the sum of weights; a pair with a null does not count."""

    __slots__ = ("_products", "_weights")

    def __init__(self) -> None:
        self._products = ExactSum()
        self._weights = ExactSum()

    def insert(self, member: Hashable, value: Any) -> None:
        worth, weight = value
        if worth is not None and weight is not None:
            self._products.insert(member, worth * weight)
            self._weights.insert(member, weight)

    def delete(self, member: Hashable, value: Any) -> None:
        worth, weight = value
        if worth is not None and weight is not None:
            self._products.delete(member, worth * weight)
            self._weights.delete(member, weight)

    def value(self) -> Any:
        # Both are read each time, so that they stay short.
        total, weights = self._products.value(), self._weights.value()
        return total / weights if weights else None


class _Members(Accumulator):
    """The members' values in the order in which the members joined, and a function of them."""

    __slots__ = ("_members", "_result")

    def __init__(self, result: Callable[[dict[Hashable, Any]], Any]) -> None:
        self._members: dict[Hashable, Any] = {}
        self._result = result

    def insert(self, member: Hashable, value: Any) -> None:
        self._members[member] = value

    def delete(self, member: Hashable, value: Any) -> None:
        del self._members[member]

    def replace(self, member: Hashable, old: Any, new: Any) -> None:
        self._members[member] = new

    def value(self) -> Any:
        return self._result(self._members)


def _first(members: dict[Hashable, Any]) -> Any:
    """Return the value of the member that joined first among those that are in; null counts."""
    return members[next(iter(members))] if members else None


def _last(members: dict[Hashable, Any]) -> Any:
    """Return the value of the member that joined last among those that are in; null counts."""
    return members[next(reversed(members))] if members else None


SUM = Aggregate("sum", ExactSum)
MIN = Aggregate("min", partial(Extreme, greatest=False))
MAX = Aggregate("max", partial(Extreme, greatest=True))
MEAN = Aggregate("mean", _Mean)
COUNT = Aggregate("count", _Count)
STD = Aggregate("std", _Deviation)
FIRST = Aggregate("first", partial(_Members, _first))
LAST = Aggregate("last", partial(_Members, _last))

_NAMED = {a.name: a for a in (SUM, MIN, MAX, MEAN, COUNT, STD, FIRST, LAST)}
_FUNCTIONS: tuple[tuple[Any, Aggregate], ...] = (
    (sum, SUM),
    (math.fsum, SUM),
    (min, MIN),
    (max, MAX),
    (len, COUNT),
    (statistics.mean, MEAN),
    (statistics.fmean, MEAN),
    (statistics.stdev, STD),
)


def weighted_mean(weight: str) -> Aggregate:
    """Return the mean weighted by another field or computed value of the members."""
    return Aggregate("weighted_mean", _WeightedMean, weight)


def aggregate_of(given: Aggregate | str | Reduce) -> Aggregate:
    """Return the aggregate that a name, a well-known function or any other function means."""
    if isinstance(given, Aggregate):
        return given
    if isinstance(given, str):
        if given not in _NAMED:
            raise AggregateError(given, sorted(_NAMED))
        return _NAMED[given]
    for function, aggregate in _FUNCTIONS:
        if given is function:
            return aggregate
    return Aggregate(
        getattr(given, "__name__", repr(given)),
        lambda: _Members(lambda members: given(list(members.values()))),
        calls_back=True,
    )
