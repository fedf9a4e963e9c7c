"""Orders through the kernel: states, groups, emulation, crossing reports, busts, splits."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.runs import (
    AAPL,
    MONEY,
    START,
    Flipper,
    bar,
    fold,
    journal,
    kernel,
    of,
    paper,
    send,
    terms,
    trade,
)
from trading.brokers import PaperBroker
from trading.errors import InvalidOrderRequest, InvariantError, JournalError, SettingsError
from trading.journal.inputs import (
    Bar,
    Cancel,
    CashDividend,
    Clock,
    DefineInstrument,
    OpenAccount,
    OrderTerms,
    Replace,
    SplitShares,
    Submit,
    Tick,
)
from trading.journal.outputs import (
    Alert,
    BarClosed,
    CommandAnswered,
    FillBooked,
    FillTakenBack,
    GroupChanged,
    OrderEvent,
    OrderOpened,
    PickerDecision,
    PositionChanged,
    SendCancel,
    SendOrder,
    SendReplace,
    SignalMade,
    StrategyStopped,
    TickLate,
)
from trading.journal.reports import (
    FillBusted,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRejected,
    OrderTriggered,
)
from trading.kernel import AcceptAll, Context, Kernel, Settings, TickColumns
from trading.orders import OrderRequest, OrderStatus
from trading.orders.build import open_order, terms_or_fault
from trading.risk import Market
from trading.specification import specify
from trading.times import SECOND, moment, nanoseconds


def statuses(outputs: list[Any]) -> list[str]:
    return [each.status for each in of(outputs, OrderEvent)]


class Desk:
    """A kernel whose broker is this test."""

    def __init__(self, **settings: Any) -> None:
        self.kernel = kernel(None, order_memory=10**15, bust_memory=10**15, **settings)
        trade(self.kernel, "100")
        self.fills = 0

    def tell(self, kind: type, order_id: str, *more: object) -> list[Any]:
        return self.kernel.step(kind(self.kernel.now + 1, "ACC", order_id, *more))

    def send(self, *orders: Any, kind: str = "ORDER") -> str:
        out = send(self.kernel, *orders, kind=kind)
        return of(out, SendOrder)[0].order_id

    def working(self, *orders: Any, kind: str = "ORDER") -> str:
        order_id = self.send(*orders, kind=kind)
        self.tell(OrderAccepted, order_id)
        return order_id

    def fill(self, order_id: str, quantity: int, price: int = 10_000, **more: Any) -> list[Any]:
        self.fills += 1
        fill_id = more.pop("fill_id", f"x{self.fills}")
        now = self.kernel.now + 1
        return self.kernel.step(
            OrderFilled(now, "ACC", order_id, fill_id, quantity, price, 0, now, **more)
        )

    def cancel(self, order_id: str) -> list[Any]:
        return self.kernel.step(Cancel(self.kernel.now + 1, "", "t", order_id))

    def replace(self, order_id: str, quantity: int) -> list[Any]:
        return self.kernel.step(Replace(self.kernel.now + 1, "", "t", order_id, quantity))

    def status(self, order_id: str) -> str:
        return self.kernel.orders[order_id].status.value


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_all_fourteen_states_are_reached_by_inputs() -> None:
    desk, seen = Desk(emulate=("STOP", "TRAILING_STOP")), set()

    def note(outputs: list[Any]) -> None:
        seen.update(statuses(outputs))
        seen.update(each.status for each in of(outputs, FillBooked))
        if of(outputs, OrderOpened):
            seen.add("INITIALIZED")

    note(send(desk.kernel, terms("BUY", 5, account="NOBODY")))
    note(send(desk.kernel, terms("SELL", 5, "STOP", stop_price="99")))
    note(trade(desk.kernel, "98"))
    one = desk.send(terms("BUY", 10, "STOP_LIMIT", stop_price="101", limit_price="102"))
    note(desk.tell(OrderAccepted, one))
    note(desk.tell(OrderTriggered, one))
    note(desk.fill(one, 4))
    note(desk.replace(one, 20))
    note(desk.cancel(one))
    note(desk.fill(one, 16))
    for kind, more in ((OrderRejected, ("no",)), (OrderCanceled, ()), (OrderExpired, ())):
        other = desk.working(terms("BUY", 1, "LIMIT", limit_price="90"))
        note(desk.tell(kind, other, *more))
    assert seen == {status.value for status in OrderStatus}


# --- cancels, replaces, late and contradicting reports --------------------------------------------


def test_a_cancel_waits_for_the_acknowledgement(desk: Desk) -> None:
    one = desk.send(terms("BUY", 10, "LIMIT", limit_price="99"))
    assert of(desk.cancel(one), SendCancel) == []
    assert desk.status(one) == "PENDING_CANCEL"
    out = desk.tell(OrderAccepted, one)
    assert statuses(out) == ["ACCEPTED", "PENDING_CANCEL"]
    assert len(of(out, SendCancel)) == 1
    assert of(desk.tell(OrderAccepted, one), SendCancel) == []
    assert of(desk.cancel(one), SendCancel) == []
    assert statuses(desk.tell(OrderCanceled, one)) == ["CANCELED"]


def stop_limit() -> OrderTerms:
    return terms("BUY", 10, "STOP_LIMIT", limit_price="102", stop_price="101")


def test_a_trigger_crosses_a_cancel(desk: Desk) -> None:
    one = desk.working(stop_limit())
    desk.cancel(one)
    assert desk.tell(OrderTriggered, one) == []
    assert desk.status(one) == "PENDING_CANCEL"
    assert desk.kernel.orders[one].triggered
    # The broker refuses the cancel: the order is what it became meanwhile.
    assert statuses(desk.tell(OrderCancelRejected, one, "too late")) == ["TRIGGERED"]
    desk.cancel(one)
    assert statuses(desk.tell(OrderCanceled, one)) == ["CANCELED"]


def test_a_trigger_crosses_a_replace_and_a_cancel_over_it(desk: Desk) -> None:
    one = desk.working(stop_limit())
    desk.replace(one, 20)
    assert statuses(desk.tell(OrderTriggered, one)) == ["TRIGGERED"]
    assert statuses(desk.tell(OrderReplaced, one, 20, 10_200, 10_100)) == ["TRIGGERED"]
    assert desk.kernel.orders[one].qty == 20
    other = desk.working(stop_limit())
    desk.replace(other, 20)
    desk.cancel(other)
    assert desk.tell(OrderTriggered, other) == []
    assert statuses(desk.tell(OrderCancelRejected, other, "no")) == ["PENDING_UPDATE"]
    assert statuses(desk.tell(OrderReplaceRejected, other, "no")) == ["TRIGGERED"]


def test_triggers_that_are_late_or_repeated_change_nothing(desk: Desk) -> None:
    one = desk.working(stop_limit())
    assert statuses(desk.tell(OrderTriggered, one)) == ["TRIGGERED"]
    assert desk.tell(OrderTriggered, one) == []
    other = desk.working(stop_limit())
    desk.fill(other, 3)
    desk.cancel(other)
    assert desk.tell(OrderTriggered, other) == []
    assert statuses(desk.tell(OrderCancelRejected, other, "no")) == ["PARTIALLY_FILLED"]
    assert desk.tell(OrderTriggered, other) == []
    # A trigger that the table does not have stays a contradiction.
    unacknowledged = desk.send(stop_limit())
    [alert] = of(desk.tell(OrderTriggered, unacknowledged), Alert)
    assert alert.code == "CONTRADICTION"


def test_refused_cancels_and_replaces_give_the_former_state_back(desk: Desk) -> None:
    one = desk.working(terms("BUY", 10, "LIMIT", limit_price="99"))
    desk.fill(one, 3)
    desk.cancel(one)
    assert statuses(desk.tell(OrderCancelRejected, one, "too late")) == ["PARTIALLY_FILLED"]
    desk.replace(one, 20)
    desk.fill(one, 2)
    assert desk.status(one) == "PENDING_UPDATE"
    assert statuses(desk.tell(OrderReplaceRejected, one, "no")) == ["PARTIALLY_FILLED"]
    assert desk.kernel.orders[one].qty == 10
    # A cancel over an open replace: refused, the replace is open again.
    desk.replace(one, 20)
    desk.cancel(one)
    assert statuses(desk.tell(OrderCancelRejected, one, "no")) == ["PENDING_UPDATE"]
    assert statuses(desk.tell(OrderReplaced, one, 20, 9_900, None)) == ["PARTIALLY_FILLED"]
    assert desk.kernel.orders[one].qty == 20


def test_a_replace_below_what_is_filled_is_a_replace_to_it(desk: Desk) -> None:
    one = desk.working(terms("BUY", 10, "LIMIT", limit_price="99"))
    desk.fill(one, 6)
    [sent] = of(desk.replace(one, 4), SendReplace)
    assert sent.quantity == 6
    out = desk.tell(OrderReplaced, one, 6, 9_900, None)
    assert statuses(out) == ["PARTIALLY_FILLED", "FILLED"]


def test_a_fill_after_the_cancel_is_booked(desk: Desk) -> None:
    one = desk.working(terms("BUY", 10, "LIMIT", limit_price="99"))
    desk.cancel(one)
    desk.tell(OrderCanceled, one)
    out = desk.fill(one, 4)
    [booked] = of(out, FillBooked)
    assert (booked.status, booked.note) == ("PARTIALLY_FILLED", "CROSSED")
    assert statuses(out) == ["CANCELED"]
    assert of(desk.fill(one, 6), FillBooked)[0].status == "FILLED"
    assert desk.kernel.accounts["ACC"].position("AAPL") == 10


def test_an_overfill_is_booked_and_alarmed(desk: Desk) -> None:
    one = desk.working(terms("BUY", 10))
    out = desk.fill(one, 13)
    assert of(out, FillBooked)[0].note == "OVERFILL"
    assert [a.code for a in of(out, Alert)] == ["OVERFILL"]
    assert desk.kernel.accounts["ACC"].position("AAPL") == 13


def test_repeats_contradictions_and_reports_out_of_order(desk: Desk) -> None:
    one = desk.send(terms("BUY", 10))
    desk.fill(one, 4, fill_id="same")  # before the acknowledgement
    assert of(desk.fill(one, 4, fill_id="same"), FillBooked) == []
    assert [a.code for a in of(desk.fill(one, 5, fill_id="same"), Alert)] == ["FILL_CONFLICT"]
    assert statuses(desk.tell(OrderAccepted, one)) == []
    assert desk.status(one) == "PARTIALLY_FILLED"
    out = desk.tell(OrderTriggered, one)
    assert [a.code for a in of(out, Alert)] == ["CONTRADICTION"]
    assert "PARTIALLY_FILLED" in of(out, Alert)[0].message
    desk.fill(one, 6)
    for kind, more in ((OrderExpired, ()), (OrderRejected, ("?",)), (OrderCanceled, ())):
        assert statuses(desk.tell(kind, one, *more)) == []
    assert [a.code for a in of(desk.tell(OrderAccepted, "who"), Alert)] == ["UNKNOWN_ORDER"]


def test_a_fill_of_an_unknown_order_is_not_lost(desk: Desk) -> None:
    out = desk.fill("manual-1", 7, side=-1, symbol="AAPL", strategy="desk")
    assert [a.code for a in of(out, Alert)] == ["UNKNOWN_ORDER"]
    assert of(out, FillBooked)[0].note == "UNKNOWN"
    assert desk.kernel.positions["ACC", "desk", "AAPL"].net == -7
    out = desk.fill("manual-2", 7)
    assert of(out, FillBooked) == []
    assert "name its symbol" in of(out, Alert)[0].message


def test_duplicates_are_known_after_a_restart_and_years(desk: Desk) -> None:
    one = desk.working(terms("BUY", 10))
    desk.fill(one, 10, fill_id="old")
    other = Desk()
    other.kernel.restore(desk.kernel.snapshot())
    years = 10 * 365 * 86_400 * SECOND
    other.kernel.step(Clock(other.kernel.now + years))
    assert of(other.fill(one, 10, fill_id="old"), FillBooked) == []
    assert other.kernel.accounts["ACC"].position("AAPL") == 10


# --- busts ----------------------------------------------------------------------------------------


def test_a_bust_takes_a_fill_out_of_orders_positions_and_matches(desk: Desk) -> None:
    one = desk.working(terms("BUY", 10))
    desk.fill(one, 4, 10_000, fill_id="b1")
    desk.fill(one, 3, 10_100, fill_id="b2")
    two = desk.working(terms("SELL", 5))
    desk.fill(two, 5, 10_300, fill_id="s1")
    assert desk.kernel.positions["ACC", "", "AAPL"].realized == (4 * 3 + 2) * MONEY
    out = desk.kernel.step(FillBusted(desk.kernel.now + 1, "ACC", "b1", "error"))
    assert of(out, FillTakenBack)[0].reversed is False
    position = desk.kernel.positions["ACC", "", "AAPL"]
    assert (position.net, position.realized) == (-2, 3 * 2 * MONEY)
    assert desk.kernel.orders[one].filled == 3
    assert desk.status(one) == "PARTIALLY_FILLED"
    out = desk.kernel.step(FillBusted(desk.kernel.now + 1, "ACC", "b2"))
    assert statuses(out) == ["ACCEPTED"]
    assert desk.kernel.step(FillBusted(desk.kernel.now + 1, "ACC", "b2")) == []
    out = desk.kernel.step(FillBusted(desk.kernel.now + 1, "ACC", "s1"))
    assert [a.code for a in of(out, Alert)] == ["BUSTED_AFTER_END"]
    assert desk.kernel.accounts["ACC"].cash["USD"] == 1_000_000 * MONEY


def test_the_memory_of_busts_is_bounded() -> None:
    made = kernel(paper("tick"), bust_memory=10)
    for _ in range(50):
        trade(made, "100")
        send(made, terms("BUY", 1))
    assert len(made.positions["ACC", "", "AAPL"].bookings) < 10
    assert len(made._desk.ledger.owners["ACC"]) == len(made.positions["ACC", "", "AAPL"].bookings)
    made.step(SplitShares(made.now, "AAPL", 2, 1))
    assert made._desk.ledger.owners["ACC"] == {}


def test_memory_is_bounded_by_a_number_too() -> None:
    made = kernel(paper("tick"), bust_memory=10**18, order_memory=10**18, memory_max=20)
    sizes = []
    for _ in range(100):
        trade(made, "100")
        send(made, terms("BUY", 1))
        sizes.append((len(made.orders), len(made.positions["ACC", "", "AAPL"].bookings)))
    assert max(orders for orders, _ in sizes) == 25
    assert max(fills for _, fills in sizes) == 26
    assert min(orders for orders, _ in sizes[30:]) == 20
    assert min(fills for _, fills in sizes[30:]) == 21
    assert made.positions["ACC", "", "AAPL"].net == 100
    assert {each.status for each in made.orders.values()} == {"FILLED"}


def test_a_bust_beyond_the_memory_is_booked_as_its_opposite() -> None:
    made = kernel(None)  # remembers no fills
    out = send(made, terms("BUY", 10))
    one = of(out, SendOrder)[0].order_id
    made.step(OrderFilled(made.now, "ACC", one, "b1", 10, 10_000, MONEY, made.now))
    bust = FillBusted(made.now, "ACC", "b1")
    assert [a.code for a in of(made.step(bust), Alert)] == ["UNKNOWN_FILL"]
    whole = FillBusted(made.now, "ACC", "b1", "late", one, "AAPL", "", 1, 10, 10_000, MONEY)
    assert of(made.step(whole), FillTakenBack)[0].reversed is True
    assert made.step(whole) == []
    position = made.positions["ACC", "", "AAPL"]
    assert (position.net, position.realized, position.fees) == (0, 0, 0)
    assert made.accounts["ACC"].cash["USD"] == 1_000_000 * MONEY


# --- groups ---------------------------------------------------------------------------------------


def bracket(size: int = 10) -> tuple[Any, ...]:
    exits = {"reduce_only": True}
    return (
        terms("BUY", size, "LIMIT", limit_price="100"),
        terms("SELL", size, "LIMIT", limit_price="105", **exits),
        terms("SELL", size, "STOP", stop_price="95", **exits),
    )


def exits_of(desk: Desk, entry: str) -> tuple[str, str]:
    orders = desk.kernel.orders.values()
    found = {o.role: o.order_id for o in orders if o.parent == entry}
    return found["TARGET"], found["STOP"]


def test_exits_follow_what_the_entry_fills(desk: Desk) -> None:
    entry = desk.working(*bracket(), kind="BRACKET")
    target, stop = exits_of(desk, entry)
    assert desk.status(target) == "INITIALIZED"
    out = desk.fill(entry, 4)
    assert [(s.order_id, s.quantity) for s in of(out, SendOrder)] == [(target, 4), (stop, 4)]
    for each in (target, stop):
        desk.tell(OrderAccepted, each)
    out = desk.fill(entry, 6)
    assert [(s.order_id, s.quantity) for s in of(out, SendReplace)] == [(target, 10), (stop, 10)]
    desk.tell(OrderReplaced, target, 10, 10_500, None)
    desk.tell(OrderReplaced, stop, 10, None, 9_500)
    # One exit's fill reduces the other by as much.
    out = desk.fill(target, 3)
    assert [(s.order_id, s.quantity) for s in of(out, SendReplace)] == [(stop, 7)]
    desk.tell(OrderReplaced, stop, 7, None, 9_500)
    out = desk.fill(target, 7)
    assert [s.order_id for s in of(out, SendCancel)] == [stop]
    out = desk.tell(OrderCanceled, stop)
    assert [g.state for g in of(out, GroupChanged)] == ["COMPLETED"]
    assert desk.kernel.accounts["ACC"].position("AAPL") == 0


def test_a_refused_replace_of_an_exit_is_asked_again_only_when_more_changes(desk: Desk) -> None:
    entry = desk.working(*bracket(), kind="BRACKET")
    target, stop = exits_of(desk, entry)
    desk.fill(entry, 10)
    for each in (target, stop):
        desk.tell(OrderAccepted, each)
    assert len(of(desk.fill(target, 3), SendReplace)) == 1
    assert of(desk.tell(OrderReplaceRejected, stop, "busy"), SendReplace) == []
    out = desk.fill(target, 1)
    assert [(s.order_id, s.quantity) for s in of(out, SendReplace)] == [(stop, 6)]


def test_cancelling_an_entry_cancels_what_rests(desk: Desk) -> None:
    entry = desk.working(*bracket(), kind="BRACKET")
    target, stop = exits_of(desk, entry)
    desk.cancel(entry)
    out = desk.tell(OrderCanceled, entry)
    assert {(e.order_id, e.status) for e in of(out, OrderEvent)} == {
        (entry, "CANCELED"),
        (target, "CANCELED"),
        (stop, "CANCELED"),
    }
    assert [g.state for g in of(out, GroupChanged)] == ["CANCELLED"]


def test_an_entry_cancelled_halfway_leaves_its_exits(desk: Desk) -> None:
    entry = desk.working(*bracket(), kind="BRACKET")
    target, stop = exits_of(desk, entry)
    desk.fill(entry, 4)
    desk.cancel(entry)
    desk.tell(OrderCanceled, entry)
    assert (desk.status(target), desk.status(stop)) == ("SUBMITTED", "SUBMITTED")
    assert desk.kernel.orders[stop].qty == 4


@pytest.mark.parametrize(
    ("entry", "target", "stop"), [("100", "99", "95"), ("100", "105", "101"), ("100", "95", "105")]
)
def test_brackets_the_wrong_way_round_are_refused(entry: str, target: str, stop: str) -> None:
    made = kernel(paper())
    trade(made, "100")
    orders = (
        terms("BUY", 1, "LIMIT", limit_price=entry),
        terms("SELL", 1, "LIMIT", limit_price=target, reduce_only=True),
        terms("SELL", 1, "STOP", stop_price=stop, reduce_only=True),
    )
    out = made.step(Submit(made.now, "b", "t", "BRACKET", orders))
    assert of(out, CommandAnswered)[0].code == "MALFORMED"
    assert of(out, OrderOpened) == []


def test_any_fill_of_one_cancels_the_other(desk: Desk) -> None:
    pair = (terms("BUY", 10, "LIMIT", limit_price="95"), terms("BUY", 10, "STOP", stop_price="105"))
    out = send(desk.kernel, *pair, kind="OCO")
    one, other = (s.order_id for s in of(out, SendOrder))
    for each in (one, other):
        desk.tell(OrderAccepted, each)
    assert [s.order_id for s in of(desk.fill(one, 1), SendCancel)] == [other]


@pytest.mark.parametrize(("kind", "after_part"), [("OTO", [4]), ("OTO_FULL", [])])
def test_a_child_is_sent_for_what_the_parent_filled(
    desk: Desk, kind: str, after_part: list[int]
) -> None:
    parent = desk.working(
        terms("BUY", 10, "LIMIT", limit_price="100"),
        terms("SELL", 10, "LIMIT", limit_price="110"),
        kind=kind,
    )
    assert [s.quantity for s in of(desk.fill(parent, 4), SendOrder)] == after_part
    out = desk.fill(parent, 6)
    if kind == "OTO_FULL":
        assert [s.quantity for s in of(out, SendOrder)] == [10]


def test_both_exits_never_close_more_than_the_position() -> None:
    for seed in range(30):
        made = kernel(paper("tick"))
        for event in journal(seed, 25):
            made.step(event)
            for order in made.orders.values():
                assert order.filled <= order.qty or order.role == ""


# --- emulation and times --------------------------------------------------------------------------


def test_emulated_stops_are_released_at_their_trigger() -> None:
    desk = Desk(emulate=("STOP", "STOP_LIMIT", "TRAILING_STOP"))
    made = desk.kernel
    out = send(made, terms("SELL", 10, "STOP_LIMIT", stop_price="98", limit_price="97.50"))
    assert statuses(out) == ["EMULATED"]
    assert of(trade(made, "98.01"), SendOrder) == []
    out = trade(made, "97.90")
    assert statuses(out) == ["RELEASED", "SUBMITTED"]
    [sent] = of(out, SendOrder)
    assert (sent.kind, sent.limit, sent.stop) == ("LIMIT", 9_750, None)
    send(made, terms("SELL", 10, "TRAILING_STOP", trail="1"))
    trade(made, "102")
    [order] = [o for o in made.orders.values() if o.status is OrderStatus.EMULATED]
    assert order.stop == 10_100
    [sent] = of(trade(made, "101"), SendOrder)
    assert (sent.kind, sent.quantity) == ("MARKET", 10)


def test_an_emulated_order_is_cancelled_and_changed_here() -> None:
    desk = Desk(emulate=("STOP",))
    out = send(desk.kernel, terms("SELL", 10, "STOP", stop_price="98"))
    order_id = of(out, OrderOpened)[0].order_id
    desk.kernel.step(Replace(desk.kernel.now, "", "t", order_id, 5, None, 9_500))
    assert of(trade(desk.kernel, "97"), SendOrder) == []
    assert statuses(desk.cancel(order_id)) == ["CANCELED"]
    assert of(trade(desk.kernel, "90"), SendOrder) == []


def test_an_order_with_a_time_is_changed_until_then_and_refused_after() -> None:
    desk = Desk()
    at = desk.kernel.now + 10 * SECOND
    gtd = {"limit_price": "99", "time_in_force": "GTD", "expire_at": at}
    order_id = desk.working(terms("BUY", 10, "LIMIT", **gtd))
    [sent] = of(desk.replace(order_id, 5), SendReplace)
    assert sent.order_id == order_id
    desk.tell(OrderReplaced, order_id, 5, 9_900, None)
    assert (desk.kernel.orders[order_id].qty, desk.status(order_id)) == (5, "ACCEPTED")
    for over in (at, at - 1):
        for more in (
            {"kind": "LIMIT", **gtd, "expire_at": over},
            {"time_in_force": "GTD", "expire_at": over},
            {"flat_by": over},
        ):
            out = send(desk.kernel, terms("BUY", 1, **more), at=at)
            [denied] = [each for each in of(out, OrderEvent) if each.status == "DENIED"]
            assert denied.detail == "MALFORMED"
            assert of(out, SendOrder) == []


def test_entry_not_before_and_flat_by_are_kept() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    early, late = made.now + 10 * SECOND, made.now + 20 * SECOND
    out = send(made, terms("BUY", 10, not_before=early, flat_by=late))
    assert of(out, FillBooked) == []
    assert [f.side for f in of(made.step(Clock(early)), FillBooked)] == [1]
    for memory in (0, 10**15):
        settled = kernel(paper("tick"), order_memory=memory)
        trade(settled, "100")
        send(settled, terms("BUY", 10, flat_by=late), at=settled.now)
        [closing] = of(settled.step(Clock(late)), FillBooked)
        assert (closing.side, closing.quantity, closing.executed) == (-1, 10, late)
        assert len(settled.orders) == (0 if memory == 0 else 2)


def test_timers_of_orders_that_ended_are_dropped() -> None:
    made = kernel(paper("tick"), check_invariants=False)
    trade(made, "100")
    sizes = []
    for number in range(12_000):
        far = made.now + 10**15 + number
        send(made, terms("BUY", 1, "LIMIT", limit_price="101", time_in_force="GTD", expire_at=far))
        if number % 3_000 == 2_999:
            sizes.append(len(made._timers.heap))
    assert max(sizes) <= 1_100
    # Those of orders that rest are kept, and fire.
    at = made.now + 10 * SECOND
    for _ in range(1_200):
        send(made, terms("BUY", 1, "LIMIT", limit_price="99", time_in_force="GTD", expire_at=at))
    for _ in range(2_000):
        send(made, terms("BUY", 1, "LIMIT", limit_price="101", time_in_force="GTD", expire_at=far))
    assert len(made.orders) == 1_200
    out = made.step(Clock(at))
    assert len([e for e in of(out, OrderEvent) if e.event == "EXPIRED"]) == 1_200
    assert not made.orders


# --- corporate actions, market data, strategies ---------------------------------------------------


def test_a_split_and_a_dividend_in_the_kernel() -> None:
    made = kernel(paper("tick", commission=None))
    trade(made, "400")
    send(made, terms("BUY", 10))
    rest = send(made, terms("SELL", 10, "LIMIT", limit_price="500"))
    out = made.step(SplitShares(made.now, "AAPL", 4, 1))
    position = made.positions["ACC", "", "AAPL"]
    assert (position.net, position.cost) == (40, 4000 * MONEY)
    assert "CANCELED" in statuses(out)
    assert of(rest, OrderOpened)
    assert made.market.last["AAPL"] == 10_000
    out = made.step(CashDividend(made.now, "AAPL", MONEY // 4))
    assert of(out, PositionChanged)[0].income == 10 * MONEY
    assert made.accounts["ACC"].equity(made.market) == (1_000_000 + 10) * MONEY
    trade(made, "101")
    send(made, terms("SELL", 40))
    assert made.positions["ACC", "", "AAPL"].realized == 40 * MONEY


def test_bars_of_ticks_close_by_the_clock_and_late_ticks_are_told() -> None:
    made = kernel(paper("tick"))
    start = START - START % (60 * SECOND) + 60 * SECOND
    for at, price in ((1, "100"), (20, "103"), (40, "99"), (59, "101")):
        trade(made, price, 10, at=start + at * SECOND)
    [closed] = of(made.step(Clock(start + 60 * SECOND)), BarClosed)
    found = closed.bar
    assert (found.open, found.high, found.low, found.close) == (10_000, 10_300, 9_900, 10_100)
    assert (found.volume, found.count, found.start) == (40, 4, start)
    late = Tick(start + 61 * SECOND, "AAPL", 10_500, 5, event_time=start + 30 * SECOND)
    [told] = of(made.step(late), TickLate)
    assert (told.bar_end, told.price) == (start + 60 * SECOND, 10_500)
    assert made.market.last["AAPL"] == 10_100


def test_inputs_that_are_none_change_nothing() -> None:
    made = kernel(paper("tick"))
    before = made.snapshot()
    for bad in (
        Tick(START, "TSLA", 1, 1),
        Bar(START, "TSLA", 1, 0, 1, 1, 1, 1, 1, 1),
        TickColumns(["TSLA"], [START], [0], [1], [1]),
        object(),
    ):
        with pytest.raises(JournalError):
            made.step(bad)  # type: ignore[arg-type]
    assert made.snapshot() == before
    for columns in (
        {"times": [2, 1]},
        {"codes": [0, 5]},
        {"prices": [1.5, 2.0]},
        {"sizes": [-1, 1]},
        {"sizes": [1]},
        {"bids": [1, 1]},
    ):
        fields: dict[str, Any] = {"symbols": ["AAPL"], "times": [1, 2], "codes": [0, 0]}
        fields |= {"prices": [1, 1], "sizes": [1, 1]}
        with pytest.raises(JournalError):
            TickColumns(**{**fields, **columns})


def test_an_instrument_keeps_its_decimals_and_an_account_opens_once() -> None:
    made = kernel(paper())
    finer = specify("AAPL", price_increment="0.001")
    assert of(made.step(DefineInstrument(START, finer)), Alert)[0].code == "INSTRUMENT_CHANGED"
    again = OpenAccount(START, "ACC", "USD", (("USD", 5),))
    assert of(made.step(again), Alert)[0].code == "ACCOUNT_EXISTS"
    assert made.accounts["ACC"].cash == {"USD": 1_000_000 * MONEY}


class Faulty(Flipper):
    def on_bar(self, ctx: Context, bar: Bar) -> None:
        if self.bars:
            raise ValueError(f"nothing left of {object()}")
        self.bars += 1


def test_a_strategy_that_raises_is_stopped_and_the_others_go_on() -> None:
    made = kernel(paper("this_close"), strategies=[Faulty("faulty"), Flipper()])
    for _ in range(3):
        out = bar(made, ("100", "101", "99", "100.50"))
        out += bar(made, ("100", "101", "99", "99.50"))
    assert list(made._host.stopped) == ["faulty"]
    assert "0x…" in made._host.stopped["faulty"]
    assert made.positions["ACC", "flipper", "AAPL"].net != 0
    assert [type(o) for o in out if isinstance(o, StrategyStopped)] == []


def test_signals_and_decisions_are_events() -> None:
    made = kernel(paper("this_close"), strategies=[Flipper()])
    out = bar(made, ("100", "101", "99", "100.50"))
    [signal], [decided] = of(out, SignalMade), of(out, PickerDecision)
    assert (signal.action, signal.size_hint, signal.strategy) == ("BUY", 30, "flipper")
    assert (decided.code, decided.signal_id, decided.quantity) == ("OK", signal.signal_id, 30)
    assert decided.order_id == of(out, OrderOpened)[0].order_id


class OnePlace(AcceptAll):
    """One signal at a time: its place is free again after two minutes, or when its order ends."""

    def __init__(self) -> None:
        self.due = 2**62
        self.taken = ""
        self.expired: list[int] = []

    def decide(self, signal: SignalMade, account: Any, now: int) -> tuple[str, int, str]:
        if self.taken:
            return "OPEN_LIMIT_EXCEEDED", 0, f"the place is taken by {self.taken}"
        self.taken, self.due = signal.symbol, now + 120 * SECOND
        return "OK", signal.size_hint // 2, ""

    def expire(self, now: int) -> tuple[str, ...]:
        self.expired.append(now)
        self.taken, self.due = "", 2**62
        return ()

    def dump(self) -> bytes:
        return f"{self.due}|{self.taken}".encode()

    def load(self, data: bytes) -> None:
        due, _, self.taken = data.decode().partition("|")
        self.due = int(due)


def picking(picker: OnePlace) -> Kernel:
    made = Kernel(Settings(), broker=paper("this_close"), strategies=[Flipper()], picker=picker)
    made.step(DefineInstrument(START, AAPL))
    made.step(OpenAccount(START, "ACC", "USD", (("USD", 10**16),)))
    return made


def test_a_picker_decides_and_its_times_are_kept() -> None:
    picker = OnePlace()
    made = picking(picker)
    out = bar(made, ("100", "101", "99", "100.50"))
    [first] = of(out, PickerDecision)
    assert (first.code, first.quantity, of(out, FillBooked)[0].quantity) == ("OK", 15, 15)
    taken_at = made.now
    [second] = of(bar(made, ("100", "101", "99", "99.50")), PickerDecision)
    assert (second.code, second.order_id) == ("OPEN_LIMIT_EXCEEDED", "")
    other = OnePlace()
    restored = picking(other)
    restored.restore(made.snapshot())
    for each in (made, restored):
        each.step(Clock(taken_at + 500 * SECOND))
    assert picker.expired == other.expired == [taken_at + 120 * SECOND]
    assert made.digest == restored.digest


def test_a_picker_that_keeps_what_is_due_is_told() -> None:
    picker = OnePlace()
    made = picking(picker)
    bar(made, ("100", "101", "99", "100.50"))
    picker.expire = lambda now: ()  # type: ignore[method-assign]
    with pytest.raises(SettingsError, match="expire must end it"):
        made.step(Clock(made.now + 500 * SECOND))


def test_two_strategies_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="one name"):
        Kernel(strategies=[Flipper(), Flipper()])


def test_a_fault_in_the_books_is_found_by_the_switch() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    send(made, terms("BUY", 10))
    made.positions["ACC", "", "AAPL"].lots[0].matched = 1
    with pytest.raises(InvariantError, match=r"lots hold 9"):
        trade(made, "101")


def test_finished_orders_are_forgotten_and_memory_stays_flat() -> None:
    # Without the digest's unfinished block, which holds up to 1,024 outputs.
    made = kernel(paper("tick"), check_invariants=False, digest=False)
    fold(made, journal(77, 150))
    small = len(made.snapshot())
    for _ in range(400):
        send(made, terms("BUY", 1, strategy="x"))
        send(made, terms("SELL", 1, strategy="x"))
    assert len(made.snapshot()) < small + 1_000


def test_a_paper_broker_alone_keeps_its_executions() -> None:
    market = Market(10)
    market.define(AAPL)
    market.last["AAPL"] = 10_000
    broker = PaperBroker("tick")
    broker._market = market
    broker.submit(open_order(terms("BUY", 10), AAPL, "o1", 1))
    broker.submit(open_order(terms("BUY", 10), AAPL, "o1", 1))
    [(sequence, report)] = broker.executions_since(0)
    assert (sequence, report.order_id, broker.positions()) == (1, "o1", {("ACC", "AAPL"): 10})
    assert broker.executions_since(1) == []


def test_an_order_shows_decimals(desk: Desk) -> None:
    one = desk.working(terms("SELL", 10, "STOP_LIMIT", stop_price="98.5", limit_price="98"))
    desk.tell(OrderTriggered, one)
    desk.fill(one, 3, 9_801)
    desk.fill(one, 4, 9_803)
    order = desk.kernel.orders[one]
    assert (order.side_name, order.quantity, order.filled_quantity) == ("SELL", 10, 7)
    assert (order.limit_price, order.stop_price) == (Decimal("98"), Decimal("98.5"))
    assert order.leaves_quantity == 3
    assert order.average_price == Decimal("98.0214285714")
    assert order.is_open
    assert Desk().kernel.orders == {}


def test_times_are_nanoseconds_and_need_a_zone() -> None:
    moment_ = datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=timezone.utc)
    count = nanoseconds(moment_)
    assert count == 1_772_366_400_123_457_000
    assert moment(count) == moment_
    early = OrderRequest("ACC", "AAPL", "BUY", 1, time_in_force="GTD", expire_at=moment_)
    assert terms_or_fault(early, AAPL).expire_at == count
    bare = OrderRequest(
        *("ACC", "AAPL", "BUY", 1), time_in_force="GTD", expire_at=moment_.replace(tzinfo=None)
    )
    assert "time zone" in terms_or_fault(bare, AAPL).fault


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "MARKET", "limit_price": 5},
        {"kind": "LIMIT", "limit_price": 5, "post_only": True, "time_in_force": "IOC"},
        {"kind": "STOP", "stop_price": 5, "time_in_force": "AT_OPEN"},
        {"kind": "MARKET", "post_only": True},
        {"kind": "TRAILING_STOP"},
        {"kind": "TRAILING_STOP", "trail": 1, "trail_bps": 5},
        {"kind": "LIMIT", "limit_price": 5, "trail": 1},
        {"kind": "STOP", "stop_price": 5, "expire_at": 7},
        {"kind": "ICEBERG"},
    ],
)
def test_requests_that_contradict_themselves(bad: dict[str, Any]) -> None:
    request = OrderRequest("ACC", "AAPL", "BUY", 1, **bad)
    with pytest.raises(InvalidOrderRequest):
        request.checked()
    assert terms_or_fault(request, AAPL).fault_code == "MALFORMED"
