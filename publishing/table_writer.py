"""TableWriter: a ticking table that any thread may write rows to."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from publishing.conversion_errors import ConversionErrors
from publishing.engine import (
    await_cycle,
    holds_up_engine,
    keep_rows,
    kind_of,
    newest_by,
    request_refresh,
    require_engine,
)
from publishing.errors import RegistrationError
from publishing.kinds import kind_name
from publishing.queue import LOOK_SECONDS, MAX_PENDING_ROWS, PublishLoop, Row, WriterStats
from publishing.stream import Stream

logger = logging.getLogger(__name__)

# A table that fails again and again is made anew less and less often.
RENEWAL_SECONDS_MAX = 60.0
_TABLE = "table"


@dataclass(frozen=True)
class WriterStatus:
    """A moment in the life of a writer: rows published, waiting and lost, and what went wrong.

    `conversion_errors` counts, by column, values that it could not hold and that are null. `failed`
    tells whether the table has failed in the engine and is not made anew yet; `replaced` counts how
    often it was.
    """

    rows: int
    pending_rows: int
    lost_rows: int
    conversion_errors: Mapping[str, int]
    last_error: str
    replaced: int
    failed: bool


class TableWriter:
    """A ticking table and its `write_row`, which any number of threads may call.

    `schema` gives each column's type: a name such as "double", a DType of Deephaven (so that what
    `bridge.infer_dh_schema` gives will do), or a Python type. The table keeps all rows, or the
    newest `rows`; `keys` prepares `live`. Rows appear in the order of the calls. While
    `max_pending_rows` wait for the engine, callers wait too, unless it waits for them: a listener
    of its own, or who holds its lock. A value that its column cannot hold is null and counted in
    `conversion_errors`; with `strict`, a value of another type is a RowError.

    A table that fails in the engine is made anew and begins empty: `table` and `live` give the new
    ones, variables of the main module that held the old ones hold them, `stats.replaced` counts,
    and `on_replaced` is called on the writer's thread. With `renews=False` that is left to `remake`
    and `end_replaced`. Several writers share a thread where they are given the same `loop`.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        name: str = "writer",
        rows: int | None = None,
        keys: Iterable[str] | str = (),
        max_pending_rows: int = MAX_PENDING_ROWS,
        strict: bool = False,
        renews: bool = True,
        loop: PublishLoop | None = None,
    ) -> None:
        require_engine()
        self.columns = {
            column: kind_name(column, given, kind_of) for column, given in schema.items()
        }
        if not self.columns:
            raise RegistrationError("a table has at least one column")
        self._rows = rows
        self._keys = (keys,) if isinstance(keys, str) else tuple(keys)
        self._stream = Stream(name, self.columns, max_pending_rows)
        self._stream.derive(_TABLE, lambda blink: keep_rows(blink, rows))
        if self._keys:
            self._check_keys(self._keys)
            self._derive_live(self._keys)
        self._making_tables = threading.Lock()
        self.on_replaced: Callable[[], object] = lambda: None
        self._next_renewal = 0.0
        self._renewal_pause = LOOK_SECONDS
        self._owns_loop = loop is None
        self._loop = loop or PublishLoop(request_refresh, name=f"publisher of {name}")
        self._queue = self._loop.queue(
            self.columns,
            self._stream.add,
            max_pending_rows,
            name=name,
            strict=strict,
            must_not_wait=holds_up_engine,
        )
        if renews:
            self._loop.watch(self._look)

    @property
    def name(self) -> str:
        """What messages and the engine's log call it."""
        return self._stream.name

    @property
    def table(self) -> Any:
        """The table of all rows, or of the newest ones."""
        return self._stream.derive(_TABLE, lambda blink: keep_rows(blink, self._rows))

    @property
    def blink(self) -> Any:
        """The table of the rows of the newest update alone, to derive others from."""
        return self._stream.table

    def live(self, *keys: str) -> Any:
        """A ticking table of the newest row for each value of the key columns.

        Without an argument these are the `keys` that the writer was made with. RegistrationError
        where the table is bounded, and may have dropped rows that are the newest of their key.
        """
        keys = keys or self._keys
        self._check_keys(keys)
        with self._making_tables, self._loop.changed:
            if self._rows is not None and self._queue.has_rows and not self._stream.has(keys):
                raise RegistrationError(
                    f"live{keys!r} comes too late: the table keeps {self._rows} rows, and some "
                    f"were written already; give keys={list(keys)} where the writer is made"
                )
            return self._derive_live(keys)

    def _check_keys(self, keys: tuple[str, ...]) -> None:
        if not keys or any(key not in self.columns for key in keys):
            raise RegistrationError(
                f"live{keys!r}: keys are columns of the table, at least one; "
                f"it has {', '.join(self.columns)}"
            )

    def _derive_live(self, keys: tuple[str, ...]) -> Any:
        # Of a table that keeps all rows, those that were written before are in it as well.
        return self._stream.derive(
            keys, lambda blink: newest_by(self.table if self._rows is None else blink, keys)
        )

    def write_row(self, *values: Any) -> None:
        """Write one row; None is null.

        RowError for a wrong number of values, PublishingStopped after `close`.
        """
        self._queue.write_row(*values)

    def write_rows(self, rows: Iterable[Sequence[Any]]) -> None:
        """Write rows, which appear in one update; otherwise as `write_row`."""
        self._queue.write_rows(rows)

    def write_columns(self, *columns: npt.ArrayLike) -> None:
        """Write a batch given as one array or sequence a column; it appears in one update.

        RowError for a wrong number of columns or unequal lengths, otherwise as `write_row`.
        """
        self._queue.write_columns(*columns)

    def write_encoded(self, rows: Sequence[Row]) -> None:
        """Write rows of values that are encoded already, by `Kind.encode`; all in one update."""
        self._queue.write_encoded(rows)

    def write_travelling(self, rows: Sequence[Row]) -> None:
        """Deprecated: `write_encoded`."""
        warnings.warn(
            "write_travelling is called write_encoded now", DeprecationWarning, stacklevel=2
        )
        self.write_encoded(rows)

    def write_again(self, rows: Sequence[Row]) -> None:
        """Put rows of encoded values before those that wait; for `on_replaced`."""
        self._queue.put_first(rows)

    @property
    def stats(self) -> WriterStats:
        """Counters of rows published and lost, and of renewals."""
        return self._queue.stats

    @property
    def conversion_errors(self) -> ConversionErrors:
        """Values that their column could not hold, counted by column."""
        return self._queue.conversion_errors

    @property
    def misfits(self) -> ConversionErrors:
        """Deprecated: `conversion_errors`."""
        warnings.warn("misfits is called conversion_errors now", DeprecationWarning, stacklevel=2)
        return self.conversion_errors

    def status(self) -> WriterStatus:
        """What was published so far, and what was not."""
        stats = self.stats
        return WriterStatus(
            rows=stats.rows,
            pending_rows=self._queue.pending_rows,
            lost_rows=stats.lost_rows,
            conversion_errors=dict(self.conversion_errors.counts),
            last_error=stats.last_error,
            replaced=stats.replaced,
            failed=self.has_failed(),
        )

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all rows written so far are in the table; False if time ran out."""
        end = time.monotonic() + timeout
        return (
            self._loop.flush(timeout, self._queue)
            and self._stream.await_taken(max(0.0, end - time.monotonic()))
            and await_cycle(end - time.monotonic())
        )

    def close(self, timeout: float = 5.0) -> None:
        """Write what is pending, then stop; the table stays as it is."""
        if self._owns_loop:
            self._loop.close(timeout)
        else:
            self._loop.remove(self._queue, self._look, timeout)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- tables that failed -----------------------------------------------------------------------

    def has_failed(self) -> bool:
        """Whether the table has failed in the engine, or one of those of `live`."""
        return self._stream.has_failed()

    def remake(self) -> None:
        """Put empty tables in the place of the present ones; what waits is written to them."""
        # Not under the lock of the writers: one of them may hold up the engine, which makes these.
        with self._making_tables:
            self._stream.remake()
        self.stats.replaced += 1

    def end_replaced(self) -> None:
        """Fail the tables that were replaced: who follows one is told to open the new one."""
        self._stream.end_replaced()

    def _look(self) -> None:
        """Make anew what has failed; the thread that calls this must live on."""
        try:
            if self.has_failed():
                self._renew()
        except Exception as error:
            logger.exception("the table of %s could not be made anew", self.name)
            self.stats.last_error = f"{type(error).__name__}: {error}"

    def _renew(self) -> None:
        now = time.monotonic()
        if now < self._next_renewal:
            return
        if now > self._next_renewal + RENEWAL_SECONDS_MAX:
            self._renewal_pause = LOOK_SECONDS
        self._next_renewal = now + self._renewal_pause
        self._renewal_pause = min(2 * self._renewal_pause, RENEWAL_SECONDS_MAX)
        logger.error("the table of %s has failed in the engine, whose log has the cause", self.name)
        self.remake()
        self.end_replaced()
        self.stats.last_error = "the table failed in the engine and was made anew, empty"
        self.on_replaced()
