"""Rows as entities of one class: created, updated where they differ, deleted."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

from bridge.errors import RecordingError
from bridge.recording.rows import Row
from publishing.kinds import NOT_ENCODABLE
from store.base import Storable
from store.errors import StoreError, TransactionConflict, Unavailable, VersionConflict

logger = logging.getLogger(__name__)

T = TypeVar("T")
RETRY_SECONDS_MAX = 2.0
TRIES = 5


class Client(Protocol):
    """What a recording needs of the store; `store.client.StoreClient` is one."""

    def write_many(self, objects: Any, /, *, event_ids: Any = None) -> Any:
        """Write new entities, all or none."""

    def update_many(self, objects: Any, /, *, event_ids: Any = None) -> Any:
        """Write the next version of each, all or none."""

    def delete(self, obj: Any, /, *, event_id: Any = None) -> Any:
        """Write a tombstone."""

    def read(self, cls: Any, entity_id: str, /) -> Any:
        """Return what holds now."""

    def query(self, cls: Any, /, *, limit: int | None) -> Any:
        """Return all that holds now."""


@dataclass
class Change:
    """A row to be written, None where it disappeared, under an id that lets it be repeated."""

    key: tuple[Any, ...]
    row: Row | None
    event_id: str


Pair = tuple[Change, Storable]


class EntityWriter:
    """Writes changes to the entities of a class.

    `waiting` gets the reason why the store cannot be reached, and None once it can; Unavailable is
    raised only when it returns False, for giving up.
    """

    def __init__(
        self,
        client: Client,
        cls: type[Storable],
        key: tuple[str, ...],
        waiting: Callable[[str | None], bool],
    ) -> None:
        self._client = client
        self._cls = cls
        self._key = key
        self._waiting = waiting
        self.counts: Counter[str] = Counter()
        self.last_rejection = ""
        self._rejected: list[tuple[Change, str]] = []
        self._known = self._load() if key else {}

    def write(self, batch: Sequence[Change]) -> None:
        """Write a batch; what the store refuses is counted, the others are written."""
        places = {id(change): place for place, change in enumerate(batch)}
        try:
            self._write(batch)
        finally:
            # Kind by kind they were met in another order than that of the rows.
            for _, reason in sorted(self._rejected, key=lambda each: places[id(each[0])]):
                self._count_rejection(reason)
            self._rejected.clear()

    def _write(self, batch: Sequence[Change]) -> None:
        new: list[Pair] = []
        changed: list[Pair] = []
        for change in batch:
            known = self._known.get(change.key) if self._key else None
            if change.row is None:
                if known is not None:
                    self._delete(change, known)
            elif change.row.problem:
                self._reject(change, change.row.problem)
            elif known is None:
                new += self._made(change, change.row)
            elif all(getattr(known, n) == v for n, v in change.row.values.items()):
                self.counts["unchanged"] += 1
            else:
                changed.append((change, known))
        self._create(new)
        self._update(changed)

    def _load(self) -> dict[tuple[Any, ...], Storable]:
        known: dict[tuple[Any, ...], Storable] = {}
        for obj in self._client.query(self._cls, limit=None):
            key = tuple(getattr(obj, name) for name in self._key)
            if key in known:
                raise RecordingError(
                    f"two entities of {self._cls.__name__} have {self._key} = {key}: "
                    f"{known[key]._store_entity_id} and {obj._store_entity_id}; delete one, or "
                    "choose a key that tells them apart"
                )
            known[key] = obj
        return known

    def _made(self, change: Change, row: Row) -> list[Pair]:
        try:
            return [(change, self._cls(**row.values))]
        except NOT_ENCODABLE as error:
            self._reject(change, error)
            return []

    def _create(self, new: list[Pair]) -> None:
        if not new:
            return
        ids = [change.event_id for change, _ in new]
        objects = [obj for _, obj in new]
        try:
            self._persist(lambda: self._client.write_many(objects, event_ids=ids))
        except Unavailable:
            raise
        except StoreError as error:
            self._one_by_one(new, error, self._create)
            return
        self.counts["created"] += len(new)
        if self._key:
            self._known.update((change.key, obj) for change, obj in new)

    def _update(self, changed: list[Pair]) -> None:
        if not changed:
            return
        before = [_values(obj) for _, obj in changed]
        for change, obj in changed:
            assert change.row is not None
            _set(obj, change.row.values)
        ids = [change.event_id for change, _ in changed]
        objects = [obj for _, obj in changed]
        try:
            self._persist(lambda: self._client.update_many(objects, event_ids=ids))
        except StoreError as error:
            for obj, values in zip(objects, before, strict=True):
                _set(obj, values)
            if isinstance(error, Unavailable):
                raise
            if len(changed) == 1 and isinstance(error, VersionConflict):
                self._after_conflict(changed[0][0])
            else:
                self._one_by_one(changed, error, self._update)
            return
        self.counts["updated"] += len(changed)

    def _delete(self, change: Change, obj: Storable) -> None:
        try:
            self._persist(lambda: self._client.delete(obj, event_id=change.event_id))
        except VersionConflict:
            self._after_conflict(change)
            return
        except Unavailable:
            raise
        except StoreError as error:
            self._reject(change, error)
            return
        self._known.pop(change.key, None)
        self.counts["deleted"] += 1

    def _after_conflict(self, change: Change) -> None:
        """Somebody else wrote the entity: build on what they wrote."""
        entity_id = self._known[change.key]._store_entity_id
        assert entity_id is not None
        newest = self._persist(lambda: self._client.read(self._cls, entity_id))
        if newest is None:
            del self._known[change.key]
        else:
            self._known[change.key] = newest
        # It builds on another version now, so it is another write.
        change.event_id += "'"
        self._write([change])

    def _one_by_one(
        self, some: list[Pair], error: StoreError, write: Callable[[list[Pair]], None]
    ) -> None:
        """Find those that are to blame; the others are written."""
        if len(some) == 1:
            self._reject(some[0][0], error)
            return
        for each in some:
            write([each])

    def _reject(self, change: Change, error: BaseException | str) -> None:
        reason = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        self._rejected.append((change, reason))

    def _count_rejection(self, reason: str) -> None:
        self.counts["rejected"] += 1
        self.last_rejection = reason
        if self.counts["rejected"] == 1:
            logger.warning("a row for %s is rejected: %s", self._cls.__name__, reason)

    def _persist(self, call: Callable[[], T]) -> T:
        """Call until the store can be reached; the event ids make a repetition harmless."""
        pause = 0.1
        tries_left = TRIES
        while True:
            try:
                result = call()
            except TransactionConflict:
                # Of its batch with somebody else's, such as a deadlock: it was nobody's fault.
                tries_left -= 1
                if not tries_left:
                    raise
            except Unavailable as error:
                if not self._waiting(str(error)):
                    raise
                time.sleep(pause)
                pause = min(pause * 2, RETRY_SECONDS_MAX)
            else:
                self._waiting(None)
                return result


def _values(obj: Storable) -> dict[str, Any]:
    return {field.name: getattr(obj, field.name) for field in fields(obj)}  # type: ignore[arg-type]


def _set(obj: Storable, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(obj, name, value)
