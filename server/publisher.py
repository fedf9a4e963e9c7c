"""The one path by which rows reach ticking tables: any thread in, one flusher thread out."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from server.errors import PublishingStopped, RowError
from server.feed import NULL_DOUBLE

logger = logging.getLogger(__name__)

Columns = tuple[npt.NDArray[Any], ...]
Sink = Callable[[Columns], None]

# What a column may hold: our name, the array's dtype, and the Python types of one value.
_DTYPES: dict[str, tuple[Any, tuple[type, ...]]] = {
    "string": (object, (str,)),
    "double": (np.float64, (float, int, np.floating, np.integer)),
    "long": (np.int64, (int, np.integer)),
    "instant": (np.int64, (int, np.integer)),
}
# The engine's own nulls (QueryConstants): NULL_DOUBLE and NULL_LONG.
_NULLS: dict[str, Any] = {
    "string": None,
    "double": NULL_DOUBLE,
    "long": np.iinfo(np.int64).min,
    "instant": np.iinfo(np.int64).min,
}


_LONG_MAX = int(np.iinfo(np.int64).max)
# The engine's Instants: whole seconds that 64 bits of nanoseconds can tell. A time in the second
# after that becomes an Instant, and then all tables that read it fail.
_INSTANT_MAX = _LONG_MAX // 10**9 * 10**9 - 1


@dataclass(slots=True)
class PublisherStats:
    """Counters of one publisher: rows published and lost, and the cause of the newest loss."""

    rows: int = 0
    lost_rows: int = 0
    errors: int = 0
    last_error: str = ""


class Publisher:
    """Takes rows for one table from any number of threads.

    Rows and batches appear in the order in which the calls returned, a batch whole in one
    update. When `max_pending_rows` wait, callers wait too: a slow engine makes
    back-pressure, not memory. Made by `PublishLoop.publisher`.
    """

    def __init__(
        self, loop: PublishLoop, schema: Mapping[str, str], sink: Sink, max_pending_rows: int
    ) -> None:
        self._loop = loop
        self._sink = sink
        self._max_pending_rows = max_pending_rows
        self._names = tuple(schema)
        self._kinds = tuple(schema.values())
        self._row_types = tuple(_DTYPES[kind][1] for kind in self._kinds)
        self._dtypes = tuple(_DTYPES[kind][0] for kind in self._kinds)
        # Whole batches, and between them runs of single rows not yet made into columns.
        self._pending: deque[Columns | list[tuple[Any, ...]]] = deque()
        self._pending_rows = 0
        self.stats = PublisherStats()

    def write_row(self, *values: Any) -> None:
        """Publish one row; None is the engine's null.

        Raises:
            RowError: wrong number of values, or a value of the wrong type for its column.
            PublishingStopped: the publisher is closed.
        """
        if len(values) != len(self._names):
            raise RowError(f"a row has {len(self._names)} values {self._names}, not {len(values)}")
        for name, kind, types, value in zip(
            self._names, self._kinds, self._row_types, values, strict=True
        ):
            if value is not None and not (isinstance(value, types) and _fits(kind, value)):
                raise RowError(f"column {name} holds {kind} values, not {value!r}")
        with self._loop.changed:
            self._wait_for_room()
            if self._pending and isinstance(self._pending[-1], list):
                self._pending[-1].append(values)
            else:
                self._pending.append([values])
            self._pending_rows += 1
            self._loop.changed.notify_all()

    def write_columns(self, *columns: npt.ArrayLike) -> None:
        """Publish a batch given as one array a column, all of one length.

        Raises:
            RowError: wrong number of columns, unequal lengths, or values of the wrong type.
            PublishingStopped: the publisher is closed.
        """
        if len(columns) != len(self._names):
            raise RowError(
                f"a batch has {len(self._names)} columns {self._names}, not {len(columns)}"
            )
        arrays = tuple(
            self._array(name, kind, dtype, column)
            for name, kind, dtype, column in zip(
                self._names, self._kinds, self._dtypes, columns, strict=True
            )
        )
        lengths = {len(array) for array in arrays}
        if len(lengths) != 1:
            raise RowError(f"columns of a batch have one length, not {sorted(lengths)}")
        if not len(arrays[0]):
            return
        with self._loop.changed:
            self._wait_for_room()
            self._pending.append(arrays)
            self._pending_rows += len(arrays[0])
            self._loop.changed.notify_all()

    def redirect(self, sink: Sink) -> None:
        """Hand all rows that wait, and those to come, to another sink."""
        self._sink = sink

    def _array(self, name: str, kind: str, dtype: Any, column: npt.ArrayLike) -> npt.NDArray[Any]:
        # numpy's own string arrays drop trailing NUL characters; arrays of objects do not.
        given = np.asarray(column, dtype=object if kind == "string" else None)
        if given.ndim != 1:
            raise RowError(f"column {name} must be one-dimensional, not of shape {given.shape}")
        fits = {"string": "O", "double": "fiu", "long": "iu", "instant": "iu"}[kind]
        if given.dtype.kind not in fits:
            raise RowError(f"column {name} holds {kind} values, not an array of {given.dtype}")
        if kind == "string" and not all(
            v is None or (isinstance(v, str) and _fits(kind, v)) for v in given
        ):
            raise RowError(f"column {name} holds string values, and one of them is not a string")
        if given.dtype.kind == "u" and kind in ("long", "instant") and (given > _LONG_MAX).any():
            raise RowError(f"column {name} holds {kind} values, not {given.max()}")
        if kind == "instant":
            beyond = (given > _INSTANT_MAX) | ((given < -_INSTANT_MAX) & (given != _NULLS[kind]))
            if beyond.any():
                raise RowError(
                    f"column {name} holds nanoseconds since the epoch of the years 1678 to 2261, "
                    f"not {given[beyond][0]}"
                )
        # A copy: the caller may go on to use its array while the batch waits.
        return np.array(given, dtype=dtype)

    def _wait_for_room(self) -> None:
        while self._pending_rows >= self._max_pending_rows and not self._loop.closed:
            self._loop.changed.wait()
        if self._loop.closed:
            raise PublishingStopped("the publisher is closed; rows can no longer be published")

    def _take(self) -> tuple[list[Columns | list[tuple[Any, ...]]], int]:
        taken, rows = list(self._pending), self._pending_rows
        self._pending.clear()
        self._pending_rows = 0
        return taken, rows

    def _flush(self, taken: list[Columns | list[tuple[Any, ...]]], rows: int) -> None:
        try:
            parts = [self._columns(p) if isinstance(p, list) else p for p in taken]
            whole = parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts)))  # noqa: B905
            self._sink(whole)
        except Exception as error:
            if len(taken) > 1:
                # One producer's bad rows must not take those of the others with them.
                for part in taken:
                    self._flush([part], len(part if isinstance(part, list) else part[0]))
                return
            # The rows are lost, the table is not: the next flush goes on.
            logger.exception("%d rows of %s could not be published", rows, self._names)
            self.stats.errors += 1
            self.stats.lost_rows += rows
            self.stats.last_error = f"{type(error).__name__}: {error}"
        else:
            self.stats.rows += rows

    def _columns(self, rows: list[tuple[Any, ...]]) -> Columns:
        return tuple(
            np.array([null if v is None else v for v in values], dtype=dtype)
            for values, dtype, null in zip(
                zip(*rows, strict=True),
                self._dtypes,
                (_NULLS[kind] for kind in self._kinds),
                strict=True,
            )
        )


def _fits(kind: str, value: Any) -> bool:
    """Tell whether the engine's type can hold a value of a Python type that fits."""
    if kind == "string":
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, bool):
        return False
    if kind in ("long", "instant"):
        most = _LONG_MAX if kind == "long" else _INSTANT_MAX
        return bool(-most <= value <= most)
    try:
        float(value)
    except OverflowError:
        return False
    return True


class PublishLoop:
    """One thread that hands all pending rows to the engine and asks it to refresh.

    Args:
        refresh: called after rows were handed over, at most once a `min_interval`.
        min_interval: seconds between two flushes; a lone row goes at once, a stream in batches.
    """

    def __init__(self, refresh: Callable[[], None], min_interval: float = 0.010) -> None:
        self._refresh = refresh
        self._min_interval = min_interval
        self._publishers: list[Publisher] = []
        self._flushing = False
        self.changed = threading.Condition()
        self.closed = False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def publisher(
        self, schema: Mapping[str, str], sink: Sink, max_pending_rows: int = 100_000
    ) -> Publisher:
        """Return a publisher of rows with the columns of a schema.

        The schema names for each column what it holds: string, double, long, or instant, which is
        given as nanoseconds since the epoch.

        The sink takes a tuple of arrays, one a column, on the loop's thread.
        """
        publisher = Publisher(self, schema, sink, max_pending_rows)
        with self.changed:
            self._publishers.append(publisher)
        return publisher

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all rows written so far were handed to the engine; False if time ran out."""
        with self.changed:
            return self.changed.wait_for(lambda: not (self._flushing or self._waiting()), timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Publish what is pending, then stop; later writes raise PublishingStopped."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self._thread.join(timeout)

    def _waiting(self) -> bool:
        return any(p._pending for p in self._publishers)

    def _run(self) -> None:
        last_flush = 0.0
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self._waiting() or self.closed)
                if not self._waiting():
                    return
            pause = last_flush + self._min_interval - time.monotonic()
            if pause > 0 and not self.closed:
                time.sleep(pause)
            with self.changed:
                work = [(p, *p._take()) for p in self._publishers if p._pending]
                self._flushing = True
                self.changed.notify_all()
            last_flush = time.monotonic()
            for publisher, taken, rows in work:
                publisher._flush(taken, rows)
            try:
                self._refresh()
            except Exception:
                logger.exception("the engine could not be asked to refresh")
            with self.changed:
                self._flushing = False
                self.changed.notify_all()
