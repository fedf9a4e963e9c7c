"""A tracked object and its computed values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reactive.computation import Failure
from reactive.errors import UnknownNameError
from reactive.shape import Shape
from reactive.source import BEFORE, Link, Origin, Source, without

if TYPE_CHECKING:
    from reactive.propagation import Propagation


class TrackedNode:
    """The node of one object in one graph.

    `values` holds, for each computation of the shape, its value and the update that last changed
    it; `links`, for each, who hears of it. Nodes share equal tuples of links where they can.
    """

    __slots__ = ("__weakref__", "engine", "id", "links", "object", "shape", "values", "writing")

    def __init__(self, engine: Propagation, node_id: str, obj: Any, shape: Shape) -> None:
        self.engine = engine
        self.id = node_id
        self.object = obj
        self.shape = shape
        self.writing = 0  # the thread that is writing a field of the object
        self.values: list[Any] = [None, BEFORE] * len(shape.computations)
        self.links: tuple[tuple[Link, ...], ...] = shape.no_links

    def compute(self, origin: Origin) -> None:
        """Compute all values."""
        for place in range(len(self.shape.computations)):
            self.values[2 * place : 2 * place + 2] = self.evaluate(place), origin

    def __repr__(self) -> str:
        return f"<node {self.id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of a tracked object is another object, and not tracked.
        return _nothing, ()

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
        """Take another shape: values and links move by name, what is new is computed."""
        old, values, links = self.shape, self.values, self.links
        if shape.computations[:-1] == old.computations:
            moved = [*values, None, origin]
            heard = shape.no_links if links is old.no_links else (*links, ())
            fresh = [len(old.computations)]
        else:
            moved, heard, fresh = [], (), []
            for place, computation in enumerate(shape.computations):
                before = old.index.get(computation.name)
                if before is None:
                    moved += (None, origin)
                    fresh.append(place)
                else:
                    moved += values[2 * before : 2 * before + 2]
                heard += (() if before is None else links[before],)
            if not any(heard):
                heard = shape.no_links
        self.shape, self.values = shape, moved
        self.links = heard
        for place in fresh:
            moved[2 * place] = self.evaluate(place)

    def held(self, slot: str) -> Any:
        """Return the value that the shape holds under a name, or its failure."""
        return self.values[2 * self.shape.index[slot]]

    def require(self, names: Iterable[str]) -> None:
        """Raise UnknownNameError for what is neither a field nor a computed value."""
        for name in names:
            if not self.shape.knows(name):
                raise UnknownNameError("computed value or field", name, self.id, self.shape.names())

    def listenable(self, name: str) -> NodeValue:
        """Return a computed value, or else the field of that name."""
        self.require((name,))
        return NodeValue(self, name if name in self.shape.index else f":{name}")

    def have(self, slot: str) -> None:
        """Make sure that the shape holds a slot, which can be the hidden copy of a field."""
        if slot not in self.shape.index:
            self.adopt(self.shape.with_computation(self.shape.tracked.copy_of(slot[1:])), BEFORE)

    def add_link(self, name: str, link: Link) -> None:
        """Let somebody hear of a computed value."""
        place = self.shape.index[name]
        self.links = _with(self.links, place, (*self.links[place], link))

    def remove_link(self, name: str, link: Link, origin: Origin) -> None:
        """Stop telling somebody; a hidden value that nobody hears of goes."""
        place = self.shape.index[name]
        left = without(self.links[place], link)
        self.links = _with(self.links, place, left)
        if not left and self.shape.computations[place].hidden:
            self.adopt(self.shape.without_computation(name), origin)


class NodeValue(Source):
    """One computed value of a node, or a field by its hidden copy; compares by what it means."""

    __slots__ = ("name", "node")
    height = 0
    dirty = False

    def __init__(self, node: TrackedNode, name: str) -> None:
        self.node = node
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeValue) and (self.node, self.name) == (other.node, other.name)

    def __hash__(self) -> int:
        return hash((self.node, self.name))

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"{self.node.id}.{self.name.removeprefix(':')}"

    @property
    def value(self) -> Any:
        """The value, or its failure."""
        node = self.node
        place = node.shape.index.get(self.name)
        if place is None:  # nobody has listened to this field yet
            return getattr(node.object, self.name[1:])
        return node.values[2 * place]

    @property
    def origin(self) -> Origin:
        """The update that last changed it, as far as known."""
        node = self.node
        place = node.shape.index.get(self.name)
        return BEFORE if place is None else node.values[2 * place + 1]

    def add_link(self, link: Link) -> None:
        """Let somebody hear of changes."""
        self.node.have(self.name)
        self.node.add_link(self.name, link)

    def remove_link(self, link: Link, origin: Origin) -> None:
        """Stop telling somebody."""
        self.node.remove_link(self.name, link, origin)

    def belongs_to(self, owner: Any) -> bool:
        """Tell whether it goes when a node goes."""
        return self.node is owner


def _with(links: tuple[tuple[Link, ...], ...], place: int, changed: tuple[Link, ...]) -> Any:
    return (*links[:place], changed, *links[place + 1 :])


def _nothing() -> None:
    return None
