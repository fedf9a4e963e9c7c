"""What all nodes of an expression share: immutability, a type, comparison by structure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

from reactive.errors import ExpressionTypeError, ExpressionValueError
from reactive.expr.types import UNDECIDED, Type, common_type

MAX_DEPTH = 100
"""Levels of nesting; what walks a tree by recursion stays clear of Python's own limit."""
MAX_SIZE = 10_000
"""Nodes, counted as often as they occur: `x = x + x` doubles them each time."""

NodeT = TypeVar("NodeT", bound="Node")

_classes: dict[str, type[Node]] = {}


def make(name: str, *arguments: Any) -> Any:
    """Return a node of the class of that name.

    Operators build nodes whose classes inherit those operators; by name, no module imports in a
    circle.
    """
    return _classes[name](*arguments)


class Node:
    """A node of an expression tree.

    A class lists its constructor's arguments in `parts`; each is a node, a tuple of nodes, or a
    plain value. `json_names` gives the JSON keys of parts that are not stored under their own name.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    json_names: ClassVar[dict[str, str]] = {}
    type: Type
    depth: int
    size: int
    constant: bool
    """Whether no field occurs in it."""

    def __init_subclass__(cls) -> None:
        # The first of a name stays: a subclass elsewhere must not take the place of a node.
        _classes.setdefault(cls.__name__, cls)

    def _set(self, type_: Type, *values: Any) -> None:
        """Set the type and the parts, once, in the constructor."""
        state = self.__dict__
        depth, size, constant = 0, 1, True
        for part, value in zip(self.parts, values, strict=True):
            state[part] = value
            if isinstance(value, Node):
                below = (value,)
            elif isinstance(value, tuple):
                below = tuple(child for _, child in _nodes(part, value))
            else:
                continue
            for child in below:
                depth = max(depth, child.depth)
                size += child.size
                constant = constant and child.constant
        if depth >= MAX_DEPTH or size > MAX_SIZE:
            raise ExpressionValueError(
                f"{self.label}: the expression is {depth + 1} levels deep and has {size} nodes; "
                f"{MAX_DEPTH} levels and {MAX_SIZE} nodes are allowed; "
                "compute parts of it on their own"
            )
        state.update(type=type_, depth=depth + 1, size=size, constant=constant)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"expressions are immutable: cannot set {name!r} of {self.label}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"expressions are immutable: cannot delete {name!r} of {self.label}")

    @property
    def label(self) -> str:
        """How messages name the node."""
        return type(self).__name__

    def children(self) -> Iterator[tuple[str, Any]]:
        """Yield the nodes right below, each with the path that leads to it."""
        for part in self.parts:
            yield from _nodes(part, getattr(self, part))

    def map_children(self: NodeT, change: Callable[[str, Any], Any]) -> NodeT:
        """Return the node with `change(path, child)` in the place of each child."""
        arguments = []
        for part in self.parts:
            arguments.append(_map(part, getattr(self, part), change))  # noqa: PERF401 - fewer frames
        return type(self)(*arguments)

    @property
    def key(self) -> tuple[Any, ...]:
        """The structure as a hashable tuple: for expressions as keys of a dict or in a set."""
        key = self.__dict__.get("_key")
        if key is None:
            key = self.__dict__["_key"] = (
                type(self).__name__,
                *(_key(getattr(self, part)) for part in self.parts),
            )
        return key

    def equals(self, other: object) -> bool:
        """Whether the other one is the same expression; `==` builds a comparison instead."""
        return isinstance(other, Node) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        # Compiled code is left behind.
        return type(self), tuple(getattr(self, part) for part in self.parts)

    def __copy__(self: NodeT) -> NodeT:
        return self

    def __deepcopy__(self: NodeT, memo: dict[int, Any]) -> NodeT:
        return self

    def _require(
        self, path: str, child: Node, allowed: frozenset[Type], expected: str, hint: str = ""
    ) -> None:
        """Raise ExpressionTypeError if a child has none of the allowed types."""
        if child.type not in allowed and child.type not in UNDECIDED:
            raise ExpressionTypeError(self.label, path, expected, describe(child), hint)

    def _common(self, children: list[tuple[str, Any]], hint: str = "") -> Type:
        """Return the type that all children are read as; raises at the first that does not fit."""
        undeclared = any(child.type is Type.ANY for _, child in children)
        seen: list[Type] = []
        found = Type.NULL
        for path, child in children:
            seen.append(child.implied_type if undeclared else child.type)
            common = common_type(seen)
            if common is None:
                raise ExpressionTypeError(self.label, path, found.words, describe(child), hint)
            found = common
        return found

    @property
    def implied_type(self) -> Type:
        """The type that an undeclared field next to this node is read as."""
        return self.type


def describe(node: Any) -> str:
    """Say what a node is, for a message."""
    return f"{node!r} ({node.type.words})"


def _nodes(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Node):
        yield path, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _nodes(f"{path}[{index}]", item)


def _map(path: str, value: Any, change: Callable[[str, Any], Any]) -> Any:
    if isinstance(value, Node):
        return change(path, value)
    if isinstance(value, tuple):
        items = []
        for index, item in enumerate(value):
            items.append(_map(f"{path}[{index}]", item, change))
        return tuple(items)
    return value


def _key(value: Any) -> Any:
    if isinstance(value, Node):
        return value.key
    if isinstance(value, tuple):
        return tuple(_key(item) for item in value)
    # 1, 1.0 and True are equal in Python and different constants.
    return type(value).__name__, repr(value)
