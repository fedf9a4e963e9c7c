"""Longer bars from shorter ones equal those from ticks; days make weeks and months."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from bokeh_sampledata import stocks
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.bars.model import Tick
from tests.trading.bars.random_ticks import as_rows, as_table, tick_lists
from trading.bars import BarBuilder, bars, compose
from trading.errors import BarError, IntervalError, TickError

MINUTE = 60 * 10**9


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


@settings(deadline=None, max_examples=40)
@given(
    ticks=tick_lists(),
    pair=st.sampled_from([("1m", "5m"), ("30s", "1m"), ("1m", "1h"), ("5m", "1D"), ("1m", "1W")]),
    calendar=st.sampled_from([None, "XNYS", "24/7"]),
)
def test_equals_the_bars_of_the_ticks(
    ticks: list[Tick], pair: tuple[str, str], calendar: str | None
) -> None:
    short, long = pair
    recording = as_table(ticks, received=False)
    parts = bars(recording, short, calendar=calendar)
    assert as_rows(compose(parts, long, calendar=calendar)) == as_rows(
        bars(recording, long, calendar=calendar)
    )


@settings(deadline=None, max_examples=40)
@given(ticks=tick_lists())
def test_late_ticks_are_in_it(ticks: list[Tick]) -> None:
    """Only what is late for a bar of one minute need not be late for one of five."""
    table = as_table(ticks)
    ours, theirs = as_rows(compose(bars(table, "1m"), "5m")), as_rows(bars(table, "5m"))
    for row in (*ours, *theirs):
        del row["version"], row["state"]
    assert ours == theirs


@settings(deadline=None, max_examples=40)
@given(ticks=tick_lists())
def test_in_two_steps_as_in_one(ticks: list[Tick]) -> None:
    minutes = bars(as_table(ticks), "1m")
    assert as_rows(compose(compose(minutes, "5m"), "1h")) == as_rows(compose(minutes, "1h"))


def test_decimals_stay_exact() -> None:
    price, size = Decimal("0.000000007"), Decimal("9000000000.000000001")
    table = pa.table(
        {
            "timestamp": pa.array([0, MINUTE], pa.timestamp("ns", "UTC")),
            "symbol": ["BTC/USDT:USDT"] * 2,
            "price": pa.array([price, price * 3], pa.decimal128(18, 9)),
            "size": pa.array([size, size], pa.decimal128(19, 9)),
        }
    )
    (row,) = compose(bars(table, "1m"), "5m").to_pylist()
    (straight,) = bars(table, "5m").to_pylist()
    assert row == straight
    assert row["volume"] == 2 * size
    assert row["notional"] == Decimal("252.000000000000000028")


def amount(table: pa.Table, name: str) -> Any:
    return table[name].to_pylist()


def test_an_amount_beyond_the_column_is_null_and_the_average_price_is_not() -> None:
    table = pa.table(
        {
            "timestamp": pa.array([0, MINUTE], pa.timestamp("ns", "UTC")),
            "symbol": ["X"] * 2,
            "price": [1000, 2000],
            "size": [2**62, 2**62],
        }
    )
    minutes = bars(table, "1m")
    assert amount(minutes, "notional") == [None, None]
    assert amount(minutes, "vwap") == [1000.0, 2000.0]
    # Their volumes do not add up to one of 64 bits.
    with pytest.raises(TickError, match=r"9,223,372,036,854,775,808, beyond 64 bits; .*decimals"):
        compose(minutes, "5m")
    with pytest.raises(TickError, match="beyond 64 bits"):
        bars(table, "5m")
    smaller = table.set_column(3, "size", pa.array([2**61, 2**61]))
    assert amount(compose(bars(smaller, "1m"), "5m"), "vwap") == [1500.0]


def part(start: int, state: str, count: int = 1, version: int = 1) -> dict[str, Any]:
    price = 10.0 + start if count else 9.0
    return {
        "symbol": "AAPL",
        "start": start * MINUTE,
        "end": (start + 1) * MINUTE,
        **dict.fromkeys(("open", "high", "low", "close"), price),
        "volume": float(count),
        "count": count,
        "vwap": price if count else None,
        "state": state,
        "version": version,
    }


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        ([part(0, "final"), part(1, "final")], "final"),
        ([part(0, "final"), part(1, "empty", 0)], "final"),
        ([part(0, "empty", 0), part(1, "empty", 0)], "empty"),
        ([part(0, "empty", 0), part(1, "missing", 0)], "missing"),
        ([part(0, "final"), part(1, "missing", 0)], "partial"),
        ([part(0, "partial"), part(1, "revised", version=2)], "partial"),
        ([part(0, "final"), part(1, "revised", version=2)], "revised"),
        ([part(0, "final"), part(1, "working", version=0)], "working"),
    ],
)
def test_states(parts: list[dict[str, Any]], state: str) -> None:
    (row,) = compose(pa.Table.from_pylist(parts), "5m").to_pylist()
    assert row["state"] == state
    assert row["version"] == 1 + sum(max(p["version"] - 1, 0) for p in parts)
    with_trades = [p for p in parts if p["count"]]
    assert row["open"] == (with_trades or parts)[0]["open"]
    assert row["close"] == (with_trades or parts)[-1]["close"]
    assert row["high"] == max(p["high"] for p in with_trades or parts)
    assert row["low"] == min(p["low"] for p in with_trades or parts)
    assert row["volume"] == sum(p["volume"] for p in parts)


def test_the_newest_version_counts_and_since_makes_it_partial() -> None:
    rows = [part(0, "final"), part(1, "final"), part(0, "revised", 3, version=2)]
    (row,) = compose(pa.Table.from_pylist(rows), "5m", since=MINUTE).to_pylist()
    assert (row["volume"], row["state"], row["version"]) == (4.0, "partial", 2)


def test_the_last_quote_of_the_parts() -> None:
    ticks = pa.table(
        {
            "timestamp": pa.array(
                [0, 30 * 10**9, MINUTE, 2 * MINUTE + 1], pa.timestamp("ns", "UTC")
            ),
            "symbol": ["EUR/USD"] * 4,
            "price": [1.1, None, None, 1.2],
            "size": [1.0, None, None, 1.0],
            "bid": [None, 1.05, 1.06, None],
            "ask": [None, 1.15, None, None],
        }
    )
    composed = compose(bars(ticks, "1m"), "5m").to_pylist()
    assert composed == bars(ticks, "5m").to_pylist()
    assert (composed[0]["bid"], composed[0]["ask"]) == (1.06, None)


def test_gaps_reach_the_longer_bar() -> None:
    builder = BarBuilder("1m", calendar="24/7", since=0, symbols=["BTC-USD"])
    builder.gap(MINUTE, 2 * MINUTE)
    tables = [builder.push(as_table([Tick(5, "BTC-USD", 1.0, 1.0, 1, 5)]))]
    tables.append(builder.advance(10 * MINUTE))
    composed = compose(pa.concat_tables(tables), "5m", calendar="24/7")
    assert amount(composed, "state") == ["partial", "empty"]


def test_what_cannot_be_composed() -> None:
    three = pa.Table.from_pylist([part(3, "final") | {"end": 6 * MINUTE}])
    with pytest.raises(BarError, match=r"'AAPL' from .*00:03.* to .*00:06.* one bar of 5m"):
        compose(three, "5m")
    with pytest.raises(BarError, match="volume is missing"):
        compose(three.drop_columns(["volume"]), "5m")
    with pytest.raises(IntervalError, match="made of ticks"):
        compose(three, "100 ticks")
    with pytest.raises(BarError, match="has no start"):
        compose(three.set_column(1, "start", pa.array([None], pa.int64())), "5m")
    with pytest.raises(BarError, match="got int"):
        compose(5, "5m")
    assert len(compose(three.slice(0, 0), "5m")) == 0


def daily(symbol: str) -> pd.DataFrame:
    """Real daily prices, as bars of New York's sessions."""
    frame = pd.DataFrame(getattr(stocks, symbol))
    frame["date"] = pd.to_datetime(frame["date"])
    local = frame["date"].dt.tz_localize("America/New_York")
    frame["start"] = (local + pd.Timedelta(hours=9, minutes=30)).dt.tz_convert("UTC")
    frame["end"] = (local + pd.Timedelta(hours=13)).dt.tz_convert("UTC")
    frame["symbol"] = symbol
    return frame


@pytest.mark.parametrize("symbol", ["AAPL", "GOOG", "IBM", "MSFT"])
@pytest.mark.parametrize(("interval", "rule"), [("1W", "W-SUN"), ("1MO", "ME")])
def test_real_days_into_weeks_and_months(symbol: str, interval: str, rule: str) -> None:
    frame = daily(symbol)
    ours = compose(frame.drop(columns=["date", "adj_close"]), interval, calendar="XNYS").to_pandas()
    theirs = (
        frame.set_index("date")
        .resample(rule)
        .agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
        .dropna()
    )
    assert len(ours) == len(theirs) > 100
    for name in ("open", "high", "low", "close", "volume"):
        assert ours[name].tolist() == theirs[name].tolist()
    # Each begins at its first session's open, also where a holiday is on a Monday.
    first = frame.groupby(frame["date"].dt.to_period(rule[0]))["start"].min()
    assert (ours["start"].to_numpy()[1:] == first.to_numpy()[1:]).all()
