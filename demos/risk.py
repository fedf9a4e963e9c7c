"""The desk's risk: a reactive graph that fills and prices drive, pushed straight into a table."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reactive import Field, Func, ReactiveGraph
from server.market.feed import TickBatch
from store.events import ChangeEvent
from store.models import Trade

# One standard deviation of a day's return, and how many of them a loss exceeds on one day in
# twenty: the score is a one-day value at risk at 95 %, of a normal distribution.
DAILY_VOLATILITY = 0.022
QUANTILE_95 = 1.645

MARKET_VALUE = Field("quantity") * Field("price")
PNL = Field("market_value") - Field("cost")
RISK_SCORE = Func("abs", [Field("market_value")]) * (DAILY_VOLATILITY * QUANTILE_95)

RISK_SCHEMA = {
    "Symbol": "string",
    "Quantity": "long",
    "Price": "double",
    "MarketValue": "double",
    "PnL": "double",
    "RiskScore": "double",
    "Timestamp": "Instant",
}


@dataclass
class Holding:
    """What the desk holds of a symbol: shares (negative when short), and dollars paid for them."""

    symbol: str
    quantity: int = 0
    cost: float = 0.0
    price: float | None = None


class RiskBook:
    """A holding for each symbol, whose risk is right after every fill and every tick.

    Each change writes a row of RISK_SCHEMA to `writer`, on the thread that made the change.
    """

    def __init__(self, symbols: Iterable[str], writer: Any) -> None:
        self.graph = ReactiveGraph()
        self._writer = writer
        self._nodes: dict[str, str] = {}
        self._holdings: dict[str, Holding] = {}
        for symbol in symbols:
            holding = self._holdings[symbol] = Holding(symbol)
            node = self._nodes[symbol] = self.graph.track(holding)
            self.graph.computed(node, "market_value", MARKET_VALUE)
            self.graph.computed(node, "pnl", PNL)
            self.graph.computed(node, "risk_score", RISK_SCORE)
            self.graph.node_effect(node, self._push)

    def take_prices(self, batch: TickBatch) -> None:
        """Carry the prices of a batch of ticks through the graph, as one update."""
        newest = dict(zip(batch.symbol, batch.price.tolist(), strict=True))
        self.graph.update_many("price", {self._nodes[s]: price for s, price in newest.items()})

    def take_fill(self, event: ChangeEvent) -> None:
        """Add the shares and the dollars of a trade; call it from one thread at a time."""
        trade = Trade.from_json(event.data or "{}")
        self.add(trade)

    def add(self, trade: Trade) -> None:
        """Add a trade to the holding of its symbol, as one update."""
        holding = self._holdings[trade.symbol]
        quantity = trade.quantity if trade.side == "BUY" else -trade.quantity
        self.graph.batch_update(
            self._nodes[trade.symbol],
            {
                "quantity": holding.quantity + quantity,
                "cost": holding.cost + quantity * trade.price,
            },
        )

    def prices(self) -> dict[str, float]:
        """The newest price of each symbol that has one."""
        return {s: h.price for s, h in self._holdings.items() if h.price is not None}

    def _push(self, node: str, _changed: dict[str, Any]) -> None:
        get = self.graph.get
        self._writer.write_row(
            get(node, "symbol"),
            get(node, "quantity"),
            get(node, "price"),
            get(node, "market_value"),
            get(node, "pnl"),
            get(node, "risk_score"),
            time.time_ns(),
        )
