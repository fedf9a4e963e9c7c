"""One login of a bridge: it hears notifications, reads the log, and holds the checkpoint."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg2

from bridge.snapshot import run
from store.base import Storable
from store.checkpoints import Checkpoint, Taken, subscribers
from store.connection import translated
from store.log import EventLog
from store.position import Position
from store.subscription_session import Login
from store.wakeup import CHANNEL, Waiter

# A killed bridge's session ends at once, or after its keepalive; until then its place is taken.
CLAIM_SECONDS = 10.0
SAVE_SECONDS = 0.25


class Session:
    """A connection of the bridge's role, listening."""

    def __init__(self, login: Login, classes: Sequence[type[Storable]]) -> None:
        self.conn = login.connect()
        try:
            # Before anything is read: what is committed after that wakes this session.
            run(self.conn, f"LISTEN {CHANNEL}")
            self.log = EventLog(self.conn, types=classes)
        except BaseException:
            self.conn.close()
            raise
        self._checkpoint: Checkpoint | None = None
        self._saved_at = time.monotonic()

    @property
    def holds_checkpoint(self) -> bool:
        """Is its place kept for a restart?"""
        return self._checkpoint is not None

    def stored_position(self, subscriber_id: str) -> Position | None:
        """Where a subscriber stood the last time; None for a new one."""
        known = {each.subscriber_id: each.position for each in subscribers(self.conn)}
        return known.get(subscriber_id)

    def claim(self, subscriber_id: str, start: Position, waiter: Waiter) -> None:
        """Hold the subscription; Taken if another session that is alive does not let go of it."""
        end = time.monotonic() + CLAIM_SECONDS
        while self._checkpoint is None:
            try:
                self._checkpoint = Checkpoint.claim(self.conn, subscriber_id, self.log.epoch, start)
            except Taken:
                if time.monotonic() > end:
                    raise
                waiter.sleep(0.1)

    def save(self, position: Position, *, now: bool = False) -> None:
        """Keep the place, at most every SAVE_SECONDS unless it must be now."""
        moment = time.monotonic()
        if self._checkpoint is None or not (now or moment > self._saved_at + SAVE_SECONDS):
            return
        self._saved_at = moment
        if position > self._checkpoint.position:
            self._checkpoint.move(position)

    def let_go(self) -> None:
        """Give up the subscription: it belongs to another session now."""
        self._checkpoint = None

    def wait(self, waiter: Waiter, seconds: float) -> bool:
        """Wait for a notification; was there one?"""
        try:
            return waiter.wait(self.conn, seconds)
        except psycopg2.Error as error:
            raise translated(error) from error

    def close(self) -> None:
        """Let go of the subscription, and log out."""
        try:
            if self._checkpoint is not None and not self.conn.closed:
                self._checkpoint.release()
        finally:
            self.conn.close()


def own_number(conn: Any) -> int:
    """A transaction number: whatever was committed before has a smaller one."""
    return int(run(conn, "SELECT pg_current_xact_id()::text")[0][0])
