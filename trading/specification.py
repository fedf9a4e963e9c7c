"""What the kernel needs to know of an instrument: whole numbers, frozen, no database."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.errors import InstrumentError
from trading.numbers import Number, from_units, to_decimal, to_units

__all__ = ["KINDS", "InstrumentSpec", "specify"]

KINDS = ("EQUITY", "FUTURE", "OPTION", "FX", "CRYPTO", "INDEX")


class InstrumentSpec(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="I"):
    """One instrument in whole numbers; `specify` makes one from decimals and checks it.

    Prices are counts of `10 ** -price_decimals`, sizes of `10 ** -size_decimals`, and a notional
    value `price * size * multiplier` is a count of `10 ** -notional_decimals`.
    """

    symbol: str
    kind: str
    currency: str
    price_decimals: int
    size_decimals: int
    price_increment: int
    size_increment: int
    multiplier: int
    multiplier_decimals: int
    calendar: str
    min_size: int
    max_size: int | None
    min_notional: int | None
    max_notional: int | None
    negative_prices: bool

    @property
    def notional_decimals(self) -> int:
        """Decimals of `price * size * multiplier` in this instrument's units."""
        return self.price_decimals + self.size_decimals + self.multiplier_decimals

    def factor(self, money_decimals: int) -> int:
        """Return what a price times a size is multiplied with to be money.

        InstrumentError when a product could be smaller than the smallest amount of money.
        """
        spare = money_decimals - self.notional_decimals
        if spare < 0:
            raise InstrumentError(
                f"{self.symbol}: a price of {self.price_decimals} decimals times a size of "
                f"{self.size_decimals} and a multiplier of {self.multiplier_decimals} needs "
                f"{self.notional_decimals} decimals of money, the run keeps {money_decimals}; "
                f"set money_decimals to {self.notional_decimals} or more"
            )
        return self.multiplier * int(10**spare)

    def price_units(self, price: Number, what: str = "price") -> int:
        """Return a price in this instrument's units; NumberError when it is off its decimals."""
        return to_units(price, self.price_decimals, what)

    def size_units(self, size: Number, what: str = "quantity") -> int:
        """Return a size in this instrument's units; NumberError when it is off its decimals."""
        return to_units(size, self.size_decimals, what)

    def price(self, units: int) -> Decimal:
        """Return a price as a Decimal."""
        return from_units(units, self.price_decimals)

    def size(self, units: int) -> Decimal:
        """Return a size as a Decimal."""
        return from_units(units, self.size_decimals)


def _decimals(*numbers: Decimal) -> int:
    return max(0, *(-int(number.normalize().as_tuple().exponent) for number in numbers))


def specify(
    symbol: str,
    *,
    kind: str = "EQUITY",
    currency: str = "USD",
    price_increment: Number = "0.01",
    size_increment: Number = 1,
    multiplier: Number = 1,
    calendar: str = "",
    min_size: Number | None = None,
    max_size: Number | None = None,
    min_notional: Number | None = None,
    max_notional: Number | None = None,
    negative_prices: bool = False,
    price_decimals: int | None = None,
    size_decimals: int | None = None,
) -> InstrumentSpec:
    """Describe an instrument for the kernel from decimals.

    Decimals beyond what the increments need leave room for a finer increment later. An empty
    `calendar` means a market that is always open. InstrumentError says what does not fit.
    """
    price_step = to_decimal(price_increment, f"{symbol}: price_increment")
    size_step = to_decimal(size_increment, f"{symbol}: size_increment")
    times = to_decimal(multiplier, f"{symbol}: multiplier")
    for name, value in (
        ("price_increment", price_step),
        ("size_increment", size_step),
        ("multiplier", times),
    ):
        if value <= 0:
            raise InstrumentError(f"{symbol}: expected a {name} above 0, seen {value}")
    if not symbol:
        raise InstrumentError("an instrument needs a symbol, seen an empty one")
    if kind not in KINDS:
        raise InstrumentError(f"{symbol}: unknown kind {kind!r}; there are: {' '.join(KINDS)}")
    p = _decimals(price_step) if price_decimals is None else price_decimals
    s = _decimals(size_step) if size_decimals is None else size_decimals
    m = _decimals(times)
    smallest = to_units(size_step if min_size is None else min_size, s, f"{symbol}: min_size")
    largest = None if max_size is None else to_units(max_size, s, f"{symbol}: max_size")
    if largest is not None and largest < smallest:
        raise InstrumentError(f"{symbol}: max_size {max_size} is below min_size {min_size}")
    bounds = [
        None if value is None else to_units(value, p + s + m, f"{symbol}: {name}")
        for name, value in (("min_notional", min_notional), ("max_notional", max_notional))
    ]
    return InstrumentSpec(
        symbol=symbol,
        kind=kind,
        currency=currency,
        price_decimals=p,
        size_decimals=s,
        price_increment=to_units(price_step, p, f"{symbol}: price_increment"),
        size_increment=to_units(size_step, s, f"{symbol}: size_increment"),
        multiplier=to_units(times, m, f"{symbol}: multiplier"),
        multiplier_decimals=m,
        calendar=calendar,
        min_size=smallest,
        max_size=largest,
        min_notional=bounds[0],
        max_notional=bounds[1],
        negative_prices=negative_prices,
    )
