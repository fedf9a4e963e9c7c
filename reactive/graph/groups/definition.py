"""Groups as they were defined: what they read of nodes, and which nodes join by their class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast
from weakref import WeakSet

from reactive.aggregates.aggregate import Aggregate
from reactive.graph.engine import Engine
from reactive.graph.groups.derived_value import DerivedValue
from reactive.graph.groups.group import Group
from reactive.graph.groups.keyed_group import KeyedGroup
from reactive.graph.groups.membership import ConditionalMembership, MemberInput
from reactive.graph.nodes.shape import Shape
from reactive.graph.nodes.tracked_node import TrackedNode
from reactive.graph.observer import Origin


@dataclass
class GroupDefinition:
    """A group, and what it reads of nodes: its value, its key and its condition.

    With a `member_class`, all tracked objects of the class are members, now and later.
    """

    group: DerivedValue
    inputs: tuple[MemberInput, ...] = ()
    membership: ConditionalMembership | None = None
    member_class: type | None = None
    removed: WeakSet[TrackedNode] = field(default_factory=WeakSet)
    """Nodes of the class that were removed by hand, and stay out."""

    @classmethod
    def of_nodes(
        cls,
        name: str,
        engine: Engine,
        aggregate: Aggregate,
        member_class: type | None,
        *,
        value: MemberInput,
        key: MemberInput | None,
        where: MemberInput | None,
    ) -> GroupDefinition:
        """Return the definition of a group of nodes, without members."""
        group: Group | KeyedGroup
        if key is not None:
            group = KeyedGroup(name, engine, aggregate)
        else:
            group = Group(name, engine, 1 if where is None else 2, aggregate)
        if key is not None or where is not None:
            group.membership = ConditionalMembership(
                name,
                engine,
                value=value,
                key=key,
                where=where,
                enter=group.enter,
                leave=group.leave,
            )
        inputs = tuple(given for given in (value, key, where) if given is not None)
        return cls(group, inputs, group.membership, member_class)

    def has(self, node: TrackedNode) -> bool:
        """Whether a node is a member, or observed until it becomes one."""
        if self.membership is not None:
            return node in self.membership.nodes
        return isinstance(self.group, Group) and node in self.group.members

    def admits(self, node: TrackedNode) -> bool:
        """Whether a node joins by its class: it is of the class, and has all that is read."""
        return (
            self.member_class is not None
            and isinstance(node.object, self.member_class)
            and not self.has(node)
            and node not in self.removed
            and all(given.fits(node) for given in self.inputs)
        )

    def require(self, nodes: Iterable[TrackedNode]) -> None:
        """Raise an error if nodes lack what is read, or hold other types."""
        shapes: dict[Shape, None] = {}
        for node in nodes:
            for given in self.inputs:
                given.require(node)
            shapes[node.shape] = None
        for shape in shapes:
            for given in self.inputs:
                given.check(shape)

    def add(self, node: TrackedNode, origin: Origin) -> None:
        """Make a node a member, or observe it until it becomes one."""
        self.removed.discard(node)
        if self.membership is not None:
            self.membership.insert(node, origin)
        else:
            cast(Group, self.group).insert(node, self.inputs[0].slot(node, origin))
