"""Indexes that are made while everybody goes on writing.

An ordinary CREATE INDEX waits for every open transaction that has written to the table, and all
writers wait behind it. This one waits for them alone, within a bound, and holds nobody up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from store.database.execute import PgConnection, PgCursor, value_of
from store.errors import AccessError, SchemaError, Unavailable

# How long one open transaction of somebody else is waited for.
WAIT_SECONDS = 30.0
# How long another administrator's index is waited for.
TURN_SECONDS = 60.0
_TURN = 7_021_415_120


def build_index(
    connection: PgConnection, name: str, definition: sql.Composable, *, schema: str, owner: str
) -> None:
    """Make an index, unless it is there, without holding up anybody's writes.

    `definition` is what follows `CREATE INDEX name`, from ON on. What an earlier attempt left
    behind half made is dropped first. Unavailable, with who is in the way, where a transaction
    stays open for longer than WAIT_SECONDS; nothing but a leftover remains then.
    """
    index = sql.Identifier(schema, name)
    with _session(connection, owner) as cursor, _turn(cursor):
        valid = _is_valid(cursor, schema, name)
        if valid:
            return
        try:
            if valid is False:
                cursor.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(index))
            cursor.execute(
                sql.SQL("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} {}").format(
                    sql.Identifier(name), definition
                )
            )
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled) as error:
            raise Unavailable(
                f"the index {name} was not made: a transaction has been open for more than "
                f"{WAIT_SECONDS:g} s{_in_the_way(cursor)}; end it, and call again: what was begun "
                "is dropped then"
            ) from error


@contextmanager
def _session(connection: PgConnection, owner: str) -> Iterator[PgCursor]:
    """A cursor outside of any transaction, as the owner of the tables, with bounded waits."""
    if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
        raise SchemaError("the connection is inside a transaction; commit or roll it back first")
    before, connection.autocommit = connection.autocommit, True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
            if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
                # Inside of `with connection` the driver has begun a transaction. It begins no
                # other one before it has ended this one itself, by the rollback below.
                cursor.execute("COMMIT")
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{WAIT_SECONDS:g}s"])
            # What is made there may take long; only waiting is bounded.
            cursor.execute("SET statement_timeout = 0")
            try:
                yield cursor
            finally:
                if not connection.closed:
                    for setting in ("statement_timeout", "lock_timeout", "role"):
                        cursor.execute(sql.SQL("RESET {}").format(sql.Identifier(setting)))
    except psycopg2.errors.InsufficientPrivilege as error:
        raise AccessError(f"this needs an administrator's connection: {error}") from error
    finally:
        if not connection.closed:
            connection.rollback()
            connection.autocommit = before


@contextmanager
def _turn(cursor: PgCursor) -> Iterator[None]:
    """One after another: two who make an index at the same time would wait for each other.

    Asked for again and again: to wait inside of a statement is to be waited for. Any role may hold
    this lock, so after some time it is gone on without; PostgreSQL then sees to it itself.
    """
    end = time.monotonic() + TURN_SECONDS
    has_turn = False
    while not has_turn and time.monotonic() < end:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_TURN])
        has_turn = value_of(cursor)
        if not has_turn:
            time.sleep(0.05)
    try:
        yield
    finally:
        if has_turn and not cursor.connection.closed:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_TURN])


def _is_valid(cursor: PgCursor, schema: str, name: str) -> bool | None:
    """Whether the index is valid; None where there is none."""
    cursor.execute(
        "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "WHERE c.relnamespace = to_regnamespace(%s) AND c.relname = %s",
        [schema, name],
    )
    row = cursor.fetchone()
    return None if row is None else bool(row[0])


def _in_the_way(cursor: PgCursor) -> str:
    """Who has had a transaction open for the longest time in this database.

    By the transactions' numbers: when they began is hidden from one who is no superuser.
    """
    cursor.execute(
        "SELECT usename, pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) "
        "ORDER BY age(coalesce(backend_xid, backend_xmin)) DESC, backend_xid IS NULL LIMIT 1"
    )
    row = cursor.fetchone()
    return "" if row is None else f" (such as one of {row[0]}, process {row[1]})"
