"""Indicators that follow a strategy's bars: computed for many bars at once where they come so."""

from __future__ import annotations

from typing import Any

from trading.errors import StrategyError
from trading.indicators import Indicator
from trading.strategy.views import Bar

__all__ = ["Figure"]


class Figure:
    """An indicator over the bars of one symbol and timeframe.

    `value` is the figure after the last final bar and `previous` the one before it; both are None
    while there were too few bars. `crossed_above` and `crossed_below` compare it with another.
    """

    def __init__(self, indicator: Indicator, inputs: tuple[str, ...]) -> None:
        if len(inputs) != len(indicator.inputs):
            raise StrategyError(
                f"{type(indicator).__name__} takes {', '.join(indicator.inputs)}; "
                f"{len(inputs)} columns were named: {', '.join(inputs)}"
            )
        for name in inputs:
            if name not in ("open", "high", "low", "close", "volume"):
                raise StrategyError(
                    f"a bar has no column {name!r}; there are: open high low close volume"
                )
        self.indicator = indicator
        self.inputs = inputs
        self.value: Any = None
        self.previous: Any = None

    @property
    def ready(self) -> bool:
        """Whether there were enough bars for a figure."""
        return self.value is not None

    def crossed_above(self, other: Figure) -> bool:
        """Whether it went from below or at the other figure to above it with the last bar."""
        value, before = self.value, self.previous
        if value is None or before is None or other.previous is None:
            return False
        return bool(before <= other.previous and value > other.value)

    def crossed_below(self, other: Figure) -> bool:
        """Whether it went from above or at the other figure to below it with the last bar."""
        value, before = self.value, self.previous
        if value is None or before is None or other.previous is None:
            return False
        return bool(before >= other.previous and value < other.value)

    def look_ahead(self, columns: list[list[float]]) -> list[Any]:
        """Return the figures of bars that will come one by one, computed from their columns.

        Whoever tells of these bars gives `previous` and `value` their figures with each.
        """
        return self.indicator.extend(*columns)

    def advance(self, bar: Bar) -> None:
        """Come to the next bar."""
        self.previous = self.value
        self.value = self.indicator.update(*[getattr(bar, name) for name in self.inputs])
