"""What a subscription does, and what it has counted."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from store.deprecated import former_names
from store.entities.unreadable import DATA_KEPT_MAX
from store.events import ChangeEvent
from store.position import Position

PARKED_SHOWN_MAX = 100


class SubscriptionState(str, Enum):
    """What a listener is doing."""

    STOPPED = "stopped"
    # Somebody else holds the subscription.
    WAITING = "waiting"
    READING = "reading"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    FAILED = "failed"


@dataclass(frozen=True)
class SubscriptionStatus:
    """A moment in the life of a listener.

    `delivered` events were handled without an error, `parked` were set aside; `retries` counts
    further attempts, `wakeups` notifications. `last_tx_time` is when the last event was recorded
    that was delivered. `error` is why it failed, or why it reconnects. `recently_parked` holds
    the last hundred events that were set aside, each with its error, those of long data without.
    """

    state: SubscriptionState
    position: Position | None = None
    delivered: int = 0
    filtered: int = 0
    retries: int = 0
    parked: int = 0
    reconnects: int = 0
    wakeups: int = 0
    last_tx_time: datetime | None = None
    caught_up_seconds_ago: float | None = None
    error: str | None = None
    recently_parked: tuple[tuple[ChangeEvent, str], ...] = ()


class Counters:
    """Counts for one listener: its thread writes, any thread may read."""

    def __init__(self) -> None:
        self.state = SubscriptionState.STOPPED
        self.error: str | None = None
        self.delivered = self.filtered = self.retries = self.parked = 0
        self.reconnects = self.wakeups = 0
        self._last: ChangeEvent | None = None
        self._caught_up_at: float | None = None
        self._recently_parked: deque[tuple[ChangeEvent, str]] = deque(maxlen=PARKED_SHOWN_MAX)

    def become(self, state: SubscriptionState, error: object = None) -> None:
        """Another state; an error stays until the next one."""
        # In this order: who sees the state of an error sees the error.
        self.error = None if error is None else str(error) or repr(error)
        self.state = state

    def handled(self, events: list[ChangeEvent]) -> None:
        """Events are delivered."""
        self.delivered += len(events)
        self._last = events[-1]

    def set_aside(self, event: ChangeEvent, error: str) -> None:
        """An event is parked."""
        self.parked += 1
        # A hundred events may have a hundred times what a page may: of long ones the head is kept.
        kept = event if len(event.data or "") <= DATA_KEPT_MAX else replace(event, data=None)
        self._recently_parked.append((kept, error))

    def caught_up(self) -> None:
        """Everything that could be read is read."""
        self._caught_up_at = time.monotonic()
        if self.state is not SubscriptionState.LIVE:
            self.become(SubscriptionState.LIVE)

    def status(self, position: Position | None) -> SubscriptionStatus:
        """All of it."""
        last, at = self._last, self._caught_up_at
        return SubscriptionStatus(
            state=self.state,
            position=position,
            delivered=self.delivered,
            filtered=self.filtered,
            retries=self.retries,
            parked=self.parked,
            reconnects=self.reconnects,
            wakeups=self.wakeups,
            last_tx_time=None if last is None else last.tx_time,
            caught_up_seconds_ago=None if at is None else time.monotonic() - at,
            error=self.error,
            recently_parked=tuple(self._recently_parked.copy()),
        )


__getattr__ = former_names(__name__, {"State": "SubscriptionState"}, globals())
