"""DBOSEngine against DBOS used directly, on the same server, in processes that take turns.

DBOS has its own defaults, except that its queue is looked into as often as ours. Shown is the
best round of each and their ratio. BENCH_ROUNDS says how many rounds (3 if not given).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# This file has the name of the package that it measures.
ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
STEPS, EMPTY, QUEUED, SENT, IDLE = 100, 50, 300, 40, 15
POLL_SECONDS = 0.05


def noop(number: int = 0) -> int:
    return number


class Ours:
    """Plain functions over the engine's interface."""

    def __init__(self, url: str) -> None:
        from workflow.dbos_engine import DBOSEngine

        self.engine = DBOSEngine(url, "bench-ours").launch()
        self.engine.create_queue("bench", 10)

    def run(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.engine.run(fn, *args)

    def start(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.engine.workflow(fn, *args)

    def step(self, *args: Any) -> Any:
        return self.engine.step(*args)

    def queue(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.engine.queue("bench", fn, *args)

    def send(self, handle: Any, value: Any) -> None:
        self.engine.send(handle.workflow_id, "go", value)

    def recv(self) -> Any:
        return self.engine.recv("go", 60)

    def close(self) -> None:
        self.engine.destroy()


class Direct:
    """The same, with DBOS itself and functions that it has decorated."""

    def __init__(self, url: str) -> None:
        from dbos import DBOS

        self.dbos = DBOS
        self.known = {fn: DBOS.workflow(name=fn.__name__)(fn) for fn in WORKFLOWS}
        config: Any = {
            "name": "bench-direct",
            "system_database_url": url,
            "application_version": "bench",
            "log_level": "ERROR",
        }
        DBOS(config=config)
        DBOS.launch()
        DBOS.register_queue("direct", global_concurrency=10, polling_interval_sec=POLL_SECONDS)

    def run(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.dbos.start_workflow(self.known[fn], *args).get_result()

    def start(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.dbos.start_workflow(self.known[fn], *args)

    def step(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.dbos.run_step(None, fn, *args)

    def queue(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.dbos.enqueue_workflow("direct", self.known[fn], *args)

    def send(self, handle: Any, value: Any) -> None:
        self.dbos.send(handle.get_workflow_id(), value, "go")

    def recv(self) -> Any:
        return self.dbos.recv("go", 60)

    def close(self) -> None:
        self.dbos.destroy()


side: Any = None
_done = threading.Semaphore(0)
_starts: list[float] = []


def many_steps(count: int) -> float:
    start = time.perf_counter()
    for number in range(count):
        side.step(noop, number)
    return (time.perf_counter() - start) / count


def counted(number: int) -> int:
    _starts.append(time.perf_counter())
    _done.release()
    return number


def receiver(count: int) -> list[float]:
    found = []
    for _ in range(count):
        sent = side.recv()
        found.append(time.perf_counter() - sent)
        _done.release()
    return found


WORKFLOWS = (noop, many_steps, counted, receiver)


def measure() -> dict[str, float]:
    """All figures of one side, in a process that has launched it."""
    found = {}
    side.run(many_steps, 10)
    found["step"] = min(side.run(many_steps, STEPS) for _ in range(3)) * 1_000
    times = []
    for _ in range(EMPTY):
        start = time.perf_counter()
        side.run(noop)
        times.append(time.perf_counter() - start)
    found["empty"] = statistics.median(times) * 1_000

    side.queue(counted, 0)
    _done.acquire()
    rates = []
    for _ in range(2):
        start = time.perf_counter()
        for number in range(QUEUED):
            side.queue(counted, number)
        for _ in range(QUEUED):
            _done.acquire()
        rates.append(QUEUED / (time.perf_counter() - start))
    found["queue"] = max(rates)

    waits = []
    for number in range(IDLE):
        time.sleep(0.1 + 0.007 * number)
        asked = time.perf_counter()
        side.queue(counted, number)
        _done.acquire()
        waits.append(_starts[-1] - asked)
    found["idle"] = statistics.median(waits) * 1_000

    handle = side.start(receiver, SENT)
    for _ in range(SENT):
        time.sleep(0.02)
        side.send(handle, time.perf_counter())
        _done.acquire()
    found["send"] = statistics.median(handle.get_result()) * 1_000
    return found


def child(kind: str, url: str) -> None:
    global side  # noqa: PLW0603 - the workflows find it here
    start = time.perf_counter()
    side = {"ours": Ours, "direct": Direct}[kind](url)
    launched = (time.perf_counter() - start) * 1_000
    found = measure()
    side.close()
    print(json.dumps({"launch": launched, **found}))


def turn(kind: str, url: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, kind, url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


FIGURES = {
    "launch": ("start-up, import included (ms)", min),
    "empty": ("an empty workflow, start to result (ms)", min),
    "step": ("a step (ms)", min),
    "queue": ("queue (workflows/s)", max),
    "idle": ("idle queue, pick-up (ms)", min),
    "send": ("send to recv, p50 (ms)", min),
}


def main() -> None:
    if len(sys.argv) == 3:
        child(sys.argv[1], sys.argv[2])
        return
    from store.server import ObjectStoreServer

    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    found: dict[str, list[dict[str, float]]] = {"ours": [], "direct": []}
    with ObjectStoreServer(folder / "data", "only for benchmarks") as server:
        url = server.dbos_url()
        turn("direct", url)  # makes the tables
        for _ in range(ROUNDS):
            for kind, rounds in found.items():
                rounds.append(turn(kind, url))
    shutil.rmtree(folder)
    print(f"{'':<42}{'ours':>10}{'DBOS':>10}{'ratio':>9}")
    for key, (what, best) in FIGURES.items():
        ours, direct = (best(each[key] for each in found[kind]) for kind in ("ours", "direct"))
        print(f"{what:<42}{ours:>10.2f}{direct:>10.2f}{ours / direct:>8.2f} x")


if __name__ == "__main__":
    main()
