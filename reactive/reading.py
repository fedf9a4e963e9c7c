"""What functions may read while they compute a value: only what the graph can follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactive.errors import SideEffectError
from reactive.source import Source
from reactive.tracked import NodeValue

if TYPE_CHECKING:
    from reactive.propagation import Propagation


class Reader:
    """Stands for a function that computes a value of one object."""

    __slots__ = ("_names", "_object", "label")

    def __init__(self, label: str, obj: Any, names: tuple[str, ...]) -> None:
        self.label = label
        self._object = obj
        self._names = names

    def read(self, source: Source) -> None:
        """Refuse to let it read what would not make it run again."""
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
    engine: Propagation, function: Callable[[Any], Any], label: str, names: tuple[str, ...]
) -> Callable[[Any], Any]:
    """Return the function of an object that may read these names of it and update nothing."""

    def run(obj: Any) -> Any:
        with engine.evaluating(Reader(label, obj, names)):
            return function(obj)

    return run
