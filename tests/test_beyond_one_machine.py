"""What the page on scaling says, run: a database with a replica, an engine that follows one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg2.extensions import make_dsn

from bridge import StoreBridge
from reactive import Field
from store.client import StoreClient
from store.errors import ReplicaError
from store.models import Trade
from store.schema import provision_user
from store.server import ObjectStoreServer
from tests.processes import free_port, server_process, wait_until

if TYPE_CHECKING:
    from server.trading_server import TradingServer

PASSWORD = "a good password"


def programs() -> Path:
    """Where the PostgreSQL that the embedded server starts has its programs."""
    from store.server import _programs

    found = _programs()
    return found.folders[found.newest]


def run(program: str, *arguments: str, folder: Path, password: str = "") -> None:
    """Run one of PostgreSQL's programs, which refuses to be root."""
    subprocess.run(
        [str(programs() / program), *arguments],
        env={**os.environ, "PGPASSWORD": password},
        user="pgserver" if os.geteuid() == 0 else None,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def primary() -> Iterator[ObjectStoreServer]:
    folder = Path(tempfile.mkdtemp(prefix="primary-of-tests-"))
    with ObjectStoreServer(data_dir=folder) as server:
        connection = server.admin_conn()
        provision_user(connection, "alice", PASSWORD)
        connection.close()
        yield server
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def replica_port(primary: ObjectStoreServer) -> Iterator[int]:
    folder = Path(tempfile.mkdtemp(prefix="replica-of-tests-"))
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, "pgserver")
    data, port = str(folder / "pg"), free_port()
    where = primary.conn_info()
    login = f"--host={where['host']}", f"--port={where['port']}", "--username=postgres"
    run(
        "pg_basebackup",
        *login,
        f"--pgdata={data}",
        "--write-recovery-conf",
        "--checkpoint=fast",
        folder=folder,
        password=(primary.data_dir / "admin_password").read_text().strip(),
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
    # No less than the primary's, or a replica does not start.
    options += "-c max_connections=200"
    run("pg_ctl", "start", "-w", "-D", data, "-o", options, "-l", f"{data}/log", folder=folder)
    yield port
    run("pg_ctl", "stop", "-w", "-D", data, "-m", "fast", folder=folder)
    shutil.rmtree(folder)


def test_a_replica_answers_reads_and_sends_writers_to_the_primary(
    primary: ObjectStoreServer, replica_port: int
) -> None:
    replica = {**primary.conn_info(), "port": replica_port}
    with (
        StoreClient("alice", PASSWORD, **primary.conn_info()) as writer,
        StoreClient("alice", PASSWORD, **replica) as reader,
    ):
        trade = Trade(symbol="AAPL", quantity=100, price=228.0, side="BUY")
        entity_id = writer.write(trade)
        wait_until(lambda: reader.read(Trade, entity_id) is not None, 30, "the trade")
        assert reader.read(Trade, entity_id) == trade
        assert reader.count(Trade, {"symbol": "AAPL"}) == 1
        assert [t.price for t in reader.history(Trade, entity_id)] == [228.0]
        assert reader.verify()
        with pytest.raises(ReplicaError, match="this server is a replica, ask the primary"):
            reader.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
        with pytest.raises(ReplicaError, match="this server is a replica, ask the primary"):
            reader.as_of(Trade, entity_id, tx_time=datetime.now(timezone.utc))


def test_one_engine_follows_the_tables_of_another(
    trading_server: TradingServer, tmp_path: Path
) -> None:
    """Barrage: the second engine's copy ticks as the first one's table does."""
    environment = {"XDG_STATE_HOME": str(tmp_path), "DEEPHAVEN_PSK": "a-key-of-the-source"}
    with server_process(env=environment) as (_, port):
        from deephaven.barrage import barrage_session

        session = barrage_session(
            host="127.0.0.1",
            port=port,
            auth_type="io.deephaven.authentication.psk.PskAuthenticationHandler",
            auth_token="a-key-of-the-source",
        )
        prices = session.subscribe(b"s/prices_live")
        raw = session.subscribe(b"s/prices_raw")
        assert prices.is_refreshing
        wait_until(lambda: prices.size == 8, 30, "a price of every symbol")
        seen = raw.size
        wait_until(lambda: raw.size > seen + 40, 30, "more ticks")
        session.close()


def test_accounts_live_in_databases_of_their_own_and_share_a_screen(
    trading_server: TradingServer, primary: ObjectStoreServer
) -> None:
    with closing(primary.admin_conn()) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE DATABASE second_account")
        second = make_dsn(
            **{**primary.conn_info(), "dbname": "second_account"},
            user="postgres",
            password=(primary.data_dir / "admin_password").read_text().strip(),
        )
    with ObjectStoreServer(dsn=second) as other, ExitStack() as opened:
        with closing(other.admin_conn()) as admin:
            provision_user(admin, "alice", PASSWORD)
        bridges = []
        for server, symbol in ((primary, "FIRST"), (other, "SECOND")):
            login = {"user": "alice", "password": PASSWORD, **server.conn_info()}
            client = opened.enter_context(StoreClient(**login))
            entity_id = client.write(Trade(symbol=symbol, quantity=1, price=1.0, side="BUY"))
            assert [t.symbol for t in client.query(Trade, {"symbol": symbol})] == [symbol]
            bridge = StoreBridge(**login)
            bridge.register(Trade, filter=Field("quantity") == 1)
            bridges.append(opened.enter_context(bridge))
        # An entity of one account does not exist in the other.
        assert (
            opened.enter_context(StoreClient("alice", PASSWORD, **primary.conn_info())).read(
                Trade, entity_id
            )
            is None
        )

        from deephaven import merge

        both = merge([bridge.live(Trade) for bridge in bridges])
        assert all(bridge.flush() for bridge in bridges)
        assert {row["symbol"] for row in both.iter_dict()} == {"FIRST", "SECOND"}
