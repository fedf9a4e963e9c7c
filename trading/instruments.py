"""Instruments and their corporate actions, as the store keeps them.

    apple = Instrument("AAPL", price_increment=Decimal("0.01"))
    apple.spec().price_units("228.25")        # 22825

An instrument is a governed, bi-temporal entity of the store; the kernel is given its `spec()`, a
frozen description in whole numbers, as an input of its journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from store.base import Storable
from trading.specification import InstrumentSpec, specify

__all__ = ["Dividend", "Instrument", "InstrumentSpec", "Split", "specify"]


@dataclass
class Instrument(Storable):
    """What can be traded, with the increments that its prices and sizes are multiples of.

    `calendar` is the code of an exchange calendar, empty for a market that never closes. An option
    also has an underlying symbol, a strike price, an expiry date and a type (CALL or PUT).
    """

    symbol: str = ""
    kind: str = "EQUITY"
    currency: str = "USD"
    price_increment: Decimal = Decimal("0.01")
    size_increment: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(1)
    calendar: str = ""
    min_size: Decimal | None = None
    max_size: Decimal | None = None
    min_notional: Decimal | None = None
    max_notional: Decimal | None = None
    negative_prices: bool = False
    underlying_symbol: str | None = None
    strike_price: Decimal | None = None
    expiry_date: date | None = None
    option_type: str = ""

    def spec(self) -> InstrumentSpec:
        """Return the frozen description for the kernel; InstrumentError when it does not fit."""
        return specify(
            self.symbol,
            kind=self.kind,
            currency=self.currency,
            price_increment=self.price_increment,
            size_increment=self.size_increment,
            multiplier=self.multiplier,
            calendar=self.calendar,
            min_size=self.min_size,
            max_size=self.max_size,
            min_notional=self.min_notional,
            max_notional=self.max_notional,
            negative_prices=self.negative_prices,
        )


@dataclass
class Split(Storable):
    """`ratio_new` shares for every `ratio_old` held from `timestamp` on: 4 and 1 for a 4:1 split.

    Lots keep their cost; nothing is rewritten in ticks.
    """

    symbol: str = ""
    ratio_new: int = 1
    ratio_old: int = 1
    timestamp: datetime | None = None


@dataclass
class Dividend(Storable):
    """Cash per share, paid to who holds the symbol at `timestamp` and owed by who is short."""

    symbol: str = ""
    cash_per_share: Decimal = Decimal(0)
    currency: str = "USD"
    timestamp: datetime | None = None
