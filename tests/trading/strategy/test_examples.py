"""Each example does what its page says, on real daily prices."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pandas as pd
import pytest

from tests.trading.backtest.market import daily
from trading.backtest import Backtest
from trading.instruments import Instrument
from trading.strategy.examples import (
    Breakout,
    DeltaHedge,
    MacdTrend,
    Pairs,
    RsiReversion,
    SmaCross,
)


def run(strategy: Any, frame: pd.DataFrame, **more: Any) -> Any:
    result = Backtest(strategy, frame, cash=100_000, **more).run()
    assert not result.stopped, result.stopped
    return result


def positions(result: Any) -> dict[str, int]:
    fills = result.fills.to_pandas()
    signed = fills.quantity.astype(int) * fills.side.map({"BUY": 1, "SELL": -1})
    return signed.groupby(fills.symbol).sum().to_dict()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", [SmaCross, MacdTrend, RsiReversion])
def test_a_signal_in_and_a_signal_out_in_turns(kind: Any) -> None:
    result = run(kind(symbols=["AAPL"]), daily(rows=1_500))
    accepted = result.signals.to_pandas().query("decision == 'OK'")
    assert len(accepted) >= 6
    assert list(accepted.action) == ["BUY", "SELL"] * (len(accepted) // 2) + ["BUY"] * (
        len(accepted) % 2
    )
    assert set(accepted.accepted.astype(int)) == {100}
    assert (accepted.reason != "").all()
    assert abs(positions(result)["AAPL"]) in (0, 100)


def test_sma_cross_refuses_lengths_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="fast 30 must be below slow 20"):
        SmaCross(fast=30, slow=20)


def test_breakout_risks_a_part_of_equity_and_one_exit_closes_each_entry() -> None:
    result = run(Breakout(symbols=["AAPL"]), daily(rows=1_500), fill="intrabar")
    orders = result.orders.to_pandas()
    assert list(orders.role) == ["ENTRY", "TARGET", "STOP"] * (len(orders) // 3)
    assert len(orders) >= 15
    for _, group in orders.groupby("group"):
        entry, target, stop = (group[group.role == role].iloc[0] for role in group.role)
        assert float(target.limit_price) > float(stop.stop_price)
        assert int(entry.quantity) > 0
        if entry.status == "FILLED" and "FILLED" in (target.status, stop.status):
            assert int(target.filled) + int(stop.filled) == int(entry.filled)
    assert positions(result)["AAPL"] >= 0


def test_pairs_holds_equal_money_on_both_sides_or_nothing() -> None:
    frame = pd.concat([daily("AAPL"), daily("IBM")])
    result = run(Pairs(symbols=["AAPL", "IBM"]), frame)
    fills = result.fills.to_pandas()
    assert len(fills) >= 8
    assert len(fills) % 2 == 0
    for _, pair in fills.groupby("timestamp"):
        assert sorted(pair.symbol) == ["AAPL", "IBM"]
        assert set(pair.side) == {"BUY", "SELL"}
    first = fills.head(2)
    money = first.quantity.astype(float) * first.price.astype(float)
    assert money.max() < 1.2 * money.min()


def test_delta_hedge_follows_the_delta_and_is_flat_after_the_expiry() -> None:
    under = daily("IBM", rows=120)
    option = under.assign(symbol="IBM C100")
    for name in ("open", "high", "low", "close"):
        option[name] = (under[name] - 100).clip(lower=0.0).add(5).round(2)
    option["volume"] = 100
    expiry = datetime(2000, 7, 1, tzinfo=timezone.utc)
    strategy = DeltaHedge(symbols=["IBM C100", "IBM"], strike=100.0, expiry=expiry)
    assert 0.4 < strategy.delta(100.0, datetime(2000, 3, 1, tzinfo=timezone.utc)) < 0.6
    assert strategy.delta(150.0, expiry) == 1.0
    assert strategy.delta(50.0, expiry) == 0.0
    known = [Instrument("IBM C100", kind="OPTION", multiplier=100)]  # type: ignore[arg-type]
    result = run(strategy, pd.concat([under, option]), instruments=known)
    fills = result.fills.to_pandas()
    hedges = fills[fills.symbol == "IBM"]
    assert len(hedges) >= 5
    assert hedges.side.iloc[0] == "SELL"
    assert fills[fills.symbol == "IBM C100"].quantity.astype(int).to_list() == [10, 10]
    assert positions(result) == {"IBM": 0, "IBM C100": 0}
