"""The groups of a graph by name: defining and removing them, their members, and their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from reactive.aggregates.aggregate import Aggregate, Reduce, aggregate_of
from reactive.errors import DuplicateNameError, MembershipError, UnknownNameError
from reactive.expr.operators import Expr
from reactive.graph.engine import Engine
from reactive.graph.groups.definition import GroupDefinition
from reactive.graph.groups.derived_value import DerivedValue
from reactive.graph.groups.graph_function import GraphFunction
from reactive.graph.groups.group import Group
from reactive.graph.groups.keyed_group import KeyedGroup, KeyValue
from reactive.graph.groups.membership import MemberInput, group_key
from reactive.graph.nodes.tracked_node import TrackedNode
from reactive.graph.observer import Observable, Origin

ALL_KEYS: Any = object()
"""In the place of a key: the whole group."""


class Groups:
    """The groups of a graph; `ReactiveGraph` documents what its methods mean to the user."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._definitions: dict[str, GroupDefinition] = {}
        # Those of all objects of a class, which new nodes join.
        self._by_class: list[GroupDefinition] = []

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._definitions

    # --- definitions ------------------------------------------------------------------------------

    def define(
        self,
        name: str,
        node_ids: Iterable[str] | type,
        computed_name: str | Expr,
        reduce_fn: Reduce | str | Aggregate,
        *,
        key: str | Expr | None,
        where: Expr | None,
    ) -> None:
        """Define an aggregate over nodes."""
        engine = self._engine
        aggregate = aggregate_of(reduce_fn)
        with engine.change("definition", name, "") as origin:
            self._require_free(name)
            definition = GroupDefinition.of_nodes(
                name,
                engine,
                aggregate,
                node_ids if isinstance(node_ids, type) else None,
                value=MemberInput(computed_name, f":{name}=", aggregate.weight),
                key=None if key is None else MemberInput(key, f":{name}#"),
                where=None if where is None else MemberInput(where, f":{name}?"),
            )
            if isinstance(node_ids, type):
                given = [node for node in engine.nodes.values() if definition.admits(node)]
            else:
                given = list(dict.fromkeys(map(engine.find, node_ids)))
            definition.require(given)
            self._definitions[name] = definition
            if isinstance(node_ids, type):
                self._by_class.append(definition)
            for node in given:
                definition.add(node, origin)

    def define_rollup(
        self, name: str, groups: Iterable[str] | str, reduce_fn: Reduce | str | Aggregate
    ) -> None:
        """Define an aggregate over the values of other groups."""
        aggregate = aggregate_of(reduce_fn)
        if aggregate.weight is not None:
            raise MembershipError(
                f"group {name!r}: groups have no {aggregate.weight!r} to weigh them by"
            )
        with self._engine.change("definition", name, ""):
            self._require_free(name)
            names = [groups] if isinstance(groups, str) else list(groups)
            members = [self.definition(given).group for given in names]
            rollup = Group(name, self._engine, 1, aggregate)
            self._definitions[name] = GroupDefinition(rollup)
            for member in dict.fromkeys(members):
                self._add_group(rollup, member)

    def define_function(self, name: str, fn: Callable[[Any], Any], graph: object) -> None:
        """Define a value computed by `fn(graph)`."""
        with self._engine.change("definition", name, ""):
            self._require_free(name)
            self._definitions[name] = GroupDefinition(GraphFunction(name, self._engine, fn, graph))

    def remove(self, name: str) -> None:
        """Remove a group; effects on it end."""
        with self._engine.change("removal", name, "") as origin:
            definition = self.definition(name)
            del self._definitions[name]
            if definition in self._by_class:
                self._by_class.remove(definition)
            group = definition.group
            group.remove_observers(origin)
            if definition.membership is not None:
                definition.membership.close(origin)
            group.close(origin)
            for other in self._definitions.values():
                if isinstance(other.group, KeyedGroup) and group in other.group.rollups:
                    other.group.rollups.remove(group)

    def definition(self, name: str) -> GroupDefinition:
        """Return the definition of a group, or raise UnknownNameError."""
        definition = self._definitions.get(name)
        if definition is None:
            raise UnknownNameError("group", name, "the graph", self._definitions)
        return definition

    def _require_free(self, name: str) -> None:
        if name in self._definitions:
            raise DuplicateNameError(
                f"there is a group {name!r} already; take another name, or "
                f"remove_group({name!r}) first"
            )

    # --- members ----------------------------------------------------------------------------------

    def add_member(self, name: str, node_id: str) -> None:
        """Make a node, or for a rollup a group, a member; one that is a member stays one."""
        engine = self._engine
        with engine.change("addition", name, str(node_id)) as origin:
            definition = self._with_members(name)
            if not definition.inputs:
                self._add_group(cast(Group, definition.group), self.definition(node_id).group)
                return
            node = engine.find(node_id)
            if not definition.has(node):
                definition.require([node])
                definition.add(node, origin)

    def remove_member(self, name: str, node_id: str) -> None:
        """Remove a member."""
        engine = self._engine
        with engine.change("removal", name, str(node_id)) as origin:
            definition = self._with_members(name)
            group = cast(Group, definition.group)
            member: TrackedNode | DerivedValue = (
                engine.find(node_id) if definition.inputs else self.definition(node_id).group
            )
            if isinstance(member, KeyedGroup) and group in member.rollups:
                member.remove_rollup(group, origin)
            elif (
                isinstance(member, TrackedNode)
                and definition.membership is not None
                and definition.has(member)
            ):
                definition.membership.delete(member, origin)
            elif definition.membership is None and member in group.members:
                group.delete(member, origin)
            else:
                raise UnknownNameError("member", node_id, f"group {name!r}", self.members(name))
            if isinstance(member, TrackedNode):
                definition.removed.add(member)

    def members(self, name: str) -> list[str]:
        """Return the ids of the nodes, or the names of the groups, that a group has or observes."""
        definition = self.definition(name)
        if definition.membership is not None:
            return [node.id for node in definition.membership.nodes]
        if not isinstance(definition.group, Group):
            return []
        members = definition.group.members
        return [m.id if isinstance(m, TrackedNode) else m.name for m in members]

    def admit(self, node: TrackedNode, origin: Origin) -> None:
        """Add a node to the groups of all objects of its class."""
        for definition in self._by_class:
            if definition.admits(node):
                definition.add(node, origin)

    def _add_group(self, rollup: Group, member: DerivedValue) -> None:
        if isinstance(member, KeyedGroup):
            if rollup not in member.rollups:
                member.add_rollup(rollup)
        elif member not in rollup.members:
            rollup.insert(member)

    def _with_members(self, name: str) -> GroupDefinition:
        """Return the definition of a group that members can be added to and removed from."""
        definition = self.definition(name)
        if isinstance(definition.group, GraphFunction):
            raise MembershipError(
                f"{name!r} is computed by a function of the whole graph and has no "
                "members; what it reads decides"
            )
        return definition

    # --- values -----------------------------------------------------------------------------------

    def value(self, name: str, key: Any = ALL_KEYS) -> Observable:
        """Return the value of a group, or of one key of a group by key."""
        group = self.definition(name).group
        if key is ALL_KEYS:
            return group
        if not isinstance(group, KeyedGroup):
            raise UnknownNameError("key", key, f"group {name!r}, which is not by key")
        try:
            return KeyValue(group, group_key(key))
        except TypeError as error:
            raise UnknownNameError("key", key, f"group {name!r}, {error}", group.groups) from None
