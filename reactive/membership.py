"""Which nodes are in which group: how a group reads a node, and membership that follows values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactive.cell import Cell
from reactive.computation import Computation, Failure
from reactive.errors import ExpressionError
from reactive.expr import Expr
from reactive.keyed import the_key
from reactive.shape import Shape
from reactive.source import Link, Origin
from reactive.tracked import TrackedNode

if TYPE_CHECKING:
    from reactive.propagation import Propagation

_OUT: Any = object()
"""In the place of a key: in no group."""


class Reading:
    """What a group reads of a node: a computed value, a field, or an expression of its own."""

    def __init__(self, what: str | Expr, hidden_name: str, weight: str | None = None) -> None:
        self.what = what
        self.weight = weight
        self._hidden_name = hidden_name

    @property
    def names(self) -> set[str]:
        """The names that it takes from a node."""
        names = set(self.what.fields()) if isinstance(self.what, Expr) else {self.what}
        return names | {self.weight} if self.weight else names

    def check(self, shape: Shape) -> None:
        """Raise ExpressionTypeError if the nodes of a shape hold other types than are read."""
        if isinstance(self.what, Expr):
            self.what.typed(shape.tracked.types_of(self._hidden_name, self.what, shape))

    def fits(self, node: TrackedNode) -> bool:
        """Tell whether the node has all that is read."""
        return all(map(node.shape.knows, self.names))

    def require(self, node: TrackedNode) -> None:
        """Raise UnknownNameError if the node lacks something that is read."""
        node.require(self.names)

    def slot(self, node: TrackedNode, origin: Origin) -> str:
        """Return under which name the shape of the node holds it; a shape without it grows."""
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
        tracked = shape.tracked
        try:
            if self.weight is not None:
                return tracked.weighted(self._hidden_name, expr, self.weight, shape)
            return tracked.expression(self._hidden_name, expr, shape, hidden=True)
        except ExpressionError as error:
            # Of its own accord came a member whose types do not fit: the group fails and names it.
            return tracked.refused(self._hidden_name, expr, error)


class _Hold(Link):
    """Keeps a hidden value in place while its node is in no group."""

    def changed(self, source: Any, old: Any, new: Any) -> None:
        pass

    def lose(self, source: Any, origin: Origin) -> None:
        pass


_HOLD = _Hold()


class Selection(Cell, Link):
    """Membership that follows values: a node is in the group of its key while it may be.

    It may be while the condition is true and the key is known: a condition that is null or failed,
    or a key that failed or cannot be hashed, keeps the node out.
    """

    __slots__ = ("_at", "_enter", "_key", "_leave", "_moved", "_value", "_where", "nodes")

    def __init__(
        self,
        name: str,
        engine: Propagation,
        *,
        value: Reading,
        key: Reading | None,
        where: Reading | None,
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
        """Follow a node from now on."""
        slots = (
            self._value.slot(node, origin),
            None if self._key is None else self._key.slot(node, origin),
            None if self._where is None else self._where.slot(node, origin),
        )
        self.nodes[node] = slots
        self._at[node] = _OUT
        if slots[0].startswith(":"):
            node.add_link(slots[0], _HOLD)
        for slot in slots[1:]:
            if slot is not None:
                node.add_link(slot, self)
        self.changed(node, None, None)

    def delete(self, node: TrackedNode, origin: Origin) -> None:
        """Follow a node no longer."""
        slots = self.nodes.pop(node)
        at = self._at.pop(node)
        self._moved.pop(node, None)
        if at is not _OUT:
            self._leave(node, at, origin)
        node.remove_link(slots[0], _HOLD, origin)
        for slot in slots[1:]:
            if slot is not None:
                node.remove_link(slot, self, origin)

    def lose(self, source: TrackedNode, origin: Origin) -> None:
        """Follow a node no longer that is gone from the graph."""
        if source in self.nodes:
            self.delete(source, origin)

    def close(self, origin: Origin) -> None:
        """Follow nobody any more."""
        for node in list(self.nodes):
            self.delete(node, origin)

    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Look at a node again when the graph settles; until then it stays where it is."""
        self._moved[source] = None
        self.mark()

    def settle(self, origin: Origin) -> None:
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
            return _OUT if key.__class__ is Failure else the_key(key)
        except TypeError:
            return _OUT
