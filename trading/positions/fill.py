"""Executions and the matches that are made of them, as people give and read them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from trading.errors import PositionError
from trading.numbers import to_decimal

__all__ = ["Fill", "OpenLot", "Rollup", "TradeMatch"]


class Fill(msgspec.Struct, frozen=True, gc=False):
    """One execution: `fees` in the instrument's currency, negative for a rebate.

    Quantity, price and fees are taken as int, float, str or Decimal and kept as Decimal.
    `timestamp` is a datetime, or nanoseconds since 1970 in UTC. `fill_id` is unique per account.
    """

    account: str
    strategy: str
    symbol: str
    order_id: str
    fill_id: str
    side: str
    quantity: Any
    price: Any
    fees: Any = Decimal(0)
    timestamp: datetime | int = 0

    def __post_init__(self) -> None:
        what = f"fill {self.fill_id}"
        for name in ("quantity", "price", "fees"):
            number = to_decimal(getattr(self, name), f"{what}: {name}")
            msgspec.structs.force_setattr(self, name, number)
        if self.side not in ("BUY", "SELL"):
            raise PositionError(f"{what}: side {self.side!r} is none of BUY SELL")
        if self.quantity <= 0:
            raise PositionError(f"{what}: expected a quantity above 0, seen {self.quantity}")


class TradeMatch(msgspec.Struct, frozen=True, gc=False):
    """A piece of one fill closed by a piece of another, with the fees of both in proportion.

    `realized_pnl` is before fees, `net_pnl` after them. `opened_at` and `timestamp` are those of
    the opening and the closing fill, in nanoseconds. `side` is that of the lot: LONG or SHORT.
    """

    match_id: str
    account: str
    strategy: str
    symbol: str
    side: str
    quantity: Decimal
    buy_order_id: str
    sell_order_id: str
    buy_fill_id: str
    sell_fill_id: str
    buy_price: Decimal
    sell_price: Decimal
    buy_fees: Decimal
    sell_fees: Decimal
    realized_pnl: Decimal
    currency: str
    opened_at: int
    timestamp: int

    @property
    def fees(self) -> Decimal:
        """Fees of both sides."""
        return self.buy_fees + self.sell_fees

    @property
    def net_pnl(self) -> Decimal:
        """Realized profit or loss after the fees of both sides."""
        return self.realized_pnl - self.fees


class OpenLot(msgspec.Struct, frozen=True, gc=False):
    """What is left of one opening fill; `quantity_open` is what it opened with."""

    lot_id: str
    account: str
    strategy: str
    symbol: str
    side: str
    quantity_open: Decimal
    quantity: Decimal
    price: Decimal
    fees: Decimal
    opened_at: int


class Rollup(msgspec.Struct, frozen=True, gc=False):
    """A position as a whole: signed quantity, average price of what is open, cost in money."""

    account: str
    strategy: str
    symbol: str
    side: str
    net_quantity: Decimal
    average_price: Decimal
    cost: Decimal
    realized_pnl: Decimal
    fees: Decimal
    currency: str
    updated_at: int
