"""What the exchange keeps for each account: orders, positions, cash, and the number of reports."""

from __future__ import annotations

import msgspec

from trading.exchange.matching.orders import ExchangeOrder
from trading.journal.reports import BrokerReport
from trading.specification import InstrumentSpec

__all__ = ["ExchangeAccount", "NumberedReport", "Trade", "TradeSide"]

NumberedReport = tuple[str, int, BrokerReport]
"""Account, sequence number and report."""


class ExchangeAccount(msgspec.Struct, gc=False):
    """One account; sizes in units by symbol, cash in money by currency.

    `silent` accounts are the exchange's own makers, which hear no reports.
    """

    name: str
    silent: bool = False
    sequence: int = 0
    epoch: int = 0
    orders: dict[str, ExchangeOrder] = {}
    open: dict[str, ExchangeOrder] = {}
    positions: dict[str, int] = {}
    cash: dict[str, int] = {}
    # Answers to cancels and replaces of orders that were never here, by digest.
    strays: dict[bytes, int] = {}
    rejects: int = 0
    reject_reason: str = ""

    def settle(self, spec: InstrumentSpec, size: int, value: int, fees: int) -> None:
        """Move a signed size into the position, and pay its value and fees."""
        symbol, currency = spec.symbol, spec.currency
        self.positions[symbol] = self.positions.get(symbol, 0) + size
        self.cash[currency] = self.cash.get(currency, 0) - value - fees

    def reducible(self, order: ExchangeOrder, moved: int = 0) -> int:
        """Return how much an order may fill; a reduce-only one never opens or turns a position."""
        if not order.request.reduce_only:
            return order.leaves
        held = self.positions.get(order.symbol, 0) + moved
        return min(order.leaves, max(-held * order.side, 0))


class TradeSide(msgspec.Struct, array_like=True, gc=False):
    """One side of a trade; `fees` is money."""

    account: str
    order_id: str
    fill_id: str
    side: int
    fees: int
    maker: bool


class Trade(msgspec.Struct, array_like=True, gc=False):
    """A trade; `taker` is the side of who came last, 0 in an auction. A busted one has size 0."""

    number: int
    time: int
    symbol: str
    price: int
    size: int
    taker: int
    sides: tuple[TradeSide, TradeSide]
    corrections: int = 0
