"""Threads that share a client, and clients whose server goes away and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from psycopg2.extensions import TRANSACTION_STATUS_ACTIVE

from store.client import StoreClient
from store.database.prepared import USES_BEFORE, PreparedStatement
from store.errors import ServerError, StoreError, Unavailable, ValueRefused
from store.models import Trade
from store.permissions import share_read
from store.schema import provision_user
from store.server import ObjectStoreServer
from store.subscriptions import EventBus
from tests.processes import at_once, wait_until
from tests.store.desk import Desk
from tests.store.servers import postmaster
from tests.store.sql import clock


def sessions(desk: Desk) -> int:
    with desk.admin().cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename = 'alice'",
            [desk.info["dbname"]],
        )
        return int(cursor.fetchone()[0])


def test_a_block_of_one_thread_holds_up_no_other(alice: StoreClient) -> None:
    obj = Trade(symbol="AAPL")
    with ThreadPoolExecutor(3) as others, alice.transaction():
        entity_id = alice.write(obj)
        assert others.submit(alice.read, Trade, entity_id).result(30) is None
        assert others.submit(alice.count).result(30) == 0
        others.submit(alice.write, Trade(symbol="MSFT")).result(30)
        assert alice.count() == 2
        assert others.submit(write_in_a_block, alice).result(30) == 2
    assert alice.count() == 3


def write_in_a_block(client: StoreClient) -> int:
    with client.transaction():
        client.write(Trade(symbol="IBM"))
        return client.count()


def test_threads_that_share_a_client_lose_nothing(desk: Desk) -> None:
    client = desk.client("alice", pool_size=3)

    def work() -> None:
        for _ in range(5):
            with client.transaction():
                obj = Trade(symbol="AAPL")
                client.write(obj)
                client.update(obj)
            assert client.read(Trade, obj._store_entity_id) == obj

    assert at_once([work] * 8) == [None] * 8
    assert client.count(Trade) == 40
    assert client.verify().events == 80
    assert sessions(desk) <= 3


def test_a_pool_has_an_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.database.pool.WAIT_SECONDS", 0.2)
    client = desk.client("alice", pool_size=2)
    with client.transaction(), ThreadPoolExecutor(1) as other:
        with pytest.raises(Unavailable, match="all 2 connections"):
            other.submit(write_in_a_block, client).result(30)
        assert other.submit(client.count).result(30) == 0
    with client.transaction():
        client.write(Trade(symbol="AAPL"))
    assert client.count() == 1
    for size in (1, 0, True, "many"):
        with pytest.raises(StoreError, match="pool_size"):
            desk.client("alice", pool_size=size)


def test_a_call_takes_the_first_connection_when_it_is_free_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks hold the others, maybe for long: no call waits for them."""
    monkeypatch.setattr("store.database.pool.WAIT_SECONDS", 5)
    client = desk.client("alice", pool_size=2)
    pool = client._connection._pool
    waits, wait_for = threading.Semaphore(0), pool._free.wait_for

    def noted(*args: Any) -> Any:
        waits.release()
        return wait_for(*args)

    with ThreadPoolExecutor(2) as others, client.transaction():
        with pool.borrow():
            monkeypatch.setattr(pool._free, "wait_for", noted)
            # Another one that waits must not take the news for itself.
            block = others.submit(write_in_a_block, client)
            assert waits.acquire(timeout=30)
            call = others.submit(client.write, Trade(symbol="AAPL"))
            assert waits.acquire(timeout=30)
        call.result(30)
        assert not block.done()
    assert block.result(30) == 2


def test_the_connection_of_a_block_is_the_blocks_own(alice: StoreClient, bob: StoreClient) -> None:
    outside = alice.conn
    with pytest.raises(InterruptedError), alice.transaction():  # noqa: PT012 - the whole block fails
        entity_id = alice.write(Trade(symbol="AAPL"))
        assert alice.conn is not outside
        share_read(alice.conn, entity_id, "bob")
        raise InterruptedError
    assert alice.conn is outside
    entity_id = alice.write(Trade(symbol="AAPL"))
    with alice.transaction():
        share_read(alice.conn, entity_id, "bob")
        assert bob.read(Trade, entity_id) is None
    assert bob.read(Trade, entity_id) is not None


def test_tasks_have_blocks_of_their_own(alice: StoreClient) -> None:
    async def work(number: int) -> int:
        with alice.transaction():
            alice.write(Trade(symbol="AAPL", quantity=number))
            seen = alice.count()
            gate.append(number)
            while len(gate) < 3:
                await asyncio.sleep(0)
            if number == 2:
                raise InterruptedError
        return seen

    async def together() -> list[object]:
        return await asyncio.gather(*(work(n) for n in range(3)), return_exceptions=True)

    gate: list[int] = []
    *good, failed = asyncio.run(together())
    assert (good, type(failed)) == ([1, 1], InterruptedError)
    assert sorted(t.quantity for t in alice.query(Trade)) == [0, 1]


def test_one_call_after_the_commit_does_not_keep_the_others_from_it(desk: Desk) -> None:
    """Whoever waits for the commit is told of it, and then who raised gets the error."""
    bus = EventBus()
    heard: list[object] = []
    bus.on_all(lambda event: heard.append(event.type_name))
    client = desk.client("alice", event_bus=bus)

    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(InterruptedError), client.transaction() as block:  # noqa: PT012 - it fails at its end
        block.on_commit(lambda: fail(InterruptedError()))
        client.write(Trade(symbol="AAPL"))
        with client.transaction() as inner:
            inner.on_commit(lambda: fail(ZeroDivisionError()))
            inner.on_commit(lambda: heard.append("inner"))
    assert heard == ["store.models.Trade", "inner"]
    assert client.count() == 1


def test_one_call_after_a_rollback_does_not_keep_the_others_from_it(alice: StoreClient) -> None:
    undone: list[str] = []

    def fail() -> None:
        raise InterruptedError

    with alice.transaction():
        with pytest.raises(ZeroDivisionError), alice.transaction() as inner:  # noqa: PT012 - the whole block fails
            inner.on_rollback(lambda: undone.append("first"))
            inner.on_rollback(fail)
            alice.write(Trade(symbol="AAPL"))
            raise ZeroDivisionError
        assert undone == ["first"]
    assert alice.count() == 0


def test_calls_do_not_wait_for_a_statement_of_the_programs_own(
    desk: Desk, alice: StoreClient
) -> None:
    with desk.admin().cursor() as holder, ThreadPoolExecutor(2) as others:
        holder.execute("SELECT pg_advisory_lock(1)")
        own = alice.conn

        def wait_long() -> None:
            with own.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(1)")

        waiting = others.submit(wait_long)
        try:
            wait_until(
                lambda: own.info.transaction_status == TRANSACTION_STATUS_ACTIVE, 30, "the wait"
            )
            assert others.submit(alice.count).result(10) == 0
            assert not waiting.done()
        finally:
            holder.execute("SELECT pg_advisory_unlock(1)")
        waiting.result(30)


@pytest.mark.parametrize("who", ["the program", "a block", "a call"])
def test_a_login_during_the_close_does_not_outlast_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    client = desk.client("alice", pool_size=2)
    pool = client._connection._pool
    asked, go, connect = threading.Event(), threading.Event(), pool.connect

    def slow() -> Any:
        asked.set()
        assert go.wait(30)
        return connect()

    monkeypatch.setattr(pool, "connect", slow)
    if who != "a block":
        client.conn.close()
    call: Any = {
        "the program": lambda: client.conn,
        "a block": lambda: write_in_a_block(client),
        "a call": client.count,
    }[who]
    with ThreadPoolExecutor(1) as other:
        running = other.submit(call)
        assert asked.wait(30)
        client.close()
        go.set()
        with pytest.raises(StoreError, match="closed"):
            running.result(30)
    wait_until(lambda: not sessions(desk), 30, "the end of the sessions")


def test_a_program_and_a_call_renew_the_first_connection_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = desk.client("alice")
    pool, met = client._connection._pool, threading.Barrier(2)
    connect = pool.connect

    def at_the_same_time() -> Any:
        met.wait(20)
        return connect()

    client.conn.close()
    monkeypatch.setattr(pool, "connect", at_the_same_time)
    given, counted = at_once([lambda: client.conn, client.count])
    assert given is client.conn
    assert counted == 0
    wait_until(lambda: sessions(desk) == 1, 30, "the end of the second session")


# --- the server goes away -------------------------------------------------------------------------


@pytest.fixture
def server(folder: Path) -> Iterator[ObjectStoreServer]:
    with ObjectStoreServer(folder) as server:
        provision_user(server.admin_conn(), "alice", "pw")
        yield server


@pytest.mark.made_cluster
def test_reads_outlast_a_restart_and_writes_work_after_it(
    server: ObjectStoreServer, folder: Path
) -> None:
    client = StoreClient("alice", "pw", **server.conn_info())
    entity_id = client.write(Trade(symbol="AAPL"))
    stop = threading.Event()
    reads = [0, 0, 0]

    def read(number: int) -> None:
        while not stop.is_set():
            assert client.read(Trade, entity_id) is not None
            reads[number] += 1

    with ThreadPoolExecutor(3) as readers:
        running = [readers.submit(read, n) for n in range(3)]
        try:
            wait_until(lambda: min(reads) > 5, 30, "reads")
            server.stop()
            server.start()
            before = list(reads)
            wait_until(
                lambda: all(now > then + 5 for now, then in zip(reads, before, strict=True)),
                30,
                "reads after the restart",
            )
        finally:
            stop.set()
        for each in running:
            each.result(30)
    with client.transaction():
        client.write(Trade(symbol="MSFT"))
    server.stop()
    server.start()
    # No connection of the pool is one of the old server, so that nothing is lost by trying.
    with client.transaction():
        client.write(Trade(symbol="MSFT"))
    client.write(Trade(symbol="MSFT"))
    assert client.count() == 4
    client.close()


@pytest.mark.made_cluster
def test_the_past_is_read_in_a_block_after_a_restart(server: ObjectStoreServer) -> None:
    """The block asks for earlier transactions by a login of its own, which was lost as well."""
    client = StoreClient("alice", "pw", **server.conn_info())
    entity_id = client.write(Trade(symbol="AAPL"))

    def read_the_past() -> Trade | None:
        with client.transaction():
            return client.as_of(Trade, entity_id, tx_time=clock(client))

    assert read_the_past() is not None
    server.stop()
    server.start()
    assert read_the_past() is not None
    client.close()


@pytest.mark.made_cluster
def test_a_read_of_a_server_that_does_not_come_back_ends(
    server: ObjectStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.database.connection.RETRY_SECONDS", 0.3)
    client = StoreClient("alice", "pw", **server.conn_info())
    server.stop()
    with pytest.raises(Unavailable, match="cannot log in"):
        client.count()
    with pytest.raises(Unavailable):
        client.write(Trade(symbol="AAPL"))
    client.close()


@pytest.mark.made_cluster
@pytest.mark.parametrize("victim", ["session", "server"])
def test_a_server_that_is_killed_in_the_middle_keeps_whole_batches(
    server: ObjectStoreServer, folder: Path, victim: str
) -> None:
    client = StoreClient("alice", "pw", **server.conn_info())
    answered: list[int] = []

    def write() -> None:
        while True:
            batch = [Trade(symbol="K", quantity=n) for n in range(500)]
            try:
                client.write_many(batch)
            except Unavailable:
                assert all(obj._store_entity_id is None for obj in batch)
                return
            answered.append(500)

    for _ in range(2):
        answered.clear()
        before = client.count()
        writer = threading.Thread(target=write)
        writer.start()
        wait_until(lambda: answered, 30, "a batch")
        main = postmaster(folder)
        session = client.conn.info.backend_pid
        if victim == "session":
            os.kill(session, signal.SIGKILL)
        else:
            processes = [psutil.Process(main), *psutil.Process(main).children()]
            os.kill(main, signal.SIGKILL)
            psutil.wait_procs(processes[1:], 30)
            server.stop()
            restart(server)
        writer.join(30)
        assert not writer.is_alive()
        # A batch whose answer was lost may be there; half of one may not.
        known = before + sum(answered)
        assert client.count() in (known, known + 500)
        assert client.verify()
    client.write(Trade(symbol="AFTER"))
    assert client.count() % 500 == 1
    client.close()


def restart(server: ObjectStoreServer) -> None:
    """Once the killed one's own processes have seen that it is gone."""

    def started() -> bool:
        try:
            server.start()
        except ServerError:
            return False
        return True

    wait_until(started, 30, "the restart")


def prepared(client: StoreClient) -> int:
    with client.conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'store_%'")
        return int(cursor.fetchone()[0])


def test_reads_are_prepared_and_outlast_what_is_done_to_the_session(alice: StoreClient) -> None:
    entity_id = alice.write(Trade(symbol="AAPL"))
    moment = clock(alice)
    for _ in range(2 * USES_BEFORE):
        assert alice.read(Trade, entity_id)
        assert alice.as_of(Trade, entity_id, tx_time=moment)
    assert prepared(alice) == 2
    with alice.conn.cursor() as cursor:
        # What a pooler does between two clients, and a program may.
        cursor.execute("DEALLOCATE ALL")
    for _ in range(2):
        assert alice.read(Trade, entity_id)
        assert alice.as_of(Trade, entity_id, tx_time=moment)
    assert prepared(alice) == 0
    assert alice.read(Trade, str(UUID(int=7))) is None


def test_a_prepared_statement_is_no_hindrance_to_another_schema(desk: Desk) -> None:
    conn = desk.admin()
    statement = PreparedStatement("SELECT * FROM seen WHERE n = %s::integer")
    with conn.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE seen AS SELECT 1 AS n")
        for _ in range(USES_BEFORE + 1):
            assert statement.run(conn, [1]) == [(1,)]
        # An error of its own is told as that of any other statement.
        with pytest.raises(ValueRefused):
            statement.run(conn, ["one"])
        cursor.execute("ALTER TABLE seen ADD COLUMN text text")
        assert statement.run(conn, [1]) == [(1, None)]
