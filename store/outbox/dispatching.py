"""Promised workflows are started in the background, in each process that can.

Whoever has a client, and a class whose `_workflow_engine` is set, need do nothing: what a process
that was killed left pending is started within seconds. One thread serves all clients of the
process. It looks once a second, costs one statement for each login and engine, and asks nothing
of the database while no class has an engine.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import Any

from store.base import Storable
from store.database.connection import Connection
from store.outbox.outbox import Outbox

_LOG = logging.getLogger(__name__)
PERIOD_SECONDS = 1.0
# A login that fails is left alone for longer each time.
_LONGEST_SECONDS = 30.0
# How long a client that is closed waits for a start that is under way.
_CLOSE_SECONDS = 5.0


class Dispatching:
    """The thread, and the clients that it serves."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._served: Connection | None = None
        # By login: when it is served again, and how long it was left alone the last time.
        self._later: dict[object, tuple[float, float]] = {}

    def add(self, connection: Connection) -> None:
        """Serve a connection from now on, until it is closed or nobody holds it any more."""
        with self._changed:
            self._connections.add(connection)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="store dispatching", daemon=True
                )
                self._thread.start()

    def remove(self, connection: Connection) -> None:
        """Serve a connection no more, and wait a moment for what is being started for it."""
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()
            # Not where the engine runs the workflow at once, and that closes the connection.
            if self._thread is not threading.current_thread():
                self._changed.wait_for(lambda: self._served is not connection, _CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._connections, PERIOD_SECONDS)
                if not self._connections:
                    self._thread = None
                    return
                connections = list(self._connections)
            engines = engines_of_classes()
            # Several connections of one login would ask for the same.
            logins = {(connection.user, connection.where): connection for connection in connections}
            del connections
            while engines and logins:
                login, connection = logins.popitem()
                self._serve(login, connection, engines)
                del connection

    def _serve(
        self, login: object, connection: Connection, engines: list[tuple[Any, list[str]]]
    ) -> None:
        again, pause = self._later.get(login, (0.0, PERIOD_SECONDS))
        if time.monotonic() < again:
            return
        with self._changed:
            if connection not in self._connections:
                return
            self._served = connection
        try:
            for engine, types in engines:
                if getattr(engine, "is_running", True):
                    Outbox(connection).drain(engine, types=types)
            self._later.pop(login, None)
        except Exception as error:  # noqa: BLE001 - the thread serves others, too
            self._later[login] = (time.monotonic() + pause, min(2 * pause, _LONGEST_SECONDS))
            if connection in self._connections and pause == PERIOD_SECONDS:
                _LOG.warning(
                    "workflows promised to %s are not started at present, and stay pending: %s",
                    connection.user,
                    error,
                )
        finally:
            with self._changed:
                self._served = None
                self._changed.notify_all()


def engines_of_classes() -> list[tuple[Any, list[str]]]:
    """Each engine that a class of this process has, with the names of these types."""
    found: dict[int, tuple[Any, list[str]]] = {}
    entities: list[Any] = list(Storable._registry.entities())
    for cls in entities:
        engine, machine = cls._workflow_engine, cls._state_machine
        if engine is not None and machine is not None:
            found.setdefault(id(engine), (engine, []))[1].append(cls.type_name())
    return list(found.values())


DISPATCHING = Dispatching()


def _begin_anew() -> None:
    """In a forked child the thread does not run, and the connections are the parent's."""
    global DISPATCHING  # noqa: PLW0603 - one for each process
    DISPATCHING = Dispatching()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def serve(connection: Connection) -> None:
    """Start what was promised to a connection's user, where a class has an engine."""
    DISPATCHING.add(connection)


def leave(connection: Connection) -> None:
    """The connection is closed."""
    DISPATCHING.remove(connection)
