# ruff: noqa: E402
"""From committed to visible: events a second, milliseconds, loading at the start, and memory.

The rival is the bridge that everybody writes first: for each event it reads the entity back and
writes a row to a DynamicTableWriter. Each of our figures stands beside the rival's of the same
run. `--quick` runs a tenth of everything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

# This file has the name of the package that it measures.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

from server.jvm import start_jvm_server
from store.client import StoreClient
from store.models import Trade
from store.schema import provision_user
from store.server import ObjectStoreServer

USER, PASSWORD = "desk", "only for the benchmark"
RATE = 500
WRITERS = 2
RING_ROWS = 100_000
PAGE = 2_000


def trades(count: int, first: int = 0) -> list[Trade]:
    now = datetime.now(timezone.utc)
    return [
        Trade(f"S{n % 500}", n % 100_000, 100.0 + n % 1_000 / 8, "BUY", now)
        for n in range(first, first + count)
    ]


def fill(client: StoreClient, entities: int) -> None:
    for first in range(0, entities, 5_000):
        client.write_many(trades(min(5_000, entities - first), first))


def bridge_of(login: dict[str, Any], **options: Any) -> Any:
    from bridge import StoreBridge

    bridge = StoreBridge(**login, subscriber_id=None)
    bridge.register(Trade, **options)
    return bridge


# --- events a second ------------------------------------------------------------------------------


def ours_events_a_second(login: dict[str, Any], events: int) -> float:
    """Everything in the log into a raw table and into live; until both show it."""
    bridge = bridge_of(login, rows=RING_ROWS)
    began = time.perf_counter()
    bridge.start("beginning")
    assert bridge.flush(600)
    seconds = time.perf_counter() - began
    assert bridge.status().tables["Trade"].rows == events
    assert bridge.live(Trade).size == events
    bridge.stop()
    return events / seconds


def rival_events_a_second(login: dict[str, Any], events: int) -> float:
    """The first events of the same log, heard of as the store tells its subscribers."""
    from publishing.engine import request_refresh
    from store.subscriptions import EventBus, SubscriptionListener

    bus = EventBus()
    with StoreClient(**login) as client:
        rival = ReadBack(client)
        bus.on(Trade, rival.show)
        began = time.perf_counter()
        with SubscriptionListener(bus, **login, start="beginning", types=[Trade]):
            while rival.shown < events:
                time.sleep(0.001)
            request_refresh()
            wait_for(lambda: rival.writer.table.size >= events)
            seconds = time.perf_counter() - began
    return events / seconds


class ReadBack:
    """One read for each event, one row for each read."""

    def __init__(self, client: StoreClient) -> None:
        from deephaven import DynamicTableWriter

        from bridge import infer_dh_schema

        self._client = client
        self._schema = infer_dh_schema(Trade)
        self.writer = DynamicTableWriter(self._schema)
        self.shown = 0

    def show(self, event: Any) -> None:
        from bridge import extract_row

        found = self._client.read(Trade, event.entity_id)
        if found is not None:
            self.writer.write_row(*extract_row(found, self._schema))
        self.shown += 1


# --- milliseconds ---------------------------------------------------------------------------------


def ours_latency_ms(login: dict[str, Any], seconds: int) -> tuple[float, float]:
    bridge = bridge_of(login, rows=RING_ROWS)
    bridge.start("now")
    found = ages_while_writing(bridge.live(Trade), login, seconds)
    bridge.stop()
    return found


def rival_latency_ms(login: dict[str, Any], seconds: int) -> tuple[float, float]:
    """The rival hears of events as we do, and asks for a refresh after each row."""
    from publishing.engine import request_refresh
    from store.subscriptions import EventBus, SubscriptionListener

    bus = EventBus()
    with StoreClient(**login) as client:
        rival = ReadBack(client)

        def heard(event: Any) -> None:
            rival.show(event)
            request_refresh()

        bus.on(Trade, heard)
        with SubscriptionListener(bus, **login):
            return ages_while_writing(rival.writer.table.last_by("EntityId"), login, seconds)


def ages_while_writing(table: Any, login: dict[str, Any], seconds: int) -> tuple[float, float]:
    """p50 and p99 of the time from an event's tx_time to the table's update, first second left out.

    The time of an event is taken inside its transaction, so the commit is part of what is measured.
    """
    from deephaven.table_listener import listen

    lock, ages = threading.Lock(), []
    times = table.view("Sent = epochNanos(TxTime)")

    def heard(update: Any, is_replay: bool) -> None:
        now = time.time_ns()
        if not is_replay:
            with lock:
                for columns in (update.added(), update.modified()):
                    ages.extend((now - sent) / 1e6 for sent in columns.get("Sent", ()))

    handle = listen(times, heard, do_replay=True)
    writers = [
        subprocess.Popen(
            [sys.executable, __file__, "--write", json.dumps(login), str(seconds), str(number)]
        )
        for number in range(WRITERS)
    ]
    assert [writer.wait(seconds + 120) for writer in writers] == [0] * WRITERS
    wait_for(lambda: len(ages) >= 0.99 * RATE * seconds)
    handle.stop()
    steady = ages[RATE:]
    return float(np.percentile(steady, 50)), float(np.percentile(steady, 99))


def write_steadily(login: dict[str, Any], seconds: int, number: int) -> None:
    """Be a writer: update some trades in turn, at this part of the rate."""
    rate = RATE / WRITERS
    with StoreClient(**login) as client:
        book = trades(200, 1_000 * number)
        client.write_many(book)
        began = time.perf_counter()
        for n in range(int(rate * seconds)):
            trade = book[n % len(book)]
            trade.price = 1.0 + n
            client.update(trade)
            pause = began + (n + 1) / rate - time.perf_counter()
            if pause > 0:
                time.sleep(pause)


# --- loading --------------------------------------------------------------------------------------


def ours_load_seconds(login: dict[str, Any], entities: int) -> float:
    bridge = bridge_of(login, rows=RING_ROWS)
    began = time.perf_counter()
    bridge.start("now")
    assert bridge.flush(600)
    seconds = time.perf_counter() - began
    assert bridge.live(Trade).size == entities
    bridge.stop()
    return seconds


def rival_load_seconds(client: StoreClient, entities: int) -> float:
    """Everything by one query, then a row for each object."""
    from bridge import extract_row
    from publishing.engine import request_refresh

    rival = ReadBack(client)
    began = time.perf_counter()
    for trade in client.query(Trade, limit=entities):
        rival.writer.write_row(*extract_row(trade, rival._schema))
    request_refresh()
    wait_for(lambda: rival.writer.table.size >= entities)
    return time.perf_counter() - began


# --- memory ---------------------------------------------------------------------------------------


def soak(client: StoreClient, events: int) -> None:
    """The same pages of the log again and again, through what a bridge does with each page."""
    from bridge.feed import EventRow, Feed
    from bridge.live import Timeline
    from publishing.engine import await_cycle, request_refresh
    from store.position import START
    from store.subscriptions.event_log import EventLog

    timeline = Timeline()
    feed = Feed(
        Trade,
        passing=None,
        columns=None,
        writer=None,
        rows=RING_ROWS,
        live=True,
        max_pending_rows=100_000,
    )
    log = EventLog(client.conn, types=[Trade])
    marks, done, at = [], 0, START
    began = time.perf_counter()
    while done < events:
        page = log.page(at, PAGE)
        feed.take([EventRow(event, True, timeline.holds(event)) for event in page.events])
        request_refresh()
        before, done = done, done + len(page.events)
        at = START if page.is_last else page.end
        if done * 10 // events > before * 10 // events:
            feed.await_shown(60)
            await_cycle()
            marks.append((collected_mb(), resident_mb()))
    seconds = time.perf_counter() - began
    print(f"  {done:,} events through a ring of {RING_ROWS:,} and live, {done / seconds:,.0f}/s")
    print("    heap after collection, MB at each tenth:", *(f"{heap:.0f}" for heap, _ in marks))
    print("    resident, MB at each tenth:             ", *(f"{rss:.0f}" for _, rss in marks))
    rival = ReadBack(client)
    from bridge import extract_row

    row = extract_row(client.query(Trade, limit=1)[0], rival._schema)
    count, before_mb = events // 20, collected_mb()
    for _ in range(count):
        rival.writer.write_row(*row)
    request_refresh()
    wait_for(lambda: rival.writer.table.size >= count)
    grown = collected_mb() - before_mb
    print(
        f"    rival, append-only: {grown * 2**20 / count:.0f} bytes a row, {grown:.0f} MB after "
        f"{count:,}; ours {marks[-1][0] - marks[0][0]:+.0f} MB over the last nine tenths"
    )


def collected_mb() -> float:
    """The heap in use after a collection."""
    import jpy

    jpy.get_type("java.lang.System").gc()
    runtime = jpy.get_type("java.lang.Runtime").getRuntime()
    return float(runtime.totalMemory() - runtime.freeMemory()) / 2**20


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        if time.monotonic() > end:
            sys.exit("what was waited for did not come within two minutes")
        time.sleep(0.001)


def show(what: str, ours: float, rival: float, unit: str, ratio: float) -> None:
    print(f"{what:<52}{ours:>12,.1f} {rival:>12,.1f} {unit:<9} {ratio:>7.1f} x", flush=True)


def measure(login: dict[str, Any], scale: int) -> None:
    events, seconds = 100_000 // scale, max(20 // scale, 5)
    print(f"{'':<52}{'ours':>12} {'rival':>12}")
    with StoreClient(**login) as client:
        fill(client, events)
        rounds = [
            (ours_events_a_second(login, events), rival_events_a_second(login, 3_000))
            for _ in range(3)
        ]
        ours, rival = (max(column) for column in zip(*rounds, strict=True))
        show("committed to visible, raw and live", ours, rival, "events/s", ours / rival)
        fill(client, events)
        loads = [
            (ours_load_seconds(login, 2 * events), rival_load_seconds(client, 2 * events))
            for _ in range(2)
        ]
        load, other = (min(column) for column in zip(*loads, strict=True))
        show(f"load of {2 * events:,} entities at the start", load, other, "s", other / load)
        latencies = [
            (*ours_latency_ms(login, seconds), *rival_latency_ms(login, seconds)) for _ in range(2)
        ]
        o50, o99, r50, r99 = (min(column) for column in zip(*latencies, strict=True))
        show(f"commit to visible in live, {RATE}/s, p50", o50, r50, "ms", r50 / o50)
        show(f"commit to visible in live, {RATE}/s, p99", o99, r99, "ms", r99 / o99)
        print("Memory")
        soak(client, 5_000_000 // scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        login, seconds, number = options.write
        write_steadily(json.loads(login), int(seconds), int(number))
        return
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as state:
        os.environ["XDG_STATE_HOME"] = state
        start_jvm_server("127.0.0.1", 10_901, "benchmark-key", heap_mb=1_536)
        folder = Path(tempfile.mkdtemp(prefix="benchmark-store-"))
        try:
            with ObjectStoreServer(folder / "data") as server:
                admin = server.admin_conn()
                provision_user(admin, USER, PASSWORD)
                admin.close()
                measure(
                    {"user": USER, "password": PASSWORD, **server.conn_info()},
                    10 if options.quick else 1,
                )
        finally:
            shutil.rmtree(folder)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
