"""Weights by what paper twins earn: bounds, steps, shrinking; and a portfolio in a backtest."""

from __future__ import annotations

import math
import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.backtest.market import daily
from trading.backtest import Backtest
from trading.errors import SettingsError
from trading.picker import Portfolio, Score, Scoreboard, WeightRules, next_weights, score
from trading.strategy import Bar, Context, Strategy

RETURNS = st.lists(st.floats(-0.1, 0.1), min_size=0, max_size=90)
NAMES = ("a", "b", "c", "d")


@given(RETURNS)
def test_the_score_is_a_sharpe_ratio_moved_towards_zero_by_its_error(returns: list[float]) -> None:
    found = score(returns)
    last = returns[-60:]
    if len(last) < 20 or len(set(last)) == 1:
        assert found.shrunk == 0.0
        return
    series = pd.Series(last)
    sharpe = series.mean() / series.std()
    if not math.isfinite(sharpe) or abs(sharpe) > 1e6:
        return
    assert found.sharpe == pytest.approx(sharpe, rel=1e-6, abs=1e-9)
    error = math.sqrt((1 + sharpe**2 / 2) / len(last))
    assert found.standard_error == pytest.approx(error, rel=1e-6)
    assert abs(found.shrunk) <= abs(found.sharpe)
    assert found.shrunk * found.sharpe >= 0.0
    assert abs(found.shrunk) == pytest.approx(max(abs(sharpe) - error, 0.0), abs=1e-6)


@given(
    st.dictionaries(st.sampled_from(NAMES), st.floats(-1, 1), min_size=1),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 1_000_000)),
)
def test_weights_add_up_and_keep_floor_cap_and_step(
    shrunk: dict[str, float], before: dict[str, int]
) -> None:
    rules = WeightRules()
    scores = {n: Score(60, 0.0, 1.0, x, 0.1, x) for n, x in shrunk.items()}
    weights = next_weights(scores, before, rules)
    assert sum(weights.values()) == 1_000_000
    equal = 1 / len(weights)
    for weight in weights.values():
        assert min(rules.floor, equal) - 2e-6 <= weight / 1e6 <= max(rules.cap, equal) + 2e-6
    total = sum(before.get(name, 0) for name in weights)
    if set(weights) <= set(before) and total == 1_000_000:
        inside = all(rules.floor * 1e6 <= before[n] <= max(rules.cap, equal) * 1e6 for n in weights)
        if inside:
            for name, weight in weights.items():
                assert abs(weight - before[name]) <= rules.max_step * 1e6 + 2


def test_half_is_equal_and_half_by_score() -> None:
    rules = WeightRules(cap=1.0, max_step=1.0, floor=0.0)
    scores = {"a": Score(60, 0, 1, 0.3, 0.1, 0.3), "b": Score(60, 0, 1, 0.1, 0.1, 0.1)}
    assert next_weights(scores, None, rules) == {"a": 625_000, "b": 375_000}
    nothing = {name: Score(0, 0, 0, 0, 0, 0) for name in NAMES}
    assert next_weights(nothing) == dict.fromkeys(NAMES, 250_000)
    assert next_weights({}) == {}


def test_rules_that_contradict_themselves_are_refused() -> None:
    for wrong in ({"floor": 0.6}, {"cap": 1.5}, {"least": 1}, {"least": 90}):
        with pytest.raises(SettingsError):
            WeightRules(**wrong)  # type: ignore[arg-type]


def test_the_board_tells_every_input_that_led_to_a_weight() -> None:
    board = Scoreboard(WeightRules(window=30, least=10, cap=0.9))
    rng = random.Random(4)
    for _ in range(40):
        board.add("ACC", "good", rng.gauss(0.01, 0.01))
        board.add("ACC", "bad", rng.gauss(-0.01, 0.01))
    weights = board.step("ACC", 5)
    assert weights["good"] > weights["bad"]
    perf = {row["strategyId"]: row for row in board.perf_latest()}
    assert perf["good"]["count"] == 30
    assert perf["good"]["tStat"] > 2
    [row] = [row for row in board.weights_latest() if row["strategyId"] == "good"]
    assert row["weight"] == weights["good"] / 1e6
    assert {"sharpe", "standardError", "shrunkSharpe", "floor", "cap", "maxStep"} <= set(row)


class Trend(Strategy):
    """Holds what rose over the last bars, or what fell, by its sign."""

    class Parameters:
        sign: int = 1

    def on_start(self, ctx: Context) -> None:
        self.closes: list[float] = []

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        self.closes.append(bar.close)
        if len(self.closes) < 6:
            return
        wants = (bar.close - self.closes[-6]) * self.parameters.sign > 0
        held = ctx.position(bar.symbol)
        if wants and not held:
            ctx.signal("BUY", bar.symbol, 100)
        elif held and not wants:
            ctx.signal("SELL", bar.symbol, 100)


def test_a_portfolio_weighs_its_strategies_by_their_twins() -> None:
    strategies = [Trend(name="with", sign=1), Trend(name="against", sign=-1)]
    frame = daily(rows=600)
    result = Backtest(
        strategies,
        frame,
        cash=200_000,
        fill="next_open",
        portfolio=Portfolio(WeightRules(window=40, least=20, cap=0.9)),
    ).run()
    assert not result.stopped
    assert {each["strategyId"] for each in result.perf} == {"with", "against"}
    days = {row["ts"] for row in result.weights}
    assert len(days) > 500
    for day in list(days)[:50]:
        weights = [row["weight"] for row in result.weights if row["ts"] == day]
        assert sum(weights) == pytest.approx(1.0)
    signals = result.signals.to_pandas()
    own, twins = signals[signals.account == "MAIN"], signals[signals.account == "paper:MAIN"]
    # The twins trade whole hints, the strategies parts of them.
    assert set(twins[twins.decision == "OK"].accepted.astype(int)) == {100}
    sizes = set(own[own.decision == "OK"].accepted.astype(int))
    assert max(sizes) < 100
    assert len(sizes) > 3
    # The equity of the run is that of the accounts alone, without their twins.
    main = result.equity_of("MAIN").column("equity").to_pylist()
    assert result.equity.column("equity").to_pylist() == main
    assert result.equity_of("paper:MAIN").column("equity").to_pylist() != main
    again = Backtest(
        strategies,
        frame,
        cash=200_000,
        portfolio=Portfolio(WeightRules(window=40, least=20, cap=0.9)),
    ).run()
    assert again.digest == result.digest
