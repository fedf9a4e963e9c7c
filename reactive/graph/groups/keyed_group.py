"""Groups by a key: one group for each value of the key, coming and going with its members."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reactive.aggregates.aggregate import Aggregate
from reactive.graph.engine import Engine
from reactive.graph.failure import Failure
from reactive.graph.groups.derived_value import DerivedValue
from reactive.graph.groups.group import Group
from reactive.graph.groups.membership import ConditionalMembership
from reactive.graph.nodes.tracked_node import TrackedNode
from reactive.graph.observer import Observable, Observer, Origin, raise_failure


class KeyedGroup(DerivedValue):
    """The groups of one aggregate by key; its value maps each key to the value of its group.

    It is recomputed after its groups, and tells its observers which keys have changed, as a dict.
    """

    __slots__ = ("_changed", "_keys", "aggregate", "groups", "membership", "rollups")

    by_key = True

    def __init__(self, name: str, engine: Engine, aggregate: Aggregate) -> None:
        super().__init__(name, engine, height=3)
        self.aggregate = aggregate
        self.groups: dict[Any, Group] = {}
        self.rollups: list[Group] = []
        """Groups that have each of these groups as a member."""
        self.membership: ConditionalMembership | None = None
        self.value: dict[Any, Any] = {}
        self._keys: dict[Group, Any] = {}
        self._changed: dict[Any, None] = {}

    def sources(self) -> Iterable[Observable]:
        """Return the groups by key."""
        return self.groups.values()

    def enter(self, node: TrackedNode, key: Any, slot: str) -> None:
        """Add a node to the group of a key."""
        group = self.groups.get(key)
        if group is None:
            group = Group(f"{self.name}[{key!r}]", self.engine, 2, self.aggregate)
            group.membership = self.membership
            self.groups[key] = group
            self._keys[group] = key
            group.add_observer(self)
            for rollup in self.rollups:
                rollup.insert(group)
            self._note(key)
        group.insert(node, slot)

    def leave(self, node: TrackedNode, key: Any, origin: Origin) -> None:
        """Remove a node from the group of a key, and the group too if it is empty then."""
        group = self.groups[key]
        group.delete(node, origin)
        if not group.members:
            del self.groups[key]
            del self._keys[group]
            group.remove_observers(origin)
            self._note(key)

    def close(self, origin: Origin) -> None:
        """Nothing to do: the membership has removed all nodes."""

    def add_rollup(self, rollup: Group) -> None:
        """Make all groups, those of later keys too, members of another group."""
        self.rollups.append(rollup)
        rollup.raise_above(self)
        for group in self.groups.values():
            rollup.insert(group)

    def remove_rollup(self, rollup: Group, origin: Origin) -> None:
        """Remove these groups from another group."""
        self.rollups.remove(rollup)
        for group in self.groups.values():
            rollup.delete(group, origin)

    def changed(self, source: Group, old: Any, new: Any) -> None:
        """Note that the value of a key has changed."""
        self._note(self._keys[source])

    def source_removed(self, source: Group, origin: Origin) -> None:
        """Nothing to do: it is this group that removes those by key."""

    def _note(self, key: Any) -> None:
        self._changed[key] = None
        self.mark_dirty()

    def recompute(self, origin: Origin) -> None:
        """Collect the keys that changed, and tell the observers."""
        self.dirty = False
        changes: dict[Any, Any] = {}
        for key in self._changed:
            group = self.groups.get(key)
            if group is not None:
                changes[key] = self.value[key] = group.value
            elif key in self.value:
                del self.value[key]
                changes[key] = None
        self._changed = {}
        if changes:
            self.origin = origin
            for observer in self.observers:
                observer.changed(self, None, changes)

    def get(self) -> dict[Any, Any]:
        """Return the values by key, or raise ComputeError where one failed."""
        for key, value in self.value.items():
            if value.__class__ is Failure:
                raise_failure(f"{self.name}[{key!r}]", value)
        return dict(self.value)


class KeyValue:
    """An observable: the value of one key of a group by key, null while the key has no members."""

    __slots__ = ("group", "key")
    by_key = False

    def __init__(self, group: KeyedGroup, key: Any) -> None:
        self.group = group
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyValue) and self.group is other.group and self.key == other.key

    def __hash__(self) -> int:
        return hash((self.group, self.key))

    @property
    def height(self) -> int:
        """That of the group."""
        return self.group.height

    @property
    def dirty(self) -> bool:
        """Whether the group waits to be recomputed."""
        return self.group.dirty

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.group.name}[{self.key!r}]"

    @property
    def value(self) -> Any:
        """The value, or its failure."""
        return self.group.value.get(self.key)

    @property
    def origin(self) -> Origin:
        """The update that last changed the value."""
        group = self.group.groups.get(self.key)
        return self.group.origin if group is None else group.origin

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer of changes of any key from now on."""
        self.group.add_observer(observer)

    def remove_observer(self, observer: Observer, origin: Origin) -> None:
        """Stop telling an observer of changes."""
        self.group.remove_observer(observer, origin)

    def belongs_to(self, owner: Any) -> bool:
        """Whether it is removed together with this group."""
        return self.group is owner

    def get(self) -> Any:
        """Return the value, or raise ComputeError."""
        value = self.value
        if value.__class__ is Failure:
            raise_failure(self.label, value)
        return value
