"""What a group makes of its members' values: incremental aggregates, and any function."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Integral
from typing import Any

from reactive.errors import AggregateError
from reactive.exact import ExactSum
from reactive.extremes import Extreme
from reactive.running import Running

Reduce = Callable[[list[Any]], Any]
_SMALLEST = 1074
"""The smallest positive double is 2**-1074."""


@dataclass(frozen=True)
class Aggregate:
    """A way to reduce the values of a group's members to one.

    `weight` names a second field or computed value of each member; the values are then pairs.
    """

    name: str
    start: Callable[[], Running]
    weight: str | None = None
    calls_back: bool = False
    """Its value is computed by somebody else's function."""


class _Count(Running):
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
    __slots__ = ()

    def value(self) -> Any:
        return self.mean()


class _Deviation(Running):
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


class _WeightedMean(Running):
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


class _Listed(Running):
    """The members' values in the order in which the members joined."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[Hashable, Any] = {}

    def insert(self, member: Hashable, value: Any) -> None:
        self._members[member] = value

    def delete(self, member: Hashable, value: Any) -> None:
        del self._members[member]

    def replace(self, member: Hashable, old: Any, new: Any) -> None:
        self._members[member] = new


class _Ends(_Listed):
    """The value of the member that joined first, or last, among those that are in; null counts."""

    __slots__ = ("_from_end",)

    def __init__(self, from_end: bool) -> None:
        super().__init__()
        self._from_end = from_end

    def value(self) -> Any:
        members = self._members
        if not members:
            return None
        return members[next(reversed(members) if self._from_end else iter(members))]


class _Called(_Listed):
    """Any function, called on the list of the members' values."""

    __slots__ = ("_reduce",)

    def __init__(self, reduce_fn: Reduce) -> None:
        super().__init__()
        self._reduce = reduce_fn

    def value(self) -> Any:
        return self._reduce(list(self._members.values()))


def _extreme(greatest: bool) -> Callable[[], Running]:
    return lambda: Extreme(greatest)


def _ends(from_end: bool) -> Callable[[], Running]:
    return lambda: _Ends(from_end)


SUM = Aggregate("sum", ExactSum)
MIN = Aggregate("min", _extreme(False))
MAX = Aggregate("max", _extreme(True))
MEAN = Aggregate("mean", _Mean)
COUNT = Aggregate("count", _Count)
STD = Aggregate("std", _Deviation)
FIRST = Aggregate("first", _ends(False))
LAST = Aggregate("last", _ends(True))

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
        getattr(given, "__name__", repr(given)), lambda: _Called(given), calls_back=True
    )
