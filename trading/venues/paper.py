"""The simulated broker as a venue outside the kernel: the same fills, told as a venue tells them.

    venue = PaperVenue(PaperBroker("tick"), account="ACC", instruments=[specify("AAPL")])
    venue.connect()
    venue.quote("AAPL", bid=22_824, ask=22_826, time=now)
    venue.submit(effect)

The kernel has its own `PaperBroker` for backtests and paper trading. This is for programs that are
written against `VenueBroker` and want to run without a venue. It remembers for as long as the
process lives.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from trading.brokers.paper import PaperBroker
from trading.errors import BrokerError
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.journal.reports import (
    BrokerReport,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRejected,
    OrderTriggered,
)
from trading.numbers import MONEY_DECIMALS
from trading.orders.order import Order
from trading.risk.account import Market
from trading.specification import InstrumentSpec
from trading.times import DAY
from trading.venues.protocol import (
    ConnectionChanged,
    ConnectionState,
    SequencedReport,
    VenueEvent,
    VenueOrder,
)
from trading.venues.repeats import Repeats
from trading.venues.validation import faults_of_order, faults_of_terms

__all__ = ["PaperVenue"]


class PaperVenue:
    """One account on a `PaperBroker`; `cash` is money by currency at the beginning.

    Whoever has market data gives it by `trade`, `quote` and `advance`, in units and nanoseconds;
    any thread may.
    """

    def __init__(
        self,
        broker: PaperBroker,
        *,
        account: str,
        instruments: Sequence[InstrumentSpec],
        cash: Mapping[str, int] | None = None,
        name: str = "paper",
    ) -> None:
        self._broker = broker
        self._account = account
        self._name = name
        self._market = Market(MONEY_DECIMALS)
        for spec in instruments:
            self._market.define(spec)
        broker.connect(self._market, self._take)
        self._lock = threading.RLock()
        self._state = ConnectionState.DISCONNECTED
        self._events: queue.SimpleQueue[VenueEvent] = queue.SimpleQueue()
        self._reports: list[SequencedReport] = []
        self._repeats = Repeats()
        self._orders: dict[str, VenueOrder] = {}
        self._expiries: dict[str, int] = {}
        self._cash = dict(cash or {})

    @property
    def name(self) -> str:
        """Name of the venue."""
        return self._name

    @property
    def account(self) -> str:
        """The account that is traded."""
        return self._account

    @property
    def state(self) -> ConnectionState:
        """State of the connection; there is nothing between us."""
        return self._state

    def connect(self, after: int = 0, epoch: int = 0) -> None:
        """Begin; reports after this sequence number come, also those of before."""
        with self._lock:
            if after > len(self._reports):
                raise BrokerError(
                    f"report {after} is said to be known, {self._name} has given "
                    f"{len(self._reports)}: it forgets everything when its process ends"
                )
            self._state = ConnectionState.CONNECTED
            # What waits for whoever was there before is among the reports.
            self._events = queue.SimpleQueue()
            self._events.put(ConnectionChanged(self._state))
            for each in self._reports[after:]:
                self._events.put(each)

    def wait_connected(self, timeout: float) -> None:
        """Return at once; BrokerError before `connect` and after `close`."""
        if self._state is not ConnectionState.CONNECTED:
            raise BrokerError(f"{self._name} is {self._state}; call connect")

    def close(self) -> None:
        """Take no more requests; orders stay."""
        self._state = ConnectionState.CLOSED

    # --- the market ---------------------------------------------------------------------------

    def trade(self, symbol: str, price: int, size: int, time: int) -> None:
        """Let the orders meet a trade."""
        with self._lock:
            self.advance(time)
            self._market.last[symbol] = price
            self._broker.on_trade(symbol, price, size, time)

    def quote(self, symbol: str, bid: int, ask: int, time: int) -> None:
        """Let the orders meet a quote."""
        with self._lock:
            self.advance(time)
            self._market.bid[symbol], self._market.ask[symbol] = bid, ask
            self._broker.on_quote(symbol, bid, ask, time)

    def advance(self, time: int) -> None:
        """Let time pass: requests arrive, orders expire."""
        with self._lock:
            now = max(time, self._broker.state.now)
            self._broker.advance(now)
            for order_id, due in list(self._expiries.items()):
                if due <= now:
                    del self._expiries[order_id]
                    self._broker.expire(order_id)

    # --- requests -----------------------------------------------------------------------------

    def submit(self, order: SendOrder, *, fresh: bool = False) -> None:
        """Send an order; a repeat is recognised, so that `fresh` makes no difference."""
        with self._lock:
            self._check(order.account, order.order_id)
            known = self._repeats.order(order)
            if known == "CONFLICT":
                self._events.put(self._repeats.refusal(order.order_id))
            if known:
                return
            now = self._broker.state.now
            spec = self._market.specs.get(order.symbol)
            fault = faults_of_order(order, spec, now)
            if fault or spec is None:
                self._orders[order.order_id] = _record(order, "REJECTED")
                self._take(OrderRejected(now, order.account, order.order_id, fault))
                return
            self._orders[order.order_id] = _record(order, "ACCEPTED")
            if order.expire_at is not None:
                self._expiries[order.order_id] = order.expire_at
            elif order.tif == "DAY":
                self._expiries[order.order_id] = (now // DAY + 1) * DAY
            self._broker.submit(_order(order, spec))

    def cancel(self, request: SendCancel) -> None:
        """Ask for an order's end."""
        with self._lock:
            self._check(request.account, request.order_id)
            if not self._repeats.request(request):
                self._broker.cancel(request.order_id)

    def replace(self, request: SendReplace) -> None:
        """Ask for other terms; the quantity includes what is filled."""
        with self._lock:
            self._check(request.account, request.order_id)
            if self._repeats.request(request):
                return
            order = self._repeats.orders.get(request.order_id)
            filled = 0 if order is None else self._orders[request.order_id].filled
            fault = ""
            if order is not None and request.quantity > filled:
                spec = self._market.specs[order.symbol]
                fault = faults_of_terms(order, spec, request.quantity, request.limit, request.stop)
            elif order is not None and not filled:
                fault = f"expected a size above 0, seen {request.quantity}"
            if fault:
                now = self._broker.state.now
                self._take(OrderReplaceRejected(now, self._account, request.order_id, fault))
                return
            self._broker.replace(request.order_id, request.quantity, request.limit, request.stop)

    def _check(self, account: str, order_id: str) -> None:
        if account != self._account:
            raise BrokerError(
                f"order {order_id} is of account {account}, this broker trades {self._account}"
            )
        if self._state is not ConnectionState.CONNECTED:
            raise BrokerError(f"order {order_id} cannot be sent, {self._name} is {self._state}")

    def poll(self, timeout: float = 0.0, limit: int = 1_000) -> list[VenueEvent]:
        """Return what has come in; wait up to `timeout` seconds for the first event."""
        found: list[VenueEvent] = []
        with suppress(queue.Empty):
            if timeout > 0:
                found.append(self._events.get(timeout=timeout))
            while len(found) < limit:
                found.append(self._events.get_nowait())
        return found

    # --- questions ----------------------------------------------------------------------------

    def open_orders(self, timeout: float = 10.0) -> Sequence[VenueOrder]:
        """Return the orders that work."""
        with self._lock:
            return [each for each in self._orders.values() if each.status in _OPEN]

    def find_order(self, order_id: str, timeout: float = 10.0) -> VenueOrder | None:
        """Return an order by its id, None when it never was here."""
        with self._lock:
            return self._orders.get(order_id)

    def positions(self, timeout: float = 10.0) -> dict[str, int]:
        """Return signed size by symbol, flat ones left out."""
        with self._lock:
            return {symbol: size for (_, symbol), size in self._broker.positions().items()}

    def cash(self, timeout: float = 10.0) -> dict[str, int]:
        """Return money by currency, in units of 10 ** -MONEY_DECIMALS."""
        with self._lock:
            return dict(self._cash)

    def executions_since(
        self, sequence: int, timeout: float = 10.0
    ) -> Sequence[tuple[int, OrderFilled]]:
        """Return the executions after a sequence number, with their own."""
        with self._lock:
            return [
                (each.sequence, each.report)
                for each in self._reports[max(sequence, 0) :]
                if isinstance(each.report, OrderFilled)
            ]

    # --- reports ------------------------------------------------------------------------------

    def _take(self, report: BrokerReport) -> None:
        """Number a report of the broker, and keep the order's state."""
        if not report.account and not isinstance(report, OrderFilled):
            # The broker does not know whose an unknown order was.
            report = msgspec.structs.replace(report, account=self._account)
        self._note(report)
        told = SequencedReport(len(self._reports) + 1, report)
        self._reports.append(told)
        self._events.put(told)

    def _note(self, report: BrokerReport) -> None:
        order = self._orders.get(getattr(report, "order_id", ""))
        if order is None:
            return
        changes: dict[str, object] = {}
        if isinstance(report, OrderFilled):
            filled = order.filled + report.quantity
            full = filled >= order.quantity
            changes = {
                "filled": filled,
                "fees": (order.fees or 0) + report.fees,
                "status": "FILLED" if full else "PARTIALLY_FILLED",
            }
            spec = self._market.specs[order.symbol]
            value = report.quantity * report.price * self._market.factors[order.symbol]
            self._cash[spec.currency] = (
                self._cash.get(spec.currency, 0) - value * order.side - report.fees
            )
        elif isinstance(report, OrderReplaced):
            changes = {
                "quantity": report.quantity,
                "limit": report.limit,
                "stop": report.stop,
            }
            if report.quantity == order.filled:
                changes["status"] = "FILLED"
        elif type(report) in _ENDS:
            changes = {"status": _ENDS[type(report)]}
        elif isinstance(report, OrderTriggered):
            changes = {"status": "TRIGGERED"}
        elif isinstance(report, OrderAccepted):
            changes = {"venue_id": report.venue_id}
        if changes:
            self._orders[order.order_id] = msgspec.structs.replace(order, **changes)


_OPEN = ("ACCEPTED", "TRIGGERED", "PARTIALLY_FILLED")
_ENDS: dict[type, str] = {
    OrderRejected: "REJECTED",
    OrderCanceled: "CANCELED",
    OrderExpired: "EXPIRED",
}


def _record(order: SendOrder, status: str) -> VenueOrder:
    return VenueOrder(
        order.order_id,
        order.symbol,
        order.side,
        order.kind,
        order.tif,
        order.quantity,
        0,
        status,
        order.limit,
        order.stop,
        "",
        0,
    )


def _order(order: SendOrder, spec: InstrumentSpec) -> Order:
    return Order(
        order.order_id,
        order.account,
        "",
        order.symbol,
        order.side,
        order.kind,
        order.tif,
        order.quantity,
        order.limit,
        order.stop,
        spec.price_decimals,
        spec.size_decimals,
        order.time,
        trail=order.trail,
        trail_bps=order.trail_bps,
        expire_at=order.expire_at,
        reduce_only=order.reduce_only,
        post_only=order.post_only,
    )
