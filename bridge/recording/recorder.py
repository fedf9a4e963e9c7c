"""Rows of a Deephaven table written to the store: what was calculated there, made durable."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.errors import RecordingError
from bridge.recording.entity_writer import Change, Client, EntityWriter
from bridge.recording.rows import Row, RowReader
from bridge.recording.status import RecordingState, RecordingStatus
from publishing.engine import await_cycle, require_engine
from store.base import Storable

logger = logging.getLogger(__name__)

MAX_PENDING_ROWS = 100_000
ROWS_AT_ONCE = 1_000

_Columns = Mapping[str, Any]


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
        self._cls = cls
        self._key = key
        self._event_id = event_id
        self._deletes = deletes
        self._reader = reader
        self._max_pending_rows = max_pending_rows
        self._changed = threading.Condition()
        # By key only the newest row of each waits; without one, all of them in order.
        self._by_key: dict[Any, Change] = {}
        self._in_order: deque[Change] = deque()
        self._working = self._is_stopped = False
        self._state = RecordingState.RUNNING
        self._error = ""
        self._writer = EntityWriter(client, cls, key, self._wait_for_store)
        self._thread = threading.Thread(
            target=self._run, name=f"recording {cls.__name__}", daemon=True
        )
        # What there is already waits until then.
        self._handle = self._listen(table)
        self._thread.start()

    def status(self) -> RecordingStatus:
        """What it does, and what it has counted."""
        with self._changed:
            pending = len(self._by_key) + len(self._in_order)
            return RecordingStatus(
                state=self._state,
                pending=pending,
                error=self._error or self._writer.last_rejection,
                **self._writer.counts,
            )

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until what the table holds now is in the store; False if time ran out.

        RecordingError if the recording has failed.
        """
        end = time.monotonic() + timeout
        is_read = await_cycle(timeout)
        with self._changed:
            done = is_read and self._changed.wait_for(
                lambda: (
                    self._state in (RecordingState.FAILED, RecordingState.STOPPED)
                    or not (self._by_key or self._in_order or self._working)
                ),
                max(0.0, end - time.monotonic()),
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

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- listening --------------------------------------------------------------------------------

    def _listen(self, table: Any) -> Any:
        from deephaven.table_listener import listen

        def take_update(update: Any, _is_replay: bool) -> None:
            # On the engine's thread: an error here would end the listening.
            try:
                gone = (update.removed(), update.modified_prev()) if self._deletes else ()
                self._take(gone, (update.added(), update.modified()))
            except Exception as error:
                logger.exception("rows for %s could not be taken", self._cls.__name__)
                self._fail(error)

        return listen(table, take_update, do_replay=True, on_error=self._fail)

    def _take(self, gone: Sequence[_Columns], come: Sequence[_Columns]) -> None:
        left = [row for columns in gone if columns for row in self._reader.rows(columns)]
        rows = [row for columns in come if columns for row in self._reader.rows(columns)]
        # At once: a row that only moves is gone and comes, and must not be deleted in between.
        with self._changed:
            if self._state is RecordingState.FAILED:
                return
            if not self._key and len(self._in_order) + len(rows) > self._max_pending_rows:
                raise RecordingError(
                    f"more than {self._max_pending_rows} rows wait for the store: the recording "
                    f"of {self._cls.__name__} ends here rather than leave any out"
                )
            for row in left:
                self._wait_by_key(row, None)
            for row in rows:
                if self._key:
                    self._wait_by_key(row, row)
                else:
                    self._in_order.append(Change((), row, self._id_of(row)))
            self._changed.notify_all()

    def _wait_by_key(self, row: Row, written: Row | None) -> None:
        key = tuple(row.values[name] for name in self._key)
        # The newest of a key is written last, in the order of the newest.
        self._by_key.pop(key, None)
        self._by_key[key] = Change(key, written, str(uuid.uuid4()))

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
                self._writer.write(batch)
            except Exception as error:
                logger.exception("the recording of %s has ended", self._cls.__name__)
                self._fail(error)
                return
            finally:
                with self._changed:
                    self._working = False
                    self._changed.notify_all()

    def _next_batch(self) -> list[Change]:
        if self._key:
            keys = list(self._by_key)[:ROWS_AT_ONCE]
            return [self._by_key.pop(key) for key in keys]
        count = min(len(self._in_order), ROWS_AT_ONCE)
        return [self._in_order.popleft() for _ in range(count)]

    def _wait_for_store(self, error: str | None) -> bool:
        """Show that the store cannot be reached, or can again; whether to go on trying."""
        with self._changed:
            if self._state is not RecordingState.FAILED:
                self._state = RecordingState.RUNNING if error is None else RecordingState.WAITING
                self._error = error or ""
            return not self._is_stopped


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
