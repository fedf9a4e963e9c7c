"""Ranges, bands and volatility."""

from __future__ import annotations

import math
import operator
from typing import NamedTuple

from trading.indicators.averages import EMA, WilderAverage
from trading.indicators.base import Indicator, WindowExtreme, WindowSum, period


class Bands(NamedTuple):
    """An upper and a lower band around a middle."""

    upper: float
    middle: float
    lower: float


class BollingerBands(Indicator):
    """A simple average, and `width` standard deviations (of the population) around it."""

    outputs = Bands._fields

    def __init__(self, length: int = 20, width: float = 2.0) -> None:
        super().__init__()
        self._window = WindowSum(period("length", length, 2))
        self._width = float(width)

    def _next(self, x: float) -> Bands | None:  # type: ignore[override]
        if not self._window.add(x):
            return None
        middle = self._window.mean
        reach = self._width * math.sqrt(self._window.mean_square_deviation())
        return Bands(middle + reach, middle, middle - reach)


class ATR(Indicator):
    """Average true range after Wilder, from the second bar on."""

    inputs = ("high", "low", "close")

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self._average = WilderAverage(period("length", length))
        self._before: float | None = None

    def _next(self, high: float, low: float, close: float) -> float | None:  # type: ignore[override]
        before, self._before = self._before, close
        if before is None:
            return None
        return self._average.add(max(high - low, abs(high - before), abs(low - before)))


class KeltnerChannel(Indicator):
    """An exponential average of the close, and `width` average true ranges around it."""

    inputs = ("high", "low", "close")
    outputs = Bands._fields

    def __init__(self, length: int = 20, width: float = 2.0, atr_length: int = 10) -> None:
        super().__init__()
        self._average = EMA(length)
        self._range = ATR(atr_length)
        self._width = float(width)

    def _next(self, high: float, low: float, close: float) -> Bands | None:  # type: ignore[override]
        middle = self._average.update(close)
        reach = self._range.update(high, low, close)
        if middle is None or reach is None:
            return None
        return Bands(middle + self._width * reach, middle, middle - self._width * reach)


class DonchianChannel(Indicator):
    """The highest high and the lowest low of `length` bars, and the middle between them."""

    inputs = ("high", "low")
    outputs = Bands._fields

    def __init__(self, length: int = 20) -> None:
        super().__init__()
        self._high = WindowExtreme(period("length", length), operator.gt)
        self._low = WindowExtreme(length, operator.lt)

    def _next(self, high: float, low: float) -> Bands | None:  # type: ignore[override]
        self._high.add(high)
        if not self._low.add(low):
            return None
        upper, lower = self._high.value, self._low.value
        return Bands(upper, (upper + lower) / 2.0, lower)


class ZScore(Indicator):
    """How many standard deviations (of the population) a value is from its average."""

    def __init__(self, length: int = 20) -> None:
        super().__init__()
        self._window = WindowSum(period("length", length, 2))

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        if not self._window.add(x):
            return None
        deviation = math.sqrt(self._window.mean_square_deviation())
        return (x - self._window.mean) / deviation if deviation > 0.0 else 0.0


class RealizedVolatility(Indicator):
    """Standard deviation (of the sample) of `length` log returns, for a year of `periods`.

    None too while a price in the window is zero or less, as it has no log return.
    """

    def __init__(self, length: int = 20, periods: float = 252.0) -> None:
        super().__init__()
        self.length = period("length", length, 2)
        self._factor = math.sqrt(float(periods))
        self._window = WindowSum(length)
        self._before: float | None = None

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        before, self._before = self._before, x
        if before is None:
            return None
        if before <= 0.0 or x <= 0.0:
            self._window = WindowSum(self.length)
            return None
        if not self._window.add(math.log(x / before)):
            return None
        n = self.length
        return math.sqrt(self._window.mean_square_deviation() * n / (n - 1)) * self._factor
