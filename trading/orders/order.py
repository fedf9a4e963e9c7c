"""An order as it stands: what was asked for, where it is in its life, what it filled."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.numbers import from_units, optional_decimal
from trading.orders.status import OPEN, TERMINAL, OrderStatus

__all__ = ["Order"]


class Order(msgspec.Struct, array_like=True, gc=False):
    """One order; only the writer of its account changes it.

    The short names are whole numbers in the instrument's units (`qty`, `limit`, `stop`, `trail`);
    the long ones (`quantity`, `limit_price`, …) give the same as Decimal. `side` is 1 or -1.
    """

    order_id: str
    account: str
    strategy: str
    symbol: str
    side: int
    kind: str
    tif: str
    qty: int
    limit: int | None
    stop: int | None
    price_decimals: int
    size_decimals: int
    created: int
    status: OrderStatus = OrderStatus.INITIALIZED
    previous: OrderStatus = OrderStatus.INITIALIZED
    filled: int = 0
    # Sum of price times size of its fills: the average price without a division.
    value: int = 0
    fees: int = 0
    trail: int | None = None
    trail_bps: int | None = None
    expire_at: int | None = None
    reduce_only: bool = False
    post_only: bool = False
    emulate: bool = False
    triggered: bool = False
    # The broker has been asked to carry it out, and has said yes.
    sent: bool = False
    acknowledged: bool = False
    # A cancel that waits for the acknowledgement; a replace that was asked for and not answered.
    cancel_wanted: bool = False
    update_pending: bool = False
    venue_id: str = ""
    updated: int = 0
    group: str = ""
    role: str = ""
    parent: str = ""
    tag: str = ""
    # The kernel's own: resting size that the exposure of its account counts.
    counted: int = 0
    fill_ids: list[str] = []
    flat_by: int | None = None
    not_before: int | None = None
    # The terms of a replace that waits for its answer: quantity, limit, stop.
    wanted: tuple[int, int | None, int | None] | None = None

    @property
    def leaves(self) -> int:
        """Size that may still fill, in units; none of a finished order."""
        return 0 if self.status in TERMINAL else max(self.qty - self.filled, 0)

    @property
    def is_open(self) -> bool:
        """Whether the order may still fill."""
        return self.status in OPEN

    @property
    def side_name(self) -> str:
        """BUY or SELL."""
        return "BUY" if self.side > 0 else "SELL"

    @property
    def quantity(self) -> Decimal:
        """What was asked for."""
        return from_units(self.qty, self.size_decimals)

    @property
    def filled_quantity(self) -> Decimal:
        """What has filled, over what was asked for where the market overfilled it."""
        return from_units(self.filled, self.size_decimals)

    @property
    def leaves_quantity(self) -> Decimal:
        """What may still fill."""
        return from_units(self.leaves, self.size_decimals)

    @property
    def limit_price(self) -> Decimal | None:
        """Limit price, or None."""
        return optional_decimal(self.limit, self.price_decimals)

    @property
    def stop_price(self) -> Decimal | None:
        """Stop price, that of a trailing stop as it stands now, or None."""
        return optional_decimal(self.stop, self.price_decimals)

    @property
    def average_price(self) -> Decimal | None:
        """Average price of the fills to eight more decimals than a price has, or None."""
        if not self.filled:
            return None
        return from_units(self.value * 10**8 // self.filled, self.price_decimals + 8)
