"""A tracked object and its computed values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

from reactive.errors import UnknownNameError
from reactive.graph.failure import Failure
from reactive.graph.nodes.shape import Shape
from reactive.graph.observer import BEFORE, Observable, Observer, Origin, raise_failure, without


class NodeEngine(Protocol):
    """What a node needs of the engine of its graph."""

    def update(self, node_id: str, field: str, value: Any) -> None:
        """Write a field and carry the change through the graph."""

    def read(self, source: Observable) -> Any:
        """Return a value, or raise ComputeError."""


Observers: TypeAlias = tuple[tuple[Observer, ...], ...]
"""By place of a computation in the shape: who is told of changes."""


class TrackedNode:
    """The node of one object in one graph.

    `values` holds, for each computation of the shape, its value and the update that last changed
    it; `observers` holds, for each, who is told of changes. Nodes share equal tuples of observers
    where they can.
    """

    __slots__ = ("__weakref__", "engine", "id", "object", "observers", "shape", "values", "writing")

    def __init__(self, engine: NodeEngine, node_id: str, obj: Any, shape: Shape) -> None:
        self.engine = engine
        self.id = node_id
        self.object = obj
        self.shape = shape
        self.writing = 0  # the thread that is writing a field of the object
        self.values: list[Any] = [None, BEFORE] * len(shape.computations)
        self.observers: Observers = shape.no_observers

    def compute(self, origin: Origin) -> None:
        """Compute all values."""
        for place in range(len(self.shape.computations)):
            self.values[2 * place : 2 * place + 2] = self.evaluate(place), origin

    def __repr__(self) -> str:
        return f"<node {self.id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of a tracked object is another object, and not tracked.
        return type(None), ()

    def evaluate(self, place: int) -> Any:
        """Return what a computation gives now."""
        computation = self.shape.computations[place]
        obj = self.object
        inputs = []
        try:
            for ref in self.shape.refs(computation):
                inputs.append(getattr(obj, ref) if isinstance(ref, str) else self.values[2 * ref])  # noqa: PERF401
        except AttributeError as error:
            return Failure(error)
        return computation.evaluate(obj, inputs)

    def adopt(self, shape: Shape, origin: Origin) -> None:
        """Take another shape: values and observers move by name, what is new is computed."""
        old, values, observers = self.shape, self.values, self.observers
        if shape.computations[:-1] == old.computations:
            moved = [*values, None, origin]
            kept = shape.no_observers if observers is old.no_observers else (*observers, ())
            fresh = [len(old.computations)]
        else:
            moved, kept, fresh = [], (), []
            for place, computation in enumerate(shape.computations):
                before = old.index.get(computation.name)
                if before is None:
                    moved += (None, origin)
                    fresh.append(place)
                else:
                    moved += values[2 * before : 2 * before + 2]
                kept += (() if before is None else observers[before],)
            if not any(kept):
                kept = shape.no_observers
        self.shape, self.values = shape, moved
        self.observers = kept
        for place in fresh:
            moved[2 * place] = self.evaluate(place)

    def read(self, name: str) -> Any:
        """Return a computed value, or else the field of that name; raises ComputeError."""
        return self.engine.read(self.value_of(name))

    def held(self, slot: str) -> Any:
        """Return the value that the shape holds under a name, or its failure."""
        return self.values[2 * self.shape.index[slot]]

    def require(self, names: Iterable[str]) -> None:
        """Raise UnknownNameError for what is neither a field nor a computed value."""
        for name in names:
            if not self.shape.knows(name):
                raise UnknownNameError("computed value or field", name, self.id, self.shape.names())

    def value_of(self, name: str) -> NodeValue:
        """Return a computed value, or else the field of that name."""
        self.require((name,))
        return NodeValue(self, name if name in self.shape.index else f":{name}")

    def ensure(self, slot: str) -> None:
        """Make sure that the shape holds a slot, which can be the hidden copy of a field."""
        if slot not in self.shape.index:
            self.adopt(self.shape.with_computation(self.shape.tracked.copy_of(slot[1:])), BEFORE)

    def add_observer(self, name: str, observer: Observer) -> None:
        """Tell an observer of changes of a computed value."""
        place = self.shape.index[name]
        self.observers = _with(self.observers, place, (*self.observers[place], observer))

    def remove_observer(self, name: str, observer: Observer, origin: Origin) -> None:
        """Stop telling an observer; a hidden value without observers is removed."""
        place = self.shape.index[name]
        left = without(self.observers[place], observer)
        self.observers = _with(self.observers, place, left)
        if not left and self.shape.computations[place].hidden:
            self.adopt(self.shape.without_computation(name), origin)


class NodeValue:
    """An observable: one computed value of a node, or a field by its hidden copy.

    Two of them are equal if they name the same value of the same node.
    """

    __slots__ = ("name", "node")
    height = 0
    dirty = False
    by_key = False

    def __init__(self, node: TrackedNode, name: str) -> None:
        self.node = node
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeValue) and (self.node, self.name) == (other.node, other.name)

    def __hash__(self) -> int:
        return hash((self.node, self.name))

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.node.id}.{self.name.removeprefix(':')}"

    @property
    def value(self) -> Any:
        """The value, or its failure."""
        node = self.node
        place = node.shape.index.get(self.name)
        if place is None:  # nobody has observed this field yet
            return getattr(node.object, self.name[1:])
        return node.values[2 * place]

    @property
    def origin(self) -> Origin:
        """The update that last changed it, as far as known."""
        node = self.node
        place = node.shape.index.get(self.name)
        return BEFORE if place is None else node.values[2 * place + 1]

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer of changes from now on."""
        self.node.ensure(self.name)
        self.node.add_observer(self.name, observer)

    def remove_observer(self, observer: Observer, origin: Origin) -> None:
        """Stop telling an observer of changes."""
        self.node.remove_observer(self.name, observer, origin)

    def belongs_to(self, owner: Any) -> bool:
        """Whether it is removed together with this node."""
        return self.node is owner

    def get(self) -> Any:
        """Return the value, or raise ComputeError."""
        value = self.value
        if value.__class__ is Failure:
            raise_failure(self.label, value)
        return value


def _with(observers: Observers, place: int, changed: tuple[Observer, ...]) -> Observers:
    return (*observers[:place], changed, *observers[place + 1 :])
