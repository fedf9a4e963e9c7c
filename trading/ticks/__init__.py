"""Ticks: a store in PostgreSQL that keeps each once, and feeds that they come from.

with TickStore(server) as ticks:
    ticks.grant("alice", ["AAPL", "MSFT"])
    new = ticks.append(table)
    day = ticks.read(["AAPL"], "2026-02-20T00:00:00Z", "2026-02-21T00:00:00Z")
"""

from trading.errors import SequenceConflict, TickError, TickStoreError
from trading.ticks.bar_store import BarRecipe, BarStore, HeldBars
from trading.ticks.schema import bootstrap_ticks
from trading.ticks.store import Conflict, TickStatus, TickStore

__all__ = [
    "BarRecipe",
    "BarStore",
    "Conflict",
    "HeldBars",
    "SequenceConflict",
    "TickError",
    "TickStatus",
    "TickStore",
    "TickStoreError",
    "bootstrap_ticks",
]
