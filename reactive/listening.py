"""Effects and watches on the values of nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactive.effect import Effect, KeyedEffect, NodeEffect, ValueEffect
from reactive.grouping import WAITING_MAX, Grouping
from reactive.tracked import TrackedNode
from reactive.watch import Watch


class Listening(Grouping):
    """Groups, and those who hear of nodes and groups."""

    def __init__(self) -> None:
        super().__init__()
        self._node_effects: dict[TrackedNode, list[NodeEffect]] = {}

    @property
    def callback_errors(self) -> int:
        """How many callbacks have raised so far; each is in the log with its traceback."""
        return self.effects.errors

    def effect(self, node_id: str, name: str, callback: Callable[[str, Any], Any]) -> Effect:
        """Call `callback(name, value)` now, and after each update that changed a value.

        The name is a computed value's or a field's. Effects run in the order in which they were
        attached. What the callback raises is logged and counted.
        """
        with self._change("attachment", str(node_id), name):
            return ValueEffect(self.effects, self._find(node_id).listenable(name), name, callback)

    def node_effect(
        self,
        node_id: str,
        callback: Callable[[str, dict[str, Any]], Any],
        *,
        at_once: bool = True,
    ) -> NodeEffect:
        """Call `callback(node_id, values)` after each update with the computed values it changed.

        Unless told otherwise it is also called at once, with all of them.
        """
        with self._change("attachment", str(node_id), ""):
            node = self._find(node_id)
            effect = NodeEffect(self.effects, node, callback, at_once=at_once)
            self._node_effects.setdefault(node, []).append(effect)
            return effect

    def remove_effect(self, effect: Effect | str, name: str | None = None) -> None:
        """Take an effect off, so that it does not run again, even if it was about to.

        Instead of what `effect` returned, name what it is on: a node_id and a name, a node_id for
        all effects of the node, or a group.
        """
        with self._lock:
            for found in [effect] if isinstance(effect, Effect) else self._effects_on(effect, name):
                self._detach(found)
                if isinstance(found, NodeEffect) and found in self._node_effects.get(
                    found.node, ()
                ):
                    self._node_effects[found.node].remove(found)

    def _effects_on(self, subject: str, name: str | None) -> list[Effect]:
        if name is None and isinstance(subject, str) and subject in self._groups:
            links = self._groups[subject].cell.links
        else:
            node = self._find(subject)
            if name is None:
                links = tuple(link for heard in node.links for link in heard)
            else:
                slot = node.listenable(name).name
                links = node.links[node.shape.index[slot]] if slot in node.shape.index else ()
        kinds = ValueEffect if name is not None else (ValueEffect, NodeEffect, KeyedEffect)
        return list(dict.fromkeys(link for link in links if isinstance(link, kinds)))

    def watch(
        self, node_id: str, name: str, *, limit: int = WAITING_MAX, conflate: bool = False
    ) -> Watch:
        """Iterate over a value with `async for`: the present one, then one for each change.

        A slow reader gets SlowReaderError once more than `limit` values wait; with `conflate` only
        the newest value waits.
        """
        # Held until the watch knows how it ends.
        with self._lock:
            return Watch(lambda put: self.effect(node_id, name, put), self._detach, limit, conflate)
