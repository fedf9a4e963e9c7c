"""Probabilistic and deflated Sharpe ratios: published examples, simulation, limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from trading.errors import MetricsError
from trading.metrics import (
    deflated_sharpe,
    equity_metrics,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)
from trading.metrics.significance import psr


def moments(ratio: float, skew: float, kurtosis: float, n: int) -> float:
    """PSR's formula in plain numbers, with the benchmark 0."""
    variance = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2
    return float(scipy.stats.norm.cdf(ratio * math.sqrt((n - 1) / variance)))


def test_the_expected_maximum_of_the_published_example() -> None:
    """Bailey and López de Prado (2014), numerical example: 100 trials, variance 1/2 a year."""
    deviation = math.sqrt(0.5 / 250)
    assert expected_maximum_sharpe(100, deviation) == pytest.approx(0.1132, abs=5e-5)
    # With an annual ratio of 2.5 over 1250 days, skew -3 and kurtosis 10, DSR is 0.9004.
    above = 2.5 / math.sqrt(250) - 0.1132
    ratio = 2.5 / math.sqrt(250)
    value = above * math.sqrt(1249 / (1 + 3 * ratio + 9 / 4 * ratio**2))
    assert scipy.stats.norm.cdf(value) == pytest.approx(0.9004, abs=2e-4)


def test_the_expected_maximum_is_what_luck_reaches() -> None:
    rng = np.random.default_rng(5)
    for trials in (2, 10, 200):
        simulated = rng.normal(0, 0.3, (20_000, trials)).max(axis=1).mean()
        # The formula is an approximation for many trials; for few it is some per cent off.
        assert expected_maximum_sharpe(trials, 0.3) == pytest.approx(simulated, rel=0.1)
    assert expected_maximum_sharpe(1, 0.3) == 0


def test_the_best_of_a_thousand_without_skill_is_seen_through() -> None:
    rng = np.random.default_rng(11)
    runs = rng.normal(0, 0.01, (1_000, 1_000))
    ratios = [equity_metrics(run)["sharpe"] for run in runs]
    best = runs[int(np.argmax(ratios))]
    figures = equity_metrics(best, trials=ratios)
    assert figures["psr"] > 0.99  # it looks certain
    assert figures["deflated_sharpe"] < 0.8  # and is not
    assert figures["deflated_sharpe"] == deflated_sharpe(best, ratios)
    assert deflated_sharpe(best, 1_000) == pytest.approx(figures["deflated_sharpe"], abs=0.1)


def test_skill_passes() -> None:
    rng = np.random.default_rng(3)
    skilled = rng.normal(0.003, 0.01, 1_000)
    ratios = [equity_metrics(run)["sharpe"] for run in rng.normal(0, 0.01, (50, 1_000))]
    assert deflated_sharpe(skilled, [*ratios, equity_metrics(skilled)["sharpe"]]) > 0.95


def test_a_single_trial_is_not_deflated() -> None:
    returns = np.random.default_rng(2).normal(0.001, 0.01, 300)
    expected = equity_metrics(returns)["psr"]
    assert deflated_sharpe(returns, 1) == deflated_sharpe(returns, [0.7]) == expected
    assert probabilistic_sharpe(returns) == expected


def test_the_formula_of_the_probabilistic_ratio() -> None:
    returns = np.random.default_rng(2).normal(0.001, 0.01, 300) ** 3 * 1e3 + 0.0002
    found = equity_metrics(returns, kind="returns")
    ratio = found["sharpe"] / math.sqrt(252)
    assert psr(returns) == pytest.approx(moments(ratio, found["skew"], found["kurtosis"], 300))
    benchmark = equity_metrics(returns, kind="returns", benchmark_sharpe=found["sharpe"])
    assert benchmark["psr"] == pytest.approx(0.5)


def test_after_the_minimum_track_record_the_ratio_is_certain_enough() -> None:
    returns = np.random.default_rng(2).normal(0.001, 0.01, 300)
    found = equity_metrics(returns)
    needed = minimum_track_record(returns, confidence=0.95)
    ratio = found["sharpe"] / math.sqrt(252)
    variance = 1 - found["skew"] * ratio + (found["kurtosis"] - 1) / 4 * ratio**2
    reached = scipy.stats.norm.cdf(ratio * math.sqrt((needed - 1) / variance))
    assert reached == pytest.approx(0.95)
    assert minimum_track_record(-returns) == math.inf
    assert math.isnan(minimum_track_record([1.0, 1.0, 1.0]))
    with pytest.raises(MetricsError, match=r"confidence: .* seen 0\.5"):
        minimum_track_record(returns, confidence=0.5)
    with pytest.raises(MetricsError, match="whole number of at least 1, seen 0"):
        deflated_sharpe(returns, 0)
