"""Trailing stops over columns of ticks: what the same ticks one by one would have done."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.runs import START, fold, kernel, of, paper, send, trade
from trading.journal.inputs import OrderTerms, Submit, Tick
from trading.journal.outputs import FillBooked, OrderChanged
from trading.kernel import Kernel, TickColumns
from trading.times import SECOND

TRAILS = st.lists(
    st.tuples(
        st.sampled_from([1, -1]),
        st.sampled_from(["AAPL", "MSFT"]),
        st.one_of(st.integers(1, 60), st.tuples(st.integers(1, 300))),  # ticks, or basis points
        st.booleans(),
        st.one_of(st.none(), st.integers(1, 200)),  # how far away the stop is at first
    ),
    min_size=1,
    max_size=6,
)


def stop_orders(trails: list[tuple[int, str, object, bool, int | None]]) -> list[OrderTerms]:
    orders = []
    for side, symbol, trail, emulate, away in trails:
        step = 1 if symbol == "AAPL" else 5
        orders.append(
            OrderTerms(
                *("ACC", "a", symbol, side, 10, "TRAILING_STOP", None),
                *(None if away is None else 10_000 + side * away * step, "GTC"),
                trail=trail * step if isinstance(trail, int) else None,
                trail_bps=trail[0] if isinstance(trail, tuple) else None,
                emulate=emulate,
            )
        )
    return orders


def walk(seed: int, count: int, drift: int) -> TickColumns:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, count)
    steps = rng.integers(-3, 4, count) + drift * (rng.random(count) < 0.3)
    prices = np.where(codes == 1, 5, 1)
    moved = [10_000 + np.cumsum(steps * (codes == code)) * (1, 5)[code] for code in (0, 1)]
    prices = np.maximum(np.where(codes == 1, moved[1], moved[0]), 5)
    return TickColumns(
        ("AAPL", "MSFT"), START + SECOND + np.arange(count) * 1_000, codes, prices, codes * 0 + 100
    )


def started(orders: list[OrderTerms]) -> Kernel:
    made = kernel(paper("tick"))
    for symbol in ("AAPL", "MSFT"):
        made.step(Tick(START, symbol, 10_000, 1))
    for at, terms in enumerate(orders):
        made.step(Submit(START, f"k{at}", "t", "ORDER", (terms,)))
    return made


@given(TRAILS, st.integers(0, 10**6), st.sampled_from([-1, 0, 1]), st.integers(1, 400))
def test_trailing_stops_in_columns_are_those_of_ticks_alone(
    trails: list[tuple[int, str, object, bool, int | None]], seed: int, drift: int, size: int
) -> None:
    orders, ticks = stop_orders(trails), walk(seed, 400, drift)
    one, other = started(orders), started(orders)
    alone = fold(one, [ticks.tick(row) for row in range(len(ticks))])
    together = fold(
        other, [ticks.slice(at, min(at + size, len(ticks))) for at in range(0, len(ticks), size)]
    )
    assert together == alone
    assert other.digest == one.digest
    assert other._paper.state.resting == one._paper.state.resting


def test_a_stop_is_followed_without_a_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    send(
        made,
        OrderTerms("ACC", "a", "AAPL", -1, 10, "TRAILING_STOP", None, None, "GTC", trail=50),
    )
    walked = []
    row = type(made._data)._row
    monkeypatch.setattr(
        type(made._data), "_row", lambda *told: (walked.append(told[3]), row(*told))[1]
    )
    rises = 10_000 + np.arange(5_000)
    prices = np.concatenate([rises, rises[-1:] - 49, rises[-1:] - 50, rises[-1:] - 80])
    count = len(prices)
    out = made.step(
        TickColumns(("AAPL",), START + SECOND + np.arange(count), [0] * count, prices, [10] * count)
    )
    [filled] = of(out, FillBooked)
    assert filled.price == 14_999 - 50
    assert walked == [5_001]


def test_an_emulated_stop_is_walked_where_it_moves_and_where_it_is_reached() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    terms = OrderTerms("ACC", "a", "AAPL", -1, 10, "TRAILING_STOP", None, None, "GTC")
    send(made, msgspec.structs.replace(terms, trail_bps=100, emulate=True))
    prices = [10_001, 9_990, 10_100, 10_050, 10_200, 10_150, 10_098, 10_097, 9_000]
    count = len(prices)
    out = made.step(
        TickColumns(("AAPL",), START + SECOND + np.arange(count), [0] * count, prices, [10] * count)
    )
    moves = [each.stop for each in of(out, OrderChanged)]
    assert moves == [10_100 - 101, 10_200 - 102]
    [filled] = of(out, FillBooked)
    assert filled.price == 10_098


def test_random_journals_of_trailing_stops_in_any_chunks() -> None:
    rng = random.Random(5)
    for seed in range(3):
        trails = [
            (rng.choice((1, -1)), rng.choice(("AAPL", "MSFT")), rng.randint(1, 40), False, None)
            for _ in range(8)
        ]
        ticks = walk(seed, 3_000, 0)
        one, other = started(stop_orders(trails)), started(stop_orders(trails))
        fold(one, [ticks.tick(row) for row in range(len(ticks))])
        restored = started([])
        fold(other, [ticks.slice(0, 1_700)])
        restored.restore(other.snapshot())
        fold(restored, [ticks.slice(1_700, 3_000)])
        assert restored.digest == one.digest
