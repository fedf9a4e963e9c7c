"""Keeps a checked batch of ticks: new ones by COPY, repeated ones once, conflicts shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg2

from trading.bars.columns import Integers
from trading.errors import SequenceConflict
from trading.ticks.batch import Batch
from trading.ticks.copying import CopyReader, block_pieces, copied, row_pieces
from trading.ticks.login import Login
from trading.ticks.scaling import Mask

DAY_NS = 86_400_000_000_000
NONE = -(2**63)
# Prices of unknown symbols are kept with at least so many decimal places, sizes with none.
PRICE_DIGITS = 4
_KINDS = {"trade": ("price", "size"), "quote": ("bid", "ask", "bid_size", "ask_size")}
_FOUND = [
    *((name, np.int64) for name in ("stream", "seq", "ts", "price_digits", "size_digits")),
    *((name, np.int64) for name in "abcd"),
]
# A series with so many ticks in a batch, or more, gets blocks of them, of so many ticks at most.
BLOCK_MIN = 256
BLOCK_MAX = 8_192
# For more than so many repeated ticks the whole range between them is read.
_MANY = 20_000
_POWERS = 10 ** np.arange(10, dtype=np.int64)


@dataclass(frozen=True)
class _Series:
    stream: int
    series: int
    price_digits: int
    size_digits: int


@dataclass(frozen=True)
class _Ready:
    """A batch with its numbers as integers; arrays of streams and marks are by code."""

    batch: Batch
    columns: dict[str, Integers]
    price_digits: Integers
    size_digits: Integers
    stream: Integers
    series: npt.NDArray[np.int32]
    used: npt.NDArray[np.intp]
    # Which symbols have blocks of ticks, by code; the others have a row a tick.
    has_blocks: Mask


class Appender:
    """Writes batches as one user; remembers the series and partitions that it met."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._series: dict[tuple[str, str], _Series] = {}
        self._days: set[tuple[str, int]] = set()

    def append(self, batch: Batch, source: str) -> int:
        """Keep a batch in one transaction and return how many ticks of it are new.

        SequenceConflict, once the others are kept, for ticks under a sequence of other ones.
        """
        ready = self._ready(batch, source)
        self._make_days(ready)
        try:
            return self._keep(ready)
        except _NoPartition:
            # Dropped by somebody since this program met it.
            self._days.clear()
            self._make_days(ready)
            return self._keep(ready)

    def _ready(self, batch: Batch, source: str) -> _Ready:
        counts = np.bincount(batch.code, minlength=len(batch.names))
        used = np.flatnonzero(counts)
        names = [batch.names[code] for code in used]
        known = self._known(names, source)
        prices = np.zeros(len(batch.names), dtype=np.int64)
        sizes = np.zeros(len(batch.names), dtype=np.int64)
        for code, name in zip(used, names, strict=True):
            series = known.get(name)
            prices[code] = PRICE_DIGITS if series is None else series.price_digits
            sizes[code] = 0 if series is None else series.size_digits
        prices, sizes = batch.fit(prices, sizes)
        finer = [
            (name, int(prices[code]), int(sizes[code]))
            for code, name in zip(used, names, strict=True)
            if name not in known
            or (prices[code], sizes[code]) != (known[name].price_digits, known[name].size_digits)
        ]
        if finer:
            self._register(finer, source)
            known = self._known(names, source)
            # Another writer may have made them finer still.
            for code, name in zip(used, names, strict=True):
                prices[code], sizes[code] = known[name].price_digits, known[name].size_digits
            prices, sizes = batch.fit(prices, sizes)
        stream = np.zeros(len(batch.names), dtype=np.int64)
        number = np.zeros(len(batch.names), dtype=np.int32)
        for code, name in zip(used, names, strict=True):
            stream[code], number[code] = known[name].stream, known[name].series
        columns = batch.scaled(prices, sizes)
        has_blocks = counts >= BLOCK_MIN
        return _Ready(batch, columns, prices, sizes, stream, number, used, has_blocks)

    def _known(self, names: list[str], source: str) -> dict[str, _Series]:
        missing = [name for name in names if (name, source) not in self._series]
        if missing:
            with self._login.transaction() as cursor:
                cursor.execute("SELECT * FROM trading_ticks.known(%s, %s)", [missing, source])
                for name, *rest in cursor.fetchall():
                    self._series[name, source] = _Series(*rest)
        return {n: self._series[n, source] for n in names if (n, source) in self._series}

    def _register(self, series: list[tuple[str, int, int]], source: str) -> None:
        with self._login.transaction() as cursor:
            cursor.execute(
                "SELECT trading_ticks.register(%s, %s, %s, %s)",
                [[s[0] for s in series], source, [s[1] for s in series], [s[2] for s in series]],
            )
        for name, *_rest in series:
            self._series.pop((name, source), None)

    def _make_days(self, ready: _Ready) -> None:
        batch, has_blocks = ready.batch, ready.has_blocks[ready.used]
        days = _days_of(batch.timestamp)
        there = [k for k, names in _KINDS.items() if any(n in batch.columns for n in names)]
        kinds = [] if has_blocks.all() else list(there)
        if has_blocks.any():
            kinds += [f"{kind}_block" for kind in there]
        wanted = {(kind, int(day)) for kind in kinds for day in days} - self._days
        if not wanted:
            return
        with self._login.transaction() as cursor:
            for kind, day in sorted(wanted):
                cursor.execute("SELECT trading_ticks.make_day(%s, %s)", [kind, _date(day)])
        self._days |= wanted
        with self._login.transaction() as cursor:
            # A new day is the moment to drop an old one; never the days of this batch's future.
            cursor.execute("SELECT trading_ticks.drop_old()")
            if cursor.fetchone()[0]:
                self._days -= self._days - wanted

    def _keep(self, ready: _Ready) -> int:
        batch = ready.batch
        with self._login.transaction() as cursor:
            last, arrivals = _claim(cursor, ready)
            keep: Mask | None = None
            conflicts = np.zeros(0, dtype=np.intp)
            if batch.sequence is None:
                sequence = _numbered(batch, arrivals)
            else:
                sequence = batch.sequence
                keep, conflicts = _sift(cursor, ready, last)
            rows = None if keep is None or keep.all() else np.flatnonzero(keep)
            count = len(batch) if rows is None else len(rows)
            if count:
                self._copy(cursor, ready, sequence, rows)
                _record(cursor, ready, sequence, keep, last, arrivals)
            if len(conflicts):
                _note(cursor, ready, conflicts)
        if len(conflicts):
            raise _conflict_error(batch, conflicts, count)
        return count

    def _copy(
        self, cursor: Any, ready: _Ready, sequence: Integers, rows: npt.NDArray[np.intp] | None
    ) -> None:
        batch = ready.batch
        day = batch.timestamp // DAY_NS
        for number in _days_of(batch.timestamp):
            of_day = rows
            if day[0] != day[-1] or not (day == number).all():
                mask = day == number
                of_day = np.flatnonzero(mask) if rows is None else rows[mask[rows]]
            suffix = f"{_date(int(number)):%Y%m%d}"
            for kind, names in _KINDS.items():
                for columns, part in _patterns(batch, names, of_day):
                    given: list[tuple[str, npt.NDArray[Any]]] = [
                        ("ts", batch.timestamp),
                        ("seq", sequence),
                    ]
                    given += [(name, ready.columns[name]) for name in columns]
                    if batch.received is not None:
                        given.append(("received", batch.received))
                    single, many = _by_size(ready, part)
                    if single is None or len(single):
                        _copy_rows(cursor, f"{kind}_{suffix}", ready, given, single)
                    if many is None or len(many):
                        _copy_blocks(cursor, f"{kind}_block_{suffix}", ready, given, many)


Rows = npt.NDArray[np.intp]
Columns = list[tuple[str, npt.NDArray[Any]]]


def _by_size(ready: _Ready, rows: Rows | None) -> tuple[Rows | None, Rows | None]:
    """The rows to keep one by one, and those to keep in blocks; None for all of the batch."""
    nothing = np.zeros(0, dtype=np.intp)
    has_blocks = ready.has_blocks[ready.used]
    if not has_blocks.any():
        return rows, nothing
    if has_blocks.all():
        return nothing, rows
    picked = np.arange(len(ready.batch)) if rows is None else rows
    in_blocks = ready.has_blocks[ready.batch.code[picked]]
    return picked[~in_blocks], picked[in_blocks]


def _copy_rows(cursor: Any, leaf: str, ready: _Ready, columns: Columns, rows: Rows | None) -> None:
    """A row a tick."""
    given = [*columns, ("series", ready.series[ready.batch.code])]
    count = len(ready.batch) if rows is None else len(rows)
    _copy_from(
        cursor,
        leaf,
        [name for name, _values in given],
        CopyReader(row_pieces(given, slice(None) if rows is None else rows, count)),
    )


def _copy_blocks(
    cursor: Any, leaf: str, ready: _Ready, columns: Columns, rows: Rows | None
) -> None:
    """A row for each block of ticks of one series, in the order in which they came."""
    batch = ready.batch
    if rows is None:
        rows = batch.order
    elif len(batch.names) > 1:
        rows = rows[np.argsort(batch.narrow(batch.code[rows]), kind="stable")]
    picked: Any = slice(None) if rows is None else rows
    arrays = [(name, values[picked]) for name, values in columns]
    counts = np.bincount(batch.code[picked], minlength=len(batch.names))
    codes = np.flatnonzero(counts)
    ends = np.cumsum(counts[codes])
    blocks = [
        (code, start)
        for code, end, count in zip(codes, ends, counts[codes], strict=True)
        for start in range(int(end - count), int(end), BLOCK_MAX)
    ]
    starts = np.array([start for _code, start in blocks])
    ts, seq = arrays[0][1], arrays[1][1]
    single = [
        ("low", np.minimum.reduceat(ts, starts)),
        ("high", np.maximum.reduceat(ts, starts)),
        ("low_seq", np.minimum.reduceat(seq, starts)),
        ("high_seq", np.maximum.reduceat(seq, starts)),
        ("series", ready.series[[code for code, _start in blocks]]),
    ]
    _copy_from(
        cursor,
        leaf,
        [name for name, _values in (*single, *arrays)],
        CopyReader(block_pieces(single, arrays, starts.tolist())),
    )


def _copy_from(cursor: Any, leaf: str, columns: list[str], reader: CopyReader) -> None:
    statement = f"COPY trading_ticks.{leaf} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    try:
        cursor.copy_expert(statement, reader, 1 << 21)
    except psycopg2.errors.UndefinedTable as error:
        raise _NoPartition from error


class _NoPartition(Exception):
    """A day's partition is not there any more."""


def _days_of(timestamp: Integers) -> Integers:
    low, high = int(timestamp.min()) // DAY_NS, int(timestamp.max()) // DAY_NS
    if low == high:
        return np.array([low])
    if high - low < len(timestamp):
        return low + np.flatnonzero(np.bincount(timestamp // DAY_NS - low))
    return np.unique(timestamp // DAY_NS)


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def _patterns(
    batch: Batch, names: tuple[str, ...], rows: npt.NDArray[np.intp] | None
) -> list[tuple[list[str], npt.NDArray[np.intp] | None]]:
    """The rows by which of the columns they have; those with none of them are left out."""
    there = [name for name in names if name in batch.columns]
    if not there:
        return []
    if all(batch.columns[name].valid is None for name in there):
        return [(there, rows)]
    picked: Any = slice(None) if rows is None else rows
    bits = np.zeros(len(batch) if rows is None else len(rows), dtype=np.int64)
    for place, name in enumerate(there):
        bits |= batch.columns[name].has(picked).astype(np.int64) << place
    # Sizes alone are no quote.
    needed = sum(1 << p for p, name in enumerate(there) if name in ("price", "bid", "ask"))
    found: list[tuple[list[str], npt.NDArray[np.intp] | None]] = []
    for pattern in np.unique(bits[(bits & needed) != 0]):
        columns = [name for place, name in enumerate(there) if pattern >> place & 1]
        places = np.flatnonzero(bits == pattern)
        found.append((columns, places if rows is None else rows[places]))
    return found


def _claim(cursor: Any, ready: _Ready) -> tuple[Integers, Integers]:
    """Lock the streams; the last sequence and the count of arrivals by code."""
    streams = ready.stream[ready.used].tolist()
    cursor.execute("SELECT * FROM trading_ticks.claim(%s)", [streams])
    marks = {stream: (last, arrivals) for stream, last, arrivals in cursor.fetchall()}
    last = np.full(len(ready.stream), -1, dtype=np.int64)
    arrivals = np.zeros(len(ready.stream), dtype=np.int64)
    for code, stream in zip(ready.used, streams, strict=True):
        last[code], arrivals[code] = marks[stream]
    return last, arrivals


def _numbered(batch: Batch, arrivals: Integers) -> Integers:
    """The store's own sequence for ticks that have none: below zero, in the order of arrival."""
    counts = np.bincount(batch.code, minlength=len(batch.names))
    starts = np.cumsum(counts) - counts
    code = batch.by_symbol(batch.code)
    numbers = NONE + arrivals[code] + (np.arange(len(batch)) - starts[code])
    if batch.order is None:
        return np.asarray(numbers)
    sequence = np.empty(len(batch), dtype=np.int64)
    sequence[batch.order] = numbers
    return sequence


def _sift(cursor: Any, ready: _Ready, last: Integers) -> tuple[Mask | None, npt.NDArray[np.intp]]:
    """Which rows are new (None: all), and which stand under the sequence of another tick."""
    batch = ready.batch
    assert batch.sequence is not None
    code, sequence = batch.by_symbol(batch.code), batch.by_symbol(batch.sequence)
    more = sequence[1:] - sequence[:-1]
    new_symbol = code[1:] != code[:-1]
    rises = bool(((more > 0) | new_symbol).all())
    old = sequence <= last[code]
    if rises and not old.any():
        return None, np.zeros(0, dtype=np.intp)
    rows = np.arange(len(batch)) if batch.order is None else batch.order
    keep = np.ones(len(batch), dtype=np.bool_)
    bad = np.zeros(len(batch), dtype=np.bool_)
    if not rises:
        # Repeats within the batch: the first of a sequence counts.
        if not ((more >= 0) | new_symbol).all():
            rows = rows[np.lexsort((sequence, code))]
            code, sequence = batch.code[rows], batch.sequence[rows]
            new_symbol = code[1:] != code[:-1]
        first = np.r_[True, new_symbol | (sequence[1:] != sequence[:-1])]
        firsts, again = np.flatnonzero(first), np.flatnonzero(~first)
        repeats = rows[again]
        leaders = rows[firsts[np.searchsorted(firsts, again) - 1]]
        keep[repeats] = False
        bad[repeats] = ~_equal_rows(ready, repeats, leaders)
        rows = rows[firsts]
        old = sequence[firsts] <= last[code[firsts]]
    asked = rows[old]
    if len(asked):
        is_kept, is_same = _look_up(cursor, ready, asked)
        keep[asked[is_kept]] = False
        bad[asked[is_kept & ~is_same]] = True
    return keep, np.flatnonzero(bad)


def _equal_rows(ready: _Ready, rows: Any, others: Any) -> Mask:
    batch = ready.batch
    equal = batch.timestamp[rows] == batch.timestamp[others]
    for name, values in ready.columns.items():
        here, there = batch.columns[name].has(rows), batch.columns[name].has(others)
        equal &= (here == there) & (~here | (values[rows] == values[others]))
    return np.asarray(equal)


def _look_up(cursor: Any, ready: _Ready, rows: npt.NDArray[np.intp]) -> tuple[Mask, Mask]:
    """Which of these rows have a kept tick under their sequence, and which are equal to it."""
    batch = ready.batch
    assert batch.sequence is not None
    stream, sequence = ready.stream[batch.code[rows]], batch.sequence[rows]
    low, high = int(sequence.min()), int(sequence.max())
    cursor.execute(
        "SELECT * FROM trading_ticks.days_with(%s, %s, %s)", [np.unique(stream).tolist(), low, high]
    )
    days = [day for (day,) in cursor.fetchall()]
    is_kept = np.zeros(len(rows), dtype=np.bool_)
    is_same = np.ones(len(rows), dtype=np.bool_)
    has = {name: column.has(rows) for name, column in batch.columns.items()}
    # Rows of a stream, by sequence: what is found is put beside them by searching.
    by_key = np.lexsort((sequence, stream))
    for kind, names in _KINDS.items():
        found_here = np.zeros(len(rows), dtype=np.bool_)
        for day in days:
            found = _found(cursor, kind, day, stream, sequence)
            places, found = _asked_for(stream[by_key], sequence[by_key], found)
            places = by_key[places]
            is_kept[places] = found_here[places] = True
            same = found["ts"] == batch.timestamp[rows[places]]
            for letter, name in zip("abcd", names, strict=False):
                digits = found["price_digits" if name in ("price", "bid", "ask") else "size_digits"]
                kept = found[letter]
                here = has[name][places] if name in has else np.zeros(len(places), dtype=np.bool_)
                same &= here == (kept != NONE)
                if name in has:
                    ours = ready.columns[name][rows[places]]
                    own = (
                        ready.price_digits
                        if name in ("price", "bid", "ask")
                        else (ready.size_digits)
                    )
                    same &= ~here | _equal(ours, own[batch.code[rows[places]]], kept, digits)
            is_same[places] &= same
        is_part = np.zeros(len(rows), dtype=np.bool_)
        for name in set(names) & {"price", "bid", "ask"} & set(has):
            is_part |= has[name]
        # A tick that lacks a trade or a quote which the kept one has is another tick.
        is_same &= is_part == found_here
    return is_kept, is_same


def _found(
    cursor: Any, kind: str, day: date, stream: Integers, sequence: Integers
) -> dict[str, Integers]:
    is_many = len(stream) > _MANY
    statement = cursor.mogrify(
        "SELECT stream::bigint, seq, ts, price_digits::bigint, size_digits::bigint, a, b, c, d "
        "FROM trading_ticks.find(%s, %s, %s::integer[], %s::bigint[], %s, %s)",
        [
            kind,
            day,
            _array(np.unique(stream) if is_many else stream),
            None if is_many else _array(sequence),
            int(sequence.min()),
            int(sequence.max()),
        ],
    ).decode()
    return copied(cursor, statement, _FOUND)


def _asked_for(
    stream: Integers, sequence: Integers, found: dict[str, Integers]
) -> tuple[npt.NDArray[np.intp], dict[str, Integers]]:
    """Where found ticks stand among keys sorted by stream and sequence; others are left out."""
    places = np.zeros(len(found["seq"]), dtype=np.intp)
    is_asked = np.zeros(len(places), dtype=np.bool_)
    for number in np.unique(found["stream"]):
        low, high = np.searchsorted(stream, [number, number + 1])
        rows = np.flatnonzero(found["stream"] == number)
        wanted = found["seq"][rows]
        at = low + np.searchsorted(sequence[low:high], wanted)
        is_asked[rows] = sequence[np.minimum(at, len(sequence) - 1)] == wanted
        is_asked[rows] &= at < high
        places[rows] = at
    return places[is_asked], {name: values[is_asked] for name, values in found.items()}


def _equal(ours: Integers, own: Integers, kept: Integers, digits: Integers) -> Mask:
    """Are numbers of different decimal places equal? Nothing is multiplied, so nothing wraps."""
    more, less = _POWERS[np.maximum(own - digits, 0)], _POWERS[np.maximum(digits - own, 0)]
    return np.asarray((ours % more == 0) & (kept % less == 0) & (ours // more == kept // less))


def _array(values: Any) -> str:
    return "{" + ",".join(map(str, values.tolist())) + "}"


def _record(
    cursor: Any,
    ready: _Ready,
    sequence: Integers,
    keep: Mask | None,
    last: Integers,
    arrivals: Integers,
) -> None:
    """Move the marks and count what was kept, by stream and day."""
    batch = ready.batch
    rows = np.arange(len(batch)) if batch.order is None else batch.order
    if keep is not None:
        rows = rows[keep[rows]]
    code = batch.code[rows]
    days = _days_of(batch.timestamp)
    if len(days) > 1:
        day = batch.timestamp[rows] // DAY_NS
        in_order = np.lexsort((day, code))
        rows, code, day = rows[in_order], code[in_order], day[in_order]
        begins = (code[1:] != code[:-1]) | (day[1:] != day[:-1])
    else:
        begins = code[1:] != code[:-1]
    starts = np.flatnonzero(np.r_[True, begins])
    day_of = day[starts] if len(days) > 1 else np.full(len(starts), days[0])
    of_rows = sequence[rows]
    high = np.maximum.reduceat(of_rows, starts)
    low = np.minimum.reduceat(of_rows, starts)
    codes = code[starts]
    new_last, new_arrivals = last.copy(), arrivals.copy()
    if batch.sequence is None:
        new_arrivals += np.bincount(code, minlength=len(batch.names))
    else:
        np.maximum.at(new_last, codes, high)
    changed = np.unique(codes)
    own = batch.sequence is None
    cursor.execute(
        "SELECT trading_ticks.record(%s::integer[], %s::bigint[], %s::bigint[], %s::bigint[], "
        "%s::bigint[], %s::integer[], %s::date[], %s::bigint[], %s::bigint[], %s::bigint[], "
        "%s::bigint[], %s::bigint[])",
        [
            *(
                _array(each[changed])
                for each in (ready.stream, last, new_last, arrivals, new_arrivals)
            ),
            _array(ready.stream[codes]),
            [_date(int(number)) for number in day_of],
            _array(_counted(batch, ("price",), rows, starts)),
            _array(_counted(batch, ("bid", "ask"), rows, starts)),
            [None] * len(starts) if own else _array(low),
            [None] * len(starts) if own else _array(high),
            _array(np.maximum.reduceat(batch.timestamp[rows], starts)),
        ],
    )


def _counted(
    batch: Batch, names: tuple[str, ...], rows: npt.NDArray[np.intp], starts: npt.NDArray[np.intp]
) -> Integers:
    """How many of the rows have one of the columns, from each start to the next."""
    there = [batch.columns[name] for name in names if name in batch.columns]
    if not there:
        return np.zeros(len(starts), dtype=np.int64)
    if any(column.valid is None for column in there):
        return np.asarray(np.diff(np.r_[starts, len(rows)]))
    has = np.logical_or.reduce([column.has(rows) for column in there])
    return np.asarray(np.add.reduceat(has.astype(np.int64), starts))


def _note(cursor: Any, ready: _Ready, rows: npt.NDArray[np.intp]) -> None:
    batch = ready.batch
    assert batch.sequence is not None
    cursor.execute(
        "SELECT trading_ticks.note_conflicts(%s::integer[], %s::bigint[], %s)",
        [
            _array(ready.stream[batch.code[rows]]),
            _array(batch.sequence[rows]),
            [_shown(batch, int(row)) for row in rows],
        ],
    )


def _shown(batch: Batch, row: int) -> str:
    parts = [f"{np.datetime64(int(batch.timestamp[row]), 'ns')}Z"]
    for name, column in batch.columns.items():
        if column.has(slice(row, row + 1))[0]:
            value = column.numbers.values[row]
            shown = value if not column.numbers.digits else value / 10**column.numbers.digits
            parts.append(f"{name} {shown}")
    return ", ".join(parts)


def _conflict_error(batch: Batch, rows: npt.NDArray[np.intp], new: int) -> SequenceConflict:
    assert batch.sequence is not None
    row = int(rows[0])
    return SequenceConflict(
        f"{len(rows)} ticks came under the sequence of other ones; the first is sequence "
        f"{batch.sequence[row]} of {batch.names[batch.code[row]]!r} in row {row}: "
        f"{_shown(batch, row)}. They were refused and stand in conflicts(), the other {new} new "
        "ticks were kept",
        new,
        len(rows),
    )
