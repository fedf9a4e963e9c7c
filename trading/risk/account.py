"""What the rules look at: an account's exposures and money, and the market's prices."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter

import msgspec

from trading.risk.correlation import Correlations
from trading.risk.limits import LimitsHistory
from trading.specification import InstrumentSpec

_closing = itemgetter(1)

__all__ = ["ACTIVE", "HALTED", "REDUCING", "TRADING_STATES", "Account", "Exposure", "Market"]

ACTIVE, REDUCING, HALTED = TRADING_STATES = ("ACTIVE", "REDUCING", "HALTED")


class Exposure(msgspec.Struct, array_like=True, gc=False):
    """Signed size held, and sizes that open orders and reservations may add to it."""

    net: int = 0
    open_buy: int = 0
    open_sell: int = 0
    reserved: int = 0

    @property
    def longest(self) -> int:
        """The position if all that may buy does, and nothing sells."""
        return self.net + self.open_buy + self.reserved

    @property
    def shortest(self) -> int:
        """The position if all that may sell does, and nothing buys."""
        return self.net - self.open_sell

    @property
    def nothing(self) -> bool:
        """Whether there is neither a position nor anything that may make one."""
        return not (self.net or self.open_buy or self.open_sell or self.reserved)


class Market(msgspec.Struct, array_like=True, gc=False):
    """Instruments and their last prices, in units; shared by all accounts of a run.

    `rates` gives what one unit of a currency is worth in a common currency, as a fraction. `atr`
    is the average true range of a symbol in price units, where a feature gives one.
    """

    money_decimals: int
    specs: dict[str, InstrumentSpec] = {}
    factors: dict[str, int] = {}
    last: dict[str, int] = {}
    bid: dict[str, int] = {}
    ask: dict[str, int] = {}
    rates: dict[str, tuple[int, int]] = {}
    atr: dict[str, int] = {}
    correlations: Correlations = msgspec.field(default_factory=Correlations)
    # Opening and closing times per calendar; a calendar that is not here is always open.
    sessions: dict[str, list[tuple[int, int]]] = {}

    def define(self, spec: InstrumentSpec) -> None:
        """Add an instrument, or replace its description."""
        self.factors[spec.symbol] = spec.factor(self.money_decimals)
        self.specs[spec.symbol] = spec

    def convert(self, money: int, currency: str, base: str) -> int | None:
        """Return money in another currency, rounded down; None without a rate."""
        if currency == base:
            return money
        one, other = self.rates.get(currency), self.rates.get(base)
        if one is None or other is None:
            return None
        return money * one[0] * other[1] // (one[1] * other[0])

    def session(self, calendar: str, now: int) -> tuple[int, int] | None:
        """Return the session of a calendar that is open now, or the next one; None without any."""
        sessions = self.sessions.get(calendar, [])
        at = bisect_right(sessions, now, key=_closing)
        return sessions[at] if at < len(sessions) else None

    def is_open(self, spec: InstrumentSpec, now: int) -> bool:
        """Whether the instrument's market is in session."""
        if not spec.calendar or spec.calendar not in self.sessions:
            return True
        session = self.session(spec.calendar, now)
        return session is not None and session[0] <= now


class Account(msgspec.Struct, array_like=True, gc=False):
    """Money, exposures and recent activity of one account.

    `cash` is by currency: what it began with, less what fills paid and fees, plus income.
    `owner` is who trades on it, and may not lift a halt of it.
    """

    name: str
    base: str = "USD"
    owner: str = ""
    trading_state: str = ACTIVE
    state_reason: str = ""
    cash: dict[str, int] = {}
    exposures: dict[str, Exposure] = {}
    by_strategy: dict[str, dict[str, Exposure]] = {}
    limits: LimitsHistory = msgspec.field(default_factory=LimitsHistory)
    day_start_equity: int | None = None
    high_water: int | None = None
    order_times: list[int] = []
    cancel_times: list[int] = []
    recent: dict[str, int] = {}

    def exposure(self, symbol: str) -> Exposure:
        """Return the exposure to a symbol, made where there was none."""
        found = self.exposures.get(symbol)
        if found is None:
            found = self.exposures[symbol] = Exposure()
        return found

    def strategy_exposure(self, strategy: str, symbol: str) -> Exposure:
        """Return one strategy's exposure to a symbol, made where there was none."""
        of_strategy = self.by_strategy.get(strategy)
        if of_strategy is None:
            of_strategy = self.by_strategy[strategy] = {}
        found = of_strategy.get(symbol)
        if found is None:
            found = of_strategy[symbol] = Exposure()
        return found

    def position(self, symbol: str) -> int:
        """Return the signed size held, in units."""
        found = self.exposures.get(symbol)
        return 0 if found is None else found.net

    def cash_value(self, market: Market) -> int | None:
        """Return all cash in the account's currency; None where a rate is missing."""
        base, total = self.base, 0
        for currency, cash in self.cash.items():
            if currency == base:
                total += cash
                continue
            money = market.convert(cash, currency, base)
            if money is None:
                return None
            total += money
        return total

    def equity(self, market: Market) -> int | None:
        """Return cash and market value in the account's currency; None where a price is missing."""
        total = self.cash_value(market)
        if total is None:
            return None
        for symbol, exposure in self.exposures.items():
            net = exposure.net
            if not net:
                continue
            price = market.last.get(symbol)
            if price is None:
                return None
            value = net * price * market.factors[symbol]
            money = market.convert(value, market.specs[symbol].currency, self.base)
            if money is None:
                return None
            total += money
        return total

    def note_equity(self, equity: int | None) -> int | None:
        """Raise the high-water mark to an equity, and return it."""
        if equity is not None and (self.high_water is None or equity > self.high_water):
            self.high_water = equity
        return equity

    def mark(self, market: Market) -> int | None:
        """Return equity, and raise the high-water mark to it."""
        return self.note_equity(self.equity(market))

    def begin_day(self, market: Market) -> None:
        """Start counting the daily loss anew."""
        self.day_start_equity = self.mark(market)
