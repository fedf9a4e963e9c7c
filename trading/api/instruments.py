"""The instruments of a desk, as the API shows them and values positions by them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from trading.numbers import from_units
from trading.specification import InstrumentSpec

__all__ = ["Instruments"]


class Instruments:
    """What is traded, by symbol."""

    def __init__(self, specs: Iterable[InstrumentSpec]) -> None:
        self.specs = {spec.symbol: spec for spec in specs}

    def worth(self, symbol: str, quantity: Decimal, price: Decimal) -> Decimal:
        """Return the value of a position; an unknown symbol has the multiplier 1."""
        spec = self.specs.get(symbol)
        times = Decimal(1)
        if spec is not None:
            times = from_units(spec.multiplier, spec.multiplier_decimals)
        return quantity * price * times

    def shown(self, symbols: Iterable[str]) -> list[dict[str, Any]]:
        """Return the instruments of some symbols."""
        wanted = set(symbols)
        return [_shown(spec) for symbol, spec in self.specs.items() if symbol in wanted]


def _shown(spec: InstrumentSpec) -> dict[str, Any]:
    largest = None if spec.max_size is None else str(from_units(spec.max_size, spec.size_decimals))
    return {
        "symbol": spec.symbol,
        "kind": spec.kind,
        "currency": spec.currency,
        "price_increment": str(from_units(spec.price_increment, spec.price_decimals)),
        "size_increment": str(from_units(spec.size_increment, spec.size_decimals)),
        "multiplier": str(from_units(spec.multiplier, spec.multiplier_decimals)),
        "min_size": str(from_units(spec.min_size, spec.size_decimals)),
        "max_size": largest,
        "calendar": spec.calendar,
    }
