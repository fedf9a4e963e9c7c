"""What all indicators have in common, and sums over a moving window."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from math import isfinite
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from trading.errors import IndicatorError

# Floats are added as integers of this many binary places: the sum of a window depends on the window
# alone, never on what was added and taken away before it.
_BINARY_PLACES = 60
_SCALE = float(2**_BINARY_PLACES)


class Indicator(ABC):
    """A figure over a series, a value at a time.

    `inputs` names what `update` takes, in its order; `outputs` what `value` holds where it is more
    than one number. `value` is None until there were enough values, and `ready` says whether there
    were.
    """

    inputs: ClassVar[tuple[str, ...]] = ("close",)
    outputs: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.value: Any = None

    @property
    def ready(self) -> bool:
        """Whether there were enough values for a figure."""
        return self.value is not None

    def update(self, *values: Any) -> Any:
        """Take the next values and return the figure, or None while there were too few.

        IndicatorError for a wrong number of values, and for one that is missing, NaN or infinite;
        nothing is changed by it.
        """
        if len(values) != len(self.inputs):
            raise IndicatorError(
                f"{type(self).__name__}.update takes {', '.join(self.inputs)}; "
                f"got {len(values)} values"
            )
        # A number less itself is zero, except for NaN and the infinities.
        if len(values) == 1:
            x = values[0]
            if type(x) is float and x - x == 0.0:
                self.value = value = self._next(x)
                return value
        numbers = [self._number(*each) for each in zip(self.inputs, values, strict=True)]
        self.value = value = self._next(*numbers)
        return value

    def extend(self, *columns: list[float]) -> list[Any]:
        """Take many values at once, a list for each input; returns the figure after each.

        The same as `update` for one after the other, None while there were too few values.
        IndicatorError for a value that is missing, NaN or infinite; nothing is changed by it.
        """
        if len(columns) != len(self.inputs):
            raise IndicatorError(
                f"{type(self).__name__}.extend takes {', '.join(self.inputs)}; "
                f"got {len(columns)} columns"
            )
        for name, column in zip(self.inputs, columns, strict=True):
            if not all(map(isfinite, column)):
                for x in column:
                    self._number(name, x)
        return self._extend(*columns)

    def _extend(self, *columns: list[float]) -> list[Any]:
        """Take finite values; a subclass may know a faster way."""
        following, figures = self._next, []
        for row in zip(*columns, strict=True):
            self.value = value = following(*row)
            figures.append(value)
        return figures

    def peek(self, *values: Any) -> Any:
        """The figure that `update` would give, for a bar that is not final; nothing is changed."""
        return copy.deepcopy(self).update(*values)

    def batch(self, columns: Any) -> npt.NDArray[np.float64]:
        """The figures of whole columns, from the state that the indicator is in; NaN while not
        ready.

        columns: a mapping, Arrow table or frame with the `inputs`, or one array where there is one
        input. The result has shape (n,), or (n, number of outputs). The indicator itself stays as
        it is.
        """
        arrays = [self._column(columns, name).tolist() for name in self.inputs]
        width = len(self.outputs)
        nothing: Any = (float("nan"),) * width if width else float("nan")
        figures = [
            nothing if value is None else value for value in copy.deepcopy(self).extend(*arrays)
        ]
        shape = (len(figures), width) if width else (len(figures),)
        return np.array(figures, dtype=np.float64).reshape(shape)

    @abstractmethod
    def _next(self, *values: float) -> Any:
        """Take finite values, and give the figure or None."""

    def _number(self, name: str, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if number - number != 0.0:
            raise IndicatorError(
                f"{type(self).__name__}: {name} is {value!r}; it must be a finite number. Leave "
                "out a bar that has none"
            )
        return number

    def _column(self, columns: Any, name: str) -> npt.NDArray[np.float64]:
        if len(self.inputs) == 1 and (
            isinstance(columns, (list, tuple, np.ndarray)) or not hasattr(columns, "__getitem__")
        ):
            return np.asarray(columns, dtype=np.float64)
        try:
            return np.asarray(columns[name], dtype=np.float64)
        except (KeyError, IndexError, TypeError):
            if len(self.inputs) == 1 and getattr(columns, "ndim", 0) == 1:
                return np.asarray(columns, dtype=np.float64)
            raise IndicatorError(
                f"{type(self).__name__}.batch needs the columns {', '.join(self.inputs)}; "
                f"{name} is missing"
            ) from None


def period(name: str, value: Any, minimum: int = 1) -> int:
    """A whole number of values, at least `minimum`; IndicatorError otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise IndicatorError(f"{name} is {value!r}; it must be a whole number from {minimum} on")
    return value


class WindowSum:
    """The exact sum of the last `size` values that were added."""

    __slots__ = ("_units", "size", "total")

    def __init__(self, size: int) -> None:
        self.size = size
        self.total = 0
        self._units: deque[int] = deque()

    def add(self, value: float) -> bool:
        """Add a value and drop the oldest; returns whether the window is full."""
        unit = int(value * _SCALE)
        units = self._units
        units.append(unit)
        if len(units) > self.size:
            self.total += unit - units.popleft()
            return True
        self.total += unit
        return len(units) == self.size

    def extend_means(self, values: list[float]) -> list[float | None]:
        """Add many values; returns the mean after each, None while the window is not full."""
        size, before = self.size, len(self._units)
        one = 1 << _BINARY_PLACES
        # Each unit is a float exactly, whose last `size` are all that matters later.
        means = _means([*[unit / one for unit in self._units], *values], size)
        units = [*self._units, *[int(value * _SCALE) for value in values[-size:]]][-size:]
        self._units = deque(units)
        self.total = sum(units)
        # Of a full window one mean has been told before.
        known = max(before - size + 1, 0)
        missing: list[float | None] = [None] * (len(values) - len(means) + known)
        return missing + means[known:]

    @property
    def sum(self) -> float:
        """The sum, correctly rounded."""
        return self.total / (1 << _BINARY_PLACES)

    @property
    def mean(self) -> float:
        """The sum by the size of the window, correctly rounded."""
        return self.total / (self.size << _BINARY_PLACES)

    def mean_square_deviation(self) -> float:
        """The variance of the window (divided by its size), correctly rounded."""
        squares = sum([unit * unit for unit in self._units])
        return (self.size * squares - self.total * self.total) / (
            self.size * self.size << 2 * _BINARY_PLACES
        )


def _means(values: list[float], size: int) -> list[float | None]:
    """The mean of each full window, correctly rounded.

    Values of much the same magnitude are whole multiples of one power of two, and the sums of their
    windows fit into 64 bits; others are summed as whole numbers of any length.
    """
    numbers = np.array(values, dtype=np.float64)
    _, exponents = np.frexp(numbers[numbers != 0.0])
    if len(exponents):
        places = max(53 - int(exponents.min()), 0)
        if places <= _BINARY_PLACES and int(exponents.max()) + places + size.bit_length() <= 62:
            # A sum of all may wrap around; differences are those of a window all the same.
            sums = np.concatenate(([0], np.cumsum(np.ldexp(numbers, places).astype(np.int64))))
            return _quotients(sums[size:] - sums[:-size], size, places)
    exact = [0, *accumulate([int(value * _SCALE) for value in values])]
    whole = size << _BINARY_PLACES
    return [(b - a) / whole for a, b in zip(exact, exact[size:])]  # noqa: B905 - windows overlap


def _quotients(totals: npt.NDArray[np.int64], size: int, places: int) -> list[float | None]:
    """Each total by the size of the window and `2 ** places`, correctly rounded."""
    magnitudes = np.abs(totals)
    more = 63 - int(magnitudes.max(initial=1)).bit_length()
    quotients, rests = np.divmod(magnitudes << more, size)
    if len(totals) and int(quotients.min()) >= 1 << 54:
        # What a float drops of 55 bits or more is at least two of them, of which the last says
        # whether anything was left: rounded once, to the nearest.
        floats = np.ldexp((quotients | (rests != 0)).astype(np.float64), -(places + more))
        means: list[float | None] = np.copysign(floats, totals).tolist()
        return means
    whole = size << places
    return [total / whole for total in totals.tolist()]


class WindowExtreme:
    """The greatest (or least) of the last `size` values, and how long ago it was.

    Of equal values the latest counts. Each value enters and leaves once: constant time on average.
    """

    __slots__ = ("_better", "_count", "_kept", "size")

    def __init__(self, size: int, better: Callable[[float, float], bool]) -> None:
        self.size = size
        self._better = better
        self._kept: deque[tuple[int, float]] = deque()
        self._count = 0

    def add(self, value: float) -> bool:
        """Add a value and drop the oldest; returns whether the window is full."""
        kept, better = self._kept, self._better
        while kept and not better(kept[-1][1], value):
            kept.pop()
        kept.append((self._count, value))
        self._count += 1
        if kept[0][0] < self._count - self.size:
            kept.popleft()
        return self._count >= self.size

    @property
    def value(self) -> float:
        """The extreme value of the window."""
        return self._kept[0][1]

    @property
    def age(self) -> int:
        """How many values came after it."""
        return self._count - 1 - self._kept[0][0]
