"""Prices beside trades: bars or ticks per symbol, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.errors import MetricsError
from trading.metrics.curve import frame_of
from trading.metrics.records import nanoseconds_of

__all__ = ["Path", "Prices"]

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ANY = ""


@dataclass(frozen=True)
class Path:
    """The prices of one symbol in order of time: each row covers `[start, end)` in nanoseconds.

    A tick is a row whose start is its end.
    """

    start: Times
    end: Times
    low: Floats
    high: Floats
    last: Floats

    def at(self, time: int) -> float | None:
        """Return the last price of what had ended by a time, None before the first one."""
        row = int(np.searchsorted(self.end, time, side="right")) - 1
        return float(self.last[row]) if row >= 0 else None

    def within(self, begin: int, stop: int, *, partial: bool = False) -> slice:
        """Return the rows that lie between two times, with `partial` also those that reach in."""
        if partial:
            first = int(np.searchsorted(self.end, begin, side="right"))
            return slice(first, max(first, int(np.searchsorted(self.start, stop, side="left"))))
        first = int(np.searchsorted(self.start, begin, side="left"))
        return slice(first, max(first, int(np.searchsorted(self.end, stop, side="right"))))


class Prices:
    """Bars or ticks of several symbols.

    `Prices.of(frame)` takes bars (`timestamp` or `start`, `high`, `low`, `close`, optionally `end`)
    or ticks (`timestamp`, `price`), with `symbol` where there are several. A bar without `end` ends
    where the next one starts, at most the usual step later. Rows without a price are left out.
    """

    def __init__(self, paths: dict[str, Path]) -> None:
        self._paths = paths

    @classmethod
    def of(cls, data: Any) -> Prices:
        """Read bars or ticks; MetricsError says what is missing or out of order."""
        if isinstance(data, Prices):
            return data
        frame = frame_of(data)
        frame = frame.set_axis([str(name).lower() for name in frame.columns], axis=1)
        time = next(
            (name for name in ("start", "timestamp", "date") if name in frame.columns), None
        )
        names = ("high", "low", "close") if "close" in frame.columns else ("price",) * 3
        missing = [name for name in dict.fromkeys(names) if name not in frame.columns]
        if time is None or missing:
            raise MetricsError(
                "prices: expected timestamp with high, low and close, or timestamp with price; "
                f"seen {', '.join(map(str, frame.columns))}"
            )
        frame = frame.dropna(subset=list(dict.fromkeys(names))).reset_index(drop=True)
        starts = nanoseconds_of(frame[time], f"prices: {time}")
        has_end = "end" in frame.columns and names[0] != "price"
        ends = nanoseconds_of(frame["end"], "prices: end") if has_end else None
        high, low, last = (frame[name].to_numpy(dtype=np.float64) for name in names)
        symbols = frame["symbol"].astype(str) if "symbol" in frame.columns else None
        rows = {_ANY: np.arange(len(frame))} if symbols is None else frame.groupby(symbols).indices
        paths = {}
        for symbol, at in rows.items():
            start = starts[at]
            _check_order(start, str(symbol))
            given = start if names[0] == "price" else None if ends is None else ends[at]
            end = _ends(start) if given is None else given
            paths[str(symbol)] = Path(start, end, low[at], high[at], last[at])
        return cls(paths)

    @property
    def symbols(self) -> list[str]:
        """The symbols that have prices."""
        return sorted(self._paths)

    def path(self, symbol: str) -> Path | None:
        """Return the prices of a symbol, None where there are none."""
        return self._paths.get(symbol, self._paths.get(_ANY))


def _ends(start: Times) -> Times:
    """Where bars end that do not say so: at the next one, or after the usual step."""
    if len(start) < 2:
        return start
    steps = np.diff(start)
    sizes, counts = np.unique(steps, return_counts=True)
    usual = sizes[int(np.argmax(counts))]
    return np.asarray(start + np.append(np.minimum(steps, usual), usual))


def _check_order(start: Times, symbol: str) -> None:
    wrong = start[1:] < start[:-1]
    if wrong.any():
        row = int(np.argmax(wrong)) + 1
        raise MetricsError(
            f"prices of {symbol!r}: row {row} is earlier than row {row - 1}; sort them"
        )
