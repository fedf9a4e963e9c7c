"""The store's tables and roles in a database: made, migrated, and given to users.

bootstrap_schema(admin_conn)
provision_user(admin_conn, "alice", "a-good-password")
"""

from __future__ import annotations

import functools
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, ParamSpec

import psycopg2
from psycopg2 import sql

from store.columns import REGISTRY
from store.errors import AccessError, SchemaError
from store.registry import ColumnRegistry

OWNER = "object_store_owner"
USERS = "object_store_user"
# Those who start the workflows that transitions of others promised.
DISPATCHERS = "object_store_dispatcher"
# The files that lead from each version to the next; never edit one that was released.
MIGRATIONS = (
    ("tables.sql", "appending.sql", "batches.sql", "reading.sql", "verifying.sql", "rights.sql"),
    ("delivery.sql",),
)
# One first bootstrap at a time in a database; the number means nothing else.
_LOCK = 7_021_415_119
TRIES = 20
# What PostgreSQL says to one of two who change the same role, or make the same thing.
_AT_ONCE = (
    psycopg2.errors.UniqueViolation,
    psycopg2.errors.DuplicateObject,
    psycopg2.errors.DeadlockDetected,
    # "tuple concurrently updated"
    psycopg2.errors.InternalError_,
)
P = ParamSpec("P")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_RESERVED = {
    OWNER,
    USERS,
    DISPATCHERS,
    "postgres",
    "public",
    "none",
    "workflow_engine",
    "current_user",
    "session_user",
    "current_role",
    "user",
}
# A user who forgets a transaction, or holds it on purpose, must not hold up the others for long.
_LIMITS = {
    "idle_in_transaction_session_timeout": "60s",
    "lock_timeout": "10s",
    "statement_timeout": "300s",
    # The statements are short; compiling them takes longer than running them.
    "jit": "off",
}


def bootstrap_schema(admin_conn: Any) -> None:
    """Make the store's schema, or bring an older one forward; nothing is done where it is new.

    `admin_conn` belongs to a superuser, or to a role that may create roles and schemas. SchemaError
    where the schema is newer than this program.
    """
    with _transaction(admin_conn) as cursor:
        if not _keep_others_out(cursor):
            # Nobody has a login to it yet who could hold this one against us.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            _keep_others_out(cursor)
        version = _version(cursor)
        if version > len(MIGRATIONS):
            raise SchemaError(
                f"the store's schema is of version {version}, this program knows it up to version "
                f"{len(MIGRATIONS)}; update the program"
            )
        _make_roles(cursor)
        if version == 0:
            _make_schema(cursor)
        for number, names in enumerate(MIGRATIONS[version:], version + 1):
            cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
            for name in names:
                cursor.execute((files("store") / name).read_text(encoding="utf-8"))
            cursor.execute("INSERT INTO object_store.schema_version VALUES (%s)", [number])
            cursor.execute("RESET ROLE")
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        cursor.execute("SELECT object_store.begin_era()")
        cursor.execute("RESET ROLE")
        _close_database(cursor)


def _repeated(call: Callable[P, None]) -> Callable[P, None]:
    """The call, made again where another administrator did the same at the same time."""

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


@_repeated
def provision_user(admin_conn: Any, username: str, password: str) -> None:
    """Make a login role for a person, or let a disabled one in again; its password is set.

    Names are lower-case letters, digits and `_`, as PostgreSQL writes them without quotes.
    """
    _check_name(username)
    _check_password(password)
    role = sql.Identifier(username)
    with _transaction(admin_conn) as cursor:
        # Asked first: who makes it now makes it a user in the same moment.
        cursor.execute("SELECT to_regrole(%s) IS NOT NULL", [username])
        (is_role,) = cursor.fetchone()
        if not _is_user(cursor, username):
            if is_role:
                raise AccessError(f"{username!r} is a role already, and none of the store's users")
            cursor.execute(sql.SQL("CREATE ROLE {}").format(role))
            # It has the group's rights, but cannot act as the group.
            cursor.execute(
                sql.SQL("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE").format(
                    sql.Identifier(USERS), role
                )
            )
        # Only a superuser may say the first; a new role has none of them anyway.
        bare = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
        options = sql.SQL(f"LOGIN {bare}" if _is_superuser(cursor) else "LOGIN")
        cursor.execute(
            sql.SQL("ALTER ROLE {} {} PASSWORD {}").format(role, options, sql.Literal(password))
        )
        for name, value in _LIMITS.items():
            cursor.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(
                    role, sql.Identifier(name), sql.Literal(value)
                )
            )


@_repeated
def change_password(admin_conn: Any, username: str, password: str) -> None:
    """Set the password of a user; sessions that are logged in stay so."""
    _check_password(password)
    with _transaction(admin_conn) as cursor:
        _require_user(cursor, username)
        cursor.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                sql.Identifier(username), sql.Literal(password)
            )
        )


@_repeated
def disable_user(admin_conn: Any, username: str) -> None:
    """Let a user log in no more, and end the sessions that are logged in; the events stay."""
    with _transaction(admin_conn) as cursor:
        _require_user(cursor, username)
        cursor.execute(
            sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(username))
        )
    # Once that is committed: nobody logs in again in between.
    with _transaction(admin_conn) as cursor:
        own = sql.SQL("{} TO CURRENT_USER").format(sql.Identifier(username))
        needs_right = not _is_superuser(cursor)
        if needs_right:
            cursor.execute(sql.SQL("GRANT {} WITH INHERIT TRUE, SET FALSE").format(own))
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [username]
        )
        if needs_right:
            revoked = sql.SQL("{} FROM CURRENT_USER").format(sql.Identifier(username))
            cursor.execute(sql.SQL("REVOKE {}").format(revoked))


@_repeated
def allow_dispatch(admin_conn: Any, username: str, allowed: bool = True) -> None:
    """Let a user start the workflows that transitions of all users promised, or no longer.

    It shows them which entities, of which types, promised which workflow; not their data.
    """
    verb = "GRANT {} TO {} WITH INHERIT TRUE, SET FALSE" if allowed else "REVOKE {} FROM {}"
    with _transaction(admin_conn) as cursor:
        _require_user(cursor, username)
        cursor.execute(sql.SQL(verb).format(sql.Identifier(DISPATCHERS), sql.Identifier(username)))


@_repeated
def index_field(admin_conn: Any, name: str, registry: ColumnRegistry = REGISTRY) -> None:
    """Let queries find a column's values by an index; every write keeps it up to date.

    Texts, dates and moments, and whole and floating numbers; filters by equality and by ranges use
    it, also for users who see only some of the rows. On a server without a superuser PostgreSQL
    reads all rows that a user may see first. RegistryError for a name that is no column.
    """
    python = registry.resolve(name)[0].python_type
    is_number = python in (int, float)
    value = (
        sql.SQL("object_store.json_value(data, {})")
        if is_number
        else sql.SQL('(object_store.json_text(data, {}) COLLATE "C")')
    ).format(sql.Literal(name))
    with _transaction(admin_conn) as cursor:
        # The order that is leakproof is there where a superuser made it.
        cursor.execute("SELECT FROM pg_opclass WHERE opcname = 'json_order'")
        order = "object_store.json_order" if is_number and cursor.rowcount else ""
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        cursor.execute(
            sql.SQL("CREATE INDEX IF NOT EXISTS {} ON object_store.seg ({} {}, entity_id)").format(
                sql.Identifier(f"seg_by_field_{name}"[:63]), value, sql.SQL(order)
            )
        )
        # Without statistics of the field the planner does not know what the index is worth.
        cursor.execute("ANALYZE object_store.seg")


@contextmanager
def _transaction(connection: Any) -> Iterator[Any]:
    """One transaction, also on a connection in autocommit mode."""
    if not connection.autocommit and connection.info.transaction_status:
        raise SchemaError("the connection is inside a transaction; commit or roll it back first")
    before, connection.autocommit = connection.autocommit, False
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    except psycopg2.errors.InsufficientPrivilege as error:
        raise AccessError(f"this needs an administrator's connection: {error}") from error
    finally:
        if not connection.closed:
            connection.autocommit = before


def _keep_others_out(cursor: Any) -> bool:
    """Lock the table of versions, which no user may do; false where there is none yet."""
    if not _is_made(cursor):
        return False
    cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
    cursor.execute("LOCK TABLE object_store.schema_version IN SHARE ROW EXCLUSIVE MODE")
    cursor.execute("RESET ROLE")
    return True


def _is_made(cursor: Any) -> bool:
    # Not to_regclass: asked again in one transaction, that does not see what was made meanwhile.
    cursor.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'object_store' AND c.relname = 'schema_version'"
    )
    return bool(cursor.rowcount)


def _version(cursor: Any) -> int:
    if not _is_made(cursor):
        return 0
    cursor.execute("SELECT coalesce(max(version), 0) FROM object_store.schema_version")
    return int(cursor.fetchone()[0])


def _make_roles(cursor: Any) -> None:
    for name in (OWNER, USERS, DISPATCHERS):
        # Roles belong to the whole cluster: another database may have made them.
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
        if not cursor.rowcount:
            cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
    if not _is_superuser(cursor):
        # Who makes a role may hand it out; to act as it takes a grant to oneself.
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))


def _make_schema(cursor: Any) -> None:
    owner = sql.Identifier(OWNER)
    cursor.execute(sql.SQL("CREATE SCHEMA object_store AUTHORIZATION {}").format(owner))
    accessors = "accessors.sql" if _is_superuser(cursor) else "accessors_plain.sql"
    cursor.execute((files("store") / accessors).read_text(encoding="utf-8"))
    cursor.execute(_HAND_OVER)
    cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(owner))
    cursor.execute(
        "CREATE TABLE object_store.schema_version "
        "(version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    cursor.execute("RESET ROLE")


# What the administrator made belongs to the owner role, like all the rest.
_HAND_OVER = f"""
DO $$
DECLARE
    made text;
BEGIN
    FOR made IN
        SELECT 'FUNCTION ' || oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'object_store'::regnamespace
        UNION ALL
        SELECT 'OPERATOR ' || oid::regoperator FROM pg_operator
        WHERE oprnamespace = 'object_store'::regnamespace
    LOOP
        EXECUTE format('ALTER %s OWNER TO {OWNER}', made);
    END LOOP;
END $$
"""


def _close_database(cursor: Any) -> None:
    """Leave nothing to PUBLIC: no login, no temporary tables, no objects in `public`.

    These rights belong to the database itself, so a copy made with TEMPLATE lacks them.
    """
    cursor.execute("SELECT current_database()")
    database = sql.Identifier(cursor.fetchone()[0])
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    cursor.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(USERS))
    )
    cursor.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")


def _is_superuser(cursor: Any) -> bool:
    cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    return bool(cursor.fetchone()[0])


def _is_user(cursor: Any, username: str) -> bool:
    cursor.execute(
        "SELECT FROM pg_auth_members WHERE roleid = to_regrole(%s) AND member = to_regrole(%s)",
        [USERS, username],
    )
    return bool(cursor.rowcount)


def _require_user(cursor: Any, username: str) -> None:
    _check_name(username)
    if not _is_user(cursor, username):
        raise AccessError(f"{username!r} is no user of the store; provision_user makes one")


def _check_name(username: str) -> None:
    if not _NAME.fullmatch(username) or username in _RESERVED or username.startswith("pg_"):
        raise AccessError(
            f"{username!r:.80} cannot be a user's name; 1 to 63 lower-case letters, digits and _ "
            "are allowed, not beginning with a digit or pg_, and no name of the system's"
        )


def _check_password(password: str) -> None:
    if not password or "\0" in password:
        raise AccessError("a password of at least one character is needed, without NUL")
