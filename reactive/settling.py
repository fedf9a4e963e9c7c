"""What follows from a change: values of nodes are recomputed, then groups from low to high."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any

from reactive.effect_queue import EffectQueue
from reactive.source import Link, Origin
from reactive.tracked import TrackedNode
from reactive.updater import Changed, Ref, same


class Settling:
    """What waits to be recomputed and to be told, and the way in which that is done.

    The agenda holds cells; each is settled once an update, after all that it is made from. The
    effects are run by who made the update, when everything is settled.
    """

    def __init__(self) -> None:
        self._number = 0
        self._pending: dict[TrackedNode, frozenset[Ref]] = {}
        self._doubtful: dict[TrackedNode, None] = {}
        self.agenda: list[Any] = []
        """Cells that wait to be settled, a heap."""
        self.effects = EffectQueue()
        self._serial = 0
        self.failed_multis: set[Any] = set()
        """Those whose function failed are tried again when the graph itself changes."""

    def next_serial(self) -> int:
        """Return a number greater than all before."""
        self._serial += 1
        return self._serial

    def _catch_up(self) -> None:
        """Bring the values up to date with what a batch has written so far."""
        if self._pending:
            self._number += 1
            self._flush((self._number, "batch", "", ""))

    def _flush(self, origin: Origin) -> None:
        """Carry on what was written and left."""
        together: dict[Any, list[TrackedNode]] = {}
        for node, refs in self._pending.items():
            together.setdefault((node.shape, refs), []).append(node)
        pending, self._pending = self._pending, {}
        doubtful, self._doubtful = self._doubtful, {}
        try:
            changed: list[Changed] = []
            for (shape, refs), nodes in together.items():
                changed += shape.again[refs](nodes, origin)
            for node in doubtful:
                for link in dict.fromkeys(link for links in node.links for link in links):
                    link.doubt(node)
            self._pass_on(changed, origin)
        except BaseException:
            self._doubt(pending)
            raise

    def _doubt(self, nodes: Iterable[TrackedNode]) -> None:
        """Let what is read or updated next compute nodes anew, which an interrupt has left."""
        for node in nodes:
            self._pending[node] = frozenset(node.shape.tracked.fields)
            self._doubtful[node] = None

    def _pass_on(self, changed: list[Changed], origin: Origin) -> None:
        """Tell the links what has changed in nodes, and settle what that concerns."""
        for place, nodes, olds, news in changed:
            reached = [node.links[place] for node in nodes]
            if reached and reached.count(reached[0]) == len(reached):  # mostly
                for link in reached[0]:
                    link.changed_many(nodes, olds, news)
                continue
            concerned: dict[Link, list[int]] = {}
            for at, links in enumerate(reached):
                for link in links:
                    concerned.setdefault(link, []).append(at)
            for link, places in concerned.items():
                link.changed_many(
                    [nodes[at] for at in places],
                    [olds[at] for at in places],
                    [news[at] for at in places],
                )
        if self.agenda:
            self._settle(origin)

    def _settle(self, origin: Origin) -> None:
        agenda = self.agenda
        while agenda:
            height, _, cell = heappop(agenda)
            if height < cell.height:
                heappush(agenda, cell.ticket)  # it rose while it waited
                continue
            try:
                cell.settle(origin)
            except BaseException:  # an interrupt: the next update takes it up again
                cell.mark()
                raise

    def _put(self, node: TrackedNode, place: int, value: Any, origin: Origin) -> None:
        """Give a computed value another value; what depends on it is left to `_carry_on`."""
        old = node.values[2 * place]
        if not same(value, old):
            node.values[2 * place : 2 * place + 2] = value, origin
            for link in node.links[place]:
                link.changed(node, old, value)

    def _carry_on(self, node: TrackedNode, changed: frozenset[Ref], origin: Origin) -> None:
        """Recompute what depends on these in a node, and so on."""
        try:
            self._pass_on(node.shape.again[changed]([node], origin), origin)
        except BaseException:
            self._doubt([node])
            raise
