"""Rows on their way to tables: any thread puts them in queues, one thread takes them out."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from publishing.conversion_errors import ConversionErrors
from publishing.encoding import encode_column, encoder, shown
from publishing.errors import PublishingStopped, RowError
from publishing.kinds import KINDS, NOT_ENCODABLE

logger = logging.getLogger(__name__)

# What a sink is given: one array of encoded values a column.
Columns = tuple[npt.NDArray[Any], ...]
Sink = Callable[[Columns], object]
Row = Sequence[Any]

MAX_PENDING_ROWS = 100_000
# Between two batches: a lone row goes at once, a stream of them in batches.
MIN_INTERVAL_SECONDS = 0.010
# How often the engine is asked whether the tables are well.
LOOK_SECONDS = 0.5


@dataclass(slots=True)
class WriterStats:
    """Rows handed to the engine and lost on the way, and the cause of the newest loss.

    `errors` counts batches that were lost, `replaced` how often the table failed in the engine and
    was made anew, without the rows that it had.
    """

    rows: int = 0
    lost_rows: int = 0
    last_error: str = ""
    replaced: int = 0
    errors: int = 0


class RowQueue:
    """Takes rows for one table from any number of threads; made by `PublishLoop.queue`.

    Rows and batches appear in the order in which the calls returned, a batch whole in one
    update. When `max_pending_rows` wait, callers wait too, unless `must_not_wait` says that the
    engine waits for this thread. With `strict`, a value of another type than its column's is a
    RowError, and nothing of the call is published; else it is converted where nothing is lost by
    that, and otherwise is null and counted in `conversion_errors`.
    """

    def __init__(
        self,
        loop: PublishLoop,
        schema: Mapping[str, str],
        sink: Sink,
        *,
        name: str,
        max_pending_rows: int,
        strict: bool,
        must_not_wait: Callable[[], bool],
    ) -> None:
        self.name = name
        self._loop = loop
        self._sink = sink
        self._max_pending_rows = max_pending_rows
        self._strict = strict
        self._must_not_wait = must_not_wait
        self._names = tuple(schema)
        self._kinds = tuple(KINDS[kind] for kind in schema.values())
        self._encoders = tuple(encoder(kind, strict=strict) for kind in self._kinds)
        # Whole batches of columns, and between them runs of rows not yet made into columns.
        self._pending: deque[Columns | list[Row]] = deque()
        self._pending_rows = 0
        self.flushing = self.closed = self.has_rows = False
        self.stats = WriterStats()
        self.conversion_errors = ConversionErrors(name)

    @property
    def pending_rows(self) -> int:
        """Rows that were written and not handed to the engine yet."""
        return self._pending_rows

    def write_row(self, *values: Any) -> None:
        """Publish one row; None is the engine's null.

        RowError for a wrong number of values (with `strict`: of a wrong type), PublishingStopped
        after `close`.
        """
        self.write_encoded([self._encoded(values)])

    def write_rows(self, rows: Iterable[Sequence[Any]]) -> None:
        """Publish rows, all of them in one update; otherwise as `write_row`."""
        self.write_encoded([self._encoded(row) for row in rows])

    def write_columns(self, *columns: npt.ArrayLike) -> None:
        """Publish a batch given as one array or sequence a column, all of one length.

        They are copied: the caller may go on to use them. RowError for a wrong number of columns or
        unequal lengths, otherwise as `write_row`.
        """
        if len(columns) != len(self._names):
            raise RowError(
                f"a batch has {len(self._names)} columns {self._names}, not {len(columns)}"
            )
        arrays = tuple(
            encode_column(name, kind, column, None if self._strict else self.conversion_errors)
            for name, kind, column in zip(self._names, self._kinds, columns, strict=True)
        )
        lengths = {len(array) for array in arrays}
        if len(lengths) != 1:
            raise RowError(f"columns of a batch have one length, not {sorted(lengths)}")
        if len(arrays[0]):
            self._put(arrays, len(arrays[0]))

    def write_encoded(self, rows: Sequence[Row]) -> None:
        """Publish rows of encoded values, as `Kind.encode` gives them; all in one update."""
        if rows:
            self._put(rows if isinstance(rows, list) else list(rows), len(rows))

    def put_first(self, rows: Sequence[Row]) -> None:
        """Put rows of encoded values before those that wait."""
        with self._loop.changed:
            self._pending.appendleft(list(rows))
            self._pending_rows += len(rows)
            self._loop.changed.notify_all()

    def redirect(self, sink: Sink) -> None:
        """Hand all rows that wait, and those to come, to another sink."""
        self._sink = sink

    def _put(self, part: Columns | list[Row], rows: int) -> None:
        with self._loop.changed:
            if self._is_full and not self._must_not_wait():
                self._loop.changed.wait_for(lambda: self._is_closed or not self._is_full)
            if self._is_closed:
                raise PublishingStopped(
                    f"the writer of {self.name} is closed; rows can no longer be published"
                )
            self.has_rows = True
            if isinstance(part, list) and self._pending and isinstance(self._pending[-1], list):
                self._pending[-1].extend(part)
            else:
                self._pending.append(part)
            self._pending_rows += rows
            self._loop.changed.notify_all()

    def _encoded(self, values: Sequence[Any]) -> Row:
        if len(values) != len(self._names):
            raise RowError(f"a row has {len(self._names)} values {self._names}, not {len(values)}")
        try:
            return [
                None if value is None else encode(value)
                for encode, value in zip(self._encoders, values)  # noqa: B905 - counted above
            ]
        except NOT_ENCODABLE:
            return [self._value(number, value) for number, value in enumerate(values)]

    def _value(self, number: int, value: Any) -> Any:
        try:
            return None if value is None else self._encoders[number](value)
        except NOT_ENCODABLE as error:
            name = self._names[number]
            if self._strict:
                raise RowError(
                    f"column {name} holds {self._kinds[number].name} values, not {shown(value)}"
                ) from error
            self.conversion_errors.add(name, error)
            return None

    @property
    def _is_full(self) -> bool:
        return self._pending_rows >= self._max_pending_rows

    @property
    def _is_closed(self) -> bool:
        return self.closed or self._loop.closed

    # --- on the loop's thread ---------------------------------------------------------------------

    def take(self) -> tuple[list[Columns | list[Row]], int]:
        """Take out all that waits, under the loop's lock."""
        taken, rows = list(self._pending), self._pending_rows
        self._pending.clear()
        self._pending_rows = 0
        self.flushing = True
        return taken, rows

    def hand_over(self, taken: list[Columns | list[Row]], rows: int) -> None:
        """Give to the sink what was taken; what it does not take is counted and logged."""
        try:
            parts = [self._columns(part) if isinstance(part, list) else part for part in taken]
            whole = parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts)))  # noqa: B905
            self._sink(whole)
        except Exception as error:
            if len(taken) > 1:
                # One producer's bad rows must not take those of the others with them.
                for part in taken:
                    self.hand_over([part], len(part if isinstance(part, list) else part[0]))
                return
            # The rows are lost, the table is not: the next ones are tried again.
            logger.exception("%d rows of %s could not be published", rows, self.name)
            self.stats.errors += 1
            self.stats.lost_rows += rows
            self.stats.last_error = f"{type(error).__name__}: {error}"
        else:
            self.stats.rows += rows

    def _columns(self, rows: list[Row]) -> Columns:
        return tuple(
            kind.array(values)
            for kind, values in zip(self._kinds, zip(*rows, strict=True), strict=True)
        )


class PublishLoop:
    """One thread that hands all pending rows of its queues to their sinks.

    `refresh` is called after rows were handed over, at most once in `min_interval` seconds: a lone
    row goes at once, a stream in batches.
    """

    def __init__(
        self,
        refresh: Callable[[], None],
        min_interval: float = MIN_INTERVAL_SECONDS,
        name: str = "publisher",
    ) -> None:
        self._refresh = refresh
        self._min_interval = min_interval
        self._queues: list[RowQueue] = []
        self._looks: list[Callable[[], None]] = []
        self._looked_at = time.monotonic()
        self.changed = threading.Condition()
        self.closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def queue(
        self,
        schema: Mapping[str, str],
        sink: Sink,
        max_pending_rows: int = MAX_PENDING_ROWS,
        *,
        name: str = "rows",
        strict: bool = False,
        must_not_wait: Callable[[], bool] = lambda: False,
    ) -> RowQueue:
        """Return a queue for rows with the columns of a schema, which names each column's kind.

        The sink takes a tuple of arrays, one a column, on the loop's thread.
        """
        made = RowQueue(
            self,
            schema,
            sink,
            name=name,
            max_pending_rows=max_pending_rows,
            strict=strict,
            must_not_wait=must_not_wait,
        )
        with self.changed:
            self._queues.append(made)
        return made

    def watch(self, look: Callable[[], None]) -> None:
        """Call a function on the loop's thread every half second; it must not raise."""
        with self.changed:
            self._looks.append(look)
            self.changed.notify_all()

    def flush(self, timeout: float = 10.0, queue: RowQueue | None = None) -> bool:
        """Wait until all rows written so far were handed over; False if time ran out."""
        with self.changed:
            return self.changed.wait_for(
                lambda: (
                    not any(
                        each.pending_rows or each.flushing
                        for each in (self._queues if queue is None else [queue])
                    )
                ),
                max(0.0, timeout),
            )

    def close(self, timeout: float = 5.0) -> None:
        """Publish what is pending, then stop; later writes raise PublishingStopped."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def remove(
        self, queue: RowQueue, look: Callable[[], None] | None = None, timeout: float = 5.0
    ) -> None:
        """Publish what one queue holds, and end it and what was watched for it."""
        with self.changed:
            queue.closed = True
            self.changed.notify_all()
        if self._thread is not threading.current_thread():
            self.flush(timeout, queue)
        with self.changed:
            self._queues = [each for each in self._queues if each is not queue]
            self._looks = [each for each in self._looks if each != look]

    def _has_rows(self) -> bool:
        return any(queue.pending_rows for queue in self._queues)

    def _run(self) -> None:
        last_flush = 0.0
        while True:
            with self.changed:
                self.changed.wait_for(
                    lambda: self._has_rows() or self.closed, LOOK_SECONDS if self._looks else None
                )
                if self.closed and not self._has_rows():
                    return
            self._look()
            with self.changed:
                pause = last_flush + self._min_interval - time.monotonic()
                if pause > 0:
                    self.changed.wait_for(lambda: self.closed, pause)
                work = [(queue, *queue.take()) for queue in self._queues if queue.pending_rows]
                self.changed.notify_all()
            if not work:
                continue
            last_flush = time.monotonic()
            for queue, taken, rows in work:
                queue.hand_over(taken, rows)
            try:
                self._refresh()
            except Exception:
                logger.exception("the engine could not be asked to refresh")
            with self.changed:
                for queue, _, _ in work:
                    queue.flushing = False
                self.changed.notify_all()

    def _look(self) -> None:
        if time.monotonic() < self._looked_at + LOOK_SECONDS:
            return
        for look in list(self._looks):
            look()
        self._looked_at = time.monotonic()
