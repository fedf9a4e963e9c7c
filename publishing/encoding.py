"""Values and whole columns encoded for the engine, with or without conversions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from publishing.conversion_errors import ConversionErrors
from publishing.errors import RowError
from publishing.instants import instant_nanos
from publishing.kinds import NOT_ENCODABLE, Kind

_WHOLE = (int, np.integer)
_NUMBER = (float, int, np.floating, np.integer)
# The types of values that need no conversion, by kind. A bool is none of the numbers.
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool, np.bool_),
    **dict.fromkeys(("byte", "short", "int", "long", "BigInteger"), _WHOLE),
    **dict.fromkeys(("float", "double"), _NUMBER),
    "char": (str,),
    "Instant": (datetime, np.datetime64, *_WHOLE),
    "LocalDate": (date,),
    "LocalTime": (time,),
    "BigDecimal": (Decimal, int),
}
# The kinds of numpy's arrays that need none.
_ARRAYS: dict[str, str] = {
    "bool": "b",
    **dict.fromkeys(("byte", "short", "int", "long"), "iu"),
    **dict.fromkeys(("float", "double"), "fiu"),
    "Instant": "iuM",
}


def encoder(kind: Kind, *, strict: bool) -> Callable[[Any], Any]:
    """Return the function that encodes one value; a strict one takes only the column's types.

    It raises one of NOT_ENCODABLE.
    """
    if not strict:
        return kind.encode
    types = _TYPES[kind.name]
    # An infinity and the engine's null are values of that type, which a program may mean.
    encode: Callable[[Any], Any] = float if kind.name == "double" else kind.encode

    def encode_strictly(value: Any) -> Any:
        if not isinstance(value, types) or (value.__class__ is bool and kind.name != "bool"):
            raise TypeError(f"expected a {kind.name}, got {type(value).__name__}")
        return encode(value)

    return encode_strictly


def encode_column(
    name: str, kind: Kind, column: npt.ArrayLike, errors: ConversionErrors | None
) -> npt.NDArray[Any]:
    """Return a column as a new array of encoded values.

    With `errors`, values are converted, and those that cannot be are null and counted there;
    without it they are a RowError.
    """
    # numpy's own string arrays drop trailing NUL characters; arrays of objects do not.
    given = np.asarray(column, dtype=object if kind.dtype is object else None)
    if given.ndim != 1:
        raise RowError(f"column {name} must be one-dimensional, not of shape {given.shape}")
    if kind.name == "string" and _is_text(given):
        return given.copy()
    if given.dtype.kind in _ARRAYS.get(kind.name, ""):
        carriers = given
        beyond = np.zeros(len(given), bool)
        if given.dtype.kind == "M":
            # "Not a time" becomes the number that is the engine's null.
            times = given.astype("datetime64[ns]")
            beyond = (times.astype(given.dtype) != given) & ~np.isnat(given)
            carriers = times.view(np.int64)
        beyond = beyond | _beyond(kind, carriers, strict=errors is None)
        if not beyond.any():
            return np.array(carriers, dtype=kind.dtype)
        if errors is None:
            raise RowError(_beyond_message(name, kind, given[beyond][0]))
    elif errors is None and given.dtype.kind != "O" and len(given):
        raise RowError(f"column {name} holds {kind.name} values, not an array of {given.dtype}")
    return _one_by_one(name, kind, given, errors)


def _is_text(given: npt.NDArray[Any]) -> bool:
    """Whether all are texts or null; asked of the whole column, that takes a fifth of the time."""
    if not set(map(type, given)) <= {str, type(None)}:
        return False
    text = "".join(filter(None, given))
    try:
        # Half a surrogate pair has no form outside of Python.
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _beyond(kind: Kind, given: npt.NDArray[Any], *, strict: bool) -> npt.NDArray[np.bool_]:
    """Tell which numbers the kind cannot hold; the engine's null is one that it can."""
    beyond: Any = False
    if kind.name == "float":
        with np.errstate(over="ignore"):
            beyond = np.isinf(given.astype(np.float32)) & np.isfinite(given)
    elif kind.name == "double":
        beyond = not strict and given.dtype.kind == "f" and np.isinf(given)
    elif kind.name != "bool":
        held = instant_nanos() if kind.name == "Instant" else range(kind.null, -kind.null)
        beyond = (given > held[-1]) | ((given < held[0]) & (given != kind.null))
    return np.broadcast_to(np.asarray(beyond, bool), given.shape)


def _beyond_message(name: str, kind: Kind, value: Any) -> str:
    if kind.name != "Instant":
        return f"column {name} holds {kind.name} values, not {value}"
    return (
        f"column {name} holds Instant values, nanoseconds since the epoch of the years 1677 to "
        f"2262, not {value}"
    )


def _one_by_one(
    name: str, kind: Kind, given: npt.NDArray[Any], errors: ConversionErrors | None
) -> npt.NDArray[Any]:
    encode = encoder(kind, strict=errors is None)
    found = []
    for value in given.tolist() if given.dtype.kind in "biuf" else given:
        try:
            found.append(None if value is None else encode(value))
        except NOT_ENCODABLE as error:
            if errors is None:
                raise RowError(
                    f"column {name} holds {kind.name} values, not {shown(value)}"
                ) from error
            errors.add(name, error)
            found.append(None)
    return kind.array(found)


def shown(value: Any) -> str:
    """Return a value as messages show it."""
    try:
        return f"{value!r:.80}"
    except ValueError:
        # Python writes out no integer of thousands of digits.
        return f"a number of type {type(value).__name__}"
