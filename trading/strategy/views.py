"""What a strategy sees: bars and ticks with float prices, fills with exact ones."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from trading.errors import StrategyError
from trading.journal import inputs as journal
from trading.numbers import to_decimal
from trading.specification import InstrumentSpec
from trading.times import moment

__all__ = ["Bar", "Fill", "Signal", "Tick"]


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A final bar of `[start, end)`.

    Prices and volume are floats for figures: each is the float nearest to the exact number, so that
    it is exact again when it is given back as a price. `raw` has the whole numbers of the journal.
    """

    raw: journal.Bar
    timeframe: str
    scale: int
    size_scale: int
    spec: InstrumentSpec

    @property
    def symbol(self) -> str:
        """The instrument."""
        return self.raw.symbol

    @property
    def start(self) -> datetime:
        """When the bar begins, in UTC."""
        return moment(self.raw.start)

    @property
    def end(self) -> datetime:
        """When the bar ends, in UTC."""
        return moment(self.raw.end)

    @property
    def open(self) -> float:
        """First price."""
        return self.raw.open / self.scale

    @property
    def high(self) -> float:
        """Highest price."""
        return self.raw.high / self.scale

    @property
    def low(self) -> float:
        """Lowest price."""
        return self.raw.low / self.scale

    @property
    def close(self) -> float:
        """Last price."""
        return self.raw.close / self.scale

    @property
    def volume(self) -> float:
        """Traded size."""
        return self.raw.volume / self.size_scale

    @property
    def count(self) -> int:
        """Number of trades; 0 where it is not known."""
        return self.raw.count

    @property
    def vwap(self) -> float | None:
        """Average price by size; None where it is not known."""
        raw = self.raw
        if not (raw.volume and raw.notional):
            return None
        return raw.notional / (raw.volume * self.scale)

    @property
    def state(self) -> str:
        """What kind of bar it is: final, partial, empty or revised."""
        return self.raw.state

    def exact(self, name: str) -> Decimal:
        """Return `open`, `high`, `low`, `close` or `volume` as an exact number."""
        if name == "volume":
            return self.spec.size(self.raw.volume)
        if name in ("open", "high", "low", "close"):
            return self.spec.price(getattr(self.raw, name))
        raise StrategyError(f"a bar has no exact {name!r}; there are: open high low close volume")


class Tick(msgspec.Struct, frozen=True, gc=False):
    """A trade, a quote, or both; what it does not have is None."""

    raw: journal.Tick
    spec: InstrumentSpec

    @property
    def symbol(self) -> str:
        """The instrument."""
        return self.raw.symbol

    @property
    def time(self) -> datetime:
        """When it happened on the market, in UTC."""
        raw = self.raw
        return moment(raw.time if raw.event_time is None else raw.event_time)

    @property
    def price(self) -> float | None:
        """Price of the trade."""
        return self._price(self.raw.price)

    @property
    def size(self) -> float:
        """Size of the trade."""
        return self.raw.size / int(10**self.spec.size_decimals)

    @property
    def bid(self) -> float | None:
        """Best bid."""
        return self._price(self.raw.bid)

    @property
    def ask(self) -> float | None:
        """Best ask."""
        return self._price(self.raw.ask)

    def _price(self, units: int | None) -> float | None:
        return None if units is None else units / int(10**self.spec.price_decimals)


class Fill(msgspec.Struct, frozen=True, gc=False):
    """An execution of one of the strategy's orders; numbers are exact."""

    order_id: str
    fill_id: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    fees: Decimal
    time: datetime
    # What the order still wants.
    leaves: Decimal
    tag: str = ""


class Signal(msgspec.Struct, frozen=True, gc=False):
    """A strategy's opinion: BUY or SELL a symbol, how much at most, how sure, and why.

    `size_hint` is a size; `confidence` lies between 0 and 1. StrategyError for anything else.
    """

    action: str
    symbol: str
    size_hint: int | float | str | Decimal
    confidence: float = 1.0
    reason: str = ""

    def __post_init__(self) -> None:
        if self.action not in ("BUY", "SELL"):
            raise StrategyError(f"a signal's action is BUY or SELL, seen {self.action!r}")
        if to_decimal(self.size_hint, "size_hint") < 0:
            raise StrategyError(f"size_hint: expected a size of 0 or more, seen {self.size_hint}")
        if not 0.0 <= self.confidence <= 1.0:
            raise StrategyError(f"confidence: expected 0 to 1, seen {self.confidence}")

    def size_units(self, spec: InstrumentSpec) -> int:
        """Return the size hint in units, rounded down to the instrument's size increment."""
        number = to_decimal(self.size_hint, "size_hint").scaleb(spec.size_decimals)
        units = int(number)
        return units - units % spec.size_increment
