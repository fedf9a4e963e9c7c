"""TableWriter: a ticking table that any thread may write rows to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    replace_variables,
    request_refresh,
)
from bridge.errors import BridgeClosed, RegistrationError, RowError
from bridge.kinds import KINDS

logger = logging.getLogger(__name__)

MAX_PENDING_ROWS = 100_000
# How often the engine is asked whether the tables are well; one that fails again and again is made
# anew less and less often.
LOOK_SECONDS = 0.5
RENEWAL_SECONDS_MAX = 60.0
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
    """Rows handed to the engine and lost on the way, and the cause of the newest loss.

    `replaced` counts how often the table failed in the engine and was made anew, without the rows
    that it had.
    """

    rows: int = 0
    lost_rows: int = 0
    last_error: str = ""
    replaced: int = 0


class TableWriter:
    """A ticking table and its `write_row`, which any number of threads may call.

    `schema` gives each column's type: a name such as "double", a DType of Deephaven (so that what
    `infer_dh_schema` gives will do), or a Python type. The table keeps all rows, or the newest
    `rows`; `keys` prepares `live`. Rows appear in the order of the calls. While `max_pending_rows`
    wait for the engine, callers wait too, unless it waits for them: a listener of its own, or who
    holds its lock. A value that its column cannot hold is a null, counted in `misfits`.

    A table that fails in the engine is made anew and begins empty: `table` and `live` give the new
    ones, variables of the main module that held the old ones hold them, `stats.replaced` counts,
    and `on_replaced` is called on the writer's thread.
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
        self.on_replaced: Callable[[], object] = lambda: None
        self._next_renewal = 0.0
        self._renewal_pause = LOOK_SECONDS
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
                self._live[keys] = self._newest_by(keys)
            return self._live[keys]

    def has_failed(self) -> bool:
        """Did the table, or one of those of `live`, fail in the engine?"""
        return self._stream.has_failed(self.table, *self._live.values())

    def _newest_by(self, keys: tuple[str, ...]) -> Any:
        return newest_by(self.table if self._rows is None else self._stream.table, keys)

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

    def _renew(self) -> None:
        """Put empty tables in the place of those that failed."""
        now = time.monotonic()
        if now < self._next_renewal:
            return
        if now > self._next_renewal + RENEWAL_SECONDS_MAX:
            self._renewal_pause = LOOK_SECONDS
        self._next_renewal = now + self._renewal_pause
        self._renewal_pause = min(2 * self._renewal_pause, RENEWAL_SECONDS_MAX)
        name = self._stream.name
        logger.error("the table of %s has failed in the engine, whose log has the cause", name)
        with self._changed, self._stream.context:
            old = {(): self.table, **self._live}
            self._stream = Stream(name, self.columns, self._max_pending_rows)
            self.table = keep_rows(self._stream.table, self._rows)
            self._live = {keys: self._newest_by(keys) for keys in self._live}
            self.stats.replaced += 1
            self.stats.last_error = "the table failed in the engine and was made anew, empty"
        for keys, table in {(): self.table, **self._live}.items():
            replace_variables(old[keys], table)
        self.on_replaced()

    def write_again(self, rows: Sequence[Sequence[Any]]) -> None:
        """Put rows of values that travel before those that wait; for `on_replaced`."""
        with self._changed:
            self._pending[:0] = rows

    def _look(self) -> None:
        """Make anew what has failed; its thread must live on, whatever happens."""
        try:
            if self.has_failed():
                self._renew()
        except Exception as error:
            logger.exception("the table of %s could not be made anew", self._stream.name)
            self.stats.last_error = f"{type(error).__name__}: {error}"

    def _run(self) -> None:
        looked = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closed, LOOK_SECONDS)
                if self._closed and not self._pending:
                    return
            if time.monotonic() > looked + LOOK_SECONDS:
                self._look()
                looked = time.monotonic()
            with self._changed:
                if not self._pending:
                    continue
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
