"""What generated Python calls where Python's own operations mean something else, or may fail."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timezone
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from typing import Any, NoReturn

from reactive.errors import ExpressionRangeError, FieldTypeError

# --- doubles ---------------------------------------------------------------------------------


LOWEST, HIGHEST = -math.inf, math.inf
"""Every number lies between them, but for infinities and NaN."""


def refuse(operation: str) -> NoReturn:
    """Raise for a result that is infinite, or too small to be told from zero."""
    raise ExpressionRangeError(
        f"{operation}: the result is beyond a double (about 4.9e-324 to 1.8e308); "
        "scale the values, or test them with If(...) first"
    )


def out_of_range(variables: Mapping[str, Any], names: Sequence[str]) -> NoReturn:
    """Raise for a double that is infinite or NaN: a field held it, or arithmetic made it."""
    for index, name in enumerate(names):
        value = variables[f"v{index}"]
        if isinstance(value, float) and value - value != 0.0:
            raise FieldTypeError(name, "a finite number", value)
    refuse("arithmetic")


def finite(x: float, variables: Mapping[str, Any], names: Sequence[str]) -> float:
    """Return a double, unless it is infinite or NaN."""
    return x if LOWEST < x < HIGHEST else out_of_range(variables, names)


def product(x: float, y: float) -> float:
    """Multiply; the result may be infinite, but zero only if a factor is."""
    return x * y or zero_product(x, y)


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
    if number - number != 0.0 or (x and not number):
        refuse("conversion to float")
    return number


# --- exact numbers --------------------------------------------------------------------------

EXACT = Context(
    prec=140_000,
    rounding=ROUND_HALF_EVEN,
    traps=[Inexact, InvalidOperation, Overflow, DivisionByZero],
)
"""Sums and products of decimals are exact; the digits are about those that PostgreSQL allows."""


def exact(operation: Callable[..., Decimal], *operands: Any) -> Decimal:
    """Compute with decimals, refusing what has too many digits."""
    try:
        return operation(*operands)
    except DecimalException:
        refuse("exact arithmetic")


def modulo_exact(x: Any, y: Any) -> Any:
    """Return the rest of a division with the sign of the divisor."""
    if not y:
        return None
    if isinstance(x, int) and isinstance(y, int):
        return x % y
    rest = exact(EXACT.remainder, x, y)
    return exact(EXACT.add, rest, y) if rest and (rest < 0) != (y < 0) else rest


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
    whole = exact(EXACT.scaleb, x, digits).to_integral_value(ROUND_HALF_EVEN)
    return exact(EXACT.scaleb, whole, -digits)


# --- conversions ----------------------------------------------------------------------------

NUMBER_PATTERN = "[+-]?[0-9]{1,200}([.][0-9]{1,200})?([eE][+-]?[0-9]{1,2})?"
"""Text that is read as a number; within these bounds it always fits a double."""
DATE_PATTERN = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_NUMBER = re.compile(NUMBER_PATTERN)
_DATE = re.compile(DATE_PATTERN)


def decimal_of_float(x: float) -> Decimal:
    """Return the shortest decimal that lies nearer to this double than to any other.

    That is what PostgreSQL writes. Python's repr also takes one that lies half-way: 1e23, where
    PostgreSQL writes 9.999999999999999e+22.
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


# --- text -----------------------------------------------------------------------------------

BLANKS = " \t\n\v\f\r"
_UPPER = {ord("a") + i: ord("A") + i for i in range(26)}
_LOWER = {upper: lower for lower, upper in _UPPER.items()}


def upper(text: str) -> str:
    """Turn a-z into A-Z."""
    return text.upper() if text.isascii() else text.translate(_UPPER)


def lower(text: str) -> str:
    """Turn A-Z into a-z."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


# --- sets -----------------------------------------------------------------------------------


def is_in(value: Any, others: tuple[Any, ...]) -> bool | None:
    """Whether a value equals one of the others; null where only a null stands in the way."""
    known = [other for other in others if other is not None]
    if value in known:
        return True
    return False if len(known) == len(others) else None
