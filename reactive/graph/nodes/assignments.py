"""Assignments to tracked objects as updates: how an object refers to its node."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Container
from threading import get_ident
from typing import Any, Protocol, TypeAlias

_NODE = "_reactive_node"
_INNER = "_reactive_inner"
Write: TypeAlias = Callable[[Any, str, Any], None]
PLAIN_WRITE: Write = object.__setattr__


class Fields(Protocol):
    """What is known of the class of a tracked object."""

    @property
    def fields(self) -> Container[str]:
        """The names of its fields."""


class NodeShape(Protocol):
    """What is known of the shape of a node."""

    @property
    def tracked(self) -> Fields:
        """The class of the object."""


class Updates(Protocol):
    """What takes the updates that assignments are turned into."""

    def update(self, node_id: str, field: str, value: Any) -> None:
        """Write a field and carry the change through the graph."""


class BoundNode(Protocol):
    """What an assignment needs to know of the node of its object."""

    id: str
    object: Any
    writing: int

    @property
    def shape(self) -> NodeShape:
        """What the node computes."""

    @property
    def engine(self) -> Updates:
        """The engine of its graph."""

    def read(self, name: str) -> Any:
        """Return a computed value or a field, or raise ComputeError."""


# Objects with slots have no room for their node.
_node_of_slotted: weakref.WeakValueDictionary[int, BoundNode] = weakref.WeakValueDictionary()


def node_of(obj: object) -> BoundNode | None:
    """Return the node of an object that is tracked and whose class follows assignments."""
    node = getattr(obj, _NODE, None)
    # A copy of a tracked object carries its node along, and is not tracked.
    return node if node is not None and node.object is obj else None


def bind(obj: object, node: BoundNode | None) -> None:
    """Tell an object which node it has."""
    if not hasattr(obj, "__dict__"):
        if node is None:
            _node_of_slotted.pop(id(obj), None)
        else:
            _node_of_slotted[id(obj)] = node
    elif node is None:
        object.__delattr__(obj, _NODE)
    else:
        object.__setattr__(obj, _NODE, node)


def follow_assignments(cls: type) -> None:
    """Make assignments to fields of tracked objects updates of their graph; done once a class."""
    has_room = cls.__dictoffset__ != 0
    type.__setattr__(cls, _NODE, None if has_room else property(_look_up))
    inner: Write = getattr(cls, "__setattr__")  # noqa: B009 - as a plain function
    if hasattr(inner, _INNER):
        return

    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
        node = node_of(self)
        if (
            node is None
            # By this thread: another one's assignment waits for its turn.
            or (node.writing and node.writing == get_ident())
            or name not in node.shape.tracked.fields
        ):
            inner(self, name, value)
        else:
            node.engine.update(node.id, name, value)

    setattr(__setattr__, _INNER, inner)
    type.__setattr__(cls, "__setattr__", __setattr__)


def writer_of(cls: type) -> Write:
    """Return what really writes a field, below what follows assignments."""
    hook: Write = getattr(cls, "__setattr__")  # noqa: B009 - as a plain function
    inner: Write = getattr(hook, _INNER, hook)
    if inner is hook or inner is PLAIN_WRITE:
        return inner

    def write(obj: Any, name: str, value: Any) -> None:
        # A base of the class may follow assignments too: it must let this one pass.
        node = node_of(obj)
        if node is None:
            inner(obj, name, value)
            return
        node.writing = get_ident()
        try:
            inner(obj, name, value)
        finally:
            node.writing = 0

    return write


def _look_up(obj: object) -> BoundNode | None:
    return _node_of_slotted.get(id(obj))
