"""The running state of an aggregate while members come, change and go."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from typing import Any, Protocol


class Accumulator(Protocol):
    """The state of one aggregate over one group; each call names a member and its value.

    A value that the aggregate does not take raises; the state must not be used any more then.
    Accumulators that inherit from it get `replace` and `replace_many` in their plain form.
    """

    __slots__ = ()

    @abstractmethod
    def insert(self, member: Hashable, value: Any) -> None:
        """Add a member."""

    @abstractmethod
    def delete(self, member: Hashable, value: Any) -> None:
        """Remove a member whose value is `value`."""

    def replace(self, member: Hashable, old: Any, new: Any) -> None:
        """Change a member's value."""
        self.delete(member, old)
        self.insert(member, new)

    def replace_many(self, olds: list[Any], news: list[Any]) -> bool:
        """Change many members' values at once, if there is a fast way; return whether it did."""
        return False

    @abstractmethod
    def value(self) -> Any:
        """Return the aggregate of the members' values."""
