"""The logins of one client: a bounded number, lent to one call or block at a time."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_ACTIVE, TRANSACTION_STATUS_IDLE

from store.database.execute import PgConnection
from store.database.login import Login
from store.errors import StoreError, Unavailable

# How long a thread waits for a connection that others use.
WAIT_SECONDS = 30.0


class Pool:
    """Up to `size` connections of psycopg2 in autocommit mode, made when they are needed.

    The first is also given to the program, for statements of its own; blocks take the others.
    """

    def __init__(self, login: Login, size: int) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 2:
            raise StoreError(f"pool_size={size!r}; at least 2 connections are needed")
        self._login = login
        self._size = size
        self._free = threading.Condition()
        self._is_closed = False
        self._first = self.connect()
        self._first_is_lent = False
        self._idle: list[PgConnection] = []
        self._lent: list[PgConnection] = []
        # Lent, or being made for somebody.
        self._in_use = 0
        # Threads that wait for a connection.
        self._waiting = 0

    @property
    def first(self) -> PgConnection:
        """The connection that the program may use as well; a new one if it was lost."""
        with self._free:
            self._refuse_if_closed()
            first = self._first
        return self._renewed() if first.closed else first

    @contextmanager
    def borrow(self, *, for_block: bool = False) -> Iterator[PgConnection]:
        """A connection that nobody else uses meanwhile; a call prefers the first one."""
        connection = self.lend(for_block=for_block)
        try:
            yield connection
        finally:
            self.give_back(connection)

    def lend(self, *, for_block: bool = False) -> PgConnection:
        """A connection that nobody else uses until `give_back`, as `borrow` gives it."""
        if self._take_turn(for_block):
            try:
                first = self._first
                return first if is_alive(first) else self._renewed()
            except BaseException:
                with self._free:
                    self._leave_first()
                raise
        connection = None
        try:
            connection = self._idle_one() or self.connect()
            with self._free:
                self._lent.append(connection)
                self._refuse_if_closed()
        except BaseException:
            with self._free:
                self._leave(connection)
            raise
        return connection

    def give_back(self, connection: PgConnection) -> None:
        """End what `lend` began."""
        with self._free:
            # Of the others each is in the list while it is lent; the first may be a new one by now.
            if connection in self._lent:
                self._leave(connection)
            else:
                self._leave_first()

    def connect(self) -> PgConnection:
        """Log in once more, beyond the number of the pool."""
        return self._login.connect("object_store")

    def close(self) -> None:
        """Log out everywhere; blocks that are open are rolled back."""
        with self._free:
            self._is_closed = True
            for connection in (self._first, *self._idle, *self._lent):
                connection.close()
            self._idle.clear()
            self._free.notify_all()

    def _renewed(self) -> PgConnection:
        """The first connection, made anew outside of the lock: others need not wait for a login."""
        fresh = self.connect()
        with self._free:
            if self._is_closed or not self._first.closed:
                # Too late, or somebody else was quicker.
                fresh.close()
            else:
                self._first = fresh
            self._refuse_if_closed()
            return self._first

    def _take_turn(self, for_block: bool) -> bool:
        """Wait until a connection may be taken; True if it is the first one."""
        with self._free:
            if not self._has_turn(for_block):
                self._wait_for_turn(for_block)
            self._refuse_if_closed()
            others_are_out = self._in_use + 1 >= self._size
            # A statement of the program's own may take long.
            status = self._first.get_transaction_status()
            first_is_free = not self._first_is_lent and status != TRANSACTION_STATUS_ACTIVE
            if not for_block and (first_is_free or others_are_out):
                self._first_is_lent = True
                return True
            self._in_use += 1
            return False

    def _wait_for_turn(self, for_block: bool) -> None:
        self._waiting += 1
        try:
            if not self._free.wait_for(lambda: self._has_turn(for_block), WAIT_SECONDS):
                raise Unavailable(
                    f"all {self._size} connections of this client were in use for "
                    f"{WAIT_SECONDS:g} s; make it with a larger pool_size, or end open blocks"
                )
        finally:
            self._waiting -= 1

    def _has_turn(self, for_block: bool) -> bool:
        takes_first = not for_block and not self._first_is_lent
        return self._is_closed or takes_first or self._in_use + 1 < self._size

    def _idle_one(self) -> PgConnection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if is_alive(connection):
                return connection

    def _leave_first(self) -> None:
        self._first_is_lent = False
        if self._waiting:
            # All: one that waits for a block may not take it.
            self._free.notify_all()

    def _leave(self, connection: PgConnection | None) -> None:
        self._in_use -= 1
        if connection is not None:
            self._lent.remove(connection)
            at_rest = not connection.closed and (
                connection.get_transaction_status() == TRANSACTION_STATUS_IDLE
            )
            if at_rest and not self._is_closed:
                self._idle.append(connection)
            else:
                connection.close()
        self._free.notify()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise StoreError("this client is closed; make a new one")


def is_alive(connection: PgConnection) -> bool:
    """Whether the server is still there, as far as can be told without asking it each time."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return True
    # It said something unasked: a farewell, or a notice.
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return True
    except psycopg2.Error:
        connection.close()
        return False
