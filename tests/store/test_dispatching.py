"""What was promised is started in the background, where a client and a class with an engine are."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import store.outbox.dispatching
from store.client import StoreClient
from store.outbox import Outbox
from store.server import ObjectStoreServer
from tests.processes import Process, wait_until
from tests.store.claims import Claim
from tests.store.desk import Desk, password_of
from tests.store.lifecycle import FileEngine
from workflow import MemoryEngine
from workflow.dbos_engine import DBOSEngine

SECONDS = 30.0


@pytest.fixture
def on_class(tmp_path: Path) -> Iterator[Any]:
    """Sets an engine on the class, for this test."""

    def put(engine: Any) -> Any:
        Claim._workflow_engine = engine
        return engine

    yield put
    Claim._workflow_engine = None


class Down(FileEngine):
    def start_once(self, workflow_id: str, fn: Any, *args: Any) -> None:
        raise ConnectionError("the engine is down")


def left_pending(client: StoreClient, tmp_path: Path) -> str:
    """The id of a workflow that a process promised, which could not start it."""
    obj = Claim(symbol="EUR", quantity=1)
    client.write(obj)
    client.transition(obj, "CHECKED")
    obj._workflow_engine = Down(tmp_path)
    version = client.transition(obj, "LOST")
    return f"{obj._store_entity_id}:{version}"


def threads() -> int:
    return sum(thread.name == "store dispatching" for thread in threading.enumerate())


def test_what_a_kill_left_is_started_without_a_word(
    desk: Desk, alice: StoreClient, store_server: ObjectStoreServer
) -> None:
    """Another process with client and engine on the class, and not one line more."""
    url = store_server.dbos_url()
    arguments = [json.dumps(desk.info), password_of("alice"), url]
    dying = Process(sys.executable, "-m", "tests.store.seed_process", *arguments, "die")
    assert dying.wait(90) == -signal.SIGKILL, dying.output
    [intent] = Outbox(alice).pending()
    serving = Process(sys.executable, "-m", "tests.store.seed_process", *arguments, "serve")
    try:
        wait_until(lambda: not Outbox(alice).pending(), 90, "the start")
        with DBOSEngine(url, "onlooker") as onlooker:
            result = onlooker.get_workflow_result(intent.workflow_id, timeout=SECONDS)
        assert result == f"written off {intent.entity_id}"
    finally:
        serving.end(signal.SIGKILL)


def test_an_engine_that_comes_later_is_found(
    alice: StoreClient, on_class: Any, tmp_path: Path
) -> None:
    workflow_id = left_pending(alice, tmp_path)
    with on_class(MemoryEngine()) as engine:
        wait_until(lambda: not Outbox(alice).pending(), SECONDS, "the start")
        entity_id = workflow_id.split(":", maxsplit=1)[0]
        result = engine.get_workflow_result(workflow_id, timeout=SECONDS)
        assert result == f"written off {entity_id}"


def test_an_engine_that_does_not_run_is_left_alone(
    alice: StoreClient, on_class: Any, tmp_path: Path
) -> None:
    left_pending(alice, tmp_path)
    engine = on_class(MemoryEngine())
    look, looks = store.outbox.dispatching.engines_of_classes, []

    def looked() -> Any:
        looks.append(1)
        return look()

    store.outbox.dispatching.engines_of_classes = looked
    try:
        wait_until(lambda: len(looks) >= 3, SECONDS, "some looks")
    finally:
        store.outbox.dispatching.engines_of_classes = look
    [intent] = Outbox(alice).pending()
    assert intent.attempts == 1
    with engine:
        wait_until(lambda: not Outbox(alice).pending(), SECONDS, "the start")


def test_what_is_of_a_class_without_an_engine_is_left(
    alice: StoreClient, on_class: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one's own promise: this engine may know nothing of it."""
    drained: list[Any] = []
    drain = Outbox.drain

    def watched(box: Outbox, *args: Any, **kwargs: Any) -> int:
        drained.append(kwargs.get("types"))
        return drain(box, *args, **kwargs)

    monkeypatch.setattr(Outbox, "drain", watched)
    left_pending(alice, tmp_path)
    on_class(FileEngine(tmp_path))
    wait_until(lambda: not Outbox(alice).pending(), SECONDS, "the start")
    assert drained[0] == [Claim.type_name()]


def test_the_thread_ends_with_the_last_client(desk: Desk) -> None:
    before = list(store.outbox.dispatching.DISPATCHING._connections)
    first, second = desk.client("alice"), desk.client("bob")
    assert threads() == 1
    first.close()
    assert threads() == 1
    second.close()
    del first, second
    if not before:
        wait_until(lambda: threads() == 0, SECONDS, "the end of the thread")
    # It starts again with the next, and ends where that is forgotten without being closed.
    third = StoreClient("alice", password_of("alice"), **desk.info)
    assert threads() == 1
    pool = third._connection._pool
    del third
    gc.collect()
    if not before:
        wait_until(lambda: threads() == 0, SECONDS, "the end of the thread")
    pool.close()


def test_a_server_that_is_gone_is_said_once(
    desk: Desk,
    alice: StoreClient,
    on_class: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "store.outbox.dispatching")
    tried: list[int] = []

    def gone(*_args: Any, **_kwargs: Any) -> int:
        tried.append(1)
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(store.outbox.dispatching, "PERIOD_SECONDS", 0.05)
    with monkeypatch.context() as while_gone:
        while_gone.setattr(Outbox, "drain", gone)
        on_class(FileEngine(tmp_path))
        wait_until(lambda: len(tried) >= 4, SECONDS, "more attempts")
    assert caplog.text.count("are not started at present") == 1
    left_pending(alice, tmp_path)
    wait_until(lambda: not Outbox(alice).pending(), SECONDS, "the start")


def test_a_forked_child_has_a_thread_of_its_own_for_its_own_clients(
    desk: Desk, alice: StoreClient
) -> None:
    assert threads() == 1
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = f"{threads()} {len(store.outbox.dispatching.DISPATCHING._connections)}"
        own = StoreClient("alice", password_of("alice"), **desk.info)
        said += f" {threads()} {len(store.outbox.dispatching.DISPATCHING._connections)}"
        own.close()
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        said = lines.read()
    assert os.waitpid(child, 0)[1] == 0
    assert said == "0 0 1 1"


def test_closing_waits_for_the_start_that_is_under_way(
    desk: Desk, alice: StoreClient, on_class: Any, tmp_path: Path
) -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow(FileEngine):
        def start_once(self, workflow_id: str, fn: Any, *args: Any) -> None:
            begun.set()
            assert go.wait(SECONDS)
            super().start_once(workflow_id, fn, *args)

    left_pending(alice, tmp_path)
    engine = on_class(Slow(tmp_path))
    assert begun.wait(SECONDS)
    closing = threading.Thread(target=alice.close)
    closing.start()
    go.set()
    closing.join(SECONDS)
    assert len(engine.started()) == 1
    assert Outbox(desk.client("alice")).pending() == []
