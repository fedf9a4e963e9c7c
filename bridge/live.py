"""The present state of each entity, kept from events and from the store's own timeline.

Nearly every event holds from now on and for ever: it is the entity's present state itself. Where
one holds for a period only, the store is asked what holds now and when that changes next.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Sequence
from typing import Any

from bridge.columns import Columns
from bridge.engine import Stream, newest_by
from bridge.snapshot import Segment
from store.events import ChangeEvent

_GONE = "Gone"

class LiveTable:
    """A ticking table with one row for each entity that has a present state."""

    def __init__(self, name: str, schema: dict[str, str], max_pending_rows: int) -> None:
        if _GONE in schema:
            # The table's own mark must not meet a field of that name.
            raise ValueError(_GONE)
        self._names = list(schema)
        self._stream = Stream(f"{name} live", {**schema, _GONE: "bool"}, max_pending_rows)
        self.table = newest_by(self._stream.table, ["EntityId"]).where("!Gone").drop_columns(_GONE)

    def show(self, columns: Columns, shown: Sequence[int | None], ids: Sequence[str]) -> None:
        """Show rows: for each id the row of `columns` with that number, or none any more."""
        batch = [
            [None if number is None else column[number] for number in shown]
            for column in (columns[name] for name in self._names)
        ]
        batch[self._names.index("EntityId")] = list(ids)
        self._stream.add([*batch, [number is None for number in shown]])

    def await_shown(self, timeout: float) -> bool:
        """Wait for the engine; False if time ran out."""
        return self._stream.await_taken(timeout)

class Timeline:
    """What the bridge must know to keep present states right; nothing of most entities.

    `changes` says when the present state of an entity changes by itself. `read_up_to` holds the
    version up to which an entity was read from the store, ahead of the log.
    """

    def __init__(self) -> None:
        self._changes: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []
        self._read_up_to: dict[str, int] = {}
        self._revoked: set[str] = set()
        self._clock_ahead = 0.0
        self.unknown: set[str] = set()

    def is_present(self, event: ChangeEvent) -> bool:
        """Is an event its entity's present state, known without asking the store?

        If it is not, but changes what holds now or later, the entity is `unknown` from now on.
        """
        entity_id = event.entity_id
        if entity_id in self._revoked:
            return False
        read = self._read_up_to.get(entity_id)
        if read is not None:
            if event.version >= read:
                del self._read_up_to[entity_id]
            if event.version <= read:
                return False
        assert event.valid_from is not None
        if event.valid_to is None and event.valid_from <= event.tx_time:
            self._changes.pop(entity_id, None)
            self.unknown.discard(entity_id)
            return True
        if event.valid_to is None or event.valid_to > event.tx_time:
            self.unknown.add(entity_id)
        return False

    def set_clock(self, database_seconds: float) -> None:
        """Take the database's time: the present is what it takes for the present."""
        self._clock_ahead = database_seconds - time.time()

    def learn(self, segment: Segment) -> None:
        """Take in a stretch of an entity's timeline, as it was read from the store."""
        if segment.changes_at is not None:
            known = self._changes.get(segment.event.entity_id)
            if known is None or segment.changes_at < known:
                self._changes[segment.event.entity_id] = segment.changes_at
                heapq.heappush(self._queue, (segment.changes_at, segment.event.entity_id))

    def asking(self, entity_ids: Iterable[str]) -> None:
        """Forget what is known of entities that are being read from the store."""
        for entity_id in entity_ids:
            self._changes.pop(entity_id, None)

    def was_read(self, entity_id: str, newest: int) -> None:
        """An entity was read from the store at its newest version."""
        self._read_up_to[entity_id] = newest
        self.unknown.discard(entity_id)

    def revoke(self, entity_ids: Iterable[str]) -> None:
        """Entities that may not be seen any more: events of theirs that are under way are none."""
        self._revoked.update(entity_ids)
        self.unknown.difference_update(self._revoked)

    def grant(self, entity_ids: Iterable[str]) -> None:
        """Entities that may be seen from now on: the store must say how they are."""
        self._revoked.difference_update(entity_ids)
        self.unknown.update(entity_ids)

    def pass_time(self) -> None:
        """Entities whose present state has changed by itself are `unknown`."""
        now = time.time() + self._clock_ahead
        while self._queue and self._queue[0][0] <= now:
            moment, entity_id = heapq.heappop(self._queue)
            if self._changes.get(entity_id) == moment:
                del self._changes[entity_id]
                if entity_id not in self._revoked:
                    self.unknown.add(entity_id)

    @property
    def next_change(self) -> float | None:
        """Seconds until the next present state changes by itself."""
        if not self._queue:
            return None
        return max(0.0, self._queue[0][0] - time.time() - self._clock_ahead)

__all__ = ["Any", "LiveTable", "Timeline"]
