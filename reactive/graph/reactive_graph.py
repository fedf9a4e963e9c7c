"""The reactive graph: the class that users hold, and that owns the parts that do the work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from reactive.aggregates.aggregate import Aggregate, Reduce
from reactive.expr.operators import Expr
from reactive.graph.effects.effect import Effect, NodeEffect
from reactive.graph.effects.effects import WAITING_MAX, Effects
from reactive.graph.effects.watch import Watch
from reactive.graph.engine import Engine
from reactive.graph.explain import Explanation, explain_group, explain_node
from reactive.graph.groups.groups import ALL_KEYS, Groups
from reactive.graph.methods.computed import plan_of
from reactive.graph.nodes.tracked_node import NodeValue
from reactive.graph.signals import Signals
from reactive.graph.tracking import Tracking

if TYPE_CHECKING:
    import reaktiv


class ReactiveGraph:
    """Keeps values computed from the fields of objects, and of groups of objects, up to date.

    An update is carried through completely before anybody sees it; see `docs/graph.md` for what is
    guaranteed to effects and to other threads. All methods may be called from any thread. Where
    they take a node_id they also take the tracked object itself. An unknown node, field, computed
    value or group raises UnknownNameError, which is a KeyError.
    """

    def __init__(self) -> None:
        self._engine = Engine()
        self._tracking = Tracking(self._engine)
        self._groups = Groups(self._engine)
        self._effects = Effects(self._engine)
        self._signals = Signals(self._engine)

    # --- nodes ------------------------------------------------------------------------------------

    def track(self, obj: Any) -> str:
        """Track an instance of a dataclass and return the id of its node.

        Updates write through to the object, and for a class with `@computed` methods assignments to
        it are updates. Tracking an object again returns the id that it has.
        """
        self._tracking.check(obj)
        with self._engine.lock:
            known = self._engine.node_of(obj)
            if known is not None:
                return known.id
            plan = plan_of(type(obj))
            self._tracking.check_free(obj)
            with self._engine.change("tracking", type(obj).__name__, "") as origin:
                node = self._tracking.add(obj, plan, origin)
                self._groups.admit(node, origin)
                self._effects.attach_methods(node, plan.effects)
            return node.id

    def untrack(self, node_id: str) -> None:
        """Stop tracking an object: it leaves its groups, and its effects end."""
        with self._engine.change("untracking", str(node_id), "") as origin:
            node = self._engine.find(node_id)
            self._signals.end_feeds(node)
            self._tracking.remove(node, origin)
            self._effects.node_removed(node)

    def object_of(self, node_id: str) -> Any:
        """Return the tracked object of a node."""
        with self._engine.lock:
            return self._engine.find(node_id).object

    def refresh(self, node_id: str) -> None:
        """Take in what was written to the object's fields past the graph."""
        with self._engine.change("refresh", str(node_id), "") as origin:
            node = self._engine.find(node_id)
            fields = frozenset(node.shape.tracked.fields)
            self._engine.recompute_dependants(node, fields, origin)

    # --- updates ----------------------------------------------------------------------------------

    def update(self, node_id: str, field: str, value: Any) -> None:
        """Write one field, into the object too, and carry the change through the graph.

        An equal value changes nothing. What the object raises at the assignment is passed on, and
        nothing has changed then.
        """
        self._engine.update(node_id, field, value)

    def batch_update(self, node_id: str, values: Mapping[str, Any]) -> None:
        """Write several fields of a node as one update: all of them, or none if one fails."""
        self._engine.batch_update(node_id, values)

    def update_many(
        self, field: str, values: Mapping[str, Any] | Iterable[tuple[str, Any]]
    ) -> None:
        """Write one field of many nodes, given as node_id → value, as one update.

        The fastest way in for ticks: it costs a fraction of as many single updates.
        """
        self._engine.update_many(field, values)

    def batch(self) -> AbstractContextManager[None]:
        """Make all updates inside one: values are recomputed and effects run when it ends.

        A value that is read inside shows the updates so far. If the block raises, the fields that
        it wrote get their old values back. Other threads wait for the end; do not `await` inside.
        """
        return self._engine.transaction("batch", "", "")

    # --- computed values --------------------------------------------------------------------------

    def computed(self, node_id: str, name: str, expr: Expr | Callable[[Any], Any]) -> None:
        """Define a value of a node, from its fields and its other computed values.

        A function gets the object, and is called again whenever one of its fields or computed
        attributes changes. In formulas the name hides a field of the same name, except from its own
        formula. A second definition replaces the first.
        """
        with self._engine.change("definition", str(node_id), name) as origin:
            node = self._engine.find(node_id)
            if self._tracking.define(node, name, expr, origin):
                self._effects.computed_added(node, name)
            self._groups.admit(node, origin)

    def override(self, node_id: str, name: str, value: Any) -> None:
        """Put a value in the place of a computed one, until `clear_override`; readers follow."""
        with self._engine.change("override", str(node_id), name) as origin:
            self._tracking.override(self._engine.find(node_id), name, value, origin)

    def clear_override(self, node_id: str, name: str) -> None:
        """Let a computed value be computed again; without an override nothing changes."""
        with self._engine.change("end of override", str(node_id), name) as origin:
            node = self._engine.find(node_id)
            self._tracking.clear_override(node, name, origin)
            self._effects.override_cleared(node)

    def overrides(self, node_id: str) -> list[str]:
        """Return the computed values of a node that are overridden."""
        with self._engine.lock:
            return sorted(self._engine.find(node_id).shape.overridden)

    def computed_names(self, node_id: str) -> list[str]:
        """Return the computed values that a node has."""
        with self._engine.lock:
            return self._engine.find(node_id).shape.visible

    # --- reading ----------------------------------------------------------------------------------

    def get(self, node_id: str, name: str) -> Any:
        """Return a computed value, or else the field of that name.

        Raises ComputeError where it could not be computed; what stopped it is the `__cause__`.
        """
        engine = self._engine
        with engine.lock:
            return engine.read(engine.find(node_id).value_of(name))

    def get_field(self, node_id: str, field: str) -> Any:
        """Return a field, also where a computed value has the same name."""
        engine = self._engine
        with engine.lock:
            node = engine.find(node_id)
            node.shape.require_field(field, node.id)
            return engine.read(NodeValue(node, f":{field}"))

    def explain(self, node_id: str, name: str) -> Explanation:
        """Return what a value was computed from, and which update last changed it."""
        with self._engine.lock:
            self._engine.catch_up()
            node = self._engine.find(node_id)
            node.require((name,))
            return explain_node(node, name)

    # --- groups -----------------------------------------------------------------------------------

    def group_computed(
        self,
        name: str,
        node_ids: Iterable[str] | type,
        computed_name: str | Expr,
        reduce_fn: Reduce | str | Aggregate,
        *,
        key: str | Expr | None = None,
        where: Expr | None = None,
    ) -> None:
        """Define an aggregate over nodes of a computed value, a field or an expression.

        `node_ids` may also be a class: then all its tracked objects are members, now and later.
        `reduce_fn` is "sum", "min", "max", "mean", "count", "std", "first", "last" or
        `weighted_mean(weight)`, which are updated incrementally; `sum`, `min`, `max`, `len` and
        `statistics.mean` mean these. Any other function is called on the list of values. With `key`
        there is one value for each key; with `where` only nodes that meet the condition are
        members.
        """
        self._groups.define(name, node_ids, computed_name, reduce_fn, key=key, where=where)

    def rollup(
        self,
        name: str,
        groups: Iterable[str] | str,
        reduce_fn: Reduce | str | Aggregate = "sum",
    ) -> None:
        """Define an aggregate over the values of other groups: desks of books, a firm of desks.

        One name of a group by key means the groups of all its keys, later ones too.
        """
        self._groups.define_rollup(name, groups, reduce_fn)

    def multi_computed(self, name: str, fn: Callable[[ReactiveGraph], Any]) -> None:
        """Define a value computed by `fn(graph)`, again whenever something changed that it read.

        What it reads with `get`, `get_field` and `get_group`, and as computed attributes of tracked
        objects, is recorded. It must not update the graph, and may be called more often than the
        value changes.
        """
        self._groups.define_function(name, fn, self)

    def remove_group(self, name: str) -> None:
        """Remove a group; effects on it end, and what is derived from it goes on without it."""
        self._groups.remove(name)

    def add_to_group(self, name: str, node_id: str) -> None:
        """Make a node, or for a rollup a group, a member; one that is a member stays one."""
        self._groups.add_member(name, node_id)

    def remove_from_group(self, name: str, node_id: str) -> None:
        """Remove a member from a group."""
        self._groups.remove_member(name, node_id)

    def group_members(self, name: str) -> list[str]:
        """Return the ids of the nodes, or the names of the groups, that a group observes."""
        with self._engine.lock:
            return self._groups.members(name)

    def get_group(self, name: str, key: Any = ALL_KEYS) -> Any:
        """Return the value of a group; of a group by key that of one key, or a dict of all."""
        engine = self._engine
        with engine.lock:
            return engine.read(self._groups.value(name, key))

    def explain_group(self, name: str) -> Explanation:
        """Return what a group's value was computed from, and which update last changed it."""
        with self._engine.lock:
            self._engine.catch_up()
            return explain_group(self._groups.definition(name).group)

    # --- effects ----------------------------------------------------------------------------------

    @property
    def callback_errors(self) -> int:
        """How many callbacks have raised so far; each is in the log with its traceback."""
        return self._effects.errors

    def effect(self, node_id: str, name: str, callback: Callable[[str, Any], Any]) -> Effect:
        """Call `callback(name, value)` now, and after each update that changed a value.

        The name is a computed value's or a field's. Effects run in the order in which they were
        attached. What the callback raises is logged and counted.
        """
        with self._engine.change("attachment", str(node_id), name):
            source = self._engine.find(node_id).value_of(name)
            return self._effects.attach(source, name, callback)

    def node_effect(
        self,
        node_id: str,
        callback: Callable[[str, dict[str, Any]], Any],
        *,
        at_once: bool = True,
    ) -> NodeEffect:
        """Call `callback(node_id, values)` after each update with the computed values it changed.

        Unless `at_once` is False it is also called now, with all of them.
        """
        with self._engine.change("attachment", str(node_id), ""):
            node = self._engine.find(node_id)
            return self._effects.attach_to_node(node, callback, run_now=at_once)

    def group_effect(
        self, name: str, callback: Callable[[str, Any], Any], *, key: Any = ALL_KEYS
    ) -> Effect:
        """Call `callback(name, value)` now, and after each update that changed the group's value.

        For a group by key the value is a dict of the keys that changed, None where a key has no
        members any more; with `key` it is that key's value.
        """
        with self._engine.change("attachment", name, ""):
            return self._effects.attach(self._groups.value(name, key), name, callback)

    def remove_effect(self, effect: Effect | str, name: str | None = None) -> None:
        """Remove an effect, so that it does not run again, even if it was about to.

        Instead of what `effect` returned, name what it is on: a node_id and a name, a node_id for
        all effects of the node, or a group.
        """
        with self._engine.lock:
            if isinstance(effect, Effect):
                found = [effect]
            elif name is None and effect in self._groups:
                found = self._effects.among(self._groups.definition(effect).group.observers)
            else:
                found = self._effects.on_node(self._engine.find(effect), name)
            for each in found:
                self._effects.remove(each)

    def watch(
        self, node_id: str, name: str, *, limit: int = WAITING_MAX, conflate: bool = False
    ) -> Watch:
        """Iterate over a value with `async for`: the present one, then one for each change.

        A slow reader gets SlowReaderError once more than `limit` values wait; with `conflate` only
        the newest value waits.
        """
        # Held until the watch knows how it ends.
        with self._engine.lock:
            return self._effects.watch(lambda put: self.effect(node_id, name, put), limit, conflate)

    def watch_group(
        self, name: str, *, key: Any = ALL_KEYS, limit: int = WAITING_MAX, conflate: bool = False
    ) -> Watch:
        """Iterate over a group's values with `async for`; see `watch`."""
        with self._engine.lock:
            return self._effects.watch(
                lambda put: self.group_effect(name, put, key=key),
                limit,
                conflate,
                by_key=self._groups.value(name, key).by_key,
            )

    # --- signals of reaktiv -----------------------------------------------------------------------

    def signal(self, node_id: str, name: str) -> reaktiv.ReadonlySignal[Any]:
        """Return a value as a signal of reaktiv; a value that could not be computed shows as None.

        Signals are set after an update is carried through and before effects run, all in one batch.
        """
        with self._engine.lock:
            return self._signals.signal(self._engine.find(node_id).value_of(name))

    def group_signal(self, name: str, *, key: Any = ALL_KEYS) -> reaktiv.ReadonlySignal[Any]:
        """Return a group's value as a signal of reaktiv; see `signal`."""
        with self._engine.lock:
            return self._signals.signal(self._groups.value(name, key))

    def feed(self, node_id: str, field: str, signal: Callable[[], Any]) -> None:
        """Let a signal of reaktiv, or a function that reads some, write a field when it changes."""
        with self._engine.lock:
            self._signals.feed(self._engine.find(node_id), field, signal)
