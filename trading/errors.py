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


class BarError(TradingError, ValueError):
    """Bars that cannot be used: columns are missing, or they do not fit what is asked for."""


class OptionError(TradingError, ValueError):
    """An option or a chain lacks what its figures need."""


class IndicatorError(TradingError, ValueError):
    """An indicator was made or fed with a value that it cannot take."""
