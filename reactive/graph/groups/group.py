"""Groups: one aggregate over many nodes, or over other groups."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappush
from typing import Any, TypeAlias

from reactive.aggregates.accumulator import Accumulator
from reactive.aggregates.aggregate import Aggregate
from reactive.errors import ComputeError
from reactive.graph.engine import Engine
from reactive.graph.failure import Failure
from reactive.graph.groups.derived_value import DerivedValue
from reactive.graph.groups.membership import ConditionalMembership
from reactive.graph.nodes.tracked_node import TrackedNode
from reactive.graph.observer import Observable, Origin
from reactive.graph.read_guard import ReadGuard

Member: TypeAlias = TrackedNode | DerivedValue


class Group(DerivedValue):
    """An aggregate of the values of members, kept up to date by each change of one.

    `members` tells for each node under which name its shape holds the value to aggregate; of
    another group it is that group's value. While the value of a member cannot be computed, neither
    can the group's.
    """

    __slots__ = (
        "_accumulator",
        "_failed",
        "_replace",
        "_shared",
        "aggregate",
        "members",
        "membership",
    )

    def __init__(self, name: str, engine: Engine, height: int, aggregate: Aggregate) -> None:
        super().__init__(name, engine, height)
        self.aggregate = aggregate
        self.members: dict[Member, str] = {}
        self.membership: ConditionalMembership | None = None
        """What decides which nodes are members, where that depends on their values."""
        self._failed: dict[Member, Failure] = {}
        self._shared: Any = None
        self._accumulator: Accumulator | None = None
        self._drop()
        self.mark_dirty()

    def sources(self) -> Iterable[Observable]:
        """Return the groups that this one is derived from."""
        return [member for member in self.members if isinstance(member, DerivedValue)]

    # --- members ----------------------------------------------------------------------------------

    def insert(self, member: Member, slot: str = "") -> None:
        """Add a member, and observe it from now on."""
        if isinstance(member, DerivedValue):
            self.raise_above(member)
            member.add_observer(self)
        else:
            self._observe(member, slot)
        self.members[member] = slot
        self._enter(member, self._value_of(member))
        self.mark_dirty()

    def delete(self, member: Member, origin: Origin) -> None:
        """Remove a member."""
        value = self._value_of(member)
        slot = self.members.pop(member)
        if isinstance(member, DerivedValue):
            member.remove_observer(self, origin)
        else:
            member.remove_observer(slot, self, origin)
        self._leave(member, value)
        self.mark_dirty()

    def source_removed(self, source: Member, origin: Origin) -> None:
        """Remove a member that has been removed from the graph."""
        if self.membership is not None and isinstance(source, TrackedNode):
            self.membership.source_removed(source, origin)
        elif source in self.members:
            self.delete(source, origin)

    def enter(self, node: TrackedNode, key: Any, slot: str) -> None:
        """Add a node that meets the condition."""
        self.insert(node, slot)

    def leave(self, node: TrackedNode, key: Any, origin: Origin) -> None:
        """Remove a node that no longer meets the condition."""
        self.delete(node, origin)

    def close(self, origin: Origin) -> None:
        """Remove all members."""
        for member in list(self.members):
            self.delete(member, origin)

    def _value_of(self, member: Member) -> Any:
        if isinstance(member, DerivedValue):
            return member.value
        return member.values[2 * member.shape.index[self.members[member]]]

    def _observe(self, member: TrackedNode, slot: str) -> None:
        # Members that join in a row mostly have equal observers before, and share them afterwards.
        place = member.shape.index[slot]
        before = member.observers
        if self._shared is not None and self._shared[0] is before and self._shared[1] == place:
            member.observers = self._shared[2]
        else:
            member.add_observer(slot, self)
            # Effects are each of one node: remembered here, they would keep it alive.
            if all(isinstance(each, DerivedValue) for observers in before for each in observers):
                self._shared = before, place, member.observers

    # --- values -----------------------------------------------------------------------------------

    def changed(self, source: Member, old: Any, new: Any) -> None:
        """Replace the value of a member in the aggregate."""
        if new.__class__ is Failure or old.__class__ is Failure:
            self._leave(source, old)
            self._enter(source, new)
        else:
            try:
                self._replace(source, old, new)
            except Exception:  # noqa: BLE001 - it does not take the value; see recompute()
                self._drop()
        if not self.dirty:
            self.dirty = True
            heappush(self.dirty_queue, self.queue_entry)

    def changed_many(self, sources: list[Any], olds: list[Any], news: list[Any]) -> None:
        """Replace the values of many members in the aggregate."""
        if (
            self._accumulator is not None
            and not self._failed
            and self._accumulator.replace_many(olds, news)
        ):
            self.mark_dirty()
        else:
            super().changed_many(sources, olds, news)

    def invalidate(self, source: Member) -> None:
        """Drop the accumulator, which may not have the member's present value."""
        self._drop()
        self._failed.pop(source, None)
        self._enter(source, self._value_of(source))
        self.mark_dirty()

    def _enter(self, member: Member, value: Any) -> None:
        if value.__class__ is Failure:
            self._failed[member] = value
        elif self._accumulator is not None:
            try:
                self._accumulator.insert(member, value)
            except Exception:  # noqa: BLE001 - see recompute()
                self._drop()

    def _leave(self, member: Member, value: Any) -> None:
        if value.__class__ is Failure:
            self._failed.pop(member, None)  # after an invalidation it may not be there
        elif self._accumulator is not None:
            try:
                self._accumulator.delete(member, value)
            except Exception:  # noqa: BLE001 - see recompute()
                self._drop()

    def _drop(self) -> None:
        """Drop the accumulator; it is rebuilt when the group is recomputed."""
        self._accumulator = None
        self._replace = _ignore

    def recompute(self, origin: Origin) -> None:
        """Read the aggregate and tell the observers if it changed."""
        self.dirty = False
        if self._accumulator is None or self._failed or self.aggregate.calls_back:
            new = self._computed_with_care()
        else:
            try:
                new = self._accumulator.value()
            except Exception as error:  # noqa: BLE001 - kept as the value, raised to readers
                self._drop()
                new = Failure(error)
        self.set_value(new, origin)

    def _computed_with_care(self) -> Any:
        if self._failed:
            # The accumulator is not read while a member has failed, so it would grow; and a member
            # that recovers would count as the last one to join.
            self._drop()
            member, failure = next(iter(self._failed.items()))
            return Failure(ComputeError(f"member {self._label_of(member)}", failure.reason))
        try:
            accumulator = self._accumulator or self._rebuilt()
            if not self.aggregate.calls_back:
                return accumulator.value()
            with self.engine.evaluating(ReadGuard(f"group {self.name!r}", None, ())):
                return accumulator.value()
        except Exception as error:  # noqa: BLE001 - kept as the value, raised to readers
            self._drop()
            return Failure(error)

    def _label_of(self, member: Member) -> str:
        if isinstance(member, DerivedValue):
            return member.label
        shape = member.shape
        return f"{member.id}.{shape.computations[shape.index[self.members[member]]].label}"

    def _rebuilt(self) -> Accumulator:
        accumulator = self.aggregate.start()
        for member in self.members:
            accumulator.insert(member, self._value_of(member))
        self._accumulator, self._replace = accumulator, accumulator.replace
        return accumulator


def _ignore(member: Member, old: Any, new: Any) -> None:
    pass
