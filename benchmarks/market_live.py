# ruff: noqa: E402
"""From a tick to the working bar on a screen of Deephaven, at 1,000 ticks a second.

    python benchmarks/market_live.py [--seconds 20]

A tick of one of eight symbols comes every millisecond; `LiveMarket` builds one-minute bars with an
EMA, and `MarketTables` shows them. The screen is a client in another process that follows
`bars_live`. A tick's price says when it came, so that the close of a row says how old it is. The
rival builds the same bars, writes symbol and close alone with DynamicTableWriter, and asks the
engine for a refresh after each batch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# This file stands beside others that have the names of packages.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
import pyarrow as pa

from server.access import keep_key
from server.jvm import start_jvm_server
from trading.bars import BarBuilder
from trading.indicators import EMA, IndicatorSet

RATE = 1_000
SYMBOLS = 8


def milliseconds(base: int) -> float:
    return (time.time_ns() - base) / 1e6


def due(base: int, first: int, times: list[int]) -> pa.Table:
    """The ticks that came since the last call, each with the time at which it came."""
    return pa.table(
        {
            "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
            "symbol": [f"S{number % SYMBOLS}" for number in range(first, first + len(times))],
            # Three decimal places of a millisecond.
            "price": [round((at - base) / 1e6, 3) for at in times],
            "size": [1.0] * len(times),
        }
    )


def run(port: int, seconds: int, table: Any, take: Callable[[pa.Table], object]) -> None:
    """Feed ticks at the rate, and print the ages that the client saw."""
    base = time.time_ns()
    vars(sys.modules["__main__"])["bars_live"] = table
    client = subprocess.Popen(
        [sys.executable, __file__, "--listen", str(port), str(base), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    client.stdout.readline()  # it is listening
    began, taken, wanted = time.time_ns(), 0, (seconds + 2) * RATE
    while taken < wanted:
        # A tick comes every millisecond; what came while the last ones were taken comes together.
        count = min((time.time_ns() - began) * RATE // 10**9, wanted) - taken
        if count:
            times = [began + (taken + n + 1) * 10**9 // RATE for n in range(count)]
            take(due(base, taken, times))
            taken += count
        else:
            time.sleep(0.0005)
    took = (time.time_ns() - began) / 1e9
    told = client.communicate(timeout=120)[0].strip()
    print(told, f"at {taken / took:,.0f} ticks/s", flush=True)


def listen(port: int, base: int, seconds: int) -> None:
    """Be the screen: print p50 and p99 of the ages, the first two seconds left out."""
    from pydeephaven_ticking.table_listener import TableUpdate
    from pydeephaven_ticking.table_listener import listen as subscribe

    from client.base_client import DeephavenClient

    ages: list[tuple[float, float]] = []
    done = threading.Event()

    def received(update: TableUpdate) -> None:
        now = milliseconds(base)
        for columns in (update.added("Close"), update.modified("Close")):
            ages.extend((now, now - close.as_py()) for close in columns.get("Close", ()))
        if ages and ages[-1][0] - ages[0][0] > seconds * 1e3:
            done.set()

    with DeephavenClient(port=port) as client:
        handle = subscribe(client.open_table("bars_live"), received)
        handle.start()
        print("listening", flush=True)
        done.wait(seconds + 30)
        handle.stop()
    steady = [age for at, age in ages if at - ages[0][0] > 2_000]
    p50, p99 = np.percentile(steady, [50, 99])
    print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms of {len(steady):,} rows seen,")


def ours(port: int, seconds: int) -> None:
    from trading.desk import LiveMarket, MarketTables

    indicators = IndicatorSet({"ema_20": EMA(20)})
    with MarketTables(indicators.features) as tables:
        market = LiveMarket({"1m": BarBuilder("1m")}, tables.publish, indicators=indicators)
        print("ours:", end=" ", flush=True)
        run(port, seconds, tables.published["bars_live"], market.push)


def rival(port: int, seconds: int) -> None:
    import jpy
    from deephaven import DynamicTableWriter, dtypes

    graph = jpy.get_type("io.deephaven.engine.updategraph.impl.PeriodicUpdateGraph")
    refresh = graph.getInstance("DEFAULT").requestRefresh
    writer = DynamicTableWriter({"Symbol": dtypes.string, "Close": dtypes.double})
    builder = BarBuilder("1m")

    def take(ticks: pa.Table) -> None:
        builder.push(ticks)
        for row in builder.working(ticks["symbol"].to_pylist()).to_pylist():
            writer.write_row(row["symbol"], row["close"])
        refresh()

    print("DynamicTableWriter:", end=" ", flush=True)
    run(port, seconds, writer.table.last_by("Symbol"), take)
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--listen", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.listen:
        listen(*options.listen)
        return
    port, key = 10_901, "benchmark-key"
    # The client process finds the key there, and a user's own servers keep theirs.
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as state:
        os.environ["XDG_STATE_HOME"] = state
        start_jvm_server("127.0.0.1", port, key, heap_mb=1_024)
        keep_key(port, key)
        ours(port, options.seconds)
        rival(port, options.seconds)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
