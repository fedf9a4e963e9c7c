"""Drawdowns: from a high of equity to its low and back to the high."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.metrics.curve import TIME_ZONE, Curve, Kind

__all__ = ["Drawdown", "drawdowns"]


@dataclass(frozen=True)
class Drawdown:
    """One drawdown: `depth` is a fraction below 0, `peak`, `trough`, `end` are rows of the levels.

    `length` is in periods and `days` in calendar days, from the peak until equity is back, or until
    the last row where it is not (`recovered` is False).
    """

    depth: float
    peak: int
    trough: int
    end: int
    recovered: bool
    peak_day: date | None = None
    trough_day: date | None = None
    end_day: date | None = None

    @property
    def length(self) -> int:
        """Periods from the peak to the end."""
        return self.end - self.peak

    @property
    def days(self) -> int | None:
        """Calendar days from the peak to the end, None where no times were given."""
        if self.peak_day is None or self.end_day is None:
            return None
        return (self.end_day - self.peak_day).days


def drawdowns(
    equity_or_returns: Any,
    *,
    kind: Kind | None = None,
    time_zone: str = TIME_ZONE,
    daily: bool = True,
) -> list[Drawdown]:
    """Return all drawdowns of a curve, the deepest first; equals in order of time."""
    curve = Curve.of(equity_or_returns, kind=kind, time_zone=time_zone, daily=daily)
    below = curve.drawdown
    starts, ends = under_water(below)
    found = []
    for start, stop in zip(starts, ends, strict=True):
        trough = start + int(np.argmin(below[start:stop]))
        recovered = stop < len(below)
        peak, end = start - 1, stop if recovered else stop - 1
        found.append(
            Drawdown(
                float(below[trough]),
                peak,
                trough,
                end,
                recovered,
                *(_day(curve, row) for row in (peak, trough, end)),
            )
        )
    return sorted(found, key=lambda drawdown: drawdown.depth)


def under_water(below: npt.NDArray[np.float64]) -> tuple[list[int], list[int]]:
    """Return where runs of levels below their high begin, and where they are over."""
    edges = np.diff(np.concatenate([[0], (below < 0).astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist()


def _day(curve: Curve, row: int) -> date | None:
    if curve.days is None:
        return None
    day: date = curve.days[row].astype(object)
    return day
