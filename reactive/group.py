"""Groups: one aggregate over many nodes, or over other groups."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappush
from typing import TYPE_CHECKING, Any

from reactive.aggregate import Aggregate
from reactive.cell import Cell
from reactive.computation import Failure
from reactive.errors import ComputeError
from reactive.reading import Reader
from reactive.running import Running
from reactive.source import Link, Origin, Source
from reactive.tracked import TrackedNode

if TYPE_CHECKING:
    from reactive.membership import Selection
    from reactive.propagation import Propagation

Member = TrackedNode | Cell


class Group(Cell, Link):
    """An aggregate of the values of members, kept up to date by each change of one.

    `members` tells for each node under which name its shape holds the value that it brings in;
    cells bring in theirs. While the value of a member cannot be computed, neither can the group's.
    """

    __slots__ = ("_failed", "_replace", "_running", "_shared", "aggregate", "members", "selection")

    def __init__(self, name: str, engine: Propagation, height: int, aggregate: Aggregate) -> None:
        super().__init__(name, engine, height)
        self.aggregate = aggregate
        self.members: dict[Member, str] = {}
        self.selection: Selection | None = None
        """What decides who is a member, where that follows values."""
        self._failed: dict[Member, Failure] = {}
        self._shared: Any = None
        self._running: Running | None = None
        self._drop()
        self.mark()

    def sources(self) -> Iterable[Source]:
        """Return the groups that this one is made from."""
        return [member for member in self.members if isinstance(member, Cell)]

    # --- members ----------------------------------------------------------------------------------

    def insert(self, member: Member, slot: str = "") -> None:
        """Let a member in, and hear of it from now on."""
        if isinstance(member, Cell):
            self.rise_above(member)
            member.add_link(self)
        else:
            self._listen(member, slot)
        self.members[member] = slot
        self._enter(member, self._value_of(member))
        self.mark()

    def delete(self, member: Member, origin: Origin) -> None:
        """Let a member go."""
        value = self._value_of(member)
        slot = self.members.pop(member)
        if isinstance(member, Cell):
            member.remove_link(self, origin)
        else:
            member.remove_link(slot, self, origin)
        self._leave(member, value)
        self.mark()

    def lose(self, source: Member, origin: Origin) -> None:
        """Let a member go that is gone from the graph."""
        if self.selection is not None and isinstance(source, TrackedNode):
            self.selection.lose(source, origin)
        elif source in self.members:
            self.delete(source, origin)

    def enter(self, node: TrackedNode, key: Any, slot: str) -> None:
        """Let a node in that passes the condition."""
        self.insert(node, slot)

    def leave(self, node: TrackedNode, key: Any, origin: Origin) -> None:
        """Let a node go that no longer does."""
        self.delete(node, origin)

    def close(self, origin: Origin) -> None:
        """Let all members go."""
        for member in list(self.members):
            self.delete(member, origin)

    def _value_of(self, member: Member) -> Any:
        if isinstance(member, Cell):
            return member.value
        return member.values[2 * member.shape.index[self.members[member]]]

    def _listen(self, member: TrackedNode, slot: str) -> None:
        # Members that join in a row mostly have equal links before, and share them afterwards.
        place = member.shape.index[slot]
        before = member.links
        if self._shared is not None and self._shared[0] is before and self._shared[1] == place:
            member.links = self._shared[2]
        else:
            member.add_link(slot, self)
            # Effects are each of one node: remembered here, they would keep it alive.
            if all(isinstance(link, Cell) for heard in before for link in heard):
                self._shared = before, place, member.links

    # --- values -----------------------------------------------------------------------------------

    def changed(self, source: Member, old: Any, new: Any) -> None:
        """Take note that a member changed."""
        if new.__class__ is Failure or old.__class__ is Failure:
            self._leave(source, old)
            self._enter(source, new)
        else:
            try:
                self._replace(source, old, new)
            except Exception:  # noqa: BLE001 - it does not take the value; see settle()
                self._drop()
        if not self.dirty:
            self.dirty = True
            heappush(self.agenda, self.ticket)

    def changed_many(self, sources: list[Any], olds: list[Any], news: list[Any]) -> None:
        """Take note that many members changed."""
        if (
            self._running is not None
            and not self._failed
            and self._running.replace_many(olds, news)
        ):
            self.mark()
        else:
            Link.changed_many(self, sources, olds, news)

    def doubt(self, source: Member) -> None:
        """Build the running state anew, which may not know the member's value."""
        self._drop()
        self._failed.pop(source, None)
        self._enter(source, self._value_of(source))
        self.mark()

    def _enter(self, member: Member, value: Any) -> None:
        if value.__class__ is Failure:
            self._failed[member] = value
        elif self._running is not None:
            try:
                self._running.insert(member, value)
            except Exception:  # noqa: BLE001 - see settle()
                self._drop()

    def _leave(self, member: Member, value: Any) -> None:
        if value.__class__ is Failure:
            self._failed.pop(member, None)  # after a doubt it may not be there
        elif self._running is not None:
            try:
                self._running.delete(member, value)
            except Exception:  # noqa: BLE001 - see settle()
                self._drop()

    def _drop(self) -> None:
        """Give up the running state; it is built anew when the group settles."""
        self._running = None
        self._replace = _ignore

    def settle(self, origin: Origin) -> None:
        """Compute the aggregate anew and tell the links if it changed."""
        self.dirty = False
        if self._running is None or self._failed or self.aggregate.calls_back:
            new = self._computed_with_care()
        else:
            try:
                new = self._running.value()
            except Exception as error:  # noqa: BLE001 - kept as the value, raised to readers
                self._drop()
                new = Failure(error)
        self.take(new, origin)

    def _computed_with_care(self) -> Any:
        if self._failed:
            # Nobody reads the running state now, so it would grow; and who recovers has not joined
            # last.
            self._drop()
            member, failure = next(iter(self._failed.items()))
            return Failure(ComputeError(f"member {self._label_of(member)}", failure.reason))
        try:
            running = self._running or self._rebuilt()
            if not self.aggregate.calls_back:
                return running.value()
            with self.engine.evaluating(Reader(f"group {self.name!r}", None, ())):
                return running.value()
        except Exception as error:  # noqa: BLE001 - kept as the value, raised to readers
            self._drop()
            return Failure(error)

    def _label_of(self, member: Member) -> str:
        if isinstance(member, Cell):
            return member.label
        shape = member.shape
        return f"{member.id}.{shape.computations[shape.index[self.members[member]]].label}"

    def _rebuilt(self) -> Running:
        running = self.aggregate.start()
        for member in self.members:
            running.insert(member, self._value_of(member))
        self._running, self._replace = running, running.replace
        return running


def _ignore(member: Member, old: Any, new: Any) -> None:
    pass
