"""A dump that is restored in another cluster, whose transaction numbers begin anew."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from store.client import StoreClient
from store.errors import PositionError, SchemaError
from store.models import Trade
from store.projections import rebuild, state_of
from store.schema import provision_user
from store.server import ObjectStoreServer, _programs
from store.subscriptions import ChangeEvent, EventBus, EventLog, SubscriptionListener
from tests.processes import wait_until
from tests.store.books import BOOK
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of


def positions(admin: Any) -> list[tuple[int, int]]:
    with admin.cursor() as cursor:
        cursor.execute(
            "SELECT version, (xid < object_store.fence())::int FROM object_store.event e "
            "ORDER BY e.xid, e.seq"
        )
        return list(cursor.fetchall())


def test_a_store_goes_on_where_it_was_restored(
    desk: Desk, alice: StoreClient, elsewhere: dict[str, Any], tmp_path: Path
) -> None:
    source = desk.admin()
    with source.cursor() as cursor:
        # Others have kept the old cluster busy: its numbers are far ahead of the new one's.
        cursor.execute(
            "DO $$ BEGIN FOR i IN 1 .. 3000 LOOP "
            "PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        )
    obj, other = Trade(symbol="AAPL", price=1.0), Trade(symbol="MSFT")
    for each in (obj, other):
        alice.write(each)
        alice.update(each)
    heard: list[ChangeEvent] = []
    bus = EventBus()
    bus.on_all(heard.append)
    durable: dict[str, Any] = {"user": "alice", "subscriber_id": "moved", "start": "beginning"}
    with SubscriptionListener(bus, **desk.info, password=password_of("alice"), **durable):
        wait_until(lambda: len(heard) == 4, 20, "the events of the old cluster")
    rebuild(alice, BOOK)
    tools = _programs().folders[_programs().newest]
    dump = subprocess.run(
        [tools / "pg_dump", make_dsn(**desk.info, user="postgres", password=ADMIN_PASSWORD)],
        check=True,
        capture_output=True,
    ).stdout

    target = {**elsewhere, "user": "postgres", "password": ADMIN_PASSWORD}
    with ObjectStoreServer(dsn=make_dsn(**target)) as server:
        admin = server.admin_conn()
        provision_user(admin, "alice", "pw")
        with admin.cursor() as cursor:
            cursor.execute("CREATE DATABASE restored")
        admin.close()
    where = {**elsewhere, "dbname": "restored"}
    restored = make_dsn(**{**target, "dbname": "restored"})
    subprocess.run(
        [tools / "psql", "-v", "ON_ERROR_STOP=1", "-q", "-d", restored],
        input=dump,
        check=True,
        capture_output=True,
    )
    with psycopg2.connect(restored) as connection, connection.cursor() as cursor:
        cursor.execute("GRANT CONNECT ON DATABASE restored TO object_store_user")
    connection.close()
    with StoreClient("alice", "pw", **where) as client:
        mine = client.read(Trade, obj._store_entity_id)
        with pytest.raises(SchemaError, match="restored from another cluster"):
            client.update(mine)
    for _ in range(2):
        with ObjectStoreServer(dsn=restored) as server:
            admin = server.admin_conn()
    with StoreClient("alice", "pw", **where) as client:
        assert client.update(mine) == 3
        assert client.update_many([mine, client.read(Trade, other._store_entity_id)]) == [4, 3]
        client.write_many([Trade(symbol="IBM")])
        assert client.verify()
        # Subscribers and projections go on behind what they had.
        with SubscriptionListener(bus, **where, password="pw", **durable):
            wait_until(lambda: len(heard) == 8, 20, "the events of the new one")
        assert [event.version for event in heard[4:]] == [3, 4, 3, 1]
        assert state_of(client, BOOK).events == 8
        old = heard[0].position
        with pytest.raises(PositionError, match="another cluster"):
            EventLog(client.conn).page(old)
    # New events stand behind all old ones, and all of them below the fence are complete.
    assert positions(admin) == [(n, 1) for n in (1, 2, 1, 2, 3, 4, 3, 1)]
    with admin.cursor() as cursor:
        cursor.execute("SELECT number, lift > 1000 FROM object_store.era ORDER BY 1")
        assert cursor.fetchall() == [(1, False), (2, True)]
    admin.close()
