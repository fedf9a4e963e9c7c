"""Exact numbers: `Decimal` for people, scaled integers inside.

    to_units("101.25", 2)                        # 10125
    from_units(10125, 2)                         # Decimal('101.25')
    fee_share(100, 3, 0, 1)                      # 33, then 33, then 34: together the whole fee

A price or a quantity is a whole number of units of `10 ** -decimals`, and the decimals belong to
the instrument. Money is a whole number of units of `10 ** -money_decimals`, one figure for a whole
run, so that a price times a quantity is money without any rounding.
"""

from __future__ import annotations

import operator
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, Inexact
from decimal import InvalidOperation as _InvalidOperation
from functools import lru_cache
from typing import Literal, SupportsIndex

from trading.errors import NumberError, shown

__all__ = [
    "INT64_MAX",
    "MONEY_DECIMALS",
    "Number",
    "Rounding",
    "div_away",
    "div_half_even",
    "fee_share",
    "from_units",
    "money_text",
    "optional_decimal",
    "optional_units",
    "product_fits",
    "round_to_increment",
    "to_decimal",
    "to_units",
]

Number = int | float | str | Decimal
"""What a number may be given as; a float counts as the shortest decimal that prints as it."""

Rounding = Literal["down", "up", "nearest"]

MONEY_DECIMALS = 10
"""Decimals of money unless a run says otherwise: cents of BTC-USD times a size of 1e-8."""

INT64_MAX = 2**63 - 1

# Independent of the thread's context, whose 28 digits would cut long numbers in silence.
_EXACT = Context(prec=400, Emax=999_999, Emin=-999_999, traps=[Inexact, _InvalidOperation])
_ROUNDED = Context(prec=400, Emax=999_999, Emin=-999_999, traps=[_InvalidOperation])
_DIGITS_MAX = 60
_ROUNDINGS = {"down": ROUND_FLOOR, "up": ROUND_CEILING, "nearest": ROUND_HALF_EVEN}


def to_decimal(value: object, what: str = "number") -> Decimal:
    """Return a finite number as a Decimal, exactly; a float as the shortest text that prints it.

    NumberError names `what` when the value is none, not a number, NaN, infinite, or has more than
    sixty digits before or after the point.
    """
    if isinstance(value, bool):
        raise NumberError(f"{what}: expected a number, seen the truth value {value}")
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, float):
        # numpy's floats are floats whose own repr says more than the number.
        number = Decimal(float.__repr__(value))
    elif isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except _InvalidOperation:
            raise NumberError(f"{what}: expected a number, seen the text {shown(value)}") from None
    elif isinstance(value, SupportsIndex):
        number = Decimal(operator.index(value))
    else:
        raise NumberError(
            f"{what}: expected an int, float, str or Decimal, seen {type(value).__name__} "
            f"{shown(value)}"
        )
    if not number.is_finite():
        raise NumberError(f"{what}: expected a finite number, seen {value}")
    if number and not -_DIGITS_MAX <= number.adjusted() <= _DIGITS_MAX:
        raise NumberError(f"{what}: {shown(value)} is beyond {_DIGITS_MAX} digits")
    return number


def to_units(value: object, decimals: int, what: str = "number") -> int:
    """Return a number as a whole count of `10 ** -decimals`; one that is off is refused."""
    if type(value) is int:
        return value * int(10**decimals)
    number = to_decimal(value, what)
    scaled = _EXACT.scaleb(number, decimals)
    units = int(scaled)
    if units != scaled:
        raise NumberError(
            f"{what}: {shown(value)} has more than {decimals} decimals; round it before it is "
            "given, or describe the instrument with more decimals"
        )
    return units


def optional_units(value: object | None, decimals: int, what: str = "number") -> int | None:
    """Return `to_units`, or None for None."""
    return None if value is None else to_units(value, decimals, what)


# Sizes, prices and fees come again and again; that they are the same objects helps whoever encodes.
@lru_cache(maxsize=8_192)
def from_units(units: int, decimals: int) -> Decimal:
    """Return a count of `10 ** -decimals` as a Decimal, exactly."""
    return _EXACT.scaleb(Decimal(units), -decimals)


def optional_decimal(units: int | None, decimals: int) -> Decimal | None:
    """Return `from_units`, or None for None."""
    return None if units is None else from_units(units, decimals)


def round_to_increment(
    value: object, increment: object, rounding: Rounding = "nearest", what: str = "number"
) -> Decimal:
    """Return a number as a multiple of an increment.

    `down` is towards minus infinity, `up` towards plus infinity, `nearest` takes the even multiple
    of two that are as near.
    """
    number, step = to_decimal(value, what), to_decimal(increment, f"{what}: increment")
    if step <= 0:
        raise NumberError(f"{what}: expected an increment above 0, seen {step}")
    count = _ROUNDED.divide(number, step).to_integral_value(_ROUNDINGS[rounding], _ROUNDED)
    return _EXACT.multiply(count, step)


def fee_share(fee: int, quantity: int, before: int, piece: int) -> int:
    """Return the part of a fill's fee that belongs to one matched piece of it.

    `quantity` is the fill's, `before` what of it was matched earlier, `piece` what is matched now.
    The shares of all pieces add up to the fee whatever the pieces, and each is less than one unit
    away from its proportion.
    """
    return fee * (before + piece) // quantity - fee * before // quantity


def div_half_even(numerator: int, denominator: int) -> int:
    """Return a quotient rounded to the nearest whole number, halves to the even one."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def div_away(numerator: int, denominator: int) -> int:
    """Return a quotient rounded away from zero: never smaller in size than the exact one."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    return -(-numerator // denominator) if numerator >= 0 else numerator // denominator


def product_fits(left_max: int, right_max: int, count: int = 1) -> bool:
    """Whether the sum of `count` products of these sizes stays within a 64-bit integer.

    numpy multiplies int64 columns and wraps in silence; ask before doing so.
    """
    return abs(left_max) * abs(right_max) * count <= INT64_MAX


def money_text(amount: Decimal | None, missing: str = "") -> str:
    """Return an amount for people to read: two decimals, thousands apart; `missing` for None."""
    return missing if amount is None else f"{amount:,.2f}"
