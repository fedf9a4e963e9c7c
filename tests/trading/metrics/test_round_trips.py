"""Round trips in three groupings, their excursions and their figures."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.errors import MetricsError
from trading.metrics import (
    Prices,
    RoundTrip,
    round_trip_metrics,
    round_trips,
    round_trips_table,
)
from trading.metrics.round_trips import GROUPINGS, Grouping
from trading.positions import Fill, LotBook
from trading.specification import specify

S = 10**9
START = 1_767_600_000 * S


def fills(*rows: tuple[float, str, Any, Any], symbol: str = "AAPL", fees: str = "1") -> list[Fill]:
    """Fills of (second, side, quantity, price)."""
    return [
        Fill(
            "ACC",
            "trend",
            symbol,
            f"o{n}",
            f"f{n}",
            side,
            quantity,
            price,
            fees,
            START + int(t * S),
        )
        for n, (t, side, quantity, price) in enumerate(rows)
    ]


# Long 10 at 100 and 10 at 110; 15 sold at 120; the rest and a short of 5 at 90; bought back at 80.
SCALED = fills(
    (0, "BUY", 10, 100),
    (10, "BUY", 10, 110),
    (20, "SELL", 15, 120),
    (30, "SELL", 10, 90),
    (40, "BUY", 5, 80),
)


def said(trips: list[RoundTrip]) -> list[tuple[Any, ...]]:
    return [
        (
            t.side,
            int(t.quantity),
            int(t.pnl),
            (t.entry_time - START) // S,
            (t.exit_time - START) // S,
        )
        for t in trips
    ]


def test_three_groupings_of_the_same_fills() -> None:
    assert said(round_trips(SCALED, "fill")) == [
        ("LONG", 10, 200, 0, 20),
        ("LONG", 5, 50, 10, 20),
        ("LONG", 5, -100, 10, 30),
        ("SHORT", 5, 50, 30, 40),
    ]
    assert said(round_trips(SCALED, "reduced")) == [
        ("LONG", 15, 250, 0, 20),
        ("LONG", 5, -100, 10, 30),
        ("SHORT", 5, 50, 30, 40),
    ]
    assert said(round_trips(SCALED)) == [("LONG", 20, 150, 0, 30), ("SHORT", 5, 50, 30, 40)]
    [long, short] = round_trips(SCALED, "flat")
    assert (long.entry_price, long.exit_price) == (Decimal(105), Decimal("112.5"))
    assert (short.entry_price, short.exit_price) == (Decimal(90), Decimal(80))
    # All fees are on one of the trips: five fills of 1.
    assert long.fees + short.fees == 5
    assert long.duration_s == 30
    assert long.net_return == pytest.approx(float(long.net_pnl) / 2100)


def test_the_fifo_example_of_four_matches_ends_flat_at_50() -> None:
    given = fills(
        (0, "BUY", 5, 100), (1, "BUY", 3, 105), (2, "SELL", 6, 110), (3, "SELL", 2, 95),
        (4, "SELL", 3, 95), (5, "BUY", 3, 90), fees="0",
    )  # fmt: skip
    assert [int(t.pnl) for t in round_trips(given, "fill")] == [50, 5, -20, 15]
    assert sum(t.pnl for t in round_trips(given, "flat")) == 50


def test_matches_give_the_same_trips_as_their_fills() -> None:
    book = LotBook()
    matches = [match for fill in SCALED for match in book.apply(fill)]
    frame = pa.Table.from_pylist([{n: getattr(m, n) for n in m.__struct_fields__} for m in matches])
    seed_names = frame.to_pandas().rename(
        columns={
            "account": "accountId",
            "strategy": "strategyId",
            "quantity": "matchedQty",
            "buy_price": "buyPrice",
            "sell_price": "sellPrice",
            "realized_pnl": "realizedPnl",
            "timestamp": "matchTimestamp",
            "opened_at": "openedAt",
        }
    )
    for grouping in ("fill", "reduced"):
        for records in (matches, frame, seed_names):
            assert said(round_trips(records, grouping)) == said(round_trips(SCALED, grouping))
    with pytest.raises(MetricsError, match="matches do not tell what is still open"):
        round_trips(matches, "flat")


def test_fills_of_a_frame_without_ids() -> None:
    frame = pd.DataFrame(
        {
            "ts": ["2026-01-05T10:00:00Z", "2026-01-05T11:00:00+01:00"],
            "symbol": ["^GSPC", "^GSPC"],
            "side": ["buy", "SELL"],
            "fillQty": ["0.5", "0.5"],
            "fillPrice": [6000.25, 6001.25],
        }
    )
    [trip] = round_trips(frame)
    assert (trip.pnl, trip.fees, trip.symbol) == (Decimal("0.5"), 0, "^GSPC")


def test_a_repeated_fill_counts_once_and_open_positions_are_no_trips() -> None:
    assert said(round_trips([*SCALED[:3], SCALED[2], *SCALED[3:]])) == said(round_trips(SCALED))
    assert round_trips(SCALED[:3], "flat") == []
    assert len(round_trips(SCALED[:3], "reduced")) == 1
    assert round_trips([], "flat") == []


def test_symbols_and_strategies_are_apart() -> None:
    other = fills((5, "BUY", 1, 10), (25, "SELL", 1, 11), symbol="MSFT")
    both = sorted([*SCALED, *(_renamed(f) for f in other)], key=lambda f: f.timestamp)
    trips = round_trips(both)
    assert [(t.symbol, int(t.pnl)) for t in trips] == [("MSFT", 1), ("AAPL", 150), ("AAPL", 50)]


def _renamed(fill: Fill) -> Fill:
    return Fill(
        fill.account, fill.strategy, fill.symbol, fill.order_id, f"m{fill.fill_id}", fill.side,
        fill.quantity, fill.price, fill.fees, fill.timestamp,
    )  # fmt: skip


# --- excursions -----------------------------------------------------------------------------------


def bars(*rows: tuple[float, float, float, float], symbol: str = "AAPL") -> pd.DataFrame:
    """Bars of ten seconds: (start, high, low, close)."""
    frame = pd.DataFrame(rows, columns=["at", "high", "low", "close"])
    frame.insert(0, "timestamp", START + (frame.pop("at") * S).astype("int64"))
    return frame.assign(symbol=symbol)


def test_excursions_of_a_long_and_a_short_trade() -> None:
    prices = bars((0, 104, 97, 101), (10, 108, 99, 102), (20, 130, 60, 100))
    [long] = round_trips(fills((0, "BUY", 10, 100), (20, "SELL", 10, 102)), prices=prices)
    assert (long.mae, long.mfe) == (-30.0, 80.0)
    [short] = round_trips(fills((0, "SELL", 10, 100), (20, "BUY", 10, 102)), prices=prices)
    assert (short.mae, short.mfe) == (-80.0, 30.0)


def test_bars_in_which_a_fill_lies_count_only_when_asked_for() -> None:
    prices = bars((0, 104, 97, 101), (10, 108, 99, 102), (20, 130, 60, 100))
    given = fills((5, "BUY", 10, 100), (25, "SELL", 10, 102))
    [trip] = round_trips(given, prices=prices)
    assert (trip.mae, trip.mfe) == (-10.0, 80.0)
    [trip] = round_trips(given, prices=prices, partial_bars=True)
    assert (trip.mae, trip.mfe) == (-400.0, 300.0)


def test_what_was_taken_before_counts_in_a_trade_that_is_reduced() -> None:
    """Half is sold at 120: the worst after that is 20 × 5 − 10 × 5, which is not below 0."""
    prices = bars((0, 120, 100, 120), (10, 121, 90, 95))
    given = fills((0, "BUY", 10, 100), (10, "SELL", 5, 120), (20, "SELL", 5, 95))
    [trip] = round_trips(given, prices=prices)
    assert (trip.mae, trip.mfe) == (0.0, 205.0)


def test_the_multiplier_of_the_instrument_counts() -> None:
    future = {"ES=F": specify("ES=F", kind="FUTURE", price_increment="0.25", multiplier=50)}
    given = fills((0, "BUY", 2, 6000), (20, "SELL", 2, "6001.25"), symbol="ES=F")
    [trip] = round_trips(
        given, prices=bars((0, 6002, 5999, 6001), symbol="ES=F"), instruments=future
    )
    assert (trip.pnl, trip.entry_value) == (125, 600_000)
    assert (trip.mae, trip.mfe) == (-100.0, 200.0)


def test_without_prices_of_the_symbol_there_are_no_excursions() -> None:
    [trip, _] = round_trips(SCALED, prices=bars((0, 1, 1, 1), symbol="MSFT"))
    assert (trip.mae, trip.mfe) == (None, None)
    assert math.isnan(round_trip_metrics([trip])["average_mae"])


def excursion_by_walking(trip: RoundTrip, ticks: list[tuple[int, float]]) -> tuple[float, float]:
    """The P&L of a trip at each tick and at each of its fills, one after another."""
    sign = 1 if trip.side == "LONG" else -1
    worst = best = 0.0
    own = [
        (time, float(price))
        for m in trip.matches
        for time, price in (
            (m.opened_at, m.buy_price if sign > 0 else m.sell_price),
            (m.timestamp, m.sell_price if sign > 0 else m.buy_price),
        )
    ]
    for time, price in [*ticks, *own]:
        # At the moment of a fill both positions count: the one before and the one after it.
        for before in (False, True):
            total, held = 0.0, False
            for m in trip.matches:
                entry, leaving = (
                    (m.buy_price, m.sell_price) if sign > 0 else (m.sell_price, m.buy_price)
                )
                is_open = m.opened_at < time or (m.opened_at == time and not before)
                is_closed = m.timestamp < time or (m.timestamp == time and not before)
                if is_closed:
                    total += sign * float(m.quantity) * float(leaving - entry)
                elif is_open:
                    total += sign * float(m.quantity) * (price - float(entry))
                    held = True
            if held:
                worst, best = min(worst, total), max(best, total)
    closed = float(trip.pnl)
    return min(worst, closed), max(best, closed)


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(["BUY", "SELL"]), st.integers(1, 4)),
        min_size=2,
        max_size=12,
    ),
    st.lists(st.integers(80, 120), min_size=40, max_size=40),
    st.sampled_from(GROUPINGS),
)
def test_excursions_equal_those_of_a_walk_over_all_ticks(
    steps: list[tuple[int, str, int]], path: list[int], grouping: Grouping
) -> None:
    time, rows = 0, []
    for wait, side, quantity in steps:
        time += wait
        rows.append((time, side, quantity, path[time]))
    ticks = pd.DataFrame(
        {"timestamp": [START + n * S for n in range(40)], "symbol": "AAPL", "price": path}
    )
    walk = list(zip(ticks["timestamp"].tolist(), map(float, path), strict=True))
    trips = round_trips(fills(*rows), grouping, prices=ticks)
    for trip in trips:
        expected = excursion_by_walking(trip, walk)
        assert (trip.mae, trip.mfe) == pytest.approx(expected, abs=1e-9)
    net = {"BUY": 0, "SELL": 0}
    for _time, side, quantity, _price in rows:
        net[side] += quantity
    if net["BUY"] == net["SELL"]:
        # Flat at the end: all three ways account for the same money.
        earned = sum(q * p * (1 if side == "SELL" else -1) for _t, side, q, p in rows)
        assert sum(trip.pnl for trip in trips) == earned
        assert sum(trip.fees for trip in trips) == len(rows)


# --- figures --------------------------------------------------------------------------------------


def test_figures_of_trips_by_hand() -> None:
    given = fills(
        (0, "BUY", 1, 100), (10, "SELL", 1, 110),
        (20, "BUY", 1, 100), (60, "SELL", 1, 105),
        (70, "BUY", 1, 100), (80, "SELL", 1, 95),
        (90, "BUY", 1, 100), (95, "SELL", 1, 102),
        fees="0.5",
    )  # fmt: skip
    found = round_trip_metrics(round_trips(given))
    assert found["round_trips"] == 4
    assert (found["winners"], found["losers"], found["hit_rate"]) == (3, 1, 0.75)
    assert (found["pnl_before_fees"], found["fees"], found["net_pnl"]) == (12.0, 4.0, 8.0)
    assert found["profit_factor"] == pytest.approx((9 + 4 + 1) / 6)
    assert found["expectancy"] == 2.0
    assert found["payoff_ratio"] == pytest.approx(14 / 3 / 6)
    assert (found["largest_win"], found["largest_loss"]) == (9.0, -6.0)
    assert (found["longest_winning_streak"], found["longest_losing_streak"]) == (2, 1)
    assert found["average_duration_s"] == pytest.approx((10 + 40 + 10 + 5) / 4)
    none = round_trip_metrics([])
    assert none["round_trips"] == none["net_pnl"] == 0
    assert math.isnan(none["hit_rate"])
    table = round_trips_table(round_trips(given))
    assert table["net_pnl"].to_pylist() == [9.0, 4.0, -6.0, 1.0]
    assert table["mae"].null_count == 4
    assert round_trips_table([]).num_rows == 0


def test_currencies_are_not_added() -> None:
    specs = {s: specify(s, currency=c) for s, c in (("AAPL", "USD"), ("EQNR", "NOK"))}
    given = [*fills((0, "BUY", 1, 1), (1, "SELL", 1, 2))]
    given += [_renamed(f) for f in fills((2, "BUY", 1, 1), (3, "SELL", 1, 2), symbol="EQNR")]
    with pytest.raises(MetricsError, match="NOK, USD, which cannot be added"):
        round_trip_metrics(round_trips(given, instruments=specs))


def row_of(**fields: Any) -> dict[str, list[Any]]:
    row = {"timestamp": "2026-01-05", "symbol": "A", "side": "BUY", "quantity": 1, "price": 1}
    return {name: [value] for name, value in (row | fields).items()}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"timestamp": [1], "symbol": ["A"]}, "no column side, quantity, price"),
        ("fills.csv", "expected a frame of fills or matches, seen str"),
        (
            row_of(side="HOLD"),
            "row 0: .*'HOLD' is none of BUY SELL",
        ),
        (
            row_of(quantity=math.nan),
            "row 0: .*quantity",
        ),
        (list(reversed(SCALED)), "row 1 is earlier than row 0; sort"),
        ({"timestamp": ["2026-01-05"], "realized_pnl": [1]}, "matches: no column opened_at"),
    ],
)  # fmt: skip
def test_bad_records_are_refused(data: Any, message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        round_trips(data, "reduced")


def test_bad_options_and_prices_are_refused() -> None:
    with pytest.raises(MetricsError, match="none of: fill, reduced, flat"):
        round_trips(SCALED, "order")  # type: ignore[arg-type]
    with pytest.raises(MetricsError, match="prices: expected timestamp"):
        Prices.of({"timestamp": [START], "symbol": ["A"]})
    late = bars((10, 1, 1, 1), (0, 1, 1, 1))
    with pytest.raises(MetricsError, match="prices of 'AAPL': row 1 is earlier"):
        Prices.of(late)


def test_bars_end_at_the_next_one_or_after_the_usual_step() -> None:
    days = pd.to_datetime(["2026-01-08", "2026-01-09", "2026-01-12", "2026-01-13"], utc=True)
    prices = Prices.of({"timestamp": days, "high": [2.0] * 4, "low": [1.0] * 4, "close": [1.5] * 4})
    path = prices.path("anything")
    assert path is not None
    friday = np.datetime64("2026-01-10", "ns").astype(np.int64)
    assert path.end[1] == friday
    assert path.at(int(friday)) == 1.5
    assert path.at(0) is None
