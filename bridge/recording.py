"""Rows of a Deephaven table written to the store: what was calculated there, made durable."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from types import TracebackType
from typing import Any, Protocol, TypeVar

from bridge.columns import UNFIT
from bridge.engine import await_cycle, require_engine
from bridge.errors import RecordingError
from bridge.recorded_rows import Row, RowReader
from store.base import Storable
from store.errors import StoreError, Unavailable, VersionConflict

logger = logging.getLogger(__name__)

S = TypeVar("S", bound=Storable)

MAX_PENDING_ROWS = 100_000
ROWS_AT_ONCE = 1_000
RETRY_SECONDS_MAX = 2.0


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


class RecordingState(str, Enum):
    """What a recording is about."""

    RUNNING = "running"
    # The store cannot be reached; it tries again.
    WAITING = "waiting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class RecordingStatus:
    """What was recorded so far.

    `unchanged` rows say what the store holds already. `rejected` ones break the rules of the
    class, or the store refuses them; `error` tells of the newest, or why the recording failed.
    """

    state: RecordingState
    created: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    rejected: int = 0
    pending: int = 0
    error: str = ""


@dataclass
class _Change:
    """A row to be written, under an id that makes its repetition harmless."""

    key: Any
    row: Row | None
    event_id: str


class Recording:
    """Writes the rows of one table for as long as it lives; made by `record`."""

    def __init__(
        self,
        table: Any,
        client: Client,
        cls: type[Storable],
        key: tuple[str, ...],
        event_id: str | None,
        deletes: bool,
        reader: RowReader,
        max_pending_rows: int,
    ) -> None:
        self._client = client
        self._cls = cls
        self._key = key
        self._event_id = event_id
        self._deletes = deletes
        self._reader = reader
        self._max_pending_rows = max_pending_rows
        self._changed = threading.Condition()
        # By key only the newest row of each waits; without one, all of them in order.
        self._by_key: dict[Any, _Change] = {}
        self._in_order: deque[_Change] = deque()
        self._working = self._is_stopped = False
        self._state = RecordingState.RUNNING
        self._counts = dict.fromkeys(("created", "updated", "deleted", "unchanged", "rejected"), 0)
        self._error = ""
        self._known: dict[Any, Storable] = self._load() if key else {}
        self._thread = threading.Thread(
            target=self._run, name=f"recording {cls.__name__}", daemon=True
        )
        self._thread.start()
        self._handle = self._listen(table)

    def status(self) -> RecordingStatus:
        """What it does, and what it has counted."""
        with self._changed:
            pending = len(self._by_key) + len(self._in_order)
            return RecordingStatus(
                state=self._state, pending=pending, error=self._error, **self._counts
            )

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until what the table holds now is in the store; False if time ran out.

        RecordingError if the recording has failed.
        """
        await_cycle()
        with self._changed:
            done = self._changed.wait_for(
                lambda: (
                    self._state in (RecordingState.FAILED, RecordingState.STOPPED)
                    or not (self._by_key or self._in_order or self._working)
                ),
                timeout,
            )
            if self._state is RecordingState.FAILED:
                raise RecordingError(self._error)
            return done and not (self._by_key or self._in_order)

    def stop(self, timeout: float = 10.0) -> None:
        """Listen no longer, write what waits, and end. A second call does nothing."""
        if not self._is_stopped:
            self._handle.stop()
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- hearing ----------------------------------------------------------------------------------

    def _listen(self, table: Any) -> Any:
        from deephaven.table_listener import listen

        def hear(update: Any, _is_replay: bool) -> None:
            # On the engine's thread: an error here would end the listening.
            try:
                if self._deletes:
                    self._take(update.removed(), removed=True)
                self._take(update.added())
                self._take(update.modified())
            except Exception as error:
                logger.exception("rows for %s could not be taken", self._cls.__name__)
                self._fail(error)

        return listen(table, hear, do_replay=True, on_error=self._fail)

    def _take(self, columns: Mapping[str, Any], *, removed: bool = False) -> None:
        if not columns:
            return
        rows = self._reader.rows(columns)
        with self._changed:
            if self._state is RecordingState.FAILED:
                return
            if not self._key and len(self._in_order) + len(rows) > self._max_pending_rows:
                raise RecordingError(
                    f"more than {self._max_pending_rows} rows wait for the store: the recording "
                    f"of {self._cls.__name__} ends here rather than leave any out"
                )
            for row in rows:
                if self._key:
                    key = tuple(row.values[name] for name in self._key)
                    # The newest of a key is written last, in the order of the newest.
                    self._by_key.pop(key, None)
                    self._by_key[key] = _Change(key, None if removed else row, str(uuid.uuid4()))
                else:
                    self._in_order.append(_Change(None, row, self._id_of(row)))
            self._changed.notify_all()

    def _id_of(self, row: Row) -> str:
        if self._event_id is None:
            return str(uuid.uuid4())
        return f"{self._cls.type_name()}:{row.event_id}"

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._state = RecordingState.FAILED
            self._error = f"{type(error).__name__}: {error}"
            self._changed.notify_all()

    # --- writing ----------------------------------------------------------------------------------

    def _load(self) -> dict[Any, Storable]:
        known: dict[Any, Storable] = {}
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

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._by_key or self._in_order or self._is_stopped)
                batch = self._next_batch()
                if not batch:
                    if self._state is not RecordingState.FAILED:
                        self._state = RecordingState.STOPPED
                    self._changed.notify_all()
                    return
                self._working = True
            try:
                self._write(batch)
            except Exception as error:
                logger.exception("the recording of %s has ended", self._cls.__name__)
                self._fail(error)
                return
            finally:
                with self._changed:
                    self._working = False
                    self._changed.notify_all()

    def _next_batch(self) -> list[_Change]:
        if self._key:
            keys = list(self._by_key)[:ROWS_AT_ONCE]
            return [self._by_key.pop(key) for key in keys]
        count = min(len(self._in_order), ROWS_AT_ONCE)
        return [self._in_order.popleft() for _ in range(count)]

    def _write(self, batch: list[_Change]) -> None:
        new: list[tuple[_Change, Storable]] = []
        changed: list[tuple[_Change, Storable]] = []
        for change in batch:
            known = self._known.get(change.key) if self._key else None
            if change.row is None:
                if known is not None:
                    self._delete(change, known)
            elif change.row.problem:
                self._reject(change.row.problem)
            elif known is None:
                new += self._made(change)
            elif all(getattr(known, n) == v for n, v in change.row.values.items()):
                self._counts["unchanged"] += 1
            else:
                changed.append((change, known))
        self._write_new(new)
        self._write_changed(changed)

    def _made(self, change: _Change) -> list[tuple[_Change, Storable]]:
        assert change.row is not None
        try:
            return [(change, self._cls(**change.row.values))]
        except UNFIT as error:
            self._reject(error)
            return []

    def _write_new(self, new: list[tuple[_Change, Storable]]) -> None:
        if not new:
            return
        ids = [change.event_id for change, _ in new]
        try:
            self._persist(lambda: self._client.write_many([o for _, o in new], event_ids=ids))
        except StoreError as error:
            self._one_by_one(new, error, self._write_new)
            return
        self._counts["created"] += len(new)
        if self._key:
            self._known.update((change.key, obj) for change, obj in new)

    def _write_changed(self, changed: list[tuple[_Change, Storable]]) -> None:
        if not changed:
            return
        before = [_values(obj) for _, obj in changed]
        for change, obj in changed:
            assert change.row is not None
            _set(obj, change.row.values)
        ids = [change.event_id for change, _ in changed]
        try:
            self._persist(lambda: self._client.update_many([o for _, o in changed], event_ids=ids))
        except StoreError as error:
            for (_, obj), values in zip(changed, before, strict=True):
                _set(obj, values)
            if len(changed) == 1 and isinstance(error, VersionConflict):
                self._after_conflict(changed[0][0])
            else:
                self._one_by_one(changed, error, self._write_changed)
            return
        self._counts["updated"] += len(changed)

    def _after_conflict(self, change: _Change) -> None:
        """Somebody else wrote the entity: build on what they wrote."""
        entity_id = self._known[change.key]._store_entity_id
        assert entity_id is not None
        newest = self._persist(lambda: self._client.read(self._cls, entity_id))
        if newest is None:
            del self._known[change.key]
        else:
            self._known[change.key] = newest
        change.event_id = str(uuid.uuid4())
        self._write([change])

    def _delete(self, change: _Change, obj: Storable) -> None:
        try:
            self._persist(lambda: self._client.delete(obj, event_id=change.event_id))
        except VersionConflict:
            self._after_conflict(change)
            return
        except StoreError as error:
            self._reject(error)
            return
        self._known.pop(change.key, None)
        self._counts["deleted"] += 1

    def _one_by_one(self, some: list[tuple[_Change, Storable]], error: Any, write: Any) -> None:
        """Find those that are to blame; the others are written."""
        if len(some) == 1:
            self._reject(error)
            return
        for each in some:
            write([each])

    def _reject(self, error: Any) -> None:
        self._counts["rejected"] += 1
        self._error = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else error
        if self._counts["rejected"] == 1:
            logger.warning("a row for %s is rejected: %s", self._cls.__name__, self._error)

    def _persist(self, call: Any) -> Any:
        """Call until the store can be reached; the event ids make a repetition harmless."""
        pause = 0.1
        while True:
            try:
                result = call()
            except Unavailable as error:
                if self._is_stopped:
                    raise
                self._become(RecordingState.WAITING, str(error))
                time.sleep(pause)
                pause = min(pause * 2, RETRY_SECONDS_MAX)
            else:
                self._become(RecordingState.RUNNING)
                return result

    def _become(self, state: RecordingState, error: str = "") -> None:
        with self._changed:
            if self._state is not RecordingState.FAILED:
                self._state = state
                self._error = error or self._error


def record(
    table: Any,
    client: Client,
    cls: type[Storable],
    *,
    key: Iterable[str] | str | None = None,
    columns: Mapping[str, str] | None = None,
    event_id: str | None = None,
    deletes: bool = False,
    max_pending_rows: int = MAX_PENDING_ROWS,
) -> Recording:
    """Write the rows of a table to the store as entities of a class, those that are there and
    those to come.

    With `key`, the fields that tell rows apart, each key is one entity: a row creates it or is
    its next version, unless it says what the store holds already; `deletes` lets a row that
    disappears delete it. Only the newest row of a key waits. Without `key` each row that is added
    or changed is a new entity; `event_id` names a column that tells rows apart, under which a row
    is written once, whatever happens. When more than `max_pending_rows` wait then, the recording
    fails, as it leaves out none.

    `columns` gives for a field the column that it is read from; else a field is read from the
    column of its name, and fields without one keep their defaults. RegistrationError says what
    does not fit; rows that break the rules of the class are counted in `status().rejected`.
    """
    require_engine()
    keys = () if key is None else (key,) if isinstance(key, str) else tuple(key)
    reader = RowReader(table, cls, keys, columns, event_id, deletes=deletes)
    return Recording(reader.table, client, cls, keys, event_id, deletes, reader, max_pending_rows)


def _values(obj: Storable) -> dict[str, Any]:
    return {field.name: getattr(obj, field.name) for field in fields(obj)}  # type: ignore[arg-type]


def _set(obj: Storable, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(obj, name, value)
