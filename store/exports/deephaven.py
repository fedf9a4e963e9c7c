"""The Deephaven column types of governed classes, by name; nothing of Deephaven is imported."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from store.governance.class_schema import GovernedField, governed
from store.governance.column_types import EnumOf, Scalar

_SCALARS = {
    str: "string",
    int: "long",
    float: "double",
    bool: "bool",
    Decimal: "double",
    datetime: "Instant",
    date: "LocalDate",
    UUID: "string",
}


def deephaven_types(cls: type) -> dict[str, str]:
    """The type of each field's Deephaven column, such as `{"price": "double"}`."""
    return {name: deephaven_type(field) for name, field in governed(cls).fields.items()}


def deephaven_type(field: GovernedField) -> str:
    """A column's `dh_type_override`, else by its type; what Deephaven lacks is JSON text."""
    if field.column.dh_type_override is not None:
        return field.column.dh_type_override
    if isinstance(field.type, Scalar):
        return _SCALARS[field.type.python]
    if isinstance(field.type, EnumOf):
        return _SCALARS[field.type.value_type]
    return "string"
