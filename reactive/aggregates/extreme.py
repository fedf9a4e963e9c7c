"""The running maximum or minimum of values that come, change and go."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable
from math import nan
from typing import Any

from reactive.aggregates.accumulator import Accumulator


class Extreme(Accumulator):
    """The greatest (or least) of the members' values, in O(log n) a change.

    A tournament: the leaves of a binary tree hold the values, every inner place the better of its
    two children, so the root is the answer and a change walks up until nothing changes any more.
    Null is passed over; one NaN makes the answer NaN while it is in. Without a value it is null.
    A value that does not compare with the others raises TypeError and leaves the state undefined.
    """

    __slots__ = ("_better", "_free", "_leaves", "_nans", "_places", "_tree")

    def __init__(self, greatest: bool) -> None:
        self._better: Callable[[Any, Any], Any] = operator.gt if greatest else operator.lt
        self._places: dict[Hashable, int] = {}
        self._free: list[int] = []
        self._leaves = 1
        self._tree: list[Any] = [None, None]
        self._nans = 0

    def insert(self, member: Hashable, value: Any) -> None:
        """Add a member."""
        if self._free:
            place = self._free.pop()
        else:
            place = len(self._places)
            if place == self._leaves:
                self._grow()
        self._places[member] = place
        self._put(place, self._counted(value, 1))

    def delete(self, member: Hashable, value: Any) -> None:
        """Remove a member whose value is `value`."""
        self._counted(value, -1)
        place = self._places.pop(member)
        self._free.append(place)
        self._put(place, None)

    def replace(self, member: Hashable, old: Any, new: Any) -> None:
        """Change a member's value."""
        if old != old:
            self._counted(old, -1)
        if new != new:
            new = self._counted(new, 1)
        self._put(self._places[member], new)

    def value(self) -> Any:
        """Return the greatest or least value."""
        return nan if self._nans else self._tree[1]

    def _counted(self, value: Any, sign: int) -> Any:
        """Count a NaN; it takes no part, since it would win or lose by its place alone."""
        if value != value:
            self._nans += sign
            return None
        return value

    def _put(self, place: int, value: Any) -> None:
        tree, better = self._tree, self._better
        place += self._leaves
        tree[place] = value
        while place > 1:
            other = tree[place ^ 1]
            if value is None or (other is not None and better(other, value)):
                value = other
            place >>= 1
            if tree[place] is value:
                return
            tree[place] = value

    def _grow(self) -> None:
        """Double the places: the tree so far becomes the left half of a greater one."""
        old = self._tree
        tree = [None, old[1]]
        level = 1
        while level <= self._leaves:
            tree += old[level : 2 * level]
            tree += [None] * level
            level *= 2
        self._tree = tree
        self._leaves *= 2
