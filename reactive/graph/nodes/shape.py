"""Shapes: nodes with the same fields and computed values share one, and the code made for it."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterable
from functools import partial
from graphlib import TopologicalSorter
from typing import Any
from weakref import WeakValueDictionary

from reactive.errors import CycleError, UnknownNameError
from reactive.expr.operators import Expr
from reactive.graph.nodes.codegen import Ref, many_function, recompute_function, update_function
from reactive.graph.nodes.computation import Computation
from reactive.graph.nodes.tracked_class import TrackedClass

SHARED_MAX = 64
"""Computed values up to which nodes share shapes; one with more has a shape of its own."""
STEPS_MAX = 64
"""Neighbours that a shape remembers."""
RECOMPUTE_MAX = 256
"""Sets of changed names for which a shape keeps code."""


class Shape:
    """The computations of a node in the order in which they run, and the code that runs them.

    `overridden` are the computed values that stand still at a value given by hand.
    """

    def __init__(
        self,
        tracked: TrackedClass,
        computations: tuple[Computation, ...] = (),
        overridden: frozenset[str] = frozenset(),
        family: WeakValueDictionary[Any, Shape] | None = None,
        index: dict[str, int] | None = None,
    ) -> None:
        self.tracked = tracked
        self.computations = computations
        self.overridden = overridden
        self.index = {c.name: at for at, c in enumerate(computations)} if index is None else index
        self._family = WeakValueDictionary() if family is None else family
        self._next: dict[Any, Shape] = {}
        self._readers: dict[Ref, list[int]] | None = None
        self.no_observers: tuple[tuple[Any, ...], ...] = ((),) * len(computations)
        self.update: dict[str, Any] = _Made(self._make_update)
        """By field: what writes it in one node and recomputes what depends on it."""
        self.many: dict[str, Any] = _Made(partial(many_function, self))
        """By field: what writes it in many nodes and collects what changes."""
        self.recompute: dict[frozenset[Ref], Any] = _Made(self._make_recompute)
        """By what has changed: what recomputes many nodes and collects what changes."""

    def __repr__(self) -> str:
        return f"shape of {self.tracked.cls.__name__} with {len(self.computations)} computed values"

    @property
    def visible(self) -> list[str]:
        """The computed values that are not hidden."""
        return [c.name for c in self.computations if not c.hidden]

    def knows(self, name: str) -> bool:
        """Whether a formula can read a name."""
        return name in self.tracked.fields or (
            name in self.index and not self.computations[self.index[name]].hidden
        )

    def names(self) -> list[str]:
        """Return the names that a formula can read."""
        return [*self.tracked.fields, *self.visible]

    # --- what reads what --------------------------------------------------------------------------

    def refs(self, computation: Computation) -> list[Ref]:
        """Return what the inputs of a computation are read from.

        A computed value hides the field of its name, except from its own formula.
        """
        return [
            name if name == computation.name else self.index.get(name, name)
            for name in computation.inputs
        ]

    def readable_by(self, name: str) -> tuple[str, ...]:
        """Return the computed values that one of this name can read without a cycle."""
        dependent = {name}
        if name in self.index:
            dependent |= {
                self.computations[place].name for place in self.affected_by({self.index[name]})
            }
        return tuple(n for n in self.visible if n not in dependent)

    def affected_by(self, changed: Iterable[Ref]) -> list[int]:
        """Return the places to recompute, in order, when these have changed."""
        if self._readers is None:
            self._readers = {}
            for place, computation in enumerate(self.computations):
                for ref in self.refs(computation):
                    self._readers.setdefault(ref, []).append(place)
        found: set[int] = set()
        waiting = list(changed)
        while waiting:
            for place in self._readers.get(waiting.pop(), ()):
                if place not in found and self.computations[place].name not in self.overridden:
                    found.add(place)
                    waiting.append(place)
        return sorted(found)

    # --- computations of expressions --------------------------------------------------------------

    def types_of(self, name: str, expr: Expr) -> dict[str, Any]:
        """Return the types, as far as known, of what an expression of this name reads."""
        declared = self.tracked.types
        types_of = {read: declared.get(read) for read in expr.fields()}
        for ref in (self.index.get(read) for read in types_of if read != name):
            if ref is not None:
                computation = self.computations[ref]
                types_of[computation.name] = computation.type
        return {read: known for read, known in sorted(types_of.items()) if known is not None}

    def expression(self, name: str, expr: Expr, *, hidden: bool) -> Computation:
        """Return the computation of an expression, with the types that it reads in this shape."""
        return self.tracked.expression(name, expr, self.types_of(name, expr), hidden=hidden)

    def weighted(self, name: str, expr: Expr, weight: str) -> Computation:
        """Return the hidden computation of an expression side by side with a weight."""
        return self.tracked.weighted(name, self.expression(name, expr, hidden=True), weight)

    # --- neighbours -------------------------------------------------------------------------------

    def with_computation(self, computation: Computation) -> Shape:
        """Return the shape that also has this computation, in the place of one of the same name."""

        def make() -> Shape:
            name = computation.name
            if name not in self.index and name not in self.tracked.fields:
                # Nobody reads it yet, so it comes last.
                index = self.index | {name: len(self.computations)}
                return self._find((*self.computations, computation), self.overridden, index)
            others = (c for c in self.computations if c.name != name)
            return self._find(_in_order((*others, computation)), self.overridden)

        return self._step((computation.name, computation), make)

    def without_computation(self, name: str) -> Shape:
        """Return the shape that lacks a computation that no other one reads."""
        left = tuple(c for c in self.computations if c.name != name)
        return self._step((name, None), lambda: self._find(left, self.overridden - {name}))

    def with_override(self, name: str) -> Shape:
        """Return the shape in which a computed value is not computed."""
        return self._step(
            (name, True),
            lambda: self._find(self.computations, self.overridden | {name}, self.index),
        )

    def without_override(self, name: str) -> Shape:
        """Return the shape in which a computed value is computed again."""
        return self._step(
            (name, False),
            lambda: self._find(self.computations, self.overridden - {name}, self.index),
        )

    def _step(self, step: tuple[str, Any], make: Callable[[], Shape]) -> Shape:
        known = self._next.get(step)
        if known is not None:
            return known
        shape = make()
        # What a shape remembers stays alive, so it remembers few and short ones.
        if len(shape.computations) <= SHARED_MAX:
            if len(self._next) >= STEPS_MAX:
                self._next.clear()
            self._next[step] = shape
        return shape

    def _find(
        self,
        computations: tuple[Computation, ...],
        overridden: frozenset[str],
        index: dict[str, int] | None = None,
    ) -> Shape:
        """Return the one shape with these computations."""
        if len(computations) > SHARED_MAX:
            return Shape(self.tracked, computations, overridden, self._family, index)
        shape = self._family.get((computations, overridden))
        if shape is None:
            shape = Shape(self.tracked, computations, overridden, self._family, index)
            self._family[computations, overridden] = shape
        return shape

    def _make_update(self, field: str) -> Any:
        self.require_field(field)
        return update_function(self, field)

    def _make_recompute(self, changed: frozenset[Ref]) -> Any:
        if len(self.recompute) >= RECOMPUTE_MAX:
            self.recompute.clear()
        return recompute_function(self, changed)

    def require_field(self, field: str, where: str = "") -> None:
        """Raise UnknownNameError for an unknown field; `where` names the node in the message."""
        if field not in self.tracked.fields:
            where = where or self.tracked.cls.__name__
            raise UnknownNameError("field", field, where, self.tracked.fields)


def _in_order(computations: Iterable[Computation]) -> tuple[Computation, ...]:
    """Sort computations so that each comes after those that it reads."""
    by_name = {c.name: c for c in computations}
    order = TopologicalSorter(
        {c.name: [i for i in c.inputs if i in by_name and i != c.name] for c in by_name.values()}
    )
    try:
        return tuple(by_name[name] for name in order.static_order())
    except graphlib.CycleError as error:
        raise CycleError(
            error.args[1][::-1], "these computed values would depend on themselves"
        ) from None


class _Made(dict[Any, Any]):
    """Makes what is missing when it is asked for."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Any) -> Any:
        made = self[key] = self._make(key)
        return made
