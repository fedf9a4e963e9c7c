"""Finds ticks that a source sent and that never came, by its sequence."""

from __future__ import annotations

import pyarrow as pa

from trading.bars.columns import Integers, tick_columns
from trading.ticks.feeds.events import Gap


class SequenceGaps:
    """Watches the sequences of a source that counts each symbol's ticks by ones.

    A jump by more than one is a gap of that symbol, between the times of the two ticks around it.
    Repeated and late ticks make none.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}

    def push(self, table: pa.Table) -> list[Gap]:
        """The gaps before and between the ticks of a table; none where it has no sequence."""
        columns = tick_columns(table, allow_negative=True)
        if columns.sequence is None:
            return []
        gaps: list[Gap] = []
        for code, name in enumerate(columns.names):
            rows = columns.symbol == code
            gaps += self._watch(name, columns.sequence[rows], columns.timestamp[rows])
        return gaps

    def _watch(self, symbol: str, sequence: Integers, timestamp: Integers) -> list[Gap]:
        gaps = []
        for number, moment in zip(sequence.tolist(), timestamp.tolist(), strict=True):
            last = self._last.get(symbol)
            if last is not None and number <= last[0]:
                continue
            if last is not None and number > last[0] + 1 and moment > last[1]:
                reason = f"sequences {last[0] + 1} to {number - 1} did not come"
                gaps.append(Gap(last[1], moment, symbol, reason))
            self._last[symbol] = (number, moment)
        return gaps
