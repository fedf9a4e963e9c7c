"""TableWriter: a ticking table that any thread may write rows to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any

from bridge.columns import UNFIT, Misfits
from bridge.engine import (
    Stream,
    await_cycle,
    holds_up_engine,
    keep_rows,
    kind_of,
    newest_by,
    request_refresh,
)
from bridge.errors import BridgeClosed, RegistrationError, RowError
from bridge.kinds import KINDS

logger = logging.getLogger(__name__)

MAX_PENDING_ROWS = 100_000
# Between two batches: a lone row goes at once, a stream of them in batches.
MIN_INTERVAL_SECONDS = 0.010
_PYTHON_KINDS = {
    str: "string",
    int: "long",
    float: "double",
    bool: "bool",
    Decimal: "double",
    datetime: "Instant",
    date: "LocalDate",
}


@dataclass(slots=True)
class WriterStats:
    """Rows handed to the engine and lost on the way, and the cause of the newest loss."""

    rows: int = 0
    lost_rows: int = 0
    last_error: str = ""


class TableWriter:
    """A ticking table and its `write_row`, which any number of threads may call.

    `schema` gives each column's type: a name such as "double", a DType of Deephaven (so that what
    `infer_dh_schema` gives will do), or a Python type. The table keeps all rows, or the newest
    `rows`; `keys` prepares `live`. Rows appear in the order of the calls. While `max_pending_rows`
    wait for the engine, callers wait too, unless it waits for them: a listener of its own, or who
    holds its lock. A value that its column cannot hold is a null, counted in `misfits`.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        name: str = "writer",
        rows: int | None = None,
        keys: Iterable[str] | str = (),
        max_pending_rows: int = MAX_PENDING_ROWS,
    ) -> None:
        self.columns = {column: kind_name(column, given) for column, given in schema.items()}
        if not self.columns:
            raise RegistrationError("a table has at least one column")
        self._names = tuple(self.columns)
        self._fits = [KINDS[kind].fit for kind in self.columns.values()]
        self._max_pending_rows = max_pending_rows
        self._stream = Stream(name, self.columns, max_pending_rows)
        self._rows = rows
        self.table = keep_rows(self._stream.table, rows)
        self._live: dict[tuple[str, ...], Any] = {}
        self._has_rows = False
        self.misfits = Misfits(name)
        self.stats = WriterStats()
        self._changed = threading.Condition()
        self._pending: list[Sequence[Any]] = []
        self._keys = (keys,) if isinstance(keys, str) else tuple(keys)
        if self._keys:
            self.live()
        self._flushing = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"bridge {name}", daemon=True)
        self._thread.start()

    def live(self, *keys: str) -> Any:
        """A ticking table of the newest row for each value of the key columns.

        Without an argument these are the `keys` that the writer was made with. RegistrationError
        where the table is bounded, and may have dropped rows that are the newest of their key.
        """
        keys = keys or self._keys
        unknown = [key for key in keys if key not in self.columns]
        if unknown or not keys:
            raise RegistrationError(
                f"live{keys!r}: keys are columns of the table, at least one; "
                f"it has {', '.join(self._names)}"
            )
        with self._changed:
            if keys not in self._live:
                if self._rows is not None and self._has_rows:
                    raise RegistrationError(
                        f"live{keys!r} comes too late: the table keeps {self._rows} rows, and some "
                        f"were written already; give keys={list(keys)} where the writer is made"
                    )
                source = self.table if self._rows is None else self._stream.table
                self._live[keys] = newest_by(source, keys)
            return self._live[keys]

    def write_row(self, *values: Any) -> None:
        """Write one row; None is null.

        RowError for a wrong number of values, BridgeClosed after `close`.
        """
        if len(values) != len(self._names):
            raise RowError(f"a row has {len(self._names)} values {self._names}, not {len(values)}")
        try:
            row = [
                None if value is None else fit(value)
                for fit, value in zip(self._fits, values)  # noqa: B905 - counted above
            ]
        except UNFIT:
            row = [self._fit(number, value) for number, value in enumerate(values)]
        self.write_travelling([row])

    def write_travelling(self, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows of values that were made to travel already; they appear in one update."""
        with self._changed:
            if self._is_full() and not holds_up_engine():
                self._changed.wait_for(lambda: self._closed or not self._is_full())
            if self._closed:
                raise BridgeClosed("the writer is closed; rows can no longer be written")
            self._has_rows = True
            self._pending.extend(rows)
            self._changed.notify_all()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all rows written so far are in the table; False if time ran out."""
        end = time.monotonic() + timeout
        with self._changed:
            if not self._changed.wait_for(
                lambda: not (self._pending or self._flushing), max(0.0, timeout)
            ):
                return False
        if not self._stream.await_taken(max(0.0, end - time.monotonic())):
            return False
        return await_cycle(end - time.monotonic())

    def close(self, timeout: float = 5.0) -> None:
        """Write what is pending, then stop; the table stays as it is."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _is_full(self) -> bool:
        return len(self._pending) >= self._max_pending_rows

    def _fit(self, number: int, value: Any) -> Any:
        try:
            return None if value is None else self._fits[number](value)
        except UNFIT as error:
            self.misfits.add(self._names[number], error)
            return None

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closed)
                if not self._pending:
                    return
                rows, self._pending = self._pending, []
                self._flushing = True
                self._changed.notify_all()
            self._hand_over(rows)
            with self._changed:
                self._flushing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed, MIN_INTERVAL_SECONDS)

    def _hand_over(self, rows: list[Sequence[Any]]) -> None:
        try:
            self._stream.add(list(zip(*rows, strict=True)))
            request_refresh()
        except Exception as error:
            # The rows are lost, the writer is not: the next ones are tried again.
            logger.exception("%d rows could not be written to %s", len(rows), self._stream.name)
            self.stats.lost_rows += len(rows)
            self.stats.last_error = f"{type(error).__name__}: {error}"
        else:
            self.stats.rows += len(rows)


def kind_name(column: str, given: Any) -> str:
    """The name of a kind of column, given as such, as a DType or as a Python type."""
    if isinstance(given, str) and given in KINDS:
        return given
    if isinstance(given, type) and given in _PYTHON_KINDS:
        return _PYTHON_KINDS[given]
    kind = None if isinstance(given, (str, type)) else kind_of(given)
    if kind is None:
        raise RegistrationError(
            f"column {column!r}: {given!r:.60} is no type of a column; possible are "
            f"{', '.join(KINDS)}, their DTypes of Deephaven, and Python's "
            f"{', '.join(python.__name__ for python in _PYTHON_KINDS)}"
        )
    return kind
