"""Equity over a run, computed from what the kernel said: exact, in whole columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.journal.outputs import CashMoved, FillBooked, PositionChanged
from trading.risk.account import Market

__all__ = ["EquityBook", "Prices"]

Array = npt.NDArray[Any]
# Whole numbers below this stay whole in numpy; larger ones are added as Python's.
_FITS = 2**62


@dataclass
class Prices:
    """Closing prices of each symbol in units, by the times at which they were known."""

    times: Array
    by_symbol: dict[str, tuple[Array, Array]]

    def at_times(self, symbol: str) -> Array:
        """Return the last close at each of the run's times; 0 before there was one."""
        known, closes = self.by_symbol[symbol]
        rows = np.searchsorted(known, self.times, "right") - 1
        return np.where(rows >= 0, closes[np.maximum(rows, 0)], 0)


@dataclass
class EquityBook:
    """Cash and positions by account as they changed, fed by the kernel's outputs."""

    market: Market
    cash: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)
    nets: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)
    _held: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def sinks(self) -> dict[type, Callable[[Any], None]]:
        """Return what hears of which outputs."""
        return {
            CashMoved: self._moved,
            FillBooked: self._filled,
            PositionChanged: self._position,
        }

    def _moved(self, event: CashMoved) -> None:
        moves = self.cash.setdefault((event.account, event.currency), [])
        moves.append((event.time, event.amount))

    def _filled(self, event: FillBooked) -> None:
        spec, factor = self.market.specs[event.symbol], self.market.factors[event.symbol]
        paid = event.side * event.quantity * event.price * factor + event.fees
        moves = self.cash.setdefault((event.account, spec.currency), [])
        moves.append((event.time, -paid))

    def _position(self, event: PositionChanged) -> None:
        key = event.account, event.strategy, event.symbol
        change = event.net - self._held.get(key, 0)
        if change:
            self._held[key] = event.net
            moves = self.nets.setdefault((event.account, event.symbol), [])
            moves.append((event.time, change))

    def equity(self, account: str, base: str, prices: Prices) -> Array:
        """Return the equity of an account at each of the run's times, in units of money."""
        times = prices.times
        total: Array = np.zeros(len(times), np.int64)
        for (name, currency), moves in self.cash.items():
            if name == account:
                total = _added(total, self._worth(_levels(moves, times), currency, base))
        for (name, symbol), moves in self.nets.items():
            if name == account and symbol in prices.by_symbol:
                spec, factor = self.market.specs[symbol], self.market.factors[symbol]
                value = _times(_times(_levels(moves, times), prices.at_times(symbol)), factor)
                total = _added(total, self._worth(value, spec.currency, base))
        return total

    def _worth(self, money: Array, currency: str, base: str) -> Array:
        """Money in another currency at the run's rate; nothing is known of it without a rate."""
        if currency == base:
            return money
        rate, convert = {}, self.market.convert
        for amount in set(money.tolist()):
            rate[amount] = convert(amount, currency, base)
        return np.array([rate[amount] or 0 for amount in money.tolist()], dtype=object)


def _levels(moves: list[tuple[int, int]], times: Array) -> Array:
    """What a sum of moves was at each time; moves at the time itself count."""
    sums = [0, *accumulate(change for _, change in moves)]
    rows = np.searchsorted(np.array([time for time, _ in moves], np.int64), times, "right")
    return _array(sums)[rows]


def _array(values: Iterable[int]) -> Array:
    listed = list(values)
    fits = all(-_FITS < value < _FITS for value in listed)
    return np.array(listed, np.int64 if fits else object)


def _bound(values: Array) -> int:
    if not len(values):
        return 0
    return max(abs(int(values.max())), abs(int(values.min())))


def _times(left: Array, right: Array | int) -> Array:
    bound = _bound(right) if isinstance(right, np.ndarray) else abs(right)
    if _bound(left) * bound < _FITS:
        return np.asarray(left * right)
    return np.asarray(left.astype(object) * right)


def _added(left: Array, right: Array) -> Array:
    if _bound(left) + _bound(right) < _FITS:
        return np.asarray(left + right)
    return np.asarray(left.astype(object) + right)
