"""`equity_metrics`: every figure of an equity curve in one dictionary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trading.errors import MetricsError, shown
from trading.metrics import figures, significance
from trading.metrics.curve import TIME_ZONE, Curve, Kind
from trading.metrics.drawdowns import under_water

__all__ = ["equity_metrics"]


def equity_metrics(
    equity_or_returns: Any,
    *,
    periods: float = 252,
    risk_free: float = 0.0,
    kind: Kind | None = None,
    time_zone: str = TIME_ZONE,
    daily: bool = True,
    benchmark_sharpe: float = 0.0,
    trials: int | Sequence[float] | None = None,
) -> dict[str, float]:
    """Return the figures of equity or returns; `Curve.of` says what can be given.

    `periods` is how many returns a year has (252 of daily ones), `risk_free` an annual rate. Days
    are those of `time_zone`; `daily=False` takes values as they are. `benchmark_sharpe` is the
    annual Sharpe ratio that `psr` compares with. With `trials`, the Sharpe ratios of all parameter
    sets that were tried or their number, there is also `deflated_sharpe`.

    Returns and ratios are fractions, losses are below 0. A figure that does not exist is NaN.
    MetricsError says what is wrong with the input. `docs/metrics.md` lists the formulas.
    """
    _check(periods, risk_free)
    curve = Curve.of(equity_or_returns, kind=kind, time_zone=time_zone, daily=daily)
    returns, n = curve.returns, curve.periods
    rate = figures.per_period(risk_free, periods)
    total = float(curve.levels[-1] / curve.levels[0]) - 1.0
    annual = figures.annual_return(total, n, periods)
    found = {
        "observations": n,
        "total_return": total,
        "annual_return": annual,
        "cagr": _cagr(total, curve.years),
        "volatility": figures.deviation(returns) * math.sqrt(periods),
        "downside_deviation": figures.downside_deviation(returns, rate) * math.sqrt(periods),
        "sharpe": figures.sharpe(returns, periods, rate),
        "sortino": figures.sortino(returns, periods, rate),
        **_drawdown_figures(curve, annual),
        "var_95": figures.value_at_risk(returns),
        "cvar_95": figures.conditional_value_at_risk(returns),
        "omega": figures.profit_factor(returns, rate),
        **_win_figures(curve),
        "skew": figures.skew(returns),
        "kurtosis": figures.kurtosis(returns),
        "tail_ratio": figures.tail_ratio(returns),
        "stability": figures.stability(curve.levels),
        "psr": significance.psr(returns, benchmark_sharpe / math.sqrt(periods), rate),
    }
    if trials is not None:
        found["deflated_sharpe"] = significance.deflated(returns, trials, periods, rate)
    return found


def _check(periods: float, risk_free: float) -> None:
    for name, value, low in (("periods", periods, 0.0), ("risk_free", risk_free, -1.0)):
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float, np.number))
            or not math.isfinite(value)
            or value <= low
        ):
            raise MetricsError(f"{name}: expected a number above {low:g}, seen {shown(value)}")


def _cagr(total: float, years: float | None) -> float:
    if not years:
        return math.nan
    return figures.annual_return(total, 1, 1.0 / years)


def _drawdown_figures(curve: Curve, annual: float) -> dict[str, float]:
    below = curve.drawdown
    deepest = float(below.min())
    starts, ends = under_water(below)
    lengths = [
        min(end, len(below) - 1) - (start - 1) for start, end in zip(starts, ends, strict=True)
    ]
    at = int(np.argmin(below))
    run = next((i for i, end in enumerate(ends) if starts[i] <= at < end), None)
    days = math.nan
    if curve.days is not None:
        days = 0.0
        if run is not None:
            first, last = curve.days[starts[run] - 1], curve.days[min(ends[run], len(below) - 1)]
            days = float((last - first).astype(np.int64))
    return {
        "max_drawdown": deepest,
        "max_drawdown_length": 0 if run is None else lengths[run],
        "max_drawdown_days": days,
        "longest_drawdown": max(lengths, default=0),
        "ulcer_index": math.sqrt(float(np.mean(below[1:] ** 2))),
        "calmar": figures.quotient(annual, abs(deepest)),
    }


def _win_figures(curve: Curve) -> dict[str, float]:
    returns = curve.returns
    gains, losses = returns[returns > 0], returns[returns < 0]
    average_gain = float(gains.mean()) if len(gains) else math.nan
    average_loss = float(losses.mean()) if len(losses) else math.nan
    return {
        "hit_rate": figures.quotient(len(gains), len(gains) + len(losses)),
        "profit_factor": figures.profit_factor(returns),
        "average_gain": average_gain,
        "average_loss": average_loss,
        "payoff_ratio": average_gain / -average_loss,
        "best": float(returns.max()),
        "worst": float(returns.min()),
    }
