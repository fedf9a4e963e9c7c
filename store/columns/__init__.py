"""The catalog: every column that a field of the platform may use.

REGISTRY.find("ticker")           # [ColumnDef("symbol")]
REGISTRY.get("price").unit        # "USD"
REGISTRY.resolve("trader_name")   # (ColumnDef("name"), "trader")
"""

from store.columns import (
    bars,
    engine,
    events,
    finance,
    general,
    governance,
    market,
    risk,
    trading,
)
from store.registry import ColumnRegistry

__all__ = ["REGISTRY"]

REGISTRY = ColumnRegistry()
for _part in (trading, finance, risk, market, bars, engine, governance, general, events):
    _part.define_columns(REGISTRY)
