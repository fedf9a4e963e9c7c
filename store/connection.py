"""A client's connection: one login, its transactions, and database errors as the store's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2

from store.errors import (
    AccessError,
    AlreadyStored,
    EntityNotFound,
    EventIdReused,
    FenceTimeout,
    InvalidPeriod,
    StoreError,
    TransactionConflict,
    Unavailable,
    VersionConflict,
)
from store.rows import kept, restore
from store.wakeup import after_commit

# How long a read waits for a server that restarts, and for transactions that began before T.
RETRY_SECONDS = 20.0
FENCE_SECONDS = 30.0


class Transaction:
    """A block of writes that are kept together or not at all; see `StoreClient.transaction`."""

    def __init__(self) -> None:
        self.has_written = False
        self._before: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._after: list[Callable[[], object]] = []
        self._undo: list[Callable[[], object]] = []

    def on_commit(self, call: Callable[[], object]) -> None:
        """Call this once the outermost block is committed; never if it is rolled back."""
        self._after.append(call)

    def on_rollback(self, call: Callable[[], object]) -> None:
        """Call this if the block is rolled back; the last one that was given comes first."""
        self._undo.append(call)

    def remember(self, obj: Any) -> None:
        """Keep what the store knows of an object, to be given back if the block fails."""
        self._before.setdefault(id(obj), (obj, kept(obj)))

    def join(self, outer: Transaction) -> None:
        """Hand everything to the block around this one."""
        for key, before in self._before.items():
            outer._before.setdefault(key, before)
        outer._after += self._after
        outer._undo += self._undo

    def undo(self) -> None:
        """Give every object back what it had before the block."""
        for obj, before in self._before.values():
            restore(obj, before)
        for call in reversed(self._undo):
            call()

    def committed(self) -> None:
        """Call those who wait for the commit."""
        for call in self._after:
            call()


class Connection:
    """One login to the store's database, for one thread at a time: others wait for their turn."""

    def __init__(self, user: str, password: str, host: str, port: int, dbname: str) -> None:
        self._login = {
            "user": user,
            "password": password,
            "host": host,
            "port": port,
            "dbname": dbname,
            "connect_timeout": 10,
            "options": "-c TimeZone=UTC",
            "application_name": "object_store",
        }
        self._lock = threading.RLock()
        self._blocks: list[Transaction] = []
        self._fence: Any = None
        self._is_closed = False
        self.raw = self._connect()

    @property
    def transaction_block(self) -> Transaction | None:
        """The innermost open block, None outside of any."""
        return self._blocks[-1] if self._blocks else None

    def close(self) -> None:
        """Log out; an open block is rolled back."""
        with self._lock:
            self._is_closed = True
            for connection in (self.raw, self._fence):
                if connection is not None:
                    connection.close()

    def write(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement that writes, once."""
        with self._lock:
            self._reconnect()
            rows = self._run(self.raw, statement, values)
            if self._blocks:
                self._blocks[0].has_written = True
            else:
                self._wake_subscribers()
            return rows

    def read(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement that only reads; outside of a block it outlasts a server's restart."""
        with self._lock:
            end = time.monotonic() + RETRY_SECONDS
            while True:
                try:
                    self._reconnect()
                    return self._run(self.raw, statement, values)
                except Unavailable:
                    if not self.raw.closed or self._blocks or time.monotonic() > end:
                        raise
                    time.sleep(0.1)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Run a block in one transaction; a block inside a block is a savepoint of it."""
        with self._lock:
            self._reconnect()
            depth = len(self._blocks)
            savepoint = f"block_{depth}"
            self._run(self.raw, f"SAVEPOINT {savepoint}" if depth else "BEGIN", ())
            block = Transaction()
            self._blocks.append(block)
            try:
                yield block
                self._run(self.raw, f"RELEASE {savepoint}" if depth else "COMMIT", ())
            except BaseException:
                block.undo()
                if not self.raw.closed:
                    undo = f"ROLLBACK TO {savepoint}" if depth else "ROLLBACK"
                    self._run(self.raw, undo, ())
                raise
            finally:
                self._blocks.pop()
            if depth:
                block.join(self._blocks[-1])
                return
            if block.has_written:
                self._wake_subscribers()
        block.committed()

    def wait_for_earlier(self) -> None:
        """Wait until every transaction that took its number before now has ended.

        What was recorded until now is then visible, for good: nothing earlier can still come.
        FenceTimeout where somebody holds a transaction open for too long.
        """
        with self._lock:
            own = None
            connection = self.raw
            if self._blocks:
                own = self.read("SELECT pg_current_xact_id_if_assigned()::text", ())[0][0]
                if self._fence is None or self._fence.closed:
                    self._fence = self._connect()
                connection = self._fence
            number = self._run(connection, "SELECT pg_current_xact_id()::text", ())[0][0]
            end, pause = time.monotonic() + FENCE_SECONDS, 0.001
            while self._run(connection, _EARLIER, (number, own))[0][0]:
                if time.monotonic() > end:
                    raise FenceTimeout(
                        f"a transaction that began earlier is still open after {FENCE_SECONDS:g} s;"
                        " ask again, or let an administrator end it"
                    )
                time.sleep(pause)
                pause = min(pause * 2, 0.05)

    def _wake_subscribers(self) -> None:
        """After a commit, in no transaction."""
        after_commit(self.raw, (self._login["host"], self._login["port"], self._login["dbname"]))

    def _connect(self) -> Any:
        try:
            connection = psycopg2.connect(**self._login)
        except psycopg2.OperationalError as error:
            kind = AccessError if "authentication failed" in str(error) else Unavailable
            raise kind(
                f"{self._login['user']} cannot log in at "
                f"{self._login['host']}:{self._login['port']}: {str(error).strip()}"
            ) from error
        connection.autocommit = True
        return connection

    def _reconnect(self) -> None:
        if self._is_closed:
            raise StoreError("this client is closed; make a new one")
        if self.raw.closed and not self._blocks:
            self.raw = self._connect()

    def _run(self, connection: Any, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall()) if cursor.description else []
        except psycopg2.Error as error:
            raise translated(error) from error


# Is a transaction open that took its number before this one, other than the block's own?
_EARLIER = """
SELECT EXISTS (
    SELECT FROM pg_snapshot_xip(pg_current_snapshot()) open
    WHERE open < %s::xid8 AND open IS DISTINCT FROM %s::xid8)
"""

_ERRORS: dict[str, type[StoreError]] = {
    "OS002": EntityNotFound,
    "OS003": InvalidPeriod,
    "OS004": EventIdReused,
    "OS005": TransactionConflict,
    "40001": TransactionConflict,
    "40P01": TransactionConflict,
    "25P02": TransactionConflict,
    "42501": AccessError,
    "23505": AlreadyStored,
    # A timeout of the server's for locks and statements.
    "55P03": Unavailable,
    "57014": Unavailable,
    "53100": Unavailable,
}
_HINTS = {
    "OS005": "run the transaction again",
    "40001": "run the transaction again",
    "40P01": "run the transaction again",
    "25P02": "a statement failed earlier in this block; leave the block, or nest one around it",
    "55P03": "another transaction holds it; try again",
    "57014": "ask for less at once",
    "53100": "the server's disk is full; nothing was written",
}


def translated(error: psycopg2.Error) -> StoreError:
    """The store's error for one of the database's."""
    code = error.pgcode or ""
    said = (error.diag.message_primary or str(error)).strip()
    if code == "OS001":
        entity_id, expected, actual = error.diag.message_detail.split()
        return VersionConflict(entity_id, int(expected), int(actual))
    if code in _ERRORS:
        hint = f"; {_HINTS[code]}" if code in _HINTS else ""
        return _ERRORS[code](said + hint)
    if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        return Unavailable(
            f"the connection is lost: {said}; a write that was under way may have happened: "
            "repeat it with the same event_id"
        )
    return StoreError(f"the database refuses: {said}")
