"""How generated Python reads rows: fields, and their values as the type that is needed.

Readers take a raw value and the field's name, and return the value or None; they raise
`FieldTypeError`.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

from reactive.errors import ExpressionTypeError, FieldTypeError, shown
from reactive.expr.python.runtime import parse_date, parse_decimal
from reactive.expr.types import Type

# --- rows ------------------------------------------------------------------------------------

_MAX_CLASSES = 1_000
plain_classes: set[type] = set()
"""Classes of rows whose fields are attributes, remembered since asking for a Mapping is slow."""
# Reading a field of these by its name gives nothing, and says so to nobody.
_NO_ROWS = {type(None), bool, int, float, complex, str, bytes, list, tuple, set, frozenset}


def has_attributes(row: Any) -> bool:
    """Whether fields are attributes of the row, not keys."""
    if isinstance(row, Mapping):
        return False
    if row.__class__ in _NO_ROWS:
        raise ExpressionTypeError(
            "eval", "", "a mapping of fields, or an object with attributes", shown(row)
        )
    if len(plain_classes) >= _MAX_CLASSES:
        plain_classes.clear()
    plain_classes.add(row.__class__)
    return True


def read_fields(row: Any, names: tuple[str, ...]) -> list[Any]:
    """Return the fields' raw values, None for those that are missing."""
    if not names:
        return []
    if has_attributes(row):
        return [getattr(row, name, None) for name in names]
    return [row.get(name) for name in names]


# --- readers --------------------------------------------------------------------------------


def member_value(member: Enum) -> Any:
    """Return what a member of an enum stands for, in JSON and here."""
    value = member.value
    return member_value(value) if isinstance(value, Enum) else value


def read_float(value: Any, field: str) -> float | None:
    """Read a double."""
    if value is None:
        return None
    if value.__class__ is int or (
        isinstance(value, (numbers.Real, Decimal)) and not isinstance(value, bool)
    ):
        try:
            number = float(value)
        except (OverflowError, ValueError):
            raise FieldTypeError(field, "a number that a double holds", value) from None
        if number - number == 0.0 and (number or not value):
            return number
        raise FieldTypeError(field, "a finite number that a double holds", value)
    if isinstance(value, Enum):
        return read_float(value.value, field)
    raise FieldTypeError(field, Type.FLOAT.words, value)


def read_int(value: Any, field: str) -> int | None:
    """Read an exact whole number."""
    if value is None or value.__class__ is int:
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, (float, Decimal)) and math.isfinite(value) and value == int(value):
        return int(value if isinstance(value, Decimal) else Decimal(repr(float(value))))
    if isinstance(value, Enum):
        return read_int(value.value, field)
    raise FieldTypeError(field, Type.INT.words, value)


def read_decimal(value: Any, field: str) -> Decimal | None:
    """Read an exact number; a double counts as the shortest decimal that gives it, as in JSON."""
    if value is None:
        return None
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return Decimal(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(float(value)))
    if isinstance(value, str):
        parsed = parse_decimal(value)
        if parsed is not None:
            return parsed
    if isinstance(value, Enum):
        return read_decimal(value.value, field)
    raise FieldTypeError(field, Type.DECIMAL.words, value)


def read_str(value: Any, field: str) -> str | None:
    """Read text."""
    if value is None or value.__class__ is str:
        return value
    if isinstance(value, Enum):
        return read_str(value.value, field)
    if isinstance(value, str):
        return str.__str__(value)
    raise FieldTypeError(field, Type.STR.words, value)


def read_bool(value: Any, field: str) -> bool | None:
    """Read a boolean; numbers are none."""
    if value is None or value is True or value is False:
        return value
    if type(value).__module__ == "numpy" and isinstance(
        plain := getattr(value, "item", bool)(), bool
    ):
        return plain
    if isinstance(value, Enum):
        return read_bool(value.value, field)
    raise FieldTypeError(field, Type.BOOL.words, value)


def read_date(value: Any, field: str) -> date | None:
    """Read a date, or text of the form 2026-02-22."""
    if value is None or value.__class__ is date:
        return value
    if isinstance(value, str):
        parsed = parse_date(value)
        if parsed is not None:
            return parsed
    elif isinstance(value, date) and not isinstance(value, datetime):
        return date(value.year, value.month, value.day)
    if isinstance(value, Enum):
        return read_date(value.value, field)
    raise FieldTypeError(field, Type.DATE.words, value)


_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(Z|[+-]\d\d(?::?\d\d)?)",
    re.ASCII,
)


def read_datetime(value: Any, field: str) -> datetime | None:
    """Read an instant as UTC, from a datetime or ISO text that says its time zone."""
    if value is None:
        return None
    try:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(timezone.utc)
        if isinstance(value, str) and (match := _INSTANT.fullmatch(value)):
            day, minutes, seconds, fraction, zone = match.groups()
            zone = "+00:00" if zone == "Z" else f"{zone[:3]}:{zone[3:].lstrip(':') or '00'}"
            text = f"{day}T{minutes}:{seconds or '00'}.{fraction or '0':0<6}{zone}"
            return datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        pass  # falls through to the error that names the field
    if isinstance(value, Enum):
        return read_datetime(value.value, field)
    raise FieldTypeError(field, Type.DATETIME.words, value)


def read_json(value: Any, field: str) -> Any:
    """Read a value to compare by the rules of JSON: 1 equals 1.0, but not true."""
    if value is None or value.__class__ is str or value.__class__ is int:
        return value
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, float) and math.isfinite(value):
        # Beyond 2**53 the double's text, not its binary value, is what JSON holds.
        return float(value) if -(2**53) < value < 2**53 else int(Decimal(repr(float(value))))
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, Enum):
        return read_json(value.value, field)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (list, tuple)):
        return "list", [read_json(item, field) for item in value]
    if isinstance(value, Mapping):
        return "object", {key: read_json(item, field) for key, item in value.items()}
    raise FieldTypeError(field, Type.JSON.words, value)


READERS: dict[Type, Any] = {
    Type.FLOAT: read_float,
    Type.INT: read_int,
    Type.DECIMAL: read_decimal,
    Type.STR: read_str,
    Type.BOOL: read_bool,
    Type.DATE: read_date,
    Type.DATETIME: read_datetime,
    Type.JSON: read_json,
}
