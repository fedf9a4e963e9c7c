"""Values that a function of the whole graph computes; what it reads is found out while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from reactive.cell import Cell
from reactive.computation import Failure
from reactive.errors import CycleError
from reactive.source import Link, Origin, Source

if TYPE_CHECKING:
    from reactive.propagation import Propagation


class _NotSettled(BaseException):
    """The function read a cell that waits to be settled; no `except Exception` stops it."""


class MultiComputed(Cell, Link):
    """A value computed by `fn(graph)`, again when something changed that it read the last time."""

    __slots__ = ("_closed", "_forgot", "_reads", "_seen", "function")

    def __init__(self, name: str, engine: Propagation, fn: Callable[[Any], Any]) -> None:
        super().__init__(name, engine, height=1)
        self.function = fn
        self._closed = False
        self._forgot = False
        self._reads: dict[Source, None] = {}
        self._seen: dict[Source, None] = {}
        self.mark()

    def sources(self) -> Iterable[Source]:
        """Return what it read the last time, and what it has read so far this time."""
        return {**self._reads, **self._seen}

    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Take note that something it read has changed."""
        self.mark()

    def lose(self, source: Any, origin: Origin) -> None:
        """Take note that something it read is gone."""
        self._reads = {read: None for read in self._reads if not read.belongs_to(source)}
        self.mark()

    def read(self, source: Source) -> None:
        """Take note of what the function reads."""
        if source.height >= self.height:
            self._come_after(source)
            if source.dirty:
                self._seen[source] = None
                raise _NotSettled
        self._seen[source] = None

    def _come_after(self, source: Source) -> None:
        try:
            if source.dirty:
                self._refuse_cycle(source)  # two that wait for one another have no links yet
            self.rise_above(source)
        except CycleError:
            # It may be one only by what others read the last time, who wait to be computed anew.
            waiting = [cell for *_, cell in self.agenda if isinstance(cell, MultiComputed)]
            if not [cell for cell in waiting if cell.forget()]:
                raise
            self._come_after(source)

    def forget(self) -> bool:
        """Let go of what was read, to find it out anew; once a turn, or there would be no end."""
        if self._forgot or not self.dirty:
            return False
        self._forgot = True
        self._seen = {}
        self._listen(self.origin)
        return True

    def settle(self, origin: Origin) -> None:
        """Run the function; it waits for another turn where it read what is not settled yet."""
        self.dirty = False
        if self._closed:
            return
        self._seen = {}
        try:
            with self.engine.evaluating(self):
                new = self.function(self.engine)
        except _NotSettled:
            self.mark()
            return
        except Exception as error:  # noqa: BLE001 - kept as the value, and raised when that is read
            new = Failure(error)
            self.engine.failed_multis.add(self)
        self._forgot = False
        self._listen(origin)
        self.take(new, origin)

    def close(self, origin: Origin) -> None:
        """Stop listening; it may be on the agenda still."""
        self._closed = True
        self.engine.failed_multis.discard(self)
        self._seen = {}
        self._listen(origin)

    def _listen(self, origin: Origin) -> None:
        """Hear of what was read this time, and no longer of what was not."""
        for source in self._seen:
            if source not in self._reads:
                source.add_link(self)
        for source in self._reads:
            if source not in self._seen:
                source.remove_link(self, origin)
        self._reads = self._seen
