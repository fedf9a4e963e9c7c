"""Oscillators and other measures of momentum. First values are those of TA-Lib."""

from __future__ import annotations

import operator
from collections import deque
from typing import NamedTuple

from trading.errors import IndicatorError
from trading.indicators.averages import EMA, SMA, WilderAverage
from trading.indicators.base import Indicator, WindowExtreme, WindowSum, period

# Below this TA-Lib takes a divisor for zero.
_ZERO = 1e-14


class RSI(Indicator):
    """Relative strength index after Wilder, 0 to 100; 0 where the price never moved."""

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self.length = period("length", length, 2)
        self._before: float | None = None
        self._count = 0
        self._gain = 0.0
        self._loss = 0.0

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        before, self._before = self._before, x
        if before is None:
            return None
        change = x - before
        n = self.length
        if self._count >= n:
            gain, loss = self._gain * (n - 1), self._loss * (n - 1)
            if change < 0.0:
                loss -= change
            else:
                gain += change
            gain /= n
            loss /= n
        else:
            self._count += 1
            gain, loss = self._gain, self._loss
            if change < 0.0:
                loss -= change
            else:
                gain += change
            if self._count < n:
                self._gain, self._loss = gain, loss
                return None
            gain /= n
            loss /= n
        self._gain, self._loss = gain, loss
        both = gain + loss
        return 100.0 * (gain / both) if both > _ZERO else 0.0


class MACDValue(NamedTuple):
    """The difference of two averages, its own average, and the difference of these two."""

    macd: float
    signal: float
    histogram: float


class MACD(Indicator):
    """Moving average convergence/divergence: EMA(fast) − EMA(slow), and its EMA(signal)."""

    outputs = MACDValue._fields

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        super().__init__()
        period("fast", fast)
        period("signal", signal)
        if period("slow", slow) <= fast:
            raise IndicatorError(f"slow is {slow}; it must be longer than fast, which is {fast}")
        # As in TA-Lib the fast average is begun as late as the slow one.
        self._waiting = slow - fast
        self._fast = EMA(fast)
        self._slow = EMA(slow)
        self._signal = EMA(signal)

    def _next(self, x: float) -> MACDValue | None:  # type: ignore[override]
        slow = self._slow.update(x)
        if self._waiting:
            self._waiting -= 1
            return None
        fast = self._fast.update(x)
        if slow is None:
            return None
        macd = fast - slow
        signal = self._signal.update(macd)
        return None if signal is None else MACDValue(macd, signal, macd - signal)


class StochasticValue(NamedTuple):
    """The smoothed place of the close in its range, and its average: 0 to 100."""

    k: float
    d: float


class Stochastic(Indicator):
    """Slow stochastic: the close within the range of `length` bars, averaged over `k`, then `d`."""

    inputs = ("high", "low", "close")
    outputs = StochasticValue._fields

    def __init__(self, length: int = 5, k: int = 3, d: int = 3) -> None:
        super().__init__()
        self._high = WindowExtreme(period("length", length), operator.gt)
        self._low = WindowExtreme(length, operator.lt)
        self._k = SMA(k)
        self._d = SMA(d)

    def _next(self, high: float, low: float, close: float) -> StochasticValue | None:  # type: ignore[override]
        self._high.add(high)
        if not self._low.add(low):
            return None
        spread = (self._high.value - self._low.value) / 100.0
        k = self._k.update((close - self._low.value) / spread if spread != 0.0 else 0.0)
        d = None if k is None else self._d.update(k)
        return None if d is None else StochasticValue(k, d)


class WilliamsR(Indicator):
    """Williams' %R: how far the close is below the range's high, 0 to −100."""

    inputs = ("high", "low", "close")

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self._high = WindowExtreme(period("length", length, 2), operator.gt)
        self._low = WindowExtreme(length, operator.lt)

    def _next(self, high: float, low: float, close: float) -> float | None:  # type: ignore[override]
        self._high.add(high)
        if not self._low.add(low):
            return None
        spread = (self._high.value - self._low.value) / -100.0
        return (self._high.value - close) / spread if spread != 0.0 else 0.0


class CCI(Indicator):
    """Commodity channel index: the typical price less its average, by 0.015 mean deviations."""

    inputs = ("high", "low", "close")

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self.length = period("length", length, 2)
        self._prices: deque[float] = deque(maxlen=length)

    def _next(self, high: float, low: float, close: float) -> float | None:  # type: ignore[override]
        typical = (high + low + close) / 3.0
        prices = self._prices
        prices.append(typical)
        if len(prices) < self.length:
            return None
        mean = sum(prices) / self.length
        deviation = sum([abs(price - mean) for price in prices]) / self.length
        distance = typical - mean
        if distance == 0.0 or deviation == 0.0:
            return 0.0
        return distance / (0.015 * deviation)


class MFI(Indicator):
    """Money flow index: the share of money that flowed with rising typical prices, 0 to 100."""

    inputs = ("high", "low", "close", "volume")

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self._up = WindowSum(period("length", length, 2))
        self._down = WindowSum(length)
        self._before: float | None = None

    def _next(self, high: float, low: float, close: float, volume: float) -> float | None:  # type: ignore[override]
        typical = (high + low + close) / 3.0
        before, self._before = self._before, typical
        if before is None:
            return None
        flow = typical * volume
        # Prices in cents are no exact floats: the same typical price may differ in its last bits.
        change = typical - before
        if abs(change) <= 1e-12 * abs(typical):
            change = 0.0
        self._up.add(flow if change > 0.0 else 0.0)
        if not self._down.add(flow if change < 0.0 else 0.0):
            return None
        up = self._up.sum
        total = up + self._down.sum
        return 100.0 * (up / total) if total >= 1.0 else 0.0


class ROC(Indicator):
    """Rate of change over `length` values, in per cent; 0 where the old value is 0."""

    def __init__(self, length: int = 10) -> None:
        super().__init__()
        self._values: deque[float] = deque(maxlen=period("length", length) + 1)

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        values = self._values
        values.append(x)
        if len(values) <= (values.maxlen or 0) - 1:
            return None
        return (x / values[0] - 1.0) * 100.0 if values[0] != 0.0 else 0.0


class TRIX(Indicator):
    """One-bar rate of change of a triple exponential average, in per cent."""

    def __init__(self, length: int = 30) -> None:
        super().__init__()
        self._averages = (EMA(length), EMA(length), EMA(length))
        self._change = ROC(1)

    def _next(self, x: float) -> float | None:  # type: ignore[override]
        for average in self._averages:
            x = average.update(x)
            if x is None:
                return None
        change: float | None = self._change.update(x)
        return change


class AroonValue(NamedTuple):
    """How recent the lowest low and the highest high are, 0 to 100."""

    down: float
    up: float


class Aroon(Indicator):
    """Aroon: 100 where this bar is the extreme of the last `length` + 1, 0 where the oldest is."""

    inputs = ("high", "low")
    outputs = AroonValue._fields

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self.length = period("length", length, 2)
        self._high = WindowExtreme(length + 1, operator.gt)
        self._low = WindowExtreme(length + 1, operator.lt)

    def _next(self, high: float, low: float) -> AroonValue | None:  # type: ignore[override]
        self._high.add(high)
        if not self._low.add(low):
            return None
        factor = 100.0 / self.length
        return AroonValue(
            factor * (self.length - self._low.age), factor * (self.length - self._high.age)
        )


class UltimateOscillator(Indicator):
    """Williams' ultimate oscillator: buying pressure over three lengths, 0 to 100."""

    inputs = ("high", "low", "close")

    def __init__(self, short: int = 7, medium: int = 14, long: int = 28) -> None:
        super().__init__()
        lengths = sorted(period("length", length) for length in (short, medium, long))
        self._pressure = [WindowSum(length) for length in lengths]
        self._range = [WindowSum(length) for length in lengths]
        self._before: float | None = None

    def _next(self, high: float, low: float, close: float) -> float | None:  # type: ignore[override]
        before, self._before = self._before, close
        if before is None:
            return None
        pressure = close - min(low, before)
        true_range = max(high - low, abs(before - high), abs(before - low))
        full = False
        for window in self._pressure:
            window.add(pressure)
        for window in self._range:
            full = window.add(true_range)
        if not full:
            return None
        total = 0.0
        for weight, up, span in zip((4.0, 2.0, 1.0), self._pressure, self._range, strict=True):
            if abs(span.sum) > _ZERO:
                total += weight * (up.sum / span.sum)
        return 100.0 * (total / 7.0)


class ADX(Indicator):
    """Average directional index after Wilder: the strength of a trend, 0 to 100."""

    inputs = ("high", "low", "close")

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self.length = period("length", length, 2)
        self._before: tuple[float, float, float] | None = None
        self._bars = 0
        self._plus = 0.0
        self._minus = 0.0
        self._range = 0.0
        self._average = WilderAverage(length)

    def _next(self, high: float, low: float, close: float) -> float | None:  # type: ignore[override]
        before, self._before = self._before, (high, low, close)
        if before is None:
            return None
        rise, fall = high - before[0], before[1] - low
        plus = rise if rise > 0.0 and rise > fall else 0.0
        minus = fall if fall > 0.0 and rise < fall else 0.0
        true_range = max(high - low, abs(high - before[2]), abs(low - before[2]))
        self._bars += 1
        n = self.length
        if self._bars < n:
            self._plus += plus
            self._minus += minus
            self._range += true_range
            return None
        self._plus += plus - self._plus / n
        self._minus += minus - self._minus / n
        self._range += true_range - self._range / n
        index = self._directional_index()
        if index is None:
            # Without movement the first sum counts it as 0, and later values stay as they are.
            return (
                self._average.value if self._average.value is not None else self._average.add(0.0)
            )
        return self._average.add(index)

    def _directional_index(self) -> float | None:
        if abs(self._range) <= _ZERO:
            return None
        plus = 100.0 * (self._plus / self._range)
        minus = 100.0 * (self._minus / self._range)
        if abs(plus + minus) <= _ZERO:
            return None
        return 100.0 * (abs(minus - plus) / (plus + minus))
