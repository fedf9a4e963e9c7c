"""Figures of price and volume together."""

from __future__ import annotations

from trading.indicators.base import Indicator, WindowSum, period


class OBV(Indicator):
    """On-balance volume: added on a rise, taken off on a fall; begins with the first volume."""

    inputs = ("close", "volume")

    def __init__(self) -> None:
        super().__init__()
        self._before: float | None = None
        self._total = 0.0

    def _next(self, close: float, volume: float) -> float:  # type: ignore[override]
        before, self._before = self._before, close
        if before is None or close > before:
            self._total += volume
        elif close < before:
            self._total -= volume
        return self._total


class VWAP(Indicator):
    """Volume-weighted average of the typical price: of the last `length` bars, or since `reset`.

    None while there was no volume.
    """

    inputs = ("high", "low", "close", "volume")

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = None if length is None else period("length", length)
        self.reset()

    def reset(self) -> None:
        """Begin anew, as at the open of a session."""
        size = self.length or 2**62
        self._amount = WindowSum(size)
        self._volume = WindowSum(size)
        self._amount_total = 0.0
        self._volume_total = 0.0
        self.value = None

    def _next(self, high: float, low: float, close: float, volume: float) -> float | None:  # type: ignore[override]
        amount = (high + low + close) / 3.0 * volume
        if self.length is None:
            self._amount_total += amount
            self._volume_total += volume
            return self._amount_total / self._volume_total if self._volume_total > 0.0 else None
        self._amount.add(amount)
        full = self._volume.add(volume)
        total = self._volume.sum
        return self._amount.sum / total if full and total > 0.0 else None
