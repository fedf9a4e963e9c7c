"""The types of expressions, and where the types of fields come from."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeAlias, Union

from reactive.errors import ExpressionValueError


class Type(enum.Enum):
    """What an expression gives; every one of them may also be null."""

    ANY = "any"
    """A field of undeclared type: whoever reads it decides."""
    NULL = "null"
    BOOL = "bool"
    INT = "int"
    """Exact, without bound."""
    FLOAT = "float"
    """A double."""
    DECIMAL = "decimal"
    """Exact."""
    STR = "str"
    DATE = "date"
    DATETIME = "datetime"
    """An instant: a datetime with a time zone."""
    JSON = "json"
    """What two fields of undeclared type are compared as; no expression gives it."""

    # That of Enum is Python, and types are looked up at every step.
    __hash__ = object.__hash__

    @property
    def words(self) -> str:
        """How messages name it."""
        return _WORDS[self]


_WORDS = {
    Type.ANY: "a field of undeclared type",
    Type.NULL: "null",
    Type.BOOL: "a boolean",
    Type.INT: "a whole number (int)",
    Type.FLOAT: "a number (float)",
    Type.DECIMAL: "a number (Decimal)",
    Type.STR: "text",
    Type.DATE: "a date",
    Type.DATETIME: "a datetime with a time zone",
    Type.JSON: "a value of JSON (a number, text, a boolean, a list or a dict)",
}

NUMERIC = frozenset({Type.INT, Type.FLOAT, Type.DECIMAL})
TEMPORAL = frozenset({Type.DATE, Type.DATETIME})
ORDERED = NUMERIC | TEMPORAL | {Type.STR}
UNDECIDED = frozenset({Type.ANY, Type.NULL})

_PYTHON: dict[Any, Type] = {
    bool: Type.BOOL,
    int: Type.INT,
    float: Type.FLOAT,
    Decimal: Type.DECIMAL,
    str: Type.STR,
    date: Type.DATE,
    datetime: Type.DATETIME,
}
_NAMES = {declared.value: declared for declared in _PYTHON.values()}


def common_type(types_: typing.Iterable[Type]) -> Type | None:
    """Return the one type that all of these can be read as, or None where there is none.

    An undeclared field takes the type of the others; next to a whole number it is a double.
    """
    given = set(types_)
    concrete = given - UNDECIDED
    if not concrete:
        return Type.ANY if Type.ANY in given else Type.NULL
    if concrete <= NUMERIC:
        if Type.FLOAT in concrete:
            return Type.FLOAT
        if Type.DECIMAL in concrete:
            return Type.DECIMAL
        return Type.FLOAT if Type.ANY in given else Type.INT
    return concrete.pop() if len(concrete) == 1 else None


def decided(type_: Type, default: Type = Type.FLOAT) -> Type:
    """Return the type that operands are read as: what is known of it, or the default."""
    return default if type_ in UNDECIDED else type_


class Column(Protocol):
    """What is known of a column: the Python type of its values."""

    @property
    def python_type(self) -> Any: ...  # noqa: D102


class ColumnTypes(Protocol):
    """A catalogue of columns, such as the store's registry."""

    def has(self, name: str, /) -> bool: ...  # noqa: D102

    def resolve(self, name: str, /) -> tuple[Column, Any]: ...  # noqa: D102


FieldTypes: TypeAlias = "Mapping[str, Any] | type | ColumnTypes"
"""Where field types come from: a mapping of names to types, a dataclass, a catalogue."""


def declared_type(annotation: Any) -> Type | None:
    """Return what a Python type (or its name, or `X | None`) declares, None for any other."""
    if isinstance(annotation, Type):
        return annotation
    if isinstance(annotation, str):
        return _NAMES.get(annotation.lower())
    if typing.get_origin(annotation) in (Union, types.UnionType):
        members = [m for m in typing.get_args(annotation) if m is not type(None)]
        return declared_type(members[0]) if len(members) == 1 else None
    if isinstance(annotation, type) and annotation not in _PYTHON:
        # str enums, numpy scalars: what they inherit from is what they are in JSON.
        bases = (base for base in annotation.__mro__ if base in _PYTHON)
        return _PYTHON.get(next(bases, None))
    return _PYTHON.get(annotation)


def require_declared(given: Any) -> Type:
    """Return the declared type, or say which types there are."""
    declared = declared_type(given)
    if declared is None or declared.value not in _NAMES:
        allowed = ", ".join(t.__name__ for t in _PYTHON)
        raise ExpressionValueError(
            f"expected a type of expressions, got {given!r}; use one of {allowed}"
        )
    return declared


def field_types(source: FieldTypes) -> typing.Callable[[str], Type | None]:
    """Return a look-up from field name to its type, None where the source does not know it."""
    if isinstance(source, Mapping):
        known = source
    elif isinstance(source, type):
        if not dataclasses.is_dataclass(source):
            raise ExpressionValueError(
                f"expected a dataclass, got the class {source.__name__}; give a dataclass, a "
                "mapping of names to types, or a catalogue with has() and resolve()"
            )
        known = typing.get_type_hints(source)
    else:
        columns = source
        return lambda name: (
            declared_type(columns.resolve(name)[0].python_type) if columns.has(name) else None
        )
    return lambda name: declared_type(known[name]) if name in known else None
