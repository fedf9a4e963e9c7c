"""Many writers, and subscribers that are killed: nothing lost, nothing twice, in order."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from store import Trade
from store.client import StoreClient
from store.errors import StoreError, Unavailable
from store.schema import provision_user
from store.server import ObjectStoreServer
from store.subscriptions import EventBus, State, SubscriptionListener
from tests.processes import Process, wait_until
from tests.store.desk import Desk, password_of
from tests.store.test_races import at_once

ROUNDS = 50 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 3
Key = tuple[str, int]


def subscriber(desk: Desk, path: Path, name: str, slow_ms: float = 0) -> Process:
    login = [json.dumps(desk.info), "bob", password_of("bob"), name, str(path), str(slow_ms)]
    return Process(sys.executable, "-m", "tests.store.subscriber", *login)


def runs(path: Path) -> list[list[Key]]:
    """What was handled, run by run; a line that a kill cut off was not."""
    found: list[list[Key]] = []
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        if line == "run\n":
            found.append([])
        elif line.endswith("\n"):
            entity_id, version = line.split()
            found[-1].append((entity_id, int(version)))
    return found


def check(handled: list[list[Key]], expected: set[Key]) -> None:
    """Everything once, but for what was being handled at a kill; versions in their order."""
    seen: list[Key] = []
    for run in handled:
        # Its line was written, and the handler had not returned, or the checkpoint not moved.
        fresh = run[1:] if run and seen and run[0] == seen[-1] else run
        assert not set(fresh) & set(seen)
        seen += fresh
    assert len(set(seen)) == len(seen)
    assert set(seen) == expected
    newest: dict[str, int] = {}
    for entity_id, version in seen:
        assert version == newest.get(entity_id, 0) + 1
        newest[entity_id] = version


def work(client: StoreClient, seed: float, events: int) -> None:
    """Single writes, batches, and blocks that stay open while others commit."""
    chance = random.Random(seed)
    known: list[Trade] = []
    left = events
    while left > 0:
        what = chance.random()
        size = min(left, chance.randint(1, 8))
        if what < 0.25 or not known:
            batch = [Trade(quantity=n) for n in range(size)]
            client.write_many(batch)
            known += batch
        elif what < 0.5:
            client.update_many(chance.choices(known, k=size))
        elif what < 0.6:
            with client.transaction():
                for obj in chance.choices(known, k=size):
                    client.update(obj)
                    time.sleep(chance.random() * 0.03)
        else:
            size = 1
            client.update(chance.choice(known))
        left -= size


def early_and_late(client: StoreClient, seconds: float) -> None:
    """A transaction that takes the first number of all and commits as the last."""
    with client.transaction():
        client.write(Trade(symbol="EARLY"))
        time.sleep(seconds)
        client.write(Trade(symbol="LATE"))


def everything(desk: Desk) -> set[Key]:
    with desk.admin().cursor() as cursor:
        cursor.execute("SELECT entity_id::text, version FROM object_store.event")
        return set(cursor.fetchall())


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_subscribers_are_killed_while_many_write(desk: Desk, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    writers = [desk.client("bob") for _ in range(8)]
    paths = [tmp_path / "quick", tmp_path / "slow"]
    processes = [subscriber(desk, paths[0], "quick"), subscriber(desk, paths[1], "slow", 2)]
    try:
        for process in processes:
            process.wait_for_output("following")
        calls = [lambda c=c, n=n: work(c, seed * 100 + n, 100) for n, c in enumerate(writers)]
        calls.append(lambda: early_and_late(desk.client("bob"), 1.0))
        failed: list[Any] = []
        writing = threading.Thread(target=lambda: failed.extend(at_once(calls)))
        writing.start()
        for _ in range(chance.randint(2, 4)):
            time.sleep(chance.random())
            number = chance.randrange(2)
            processes[number].end(signal.SIGKILL)
            processes[number] = subscriber(
                desk, paths[number], ("quick", "slow")[number], (0, 2)[number]
            )
        writing.join(120)
        assert failed == [None] * 9
        expected = everything(desk)
        for path in paths:
            wait_until(
                lambda p=path: expected <= {key for run in runs(p) for key in run}, 60, "the end"
            )
    finally:
        for process in processes:
            if process.child.poll() is None:
                process.end(signal.SIGKILL)
    for path in paths:
        check(runs(path), everything(desk))


@contextmanager
def own_server() -> Iterator[tuple[Any, Desk]]:
    """A server that a test may kill."""
    folder = tempfile.mkdtemp(prefix="killed-store-")
    try:
        with ObjectStoreServer(folder, "for tests") as server:
            admin = server.admin_conn()
            provision_user(admin, "bob", password_of("bob"))
            admin.close()
            desk = Desk(server, "postgres")
            yield server, desk
            desk.close()
    finally:
        shutil.rmtree(folder)


def kill_and_restart(server: ObjectStoreServer) -> None:
    """All of PostgreSQL at once, as a power cut would."""
    pid = int((server.data_dir / "pg" / "postmaster.pid").read_text().split()[0])
    children = subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    for each in (pid, *map(int, children)):
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_until(lambda: not any(alive(int(each)) for each in children), 30, "the end of PostgreSQL")
    server.stop()
    server.start()


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def until_it_works(call: Callable[[], Any]) -> Any:
    """As a program with event ids would: the same write again until there is an answer."""
    end = time.monotonic() + 60
    while True:
        try:
            return call()
        except Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_the_server_is_killed_under_writers_and_subscribers(tmp_path: Path) -> None:
    with own_server() as (server, desk):
        path = tmp_path / "outside"
        outside = subscriber(desk, path, "outside")
        heard: list[Key] = []
        bus = EventBus()
        bus.on_all(lambda e: heard.append((e.entity_id, e.version)))
        inside = SubscriptionListener(
            bus, **desk.info, user="bob", password=password_of("bob"), subscriber_id="inside"
        ).start()
        stop = threading.Event()
        written: list[str] = []

        def write(number: int) -> None:
            client = desk.client("bob")
            count = 0
            while not stop.is_set():
                count += 1
                name = f"write {number} {count}"
                obj = Trade(symbol="A")
                written.append(until_it_works(lambda o=obj, n=name: client.write(o, event_id=n)))

        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        try:
            outside.wait_for_output("following")
            for thread in threads:
                thread.start()
            for _ in range(2):
                count = len(written)
                wait_until(lambda c=count: len(written) > c + 50, 60, "writes")
                kill_and_restart(server)
            count = len(written)
            wait_until(lambda c=count: len(written) > c + 50, 60, "writes after the restart")
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        try:
            with server.admin_conn() as admin, admin.cursor() as cursor:
                cursor.execute("SELECT entity_id::text, version FROM object_store.event")
                expected = set(cursor.fetchall())
            assert {entity_id for entity_id, _ in expected} == set(written)
            wait_until(lambda: len(heard) >= len(expected), 60, "all of them inside")
            wait_until(
                lambda: expected <= {key for run in runs(path) for key in run}, 60, "all outside"
            )
            # It lived through it, and knows what it had handled.
            assert inside.status().reconnects >= 2
            check([heard], expected)
            check(runs(path), expected)
        finally:
            inside.stop()
            outside.end(signal.SIGKILL)
        assert inside.status().state is State.STOPPED


def test_a_paused_subscriber_is_not_overtaken(desk: Desk, tmp_path: Path) -> None:
    """One that hangs still holds its subscription: the second must not handle its events."""
    path = tmp_path / "paused"
    first = subscriber(desk, path, "one")
    first.wait_for_output("following")
    os.kill(first.child.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreError, match="is held by session"):
            SubscriptionListener(
                EventBus(),
                **desk.info,
                user="bob",
                password=password_of("bob"),
                subscriber_id="one",
                if_held="raise",
            ).start()
    finally:
        os.kill(first.child.pid, signal.SIGCONT)
        first.end(signal.SIGKILL)
