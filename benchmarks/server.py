"""The publishing path: rows a second, milliseconds to a client, bytes after ten million rows.

Each figure stands beside its rival's from the same run. `--quick` runs a tenth of everything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from server.access import keep_key  # noqa: E402
from server.jvm import start_jvm_server  # noqa: E402

PRICE_SCHEMA = {
    "Symbol": "string",
    "Price": "double",
    "Bid": "double",
    "Ask": "double",
    "Volume": "long",
    "Change": "double",
    "ChangePct": "double",
    "Timestamp": "Instant",
}
SYMBOLS = np.array([f"S{i:03d}" for i in range(100)], dtype=object)
BATCH = 1_000
# Rows a second of the latency run.
RATE = 1_000


def batch(size: int = BATCH) -> tuple[Any, ...]:
    price = np.random.default_rng(1).uniform(10, 500, size)
    return (
        np.resize(SYMBOLS, size),
        price,
        price - 0.01,
        price + 0.01,
        np.arange(size),
        price - 100,
        price / 100,
        np.full(size, time.time_ns()),
    )


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def collected_mb() -> float:
    """Return the heap in use after a collection."""
    import jpy

    jpy.get_type("java.lang.System").gc()
    runtime = jpy.get_type("java.lang.Runtime").getRuntime()
    return float(runtime.totalMemory() - runtime.freeMemory()) / 2**20


def ours_rows_a_second(rows: int) -> float:
    from publishing import Publisher

    publisher = Publisher()
    writer = publisher.table("throughput", PRICE_SCHEMA, rows=100_000, strict=True)
    kept = writer.table
    columns = batch()
    began = time.perf_counter()
    for _ in range(rows // BATCH):
        writer.write_columns(*columns)
    publisher.flush(60)
    wait_for_rows(kept, min(rows, 100_000))
    seconds = time.perf_counter() - began
    publisher.close()
    return rows / seconds


def rival_rows_a_second(rows: int) -> float:
    """One `write_row` a row, as the engine's own documentation shows it."""
    from deephaven import DynamicTableWriter, dtypes

    types = {"string": dtypes.string, "double": dtypes.double, "long": dtypes.int64}
    writer = DynamicTableWriter({n: types.get(k, dtypes.int64) for n, k in PRICE_SCHEMA.items()})
    lines = list(zip(*(column.tolist() for column in batch()), strict=True))
    began = time.perf_counter()
    for _ in range(rows // BATCH):
        for line in lines:
            writer.write_row(*line)
    # The engine looks by itself only once a second: that wait is not the writer's.
    request_refresh()
    wait_for_rows(writer.table, rows)
    seconds = time.perf_counter() - began
    writer.close()
    return rows / seconds


def wait_for_rows(table: Any, rows: int) -> None:
    end = time.monotonic() + 120
    while table.size < rows:
        if time.monotonic() > end:
            sys.exit(f"only {table.size:,} of {rows:,} rows came within two minutes")
        time.sleep(0.001)


def request_refresh() -> None:
    import jpy

    graph = jpy.get_type("io.deephaven.engine.updategraph.impl.PeriodicUpdateGraph")
    graph.getInstance("DEFAULT").requestRefresh()


def latency_ms(port: int, seconds: int, way: str) -> tuple[float, float, float]:
    """Return p50 and p99 from write to client, and the CPU of this process in percent of a core.

    `way` is "ours", "writer" (DynamicTableWriter, the engine refreshes each second), or
    "refreshed" (the same, asking for a refresh after each row).
    """
    from deephaven import DynamicTableWriter, dtypes

    from publishing import Publisher

    main_module = vars(sys.modules["__main__"])
    publisher = Publisher()
    writer: Any
    if way == "ours":
        columns = {"Name": "string", "SentNs": "long"}
        writer = publisher.table("latency", columns, rows=10_000, strict=True)
        main_module["latency"] = writer.table
    else:
        writer = DynamicTableWriter({"Name": dtypes.string, "SentNs": dtypes.int64})
        main_module["latency"] = writer.table
    client = subprocess.Popen(
        [sys.executable, __file__, "--listen", str(port), str((seconds - 1) * RATE)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    client.stdout.readline()  # it is listening
    cpu, began = time.process_time(), time.perf_counter()
    for i in range(seconds * RATE):
        writer.write_row("S", time.time_ns())
        if way == "refreshed":
            request_refresh()
        pause = began + (i + 1) / RATE - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
    used = 100 * (time.process_time() - cpu) / (time.perf_counter() - began)
    p50, p99 = map(float, client.communicate(timeout=60)[0].split())
    publisher.close()
    return p50, p99, used


def listen(port: int, rows: int) -> None:
    """Be the client: print p50 and p99 of the rows' ages, the first second left out."""
    import threading

    from pydeephaven_ticking.table_listener import TableUpdate
    from pydeephaven_ticking.table_listener import listen as subscribe

    from client.base_client import DeephavenClient

    ages: list[float] = []
    done = threading.Event()

    def received(update: TableUpdate) -> None:
        now = time.time_ns()
        ages.extend((now - sent.as_py()) / 1e6 for sent in update.added("SentNs").get("SentNs", ()))
        if len(ages) >= rows:
            done.set()

    with DeephavenClient(port=port) as client:
        handle = subscribe(client.open_table("latency"), received)
        handle.start()
        print("listening", flush=True)
        done.wait(120)
        handle.stop()
    steady = ages[RATE:]
    print(float(np.percentile(steady, 50)), float(np.percentile(steady, 99)))


def soak(rows: int) -> None:
    from publishing import Publisher

    publisher = Publisher()
    writer = publisher.table("soak", PRICE_SCHEMA, rows=100_000, keys="Symbol", strict=True)
    kept, latest = writer.table, writer.live()
    columns = batch()
    marks = []
    for number in range(rows // BATCH):
        writer.write_columns(*columns)
        if (number + 1) % (rows // BATCH // 10) == 0:
            publisher.flush(60)
            marks.append((collected_mb(), resident_mb()))
    print(f"  soak of {rows:,} rows; ring keeps {kept.size:,}, last_by {latest.size}")
    print("    heap after collection, MB at each tenth:", *(f"{heap:.0f}" for heap, _ in marks))
    print("    resident, MB at each tenth:             ", *(f"{rss:.0f}" for _, rss in marks))
    rival_rows = rows // 10
    endless = publisher.table("append", PRICE_SCHEMA, strict=True)
    whole = endless.table
    before = collected_mb()
    for _ in range(rival_rows // BATCH):
        endless.write_columns(*columns)
    publisher.flush(60)
    wait_for_rows(whole, rival_rows)
    grown = collected_mb() - before
    print(
        f"    rival, append-only: {grown * 2**20 / rival_rows:.0f} bytes a row, "
        f"{grown:.0f} MB after {rival_rows:,}; ours grew {marks[-1][0] - marks[0][0]:+.0f} MB "
        f"over the last nine tenths of {rows:,}"
    )
    publisher.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--listen", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.listen:
        listen(*options.listen)
        return
    scale = 10 if options.quick else 1
    port, key = 10_900, "benchmark-key"
    # The client process finds the key there, and a user's own servers keep theirs.
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as state:
        os.environ["XDG_STATE_HOME"] = state
        start_jvm_server("127.0.0.1", port, key, heap_mb=2_048)
        keep_key(port, key)
        print("Memory")
        soak(10_000_000 // scale)
        print(f"Publishing, 8 columns, batches of {BATCH:,}")
        rounds = [
            (ours_rows_a_second(2_000_000 // scale), rival_rows_a_second(200_000 // scale))
            for _ in range(3)
        ]
        ours, rival = (max(column) for column in zip(*rounds, strict=True))
        print(f"  ours                          {ours:12,.0f} rows/s")
        print(f"  DynamicTableWriter.write_row  {rival:12,.0f} rows/s   ratio {ours / rival:.1f}")
        print(f"Write to a ticking client in another process, {RATE:,} rows/s")
        seconds = max(20 // scale, 3)
        for way in ("ours", "writer", "refreshed"):
            p50, p99, cpu = latency_ms(port, seconds, way)
            if way == "ours":
                o50, o99 = p50, p99
            print(
                f"  {way:10} p50 {p50:7.1f} ms  p99 {p99:7.1f} ms  CPU {cpu:3.0f}% of a core"
                f"   ratio p50 {p50 / o50:5.1f}  p99 {p99 / o99:5.1f}"
            )
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
