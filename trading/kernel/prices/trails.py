"""Trailing stops over many ticks at once: running extremes in place of a walk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trading.brokers.resting import Resting
from trading.kernel.prices.columns import Ints

__all__ = ["Trails"]

# Prices times basis points stay far below 64 bits.
_LARGEST = 2**48


class Trails:
    """The trailing stops of one symbol that wait at the simulated broker.

    `step` is the instrument's price increment. A stop follows the best price since it arrived; the
    tick that reaches it is found here, and met by the broker like any other.
    """

    def __init__(self, resting: Sequence[Resting], step: int) -> None:
        self._resting = resting
        self._step = step
        # The rows that were looked at last, if none reached a stop, and how each order stood then.
        self._seen: tuple[tuple[int, int], list[tuple[int, int]]] | None = None

    def first_reached(self, prices: Ints, rows: tuple[int, int]) -> int | None:
        """Return the place of the first price that reaches a stop, or that must be walked.

        `rows` is the stretch of a batch that these are the prices of.
        """
        self._seen = None
        if _is_large(prices) or any(abs(e.best or 0) > _LARGEST for e in self._resting):
            return 0
        places, ends = [], []
        for each in self._resting:
            best, stops = self._follow(each, prices)
            ends.append((int(best[-1]), int(stops[-1])))
            reached = np.flatnonzero(-each.side * prices <= stops)
            if len(reached):
                places.append(int(reached[0]))
        if places:
            return min(places)
        self._seen = rows, ends
        return None

    def skip_seen(self, rows: tuple[int, int]) -> bool:
        """Let the stops follow the prices that were looked at last, if those are of these rows."""
        if self._seen is None or self._seen[0] != rows:
            return False
        for each, (best, stop) in zip(self._resting, self._seen[1], strict=True):
            each.best, each.stop = -each.side * best, -each.side * stop
        self._seen = None
        return True

    def skip(self, prices: Ints) -> None:
        """Let the stops follow prices that reach none of them."""
        for each in self._resting:
            best, stops = self._follow(each, prices)
            each.best = -each.side * int(best[-1])
            each.stop = -each.side * int(stops[-1])

    def _follow(self, resting: Resting, prices: Ints) -> tuple[Ints, Ints]:
        """Return the best price and the stop after each price; both negated for a buy stop.

        So seen, the best price is the highest, and a stop only rises.
        """
        sign = -resting.side
        best = np.maximum.accumulate(sign * prices)
        if resting.best is not None:
            best = np.maximum(best, sign * resting.best)
        if resting.trail is not None:
            stops = best - resting.trail
        else:
            part = np.abs(best) * (resting.trail_bps or 0)
            stops = best - -(-part // (10_000 * self._step)) * self._step
        if resting.best is not None:
            # A stop that was given holds while the best price is the one that it was given at.
            unmoved = best == sign * resting.best
            if resting.stop is not None:
                stops[unmoved] = sign * resting.stop
        stops = np.maximum.accumulate(stops)
        if resting.stop is not None:
            stops = np.maximum(stops, sign * resting.stop)
        return best, stops


def _is_large(prices: Ints) -> bool:
    return bool(len(prices)) and max(abs(int(prices.max())), abs(int(prices.min()))) > _LARGEST
