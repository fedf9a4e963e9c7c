"""Recorded prices: what is played, and what is refused with file, line and reason."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import FeedFileError
from server.market.feed import NULL_DOUBLE, TickBatch
from server.market.replay import Replay
from server.market_data import book_for
from tests.server.recordings import REAL_PRICES

DAY_NS = 24 * 3600 * 10**9


def rows(feed: Replay) -> list[dict[str, object]]:
    names = ("symbol", "price", "bid", "ask", "volume", "reference", "timestamp_ns")
    return [
        dict(zip(names, values, strict=True))
        for batch in feed.batches()
        for values in zip(*(getattr(batch, n).tolist() for n in names), strict=True)
    ]


def test_real_daily_prices_are_played_in_order_against_the_previous_close() -> None:
    recorded = pd.read_csv(REAL_PRICES, parse_dates=["Date"])
    feed = Replay([REAL_PRICES], speed=math.inf)
    played = rows(feed)
    assert len(played) == len(feed) == len(recorded)
    assert feed.symbols == ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    stamps = [row["timestamp_ns"] for row in played]
    assert stamps == sorted(stamps)  # type: ignore[type-var]
    for symbol, days in recorded.groupby("Ticker"):
        mine = [row for row in played if row["symbol"] == symbol]
        closes = days["Close"].tolist()
        assert [row["price"] for row in mine] == closes
        assert [row["volume"] for row in mine] == days["Volume"].tolist()
        assert [row["reference"] for row in mine] == [days["Open"].iloc[0], *closes[:-1]]
        assert feed.opening_prices[str(symbol)] == days["Open"].iloc[0]


@st.composite
def recordings(draw: st.DrawFn) -> list[tuple[int, str, float, int]]:
    count = draw(st.integers(1, 40))
    stamps = sorted(draw(st.lists(st.integers(0, 4 * 24), min_size=count, max_size=count)))
    return [
        (
            hour * 3600 * 10**9,
            draw(st.sampled_from("ABC")),
            draw(st.integers(1, 10_000)) / 100,
            draw(st.integers(0, 1_000)),
        )
        for hour in stamps
    ]


@given(recording=recordings(), speed=st.sampled_from([1.0, 3600.0, math.inf]))
def test_reference_and_volume_equal_a_reading_row_by_row(
    recording: list[tuple[int, str, float, int]],
    speed: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("replay") / "ticks.parquet"
    pd.DataFrame(
        {
            "timestamp": pd.to_datetime([r[0] for r in recording], utc=True),
            "symbol": [r[1] for r in recording],
            "price": [r[2] for r in recording],
            "volume": [r[3] for r in recording],
        }
    ).to_parquet(path)
    feed = Replay([path], speed=speed)

    expected = []
    last: dict[str, tuple[int, float]] = {}
    reference: dict[str, float] = {}
    volume: dict[str, int] = {}
    for stamp, symbol, price, traded in recording:
        day = stamp // DAY_NS
        if symbol not in last:
            reference[symbol], volume[symbol] = price, 0
        elif last[symbol][0] != day:
            reference[symbol], volume[symbol] = last[symbol][1], 0
        last[symbol] = day, price
        volume[symbol] += traded
        expected.append((stamp, symbol, price, volume[symbol], reference[symbol]))

    played = [
        tuple(row[n] for n in ("timestamp_ns", "symbol", "price", "volume", "reference"))
        for row in rows(feed)
    ]
    assert played == expected
    check_pace(list(feed.batches()), speed)


def check_pace(batches: list[TickBatch], speed: float) -> None:
    start = batches[0].timestamp_ns[0]
    for batch in batches:
        if math.isinf(speed):
            assert batch.due_s == 0
        else:
            assert len(set(batch.timestamp_ns.tolist())) == 1
            assert batch.due_s == pytest.approx((batch.timestamp_ns[0] - start) / 1e9 / speed)


def test_a_file_without_symbols_is_named_after_its_symbol(tmp_path: Path) -> None:
    (tmp_path / "IBM.csv").write_text("Date,Close\n2026-02-20,255.1\n2026-02-23,256.4\n")
    (tmp_path / "MSFT.csv").write_text("Date,Close\n2026-02-20,398.0\n2026-02-23,401.5\n")
    feed = Replay([tmp_path / "IBM.csv", tmp_path / "MSFT.csv"])
    assert [(r["symbol"], r["price"]) for r in rows(feed)] == [
        ("IBM", 255.1),
        ("MSFT", 398.0),
        ("IBM", 256.4),
        ("MSFT", 401.5),
    ]
    # A weekend lies between, as it did then.
    assert [b.due_s for b in feed.batches()] == [0.0, 3 * 24 * 3600.0]


def test_quotes_of_the_file_are_kept_and_else_made_around_the_price(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("time,ticker,last,bid,ask\n2026-02-20,IBM,10,9.5,10.25\n")
    (tmp_path / "p.csv").write_text("time,ticker,last\n2026-02-20,IBM,10\n")
    [quoted] = rows(Replay([tmp_path / "q.csv"]))
    assert (quoted["bid"], quoted["ask"]) == (9.5, 10.25)
    [made] = rows(Replay([tmp_path / "p.csv"]))
    assert (made["bid"], made["ask"]) == (pytest.approx(9.999), pytest.approx(10.001))


GOOD = "timestamp,symbol,price\n2026-02-20T10:00:00Z,IBM,255.1\n"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("timestamp,symbol\n2026-02-20,IBM\n", None, "no column 'price' (or close, last)"),
        ("symbol,price\nIBM,1\n", None, "no column 'timestamp'"),
        ("timestamp,symbol,price\n", None, "no rows under the header"),
        ("", None, "cannot be read"),
        ("symbol,close,date\nIBM,junk,255,2026-02-20\n", None, "more fields than the header"),
        ("date,time,close\n2026-02-20,10:00,1\n", None, "both 'date' and 'time' could be the"),
        ("date,Close,close\n2026-02-20,1,2\n", None, "both 'Close' and 'close' could be the"),
        (
            GOOD + "9999-12-31,IBM,3\n",
            3,
            "timestamp 9999-12-31 is not a date or time of the years 1678 to 2261",
        ),
        (GOOD + "2026-02-20T10:00:01Z,IBM,-3\n", 3, "price -3 is not above 0"),
        (GOOD + "2026-02-20T10:00:01Z,IBM,0\n", 3, "price 0 is not above 0"),
        (GOOD + "2026-02-20T10:00:01Z,IBM,abc\n", 3, "price abc is not a number"),
        (GOOD + "2026-02-20T10:00:01Z,IBM,nan\n", 3, "price nan is not a number"),
        (GOOD + "2026-02-20T10:00:01Z,IBM,inf\n", 3, "price inf is not a number"),
        (GOOD + "2026-02-20T10:00:01Z,IBM,\n", 3, "price (empty) is not a number"),
        (GOOD + "\n" + GOOD.splitlines()[1] + "\n", 3, "(empty) is not a date or time"),
        (GOOD + "yesterday,IBM,3\n", 3, "timestamp yesterday is not a date or time"),
        (GOOD + "2026-02-20T10:00:01Z,,3\n", 3, "symbol is empty"),
        (GOOD + "2026-02-20T09:59:59Z,IBM,3\n", 3, "is before the one that IBM has above it"),
        (GOOD + "2026-02-20T10:00:01Z,IBM,3,4\n", None, "cannot be read"),
        (
            "timestamp,symbol,price,volume\n2026-02-20,IBM,3,-1\n",
            2,
            "volume -1 is negative",
        ),
        (
            "timestamp,symbol,price,bid,ask\n2026-02-20,IBM,3,3.2,3.1\n",
            2,
            "bid 3.2 is above ask 3.1",
        ),
    ],
)
def test_a_bad_file_is_refused_with_line_and_reason(
    tmp_path: Path, text: str, line: int | None, reason: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(FeedFileError) as caught:
        Replay([path])
    assert caught.value.line == line
    assert reason in caught.value.reason
    assert str(caught.value).startswith(f"{path}:")


def test_a_company_may_be_called_na_and_a_class_of_shares_have_a_dot(tmp_path: Path) -> None:
    (tmp_path / "na.csv").write_text("date,symbol,close\n2026-02-20,NA,255\n")
    assert Replay([tmp_path / "na.csv"]).symbols == ("NA",)
    (tmp_path / "BRK.B.csv").write_text("date,close\n2026-02-20,700000\n")
    assert Replay([tmp_path / "BRK.B.csv"]).symbols == ("BRK.B",)


def test_dates_may_be_the_index_of_a_parquet_file(tmp_path: Path) -> None:
    days = pd.date_range("2026-02-20", periods=2, name="Date")
    pd.DataFrame({"Close": [1.0, 2.0]}, index=days).to_parquet(tmp_path / "IBM.parquet")
    feed = Replay([tmp_path / "IBM.parquet"], speed=86_400)
    assert [r["price"] for r in rows(feed)] == [1.0, 2.0]
    assert feed.duration_s == 1.0


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "half.csv.gz").write_bytes(REAL_PRICES.read_bytes()[:5_000])
    with pytest.raises(FeedFileError, match="cannot be read"):
        Replay([tmp_path / "half.csv.gz"])


def test_a_missing_file_and_one_that_is_no_parquet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedFileError, match=r"none\.csv: no such file"):
        Replay([tmp_path / "none.csv"])
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(FeedFileError, match=r"text\.parquet: cannot be read"):
        Replay([tmp_path / "text.parquet"])


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan])
def test_a_speed_that_cannot_be_played_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be above 0"):
        Replay([REAL_PRICES], speed=speed)


def test_volumes_stay_whole_numbers_unless_the_file_has_others(tmp_path: Path) -> None:
    def volumes(*traded: object) -> list[object]:
        path = tmp_path / "v.csv"
        lines = [f"2026-02-20T10:00:{n:02}Z,A,1,{v}" for n, v in enumerate(traded)]
        path.write_text("\n".join(["timestamp,symbol,price,volume", *lines]))
        return [row["volume"] for row in rows(Replay([path]))]

    assert volumes(3, 4) == [3, 7]
    assert all(type(volume) is int for volume in volumes(3, 4))
    assert volumes(0.4, 0.35) == [0.4, 0.75]
    # Beyond 64 bits they do not wrap to negative ones.
    assert volumes("9e18", "9e18") == [9e18, 1.8e19]


@pytest.mark.parametrize("name", ["AAPL.CSV", "AAPL.csv.gz", "aapl.Csv", "AAPL.PARQUET"])
def test_endings_in_capitals_belong_to_no_symbol(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"Date": ["2026-02-20"], "Close": [1.5]})
    path = tmp_path / name
    if "parquet" in name.lower():
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    assert Replay([path]).symbols == ("AAPL",)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("timestamp,symbol,price,price,note,note\n2026-02-20,A,1.5,99,x,y\n")
    with pytest.raises(FeedFileError, match="2 columns are called 'price'; keep one"):
        Replay([path])
    path.write_text("timestamp,symbol,price,note,note\n2026-02-20,A,1.5,x,y\n")
    assert Replay([path]).opening_prices == {"A": 1.5}


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_lines_are_counted_as_an_editor_does(tmp_path: Path, ending: str) -> None:
    text = 'timestamp,symbol,price,note\n2026-02-20,A,1.5,"two\nlines"\n2026-02-21,A,-1.5,x\n'
    path = tmp_path / f"n.csv{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending else text.encode())
    with pytest.raises(FeedFileError, match=r":4: price -1\.5 is not above 0") as caught:
        Replay([path])
    assert caught.value.line == 4


def test_blank_lines_at_the_end_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("\ufeffDate,Close\n2026-02-20,1\n2026-02-21,2\n\n\n", encoding="utf-8")
    assert [row["price"] for row in rows(Replay([path]))] == [1.0, 2.0]


def test_negative_prices_are_taken_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "CL=F.csv"
    path.write_text("Date,Close\n2020-04-17,18.27\n2020-04-20,-37.63\n2020-04-21,0\n2020-04-22,9\n")
    with pytest.raises(FeedFileError, match=r"not above 0 \(--allow-negative"):
        Replay([path])
    feed = Replay([path], allow_negative=True)
    played = rows(feed)
    assert [row["price"] for row in played] == [18.27, -37.63, 0.0, 9.0]
    assert all(float(r["bid"]) <= float(r["price"]) <= float(r["ask"]) for r in played)  # type: ignore[arg-type]
    book = book_for(feed)
    changes, risks = [], []
    for batch in feed.batches():
        changes += batch.price_columns()[6].tolist()
        risks += list(zip(*(column.tolist() for column in book.risk_columns(batch)), strict=True))
    assert changes == [0.0, pytest.approx(-305.966, rel=1e-3), pytest.approx(100.0), NULL_DOUBLE]
    assert [risk[2] for risk in risks] == pytest.approx([1827.0, -3763.0, 0.0, 900.0])
    # Options on them have no Black-Scholes value: null, not a failed batch.
    assert [risk[4] == NULL_DOUBLE for risk in risks] == [False, True, True, True]
