"""The figures of equity curves: against other libraries, against plain loops, and bad input."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import statistics
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import empyrical
import ffn
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import quantstats
import scipy.stats
from arch.data import sp500
from hypothesis import given
from hypothesis import strategies as st

from trading.errors import MetricsError
from trading.metrics import Curve, drawdowns, equity_metrics


@pytest.fixture(scope="module")
def closes() -> pd.Series:
    """The S&P 500 from 1999 to 2018, 5,031 days."""
    return sp500.load()["Adj Close"].rename("equity")


@pytest.fixture(scope="module")
def returns(closes: pd.Series) -> pd.Series:
    return closes.pct_change().dropna().rename("returns")


def close_to(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


# --- against other libraries ----------------------------------------------------------------------


def test_known_figures_of_the_sp500(closes: pd.Series) -> None:
    found = equity_metrics(closes)
    assert found["observations"] == 5030
    assert found["sharpe"] == pytest.approx(0.28274, abs=5e-6)
    assert found["sortino"] == pytest.approx(0.39861, abs=5e-6)
    assert found["max_drawdown"] == pytest.approx(-0.56775, abs=5e-6)


def test_figures_equal_those_of_empyrical(closes: pd.Series, returns: pd.Series) -> None:
    found = equity_metrics(closes)
    assert found["total_return"] == close_to(empyrical.cum_returns_final(returns))
    assert found["annual_return"] == close_to(empyrical.annual_return(returns))
    assert found["volatility"] == close_to(empyrical.annual_volatility(returns))
    assert found["downside_deviation"] == close_to(empyrical.downside_risk(returns))
    assert found["sharpe"] == close_to(empyrical.sharpe_ratio(returns))
    assert found["sortino"] == close_to(empyrical.sortino_ratio(returns))
    assert found["max_drawdown"] == close_to(empyrical.max_drawdown(returns))
    assert found["calmar"] == close_to(empyrical.calmar_ratio(returns))
    assert found["var_95"] == close_to(empyrical.value_at_risk(returns, 0.05))
    assert found["omega"] == close_to(empyrical.omega_ratio(returns))
    assert found["tail_ratio"] == close_to(empyrical.tail_ratio(returns))
    rate = 1.03 ** (1 / 252) - 1
    with_rate = equity_metrics(closes, risk_free=0.03)
    assert with_rate["sharpe"] == close_to(empyrical.sharpe_ratio(returns, risk_free=rate))
    assert with_rate["sortino"] == close_to(empyrical.sortino_ratio(returns, required_return=rate))
    assert with_rate["omega"] == close_to(empyrical.omega_ratio(returns, risk_free=rate))


def test_figures_equal_those_of_quantstats(closes: pd.Series, returns: pd.Series) -> None:
    stats, found = quantstats.stats, equity_metrics(closes, risk_free=0.02)
    assert found["sharpe"] == close_to(stats.sharpe(returns, rf=0.02))
    assert found["sortino"] == close_to(stats.sortino(returns, rf=0.02))
    assert found["volatility"] == close_to(stats.volatility(returns))
    assert found["max_drawdown"] == close_to(stats.max_drawdown(returns))
    assert found["hit_rate"] == close_to(stats.win_rate(returns))
    assert found["profit_factor"] == close_to(stats.profit_factor(returns))
    assert found["payoff_ratio"] == close_to(stats.payoff_ratio(returns))
    assert found["average_gain"] == close_to(stats.avg_win(returns))
    assert found["average_loss"] == close_to(stats.avg_loss(returns))
    assert found["best"] == close_to(stats.best(returns))
    assert found["worst"] == close_to(stats.worst(returns))
    deepest = drawdowns(closes)[0]
    details = stats.drawdown_details(stats.to_drawdown_series(returns)).nsmallest(1, "max drawdown")
    [row] = details.to_dict("records")
    assert str(deepest.trough_day) == str(row["valley"])[:10]
    assert deepest.depth * 100 == close_to(row["max drawdown"])


def test_figures_equal_those_of_ffn(closes: pd.Series, returns: pd.Series) -> None:
    found = equity_metrics(closes)
    assert found["total_return"] == close_to(ffn.calc_total_return(closes))
    assert found["cagr"] == close_to(ffn.calc_cagr(closes))
    assert found["sharpe"] == close_to(ffn.calc_sharpe(returns, nperiods=252))
    assert found["sortino"] == close_to(ffn.calc_sortino_ratio(returns, nperiods=252))
    assert found["max_drawdown"] == close_to(ffn.calc_max_drawdown(closes))


def test_moments_and_tails_equal_those_of_scipy_and_of_a_loop(returns: pd.Series) -> None:
    found, values = equity_metrics(returns), returns.tolist()
    assert found["skew"] == close_to(scipy.stats.skew(values))
    assert found["kurtosis"] == close_to(scipy.stats.kurtosis(values, fisher=False))
    at_or_below = [value for value in values if value <= found["var_95"]]
    assert found["cvar_95"] == close_to(sum(at_or_below) / len(at_or_below))
    ratio = statistics.mean(values) / statistics.stdev(values)
    variance = 1 - found["skew"] * ratio + (found["kurtosis"] - 1) / 4 * ratio**2
    expected = scipy.stats.norm.cdf(ratio * math.sqrt((len(values) - 1) / variance))
    assert found["psr"] == close_to(expected)
    logs = np.log(Curve.of(returns).levels)
    line = scipy.stats.linregress(np.arange(len(logs)), logs)
    assert found["stability"] == close_to(line.rvalue**2)


def test_equity_and_its_returns_have_the_same_figures(
    closes: pd.Series, returns: pd.Series
) -> None:
    of_equity, of_returns = equity_metrics(closes), equity_metrics(returns)
    # How long it took until the first return is not known of returns alone.
    for name in of_equity.keys() - {"cagr"}:
        assert of_equity[name] == close_to(of_returns[name]), name
    assert of_equity["cagr"] == pytest.approx(of_returns["cagr"], abs=1e-5)


# --- what can be given ----------------------------------------------------------------------------

VALUES = [100.0, 101.0, 99.0, 103.0, 102.0]
TIMES = [dt.datetime(2026, 1, day, 22, tzinfo=dt.timezone.utc) for day in (5, 6, 7, 8, 9)]


@pytest.mark.parametrize(
    "data",
    [
        VALUES,
        tuple(VALUES),
        np.array(VALUES),
        [Decimal("100"), 101, "99", 103.0, Decimal("102.0")],
        pd.Series(VALUES),
        pl.Series("equity", VALUES),
        {"timestamp": TIMES, "equity": VALUES},
        pd.DataFrame({"timestamp": TIMES, "equity": VALUES, "cash": 1.0}),
        pd.DataFrame({"equity": VALUES}, index=pd.DatetimeIndex(TIMES)),
        pl.DataFrame({"timestamp": TIMES, "equity": VALUES}),
        pa.table({"timestamp": pa.array(TIMES, pa.timestamp("ns", "UTC")), "equity": VALUES}),
        pa.table({"Date": TIMES, "Equity": pa.array(map(Decimal, VALUES), pa.decimal128(20, 2))}),
        {"date": [f"2026-01-0{day}" for day in range(5, 10)], "close": VALUES},
        {"timestamp": [int(t.timestamp()) * 10**9 for t in TIMES], "equity": VALUES},
        [b / a - 1 for a, b in itertools.pairwise(VALUES)],
        {"returns": [b / a - 1 for a, b in itertools.pairwise(VALUES)]},
    ],
    ids=lambda data: type(data).__module__ + "." + type(data).__name__,
)
def test_equity_in_any_form(data: Any) -> None:
    found = equity_metrics(data)
    assert found["observations"] == 4
    assert found["total_return"] == close_to(0.02)
    assert found["max_drawdown"] == close_to(99 / 101 - 1)
    assert found["max_drawdown_length"] == 2
    assert found["longest_drawdown"] == 2
    assert found["hit_rate"] == 0.5


def test_what_is_equity_and_what_returns() -> None:
    assert Curve.of([0.01, 0.02, 0.005]).periods == 3
    assert Curve.of([1.0, 1.01, 0.99]).periods == 2
    assert Curve.of([0.1, -0.4, 0.9, 0.01]).periods == 4
    assert Curve.of([0.3, 0.35], kind="equity").periods == 1
    assert Curve.of({"equity": [0.3, 0.35]}).periods == 1
    assert Curve.of({"equity": [1.0, 2.0], "returns": [0.1, 0.2]}, kind="returns").periods == 2
    with pytest.raises(MetricsError, match='kind="equity" or kind="returns"'):
        equity_metrics([0.4, 0.1, 0.9, 0.2])
    with pytest.raises(MetricsError, match="none of: equity, returns"):
        equity_metrics(VALUES, kind="prices")  # type: ignore[arg-type]


def test_days_are_those_of_the_time_zone() -> None:
    # 23:30 UTC is the next day in Oslo, in winter and in summer.
    times = ["2026-01-05T09:00:00Z", "2026-01-05T23:30:00Z", "2026-01-06T20:00:00Z"]
    frame = {"timestamp": times, "equity": [100.0, 110.0, 121.0]}
    oslo, utc = Curve.of(frame), Curve.of(frame, time_zone="UTC")
    assert oslo.days is not None
    assert [str(day) for day in oslo.days] == ["2026-01-05", "2026-01-06"]
    assert oslo.levels.tolist() == [100.0, 121.0]
    assert utc.levels.tolist() == [100.0, 110.0, 121.0]
    assert utc.days is not None
    assert [str(day) for day in utc.days] == ["2026-01-05", "2026-01-05", "2026-01-06"]
    summer = {"timestamp": ["2026-07-05T21:30:00Z", "2026-07-05T22:30:00Z"], "equity": [1.0, 2.0]}
    curve = Curve.of(summer)
    assert curve.days is not None
    assert [str(day) for day in curve.days] == ["2026-07-05", "2026-07-06"]


def test_minutes_become_days_and_the_first_day_counts_from_its_first_value() -> None:
    times = pd.date_range("2026-01-05T08:00Z", periods=3 * 24 * 60, freq="min")
    values = np.linspace(100, 130, len(times))
    by_day = Curve.of(pd.Series(values, times))
    assert by_day.periods == 4  # 23 h in Oslo make a day more
    assert by_day.levels[0] == 100.0
    assert by_day.levels[-1] == 130.0
    assert Curve.of(pd.Series(values, times), daily=False).periods == len(times) - 1
    compounded = Curve.of(pd.Series(np.full(len(times), 0.0001), times, name="returns"))
    assert compounded.periods == 4
    assert compounded.levels[-1] == pytest.approx(1.0001 ** len(times))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "at least 2 rows, seen 0"),
        ([100.0], "at least 2 rows, seen 1"),
        ([100.0, math.nan, 101.0], "row 1 is nan"),
        ([100.0, math.inf], "row 1 is inf"),
        ([100.0, None, 101.0], "row 1 is nan"),
        ([100.0, 50.0, 0.0], "row 2: an equity of 0 "),
        ([100.0, -50.0, 10.0], "row 1: an equity of -50 "),
        ({"returns": [0.1, -1.0]}, "row 1: a return of -1 loses everything"),
        ({"returns": [math.nan, 0.1, 0.2]}, r"dropna\(\)"),
        ([100.0, "x"], "row 1 is 'x', no number"),
        ([True, False], "no number"),
        ([[1.0, 2.0]], "2 dimensions"),
        (7, "a series or a frame, seen 7"),
        ("equity.csv", "a series or a frame"),
        ({"a": [1.0, 2.0], "b": [1.0, 2.0]}, "a column equity or returns, seen a, b"),
        (
            {"timestamp": ["2026-01-02", "2026-01-01"], "equity": [1.0, 2.0]},
            "row 1 is of 2026-01-01 .* sort",
        ),
        (
            {"timestamp": ["2026-01-02", "2026-01-02"], "equity": [1.0, 2.0]},
            "rows 0 and 1 have the same time",
        ),
        (
            {"timestamp": ["2026-01-02T10:00:00", "2026-01-02T11:00:00"], "equity": [1.0, 2.0]},
            "without a time zone",
        ),
        (
            {"timestamp": ["2026-01-02", "2026-01-02T11:00:00Z"], "equity": [1.0, 2.0]},
            "row 0 is .* without a time zone, where other rows",
        ),
        ({"timestamp": ["2026-01-02", "soon"], "equity": [1.0, 2.0]}, "row 1 is 'soon', no time"),
        ({"timestamp": ["2026-01-02", None], "equity": [1.0, 2.0]}, "row 1"),
        ({"timestamp": [20260102, 20260103], "equity": [1.0, 2.0]}, "nanoseconds"),
    ],
)
def test_bad_input_is_refused_with_its_row(data: Any, message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        equity_metrics(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"periods": 0}, "periods: expected a number above 0, seen 0"),
        ({"periods": math.nan}, "periods"),
        ({"periods": "252"}, "periods"),
        ({"risk_free": -1}, "risk_free"),
        ({"time_zone": "Europe/Osl"}, "no time zone 'Europe/Osl'"),
        ({"trials": 0}, "trials"),
        ({"trials": []}, "trials"),
        ({"trials": [0.5, math.nan]}, "trials"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        equity_metrics({"timestamp": TIMES, "equity": VALUES}, **options)


def test_figures_that_do_not_exist_are_nan() -> None:
    flat = equity_metrics([100.0, 100.0, 100.0])
    assert all(math.isnan(flat[name]) for name in ("sharpe", "sortino", "calmar", "psr", "skew"))
    assert flat["total_return"] == flat["volatility"] == flat["max_drawdown"] == 0
    steady = equity_metrics([100 * 1.001**n for n in range(50)])
    assert steady["volatility"] == 0
    assert math.isnan(steady["sharpe"])
    assert steady["profit_factor"] == steady["calmar"] == math.inf
    one = equity_metrics([100.0, 101.0])
    assert math.isnan(one["volatility"])
    assert one["best"] == close_to(0.01)


# --- against a plain model ------------------------------------------------------------------------


def model(returns: Sequence[float], periods: int) -> dict[str, float]:
    """The same figures by loops, as one would write them on paper."""
    n, level, levels = len(returns), 1.0, [1.0]
    for value in returns:
        level *= 1 + value
        levels.append(level)
    deepest, length, longest = 0.0, 0, 0
    for low in range(n + 1):
        peak = max(range(low + 1), key=lambda i: levels[i])
        back = next((i for i in range(low, n + 1) if levels[i] >= levels[peak]), n)
        if levels[low] < levels[peak]:
            last = max(i for i in range(low + 1) if levels[i] == levels[peak])
            longest = max(longest, back - last)
            if levels[low] / levels[peak] - 1 < deepest:
                deepest, length = levels[low] / levels[peak] - 1, back - last
    mean = sum(returns) / n
    deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / (n - 1))
    down = math.sqrt(sum(min(r, 0) ** 2 for r in returns) / n)
    gains, losses = [r for r in returns if r > 0], [r for r in returns if r < 0]
    found = {
        "total_return": level - 1,
        "annual_return": level ** (periods / n) - 1,
        "volatility": deviation * math.sqrt(periods),
        "max_drawdown": deepest,
        "max_drawdown_length": length,
        "longest_drawdown": longest,
        "best": max(returns),
        "worst": min(returns),
    }
    if deviation > 1e-12:
        found["sharpe"] = mean / deviation * math.sqrt(periods)
    if losses:
        found["sortino"] = mean * math.sqrt(periods) / down
        found["profit_factor"] = found["omega"] = sum(gains) / -sum(losses)
    if gains or losses:
        found["hit_rate"] = len(gains) / (len(gains) + len(losses))
    return found


@given(
    st.lists(st.floats(-0.45, 0.45).map(lambda value: round(value, 6)), min_size=2, max_size=40),
    st.sampled_from([12, 52, 252, 365]),
)
def test_figures_equal_those_of_plain_loops(returns: list[float], periods: int) -> None:
    found = equity_metrics(returns, periods=periods)
    for name, value in model(returns, periods).items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    below = drawdowns(returns)
    assert [each.depth for each in below] == sorted(each.depth for each in below)
    assert all(each.peak < each.trough <= each.end for each in below)
    # Runs under water do not overlap.
    spans = sorted((each.peak, each.end) for each in below)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
