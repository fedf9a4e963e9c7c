"""What has come in and is not in the journal yet: reports first, then commands and prices."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from trading.engine.state import Answer
from trading.errors import EngineStopped
from trading.journal.inputs import Input
from trading.kernel import TickColumns
from trading.venues.protocol import ConnectionChanged, RequestRefused, SequencedReport

__all__ = ["BrokerEvent", "Inbox", "Item", "refuse"]

BrokerEvent = SequencedReport | RequestRefused | ConnectionChanged
_FULL = 20_000


@dataclass(eq=False)
class Item:
    """One input, and who waits for what becomes of it.

    `sequence` is the broker's number of a report, `note` what the journal says beside the input.
    Without `stamped` the time of the input is when it is taken.
    """

    event: Input | TickColumns
    sequence: int = 0
    note: str = ""
    answer: Future[Answer] | None = None
    stamped: bool = False
    arrived: float = field(default_factory=time.monotonic)


def refuse(items: Iterable[Item], why: str) -> None:
    """Tell whoever waits for these items that nothing will come of them here."""
    for item in items:
        if item.answer is not None and not item.answer.done():
            item.answer.set_exception(EngineStopped(why))


class Inbox:
    """Collects from several threads for the one that writes; it can be waited on as a whole."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._broker: deque[BrokerEvent] = deque()
        self._items: deque[Item] = deque()
        self._taken = 0

    def put(self, item: Item) -> None:
        """Add a command or prices."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def put_broker(self, events: Iterable[BrokerEvent]) -> None:
        """Add what a broker told."""
        with self._changed:
            self._broker.extend(events)
            self._changed.notify_all()

    def put_back(self, items: Iterable[Item]) -> None:
        """Give back items that were taken and not used, to be the next ones."""
        with self._changed:
            self._items.extendleft(reversed(list(items)))

    def wake(self) -> None:
        """Let whoever waits look again."""
        with self._changed:
            self._changed.notify_all()

    def take(
        self, timeout: float, limit: int, *, broker_only: bool = False
    ) -> tuple[list[BrokerEvent], list[Item]]:
        """Return up to `limit` events; wait up to `timeout` seconds for the first."""
        with self._changed:
            if timeout > 0 and not self._has(broker_only):
                self._changed.wait(timeout)
            events = [self._broker.popleft() for _ in range(min(limit, len(self._broker)))]
            left = 0 if broker_only else min(limit - len(events), len(self._items))
            items = [self._items.popleft() for _ in range(left)]
            self._taken += len(events) + len(items)
            return events, items

    def settle(self, left: int) -> None:
        """Say that what was taken is in the journal, all but so many."""
        with self._changed:
            self._taken = left

    @property
    def unsettled(self) -> int:
        """How many wait, or were taken and are not in the journal yet."""
        with self._changed:
            return len(self) + self._taken

    def _has(self, broker_only: bool) -> bool:
        return bool(self._broker) or (not broker_only and bool(self._items))

    def wait_room(self, stop: threading.Event) -> None:
        """Wait while more waits than a writer takes in a while: sources stand still meanwhile."""
        while not stop.is_set():
            with self._changed:
                if len(self._broker) + len(self._items) < _FULL:
                    return
            time.sleep(0.01)

    @property
    def is_full(self) -> bool:
        """Whether commands have to be refused."""
        return len(self._items) >= _FULL

    def clear_broker(self) -> None:
        """Forget what a broker told: it tells it again after the next log-on."""
        with self._changed:
            self._broker.clear()

    def clear(self) -> list[Item]:
        """Take everything that waits, without using it."""
        with self._changed:
            items = list(self._items)
            self._items.clear()
            self._broker.clear()
            self._taken = 0
            return items

    def __len__(self) -> int:
        return len(self._broker) + len(self._items)
