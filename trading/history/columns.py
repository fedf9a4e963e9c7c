"""Tables of bars and ticks as the kernel's whole numbers, with an instrument for each symbol.

A symbol that is no known instrument gets one for research, whose increments are fine enough for
every number that the data has; the notes of the run say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trading.bars import compose
from trading.bars.columns import Integers, Numbers, exact_numbers
from trading.errors import BacktestError, TickError
from trading.history.reading import PRICES
from trading.journal.inputs import Timeframe
from trading.kernel import MISSING, BarColumns, TickColumns
from trading.numbers import MONEY_DECIMALS
from trading.specification import InstrumentSpec, specify
from trading.strategy import interval_length, timeframe_key, timeframe_of
from trading.times import DAY

__all__ = ["Market", "as_bars", "as_ticks", "interval_of"]

_EXACT = 2.0**53
_MOST_DECIMALS = 17
_SIZE_DECIMALS = 8


@dataclass
class Market:
    """The instruments of a run, and what was noted when its numbers were read."""

    known: Mapping[str, InstrumentSpec]
    currency: str = "USD"
    specs: dict[str, InstrumentSpec] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def money_decimals(self) -> int:
        """Decimals of money that make every price times size exact."""
        return max([MONEY_DECIMALS, *(spec.notional_decimals for spec in self.specs.values())])

    def spec(self, symbol: str, prices: Sequence[Numbers], size: Numbers | None) -> InstrumentSpec:
        """Return the instrument of a symbol, made for research where it is unknown."""
        found = self.specs.get(symbol) or self.known.get(symbol)
        if found is None:
            found = self._research(symbol, prices, size)
        self.specs[symbol] = found
        return found

    def _research(
        self, symbol: str, prices: Sequence[Numbers], size: Numbers | None
    ) -> InstrumentSpec:
        largest = max((each.bound for each in prices), default=1.0)
        fits = _MOST_DECIMALS
        while fits > 0 and largest * 10.0**fits >= 2.0**62:
            fits -= 1
        needed = max(2, *(_decimals_needed(each) for each in prices))
        sizes = 0 if size is None else min(_decimals_needed(size), _SIZE_DECIMALS)
        if needed > fits:
            self.notes.append(
                f"{symbol}: prices have more than {fits} decimals and were rounded to {fits}"
            )
        decimals = min(needed, fits)
        self.notes.append(
            f"{symbol} is no known instrument: it was given one for research with a price "
            f"increment of 1e-{decimals}, a size increment of 1e-{sizes}, in {self.currency}"
        )
        return specify(
            symbol,
            currency=self.currency,
            price_increment=Decimal(1).scaleb(-decimals),
            size_increment=Decimal(1).scaleb(-sizes),
            negative_prices=any(each.low <= 0 for each in prices),
        )


def _decimals_needed(numbers: Numbers) -> int:
    """How many decimals make all these numbers exact, at most 17."""
    values = numbers.values
    if numbers.digits is not None:
        digits = numbers.digits
        while digits and len(values) and not (values % 10).any():
            values, digits = values // 10, digits - 1
        return digits
    rest = np.unique(values)
    for digits in range(_MOST_DECIMALS + 1):
        factor = 10.0**digits
        whole = np.rint(rest * factor)
        # Both are exact floats below 2**53, so that the quotient is the float nearest to it.
        rest = rest[(whole / factor != rest) | (np.abs(whole) >= _EXACT)]
        if not len(rest):
            return digits
        if np.abs(rest).min() * factor >= _EXACT:
            break
    texts = [Decimal(repr(each)).normalize() for each in rest.tolist()]
    return min(max(0, *(-int(each.as_tuple().exponent) for each in texts)), _MOST_DECIMALS)


def _units(numbers: Numbers, decimals: int, symbol: str, what: str, *, research: bool) -> Integers:
    """Numbers as counts of `10 ** -decimals`; BacktestError where a known instrument is off."""
    values = numbers.values
    if numbers.digits is not None:
        more = decimals - numbers.digits
        if more >= 0:
            return np.asarray(values * np.int64(10**more))
        divisor = np.int64(10**-more)
        off = values % divisor != 0
        units = values // divisor
    else:
        factor = 10.0**decimals
        whole = np.rint(values * factor)
        off = whole / factor != values
        units = whole.astype(np.int64)
        large = np.flatnonzero(np.abs(whole) >= _EXACT)
        for row in large.tolist():
            exact = Decimal(repr(values.item(row))).scaleb(decimals)
            units[row] = int(exact.to_integral_value())
            off[row] = units[row] != exact
    if off.any() and not research:
        row = int(np.argmax(off))
        raise BacktestError(
            f"{symbol}: {what} {values[row]} has more decimals than the instrument's {decimals} "
            f"({int(off.sum())} such numbers); round the data, or leave the instrument out for a "
            "run with increments of its own"
        )
    return units


def _codes(column: pa.ChunkedArray) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The distinct symbols in the order of their names, and each row's place among them."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=lambda at: str(names[at]))
    places = np.empty(len(names), np.int64)
    places[order] = np.arange(len(names))
    codes = places[encoded.indices.to_numpy(zero_copy_only=False)]
    return tuple(str(names[at]) for at in order), codes


def _nanoseconds(column: pa.ChunkedArray) -> Integers:
    return np.asarray(column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy())


def _numbers(table: pa.Table, name: str, is_trade: Any = None) -> Numbers:
    try:
        column = table.column(name)
        return exact_numbers(column, name, allow_negative=True, is_trade=is_trade)
    except TickError as error:
        raise BacktestError(str(error)) from None


# --- bars -----------------------------------------------------------------------------------------


def interval_of(starts: Integers, codes: npt.NDArray[np.int64]) -> int:
    """Return the most frequent distance between bars of one symbol, in nanoseconds.

    BacktestError where no symbol has two bars.
    """
    order = np.lexsort((starts, codes))
    same = codes[order][1:] == codes[order][:-1]
    gaps = np.diff(starts[order])[same]
    gaps = gaps[gaps > 0]
    if not len(gaps):
        raise BacktestError(
            "the length of the bars cannot be told from one bar; name it: timeframe='1m'"
        )
    lengths, counts = np.unique(gaps, return_counts=True)
    found = int(lengths[np.argmax(counts)])
    # Months have 28 to 31 days; their bars are known as of thirty.
    return 30 * DAY if 28 * DAY <= found <= 31 * DAY else found


def as_bars(
    table: pa.Table,
    market: Market,
    *,
    timeframe: str | None = None,
    longer: Sequence[str] = (),
    calendar: Any = None,
) -> tuple[BarColumns, int]:
    """Return bars for the kernel with those of longer timeframes, and the interval of the shortest.

    A bar arrives at its end. BacktestError for two bars of one symbol and start.
    """
    names, codes = _codes(table.column("symbol"))
    starts = _nanoseconds(table.column("timestamp"))
    if not len(starts):
        raise BacktestError("there are no bars within the bounds of the run")
    interval = interval_length(timeframe) if timeframe else interval_of(starts, codes)
    if "end" in table.column_names:
        ends = _nanoseconds(table.column("end"))
    else:
        ends = _ends(starts, codes, interval)
    numbers = {name: _numbers(table, name) for name in (*PRICES, "volume")}
    research = [name not in market.known for name in names]
    columns = {name: np.empty(len(starts), np.int64) for name in numbers}
    for code, symbol in enumerate(names):
        rows: Any = slice(None) if len(names) == 1 else np.flatnonzero(codes == code)
        part = {name: each.take(rows) for name, each in numbers.items()}
        spec = market.spec(symbol, [part[name] for name in PRICES], part["volume"])
        for name, each in part.items():
            decimals = spec.size_decimals if name == "volume" else spec.price_decimals
            columns[name][rows] = _units(
                each, decimals, symbol, name, research=research[code] or name == "volume"
            )
    # A strategy may call the anchor by a name, such as week.
    own = next((each for each in longer if interval_length(each) == interval), None)
    anchor = interval if own is None else timeframe_key(own)
    made = _Made(names, codes, starts, ends, anchor, columns)
    parts = [made]
    for longer_one in longer:
        length = interval_length(longer_one)
        if length < interval:
            raise BacktestError(
                f"a strategy wants bars of {longer_one}, the data has bars of "
                f"{timeframe_of(interval)}; "
                "give shorter bars, or ticks"
            )
        if length > interval:
            parts.append(_longer(made, longer_one, calendar))
    return _sorted(parts), interval


@dataclass
class _Made:
    names: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    starts: Integers
    ends: Integers
    timeframe: Timeframe
    columns: dict[str, Integers]


def _ends(starts: Integers, codes: npt.NDArray[np.int64], interval: int) -> Integers:
    """When bars end: after the interval, never after the next one's start; months when they do."""
    order = np.lexsort((starts, codes))
    sorted_starts, sorted_codes = starts[order], codes[order]
    length = 31 * DAY if interval == 30 * DAY else interval
    following = sorted_starts + length
    same = sorted_codes[1:] == sorted_codes[:-1]
    twice = np.flatnonzero(same & (sorted_starts[1:] == sorted_starts[:-1]))
    if len(twice):
        raise BacktestError(
            f"{len(twice)} bars share symbol and timestamp with another; keep one of each"
        )
    nearer = np.minimum(following[:-1], sorted_starts[1:])
    following[:-1] = np.where(same, nearer, following[:-1])
    ends = np.empty_like(starts)
    ends[order] = following
    return ends


def _longer(made: _Made, timeframe: str, calendar: Any) -> _Made:
    """Bars of a longer timeframe, of whole numbers so that nothing is rounded."""
    stamps = {
        name: pa.array(values).cast(pa.timestamp("ns", "UTC"))
        for name, values in (("start", made.starts), ("end", made.ends))
    }
    order = np.lexsort((made.starts, made.codes))
    table = pa.table(
        {
            "symbol": pa.array([made.names[code] for code in made.codes.tolist()]),
            **stamps,
            **{name: pa.array(values) for name, values in made.columns.items()},
        }
    ).take(pa.array(order))
    joined = compose(table, timeframe, calendar=calendar)
    known = {name: code for code, name in enumerate(made.names)}
    ends = _nanoseconds(joined.column("end"))
    last = int(made.ends.max())
    keep = np.flatnonzero(
        (ends <= last) & np.asarray(pc.is_valid(joined.column("close")).to_numpy())
    )
    joined = joined.take(pa.array(keep))
    return _Made(
        made.names,
        np.array([known[name] for name in joined.column("symbol").to_pylist()], np.int64),
        _nanoseconds(joined.column("start")),
        _nanoseconds(joined.column("end")),
        timeframe_key(timeframe),
        {
            name: np.asarray(joined.column(name).to_numpy()).astype(np.int64)
            for name in made.columns
        },
    )


def _sorted(parts: list[_Made]) -> BarColumns:
    codes = np.concatenate([each.codes for each in parts])
    ends = np.concatenate([each.ends for each in parts])
    places = [np.full(len(each.codes), at, np.int64) for at, each in enumerate(parts)]
    intervals = np.concatenate(places)
    order = np.lexsort((intervals, codes, ends))
    columns = {
        name: np.concatenate([each.columns[name] for each in parts])[order]
        for name in parts[0].columns
    }
    return BarColumns(
        parts[0].names,
        [each.timeframe for each in parts],
        ends[order],
        codes[order],
        intervals[order],
        np.concatenate([each.starts for each in parts])[order],
        ends[order],
        *(columns[name] for name in (*PRICES, "volume")),
    )


# --- ticks ----------------------------------------------------------------------------------------


def as_ticks(table: pa.Table, market: Market) -> TickColumns:
    """Return ticks for the kernel, sorted by arrival."""
    names, codes = _codes(table.column("symbol"))
    stamps = _nanoseconds(table.column("timestamp"))
    if not len(stamps):
        raise BacktestError("there are no ticks within the bounds of the run")
    have = set(table.column_names)
    is_trade: Any = None
    if table.column("price").null_count:
        is_trade = np.asarray(pc.is_valid(table.column("price")).to_numpy())
    trades = {name: _numbers(table, name, is_trade) for name in ("price", "size")}
    quotes: dict[str, tuple[Numbers, Any]] = {}
    if {"bid", "ask"} <= have:
        for name in ("bid", "ask"):
            valid = np.asarray(pc.is_valid(table.column(name)).to_numpy())
            quotes[name] = _numbers(table, name, valid), valid
    columns = {name: np.full(len(stamps), MISSING, np.int64) for name in ("price", *quotes)}
    sizes = np.zeros(len(stamps), np.int64)
    for code, symbol in enumerate(names):
        rows: Any = slice(None) if len(names) == 1 else np.flatnonzero(codes == code)
        part = {name: each.take(rows) for name, each in trades.items()}
        prices = [part["price"], *(each.take(rows) for each, _ in quotes.values())]
        spec = market.spec(symbol, prices, part["size"])
        research = symbol not in market.known
        for name, numbers in zip(columns, prices, strict=True):
            units = _units(numbers, spec.price_decimals, symbol, name, research=research)
            valid = is_trade if name == "price" else quotes[name][1]
            columns[name][rows] = units if valid is None else np.where(valid[rows], units, MISSING)
        sizes[rows] = _units(part["size"], spec.size_decimals, symbol, "size", research=True)
    arrived = stamps
    if "received" in have and not table.column("received").null_count:
        arrived = np.maximum(_nanoseconds(table.column("received")), stamps)
    event_times = None if arrived is stamps else stamps
    order: Any = slice(None)
    if len(arrived) > 1 and bool((arrived[1:] < arrived[:-1]).any()):
        order = np.argsort(arrived, kind="stable")
    return TickColumns(
        names,
        arrived[order],
        codes[order],
        columns["price"][order],
        sizes[order],
        columns["bid"][order] if quotes else None,
        columns["ask"][order] if quotes else None,
        None if event_times is None else event_times[order],
    )
