"""The reactive graph: tracked objects, values computed from them, groups of them, and effects.

graph = ReactiveGraph()
node_id = graph.track(position)
graph.computed(node_id, "pnl", (Field("current_price") - Field("avg_cost")) * Field("quantity"))
graph.effect(node_id, "pnl", lambda name, value: print(name, value))
graph.update(node_id, "current_price", 235.0)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from reactive.binding import bind, follow_assignments, node_of
from reactive.computation import Computation
from reactive.effect import ValueEffect
from reactive.errors import (
    CycleError,
    DuplicateNameError,
    GraphError,
    TrackingError,
    UnknownNameError,
)
from reactive.explain import Explanation, explain_node
from reactive.expr import Expr
from reactive.objects import ClassPlan, plan_of
from reactive.reading import guarded
from reactive.shape import Shape
from reactive.signals import Signals
from reactive.source import Origin
from reactive.tracked import NodeValue, TrackedNode
from reactive.tracked_class import TrackedClass


class ReactiveGraph(Signals):
    """Keeps values computed from the fields of objects, and of groups of objects, up to date.

    An update is carried through completely before anybody sees it; see `docs/graph.md` for what is
    guaranteed to effects and to other threads. All methods may be called from any thread. Where
    they take a node_id they also take the tracked object itself. An unknown node, field, computed
    value or group raises UnknownNameError, which is a KeyError.
    """

    def __init__(self) -> None:
        super().__init__()
        self._roots: dict[type, Shape] = {}
        self._tracked_so_far: dict[str, int] = {}

    # --- nodes ------------------------------------------------------------------------------------

    def track(self, obj: Any) -> str:
        """Take an instance of a dataclass into the graph and return the id of its node.

        Updates write through to the object, and for a class with `@computed` methods assignments to
        it are updates. Tracking an object again gives the id it has.
        """
        if isinstance(obj, type) or not dataclasses.is_dataclass(obj):
            raise TrackingError(
                f"only instances of dataclasses can be tracked, given {obj!r}; "
                "decorate its class with @dataclass"
            )
        with self._lock:
            known = self._node_of.get(id(obj))
            return known.id if known is not None else self._take_in(obj)

    def _take_in(self, obj: Any) -> str:
        cls = type(obj)
        plan = plan_of(cls)
        bound = node_of(obj)
        if bound is not None:
            raise DuplicateNameError(
                f"the object is tracked as {bound.id} in another graph, which its assignments "
                f"go to; untrack it there first"
            )
        with self._change("tracking", cls.__name__, "") as origin:
            shape = self._root(cls, plan)
            number = self._tracked_so_far[cls.__name__] = (
                self._tracked_so_far.get(cls.__name__, 0) + 1
            )
            node = TrackedNode(self, f"{cls.__name__}-{number}", obj, shape)
            node.require(name for name, _ in plan.effects)
            if plan.is_reactive:
                bind(obj, node)
            node.compute(origin)
            self._nodes[node.id] = self._node_of[id(obj)] = node
            self._invite(node, origin)
            for name, function in plan.effects:
                ValueEffect(self.effects, node.listenable(name), name, _method_of(obj, function))
        return node.id

    def _root(self, cls: type, plan: ClassPlan) -> Shape:
        """Return the shape of an object of a class that was just tracked."""
        root = self._roots.get(cls)
        if root is None:
            if plan.is_reactive:
                follow_assignments(cls)
            root = Shape(TrackedClass(cls))
            for name in plan.order:
                expr = plan.exprs[name]
                if isinstance(expr, Expr):
                    computation = root.tracked.expression(name, expr, root, hidden=False)
                else:
                    function = plan.methods[name].function
                    computation = self._function(root, name, function, plan.inputs[name])
                root = root.with_computation(computation)
            self._roots[cls] = root
        return root

    def untrack(self, node_id: str) -> None:
        """Let an object go: it leaves its groups, its effects end, and the graph forgets it."""
        with self._change("untracking", str(node_id), "") as origin:
            node = self._find(node_id)
            self._end_feeds(node)
            for link in dict.fromkeys(link for links in node.links for link in links):
                link.lose(node, origin)
            self._node_effects.pop(node, None)
            self._pending.pop(node, None)
            self._doubtful.pop(node, None)
            del self._nodes[node.id], self._node_of[id(node.object)]
            if node_of(node.object) is node:
                bind(node.object, None)

    def object_of(self, node_id: str) -> Any:
        """Return the tracked object of a node."""
        with self._lock:
            return self._find(node_id).object

    def refresh(self, node_id: str) -> None:
        """Take in what was written to the object's fields without the graph knowing."""
        with self._change("refresh", str(node_id), "") as origin:
            node = self._find(node_id)
            self._carry_on(node, frozenset(node.shape.tracked.fields), origin)

    # --- computed values --------------------------------------------------------------------------

    def computed(self, node_id: str, name: str, expr: Expr | Callable[[Any], Any]) -> None:
        """Define a value of a node, from its fields and its other computed values.

        A function gets the object, and is called again whenever one of its fields or computed
        attributes changes. In formulas the name hides a field of the same name, except from its own
        formula. A second definition takes the place of the first.
        """
        with self._change("definition", str(node_id), name) as origin:
            node = self._find(node_id)
            if not isinstance(name, str) or not name or name.startswith(":"):
                raise GraphError(
                    f"{name!r} is no name for a computed value; take text that does not begin "
                    "with ':'"
                )
            shape = node.shape
            if isinstance(expr, Expr):
                node.require(expr.fields())
                if name in expr.fields() and name not in shape.tracked.fields:
                    raise CycleError([name, name], f"{node.id}: this value would depend on itself")
                computation = shape.tracked.expression(name, expr, shape, hidden=False)
            elif callable(expr):
                methods = plan_of(type(node.object)).methods
                reads = (
                    *shape.tracked.fields,
                    *(n for n in shape.readable_by(name) if n in methods),
                )
                computation = self._function(shape, name, expr, reads)
            else:
                raise GraphError(
                    f"{name!r} is computed by an expression or a function, given {expr!r}"
                )
            is_new = name not in shape.index
            self._define(node, computation, origin)
            if is_new:
                for effect in self._node_effects.get(node, ()):
                    effect.listen(name)
            self._invite(node, origin)

    def _define(self, node: TrackedNode, computation: Computation, origin: Origin) -> None:
        name = computation.name
        old = node.shape
        shape = old.with_computation(computation)
        if name not in old.index and name not in old.tracked.fields:
            node.adopt(shape, origin)
            return
        # Formulas that read it were compiled for the type that it had before.
        for place in shape.affected_by({shape.index[name]}):
            reader = shape.computations[place]
            if reader.expr is not None:
                shape = shape.with_computation(
                    shape.tracked.expression(reader.name, reader.expr, shape, hidden=reader.hidden)
                )
        node.adopt(shape, origin)
        place = shape.index[name]
        if name not in shape.overridden:
            self._put(node, place, node.evaluate(place), origin)
        self._carry_on(node, frozenset({place}), origin)

    def _function(
        self, shape: Shape, name: str, function: Callable[[Any], Any], reads: tuple[str, ...]
    ) -> Computation:
        return shape.tracked.function(name, function, reads, partial(guarded, self))

    def override(self, node_id: str, name: str, value: Any) -> None:
        """Put a value in the place of a computed one, until `clear_override`; readers follow."""
        with self._change("override", str(node_id), name) as origin:
            node = self._find(node_id)
            place = self._place(node, name)
            # The layout stays, so that nothing has to move.
            node.shape = node.shape.with_override(name)
            self._put(node, place, value, origin)
            self._carry_on(node, frozenset({place}), origin)

    def clear_override(self, node_id: str, name: str) -> None:
        """Let a computed value be computed again; without an override nothing changes."""
        with self._change("end of override", str(node_id), name) as origin:
            node = self._find(node_id)
            place = self._place(node, name)
            node.shape = node.shape.without_override(name)
            self._put(node, place, node.evaluate(place), origin)
            self._carry_on(node, frozenset({place}), origin)
            for effect in self._node_effects.get(node, ()):
                if effect.waits_for_overrides:
                    effect.changed(node, None, None)

    def overrides(self, node_id: str) -> list[str]:
        """Return the computed values of a node that are overridden."""
        with self._lock:
            return sorted(self._find(node_id).shape.overridden)

    def computed_names(self, node_id: str) -> list[str]:
        """Return the computed values that a node has."""
        with self._lock:
            return self._find(node_id).shape.visible

    def _place(self, node: TrackedNode, name: str) -> int:
        if name not in node.shape.visible:
            raise UnknownNameError("computed value", name, node.id, node.shape.visible)
        return node.shape.index[name]

    # --- reading ----------------------------------------------------------------------------------

    def get(self, node_id: str, name: str) -> Any:
        """Return a computed value, or else the field of that name.

        Raises ComputeError where it could not be computed; what stopped it is the `__cause__`.
        """
        with self._lock:
            return self.read(self._find(node_id).listenable(name))

    def get_field(self, node_id: str, field: str) -> Any:
        """Return a field, also where a computed value has the same name."""
        with self._lock:
            node = self._find(node_id)
            if field not in node.shape.tracked.fields:
                raise UnknownNameError("field", field, node.id, node.shape.tracked.fields)
            return self.read(NodeValue(node, f":{field}"))

    def explain(self, node_id: str, name: str) -> Explanation:
        """Tell what a value was computed from, and which update last changed it."""
        with self._lock:
            self._catch_up()
            node = self._find(node_id)
            node.require((name,))
            return explain_node(node, name)


def _method_of(obj: Any, function: Callable[[Any, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda _, value: function(obj, value)
