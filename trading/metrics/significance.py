"""How far a Sharpe ratio can be believed: probabilistic, deflated, and how long it must be watched.

    deflated_sharpe(equity, trials=[0.4, 1.1, 0.9])    # the Sharpe ratios of all that was tried

Sources: D. H. Bailey and M. López de Prado, The Sharpe Ratio Efficient Frontier, Journal of Risk 15
(2012), and The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.errors import MetricsError, shown
from trading.metrics import figures
from trading.metrics.curve import TIME_ZONE, Curve, Kind

__all__ = [
    "deflated_sharpe",
    "expected_maximum_sharpe",
    "minimum_track_record",
    "probabilistic_sharpe",
    "psr",
]

Floats = npt.NDArray[np.float64]

_EULER = 0.5772156649015329
_NORMAL = NormalDist()


def psr(returns: Floats, benchmark: float = 0.0, risk_free: float = 0.0) -> float:
    """Return `Φ((SR − SR*) √(n−1) / √(1 − skew·SR + (kurtosis−1)/4·SR²))` of an array.

    All of one period: SR is not annualised, and `benchmark` is SR*. NaN where nothing moves.
    """
    ratio = figures.sharpe(returns, 1, risk_free)
    variance = _variance(returns, ratio)
    if math.isnan(variance):
        return math.nan
    return _NORMAL.cdf((ratio - benchmark) * math.sqrt((len(returns) - 1) / variance))


def _variance(returns: Floats, ratio: float) -> float:
    """Variance of the estimate of SR, times n − 1."""
    skew, kurtosis = figures.skew(returns), figures.kurtosis(returns)
    # At least 0 for every distribution, but of a few values rounding can make it 0 or less.
    found = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio * ratio
    return found if math.isnan(found) else max(found, 1e-12)


def probabilistic_sharpe(
    equity_or_returns: Any,
    benchmark: float = 0.0,
    *,
    periods: float = 252,
    risk_free: float = 0.0,
    kind: Kind | None = None,
    time_zone: str = TIME_ZONE,
) -> float:
    """Return the probability that the true Sharpe ratio is above an annual `benchmark`."""
    returns = Curve.of(equity_or_returns, kind=kind, time_zone=time_zone).returns
    rate = figures.per_period(risk_free, periods)
    return psr(returns, benchmark / math.sqrt(periods), rate)


def expected_maximum_sharpe(trials: int, deviation: float) -> float:
    """Return the Sharpe ratio that the best of `trials` reaches by luck alone.

    `deviation` is the standard deviation of the trials' Sharpe ratios; the result is in its unit.
    Trials count as independent: of those that resemble each other, count the groups.
    """
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise MetricsError(f"trials: expected a whole number of at least 1, seen {shown(trials)}")
    if trials == 1:
        return 0.0
    low = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    high = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return deviation * ((1.0 - _EULER) * low + _EULER * high)


def deflated_sharpe(
    equity_or_returns: Any,
    trials: int | Sequence[float],
    *,
    periods: float = 252,
    risk_free: float = 0.0,
    kind: Kind | None = None,
    time_zone: str = TIME_ZONE,
) -> float:
    """Return the probability that the best of many trials is better than luck.

    `trials` are the annual Sharpe ratios of everything that was tried, the best one included, or
    how many there were; then their spread is taken to be that of a strategy without any skill.
    Below 0.95 the result is easily found by trying alone.
    """
    returns = Curve.of(equity_or_returns, kind=kind, time_zone=time_zone).returns
    return deflated(returns, trials, periods, figures.per_period(risk_free, periods))


def deflated(
    returns: Floats, trials: int | Sequence[float], periods: float, risk_free: float
) -> float:
    """Return the deflated Sharpe ratio of an array; `risk_free` is the rate of one period."""
    count, spread = _spread(returns, trials, periods, risk_free)
    return psr(returns, expected_maximum_sharpe(count, spread), risk_free)


def _spread(
    returns: Floats, trials: int | Sequence[float], periods: float, risk_free: float
) -> tuple[int, float]:
    """How many trials there were, and the deviation of their Sharpe ratios of one period."""
    if isinstance(trials, (int, float)):
        ratio = figures.sharpe(returns, 1, risk_free)
        spread = math.sqrt(_variance(returns, ratio) / max(1, len(returns) - 1))
        return trials, spread
    ratios = np.asarray(list(trials), dtype=np.float64)
    if not len(ratios) or not np.isfinite(ratios).all():
        raise MetricsError(
            f"trials: expected finite Sharpe ratios, seen {shown(list(trials))}; leave out runs "
            "without a Sharpe ratio, or give their number"
        )
    spread = float(np.std(ratios, ddof=1)) if len(ratios) > 1 else 0.0
    return len(ratios), spread / math.sqrt(periods)


def minimum_track_record(
    equity_or_returns: Any,
    benchmark: float = 0.0,
    *,
    confidence: float = 0.95,
    periods: float = 252,
    risk_free: float = 0.0,
    kind: Kind | None = None,
    time_zone: str = TIME_ZONE,
) -> float:
    """Return how many periods show with `confidence` that the Sharpe ratio is above `benchmark`.

    `benchmark` is annual. Infinite where the measured ratio is not above it.
    """
    if not 0.5 < confidence < 1:
        raise MetricsError(f"confidence: expected above 0.5 and below 1, seen {confidence}")
    returns = Curve.of(equity_or_returns, kind=kind, time_zone=time_zone).returns
    rate = figures.per_period(risk_free, periods)
    ratio = figures.sharpe(returns, 1, rate)
    above = ratio - benchmark / math.sqrt(periods)
    if math.isnan(ratio):
        return math.nan
    if above <= 0:
        return math.inf
    return 1.0 + _variance(returns, ratio) * (_NORMAL.inv_cdf(confidence) / above) ** 2
