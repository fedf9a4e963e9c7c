"""Commission models: what one fill of an order costs, in exact money.

    PerShare("0.005", minimum="1.00", maximum_share="0.01")   # a US broker's fixed pricing
    BasisPoints("10")                                         # 0.10 % of the value
    PerContract("0.85")
    MakerTaker("-0.2", "5")                                   # basis points; a rebate is negative

A minimum or maximum is for an order: each fill is charged what the order costs by now, less what
was charged before.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

from trading.errors import SettingsError
from trading.numbers import Number, div_half_even, to_decimal
from trading.specification import InstrumentSpec

__all__ = [
    "BasisPoints",
    "Commission",
    "MakerTaker",
    "NoCommission",
    "PerContract",
    "PerShare",
    "Traded",
    "commission_of",
]

Traded = tuple[int, int, int]
"""Size in units, value in money and fees in money of what an order filled before."""


class Commission(Protocol):
    """Says what a fill costs."""

    def charge(
        self,
        before: Traded,
        size: int,
        value: int,
        maker: bool,
        spec: InstrumentSpec,
        money_decimals: int,
    ) -> int:
        """Return the fee of a fill in money, negative for a rebate."""
        ...


Rate = tuple[int, int]


def _rate(value: Number, what: str, least: int | None = 0) -> Rate:
    number = to_decimal(value, what)
    if least is not None and number < least:
        raise SettingsError(f"{what}: expected {least} or more, seen {value}")
    return number.as_integer_ratio()


def _part(rate: Rate, amount: int, per: int = 1) -> int:
    """Return `rate * amount / per` as money, halves to the even unit."""
    return div_half_even(rate[0] * amount, rate[1] * per)


class NoCommission:
    """Fills are free."""

    def charge(
        self,
        before: Traded,
        size: int,
        value: int,
        maker: bool,
        spec: InstrumentSpec,
        money_decimals: int,
    ) -> int:
        """Return nothing."""
        return 0


class PerShare:
    """A rate per share with a minimum per order and a cap as a share of the order's value.

    The cap wins over the minimum, as brokers have it.
    """

    def __init__(
        self, rate: Number, minimum: Number = 0, maximum_share: Number | None = None
    ) -> None:
        self.rate = _rate(rate, "rate")
        self.minimum = _rate(minimum, "minimum")
        self._known: dict[int, dict[int, tuple[int, int, int]]] = {}
        self.maximum_share = (
            None if maximum_share is None else _rate(maximum_share, "maximum_share")
        )

    def charge(
        self,
        before: Traded,
        size: int,
        value: int,
        maker: bool,
        spec: InstrumentSpec,
        money_decimals: int,
    ) -> int:
        """Return the order's commission by now, less what was charged before."""
        old_size, old_value, charged = before
        known = self._known.get(money_decimals)
        found = None if known is None else known.get(spec.size_decimals)
        if found is None:
            found = self._in_units(money_decimals, spec.size_decimals)
        above, below, minimum = found
        total = above * (old_size + size)
        if below != 1:
            total = div_half_even(total, below)
        total = minimum if total < minimum else total
        if self.maximum_share is not None:
            total = min(total, _part(self.maximum_share, old_value + value))
        return total - charged

    def _in_units(self, money_decimals: int, size_decimals: int) -> tuple[int, int, int]:
        """The rate per unit of size as a fraction of money, and the minimum in money."""
        unit = 10**money_decimals
        rate = Fraction(self.rate[0] * unit, self.rate[1] * 10**size_decimals)
        found = rate.numerator, rate.denominator, _part(self.minimum, unit)
        self._known.setdefault(money_decimals, {})[size_decimals] = found
        return found


class PerContract(PerShare):
    """A rate per contract, with a minimum per order."""

    def __init__(self, rate: Number, minimum: Number = 0) -> None:
        super().__init__(rate, minimum)


class BasisPoints:
    """A part of the value in hundredths of a per cent, with a minimum per order."""

    def __init__(self, points: Number, minimum: Number = 0) -> None:
        self.points = _rate(points, "points")
        self.minimum = _rate(minimum, "minimum")

    def charge(
        self,
        before: Traded,
        size: int,
        value: int,
        maker: bool,
        spec: InstrumentSpec,
        money_decimals: int,
    ) -> int:
        """Return the order's commission by now, less what was charged before."""
        _, old_value, charged = before
        total = _part(self.points, old_value + value, 10_000)
        return max(total, _part(self.minimum, 10**money_decimals)) - charged


class MakerTaker:
    """Basis points by who was there first: a resting order pays `maker`, which may be a rebate."""

    def __init__(self, maker: Number, taker: Number) -> None:
        self.maker = _rate(maker, "maker", None)
        self.taker = _rate(taker, "taker", None)

    def charge(
        self,
        before: Traded,
        size: int,
        value: int,
        maker: bool,
        spec: InstrumentSpec,
        money_decimals: int,
    ) -> int:
        """Return the fee of this fill alone."""
        return _part(self.maker if maker else self.taker, value, 10_000)


_BY_NAME: dict[str, Callable[..., Commission]] = {
    "per-share": PerShare,
    "bps": BasisPoints,
    "per-contract": PerContract,
    "maker-taker": MakerTaker,
}


def commission_of(text: str | None) -> Commission | None:
    """Return the model of a text such as "bps 10"; None for an empty one, SettingsError for others.

    The numbers are the arguments of the model in their order.
    """
    if not text:
        return None
    name, *numbers = text.split()
    kind = _BY_NAME.get(name)
    if kind is None:
        raise SettingsError(
            f"commission: unknown model {name!r:.60}; there are {', '.join(_BY_NAME)}"
        )
    try:
        return kind(*numbers)
    except TypeError:
        raise SettingsError(
            f"commission: {text!r:.60} has {len(numbers)} numbers; write for example "
            '"per-share 0.005 1.00", "bps 10", "per-contract 0.85", "maker-taker -0.2 5"'
        ) from None
