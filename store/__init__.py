"""A bi-temporal store of governed objects: every field is a column of the catalog.

from dataclasses import dataclass
from store import Storable

@dataclass
class Position(Storable):
    symbol: str = ""          # RegistryError if the catalog did not know it
    quantity: int = 0
"""

from store.base import Storable, upcaster
from store.columns import REGISTRY
from store.errors import (
    RegistryError,
    SerializationError,
    StoreError,
    ValidationError,
    Violation,
)
from store.governance.column import ColumnDef
from store.models import Order, Signal, Trade
from store.old_paths import register
from store.registry import ColumnRegistry

__all__ = [
    "REGISTRY",
    "ColumnDef",
    "ColumnRegistry",
    "Order",
    "RegistryError",
    "SerializationError",
    "Signal",
    "Storable",
    "StoreError",
    "Trade",
    "ValidationError",
    "Violation",
    "upcaster",
]

register()
