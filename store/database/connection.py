"""A client's way to the database: statements, transactions, and errors as the store's own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from typing import Any

from store.database.execute import PgConnection, Row, execute
from store.database.login import IS_ADMINISTRATOR, Login, refuse_administrator
from store.database.pool import Pool, is_alive
from store.database.prepared import PreparedStatement
from store.database.wakeup import after_commit
from store.errors import FenceTimeout, StoreError, Unavailable

_LOG = logging.getLogger(__name__)

# How long a read waits for a server that restarts, and for transactions that began before T.
RETRY_SECONDS = 20.0
FENCE_SECONDS = 30.0


class Transaction:
    """A block of writes that are kept together or not at all; see `StoreClient.transaction`."""

    def __init__(self) -> None:
        self.has_written = False
        self._restores: dict[Hashable, Callable[[], object]] = {}
        self._after: list[Callable[[], object]] = []
        self._undo: list[Callable[[], object]] = []

    def on_commit(self, call: Callable[[], object]) -> None:
        """Call this once the outermost block is committed; never if it is rolled back.

        If it raises, the others are called all the same, and then the block raises its error.
        """
        self._after.append(call)

    def on_rollback(self, call: Callable[[], object]) -> None:
        """Call this if the block is rolled back; the last one that was given comes first."""
        self._undo.append(call)

    def restore_on_rollback(self, key: Hashable, restore: Callable[[], object]) -> None:
        """Call `restore` if the block is rolled back, before all that `on_rollback` was given.

        Of several for one key the first counts: it goes back to before the block.
        """
        self._restores.setdefault(key, restore)

    def join(self, outer: Transaction) -> None:
        """Hand everything to the block around this one."""
        for key, restore in self._restores.items():
            outer._restores.setdefault(key, restore)
        outer._after += self._after
        outer._undo += self._undo

    def undo(self) -> None:
        """Bring back what was there before the block."""
        for restore in self._restores.values():
            restore()
        # An error is not raised: it would hide the block's own, and leave it half undone.
        _called(reversed(self._undo), "rollback")

    def committed(self) -> None:
        """Call all those who wait for the commit; then the first error of theirs is raised."""
        failed = _called(self._after, "commit")
        if failed:
            raise failed[0]


def _called(calls: Iterable[Callable[[], object]], after: str) -> list[Exception]:
    """Make all the calls, whichever of them raise, and return their errors."""
    failed = []
    for call in calls:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - somebody else's code
            _LOG.exception("a call after the %s raised: %r", after, call)
            failed.append(error)
    return failed


class _Session:
    """A connection that is pinned to a thread or task while a block of it is open."""

    def __init__(self, owner: Connection, raw: PgConnection) -> None:
        self.owner = owner
        self.raw = raw
        self.blocks: list[Transaction] = []


# A task or thread that a block starts with its context belongs to that block, too.
_sessions: ContextVar[tuple[_Session, ...]] = ContextVar("store_sessions", default=())


class Connection:
    """A client's way to the database: threads do not wait for each other, blocks stay apart.

    Outside of blocks each statement borrows a connection; a block has one to itself.
    """

    def __init__(self, login: Login, pool_size: int) -> None:
        self._pool = Pool(login, pool_size)
        self.user = login.user
        self.where = (login.host, login.port, login.dbname)
        self._fence: PgConnection | None = None
        self._fencing = threading.Lock()
        self._waking = threading.local()
        # Workflows that threads of this client start just now, and who may claim or settle some.
        self.starting: set[str] = set()
        self.starting_lock = threading.Lock()

    def refuse_administrators(self, user: str) -> None:
        """AccessError for a role to which the database shows everything, whoever owns it."""
        refuse_administrator(user, self.read(IS_ADMINISTRATOR, ())[0][0])

    @property
    def raw(self) -> PgConnection:
        """The connection of psycopg2: the block's, where one is open."""
        session = self._session()
        return self._pool.first if session is None else session.raw

    @property
    def transaction_block(self) -> Transaction | None:
        """The innermost open block, None outside of any."""
        session = self._session()
        return None if session is None else session.blocks[-1]

    def close(self) -> None:
        """Log out; open blocks are rolled back."""
        self._pool.close()
        if self._fence is not None:
            self._fence.close()

    def write(self, statement: str, values: Sequence[Any], *, repeats: bool = False) -> list[Row]:
        """Run a statement that writes: once, unless it `repeats`.

        Then it is one that gives its first answer where it is run again, and outside of a block it
        outlasts a server's restart.
        """
        session = self._session()
        if session is not None:
            session.blocks[0].has_written = True
            return execute(session.raw, statement, values)
        return self._run(statement, values, writes=True, repeats=repeats)

    def read(self, statement: str | PreparedStatement, values: Sequence[Any]) -> list[Row]:
        """Run a statement that only reads; outside of a block it outlasts a server's restart."""
        session = self._session()
        if session is not None:
            return _rows(session.raw, statement, values)
        return self._run(statement, values, writes=False, repeats=True)

    def _run(
        self,
        statement: str | PreparedStatement,
        values: Sequence[Any],
        *,
        writes: bool,
        repeats: bool,
    ) -> list[Row]:
        """Run outside of blocks; one that `repeats` is run again where the connection is lost,
        until the server is back, for 20 s."""
        end = time.monotonic() + RETRY_SECONDS
        while True:
            connection: PgConnection | None = None
            try:
                connection = self._pool.lend()
                try:
                    rows = _rows(connection, statement, values)
                    if writes:
                        self._wake_subscribers(connection)
                    return rows
                finally:
                    self._pool.give_back(connection)
            except Unavailable:
                is_lost = connection is None or bool(connection.closed)
                if not repeats or not is_lost or time.monotonic() > end:
                    raise
                time.sleep(0.1)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Run a block in one transaction; a block inside a block is a savepoint of it."""
        session = self._session()
        if session is not None:
            with _block(session) as block:
                yield block
            block.join(session.blocks[-1])
            return
        with self._pool.borrow(for_block=True) as raw:
            session = _Session(self, raw)
            token = _sessions.set((*_sessions.get(), session))
            try:
                with _block(session) as block:
                    yield block
            finally:
                _sessions.reset(token)
            if block.has_written:
                self._wake_subscribers(raw)
        block.committed()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Let a statement of an open block fail without the block; outside of any, no more."""
        session = self._session()
        if session is None:
            yield
            return
        with _block(session) as block:
            yield
        block.join(session.blocks[-1])

    def wait_for_earlier(self) -> None:
        """Wait until every transaction that took its number before now has ended.

        What was recorded until now is then visible, for good: nothing earlier can still come.
        FenceTimeout where somebody holds a transaction open for too long.
        """
        if self._session() is None:
            self._wait(self.read, None)
            return
        # The block itself may have a number. It is not waited for, and asks through another login.
        own = self.read("SELECT pg_current_xact_id_if_assigned()::text", ())[0][0]
        with self._fencing:
            if self._fence is None or not is_alive(self._fence):
                self._fence = self._pool.connect()
            fence = self._fence
        # Outside of the lock: blocks wait at the same time, each for as long as it may.
        self._wait(partial(execute, fence), own)

    def settle(self, moment: datetime) -> None:
        """Wait until all that is recorded up to a time is visible, and nothing more can come.

        FutureTimeError for a time that the store's clock does not reach within two seconds;
        FenceTimeout as in `wait_for_earlier`.
        """
        self.read(_SETTLE, (moment,))
        self.wait_for_earlier()

    def _wait(self, ask: Callable[[str, Sequence[Any]], list[Row]], own: str | None) -> None:
        number = ask("SELECT pg_current_xact_id()::text", ())[0][0]
        end, pause = time.monotonic() + FENCE_SECONDS, 0.001
        while ask(_EARLIER, (number, own))[0][0]:
            if time.monotonic() > end:
                raise FenceTimeout(
                    f"a transaction that began earlier is still open after {FENCE_SECONDS:g} s;"
                    " ask again, or let an administrator end it"
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def _wake_subscribers(self, connection: PgConnection) -> None:
        """After a commit, in no transaction."""
        if getattr(self._waking, "is_later", False):
            self._waking.is_missed = True
        else:
            after_commit(connection, self.where)

    @contextmanager
    def waking_later(self, *, wakes: bool = True) -> Iterator[None]:
        """Let this thread's commits wake subscribers at the end of the block, or not at all.

        Outside of transaction blocks. Subscribers look by themselves where the program dies before.
        """
        waking = self._waking
        waking.is_later, waking.is_missed = True, False
        try:
            yield
        finally:
            waking.is_later = False
            if waking.is_missed and wakes:
                try:
                    with self._pool.borrow() as connection:
                        after_commit(connection, self.where)
                except StoreError as error:
                    _LOG.info("no notification was sent, subscribers look by themselves: %s", error)

    def _session(self) -> _Session | None:
        sessions = _sessions.get()
        for session in reversed(sessions) if sessions else ():
            if session.owner is self and session.blocks:
                return session
        return None


def _rows(
    conn: PgConnection, statement: str | PreparedStatement, values: Sequence[Any]
) -> list[Row]:
    if isinstance(statement, PreparedStatement):
        return statement.run(conn, values)
    return execute(conn, statement, values)


@contextmanager
def _block(session: _Session) -> Iterator[Transaction]:
    depth = len(session.blocks)
    savepoint = f"block_{depth}"
    execute(session.raw, f"SAVEPOINT {savepoint}" if depth else "BEGIN", ())
    block = Transaction()
    session.blocks.append(block)
    try:
        yield block
        execute(session.raw, f"RELEASE {savepoint}" if depth else "COMMIT", ())
    except BaseException:
        block.undo()
        if not session.raw.closed:
            execute(session.raw, f"ROLLBACK TO {savepoint}" if depth else "ROLLBACK", ())
        raise
    finally:
        session.blocks.pop()


_SETTLE = "SELECT object_store.settle_time(%s)"
# Whether a transaction is open that took its number before this one, other than the block's own.
_EARLIER = """
SELECT EXISTS (
    SELECT FROM pg_snapshot_xip(pg_current_snapshot()) open
    WHERE open < %s::xid8 AND open IS DISTINCT FROM %s::xid8)
"""
