"""What an aggregate does with the values of members that come, change and go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any


class Running(ABC):
    """The state of one aggregate over one group; each call names a member and what it is worth.

    A value that the aggregate does not take raises; the state is then thrown away.
    """

    __slots__ = ()

    @abstractmethod
    def insert(self, member: Hashable, value: Any) -> None:
        """Let a new member in."""

    @abstractmethod
    def delete(self, member: Hashable, value: Any) -> None:
        """Let a member go whose value is `value`."""

    def replace(self, member: Hashable, old: Any, new: Any) -> None:
        """Change a member's value."""
        self.delete(member, old)
        self.insert(member, new)

    def replace_many(self, olds: list[Any], news: list[Any]) -> bool:
        """Change many members' values at once, if there is a fast way; tell whether there was."""
        return False

    @abstractmethod
    def value(self) -> Any:
        """Return the aggregate of the members' values."""
