"""What a transition promises: one transaction, then hooks, then a workflow, once."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import store.database.connection
from store import Trade
from store.client import StoreClient, VersionConflict
from store.errors import (
    AccessError,
    EngineNotSet,
    EventIdReused,
    NoStateMachine,
    NotStored,
    StoreError,
    Unavailable,
    WorkflowReferenceError,
)
from store.outbox import Intent, Outbox
from store.permissions import share_read, share_write
from store.schema import allow_dispatch
from store.state_machine import GuardFailure, InvalidTransition, TransitionNotPermitted
from tests.processes import Process, at_once, wait_until
from tests.store.desk import Desk, password_of
from tests.store.killed_transition import STEPS
from tests.store.lifecycle import Broken, FileEngine, Swap, machine_with, settle, swap
from tests.store.steps import step

Calls = list[tuple[Any, ...]]


@pytest.fixture
def engine(tmp_path: Path) -> FileEngine:
    return FileEngine(tmp_path)


def known(obj: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(obj).items() if name.startswith("_store")}


def test_a_transition_is_an_event_with_its_reason(alice: StoreClient, engine: FileEngine) -> None:
    obj = swap(alice, engine)
    assert obj._store_state == "PENDING"
    assert alice.transition(obj, "FILLED") == 2
    assert (obj._store_state, obj._store_event_type) == ("FILLED", "STATE_CHANGE")
    event = alice.audit(obj._store_entity_id)[1]
    assert event["event_meta"] == {
        "from_state": "PENDING",
        "to_state": "FILLED",
        "guard": "quantity > 0",
    }
    alice.update(obj)
    assert alice.read(Swap, obj._store_entity_id)._store_state == "FILLED"
    assert [v._store_state for v in alice.history(Swap, obj._store_entity_id)] == [
        "PENDING",
        "FILLED",
        "FILLED",
    ]
    assert engine.started() == {
        f"{obj._store_entity_id}:2": f"settle {obj._store_entity_id}",
    }
    assert alice.transition(obj, "SETTLED") == 4


def test_what_is_refused_changes_nothing(alice: StoreClient, bob: StoreClient) -> None:
    obj = swap(alice)
    before = known(obj)
    with pytest.raises(InvalidTransition):
        alice.transition(obj, "SETTLED")
    with pytest.raises(TransitionNotPermitted):
        alice.transition(obj, "CANCELLED")
    for value in (0, None):
        obj.quantity = value
        with pytest.raises(GuardFailure):
            alice.transition(obj, "FILLED")
    obj.quantity = 1
    with pytest.raises(EngineNotSet, match="_workflow_engine is not set") as caught:
        alice.transition(obj, "FILLED")
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(NotStored):
        alice.transition(Swap(), "FILLED")
    with pytest.raises(NoStateMachine, match="has no state machine"):
        alice.transition(Trade(), "FILLED")
    obj._state_machine = dict
    with pytest.raises(NoStateMachine, match="expected a StateMachine"):
        alice.transition(obj, "FILLED")
    del obj._state_machine
    assert known(obj) == before
    assert len(alice.audit(obj._store_entity_id)) == 1
    share_write(alice.conn, obj._store_entity_id, "bob")
    bob.transition(bob.read(Swap, obj._store_entity_id), "CANCELLED")
    with pytest.raises(VersionConflict):
        alice.transition(swap_like(obj), "FILLED")


def swap_like(obj: Swap) -> Swap:
    obj._workflow_engine = object()
    return obj


def test_an_object_from_before_its_machine_is_in_the_first_state(alice: StoreClient) -> None:
    obj = Trade(symbol="AAPL")
    alice.write(obj)
    obj._state_machine = machine_with()
    assert obj._store_state is None
    assert alice.transition(obj, "FILLED") == 2
    meta = alice.audit(obj._store_entity_id)[1]["event_meta"]
    assert meta == {"from_state": "PENDING", "to_state": "FILLED"}


def test_the_action_is_in_the_transaction(alice: StoreClient, desk: Desk) -> None:
    other = desk.client("alice")
    seen: list[Any] = []

    def act(obj: Swap, before: str, after: str) -> None:
        alice.write(Trade(symbol="CASH", quantity=obj.quantity))
        obj.quantity = 2
        alice.update(obj)
        seen.append((before, after, obj._store_state, other.count(Trade)))

    obj = swap(alice, action=act)
    assert alice.transition(obj, "FILLED") == 2
    assert seen == [("PENDING", "FILLED", "FILLED", 0)]
    assert other.count(Trade) == 1
    assert obj._store_version == 3
    assert other.read(Swap, obj._store_entity_id) == obj


def test_an_action_that_raises_takes_everything_back(
    alice: StoreClient, engine: FileEngine
) -> None:
    hooks: Calls = []

    def act(obj: Swap, before: str, after: str) -> None:
        alice.write(Trade(symbol="CASH"))
        obj.quantity = 5
        obj.tags.append("changed")
        alice.update(obj)
        raise ZeroDivisionError("no cash")

    obj = swap(
        alice,
        engine,
        action=act,
        on_exit=lambda *args: hooks.append(args),
        on_enter=lambda *args: hooks.append(args),
        start_workflow=settle,
    )
    before, data = known(obj), obj.to_json()
    with pytest.raises(ZeroDivisionError):
        alice.transition(obj, "FILLED")
    assert known(obj) == before
    assert obj.to_json() == data
    assert (alice.count(Trade), hooks, engine.asked, Outbox(alice).pending()) == (0, [], [], [])
    assert len(alice.audit(obj._store_entity_id)) == 1


@pytest.mark.parametrize("what", ["the promise", "the commit"])
def test_what_an_action_changed_is_taken_back_if_the_rest_fails(
    alice: StoreClient, engine: FileEngine, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def act(obj: Swap, before: str, after: str) -> None:
        obj.quantity = 5
        obj.tags.append("changed")
        if what == "the commit":
            monkeypatch.setattr("store.database.connection.execute", lost_at_the_commit)

    def lost_at_the_commit(connection: Any, statement: str, *rest: Any) -> Any:
        if statement == "COMMIT":
            raise Unavailable("the connection is lost")
        return run(connection, statement, *rest)

    run = store.database.connection.execute
    workflow = (lambda entity_id: None) if what == "the promise" else None
    obj = swap(alice, engine, action=act, start_workflow=workflow)
    before, data = known(obj), obj.to_json()
    with pytest.raises(WorkflowReferenceError if workflow else Unavailable):
        alice.transition(obj, "FILLED")
    assert known(obj) == before
    assert obj.to_json() == data
    assert len(alice.audit(obj._store_entity_id)) == 1


def test_what_an_action_changed_stays_once_it_is_committed(alice: StoreClient) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    def act(obj: Swap, before: str, after: str) -> None:
        obj.quantity = 5
        with alice.transaction() as block:
            block.on_commit(fail)

    obj = swap(alice, action=act)
    with pytest.raises(ZeroDivisionError):
        alice.transition(obj, "FILLED")
    assert (obj.quantity, obj._store_state) == (5, "FILLED")


def test_hooks_follow_the_commit_and_cannot_harm(
    alice: StoreClient, desk: Desk, engine: FileEngine, caplog: pytest.LogCaptureFixture
) -> None:
    other, calls = desk.client("alice"), []

    def leave(obj: Swap, before: str, after: str) -> None:
        calls.append(("exit", before, after, other.read(Swap, obj._store_entity_id)._store_state))
        raise ZeroDivisionError("in the hook")

    def enter(obj: Swap, before: str, after: str) -> None:
        calls.append(("enter", before, after, len(engine.asked)))

    obj = swap(alice, engine, on_exit=leave, on_enter=enter, start_workflow=settle)
    with caplog.at_level(logging.ERROR):
        assert alice.transition(obj, "FILLED") == 2
    assert calls == [
        ("exit", "PENDING", "FILLED", "FILLED"),
        ("enter", "PENDING", "FILLED", 0),
    ]
    assert "in the hook" in caplog.text
    counts = alice.transition_counts
    assert (counts.hooks_called, counts.hooks_raised, counts.workflows_started) == (2, 1, 1)
    assert obj._store_state == "FILLED"


def test_of_racing_transitions_one_wins_and_its_action_runs_once(desk: Desk) -> None:
    clients = [desk.client("alice") for _ in range(6)]
    obj = swap(clients[0])
    for number in range(3):
        ran: list[int] = []
        obj = swap(clients[0])

        def move(client: StoreClient, mine: Swap, ran: list[int] = ran) -> int:
            mine._state_machine = machine_with(action=lambda *_: ran.append(1))
            return client.transition(mine, "FILLED")

        pairs = [(c, c.read(Swap, obj._store_entity_id)) for c in clients]
        results = at_once([lambda c=c, o=o: move(c, o) for c, o in pairs])
        assert results.count(2) == 1, (number, results)
        assert {type(each) for each in results if each != 2} <= {VersionConflict, InvalidTransition}
        assert ran == [1]


def test_in_a_block_everything_waits_for_the_outer_commit(
    alice: StoreClient, engine: FileEngine
) -> None:
    hooks: Calls = []
    obj = swap(alice, engine, on_enter=lambda *a: hooks.append(a), start_workflow=settle)
    with pytest.raises(ZeroDivisionError), alice.transaction():  # noqa: PT012 - it fails as a whole
        alice.transition(obj, "FILLED")
        assert obj._store_state == "FILLED"
        raise ZeroDivisionError
    assert (obj._store_state, hooks, engine.asked) == ("PENDING", [], [])
    assert Outbox(alice).pending() == []
    with alice.transaction():
        alice.transition(obj, "FILLED")
        with pytest.raises(StoreError, match="outside of transaction blocks"):
            Outbox(alice).drain(engine)
        assert (hooks, engine.asked) == ([], [])
    assert len(hooks) == 1
    assert engine.asked == [f"{obj._store_entity_id}:2"]


def test_a_repeated_transition_gives_its_first_answer(
    alice: StoreClient, engine: FileEngine
) -> None:
    ran: list[int] = []
    effects: Any = {"action": lambda *_: ran.append(1), "start_workflow": settle}
    obj = swap(alice, engine, **effects)
    assert alice.transition(obj, "FILLED", event_id="fill 1") == 2
    again = alice.read(Swap, obj._store_entity_id)
    again._state_machine, again._workflow_engine = machine_with(**effects), engine
    assert alice.transition(again, "FILLED", event_id="fill 1") == 2
    assert (ran, len(engine.started())) == ([1], 1)
    with pytest.raises(EventIdReused):
        alice.transition(again, "SETTLED", event_id="fill 1")
    with pytest.raises(EventIdReused):
        alice.transition(swap(alice, **effects), "FILLED", event_id="fill 1")


def test_a_transition_in_a_step_that_is_run_again(alice: StoreClient) -> None:
    """Its action is left out then, and what follows it keeps its number."""
    obj = swap(alice)
    effects: Any = {"action": lambda *_: alice.write(Trade(symbol="CASH"))}

    def run() -> Any:
        mine = alice.read(Swap, obj._store_entity_id)
        mine._state_machine = machine_with(**effects)
        with step():
            version = alice.transition(mine, "FILLED")
            return version, alice.write(Trade(symbol="NEXT")), mine._store_state

    first = run()
    assert run() == first
    assert (alice.count(Trade), len(alice.audit(obj._store_entity_id))) == (2, 2)


# --- the outbox -----------------------------------------------------------------------------------


def test_what_could_not_be_started_stays_until_it_can(
    alice: StoreClient, engine: FileEngine, tmp_path: Path
) -> None:
    obj = swap(alice, Broken(tmp_path))
    assert alice.transition(obj, "FILLED") == 2
    assert alice.transition_counts.workflows_started == 0
    [intent] = Outbox(alice).pending()
    assert intent == Intent(
        obj._store_entity_id,
        2,
        "tests.store.lifecycle:settle",
        "tests.store.lifecycle.Swap",
        "alice",
        obj._store_tx_time,
    )
    second = swap(alice, engine)
    alice.transition(second, "FILLED")
    assert sorted(engine.started()) == sorted(
        [f"{obj._store_entity_id}:2", f"{second._store_entity_id}:2"]
    )
    assert Outbox(alice).pending() == []
    assert Outbox(alice).drain(engine) == 0


def test_many_may_drain_at_the_same_time(desk: Desk, tmp_path: Path) -> None:
    clients = [desk.client("alice") for _ in range(4)]
    for _ in range(30):
        clients[0].transition(swap(clients[0], Broken(tmp_path)), "FILLED")
    engines = [FileEngine(tmp_path) for _ in clients]
    pairs = list(zip(clients, engines, strict=True))
    counts = at_once([lambda c=c, e=e: Outbox(c).drain(e) for c, e in pairs])
    assert sum(counts) == 30
    assert len(engines[0].started()) == 30
    # Nobody started what another one had taken.
    assert sum(len(engine.asked) for engine in engines) == 30


def test_threads_of_one_client_start_a_workflow_once(alice: StoreClient) -> None:
    """To the database they are one session, and this engine does not know that it has begun."""
    begun, go = threading.Event(), threading.Event()

    class Slow(Simple):
        def workflow(self, fn: Any, *args: Any) -> None:
            super().workflow(fn, *args)
            begun.set()
            assert go.wait(30)

    engine = Slow()
    first, second = swap(alice, engine), swap(alice, Simple())
    with ThreadPoolExecutor(1) as other:
        moving = other.submit(alice.transition, first, "FILLED")
        assert begun.wait(30)
        # It starts what is pending, too.
        alice.transition(second, "FILLED")
        go.set()
        assert moving.result(30) == 2
    assert second._workflow_engine.calls == [(settle, second._store_entity_id)]
    assert engine.calls == [(settle, first._store_entity_id)]
    assert Outbox(alice).pending() == []
    assert alice.transition_counts.workflows_started == 2


def test_a_transition_waits_for_whoever_is_starting_its_workflow(
    alice: StoreClient, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow(FileEngine):
        def start_once(self, workflow_id: str, fn: Any, *args: Any) -> None:
            begun.set()
            assert go.wait(30)
            super().start_once(workflow_id, fn, *args)

    other = Outbox(desk.client("alice"))
    with ThreadPoolExecutor(1) as elsewhere:

        def be_slower(*_: object) -> None:
            elsewhere.submit(other.drain, Slow(tmp_path))
            assert begun.wait(30)

        # The other one goes on once somebody waits for it.
        waiting = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: go.set())
        monkeypatch.setattr("store.outbox.outbox.time", waiting)
        engine = FileEngine(tmp_path)
        obj = swap(alice, engine, on_enter=be_slower, start_workflow=settle)
        try:
            version = alice.transition(obj, "FILLED")
            assert list(engine.started()) == [f"{obj._store_entity_id}:{version}"]
        finally:
            go.set()
    assert engine.asked == []


def test_a_workflow_that_runs_at_once_may_make_transitions(alice: StoreClient) -> None:
    class Inline(Simple):
        def workflow(self, fn: Any, *args: Any) -> None:
            super().workflow(fn, *args)
            if len(self.calls) == 1:
                alice.transition(other, "FILLED")

    engine = Inline()
    obj, other = swap(alice, engine), swap(alice, engine)
    alice.transition(obj, "FILLED")
    ids = [each._store_entity_id for each in (obj, other)]
    assert engine.calls == [(settle, entity_id) for entity_id in ids]


def test_a_drain_that_is_interrupted_leaves_its_workflows_to_the_next(
    alice: StoreClient, engine: FileEngine, tmp_path: Path
) -> None:
    class Interrupted(FileEngine):
        def start_once(self, workflow_id: str, fn: Any, *args: Any) -> None:
            raise KeyboardInterrupt

    for _ in range(3):
        alice.transition(swap(alice, Broken(tmp_path)), "FILLED")
    with pytest.raises(KeyboardInterrupt):
        Outbox(alice).drain(Interrupted(tmp_path))
    assert Outbox(alice).drain(engine) == 3


class Simple:
    """An engine that can do the least."""

    def __init__(self) -> None:
        self.calls: Calls = []

    def workflow(self, fn: Any, *args: Any) -> None:
        self.calls.append((fn, *args))


def test_a_simple_engine_will_do(alice: StoreClient, caplog: pytest.LogCaptureFixture) -> None:
    engine = Simple()
    obj = swap(alice, engine)
    alice.transition(obj, "FILLED")
    local = lambda entity_id: None  # noqa: E731
    other = swap(alice, engine, start_workflow=local)
    alice.transition(other, "FILLED")
    assert "starts here or never" in caplog.text
    assert engine.calls == [(settle, obj._store_entity_id), (local, other._store_entity_id)]
    by_name = swap(alice, engine, start_workflow="settle by name")
    alice.transition(by_name, "FILLED")
    assert "starts no workflow by name" in caplog.text


class Naming(FileEngine):
    """An engine with names of its own."""

    def reference(self, fn: Any) -> str | None:
        return "the local one" if fn.__name__ == "<lambda>" else None


def test_a_workflow_without_a_name_is_refused_before_anything_is_written(
    alice: StoreClient, engine: FileEngine, tmp_path: Path
) -> None:
    local = lambda entity_id: None  # noqa: E731
    obj = swap(alice, engine, start_workflow=local)
    with pytest.raises(WorkflowReferenceError, match="cannot be found again"):
        alice.transition(obj, "FILLED")
    assert len(alice.audit(obj._store_entity_id)) == 1
    named = swap(alice, Naming(tmp_path), start_workflow=local)
    alice.transition(named, "FILLED")
    entity_id = named._store_entity_id
    assert engine.started() == {f"{entity_id}:2": f"the local one {entity_id}"}


def test_a_workflow_that_is_gone_stays_pending(alice: StoreClient, engine: FileEngine) -> None:
    for name in ("tests.store.lifecycle:gone", "no.such.module:f", "os:sep", "tests:x y"):
        alice.transition(swap(alice, engine, start_workflow=name), "FILLED")
    assert len(Outbox(alice).pending()) == 4
    assert engine.started() == {}


def test_who_sees_and_starts_what_was_promised(
    desk: Desk, alice: StoreClient, bob: StoreClient, tmp_path: Path
) -> None:
    """The owner and who promised it; others need the right to dispatch."""
    obj = swap(alice)
    entity_id = obj._store_entity_id
    share_write(alice.conn, entity_id, "bob")
    share_read(alice.conn, entity_id, "mallory")
    mine = bob.read(Swap, entity_id)
    mine._workflow_engine = Broken(tmp_path)
    bob.transition(mine, "FILLED")
    carol, mallory = desk.client("carol"), desk.client("mallory")
    seen = [len(Outbox(each).pending()) for each in (alice, bob, carol, mallory)]
    assert seen == [1, 1, 0, 0]
    engine = FileEngine(tmp_path)
    assert Outbox(mallory).drain(engine) == 0
    admin = desk.admin()
    allow_dispatch(admin, "carol")
    assert [i.entity_id for i in Outbox(carol).pending()] == [entity_id]
    assert Outbox(carol).drain(engine) == 1
    allow_dispatch(admin, "carol", False)
    assert carol.read(Swap, entity_id) is None
    assert engine.started() == {f"{entity_id}:2": f"settle {entity_id}"}


def test_nobody_has_a_function_run_by_another_that_the_machine_does_not_name(
    alice: StoreClient, bob: StoreClient, engine: FileEngine, tmp_path: Path
) -> None:
    obj = swap(alice)
    share_write(alice.conn, obj._store_entity_id, "bob")
    mine = bob.read(Swap, obj._store_entity_id)
    mine._workflow_engine = Broken(tmp_path)
    mine._state_machine = machine_with(start_workflow="shutil:rmtree")
    bob.transition(mine, "FILLED")
    assert Outbox(alice).drain(engine) == 0
    assert len(Outbox(alice).pending()) == 1
    assert Outbox(alice, workflows=["shutil:rmtree"]).drain(engine) == 1


def test_promises_are_made_by_transitions_alone(
    alice: StoreClient, bob: StoreClient, rogue: Any
) -> None:
    obj = swap(alice)
    promise = "SELECT object_store.promise(%s, %s, 'os:abort')"
    share_write(alice.conn, obj._store_entity_id, "mallory")
    with rogue.cursor() as cursor:
        for version in (1, 2, None):
            with pytest.raises(Exception, match="no transition of this transaction"):
                cursor.execute(promise, [obj._store_entity_id, version])
        for statement in (
            "INSERT INTO object_store.intent SELECT * FROM object_store.intent",
            "UPDATE object_store.intent SET started_at = now()",
            "DELETE FROM object_store.intent",
        ):
            with pytest.raises(Exception, match="permission denied"):
                cursor.execute(statement)
        cursor.execute("SELECT object_store.settle_promise(%s, 1, true)", [obj._store_entity_id])
        assert cursor.fetchone() == (False,)


def test_dispatchers_are_users_of_the_store(desk: Desk) -> None:
    with pytest.raises(AccessError):
        allow_dispatch(desk.admin(), "nobody")
    with pytest.raises(AccessError):
        allow_dispatch(desk.login("mallory"), "mallory")


# --- processes that die ---------------------------------------------------------------------------

NOT_COMMITTED = STEPS[:5]


@pytest.mark.parametrize("at", [*STEPS, "never"])
def test_a_kill_at_each_step(desk: Desk, alice: StoreClient, tmp_path: Path, at: str) -> None:
    """Before the commit nothing happened; from it on, the workflow starts, once."""
    obj = swap(alice)
    entity_id = obj._store_entity_id
    login = [json.dumps(desk.info), "alice", password_of("alice"), entity_id, str(tmp_path), at]
    process = Process(sys.executable, "-m", "tests.store.killed_transition", *login)
    status = process.wait(60)
    assert status == (0 if at == "never" else -signal.SIGKILL), process.output

    engine = FileEngine(tmp_path)
    # The server notices the death of a session in a moment, and frees what it had claimed.
    wait_until(lambda: not Outbox(alice).drain(engine) and not Outbox(alice).pending(), 30, "it")
    happened = at not in NOT_COMMITTED
    state = alice.read(Swap, entity_id)._store_state
    assert state == ("FILLED" if happened else "PENDING")
    assert alice.count(Trade) == happened
    name = f"{entity_id}:2"
    assert engine.started() == ({name: f"settle {entity_id}"} if happened else {})
    # Nobody is asked again for what is recorded as started.
    assert len(engine.asked) == (at in STEPS[5:10])
    assert alice.verify()
