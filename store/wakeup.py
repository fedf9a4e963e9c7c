"""Waking up who waits for new events, without slowing down who writes them.

A notification inside a writer's transaction makes all writers commit one after another. So a
program that has committed sends one afterwards, at most every NOTIFY_SECONDS, and who hears it
looks at the log every few milliseconds for some time: long enough to meet what was committed
without a notification. A notification says nothing but "look", so a forged one is harmless.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from typing import Any

import psycopg2

_LOG = logging.getLogger(__name__)

CHANNEL = "object_store_event"
NOTIFY_SECONDS = 0.025
# Longer than NOTIFY_SECONDS: a commit that sent nothing falls into the time of close looking.
HOT_SECONDS = 0.1
LOOK_SECONDS = 0.002
# Who writes without this client sends no notification; it is found by looking now and then.
IDLE_SECONDS = 0.05

_lock = threading.Lock()
_last_sent: dict[Any, float] = {}


def after_commit(conn: Any, server: Any) -> None:
    """Send a notification by a connection outside of a transaction, if one is due.

    `server` stands for the database; all clients of a program that use it share one clock. The
    commit is done whatever happens here.
    """
    now = time.monotonic()
    with _lock:
        if now - _last_sent.get(server, -NOTIFY_SECONDS) < NOTIFY_SECONDS:
            return
        _last_sent[server] = now
    try:
        with conn.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")
    except psycopg2.Error as error:
        _LOG.info("no notification was sent, subscribers look by themselves: %s", error)


class Pace:
    """How long to wait before the next look: short after something was found, then longer."""

    def __init__(self) -> None:
        self._hot_until = 0.0
        self._pause = LOOK_SECONDS
        self.found()

    def found(self) -> None:
        """Something was found, or is said to be there: look closely for some time."""
        self._hot_until = time.monotonic() + HOT_SECONDS
        self._pause = LOOK_SECONDS

    def pause(self) -> float:
        """Seconds to wait now."""
        if time.monotonic() >= self._hot_until:
            self._pause = min(self._pause * 2, IDLE_SECONDS)
        return self._pause


def _selector() -> selectors.BaseSelector:
    """One that opens no file: a program that has used up its own still hears of events."""
    return getattr(selectors, "PollSelector", selectors.DefaultSelector)()


class Waiter:
    """Waits for a notification on a connection, for some seconds, or for `wake`."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)

    def wake(self) -> None:
        """End the wait, and every later one, from any thread: for stopping."""
        try:
            self._theirs.send(b"!")
        except OSError as error:
            # Closed, or full of earlier calls: nobody waits.
            _LOG.debug("nobody waits any more: %s", error)

    def wait(self, conn: Any, seconds: float) -> bool:
        """Wait; whether there was a notification.

        An error of psycopg2 says that the connection is lost.
        """
        with _selector() as selector:
            selector.register(self._ours, selectors.EVENT_READ)
            selector.register(conn, selectors.EVENT_READ)
            # One may have come with the answer to a statement: the socket tells no more of it.
            timeout = 0.0 if conn.notifies else seconds
            ready = [key.fileobj for key, _ in selector.select(timeout)]
        if conn in ready:
            conn.poll()
        notified = bool(conn.notifies)
        conn.notifies.clear()
        return notified

    def sleep(self, seconds: float) -> None:
        """Wait without a connection."""
        with _selector() as selector:
            selector.register(self._ours, selectors.EVENT_READ)
            selector.select(seconds)

    def close(self) -> None:
        """Give the sockets back."""
        self._ours.close()
        self._theirs.close()
