"""Bad ticks are refused as a whole, by row and with what to do; what is late, outside or in a gap
is said."""

from __future__ import annotations

import datetime as dt
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tests.trading.bars.tables import MINUTE, SECOND, UTC, ns, ticks
from trading.bars import BarBuilder, bars
from trading.bars.columns import tick_columns
from trading.errors import CalendarError, IntervalError, TickError

THREE = [0, SECOND, 2 * SECOND]
NAN, INF = float("nan"), float("inf")

BAD: dict[str, tuple[Callable[[], Any], str, int | None]] = {
    "NaN price": (lambda: ticks(THREE, [1.0, NAN, NAN]), r"price nan of row 1.*2 rows are bad", 1),
    "infinite price": (lambda: ticks(THREE, [1.0, 2.0, INF]), r"price inf of row 2", 2),
    "NaN size": (lambda: ticks(THREE, sizes=[NAN, 1.0, 1.0]), r"size nan of row 0", 0),
    "negative price": (
        lambda: ticks(THREE, [1.0, -2.5, 3.0]),
        r"price -2.5 of row 1 is negative; pass allow_negative=True",
        1,
    ),
    "negative size": (
        lambda: ticks(THREE, sizes=[1.0, 1.0, -3.0]),
        r"size -3.0 of row 2 is negative; a size must be 0 or more",
        2,
    ),
    "negative whole size": (lambda: ticks(THREE, sizes=[1, -1, 1]), r"size -1 of row 1", 1),
    "negative exact price": (
        lambda: ticks(THREE, pa.array([Decimal("1.1"), Decimal("2.1"), Decimal("-0.1")])),
        r"price -0.1 of row 2 is negative",
        2,
    ),
    "size beyond 64 bits": (
        lambda: ticks(THREE, sizes=pa.array([1, 2**63, 1], pa.uint64())),
        r"size 9223372036854775808 of row 1 is beyond 64 bits",
        1,
    ),
    "decimal beyond 64 bits": (
        lambda: ticks(THREE, sizes=pa.array([Decimal(10**20)] * 3, pa.decimal128(38, 0))),
        r"size 100000000000000000000 of row 0 is beyond 64 bits",
        0,
    ),
    "volume beyond 64 bits": (
        lambda: ticks(THREE, sizes=[2**62, 2**62, 1]),
        r"volume could reach 9,223,372,036,854,775,812, beyond 64 bits; .*row 0. Give .* decimals",
        0,
    ),
    "too many places": (
        lambda: ticks(THREE, pa.array([Decimal("0.0000000001")] * 3, pa.decimal128(12, 10))),
        r"price has 10 decimal places; at most 9",
        None,
    ),
    "trade without size": (
        lambda: ticks(THREE, sizes=[1.0, None, 1.0]),
        r"size of row 1 is missing; a trade has one",
        1,
    ),
    "trade without size among quotes": (
        lambda: ticks(THREE, [1.0, None, 1.0], [None, None, 1.0]),
        r"size of row 0 is missing; a trade has one",
        0,
    ),
    "no time": (lambda: ticks([0, None, 1]), r"timestamp of row 1 is missing", 1),
    "no time of receipt": (
        lambda: ticks(THREE, received=pa.array([0, 1, None], UTC)),
        r"received of row 2 is missing",
        2,
    ),
    "some sequences": (
        lambda: ticks(THREE, sequence=pa.array([1, None, 3])),
        r"sequence of row 1 is missing, and others have one",
        1,
    ),
    "sequence of fractions": (
        lambda: ticks(THREE, sequence=[1.5, 2.0, 3.0]),
        r"sequence is of type double; it must hold whole numbers",
        None,
    ),
    "sequence beyond 64 bits": (
        lambda: ticks(THREE, sequence=pa.array([1, 2, 2**63], pa.uint64())),
        r"sequence holds numbers beyond 64 bits",
        None,
    ),
    "no symbol": (
        lambda: ticks(THREE).set_column(1, "symbol", pa.array(["A", None, "B"])),
        r"symbol of row 1 is missing",
        1,
    ),
    "symbol as number": (
        lambda: ticks(THREE).set_column(1, "symbol", pa.array([1, 2, 3])),
        r"symbol is of type int64; it must hold texts",
        None,
    ),
    "a dictionary with a name twice": (
        lambda: ticks(THREE).set_column(
            1, "symbol", pa.DictionaryArray.from_arrays(pa.array([0, 1, 1]), ["A", "A"])
        ),
        r"dictionary of column symbol holds a name twice",
        None,
    ),
    "no column": (
        lambda: ticks(THREE).drop_columns(["price", "symbol"]),
        r"symbol, price is missing; there are timestamp, size",
        None,
    ),
    "a column twice": (
        lambda: ticks(THREE).append_column("price", pa.array([1.0] * 3)),
        r"column names are given twice",
        None,
    ),
    "price as text": (lambda: ticks(THREE, ["1", "2", "3"]), r"price is of type string", None),
    "time as text": (
        lambda: ticks(pa.array(["2024-01-01"] * 3)),
        r"timestamp is of type string; it must hold timestamps",
        None,
    ),
    "a year that nanoseconds do not reach": (
        lambda: ticks(pa.array([dt.datetime(9999, 12, 31)] * 3, pa.timestamp("us", "UTC"))),
        r"timestamp holds times .* years 1678 to 2261",
        None,
    ),
    "no table": (lambda: [1, 2, 3], r"expected an Arrow table or a pandas frame.*got list", None),
    "other numbers than before": (
        lambda: ticks(THREE, [1, 2, 3]),
        r"came as double and double before, now as int64 and double",
        None,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_ticks_are_refused_and_nothing_is_lost(name: str) -> None:
    table, message, row = BAD[name]
    good = ticks([0, 1, MINUTE - 1], [10.0, 11.0, 9.0])
    if name.startswith("volume"):
        good = good.set_column(3, "size", pa.array([1, 1, 1]))
    builder, other = (BarBuilder("1m", calendar="24/7", since=0) for _ in range(2))
    builder.push(good)
    other.push(good)
    with pytest.raises(TickError, match=message) as caught:
        builder.push(table())
    assert caught.value.row == row
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.row, again.rows) == (
        str(caught.value),
        caught.value.row,
        caught.value.rows,
    )
    # As if the table had never come.
    assert builder.working().equals(other.working())
    assert builder.advance(2 * MINUTE).equals(other.advance(2 * MINUTE))


def test_times_after_the_clock() -> None:
    now = ns("2024-01-02T15:00")
    table = ticks([now - 1, now, now + 1, now + 2])
    assert len(tick_columns(table.slice(0, 2), now=now)) == 2
    with pytest.raises(
        TickError,
        match=r"tick 2 of 'AAPL' is of 2024-01-02T15:00:00.000000001Z, after the clock's "
        r"2024-01-02T15:00:00.000000000Z; check the clocks .*2 rows are bad",
    ):
        tick_columns(table, now=now)
    builder = BarBuilder("1m", ahead="5s")
    builder.advance(now)
    builder.push(ticks([now + 5 * SECOND]))
    with pytest.raises(TickError, match="after the clock"):
        builder.push(ticks([now + 11 * SECOND]))


def test_only_known_symbols() -> None:
    builder = BarBuilder("1m", symbols=["AAPL", "BRK.B"], only_symbols=True)
    builder.push(ticks([0], symbol="BRK.B"))
    with pytest.raises(
        TickError, match=r"'BRKB' of row 0 is no symbol of this builder.*'BRK.B'.*symbols="
    ):
        builder.push(ticks([1, 2], symbol="BRKB"))
    assert builder.working()["count"].to_pylist() == [1]


def test_symbols_of_every_kind() -> None:
    names = [
        *("BRK.B", "BTC-USD", "^GSPC", "ES=F", "EUR/USD", "BTC/USDT:USDT"),
        *("AAPL240119C00190000", "NSE|EQ|INFY", "7203.T", "Ørsted"),
    ]
    table = pa.table(
        {
            "timestamp": pa.array([0] * len(names), UTC),
            "symbol": names,
            "price": [1.0] * len(names),
            "size": [1.0] * len(names),
        }
    )
    assert bars(table, "1m")["symbol"].to_pylist() == sorted(names)


def test_negative_prices_where_they_are_legal() -> None:
    table = ticks(THREE, [-37.63, 1.0, -40.32])
    (row,) = bars(table, "1m", allow_negative=True).to_pylist()
    assert (row["open"], row["high"], row["low"], row["close"]) == (-37.63, 1.0, -40.32, -40.32)
    assert row["notional"] == Decimal("-76.95")


def test_times_without_a_zone_are_utc() -> None:
    naive = ticks(pa.array([0, MINUTE // 1000], pa.timestamp("us")))
    assert bars(naive, "1m")["start"].cast(pa.int64()).to_pylist() == [0, MINUTE]
    local = pd.DataFrame(
        {
            "timestamp": pd.to_datetime(["2024-03-10T09:30"]).tz_localize("America/New_York"),
            "symbol": ["AAPL"],
            "price": [1.0],
            "size": [2],
        }
    )
    (start,) = bars(local, "1m")["start"].cast(pa.int64()).to_pylist()
    assert start == ns("2024-03-10T13:30")
    with pytest.raises(TickError, match="with a time zone"):
        BarBuilder("1m", since=dt.datetime(2024, 1, 1))
    with pytest.raises(TickError, match="no moment in time"):
        BarBuilder("1m").advance("tomorrow")


def test_quotes_may_hold_anything_where_trades_have_prices() -> None:
    table = ticks(THREE, [1.0, None, 3.0], [1.0, NAN, 2.0], bid=[None, 1.0, None])
    (row,) = bars(table, "1m").to_pylist()
    assert (row["count"], row["volume"], row["bid"]) == (2, 3.0, 1.0)


def test_unsorted_beyond_the_lateness_is_revised() -> None:
    builder = BarBuilder("1m", lateness="2s", since=0)
    builder.push(ticks([0, 5, MINUTE + SECOND, 59 * SECOND], [1.0, 2.0, 3.0, 4.0]))
    (final,) = builder.push(ticks([MINUTE + 2 * SECOND])).to_pylist()
    assert (final["close"], final["count"], final["state"], final["version"]) == (
        4.0,
        3,
        "final",
        1,
    )
    (revised,) = builder.push(ticks([58 * SECOND], [9.0])).to_pylist()
    assert (revised["high"], revised["close"], revised["count"]) == (9.0, 4.0, 4)
    assert (revised["state"], revised["version"]) == ("revised", 2)


def test_too_late_to_revise_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    builder = BarBuilder("1m", since=0, keep="1h")
    builder.push(ticks([0]))
    builder.push(ticks([3 * 60 * MINUTE]))
    assert len(builder.push(ticks([30 * SECOND]))) == 0
    assert builder.too_late == {"AAPL": 1}
    assert "build the bars of that day anew" in caplog.text


def test_texts_that_are_no_interval_duration_or_calendar() -> None:
    for text in (
        "",
        "0m",
        "7x",
        "-1m",
        "25h",
        "0 ticks",
        "1.5 ticks",
        "ten volume",
        "1e999 notional x",
    ):
        with pytest.raises(IntervalError, match="allowed are"):
            BarBuilder(text)
    with pytest.raises(IntervalError, match="lateness"):
        BarBuilder("1m", lateness="soon")
    with pytest.raises(CalendarError, match=r"'XNYSE'; did you mean XNYS"):
        bars(ticks(THREE), "1m", calendar="XNYSE")
    with pytest.raises(IntervalError, match="need the market's calendar"):
        bars(ticks(THREE), "session")
    with pytest.raises(TickError, match=r"gap .* is empty"):
        BarBuilder("1m").gap(5, 5)


def test_two_far_times_do_not_fill_the_memory() -> None:
    with pytest.raises(IntervalError, match="take a longer interval"):
        bars(ticks([0, ns("2200-01-01")]), "1s")


@pytest.mark.parametrize(
    "kind",
    [
        pa.float64(),
        pa.int64(),
        pa.int32(),
        pa.decimal128(19, 9),
        pa.decimal128(38, 4),
        pa.decimal128(9, -2),
    ],
    ids=str,
)
@pytest.mark.parametrize("with_null", [False, True])
def test_a_part_of_a_table_reads_as_that_part(kind: pa.DataType, with_null: bool) -> None:
    """A slice shares its memory with the whole table and begins somewhere inside it."""
    prices: list[Any] = [Decimal(100 * number) for number in range(1, 9)]
    if not pa.types.is_decimal(kind):
        prices = [int(price) for price in prices]
    if with_null:
        prices[5] = None
    whole = ticks([SECOND * n for n in range(8)], pa.array(prices, kind))
    chunked = pa.concat_tables([whole.slice(0, 3), whole.slice(3, 2), whole.slice(5)])
    for table in (whole, chunked):
        for begin, count in ((0, 8), (2, 3), (3, 5), (7, 1)):
            read = tick_columns(table.slice(begin, count))
            numbers = read.price.values / 10.0 ** (read.price.digits or 0)
            has = [price is not None for price in prices[begin : begin + count]]
            wanted = [float(p) for p in prices[begin : begin + count] if p is not None]
            assert numbers[has].tolist() == wanted
            assert read.timestamp.tolist() == [SECOND * n for n in range(begin, begin + count)]
