"""Cumulative volumes turned into the sizes of single ticks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trading.errors import TickError


class VolumeTotals:
    """Remembers each symbol's volume so far and gives what was traded since.

    A total that goes back starts a new session: its size is the new total. Of a symbol's first
    total nobody knows how much was traded before the subscription; it counts as nothing unless
    `from_start` says that the feed began with the session.
    """

    def __init__(self, *, from_start: bool = False) -> None:
        self._from_start = from_start
        self._last: dict[str, float] = {}

    def sizes(
        self, symbols: npt.NDArray[np.object_], totals: npt.NDArray[np.number]
    ) -> npt.NDArray[np.number]:
        """The size of each tick, in the type of the totals; TickError for a total below zero."""
        bad = ~(totals >= 0)
        if bad.any():
            row = int(np.argmax(bad))
            raise TickError(
                f"total volume {totals[row]} of {symbols[row]!r} in row {row} is no volume",
                row,
                int(bad.sum()),
            )
        sizes = np.zeros_like(totals)
        pairs = zip(symbols.tolist(), totals.tolist(), strict=True)
        for row, (symbol, total) in enumerate(pairs):
            last = self._last.get(symbol, 0 if self._from_start else total)
            # A float's difference has digits that neither total has.
            sizes[row] = total if total < last else round(total - last, 9)
            self._last[symbol] = total
        return sizes
