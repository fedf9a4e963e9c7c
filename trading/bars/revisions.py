"""Final bars that late ticks still revise, one by one or gathered."""

from __future__ import annotations

from collections.abc import Callable

from trading.bars.working import BarRow, OpenBar

__all__ = ["Key", "Revision", "Revisions"]

Key = tuple[str, int]
"""Symbol and start of a bar."""

Revision = tuple[int, int, BarRow]
"""When a revision became known, 1 (it comes after the finals of that time), and the bar."""

_EVER = -(2**63)


class Revisions:
    """Keeps final bars, joins late ticks to them, and gives out what was revised.

    `revise_ns` gathers late ticks of so much time into one revision; `keep_ns` is for how long a
    bar can be revised (None: for ever). `on_too_late` is told of the symbol and end of a bar that
    a tick came too late for.
    """

    def __init__(
        self,
        revise_ns: int,
        keep_ns: int | None,
        on_too_late: Callable[[str, int], None] | None,
    ) -> None:
        self._revise_ns = revise_ns
        self._keep_ns = keep_ns
        self._on_too_late = on_too_late
        self.bars: dict[Key, OpenBar] = {}
        # Revisions that wait for the end of their stretch of receipt: when they are due.
        self.due: dict[Key, int] = {}
        self.too_late: dict[str, int] = {}

    def revise(self, moment: int, key: Key, tick: OpenBar) -> list[Revision]:
        """Join a late tick to its bar; the revision, unless it is too late or gathered."""
        bar = self.bars.get(key)
        if bar is None:
            if self._keep_ns is not None and tick.end < moment - self._keep_ns:
                self.too_late[key[0]] = self.too_late.get(key[0], 0) + 1
                if self._on_too_late is not None:
                    self._on_too_late(key[0], tick.end)
                return []
            bar = self.bars[key] = OpenBar(key[0], tick.start, tick.end)
        _join(bar, tick)
        if self._revise_ns:
            self.due.setdefault(key, (moment // self._revise_ns + 1) * self._revise_ns)
            return []
        bar.version += 1
        return [(moment, 1, bar.row("revised"))]

    def dues(self, clock: int | None) -> list[Revision]:
        """Give out the gathered revisions that are due by a time; all of them for None."""
        rows = []
        ready = [(due, key) for key, due in self.due.items() if clock is None or due <= clock]
        for due, key in sorted(ready):
            del self.due[key]
            bar = self.bars[key]
            bar.version += 1
            rows.append((due, 1, bar.row("revised")))
        return rows

    def forget(self, clock: int) -> int:
        """Drop what can be revised no more; returns the time before which bars are dropped.

        A bar whose revision is not out yet is kept.
        """
        if self._keep_ns is None:
            return _EVER
        before = clock - self._keep_ns
        for key in list(self.bars):
            if self.bars[key].end >= before:
                break
            if key not in self.due:
                del self.bars[key]
        return before


def _join(bar: OpenBar, tick: OpenBar) -> None:
    """Join a bar of late ticks to the bar that it revises."""
    assert tick.first is not None
    assert tick.last is not None
    prices = (tick.open, tick.high, tick.low, tick.close)
    bar.add(tick.first, tick.last, prices, tick.volume, tick.notional, tick.count)
