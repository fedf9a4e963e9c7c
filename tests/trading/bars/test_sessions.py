"""Gaps, first bars, and the sessions of real markets on days that are known."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from tests.trading.bars.tables import MINUTE, SECOND, ns, ticks
from trading.bars import BarBuilder, TradingCalendar, bars

HOUR = 60 * MINUTE


def starts_and_ends(table: pa.Table, zone: str) -> list[tuple[str, str]]:
    def local(moment: Any) -> str:
        at = dt.datetime.fromtimestamp(moment / 10**9, ZoneInfo(zone))
        return at.strftime("%m-%d %H:%M")

    return [
        (local(start), local(end))
        for start, end in zip(
            table["start"].cast(pa.int64()).to_pylist(),
            table["end"].cast(pa.int64()).to_pylist(),
            strict=True,
        )
    ]


def states(table: pa.Table) -> list[str]:
    return table["state"].to_pylist()


def test_gaps_make_bars_missing_or_partial() -> None:
    builder = BarBuilder("1m", calendar="24/7", since=0, symbols=["A", "B"])
    builder.gap(90 * SECOND, 150 * SECOND, "A")
    tables = [
        builder.push(ticks([1, MINUTE + 1, 3 * MINUTE + 1], symbol="A")),
        builder.push(ticks([3 * MINUTE + 1], symbol="B")),
        builder.advance(4 * MINUTE),
    ]
    rows = pa.concat_tables(tables).to_pylist()
    of = {name: [row["state"] for row in rows if row["symbol"] == name] for name in "AB"}
    assert of == {
        "A": ["final", "partial", "missing", "final"],
        "B": ["empty", "empty", "empty", "final"],
    }
    # A bar without a trade stands at the close before it; without one it has no price.
    filled = [row["close"] for row in rows if row["symbol"] == "A"]
    assert filled == [10.0, 10.0, 10.0, 10.0]
    assert [row["close"] for row in rows if row["symbol"] == "B"] == [None, None, None, 10.0]


def test_a_gap_touches_only_bars_that_it_overlaps() -> None:
    builder = BarBuilder("1m", calendar="24/7", since=0, symbols=["A"])
    builder.gap(MINUTE, 2 * MINUTE)
    assert states(builder.advance(3 * MINUTE)) == ["empty", "missing", "empty"]


@pytest.mark.parametrize(
    ("since", "expected"),
    [(0, ["final", "final"]), (30 * SECOND, ["partial", "final"]), (MINUTE, ["final", "final"])],
)
def test_the_first_bar_of_a_subscription(since: int, expected: list[str]) -> None:
    builder = BarBuilder("1m", since=since)
    table = pa.concat_tables(
        [builder.push(ticks([40 * SECOND, MINUTE + 1])), builder.advance(2 * MINUTE)]
    )
    assert states(table) == expected


def test_without_since_the_first_tick_tells() -> None:
    builder = BarBuilder("1m")
    builder.push(ticks([40 * SECOND, MINUTE + 1]))
    assert states(builder.finish()) == ["final"]
    builder = BarBuilder("1m")
    assert states(builder.push(ticks([40 * SECOND, MINUTE]))) == ["partial"]
    builder = BarBuilder("1m")
    assert states(builder.push(ticks([0, MINUTE]))) == ["final"]


def test_the_clock_closes_a_quiet_bar() -> None:
    builder = BarBuilder("1m", lateness="2s", since=0)
    builder.push(ticks([1]))
    assert len(builder.advance(MINUTE + 2 * SECOND - 1)) == 0
    assert states(builder.working()) == ["working"]
    assert states(builder.advance(MINUTE + 2 * SECOND)) == ["final"]
    assert len(builder.advance(MINUTE)) == 0


def test_closing_prints_within_the_grace_belong_to_the_last_bar() -> None:
    close = ns("2024-03-05T21:00")
    late = [close - 1, close + 70 * SECOND, close + 3 * MINUTE]
    builder = BarBuilder("1m", calendar="XNYS", close_grace="2m", lateness="2m", since=0)
    table = pa.concat_tables([builder.push(ticks(late)), builder.finish()])
    assert starts_and_ends(table, "America/New_York") == [("03-05 15:59", "03-05 16:00")]
    assert table["count"].to_pylist() == [2]
    assert builder.outside == {"AAPL": 1}
    strict = BarBuilder("1m", calendar="XNYS", since=0)
    strict.push(ticks(late))
    assert strict.outside == {"AAPL": 2}


def test_a_grace_of_the_close_only_not_of_a_bar_within_the_session() -> None:
    noon = ns("2024-03-05T17:00")
    builder = BarBuilder("1m", calendar="XNYS", close_grace="2m", since=0)
    table = pa.concat_tables([builder.push(ticks([noon - 1, noon + 1])), builder.finish()])
    assert table["count"].to_pylist() == [1, 1]


KNOWN = [
    # A half day, a weekend, and a normal day.
    (
        *("XNYS", "session", "2024-11-29T15:00", "2024-12-02T15:00", "America/New_York"),
        [("11-29 09:30", "11-29 13:00"), ("12-02 09:30", "12-02 16:00")],
    ),
    # Independence Day is a holiday, the day before it a half day.
    (
        *("XNYS", "session", "2024-07-03T14:00", "2024-07-05T14:00", "America/New_York"),
        [("07-03 09:30", "07-03 13:00"), ("07-05 09:30", "07-05 16:00")],
    ),
    # 25 minutes divide no day: they are counted from the open, and the last is cut by the close.
    (
        *("XNYS", "75m", "2024-11-29T14:30", "2024-11-29T17:59", "America/New_York"),
        [
            ("11-29 09:30", "11-29 10:45"),
            ("11-29 10:45", "11-29 12:00"),
            ("11-29 12:00", "11-29 13:00"),
        ],
    ),
    # An hour of the clock is cut by the open.
    (
        *("XNYS", "1h", "2024-03-08T14:30", "2024-03-08T15:00", "America/New_York"),
        [("03-08 09:30", "03-08 10:00"), ("03-08 10:00", "03-08 11:00")],
    ),
    # The clocks go forward between Friday and Monday: the open stays at 9:30.
    (
        *("XNYS", "session", "2024-03-08T14:30", "2024-03-11T13:30", "America/New_York"),
        [("03-08 09:30", "03-08 16:00"), ("03-11 09:30", "03-11 16:00")],
    ),
    # A day of New York on which the clocks change has 23 hours; futures of that Sunday evening
    # belong to Monday's session, which has a pause of an hour before it.
    (
        *("CMES", "session", "2024-03-08T20:00", "2024-03-10T23:00", "America/Chicago"),
        [("03-07 17:00", "03-08 16:00"), ("03-10 17:00", "03-11 16:00")],
    ),
    # Hong Kong has lunch.
    (
        *("XHKG", "2h", "2024-03-05T01:30", "2024-03-05T07:59", "Asia/Hong_Kong"),
        [
            ("03-05 09:30", "03-05 10:00"),
            ("03-05 10:00", "03-05 12:00"),
            ("03-05 13:00", "03-05 14:00"),
            ("03-05 14:00", "03-05 16:00"),
        ],
    ),
    (
        *("XHKG", "75m", "2024-03-05T03:59", "2024-03-05T05:00", "Asia/Hong_Kong"),
        [("03-05 10:45", "03-05 12:00"), ("03-05 13:00", "03-05 14:15")],
    ),
    # Always open.
    (
        *("24/7", "12h", "2024-03-09T23:00", "2024-03-10T13:00", "UTC"),
        [
            ("03-09 12:00", "03-10 00:00"),
            ("03-10 00:00", "03-10 12:00"),
            ("03-10 12:00", "03-11 00:00"),
        ],
    ),
    # A week with a holiday on its Monday begins on Tuesday; a month ends with its last session.
    (
        *("XNYS", "1W", "2024-05-28T14:00", "2024-05-28T15:00", "America/New_York"),
        [("05-28 09:30", "05-31 16:00")],
    ),
    (
        *("XNYS", "1MO", "2024-03-04T15:00", "2024-03-28T15:00", "America/New_York"),
        [("03-01 09:30", "03-28 16:00")],
    ),
]


@pytest.mark.parametrize(("calendar", "interval", "first", "last", "zone", "expected"), KNOWN)
def test_known_days(
    calendar: str,
    interval: str,
    first: str,
    last: str,
    zone: str,
    expected: list[tuple[str, str]],
) -> None:
    table = bars(ticks([ns(first), ns(last)]), interval, calendar=calendar)
    assert starts_and_ends(table, zone) == expected


def test_lunch_holidays_and_the_daily_pause_have_no_bars() -> None:
    for calendar, moment in [
        ("XHKG", "2024-03-05T04:30"),
        ("XNYS", "2024-07-04T15:00"),
        ("XNYS", "2024-03-09T15:00"),
        ("CMES", "2024-03-05T22:30"),
    ]:
        builder = BarBuilder("1m", calendar=calendar, since=0)
        builder.push(ticks([ns(moment)]))
        assert len(builder.working()) == 0, (calendar, moment)
        assert builder.outside == {"AAPL": 1}, (calendar, moment)


def test_an_overnight_session_is_one_bar_over_midnight() -> None:
    evening, morning = ns("2024-03-05T23:30"), ns("2024-03-06T15:00")
    (row,) = bars(ticks([evening, morning]), "session", calendar="CMES").to_pylist()
    assert row["count"] == 2
    (left, right) = starts_and_ends(
        bars(ticks([evening, morning]), "session", calendar="CMES"), "America/Chicago"
    )[0]
    assert (left, right) == ("03-05 17:00", "03-06 16:00")


def test_a_calendar_of_ones_own() -> None:
    opens = ns("2024-01-06T08:00")
    own = TradingCalendar.of_sessions(
        "bazaar", "Europe/Oslo", [(opens, opens + HOUR), (opens + 3 * HOUR, opens + 4 * HOUR)]
    )
    table = bars(ticks([opens, opens + 3 * HOUR]), "30m", calendar=own)
    assert states(table) == ["final", "empty", "final"]


def test_a_builder_that_never_stops_pays_for_open_bars_only() -> None:
    """The bars of a night, a weekend and a day come when the clock passes them, each once."""
    builder = BarBuilder("1h", calendar="XNYS", since=ns("2024-03-08T14:30"), symbols=["AAPL"])
    tables = [builder.push(ticks([ns("2024-03-08T14:30")]))]
    now = ns("2024-03-08T14:30")
    while now < ns("2024-03-11T20:00"):
        now += 7 * MINUTE
        tables.append(builder.advance(now))
    table = pa.concat_tables(tables)
    assert len(table) == 14
    assert states(table) == ["final"] + ["empty"] * 13
    assert len(set(starts_and_ends(table, "UTC"))) == 14
