"""Ticks as columns of exact numbers: what bars are folded from, in memory alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.errors import TickError

__all__ = [
    "INT64_MAX",
    "SIZE_DIGITS",
    "Integers",
    "Numbers",
    "TickColumns",
    "instant_ns",
    "is_in_order",
]

Integers = npt.NDArray[np.int64]
# Sizes and notional amounts are added as integers of this many decimal places.
SIZE_DIGITS = 9
INT64_MAX = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def instant_ns(moment: Any) -> int:
    """Nanoseconds since 1970 UTC of an int, a datetime with a zone, or a pandas or numpy time."""
    if isinstance(moment, (int, np.integer)) and not isinstance(moment, bool):
        return int(moment)
    value = getattr(moment, "value", None)
    if isinstance(value, int) and getattr(moment, "tzinfo", None) is not None:
        return int(moment.as_unit("ns").value)
    if isinstance(moment, np.datetime64):
        return int(moment.astype("datetime64[ns]").astype(np.int64))
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
        except ValueError:
            raise TickError(
                f"{moment!r} is no moment in time; write for example 2024-03-05T14:30:00+00:00"
            ) from None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise TickError(
            f"{moment!r} is no moment in time; give a datetime with a time zone, or nanoseconds"
        )
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


@dataclass(frozen=True)
class Numbers:
    """A column of exact numbers: floats as they came, or integers of `digits` decimal places."""

    values: npt.NDArray[Any]
    # None for floats.
    digits: int | None
    # The Arrow type that the column came in, where it came from a table.
    arrow_type: Any = None
    # No value is below or above these.
    low: float = float("-inf")
    high: float = float("inf")

    @property
    def bound(self) -> float:
        """No value is larger than this, whatever its sign."""
        return max(self.high, -self.low)

    def take(self, rows: Any) -> Numbers:
        """Some of the rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True)
class TickColumns:
    """Ticks as arrays of one length, in the order in which they came.

    `symbol` counts into `names`. `received` is None where nothing says when a tick came, and
    `sequence` where the order of rows decides. Rows without a price are quotes: they carry `bid`
    and `ask` alone, and `is_trade` says which they are (None: all are trades).
    """

    timestamp: Integers
    symbol: npt.NDArray[np.integer[Any]]
    names: tuple[str, ...]
    price: Numbers
    size: Numbers
    sequence: Integers | None = None
    received: Integers | None = None
    bid: Numbers | None = None
    ask: Numbers | None = None
    is_trade: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.timestamp)

    def take(self, rows: Any) -> TickColumns:
        """Some of the rows: an index array, a mask or a slice."""

        def part(column: Any) -> Any:
            if column is None:
                return None
            return column.take(rows) if isinstance(column, Numbers) else column[rows]

        return replace(
            self,
            timestamp=self.timestamp[rows],
            symbol=self.symbol[rows],
            price=self.price.take(rows),
            size=self.size.take(rows),
            sequence=part(self.sequence),
            received=part(self.received),
            bid=part(self.bid),
            ask=part(self.ask),
            is_trade=part(self.is_trade),
        )


def is_in_order(times: Integers) -> bool:
    """Whether no time is before the one above it."""
    return bool(np.logical_and.reduce(times[1:] >= times[:-1]))
