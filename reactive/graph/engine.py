"""Propagation: how updates travel, one at a time, through nodes and groups to the effects.

An update writes fields, recomputes what depends on them in each node, recomputes derived values
from the lowest to the highest, and then runs effects in the order in which they were attached. The
lock is held all the while, so effects and other threads see the graph between two updates only.
What a callback updates is carried out at once; the effects that follow from it run after those
already waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import compress
from typing import Any, Protocol

from reactive.errors import SideEffectError, UnknownNameError
from reactive.graph.effects.queue import EffectQueue
from reactive.graph.equality import same
from reactive.graph.nodes.codegen import Changed, Ref
from reactive.graph.nodes.tracked_node import TrackedNode
from reactive.graph.observer import Observable, Observer, Origin


class Reader(Protocol):
    """A function that computes a value: is told what it reads, and may raise."""

    @property
    def label(self) -> str:
        """Its name in messages."""

    def read(self, source: Observable) -> None:
        """Record that the function reads a value, or raise."""


class Engine:
    """The nodes of a graph, and the updates that pass through them.

    `pending` holds the nodes with fields or values whose dependants are yet to be recomputed,
    `dirty_queue` the derived values that are: a heap, lowest first.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.nodes: dict[str, TrackedNode] = {}
        self.effects = EffectQueue()
        self.dirty_queue: list[Any] = []
        self.failed_functions: set[Any] = set()
        """Functions of the graph that raised; they are run again when the graph itself changes."""
        self._acquire, self._release = self.lock.acquire, self.lock.release
        self._node_of: dict[int, TrackedNode] = {}
        self._number = 0
        self._serial = 0
        self._pending: dict[TrackedNode, frozenset[Ref]] = {}
        self._invalidated: dict[TrackedNode, None] = {}
        self._written: list[tuple[TrackedNode, str, Any]] = []
        self._reader: Reader | None = None
        self._batches = 0
        # More than 0 in a batch and in a computation: updates cannot take the short way then.
        self._busy = 0

    def next_serial(self) -> int:
        """Return a number greater than all before."""
        self._serial += 1
        return self._serial

    # --- nodes ------------------------------------------------------------------------------------

    def find(self, node_id: Any) -> TrackedNode:
        """Return the node of an id, or of a tracked object itself."""
        node = self.nodes.get(node_id) if isinstance(node_id, str) else self.node_of(node_id)
        if node is None:
            raise UnknownNameError("node", node_id, "the graph", self.nodes)
        return node

    def node_of(self, obj: Any) -> TrackedNode | None:
        """Return the node of an object that is tracked in this graph."""
        return self._node_of.get(id(obj))

    def add_node(self, node: TrackedNode) -> None:
        """Make a node known by its id and by its object."""
        self.nodes[node.id] = self._node_of[id(node.object)] = node

    def remove_node(self, node: TrackedNode, origin: Origin) -> None:
        """Forget a node, and tell all that observe it."""
        for observer in _observers_of(node):
            observer.source_removed(node, origin)
        self._pending.pop(node, None)
        self._invalidated.pop(node, None)
        del self.nodes[node.id], self._node_of[id(node.object)]

    # --- updates ----------------------------------------------------------------------------------

    def update(self, node_id: str, field: str, value: Any) -> None:
        """Write one field of a node, into the object too, and carry the change through the graph.

        What the object raises at the assignment is passed on, and nothing has changed then.
        """
        # The hot path: `with` would cost twice as much as these two calls.
        self._acquire()
        try:
            try:
                node = self.nodes[node_id]
            except (KeyError, TypeError):
                node = self.find(node_id)
            if self._busy:
                self._write(node, field, value)
                return
            if self._pending:
                self.catch_up()
            self._number = number = self._number + 1
            origin = (number, "update", node.id, field)
            try:
                node.shape.update[field](node, value, origin)
            except Exception:
                raise
            except BaseException:
                self._invalidate([node])
                raise
            if self.dirty_queue:
                self._recompute_dirty(origin)
            effects = self.effects
            if effects.waiting or effects.signals:
                effects.run()
        finally:
            self._release()

    def batch_update(self, node_id: str, values: Mapping[str, Any]) -> None:
        """Write several fields of a node as one update: all of them, or none if one fails."""
        with self.lock:
            node = self.find(node_id)
            for field in values:
                node.shape.require_field(field)
            with self.transaction("update", node.id, ", ".join(values)):
                for field, value in values.items():
                    self._write(node, field, value)

    def update_many(
        self, field: str, values: Mapping[str, Any] | Iterable[tuple[str, Any]]
    ) -> None:
        """Write one field of many nodes, given as node_id → value, as one update."""
        with self.lock:
            nodes, news = self._addressed(values)
            if not nodes:
                return
            shapes = [node.shape for node in nodes]
            if shapes.count(shapes[0]) == len(shapes):  # mostly
                del shapes[1:]
            else:
                shapes = list(set(shapes))
            if self._busy or not all(shape.tracked.accepts_all_values for shape in shapes):
                with self.transaction("update", f"{len(nodes)} nodes", field):
                    for node, value in zip(nodes, news, strict=True):
                        self._write(node, field, value)
                return
            for shape in shapes:
                shape.require_field(field)
            self.catch_up()
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
                self._report(changed, origin)
            except BaseException:
                self._invalidate(nodes)
                raise
            self.effects.run()

    def _addressed(
        self, values: Mapping[str, Any] | Iterable[tuple[str, Any]]
    ) -> tuple[list[TrackedNode], list[Any]]:
        """Return nodes, each once, and the last value given for each."""
        if isinstance(values, Mapping):
            try:
                return list(map(self.nodes.__getitem__, values)), list(values.values())
            except (KeyError, TypeError):
                values = values.items()
        last = {self.find(node_id): value for node_id, value in values}
        return list(last), list(last.values())

    @contextmanager
    def transaction(self, action: str, subject: str, name: str) -> Iterator[None]:
        """Make all updates inside one; if the block raises, fields get their old values back."""
        with self.lock:
            self._check_no_side_effect()
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
            self._check_no_side_effect()
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
            if self.nodes.get(node.id) is node:
                self._pending[node] = self._pending.get(node, frozenset()) | {field}

    # --- changes of the graph itself --------------------------------------------------------------

    @contextmanager
    def change(self, action: str, subject: str, name: str) -> Iterator[Origin]:
        """Change the graph itself: everything is up to date before, and again after."""
        with self.lock:
            self._check_no_side_effect()
            self.catch_up()
            self._number += 1
            origin = (self._number, action, subject, name)
            for function in self.failed_functions:
                function.mark_dirty()
            self.failed_functions.clear()
            # What is updated meanwhile, by a callback at the end of an effect, waits as in a batch.
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

    def set_value(self, node: TrackedNode, place: int, value: Any, origin: Origin) -> None:
        """Set a computed value; `recompute_dependants` is to follow."""
        old = node.values[2 * place]
        if not same(value, old):
            node.values[2 * place : 2 * place + 2] = value, origin
            for observer in node.observers[place]:
                observer.changed(node, old, value)

    def recompute_dependants(
        self, node: TrackedNode, changed: frozenset[Ref], origin: Origin
    ) -> None:
        """Recompute what depends on these fields or values of a node, and all that follows."""
        try:
            self._report(node.shape.recompute[changed]([node], origin), origin)
        except BaseException:
            self._invalidate([node])
            raise

    # --- recomputing ------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Bring the values up to date with what a batch has written so far."""
        if self._pending:
            self._number += 1
            self._flush((self._number, "batch", "", ""))

    def _flush(self, origin: Origin) -> None:
        """Recompute what depends on the fields that were written, and all that follows."""
        together: dict[Any, list[TrackedNode]] = {}
        for node, refs in self._pending.items():
            together.setdefault((node.shape, refs), []).append(node)
        pending, self._pending = self._pending, {}
        invalidated, self._invalidated = self._invalidated, {}
        try:
            changed: list[Changed] = []
            for (shape, refs), nodes in together.items():
                changed += shape.recompute[refs](nodes, origin)
            for node in invalidated:
                for observer in _observers_of(node):
                    observer.invalidate(node)
            self._report(changed, origin)
        except BaseException:
            self._invalidate(pending)
            raise

    def _invalidate(self, nodes: Iterable[TrackedNode]) -> None:
        """Let the next read or update recompute nodes that an interrupt may have left half done."""
        for node in nodes:
            self._pending[node] = frozenset(node.shape.tracked.fields)
            self._invalidated[node] = None

    def _report(self, changed: list[Changed], origin: Origin) -> None:
        """Tell the observers what has changed in nodes, and recompute what they mark as dirty."""
        for place, nodes, olds, news in changed:
            reached = [node.observers[place] for node in nodes]
            if reached and reached.count(reached[0]) == len(reached):  # mostly
                for observer in reached[0]:
                    observer.changed_many(nodes, olds, news)
                continue
            concerned: dict[Observer, list[int]] = {}
            for at, observers in enumerate(reached):
                for observer in observers:
                    concerned.setdefault(observer, []).append(at)
            for observer, places in concerned.items():
                observer.changed_many(
                    [nodes[at] for at in places],
                    [olds[at] for at in places],
                    [news[at] for at in places],
                )
        if self.dirty_queue:
            self._recompute_dirty(origin)

    def _recompute_dirty(self, origin: Origin) -> None:
        queue = self.dirty_queue
        while queue:
            height, _, derived = heappop(queue)
            if height < derived.height:
                heappush(queue, derived.queue_entry)  # it was raised while it waited
                continue
            try:
                derived.recompute(origin)
            except BaseException:  # an interrupt: the next update takes it up again
                derived.mark_dirty()
                raise

    # --- reading ----------------------------------------------------------------------------------

    def read(self, source: Observable) -> Any:
        """Return a value, or raise what stopped it; a function that is running is told."""
        with self.lock:
            if self._reader is not None:
                self._reader.read(source)
            self.catch_up()
            return source.get()

    @contextmanager
    def evaluating(self, reader: Reader) -> Iterator[None]:
        """Let a function of the user compute a value: its reads are noted, and it cannot update."""
        before = self._reader
        self._reader = reader
        self._busy += 1
        try:
            yield
        finally:
            self._reader = before
            self._busy -= 1

    def _check_no_side_effect(self) -> None:
        if self._reader is not None:
            raise SideEffectError(
                f"{self._reader.label} is being computed and may only read the graph; "
                "update it from an effect instead"
            )


def _observers_of(node: TrackedNode) -> list[Observer]:
    """Return who observes a value of a node, each once."""
    return list(dict.fromkeys(each for observers in node.observers for each in observers))
