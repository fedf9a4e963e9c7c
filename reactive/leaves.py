"""The leaves of an expression: constants and fields."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

from reactive.errors import ExpressionTypeError, ExpressionValueError, shown
from reactive.operators import Expr
from reactive.types import Type, require_declared


class Const(Expr):
    """A constant: None, bool, int, float, Decimal, str, date or datetime."""

    parts = ("value",)
    value: Any

    def __init__(self, value: Any) -> None:
        value = _unwrapped(value)
        if value is None:
            self._set(Type.NULL, None)
            return
        for python_type, type_, plain in _CONSTANTS:
            if isinstance(value, python_type):
                self._set(type_, plain(value))
                return
        allowed = ", ".join(python_type.__name__ for python_type, *_ in _CONSTANTS)
        raise ExpressionTypeError(
            "Const", "value", f"None, {allowed}", f"{type(value).__name__} {shown(value)}"
        )

    @property
    def company(self) -> Type:
        """A whole number that no double holds makes an undeclared field exact."""
        if self.type is Type.INT and int(float(self.value)) != self.value:
            return Type.DECIMAL
        return self.type


def _unwrapped(value: Any) -> Any:
    """Return what is inside an enum member or a scalar of numpy."""
    if isinstance(value, enum.Enum):
        return _unwrapped(value.value)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    return value


# Each returns the plain type, since subclasses may print themselves as they like, and refuses what
# one of the targets could not hold.


def _number(plain: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        value = plain(value)
        try:
            as_float = float(value)
        except (OverflowError, ValueError):
            as_float = math.inf
        if not math.isfinite(as_float) or (value and not as_float):
            raise ExpressionValueError(
                f"{shown(value)} is no constant: NaN, infinities and numbers "
                "beyond a double are refused"
            )
        return value

    return check


def _text(value: str) -> str:
    value = str.__str__(value)
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ExpressionValueError(
            f"the text {shown(value)} holds a NUL or half a surrogate pair; "
            "PostgreSQL cannot store either"
        )
    return value


def _instant(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ExpressionValueError(
            f"{value!r} has no time zone, so it is no instant; "
            "give it one: value.replace(tzinfo=timezone.utc)"
        )
    try:
        utc = value.astimezone(timezone.utc)
    except OverflowError:
        raise ExpressionValueError(
            f"{value!r} is no constant: in UTC it is outside of the years 1 to 9999"
        ) from None
    return datetime.combine(_day(utc), utc.time().replace(fold=0), timezone.utc)


def _day(value: date) -> date:
    return date(value.year, value.month, value.day)


_CONSTANTS: tuple[tuple[type, Type, Callable[[Any], Any]], ...] = (
    (bool, Type.BOOL, bool),
    (int, Type.INT, _number(int)),
    (float, Type.FLOAT, _number(float)),
    (Decimal, Type.DECIMAL, _number(Decimal)),
    (str, Type.STR, _text),
    (datetime, Type.DATETIME, _instant),
    (date, Type.DATE, _day),
)


class Field(Expr):
    """A field of the row, by name.

    Without a type it is read as its surroundings demand: as text next to text, as a double in
    arithmetic.
    """

    parts = ("name", "type")
    name: str

    def __init__(self, name: str, type: Any = None) -> None:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ExpressionValueError(
                f"{shown(name)} is no field name: give printable text, at least one character"
            )
        if len(name) > 4 and name.startswith("__") and name.endswith("__"):
            # Formulas may come from elsewhere; they read data, not the insides of objects.
            raise ExpressionValueError(f"{name!r} is no field name: Python keeps such names")
        declared = Type.ANY if type is None or type is Type.ANY else require_declared(type)
        self._set(declared, name, declared)
        self.__dict__["constant"] = False

    def fields(self) -> frozenset[str]:
        """Return the field's own name."""
        return frozenset({self.name})

    def _with_types(self, type_of: Callable[[str], Type | None]) -> Expr:
        known = type_of(self.name) if self.type is Type.ANY else None
        return Field(self.name, known) if known else self
