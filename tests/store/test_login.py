"""What stands in the environment for other databases changes none of the store's connections."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg2
import psycopg2.extras
import pytest

from store.client import StoreClient
from store.database.login import Login, address, connect
from store.errors import ServerError, Unavailable
from store.models import Signal, Trade
from store.server import ObjectStoreServer, _url, parsed
from tests.environment import VARIABLES
from tests.processes import Process
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of

NOTES = "naïve 日本 €"


def settings(connection: psycopg2.extensions.connection) -> tuple[str, ...]:
    asked = ("client_encoding", "TimeZone", "DateStyle", "geqo", "statement_timeout")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in asked)}")
        return tuple(map(str, cursor.fetchone() or ()))


@pytest.mark.shared_database
@pytest.mark.parametrize("names", [*((name,) for name in VARIABLES), tuple(VARIABLES)])
def test_no_variable_changes_a_connection(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    for name in names:
        monkeypatch.setenv(name, VARIABLES[name])
    login = {"user": "alice", "password": password_of("alice"), **desk.info}
    with StoreClient(**login) as alice:
        entity_id = alice.write(Signal(symbol="AAPL", notes=NOTES))
        assert alice.read(Signal, entity_id).notes == NOTES
        plain = ("UTF8", "UTC", "ISO, MDY", "on", "5min")
        assert settings(alice.conn) == plain
        assert alice.conn.info.dsn_parameters["application_name"] == "object_store"
    following = Login(**login).connect()
    assert settings(following)[0] == "UTF8"
    following.close()
    where = " ".join(f"{key}={value}" for key, value in desk.info.items())
    with ObjectStoreServer(dsn=f"{where} user=postgres password='{ADMIN_PASSWORD}'") as server:
        assert server.conn_info() == desk.info
        admin = server.admin_conn()
        assert settings(admin) == ("UTF8", "UTC", "ISO, MDY", "on", "0")
        admin.close()
    with pytest.raises(Unavailable, match="no password supplied"):
        StoreClient("alice", "", **desk.info)


def test_a_password_that_a_dsn_leaves_out_is_found(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dsn = " ".join(f"{key}={value}" for key, value in desk.info.items()) + " user=postgres"
    with pytest.raises(ServerError, match="no password supplied"):
        ObjectStoreServer(dsn=dsn).admin_conn()
    monkeypatch.setenv("PGPASSWORD", ADMIN_PASSWORD)
    ObjectStoreServer(dsn=dsn).admin_conn().close()
    monkeypatch.delenv("PGPASSWORD")
    kept = tmp_path / "passwords"
    kept.write_text(f"*:*:*:postgres:{ADMIN_PASSWORD}\n")
    kept.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(kept))
    ObjectStoreServer(dsn=dsn).admin_conn().close()
    # A service that the dsn itself names says the rest.
    services = tmp_path / "services"
    services.write_text("[desk]\n" + "".join(f"{k}={v}\n" for k, v in desk.info.items()))
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    with ObjectStoreServer(dsn="service=desk user=postgres") as server:
        assert server.conn_info() == desk.info


def test_an_embedded_server_starts_whatever_stands_in_the_environment(tmp_path: Path) -> None:
    code = (
        "import sys, tempfile\n"
        "from store.server import ObjectStoreServer\n"
        "with ObjectStoreServer(tempfile.mkdtemp(prefix='store-of-tests-')) as server:\n"
        "    cursor = server.admin_conn().cursor()\n"
        "    cursor.execute('SHOW server_encoding'); print(cursor.fetchone())\n"
        "    print(server.data_dir)\n"
    )
    program = Process(
        sys.executable, "-W", "ignore", "-c", code, env={**VARIABLES, "LC_ALL": "nowhere"}
    )
    assert program.wait(90) == 0, program.output
    encoding, folder = program.output.splitlines()
    assert encoding == "('UTF8',)"
    subprocess.run(["rm", "-rf", folder], check=True)


def test_addresses_of_ipv6(desk: Desk) -> None:
    assert address("::1", 5432) == "[::1]:5432"
    assert address("[::1]", 5432) == "[::1]:5432"
    assert address("127.0.0.1", 5432) == "127.0.0.1:5432"
    assert parsed("postgresql://x@[::1]:5432/desk")["host"] == "::1"
    assert parsed("host=[::1] dbname=desk")["host"] == "::1"
    url = _url("x", "p", {"host": "::1", "port": 1, "dbname": "d"}, {})
    assert url == "postgresql://x:p@[::1]:1/d"
    for host in ("::1", "[::1]"):
        with pytest.raises(Unavailable, match=r"at \[::1\]:1: .*\"::1\", port 1 failed"):
            StoreClient("alice", "x", host, 1)
        with pytest.raises(Unavailable, match=r"at \[::1\]:1: "):
            Login("alice", "x", host, 1, "postgres").connect()
        with pytest.raises(psycopg2.OperationalError, match="::1"):
            connect({"user": "x", "host": host, "port": 1})


def test_types_that_another_library_registers_for_the_whole_program(desk: Desk) -> None:
    """As peewee does when it is imported."""
    before = dict(psycopg2.extensions.string_types)
    psycopg2.extras.register_uuid()
    try:
        client = desk.client("alice")
        entity_id = client.write(Trade(symbol="AAPL"))
        assert type(client.history(Trade, entity_id)[0]._store_entity_id) is str
        rows = client._connection.read("SELECT ARRAY[%s::uuid]", (entity_id,))
        assert rows == [([entity_id],)]
    finally:
        psycopg2.extensions.string_types.clear()
        psycopg2.extensions.string_types.update(before)
