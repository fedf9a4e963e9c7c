"""The present state of each entity, kept from events and from the store's own timeline.

Nearly every event holds from now on and for ever: it is the entity's present state itself. Where
one holds for a period only, the store is asked what holds now and when that changes next.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import not_
from typing import Any

from bridge.columns import Columns
from publishing.engine import newest_by
from publishing.stream import Stream
from store.events import ChangeEvent

# The mark of a row whose entity is gone. It can be no field of a class: fields are Python names.
_GONE = "Gone_"


class LiveTable:
    """A ticking table with one row for each entity that has a present state."""

    def __init__(self, name: str, schema: Mapping[str, str], max_pending_rows: int) -> None:
        self._names = list(schema)
        self._stream = Stream(f"{name} live", {**schema, _GONE: "bool"}, max_pending_rows)
        # Made now, so that no row comes before it.
        _ = self.table

    @property
    def table(self) -> Any:
        """Another one after `renew`."""
        return self._stream.derive("table", self._derive)

    def _derive(self, blink: Any) -> Any:
        newest = newest_by(blink, ["EntityId"])
        # A formula such as `!Gone` would be compiled, which takes the first one seconds.
        return newest.where(f"{_GONE} = false").view(self._names)

    def has_failed(self) -> bool:
        """Whether it has failed in the engine."""
        return self._stream.has_failed()

    def renew(self) -> None:
        """Put an empty table in its place."""
        self._stream.remake()
        self._stream.end_replaced()

    def show(self, ids: Sequence[str], there: Sequence[bool], columns: Columns) -> None:
        """Show for each entity that is there the next row of `columns`, and for others no row."""
        if all(there):
            batch: list[Sequence[Any]] = [columns[name] for name in self._names]
        else:
            batch = [
                ids if name == "EntityId" else _spread(columns.get(name, ()), there)
                for name in self._names
            ]
        self._stream.add([*batch, list(map(not_, there))], columns.made)

    def await_shown(self, timeout: float) -> bool:
        """Wait for the engine; False if time ran out."""
        return self._stream.await_taken(timeout)


def _spread(values: Sequence[Any], there: Sequence[bool]) -> list[Any]:
    """The values at the places that are there, None at the others."""
    left = iter(values)
    return [next(left) if each else None for each in there]


class Timeline:
    """What must be known of entities to keep their present states right; nothing of most.

    `unknown` are those of which the store must be asked.
    """

    def __init__(self) -> None:
        self.unknown: set[str] = set()
        # When the present state of an entity changes by itself, in seconds since the epoch.
        self._changes: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []
        # The version up to which an entity was read from the store, ahead of the log.
        self._read_up_to: dict[str, int] = {}
        self._revoked: set[str] = set()
        self._clock_ahead = 0.0

    def holds(self, event: ChangeEvent) -> bool:
        """Whether an event holds from now on and for ever, so that nothing else need be known.

        If not, and it changes what holds now or later, its entity is `unknown` from now on.
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
            if self._changes:
                self._changes.pop(entity_id, None)
            if self.unknown:
                self.unknown.discard(entity_id)
            return True
        if event.valid_to is None or event.valid_to > event.tx_time:
            self.unknown.add(entity_id)
        return False

    def set_clock(self, database_seconds: float) -> None:
        """Take over the database's time, by which it says what is present."""
        self._clock_ahead = database_seconds - time.time()

    def changes(self, entity_id: str, at: float) -> None:
        """The present state of an entity changes by itself at a time."""
        known = self._changes.get(entity_id)
        if known is None or at < known:
            self._changes[entity_id] = at
            heapq.heappush(self._queue, (at, entity_id))

    def was_read(self, asked: Iterable[str], newest: Mapping[str, int]) -> None:
        """Entities were read from the store: up to these versions, or they are not there."""
        for entity_id in asked:
            self._changes.pop(entity_id, None)
            self.unknown.discard(entity_id)
            if entity_id in newest:
                self._read_up_to[entity_id] = newest[entity_id]

    def revoke(self, entity_ids: Collection[str]) -> None:
        """Entities that must not be seen any more: their events on the way are passed over."""
        self._revoked.update(entity_ids)
        self.unknown.difference_update(entity_ids)

    def grant(self, entity_ids: Collection[str]) -> None:
        """Entities that may be seen from now on: the store must say how they are."""
        self._revoked.difference_update(entity_ids)
        self.unknown.update(entity_ids)

    def pass_time(self) -> None:
        """Find the entities whose present state has changed by itself."""
        now = time.time() + self._clock_ahead
        while self._queue and self._queue[0][0] <= now:
            moment, entity_id = heapq.heappop(self._queue)
            if self._changes.get(entity_id) == moment:
                del self._changes[entity_id]
                if entity_id not in self._revoked:
                    self.unknown.add(entity_id)

    def seconds_to_change(self) -> float | None:
        """How long until a present state changes by itself; None if none will."""
        if not self._queue:
            return None
        return max(0.0, self._queue[0][0] - time.time() - self._clock_ahead)
