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
from store.database.login import IS_ADMINISTRATOR, Login, refuse_administrator
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


class Session:
    """One login of a subscriber: hears notifications, reads the log, holds the checkpoint.

    It lives until the connection is lost. Everything before `position` is handled; `stored` is
    where the checkpoint stood when it was claimed. AccessError for an administrator, who would see
    everything and own nothing.
    """

    def __init__(self, login: Login, types: Types) -> None:
        self.conn = login.connect()
        self._checkpoint: Checkpoint | None = None
        self._saved_at = time.monotonic()
        self.pace = Pace()
        self.position = START
        self.stored: Position | None = None
        try:
            refuse_administrator(login.user, execute(self.conn, IS_ADMINISTRATOR)[0][0])
            # Before anything is read: what is committed after that wakes this session.
            execute(self.conn, f"LISTEN {CHANNEL}")
            self.log = EventLog(self.conn, types=types)
        except BaseException:
            self.conn.close()
            raise

    def claim(self, subscriber_id: str, begin: Position) -> bool:
        """Hold a subscription; whether it is a new one, which begins at `begin`."""
        self._checkpoint = Checkpoint.claim(self.conn, subscriber_id, self.log.epoch, begin)
        self.stored = self._checkpoint.position
        return self._checkpoint.is_new

    @property
    def holds_checkpoint(self) -> bool:
        """Whether the place of this session is kept."""
        return self._checkpoint is not None

    @property
    def lease(self) -> int | None:
        """By which it holds a durable subscription."""
        return None if self._checkpoint is None else self._checkpoint.lease

    def reached(self, event: ChangeEvent) -> None:
        """Everything up to an event is handled."""
        if event.position is not None:
            self.position = event.position

    def park(self, event: ChangeEvent, error: str, attempts: int) -> None:
        """Keep an event with its error as a dead letter, and go on behind it."""
        assert event.position is not None
        if self._checkpoint is not None:
            self._checkpoint.move(event.position, parked=event, error=error, attempts=attempts)
        self.position = event.position

    def save(self, *, every: float = 0.0) -> None:
        """Move the checkpoint to where this session stands, where the last time is long ago."""
        now = time.monotonic()
        if now < self._saved_at + every:
            return
        if self._checkpoint is not None and self._checkpoint.position < self.position:
            self._checkpoint.move(self.position)
        self._saved_at = now

    def wait(self, waiter: Waiter, seconds: float) -> bool:
        """Wait until it is time to look again; whether there was a notification."""
        try:
            notified = waiter.wait(self.conn, seconds)
        except psycopg2.Error as error:
            raise translated(error) from error
        if notified:
            self.pace.found()
        return notified

    def close(self) -> None:
        """Save, let go of the subscription, and log out."""
        try:
            if self._checkpoint is not None and not self.conn.closed:
                self.save()
                self._checkpoint.release()
        except StoreError as error:
            _LOG.info("the last checkpoint is not saved: %s", error)
        finally:
            self.conn.close()


def position_of(log: EventLog, start: Start) -> Position:
    """Where "now", "beginning", a position or a time is in the log."""
    if isinstance(start, Position):
        log.check(start)
        return start
    if isinstance(start, datetime):
        return log.position_at(start)
    if start == "beginning":
        return START
    if start == "now":
        return log.end()
    raise SubscriptionError(
        f"start={start!r:.80}; 'now', 'beginning', a Position or a datetime is possible"
    )
