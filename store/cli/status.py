"""`status`: what is in the store, and who uses it."""

from __future__ import annotations

import argparse
from typing import Any

import psycopg2

from store.admin.roles import USERS
from store.cli.access import add_server_options, administrator
from store.cli.output import say
from store.database.execute import value_of
from store.database.sqlstates import translated
from store.errors import SchemaError
from store.schema import MIGRATIONS


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="show versions, users, entities and sizes")
    add_server_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show it, a line each."""
    with administrator(options) as connection, connection.cursor() as cursor:
        try:
            for what, statement in _LINES.items():
                cursor.execute(statement, {"users": USERS})
                say(f"{what:<28}{value_of(cursor)}")
        except psycopg2.errors.InvalidSchemaName as error:
            raise SchemaError("this database holds no store; `start` makes one") from error
        except psycopg2.errors.UndefinedTable as error:
            raise SchemaError("this database holds no store; `start` makes one") from error
        except psycopg2.Error as error:
            raise translated(error) from error
    return 0


_LINES = {
    "schema version": "SELECT max(version)::text || "
    f"' of {len(MIGRATIONS)}' FROM object_store.schema_version",
    "PostgreSQL": "SELECT current_setting('server_version')",
    "users": "SELECT coalesce(string_agg(r.rolname || CASE WHEN r.rolcanlogin THEN '' "
    "ELSE ' (disabled)' END, ', ' ORDER BY r.rolname), 'none') FROM pg_auth_members m "
    "JOIN pg_roles r ON r.oid = m.member JOIN pg_roles g ON g.oid = m.roleid "
    "WHERE g.rolname = %(users)s AND NOT m.admin_option",
    "entities": "SELECT count(*) FROM object_store.head",
    "events": "SELECT count(*) FROM object_store.event",
    "newest event": "SELECT coalesce(max(tx_time)::text, 'none') FROM object_store.head",
    "size of the database": "SELECT pg_size_pretty(pg_database_size(current_database()))",
    # Kinds and times of others' sessions are hidden from one who is no superuser.
    "sessions": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND usename IS NOT NULL AND leader_pid IS NULL",
    "oldest open transaction": "SELECT coalesce(max(date_trunc('second', clock_timestamp() - "
    "xact_start))::text, CASE count(*) WHEN 0 THEN 'none' ELSE count(*) || ' open, since a time "
    "that only a superuser sees' END) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
    "AND backend_xid IS NOT NULL",
}
