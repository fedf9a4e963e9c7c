"""Values of a graph as signals of reaktiv, and signals that are written into fields."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from reactive.graph.effects.effect import Effect
from reactive.graph.effects.queue import EffectQueue
from reactive.graph.engine import Engine
from reactive.graph.equality import same
from reactive.graph.failure import Failure
from reactive.graph.nodes.tracked_node import TrackedNode
from reactive.graph.observer import Observable, Origin

if TYPE_CHECKING:
    import reaktiv


class Signals:
    """The signals that were asked for, and the effects of reaktiv that write into fields."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._feeds: dict[TrackedNode, list[reaktiv.Effect]] = {}
        self._by_source: dict[Observable, _SignalEffect] = {}

    def signal(self, source: Observable) -> reaktiv.ReadonlySignal[Any]:
        """Return a value as a signal; the same signal for the same value."""
        effect = self._by_source.get(source)
        if effect is None:
            reaktiv = _reaktiv()
            queue = self._engine.effects
            queue.signal_batch = reaktiv.batch
            with self._engine.change("attachment", source.label, ""):
                signal = reaktiv.Signal(_or_none(source.value), equal=same)
                effect = self._by_source[source] = _SignalEffect(queue, source, signal)
                effect.at_end = partial(self._by_source.pop, source)
        return effect.signal.as_readonly()

    def feed(self, node: TrackedNode, field: str, signal: Callable[[], Any]) -> None:
        """Write a field whenever a signal, or what a function reads of signals, has changed."""
        node.shape.require_field(field, node.id)
        reaktiv = _reaktiv()
        engine = self._engine

        def carry_over() -> None:
            try:
                value = signal()
                with reaktiv.untracked():
                    engine.update(node.id, field, value)
            except Exception as error:  # noqa: BLE001 - reaktiv would swallow it
                engine.effects.report(f"feed of {node.id}.{field}", error)

        feed = reaktiv.Effect(carry_over)
        # It runs under a lock of its own and takes the graph's inside of it, while an update
        # or the end of the node holds the graph's and comes to the feed: so both are one.
        feed._graph_lock = engine.lock
        # reaktiv holds effects weakly.
        self._feeds.setdefault(node, []).append(feed)

    def end_feeds(self, node: TrackedNode) -> None:
        """Stop writing into the fields of a node."""
        for feed in self._feeds.pop(node, ()):
            feed.dispose()


class _SignalEffect(Effect):
    """Sets a signal of reaktiv to a value."""

    __slots__ = ("signal", "source")

    def __init__(self, queue: EffectQueue, source: Observable, signal: reaktiv.Signal[Any]) -> None:
        super().__init__(queue, source.label)
        self.source = source
        self.signal = signal
        source.add_observer(self)

    @property
    def origin(self) -> Origin:
        return self.source.origin

    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Wait for the next time that signals are set."""
        if not self.queued:
            self.queued = True
            self.queue.signals.append(self)

    def run(self) -> None:
        """Set the signal."""
        self.signal.set(_or_none(self.source.value))

    def detach(self, origin: Origin) -> None:
        """Stop observing."""
        self.attached = False
        self.source.remove_observer(self, origin)


def _reaktiv() -> Any:
    """Return reaktiv, loaded when it is needed: all else needs the standard library alone."""
    import reaktiv  # noqa: PLC0415

    return reaktiv


def _or_none(value: Any) -> Any:
    if value.__class__ is Failure:
        return None
    return dict(value) if value.__class__ is dict else value
