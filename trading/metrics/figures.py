"""The figures of a series of returns, each by its formula.

`returns` are fractions per period, an array of n >= 1. A figure that does not exist (a ratio with
nothing below it, a deviation of one value) is NaN, or infinite where something is divided by 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "annual_return",
    "conditional_value_at_risk",
    "deviation",
    "downside_deviation",
    "kurtosis",
    "per_period",
    "profit_factor",
    "quotient",
    "sharpe",
    "skew",
    "sortino",
    "stability",
    "tail_ratio",
    "value_at_risk",
    "without_nan",
]

Floats = npt.NDArray[np.float64]

# Returns of an equity curve carry rounding errors of this size: below it, nothing moved.
_NOTHING = 1e-15


def quotient(above: float, below: float) -> float:
    """Divide: NaN for 0 / 0, infinite with the sign of `above` for anything else over 0."""
    if below != 0:
        return above / below
    return math.nan if above == 0 or math.isnan(above) else math.copysign(math.inf, above)


def per_period(annual_rate: float, periods: float) -> float:
    """Return the rate of one period that compounds to the year's: `(1 + rate)^(1/periods) − 1`."""
    return float((1.0 + annual_rate) ** (1.0 / periods) - 1.0)


def annual_return(total_return: float, n: int, periods: float) -> float:
    """Return `(end / start)^(periods / n) − 1`."""
    return _power(1.0 + total_return, periods / n) - 1.0


def _power(base: float, exponent: float) -> float:
    # A few values that double annualise to more than a float holds.
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def deviation(returns: Floats) -> float:
    """Return the standard deviation of one period with n − 1 below; NaN for one value."""
    if len(returns) < 2:
        return math.nan
    found = float(np.std(returns, ddof=1))
    return 0.0 if found <= _NOTHING else found


def sharpe(returns: Floats, periods: float, risk_free: float = 0.0) -> float:
    """Return `mean / deviation × √periods` of returns above the rate of one period.

    W. F. Sharpe, The Sharpe Ratio, Journal of Portfolio Management 21 (1994). NaN where nothing
    moves.
    """
    below = deviation(returns)
    if not below > 0:
        return math.nan
    return float(np.mean(returns - risk_free)) / below * math.sqrt(periods)


def downside_deviation(returns: Floats, risk_free: float = 0.0) -> float:
    """Return `√(mean of min(r − rate, 0)² over all n)`, of one period."""
    return math.sqrt(float(np.mean(np.minimum(returns - risk_free, 0.0) ** 2)))


def sortino(returns: Floats, periods: float, risk_free: float = 0.0) -> float:
    """Return `mean above the rate × √periods / downside deviation`.

    F. A. Sortino and L. N. Price, Performance Measurement in a Downside Risk Framework, Journal of
    Investing 3 (1994).
    """
    above = float(np.mean(returns - risk_free)) * math.sqrt(periods)
    return quotient(above, downside_deviation(returns, risk_free))


def value_at_risk(returns: Floats, share: float = 0.05) -> float:
    """Return the quantile of returns at `share`, linear between the two nearest: a loss is < 0."""
    return float(np.quantile(returns, share))


def conditional_value_at_risk(returns: Floats, share: float = 0.05) -> float:
    """Return the mean of the returns at or below the value at risk."""
    return float(np.mean(returns[returns <= value_at_risk(returns, share)]))


def profit_factor(returns: Floats, threshold: float = 0.0) -> float:
    """Return `Σ gains / Σ losses` above and below a threshold; with the rate as it, this is omega.

    C. Keating and W. F. Shadwick, A Universal Performance Measure, Journal of Performance
    Measurement 6 (2002). 1 is break-even.
    """
    above = returns - threshold
    gains, losses = above[above > 0].sum(), above[above < 0].sum()
    return quotient(float(gains), -float(losses))


def skew(returns: Floats) -> float:
    """Return the third standardised moment of the population, `m₃ / m₂^1.5`."""
    return _moment(returns, 3)


def kurtosis(returns: Floats) -> float:
    """Return the fourth standardised moment, `m₄ / m₂²`: 3 for a normal distribution."""
    return _moment(returns, 4)


def _moment(returns: Floats, order: int) -> float:
    if not deviation(returns) > 0:
        return math.nan
    off = returns - np.mean(returns)
    # In units of the deviation, so that squares of small returns do not vanish.
    scaled = off / math.sqrt(float(np.mean(off * off)))
    squares: Any = scaled * scaled
    return float(np.mean(squares * scaled if order == 3 else squares * squares))


def tail_ratio(returns: Floats) -> float:
    """Return the size of the 95 % quantile over that of the 5 % quantile."""
    low, high = np.quantile(returns, (0.05, 0.95))
    return quotient(abs(float(high)), abs(float(low)))


def stability(levels: Floats) -> float:
    """Return R² of a straight line through the logarithm of equity over its periods."""
    logs = np.log(levels)
    steps = np.arange(len(logs), dtype=np.float64)
    steps -= steps.mean()
    logs = logs - logs.mean()
    total = float(logs @ logs)
    if len(logs) < 3 or math.sqrt(total / len(logs)) <= _NOTHING:
        return math.nan
    return float((steps @ logs) ** 2 / ((steps @ steps) * total))


def without_nan(value: Any) -> Any:
    """Return figures for JSON, which has no NaN and no infinity: they become None."""
    if isinstance(value, dict):
        return {name: without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
