"""Values computed by a function of the whole graph; what it reads is recorded while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from reactive.errors import CycleError
from reactive.graph.engine import Engine
from reactive.graph.failure import Failure
from reactive.graph.groups.derived_value import DerivedValue
from reactive.graph.observer import Observable, Origin


class _ReadDirtyValue(BaseException):
    """The function read a value that is yet to be recomputed; no `except Exception` stops it."""


class GraphFunction(DerivedValue):
    """A value computed by `fn(graph)`, again when something changed that it read the last time."""

    __slots__ = ("_closed", "_forgot", "_graph", "_reads", "_seen", "function")

    def __init__(self, name: str, engine: Engine, fn: Callable[[Any], Any], graph: object) -> None:
        super().__init__(name, engine, height=1)
        self.function = fn
        self._graph = graph
        self._closed = False
        self._forgot = False
        self._reads: dict[Observable, None] = {}
        self._seen: dict[Observable, None] = {}
        self.mark_dirty()

    def sources(self) -> Iterable[Observable]:
        """Return what it read the last time, and what it has read so far this time."""
        return {**self._reads, **self._seen}

    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Note that something it read has changed."""
        self.mark_dirty()

    def source_removed(self, source: Any, origin: Origin) -> None:
        """Note that something it read has been removed."""
        self._reads = {read: None for read in self._reads if not read.belongs_to(source)}
        self.mark_dirty()

    def read(self, source: Observable) -> None:
        """Record what the function reads."""
        if source.height >= self.height:
            self._depend_on(source)
            if source.dirty:
                self._seen[source] = None
                raise _ReadDirtyValue
        self._seen[source] = None

    def _depend_on(self, source: Observable) -> None:
        try:
            if source.dirty:
                # Two that wait for one another do not observe each other yet.
                self.check_no_cycle(source)
            self.raise_above(source)
        except CycleError:
            # It may be one only by what others read the last time, who wait to be computed anew.
            waiting = [each for *_, each in self.dirty_queue if isinstance(each, GraphFunction)]
            if not [function for function in waiting if function.forget_reads()]:
                raise
            self._depend_on(source)

    def forget_reads(self) -> bool:
        """Drop the recorded reads, to record them anew; once a turn, or it would never end."""
        if self._forgot or not self.dirty:
            return False
        self._forgot = True
        self._seen = {}
        self._observe(self.origin)
        return True

    def recompute(self, origin: Origin) -> None:
        """Run the function; it is queued again where it read what is not up to date yet."""
        self.dirty = False
        if self._closed:
            return
        self._seen = {}
        try:
            with self.engine.evaluating(self):
                new = self.function(self._graph)
        except _ReadDirtyValue:
            self.mark_dirty()
            return
        except Exception as error:  # noqa: BLE001 - kept as the value, and raised when that is read
            new = Failure(error)
            self.engine.failed_functions.add(self)
        self._forgot = False
        self._observe(origin)
        self.set_value(new, origin)

    def close(self, origin: Origin) -> None:
        """Stop observing; it may still be queued."""
        self._closed = True
        self.engine.failed_functions.discard(self)
        self._seen = {}
        self._observe(origin)

    def _observe(self, origin: Origin) -> None:
        """Observe what was read this time, and no longer what was not."""
        for source in self._seen:
            if source not in self._reads:
                source.add_observer(self)
        for source in self._reads:
            if source not in self._seen:
                source.remove_observer(self, origin)
        self._reads = self._seen
