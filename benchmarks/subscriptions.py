# ruff: noqa: E402
"""Subscriptions: from a commit to the callback in another process, catching up, and being idle.

Rivals in the same run: a writer that sends NOTIFY within its transaction, writers whom nobody
listens to, and a bare loop over the log's rows that pages by their number. BENCH_EVENTS says how
long the log is that is caught up with (500,000 if not given). The arguments `idle`, `delays` and
`catch_up` choose parts.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parent.parent)

import psutil

from store.client import StoreClient
from store.models import Trade
from store.schema import provision_user
from store.server import ObjectStoreServer
from store.subscriptions import EventBus, EventLog, Page, SubscriptionListener

EVENTS = int(os.environ.get("BENCH_EVENTS", "500000"))
SECONDS = 4.0
# For so long nothing has happened when the idle listeners are looked at.
IDLE_SECONDS = 25.0
LOGIN = {"user": "alice", "password": "alice"}
# Processes and threads in each: Python's own lock must not be what is measured.
WRITERS = {1: (1, 1), 16: (4, 4)}
spawn = multiprocessing.get_context("spawn")


def write(info: dict[str, Any], threads: int, notify: bool, pause: float, out: Any) -> None:
    """Commit one event after the other, and tell when each commit had returned."""
    clients = [StoreClient(**LOGIN, **info, pool_size=2) for _ in range(threads)]
    committed: list[tuple[str, float]] = []
    out.put("ready")

    def work(client: StoreClient) -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            obj = Trade(symbol="AAPL", quantity=100, price=228.5, side="BUY")
            if notify:
                with client.transaction(), client.conn.cursor() as cursor:
                    client.write(obj)
                    cursor.execute("NOTIFY object_store_event")
            else:
                client.write(obj)
            committed.append((obj._store_entity_id or "", time.time()))
            if pause:
                time.sleep(pause)

    workers = [threading.Thread(target=work, args=(client,)) for client in clients]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    out.put(committed)


def listen(info: dict[str, Any], pipe: Any) -> None:
    """Note when each callback is called, and what the time between costs."""
    heard: list[tuple[str, float]] = []
    bus = EventBus()
    bus.on_all(lambda event: heard.append((event.entity_id, time.time())))
    with SubscriptionListener(bus, **info, **LOGIN):
        pipe.send("ready")
        while pipe.recv() == "cpu":
            pipe.send(time.process_time())
        end = time.monotonic() + 30
        count = -1
        while count != len(heard) and time.monotonic() < end:
            count = len(heard)
            time.sleep(0.5)
    pipe.send(heard)


def run(
    info: dict[str, Any], writers: int, *, listening: bool, notify: bool = False, pause: float = 0
) -> tuple[float, list[float]]:
    """Commits a second, and milliseconds from each commit to its callback."""
    pipe, theirs = spawn.Pipe()
    if listening:
        listener = spawn.Process(target=listen, args=(info, theirs))
        listener.start()
        pipe.recv()
    processes, threads = WRITERS[writers]
    out = spawn.Queue()
    started = [
        spawn.Process(target=write, args=(info, threads, notify, pause, out))
        for _ in range(processes)
    ]
    for process in started:
        process.start()
    committed: dict[str, float] = {}
    for _ in range(2 * processes):
        told = out.get()
        committed.update({} if told == "ready" else told)
    for process in started:
        process.join()
    rate = len(committed) / SECONDS
    if not listening:
        return rate, []
    pipe.send("end")
    heard = dict(pipe.recv())
    listener.join()
    lost = committed.keys() - heard.keys()
    assert not lost, f"{len(lost)} events never came"
    delays = [(heard[key] - at) * 1_000 for key, at in committed.items()]
    return rate, sorted(max(delay, 0.0) for delay in delays)


def show_delays(what: str, rate: float, delays: list[float]) -> None:
    p50, p99 = delays[len(delays) // 2], delays[int(len(delays) * 0.99)]
    print(f"{what:<52}{rate:>8.0f} commits/s  p50 {p50:>6.2f} ms  p99 {p99:>6.2f} ms")


def delays(info: dict[str, Any]) -> None:
    # At full speed 16 writers take both cores; what a desk does leaves some.
    for writers, pause in ((1, 0.0), (1, 0.1), (16, 0.0), (16, 0.025)):
        name = f"{writers} writer{'s' * (writers > 1)}"
        name += f", {pause * 1_000:.0f} ms apart" if pause else ""
        runs = [run(info, writers, listening=True, pause=pause) for _ in range(2)]
        show_delays(name, *min(runs, key=lambda found: found[1][int(len(found[1]) * 0.99)]))
        if not pause:
            show_delays(f"{name}, NOTIFY inside", *run(info, writers, listening=True, notify=True))
    alone = max(run(info, 16, listening=False)[0] for _ in range(3))
    heard = max(run(info, 16, listening=True)[0] for _ in range(3))
    print(f"16 writers without a listener {alone:.0f}, with one {heard:.0f}: {heard / alone:.2f} x")


def idle(info: dict[str, Any], admin: Any, listeners: int) -> None:
    """What many listeners cost in one process while nothing is written, their sessions included."""
    own, looks = psutil.Process(), 0
    page = EventLog.page

    def counted_page(*args: Any) -> Page:
        nonlocal looks
        looks += 1
        return page(*args)

    EventLog.page = counted_page  # type: ignore[method-assign]
    started = [SubscriptionListener(EventBus(), **info, **LOGIN).start() for _ in range(listeners)]
    with admin.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name LIKE '%sub%'")
        backends = [psutil.Process(int(pid)) for (pid,) in cursor.fetchall()]

    def used() -> float:
        return sum(times.user + times.system for times in (p.cpu_times() for p in [own, *backends]))

    time.sleep(IDLE_SECONDS)
    before, asked, since = used(), looks, time.monotonic()
    time.sleep(10)
    seconds = time.monotonic() - since
    share, rate = (used() - before) / seconds, (looks - asked) / seconds
    for each in started:
        each.stop()
    EventLog.page = page  # type: ignore[method-assign]
    print(
        f"{listeners} idle listener{'s' * (listeners > 1)}, sessions in the server included: "
        f"{share:.1%} of a core, {rate:.0f} queries/s"
    )


def counted(admin: Any) -> int:
    """All events of the log."""
    with admin.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM object_store.event")
        return int(cursor.fetchone()[0])


def page_by_number(admin: Any) -> int:
    """As one would without a second thought; it skips events while others write."""
    # A superuser's connection: the store's users read no table.
    last, count = 0, 0
    with admin.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT seq, entity_id, version, event_type, type_name, updated_by, state, tx_time,"
                " data::text FROM object_store.event WHERE seq > %s ORDER BY seq LIMIT 1000",
                [last],
            )
            page = cursor.fetchall()
            if not page:
                break
            count, last = count + len(page), page[-1][0]
    return count


def follow(info: dict[str, Any], total: int, **options: Any) -> int:
    done, count = threading.Event(), 0

    def take(events: Any) -> None:
        nonlocal count
        count += len(events) if isinstance(events, list) else 1
        if count >= total:
            done.set()

    bus = EventBus()
    bus.on_all(take)
    to = {"on_batch": take} if options.pop("batches") else {"event_bus": bus}
    with SubscriptionListener(**to, **info, **LOGIN, start="beginning", **options):
        done.wait(600)
    return count


def catch_up(info: dict[str, Any], admin: Any) -> None:
    client = StoreClient(**LOGIN, **info)
    there = counted(admin)
    for _ in range(max(EVENTS - there, 0) // 1_000 + 1):
        client.write_many([Trade(symbol="AAPL", quantity=n, price=228.5) for n in range(1_000)])
    with admin.cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX ON object_store.event (seq)")
        cursor.execute("ANALYZE object_store.event")
    total = counted(admin)
    durable = iter(f"benchmark {n}" for n in range(99))

    def best(work: Callable[[], int], times: int = 3) -> float:
        found = []
        for _ in range(times):
            start = time.perf_counter()
            count = work()
            found.append(count / (time.perf_counter() - start))
        return max(found)

    bare = best(lambda: page_by_number(admin))
    ways: dict[str, Callable[[], int]] = {
        "lists, durable": lambda: follow(info, total, batches=True, subscriber_id=next(durable)),
        "a bus": lambda: follow(info, total, batches=False),
        "a bus, durable, checkpoint every 1,000": lambda: follow(
            info, total, batches=False, subscriber_id=next(durable), checkpoint_every=1_000
        ),
    }
    print(f"catching up with {total:,} events; a bare loop by number: {bare:,.0f} events/s")
    for name, way in ways.items():
        rate = best(way)
        print(f"  {name:<50}{rate:>10,.0f} events/s {rate / bare:>6.2f} x")
    each = best(lambda: follow(info, 5_000, batches=False, subscriber_id=next(durable)), 1)
    print(f"  {'a bus, durable, checkpoint after every event':<50}{each:>10,.0f} events/s")
    print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()}))


def main() -> None:
    folder = tempfile.mkdtemp(prefix="subscriptions-benchmark-")
    with ObjectStoreServer(Path(folder) / "data") as server:
        admin = server.admin_conn()
        provision_user(admin, "alice", "alice")
        info = server.conn_info()
        wanted = sys.argv[1:] or ["idle", "delays", "catch_up"]
        if "idle" in wanted:
            for listeners in (1, 100):
                idle(info, admin, listeners)
        if "delays" in wanted:
            delays(info)
        if "catch_up" in wanted:
            catch_up(info, admin)
        admin.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
