"""What the writer of orders works with: a venue, books, and a listener."""

from __future__ import annotations

from typing import Protocol

from trading.journal.reports import OrderFilled
from trading.orders.order import Order
from trading.positions.lots import Execution

__all__ = ["Books", "Listener", "Venue"]


class Venue(Protocol):
    """Carries out what the writer decides."""

    def send(self, order: Order) -> None:
        """Send an order to its broker."""
        ...

    def send_cancel(self, order: Order) -> None:
        """Ask the broker to end an order."""
        ...

    def send_replace(
        self, order: Order, quantity: int, limit: int | None, stop: int | None
    ) -> None:
        """Ask the broker for other terms."""
        ...


class Books(Protocol):
    """Books fills, and counts what open orders may still add."""

    def book_fill(self, account: str, strategy: str, symbol: str, execution: Execution) -> None:
        """Book an execution into positions and cash."""
        ...

    def book_back(
        self, account: str, before: Execution, corrected: Execution | None, reason: str
    ) -> None:
        """Take an execution back, or put another in its place, and match later ones anew."""
        ...

    def book_reverse(
        self, account: str, strategy: str, symbol: str, before: Execution, reason: str
    ) -> None:
        """Book the opposite of an execution that is too long ago to be matched anew."""
        ...

    def find_execution(self, account: str, fill_id: str) -> Execution | None:
        """Return a booked execution that can still be taken back, or None."""
        ...

    def knows(self, account: str, symbol: str) -> bool:
        """Whether there are such an account and instrument."""
        ...

    def count(self, order: Order, change: int) -> None:
        """Add to the size that open orders of this side may still trade."""
        ...


class Listener(Protocol):
    """Hears of what happened to an order, after the books have it."""

    def order_moved(self, order: Order) -> None:
        """Hear of an event that was no fill."""
        ...

    def order_filled(self, order: Order, report: OrderFilled) -> None:
        """Hear of a fill."""
        ...
