"""The book of positions and its risk at each tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from server.market.feed import NULL_DOUBLE, TickBatch
from server.risk_engine import DEFAULT_MONEYNESS, Greeks, option_greeks


@dataclass(frozen=True, slots=True)
class Position:
    """A holding in one symbol.

    Attributes:
        quantity: shares, negative when short.
        entry_price: average price paid, in dollars.
    """

    quantity: int
    entry_price: float


class Book:
    """Positions with the option model that their Greeks are taken from.

    The Greeks of a position are those of three-month European calls on its shares, struck
    5 % above the session's reference price: `quantity` × the Greek of one option, so that they
    add up over the book.

    Args:
        positions: holding of each symbol that the feed ticks.
    """

    def __init__(self, positions: Mapping[str, Position]) -> None:
        self.positions = dict(positions)
        held = self.positions.values()
        self._row = {symbol: row for row, symbol in enumerate(self.positions)}
        self._quantity = np.array([p.quantity for p in held], dtype=np.int64)
        self._entry = np.array([p.entry_price for p in held], dtype=np.float64)

    def risk_columns(self, batch: TickBatch) -> tuple[npt.NDArray[Any], ...]:
        """Return the columns of the risk tables for the ticks of a batch, in their order.

        Symbol, Position (shares), MarketValue and UnrealizedPnL (dollars), Delta (shares),
        Gamma (shares a dollar), Theta (dollars a year), Vega (dollars for 1.00 of
        volatility), Timestamp (nanoseconds since the epoch).
        """
        rows = np.fromiter((self._row[s] for s in batch.symbol), dtype=np.intp, count=len(batch))
        quantity = self._quantity[rows]
        # The model knows no negative prices: the Greeks of such positions are null.
        known = (batch.price >= 0) & (batch.reference > 0)
        greeks = [np.full(len(batch), NULL_DOUBLE) for _ in Greeks._fields]
        of_one = option_greeks(batch.price[known], DEFAULT_MONEYNESS * batch.reference[known])
        for column, values in zip(greeks, of_one, strict=True):
            column[known] = quantity[known] * values
        return (
            batch.symbol,
            quantity,
            quantity * batch.price,
            quantity * (batch.price - self._entry[rows]),
            *greeks,
            batch.timestamp_ns,
        )
