"""Batches of bars say what their moments one by one say; a moment is never its own past."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.trading.runs import AAPL, MSFT, START, Flipper, kernel, of, paper
from trading.errors import JournalError
from trading.journal import decode_input, encode
from trading.journal.inputs import Bar
from trading.journal.outputs import FillBooked, StrategyStopped
from trading.kernel import BarColumns, Context, Kernel
from trading.times import MINUTE

MODELS = ("next_open", "this_close", "next_close", "intrabar", "tick")


def columns(seed: int, moments: int = 200) -> BarColumns:
    """Random bars of two symbols and two timeframes, of which some share their times."""
    rng = random.Random(seed)
    rows: list[list[int]] = []
    price = [20_000, 40_000]
    for number in range(moments):
        end = START + (number + 1) * MINUTE
        for code, spec in enumerate((AAPL, MSFT)):
            if rng.random() < 0.3:
                continue
            step = spec.price_increment
            walk = [price[code] + rng.randint(-40, 40) * step for _ in range(4)]
            price[code] = walk[3]
            volume = rng.randint(0, 500)
            made = [walk[0], max(walk), min(walk), walk[3], volume]
            rows.append([end, code, 0, end - MINUTE, end, *made])
            if (number + 1) % 5 == 0:
                rows.append([end, code, 1, end - 5 * MINUTE, end, *made])
    return BarColumns(("AAPL", "MSFT"), (MINUTE, 5 * MINUTE), *np.array(rows, np.int64).T)


def fresh(model: str, **more: Any) -> Kernel:
    strategies = [Flipper("one"), Flipper("two")]
    return kernel(
        paper(model), strategies=strategies, bar_interval=0, fills_interval=MINUTE, **more
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("model", MODELS)
def test_a_batch_says_what_its_moments_say(model: str, seed: int) -> None:
    bars = columns(seed)
    whole = fresh(model)
    out = whole.step(bars)
    assert of(out, FillBooked)
    assert not of(out, StrategyStopped)
    rng = random.Random(seed)
    cut = fresh(model)
    at = 0
    while at < len(bars):
        stop = bars.moment_after(min(at + rng.randint(1, 40), len(bars)))
        part = bars.slice(at, stop)
        cut.step(part if rng.random() < 0.5 else decode_input(encode(part.to_batch())))
        at = stop
        if rng.random() < 0.2:
            again = fresh(model)
            again.restore(cut.snapshot())
            cut = again
    assert cut.digest == whole.digest


@pytest.mark.parametrize("model", MODELS)
def test_bars_one_by_one_say_the_same_where_each_is_a_moment(model: str) -> None:
    bars = columns(7)
    alone = bars.slice(0, len(bars))
    # Each bar at a time of its own.
    alone.times = bars.times + np.arange(len(bars))
    batch, single = fresh(model), fresh(model)
    batch.step(alone)
    rows = zip(*(getattr(alone, n).tolist() for n in alone.__slots__[2:]), strict=True)
    for time, code, interval, *rest in rows:
        single.step(Bar(time, alone.symbols[code], alone.timeframes[interval], *rest))
    assert single.digest == batch.digest


class Echo:
    """When it hears of AAPL's bar, it buys MSFT."""

    name, account, version, parameters = "echo", "ACC", "1", ""
    symbols: Sequence[str] = ()
    wants_ticks = False

    def on_start(self, ctx: Context) -> None:
        pass

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        if bar.symbol == "AAPL":
            ctx.buy("MSFT", 10)

    def on_fill(self, ctx: Context, order: object, fill: object) -> None:
        pass

    on_tick = on_timer = on_fill  # nobody calls these here

    def dump(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None:
        pass


def pair(number: int, apple: int, other: int) -> list[list[int]]:
    end = START + (number + 1) * MINUTE
    return [
        [end, code, 0, end - MINUTE, end, price, price, price, price, 100]
        for code, price in ((0, apple), (1, other))
    ]


@pytest.mark.parametrize("as_batch", [True, False])
@pytest.mark.parametrize(("model", "expected"), [("next_open", 50_000), ("next_close", 50_000)])
def test_an_order_never_trades_in_the_past_of_another_symbol(
    model: str, expected: int, as_batch: bool
) -> None:
    made = kernel(paper(model), strategies=[Echo()], bar_interval=0)
    rows = pair(0, 20_000, 40_000) + pair(1, 20_000, 50_000)
    bars = BarColumns(("AAPL", "MSFT"), (MINUTE,), *np.array(rows, np.int64).T)
    if as_batch:
        out = made.step(bars)
    else:
        out = []
        for time, code, _, *rest in rows:
            out += made.step(Bar(time, ("AAPL", "MSFT")[code], MINUTE, *rest))
    assert [fill.price for fill in of(out, FillBooked)] == [expected]


def test_at_once_is_at_the_close_of_the_same_moment() -> None:
    made = kernel(paper("this_close"), strategies=[Echo()], bar_interval=0)
    rows = pair(0, 20_000, 40_000) + pair(1, 20_000, 50_000)
    out = made.step(BarColumns(("AAPL", "MSFT"), (MINUTE,), *np.array(rows, np.int64).T))
    assert [fill.price for fill in of(out, FillBooked)] == [40_000, 50_000]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": [2, 1]}, "sort by arrival"),
        ({"codes": [0, 5]}, "none of the 1 symbols"),
        ({"intervals": [0, 3]}, "none of the 1 timeframes"),
        ({"highs": [5, 9]}, "bar 0 of AAPL contradicts itself"),
        ({"closes": [10.5, 11.0]}, "expected whole numbers"),
        ({"volumes": [1]}, "volumes has 1 rows"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "times": [1, 2],
        "codes": [0, 0],
        "intervals": [0, 0],
        "starts": [0, 1],
        "ends": [1, 2],
        "opens": [10, 11],
        "highs": [12, 13],
        "lows": [9, 10],
        "closes": [11, 12],
        "volumes": [5, 5],
    }
    with pytest.raises(JournalError, match=message):
        BarColumns(("AAPL",), (MINUTE,), **{**good, **change})
