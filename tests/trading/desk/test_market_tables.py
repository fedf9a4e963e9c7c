"""Bars, indicators and features in Deephaven's tables, and what the dashboard draws of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.pictures import picture_of
from tests.processes import wait_until
from trading.bars import BarBuilder, bars
from trading.features import option_chain
from trading.indicators import EMA, RSI, IndicatorSet
from trading.ticks.feeds import Gap, Heartbeat, SimulatedMarket, Ticks

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from server.trading_server import TradingServer

START = 1_767_623_400_000_000_000
SECOND = 10**9
SYMBOLS = {"AAPL": 230.0, "BTC/USDT:USDT": 60_000.0}
UTC = pa.timestamp("ns", "UTC")


@pytest.fixture
def engine(trading_server: TradingServer) -> TradingServer:
    """Deephaven runs, and this thread may make tables."""
    return trading_server


def indicators() -> IndicatorSet:
    return IndicatorSet({"ema_3": EMA(3), "rsi_5": RSI(5)})


def rows_of(table: Any, *order: str) -> list[dict[str, Any]]:
    """What a ticking table shows now."""
    from deephaven.arrow import to_arrow

    found: list[dict[str, Any]] = to_arrow(table.sort(list(order)).snapshot()).to_pylist()
    return found


def market(seconds: float = 60) -> SimulatedMarket:
    return SimulatedMarket(SYMBOLS, seed=3, seconds=seconds, start=START)


def test_tables_show_what_the_builder_says(engine: TradingServer) -> None:
    from trading.desk import LiveMarket, MarketTables

    events = list(market().events())
    ticks = pa.concat_tables([e.table for e in events if isinstance(e, Ticks)])
    builder = BarBuilder("5s", since=START)
    wanted = indicators()
    with MarketTables(wanted.features, rows=10_000) as tables:
        live = LiveMarket({"5s": builder}, tables.publish, indicators=wanted)
        for event in events:
            live.take(event)
        assert tables.flush()
        shown = tables.published
        final = rows_of(shown["bars_final"], "Symbol", "Start")
        working = rows_of(shown["bars_live"], "Symbol")
        latest = rows_of(shown["indicator_latest"], "Symbol")
        history = rows_of(shown["indicator_history"], "Symbol", "BarTime")
        books = rows_of(shown["book_features"], "Symbol")
    whole = bars(ticks, "5s", since=START).to_pylist()
    made = {(row["symbol"], row["start"]): row for row in whole}
    assert 15 < len(final) < len(made) + 1
    for row in final:
        expected = made[row["Symbol"], row["Start"]]
        assert row["Interval"] == "5s"
        for name in ("open", "high", "low", "close", "volume", "count", "end", "state"):
            assert row[name.capitalize()] == expected[name]
        assert row["VWAP"] == expected["vwap"]
    # The bars that are not final yet are those of `working`.
    assert [(row["Symbol"], row["Close"]) for row in working] == [
        (row["symbol"], row["close"]) for row in builder.working().to_pylist()
    ]
    assert {row["State"] for row in working} == {"working"}
    again = indicators()
    expected_rows = again.push("5s", builder_finals(ticks)).to_pylist()
    assert [(r["Symbol"], r["BarTime"], r["Ema3"], r["Rsi5"]) for r in history] == sorted(
        (r["symbol"], r["bar_ts"], r["ema_3"], r["rsi_5"]) for r in expected_rows
    )
    assert [row["Final"] for row in latest] == [False, False]
    assert all(row["Ema3"] is not None for row in latest)
    assert {row["Symbol"] for row in books} == set(SYMBOLS)
    assert all(row["Spread"] > 0 and -1 <= row["Imbalance"] <= 1 for row in books)


def builder_finals(ticks: pa.Table) -> pa.Table:
    return BarBuilder("5s", since=START).push(ticks)


def tick(second: float, price: float, symbol: str = "AAPL") -> Ticks:
    return Ticks(
        pa.table(
            {
                "timestamp": pa.array([START + int(second * SECOND)], UTC),
                "received": pa.array([START + int(second * SECOND)], UTC),
                "symbol": [symbol],
                "price": [price],
                "size": [1.0],
            }
        )
    )


def late(second: float, price: float, received: float) -> Ticks:
    table = tick(second, price).table
    came = pa.array([START + int(received * SECOND)], UTC)
    return Ticks(table.set_column(1, "received", came))


def test_a_revision_takes_the_place_of_its_bar_alone(engine: TradingServer) -> None:
    from trading.desk import LiveMarket, MarketTables

    with MarketTables() as tables:
        live = LiveMarket({"10s": BarBuilder("10s", since=START)}, tables.publish)
        for event in (tick(1, 10.0), tick(11, 11.0), late(2, 9.0, 12.0)):
            live.take(event)
        live.take(Gap(START + 13 * SECOND, START + 14 * SECOND, None, "lost"))
        live.take(Heartbeat(START + 20 * SECOND))
        assert tables.flush()
        shown = tables.published
        versions = rows_of(shown["bar_versions"], "Start", "Version")
        final = rows_of(shown["bars_final"], "Start")
        live_rows = rows_of(shown["bars_live"], "Symbol")
    assert [(r["Version"], r["State"], r["Low"]) for r in versions] == [
        (1, "final", 10.0),
        (2, "revised", 9.0),
        (1, "partial", 11.0),
    ]
    assert [(r["Version"], r["Low"]) for r in final] == [(2, 9.0), (1, 11.0)]
    # The working bar stayed on show through the revision, and is final by the clock.
    assert [(r["State"], r["Close"]) for r in live_rows] == [("partial", 11.0)]


def test_a_chain_is_shown_by_strike_and_expiry(engine: TradingServer) -> None:
    from trading.desk import MarketTables

    options = pa.table(
        {
            "strike": [100.0, 110.0],
            "expiry": pa.array([START + 10 * 86_400 * SECOND] * 2, UTC),
            "right": ["C", "P"],
            "price": [2.2, 10.5],
        }
    )
    chain = option_chain(options, now=START, underlying_price=100.0)
    with MarketTables() as tables:
        for _again in range(2):
            tables.publish_chain("AAPL", chain)
        assert tables.flush()
        shown = rows_of(tables.published["option_chain"], "Strike")
    assert [(row["Underlying"], row["Strike"], row["Right"]) for row in shown] == [
        ("AAPL", 100.0, "C"),
        ("AAPL", 110.0, "P"),
    ]
    assert [row["ImpliedVol"] for row in shown] == chain["implied_vol"].to_pylist()
    assert [row["Delta"] for row in shown] == chain["delta"].to_pylist()


@pytest.fixture
def page(browser: Browser | None) -> Iterator[Page]:
    if browser is None:
        pytest.skip("no Chromium: install Debian's package chromium to look at the page")
    opened = browser.new_page(viewport={"width": 1600, "height": 1000})
    opened.set_default_timeout(180_000)
    yield opened
    opened.close()


def test_the_dashboard_draws_candles_volume_and_an_indicator(
    trading_server: TradingServer, page: Page, screenshots: Path
) -> None:
    from trading.desk import LiveMarket, MarketTables
    from trading.desk.dashboard import make_market_dashboard

    wanted = indicators()
    shown_features = ["Ema3", "Rsi5"]
    main = vars(sys.modules["__main__"])
    with MarketTables(wanted.features) as tables:
        live = LiveMarket({"5s": BarBuilder("5s", since=START)}, tables.publish, indicators=wanted)
        events = list(market(400).events())
        half = len(events) // 2
        for event in events[:half]:
            live.take(event)
        assert tables.flush()
        main["market_dashboard"] = make_market_dashboard(tables.published, shown_features)
        try:
            page.goto(
                trading_server.dashboard_url.replace("name=dashboard", "name=market_dashboard")
            )
            for title in ("Candles", "Working bars", "Final bars", "Indicators", "Order books"):
                page.get_by_text(title, exact=True).first.wait_for()
            plot = page.locator(".js-plotly-plot").first
            candles = plot.locator(".boxlayer .box")
            wait_until(lambda: candles.count() > 10, 120, "candles")
            wait_until(lambda: plot.locator(".barlayer .point").count() > 10, 120, "volume")
            drawn = dict(plot.evaluate("plot => plot.data.map(each => [each.type, each.yaxis])"))
            # The indicator lies over the candles, the volume below them.
            assert drawn["candlestick"] == drawn["scattergl"] != drawn["bar"]
            before = picture_of(plot)
            for event in events[half:]:
                live.take(event)
            assert tables.flush()
            wait_until(lambda: picture_of(plot) != before, 120, "another picture")
            picture = page.screenshot(path=str(screenshots / "market-dashboard.png"))
            assert len(picture) > 50_000
        finally:
            del main["market_dashboard"]
