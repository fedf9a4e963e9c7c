"""What can go wrong in the trading layer."""

from __future__ import annotations


class TradingError(Exception):
    """The root of all errors of this package."""


class IntervalError(TradingError, ValueError):
    """A text is no interval of bars, or the interval does not fit what it is used for."""


class CalendarError(TradingError, ValueError):
    """A trading calendar is unknown, or says nothing about the time asked for."""


class TickError(TradingError, ValueError):
    """Ticks that cannot be taken. Nothing of the table they came in was used.

    `row` is the first bad row, counted from 0, and `rows` how many are bad; None where the fault is
    one of the whole table.
    """

    def __init__(self, message: str, row: int | None = None, rows: int | None = None) -> None:
        super().__init__(message)
        self.row = row
        self.rows = rows

    def __reduce__(self) -> tuple[type[TickError], tuple[str, int | None, int | None]]:
        """Survive pickle with all fields."""
        return type(self), (str(self), self.row, self.rows)


class IndicatorError(TradingError, ValueError):
    """An indicator was made or fed with a value that it cannot take."""


class TickStoreError(TradingError):
    """The tick store cannot be reached or used, or the user has not the right."""


class FeedError(TradingError):
    """A feed of ticks was described wrongly, or ended for good."""


class SequenceConflict(TickError):
    """Ticks came under the source sequence of other ones.

    Unlike with other TickErrors the rest of the table is kept: `new` ticks of it. The ticks that
    were refused, as many as `conflicts`, are listed by `TickStore.conflicts()`.
    """

    def __init__(self, message: str, new: int | None = None, conflicts: int | None = None) -> None:
        super().__init__(message, None, conflicts)
        self.new = new
        self.conflicts = conflicts

    def __reduce__(self) -> tuple[type[SequenceConflict], tuple[str, int | None, int | None]]:
        """Survive pickle with all fields."""
        return type(self), (str(self), self.new, self.conflicts)
