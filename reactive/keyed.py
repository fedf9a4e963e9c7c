"""Groups by a key: one group for each value of the key, coming and going with its members."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reactive.aggregate import Aggregate
from reactive.cell import Cell
from reactive.computation import Failure
from reactive.errors import ComputeError
from reactive.group import Group
from reactive.source import Link, Origin, Source
from reactive.tracked import TrackedNode

if TYPE_CHECKING:
    from reactive.membership import Selection
    from reactive.propagation import Propagation


_NAN = float("nan")


def the_key(value: Any) -> Any:
    """Return the key that a value is: all NaN are one. What has no hash raises TypeError."""
    hash(value)
    return value if value == value else _NAN


class KeyedGroup(Cell, Link):
    """The groups of one aggregate by key; its value maps each key to the value of its group.

    Settled after its groups, it tells its links which keys have changed, as a dict.
    """

    __slots__ = ("_changed", "_keys", "aggregate", "followers", "groups", "selection")

    def __init__(self, name: str, engine: Propagation, aggregate: Aggregate) -> None:
        super().__init__(name, engine, height=3)
        self.aggregate = aggregate
        self.groups: dict[Any, Group] = {}
        self.followers: list[Group] = []
        """Groups that have each of these groups as a member."""
        self.selection: Selection | None = None
        self.value: dict[Any, Any] = {}
        self._keys: dict[Group, Any] = {}
        self._changed: dict[Any, None] = {}

    def sources(self) -> Iterable[Source]:
        """Return the groups by key."""
        return self.groups.values()

    def enter(self, node: TrackedNode, key: Any, slot: str) -> None:
        """Let a node into the group of a key."""
        group = self.groups.get(key)
        if group is None:
            group = Group(f"{self.name}[{key!r}]", self.engine, 2, self.aggregate)
            group.selection = self.selection
            self.groups[key] = group
            self._keys[group] = key
            group.add_link(self)
            for follower in self.followers:
                follower.insert(group)
            self._note(key)
        group.insert(node, slot)

    def leave(self, node: TrackedNode, key: Any, origin: Origin) -> None:
        """Let a node out of the group of a key, which goes when it is empty."""
        group = self.groups[key]
        group.delete(node, origin)
        if not group.members:
            del self.groups[key]
            del self._keys[group]
            for link in group.links:
                link.lose(group, origin)
            group.links = ()
            self._note(key)

    def close(self, origin: Origin) -> None:
        """Nothing to do: the selection has let all nodes go."""

    def follow(self, follower: Group) -> None:
        """Make all groups, those to come too, members of another group."""
        self.followers.append(follower)
        follower.rise_above(self)
        for group in self.groups.values():
            follower.insert(group)

    def unfollow(self, follower: Group, origin: Origin) -> None:
        """Make these groups members of another group no longer."""
        self.followers.remove(follower)
        for group in self.groups.values():
            follower.delete(group, origin)

    def changed(self, source: Group, old: Any, new: Any) -> None:
        """Take note that the value of a key changed."""
        self._note(self._keys[source])

    def lose(self, source: Group, origin: Origin) -> None:
        """Nothing to do: it is this group that ends those by key."""

    def _note(self, key: Any) -> None:
        self._changed[key] = None
        self.mark()

    def settle(self, origin: Origin) -> None:
        """Gather what changed, and tell the links."""
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
            for link in self.links:
                link.changed(self, None, changes)

    def get(self) -> dict[Any, Any]:
        """Return the values by key, or raise ComputeError where one failed."""
        for key, value in self.value.items():
            if value.__class__ is Failure:
                raise ComputeError(f"{self.name}[{key!r}]", value.reason) from value.error
        return dict(self.value)


class KeyValue(Source):
    """The value of one key of a group by key; null while there is no member of that key."""

    __slots__ = ("group", "key")

    def __init__(self, group: KeyedGroup, key: Any) -> None:
        self.group = group
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyValue) and self.group is other.group and self.key == other.key

    def __hash__(self) -> int:
        return hash((self.group, self.key))

    @property
    def height(self) -> int:
        """As the group's."""
        return self.group.height

    @property
    def dirty(self) -> bool:
        """As the group's."""
        return self.group.dirty

    @property
    def label(self) -> str:
        """How messages name it."""
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

    def add_link(self, link: Link) -> None:
        """Let somebody hear of changes of any key."""
        self.group.add_link(link)

    def remove_link(self, link: Link, origin: Origin) -> None:
        """Stop telling somebody."""
        self.group.remove_link(link, origin)

    def belongs_to(self, owner: Any) -> bool:
        """Tell whether it goes when a group goes."""
        return self.group is owner
