"""The kernel against a model in fractions: reports of a broker in any order, repeated and late.

After every step positions, lots, cash, fees, realized and unrealized P&L are computed anew from all
executions that count, unit by unit, and compared; the kernel checks its own invariants as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.trading.naive_book import NaiveBook, NaiveFill
from tests.trading.runs import AAPL, MONEY, kernel, of, send, terms, trade
from trading.journal.inputs import Cancel, CancelAll, Replace
from trading.journal.outputs import (
    Alert,
    FillBooked,
    MatchMade,
    MatchVoided,
    OrderEvent,
    Output,
    SendCancel,
    SendOrder,
    SendReplace,
)
from trading.journal.reports import (
    FillBusted,
    FillCorrected,
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
from trading.orders import EDGES, OrderStatus
from trading.orders.status import TERMINAL

DAY = 86_400 * 10**9


@dataclass
class Booked:
    """An execution that counts."""

    fill_id: str
    order_id: str
    strategy: str
    side: int
    quantity: int
    price: int
    fees: int


class AgainstFractions(RuleBasedStateMachine):
    """Sends orders of two strategies and answers for the broker."""

    @initialize()
    def begin(self) -> None:
        self.kernel = kernel(None, bust_memory=DAY, order_memory=DAY)
        self.booked: list[Booked] = []
        self.reports: list[OrderFilled] = []
        self.order_ids: list[str] = []
        self.sent: set[str] = set()
        self.cancels: set[str] = set()
        self.matches: dict[tuple[str, str], MatchMade] = {}
        self.alerts: list[Alert] = []
        self.number = 0
        self.price = 10_000
        trade(self.kernel, "100")

    def hear(self, outputs: list[Output]) -> None:
        for each in outputs:
            if isinstance(each, SendOrder):
                assert each.order_id not in self.sent, "an order is sent once"
                self.sent.add(each.order_id)
            elif isinstance(each, SendCancel):
                assert each.order_id in self.sent
                self.cancels.add(each.order_id)
            elif isinstance(each, SendReplace):
                order = self.kernel.orders[each.order_id]
                assert each.quantity >= order.filled
            elif isinstance(each, MatchMade):
                self.matches[each.close_fill_id, each.open_fill_id] = each
            elif isinstance(each, MatchVoided):
                voided = self.matches.pop((each.close_fill_id, each.open_fill_id))
                assert voided.realized == each.realized
            elif isinstance(each, Alert):
                self.alerts.append(each)
            elif isinstance(each, OrderEvent):
                assert OrderStatus(each.status)

    def tell(self, kind: type, order_id: str, *more: object) -> None:
        self.hear(self.kernel.step(kind(self.kernel.now + 1, "ACC", order_id, *more)))

    # --- ours -------------------------------------------------------------------------------------

    @rule(
        side=st.sampled_from(["BUY", "SELL"]),
        size=st.integers(1, 20),
        strategy=st.sampled_from(["a", "b"]),
        kind=st.sampled_from(["MARKET", "LIMIT", "STOP_LIMIT"]),
    )
    def submit(self, side: str, size: int, strategy: str, kind: str) -> None:
        price = {} if kind == "MARKET" else {"limit_price": "100"}
        if kind == "STOP_LIMIT":
            price["stop_price"] = "100"
        out = send(self.kernel, terms(side, size, kind, strategy=strategy, **price))
        self.hear(out)
        self.order_ids.append(of(out, SendOrder)[0].order_id)

    @rule(size=st.integers(1, 12), side=st.sampled_from(["BUY", "SELL"]))
    def submit_bracket(self, size: int, side: str) -> None:
        other = "SELL" if side == "BUY" else "BUY"
        up, down = ("105", "95") if side == "BUY" else ("95", "105")
        out = send(
            self.kernel,
            terms(side, size, "LIMIT", limit_price="100", strategy="a"),
            terms(other, size, "LIMIT", limit_price=up, strategy="a", reduce_only=True),
            terms(other, size, "STOP", stop_price=down, strategy="a", reduce_only=True),
            kind="BRACKET",
        )
        self.hear(out)
        self.order_ids.append(of(out, SendOrder)[0].order_id)

    def any_order(self, data: st.DataObject) -> str:
        # Exits of brackets as well, once they are sent.
        return data.draw(st.sampled_from(sorted(self.sent)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        order_id = self.any_order(data)
        self.hear(self.kernel.step(Cancel(self.kernel.now + 1, "", "t", order_id)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), size=st.integers(1, 30))
    def replace(self, data: st.DataObject, size: int) -> None:
        order_id = self.any_order(data)
        self.hear(self.kernel.step(Replace(self.kernel.now + 1, "", "t", order_id, size)))

    @rule()
    def cancel_all(self) -> None:
        self.hear(self.kernel.step(CancelAll(self.kernel.now + 1, "", "t", "ACC")))
        for order in self.kernel.orders.values():
            assert order.status in TERMINAL or order.status is OrderStatus.PENDING_CANCEL

    @rule(price=st.integers(5_000, 15_000))
    def price_with_a_gap(self, price: int) -> None:
        self.price = price
        self.hear(trade(self.kernel, AAPL.price(price)))

    # --- the broker's -----------------------------------------------------------------------------

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), kind=st.sampled_from([OrderAccepted, OrderExpired, OrderTriggered]))
    def say(self, data: st.DataObject, kind: type) -> None:
        self.tell(kind, self.any_order(data))

    @precondition(lambda self: self.sent)
    @rule(
        data=st.data(),
        kind=st.sampled_from(
            [OrderRejected, OrderCanceled, OrderCancelRejected, OrderReplaceRejected]
        ),
    )
    def say_why(self, data: st.DataObject, kind: type) -> None:
        order_id = self.any_order(data)
        before = self.kernel.orders[order_id]
        filled, status = before.filled, before.status
        self.tell(kind, order_id, "because")
        after = self.kernel.orders[order_id]
        assert after.filled == filled
        if status in TERMINAL:
            assert after.status is status

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), size=st.integers(1, 30))
    def say_replaced(self, data: st.DataObject, size: int) -> None:
        order_id = self.any_order(data)
        order = self.kernel.orders[order_id]
        self.tell(OrderReplaced, order_id, size, order.limit, order.stop)
        if order.status not in TERMINAL:
            assert order.qty == max(size, order.filled)

    @precondition(lambda self: self.sent)
    @rule(
        data=st.data(),
        size=st.integers(1, 25),
        cents=st.integers(9_000, 11_000),
        fees=st.integers(-3, 200),
    )
    def fill(self, data: st.DataObject, size: int, cents: int, fees: int) -> None:
        """In any state: late ones, crossing ones and overfills are booked as well."""
        order_id = self.any_order(data)
        order = self.kernel.orders[order_id]
        self.number += 1
        report = OrderFilled(
            *(self.kernel.now + 1, "ACC", order_id, f"x{self.number}", size, cents),
            *(fees * MONEY // 100, self.kernel.now + 1),
        )
        before, status = order.filled, order.status
        out = self.kernel.step(report)
        self.hear(out)
        [booked] = [f for f in of(out, FillBooked) if f.fill_id == report.fill_id]
        assert booked.filled == before + size
        if before + size > order.qty:
            assert self.alerts[-1].code == "OVERFILL" or booked.note == "OVERFILL"
        elif status in TERMINAL and status is not OrderStatus.CANCELED:
            assert (booked.note, order.status) == ("LATE", status)
        self.reports.append(report)
        self.booked.append(
            Booked(report.fill_id, order_id, order.strategy, order.side, size, cents, report.fees)
        )

    @precondition(lambda self: self.reports)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        report = data.draw(st.sampled_from(self.reports))
        assert of(self.kernel.step(report), FillBooked) == []

    @precondition(lambda self: self.reports)
    @rule(data=st.data())
    def contradict(self, data: st.DataObject) -> None:
        known = data.draw(st.sampled_from(self.reports))
        report = OrderFilled(
            *(self.kernel.now + 1, "ACC", known.order_id, known.fill_id, known.quantity + 1),
            *(known.price, known.fees, known.executed),
        )
        out = self.kernel.step(report)
        assert [a.code for a in of(out, Alert)] == ["FILL_CONFLICT"]
        assert of(out, FillBooked) == []

    @precondition(lambda self: self.booked)
    @rule(data=st.data())
    def bust(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.booked))
        report = FillBusted(self.kernel.now + 1, "ACC", gone.fill_id, "error trade")
        self.hear(self.kernel.step(report))
        self.booked.remove(gone)
        # Said again it changes nothing.
        assert of(self.kernel.step(report), FillBooked) == []

    @precondition(lambda self: self.booked)
    @rule(data=st.data(), size=st.integers(1, 20), cents=st.integers(9_000, 11_000))
    def correct(self, data: st.DataObject, size: int, cents: int) -> None:
        at = data.draw(st.integers(0, len(self.booked) - 1))
        old = self.booked[at]
        self.number += 1
        name = f"x{self.number}"
        self.hear(
            self.kernel.step(
                FillCorrected(self.kernel.now + 1, "ACC", old.fill_id, name, size, cents, 0)
            )
        )
        self.booked[at] = Booked(name, old.order_id, old.strategy, old.side, size, cents, 0)

    # --- after every step -------------------------------------------------------------------------

    @invariant()
    def books_are_the_models(self) -> None:
        if not hasattr(self, "kernel"):
            return
        made, total = self.kernel, Fraction(0)
        cash = Fraction(1_000_000)
        pieces = {}
        for strategy in ("a", "b"):
            model = NaiveBook()
            for each in self.booked:
                if each.strategy == strategy:
                    price, fees = Fraction(each.price, 100), Fraction(each.fees, MONEY)
                    model.apply(NaiveFill(each.fill_id, each.side, each.quantity, price, fees))
            for piece in model.pieces:
                pieces[piece.closing, piece.opening] = piece.realized
            position = made.positions.get(("ACC", strategy, "AAPL"))
            if position is not None:
                assert position.net == model.net
                assert Fraction(position.realized, MONEY) == model.realized
                assert Fraction(position.fees, MONEY) == model.fees
                market = Fraction(self.price, 100)
                assert Fraction(position.unrealized(self.price), MONEY) == model.unrealized(market)
            cash += model.cash - model.fees
            total += model.net
        account = made.accounts["ACC"]
        assert Fraction(account.cash["USD"], MONEY) == cash
        assert account.position("AAPL") == total
        assert {k: Fraction(m.realized, MONEY) for k, m in self.matches.items()} == pieces

    @invariant()
    def orders_filled_what_was_booked(self) -> None:
        if not hasattr(self, "kernel"):
            return
        for order in self.kernel.orders.values():
            mine = [each for each in self.booked if each.order_id == order.order_id]
            assert order.filled == sum(each.quantity for each in mine)
            assert order.value == sum(each.quantity * each.price for each in mine)
            assert order.fees == sum(each.fees for each in mine)
            if order.order_id in self.cancels:
                assert order.acknowledged
            if order.status is OrderStatus.PENDING_UPDATE:
                assert order.update_pending


AgainstFractions.TestCase.settings = settings(stateful_step_count=40)
TestKernelIsTheModel = AgainstFractions.TestCase


def reachable() -> dict[OrderStatus, list[str]]:
    """The events that lead to every state, breadth first."""
    paths: dict[OrderStatus, list[str]] = {OrderStatus.INITIALIZED: []}
    queue = [OrderStatus.INITIALIZED]
    while queue:
        state = queue.pop(0)
        for event, to in EDGES[state].items():
            if to in OrderStatus.__members__ and OrderStatus(to) not in paths:
                paths[OrderStatus(to)] = [*paths[state], event]
                queue.append(OrderStatus(to))
    return paths


PATHS = reachable()


@pytest.mark.parametrize("state", list(OrderStatus), ids=str)
def test_the_writer_takes_every_edge_and_no_other(state: OrderStatus) -> None:
    from trading.errors import InvalidOrderEvent
    from trading.orders import EVENTS
    from trading.orders.build import open_order

    assert state in PATHS
    for event in EVENTS:
        made = kernel(None)
        writer = made._desk.writer
        order = open_order(terms("BUY", 5), AAPL, "o-1", 1)
        writer.add(order)
        for step in PATHS[state]:
            writer.event(order, step)
        assert order.status is state
        before = order.previous
        if event in EDGES[state]:
            writer.event(order, event)
            to = EDGES[state][event]
            wanted = {"stay": state, "back": before}.get(to) or OrderStatus(to)
            assert order.status is wanted
        else:
            with pytest.raises(InvalidOrderEvent, match=f"order o-1 is {state}"):
                writer.event(order, event)
            assert order.status is state
