"""Equity by day from fills and matches; exposure and turnover; returns by month."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from trading.errors import MetricsError
from trading.metrics import (
    equity_metrics,
    equity_of_fills,
    equity_of_matches,
    exposure,
    monthly_returns,
)
from trading.positions import Fill, LotBook


def at(text: str) -> int:
    return int(pd.Timestamp(text).value)


FILLS = [
    Fill("ACC", "trend", "AAPL", "o1", "f1", "BUY", 10, "100", "1", at("2026-01-06T15:00Z")),
    # 23:30 UTC is the 9th in Oslo.
    Fill("ACC", "trend", "AAPL", "o2", "f2", "SELL", 4, "105", "1", at("2026-01-08T23:30Z")),
    Fill("ACC", "trend", "MSFT", "o3", "f3", "SELL", 2, "300", "1", at("2026-01-13T15:00Z")),
]


def matches() -> list[Any]:
    book = LotBook()
    return [match for fill in FILLS for match in book.apply(fill)]


def rows(frame: pd.DataFrame) -> list[tuple[str, float]]:
    return [(str(d)[:10], e) for d, e in zip(frame["date"], frame["equity"], strict=True)]


def test_equity_of_fills_by_weekday() -> None:
    assert rows(equity_of_fills(FILLS, cash=1000)) == [
        ("2026-01-05", 1000.0),
        ("2026-01-06", 999.0),
        ("2026-01-07", 999.0),
        ("2026-01-08", 999.0),
        ("2026-01-09", 1018.0),
        ("2026-01-12", 1018.0),
        ("2026-01-13", 1017.0),
    ]
    utc = dict(rows(equity_of_fills(FILLS, cash=1000, time_zone="UTC")))
    assert utc["2026-01-08"] == 1018.0


def test_what_is_open_is_valued_once_at_the_end() -> None:
    final = {"AAPL": "110", "MSFT": 290}
    plain, valued = (
        equity_of_fills(FILLS, cash=1000),
        equity_of_fills(FILLS, cash=1000, final_prices=final),
    )
    assert rows(valued)[:-1] == rows(plain)[:-1]
    assert rows(valued)[-1] == ("2026-01-13", 1017.0 + 60 + 20)
    with pytest.raises(MetricsError, match="final_prices: no price for MSFT"):
        equity_of_fills(FILLS, cash=1000, final_prices={"AAPL": 1})


def test_equity_of_matches_begins_when_the_first_position_was_opened() -> None:
    expected = [
        ("2026-01-05", 1000.0),
        ("2026-01-06", 1000.0),
        ("2026-01-07", 1000.0),
        ("2026-01-08", 1000.0),
        ("2026-01-09", 1018.6),  # 20 less the fee of 1 and four tenths of the other
    ]
    assert rows(equity_of_matches(matches(), cash=1000)) == expected
    snapshot = equity_of_matches(matches(), cash=1000, unrealized="-8.5")
    assert rows(snapshot)[-1] == ("2026-01-09", pytest.approx(1010.1))
    by_event = equity_of_matches(matches(), cash=1000, days="events")
    assert rows(by_event) == [("2026-01-08", 1000.0), ("2026-01-09", 1018.6)]
    # As the seed's table has them, without the time of opening.
    table = {"matchTimestamp": ["2026-01-08T23:30:00Z"], "realizedPnl": ["18.6"]}
    assert rows(equity_of_matches(table, cash=1000)) == rows(by_event)


def test_days_of_the_calendar() -> None:
    found = rows(equity_of_fills(FILLS, cash=1000, days="calendar"))
    assert [day for day, _ in found][:2] == ["2026-01-05", "2026-01-06"]
    assert len(found) == 9
    assert ("2026-01-11", 1018.0) in found
    figures = equity_metrics(equity_of_fills(FILLS, cash=1000))
    assert figures["observations"] == 6
    assert figures["total_return"] == pytest.approx(0.017)


def test_repeated_fills_and_their_fees_count_once() -> None:
    again = [*FILLS[:2], FILLS[1], FILLS[2]]
    assert rows(equity_of_fills(again, cash=1000)) == rows(equity_of_fills(FILLS, cash=1000))


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([], {}, "no match"),
        ({"timestamp": []}, {}, "no column realized_pnl"),
        ({"timestamp": ["2026-01-05"], "realized_pnl": [math.nan]}, {}, "realized_pnl"),
        ({"timestamp": ["2026-01-05"], "realized_pnl": [1]}, {"days": "months"}, "none of"),
        (
            {"timestamp": ["2026-01-05"] * 2, "realized_pnl": [1, 2], "currency": ["USD", "NOK"]},
            {},
            "NOK, USD, which cannot be added",
        ),
    ],
)
def test_bad_matches_are_refused(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        equity_of_matches(data, cash=1000, **options)
    with pytest.raises(MetricsError, match="no fill"):
        equity_of_fills([], cash=1000)


def test_exposure_and_turnover_by_day() -> None:
    days = ["2026-01-05", "2026-01-06", "2026-01-09", "2026-01-13"]
    prices = pd.DataFrame(
        {
            "timestamp": ["2026-01-06", "2026-01-07", "2026-01-09"],
            "symbol": "AAPL",
            "high": [102.0, 104.0, 107.0],
            "low": [99.0, 100.0, 104.0],
            "close": [101.0, 103.0, 106.0],
        }
    )
    found = exposure(FILLS, days, prices=prices)
    assert found["long"].tolist() == [0.0, 1010.0, 636.0, 636.0]
    assert found["short"].tolist() == [0.0, 0.0, 0.0, -600.0]
    assert found["gross"].tolist() == [0.0, 1010.0, 636.0, 1236.0]
    assert found["net"].tolist() == [0.0, 1010.0, 636.0, 36.0]
    assert found["turnover"].tolist() == [0.0, 1000.0, 420.0, 600.0]
    without = exposure(FILLS, days)
    assert without["long"].tolist() == [0.0, 1000.0, 630.0, 630.0]
    with pytest.raises(MetricsError, match="days: expected"):
        exposure(FILLS, ["2026-01-06", "2026-01-05"])


def test_returns_by_month_multiply_to_the_whole() -> None:
    days = pd.bdate_range("2025-11-14", "2026-02-10")
    equity = pd.Series([100 * 1.001**n for n in range(len(days))], days, name="equity")
    found = monthly_returns(equity)
    assert found.index.tolist() == [2025, 2026]
    assert found.loc[2025, 11] == pytest.approx(1.001**10 - 1)
    assert math.isnan(found.loc[2025, 10])
    assert math.isnan(found.loc[2026, 3])
    whole = (1 + found["year"]).prod()
    assert whole == pytest.approx(equity.iloc[-1] / equity.iloc[0])
    months = found.drop(columns="year").stack()
    assert (1 + months).prod() == pytest.approx(whole)
    with pytest.raises(MetricsError, match="need times"):
        monthly_returns([100.0, 101.0])


def test_money_is_added_exactly() -> None:
    table = {
        "timestamp": ["2026-01-05T12:00:00Z"] * 10,
        "realized_pnl": [Decimal("0.1")] * 10,
        "fees": ["0.05"] * 10,
    }
    assert rows(equity_of_matches(table, cash="100.5"))[-1][1] == 101.0
