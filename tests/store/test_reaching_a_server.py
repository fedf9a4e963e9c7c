"""Servers that run elsewhere: by dsn, by TLS, and by an administrator who is no superuser."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from store.client import StoreClient
from store.errors import AccessError, ServerError, Unavailable
from store.models import Trade
from store.schema import change_password, disable_user, index_field, provision_user
from store.server import ObjectStoreServer, _url
from store.verification import verify
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of
from tests.store.tls_front import CERTIFICATE, tls_front


def test_tls_is_used_where_it_is_offered(desk: Desk) -> None:
    with tls_front(desk.info) as (port, sessions):
        where = {**desk.info, "port": port}
        login = ("alice", password_of("alice"))
        with StoreClient(*login, **where) as client:
            assert client.count() == 0
        full = {"sslmode": "verify-full", "sslrootcert": str(CERTIFICATE)}
        with StoreClient(*login, **where, **full) as client:
            assert client.count() == 0
        assert len(sessions) == 2
        assert all(each.startswith("TLS") for each in sessions)
        # A server that nobody vouches for.
        with pytest.raises(Unavailable, match="certificate"):
            StoreClient(*login, **where, sslmode="verify-full", sslrootcert="/nowhere.pem")

        dsn = f"host=127.0.0.1 port={port} dbname={desk.info['dbname']} user=postgres"
        dsn += f" password='{ADMIN_PASSWORD}' sslmode=verify-ca sslrootcert={CERTIFICATE}"
        with ObjectStoreServer(dsn=dsn) as server:
            info = server.conn_info()
            assert info["sslmode"] == "verify-ca"
            assert f"sslmode=verify-ca&sslrootcert={CERTIFICATE}" in server.dbos_url().replace(
                "%2F", "/"
            )
            StoreClient(*login, **info).close()
    with pytest.raises(Unavailable, match="SSL"):
        StoreClient(*login, **desk.info, sslmode="require")


@pytest.mark.parametrize(
    ("user", "password", "where", "options"),
    [
        ("dba", "", ("127.0.0.1", 5432, "desk"), {}),
        ("d b@a", "p:a/s?s", ("db.example.org", 6000, "my desk"), {"sslmode": "require"}),
        ("dba", "x", ("/var/run/postgresql", 5433, "desk"), {"application_name": "a&b"}),
        ("dba", "x", ("::1", 5432, "desk"), {}),
    ],
)
def test_the_url_of_a_database_says_what_the_dsn_said(
    user: str, password: str, where: tuple[str, int, str], options: dict[str, str]
) -> None:
    host, port, dbname = where
    url = _url(user, password, {"host": host, "port": port, "dbname": dbname}, options)
    said = {"user": user, "host": host, "port": str(port), "dbname": dbname, **options}
    assert parse_dsn(url) == ({**said, "password": password} if password else said)


def test_an_administrator_need_not_be_a_superuser(elsewhere: dict[str, Any]) -> None:
    where = f"{elsewhere['host']}:{elsewhere['port']}/desk"
    with pytest.raises(AccessError, match="administrator"):
        ObjectStoreServer(dsn=f"postgresql://guest:guest@{where}").start()
    url = f"postgresql://dba:dba@{where}?connect_timeout=7"
    with ObjectStoreServer(dsn=url) as server:
        assert server.conn_info() == elsewhere
        assert server.dbos_url() == url
        admin = server.admin_conn()
        provision_user(admin, "alice", "one")
        index_field(admin, "symbol")
        client = StoreClient("alice", "one", **server.conn_info())
        entity_id = client.write(Trade(symbol="AAPL"))
        assert len(client.query(Trade, {"symbol": "AAPL"})) == 1
        assert verify(admin).events == 1
        change_password(admin, "alice", "two")
        disable_user(admin, "alice")
        with pytest.raises((Unavailable, AccessError)):
            client.read(Trade, entity_id)
        provision_user(admin, "alice", "three")
        with StoreClient("alice", "three", **server.conn_info()) as again:
            assert again.read(Trade, entity_id) == Trade(symbol="AAPL")
        # Having ended the sessions, the administrator is no member of the user any more.
        with admin.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SET ROLE alice")
        admin.close()
        client.close()
    with ObjectStoreServer(dsn=url):
        pass


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(ServerError, match="port 1 failed"):
        ObjectStoreServer(dsn="host=127.0.0.1 port=1 user=x").start()
