"""The groups of a graph: defining them, their members, their values, and effects on these."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from reactive.aggregate import Aggregate, Reduce, aggregate_of
from reactive.cell import Cell
from reactive.definition import Definition
from reactive.effect import Effect, KeyedEffect, ValueEffect
from reactive.errors import DuplicateNameError, MembershipError, UnknownNameError
from reactive.explain import Explanation, explain_group
from reactive.expr import Expr
from reactive.group import Group
from reactive.keyed import KeyedGroup, KeyValue, the_key
from reactive.membership import Reading
from reactive.multi import MultiComputed
from reactive.propagation import Propagation
from reactive.source import Origin, Source
from reactive.tracked import TrackedNode
from reactive.watch import Watch

if TYPE_CHECKING:
    from reactive.graph import ReactiveGraph

ALL_KEYS: Any = object()
WAITING_MAX = 10_000
"""Values that wait for a slow reader of a watch, unless it says otherwise."""


class Grouping(Propagation):
    """Propagation with groups by name."""

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[str, Definition] = {}
        self._inviting: list[Definition] = []

    # --- definitions ------------------------------------------------------------------------------

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
        `weighted_mean(weight)`, which are kept up to date by each change alone; `sum`, `min`,
        `max`, `len` and `statistics.mean` mean these. Any other function is called on the list of
        values. With `key` there is one value for each key; with `where` only nodes that pass are
        members.
        """
        aggregate = aggregate_of(reduce_fn)
        with self._change("definition", name, "") as origin:
            self._require_free(name)
            definition = Definition.of_nodes(
                name,
                self,
                aggregate,
                node_ids if isinstance(node_ids, type) else None,
                value=Reading(computed_name, f":{name}=", aggregate.weight),
                key=None if key is None else Reading(key, f":{name}#"),
                where=None if where is None else Reading(where, f":{name}?"),
            )
            if isinstance(node_ids, type):
                given = [node for node in self._nodes.values() if definition.invites(node)]
            else:
                given = list(dict.fromkeys(map(self._find, node_ids)))
            definition.require(given)
            self._groups[name] = definition
            if isinstance(node_ids, type):
                self._inviting.append(definition)
            for node in given:
                definition.let_in(node, origin)

    def rollup(
        self,
        name: str,
        groups: Iterable[str] | str,
        reduce_fn: Reduce | str | Aggregate = "sum",
    ) -> None:
        """Define an aggregate over the values of other groups: desks of books, a firm of desks.

        One name of a group by key means the groups of all its keys, those to come too.
        """
        aggregate = aggregate_of(reduce_fn)
        if aggregate.weight is not None:
            raise MembershipError(
                f"group {name!r}: groups have no {aggregate.weight!r} to weigh them by"
            )
        with self._change("definition", name, ""):
            self._require_free(name)
            names = [groups] if isinstance(groups, str) else list(groups)
            cells = [self._entry(given).cell for given in names]
            cell = Group(name, self, 1, aggregate)
            self._groups[name] = Definition(cell)
            for member in dict.fromkeys(cells):
                self._add_cell(cell, member)

    def multi_computed(self, name: str, fn: Callable[[ReactiveGraph], Any]) -> None:
        """Define a value computed by `fn(graph)`, again whenever something changed that it read.

        What it reads with `get`, `get_field` and `get_group`, and as computed attributes of tracked
        objects, is followed. It must not update the graph, and may be called more often than the
        value changes.
        """
        with self._change("definition", name, ""):
            self._require_free(name)
            self._groups[name] = Definition(MultiComputed(name, self, fn))

    def remove_group(self, name: str) -> None:
        """Remove a group; effects on it end, and what is made from it goes on without it."""
        with self._change("removal", name, "") as origin:
            entry = self._entry(name)
            del self._groups[name]
            if entry in self._inviting:
                self._inviting.remove(entry)
            cell = entry.cell
            for link in cell.links:
                link.lose(cell, origin)
            cell.links = ()
            if entry.selection is not None:
                entry.selection.close(origin)
            cell.close(origin)
            for other in self._groups.values():
                if isinstance(other.cell, KeyedGroup) and cell in other.cell.followers:
                    other.cell.followers.remove(cell)

    # --- members ----------------------------------------------------------------------------------

    def add_to_group(self, name: str, node_id: str) -> None:
        """Let a node, or for a rollup a group, become a member; one that is a member stays one."""
        with self._change("addition", name, str(node_id)) as origin:
            entry = self._entry(name)
            self._require_members(entry)
            if not entry.readings:
                self._add_cell(cast(Group, entry.cell), self._entry(node_id).cell)
                return
            node = self._find(node_id)
            if not entry.has(node):
                entry.require([node])
                entry.let_in(node, origin)

    def remove_from_group(self, name: str, node_id: str) -> None:
        """Let a member go."""
        with self._change("removal", name, str(node_id)) as origin:
            entry = self._entry(name)
            self._require_members(entry)
            cell = cast(Group, entry.cell)
            member: TrackedNode | Cell = (
                self._find(node_id) if entry.readings else self._entry(node_id).cell
            )
            if isinstance(member, KeyedGroup) and cell in member.followers:
                member.unfollow(cell, origin)
            elif (
                isinstance(member, TrackedNode)
                and entry.selection is not None
                and entry.has(member)
            ):
                entry.selection.delete(member, origin)
            elif entry.selection is None and member in cell.members:
                cell.delete(member, origin)
            else:
                raise UnknownNameError(
                    "member", node_id, f"group {name!r}", self.group_members(name)
                )
            if isinstance(member, TrackedNode):
                entry.removed.add(member)

    def group_members(self, name: str) -> list[str]:
        """Return the ids of the nodes, or the names of the groups, that a group has or follows."""
        with self._lock:
            entry = self._entry(name)
            if entry.selection is not None:
                return [node.id for node in entry.selection.nodes]
            if not isinstance(entry.cell, Group):
                return []
            return [m.id if isinstance(m, TrackedNode) else m.name for m in entry.cell.members]

    def _add_cell(self, group: Group, member: Cell) -> None:
        if isinstance(member, KeyedGroup):
            if group not in member.followers:
                member.follow(group)
        elif member not in group.members:
            group.insert(member)

    def _invite(self, node: TrackedNode, origin: Origin) -> None:
        """Let a node join the groups that all of its class belong to."""
        for entry in self._inviting:
            if entry.invites(node):
                entry.let_in(node, origin)

    # --- values -----------------------------------------------------------------------------------

    def get_group(self, name: str, key: Any = ALL_KEYS) -> Any:
        """Return the value of a group; of a group by key that of one key, or a dict of all."""
        with self._lock:
            return self.read(self._group_source(name, key))

    def group_effect(
        self, name: str, callback: Callable[[str, Any], Any], *, key: Any = ALL_KEYS
    ) -> Effect:
        """Call `callback(name, value)` now, and after each update that changed the group's value.

        For a group by key the value is a dict of the keys that changed, None where a key has no
        members any more; with `key` it is that key's value.
        """
        with self._change("attachment", name, ""):
            source = self._group_source(name, key)
            if isinstance(source, KeyedGroup):
                return KeyedEffect(self.effects, source, name, callback)
            return ValueEffect(self.effects, source, name, callback)

    def watch_group(
        self, name: str, *, key: Any = ALL_KEYS, limit: int = WAITING_MAX, conflate: bool = False
    ) -> Watch:
        """Iterate over a group's values with `async for`; see `watch`."""
        with self._lock:
            by_key = isinstance(self._group_source(name, key), KeyedGroup)
            return Watch(
                lambda put: self.group_effect(name, put, key=key),
                self._detach,
                limit,
                conflate,
                by_key=by_key,
            )

    def explain_group(self, name: str) -> Explanation:
        """Tell what a group's value was computed from, and which update last changed it."""
        with self._lock:
            self._catch_up()
            return explain_group(self._entry(name).cell)

    def _detach(self, effect: Effect) -> None:
        with self._change("detachment", effect.subject, "") as origin:
            if effect.attached:
                effect.detach(origin)
                if effect.at_end is not None:
                    effect.at_end()

    def _group_source(self, name: str, key: Any = ALL_KEYS) -> Source:
        cell = self._entry(name).cell
        if key is ALL_KEYS:
            return cell
        if not isinstance(cell, KeyedGroup):
            raise UnknownNameError("key", key, f"group {name!r}, which is not by key")
        try:
            return KeyValue(cell, the_key(key))
        except TypeError as error:
            raise UnknownNameError("key", key, f"group {name!r}, {error}", cell.groups) from None

    def _entry(self, name: str) -> Definition:
        entry = self._groups.get(name)
        if entry is None:
            raise UnknownNameError("group", name, "the graph", self._groups)
        return entry

    def _require_free(self, name: str) -> None:
        if name in self._groups:
            raise DuplicateNameError(
                f"there is a group {name!r} already; take another name, or "
                f"remove_group({name!r}) first"
            )

    def _require_members(self, entry: Definition) -> None:
        if isinstance(entry.cell, MultiComputed):
            raise MembershipError(
                f"{entry.cell.name!r} is computed by a function of the whole graph and has no "
                "members; what it reads decides"
            )
