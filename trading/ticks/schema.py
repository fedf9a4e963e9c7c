"""The tick store's tables and roles in a database: made, migrated, and given to users."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from psycopg2 import sql

from store.admin.roles import is_superuser, repeated, transaction
from trading.errors import TickStoreError
from trading.symbols import require_symbols

OWNER = "trading_ticks_owner"
READERS = "trading_ticks_reader"
WRITERS = "trading_ticks_writer"
# The files that lead from each version to the next; never edit one that was released.
MIGRATIONS = (
    ("0001_tables.sql", "0002_writing.sql", "0003_reading.sql"),
    ("0004_bars.sql", "0005_hidden_numbers.sql"),
    ("0006_one_index.sql",),
    ("0007_asked.sql",),
    ("0008_blocks.sql",),
)
# One bootstrap at a time in a database; the number means nothing else.
_LOCK = 7_021_415_122


@repeated
def bootstrap_ticks(admin_conn: Any) -> None:
    """Make the schema of the tick store, or bring an older one forward.

    `admin_conn` belongs to a superuser, or to a role that may create roles and schemas.
    TickStoreError where the schema is newer than this program.
    """
    with transaction(admin_conn) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        version = schema_version(cursor)
        if version > len(MIGRATIONS):
            raise TickStoreError(
                f"the schema of the tick store is of version {version}, this program knows it up "
                f"to version {len(MIGRATIONS)}; update the program"
            )
        if version == len(MIGRATIONS):
            return
        _make_roles(cursor)
        owner = sql.Identifier(OWNER)
        if version == 0:
            cursor.execute(sql.SQL("CREATE SCHEMA trading_ticks AUTHORIZATION {}").format(owner))
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(owner))
        if version == 0:
            cursor.execute(
                "CREATE TABLE trading_ticks.schema_version "
                "(version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
        for number, names in enumerate(MIGRATIONS[version:], version + 1):
            for name in names:
                text = (files("trading.ticks") / "sql" / name).read_text(encoding="utf-8")
                cursor.execute(text)
            cursor.execute("INSERT INTO trading_ticks.schema_version VALUES (%s)", [number])
        cursor.execute("RESET ROLE")


def schema_version(cursor: Any) -> int:
    """The version of the schema in this database, 0 where there is none."""
    cursor.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'trading_ticks' AND c.relname = 'schema_version'"
    )
    if not cursor.rowcount:
        return 0
    cursor.execute("SELECT coalesce(max(version), 0) FROM trading_ticks.schema_version")
    return int(cursor.fetchone()[0])


@repeated
def grant_ticks(
    admin_conn: Any, user: str, symbols: Iterable[str] | None, *, write: bool = False
) -> None:
    """Let a user read the ticks of some symbols, or of all for None, and write if so said."""
    names = None if symbols is None else sorted(set(symbols))
    require_symbols(names or ())
    with transaction(admin_conn) as cursor:
        _require_role(cursor, user)
        _join(cursor, user, READERS)
        if write:
            _join(cursor, user, WRITERS)
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        if names is None:
            statement = "INSERT INTO trading_ticks.reader VALUES (%s, NULL) ON CONFLICT DO NOTHING"
            cursor.execute(statement, [user])
        else:
            # A symbol may be granted before its first tick.
            cursor.execute("SELECT pg_advisory_xact_lock(7021415120)")
            cursor.execute(
                "INSERT INTO trading_ticks.symbol (name) SELECT n FROM unnest(%s::text[]) n "
                "WHERE NOT EXISTS (SELECT FROM trading_ticks.symbol WHERE name = n)",
                [names],
            )
            cursor.execute(
                "INSERT INTO trading_ticks.reader SELECT %s, id FROM trading_ticks.symbol "
                "WHERE name = ANY (%s) ON CONFLICT DO NOTHING",
                [user, names],
            )
        cursor.execute("RESET ROLE")


@repeated
def revoke_ticks(
    admin_conn: Any, user: str, symbols: Iterable[str] | None = None, *, write: bool = False
) -> None:
    """Take reading of some symbols from a user, or all of it for None; writing too if so said.

    A user who may read all keeps that when single symbols are taken away: TickStoreError.
    """
    names = None if symbols is None else sorted(set(symbols))
    with transaction(admin_conn) as cursor:
        _require_role(cursor, user)
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        if names is None:
            cursor.execute("DELETE FROM trading_ticks.reader WHERE grantee = %s", [user])
        else:
            cursor.execute(
                "SELECT FROM trading_ticks.reader WHERE grantee = %s AND symbol IS NULL", [user]
            )
            if cursor.rowcount:
                raise TickStoreError(
                    f"{user!r} may read all symbols; revoke that first, then grant the symbols "
                    "that remain"
                )
            cursor.execute(
                "DELETE FROM trading_ticks.reader r USING trading_ticks.symbol s "
                "WHERE r.symbol = s.id AND r.grantee = %s AND s.name = ANY (%s)",
                [user, names],
            )
        cursor.execute("SELECT FROM trading_ticks.reader WHERE grantee = %s", [user])
        has_none = not cursor.rowcount
        cursor.execute("RESET ROLE")
        role = sql.Identifier(user)
        if has_none:
            cursor.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(READERS), role))
        if write:
            cursor.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(WRITERS), role))


@repeated
def keep_ticks_for(admin_conn: Any, days: int | None) -> None:
    """Drop days of ticks that are older than so many days; None keeps them for ever."""
    if days is not None and days < 1:
        raise TickStoreError(f"keep_days must be 1 or more, or None to keep all, not {days}")
    with transaction(admin_conn) as cursor:
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        cursor.execute(
            "UPDATE trading_ticks.setting SET value = %s WHERE name = 'keep_days'", [days]
        )


def _join(cursor: Any, user: str, group: str) -> None:
    cursor.execute(
        sql.SQL("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE").format(
            sql.Identifier(group), sql.Identifier(user)
        )
    )


def _require_role(cursor: Any, user: str) -> None:
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s AND rolcanlogin", [user])
    if not cursor.rowcount:
        raise TickStoreError(
            f"{user!r} is no login of this server; store.schema.provision_user makes one"
        )


def _make_roles(cursor: Any) -> None:
    for name in (OWNER, READERS, WRITERS):
        # Roles belong to the whole cluster: another database may have made them.
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
        if not cursor.rowcount:
            cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
    if not is_superuser(cursor):
        # Who makes a role may hand it out; to act as it takes a grant to oneself.
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))
    cursor.execute("SELECT current_database()")
    database = sql.Identifier(cursor.fetchone()[0])
    cursor.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(
            database, sql.Identifier(READERS), sql.Identifier(WRITERS)
        )
    )
