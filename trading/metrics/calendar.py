"""Returns by month and year."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trading.errors import MetricsError
from trading.metrics.curve import TIME_ZONE, Curve, Kind

__all__ = ["monthly_returns"]


def monthly_returns(
    equity_or_returns: Any, *, kind: Kind | None = None, time_zone: str = TIME_ZONE
) -> pd.DataFrame:
    """Return a frame with a row for each year: months 1 to 12 and `year`, as fractions.

    A month's return runs from the last level before it to the last one in it. Months without a
    level are NaN.
    """
    curve = Curve.of(equity_or_returns, kind=kind, time_zone=time_zone)
    if curve.days is None:
        raise MetricsError("returns by month need times; give a column timestamp or date")
    months = curve.days[1:].astype("datetime64[M]").astype(np.int64)
    last = np.append(months[1:] != months[:-1], True)
    levels = np.concatenate([curve.levels[:1], curve.levels[1:][last]])
    found = months[last]
    years = np.arange(found[0] // 12, found[-1] // 12 + 1) + 1970
    grid = np.full((len(years), 12), np.nan)
    grid[found // 12 + 1970 - years[0], found % 12] = levels[1:] / levels[:-1] - 1.0
    frame = pd.DataFrame(grid, index=pd.Index(years, name="year"), columns=range(1, 13))
    whole = np.prod(np.where(np.isnan(grid), 1.0, 1.0 + grid), axis=1) - 1.0
    return frame.assign(year=whole)
