"""What every `VenueBroker` must do, as tests: a test class of an adapter inherits `VenueContract`.

It gives a `venue` fixture: a `Venue` with one account, a market that others make, and a link that
can be cut.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol

from tests.processes import wait_until
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.journal.reports import (
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from trading.numbers import MONEY_DECIMALS
from trading.specification import InstrumentSpec
from trading.venues.protocol import (
    ConnectionChanged,
    ConnectionState,
    RequestRefused,
    SequencedReport,
    VenueBroker,
)

SECONDS = 30.0


class Venue(Protocol):
    """A venue under test, whatever it is."""

    account: str
    spec: InstrumentSpec
    # Prices are counted in increments from here, sizes in increments.
    middle: int

    def connected(self, after: int = 0) -> VenueBroker:
        """A broker that is connected and has told the reports after a number."""
        ...

    def leave(self, broker: VenueBroker) -> None:
        """End a broker as the end of its process would; the venue goes on."""
        ...

    def others_trade(self, side: int, price: int, size: int) -> None:
        """Somebody else buys (1) or sells (-1) at once, at this price or a better one."""
        ...

    def others_quote(self, bid: int, ask: int, size: int) -> None:
        """Others offer to buy and to sell."""
        ...

    def cut(self) -> None:
        """The link goes down and stays down."""
        ...

    def mend(self) -> None:
        """The link may come up again."""
        ...


class Desk:
    """A broker with what it has told."""

    def __init__(self, venue: Venue, broker: VenueBroker) -> None:
        self.venue = venue
        self.broker = broker
        self.told: list[SequencedReport] = []
        self.refused: list[RequestRefused] = []
        self.states: list[ConnectionState] = []
        self.listen()

    def listen(self, timeout: float = 0.0) -> None:
        for event in self.broker.poll(timeout):
            if isinstance(event, SequencedReport):
                self.told.append(event)
            elif isinstance(event, RequestRefused):
                self.refused.append(event)
            elif isinstance(event, ConnectionChanged):
                self.states.append(event.state)

    def reports(self, kind: type, order_id: str = "") -> list[Any]:
        found = [each.report for each in self.told if isinstance(each.report, kind)]
        return [each for each in found if not order_id or each.order_id == order_id]

    def until(self, condition: Callable[[], object], what: str) -> None:
        def heard() -> object:
            self.listen(0.02)
            return condition()

        wait_until(heard, SECONDS, what)

    def expect(self, kind: type, order_id: str, count: int = 1) -> list[Any]:
        self.until(lambda: len(self.reports(kind, order_id)) >= count, f"{count} {kind.__name__}")
        return self.reports(kind, order_id)

    def filled(self, order_id: str) -> int:
        return sum(each.quantity for each in self.reports(OrderFilled, order_id))


class VenueContract:
    """The contract; prices in increments from the middle, sizes in increments."""

    _names = itertools.count(1)

    def order(self, venue: Venue, side: int, price: int, size: int, **more: Any) -> SendOrder:
        spec = venue.spec
        return SendOrder(
            time.time_ns(),
            more.get("order_id") or f"acc.run-1.{next(self._names)}.0",
            venue.account,
            spec.symbol,
            side,
            size * spec.size_increment,
            "LIMIT",
            (venue.middle + price) * spec.price_increment,
            None,
            more.get("tif", "GTC"),
            None,
            False,
            more.get("post_only", False),
            None,
            None,
        )

    def test_an_order_rests_and_fills_in_parts(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        order = self.order(venue, 1, -2, 50)
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderAccepted, order.order_id)
        [resting] = desk.broker.open_orders()
        assert (resting.order_id, resting.status) == (order.order_id, "ACCEPTED")
        assert (resting.side, resting.quantity, resting.limit) == (1, order.quantity, order.limit)
        unit = venue.spec.size_increment
        venue.others_trade(-1, -2, 20)
        desk.until(lambda: desk.filled(order.order_id) == 20 * unit, "the first part")
        found = desk.broker.find_order(order.order_id)
        assert found is not None
        assert (found.status, found.filled) == ("PARTIALLY_FILLED", 20 * unit)
        venue.others_trade(-1, -2, 30)
        desk.until(lambda: desk.filled(order.order_id) == 50 * unit, "the rest")
        fills = desk.reports(OrderFilled, order.order_id)
        assert len({each.fill_id for each in fills}) == len(fills)
        assert {each.price for each in fills} == {order.limit}
        assert {(each.side, each.symbol) for each in fills} == {(1, venue.spec.symbol)}
        assert not desk.broker.open_orders()
        found = desk.broker.find_order(order.order_id)
        assert found is not None
        assert (found.status, found.filled) == ("FILLED", 50 * unit)

    def test_positions_and_cash_are_what_the_fills_say(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        spec = venue.spec
        held, money = desk.broker.positions(), desk.broker.cash()
        for side, size in ((1, 30), (-1, 10)):
            order = self.order(venue, side, 0, size)
            desk.broker.submit(order, fresh=True)
            desk.expect(OrderAccepted, order.order_id)
            venue.others_trade(-side, 0, size)
            desk.until(
                lambda order=order: desk.filled(order.order_id) == order.quantity,  # type: ignore[misc]
                "the fill",
            )
        change = sum(each.side * each.quantity for each in desk.reports(OrderFilled))
        assert change == 20 * spec.size_increment
        assert desk.broker.positions().get(spec.symbol, 0) - held.get(spec.symbol, 0) == change
        factor = spec.factor(MONEY_DECIMALS)
        paid = sum(
            each.side * each.quantity * each.price * factor + each.fees
            for each in desk.reports(OrderFilled)
        )
        after = desk.broker.cash()
        assert after[spec.currency] == money[spec.currency] - paid

    def test_a_repeated_order_is_taken_once(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        order = self.order(venue, 1, -3, 10)
        for _ in range(3):
            desk.broker.submit(order)
        desk.expect(OrderAccepted, order.order_id)
        assert len(desk.broker.open_orders()) == 1
        venue.others_trade(-1, -3, 10)
        desk.until(lambda: desk.filled(order.order_id) == order.quantity, "the fill")
        # After its end its id is still known.
        desk.broker.submit(order)
        marker = self.order(venue, 1, -9, 1)
        desk.broker.submit(marker)
        desk.expect(OrderAccepted, marker.order_id)
        assert [each.order_id for each in desk.broker.open_orders()] == [marker.order_id]
        assert len(desk.reports(OrderAccepted, order.order_id)) == 1
        assert desk.filled(order.order_id) == order.quantity

    def test_other_terms_under_a_known_id_are_refused(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        order = self.order(venue, 1, -3, 10)
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderAccepted, order.order_id)
        other = self.order(venue, 1, -3, 11, order_id=order.order_id)
        desk.broker.submit(other)
        desk.until(lambda: desk.refused, "the refusal")
        assert (desk.refused[0].order_id, desk.refused[0].code) == (order.order_id, "DUPLICATE_ID")
        [resting] = desk.broker.open_orders()
        assert (resting.quantity, resting.status) == (order.quantity, "ACCEPTED")

    def test_a_cancel_ends_an_order_and_a_second_one_is_rejected(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        order = self.order(venue, -1, 3, 10)
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderAccepted, order.order_id)
        request = SendCancel(time.time_ns(), order.order_id, venue.account)
        desk.broker.cancel(request)
        desk.broker.cancel(request)
        desk.expect(OrderCanceled, order.order_id)
        found = desk.broker.find_order(order.order_id)
        assert found is not None
        assert found.status == "CANCELED"
        desk.broker.cancel(SendCancel(time.time_ns(), order.order_id, venue.account))
        desk.expect(OrderCancelRejected, order.order_id)
        assert len(desk.reports(OrderCanceled, order.order_id)) == 1

    def test_a_cancel_of_an_unknown_order_is_rejected(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        desk.broker.cancel(SendCancel(time.time_ns(), "never.sent", venue.account))
        [report] = desk.expect(OrderCancelRejected, "never.sent")
        assert report.account == venue.account
        assert report.reason
        assert desk.broker.find_order("never.sent") is None

    def test_a_replace_counts_what_is_filled(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        unit = venue.spec.size_increment
        order = self.order(venue, 1, -4, 50)
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderAccepted, order.order_id)
        venue.others_trade(-1, -4, 20)
        desk.until(lambda: desk.filled(order.order_id) == 20 * unit, "the first part")
        price = (venue.middle - 3) * venue.spec.price_increment
        request = SendReplace(time.time_ns(), order.order_id, venue.account, 40 * unit, price, None)
        desk.broker.replace(request)
        desk.broker.replace(request)
        [report] = desk.expect(OrderReplaced, order.order_id)
        assert (report.quantity, report.limit, report.stop) == (40 * unit, price, None)
        [resting] = desk.broker.open_orders()
        assert resting.order_id == order.order_id
        assert (resting.quantity, resting.filled, resting.limit) == (40 * unit, 20 * unit, price)
        venue.others_trade(-1, -3, 20)
        desk.until(lambda: desk.filled(order.order_id) == 40 * unit, "the rest")
        found = desk.broker.find_order(order.order_id)
        assert found is not None
        assert (found.status, found.filled, found.quantity) == ("FILLED", 40 * unit, 40 * unit)
        assert len(desk.reports(OrderAccepted, order.order_id)) == 1
        assert not desk.reports(OrderCanceled, order.order_id)

    def test_an_order_that_is_none_is_rejected_with_a_reason(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        order = self.order(venue, 1, -3, 0)
        desk.broker.submit(order, fresh=True)
        [report] = desk.expect(OrderRejected, order.order_id)
        assert report.reason
        assert not desk.broker.open_orders()

    def test_what_an_ioc_order_cannot_fill_is_cancelled(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        venue.others_quote(-1, 1, 10)
        order = self.order(venue, 1, -3, 10, tif="IOC")
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderCanceled, order.order_id)
        assert not desk.broker.open_orders()
        taker = self.order(venue, 1, 1, 5, tif="IOC")
        desk.broker.submit(taker, fresh=True)
        desk.until(lambda: desk.filled(taker.order_id) == taker.quantity, "the fill")
        assert {each.maker for each in desk.reports(OrderFilled, taker.order_id)} == {False}

    def test_a_post_only_order_that_would_trade_is_rejected(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        venue.others_quote(-1, 1, 10)
        order = self.order(venue, 1, 1, 5, post_only=True)
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderRejected, order.order_id)
        assert not desk.reports(OrderFilled)

    def test_sequences_rise_and_executions_are_found_by_them(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        for size in (10, 11, 12):
            order = self.order(venue, 1, -1, size)
            desk.broker.submit(order, fresh=True)
            desk.expect(OrderAccepted, order.order_id)
            venue.others_trade(-1, -1, size)
            desk.until(
                lambda order=order: desk.filled(order.order_id) == order.quantity,  # type: ignore[misc]
                "the fill",
            )
        sequences = [each.sequence for each in desk.told]
        assert sequences == sorted(set(sequences))
        fills = [
            (each.sequence, each.report.fill_id)
            for each in desk.told
            if isinstance(each.report, OrderFilled)
        ]
        for after in (0, fills[0][0], fills[-1][0]):
            found = {each.fill_id for _, each in desk.broker.executions_since(after)}
            assert {fill_id for sequence, fill_id in fills if sequence > after} <= found
        # What was told before need not be told again, beyond the same moment.
        assert fills[0][1] not in {
            each.fill_id for _, each in desk.broker.executions_since(fills[-1][0])
        }

    def test_what_happened_meanwhile_is_told_afterwards(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        order = self.order(venue, 1, -2, 30)
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderAccepted, order.order_id)
        venue.others_trade(-1, -2, 10)
        desk.until(lambda: desk.filled(order.order_id) == 10 * venue.spec.size_increment, "a part")
        last = desk.told[-1].sequence
        venue.leave(desk.broker)
        venue.others_trade(-1, -2, 20)
        later = Desk(venue, venue.connected(after=last))
        known = {each.fill_id for each in desk.reports(OrderFilled)}

        def new() -> int:
            fills = later.reports(OrderFilled, order.order_id)
            return sum(each.quantity for each in fills if each.fill_id not in known)

        later.until(lambda: new() == 20 * venue.spec.size_increment, "the rest")
        assert all(each.sequence > last for each in later.told)
        # It may be given again under its id, by a process that does not know whether it was sent.
        later.broker.submit(order)
        marker = self.order(venue, 1, -9, 1)
        later.broker.submit(marker)
        later.expect(OrderAccepted, marker.order_id)
        assert [each.order_id for each in later.broker.open_orders()] == [marker.order_id]

    def test_requests_while_the_link_is_down_are_carried_out_once(self, venue: Venue) -> None:
        desk = Desk(venue, venue.connected())
        first = self.order(venue, 1, -5, 10)
        desk.broker.submit(first, fresh=True)
        desk.expect(OrderAccepted, first.order_id)
        venue.cut()
        orders = [self.order(venue, 1, -5 - number, 10) for number in range(3)]
        for order in orders:
            desk.broker.submit(order)
        desk.broker.cancel(SendCancel(time.time_ns(), first.order_id, venue.account))
        venue.mend()
        for order in orders:
            desk.expect(OrderAccepted, order.order_id)
        desk.expect(OrderCanceled, first.order_id)
        there = sorted(each.order_id for each in desk.broker.open_orders())
        assert there == sorted(order.order_id for order in orders)

    def test_states_of_the_connection_are_told(self, venue: Venue) -> None:
        broker = venue.connected()
        assert broker.state is ConnectionState.CONNECTED
        desk = Desk(venue, broker)
        assert ConnectionState.CONNECTED in desk.states
        assert broker.account == venue.account
        assert broker.name
        broker.close()
        assert broker.state is ConnectionState.CLOSED
