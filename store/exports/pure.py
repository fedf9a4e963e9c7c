"""Legend Pure: class and enumeration definitions of governed classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

from store.governance.annotations import record_types
from store.governance.checks import SCHEMA
from store.governance.class_schema import ClassSchema
from store.governance.column_types import (
    ColumnType,
    EnumOf,
    ListOf,
    Nullable,
    Record,
    Scalar,
)

_SCALARS = {
    str: "String",
    int: "Integer",
    float: "Float",
    bool: "Boolean",
    Decimal: "Decimal",
    datetime: "DateTime",
    date: "StrictDate",
    UUID: "String",
}
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def pure_model(classes: Iterable[type]) -> str:
    """The definitions of these classes and of the classes and enumerations they use, each once."""
    found: dict[type, str] = {}
    for cls in classes:
        _define(cls, found)
    return "\n".join(found.values())


def pure_class(cls: type) -> str:
    """The Pure definition of one class, without those that it uses."""
    lines = []
    for name, (kind, description, legend_type, nullable) in _properties(cls).items():
        doc = f"{{meta::pure::profiles::doc.doc = {_quoted(description)}}} " if description else ""
        type_text, many = legend_type or _type_name(kind), isinstance(kind, ListOf)
        count = "[*]" if many else "[0..1]" if nullable else "[1]"
        lines.append(f"  {doc}{_identifier(name)}: {type_text}{count};\n")
    described = cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}(")
    text = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    doc = f"{{meta::pure::profiles::doc.doc = {_quoted(text)}}} " if described else ""
    return f"Class {doc}{pure_path(cls)}\n{{\n{''.join(lines)}}}\n"


def pure_enum(enum: type[Enum]) -> str:
    """The Pure enumeration of an Enum class, by the names of its members."""
    members = ",\n".join(f"  {_identifier(member.name)}" for member in enum)
    return f"Enum {pure_path(enum)}\n{{\n{members}\n}}\n"


def pure_path(cls: type) -> str:
    """The path of a class in Pure: `store::models::Trade`."""
    parts = f"{cls.__module__}.{cls.__qualname__}".replace("<locals>.", "").split(".")
    return "::".join(map(_identifier, parts))


def _define(cls: type, found: dict[type, str]) -> None:
    if cls in found:
        return
    found[cls] = ""  # Its place: a class may use itself.
    for kind, *_ in _properties(cls).values():
        inner = kind
        while isinstance(inner, (ListOf, Nullable)):
            inner = inner.item if isinstance(inner, ListOf) else inner.inner
        if isinstance(inner, Record):
            _define(inner.python, found)
        elif isinstance(inner, EnumOf):
            found.setdefault(inner.python, pure_enum(inner.python))
    found[cls] = pure_class(cls)


def _properties(cls: type) -> dict[str, tuple[ColumnType, str, str | None, bool]]:
    """Type, description, `legend_type` and nullability of each field."""
    schema = vars(cls).get(SCHEMA)
    if isinstance(schema, ClassSchema):
        return {
            name: (field.type, field.column.description, field.column.legend_type, field.nullable)
            for name, field in schema.fields.items()
        }
    found: dict[str, tuple[ColumnType, str, str | None, bool]] = {}
    for name, kind in record_types(cls).items():
        nullable = isinstance(kind, Nullable)
        found[name] = (kind.inner if isinstance(kind, Nullable) else kind, "", None, nullable)
    return found


def _type_name(kind: ColumnType) -> str:
    match kind:
        case Scalar(python=python):
            return _SCALARS[python]
        case Record(python=python) | EnumOf(python=python):
            return pure_path(python)
        case Nullable(inner=inner):
            return _type_name(inner)
        case ListOf(item=item) if not isinstance(item, (ListOf, Nullable)):
            return _type_name(item)
    # Pure has no maps and no lists of lists: these are JSON text there.
    return "String"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _identifier(name: str) -> str:
    return name if _WORD.fullmatch(name) else _quoted(name)
