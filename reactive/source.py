"""Values that one can listen to, and those who listen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from reactive.computation import Failure
from reactive.errors import ComputeError

Origin = tuple[int, str, str, str]
"""The update that last changed a value: its number, what was done, to what, and to which name."""
BEFORE: Origin = (0, "", "", "")


class Link(ABC):
    """Somebody who hears of changed values."""

    __slots__ = ()

    @abstractmethod
    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Take note of a change; act on it when the graph is settled."""

    def changed_many(self, sources: list[Any], olds: list[Any], news: list[Any]) -> None:
        """Take note of many changes."""
        for source, old, new in zip(sources, olds, news, strict=True):
            self.changed(source, old, new)

    def doubt(self, source: Any) -> None:
        """Take note that changes of a node may not have been told: an interrupt came between."""
        self.changed(source, None, None)

    @abstractmethod
    def lose(self, source: Any, origin: Origin) -> None:
        """Take note that a node or a group is gone."""


class Source(ABC):
    """A value that one can listen to, inside a node or on its own."""

    __slots__ = ()

    @property
    @abstractmethod
    def height(self) -> int:
        """Above all that it is made from; what is in a node is at 0."""

    @property
    @abstractmethod
    def dirty(self) -> bool:
        """Whether it waits to be settled."""

    @property
    @abstractmethod
    def label(self) -> str:
        """How messages name it."""

    @property
    @abstractmethod
    def value(self) -> Any:
        """The value, or the Failure that stands in its place."""

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """The update that last changed it."""

    @abstractmethod
    def add_link(self, link: Link) -> None:
        """Let somebody hear of changes."""

    @abstractmethod
    def remove_link(self, link: Link, origin: Origin) -> None:
        """Stop telling somebody."""

    def belongs_to(self, owner: Any) -> bool:
        """Tell whether it goes when a node or a group goes."""
        return self is owner

    def get(self) -> Any:
        """Return the value, or raise ComputeError."""
        value = self.value
        if value.__class__ is Failure:
            raise ComputeError(self.label, value.reason) from value.error
        return value


def without(links: tuple[Link, ...], link: Link) -> tuple[Link, ...]:
    """Return the links with one occurrence less of a link; there may be none of it."""
    if link not in links:
        return links
    at = links.index(link)
    return links[:at] + links[at + 1 :]
