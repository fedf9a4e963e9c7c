"""Observable values, and the observers that are told when they change."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol, TypeAlias

from reactive.errors import ComputeError
from reactive.graph.failure import Failure

Origin: TypeAlias = tuple[int, str, str, str]
"""The update that last changed a value: its number, what was done, to what, and to which name."""
BEFORE: Origin = (0, "", "", "")
"""The origin of what no update has changed yet."""


class Observer(Protocol):
    """Something that is told when values change, and acts on it once the graph is settled."""

    def changed(self, source: Any, old: Any, new: Any) -> None:
        """Note that a value has changed."""

    def changed_many(self, sources: list[Any], olds: list[Any], news: list[Any]) -> None:
        """Note that the values of many nodes have changed."""

    def invalidate(self, source: Any) -> None:
        """Note that an interrupt may have kept changes of a node from being reported."""

    def source_removed(self, source: Any, origin: Origin) -> None:
        """Note that a node or a group has been removed."""


class Observable(Protocol):
    """A value that observers can be added to: of a node, of a group, or of a key of a group."""

    @property
    def height(self) -> int:
        """One more than the highest value that it is derived from; 0 for a value of a node."""

    @property
    def dirty(self) -> bool:
        """Whether it waits to be recomputed."""

    @property
    def by_key(self) -> bool:
        """Whether its value is a dict by key, whose changes are reported by key."""

    @property
    def label(self) -> str:
        """Its name in messages."""

    @property
    def value(self) -> Any:
        """The value, or the Failure that stands in its place."""

    @property
    def origin(self) -> Origin:
        """The update that last changed it."""

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer of changes from now on."""

    def remove_observer(self, observer: Observer, origin: Origin) -> None:
        """Stop telling an observer of changes."""

    def belongs_to(self, owner: Any) -> bool:
        """Whether it is removed together with this node or group."""

    def get(self) -> Any:
        """Return the value, or raise ComputeError."""


def raise_failure(label: str, failure: Failure) -> NoReturn:
    """Raise the ComputeError of a value that could not be computed."""
    raise ComputeError(label, failure.reason) from failure.error


def without(observers: tuple[Observer, ...], observer: Observer) -> tuple[Observer, ...]:
    """Return the observers less one occurrence of this one, if it is among them."""
    if observer not in observers:
        return observers
    at = observers.index(observer)
    return observers[:at] + observers[at + 1 :]
