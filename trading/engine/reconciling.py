"""Comparing an account's books with the broker's: what explains a difference, and what does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trading.engine.inbox import Item
from trading.engine.state import EngineState
from trading.errors import BrokerUnavailable
from trading.journal.inputs import Input
from trading.journal.outputs import SendOrder
from trading.journal.reports import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from trading.orders.order import Order
from trading.orders.status import PENDING, OrderStatus
from trading.venues.protocol import VenueBroker, VenueOrder

__all__ = ["RECONCILED", "BrokerBooks", "Comparison", "Reconciler", "ask", "compare"]

_AT_BROKER = frozenset(
    {
        OrderStatus.SUBMITTED,
        OrderStatus.ACCEPTED,
        OrderStatus.TRIGGERED,
        OrderStatus.PARTIALLY_FILLED,
        *PENDING,
    }
)
_ASK_S = 5.0
_PAUSE_S = 0.1
RECONCILED = "reconciled"
"""The note of what a comparison with the broker has booked."""


@dataclass(frozen=True)
class BrokerBooks:
    """What a broker has of an account: open orders by id, and signed sizes by symbol."""

    orders: dict[str, VenueOrder]
    positions: dict[str, int]


@dataclass
class Comparison:
    """Differences in words, and the inputs that explain some of them.

    `explained` are inputs that bring our books to the broker's; `fills_missing` says that the
    broker's executions have to be asked for; `differences` names both sides of everything.
    """

    differences: list[str] = field(default_factory=list)
    explained: list[Input] = field(default_factory=list)
    fills_missing: bool = False

    @property
    def agrees(self) -> bool:
        """Whether both sides have the same."""
        return not self.differences


def ask(broker: VenueBroker) -> BrokerBooks:
    """Ask a broker for its books; BrokerUnavailable where it does not answer."""
    orders = {each.order_id: each for each in broker.open_orders(_ASK_S)}
    return BrokerBooks(orders, {s: size for s, size in broker.positions(_ASK_S).items() if size})


def compare(state: EngineState, theirs: BrokerBooks, broker: VenueBroker, now: int) -> Comparison:
    """Compare the books of an engine with a broker's; finished orders are asked for one by one."""
    account, found = state.recipe.account, Comparison()
    mine = {
        each.order_id: each for each in state.kernel.orders.values() if each.status in _AT_BROKER
    }
    for order_id, order in mine.items():
        other = theirs.orders.get(order_id)
        if other is None:
            _compare_ended(state, order, broker.find_order(order_id, _ASK_S), now, found)
        else:
            _compare_open(state, order, other, now, found)
    for order_id, other in theirs.orders.items():
        if order_id not in mine:
            known = state.kernel.orders.get(order_id)
            here = "unknown here" if known is None else f"{known.status} here"
            found.differences.append(
                f"order {order_id} ({other.symbol}, {other.quantity}) is {other.status} at "
                f"{broker.name} and {here}"
            )
    held: dict[str, int] = {}
    for (name, _, symbol), position in state.kernel.positions.items():
        if name == account:
            held[symbol] = held.get(symbol, 0) + position.net
    for symbol in sorted({*held, *theirs.positions}):
        ours, size = held.get(symbol, 0), theirs.positions.get(symbol, 0)
        if ours != size:
            found.fills_missing = True
            found.differences.append(
                f"the position in {symbol} is {size} units at {broker.name} and {ours} here"
            )
    return found


def _compare_open(
    state: EngineState, order: Order, other: VenueOrder, now: int, found: Comparison
) -> None:
    account = state.recipe.account
    if other.filled != order.filled:
        found.fills_missing = True
        found.differences.append(
            f"order {order.order_id} has filled {other.filled} there and {order.filled} here"
        )
    if (other.symbol, other.side) != (order.symbol, order.side):
        found.differences.append(
            f"order {order.order_id} is of {other.symbol}, side {other.side}, there and of "
            f"{order.symbol}, side {order.side}, here"
        )
        return
    if not order.acknowledged and not order.filled:
        found.differences.append(f"order {order.order_id} is {other.status} there and not here")
        found.explained.append(OrderAccepted(now, account, order.order_id, other.venue_id))
    elif (other.quantity, other.limit) != (order.qty, order.limit) and not order.update_pending:
        found.differences.append(
            f"order {order.order_id} has quantity {other.quantity} and limit {other.limit} there, "
            f"{order.qty} and {order.limit} here"
        )
        found.explained.append(
            OrderReplaced(
                now, account, order.order_id, other.quantity, other.limit, other.stop or order.stop
            )
        )


def _compare_ended(
    state: EngineState, order: Order, other: VenueOrder | None, now: int, found: Comparison
) -> None:
    account, order_id = state.recipe.account, order.order_id
    if other is None:
        waits = any(isinstance(each, SendOrder) for each in state.pending.of(order_id))
        sent = "was sent again just now" if waits else "was acknowledged"
        found.differences.append(f"order {order_id} is {order.status} here ({sent}), unknown there")
        return
    found.differences.append(
        f"order {order_id} is {other.status} with {other.filled} filled there, {order.status} with "
        f"{order.filled} here"
    )
    if other.filled != order.filled:
        found.fills_missing = True
    elif other.status == "CANCELED":
        found.explained.append(OrderCanceled(now, account, order_id, "reconciled"))
    elif other.status == "EXPIRED":
        found.explained.append(OrderExpired(now, account, order_id))
    elif other.status == "REJECTED":
        found.explained.append(OrderRejected(now, account, order_id, "reconciled"))


class Books(Protocol):
    """The books of an account, as who writes them offers them for a comparison."""

    state: EngineState
    problem: str

    def commit(self, items: Sequence[Item]) -> None:
        """Book inputs."""
        ...

    def drain(self) -> bool:
        """Book what the broker has told; whether there was anything."""
        ...

    def keep_lease(self) -> None:
        """Renew the lease where it is time to."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait a little."""
        ...

    def halt(self, reason: str) -> None:
        """Halt the account."""
        ...


class Reconciler:
    """Compares books with a broker's until both agree, or halts the account.

    A difference may be one of messages on their way for `patience_s`. `since` is the last report
    that was known before the log-on.
    """

    def __init__(self, books: Books, broker: VenueBroker, patience_s: float, since: int) -> None:
        self._books = books
        self._broker = broker
        self._patience_s = patience_s
        self._since = since

    def run(self, goes_on: Callable[[], bool]) -> None:
        """Compare for as long as it goes on."""
        books, broker, patience = self._books, self._broker, self._patience_s
        patient_until = time.monotonic() + patience
        give_up = time.monotonic() + 10 * patience
        asked = False
        while goes_on():
            books.keep_lease()
            try:
                theirs = ask(broker)
                books.pause(_PAUSE_S / 2)
                came = books.drain()
                found = compare(books.state, theirs, broker, time.time_ns())
            except BrokerUnavailable as error:
                books.problem = str(error)
                continue
            books.problem = "; ".join(found.differences)
            if found.agrees:
                return
            now = time.monotonic()
            if came and now < give_up:
                patient_until = now + patience
                continue
            if now < patient_until:
                books.pause(_PAUSE_S)
                continue
            explained = [Item(each, note=RECONCILED) for each in found.explained]
            if found.fills_missing:
                explained += self._executions()
            if explained and not asked:
                asked, patient_until = True, now + patience
                books.commit(explained)
                continue
            books.halt(
                f"{broker.name} and this engine do not agree on account "
                f"{books.state.recipe.account}: {books.problem}"
            )
            return

    def _executions(self) -> list[Item]:
        """The executions that a broker has, the newest first asked for; those known here repeat."""
        found: list[tuple[int, OrderFilled]] = []
        try:
            # A missing one may be older than the newest report that is journaled.
            for after in (self._since, 0):
                found += self._broker.executions_since(after)
        except BrokerUnavailable as error:
            self._books.problem = str(error)
        return [Item(report, sequence, RECONCILED) for sequence, report in found]
