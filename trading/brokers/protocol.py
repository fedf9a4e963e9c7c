"""What a broker must offer, whether it is simulated or a venue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from trading.journal.reports import BrokerReport, OrderFilled
from trading.orders.order import Order

__all__ = ["Broker", "Sink"]

Sink = Callable[[BrokerReport], None]
"""Where a broker's reports go, in their order."""


class Broker(Protocol):
    """Takes orders by ids of ours, and tells what became of them by reports.

    Carrying out the same request again is harmless: the order id is the broker's key. Reports have
    a sequence of their own, which `executions_since` counts by.
    """

    def submit(self, order: Order) -> None:
        """Send an order."""
        ...

    def cancel(self, order_id: str) -> None:
        """Ask for an order's end."""
        ...

    def replace(self, order_id: str, quantity: int, limit: int | None, stop: int | None) -> None:
        """Ask for other terms; the quantity is the whole order's, what is filled included."""
        ...

    def open_orders(self) -> Sequence[str]:
        """Return the ids of the orders that work."""
        ...

    def positions(self) -> dict[tuple[str, str], int]:
        """Return signed size by account and symbol."""
        ...

    def executions_since(self, sequence: int) -> Sequence[tuple[int, OrderFilled]]:
        """Return executions after a sequence number, with their own."""
        ...
