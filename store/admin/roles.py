"""The roles of the store, and one transaction of an administrator, repeated after a clash."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR

from store.database.execute import PgConnection, PgCursor, value_of
from store.errors import AccessError, SchemaError, Unavailable

OWNER = "object_store_owner"
USERS = "object_store_user"
# Those who start the workflows that transitions of others promised.
DISPATCHERS = "object_store_dispatcher"
TRIES = 20
# How long what another transaction holds is waited for: a user may hold one open on purpose.
LOCK_SECONDS = 10.0
# What PostgreSQL says to one of two who change the same role, or make the same thing.
_AT_ONCE = (
    psycopg2.errors.UniqueViolation,
    psycopg2.errors.DuplicateObject,
    psycopg2.errors.DeadlockDetected,
    # "tuple concurrently updated"
    psycopg2.errors.InternalError_,
)
P = ParamSpec("P")


def repeated(call: Callable[P, None]) -> Callable[P, None]:
    """The call, repeated where another administrator did the same at the same time."""

    @functools.wraps(call)
    def again(*args: P.args, **kwargs: P.kwargs) -> None:
        for _ in range(TRIES):
            try:
                call(*args, **kwargs)
                return
            except _AT_ONCE:
                time.sleep(random.random() * 0.1)
        call(*args, **kwargs)

    return again


@contextmanager
def transaction(connection: PgConnection, lock_seconds: float | None = None) -> Iterator[PgCursor]:
    """One transaction, committed at the end; or a part of the one that the connection is in.

    That one takes effect, all of it, with the caller's own commit. Unavailable where another
    session holds what is needed for longer than `lock_seconds`, by default LOCK_SECONDS.
    SchemaError for a transaction that has failed already.
    """
    lock_seconds = LOCK_SECONDS if lock_seconds is None else lock_seconds
    status = connection.info.transaction_status
    if status == TRANSACTION_STATUS_INERROR:
        raise SchemaError(
            "the transaction of this connection has failed; roll it back, then call again"
        )
    block = _own_transaction if status == TRANSACTION_STATUS_IDLE else _savepoint
    try:
        with block(connection) as cursor:
            bound_waits(cursor, lock_seconds)
            yield cursor
    except psycopg2.errors.InsufficientPrivilege as error:
        raise AccessError(f"this needs an administrator's connection: {error}") from error
    except psycopg2.errors.LockNotAvailable as error:
        raise Unavailable(
            f"another transaction has held what this needs for more than {lock_seconds:g} s; try "
            "again, or end the session that holds it (a user's own, by disable_user)"
        ) from error


@contextmanager
def _own_transaction(connection: PgConnection) -> Iterator[PgCursor]:
    # Not `with connection`, which cannot be used again inside of the caller's own.
    before, connection.autocommit = connection.autocommit, False
    try:
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()
    finally:
        if not connection.closed:
            connection.rollback()
            connection.autocommit = before


@contextmanager
def _savepoint(connection: PgConnection) -> Iterator[PgCursor]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        lock_timeout = value_of(cursor)
        cursor.execute("SAVEPOINT administration")
        try:
            yield cursor
        except BaseException:
            if not connection.closed:
                cursor.execute("ROLLBACK TO administration")
            raise
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [lock_timeout])
        cursor.execute("RELEASE administration")


def bound_waits(cursor: PgCursor, seconds: float) -> None:
    """From now on, in this transaction, wait at most so long for what others hold."""
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(seconds * 1000)}ms"])


def is_superuser(cursor: PgCursor) -> bool:
    """Whether the session's role is a superuser."""
    cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    return bool(value_of(cursor))
