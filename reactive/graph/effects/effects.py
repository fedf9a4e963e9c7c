"""The effects of a graph: attaching them, finding them, and removing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from reactive.graph.effects.effect import Effect, KeyedEffect, NodeEffect, ValueEffect
from reactive.graph.effects.watch import Watch
from reactive.graph.engine import Engine
from reactive.graph.nodes.tracked_node import TrackedNode
from reactive.graph.observer import Observable, Observer

WAITING_MAX = 10_000
"""Values that wait for a slow reader of a watch, unless it is given another limit."""


class Effects:
    """Attaches callbacks to values and nodes, and removes them again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._of_node: dict[TrackedNode, list[NodeEffect]] = {}

    @property
    def errors(self) -> int:
        """How many callbacks have raised so far."""
        return self._engine.effects.errors

    def attach(self, source: Observable, name: str, callback: Callable[[str, Any], Any]) -> Effect:
        """Call `callback(name, value)` after each update that changed a value, and once now."""
        kind = KeyedEffect if source.by_key else ValueEffect
        return kind(self._engine.effects, source, name, callback)

    def attach_to_node(
        self,
        node: TrackedNode,
        callback: Callable[[str, dict[str, Any]], Any],
        *,
        run_now: bool,
    ) -> NodeEffect:
        """Call `callback(node_id, values)` after each update of computed values of a node."""
        effect = NodeEffect(self._engine.effects, node, callback, run_now=run_now)
        self._of_node.setdefault(node, []).append(effect)
        return effect

    def attach_methods(
        self, node: TrackedNode, methods: Iterable[tuple[str, Callable[[Any, Any], Any]]]
    ) -> None:
        """Attach the `@effect` methods of the object of a node."""
        for name, method in methods:
            self.attach(node.value_of(name), name, _method_of(node.object, method))

    def watch(
        self,
        attach: Callable[[Callable[[str, Any], Any]], Effect],
        limit: int,
        conflate: bool,
        *,
        by_key: bool = False,
    ) -> Watch:
        """Return an asynchronous iterator over what `attach` calls back with."""
        return Watch(attach, self.detach, limit, conflate, by_key=by_key)

    # --- finding and removing ---------------------------------------------------------------------

    def among(self, observers: Iterable[Observer]) -> list[Effect]:
        """Return the effects of the user among observers."""
        kinds = (ValueEffect, NodeEffect, KeyedEffect)
        return list(dict.fromkeys(found for found in observers if isinstance(found, kinds)))

    def on_node(self, node: TrackedNode, name: str | None) -> list[Effect]:
        """Return the effects on a value of a node, or without a name all effects on the node."""
        if name is None:
            return self.among(each for observers in node.observers for each in observers)
        slot = node.value_of(name).name
        if slot not in node.shape.index:
            return []
        observers = node.observers[node.shape.index[slot]]
        return [found for found in self.among(observers) if isinstance(found, ValueEffect)]

    def remove(self, effect: Effect) -> None:
        """Remove an effect, so that it does not run again, even if it was about to."""
        self.detach(effect)
        if isinstance(effect, NodeEffect) and effect in self._of_node.get(effect.node, ()):
            self._of_node[effect.node].remove(effect)

    def detach(self, effect: Effect) -> None:
        """Stop an effect from observing; a watch that it feeds ends."""
        with self._engine.change("detachment", effect.subject, "") as origin:
            if effect.attached:
                effect.detach(origin)
                if effect.at_end is not None:
                    effect.at_end()

    # --- changes of nodes -------------------------------------------------------------------------

    def computed_added(self, node: TrackedNode, name: str) -> None:
        """Let the effects on a node observe a computed value that it has from now on."""
        for effect in self._of_node.get(node, ()):
            effect.observe(name)

    def override_cleared(self, node: TrackedNode) -> None:
        """Queue the effects on a node that were waiting for the end of an override."""
        for effect in self._of_node.get(node, ()):
            if effect.waits_for_overrides:
                effect.changed(node, None, None)

    def node_removed(self, node: TrackedNode) -> None:
        """Drop what is kept of a node."""
        self._of_node.pop(node, None)


def _method_of(obj: Any, function: Callable[[Any, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda _, value: function(obj, value)
