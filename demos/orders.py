"""A desk's orders: their lifecycle, the trade that a fill books, and settlement as a workflow."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from reactive import Field
from store.client import StoreClient
from store.models import Order, Trade
from store.state_machine import StateMachine, Transition
from workflow import WorkflowEngine
from workflow.dispatcher import WorkflowDispatcher

logger = logging.getLogger(__name__)

# How long clearing takes here; in the market it is a day.
SETTLEMENT_SECONDS = 3.0
# An order rests for a moment before the market takes it, or its trader gives up.
REST_SECONDS = 1.0
SHARE_CANCELLED = 0.15
LOTS = (100, 200, 300, 500)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the desk works with: its login to the store and the engine that runs its workflows."""

    client: StoreClient
    engine: WorkflowEngine


_desk: Desk | None = None


def open_desk(client: StoreClient, engine: WorkflowEngine) -> Desk:
    """Give orders their lifecycle, and settlements the desk that they work for.

    To be called before the engine is launched: it goes on at once with what a crash interrupted.
    """
    global _desk  # noqa: PLW0603 - a workflow that is resumed finds its desk by name alone
    _desk = Desk(client, engine)
    Order._state_machine = OrderLifecycle
    Order._workflow_engine = engine
    return _desk


def book_trade(order: Order, _from: str, _to: str) -> None:
    """Write the trade of a fill; in the transaction of the fill, so there is both or neither."""
    assert _desk is not None
    _desk.client.write(
        Trade(
            symbol=order.symbol,
            quantity=order.quantity,
            price=order.price,
            side=order.side,
            timestamp=datetime.now(timezone.utc),
        )
    )


def settle(entity_id: str) -> None:
    """Wait for clearing, then settle the order; survives the end of the process at any point."""
    assert _desk is not None
    engine, client = _desk.engine, _desk.client
    engine.sleep(SETTLEMENT_SECONDS)
    order = engine.step(client.read, Order, entity_id)
    WorkflowDispatcher(engine, client).durable_transition(order, "SETTLED")


class OrderLifecycle(StateMachine):
    """From resting in the market to settled, or cancelled."""

    initial = "PENDING"
    transitions = (
        Transition(
            "PENDING",
            "FILLED",
            guard=Field("quantity") > 0,
            action=book_trade,
            start_workflow=settle,
        ),
        Transition("PENDING", "CANCELLED"),
        Transition("FILLED", "SETTLED", guard=Field("price") > 0),
    )


class Trader:
    """Sends orders at the market's prices, and lets each be filled or cancelled a moment later."""

    def __init__(
        self,
        desk: Desk,
        prices: Callable[[], Mapping[str, float]],
        orders_per_second: float,
        seed: int | None = None,
    ) -> None:
        self._client = desk.client
        self._prices = prices
        self._interval = 1.0 / orders_per_second
        self._random = random.Random(seed)
        self._resting: deque[tuple[float, Order]] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trader", daemon=True)
        self.errors = 0

    def start(self) -> Trader:
        """Start trading on a thread of its own; returns itself."""
        self._thread.start()
        return self

    def stop(self, timeout: float = 10.0) -> None:
        """Stop sending orders; those that rest stay in the store as they are."""
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self._send()
                self._finish_old()
            except Exception:
                # One bad order must not end the trading day.
                logger.exception("an order failed")
                self.errors += 1

    def _send(self) -> None:
        prices = self._prices()
        if not prices:
            return
        symbol = self._random.choice(sorted(prices))
        order = Order(
            symbol=symbol,
            quantity=self._random.choice(LOTS),
            price=prices[symbol],
            side=self._random.choice(("BUY", "SELL")),
            order_type="LIMIT",
            timestamp=datetime.now(timezone.utc),
        )
        self._client.write(order)
        self._resting.append((time.monotonic() + REST_SECONDS, order))

    def _finish_old(self) -> None:
        while self._resting and self._resting[0][0] <= time.monotonic():
            _, order = self._resting.popleft()
            is_cancelled = self._random.random() < SHARE_CANCELLED
            self._client.transition(order, "CANCELLED" if is_cancelled else "FILLED")
