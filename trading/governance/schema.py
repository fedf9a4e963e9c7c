"""The database's part of governance: duties of people, and triggers that keep the state machines.

bootstrap_governance(admin_conn)
grant_duty(admin_conn, "ann", "ACC", PROPOSE)
grant_duty(admin_conn, "eve", "ACC", APPROVE, RESUME)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

from psycopg2 import sql

from store.admin.roles import OWNER, repeated, transaction
from store.database.execute import value_of
from trading.errors import GovernanceError
from trading.governance.entities import DUTIES, edges

__all__ = ["bootstrap_governance", "grant_duty", "revoke_duty", "schema_version", "set_duties"]

# The files that lead from each version to the next; never edit one that was released.
MIGRATIONS = (("0001_governance.sql",),)
# One bootstrap at a time in a database; the number means nothing else.
_LOCK = 7_021_415_123

_EDGE = """
INSERT INTO trading_governance.edge VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_GRANT = """
INSERT INTO trading_governance.duty (person, account, duty) VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING
"""

_SHOW = "SELECT trading_governance.show_existing(%s, %s)"


@repeated
def bootstrap_governance(admin_conn: Any) -> None:
    """Make the schema of governance beside the store's, or bring an older one forward.

    `admin_conn` belongs to a superuser, or to who made the store's schema. GovernanceError where
    there is no store yet, or the schema is newer than this program.
    """
    with transaction(admin_conn) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        version = schema_version(cursor)
        if version > len(MIGRATIONS):
            raise GovernanceError(
                f"the schema of governance is of version {version}, this program knows it up to "
                f"version {len(MIGRATIONS)}; update the program"
            )
        cursor.execute("SELECT to_regclass('object_store.event') IS NOT NULL")
        if not value_of(cursor):
            raise GovernanceError("there is no store in this database; run bootstrap_schema first")
        owner = sql.Identifier(OWNER)
        if version == 0:
            cursor.execute(
                sql.SQL("CREATE SCHEMA trading_governance AUTHORIZATION {}").format(owner)
            )
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(owner))
        if version == 0:
            cursor.execute(
                "CREATE TABLE trading_governance.schema_version "
                "(version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
        for number, names in enumerate(MIGRATIONS[version:], version + 1):
            for name in names:
                text = (files("trading.governance") / "sql" / name).read_text(encoding="utf-8")
                cursor.execute(text)
            cursor.execute("INSERT INTO trading_governance.schema_version VALUES (%s)", [number])
        if version < len(MIGRATIONS):
            _write_edges(cursor)
        cursor.execute("RESET ROLE")


def _write_edges(cursor: Any) -> None:
    cursor.execute("DELETE FROM trading_governance.edge")
    for type_name, edge in edges():
        cursor.execute(
            _EDGE,
            [
                *(type_name, edge.from_state, edge.to_state, edge.action, edge.duty, edge.who),
                *(edge.signs, edge.needs_reason, edge.needs_review, edge.before, edge.after),
            ],
        )


def schema_version(cursor: Any) -> int:
    """Return the version of the schema in this database, 0 where there is none."""
    cursor.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'trading_governance' AND c.relname = 'schema_version'"
    )
    if not cursor.rowcount:
        return 0
    cursor.execute("SELECT coalesce(max(version), 0) FROM trading_governance.schema_version")
    return int(cursor.fetchone()[0])


@repeated
def grant_duty(admin_conn: Any, person: str, account: str, *duties: str) -> None:
    """Give a person duties on an account, or on all of them for `*`.

    They see what was written for the account before. GovernanceError for an unknown duty, and for
    who is no login of the server.
    """
    _check(duties)
    with transaction(admin_conn) as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s AND rolcanlogin", [person])
        if not cursor.rowcount:
            raise GovernanceError(
                f"{person!r} is no login of this server; store.schema.provision_user makes one"
            )
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        for duty in duties:
            cursor.execute(_GRANT, [person, account, duty])
        if duties:
            cursor.execute(_SHOW, [person, account])
        cursor.execute("RESET ROLE")


@repeated
def revoke_duty(admin_conn: Any, person: str, account: str, *duties: str) -> None:
    """Take duties on an account from a person; all of them where none is named."""
    _check(duties)
    with transaction(admin_conn) as cursor:
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        cursor.execute(
            "DELETE FROM trading_governance.duty WHERE person = %s AND account = %s "
            "AND duty = ANY (%s)",
            [person, account, list(duties or DUTIES)],
        )
        cursor.execute("RESET ROLE")


@repeated
def set_duties(admin_conn: Any, account: str, duties: Mapping[str, Collection[str]]) -> None:
    """Let people have exactly these duties on an account, and nobody else any.

    Duties on all accounts (`*`) stay as they are. Errors as of `grant_duty`.
    """
    _check(tuple(duty for some in duties.values() for duty in some))
    with transaction(admin_conn) as cursor:
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        cursor.execute(
            "SELECT person, duty FROM trading_governance.duty WHERE account = %s", [account]
        )
        known: set[tuple[str, str]] = set(cursor.fetchall())
        cursor.execute("RESET ROLE")
    wanted = {(person, duty) for person, some in duties.items() for duty in some}
    for person in sorted({person for person, _ in known | wanted}):
        gone = [duty for name, duty in known - wanted if name == person]
        new = [duty for name, duty in wanted - known if name == person]
        if gone:
            revoke_duty(admin_conn, person, account, *sorted(gone))
        if new:
            grant_duty(admin_conn, person, account, *sorted(new))


def _check(duties: tuple[str, ...]) -> None:
    unknown = [duty for duty in duties if duty not in DUTIES]
    if unknown:
        raise GovernanceError(f"no duty {', '.join(unknown)}; there are: {', '.join(DUTIES)}")
