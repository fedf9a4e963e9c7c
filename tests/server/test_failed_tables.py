"""Tables of the server that fail in the engine, and writers that are made in the wrong moment."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from client.base_client import DeephavenClient
from server.errors import RowError
from tests.processes import ROOT, Process, free_port, held_by_another_thread, wait_until

if TYPE_CHECKING:
    from server.trading_server import TradingServer


def fail_prices(server: TradingServer) -> None:
    """Let the engine end the prices, as it does at an error in a formula."""
    publisher = server.tables.price_writer._sink.__closure__  # type: ignore[attr-defined]
    targets = [cell.cell_contents for cell in publisher if hasattr(cell.cell_contents, "add")]
    targets[0].publish_failure(RuntimeError("ended by a test"))
    wait_until(lambda: "prices_live" in server.tables.failed(), 20, "the failure")


def test_tables_that_fail_are_made_anew_and_go_on(trading_server: TradingServer) -> None:
    server = trading_server
    variables = vars(sys.modules["__main__"])
    old = server.tables.prices_live
    variables["prices_live_of_a_test"] = old
    replaced = threading.Event()
    server.on_replaced = replaced.set
    try:
        with DeephavenClient(port=server.options.port) as client:
            live = client.follow("prices_live_of_a_test")
            live.wait_for(bool, 30)
            fail_prices(server)
            assert replaced.wait(30)
            assert server.tables.failed() == []
            assert variables["prices_live_of_a_test"] is server.tables.prices_live is not old
            # The market goes on in the new tables, and who followed the old one follows them.
            wait_until(lambda: server.tables.prices_live.size == 8, 30, "all symbols")
            seen = live.updates
            wait_until(lambda: live.connected and live.updates > seen + 2, 30, "ticks")
            status = client.follow("feed_status")
            [row] = status.wait_for(
                lambda rows: bool(rows) and "prices_live" in (rows[0]["LastError"] or ""), 30
            )
            assert row["Errors"] >= 1
            status.wait_for(lambda rows: rows[0]["State"] == "LIVE", 30)
    finally:
        server.on_replaced = lambda: None
        del variables["prices_live_of_a_test"]


def test_a_time_beyond_the_engines_instants_is_refused(trading_server: TradingServer) -> None:
    from deephaven import agg

    from server.engine import Engine

    engine = Engine()
    table, publisher = engine.blink_table("edges", {"K": "string", "T": "instant"})
    newest = table.last_by("K").sort("T").update("Text = `` + T")
    count = table.agg_by([agg.count_("N"), agg.max_("T")])
    last = 9_223_372_035_999_999_999
    for good in (last, -last, None):
        publisher.write_row(str(good), good)
    publisher.write_columns(["a", "b"], np.array([last, -(2**63)]))
    for bad in (last + 1, -last - 1, 2**63 - 1):
        with pytest.raises(RowError, match="instant"):
            publisher.write_row("bad", bad)
        with pytest.raises(RowError, match="1678 to 2261"):
            publisher.write_columns(["good", "bad"], np.array([0, bad]))
    assert engine.loop.flush()
    wait_until(lambda: newest.size == 5, 30, "the rows")
    assert not newest.j_table.isFailed()
    assert not count.j_table.isFailed()
    engine.close()


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
from server.engine import Engine
engine = Engine()
graph = engine._update_graph
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
