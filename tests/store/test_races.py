"""Writers that race, and transactions that overlap."""

from __future__ import annotations

import threading
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor

import pytest

from store.client import StoreClient, VersionConflict
from store.errors import BatchConflict, FenceTimeout, TransactionConflict, Unavailable
from store.models import Trade
from tests.processes import at_once
from tests.store.desk import Desk
from tests.store.sql import clock

THREADS = 6


def test_of_writers_on_one_version_exactly_one_wins(desk: Desk) -> None:
    clients = [desk.client("alice") for _ in range(THREADS)]
    entity_id = clients[0].write(Trade(symbol="AAPL"))
    for round_number in range(1, 11):
        mine = [client.read(Trade, entity_id) for client in clients]
        pairs = list(zip(clients, mine, strict=True))
        calls = [lambda c=c, o=o: c.update(o) for c, o in pairs]
        results = at_once(calls)
        assert results.count(round_number + 1) == 1
        lost = [each for each in results if each != round_number + 1]
        assert all(type(each) is VersionConflict for each in lost), results
        assert {each.actual_version for each in lost} == {round_number + 1}
    assert [e["version"] for e in clients[0].audit(entity_id)] == list(range(1, 12))
    assert clients[0].verify()


def test_batches_in_opposite_order_do_not_wait_for_each_other(desk: Desk) -> None:
    clients = [desk.client("alice") for _ in range(2)]
    ids = clients[0].write_many([Trade(symbol=f"S{n}") for n in range(20)])
    for _ in range(5):
        books = [[client.read(Trade, each) for each in ids] for client in clients]
        books[1].reverse()
        pairs = list(zip(clients, books, strict=True))
        results = at_once([lambda c=c, b=b: c.update_many(b) for c, b in pairs])
        assert [type(each) for each in results if not isinstance(each, list)] == [BatchConflict]
    assert all(len(clients[0].audit(each)) == 6 for each in ids)


def test_one_event_id_from_many_writers_is_one_event(desk: Desk) -> None:
    clients = [desk.client("alice") for _ in range(THREADS)]
    calls = [lambda c=c: c.write(Trade(symbol="AAPL"), event_id="once") for c in clients]
    assert len(set(at_once(calls))) == 1
    assert clients[0].count(Trade) == 1


def test_the_past_does_not_change_when_a_slow_transaction_commits(
    desk: Desk, alice: StoreClient
) -> None:
    """The reader waits for it, instead of giving one answer now and another one later."""
    slow = desk.client("alice")
    written, go = threading.Event(), threading.Event()
    ids: list[str] = []

    def write_slowly() -> None:
        with slow.transaction():
            ids.append(slow.write(Trade(symbol="SLOW")))
            written.set()
            go.wait(30)

    writer = threading.Thread(target=write_slowly)
    writer.start()
    assert written.wait(30)
    moment = clock(alice)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(alice.as_of, Trade, ids[0], tx_time=moment)
        book = pool.submit(desk.client("alice").query, Trade, tx_time=moment)
        with pytest.raises(futures.TimeoutError):
            one.result(0.2)
        assert not book.done()
        go.set()
        writer.join(30)
        assert one.result(30) is not None
        assert len(book.result(30)) == 1
    assert alice.as_of(Trade, ids[0], tx_time=moment) is not None


def test_a_reader_inside_a_block_does_not_wait_for_itself(alice: StoreClient) -> None:
    with alice.transaction():
        entity_id = alice.write(Trade(symbol="AAPL"))
        assert alice.as_of(Trade, entity_id, tx_time=clock(alice)) is not None


def test_a_transaction_held_open_stalls_readers_of_the_past_for_a_bounded_time(
    desk: Desk, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.database.connection.FENCE_SECONDS", 0.2)
    entity_id = alice.write(Trade(symbol="AAPL"))
    holder = desk.login("mallory")
    with holder.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_current_xact_id()")
    with pytest.raises(FenceTimeout, match="still open"):
        alice.as_of(Trade, entity_id, tx_time=clock(alice))
    assert alice.read(Trade, entity_id) is not None
    with holder.cursor() as cursor:
        cursor.execute("ROLLBACK")
    assert alice.as_of(Trade, entity_id, tx_time=clock(alice)) is not None


def test_blocks_wait_for_earlier_transactions_at_the_same_time(
    alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other they would wait as often as long, and lose their sessions over it."""
    obj = Trade(symbol="AAPL")
    alice.write(obj)
    moment = clock(alice)
    met = threading.Barrier(2)
    monkeypatch.setattr("store.database.connection.Connection._wait", lambda *_: met.wait(20))

    def read_the_past() -> Trade | None:
        with alice.transaction():
            return alice.as_of(Trade, str(obj._store_entity_id), tx_time=moment)

    assert at_once([read_the_past] * 2) == [obj, obj]


def test_a_lock_held_by_a_writer_is_waited_for_only_so_long(desk: Desk, alice: StoreClient) -> None:
    obj = Trade(symbol="AAPL")
    alice.write(obj)
    other = desk.client("alice")
    with other.conn.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    same = other.read(Trade, obj._store_entity_id)
    with alice.transaction():
        alice.update(obj)
        with pytest.raises(Unavailable, match="another transaction holds it"):
            other.update(same)
    with pytest.raises(VersionConflict):
        other.update(same)


def test_positions_within_an_entity_follow_its_versions(desk: Desk, alice: StoreClient) -> None:
    """A transaction that took its number first and writes last would stand before in the log."""
    obj = Trade(symbol="AAPL")
    alice.write(obj)
    early = desk.client("alice")
    with pytest.raises(TransactionConflict), early.transaction():  # noqa: PT012 - the whole block fails
        early.write(Trade(symbol="FIRST"))
        alice.update(obj)
        early.update(early.read(Trade, obj._store_entity_id))
    with early.transaction():
        early.update(early.read(Trade, obj._store_entity_id))
    with desk.admin().cursor() as cursor:
        cursor.execute("SELECT version FROM object_store.event ORDER BY xid, seq")
        assert cursor.fetchall() == [(1,), (2,), (3,)]
