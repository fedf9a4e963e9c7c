"""Writes objects to a store when their computed values change; the store needs an `update` only.

What is needed of the store's client and of its version conflict is declared here, so that this
package imports no store.
"""

from __future__ import annotations

import dataclasses
import threading
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from reactive.errors import ComputeError, PersistError
from reactive.graph.equality import same
from reactive.graph.reactive_graph import ReactiveGraph

_NEVER: Any = object()


class StoreClient(Protocol):
    """Something that writes an object's new version."""

    def update(self, obj: Any, /) -> Any:
        """Write the object as the next version of its entity."""


@runtime_checkable
class ReadsBack(Protocol):
    """A store client that can also read an entity's newest version."""

    def read(self, cls: type, entity_id: Any, /) -> Any:
        """Return the newest version as an object of the class."""


@runtime_checkable
class Conflict(Protocol):
    """What a store raises when another writer was first; recognised by its fields."""

    entity_id: Any
    expected_version: Any
    actual_version: Any


def auto_persist_effect(
    graph: ReactiveGraph,
    node_id: str,
    store_client: StoreClient,
    obj: Any,
    *,
    interval_seconds: float = 0.0,
) -> PersistEffect:
    """Write an object to a store when computed values of its node have changed, once an update.

    A computed value that has the name of a field of the object is written into that field first.
    With an interval, changes wait that long and are then written as one, from another thread. After
    a version conflict the newest version is read, and its changes are taken over except where the
    graph has changed the same field since its last write; then the write is tried once more.
    Failures are logged and counted.
    """
    return PersistEffect(graph, node_id, store_client, obj, interval_seconds)


class PersistEffect:
    """Keeps an entity of a store in step with the computed values of a node."""

    def __init__(
        self,
        graph: ReactiveGraph,
        node_id: str,
        store_client: StoreClient,
        obj: Any,
        interval_seconds: float,
    ) -> None:
        if graph.object_of(node_id) is not obj:
            raise PersistError(
                f"{node_id} is the node of another object than {obj!r}; give the one that was "
                "tracked, since the graph writes its updates into that"
            )
        self._graph = graph
        self._node_id = node_id
        self._client = store_client
        self._object = obj
        self._fields = [f.name for f in dataclasses.fields(obj)]
        self._interval = interval_seconds
        self._timer: threading.Timer | None = None
        self._due = False
        self.errors = 0
        """How many writes have failed; each is in the log with its traceback."""
        # What the store has, as far as this side knows.
        self._stored = self._snapshot()
        with graph.batch():
            values = self._values()
            self._due = any(
                not same(self._stored[name], values[name])
                for name in self._twins()
                if name in values
            )
            self._written = {} if self._due else values
            self._effect = graph.node_effect(node_id, self._changed, at_once=False)
            self._effect.at_end = self._leave
            self.flush()

    def flush(self) -> None:
        """Write now what is pending: in the interval, or after a failure."""
        with self._graph.batch():
            self._timer = None
            if self._due and self._effect.attached:
                self._write()

    def close(self) -> None:
        """Write what is pending, and stop; untracking the object does the same."""
        with self._graph.batch():
            if self._effect.attached or self._due:
                self._leave()
            self._graph.remove_effect(self._effect)

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # In a batch, or behind another effect, it may not have been told of the last changes yet.
        if self._due or any(
            not same(value, self._written.get(name, _NEVER))
            for name, value in self._values().items()
        ):
            self._write()

    def _changed(self, _node_id: str, _values: dict[str, Any]) -> None:
        self._due = True
        if not self._interval:
            self._write()
        elif self._timer is None:
            timer = threading.Timer(self._interval, self.flush)
            timer.daemon = True
            timer.start()
            # Only now: where no thread can be started, the next change tries again.
            self._timer = timer

    def _write(self) -> None:
        if self._graph.overrides(self._node_id):
            self._effect.waits_for_overrides = True
            return  # a what-if is not for the store
        if _equal(self._values(), self._written) and _equal(self._snapshot(), self._stored):
            self._due = False
            return
        try:
            self._fill_fields()
            self._update()
        except Exception as error:  # noqa: BLE001 - counted and logged; the next change tries again
            self.errors += 1
            self._effect.raised(error)
        else:
            self._due = False
            self._stored = self._snapshot()
            self._written = self._values()
        # What was taken over from others is in the store already.
        self._effect.skip()

    def _values(self) -> dict[str, Any]:
        """Return the computed values that are known."""
        values = {}
        for name in self._graph.computed_names(self._node_id):
            with suppress(ComputeError):
                values[name] = self._graph.get(self._node_id, name)
        return values

    def _twins(self) -> list[str]:
        """Return the computed values that the object also has a field for."""
        return [name for name in self._graph.computed_names(self._node_id) if name in self._fields]

    def _fill_fields(self) -> None:
        graph, node_id = self._graph, self._node_id
        graph.batch_update(node_id, {name: graph.get(node_id, name) for name in self._twins()})

    def _update(self) -> None:
        try:
            self._client.update(self._object)
        except Exception as error:
            if not isinstance(error, Conflict) or not isinstance(self._client, ReadsBack):
                raise
            self._take_over(self._client.read(type(self._object), error.entity_id))
            try:
                self._client.update(self._object)
            except Exception as second:
                raise PersistError(
                    f"{self._node_id} was changed by others twice in a row: {second}; "
                    "the next change of a computed value tries again"
                ) from second

    def _take_over(self, newest: Any) -> None:
        """Take over what others have changed, except where the graph has changed the same field."""
        if newest is None:
            raise PersistError(f"{self._node_id} is not in the store any more and was not written")
        ours, theirs = self._snapshot(), {name: getattr(newest, name) for name in self._fields}
        self._graph.batch_update(
            self._node_id,
            {name: theirs[name] for name in self._fields if same(ours[name], self._stored[name])},
        )
        # The version that the next update is checked against, and its like.
        for name, value in vars(newest).items():
            if name.startswith("_store_"):
                object.__setattr__(self._object, name, value)
        self._fill_fields()

    def _snapshot(self) -> dict[str, Any]:
        return {name: getattr(self._object, name) for name in self._fields}


def _equal(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
