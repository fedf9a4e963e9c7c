"""EventBus: callbacks that hear of changes, in the process where they are emitted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from store.base import Storable
from store.errors import SubscriptionError
from store.events import ChangeEvent

_LOG = logging.getLogger(__name__)

Callback = Callable[[ChangeEvent], object]
TypeKey = str | type[Storable]


class Failure(NamedTuple):
    """A callback that raised, and what it raised."""

    callback: Callback
    error: Exception


@dataclass(frozen=True)
class BusCounts:
    """How many events were emitted, how many callbacks were called, and how many raised."""

    emitted: int
    called: int
    raised: int


class EventBus:
    """Calls back on changes of a type, of an entity, or on all; safe to use from several threads.

    A type is a class, its full `type_name()` or its short class name. Callbacks run one after
    another in the thread that emits, in the order: by type, by entity, all. One that raises is
    logged and counted; the others hear the event all the same. A callback that is registered in
    several ways hears an event once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_type: dict[str, list[Callback]] = {}
        self._by_entity: dict[str, list[Callback]] = {}
        self._all: list[Callback] = []
        self._emitted = self._called = self._raised = 0

    def on(self, type_name: TypeKey, callback: Callback) -> None:
        """Call back on changes of entities of a type."""
        with self._lock:
            for name in _names(type_name):
                _add(self._by_type, name, callback)

    def on_entity(self, entity_id: str, callback: Callback) -> None:
        """Call back on changes of one entity."""
        with self._lock:
            _add(self._by_entity, str(entity_id), callback)

    def on_all(self, callback: Callback) -> None:
        """Call back on every change."""
        with self._lock:
            self._all = [*self._all, _checked(callback)]

    def off(self, type_name: TypeKey, callback: Callback) -> None:
        """Undo `on`; nothing happens where it was not registered."""
        with self._lock:
            for name in _names(type_name):
                _remove(self._by_type, name, callback)

    def off_entity(self, entity_id: str, callback: Callback) -> None:
        """Undo `on_entity`; nothing happens where it was not registered."""
        with self._lock:
            _remove(self._by_entity, str(entity_id), callback)

    def off_all(self, callback: Callback) -> None:
        """Undo `on_all`; nothing happens where it was not registered."""
        with self._lock:
            self._all = _without(self._all, callback)

    def emit(self, event: ChangeEvent) -> None:
        """Tell everybody who wants to hear of an event; it never raises."""
        self.deliver(event)

    def deliver(self, event: ChangeEvent, to: Sequence[Callback] | None = None) -> list[Failure]:
        """As `emit`, or to those callbacks alone, and say which of them raised."""
        failures = []
        callbacks = self.callbacks(event) if to is None else to
        for callback in callbacks:
            try:
                callback(event)
            except Exception as error:  # noqa: BLE001 - somebody else's code
                _LOG.exception(
                    "a callback raised on version %s of %s %s: %r",
                    event.version,
                    event.type_name,
                    event.entity_id,
                    callback,
                )
                failures.append(Failure(callback, error))
        with self._lock:
            self._emitted += to is None
            self._called += len(callbacks)
            self._raised += len(failures)
        return failures

    def callbacks(self, event: ChangeEvent) -> list[Callback]:
        """Who hears of an event, each once, in the order of calling."""
        # Lists are replaced, never changed: they can be read without the lock.
        name = event.type_name
        found = [
            *self._by_type.get(name, ()),
            *(self._by_type.get(short_name(name), ()) if "." in name else ()),
            *self._by_entity.get(event.entity_id, ()),
            *self._all,
        ]
        if len(found) < 2:
            return found
        once: list[Callback] = []
        for callback in found:
            if callback not in once:
                once.append(callback)
        return once

    @property
    def counts(self) -> BusCounts:
        """What happened so far."""
        with self._lock:
            return BusCounts(self._emitted, self._called, self._raised)


def short_name(type_name: str) -> str:
    """The class's own name in a full type name: `Order` of `desk.orders.Order`."""
    return type_name.rpartition(".")[2]


def _names(key: TypeKey) -> tuple[str, ...]:
    if isinstance(key, type) and issubclass(key, Storable):
        return key.type_names()
    if isinstance(key, str) and key:
        return (key,)
    raise SubscriptionError(
        f"{key!r:.80} names no type; a Storable class, 'Order' or 'desk.orders.Order' is expected"
    )


def _checked(callback: Callback) -> Callback:
    if not callable(callback):
        raise SubscriptionError(f"{callback!r:.80} cannot be called; a function(event) is expected")
    return callback


def _add(registered: dict[str, list[Callback]], key: str, callback: Callback) -> None:
    registered[key] = [*registered.get(key, ()), _checked(callback)]


def _remove(registered: dict[str, list[Callback]], key: str, callback: Callback) -> None:
    left = _without(registered.get(key, []), callback)
    if left:
        registered[key] = left
    else:
        registered.pop(key, None)


def _without(callbacks: list[Callback], callback: Callback) -> list[Callback]:
    """The list without one registration of a callback, the latest."""
    for index in range(len(callbacks) - 1, -1, -1):
        if callbacks[index] == callback:
            return callbacks[:index] + callbacks[index + 1 :]
    return callbacks
