"""Keeps functions that compute a value from reading what would not make them run again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactive.errors import SideEffectError
from reactive.graph.engine import Engine
from reactive.graph.nodes.tracked_node import NodeValue
from reactive.graph.observer import Observable


class ReadGuard:
    """The reader while a function computes a value: allows some names of one object, or none."""

    __slots__ = ("_names", "_object", "label")

    def __init__(self, label: str, obj: Any, names: tuple[str, ...]) -> None:
        self.label = label
        self._object = obj
        self._names = names

    def read(self, source: Observable) -> None:
        """Raise SideEffectError if the function reads anything else."""
        if not (
            isinstance(source, NodeValue)
            and source.node.object is self._object
            and source.name.removeprefix(":") in self._names
        ):
            raise SideEffectError(
                f"{self.label} read {source.label}, whose changes it does not follow; define what "
                "it reads of its own object before it, and read others in multi_computed"
            )


def guarded(
    engine: Engine, function: Callable[[Any], Any], label: str, names: tuple[str, ...]
) -> Callable[[Any], Any]:
    """Return the function, limited to reading these names of its object and updating nothing."""

    def run(obj: Any) -> Any:
        with engine.evaluating(ReadGuard(label, obj, names)):
            return function(obj)

    return run
