"""A table that is followed tick by tick, with its present rows at hand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from pydeephaven.table import Table

from client.deadline import within
from client.errors import ClientError
from client.translation import translated

try:
    from client.subscription import Subscription as _Subscription
except ModuleNotFoundError:
    # pydeephaven-ticking has no wheel for Python 3.14 yet; all else works without it.
    _Subscription = None  # type: ignore[assignment, misc]

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
        self._subscription: _Subscription | None = None
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
            ClientError: the subscription was stopped meanwhile.
        """
        with self._changed:
            met = self._changed.wait_for(
                lambda: condition(self._rows) or self._stopping.is_set(), timeout
            )
            if met and condition(self._rows):
                return list(self._rows)
        if met:
            raise ClientError("the table is no longer followed: it or its client was closed")
        raise TimeoutError(f"the table did not become as wanted within {timeout} s")

    def start(self) -> LiveTable:
        """Subscribe; returns itself.

        Raises:
            ClientError: the table cannot be opened or followed.
        """
        try:
            self._subscribe()
        except ClientError:
            raise
        except Exception as error:
            raise translated("following a table", error) from error
        return self

    def stop(self) -> None:
        """End the subscription; a second call does nothing."""
        with self._changed:
            self._stopping.set()
            self.connected = False
            subscription, self._subscription = self._subscription, None
            self._changed.notify_all()
        if subscription is not None:
            subscription.end()

    def _subscribe(self) -> None:
        if _Subscription is None:
            raise ClientError(
                "following a table needs the package pydeephaven-ticking, which exists for Python "
                "up to 3.13; on a newer one read snapshots, or run this with Python 3.13"
            )
        table = self._make()
        self._columns = tuple(table.schema.names)
        subscription = _Subscription(table, self._received, self._ended)
        with self._changed:
            if self._stopping.is_set():
                return
            self._subscription = subscription
            self.connected = True
        try:
            # Its thread takes over "daemon" from the one that starts it, as the deadline's is:
            # it must not hold up the end of the process.
            within(START_SECONDS, "subscribing", subscription.start, lambda _: subscription.end())
        except Exception:
            with self._changed:
                self._subscription = None
                self.connected = False
            raise
        if self._stopping.is_set():
            # stop() came before there was a thread to end.
            subscription.end()

    def _received(self, subscription: _Subscription, update: Any) -> None:
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
            if subscription is not self._subscription:
                # It was ended, or given up before it began.
                return
            self._rows = rows
            self.updates += 1
            self._changed.notify_all()
        if self._on_update is not None:
            try:
                self._on_update(self)
            except Exception as error:
                logger.exception("a callback of a followed table raised")
                self.last_error = f"{type(error).__name__}: {error}"

    def _ended(self, subscription: _Subscription) -> None:
        """Come back when the server does, if it is the present subscription that ended."""
        with self._changed:
            if self._stopping.is_set() or subscription is not self._subscription:
                return
            self._subscription = None
            self.connected = False
            self.last_error = subscription.why
            self._changed.notify_all()
        threading.Thread(target=self._come_back, name="resubscribe", daemon=True).start()

    def _come_back(self) -> None:
        """Try until the server is there again, or nobody wants to know any more."""
        while not self._stopping.wait(RETRY_SECONDS):
            try:
                self._on_lost()
                self._subscribe()
            except Exception as error:  # noqa: BLE001 - a server that comes up fails in many ways
                self.last_error = str(error)
                continue
            logger.info("following the table again")
            return
