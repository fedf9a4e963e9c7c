"""One login of a subscriber: it hears notifications, reads the log, and holds the checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import psycopg2

from store.base import Storable
from store.database.execute import execute
from store.database.login import Login
from store.database.sqlstates import translated
from store.database.wakeup import CHANNEL, Pace, Waiter
from store.errors import StoreError, SubscriptionError
from store.events import ChangeEvent
from store.position import START, Position
from store.subscriptions.checkpoints import Checkpoint
from store.subscriptions.event_log import EventLog

_LOG = logging.getLogger(__name__)

Start = Literal["now", "beginning"] | Position | datetime
Types = Iterable[str | type[Storable]]

# How often the checkpoint follows where there is nothing to hand over.
SAVE_SECONDS = 1.0


class Session:
    """Follows the log from `position` on, until the connection is lost."""

    def __init__(self, login: Login, types: Types) -> None:
        self._conn = login.connect()
        self._checkpoint: Checkpoint | None = None
        self._saved_at = time.monotonic()
        self.pace = Pace()
        self.position = START
        try:
            # Before anything is read: what is committed after that wakes this session.
            execute(self._conn, f"LISTEN {CHANNEL}")
            self.log = EventLog(self._conn, types=types)
        except BaseException:
            self._conn.close()
            raise

    def subscribe(self, subscriber_id: str | None, known: Position | None, start: Start) -> None:
        """Find the place to go on: where it stood, where the checkpoint is, or at the start."""
        begin = self._position_of(start) if known is None else known
        if subscriber_id is not None:
            self._checkpoint = Checkpoint.claim(self._conn, subscriber_id, self.log.epoch, begin)
            stored = self._checkpoint.position
            begin = stored if known is None else max(stored, known)
        self.position = begin

    @property
    def lease(self) -> int | None:
        """By which it holds a durable subscription."""
        return None if self._checkpoint is None else self._checkpoint.lease

    def reached(self, event: ChangeEvent) -> None:
        """Everything up to an event is handled."""
        if event.position is not None:
            self.position = event.position

    def park(self, event: ChangeEvent, error: str, attempts: int) -> None:
        """Keep an event with its error, and go on behind it."""
        assert event.position is not None
        if self._checkpoint is not None:
            self._checkpoint.move(event.position, parked=event, error=error, attempts=attempts)
        self.position = event.position

    def save(self) -> None:
        """Move the checkpoint to where this session stands."""
        if self._checkpoint is not None and self._checkpoint.position < self.position:
            self._checkpoint.move(self.position)
        self._saved_at = time.monotonic()

    def wait(self, waiter: Waiter) -> bool:
        """Wait until it is time to look again; True if a notification came."""
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            self.save()
        try:
            notified = waiter.wait(self._conn, self.pace.pause())
        except psycopg2.Error as error:
            raise translated(error) from error
        if notified:
            self.pace.found()
        return notified

    def close(self) -> None:
        """Save, let go of the subscription, and log out."""
        try:
            if self._checkpoint is not None and not self._conn.closed:
                self.save()
                self._checkpoint.release()
        except StoreError as error:
            _LOG.info("the last checkpoint is not saved: %s", error)
        finally:
            self._conn.close()

    def _position_of(self, start: Start) -> Position:
        if isinstance(start, Position):
            self.log.check(start)
            return start
        if isinstance(start, datetime):
            return self.log.position_at(start)
        if start == "beginning":
            return START
        if start == "now":
            return self.log.end()
        raise SubscriptionError(
            f"start={start!r:.80}; 'now', 'beginning', a Position or a datetime is possible"
        )
