"""Strategies that peek are caught, in the four ways people do it; honest ones are not accused."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests.trading.backtest.market import daily, minutes
from trading.backtest import Backtest, check_lookahead, check_warmup
from trading.indicators import EMA
from trading.strategy import Bar, Context, Strategy
from trading.strategy.examples import Breakout, MacdTrend, RsiReversion, SmaCross


class Prepared(Strategy):
    """Trades by a column that was computed in advance: 1 is long, 0 is flat."""

    def column(self, bars: pd.DataFrame) -> pd.Series:
        raise NotImplementedError

    def prepare(self, bars: Any) -> None:
        frame = bars.reset_index(drop=True)
        wanted = self.column(frame)
        times = frame["timestamp"].dt.as_unit("ns").astype("int64")
        self.wanted = dict(zip(times.to_list(), wanted.to_list(), strict=True))

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        wanted = self.wanted[bar.raw.start]
        held = ctx.position(bar.symbol)
        if wanted != wanted:  # not a number: nothing is known
            return
        if wanted > 0 and not held:
            ctx.signal("BUY", bar.symbol, 10, reason="wanted")
        elif wanted <= 0 and held:
            ctx.signal("SELL", bar.symbol, 10, reason="not wanted")


class ShiftedIndex(Prepared):
    """Knows the next close."""

    def column(self, bars: pd.DataFrame) -> pd.Series:
        return (bars["close"].shift(-1) > bars["close"]).astype(float)


class WholeSeriesStatistic(Prepared):
    """Compares with the mean and deviation of all closes, those to come included."""

    def column(self, bars: pd.DataFrame) -> pd.Series:
        score = (bars["close"] - bars["close"].mean()) / bars["close"].std()
        return (score < -0.5).astype(float)


class UnfinishedBar(Prepared):
    """Takes each minute's hour as it will be when the hour is over."""

    def column(self, bars: pd.DataFrame) -> pd.Series:
        hour = bars["timestamp"].dt.floor("h")
        close = bars.groupby(hour)["close"].transform("last")
        return (close > bars["close"]).astype(float)


class ResampledLabel(Prepared):
    """Resamples to hours with the label at the left, and joins them as of the label."""

    def column(self, bars: pd.DataFrame) -> pd.Series:
        hours = bars.set_index("timestamp")["close"].resample("60min").last().dropna()
        trend = (hours.diff() > 0).astype(float).rename("trend").reset_index()
        return pd.merge_asof(bars, trend, on="timestamp")["trend"]


class Honest(Prepared):
    """Resamples to hours too, and uses each only after its end."""

    def column(self, bars: pd.DataFrame) -> pd.Series:
        hours = bars.set_index("timestamp")["close"].resample("60min").last().dropna()
        trend = (hours.diff() > 0).astype(float).rename("trend").reset_index()
        trend["timestamp"] += pd.Timedelta(minutes=60)
        # A bar that begins at an hour's end is known a minute later: the hour is over by then.
        return pd.merge_asof(bars, trend, on="timestamp")["trend"]


def backtest(kind: type[Strategy], frame: pd.DataFrame | None = None, **more: Any) -> Backtest:
    return Backtest(kind(), minutes(rows=1_200) if frame is None else frame, cash=100_000, **more)


@pytest.mark.parametrize(
    "peeking", [ShiftedIndex, WholeSeriesStatistic, UnfinishedBar, ResampledLabel]
)
def test_a_strategy_that_peeks_is_caught_with_its_first_differing_signal(
    peeking: type[Strategy],
) -> None:
    verdict = check_lookahead(backtest(peeking))
    assert verdict.status == "FOUND"
    assert not verdict.ok
    difference = verdict.difference
    assert difference is not None
    assert difference.strategy == peeking.__name__
    assert difference.time <= difference.cut
    assert {difference.expected, difference.found} & {""} or (
        difference.expected != difference.found
    )
    text = str(verdict)
    assert "FOUND" in text
    assert "it saw what came later" in text
    assert "SIM" in text


def test_a_prepared_strategy_that_does_not_peek_is_clean() -> None:
    verdict = check_lookahead(backtest(Honest))
    assert verdict.ok, str(verdict)
    assert verdict.compared > 20


@pytest.mark.parametrize("kind", [SmaCross, MacdTrend, RsiReversion, Breakout])
def test_the_examples_neither_peek_nor_need_more_warm_up_than_they_say(
    kind: type[Strategy],
) -> None:
    frame = daily(rows=1_800)
    lookahead = check_lookahead(backtest(kind, frame), cuts=8)
    assert lookahead.ok, str(lookahead)
    warm = check_warmup(backtest(kind, frame), starts=3)
    assert warm.ok, str(warm)


class ShortMemory(Strategy):
    """An exponential average of a hundred bars that pretends to be warm after five."""

    warmup = 5

    def on_start(self, ctx: Context) -> None:
        self.average = ctx.indicator(EMA(100), self.symbol)

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        held = ctx.position(bar.symbol)
        above = self.average.ready and bar.close > self.average.value
        if above and not held:
            ctx.signal("BUY", bar.symbol, 10)
        elif held and not above:
            ctx.signal("SELL", bar.symbol, 10)


def test_a_warm_up_that_is_too_short_is_found_and_a_long_one_is_not() -> None:
    frame = daily(rows=3_000)
    short = check_warmup(backtest(ShortMemory, frame))
    assert short.status == "FOUND"
    assert "it needs a longer warm-up" in str(short)
    long = check_warmup(backtest(ShortMemory, frame), warmup=2_000, starts=3)
    assert long.ok, str(long)


class Silent(Strategy):
    """Says nothing."""


def test_without_any_signal_the_checks_decide_nothing() -> None:
    for check in (check_lookahead, check_warmup):
        verdict = check(backtest(Silent))
        assert verdict.status == "NOTHING"
        assert not verdict.ok
        assert "undecided" in str(verdict)
