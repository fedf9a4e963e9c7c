"""Governance: columns and their types, and the classes whose fields they are.

column = ColumnDef("price", float, role="measure", unit="USD", description="Price of a unit")
schema = build_schema(Trade, registry)
schema.violations(trade)

`store.registry.ColumnRegistry` and `store.columns.REGISTRY` are the way for programs.
"""

from store.governance.class_schema import (
    ClassSchema,
    GovernedField,
    build_schema,
    governed,
    schema_of,
)
from store.governance.column import ColumnDef
from store.governance.column_types import ColumnType, parse_type

__all__ = [
    "ClassSchema",
    "ColumnDef",
    "ColumnType",
    "GovernedField",
    "build_schema",
    "governed",
    "parse_type",
    "schema_of",
]
