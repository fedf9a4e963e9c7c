"""Final bars as columns: numpy arrays on one side, an input of the journal on the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from trading.errors import JournalError
from trading.journal.inputs import Bar, BarBatch, Timeframe
from trading.kernel.prices.columns import Ints

__all__ = ["BarColumns"]

_COLUMNS = (
    "times",
    "codes",
    "intervals",
    "starts",
    "ends",
    "opens",
    "highs",
    "lows",
    "closes",
    "volumes",
    "counts",
    "notionals",
)


class BarColumns:
    """Final bars in order of arrival; prices and volumes are counts of each instrument's units.

    `codes` are places in `symbols`, `intervals` in `timeframes`, of which the shortest comes first.
    `times` are arrivals in nanoseconds and never go back. Rows of one time are one moment.
    JournalError for columns that do not fit together.
    """

    __slots__ = ("symbols", "timeframes", *_COLUMNS)

    times: Ints
    codes: Ints
    intervals: Ints
    starts: Ints
    ends: Ints
    opens: Ints
    highs: Ints
    lows: Ints
    closes: Ints
    volumes: Ints
    counts: Ints
    notionals: Ints

    def __init__(
        self,
        symbols: Sequence[str],
        timeframes: Sequence[Timeframe],
        times: npt.ArrayLike,
        codes: npt.ArrayLike,
        intervals: npt.ArrayLike,
        starts: npt.ArrayLike,
        ends: npt.ArrayLike,
        opens: npt.ArrayLike,
        highs: npt.ArrayLike,
        lows: npt.ArrayLike,
        closes: npt.ArrayLike,
        volumes: npt.ArrayLike,
        counts: npt.ArrayLike | None = None,
        notionals: npt.ArrayLike | None = None,
    ) -> None:
        self.symbols = tuple(symbols)
        self.timeframes = tuple(timeframes)
        given = (times, codes, intervals, starts, ends, opens, highs, lows, closes, volumes)
        rows = len(np.asarray(times))
        nothing = np.zeros(rows, np.int64)
        extra = tuple(nothing if each is None else each for each in (counts, notionals))
        for name, values in zip(_COLUMNS, (*given, *extra), strict=True):
            setattr(self, name, _whole(values, name, rows))
        self._check()

    def _check(self) -> None:
        times, codes = self.times, self.codes
        if not len(times):
            return
        if int(codes.min()) < 0 or int(codes.max()) >= len(self.symbols):
            raise JournalError(f"a code is none of the {len(self.symbols)} symbols")
        if int(self.intervals.min()) < 0 or int(self.intervals.max()) >= len(self.timeframes):
            raise JournalError(f"an interval is none of the {len(self.timeframes)} timeframes")
        back = np.flatnonzero(times[1:] < times[:-1])
        if len(back):
            at = int(back[0]) + 1
            raise JournalError(
                f"bar {at} arrived at {times[at]}, before the one above it; sort by arrival"
            )
        wrong = np.flatnonzero(
            (self.highs < np.maximum(self.opens, self.closes))
            | (self.lows > np.minimum(self.opens, self.closes))
            | (self.ends <= self.starts)
            | (self.volumes < 0)
        )
        if len(wrong):
            at = int(wrong[0])
            raise JournalError(
                f"bar {at} of {self.symbols[int(codes[at])]} contradicts itself: start "
                f"{self.starts[at]}, end {self.ends[at]}, open {self.opens[at]}, high "
                f"{self.highs[at]}, low {self.lows[at]}, close {self.closes[at]}, volume "
                f"{self.volumes[at]}; a high is the highest, a low the lowest, an end comes after "
                "its start"
            )

    def __len__(self) -> int:
        return len(self.times)

    def slice(self, start: int, stop: int) -> BarColumns:
        """Return some of the rows, as views."""
        part = object.__new__(BarColumns)
        part.symbols, part.timeframes = self.symbols, self.timeframes
        for name in _COLUMNS:
            setattr(part, name, getattr(self, name)[start:stop])
        return part

    def bars(self) -> Iterator[Bar]:
        """Yield the rows one by one."""
        for row in range(len(self.times)):
            yield Bar(
                self.times.item(row),
                self.symbols[self.codes.item(row)],
                self.timeframes[self.intervals.item(row)],
                self.starts.item(row),
                self.ends.item(row),
                *(getattr(self, name).item(row) for name in _COLUMNS[5:]),
            )

    def moment_after(self, row: int) -> int:
        """Return the first row from `row` on that does not share its time with the one before."""
        if row >= len(self.times) or row <= 0:
            return min(max(row, 0), len(self.times))
        return int(np.searchsorted(self.times, self.times[row - 1], "right"))

    def to_batch(self) -> BarBatch:
        """Return the input of the journal that holds these bars."""
        columns = [getattr(self, name).astype("<i8", copy=False).tobytes() for name in _COLUMNS]
        for at in (-1, -2):
            if not getattr(self, _COLUMNS[at]).any():
                columns[at] = b""
        return BarBatch(self.symbols, self.timeframes, *columns)

    @classmethod
    def from_batch(cls, batch: BarBatch) -> BarColumns:
        """Return the columns that an input of the journal holds."""
        columns: list[Ints | None] = []
        for name in _COLUMNS:
            data: bytes = getattr(batch, name)
            if len(data) % 8:
                raise JournalError(f"{name}: {len(data)} bytes are no column of 64-bit integers")
            missing = not data and name in ("counts", "notionals")
            columns.append(None if missing else np.frombuffer(data, "<i8").astype(np.int64))
        return cls(batch.symbols, batch.timeframes, *columns)  # type: ignore[arg-type]  # the last two may be None


def _whole(values: npt.ArrayLike, name: str, rows: int) -> Ints:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise JournalError(
            f"{name}: expected whole numbers, seen {array.dtype}; prices and volumes are counted "
            "in the instrument's units"
        )
    if len(array) != rows:
        raise JournalError(f"{name} has {len(array)} rows where times has {rows}")
    return np.ascontiguousarray(array, np.int64)
