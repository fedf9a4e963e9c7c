"""Who waits for the engine, and who must not: its own cycles, and who gave a time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bridge import Recording, StoreBridge, TableWriter, record
from publishing.engine import _update_graph
from store.client import StoreClient
from store.models import Signal, Trade
from tests.bridge.books import rows_of, trades
from tests.bridge.conftest import MakeBridge
from tests.processes import held_by_another_thread, wait_until

pytestmark = pytest.mark.usefixtures("engine")


def test_a_listener_does_not_wait_for_its_own_cycle() -> None:
    """What it writes can only be taken when its cycle is over."""
    from deephaven.table_listener import listen

    ended = threading.Event()
    with TableWriter({"n": int}) as ticks, TableWriter({"n": int}, max_pending_rows=10) as out:

        def hear(_update: Any, _is_replay: bool) -> None:
            for n in range(100):
                out.write_row(n)
            ended.set()

        handle = listen(ticks.table, hear)
        try:
            ticks.write_row(1)
            assert ended.wait(10), "the engine stands still"
        finally:
            # Ends the wait, and with it the engine's.
            if not ended.is_set():
                out.close(0)
        assert out.flush()
        assert [row[0] for row in rows_of(out.table)] == list(range(100))
        handle.stop()


def test_who_holds_up_the_engine_does_not_wait_for_it() -> None:
    from deephaven.update_graph import shared_lock

    with TableWriter({"n": int}, max_pending_rows=10) as out:
        written = threading.Event()

        def write() -> None:
            with shared_lock(out.table):
                for n in range(100):
                    out.write_row(n)
            written.set()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            assert written.wait(10), "the engine stands still"
        finally:
            if not written.is_set():
                out.close(0)
            thread.join(10)
        assert out.flush()
        assert out.table.size == 100


def test_a_flush_keeps_to_its_time_while_the_engine_is_busy(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    bridge = make_bridge()
    bridge.register(Trade)
    bridge.start()
    with TableWriter({"symbol": str, "strength": float}) as writer:
        recording = record(writer.table, alice, Signal)
        assert writer.flush()
        assert recording.flush()
        assert bridge.flush()
        waiters: list[TableWriter | Recording | StoreBridge] = [writer, recording, bridge]
        told: list[bool] = []
        busy = _update_graph().exclusiveLock()
        with held_by_another_thread(busy.lock, busy.unlock):
            thread = threading.Thread(
                target=lambda: told.extend(each.flush(0.5) for each in waiters), daemon=True
            )
            thread.start()
            thread.join(15)
            assert told == [False] * 3
        assert all(each.flush() for each in waiters)
        recording.stop()


def test_a_publisher_that_died_loses_rows_and_says_so(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    from deephaven.stream.table_publisher import table_publisher

    from bridge import infer_dh_schema

    _, publisher = table_publisher("trades", infer_dh_schema(Trade))
    bridge = make_bridge()
    bridge.register(Trade, writer=publisher)
    bridge.start()
    alice.write_many(trades(2))
    assert bridge.flush()
    publisher.publish_failure(RuntimeError("no more"))
    wait_until(lambda: not publisher.is_alive, 10, "its end")
    alice.write_many(trades(3))
    assert bridge.flush()
    status = bridge.status().tables["Trade"]
    assert (status.rows, status.lost_rows) == (2, 3)
    assert "takes no more rows" in status.last_error
