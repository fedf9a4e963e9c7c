"""The leaves of an expression: constants and fields."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

from reactive.errors import ExpressionTypeError, ExpressionValueError
from reactive.operators import Expr
from reactive.types import Type, require_declared


class Const(Expr):
    """A constant: None, bool, int, float, Decimal, str, date or datetime."""

    parts = ("value",)
    value: Any

    def __init__(self, value: Any) -> None:
        value = _plain(value)
        if value is None:
            self._set(Type.NULL, None)
            return
        for python_type, type_ in _CONSTANTS:
            if isinstance(value, python_type):
                # Drops subclasses, which may print themselves as they like.
                self._set(type_, _checked(python_type, value))
                return
        allowed = ", ".join(python_type.__name__ for python_type, _ in _CONSTANTS)
        raise ExpressionTypeError(
            "Const", "value", f"None, {allowed}", f"{type(value).__name__} {value!r:.60}"
        )

    @property
    def company(self) -> Type:
        """A whole number that no double holds makes an undeclared field exact."""
        if self.type is Type.INT and int(float(self.value)) != self.value:
            return Type.DECIMAL
        return self.type


_CONSTANTS: tuple[tuple[type, Type], ...] = (
    (bool, Type.BOOL),
    (int, Type.INT),
    (float, Type.FLOAT),
    (Decimal, Type.DECIMAL),
    (str, Type.STR),
    (datetime, Type.DATETIME),
    (date, Type.DATE),
)


def _plain(value: Any) -> Any:
    """Unwrap an enum member and a scalar of numpy."""
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    return value


def _checked(python_type: type, value: Any) -> Any:
    """Return the constant as its plain type; refuse what a target could not hold."""
    if python_type is str:
        value = str.__str__(value)
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ExpressionValueError(
                f"the text {value!r:.60} holds a NUL or half a surrogate pair; "
                "PostgreSQL cannot store either"
            )
        return value
    if python_type is datetime:
        if value.tzinfo is None:
            raise ExpressionValueError(
                f"{value!r} has no time zone, so it is no instant; "
                "give it one: value.replace(tzinfo=timezone.utc)"
            )
        return value.astimezone(timezone.utc)
    if python_type in (int, float, Decimal):
        value = python_type(value)
        try:
            finite = math.isfinite(float(value))
        except (OverflowError, ValueError):
            finite = False
        if not finite:
            raise ExpressionValueError(
                f"{value!r:.60} is no constant: NaN, infinities and numbers "
                "beyond a double are refused"
            )
    return value


class Field(Expr):
    """A field of the row, by name.

    Without a type it is read as its surroundings demand: as text next to text, as a double in
    arithmetic.
    """

    parts = ("name", "type")
    name: str

    def __init__(self, name: str, type: Any = None) -> None:
        if not isinstance(name, str) or not name or "\0" in name or not name.isprintable():
            raise ExpressionValueError(
                f"{name!r:.60} is no field name: give printable text, at least one character"
            )
        declared = Type.ANY if type is None or type is Type.ANY else require_declared(type)
        self._set(declared, name, declared)
        self.__dict__["constant"] = False

    def fields(self) -> frozenset[str]:
        """Return the field's own name."""
        return frozenset({self.name})

    def _with_types(self, type_of: Callable[[str], Type | None]) -> Expr:
        known = type_of(self.name) if self.type is Type.ANY else None
        return Field(self.name, known) if known else self
