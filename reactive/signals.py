"""Values of a graph as signals of reaktiv, and signals that feed fields."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from reactive.computation import Failure
from reactive.effect import Effect
from reactive.effect_queue import EffectQueue
from reactive.errors import UnknownNameError
from reactive.grouping import ALL_KEYS
from reactive.listening import Listening
from reactive.source import Origin, Source
from reactive.tracked import TrackedNode
from reactive.updater import same

if TYPE_CHECKING:
    import reaktiv


class Signals(Listening):
    """Nodes and groups, those who hear of them, and the bridge between them and reaktiv."""

    def __init__(self) -> None:
        super().__init__()
        self._feeds: dict[TrackedNode, list[reaktiv.Effect]] = {}
        self._signals: dict[Source, _SignalEffect] = {}

    def signal(self, node_id: str, name: str) -> reaktiv.ReadonlySignal[Any]:
        """Return a value as a signal of reaktiv; a value that could not be computed shows as None.

        Signals are set after an update is carried through and before effects run, all in one batch.
        """
        with self._lock:
            return self._signal_of(self._find(node_id).listenable(name))

    def group_signal(self, name: str, *, key: Any = ALL_KEYS) -> reaktiv.ReadonlySignal[Any]:
        """Return a group's value as a signal of reaktiv; see `signal`."""
        with self._lock:
            return self._signal_of(self._group_source(name, key))

    def _signal_of(self, source: Source) -> reaktiv.ReadonlySignal[Any]:
        link = self._signals.get(source)
        if link is None:
            reaktiv = _reaktiv()
            self.effects.signal_batch = reaktiv.batch
            with self._change("attachment", source.label, ""):
                signal = reaktiv.Signal(_or_none(source.value), equal=same)
                link = self._signals[source] = _SignalEffect(self.effects, source, signal)
                link.at_end = partial(self._signals.pop, source)
        return link.signal.as_readonly()

    def feed(self, node_id: str, field: str, signal: Callable[[], Any]) -> None:
        """Let a signal of reaktiv, or a function that reads some, write a field when it changes."""
        with self._lock:
            node = self._find(node_id)
            if field not in node.shape.tracked.fields:
                raise UnknownNameError("field", field, node.id, node.shape.tracked.fields)

            reaktiv = _reaktiv()

            def carry_over() -> None:
                try:
                    value = signal()
                    with reaktiv.untracked():
                        self.update(node.id, field, value)
                except Exception as error:  # noqa: BLE001 - reaktiv would swallow it
                    self.effects.report(f"feed of {node.id}.{field}", error)

            feed = reaktiv.Effect(carry_over)
            # It runs under a lock of its own and takes the graph's inside of it, while an update
            # or the end of the node holds the graph's and comes to the feed: so both are one.
            feed._graph_lock = self._lock
            # reaktiv holds effects weakly.
            self._feeds.setdefault(node, []).append(feed)

    def _end_feeds(self, node: TrackedNode) -> None:
        for feed in self._feeds.pop(node, ()):
            feed.dispose()


class _SignalEffect(Effect):
    """Sets a signal of reaktiv to a value."""

    __slots__ = ("signal", "source")

    def __init__(self, queue: EffectQueue, source: Source, signal: reaktiv.Signal[Any]) -> None:
        super().__init__(queue, source.label)
        self.source = source
        self.signal = signal
        source.add_link(self)

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
        """Stop listening."""
        self.attached = False
        self.source.remove_link(self, origin)


def _reaktiv() -> Any:
    """Return reaktiv, loaded when it is needed: all else needs the standard library alone."""
    import reaktiv  # noqa: PLC0415

    return reaktiv


def _or_none(value: Any) -> Any:
    if value.__class__ is Failure:
        return None
    return dict(value) if value.__class__ is dict else value
