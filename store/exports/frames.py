"""pandas and Arrow: the schemas of governed classes, and their objects as tables.

Values of columns that the clearance does not cover are null (see `store.exports.masking`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pandas as pd
import pyarrow as pa

from store.exports.masking import masked
from store.governance.class_schema import GovernedField, field_types, governed
from store.governance.column_types import (
    AnyJson,
    ColumnType,
    DictOf,
    EnumOf,
    ListOf,
    Nullable,
    Record,
    Scalar,
)

# A Decimal column holds 20 digits before the point and 18 after it.
DECIMAL = pa.decimal128(38, 18)

_INT64 = range(-(2**63), 2**63)
# No field has a name that begins so.
ENTITY_ID = "_entity_id"

_ARROW: dict[type, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    Decimal: DECIMAL,
    datetime: pa.timestamp("us", tz="UTC"),
    date: pa.date32(),
    UUID: pa.string(),
}
_PANDAS: dict[type, str] = {
    str: "string",
    int: "Int64",
    float: "float64",
    bool: "boolean",
    datetime: "datetime64[us, UTC]",
}
_PANDAS_AGGREGATIONS = {"avg": "mean", "count_distinct": "nunique"}


def arrow_schema(cls: type) -> pa.Schema:
    """One Arrow field for each field of a class, with description, unit and role as metadata."""
    return pa.schema([_arrow_field(field) for field in governed(cls).fields.values()])


def to_arrow(cls: type, objects: Iterable[Any], clearance: str = "internal") -> pa.Table:
    """Objects of a class as an Arrow table, a row each.

    ValueError for a number beyond 64 bits or beyond the digits of `DECIMAL`.
    """
    rows = [masked(obj, clearance) for obj in objects]
    schema = arrow_schema(cls)
    columns = []
    for field, arrow in zip(governed(cls).fields.values(), schema, strict=True):
        values = [_arrow_value(field.type, row[field.name]) for row in rows]
        try:
            columns.append(pa.array(values, arrow.type))
        except (pa.ArrowException, OverflowError) as error:
            raise _unfit(cls, field.name, str(arrow.type), error) from None
    return pa.Table.from_arrays(columns, schema=schema)


def pandas_dtypes(cls: type) -> dict[str, str]:
    """The dtype of each field in `to_frame`; `object` for what pandas has no dtype for."""
    return {name: _dtype(field.type) for name, field in governed(cls).fields.items()}


def to_frame(cls: type, objects: Iterable[Any], clearance: str = "internal") -> pd.DataFrame:
    """Objects of a class as a DataFrame, a row each; times in UTC.

    ValueError for a number beyond 64 bits.
    """
    rows = [masked(obj, clearance) for obj in objects]
    columns = {}
    for name, dtype in pandas_dtypes(cls).items():
        values = [row[name] for row in rows]
        if dtype.startswith("datetime64"):
            values = [value and value.astimezone(timezone.utc) for value in values]
        if dtype == "Int64" and any(each is not None and each not in _INT64 for each in values):
            raise _unfit(cls, name, dtype, "it has more than 64 bits")
        columns[name] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(columns)


def _unfit(cls: type, name: str, kind: str, error: object) -> ValueError:
    return ValueError(
        f"{cls.__name__}.{name} as {kind}: {error}; leave objects with such a value out by a "
        "filter, or take their to_json(), which keeps every number"
    )


def entity_ids(objects: Iterable[Any]) -> pa.Array:
    """The ids of stored objects, in their order."""
    return pa.array([obj._store_entity_id for obj in objects], pa.string())


def summary(cls: type, frame: pd.DataFrame, by: str | Sequence[str]) -> pd.DataFrame:
    """The measures of a class by one or several of its fields, each by its own aggregation."""
    keys = [by] if isinstance(by, str) else list(by)
    wanted = {
        name: _PANDAS_AGGREGATIONS.get(how, how)
        for name, field in governed(cls).fields.items()
        if field.column.role == "measure" and name not in keys
        if (how := field.column.default_aggregation) != "none"
    }
    return frame.groupby(keys).agg(wanted)


def _arrow_field(field: GovernedField) -> pa.Field:
    column = field.column
    metadata = {"description": column.description, "role": column.role, "unit": column.unit}
    shown = {key: value for key, value in metadata.items() if value}
    return pa.field(field.name, _arrow_type(field.type), nullable=True, metadata=shown)


def _arrow_type(kind: ColumnType) -> pa.DataType:
    match kind:
        case Scalar(python=python):
            return _ARROW[python]
        case EnumOf():
            return _ARROW[kind.value_type]
        case ListOf(item=AnyJson()) | DictOf(value=AnyJson()):
            return pa.string()
        case ListOf(item=item):
            return pa.list_(_arrow_type(item))
        case DictOf(value=value):
            return pa.map_(pa.string(), _arrow_type(value))
        case Nullable(inner=inner):
            return _arrow_type(inner)
        case Record(python=record):
            return pa.struct(
                [(name, _arrow_type(part)) for name, part in field_types(record).items()]
            )
    return pa.string()


def _arrow_value(kind: ColumnType, value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case Scalar(python=python):
            # Arrow and pandas would drop the seconds of an offset.
            in_utc = value.astimezone(timezone.utc) if python is datetime else value
            return str(value) if python is UUID else in_utc
        case EnumOf():
            return value
        case ListOf(item=AnyJson()) | DictOf(value=AnyJson()):
            return json.dumps(value, ensure_ascii=False)
        case ListOf(item=item):
            return [_arrow_value(item, part) for part in value]
        case DictOf(value=inner):
            return [(key, _arrow_value(inner, part)) for key, part in value.items()]
        case Nullable(inner=inner):
            return _arrow_value(inner, value)
        case Record(python=record):
            kinds = field_types(record)
            return {name: _arrow_value(kinds[name], part) for name, part in value.items()}
    return json.dumps(value, ensure_ascii=False)


def _dtype(kind: ColumnType) -> str:
    if isinstance(kind, EnumOf):
        return _PANDAS[kind.value_type]
    return _PANDAS.get(kind.python, "object") if isinstance(kind, Scalar) else "object"
