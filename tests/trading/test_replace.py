"""A replace changes what it names, and nothing else."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.fill_models import MODELS
from tests.trading.runs import START, bar, kernel, of, paper, send, terms, trade
from trading.journal.inputs import Clock, DefineSessions, OrderTerms, Replace
from trading.journal.outputs import FillBooked, OrderEvent, OrderOpened, SendReplace
from trading.journal.reports import OrderAccepted, OrderFilled
from trading.kernel import Kernel
from trading.specification import specify
from trading.times import SECOND

# Of these models no fill depends on an order's size, and all requests arrive at once.
BY_PRICE = ["tick", "next_open", "this_close", "next_close"]
KINDS: dict[str, dict[str, str]] = {
    "LIMIT": {"limit_price": "99"},
    "STOP": {"stop_price": "101"},
    "STOP_LIMIT": {"stop_price": "101", "limit_price": "101.5"},
    "TRAILING_STOP": {"trail": "1"},
}
FLAGS: list[dict[str, Any]] = [{}, {"emulate": True}, {"not_before": 4}, {"flat_by": 15}]


def resting(kind: str, quantity: int, flags: dict[str, Any], until: int | None) -> OrderTerms:
    times = {n: START + v * SECOND for n, v in flags.items() if n != "emulate"}
    more = {"time_in_force": "GTD", "expire_at": START + until * SECOND} if until else {}
    return terms("BUY", quantity, kind, **{**KINDS[kind], **flags, **times, **more})


def fills_of(
    model: str, order: OrderTerms, steps: list[int], replaced: dict[int, int]
) -> list[tuple[int, int, int]]:
    """Side, price and time of the fills of one order, whose size is changed before some steps."""
    broker = MODELS[model]()
    made = kernel(broker, bar_interval=0)
    trade(made, "100", at=START)
    out = send(made, order, at=START)
    [opened] = of(out, OrderOpened)
    price = 100 * 100
    for number, step in enumerate(steps, 1):
        if number in replaced:
            told = Replace(made.now, f"r{number}", "t", opened.order_id, replaced[number])
            out += made.step(told)
        price = max(price + step, 1)
        if model == "tick":
            out += trade(made, f"{price / 100:.2f}", at=START + number * SECOND)
        else:
            low, high = min(price, price - step), max(price, price - step)
            shown = [f"{each / 100:.2f}" for each in (price - step, high, low, price)]
            out += bar(made, shown)
    return [(each.side, each.price, each.executed) for each in of(out, FillBooked)]


@pytest.mark.parametrize("model", BY_PRICE)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    flags=st.sampled_from(FLAGS),
    until=st.sampled_from([None, 12]),
    steps=st.lists(st.integers(-60, 60), min_size=8, max_size=20),
    at=st.lists(st.integers(1, 20), max_size=4, unique=True),
    seed=st.integers(0, 2**32),
)
def test_another_size_leaves_when_and_at_what_an_order_fills(
    model: str,
    kind: str,
    flags: dict[str, Any],
    until: int | None,
    steps: list[int],
    at: list[int],
    seed: int,
) -> None:
    rng = random.Random(seed)
    order = resting(kind, 10, flags, until)
    changed = {number: rng.randint(5, 20) for number in at}
    assert fills_of(model, order, steps, changed) == fills_of(model, order, steps, {})


def auctioned(limit: str | None, tif: str) -> tuple[Kernel, str, int, int]:
    """A kernel with an order for an auction, its id, and when the session opens and closes."""
    made = kernel(paper("tick"), specs=(specify("AAPL", calendar="XNYS"),))
    opens, closes = START + 100 * SECOND, START + 500 * SECOND
    made.step(DefineSessions(START, "XNYS", ((opens, closes), (closes + 10**12, closes + 10**13))))
    trade(made, "100")
    kind = {"kind": "LIMIT", "limit_price": limit} if limit else {}
    out = send(made, terms("BUY", 10, **kind, time_in_force=tif))
    [opened] = of(out, OrderOpened)
    return made, opened.order_id, opens, closes


@pytest.mark.parametrize("limit", ["105", None])
@pytest.mark.parametrize("tif", ["AT_OPEN", "AT_CLOSE"])
def test_an_order_for_an_auction_waits_for_it_after_a_replace(limit: str | None, tif: str) -> None:
    made, order_id, opens, closes = auctioned(limit, tif)
    out = made.step(Replace(made.now, "r", "t", order_id, 4))
    assert of(out, FillBooked) == []
    trade(made, "101", at=opens - 5)
    out = trade(made, "102", at=opens + 5) + trade(made, "103", at=closes - 5)
    out += made.step(Clock(closes + 1))
    [filled] = of(out, FillBooked)
    price = 10_200 if tif == "AT_OPEN" else 10_300
    assert (filled.quantity, filled.price) == (4, price)


def test_a_post_only_order_is_not_replaced_to_where_it_would_trade() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    out = send(made, terms("BUY", 10, "LIMIT", limit_price="99", post_only=True))
    [opened] = of(out, OrderOpened)
    out = made.step(Replace(made.now, "r", "t", opened.order_id, 20, 10_000))
    assert [each.event for each in of(out, OrderEvent)] == ["PENDING_UPDATE", "UPDATE_REJECTED"]
    assert of(out, FillBooked) == []
    order = made.orders[opened.order_id]
    assert (order.qty, order.limit) == (10, 9_900)
    made.step(Replace(made.now, "r2", "t", opened.order_id, 20, 9_950))
    assert (order.qty, order.limit) == (20, 9_950)


def test_a_trailing_exit_keeps_its_stop_when_its_bracket_changes_its_size() -> None:
    """A broker has moved the stop on since it was told of it; a replace does not set it back."""
    made = kernel(None, order_memory=10**15)
    trade(made, "100")
    out = send(
        made,
        terms("BUY", 10, "LIMIT", limit_price="100"),
        terms("SELL", 10, "LIMIT", limit_price="110", reduce_only=True),
        terms("SELL", 10, "TRAILING_STOP", stop_price="95", trail="5", reduce_only=True),
        kind="BRACKET",
    )
    entry, _, exit_ = (each.order_id for each in of(out, OrderOpened))

    def tell(report: type, order_id: str, *more: object) -> list[Any]:
        return made.step(report(made.now + 1, "ACC", order_id, *more))

    tell(OrderAccepted, entry)
    tell(OrderFilled, entry, "f1", 4, 10_000, 0, made.now)
    tell(OrderAccepted, exit_)
    out = tell(OrderFilled, entry, "f2", 6, 10_000, 0, made.now)
    [asked] = [each for each in of(out, SendReplace) if each.order_id == exit_]
    assert (asked.quantity, asked.stop) == (10, None)
