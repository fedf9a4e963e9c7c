"""Reports: their files, and what the page shows in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from trading.errors import MetricsError
from trading.metrics import equity_metrics, round_trips
from trading.positions import Fill, LotBook
from trading.reports import Report
from trading.reports.pictures import thinned

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STRATEGIES = ("trend", "mean <b>reversion</b> $x$")


def run(seed: int = 4) -> tuple[pd.DataFrame, list[Fill], pd.DataFrame]:
    """Two years of two symbols: equity, fills of two strategies, bars."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2024-01-02", "2025-12-31", tz="America/New_York")
    opens = (days + pd.Timedelta(hours=9.5)).tz_convert("UTC")
    ends = (days + pd.Timedelta(hours=16)).tz_convert("UTC")
    fills, frames, value, cash = [], [], np.zeros(len(days)), np.full(len(days), 100_000.0)
    for number, (symbol, first) in enumerate((("AAPL", 150.0), ("BRK.B", 350.0))):
        close = first * np.exp(np.cumsum(rng.normal(0.0004, 0.012, len(days))))
        frames.append(
            pd.DataFrame(
                {
                    "timestamp": opens,
                    "end": ends,
                    "symbol": symbol,
                    "high": close * 1.01,
                    "low": close * 0.99,
                    "close": close,
                }
            )
        )
        held = 0
        for day in range(1, len(days), 7 + 4 * number):
            side = "BUY" if held <= 0 else "SELL"
            quantity = 20 if held else 10
            price = round(float(close[day - 1]), 2)
            fills.append(
                Fill(
                    "ACC", STRATEGIES[number], symbol, f"{symbol}{day}", f"{symbol}{day}", side,
                    quantity, price, "1.00", int(opens[day].value),
                )
            )  # fmt: skip
            signed = quantity if side == "BUY" else -quantity
            held += signed
            cash[day:] -= signed * price + 1
            value[day:] += signed * close[day:]
    fills.sort(key=lambda fill: int(fill.timestamp))  # type: ignore[call-overload]
    equity = pd.DataFrame({"timestamp": ends, "equity": cash + value})
    return equity, fills, pd.concat(frames).sort_values("timestamp", kind="stable")


@pytest.fixture(scope="module")
def report() -> Report:
    equity, fills, bars = run()
    return Report.of(
        equity,
        fills=fills,
        prices=bars,
        title="Two <strategies> & two symbols",
        run="backtest:1",
        notes=["Prices are <simulated>."],
        trials=100,
    )


@pytest.fixture(scope="module")
def written(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "new"
    report.write(folder)
    return folder


def test_the_files_hold_what_was_computed(report: Report, written: Path) -> None:
    equity, fills, bars = run()
    assert sorted(path.name for path in written.iterdir()) == [
        "equity.parquet",
        "exposure.parquet",
        "monthly.parquet",
        "report.html",
        "report.json",
        "round_trips.parquet",
    ]
    found = json.loads((written / "report.json").read_text(encoding="utf-8"))
    figures = equity_metrics(equity, trials=100)
    for name, value in figures.items():
        assert found["figures"][name] == pytest.approx(value), name
    assert found["start"] == "2024-01-02"
    assert found["time_zone"] == "Europe/Oslo"
    trips = round_trips(fills, "flat", prices=bars)
    assert found["round_trips"]["round_trips"] == len(trips)
    assert sum(row["net_pnl"] for row in found["by_strategy"]) == pytest.approx(
        float(sum(trip.net_pnl for trip in trips))
    )
    assert {row["symbol"] for row in found["by_symbol"]} == {"AAPL", "BRK.B"}
    kept = pq.read_table(written / "equity.parquet")
    assert kept["equity"].to_pylist() == equity["equity"].tolist()
    assert min(kept["drawdown"].to_pylist()) == pytest.approx(figures["max_drawdown"])
    assert pq.read_table(written / "round_trips.parquet").num_rows == len(trips)
    assert pq.read_table(written / "round_trips.parquet")["mae"].null_count == 0
    assert pq.read_table(written / "monthly.parquet")["year_return"].to_pylist() == pytest.approx(
        report.monthly["year"].tolist()
    )


def test_exposure_is_a_share_of_equity(report: Report) -> None:
    held = report.exposure
    assert held is not None
    equity, _fills, _bars = run()
    assert (held["gross_share"] * equity["equity"]).tolist() == pytest.approx(
        held["gross"].tolist()
    )
    assert report.figures["average_gross_exposure"] == pytest.approx(held["gross_share"].mean())
    assert 0 < report.figures["time_in_market"] < 1
    assert report.figures["annual_turnover"] == pytest.approx(held["turnover_share"].mean() * 252)


def test_nothing_is_overwritten_unless_asked_for(report: Report, written: Path) -> None:
    before = (written / "report.json").read_bytes()
    with pytest.raises(FileExistsError, match=r"holds report.html, report.json"):
        report.write(written)
    assert len(report.write(written, overwrite=True)) == 6
    assert (written / "report.json").read_bytes() == before


def test_the_page_is_one_file_with_escaped_names(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    assert "<title>Two &lt;strategies&gt; &amp; two symbols</title>" in text
    assert "<b>reversion" not in text
    assert "Prices are &lt;simulated&gt;." in text
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert "@import" not in text
    # References within pictures lead to one place each.
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', text)) <= set(ids)


def test_the_page_is_the_same_each_time(report: Report) -> None:
    assert report.html() == report.html()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "shown"), [(1280, "wide"), (390, "narrow")])
def test_the_page_in_a_browser(
    written: Path,
    browser: Browser | None,
    screenshots: Path,
    width: int,
    shown: str,
    scheme: Any,
) -> None:
    if browser is None:
        pytest.skip("Chromium is not installed")
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto((written / "report.html").as_uri())
    assert len(requests) == 1
    assert errors == []
    # Nothing makes the page wider than the screen; wide tables scroll by themselves.
    assert page.evaluate("document.documentElement.scrollWidth") == width
    visible = page.locator(f".{shown} svg:visible")
    # Equity, drawdown, exposure, turnover, two symbols, by strategy, by symbol.
    assert visible.count() == page.locator("svg:visible").count() == 8
    assert page.get_by_role("img", name="Equity", exact=True).is_visible()
    for row in range(visible.count()):
        box = visible.nth(row).bounding_box()
        assert box is not None
        assert box["width"] > 0.8 * min(width, 1080) - 30
        assert box["height"] > 100
    # Letters of the charts can be read: near to the size of the text.
    size = page.evaluate(
        f"(() => {{ const t = document.querySelector('.{shown} svg text');"
        "return t.getBoundingClientRect().height; })()"
    )
    assert 9 < size < 24
    paper, ink = page.evaluate(
        f"[getComputedStyle(document.body).backgroundColor,"
        f"getComputedStyle(document.querySelector('.{shown} svg text')).fill]"
    )
    assert (_brightness(paper) > 200) == (scheme == "light")
    assert abs(_brightness(paper) - _brightness(ink)) > 120
    months = page.locator("table.heat tbody tr")
    assert months.count() == 2
    page.screenshot(path=screenshots / f"report-{shown}-{scheme}.png", full_page=True)
    page.close()


def _brightness(color: str) -> float:
    red, green, blue = (float(part) for part in re.findall(r"[\d.]+", color)[:3])
    return (red + green + blue) / 3


def test_a_report_of_equity_alone_and_of_returns() -> None:
    equity, _fills, _bars = run()
    alone = Report.of(equity)
    assert set(alone.tables()) == {"equity", "monthly"}
    assert "Trades" not in alone.html()
    returns = equity.set_index("timestamp")["equity"].pct_change().dropna().rename("returns")
    assert Report.of(returns).figures["sharpe"] == pytest.approx(alone.figures["sharpe"])
    with pytest.raises(MetricsError, match="a report needs times"):
        Report.of(equity["equity"].tolist())


def test_a_report_of_matches() -> None:
    equity, fills, _bars = run()
    book = LotBook()
    matches = [match for fill in fills for match in book.apply(fill)]
    report = Report.of(equity, matches=matches)
    assert report.grouping == "reduced"
    assert report.trip_figures["net_pnl"] == pytest.approx(
        float(sum(match.net_pnl for match in matches))
    )
    assert report.exposure is None


def test_flat_equity_and_no_fills_make_a_page() -> None:
    days = pd.bdate_range("2026-01-01", periods=5)
    report = Report.of(pd.Series([100.0] * 5, days, name="equity"), fills=[], matches=[])
    page = report.html()
    assert "There was none." in page
    assert report.to_dict()["figures"]["sharpe"] is None


def test_thinned_lines_keep_their_extremes() -> None:
    x = np.arange(50_000)
    y = np.sin(x / 300.0)
    y[31_007] = 9.0
    few_x, few_y = thinned(x, y, 1_000)
    assert len(few_x) <= 1_002
    assert few_y.max() == 9.0
    assert few_y.min() == y.min()
    assert (few_x[0], few_x[-1]) == (0, 49_999)
