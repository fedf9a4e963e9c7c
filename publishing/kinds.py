"""The kinds of Deephaven columns: what each holds, and how values are encoded for the engine.

Values come as Python objects or as what JSON makes of them. They are encoded as the primitives that
the engine takes fastest, and become times and dates inside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from publishing.errors import RegistrationError
from publishing.instants import instant_nanos

# What a value raises that its column cannot hold.
NOT_ENCODABLE = (
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
# As many as PostgreSQL's numeric has; a power of ten in scientific notation may ask for more.
_MOST_DIGITS = 131_072 + 16_383
_DOUBLE_NULL = -float(np.finfo(np.float64).max)
_NULL_LONG = -(2**63)
_FLOAT_NULL = -float(np.finfo(np.float32).max)


class Kind(NamedTuple):
    """A kind of column; `name` is Deephaven's word for it.

    `encode` turns a value into its carrier, the primitive that the engine is given for it; it
    raises one of NOT_ENCODABLE for what the kind cannot hold. `dtype` and `null` are those of the
    carrier in numpy. `formula` turns the carrier into the value inside the engine, None where they
    are the same; the engine compiles Java for it. `decode` does so in Python. An Instant is carried
    as nanoseconds since the epoch, which the engine shows as an Instant without a formula.
    """

    name: str
    carrier: str
    dtype: Any
    null: Any
    encode: Callable[[Any], Any]
    formula: str | None = None
    decode: Callable[[Any], Any] | None = None

    def array(self, encoded: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return encoded values as an array, with the engine's null for None."""
        if isinstance(encoded, np.ndarray):
            return encoded
        null = self.null
        if null is not None and None in encoded:
            encoded = [null if value is None else value for value in encoded]
        if self.dtype is not object:
            return np.array(encoded, self.dtype)
        # Filled one by one: numpy would make lists of equal length a table.
        made = np.empty(len(encoded), object)
        made[:] = encoded
        return made


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _expected(wanted: str, value: Any) -> TypeError:
    return TypeError(f"expected {wanted}, got {type(value).__name__}")


def _text(value: Any) -> str:
    if value.__class__ is not str:
        value = _plain(value)
    if not isinstance(value, str):
        if not isinstance(value, (UUID, bool, int, float, Decimal)):
            raise _expected("text", value)
        return str(value).lower() if isinstance(value, bool) else str(value)
    # Half a surrogate pair has no form outside of Python.
    if not value.isascii():
        value.encode()
    return value


def _whole(bits: int) -> Callable[[Any], int]:
    # The least value of each type is the engine's null.
    most = 2 ** (bits - 1) - 1

    def encode(value: Any) -> int:
        if value.__class__ is not int:
            value = _plain(value)
            if isinstance(value, (bool, np.bool_)):
                raise _expected("a whole number", value)
            if isinstance(value, Decimal):
                _check_digits(value)
            if isinstance(value, (float, Decimal, np.floating)) and int(value) != value:
                raise ValueError(f"{value} is not a whole number")
            if not isinstance(value, (int, float, Decimal, np.integer, np.floating)):
                raise _expected("a whole number", value)
            value = int(value)
        if not -most <= value <= most:
            raise ValueError(f"{value} is beyond {bits} bits")
        number: int = value
        return number

    return encode


def _double(value: Any) -> float:
    if value.__class__ is float:
        number: float = value
        return number
    value = _plain(value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, Decimal, np.integer, np.floating)
    ):
        raise _expected("a number", value)
    return float(value)


def _finite(value: Any) -> float:
    number: float = value if value.__class__ is float else _double(value)
    if math.isinf(number):
        raise ValueError(f"{value!r:.40} is beyond the largest double")
    if number == _DOUBLE_NULL:
        raise ValueError(f"{number} is the engine's null")
    return number


def _single(value: Any) -> float:
    number = _double(value)
    if math.isinf(number):
        return number
    if abs(number) > -_FLOAT_NULL:
        raise ValueError(f"{number} is beyond the largest float")
    if float(np.float32(number)) == _FLOAT_NULL:
        raise ValueError(f"{number} is the engine's null of a float")
    return number


def _flag(value: Any) -> int:
    if value is True or value is False or isinstance(value, np.bool_):
        return int(value)
    raise _expected("a bool", value)


def _nanos(value: Any) -> int:
    """Nanoseconds since the epoch, exact; whole numbers are taken as such."""
    if isinstance(value, str):
        # Python 3.10 does not read the Z.
        value = datetime.fromisoformat(value[:-1] + "+00:00" if value[-1:] == "Z" else value)
    if isinstance(value, (datetime, np.datetime64)) and value != value:
        # "Not a time" of numpy and pandas.
        return _NULL_LONG
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise ValueError(f"{value} has no time zone")
        since = value - _EPOCH
        nanos = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
        if value.__class__ is not datetime:
            # As pandas has them.
            nanos += int(getattr(value, "nanosecond", 0))
    elif isinstance(value, np.datetime64):
        exact = value.astype("datetime64[ns]")
        # One beyond 64 bits of nanoseconds becomes another time, without an error.
        nanos = int(exact.astype(np.int64)) if exact.astype(value.dtype) == value else 2**63
    elif isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        nanos = int(value)
    else:
        raise _expected("a datetime", value)
    if nanos not in instant_nanos():
        raise ValueError(f"{value} is outside of the years 1677 to 2262 that an Instant holds")
    return nanos


def _instant(nanos: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanos // 1_000)


def _day(value: Any) -> int:
    if isinstance(value, str):
        value = date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise _expected("a date", value)
    return value.toordinal() - _EPOCH_DAY


def _time_of_day(value: Any) -> int:
    if isinstance(value, str):
        value = time.fromisoformat(value)
    if isinstance(value, datetime):
        value = value.time()
    if not isinstance(value, time):
        raise _expected("a time of day", value)
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return (seconds * 1_000_000 + value.microsecond) * 1_000


def _clock(nanos: int) -> time:
    return (datetime.min + timedelta(microseconds=nanos // 1_000)).time()


def _character(value: Any) -> int:
    value = _plain(value)
    if not isinstance(value, str) or len(value) != 1 or ord(value) >= 0xFFFF:
        raise ValueError(f"{value!r:.40} is not a single character")
    return ord(value)


def _check_digits(number: Decimal) -> None:
    """Refuse a number whose digits, written out, would fill the memory."""
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and len(number.as_tuple().digits) + abs(exponent) > _MOST_DIGITS:
        raise ValueError(f"{number} has more than {_MOST_DIGITS:,} digits")


def _number(value: Any) -> Decimal:
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        raise _expected("a number", value)
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError(f"{value} is not a finite number")
    _check_digits(number)
    return number


def _exact(value: Any) -> str:
    return format(_number(value), "f")


def _exact_whole(value: Any) -> str:
    number = _number(value)
    whole = number.to_integral_value()
    if whole != number:
        raise ValueError(f"{value} is not a whole number")
    return format(whole, "f")


_IF = "isNull({0}) ? null : "
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("string", "string", object, None, _text),
        Kind("bool", "bool", np.int8, -128, _flag, None, bool),
        Kind("byte", "byte", np.int8, -128, _whole(8)),
        Kind("short", "short", np.int16, -(2**15), _whole(16)),
        Kind("int", "int", np.int32, -(2**31), _whole(32)),
        Kind("long", "long", np.int64, _NULL_LONG, _whole(64)),
        Kind("float", "float", np.float32, _FLOAT_NULL, _single),
        Kind("double", "double", np.float64, _DOUBLE_NULL, _finite),
        Kind("char", "int", np.int32, -(2**31), _character, f"{_IF}(char){{0}}", chr),
        Kind("Instant", "Instant", np.int64, _NULL_LONG, _nanos, None, _instant),
        Kind(
            "LocalDate",
            *("long", np.int64, _NULL_LONG, _day),
            f"{_IF}java.time.LocalDate.ofEpochDay({{0}})",
            lambda day: date.fromordinal(day + _EPOCH_DAY),
        ),
        Kind(
            "LocalTime",
            *("long", np.int64, _NULL_LONG, _time_of_day),
            f"{_IF}java.time.LocalTime.ofNanoOfDay({{0}})",
            _clock,
        ),
        Kind(
            "BigDecimal",
            *("string", object, None, _exact),
            f"{_IF}new java.math.BigDecimal({{0}})",
            Decimal,
        ),
        Kind(
            "BigInteger",
            *("string", object, None, _exact_whole),
            f"{_IF}new java.math.BigInteger({{0}})",
            int,
        ),
    )
}

# Python's types as kinds of columns.
_PYTHON_KINDS: dict[type, str] = {
    str: "string",
    int: "long",
    float: "double",
    bool: "bool",
    Decimal: "double",
    datetime: "Instant",
    date: "LocalDate",
}


def kind_name(column: str, given: Any, kind_of: Callable[[Any], str | None]) -> str:
    """Return the kind of a column that is given by name, as a Python type or as a DType.

    `kind_of` knows the DTypes. RegistrationError for anything else.
    """
    if isinstance(given, str) and given in KINDS:
        return given
    if isinstance(given, type) and given in _PYTHON_KINDS:
        return _PYTHON_KINDS[given]
    kind = None if isinstance(given, (str, type)) else kind_of(given)
    if kind is None:
        raise RegistrationError(
            f"column {column!r}: {given!r:.60} is not a column type; possible are "
            f"{', '.join(KINDS)}, their DTypes of Deephaven, and Python's "
            f"{', '.join(python.__name__ for python in _PYTHON_KINDS)}"
        )
    return kind
