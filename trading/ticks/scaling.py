"""Exact numbers as integers with so many decimal places, and how many places numbers need."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from trading.bars.columns import SIZE_DIGITS, Integers, Numbers
from trading.errors import TickError

# Floats hold whole numbers exactly below this.
_EXACT = 2.0**53
_INT64_MAX = 2**63 - 1
_POWERS = 10 ** np.arange(SIZE_DIGITS + 1, dtype=np.int64)
Mask = npt.NDArray[np.bool_]
Describe = Callable[[int], str]


def digits_needed(
    numbers: Numbers,
    codes: npt.NDArray[np.integer],
    digits: Integers,
    valid: Mask | None,
    describe: Describe,
) -> Integers:
    """How many decimal places the numbers of each symbol need, at least as many as `digits` says.

    `codes` counts into `digits`, a number of places a symbol. TickError for a number that needs
    more than 9 places or that has more than 64 bits as an integer of so many places.
    """
    places = digits.copy()
    while True:
        _scaled, off, beyond = _scale(numbers, codes, places)
        if valid is not None:
            off &= valid
            beyond &= valid
        for bad, reason in (
            (beyond, "is beyond 64 bits with the decimal places that its symbol has"),
            (
                off & (places[codes] >= SIZE_DIGITS),
                f"has more than {SIZE_DIGITS} decimal places or 15 digits; round it to the "
                "instrument's increment, or pass round_to=",
            ),
        ):
            if bad.any():
                row, count = int(np.argmax(bad)), int(bad.sum())
                raise TickError(f"{describe(row)} {reason}. The table was not taken", row, count)
        if not off.any():
            return places
        places[np.unique(codes[off])] += 1


def scaled(numbers: Numbers, codes: npt.NDArray[np.integer], digits: Integers) -> Integers:
    """The numbers as integers of `digits` decimal places, which `digits_needed` has checked."""
    return _scale(numbers, codes, digits)[0]


def rescaled(values: Integers, more: Integers | int) -> Integers:
    """Integers with so many decimal places more; TickError where that is beyond 64 bits."""
    factor = _POWERS[more]
    if (np.abs(values) > _INT64_MAX // factor).any():
        raise TickError(
            "ticks that are read together are beyond 64 bits with the decimal places of the "
            "finest of them; read the symbols one by one"
        )
    return np.asarray(values * factor)


def rounded(numbers: Numbers, places: int) -> Numbers:
    """Numbers rounded to so many decimal places, halves to even; exact ones stay integers."""
    if numbers.digits is None:
        return Numbers(np.round(numbers.values, places), None, numbers.arrow_type)
    if numbers.digits <= places:
        return numbers
    factor = int(_POWERS[numbers.digits - places])
    low = numbers.values // factor
    rest = numbers.values - low * factor
    up = (2 * rest > factor) | ((2 * rest == factor) & (low % 2 == 1))
    return Numbers(low + up, places, numbers.arrow_type)


def _scale(
    numbers: Numbers, codes: npt.NDArray[np.integer], digits: Integers
) -> tuple[Integers, Mask, Mask]:
    """The scaled integers, which of them are off the decimal places, and which beyond 64 bits."""
    used = np.unique(digits)
    places: int | Integers = int(used[0]) if len(used) == 1 else digits[codes]
    if numbers.digits is None:
        return _scale_floats(numbers.values, places)
    values = numbers.values
    more = np.maximum(places - np.int64(numbers.digits), 0)
    less = np.maximum(np.int64(numbers.digits) - places, 0)
    factor, divisor = _POWERS[more], _POWERS[less]
    beyond = (values > _INT64_MAX // factor) | (values < -(_INT64_MAX // factor))
    if not np.any(less):
        off = np.zeros(len(values), dtype=np.bool_)
        return (values * factor if np.any(more) else values), off, beyond
    off = values % divisor != 0
    return values // divisor * factor, off, beyond


def _scale_floats(
    values: npt.NDArray[np.float64], places: int | Integers
) -> tuple[Integers, Mask, Mask]:
    factor = _POWERS[places].astype(np.float64)
    whole = values * factor
    np.rint(whole, out=whole)
    # A decimal number of up to 15 digits is the double nearest to it, and division rounds to that.
    off = whole / factor != values
    with np.errstate(invalid="ignore"):
        result = whole.astype(np.int64)
    beyond = np.zeros(len(values), dtype=np.bool_)
    if len(whole) and max(whole.max(), -whole.min()) >= _EXACT:
        large = np.flatnonzero(np.abs(whole) >= _EXACT)
        rows = values[large]
        integer = _POWERS[places] if isinstance(places, int) else _POWERS[places[large]]
        too_large = np.abs(rows) >= np.floor(float(_INT64_MAX) / integer)
        beyond[large] = too_large
        off[large] = (rows != np.trunc(rows)) & ~too_large
        result[large] = np.where(too_large, 0.0, rows).astype(np.int64) * integer
    return result, off, beyond
