"""Tables of the server that fail in the engine, and writers that are made in the wrong moment."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from client.base_client import DeephavenClient
from tests.processes import (
    ROOT,
    START_SECONDS,
    Process,
    free_port,
    held_by_another_thread,
    wait_until,
)

if TYPE_CHECKING:
    from server.trading_server import TradingServer


# At the prompt of a server: the engine ends the prices, as it does at an error in a formula. The
# old table is kept in a list: variables that hold it get the new one.
FAIL_PRICES = """
old = [prices_live]
publisher = server.tables.price_writer._stream._target.publisher
publisher.publish_failure(RuntimeError("ended by a test"))

import time
while prices_live is old[0]: time.sleep(0.05)

print("replaced:", prices_live is server.tables.prices_live, server.tables.failed(), flush=True)
"""


def test_tables_that_fail_are_made_anew_and_go_on(state_home: object) -> None:
    port = free_port()
    process = Process(
        *(sys.executable, "-i", "server/app.py", "--port", str(port), "--heap-mb", "512"),
        stdin=subprocess.PIPE,
    )
    try:
        follow_through_a_failure(process, port)
        assert process.end(signal.SIGTERM, 30) == 0
    finally:
        if process.child.poll() is None:
            process.end(signal.SIGKILL)
        if process.child.stdin is not None:
            process.child.stdin.close()


def follow_through_a_failure(process: Process, port: int) -> None:
    assert process.child.stdin is not None
    process.wait_for_output("Ready after")
    with DeephavenClient(port=port, deadline_s=30.0) as client:
        prices, totals = client.follow("prices_live"), client.follow("portfolio_summary")
        prices.wait_for(lambda rows: len(rows) == 8, 60)
        totals.wait_for(bool, 60)
        process.child.stdin.write(FAIL_PRICES)
        process.child.stdin.flush()
        process.wait_for_output("replaced: True []", START_SECONDS)
        # The market goes on in the new tables, and who followed an old one follows the new.
        for table in (prices, totals):
            seen = table.updates
            wait_until(lambda t=table, n=seen: t.connected and t.updates > n + 3, 60, "ticks")  # type: ignore[misc]
        prices.wait_for(lambda rows: len(rows) == 8, 60)
        status = client.follow("feed_status")
        [row] = status.wait_for(lambda rows: bool(rows) and rows[0]["State"] == "LIVE", 60)
        assert "prices_live" in row["LastError"]
        assert row["Errors"] >= 1


def test_a_table_writer_is_not_made_in_the_middle_of_a_cycle(
    trading_server: TradingServer,
) -> None:
    from deephaven import DynamicTableWriter, dtypes
    from deephaven.execution_context import get_exec_ctx

    graph = get_exec_ctx().update_graph.j_update_graph
    context = get_exec_ctx()
    made: list[Any] = []

    def make() -> None:
        with context:
            made.append(DynamicTableWriter({"N": dtypes.int64}))

    thread = threading.Thread(target=make, daemon=True)
    # As a cycle holds it.
    with held_by_another_thread(graph.exclusiveLock().lock, graph.exclusiveLock().unlock):
        thread.start()
        thread.join(0.3)
        assert not made
    thread.join(30)
    [writer] = made
    writer.write_row(5)
    graph.requestRefresh()
    wait_until(lambda: writer.table.size == 1, 30, "the row")


MANY_WRITERS = """
import sys, threading, time
sys.path[0] = {root!r}
from server.jvm import start_jvm_server
start_jvm_server("127.0.0.1", {port}, "only-for-this-test", 1024)
from deephaven import DynamicTableWriter, dtypes
from publishing.engine import guard_table_writers, _update_graph
guard_table_writers()
graph = _update_graph()
end = time.monotonic() + {seconds}
def refresh():
    while time.monotonic() < end:
        graph.requestRefresh()
threading.Thread(target=refresh, daemon=True).start()
kept, made = [], 0
while time.monotonic() < end:
    kept = kept[-50:] + [DynamicTableWriter({{"N": dtypes.int64}})]
    kept[-1].write_row(made)
    made += 1
print("made", made, flush=True)
import os
os._exit(0)
"""


@pytest.mark.long
def test_writers_that_are_made_and_written_to_all_the_time_do_not_end_the_server(
    state_home: object,
) -> None:
    """Without the guard, one in some 40,000 ended the process."""
    program = MANY_WRITERS.format(root=str(ROOT), port=free_port(), seconds=90)
    process = Process(sys.executable, "-c", program)
    assert process.wait(300) == 0, process.output
    made = int(process.output.split("made ")[-1])
    assert made > 1_000
