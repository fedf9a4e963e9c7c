"""JSON Schema (draft 2020-12) of what a class writes and reads as JSON."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import MISSING
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from store.exports.masking import is_visible
from store.governance.annotations import annotated_fields, record_types
from store.governance.checks import SCHEMA
from store.governance.class_schema import ClassSchema, GovernedField
from store.governance.column import ColumnDef, limits_of
from store.governance.column_types import ColumnType, DictOf, EnumOf, ListOf, PerType, Scalar
from store.serialization.codec import json_text
from store.serialization.upcasting import VERSION_KEY, ZONE_KEY, upcasters_of

_SCALARS: dict[type, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Decimal: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    UUID: {"type": "string", "format": "uuid"},
}


def json_schema(cls: type) -> dict[str, Any]:
    """The schema of a governed class, dataclasses inside under `$defs`.

    What JSON Schema has no word for stands under `x-`: unit, synonyms, role, aggregation and so
    on. Examples of confidential columns are left out.
    """
    definitions: dict[type, dict[str, Any]] = {}
    schema = _record_schema(cls, definitions, top=cls)
    named = {_key(record): body for record, body in definitions.items() if record is not cls}
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return {**found, "$defs": named} if named else found


def _record_schema(cls: type, seen: dict[type, dict[str, Any]], top: type) -> dict[str, Any]:
    body: dict[str, Any] = {"title": cls.__name__, "type": "object"}
    seen[cls] = body
    schema = vars(cls).get(SCHEMA)
    if cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("):
        body["description"] = inspect.cleandoc(cls.__doc__)
    if isinstance(schema, ClassSchema):
        fields = schema.fields.values()
        properties = {field.name: _field_schema(field, seen, top) for field in fields}
        required = [field.name for field in fields if not field.may_be_missing]
    else:
        kinds = record_types(cls)
        properties = {name: _type_schema(kind, seen, top) for name, kind in kinds.items()}
        required = [field.name for field in annotated_fields(cls) if not field.has_default]
    version = len(upcasters_of(cls)) + 1
    if version > 1:
        properties = {VERSION_KEY: {"const": version}, **properties}
        required = [VERSION_KEY, *required]
    properties[ZONE_KEY] = {"type": "object", "description": "Zones of the times not in UTC"}
    body["properties"] = properties
    if required:
        body["required"] = required
    return body


def _field_schema(field: GovernedField, seen: dict[type, Any], top: type) -> dict[str, Any]:
    column = field.column
    values = {**_type_schema(field.type, seen, top), **_limits(column, field.type)}
    if field.nullable:
        values = _nullable(values)
    default = field.default
    described = {"title": field.title, "description": column.description, **_meanings(field)}
    if default is not MISSING and default is not None:
        described["default"] = json.loads(json_text(field.type, default))
        if any(not is_good(default) for is_good, _ in limits_of(column)):
            # What a field holds until somebody fills it in is valid too.
            values = {"anyOf": [values, {"const": described["default"]}]}
    return {**described, **values}


def _meanings(field: GovernedField) -> dict[str, Any]:
    column = field.column
    shown = is_visible(column, "internal")
    found = {
        "examples": [json.loads(json_text(column.type, each)) for each in column.sample_values]
        if shown
        else None,
        "deprecated": bool(column.deprecated),
        "x-column": column.name if field.prefix else None,
        "x-unit": column.unit,
        "x-synonyms": list(column.synonyms),
        "x-semantic-type": column.semantic_type,
        "x-role": column.role,
        "x-aggregation": column.default_aggregation,
        "x-format": column.format,
        "x-category": column.category,
        "x-sensitivity": column.sensitivity,
        "x-tags": list(column.tags),
    }
    return {key: value for key, value in found.items() if value}


def _limits(column: ColumnDef, kind: ColumnType) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if column.enum is not None and not isinstance(kind, EnumOf):
        found["enum"] = [json.loads(json_text(column.type, value)) for value in column.enum]
    numeric = isinstance(kind, Scalar) and kind.python in (int, float, Decimal)
    for name, keyword in (("min_value", "minimum"), ("max_value", "maximum")):
        limit = getattr(column, name)
        if limit is not None:
            text = json_text(column.type, Decimal(limit) if kind == Scalar(Decimal) else limit)
            found[keyword if numeric else f"x-{keyword}"] = json.loads(text)
    if column.max_length is not None:
        words = {ListOf: "maxItems", DictOf: "maxProperties"}
        found[words.get(type(kind), "maxLength")] = column.max_length
    if column.pattern is not None:
        anchored = column.pattern.startswith("^") and column.pattern.endswith("$")
        whole = anchored and "|" not in column.pattern
        found["pattern"] = column.pattern if whole else f"^(?:{column.pattern})$"
    return found


def _type_schema(kind: ColumnType, seen: dict[type, Any], top: type) -> dict[str, Any]:
    def reference(record: type) -> dict[str, Any]:
        if record not in seen:
            _record_schema(record, seen, top)
        return {"$ref": "#" if record is top else f"#/$defs/{_key(record)}"}

    schemas: PerType[dict[str, Any]] = PerType(
        scalar=lambda python: dict(_SCALARS[python]),
        enum=lambda enum: {"enum": [member.value for member in enum.python]},
        record=reference,
        list_of=lambda item: {"type": "array", "items": item},
        dict_of=lambda value: {"type": "object", "additionalProperties": value},
        nullable=_nullable,
        any_json={},
    )
    return schemas.of(kind)


def _key(record: type) -> str:
    return re.sub(r"\W+", ".", f"{record.__module__}.{record.__qualname__}")


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if not schema:
        return schema
    if "enum" in schema:
        schema = {**schema, "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return schema if "enum" in schema else {"anyOf": [schema, {"type": "null"}]}
