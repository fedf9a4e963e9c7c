"""One login of a bridge: it hears notifications, reads the log, and holds the checkpoint."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Event
from typing import Any

import psycopg2

from bridge.snapshot import run
from store.base import Storable
from store.checkpoints import Checkpoint, Taken, subscribers
from store.events import ChangeEvent
from store.log import EventLog
from store.position import Position
from store.sqlstates import translated
from store.subscription_session import Login
from store.wakeup import CHANNEL, Waiter

SAVE_SECONDS = 0.25
CLAIM_AGAIN_SECONDS = 0.1


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

    @property
    def pid(self) -> int:
        """By which the server knows this session."""
        return int(self.conn.info.backend_pid)

    def holder(self, subscriber_id: str) -> int | None:
        """The session that holds a subscription, if any."""
        held = (each for each in subscribers(self.conn) if each.subscriber_id == subscriber_id)
        return next((each.holder_pid for each in held), None)

    def claim(
        self, subscriber_id: str, begin: Position | None, stop: Event, seconds: float
    ) -> Position | None:
        """Hold a subscription; where it stood the last time, None for a new one.

        A new one stands at `begin`, or at the end of the log. Taken if another session that is
        alive does not let go of it, in time or before `stop`.
        """
        end = time.monotonic() + seconds
        while True:
            # Asked each time: who holds it now may just have made it.
            known = any(each.subscriber_id == subscriber_id for each in subscribers(self.conn))
            try:
                self._checkpoint = Checkpoint.claim(
                    self.conn,
                    subscriber_id,
                    self.log.epoch,
                    self.log.end() if begin is None else begin,
                )
            except Taken:
                if time.monotonic() > end or stop.wait(CLAIM_AGAIN_SECONDS):
                    raise
            else:
                return self._checkpoint.position if known else None

    def save(self, position: Position, *, now: bool = False) -> None:
        """Keep the place, at most every SAVE_SECONDS unless it must be now."""
        moment = time.monotonic()
        if self._checkpoint is None or not (now or moment > self._saved_at + SAVE_SECONDS):
            return
        self._saved_at = moment
        if position > self._checkpoint.position:
            self._checkpoint.move(position)

    def park(self, event: ChangeEvent, error: str) -> None:
        """Keep a dead letter with its error; everything before it was shown."""
        if self._checkpoint is not None and event.position is not None:
            self._checkpoint.move(event.position, parked=event, error=error, attempts=1)

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
    return int(run(conn, "SELECT object_store.log_xid(pg_current_xact_id())::text")[0][0])
