"""Groups as they were defined: what they read of nodes, and which nodes join of themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from weakref import WeakSet

from reactive.aggregate import Aggregate
from reactive.cell import Cell
from reactive.group import Group
from reactive.keyed import KeyedGroup
from reactive.membership import Reading, Selection
from reactive.shape import Shape
from reactive.source import Origin
from reactive.tracked import TrackedNode

if TYPE_CHECKING:
    from reactive.propagation import Propagation


@dataclass
class Definition:
    """A group, and what it reads of nodes: its value, its key and its condition."""

    cell: Cell
    readings: tuple[Reading, ...] = ()
    selection: Selection | None = None
    population: type | None = None
    removed: WeakSet[TrackedNode] = field(default_factory=WeakSet)
    """Nodes of the population that were taken out by hand, and stay out."""

    @classmethod
    def of_nodes(
        cls,
        name: str,
        engine: Propagation,
        aggregate: Aggregate,
        population: type | None,
        *,
        value: Reading,
        key: Reading | None,
        where: Reading | None,
    ) -> Definition:
        """Return the definition of a group of nodes, without members."""
        cell: Group | KeyedGroup
        if key is not None:
            cell = KeyedGroup(name, engine, aggregate)
        else:
            cell = Group(name, engine, 1 if where is None else 2, aggregate)
        if key is not None or where is not None:
            cell.selection = Selection(
                name,
                engine,
                value=value,
                key=key,
                where=where,
                enter=cell.enter,
                leave=cell.leave,
            )
        readings = tuple(r for r in (value, key, where) if r is not None)
        return cls(cell, readings, cell.selection, population)

    def has(self, node: TrackedNode) -> bool:
        """Tell whether a node is a member, or followed until it is one."""
        if self.selection is not None:
            return node in self.selection.nodes
        return isinstance(self.cell, Group) and node in self.cell.members

    def invites(self, node: TrackedNode) -> bool:
        """Tell whether a node joins of itself: it is of the class, and has all that is read."""
        return (
            self.population is not None
            and isinstance(node.object, self.population)
            and not self.has(node)
            and node not in self.removed
            and all(reading.fits(node) for reading in self.readings)
        )

    def require(self, nodes: Iterable[TrackedNode]) -> None:
        """Raise an error if nodes lack what is read, or hold other types."""
        shapes: dict[Shape, None] = {}
        for node in nodes:
            for reading in self.readings:
                reading.require(node)
            shapes[node.shape] = None
        for shape in shapes:
            for reading in self.readings:
                reading.check(shape)

    def let_in(self, node: TrackedNode, origin: Origin) -> None:
        """Make a node a member, or follow it."""
        self.removed.discard(node)
        if self.selection is not None:
            self.selection.insert(node, origin)
        else:
            cast(Group, self.cell).insert(node, self.readings[0].slot(node, origin))
