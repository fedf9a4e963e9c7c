"""Values that are derived from several nodes: the common part of groups and graph functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from heapq import heappush
from typing import Any

from reactive.errors import CycleError
from reactive.graph.engine import Engine
from reactive.graph.equality import same
from reactive.graph.failure import Failure
from reactive.graph.observer import (
    BEFORE,
    Observable,
    Observer,
    Origin,
    raise_failure,
    without,
)


class DerivedValue(ABC):
    """A value that observes others and is observed, recomputed after all that it is derived from.

    `height` is one more than that of its highest source. The engine recomputes what is dirty from
    the lowest to the highest, so each value is recomputed once an update, when its sources are up
    to date.
    """

    __slots__ = (
        "dirty",
        "dirty_queue",
        "engine",
        "height",
        "name",
        "observers",
        "origin",
        "queue_entry",
        "serial",
        "value",
    )

    by_key = False
    height: int
    dirty: bool
    value: Any
    origin: Origin

    def __init__(self, name: str, engine: Engine, height: int) -> None:
        self.name = name
        self.engine = engine
        self.dirty_queue = engine.dirty_queue
        self.serial = engine.next_serial()
        self.value = None
        self.origin = BEFORE
        self.observers: tuple[Observer, ...] = ()
        self.dirty = False
        self.height = height
        self.queue_entry = (height, self.serial, self)

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.name

    def sources(self) -> Iterable[Observable]:
        """Return the values that this one is derived from, except those of nodes."""
        return ()

    # --- the value --------------------------------------------------------------------------------

    def get(self) -> Any:
        """Return the value, or raise ComputeError."""
        value = self.value
        if value.__class__ is Failure:
            raise_failure(self.label, value)
        return value

    def mark_dirty(self) -> None:
        """Queue the value to be recomputed."""
        if not self.dirty:
            self.dirty = True
            heappush(self.dirty_queue, self.queue_entry)

    @abstractmethod
    def recompute(self, origin: Origin) -> None:
        """Bring the value up to date and tell the observers if it changed."""

    def set_value(self, new: Any, origin: Origin) -> None:
        """Set the value, and tell the observers if it is another one."""
        old = self.value
        if not same(new, old):
            self.value = new
            self.origin = origin
            for observer in self.observers:
                observer.changed(self, old, new)

    # --- what it observes -------------------------------------------------------------------------

    @abstractmethod
    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Note that a value has changed."""

    def changed_many(self, sources: list[Any], olds: list[Any], news: list[Any]) -> None:
        """Note that the values of many nodes have changed."""
        for source, old, new in zip(sources, olds, news, strict=True):
            self.changed(source, old, new)

    def invalidate(self, source: Any) -> None:
        """Note that an interrupt may have kept changes of a node from being reported."""
        self.changed(source, None, None)

    @abstractmethod
    def source_removed(self, source: Any, origin: Origin) -> None:
        """Note that a node or a group has been removed."""

    @abstractmethod
    def close(self, origin: Origin) -> None:
        """Stop observing what it is derived from."""

    # --- what observes it -------------------------------------------------------------------------

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer of changes from now on."""
        self.observers = (*self.observers, observer)

    def remove_observer(self, observer: Observer, origin: Origin) -> None:
        """Stop telling an observer of changes."""
        self.observers = without(self.observers, observer)

    def remove_observers(self, origin: Origin) -> None:
        """Tell all observers that this value is removed."""
        for observer in self.observers:
            observer.source_removed(self, origin)
        self.observers = ()

    def belongs_to(self, owner: Any) -> bool:
        """Whether it is removed together with this node or group."""
        return self is owner

    # --- the order --------------------------------------------------------------------------------

    def raise_above(self, source: Observable) -> None:
        """Be recomputed after a source from now on; raise what is derived from this value too."""
        if source is self or any(isinstance(each, DerivedValue) for each in self.observers):
            self.check_no_cycle(source)
        waiting = [(self, source.height)]
        while waiting:
            derived, below = waiting.pop()
            if derived.height <= below:
                derived.height = below + 1
                derived.queue_entry = (derived.height, derived.serial, derived)
                waiting += [
                    (observer, derived.height)
                    for observer in derived.observers
                    if isinstance(observer, DerivedValue)
                ]

    def check_no_cycle(self, source: Observable) -> None:
        """Raise CycleError if the source is derived from this value."""
        came_from: dict[Observable, Observable | None] = {source: None}
        waiting: list[Observable] = [source]
        while waiting:
            found = waiting.pop()
            if found is self:
                path = [self.label]
                step = came_from[found]
                while step is not None:
                    path.append(step.label)
                    step = came_from[step]
                raise CycleError([self.label, *path[::-1]], "this value would depend on itself")
            if isinstance(found, DerivedValue):
                for below in found.sources():
                    if below not in came_from:
                        came_from[below] = found
                        waiting.append(below)
