"""A table that is followed tick by tick, with its present rows at hand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from pydeephaven.table import Table
from pydeephaven_ticking.table_listener import TableUpdate, listen

from client.deadline import within
from client.errors import ClientError

logger = logging.getLogger(__name__)

Row = dict[str, Any]
# Seconds between attempts to find a server that went away.
RETRY_SECONDS = 1.0
START_SECONDS = 10.0


class LiveTable:
    """The present rows of a table on the server, kept up by its ticks; made by `follow`.

    Meant for views of up to some thousand rows: each update copies the table.

    Attributes:
        updates: how many updates came in.
        connected: whether the subscription stands; while it does not, `rows` are the last known.
        last_error: why it does not, or what `on_update` raised; empty if there was nothing.
    """

    def __init__(
        self,
        make: Callable[[], Table],
        on_update: Callable[[LiveTable], None] | None,
        on_lost: Callable[[], None],
    ) -> None:
        self._make = make
        self._on_update = on_update
        self._on_lost = on_lost
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._table: Table | None = None
        self._handle: Any = None
        self._rows: list[Row] = []
        self._columns: tuple[str, ...] = ()
        self.updates = 0
        self.connected = False
        self.last_error = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's column names."""
        return self._columns

    def rows(self) -> list[Row]:
        """Return the present rows in the table's order, each a dict by column name."""
        with self._changed:
            return list(self._rows)

    def wait_for(
        self, condition: Callable[[list[Row]], bool], timeout: float | None = None
    ) -> list[Row]:
        """Wait until the rows meet a condition and return them.

        Raises:
            TimeoutError: they did not within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self._rows), timeout):
                raise TimeoutError(f"the table did not become as wanted within {timeout} s")
            return list(self._rows)

    def start(self) -> LiveTable:
        """Subscribe; returns itself."""
        self._subscribe()
        return self

    def stop(self) -> None:
        """End the subscription; a second call does nothing."""
        self._stopping.set()
        self._unsubscribe()

    def _subscribe(self) -> None:
        self._table = self._make()
        self._columns = tuple(self._table.schema.names)
        handle = listen(self._table, self._received, self._lost)
        # The subscription's thread takes over "daemon" from the one that starts it, as the
        # deadline's is: it must not hold up the end of the process.
        within(START_SECONDS, "subscribing", handle.start)
        self._handle = handle
        with self._changed:
            self.connected = True

    def _unsubscribe(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            try:
                within(START_SECONDS, "unsubscribing", handle.stop)
            except Exception as error:  # noqa: BLE001 - the other side may be gone; we are leaving
                logger.info("unsubscribing: %s", error)

    def _received(self, update: TableUpdate) -> None:
        current = update.update.current
        rows: list[Row] = []
        # Reading a column of no rows is an error there, not an empty array.
        if current.num_rows:
            sequence = current.get_row_sequence()
            columns = [
                current.get_column_by_name(name, True).get_chunk(sequence).to_pylist()
                for name in self._columns
            ]
            rows = [
                dict(zip(self._columns, values, strict=True))
                for values in zip(*columns, strict=True)
            ]
        with self._changed:
            self._rows = rows
            self.updates += 1
            self._changed.notify_all()
        if self._on_update is not None:
            try:
                self._on_update(self)
            except Exception as error:
                logger.exception("a callback of a followed table raised")
                self.last_error = f"{type(error).__name__}: {error}"

    def _lost(self, error: Exception) -> None:
        if self._stopping.is_set():
            return
        with self._changed:
            self.connected = False
            self.last_error = f"{type(error).__name__}: {error}"
            self._changed.notify_all()
        threading.Thread(target=self._come_back, name="resubscribe", daemon=True).start()

    def _come_back(self) -> None:
        """Try until the server is there again, or nobody wants to know any more."""
        while not self._stopping.wait(RETRY_SECONDS):
            try:
                self._on_lost()
                self._subscribe()
            except ClientError as error:
                self.last_error = str(error)
                continue
            logger.info("following the table again")
            return
