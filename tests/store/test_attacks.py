"""What a person with a login and psql may try; every test is a real login with a password."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors

import store.schema
from reactive import Field
from store import Storable
from store.client import StoreClient
from store.errors import AccessError, EntityNotFound, StoreError
from store.models import Order, Trade
from store.permissions import (
    list_shared_with,
    share_read,
    share_write,
    unshare,
    unshare_read,
    unshare_write,
)
from store.schema import MIGRATIONS, bootstrap_schema
from store.subscriptions import EventBus
from tests.processes import at_once
from tests.store.desk import Desk
from tests.store.sql import TABLES, run


@pytest.fixture
def secret(alice: StoreClient) -> Trade:
    obj = Trade(symbol="SECRET", quantity=7)
    alice.write(obj)
    return obj


def state_of(desk: Desk) -> list[Any]:
    admin = desk.admin()
    tables = ("event", "head", "seg", "past", "acl")
    return [run(admin, f"SELECT * FROM object_store.{name} ORDER BY 1, 2") for name in tables]


@pytest.mark.shared_database
@pytest.mark.parametrize("user", ["postgres", "alice", "object_store_owner", "object_store_user"])
@pytest.mark.parametrize("password", ["", "postgres", "the password of mallory"])
def test_log_in_as_another(desk: Desk, user: str, password: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match=r"password|not permitted|authentication"):
        psycopg2.connect(user=user, password=password, **desk.info)


@pytest.mark.shared_database
@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE alice",
        "SET ROLE object_store_owner",
        "SET ROLE postgres",
        "SET ROLE object_store_user",
        "SET SESSION AUTHORIZATION alice",
        "SET session_replication_role = replica",
        "ALTER TABLE object_store.event DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE object_store.event DISABLE TRIGGER ALL",
        "ALTER TABLE object_store.event NO FORCE ROW LEVEL SECURITY",
        "CREATE POLICY mine ON object_store.event USING (true)",
        "ALTER ROLE mallory BYPASSRLS",
        "ALTER ROLE mallory SUPERUSER",
        "ALTER ROLE alice PASSWORD 'known'",
        "GRANT object_store_owner TO mallory",
        "GRANT alice TO mallory",
        "CREATE ROLE friend",
        "SELECT nextval('object_store.event_seq')",
        "SELECT setval('object_store.event_seq', 1)",
        "COPY object_store.event FROM PROGRAM 'cat /etc/passwd'",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "COPY object_store.event TO '/tmp/stolen'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE public.t (x int)",
        "CREATE SCHEMA mine",
        "CREATE EXTENSION dblink",
        "CREATE TEMP TABLE head (entity_id uuid)",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
        "BEGIN; LOCK TABLE object_store.event IN EXCLUSIVE MODE",
        "BEGIN; LOCK TABLE object_store.head IN SHARE MODE",
        "SELECT * FROM object_store.head FOR UPDATE",
        "SELECT * FROM object_store.past",
        "SELECT * FROM object_store.schema_version",
        "SELECT object_store.place(NULL, NULL)",
        "SELECT object_store.locked_head(NULL)",
        "SELECT * FROM pg_authid",
    ],
)
def test_rights_that_nobody_has(rogue: Any, desk: Desk, statement: str, secret: Trade) -> None:
    before = state_of(desk)
    with pytest.raises(psycopg2.Error) as caught:
        run(rogue, statement)
    assert caught.value.pgcode in ("42501", "0A000")
    assert state_of(desk) == before


@pytest.mark.shared_database
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO object_store.{0} SELECT * FROM object_store.{0}",
        "INSERT INTO object_store.{0} DEFAULT VALUES ON CONFLICT DO NOTHING",
        "DELETE FROM object_store.{0}",
        "TRUNCATE object_store.{0}",
        "DROP TABLE object_store.{0}",
        "MERGE INTO object_store.{0} USING (SELECT 1) one ON true WHEN MATCHED THEN DELETE",
        "ALTER TABLE object_store.{0} ADD COLUMN x int",
    ],
)
@pytest.mark.parametrize("user", ["alice", "mallory"])
def test_nobody_writes_a_table(desk: Desk, user: str, statement: str, secret: Trade) -> None:
    login = desk.login(user)
    for table in TABLES:
        with pytest.raises(errors.InsufficientPrivilege):
            run(login, statement.format(table))


@pytest.mark.shared_database
@pytest.mark.parametrize("column", ["updated_by", "owner", "tx_time", "version", "seq", "data"])
def test_not_even_the_owner_rewrites_an_event(desk: Desk, column: str, secret: Trade) -> None:
    own = desk.login("alice")
    with pytest.raises(errors.InsufficientPrivilege):
        run(own, f"UPDATE object_store.event SET {column} = {column}")
    with pytest.raises(errors.InsufficientPrivilege):
        run(
            own,
            f"INSERT INTO object_store.event ({column}) VALUES (DEFAULT) "
            f"ON CONFLICT (entity_id, version) DO UPDATE SET {column} = excluded.{column}",
        )


APPEND = "SELECT * FROM object_store.append({}, NULL, NULL, NULL, NULL)"


@pytest.mark.parametrize("kind", ["UPDATED", "DELETED", "STATE_CHANGE"])
def test_append_to_an_entity_of_another(rogue: Any, desk: Desk, kind: str, secret: Trade) -> None:
    before = state_of(desk)
    values = [kind, secret._store_entity_id]
    for expected in (0, 1, 2):
        call = APPEND.format(f"%s, %s, {expected}, 'T', '{{}}', NULL")
        with pytest.raises(psycopg2.Error) as caught:
            run(rogue, call, values)
        # The same answer whether the entity exists or not, whatever its version.
        assert caught.value.pgcode == "OS002"
    many = (
        "SELECT object_store.append_many("
        "%s, ARRAY[%s]::uuid[], '{1}', '{T}', '{null}', '{s}', NULL, NULL, '{}')"
    )
    with pytest.raises(psycopg2.Error) as caught:
        run(rogue, many, values)
    assert caught.value.pgcode == "OS002"
    with pytest.raises(errors.UniqueViolation):
        run(rogue, APPEND.format("'CREATED', %s, NULL, 'T', '{}', NULL"), values[1:])
    assert state_of(desk) == before


def test_who_writes_is_who_logged_in(rogue: Any, desk: Desk) -> None:
    run(rogue, "SET application_name = 'alice'")
    row = run(rogue, APPEND.format("'CREATED', gen_random_uuid(), 99, 'T', '{}', NULL"))[0]
    assert row[1] == 1
    assert row[3:5] == ("mallory", "mallory")
    kind = APPEND.format("%s, gen_random_uuid(), 0, 'T', '{}', NULL")
    for forged in ("CORRECTED", "", None):
        with pytest.raises(errors.InvalidParameterValue):
            run(rogue, kind, [forged])


@pytest.mark.shared_database
@pytest.mark.parametrize("table", ["event", "head", "seg", "acl"])
@pytest.mark.parametrize(
    "setting", ["", "SET row_security = off", "SET search_path = object_store"]
)
def test_rows_of_others_are_not_there(
    rogue: Any, alice: StoreClient, table: str, setting: str, secret: Trade
) -> None:
    share_read(alice.conn, secret._store_entity_id, "bob")
    if setting:
        run(rogue, setting)
    # Nobody reads a table, see tests/store/test_hidden_rows.py for what the functions tell.
    for statement in ("SELECT * FROM", "EXPLAIN SELECT * FROM"):
        with pytest.raises(errors.InsufficientPrivilege):
            run(rogue, f"{statement} object_store.{table}")


def test_statistics_do_not_show_hidden_values(rogue: Any, desk: Desk, secret: Trade) -> None:
    run(desk.admin(), "ANALYZE")
    found = run(rogue, "SELECT * FROM pg_stats WHERE schemaname = 'object_store'")
    assert "SECRET" not in str(found)
    with pytest.raises(errors.InsufficientPrivilege):
        run(rogue, "SELECT * FROM pg_statistic")


def test_functions_of_the_store_are_not_public(desk: Desk) -> None:
    admin = desk.admin()
    public = run(
        admin,
        "SELECT p.proname FROM pg_proc p, "
        "aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a "
        "WHERE p.pronamespace = 'object_store'::regnamespace AND a.grantee = 0",
    )
    assert public == []
    unpinned = run(
        admin,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'object_store'::regnamespace "
        "AND prosecdef AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY(proconfig), false)",
    )
    assert unpinned == []
    owners = run(
        admin,
        "SELECT DISTINCT rolname, rolsuper, rolcanlogin FROM pg_proc p JOIN pg_roles r "
        "ON r.oid = p.proowner WHERE p.pronamespace = 'object_store'::regnamespace",
    )
    assert owners == [("object_store_owner", False, False)]
    # Rows are chosen by the functions, not by policies, and no function reads a setting that a
    # user could set.
    assert run(admin, "SELECT FROM pg_policies WHERE schemaname = 'object_store'") == []
    readers = run(
        admin,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'object_store'::regnamespace "
        "AND prosrc LIKE '%current_setting%'",
    )
    assert readers == []
    granted = run(
        admin,
        "SELECT table_name FROM information_schema.table_privileges "
        "WHERE table_schema = 'object_store' AND grantee <> 'object_store_owner'",
    )
    assert granted == []


def everything_of(client: StoreClient, entity_id: str) -> list[Any]:
    """All ways to read an entity."""
    obj = client.read(Trade, entity_id)
    return [
        obj,
        client.as_of(Trade, entity_id, tx_time=client_now(client)),
        client.history(Trade, entity_id),
        client.audit(entity_id),
        client.query(Trade).items,
        client.query(Trade, Field("quantity") > 0, valid_time=client_now(client)).items,
        client.count(Trade),
        client.list_types(),
    ]


def client_now(client: StoreClient) -> Any:
    return run(client.conn, "SELECT clock_timestamp()")[0][0]


def test_what_was_shared_can_be_read_until_it_is_not(
    alice: StoreClient, bob: StoreClient, secret: Trade
) -> None:
    entity_id = secret._store_entity_id
    nothing = [None, None, [], [], [], [], 0, []]
    assert everything_of(bob, entity_id) == nothing
    assert share_read(alice.conn, entity_id, "bob") is True
    assert share_read(alice.conn, entity_id, "bob") is False
    assert all(everything_of(bob, entity_id))
    mine = bob.read(Trade, entity_id)
    with pytest.raises(AccessError, match="reading only"):
        bob.update(mine)
    assert list_shared_with(alice.conn, entity_id) == {"readers": ["bob"], "writers": []}
    assert list_shared_with(bob.conn, entity_id) == {"readers": ["bob"], "writers": []}
    assert unshare_read(alice.conn, entity_id, "bob") is True
    assert unshare_read(alice.conn, entity_id, "bob") is False
    assert everything_of(bob, entity_id) == nothing
    with pytest.raises(EntityNotFound):
        bob.update(mine)


def test_a_writer_writes_under_its_own_name_and_owns_nothing(
    alice: StoreClient, bob: StoreClient, secret: Trade
) -> None:
    entity_id = secret._store_entity_id
    assert share_write(alice.conn, entity_id, "bob") is True
    obj = bob.read(Trade, entity_id)
    obj.quantity = 8
    bob.update(obj)
    assert (obj._store_owner, obj._store_updated_by) == ("alice", "bob")
    for attempt in (share_read, share_write, unshare):
        with pytest.raises(EntityNotFound):
            attempt(bob.conn, entity_id, "mallory")
    assert list_shared_with(alice.conn, entity_id) == {"readers": [], "writers": ["bob"]}
    assert unshare_write(alice.conn, entity_id, "bob") is True
    assert bob.read(Trade, entity_id) is None
    share_read(alice.conn, entity_id, "bob")
    share_write(alice.conn, entity_id, "bob")
    assert unshare(alice.conn, entity_id, "bob") is True
    assert list_shared_with(alice.conn, entity_id) == {"readers": [], "writers": []}
    assert alice.verify()


def test_sharing_is_refused_to_strangers_and_with_nobody(
    alice: StoreClient, bob: StoreClient, secret: Trade
) -> None:
    entity_id = secret._store_entity_id
    with pytest.raises(EntityNotFound):
        share_read(bob.conn, entity_id, "bob")
    with pytest.raises(EntityNotFound):
        share_read(alice.conn, "no id", "bob")
    for nobody in ("nobody", "postgres", "alice", "object_store_owner"):
        with pytest.raises(StoreError):
            share_read(alice.conn, entity_id, nobody)
    assert list_shared_with(bob.conn, entity_id) == {"readers": [], "writers": []}


def test_nobody_keeps_the_schema_from_being_looked_after(rogue: Any, desk: Desk) -> None:
    """Every role may take every advisory lock, and keep it as long as it likes."""
    run(rogue, "SELECT pg_advisory_lock(%s)", [store.schema._LOCK])
    admin = desk.admin()
    run(admin, "SET lock_timeout = '5s'")
    bootstrap_schema(admin)
    for mode in ("ACCESS SHARE", "SHARE ROW EXCLUSIVE"):
        with pytest.raises(errors.InsufficientPrivilege):
            run(rogue, f"BEGIN; LOCK TABLE object_store.schema_version IN {mode} MODE")
        run(rogue, "ROLLBACK")


def test_two_who_make_the_schema_at_the_same_time(desk: Desk) -> None:
    run(desk.admin(), "DROP SCHEMA object_store CASCADE")
    admins = [desk.admin() for _ in range(3)]
    assert at_once([lambda a=a: bootstrap_schema(a) for a in admins]) == [None] * 3
    found = run(admins[0], "SELECT version FROM object_store.schema_version ORDER BY 1")
    assert found == [(number,) for number in range(1, len(MIGRATIONS) + 1)]


APPEND_TO = "SELECT * FROM object_store.append(%s, %s, %s, %s, %s, NULL, %s, NULL, NULL, NULL)"
APPEND_MANY_TO = (
    "SELECT * FROM object_store.append_many('UPDATED', ARRAY[%s]::uuid[], ARRAY[%s], ARRAY[%s], "
    "ARRAY[%s]::jsonb[], ARRAY[NULL]::text[], NULL, NULL, ARRAY[NULL]::uuid[])"
)


def test_a_writer_cannot_change_the_class_of_an_entity(
    desk: Desk, alice: StoreClient, rogue: Any, secret: Trade
) -> None:
    entity_id, data = secret._store_entity_id, secret.to_json()
    assert share_write(alice.conn, entity_id, "mallory")
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    before = state_of(desk)
    for kind in ("UPDATED", "STATE_CHANGE", "DELETED"):
        for valid_from in (None, yesterday):
            with pytest.raises(psycopg2.Error, match="only its owner") as caught:
                run(rogue, APPEND_TO, [kind, entity_id, 1, "store.models.Order", data, valid_from])
            assert caught.value.pgcode == "OS009"
    with pytest.raises(psycopg2.Error, match="only its owner") as caught:
        run(rogue, APPEND_MANY_TO, [entity_id, 1, "store.models.Order", data])
    assert caught.value.pgcode == "OS009"
    assert state_of(desk) == before
    # Under its own class she may write it.
    run(rogue, APPEND_TO, ["UPDATED", entity_id, 1, "store.models.Trade", data, None])
    mallory, other = desk.client("mallory"), Order(symbol="SECRET")
    known = mallory.read(Trade, entity_id)
    other._store_entity_id, other._store_version = entity_id, known._store_version
    with pytest.raises(AccessError, match="only its owner, alice"):
        mallory.update(other)


def test_the_owner_and_writers_go_on_after_a_class_was_renamed(
    desk: Desk, alice: StoreClient
) -> None:
    @dataclass
    class Former(Storable):
        symbol: str = ""

    @dataclass
    class Renamed(Storable):
        _type_aliases = (Former.type_name(),)
        symbol: str = ""

    def stored_as() -> str:
        return str(alice.audit(ids[0])[-1]["type_name"])

    heard: list[str] = []
    bus = EventBus()
    bus.on_all(lambda event: heard.append(event.type_name))
    bob = desk.client("bob", event_bus=bus)
    ids = alice.write_many([Former("A"), Former("B")])
    for entity_id in ids:
        assert share_write(alice.conn, entity_id, "bob")
    others = [bob.read(Renamed, entity_id) for entity_id in ids]
    bob.update(others[0])
    assert stored_as() == Former.type_name()
    bob.update_many(others)
    assert stored_as() == Former.type_name()
    with bob.transaction():
        bob.delete(others[1])
    assert heard == [Former.type_name()] * 4
    alice.update(alice.read(Renamed, ids[0]))
    assert stored_as() == Renamed.type_name()
    bob.update(bob.read(Renamed, ids[0]))
    assert stored_as() == Renamed.type_name() == heard[-1]
    assert alice.verify().breaks == ()
