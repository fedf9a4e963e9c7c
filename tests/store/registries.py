"""Registries and columns that several tests use."""

from __future__ import annotations

from typing import Any

from store.governance.column import ColumnDef
from store.registry import ColumnRegistry

MEANING: dict[str, Any] = {"role": "attribute", "description": "something that a test looks at"}
MEASURE: dict[str, Any] = {"role": "measure", "description": "a number of a test", "unit": "USD"}


def column(name: str, python_type: Any, **metadata: Any) -> ColumnDef:
    return ColumnDef(name, python_type, **{**MEANING, **metadata})


def registry_of(**columns: Any) -> ColumnRegistry:
    """A registry of columns: a type each, or a dict of a type and metadata."""
    registry = ColumnRegistry()
    for name, given in columns.items():
        metadata = dict(given) if isinstance(given, dict) else {"python_type": given}
        registry.define(name, metadata.pop("python_type"), **{**MEANING, **metadata})
    return registry
