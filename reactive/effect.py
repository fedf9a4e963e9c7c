"""Effects: callbacks that run when a value has changed and all of the graph is up to date."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from typing import Any

from reactive.computation import Failure
from reactive.errors import CycleError
from reactive.source import BEFORE, Link, Origin, Source
from reactive.tracked import NodeValue, TrackedNode
from reactive.updater import same

RUNS_MAX = 100
"""Times that one effect may run in consequence of one update before that counts as a cycle."""
PATH_MAX = 41
"""Steps of a cycle that its error names."""

logger = logging.getLogger("reactive.graph")
_serial_of = attrgetter("serial")
_NEVER: Any = object()


class EffectQueue:
    """The effects that wait to run, in the order in which they were attached."""

    def __init__(self) -> None:
        self.waiting: list[Effect] = []
        self.errors = 0
        self.signals: list[Effect] = []
        """Effects that only set a signal of reaktiv; they come before the others."""
        self.signal_batch: Callable[[], AbstractContextManager[Any]] = nullcontext
        """What makes setting several signals one change for those who watch them."""
        self._attached = 0
        self._running = False
        self._runs: dict[Effect, int] = {}
        self._cycle: CycleError | None = None

    def next_serial(self) -> int:
        """Return the place of a new effect in the order."""
        self._attached += 1
        return self._attached

    def run(self) -> None:
        """Run all that wait and all that they cause; within a run, leave it to that one."""
        if self._running:
            return
        self._running = True
        waiting = self.waiting
        try:
            if self.signals:
                self._publish()
            if len(waiting) > 1:
                waiting.sort(key=_serial_of)
            known = len(waiting)
            for effect in waiting:  # grows while it is run through
                effect.queued = False
                if effect.attached:
                    effect.run()
                if self.signals:
                    self._publish()
                if len(waiting) > known:
                    self._follow(effect, known)
                    known = len(waiting)
        except BaseException:
            for effect in (*waiting, *self.signals):
                effect.queued = False
            self.signals.clear()
            raise
        finally:
            waiting.clear()
            self._running = False
            if self._runs:
                self._conclude()

    def _conclude(self) -> None:
        """Forget who caused what, and raise the cycle that was found."""
        for effect in self._runs:
            effect.cause = None
        self._runs.clear()
        cycle, self._cycle = self._cycle, None
        if cycle is not None:
            raise cycle

    def _publish(self) -> None:
        """Set the signals whose values have changed."""
        while self.signals:
            signals, self.signals = self.signals, []
            with self.signal_batch():
                for signal in signals:
                    signal.queued = False
                    if signal.attached:
                        signal.run()

    def _follow(self, cause: Effect, known: int) -> None:
        """Put what a callback has caused in order, and stop what goes round and round."""
        caused = sorted(self.waiting[known:], key=_serial_of)
        del self.waiting[known:]
        for effect in caused:
            effect.cause = cause
            runs = self._runs[effect] = self._runs.get(effect, 0) + 1
            if runs <= RUNS_MAX:
                self.waiting.append(effect)
            elif self._cycle is None:
                self._cycle = _cycle_through(effect)

    def report(self, label: str, error: BaseException) -> None:
        """Count a callback's error and log it with its traceback."""
        self.errors += 1
        logger.error("%s raised %s: %s", label, type(error).__name__, error, exc_info=error)


class Effect(Link):
    """A callback attached to something, as the graph returns it: it can be taken off again."""

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
        self.at_end: Callable[[], None] | None = None
        self.cause: Effect | None = None
        self.errors = 0
        """How often its callback has raised."""

    def __repr__(self) -> str:
        return f"<{self.label}>"

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"effect on {self.subject}"

    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Wait for the next run."""
        if not self.queued:
            self.queued = True
            self.queue.waiting.append(self)

    def changed_many(self, sources: list[Any], olds: list[Any], news: list[Any]) -> None:
        """Wait for the next run."""
        self.changed(sources[-1], olds[-1], news[-1])

    def lose(self, source: Any, origin: Origin) -> None:
        """Come to an end with what it is attached to."""
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
        """Stop listening."""

    def raised(self, error: Exception) -> None:
        """Count and log what a callback raised, or why there is nothing to call back with."""
        self.errors += 1
        self.queue.report(self.label, error)


class ValueEffect(Effect):
    """Calls back with a value each time that it is another one than the time before."""

    __slots__ = ("_callback", "_failing", "_last", "_name", "source")

    def __init__(
        self, queue: EffectQueue, source: Source, name: str, callback: Callable[[str, Any], Any]
    ) -> None:
        super().__init__(queue, source.label)
        self.source = source
        self._name = name
        self._callback = callback
        self._last: Any = _NEVER
        self._failing = False
        source.add_link(self)
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
        """Stop listening."""
        self.attached = False
        self.source.remove_link(self, origin)


class NodeEffect(Effect):
    """Calls back once an update with all computed values of a node that have changed."""

    __slots__ = ("_callback", "_failing", "_last", "node")

    def __init__(
        self,
        queue: EffectQueue,
        node: TrackedNode,
        callback: Callable[[str, dict[str, Any]], Any],
        *,
        at_once: bool,
    ) -> None:
        super().__init__(queue, node.id)
        self.node = node
        self._callback = callback
        self._last: dict[str, Any] = {}
        self._failing: set[str] = set()
        for name in node.shape.visible:
            node.add_link(name, self)
            if not at_once:
                self._last[name] = NodeValue(node, name).value
        if at_once:
            self.changed(node, None, None)

    @property
    def origin(self) -> Origin:
        """The update that last changed one of the values."""
        names = self.node.shape.visible
        return max((NodeValue(self.node, name).origin for name in names), default=BEFORE)

    def listen(self, name: str) -> None:
        """Hear of one more computed value."""
        self.node.add_link(name, self)
        self.changed(self.node, None, None)

    def run(self) -> None:
        """Call back with what differs from the last time; a failure is logged once."""
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
        if news:
            try:
                self._callback(self.node.id, news)
            except Exception as error:  # noqa: BLE001 - a callback must not stop the graph
                self.raised(error)

    def detach(self, origin: Origin) -> None:
        """Stop listening."""
        self.attached = False
        for name in self.node.shape.visible:
            self.node.remove_link(name, self, origin)


class KeyedEffect(Effect):
    """Calls back once an update with the keys of a group by key whose value has changed."""

    __slots__ = ("_callback", "_changes", "_failing", "_last", "_name", "source")

    def __init__(
        self,
        queue: EffectQueue,
        source: Source,
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
        source.add_link(self)
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
        """Stop listening."""
        self.attached = False
        self.source.remove_link(self, origin)


def _cycle_through(effect: Effect) -> CycleError:
    """Name the effects, and the updates between them, that lead from an effect back to it."""
    path = [effect.label]
    step: Effect | None = effect
    while step is not None and len(path) < PATH_MAX:
        _, action, subject, name = step.origin
        step = step.cause
        if step is not None:
            path += [f"{action} of {subject}.{name}", step.label]
        if step is effect:
            break
    return CycleError(path[::-1], f"effects caused one another more than {RUNS_MAX} times")
