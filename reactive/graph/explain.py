"""Explanations of values: what they were computed from, and which update last changed them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reactive.graph.failure import Failure
from reactive.graph.groups.derived_value import DerivedValue
from reactive.graph.groups.graph_function import GraphFunction
from reactive.graph.groups.group import Group
from reactive.graph.groups.keyed_group import KeyedGroup
from reactive.graph.nodes.tracked_node import NodeValue, TrackedNode
from reactive.graph.observer import Observable, Origin

SHOWN_MAX = 20
"""Inputs that the text of an explanation lists."""


@dataclass(frozen=True)
class Explanation:
    """What a value was computed from, and which update last changed it.

    `update` is the number of that update, counted from 1, and 0 where none is known. `cause` says
    what it was, such as `update of Position-1.price`. `inputs` have their present values; in a
    group, those that the same update changed come first.
    """

    name: str
    value: Any
    formula: str
    inputs: dict[str, Any]
    update: int
    cause: str
    overridden: bool = False
    error: Exception | None = None

    def __str__(self) -> str:
        shown = [f"    {name} = {value!r}" for name, value in list(self.inputs.items())[:SHOWN_MAX]]
        if len(self.inputs) > SHOWN_MAX:
            shown.append(f"    and {len(self.inputs) - SHOWN_MAX} more")
        value = repr(self.value) if self.error is None else f"failed: {self.error!r}"
        how = "set by hand, in place of" if self.overridden else "from"
        return "\n".join(
            [
                f"{self.name} = {value}",
                f"  {how} {self.formula}",
                *shown,
                f"  last changed by #{self.update}: {self.cause}"
                if self.update
                else "  not changed yet",
            ]
        )


def explain_node(node: TrackedNode, name: str) -> Explanation:
    """Explain a field or a computed value of a node."""
    place = node.shape.index.get(name)
    if place is None:
        copy = NodeValue(node, f":{name}")
        return _explanation(f"{node.id}.{name}", copy.value, "a field", {}, copy.origin)
    computation = node.shape.computations[place]
    inputs = {}
    for input_name, ref in zip(computation.inputs, node.shape.refs(computation), strict=True):
        value = getattr(node.object, ref, None) if isinstance(ref, str) else node.values[2 * ref]
        inputs[input_name] = value
    return _explanation(
        f"{node.id}.{name}",
        node.values[2 * place],
        computation.text,
        inputs,
        node.values[2 * place + 1],
        overridden=name in node.shape.overridden,
    )


def explain_group(group: DerivedValue) -> Explanation:
    """Explain a group, a group by key, or a function of the whole graph."""
    if isinstance(group, Group):
        members: list[Observable] = [
            member if isinstance(member, DerivedValue) else NodeValue(member, slot)
            for member, slot in group.members.items()
        ]
        formula = f"{group.aggregate.name} of {len(members)} members"
    elif isinstance(group, KeyedGroup):
        members, formula = list(group.groups.values()), f"{group.aggregate.name} by key"
    else:
        members = list(group.sources())
        function = group.function if isinstance(group, GraphFunction) else None
        formula = f"function {getattr(function, '__qualname__', function)}"
    members.sort(key=lambda member: member.origin != group.origin)
    inputs = {member.label: member.value for member in members}
    return _explanation(group.name, group.value, formula, inputs, group.origin)


def _explanation(
    name: str,
    value: Any,
    formula: str,
    inputs: dict[str, Any],
    origin: Origin,
    *,
    overridden: bool = False,
) -> Explanation:
    number, action, subject, field = origin
    cause = action
    if subject:
        cause += f" of {subject}" + (f".{field}" if field else "")
    failed = isinstance(value, Failure)
    return Explanation(
        name,
        None if failed else value,
        formula,
        inputs,
        number,
        cause,
        overridden,
        value.error if failed else None,
    )
