"""Topics of replay sessions: what is told as it happens, for WebSockets, tables and tests.

    stop = session.subscribe(lambda message: print(message.topic, message.rows))

A message names its session, so that what many sessions tell can go through one channel.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

__all__ = ["TOPICS", "Listener", "Message", "Topics"]

_LOG = logging.getLogger(__name__)

TOPICS = (
    "ticks",
    "bars",
    "orders",
    "fills",
    "positions",
    "matches",
    "signals",
    "decisions",
    "cash",
    "alerts",
    "late",
    "others",
    "status",
    "reset",
)


class Message(msgspec.Struct, frozen=True, gc=False):
    """Something that a session tells.

    `session` is the session's id, such as replay:3f2a; `time` the recorded time in nanoseconds,
    `position` how many rows have come. `rows` are outputs of the kernel, of `ticks` the inputs, of
    `status` and `reset` one object: the session's status, and all that is shown from now on.
    """

    session: str
    topic: str
    time: int
    position: int
    rows: tuple[Any, ...]


Listener = Callable[[Message], object]
"""Is called on the session's thread; what it raises is logged and stops nothing."""


class Topics:
    """Who listens to one session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[tuple[frozenset[str] | None, Listener]] = []

    def subscribe(self, listener: Listener, topics: Iterable[str] | None) -> Callable[[], None]:
        """Call a listener with messages of some topics, of all for None; returns what ends it."""
        entry = None if topics is None else frozenset(topics), listener
        with self._lock:
            self._listeners.append(entry)

        def end() -> None:
            with self._lock:
                if entry in self._listeners:
                    self._listeners.remove(entry)

        return end

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    def wants(self, topic: str) -> bool:
        """Whether somebody listens to a topic."""
        with self._lock:
            return any(topics is None or topic in topics for topics, _ in self._listeners)

    def tell(self, message: Message) -> None:
        """Tell all who want it."""
        with self._lock:
            listeners = [
                each
                for topics, each in self._listeners
                if topics is None or message.topic in topics
            ]
        for each in listeners:
            try:
                each(message)
            except Exception:  # noqa: BLE001 - somebody else's code
                _LOG.exception("a listener of %s raised", message.session)
