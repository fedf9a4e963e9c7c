"""Features of orders that a trader combines: groups, times, flags, latency, halts, splits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.runs import START, Flipper, bar, kernel, of, paper, send, terms, trade
from trading.brokers import FillModel
from trading.journal.inputs import (
    Clock,
    DefineSessions,
    Flatten,
    OrderTerms,
    Replace,
    SetLimits,
    SetTradingState,
    SplitShares,
    Tick,
)
from trading.journal.outputs import (
    FillBooked,
    OrderChanged,
    OrderEvent,
    OrderOpened,
    RiskDecision,
    SendCancel,
    SendOrder,
    SendReplace,
)
from trading.journal.reports import (
    FillBusted,
    FillCorrected,
    OrderAccepted,
    OrderCancelRejected,
    OrderFilled,
    OrderReplaced,
)
from trading.kernel import Kernel
from trading.specification import specify
from trading.times import SECOND


def held(made: Kernel, strategy: str = "") -> int:
    found = made.positions.get(("ACC", strategy, "AAPL"))
    return 0 if found is None else found.net


def ids(outputs: list[Any]) -> list[str]:
    return [each.order_id for each in of(outputs, OrderOpened)]


def events(outputs: list[Any], order_id: str) -> list[str]:
    return [each.event for each in of(outputs, OrderEvent) if each.order_id == order_id]


def buy_limit(quantity: int, price: str = "99", **more: Any) -> OrderTerms:
    return terms("BUY", quantity, "LIMIT", limit_price=price, **more)


def bracket(quantity: int, **entry: Any) -> tuple[OrderTerms, OrderTerms, OrderTerms]:
    return (
        buy_limit(quantity, **entry),
        terms("SELL", quantity, "LIMIT", limit_price="110", reduce_only=True),
        terms("SELL", quantity, "STOP", stop_price="90", reduce_only=True),
    )


def limit(made: Kernel, limits: str) -> None:
    made.step(SetLimits(START, "l", "a", "b", "ACC", "L", limits, START))


class Venue:
    """A kernel whose broker is the test."""

    def __init__(self) -> None:
        self.kernel = kernel(None, order_memory=10**15, bust_memory=10**15)
        trade(self.kernel, "100")

    def tell(self, report: type, *more: object) -> list[Any]:
        return self.kernel.step(report(self.kernel.now + 1, "ACC", *more))

    def fill(self, order_id: str, fill_id: str, quantity: int) -> list[Any]:
        return self.tell(OrderFilled, order_id, fill_id, quantity, 10_000, 0, self.kernel.now)


# --- flattening and halts -------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["flatten", "halt"])
def test_what_closes_a_position_is_not_cancelled_by_asking_again(again: str) -> None:
    """Bars and a latency: the first order still waits for its price when the second is asked."""
    made = kernel(paper("next_open", latency=SECOND), bar_interval=0)
    bar(made, ["100"] * 4)
    send(made, terms("BUY", 100))
    bar(made, ["100"] * 4)
    bar(made, ["100"] * 4)
    assert held(made) == 100
    made.step(Flatten(made.now + 1, "f1", "t", "ACC"))
    made.step(Clock(made.now + 2 * SECOND))
    if again == "flatten":
        made.step(Flatten(made.now + 1, "f2", "t", "ACC"))
    else:
        made.step(SetTradingState(made.now + 1, "h", "t", "ACC", "HALTED"))
    for _ in range(3):
        bar(made, ["100"] * 4)
    assert held(made) == 0
    assert not [order for order in made.orders.values() if order.is_open]


def test_a_losing_account_that_flattens_on_a_halt_is_flat() -> None:
    made = kernel(paper("next_open", latency=SECOND), bar_interval=0)
    limit(made, '{"max_daily_loss": "100", "flatten_on_halt": true}')
    bar(made, ["100"] * 4)
    send(made, terms("BUY", 100))
    bar(made, ["100"] * 4)
    bar(made, ["100"] * 4)
    made.step(Flatten(made.now + 1, "f1", "t", "ACC"))
    bar(made, ["100", "100", "90", "90"])
    for _ in range(3):
        bar(made, ["90"] * 4)
    assert held(made) == 0


def test_orders_that_are_flat_by_one_time_close_what_each_has_opened() -> None:
    made = kernel(paper("next_open"), bar_interval=0)
    bar(made, ["100"] * 4)
    for size in (50, 30):
        send(made, terms("BUY", size, flat_by=START + 300 * SECOND))
    send(made, terms("BUY", 7))
    for _ in range(9):
        bar(made, ["100"] * 4)
    assert held(made) == 7


def test_a_fill_that_crosses_the_cancel_at_its_time_is_closed_too() -> None:
    made = kernel(paper("tick", latency=5 * SECOND))
    trade(made, "100", at=START)
    send(made, terms("BUY", 10, flat_by=START + 3 * SECOND), at=START)
    out = []
    for at in (4, 6, 12, 20):
        out += trade(made, "100", at=START + at * SECOND)
    assert [each.side for each in of(out, FillBooked)] == [1, -1]
    assert held(made) == 0


def test_a_bracket_whose_exit_has_a_time_closes_what_its_entry_opened() -> None:
    made = kernel(paper("tick"))
    trade(made, "100", at=START)
    entry, target, stop = bracket(10)
    timed = terms(
        *("SELL", 10, "STOP"), stop_price="90", reduce_only=True, flat_by=START + 60 * SECOND
    )
    send(made, entry, target, timed, kind="BRACKET", at=START)
    trade(made, "98", at=START + 5 * SECOND)
    assert held(made) == 10
    made.step(Clock(START + 61 * SECOND))
    assert held(made) == 0
    assert stop.flat_by is None


class Canceller(Flipper):
    """Rests two orders and asks for the end of each with the next bars."""

    def on_start(self, ctx: Any) -> None:
        self.answers: list[str] = []
        self.sent: list[str] = []

    def on_fill(self, ctx: Any, order: Any, fill: Any) -> None:
        raise AssertionError("nothing fills")

    def on_bar(self, ctx: Any, bar: Any) -> None:
        if self.sent:
            self.answers.append(ctx.cancel(self.sent.pop()))
        elif not self.answers:
            self.sent = [ctx.submit_terms(buy_limit(5, "50")) for _ in range(2)]


def test_cancels_of_a_strategy_count_for_the_limits() -> None:
    strategy = Canceller()
    made = kernel(paper("next_open"), bar_interval=0, strategies=[strategy])
    limit(made, '{"max_cancels": 1, "cancel_window": 3600000000000}')
    out: list[Any] = []
    for _ in range(4):
        out += bar(made, ["100"] * 4)
    assert strategy.answers == ["OK", "CANCEL_RATE"]
    [asked] = [each for each in of(out, OrderEvent) if each.event == "PENDING_CANCEL"]
    assert asked.detail == "by flipper"


# --- groups ---------------------------------------------------------------------------------------


def test_somebody_may_change_the_size_of_a_child() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    child = terms("SELL", 100, "LIMIT", limit_price="110")
    _, child_id = ids(send(made, buy_limit(100), child, kind="OTO"))
    made.step(Replace(made.now + 1, "r1", "t", child_id, 50))
    trade(made, "98")
    assert (made.orders[child_id].qty, made.orders[child_id].sent) == (50, True)
    made.step(Replace(made.now + 1, "r2", "t", child_id, 30))
    assert made.orders[child_id].qty == 30


def test_the_size_of_an_exit_is_told_when_it_is_sent() -> None:
    venue = Venue()
    entry, target, stop = ids(send(venue.kernel, *bracket(10), kind="BRACKET"))
    venue.tell(OrderAccepted, entry)
    out = venue.fill(entry, "f1", 4)
    assert {(each.order_id, each.quantity) for each in of(out, OrderChanged)} == {
        (target, 4),
        (stop, 4),
    }


def test_a_child_that_waits_for_its_time_has_the_size_of_all_fills() -> None:
    made = kernel(paper(FillModel("tick", volume_share="0.5")))
    trade(made, "100", at=START)
    child = terms("SELL", 100, not_before=START + 60 * SECOND)
    _, child_id = ids(send(made, buy_limit(100), child, kind="OTO"))
    trade(made, "98", 100)
    trade(made, "98", 100)
    assert made.orders[child_id].qty == 100
    trade(made, "98", 1_000, at=START + 70 * SECOND)
    trade(made, "98", 1_000, at=START + 71 * SECOND)
    assert held(made) == 0


def test_a_child_that_grows_is_judged_by_the_rules() -> None:
    """A child is judged at the size of the first fill; the rest passes the rules as well."""
    made = kernel(paper(FillModel("tick", volume_share="0.5")))
    limit(made, '{"max_position": "150"}')
    trade(made, "100", at=START)
    child = buy_limit(100, "90")
    _, child_id = ids(send(made, buy_limit(100), child, kind="OTO"))
    trade(made, "98", 80)
    assert made.orders[child_id].qty == 40
    out = trade(made, "98", 200)
    assert held(made) == 100
    assert made.orders[child_id].qty == 40
    assert [each.code for each in of(out, RiskDecision)] == ["POSITION_LIMIT"]


def test_a_bracket_that_has_exited_opens_no_more() -> None:
    made = kernel(paper(FillModel("tick", volume_share="0.3")), order_memory=10**15)
    trade(made, "100")
    entry, _, _ = ids(send(made, *bracket(100), kind="BRACKET"))
    trade(made, "98", 100)
    trade(made, "111", 1_000)
    assert held(made) == 0
    assert made.orders[entry].status == "CANCELED"
    trade(made, "98", 1_000)
    assert held(made) == 0


@pytest.mark.parametrize("corrected", [None, 1])
def test_exits_follow_a_bust_or_a_correction_of_the_entry(corrected: int | None) -> None:
    venue = Venue()
    entry, target, stop = ids(send(venue.kernel, *bracket(10), kind="BRACKET"))
    venue.tell(OrderAccepted, entry)
    venue.fill(entry, "f1", 4)
    venue.fill(entry, "f2", 6)
    for each, limit, at in ((target, 11_000, None), (stop, None, 9_000)):
        venue.tell(OrderAccepted, each)
        venue.tell(OrderReplaced, each, 10, limit, at)
    if corrected is None:
        out = venue.tell(FillBusted, "f2", "an error")
    else:
        out = venue.tell(FillCorrected, "f2", "f2b", corrected, 10_000, 0)
    left = 4 + (corrected or 0)
    assert [(e.order_id, e.quantity) for e in of(out, SendReplace)] == [
        (target, left),
        (stop, left),
    ]
    if corrected is None:
        out = venue.tell(FillBusted, "f1", "an error")
        venue.tell(OrderReplaced, target, 4, 11_000, None)
        asked = [e.order_id for e in of(out, SendCancel)]
        assert asked == [target, stop]


def test_a_refused_cancel_of_a_member_is_asked_again_only_when_more_fills() -> None:
    venue = Venue()
    pair = buy_limit(10, "99"), buy_limit(10, "98")
    one, other = ids(send(venue.kernel, *pair, kind="OCO"))
    for each in (one, other):
        venue.tell(OrderAccepted, each)
    assert len(of(venue.fill(one, "f1", 4), SendCancel)) == 1
    assert of(venue.tell(OrderCancelRejected, other, "busy"), SendCancel) == []
    assert [e.order_id for e in of(venue.fill(one, "f2", 1), SendCancel)] == [other]


# --- times ----------------------------------------------------------------------------------------


def test_a_child_whose_time_is_over_before_it_is_sent_expires() -> None:
    made = kernel(paper("tick"))
    trade(made, "100", at=START)
    child = terms("SELL", 10, time_in_force="GTD", expire_at=START + 30 * SECOND)
    _, child_id = ids(send(made, buy_limit(10), child, kind="OTO"))
    out = made.step(Clock(START + 30 * SECOND))
    assert events(out, child_id) == ["EXPIRED"]
    trade(made, "98", at=START + 40 * SECOND)
    assert held(made) == 10


@pytest.mark.parametrize(
    "end", [{"time_in_force": "GTD", "expire_at": 30}, {"flat_by": 30}, {"flat_by": 40}]
)
def test_an_order_that_would_begin_after_its_end_is_denied(end: dict[str, Any]) -> None:
    made = kernel(paper("tick"))
    trade(made, "100", at=START)
    times: dict[str, Any] = {
        n: START + v * SECOND if isinstance(v, int) else v for n, v in end.items()
    }
    out = send(made, terms("BUY", 10, not_before=START + 40 * SECOND, **times))
    assert [each.event for each in of(out, OrderEvent)] == ["DENIED"]


def test_a_snapshot_of_before_has_no_timers_of_orders_that_wait() -> None:
    made = kernel(paper("tick"))
    trade(made, "100", at=START)
    child = terms("SELL", 10, time_in_force="GTD", expire_at=START + 30 * SECOND)
    _, child_id = ids(send(made, buy_limit(10), child, kind="OTO"))
    made._timers.heap[:] = [each for each in made._timers.heap if each[3] != child_id]
    again = kernel(paper("tick"))
    again.restore(made.snapshot())
    out = again.step(Clock(START + 30 * SECOND))
    assert events(out, child_id) == ["EXPIRED"]


def test_a_waiting_order_that_was_changed_is_counted_once() -> None:
    made = kernel(paper("tick"))
    limit(made, '{"max_position": "100"}')
    trade(made, "100", at=START)
    [order_id] = ids(send(made, buy_limit(50, not_before=START + 60 * SECOND)))
    made.step(Replace(made.now + 1, "r", "t", order_id, 80))
    assert made.accounts["ACC"].exposure("AAPL").open_buy == 0
    trade(made, "100", at=START + 61 * SECOND)
    assert made.orders[order_id].status == "ACCEPTED"
    assert made.accounts["ACC"].exposure("AAPL").open_buy == 80


# --- the paper broker -----------------------------------------------------------------------------


def test_a_reduce_only_order_fills_or_is_killed_as_a_whole() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    send(made, terms("BUY", 50))
    send(made, terms("SELL", 60, time_in_force="FOK", reduce_only=True))
    assert held(made) == 50
    send(made, terms("SELL", 50, time_in_force="FOK", reduce_only=True))
    assert held(made) == 0


@pytest.mark.parametrize("arrived", [True, False])
def test_no_order_meets_the_prices_after_a_split(arrived: bool) -> None:
    made = kernel(paper("tick", latency=5 * SECOND), order_memory=10**15)
    trade(made, "200", at=START)
    [order_id] = ids(send(made, buy_limit(10, "190"), at=START))
    if arrived:
        trade(made, "200", at=START + 10 * SECOND)
    made.step(SplitShares(made.now + 1, "AAPL", 2, 1))
    for at in (11, 30):
        assert of(trade(made, "100", at=START + at * SECOND), FillBooked) == []
    assert made.orders[order_id].status == ("CANCELED" if arrived else "REJECTED")


@pytest.mark.parametrize("limit", ["105", None])
def test_the_market_may_open_with_a_quote(limit: str | None) -> None:
    made = kernel(paper("tick"), specs=(specify("AAPL", calendar="XNYS"),))
    opens = START + 100 * SECOND
    made.step(DefineSessions(START, "XNYS", ((opens, opens + 500 * SECOND),)))
    trade(made, "100")
    kind = {"kind": "LIMIT", "limit_price": limit} if limit else {}
    send(made, terms("BUY", 10, **kind, time_in_force="AT_OPEN"))
    [filled] = of(made.step(Tick(opens + 5, "AAPL", None, 0, 10_090, 10_110)), FillBooked)
    assert filled.price == 10_110


@pytest.mark.parametrize("emulate", [False, True])
@pytest.mark.parametrize("kind", ["STOP", "STOP_LIMIT"])
def test_a_stop_that_is_moved_to_where_the_market_is_acts_at_once(kind: str, emulate: bool) -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    more = {"limit_price": "115"} if kind == "STOP_LIMIT" else {}
    [order_id] = ids(send(made, terms("BUY", 10, kind, stop_price="110", emulate=emulate, **more)))
    out = made.step(Replace(made.now + 1, "r", "t", order_id, None, None, 9_900))
    assert [each.price for each in of(out, FillBooked)] == [10_000]


def test_a_limit_that_is_moved_to_the_close_fills_at_this_close() -> None:
    made = kernel(paper("this_close"), bar_interval=0)
    bar(made, ["100"] * 4)
    [order_id] = ids(send(made, buy_limit(10, "90")))
    out = made.step(Replace(made.now + 1, "r", "t", order_id, None, 10_100))
    assert [each.price for each in of(out, FillBooked)] == [10_000]


def test_exits_are_sent_to_a_venue_once() -> None:
    venue = Venue()
    entry, target, stop = ids(send(venue.kernel, *bracket(10), kind="BRACKET"))
    out = venue.tell(OrderAccepted, entry) + venue.fill(entry, "f1", 10)
    assert [each.order_id for each in of(out, SendOrder)] == [target, stop]
