"""How large an order should be: five ways, each rounded down to the size increment.

    fixed_notional(apple, "10000", price="228.25")                     # Decimal('43')
    equity_at_risk(apple, "100000", "0.01", entry="100", stop="96")    # Decimal('250')

Amounts are in the instrument's currency. SizingError says what is missing or makes no sense; a size
is never above what was asked for, and never below zero.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from trading.errors import NumberError, SizingError
from trading.numbers import Number, to_decimal
from trading.specification import InstrumentSpec

__all__ = [
    "equity_at_risk",
    "equity_at_risk_by_atr",
    "fixed_notional",
    "fixed_quantity",
    "volatility_target",
]


def _number(value: object, what: str, least: int | None = None) -> Fraction:
    try:
        number = Fraction(to_decimal(value, what))
    except NumberError as error:
        raise SizingError(str(error)) from None
    if least is not None and not number > least:
        raise SizingError(f"{what}: expected a number above {least}, seen {value}")
    return number


def _down(spec: InstrumentSpec, size: Fraction) -> Decimal:
    units = max(size, Fraction(0)) * 10**spec.size_decimals
    step = spec.size_increment
    steps = units.numerator // (units.denominator * step)
    if spec.max_size is not None:
        steps = min(steps, spec.max_size // step)
    return spec.size(steps * step)


def _multiplier(spec: InstrumentSpec) -> Fraction:
    return Fraction(spec.multiplier, 10**spec.multiplier_decimals)


def fixed_quantity(spec: InstrumentSpec, quantity: Number) -> Decimal:
    """Return the quantity itself, rounded down to the increment."""
    return _down(spec, _number(quantity, "quantity"))


def fixed_notional(spec: InstrumentSpec, notional: Number, price: Number) -> Decimal:
    """Return the size whose value is at most `notional`."""
    worth = abs(_number(price, "price")) * _multiplier(spec)
    if not worth:
        raise SizingError(f"{spec.symbol}: at a price of 0 every size is worth nothing")
    return _down(spec, _number(notional, "notional", -1) / worth)


def equity_at_risk(
    spec: InstrumentSpec, equity: Number, share: Number, *, entry: Number, stop: Number
) -> Decimal:
    """Return the size that loses at most `share` of equity between entry and stop."""
    distance = abs(_number(entry, "entry") - _number(stop, "stop"))
    if not distance:
        raise SizingError(
            f"{spec.symbol}: entry and stop are both {entry}; there is no risk to size"
        )
    risk = _number(equity, "equity") * _number(share, "share", -1)
    return _down(spec, risk / (distance * _multiplier(spec)))


def equity_at_risk_by_atr(
    spec: InstrumentSpec, equity: Number, share: Number, *, atr: Number, multiple: Number = 2
) -> Decimal:
    """Return the size that loses at most `share` of equity over a multiple of the true range."""
    distance = _number(atr, "atr", 0) * _number(multiple, "multiple", 0)
    risk = _number(equity, "equity") * _number(share, "share", -1)
    return _down(spec, risk / (distance * _multiplier(spec)))


def volatility_target(
    spec: InstrumentSpec, equity: Number, target: Number, *, price: Number, volatility: Number
) -> Decimal:
    """Return the size whose volatility is `target` of equity.

    `target` and `volatility` are for the same period: both annual, or both daily.
    """
    worth = abs(_number(price, "price", 0)) * _multiplier(spec)
    spread = worth * _number(volatility, "volatility", 0)
    return _down(spec, _number(equity, "equity") * _number(target, "target", -1) / spread)
