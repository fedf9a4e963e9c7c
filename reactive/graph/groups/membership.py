"""Which nodes are in a group: what a group reads of a node, and membership by condition or key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactive.errors import ExpressionError
from reactive.expr.operators import Expr
from reactive.graph.engine import Engine
from reactive.graph.failure import Failure
from reactive.graph.groups.derived_value import DerivedValue
from reactive.graph.nodes.computation import Computation
from reactive.graph.nodes.shape import Shape
from reactive.graph.nodes.tracked_node import TrackedNode
from reactive.graph.observer import Origin

_OUT: Any = object()
"""In the place of a key: in no group."""
_NAN = float("nan")


def group_key(value: Any) -> Any:
    """Return the key that a value is: all NaN are one. An unhashable value raises TypeError."""
    hash(value)
    return value if value == value else _NAN


class MemberInput:
    """What a group reads of a node: a computed value, a field, or an expression of its own."""

    def __init__(self, what: str | Expr, hidden_name: str, weight: str | None = None) -> None:
        self.what = what
        self.weight = weight
        self._hidden_name = hidden_name

    @property
    def names(self) -> set[str]:
        """The names that it reads of a node."""
        names = set(self.what.fields()) if isinstance(self.what, Expr) else {self.what}
        return names | {self.weight} if self.weight else names

    def check(self, shape: Shape) -> None:
        """Raise ExpressionTypeError if the nodes of a shape hold other types than are read."""
        if isinstance(self.what, Expr):
            self.what.typed(shape.types_of(self._hidden_name, self.what))

    def fits(self, node: TrackedNode) -> bool:
        """Whether the node has all that is read."""
        return all(map(node.shape.knows, self.names))

    def require(self, node: TrackedNode) -> None:
        """Raise UnknownNameError if the node lacks something that is read."""
        node.require(self.names)

    def slot(self, node: TrackedNode, origin: Origin) -> str:
        """Return the name under which the node's shape holds it, adding it where it is missing."""
        shape, tracked = node.shape, node.shape.tracked
        if isinstance(self.what, Expr):
            computation = self._computation(self.what, shape)
        elif self.weight is not None:
            computation = tracked.pair_of(self.what, self.weight)
        elif self.what in shape.index:
            return self.what
        else:
            computation = tracked.copy_of(self.what)
        if computation.name not in shape.index:
            node.adopt(shape.with_computation(computation), origin)
        return computation.name

    def _computation(self, expr: Expr, shape: Shape) -> Computation:
        try:
            if self.weight is not None:
                return shape.weighted(self._hidden_name, expr, self.weight)
            return shape.expression(self._hidden_name, expr, hidden=True)
        except ExpressionError as error:
            # A node of other types joined by its class: the group fails and names the node.
            return shape.tracked.mismatched(self._hidden_name, expr, error)


class _Retainer:
    """An observer that only keeps a hidden value in place while its node is in no group."""

    def changed(self, source: Any, old: Any, new: Any) -> None:
        pass

    def changed_many(self, sources: list[Any], olds: list[Any], news: list[Any]) -> None:
        pass

    def invalidate(self, source: Any) -> None:
        pass

    def source_removed(self, source: Any, origin: Origin) -> None:
        pass


_RETAINER = _Retainer()


class ConditionalMembership(DerivedValue):
    """Adds nodes to the group of their key, and removes them, as their values change.

    A node is a member while the condition is true and the key is known: a condition that is null or
    failed, or a key that failed or cannot be hashed, keeps the node out.
    """

    __slots__ = ("_at", "_enter", "_key", "_leave", "_moved", "_value", "_where", "nodes")

    def __init__(
        self,
        name: str,
        engine: Engine,
        *,
        value: MemberInput,
        key: MemberInput | None,
        where: MemberInput | None,
        enter: Callable[[TrackedNode, Any, str], None],
        leave: Callable[[TrackedNode, Any, Origin], None],
    ) -> None:
        super().__init__(name, engine, height=1)
        self._value, self._key, self._where = value, key, where
        self._enter, self._leave = enter, leave
        self.nodes: dict[TrackedNode, tuple[str, str | None, str | None]] = {}
        self._at: dict[TrackedNode, Any] = {}
        self._moved: dict[TrackedNode, None] = {}

    def insert(self, node: TrackedNode, origin: Origin) -> None:
        """Observe a node from now on."""
        slots = (
            self._value.slot(node, origin),
            None if self._key is None else self._key.slot(node, origin),
            None if self._where is None else self._where.slot(node, origin),
        )
        self.nodes[node] = slots
        self._at[node] = _OUT
        if slots[0].startswith(":"):
            node.add_observer(slots[0], _RETAINER)
        for slot in slots[1:]:
            if slot is not None:
                node.add_observer(slot, self)
        self.changed(node, None, None)

    def delete(self, node: TrackedNode, origin: Origin) -> None:
        """Stop observing a node, and remove it from its group."""
        slots = self.nodes.pop(node)
        at = self._at.pop(node)
        self._moved.pop(node, None)
        if at is not _OUT:
            self._leave(node, at, origin)
        node.remove_observer(slots[0], _RETAINER, origin)
        for slot in slots[1:]:
            if slot is not None:
                node.remove_observer(slot, self, origin)

    def source_removed(self, source: TrackedNode, origin: Origin) -> None:
        """Stop observing a node that has been removed from the graph."""
        if source in self.nodes:
            self.delete(source, origin)

    def close(self, origin: Origin) -> None:
        """Stop observing all nodes."""
        for node in list(self.nodes):
            self.delete(node, origin)

    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Check a node again when the graph settles; until then it stays in its group."""
        self._moved[source] = None
        self.mark_dirty()

    def recompute(self, origin: Origin) -> None:
        """Move the nodes whose key or condition changed."""
        self.dirty = False
        moved, self._moved = self._moved, {}
        for node in moved:
            before, now = self._at[node], self._place_of(node)
            if now is not before and now != before:
                self._at[node] = now
                if before is not _OUT:
                    self._leave(node, before, origin)
                if now is not _OUT:
                    self._enter(node, now, self.nodes[node][0])

    def _place_of(self, node: TrackedNode) -> Any:
        _, key_slot, where_slot = self.nodes[node]
        if where_slot is not None and node.held(where_slot) is not True:
            return _OUT
        if key_slot is None:
            return None
        key = node.held(key_slot)
        try:
            return _OUT if key.__class__ is Failure else group_key(key)
        except TypeError:
            return _OUT
