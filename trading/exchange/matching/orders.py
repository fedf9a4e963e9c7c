"""An order as the exchange has it, and as its account may see it."""

from __future__ import annotations

import msgspec

from trading.journal.outputs import SendOrder
from trading.venues.protocol import VenueOrder

__all__ = ["ExchangeOrder", "view"]

WAITING_KINDS = ("STOP", "STOP_LIMIT", "TRAILING_STOP")


class ExchangeOrder(msgspec.Struct, gc=False):
    """One order; prices and sizes in the instrument's units, `side` 1 or -1.

    `status` is a name of `OrderStatus`. `answer` is the sequence number of the report that answered
    the order, `answers` those of its cancels and replaces by their digest.
    """

    request: SendOrder
    venue_id: str
    quantity: int
    limit: int | None
    stop: int | None
    status: str = "ACCEPTED"
    filled: int = 0
    value: int = 0
    fees: int = 0
    triggered: bool = False
    # The best price since a trailing stop arrived.
    best: int | None = None
    # When it expires.
    expires: int | None = None
    resting: bool = False
    answer: int = 0
    answers: dict[bytes, int] = {}

    @property
    def order_id(self) -> str:
        """The id that its account gave it."""
        return self.request.order_id

    @property
    def account(self) -> str:
        """Whose order it is."""
        return self.request.account

    @property
    def symbol(self) -> str:
        """What it trades."""
        return self.request.symbol

    @property
    def side(self) -> int:
        """1 buys, -1 sells."""
        return self.request.side

    @property
    def leaves(self) -> int:
        """Size that may still fill."""
        return self.quantity - self.filled

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status in ("ACCEPTED", "TRIGGERED", "PARTIALLY_FILLED")

    @property
    def waits(self) -> bool:
        """Whether it waits for its stop price."""
        return not self.triggered and self.request.kind in WAITING_KINDS

    @property
    def for_auction(self) -> bool:
        """Whether it takes part in an auction only."""
        return self.request.tif in ("AT_OPEN", "AT_CLOSE")


def view(order: ExchangeOrder) -> VenueOrder:
    """Return an order as its account may see it."""
    request = order.request
    return VenueOrder(
        request.order_id,
        request.symbol,
        request.side,
        request.kind,
        request.tif,
        order.quantity,
        order.filled,
        order.status,
        order.limit,
        order.stop,
        order.venue_id,
        order.fees,
    )
