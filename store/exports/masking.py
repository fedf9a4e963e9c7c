"""Who may see what: values of sensitive columns become None below their level."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from store.errors import RegistryError
from store.governance.checks import SCHEMA
from store.governance.class_schema import ClassSchema
from store.governance.column import SENSITIVITIES, ColumnDef


def is_visible(column: ColumnDef, clearance: str) -> bool:
    """Whether somebody with this clearance may see the values of a column.

    Clearances are the levels of `sensitivity`: public, internal, confidential, restricted.
    """
    if clearance not in SENSITIVITIES:
        levels = ", ".join(SENSITIVITIES)
        raise RegistryError(f"clearance must be one of {levels}, not {clearance!r}")
    return SENSITIVITIES.index(column.sensitivity) <= SENSITIVITIES.index(clearance)


def masked(value: Any, clearance: str = "internal") -> Any:
    """A value as plain Python data, what the clearance does not cover as None.

    Objects become dicts of their fields, enum members their values; lists and dicts are gone
    through.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [masked(item, clearance) for item in value]
    if isinstance(value, dict):
        return {key: masked(part, clearance) for key, part in value.items()}
    schema = vars(type(value)).get(SCHEMA)
    if isinstance(schema, ClassSchema):
        return {
            name: masked(getattr(value, name), clearance)
            if is_visible(field.column, clearance)
            else None
            for name, field in schema.fields.items()
        }
    if is_dataclass(value):
        return {f.name: masked(getattr(value, f.name), clearance) for f in fields(value)}
    return value
