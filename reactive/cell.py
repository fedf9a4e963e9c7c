"""A value that is made from values of several nodes: the common part of groups and the like."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from heapq import heappush
from typing import TYPE_CHECKING, Any

from reactive.errors import CycleError
from reactive.source import BEFORE, Link, Origin, Source, without
from reactive.updater import same

if TYPE_CHECKING:
    from reactive.propagation import Propagation


class Cell(Source):
    """A value with links, settled after all that it is made from.

    `height` is one more than that of the highest source; the graph settles what is on its agenda
    from the lowest to the highest, so each cell is settled once and sees its sources settled.
    """

    __slots__ = (
        "agenda",
        "dirty",
        "engine",
        "height",
        "links",
        "name",
        "origin",
        "serial",
        "ticket",
        "value",
    )

    height: int
    dirty: bool
    value: Any
    origin: Origin

    def __init__(self, name: str, engine: Propagation, height: int) -> None:
        self.name = name
        self.engine = engine
        self.agenda = engine.agenda
        self.serial = engine.next_serial()
        self.value = None
        self.origin = BEFORE
        self.links: tuple[Link, ...] = ()
        self.dirty = False
        self.height = height
        self.ticket = (height, self.serial, self)

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.name

    def sources(self) -> Iterable[Source]:
        """Return the cells that this one is made from."""
        return ()

    def mark(self) -> None:
        """Put the cell on the agenda."""
        if not self.dirty:
            self.dirty = True
            heappush(self.agenda, self.ticket)

    @abstractmethod
    def settle(self, origin: Origin) -> None:
        """Bring the value up to date and tell the links if it changed."""

    def take(self, new: Any, origin: Origin) -> None:
        """Take a value, and tell the links if it is another one."""
        old = self.value
        if not same(new, old):
            self.value = new
            self.origin = origin
            for link in self.links:
                link.changed(self, old, new)

    def close(self, origin: Origin) -> None:
        """Stop listening to what it is made from."""

    def add_link(self, link: Link) -> None:
        """Let somebody hear of changes."""
        self.links = (*self.links, link)

    def remove_link(self, link: Link, origin: Origin) -> None:
        """Stop telling somebody."""
        self.links = without(self.links, link)

    def rise_above(self, source: Source) -> None:
        """Come after a source, and let all that is made from this cell come after it in turn."""
        if source is self or any(isinstance(link, Cell) for link in self.links):
            self._refuse_cycle(source)
        waiting = [(self, source.height)]
        while waiting:
            cell, below = waiting.pop()
            if cell.height <= below:
                cell.height = below + 1
                cell.ticket = (cell.height, cell.serial, cell)
                waiting += [(link, cell.height) for link in cell.links if isinstance(link, Cell)]

    def _refuse_cycle(self, source: Source) -> None:
        """Raise CycleError if the source is made from this cell."""
        came_from: dict[Source, Source | None] = {source: None}
        waiting: list[Source] = [source]
        while waiting:
            found = waiting.pop()
            if found is self:
                path = [self.label]
                step = came_from[found]
                while step is not None:
                    path.append(step.label)
                    step = came_from[step]
                raise CycleError([self.label, *path[::-1]], "this value would depend on itself")
            if isinstance(found, Cell):
                for below in found.sources():
                    if below not in came_from:
                        came_from[below] = found
                        waiting.append(below)
