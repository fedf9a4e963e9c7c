"""Figures of the book, and windows against sums from nothing."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.errors import TickError
from trading.features import BookFeatures

SECOND = 1_000_000_000


def test_the_figures_of_a_book() -> None:
    book = BookFeatures(levels=2)
    value = book.depth(
        7,
        bids=[(99.0, 300, 3), (98.0, 100, 1), (97.0, 10_000, 1)],
        asks=[(101.0, 100, 4), (102.0, 100, 1)],
    )
    assert value.timestamp == 7
    assert (value.spread, value.mid) == (2.0, 100.0)
    # Three times as much to buy as to sell: the price is nearer to the ask.
    assert value.microprice == (99.0 * 100 + 101.0 * 300) / 400
    assert value.imbalance == (400 - 200) / 600
    assert (value.bid_per_order, value.ask_per_order) == (100.0, 40.0)
    assert (value.vwap, value.realized_volatility) == (None, None)


def test_one_side_and_none() -> None:
    book = BookFeatures()
    assert book.value.mid is None
    value = book.quote(1, 10.0, None, 5, 0)
    assert (value.mid, value.spread, value.microprice, value.imbalance) == (None, None, None, 1.0)
    assert book.quote(2, None, None, 0, 0).imbalance is None
    # Crossed books occur in auctions: the spread is negative then.
    assert book.quote(3, 10.0, 9.0, 1, 1).spread == -1.0


@settings(deadline=None, max_examples=100)
@given(
    trades=st.lists(
        st.tuples(
            st.integers(0, 30),
            st.integers(1, 10**6).map(lambda n: n / 100),
            st.integers(0, 10**5).map(lambda n: n / 10),
        ),
        max_size=40,
    )
)
def test_windows_equal_sums_from_nothing(trades: list[tuple[int, float, float]]) -> None:
    book, now, seen = BookFeatures(window="60s"), 0, []
    for gap, price, size in trades:
        now += gap * SECOND
        value = book.trade(now, price, size)
        seen.append((now, price, size))
        inside = [row for row in seen if row[0] > now - 60 * SECOND]
        volume = sum(Fraction(s) for _t, _p, s in inside)
        amount = sum(Fraction(p) * Fraction(s) for _t, p, s in inside)
        expected = float(amount / volume) if volume else None
        assert value.vwap == (None if expected is None else pytest.approx(expected, rel=1e-14))
        squares = [
            math.log(b[1] / a[1]) ** 2 for a, b in pairwise(seen) if b[0] > now - 60 * SECOND
        ]
        if squares:
            assert value.realized_volatility == pytest.approx(
                math.sqrt(math.fsum(squares)), rel=1e-9, abs=1e-12
            )
        else:
            assert value.realized_volatility is None
    quiet = book.advance(now + 60 * SECOND)
    assert (quiet.vwap, quiet.realized_volatility) == (None, None)


def test_its_state_can_be_kept() -> None:
    book = BookFeatures()
    book.quote(1, 10.0, 10.5, 5, 7)
    book.trade(2, 10.5, 3)
    again = pickle.loads(pickle.dumps(book))
    assert again.value == book.value
    assert again.trade(3, 10.4, 1) == book.trade(3, 10.4, 1)


def test_bad_events_change_nothing() -> None:
    book = BookFeatures()
    before = book.quote(5, 10.0, 10.5, 5, 7)
    for bids, message in [
        ([(math.nan, 1)], r"bids\[0\] is nan"),
        ([(10.0, -1)], "sizes and orders are 0 or more"),
        ([(10.0, 1), (10.0, 1)], "each price once, the best first"),
        ([(9.0, 1), (10.0, 1)], "hold 10.0 after 9.0"),
        ([(9.0,)], "a level is"),
        ([("x", 1)], "must be a finite number"),
    ]:
        with pytest.raises(TickError, match=message):
            book.depth(6, bids, [])
    with pytest.raises(TickError, match="sort events by time"):
        book.trade(4, 10.0, 1)
    with pytest.raises(TickError, match=r"size -1\.0 of a trade"):
        book.trade(6, 10.0, -1)
    with pytest.raises(TickError, match="price is inf"):
        book.trade(6, math.inf, 1)
    assert book.value == before
    with pytest.raises(TickError, match="levels is 0"):
        BookFeatures(levels=0)
    with pytest.raises(TickError, match="window is empty"):
        BookFeatures(window="0s")
