"""The published tables in a real engine: columns, meaning, bounded memory, staleness."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from server.market_data import (
    BASE_PRICES,
    ENTRY_PRICES,
    POSITIONS,
    SYMBOLS,
    start_market_data,
)
from tests.processes import wait_until

if TYPE_CHECKING:
    from server.tables import MarketTables
    from server.trading_server import TradingServer

PRICES = ["Symbol", "Price", "Bid", "Ask", "Volume", "Change", "ChangePct", "Timestamp"]
RISK = [
    "Symbol",
    "Position",
    "MarketValue",
    "UnrealizedPnL",
    "Delta",
    "Gamma",
    "Theta",
    "Vega",
    "Timestamp",
]
SUMMARY = [
    "TotalMV",
    "TotalPnL",
    "TotalDelta",
    "AvgGamma",
    "AvgTheta",
    "AvgVega",
    "NumPositions",
    "Timestamp",
]
COLUMNS = {
    "prices_raw": PRICES,
    "prices_live": [*PRICES, "Stale"],
    "risk_raw": RISK,
    "risk_live": [*RISK, "Stale"],
    "portfolio_summary": [*SUMMARY, "Stale"],
    "top_movers": [*PRICES, "Stale"],
    "volume_leaders": [*PRICES, "Stale"],
    "feed_status": ["Source", "State", "Ticks", "Errors", "LastError", "Timestamp", "Stale"],
}


def rows(table: Any) -> list[dict[str, Any]]:
    from deephaven.arrow import to_arrow

    return to_arrow(table.snapshot()).to_pylist()


@pytest.fixture
def quiet(trading_server: TradingServer) -> Iterator[MarketTables]:
    """Tables of their own, which nobody but the test writes to."""
    from publishing import Publisher
    from server.tables import declare_writers, make_market_tables

    with Publisher() as publisher:
        yield make_market_tables(declare_writers(publisher, raw_rows=100))


def write_prices(tables: MarketTables, prices: dict[str, float], stamp_ns: int = 1) -> None:
    for volume, (symbol, price) in enumerate(prices.items()):
        change = price - 100
        tables.price_writer.write_row(
            symbol, price, price - 1, price + 1, volume, change, change, stamp_ns
        )


def test_every_table_has_its_columns_in_order(trading_server: TradingServer) -> None:
    published = trading_server.tables.published
    assert {name: list(t.definition.keys()) for name, t in published.items()} == COLUMNS


def test_one_moment_of_the_market_is_consistent(trading_server: TradingServer) -> None:
    tables = trading_server.tables
    wait_until(lambda: tables.risk_live.size == len(SYMBOLS), 20, "a tick of every symbol")
    for row in rows(tables.prices_live):
        assert row["Bid"] < row["Price"] < row["Ask"]
        assert row["Change"] == pytest.approx(row["Price"] - BASE_PRICES[row["Symbol"]])
        assert row["ChangePct"] == pytest.approx(100 * row["Change"] / BASE_PRICES[row["Symbol"]])
    risk = rows(tables.risk_live)
    for row in risk:
        position = POSITIONS[row["Symbol"]]
        price = row["MarketValue"] / position
        assert row["UnrealizedPnL"] == pytest.approx(
            position * (price - ENTRY_PRICES[row["Symbol"]]), abs=1e-6
        )


def test_the_summary_adds_up_the_positions(quiet: MarketTables) -> None:
    held = [
        ("A", 10, 1000.0, 5.0, 1.0, 2.0, 3.0, 4.0),
        ("B", -5, -400.0, -7.0, -1.0, 0.0, 1.0, 8.0),
    ]
    for row in held:
        quiet.risk_writer.write_row(*row, 10)
    quiet.risk_writer.write_row("A", 10, 1100.0, 6.0, 1.5, 2.5, 3.5, 4.5, 20)
    wait_until(
        lambda: (
            rows(quiet.portfolio_summary) and rows(quiet.portfolio_summary)[0]["TotalMV"] == 700.0
        ),
        20,
        "the newest row of each position in the summary",
    )
    [summary] = rows(quiet.portfolio_summary)
    assert summary["TotalPnL"] == -1.0
    assert summary["TotalDelta"] == 0.5
    assert (summary["AvgGamma"], summary["AvgTheta"], summary["AvgVega"]) == (1.25, 2.25, 6.25)
    assert summary["NumPositions"] == 2


def test_leaders_are_ranked_and_few(quiet: MarketTables) -> None:
    write_prices(quiet, {"A": 101, "B": 90, "C": 103, "D": 100, "E": 104, "F": 99.5})
    wait_until(lambda: quiet.volume_leaders.size == 5, 20, "five leaders")
    assert [row["Symbol"] for row in rows(quiet.top_movers)] == ["B", "E", "C", "A", "F"]
    assert [row["Symbol"] for row in rows(quiet.volume_leaders)] == ["F", "E", "D", "C", "B"]


def test_raw_tables_keep_the_newest_rows_only(quiet: MarketTables) -> None:
    for start in range(0, 1_000, 50):
        price = np.arange(start, start + 50, dtype=float)
        quiet.price_writer.write_columns(
            ["A"] * 50, price, price, price, [1] * 50, price, price, np.arange(start, start + 50)
        )
    wait_until(
        lambda: quiet.prices_raw.size == 100 and rows(quiet.prices_raw)[-1]["Price"] == 999.0,
        20,
        "the last row",
    )
    assert [row["Price"] for row in rows(quiet.prices_raw)] == list(map(float, range(900, 1_000)))
    assert [row["Price"] for row in rows(quiet.prices_live)] == [999.0]


def test_times_are_exact_and_nulls_are_null(quiet: MarketTables) -> None:
    stamp = 1_771_754_400_123_456_789
    quiet.price_writer.write_row("A", None, 1.0, None, None, 1.0, 1.0, stamp)
    quiet.price_writer.write_row(None, 1.0, 1.0, 1.0, 1, 1.0, 1.0, None)
    wait_until(lambda: quiet.prices_raw.size == 2, 20, "two rows")
    from deephaven.arrow import to_arrow

    table = to_arrow(quiet.prices_raw.snapshot())
    assert table["Timestamp"].cast("int64").to_pylist() == [stamp, None]
    assert table["Price"].to_pylist() == [None, 1.0]
    assert table["Ask"].to_pylist() == [None, 1.0]
    assert table["Volume"].to_pylist() == [None, 1]
    assert table["Symbol"].to_pylist() == ["A", None]


def stale(table: Any) -> object:
    found = rows(table)
    return found[0]["Stale"] if found else None


def write_status(tables: MarketTables, state: str) -> None:
    tables.status_writer.write_row("test", state, 1, 0, "", time.time_ns())


def test_the_tables_tell_when_the_feed_fails_and_when_it_is_back(quiet: MarketTables) -> None:
    write_prices(quiet, {"A": 101.0})
    quiet.risk_writer.write_row("A", 1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1)
    write_status(quiet, "LIVE")
    watched = (quiet.prices_live, quiet.risk_live, quiet.portfolio_summary, quiet.top_movers)
    wait_until(lambda: all(stale(t) is False for t in watched), 20, "a live market")
    write_status(quiet, "FAILED")
    wait_until(lambda: all(stale(t) is True for t in watched), 20, "a stale market")
    write_status(quiet, "LIVE")
    wait_until(lambda: all(stale(t) is False for t in watched), 20, "a live market again")


def test_the_tables_tell_by_the_engines_clock_when_nobody_writes_any_more(
    quiet: MarketTables,
) -> None:
    write_prices(quiet, {"A": 101.0})
    write_status(quiet, "LIVE")
    wait_until(lambda: stale(quiet.prices_live) is False, 20, "a live market")
    wait_until(lambda: stale(quiet.prices_live) is True, 20, "a stale market")
    assert [row["State"] for row in rows(quiet.feed_status)] == ["LIVE"]


def test_the_running_servers_market_is_live(trading_server: TradingServer) -> None:
    tables = trading_server.tables
    wait_until(lambda: stale(tables.prices_live) is False, 20, "a live market")
    [status] = rows(tables.feed_status)
    assert status["Source"] == "simulator"
    assert status["Errors"] == 0


@pytest.mark.usefixtures("trading_server")
def test_writers_of_tables_get_the_columns_that_their_tables_have() -> None:
    from deephaven import DynamicTableWriter
    from deephaven import dtypes as dht

    price_types = [dht.string, *[dht.double] * 3, dht.int64, *[dht.double] * 2]
    risk_types = [dht.string, dht.int64, *[dht.double] * 6, dht.int64]
    prices = DynamicTableWriter(dict(zip(PRICES, price_types, strict=False)))
    risk = DynamicTableWriter(dict(zip(RISK, risk_types, strict=True)))
    thread, stop = start_market_data(prices, risk, tick_interval=0.01)
    try:
        wait_until(lambda: risk.table.size >= 2 * len(SYMBOLS), 20, "two ticks")
        wait_until(lambda: prices.table.size >= 2 * len(SYMBOLS), 20, "two ticks")
    finally:
        stop.set()
        thread.join(5)
    assert rows(prices.table)[0]["Symbol"] == rows(risk.table)[0]["Symbol"] == SYMBOLS[0]
    assert rows(risk.table)[0]["Timestamp"] > 10**18
    prices.close()
    risk.close()
