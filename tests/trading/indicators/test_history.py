"""The tables of indicators from bars as they become final."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.bars import BarBuilder, bars
from trading.errors import IndicatorError
from trading.indicators import ATR, EMA, MACD, SMA, VWAP, IndicatorSet

MINUTE = 60 * 10**9
UTC = pa.timestamp("ns", "UTC")


def market(seed: int, minutes: int = 60) -> pa.Table:
    rng = random.Random(seed)
    times, symbols, prices = [], [], []
    price = {"AAPL": 100.0, "BRK.B": 400.0}
    for second in range(0, minutes * 60, 7):
        symbol = rng.choice(list(price))
        price[symbol] = round(price[symbol] + rng.gauss(0, 0.1), 2)
        times.append(second * 10**9)
        symbols.append(symbol)
        prices.append(price[symbol])
    return pa.table(
        {
            "timestamp": pa.array(times, UTC),
            "symbol": symbols,
            "price": prices,
            "size": [float(rng.randint(1, 9)) for _ in times],
        }
    )


def new_set() -> IndicatorSet:
    return IndicatorSet({"ema_5": EMA(5), "macd": MACD(3, 6, 2), "atr": ATR(4)}, version="v7")


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 200))
def test_equal_to_talib_whatever_the_chunks(seed: int, size: int) -> None:
    ticks, indicators, builder = market(seed), new_set(), BarBuilder("1m", since=0)
    tables = [
        indicators.push("1m", builder.push(ticks.slice(at, size)))
        for at in range(0, len(ticks), size)
    ]
    tables.append(indicators.push("1m", builder.finish()))
    history = pa.concat_tables(tables)
    whole = bars(ticks, "1m")
    for symbol in ("AAPL", "BRK.B"):
        mine = [row for row in history.to_pylist() if row["symbol"] == symbol]
        theirs = whole.filter(pa.compute.equal(whole["symbol"], symbol))
        high, low, close = (np.asarray(theirs[name]) for name in ("high", "low", "close"))
        expected = {
            "ema_5": talib.EMA(close, 5),
            "atr": talib.ATR(high, low, close, 4),
            "macd_macd": talib.MACD(close, 3, 6, 2)[0],
        }
        for name, values in expected.items():
            ours = [np.nan if row[name] is None else row[name] for row in mine]
            np.testing.assert_allclose(ours, values, rtol=1e-9, atol=1e-9)
        assert [row["bar_ts"] for row in mine] == theirs["start"].to_pylist()
        assert [row["calc_ts"] for row in mine] == theirs["end"].to_pylist()
        assert {(row["final"], row["indicator_version"]) for row in mine} == {(True, "v7")}
    latest = {row["symbol"]: row for row in indicators.latest().to_pylist()}
    for symbol, row in latest.items():
        assert row == [each for each in history.to_pylist() if each["symbol"] == symbol][-1]


def test_columns() -> None:
    names = new_set().latest().column_names
    assert names[:4] == ["symbol", "timeframe", "bar_ts", "final"]
    assert names[4:-2] == ["ema_5", "macd_macd", "macd_signal", "macd_histogram", "atr"]
    assert names[-2:] == ["calc_ts", "indicator_version"]


def bar(start: int, close: float | None, state: str = "final") -> dict[str, Any]:
    return {
        "symbol": "AAPL",
        "start": start * MINUTE,
        "end": (start + 1) * MINUTE,
        "close": close,
        "state": state,
    }


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows))


def test_bars_without_trades_repeat_and_revisions_do_not_rewrite() -> None:
    indicators = IndicatorSet({"sma": SMA(2)})
    rows = indicators.push(
        "1m",
        table(bar(0, None, "missing"), bar(1, 1.0), bar(2, 3.0, "partial"), bar(3, 3.0, "empty")),
    )
    assert rows["sma"].to_pylist() == [None, None, 2.0, 2.0]
    assert len(indicators.push("1m", table(bar(1, 99.0, "revised")))) == 0
    assert indicators.push("1m", table(bar(4, 5.0)))["sma"].to_pylist() == [4.0]


def test_a_preview_of_the_working_bar_changes_nothing() -> None:
    indicators = IndicatorSet({"sma": SMA(2)})
    indicators.push("1m", table(bar(0, 1.0), bar(1, 3.0)))
    for close in (5.0, 7.0):
        (row,) = indicators.preview("1m", table(bar(2, close, "working")), now=99).to_pylist()
        assert (row["final"], row["sma"], row["calc_ts"].value) == (False, (3.0 + close) / 2, 99)
        assert indicators.latest().to_pylist() == [row]
    # A working bar that is older than the last final one is past.
    assert len(indicators.preview("1m", table(bar(1, 9.0, "working")))) == 0
    (row,) = indicators.push("1m", table(bar(2, 9.0))).to_pylist()
    assert (row["final"], row["sma"]) == (True, 6.0)


def test_timeframes_are_apart_and_state_survives_a_pickle() -> None:
    indicators = IndicatorSet({"sma": SMA(2)})
    indicators.push("1m", table(bar(0, 1.0)))
    indicators.push("5m", table(bar(0, 100.0)))
    again = pickle.loads(pickle.dumps(indicators))
    for each in (indicators, again):
        assert each.push("1m", table(bar(1, 3.0)))["sma"].to_pylist() == [2.0]
    timeframes = indicators.latest()["timeframe"].to_pylist()
    assert timeframes == ["1m", "5m"]


def test_wrong_ones() -> None:
    indicators = IndicatorSet({"sma": SMA(2)})
    indicators.push("1m", table(bar(5, 1.0)))
    with pytest.raises(IndicatorError, match=r"'AAPL' from 1970-01-01T00:05.* once, in order"):
        indicators.push("1m", table(bar(6, 1.0), bar(5, 1.0)))
    # Nothing of that table was taken.
    assert indicators.push("1m", table(bar(6, 3.0)))["sma"].to_pylist() == [2.0]
    with pytest.raises(IndicatorError, match="volume is missing"):
        IndicatorSet({"vwap": VWAP(2)}).push("1m", table(bar(0, 1.0) | {"high": 1.0, "low": 1.0}))
    with pytest.raises(IndicatorError, match="at least one"):
        IndicatorSet({})
    with pytest.raises(IndicatorError, match="must be an indicator"):
        IndicatorSet({"x": 5})  # type: ignore[dict-item]
    with pytest.raises(IndicatorError, match="no name of a column"):
        IndicatorSet({"a b": SMA(2)})
    with pytest.raises(IndicatorError, match="must differ"):
        IndicatorSet({"final": SMA(2)})
