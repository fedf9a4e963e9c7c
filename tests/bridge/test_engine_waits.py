"""Who waits for the engine, and who must not: its own cycles, and who gave a time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bridge import TableWriter
from tests.bridge.books import rows_of

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
