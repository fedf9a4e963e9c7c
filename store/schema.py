"""The store's tables and roles in a database: made, migrated, and given to users.

bootstrap_schema(admin_conn)
provision_user(admin_conn, "alice", "a-good-password")
"""

from __future__ import annotations

from importlib.resources import files

from psycopg2 import sql

from store.admin.indexing import build_index
from store.admin.roles import (
    DISPATCHERS,
    LOCK_SECONDS,
    OWNER,
    USERS,
    bound_waits,
    is_superuser,
    repeated,
    transaction,
)
from store.admin.users import allow_dispatch, change_password, disable_user, provision_user
from store.columns import REGISTRY
from store.database.execute import PgConnection, PgCursor, value_of
from store.errors import RegistryError, SchemaError
from store.governance.column_types import NUMBERS, EnumOf, Scalar
from store.registry import ColumnRegistry

__all__ = [
    "MIGRATIONS",
    "allow_dispatch",
    "bootstrap_schema",
    "change_password",
    "disable_user",
    "index_field",
    "provision_user",
]

# The files that lead from each version to the next; never edit one that was released.
MIGRATIONS = (
    (
        "0001_tables.sql",
        "0001_appending.sql",
        "0001_batches.sql",
        "0001_reading.sql",
        "0001_verifying.sql",
        "0001_rights.sql",
    ),
    ("0002_delivery.sql",),
    (
        "0003_viewers.sql",
        "0003_writing.sql",
        "0003_queries.sql",
        "0003_conditions.sql",
        "0003_log.sql",
        "0003_verification.sql",
        "0003_sharing.sql",
    ),
    ("0004_outbox.sql",),
    ("0005_type_names.sql",),
    ("0006_batches.sql",),
    ("0007_fast_batches.sql",),
    ("0008_own_batches.sql",),
)
# One first bootstrap at a time in a database; the number means nothing else.
_LOCK = 7_021_415_119
TURN_SECONDS = 600.0


def bootstrap_schema(admin_conn: PgConnection) -> None:
    """Make the store's schema, or bring an older one forward; nothing is done where it is new.

    `admin_conn` belongs to a superuser, or to a role that may create roles and schemas. SchemaError
    where the schema is newer than this program.
    """
    # Another administrator's migration of a large store takes some time; a user's transaction, for
    # which everybody would wait behind the migration, is waited for much shorter.
    with transaction(admin_conn, TURN_SECONDS) as cursor:
        if not _keep_others_out(cursor):
            # Nobody has a login to it yet who could hold this one against us.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            _keep_others_out(cursor)
        bound_waits(cursor, LOCK_SECONDS)
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
                cursor.execute(_sql(name))
            cursor.execute("INSERT INTO object_store.schema_version VALUES (%s)", [number])
            cursor.execute("RESET ROLE")
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        cursor.execute("SELECT object_store.begin_era()")
        cursor.execute("RESET ROLE")
        _close_database(cursor)


@repeated
def index_field(admin_conn: PgConnection, name: str, registry: ColumnRegistry = REGISTRY) -> None:
    """Let queries find a column's values by an index; every write keeps it up to date.

    Everybody may go on reading and writing meanwhile; Unavailable where somebody holds a
    transaction open for too long.
    Texts, numbers, dates and moments, truth values, ids and Enums; filters by equality and by
    ranges use it. RegistryError for a name that is no column, and for one of lists, dicts or
    dataclasses.
    """
    kind = registry.resolve(name)[0].type
    if not isinstance(kind, (Scalar, EnumOf)):
        raise RegistryError(f"column {name!r} holds {kind}; single values can be indexed")
    is_number = (kind.python if isinstance(kind, Scalar) else kind.value_type) in NUMBERS
    value = (
        sql.SQL("object_store.json_value(data, {})")
        if is_number
        else sql.SQL('(object_store.json_text(data, {}) COLLATE "C")')
    ).format(sql.Literal(name))
    with transaction(admin_conn) as cursor:
        # The order that is leakproof is there where a superuser made it.
        cursor.execute("SELECT FROM pg_opclass WHERE opcname = 'json_order'")
        order = "object_store.json_order" if is_number and cursor.rowcount else ""
    name_of_index = f"seg_by_field_{name}"[:63]
    build_index(
        admin_conn,
        name_of_index,
        # Led by who may see the row: see decision 0090.
        sql.SQL("ON object_store.seg (viewer, {} {}, entity_id)").format(value, sql.SQL(order)),
        schema="object_store",
        owner=OWNER,
    )
    with transaction(admin_conn) as cursor:
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
        # Statistics of values would tell of hidden rows by the plans that follow from them.
        cursor.execute(
            sql.SQL("ALTER INDEX object_store.{} ALTER COLUMN 2 SET STATISTICS 0").format(
                sql.Identifier(name_of_index)
            )
        )
        cursor.execute("ANALYZE object_store.seg")


def _sql(name: str) -> str:
    return (files("store.database") / "sql" / name).read_text(encoding="utf-8")


def _keep_others_out(cursor: PgCursor) -> bool:
    """Lock the table of versions, which no user may do; false where there is none yet."""
    if not _is_made(cursor):
        return False
    cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
    cursor.execute("LOCK TABLE object_store.schema_version IN SHARE ROW EXCLUSIVE MODE")
    cursor.execute("RESET ROLE")
    return True


def _is_made(cursor: PgCursor) -> bool:
    # Not to_regclass: asked again in one transaction, that does not see what was made meanwhile.
    cursor.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'object_store' AND c.relname = 'schema_version'"
    )
    return bool(cursor.rowcount)


def _version(cursor: PgCursor) -> int:
    if not _is_made(cursor):
        return 0
    cursor.execute("SELECT coalesce(max(version), 0) FROM object_store.schema_version")
    return int(value_of(cursor))


def _make_roles(cursor: PgCursor) -> None:
    for name in (OWNER, USERS, DISPATCHERS):
        # Roles belong to the whole cluster: another database may have made them.
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
        if not cursor.rowcount:
            cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
    if not is_superuser(cursor):
        # Who makes a role may hand it out; to act as it takes a grant to oneself.
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))


def _make_schema(cursor: PgCursor) -> None:
    owner = sql.Identifier(OWNER)
    cursor.execute(sql.SQL("CREATE SCHEMA object_store AUTHORIZATION {}").format(owner))
    accessors = "superuser" if is_superuser(cursor) else "plain"
    cursor.execute(_sql(f"accessors/{accessors}.sql"))
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


def _close_database(cursor: PgCursor) -> None:
    """Leave nothing to PUBLIC: no login, no temporary tables, no objects in `public`.

    These rights belong to the database itself, so a copy made with TEMPLATE lacks them.
    """
    cursor.execute("SELECT current_database()")
    database = sql.Identifier(value_of(cursor))
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    cursor.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(USERS))
    )
    cursor.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
