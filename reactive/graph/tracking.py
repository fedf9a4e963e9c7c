"""Tracked objects: taking them in and letting them go, and defining their computed values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from reactive.errors import (
    CycleError,
    DuplicateNameError,
    GraphError,
    TrackingError,
    UnknownNameError,
)
from reactive.expr.operators import Expr
from reactive.graph.engine import Engine
from reactive.graph.methods.computed import ClassPlan, plan_of
from reactive.graph.nodes.assignments import bind, follow_assignments, node_of
from reactive.graph.nodes.computation import Computation
from reactive.graph.nodes.shape import Shape
from reactive.graph.nodes.tracked_class import TrackedClass
from reactive.graph.nodes.tracked_node import TrackedNode
from reactive.graph.observer import Origin
from reactive.graph.read_guard import guarded


class Tracking:
    """Makes nodes of objects, and changes what they compute."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._first_shapes: dict[type, Shape] = {}
        """By class: the shape of an object that was just tracked."""
        self._tracked_so_far: dict[str, int] = {}

    def check(self, obj: Any) -> None:
        """Raise if an object cannot be tracked."""
        if isinstance(obj, type) or not dataclasses.is_dataclass(obj):
            raise TrackingError(
                f"only instances of dataclasses can be tracked, given {obj!r}; "
                "decorate its class with @dataclass"
            )

    def check_free(self, obj: Any) -> None:
        """Raise if an object is tracked in another graph."""
        bound = node_of(obj)
        if bound is not None:
            raise DuplicateNameError(
                f"the object is tracked as {bound.id} in another graph, which its assignments "
                f"go to; untrack it there first"
            )

    def add(self, obj: Any, plan: ClassPlan, origin: Origin) -> TrackedNode:
        """Make the node of an object, with the computed values that its class defines."""
        cls = type(obj)
        shape = self._first_shape(cls, plan)
        number = self._tracked_so_far[cls.__name__] = self._tracked_so_far.get(cls.__name__, 0) + 1
        node = TrackedNode(self._engine, f"{cls.__name__}-{number}", obj, shape)
        node.require(name for name, _ in plan.effects)
        if plan.is_reactive:
            bind(obj, node)
        node.compute(origin)
        self._engine.add_node(node)
        return node

    def remove(self, node: TrackedNode, origin: Origin) -> None:
        """Forget a node: it leaves its groups, and its effects end."""
        self._engine.remove_node(node, origin)
        if node_of(node.object) is node:
            bind(node.object, None)

    def _first_shape(self, cls: type, plan: ClassPlan) -> Shape:
        shape = self._first_shapes.get(cls)
        if shape is None:
            if plan.is_reactive:
                follow_assignments(cls)
            shape = Shape(TrackedClass(cls))
            for name in plan.order:
                expr = plan.exprs[name]
                if isinstance(expr, Expr):
                    computation = shape.expression(name, expr, hidden=False)
                else:
                    function = plan.methods[name].function
                    computation = self._function(shape, name, function, plan.inputs[name])
                shape = shape.with_computation(computation)
            self._first_shapes[cls] = shape
        return shape

    # --- computed values --------------------------------------------------------------------------

    def define(
        self, node: TrackedNode, name: str, expr: Expr | Callable[[Any], Any], origin: Origin
    ) -> bool:
        """Define a computed value of a node; return whether the name is new."""
        if not isinstance(name, str) or not name or name.startswith(":"):
            raise GraphError(
                f"expected a name for a computed value, got {name!r}; take text that is not empty "
                "and does not begin with ':'"
            )
        shape = node.shape
        if isinstance(expr, Expr):
            node.require(expr.fields())
            if name in expr.fields() and name not in shape.tracked.fields:
                raise CycleError([name, name], f"{node.id}: this value would depend on itself")
            computation = shape.expression(name, expr, hidden=False)
        elif callable(expr):
            methods = plan_of(type(node.object)).methods
            reads = (
                *shape.tracked.fields,
                *(n for n in shape.readable_by(name) if n in methods),
            )
            computation = self._function(shape, name, expr, reads)
        else:
            raise GraphError(f"{name!r} is computed by an expression or a function, given {expr!r}")
        is_new = name not in shape.index
        self._adopt(node, computation, origin)
        return is_new

    def _adopt(self, node: TrackedNode, computation: Computation, origin: Origin) -> None:
        """Give a node a computation, in the place of one of the same name."""
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
                    shape.expression(reader.name, reader.expr, hidden=reader.hidden)
                )
        node.adopt(shape, origin)
        place = shape.index[name]
        if name not in shape.overridden:
            self._engine.set_value(node, place, node.evaluate(place), origin)
        self._engine.recompute_dependants(node, frozenset({place}), origin)

    def _function(
        self, shape: Shape, name: str, function: Callable[[Any], Any], reads: tuple[str, ...]
    ) -> Computation:
        return shape.tracked.function(name, function, reads, partial(guarded, self._engine))

    # --- overrides --------------------------------------------------------------------------------

    def override(self, node: TrackedNode, name: str, value: Any, origin: Origin) -> None:
        """Put a value in the place of a computed one, and recompute what depends on it."""
        place = self._place(node, name)
        # The layout stays, so that nothing has to move.
        node.shape = node.shape.with_override(name)
        self._engine.set_value(node, place, value, origin)
        self._engine.recompute_dependants(node, frozenset({place}), origin)

    def clear_override(self, node: TrackedNode, name: str, origin: Origin) -> None:
        """Let a computed value be computed again, and recompute what depends on it."""
        place = self._place(node, name)
        node.shape = node.shape.without_override(name)
        self._engine.set_value(node, place, node.evaluate(place), origin)
        self._engine.recompute_dependants(node, frozenset({place}), origin)

    def _place(self, node: TrackedNode, name: str) -> int:
        if name not in node.shape.visible:
            raise UnknownNameError("computed value", name, node.id, node.shape.visible)
        return node.shape.index[name]
