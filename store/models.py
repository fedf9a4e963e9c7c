"""The platform's own entities: trades, orders and signals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from store.base import Storable


@dataclass
class Trade(Storable):
    """An executed trade; `timestamp` is when the market executed it."""

    symbol: str = ""
    quantity: int = 0
    price: float = 0.0
    side: str = ""
    timestamp: datetime | None = None


@dataclass
class Order(Storable):
    """An instruction to trade; a market order has a price of zero."""

    symbol: str = ""
    quantity: int = 0
    price: float = 0.0
    side: str = ""
    order_type: str = ""
    status: str = ""
    timestamp: datetime | None = None


@dataclass
class Signal(Storable):
    """What a model expects of an instrument, from 0 (no opinion) to 1 in `strength`."""

    symbol: str = ""
    direction: str = ""
    strength: float = 0.0
    model_name: str = ""
    notes: str = ""
    timestamp: datetime | None = None
