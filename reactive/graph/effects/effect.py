"""Effects: callbacks that run when a value has changed and all of the graph is up to date."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from reactive.graph.effects.queue import EffectQueue, QueuedEffect
from reactive.graph.equality import same
from reactive.graph.failure import Failure
from reactive.graph.nodes.tracked_node import NodeValue, TrackedNode
from reactive.graph.observer import BEFORE, Observable, Origin

_NEVER: Any = object()


class Effect(ABC):
    """A callback attached to a value, as the graph returns it for `remove_effect`.

    It is an observer: it is queued when the value changes, and runs when the graph is settled.
    """

    __slots__ = (
        "__weakref__",
        "at_end",
        "attached",
        "cause",
        "errors",
        "queue",
        "queued",
        "serial",
        "subject",
    )

    def __init__(self, queue: EffectQueue, subject: str) -> None:
        self.queue = queue
        self.subject = subject
        self.serial = queue.next_serial()
        self.attached = True
        self.queued = False
        self.at_end: Callable[[], object] | None = None
        self.cause: QueuedEffect | None = None
        self.errors = 0
        """How often its callback has raised."""

    def __repr__(self) -> str:
        return f"<{self.label}>"

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"effect on {self.subject}"

    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Wait for the next run."""
        if not self.queued:
            self.queued = True
            self.queue.waiting.append(self)

    def changed_many(self, sources: list[Any], olds: list[Any], news: list[Any]) -> None:
        """Wait for the next run."""
        self.changed(sources[-1], olds[-1], news[-1])

    def invalidate(self, source: Any) -> None:
        """Wait for the next run: changes of a node may not have been reported."""
        self.changed(source, None, None)

    def source_removed(self, source: Any, origin: Origin) -> None:
        """End with the removal of what it is attached to."""
        self.attached = False
        if self.at_end is not None:
            self.at_end()

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """The update that last changed what it is attached to."""

    @abstractmethod
    def run(self) -> None:
        """Call back if there is something new."""

    @abstractmethod
    def detach(self, origin: Origin) -> None:
        """Stop observing."""

    def raised(self, error: Exception) -> None:
        """Count and log what a callback raised, or why there is nothing to call back with."""
        self.errors += 1
        self.queue.report(self.label, error)


class ValueEffect(Effect):
    """Calls back with a value each time that it is another one than the time before."""

    __slots__ = ("_callback", "_failing", "_last", "_name", "source")

    def __init__(
        self, queue: EffectQueue, source: Observable, name: str, callback: Callable[[str, Any], Any]
    ) -> None:
        super().__init__(queue, source.label)
        self.source = source
        self._name = name
        self._callback = callback
        self._last: Any = _NEVER
        self._failing = False
        source.add_observer(self)
        self.changed(source, None, None)

    @property
    def origin(self) -> Origin:
        """The update that last changed the value."""
        return self.source.origin

    def run(self) -> None:
        """Call back with the value if it differs from the last; a failure is logged once."""
        value = self.source.value
        if value.__class__ is Failure:
            if not self._failing:
                self._failing = True
                self.raised(value.error)
            return
        self._failing = False
        if not same(value, self._last):
            self._last = value
            try:
                self._callback(self._name, value)
            except Exception as error:  # noqa: BLE001 - a callback must not stop the graph
                self.raised(error)

    def detach(self, origin: Origin) -> None:
        """Stop observing."""
        self.attached = False
        self.source.remove_observer(self, origin)


class NodeEffect(Effect):
    """Calls back once an update with all computed values of a node that have changed."""

    __slots__ = ("_callback", "_failing", "_last", "node", "waits_for_overrides")

    def __init__(
        self,
        queue: EffectQueue,
        node: TrackedNode,
        callback: Callable[[str, dict[str, Any]], Any],
        *,
        run_now: bool,
    ) -> None:
        super().__init__(queue, node.id)
        self.node = node
        self.waits_for_overrides = False
        """Whether to call back at the end of an override even if nothing changes by it."""
        self._callback = callback
        self._last: dict[str, Any] = {}
        self._failing: set[str] = set()
        for name in node.shape.visible:
            node.add_observer(name, self)
        if run_now:
            self.changed(node, None, None)
        else:
            self.skip()

    @property
    def origin(self) -> Origin:
        """The update that last changed one of the values."""
        names = self.node.shape.visible
        return max((NodeValue(self.node, name).origin for name in names), default=BEFORE)

    def skip(self) -> None:
        """Take the present values as reported: the next call has what differs from them."""
        for name in self.node.shape.visible:
            value = NodeValue(self.node, name).value
            if value.__class__ is not Failure:
                self._last[name] = value

    def observe(self, name: str) -> None:
        """Observe one more computed value."""
        self.node.add_observer(name, self)
        self.changed(self.node, None, None)

    def run(self) -> None:
        """Call back with what differs from the last time; a failure is logged once."""
        waited, self.waits_for_overrides = self.waits_for_overrides, False
        news: dict[str, Any] = {}
        for name in self.node.shape.visible:
            value = NodeValue(self.node, name).value
            if value.__class__ is Failure:
                if name not in self._failing:
                    self._failing.add(name)
                    self.raised(value.error)
                continue
            self._failing.discard(name)
            if not same(value, self._last.get(name, _NEVER)):
                self._last[name] = news[name] = value
        if news or waited:
            try:
                self._callback(self.node.id, news)
            except Exception as error:  # noqa: BLE001 - a callback must not stop the graph
                self.raised(error)

    def detach(self, origin: Origin) -> None:
        """Stop observing."""
        self.attached = False
        for name in self.node.shape.visible:
            self.node.remove_observer(name, self, origin)


class KeyedEffect(Effect):
    """Calls back once an update with the keys of a group by key whose value has changed."""

    __slots__ = ("_callback", "_changes", "_failing", "_last", "_name", "source")

    def __init__(
        self,
        queue: EffectQueue,
        source: Observable,
        name: str,
        callback: Callable[[str, dict[Any, Any]], Any],
    ) -> None:
        super().__init__(queue, source.label)
        self.source = source
        self._name = name
        self._callback = callback
        self._last: dict[Any, Any] = {}
        self._failing: set[Any] = set()
        self._changes: dict[Any, Any] = dict(source.value)
        source.add_observer(self)
        self.changed(source, None, {})

    @property
    def origin(self) -> Origin:
        """The update that last changed the group."""
        return self.source.origin

    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Gather the keys that changed, and wait for the next run."""
        self._changes.update(new)
        super().changed(source, old, new)

    def run(self) -> None:
        """Call back with the keys that differ from the last time; one that has gone has None."""
        news: dict[Any, Any] = {}
        for key, value in self._changes.items():
            if value.__class__ is Failure:
                if key not in self._failing:
                    self._failing.add(key)
                    self.raised(value.error)
                continue
            self._failing.discard(key)
            if not same(value, self._last.get(key)):
                news[key] = value
                if value is None:
                    del self._last[key]
                else:
                    self._last[key] = value
        self._changes = {}
        if news:
            try:
                self._callback(self._name, news)
            except Exception as error:  # noqa: BLE001 - a callback must not stop the graph
                self.raised(error)

    def detach(self, origin: Origin) -> None:
        """Stop observing."""
        self.attached = False
        self.source.remove_observer(self, origin)
