"""Listeners and buses that note what they hear."""

from __future__ import annotations

from typing import Any

from store.subscriptions import ChangeEvent, EventBus, SubscriptionListener
from tests.processes import wait_until
from tests.store.desk import Desk, password_of

SECONDS = 30


def listener(desk: Desk, bus: EventBus | None = None, **options: Any) -> SubscriptionListener:
    options = {"user": "alice", "retry_seconds": 0.01, **options}
    return SubscriptionListener(bus, **desk.info, password=password_of(options["user"]), **options)


class Heard(list[ChangeEvent]):
    """A bus, and the events that it told of."""

    def __init__(self) -> None:
        super().__init__()
        self.bus = EventBus()
        self.bus.on_all(self.append)

    def wait(self, count: int) -> list[tuple[str, int]]:
        wait_until(lambda: len(self) >= count, SECONDS, f"event {count}")
        return self.keys()

    def keys(self) -> list[tuple[str, int]]:
        return [(event.entity_id, event.version) for event in self]


class Picky(Heard):
    """Will not take events of some entities, however often they come."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.tries = 0
        self.bus.on_all(self.take)

    def take(self, event: ChangeEvent) -> None:
        if event.entity_id in self.refused:
            self.tries += 1
            raise ZeroDivisionError("not that one")
