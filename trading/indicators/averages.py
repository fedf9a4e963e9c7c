"""Moving averages. Seeds and first values are those of TA-Lib."""

from __future__ import annotations

from collections import deque

from trading.indicators.base import Indicator, WindowSum, period


class SMA(Indicator):
    """Simple moving average of the last `length` values."""

    def __init__(self, length: int = 30) -> None:
        super().__init__()
        self.length = period("length", length)
        self._window = WindowSum(length)

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        return self._window.mean if self._window.add(x) else None

    def _extend(self, values: list[float]) -> list[float | None]:  # type: ignore[override]
        figures = self._window.extend_means(values)
        if figures:
            self.value = figures[-1]
        return figures


class EMA(Indicator):
    """Exponential moving average with a weight of 2 / (length + 1), begun by a simple average."""

    def __init__(self, length: int = 30) -> None:
        super().__init__()
        self.length = period("length", length)
        self._weight = 2.0 / (length + 1)
        self._seed: WindowSum | None = WindowSum(length)

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        seed = self._seed
        if seed is None:
            before: float = self.value
            return (x - before) * self._weight + before
        if not seed.add(x):
            return None
        self._seed = None
        return seed.mean


class DEMA(Indicator):
    """Double exponential moving average: 2·EMA − EMA of EMA."""

    def __init__(self, length: int = 30) -> None:
        super().__init__()
        self._first = EMA(length)
        self._second = EMA(length)

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        first = self._first.update(x)
        second = None if first is None else self._second.update(first)
        return None if second is None else 2.0 * first - second


class TEMA(Indicator):
    """Triple exponential moving average: 3·EMA − 3·EMA² + EMA³."""

    def __init__(self, length: int = 30) -> None:
        super().__init__()
        self._averages = (EMA(length), EMA(length), EMA(length))

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        values = []
        for average in self._averages:
            x = average.update(x)
            if x is None:
                return None
            values.append(x)
        first, second, third = values
        return third + (3.0 * first - 3.0 * second)


class WMA(Indicator):
    """Weighted moving average: the latest of `length` values weighs most, the oldest 1."""

    def __init__(self, length: int = 30) -> None:
        super().__init__()
        self.length = period("length", length)
        self._values: deque[float] = deque(maxlen=length)

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        values = self._values
        values.append(x)
        if len(values) < self.length:
            return None
        total = 0.0
        for weight, value in enumerate(values, 1):
            total += weight * value
        return total / (self.length * (self.length + 1) / 2)


class KAMA(Indicator):
    """Kaufman's adaptive moving average: quick in a trend, slow without one."""

    def __init__(self, length: int = 30, fast: int = 2, slow: int = 30) -> None:
        super().__init__()
        self.length = period("length", length)
        self._slow = 2.0 / (period("slow", slow) + 1)
        self._difference = 2.0 / (period("fast", fast) + 1) - self._slow
        self._values: deque[float] = deque(maxlen=length + 1)
        self._changes = WindowSum(length)
        self._average = 0.0

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        values = self._values
        before = values[-1] if values else None
        values.append(x)
        if before is None or not self._changes.add(abs(x - before)):
            return None
        if self.value is None:
            self._average = before
        distance = x - values[0]
        path = self._changes.sum
        ratio = 1.0 if path <= distance or path < 1e-14 else abs(distance / path)
        weight = (ratio * self._difference + self._slow) ** 2
        self._average += (x - self._average) * weight
        return self._average


class WilderAverage:
    """Wilder's smoothing: a simple average at first, then (before · (n − 1) + x) / n."""

    __slots__ = ("_count", "_total", "length", "value")

    def __init__(self, length: int) -> None:
        self.length = length
        self.value: float | None = None
        self._total = 0.0
        self._count = 0

    def add(self, x: float) -> float | None:
        """Take the next value; returns the average, or None while there were too few."""
        if self.value is not None:
            self.value = (self.value * (self.length - 1) + x) / self.length
            return self.value
        self._total += x
        self._count += 1
        if self._count == self.length:
            self.value = self._total / self.length
        return self.value
