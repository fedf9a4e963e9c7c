"""Fold ticks into groups of (symbol, bar): exact, whatever the order of the additions.

Opens and closes go by time, then sequence, then arrival. Volume and notional amount are added as
integers, so that folding a day in one piece or in a thousand gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.bars.ticks import SIZE_DIGITS, Integers, Numbers, TickColumns

# What fits a processor's cache; larger pieces are slower by half.
_BLOCK = 65_536
# So few ticks, of so few groups, are sorted by group: numpy sorts single bytes in microseconds, and
# one call a column then serves all groups. For more ticks scattering is faster.
_FEW = 4_096
_FEW_GROUPS = 256
# Integers below this are exact as floats, and so are sums and products that stay below it.
_EXACT = float(2**53)
_DIGITS = (0, 2, 4, 6, SIZE_DIGITS)
NOTIONAL_DIGITS = 2 * SIZE_DIGITS


@dataclass(frozen=True)
class ExactSums:
    """One integer a group: floats that are whole numbers below 2^53, or Python's integers."""

    units: npt.NDArray[Any]
    digits: int

    def scaled(self, digits: int) -> list[int]:
        """The sums as integers of so many decimal places."""
        factor = 10 ** (digits - self.digits)
        return [int(unit) * factor for unit in self.units.tolist()]


@dataclass(frozen=True)
class Groups:
    """What the ticks of each (symbol, slot) add up to; groups are in order of symbol, then slot.

    `first` and `last` are rows of the ticks that were folded.
    """

    symbol: npt.NDArray[np.intp]
    slot: npt.NDArray[np.intp]
    count: Integers
    first: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]
    high: npt.NDArray[Any]
    low: npt.NDArray[Any]
    volume: ExactSums
    notional: ExactSums

    def __len__(self) -> int:
        return len(self.symbol)


def in_order(columns: TickColumns) -> TickColumns:
    """The ticks by time, then sequence, then arrival: the same object where they are so already."""
    ts, sequence = columns.timestamp, columns.sequence
    if len(ts) < 2:
        return columns
    if sequence is None:
        if (ts[1:] >= ts[:-1]).all():
            return columns
        return columns.take(np.argsort(ts, kind="stable"))
    later = ts[1:] > ts[:-1]
    if (later | ((ts[1:] == ts[:-1]) & (sequence[1:] >= sequence[:-1]))).all():
        return columns
    return columns.take(np.lexsort((sequence, ts)))


class DecimalPlaces:
    """How many decimal places prices and sizes had last: where the next ticks are tried first."""

    __slots__ = ("price", "size")

    def __init__(self) -> None:
        self.price = 2
        self.size = 0


def fold(
    columns: TickColumns,
    slot: npt.NDArray[Any] | None,
    slots: int,
    places: DecimalPlaces | None = None,
) -> Groups:
    """Fold ticks that are in order; `slot` says which of `slots` bars each belongs to.

    None for `slot` where there is one bar only. `places` saves looking for the number of decimal
    places anew where ticks come in many pieces; it changes no result.
    """
    if places is None:
        places = DecimalPlaces()
    key = columns.symbol.astype(np.intp)
    if slot is not None:
        key *= slots
        key += slot
    dense = len(columns.names) * slots
    if 0 < len(key) <= _FEW and dense <= _FEW_GROUPS:
        few = _fold_few(columns, key, slots, places)
        if few is not None:
            return few
    found = None
    if dense > max(4 * len(key), 4_096):
        found, key = np.unique(key, return_inverse=True)
        dense = len(found)
    prices = columns.price.values
    count = np.bincount(key, minlength=dense)
    first = np.empty(dense, dtype=np.intp)
    last = np.empty(dense, dtype=np.intp)
    high = np.full(dense, _lowest(prices.dtype), prices.dtype)
    low = np.full(dense, _highest(prices.dtype), prices.dtype)
    for begin in reversed(range(0, len(key), _BLOCK)):
        # Of what is assigned to one place several times the last stays.
        part = key[begin : begin + _BLOCK]
        first[part[::-1]] = np.arange(begin + len(part) - 1, begin - 1, -1)
    for begin in range(0, len(key), _BLOCK):
        part = key[begin : begin + _BLOCK]
        last[part] = np.arange(begin, begin + len(part))
        np.maximum.at(high, part, prices[begin : begin + _BLOCK])
        np.minimum.at(low, part, prices[begin : begin + _BLOCK])
    sizes = _Units(columns.size, places.size)
    volume = _sums(key, dense, sizes, places)
    notional = _products(key, dense, columns.price, sizes, volume, count, places)
    used = np.flatnonzero(count)
    which = used if found is None else found
    symbol, number = (which, np.zeros_like(which)) if slots == 1 else np.divmod(which, slots)
    if len(used) == dense:
        return Groups(symbol, number, count, first, last, high, low, volume, notional)
    return Groups(
        symbol,
        number,
        count[used],
        first[used],
        last[used],
        high[used],
        low[used],
        ExactSums(volume.units[used], volume.digits),
        ExactSums(notional.units[used], notional.digits),
    )


def _fold_few(
    columns: TickColumns, key: npt.NDArray[np.intp], slots: int, places: DecimalPlaces
) -> Groups | None:
    """The same for few ticks; None where their numbers have other decimal places, or are large."""
    price, size = _Units(columns.price, places.price), _Units(columns.size, places.size)
    p, s = price.block(0, len(key)), size.block(0, len(key))
    if p is None or s is None:
        return None
    order = key.astype(np.uint8).argsort(kind="stable")
    count = np.bincount(key)
    which = count.nonzero()[0]
    count = count[which]
    ends = np.add.accumulate(count)
    starts = ends - count
    units, prices = s[order], columns.price.values[order]
    volume = np.add.reduceat(units, starts)
    largest = price.bound * 10.0**price.digits
    if not largest < _EXACT:
        largest = _largest(p)
    # Half of what is exact: the bound is of the prices before they are rounded to whole units.
    if not max(largest, 1.0) * float(np.maximum.reduce(volume)) < _EXACT / 2:
        return None
    symbol, number = (which, np.zeros_like(which)) if slots == 1 else np.divmod(which, slots)
    return Groups(
        symbol,
        number,
        count,
        order[starts],
        order[ends - 1],
        np.maximum.reduceat(prices, starts),
        np.minimum.reduceat(prices, starts),
        ExactSums(volume, size.digits),
        ExactSums(np.add.reduceat(p[order] * units, starts), price.digits + size.digits),
    )


def _lowest(kind: np.dtype[Any]) -> Any:
    return -np.inf if kind.kind == "f" else np.iinfo(np.int64).min


def _highest(kind: np.dtype[Any]) -> Any:
    return np.inf if kind.kind == "f" else np.iinfo(np.int64).max


class _Units:
    """A column as whole numbers of one number of decimal places, block by block.

    `digits` starts small and grows where a block needs more.
    """

    def __init__(self, numbers: Numbers, first_guess: int) -> None:
        self.values = numbers.values
        self.bound = numbers.bound
        self.is_float = numbers.digits is None
        self.digits = first_guess if self.is_float else int(numbers.digits or 0)
        self._last: tuple[tuple[int, int], npt.NDArray[np.float64] | None] | None = None

    def block(self, begin: int, end: int) -> npt.NDArray[np.float64] | None:
        """Whole floats, or None where a number is too large for one or needs more digits."""
        if self._last is None or self._last[0] != (begin, self.digits):
            self._last = ((begin, self.digits), self._block(begin, end))
        return self._last[1]

    def _block(self, begin: int, end: int) -> npt.NDArray[np.float64] | None:
        values = self.values[begin:end]
        if not self.is_float:
            if not self.bound < _EXACT and _largest(values) >= _EXACT:
                return None
            return values.astype(np.float64)
        if self.digits == 0:
            units: npt.NDArray[np.float64] = np.rint(values)
        else:
            units = values * 10.0**self.digits
            np.rint(units, out=units)
        # Twice as much as can be reached: the product above is rounded.
        if not self.bound * 10.0**self.digits < _EXACT / 2 and _largest(units) >= _EXACT:
            return None
        if self.digits < SIZE_DIGITS:
            back = units / 10.0**self.digits if self.digits else units
            if not np.logical_and.reduce(back == values):
                return None
        return units

    def more_digits(self) -> bool:
        """Take the next number of decimal places; False where there is none."""
        if not self.is_float or self.digits >= SIZE_DIGITS:
            return False
        self.digits = next(digits for digits in _DIGITS if digits > self.digits)
        return True

    def exact(self) -> npt.NDArray[Any]:
        """The whole column as Python's integers: slow, and right for numbers of any size."""
        if not self.is_float:
            return self.values.astype(object)
        self.digits = SIZE_DIGITS
        with localcontext() as context:
            context.prec = 400
            step = Decimal(1).scaleb(-SIZE_DIGITS)
            units = [
                int(Decimal(value).quantize(step, ROUND_HALF_EVEN).scaleb(SIZE_DIGITS))
                for value in self.values.tolist()
            ]
        return np.array(units, dtype=object)


def _largest(values: npt.NDArray[Any]) -> float:
    if not len(values):
        return 0.0
    return max(float(np.maximum.reduce(values)), -float(np.minimum.reduce(values)))


def whole_units(numbers: Numbers) -> tuple[npt.NDArray[Any], int]:
    """A column as integers (int64, or Python's where they are larger) and their decimal places."""
    units = _Units(numbers, 0)
    while True:
        block = units.block(0, len(units.values))
        if block is not None:
            return block.astype(np.int64), units.digits
        if not units.more_digits():
            return units.exact(), units.digits


def _sums(
    key: npt.NDArray[np.intp], groups: int, units: _Units, places: DecimalPlaces
) -> ExactSums:
    while True:
        total = _added(key, groups, units)
        # Sizes are not negative: where the sum is exact, so is every part of it.
        if total is not None and (not groups or float(np.maximum.reduce(total)) < _EXACT):
            if units.is_float:
                places.size = units.digits
            return ExactSums(total, units.digits)
        if not units.more_digits():
            places.size = 0
            return ExactSums(_slow_sums(key, groups, units.exact()), units.digits)


def _added(key: npt.NDArray[np.intp], groups: int, units: _Units) -> npt.NDArray[np.float64] | None:
    total: npt.NDArray[np.float64] = np.zeros(groups)
    for begin in range(0, len(key), _BLOCK):
        block = units.block(begin, begin + _BLOCK)
        if block is None:
            return None
        total += np.bincount(key[begin : begin + _BLOCK], block, groups)
    return total


def _slow_sums(
    key: npt.NDArray[np.intp], groups: int, values: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    total = np.zeros(groups, dtype=object)
    np.add.at(total, key, values)
    return total


def _products(
    key: npt.NDArray[np.intp],
    groups: int,
    price: Numbers,
    sizes: _Units,
    volume: ExactSums,
    count: Integers,
    places: DecimalPlaces,
) -> ExactSums:
    """Sums of price × size a group; `sizes` has the decimal places of `volume`."""
    prices = _Units(price, places.price)
    if volume.units.dtype == object:
        return _slow_products(key, groups, prices, sizes)
    largest_volume = float(np.maximum.reduce(volume.units)) if groups else 0.0
    while True:
        total: npt.NDArray[Any] | None = None
        largest = 0.0
        for begin in range(0, len(key), _BLOCK):
            p, s = prices.block(begin, begin + _BLOCK), sizes.block(begin, begin + _BLOCK)
            if p is None or s is None:
                break
            largest = max(largest, _largest(p))
            piece = np.bincount(key[begin : begin + _BLOCK], p * s, groups)
            total = piece if total is None else total + piece
        else:
            if prices.is_float:
                places.price = prices.digits
            if largest * largest_volume < _EXACT:
                total = np.zeros(groups) if total is None else total
                return ExactSums(total, prices.digits + sizes.digits)
            places.price = 2
            return _limbs(key, groups, prices, sizes, largest, int(count.max()))
        if not prices.more_digits():
            places.price = 2
            return _slow_products(key, groups, prices, sizes)


def _limbs(
    key: npt.NDArray[np.intp],
    groups: int,
    prices: _Units,
    sizes: _Units,
    largest: float,
    ticks: int,
) -> ExactSums:
    """The same where the products pass 2^53: sizes are taken in pieces that keep each sum exact."""
    bits = 53 - int(largest).bit_length() - ticks.bit_length()
    if bits < 4:
        return _slow_products(key, groups, prices, sizes)
    total = np.zeros(groups, dtype=object)
    for begin in range(0, len(key), _BLOCK):
        p, s = prices.block(begin, begin + _BLOCK), sizes.block(begin, begin + _BLOCK)
        assert p is not None
        assert s is not None
        part, rest, shift = key[begin : begin + _BLOCK], s.astype(np.int64), 0
        while rest.any():
            piece = np.bincount(part, p * (rest & ((1 << bits) - 1)), groups)
            some = np.flatnonzero(piece)
            # Said to be objects: numpy would make floats of a list with integers beyond 63 bits.
            shifted = [int(x) << shift for x in piece[some].tolist()]
            total[some] += np.array(shifted, dtype=object)
            rest >>= bits
            shift += bits
    return ExactSums(total, prices.digits + sizes.digits)


def _slow_products(
    key: npt.NDArray[np.intp], groups: int, prices: _Units, sizes: _Units
) -> ExactSums:
    products = prices.exact() * sizes.exact()
    return ExactSums(_slow_sums(key, groups, products), prices.digits + sizes.digits)


Piece = tuple[tuple[int, int], tuple[int, int], tuple[Any, Any, Any, Any], int, int, int]
"""First and last key, (open, high, low, close), volume, notional and count of folded ticks."""


def pieces(
    groups: Groups, columns: TickColumns, sequence: Integers
) -> Iterable[tuple[Piece, int, int]]:
    """What each group adds to its bar, with the code of its symbol and its slot."""
    ts, price = columns.timestamp, columns.price.values
    firsts, lasts = groups.first, groups.last
    prices = (price[firsts], groups.high, groups.low, price[lasts])
    parts = zip(
        groups.symbol.tolist(),
        groups.slot.tolist(),
        zip(ts[firsts].tolist(), sequence[firsts].tolist(), strict=True),
        zip(ts[lasts].tolist(), sequence[lasts].tolist(), strict=True),
        zip(*(column.tolist() for column in prices), strict=True),
        groups.volume.scaled(SIZE_DIGITS),
        groups.notional.scaled(NOTIONAL_DIGITS),
        groups.count.tolist(),
        strict=True,
    )
    for code, slot, *piece in parts:
        yield tuple(piece), code, slot
