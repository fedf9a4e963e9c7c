"""How updates travel: one at a time, through nodes and groups to the effects.

An update writes fields, recomputes what depends on them in each node, settles groups from the
lowest to the highest, and then runs effects in the order in which they were attached. The lock is
held all the while, so effects and other threads see the graph between two updates only. What a
callback updates is carried out at once; the effects that follow from it run after those already
waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import compress
from typing import Any

from reactive.errors import SideEffectError, UnknownNameError
from reactive.settling import Settling
from reactive.source import Origin, Source
from reactive.tracked import TrackedNode
from reactive.updater import Changed, same


class Propagation(Settling):
    """The nodes of a graph, and the updates that pass through them."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._nodes: dict[str, TrackedNode] = {}
        self._node_of: dict[int, TrackedNode] = {}
        self._batches = 0
        self._written: list[tuple[TrackedNode, str, Any]] = []
        self._reader: Any = None
        self._busy = (
            0  # more than 0 in a batch and in a computation: updates cannot take the short way
        )

    # --- updates ----------------------------------------------------------------------------------

    def update(self, node_id: str, field: str, value: Any) -> None:
        """Write one field, into the object too, and carry the change through the graph.

        An equal value changes nothing. What the object raises at the assignment is passed on, and
        nothing has changed then.
        """
        # The hot path: `with` would cost twice as much as these two calls.
        self._acquire()
        try:
            try:
                node = self._nodes[node_id]
            except (KeyError, TypeError):
                node = self._find(node_id)
            if self._busy:
                self._write(node, field, value)
                return
            if self._pending:
                self._catch_up()
            self._number = number = self._number + 1
            origin = (number, "update", node.id, field)
            try:
                node.shape.update[field](node, value, origin)
            except Exception:
                raise
            except BaseException:
                self._doubt([node])
                raise
            if self.agenda:
                self._settle(origin)
            effects = self.effects
            if effects.waiting or effects.signals:
                effects.run()
        finally:
            self._release()

    def batch_update(self, node_id: str, values: Mapping[str, Any]) -> None:
        """Write several fields of a node as one update: all of them, or none if one is refused."""
        with self._lock:
            node = self._find(node_id)
            for field in values:
                node.shape.require_field(field)
            with self._transaction("update", node.id, ", ".join(values)):
                for field, value in values.items():
                    self._write(node, field, value)

    def update_many(
        self, field: str, values: Mapping[str, Any] | Iterable[tuple[str, Any]]
    ) -> None:
        """Write one field of many nodes, given as node_id → value, as one update.

        The fastest way in for ticks: it costs a fraction of as many single updates.
        """
        with self._lock:
            nodes, news = self._addressed(values)
            if not nodes:
                return
            shapes = [node.shape for node in nodes]
            if shapes.count(shapes[0]) == len(shapes):  # mostly
                del shapes[1:]
            else:
                shapes = list(set(shapes))
            if self._busy or not all(shape.tracked.never_refuses for shape in shapes):
                with self._transaction("update", f"{len(nodes)} nodes", field):
                    for node, value in zip(nodes, news, strict=True):
                        self._write(node, field, value)
                return
            for shape in shapes:
                shape.require_field(field)
            self._catch_up()
            self._number = number = self._number + 1
            origin = (number, "update", f"{len(nodes)} nodes", field)
            changed: list[Changed] = []
            try:
                for shape in shapes:
                    mine: tuple[Iterable[TrackedNode], Iterable[Any]] = nodes, news
                    if len(shapes) > 1:
                        own = [node.shape is shape for node in nodes]
                        mine = compress(nodes, own), compress(news, own)
                    changed += shape.many[field](*mine, origin)
                self._pass_on(changed, origin)
            except BaseException:
                self._doubt(nodes)
                raise
            self.effects.run()

    def _addressed(
        self, values: Mapping[str, Any] | Iterable[tuple[str, Any]]
    ) -> tuple[list[TrackedNode], list[Any]]:
        """Return nodes, each once, and the last value given for each."""
        if isinstance(values, Mapping):
            try:
                return list(map(self._nodes.__getitem__, values)), list(values.values())
            except (KeyError, TypeError):
                values = values.items()
        last = {self._find(node_id): value for node_id, value in values}
        return list(last), list(last.values())

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make all updates inside one: values are recomputed and effects run when it ends.

        A value that is read inside shows the updates so far. If the block raises, the fields that
        it wrote get their old values back. Other threads wait for the end; do not `await` inside.
        """
        with self._transaction("batch", "", ""):
            yield

    @contextmanager
    def _transaction(self, action: str, subject: str, name: str) -> Iterator[None]:
        with self._lock:
            self._refuse_side_effect()
            written = len(self._written)
            self._batches += 1
            self._busy += 1
            try:
                yield
            except BaseException:
                self._take_back(written)
                raise
            finally:
                self._batches -= 1
                self._busy -= 1
                if not self._batches:
                    self._written.clear()
                    self._number += 1
                    self._flush((self._number, action, subject, name))
                    self.effects.run()

    def _write(self, node: TrackedNode, field: str, value: Any) -> None:
        """Write a field now and leave what depends on it for later."""
        if self._reader is not None:
            self._refuse_side_effect()
        tracked = node.shape.tracked
        alone = tracked.alone.get(field)
        if alone is None:
            raise UnknownNameError("field", field, node.id, tracked.fields)
        old = getattr(node.object, field, None)
        if not same(value, old):
            tracked.write(node.object, field, value)
            self._written.append((node, field, old))
            before = self._pending.get(node)
            self._pending[node] = alone if before is None else before | alone

    def _take_back(self, written: int) -> None:
        """Undo the writes after the first so many, the last one first."""
        while len(self._written) > written:
            node, field, old = self._written.pop()
            node.shape.tracked.write(node.object, field, old)
            if self._nodes.get(node.id) is node:
                self._pending[node] = self._pending.get(node, frozenset()) | {field}

    # --- changes of the graph itself --------------------------------------------------------------

    @contextmanager
    def _change(self, action: str, subject: str, name: str) -> Iterator[Origin]:
        """Change the graph itself: everything is settled before, and again after."""
        with self._lock:
            self._refuse_side_effect()
            self._catch_up()
            self._number += 1
            origin = (self._number, action, subject, name)
            for cell in self.failed_multis:
                cell.mark()
            self.failed_multis.clear()
            # What is updated meanwhile, by somebody who is told of an end, waits like in a batch.
            self._batches += 1
            self._busy += 1
            try:
                yield origin
            finally:
                self._batches -= 1
                self._busy -= 1
                if not self._batches:
                    self._written.clear()
                self._flush(origin)
            if not self._batches:
                self.effects.run()

    # --- reading ----------------------------------------------------------------------------------

    def _find(self, node_id: Any) -> TrackedNode:
        """Return the node of an id, or of a tracked object itself."""
        node = (
            self._nodes.get(node_id) if isinstance(node_id, str) else self._node_of.get(id(node_id))
        )
        if node is None:
            raise UnknownNameError("node", node_id, "the graph", self._nodes)
        return node

    def read(self, source: Source) -> Any:
        """Return a value, or raise what stopped it; a computation that runs is noted as reader."""
        with self._lock:
            if self._reader is not None:
                self._reader.read(source)
            self._catch_up()
            return source.get()

    @contextmanager
    def evaluating(self, reader: Any) -> Iterator[None]:
        """Let a function of the user compute a value: its reads are noted, and it cannot update."""
        before = self._reader
        self._reader = reader
        self._busy += 1
        try:
            yield
        finally:
            self._reader = before
            self._busy -= 1

    def _refuse_side_effect(self) -> None:
        if self._reader is not None:
            raise SideEffectError(
                f"{self._reader.label} is being computed and may only read the graph; "
                "update it from an effect instead"
            )
