"""The store's users: one login role for each person."""

from __future__ import annotations

import re
import time

from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from store.admin.roles import (
    DISPATCHERS,
    OWNER,
    USERS,
    is_superuser,
    repeated,
    transaction,
)
from store.database.execute import PgConnection, PgCursor, value_of
from store.errors import AccessError, Unavailable

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
# How long the sessions of a user who is disabled may take to end, and how often that is tried.
DISABLE_SECONDS = 5.0
DISABLE_TRIES = 4


@repeated
def provision_user(admin_conn: PgConnection, username: str, password: str) -> None:
    """Make a login role for a person, or let a disabled one in again; its password is set.

    Names are lower-case letters, digits and `_`, as PostgreSQL writes them without quotes.
    """
    _check_name(username)
    _check_password(password)
    role = sql.Identifier(username)
    with transaction(admin_conn) as cursor:
        # Asked first: who makes it now makes it a user in the same moment.
        cursor.execute("SELECT to_regrole(%s) IS NOT NULL", [username])
        is_role = value_of(cursor)
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
        options = sql.SQL(f"LOGIN {bare}" if is_superuser(cursor) else "LOGIN")
        cursor.execute(sql.SQL("ALTER ROLE {} {}").format(role, options))
        set_password(cursor, username, password)
        for name, value in _LIMITS.items():
            cursor.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(
                    role, sql.Identifier(name), sql.Literal(value)
                )
            )


@repeated
def change_password(admin_conn: PgConnection, username: str, password: str) -> None:
    """Set the password of a user; sessions that are logged in stay so.

    Unavailable where one of them holds a change of its own password open; `disable_user` ends it.
    """
    _check_password(password)
    with transaction(admin_conn) as cursor:
        _require_user(cursor, username)
        set_password(cursor, username, password)


@repeated
def disable_user(admin_conn: PgConnection, username: str) -> None:
    """Let a user log in no more, and end the sessions that are logged in; the events stay.

    They are ended first: one of them may hold what says that the user may log in. Unavailable
    where a session does not end.
    """
    for tries_left in range(DISABLE_TRIES - 1, -1, -1):
        try:
            with transaction(admin_conn, DISABLE_SECONDS) as cursor:
                _require_user(cursor, username)
                # Both at once: a session that begins in between comes after this one in the queue.
                _end_sessions(cursor, username)
                cursor.execute(
                    sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(username))
                )
            break
        except Unavailable:
            if not tries_left:
                raise
    # Once that is committed nobody logs in again; who logged in just before is ended now.
    end = time.monotonic() + DISABLE_SECONDS
    while True:
        with transaction(admin_conn) as cursor:
            left = _end_sessions(cursor, username)
        if not left:
            return
        if time.monotonic() > end:
            raise Unavailable(
                f"{username} may log in no more, but sessions of theirs do not end: processes "
                f"{', '.join(map(str, left))}"
            )
        time.sleep(0.02)


def set_password(cursor: PgCursor, role: str, password: str) -> None:
    """Set the password of a role; the server is told what it keeps of it, not the password.

    So no log can hold it, on whatever side, and whether or not the statement fails.
    """
    kept = encrypt_password(password, role, cursor.connection, "scram-sha-256")
    cursor.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(kept))
    )


def _end_sessions(cursor: PgCursor, username: str) -> list[int]:
    """Tell every session of a user to end; the process ids of those that there were."""
    own = sql.SQL("{} TO CURRENT_USER").format(sql.Identifier(username))
    needs_right = not is_superuser(cursor)
    if needs_right:
        cursor.execute(sql.SQL("GRANT {} WITH INHERIT TRUE, SET FALSE").format(own))
    cursor.execute(
        "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
        [username],
    )
    pids = [int(pid) for pid, _ in cursor.fetchall()]
    if needs_right:
        revoked = sql.SQL("{} FROM CURRENT_USER").format(sql.Identifier(username))
        cursor.execute(sql.SQL("REVOKE {}").format(revoked))
    return pids


@repeated
def allow_dispatch(admin_conn: PgConnection, username: str, allowed: bool = True) -> None:
    """Let a user start the workflows that transitions of all users promised, or no longer.

    It shows them which entities, of which types, promised which workflow; not their data.
    """
    verb = "GRANT {} TO {} WITH INHERIT TRUE, SET FALSE" if allowed else "REVOKE {} FROM {}"
    with transaction(admin_conn) as cursor:
        _require_user(cursor, username)
        cursor.execute(sql.SQL(verb).format(sql.Identifier(DISPATCHERS), sql.Identifier(username)))


def _is_user(cursor: PgCursor, username: str) -> bool:
    cursor.execute(
        "SELECT FROM pg_auth_members WHERE roleid = to_regrole(%s) AND member = to_regrole(%s)",
        [USERS, username],
    )
    return bool(cursor.rowcount)


def _require_user(cursor: PgCursor, username: str) -> None:
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
