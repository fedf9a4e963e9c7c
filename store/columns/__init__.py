"""The catalog: every column that a field of the platform may use.

REGISTRY.find("ticker")           # [ColumnDef("symbol")]
REGISTRY.get("price").unit        # "USD"
REGISTRY.resolve("trader_name")   # (ColumnDef("name"), "trader")
"""

from store.columns import bars, events, finance, general, market, risk, trading
from store.registry import ColumnRegistry

__all__ = ["REGISTRY"]

REGISTRY = ColumnRegistry()
for _part in (trading, finance, risk, market, bars, general, events):
    _part.define_columns(REGISTRY)
