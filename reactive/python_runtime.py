"""What generated Python calls: reading values of rows, and operations that Python does otherwise.

Readers take a raw value and the field's name, and return it as the type that the formula needs, or None.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timezone
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from enum import Enum
from typing import Any, NoReturn

from reactive.errors import ExpressionRangeError, FieldTypeError
from reactive.types import Type

# --- rows ---------------------------------------------------------------------------------------------------

_MAX_CLASSES = 1_000
plain_classes: set[type] = set()
"""Classes of rows whose fields are attributes, remembered since asking for a Mapping is slow."""


def has_attributes(row: Any) -> bool:
    """Tell whether fields are attributes of the row, not keys."""
    if isinstance(row, Mapping):
        return False
    if len(plain_classes) >= _MAX_CLASSES:
        plain_classes.clear()
    plain_classes.add(row.__class__)
    return True


def read_fields(row: Any, names: tuple[str, ...]) -> list[Any]:
    """Return the fields' raw values, None for those that are missing."""
    if has_attributes(row):
        return [getattr(row, name, None) for name in names]
    return [row.get(name) for name in names]


# --- readers ------------------------------------------------------------------------------------------------


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
        if number - number == 0.0:
            return number
        raise FieldTypeError(field, "a finite number", value)
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
    raise FieldTypeError(field, Type.DATETIME.words, value)


def read_json(value: Any, field: str) -> Any:
    """Read a value for comparison with another one by the rules of JSON: 1 equals 1.0, but not true."""
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

# --- doubles ------------------------------------------------------------------------------------------------


def refuse(operation: str) -> NoReturn:
    """Raise for a result that is infinite, or so small that it would be zero (PostgreSQL refuses both)."""
    raise ExpressionRangeError(
        f"{operation}: the result is beyond a double (about 4.9e-324 to 1.8e308); "
        "scale the values, or test them with If(...) first"
    )


def out_of_range(variables: Mapping[str, Any], names: Sequence[str]) -> NoReturn:
    """Raise for a double that is infinite or NaN: because of a field that holds one, or of the arithmetic."""
    for index, name in enumerate(names):
        value = variables[f"v{index}"]
        if isinstance(value, float) and value - value != 0.0:
            raise FieldTypeError(name, "a finite number", value)
    refuse("arithmetic")


def zero_product(x: float, y: float) -> float:
    """Return a product that came out as zero, or refuse it where it only became so small."""
    return refuse("*") if x and y else x * y


def zero_quotient(x: float, y: float) -> float:
    """Return a quotient that came out as zero, or refuse it where it only became so small."""
    return refuse("/") if x else x / y


def divide(x: float, y: float) -> float | None:
    """Divide."""
    if not y:
        return None
    quotient = x / y or zero_quotient(x, y)
    return quotient if quotient - quotient == 0.0 else refuse("/")


def modulo(x: float, y: float) -> float | None:
    """Return x - y * floor(x / y), which has the sign of y, by the same steps as PostgreSQL."""
    quotient = divide(x, y)
    if quotient is None:
        return None
    whole = float(math.floor(quotient))
    product = y * whole or zero_product(y, whole)
    rest = x - product
    return rest if rest - rest == 0.0 else refuse("%")


def power(x: float, y: float) -> float | None:
    """Raise to a power; null for 0 to a negative power and a negative to a fractional one."""
    if (x == 0.0 and y < 0.0) or (x < 0.0 and y != math.floor(y)):
        return None
    try:
        result = math.pow(x, y)
    except OverflowError:
        refuse("**")
    return result if result or not x else refuse("**")


def exponential(x: float) -> float:
    """Raise e to a power; zero where the result is too small for a double."""
    try:
        return math.exp(x)
    except OverflowError:
        refuse("exp")


def sign(x: Any) -> int:
    """Return -1, 0 or 1."""
    return int(x > 0) - int(x < 0)


def round_float(x: float, digits: int) -> float:
    """Round half to even at a number of decimal places, by scaling, as all targets do."""
    scale = 10.0 ** abs(digits)
    if digits > 0:
        scaled = x * scale
        return float(round(scaled)) / scale if scaled - scaled == 0.0 else refuse("round")
    rounded = float(round(x / scale or zero_quotient(x, scale))) * scale
    return rounded if rounded - rounded == 0.0 else refuse("round")


def double(x: int | Decimal) -> float:
    """Turn an exact number into the nearest double."""
    try:
        number = float(x)
    except OverflowError:
        refuse("conversion to float")
    return number if number - number == 0.0 else refuse("conversion to float")


# --- exact numbers ------------------------------------------------------------------------------------------

EXACT = Context(
    prec=2_000,
    rounding=ROUND_HALF_EVEN,
    traps=[Inexact, InvalidOperation, Overflow, DivisionByZero],
)
"""Sums and products of decimals are exact; numbers of more than 2,000 digits raise."""


def modulo_exact(x: Any, y: Any) -> Any:
    """Return the rest of a division with the sign of the divisor."""
    if not y:
        return None
    if isinstance(x, int) and isinstance(y, int):
        return x % y
    rest = EXACT.remainder(x, y)
    return EXACT.add(rest, y) if rest and (rest < 0) != (y < 0) else rest


def ceil_decimal(x: Decimal) -> Decimal:
    """Round up to a whole number."""
    return x.to_integral_value(ROUND_CEILING)


def floor_decimal(x: Decimal) -> Decimal:
    """Round down to a whole number."""
    return x.to_integral_value(ROUND_FLOOR)


def round_exact(x: Any, digits: int) -> Any:
    """Round half to even at a number of decimal places."""
    if isinstance(x, int):
        return x if digits >= 0 else int(round_exact(Decimal(x), digits))
    return EXACT.scaleb(EXACT.scaleb(x, digits).to_integral_value(ROUND_HALF_EVEN), -digits)


# --- conversions --------------------------------------------------------------------------------------------

NUMBER_PATTERN = "[+-]?[0-9]{1,200}([.][0-9]{1,200})?([eE][+-]?[0-9]{1,2})?"
"""Text that is read as a number; within these bounds it always fits a double."""
DATE_PATTERN = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_NUMBER = re.compile(NUMBER_PATTERN)
_DATE = re.compile(DATE_PATTERN)


def decimal_of_float(x: float) -> Decimal:
    """Return the shortest decimal that lies nearer to this double than to any other.

    That is what PostgreSQL writes. Python's repr also takes one that lies half-way: 1e23, where PostgreSQL
    writes 9.999999999999999e+22.
    """
    shortest, exact = Decimal(repr(x)), Decimal(x)
    if shortest == exact:
        return shortest
    beside = Decimal(math.nextafter(x, math.inf if shortest > exact else -math.inf))
    if EXACT.subtract(shortest, exact) != EXACT.subtract(beside, shortest):
        return shortest
    digits = len(shortest.as_tuple().digits)
    while True:
        candidate = Decimal(f"{x:.{digits}e}")
        if candidate != shortest and float(candidate) == x:
            return candidate
        digits += 1


def int_of_float(x: float) -> int:
    """Drop the fraction; beyond 2**53 the double's shortest decimal counts."""
    return int(x) if -(2**53) < x < 2**53 else int(decimal_of_float(x))


def text_of_number(x: Any) -> str:
    """Write a number without exponent and without zeros at the end."""
    exact = decimal_of_float(x) if isinstance(x, float) else Decimal(x)
    text = f"{exact:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def text_of_bool(x: bool) -> str:
    """Write true or false."""
    return "true" if x else "false"


def parse_decimal(text: str) -> Decimal | None:
    """Read a number from text."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def parse_float(text: str) -> float | None:
    """Read a double from text."""
    return float(text) if _NUMBER.fullmatch(text) else None


def parse_int(text: str) -> int | None:
    """Read a number from text and drop its fraction."""
    return int(Decimal(text)) if _NUMBER.fullmatch(text) else None


def parse_bool(text: str) -> bool | None:
    """Read true or false."""
    return {"true": True, "false": False}.get(text)


def parse_date(text: str) -> date | None:
    """Read a date of the form 2026-02-22."""
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def midnight(day: date) -> datetime:
    """Return the instant at which a day begins in UTC."""
    return datetime.combine(day, time(), timezone.utc)


# --- text ---------------------------------------------------------------------------------------------------

BLANKS = " \t\n\v\f\r"
_UPPER = {ord("a") + i: ord("A") + i for i in range(26)}
_LOWER = {upper: lower for lower, upper in _UPPER.items()}


def upper(text: str) -> str:
    """Turn a-z into A-Z."""
    return text.upper() if text.isascii() else text.translate(_UPPER)


def lower(text: str) -> str:
    """Turn A-Z into a-z."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


# --- sets ---------------------------------------------------------------------------------------------------


def is_in(value: Any, others: tuple[Any, ...]) -> bool | None:
    """Tell whether a value equals one of the others; null where only a null stands in the way."""
    known = [other for other in others if other is not None]
    if value in known:
        return True
    return False if len(known) == len(others) else None
