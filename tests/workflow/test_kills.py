"""Processes that are killed: every workflow ends, and the store holds each write once."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.models import Order
from store.server import ObjectStoreServer
from tests.processes import wait_until
from tests.workflow.scenario import SECONDS, Scenario
from workflow import WorkflowStatus

_numbers = itertools.count(1)
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
ROUNDS = 30 if NIGHTLY else 3


@pytest.fixture
def scenario(workflow_server: ObjectStoreServer, tmp_path: Path) -> Iterator[Scenario]:
    found = Scenario(workflow_server, f"kills-{next(_numbers)}", tmp_path)
    yield found
    found.end()


# Where a workflow is when its process is killed, and the writes that it makes in all.
POINTS = {
    "before": ("killed_before_effect", 3),
    "after": ("killed_after_effect", 3),
    "between": ("killed_between", 2),
    "asleep": ("killed_asleep", 2),
    "recv": ("killed_in_recv", 2),
    "child": ("killed_parent", 4),
}
QUEUED = 3


def test_killed_at_every_point(scenario: Scenario) -> None:
    """One process comes to all points, and is killed there; another one brings all to its end."""
    ids = [*POINTS, *(f"queue-{number}" for number in range(1, QUEUED + 1))]
    ids.append("undoing")
    starts = [f"{point}={function}:[]" for point, (function, _) in POINTS.items()]
    starts.append("undoing=killed_undoing:[]")
    starts += [f"queue-{n}@killed_in_queue:[{n}]" for n in range(1, QUEUED + 1)]
    first = scenario.worker(*starts, hold=True)
    with scenario.look() as engine:
        scenario.wait_for_points({*POINTS, "queue", "undoing"})
        states = {each: engine.get_workflow_status(each) for each in ids}
        waiting = {each for each, status in states.items() if status is WorkflowStatus.PENDING}
        assert waiting == {"queue-2", "queue-3"}
        assert set(states.values()) == {WorkflowStatus.RUNNING, WorkflowStatus.PENDING}
    scenario.kill(first)

    scenario.worker()
    began_at = time.monotonic()
    with scenario.look() as engine:
        engine.send("recv", "number", 2)
        wait_until(lambda: engine.get_workflow_status("between").is_final, SECONDS, "the first end")
        assert time.monotonic() - began_at < 15, "it is taken over within seconds"
    ends = scenario.wait_for_ends(ids)
    assert ends.pop("undoing") is WorkflowStatus.ERROR
    assert set(ends.values()) == {WorkflowStatus.SUCCESS}, ends
    wanted = {(point, n) for point, (_, count) in POINTS.items() for n in range(1, count + 1)}
    wanted |= {("queue", number) for number in range(1, QUEUED + 1)}
    wanted |= {("undoing", number) for number in (1, 2, 11, 12)}
    assert scenario.writes() == Counter(dict.fromkeys(wanted, 1))
    # Those that were killed after their effect ran twice; their writes are there once.
    executed = Counter(tuple(line[1:3]) for line in scenario.lines("write"))
    assert executed.pop(("after", "2")) == 2
    assert executed.pop(("undoing", "11")) == 2
    assert set(executed.values()) == {1}


def test_killed_between_commit_and_dispatch(scenario: Scenario) -> None:
    """The workflow that a transition promised runs once, also if it is killed itself then."""
    first = scenario.worker("fill:KILL", hold=True, wait=False)
    scenario.wait_for_points({"commit"})
    scenario.kill(first)
    with scenario.look() as engine:
        [order] = orders(scenario, "KILL")
        assert order._store_state == "FILLED"
        workflow_id = f"{order._store_entity_id}:2"
        assert engine.list_workflows(id_prefix=workflow_id) == []

    # Started now, and killed after the transition's commit, before its step is kept.
    second = scenario.worker(hold=True)
    scenario.wait_for_points({"transition"})
    scenario.kill(second)
    scenario.worker()
    assert scenario.wait_for_ends([workflow_id]) == {workflow_id: WorkflowStatus.SUCCESS}
    [order] = orders(scenario, "KILL")
    # The object was as the transition left it, though its step was replayed.
    assert order._store_state == "SETTLED"
    assert order.quantity == 103
    with scenario.client() as client:
        events = [event["event_type"] for event in client.audit(order._store_entity_id or "")]
    assert events == ["CREATED", "STATE_CHANGE", "STATE_CHANGE", "UPDATED"]
    assert scenario.writes("settled") == Counter({("settled", 1): 1})


def orders(scenario: Scenario, symbol: str) -> list[Order]:
    with scenario.client() as client:
        return list(client.query(Order, {"symbol": symbol}))


def test_killed_at_random(scenario: Scenario) -> None:
    seed = int(os.environ.get("KILL_SEED", random.randrange(1_000_000)))
    print(f"KILL_SEED={seed}")  # noqa: T201 - shown where the test fails
    choices = random.Random(seed)
    wanted: Counter[tuple[str, int]] = Counter()
    ids = []
    for number in range(ROUNDS):
        starts = []
        for kind in "ab":
            name, steps = f"random.{number}{kind}", choices.randint(4, 12)
            starts.append(f'{name}=long:["{name}", {steps}]')
            ids.append(name)
            wanted.update((name, step) for step in range(1, steps + 1))
        worker = scenario.worker(*starts)
        time.sleep(choices.uniform(0.0, 1.0))  # not a wait: the moment of the kill
        scenario.kill(worker)
    scenario.worker()
    ends = scenario.wait_for_ends(ids)
    assert set(ends.values()) == {WorkflowStatus.SUCCESS}, ends
    assert scenario.writes("random.") == wanted


def test_of_two_processes_one_is_killed(scenario: Scenario) -> None:
    """The living one's workflows are run by itself alone; those of the dead one are taken over."""
    living = scenario.worker('living=long:["living", 60]')
    dying = scenario.worker('dying=long:["dying", 12]')
    wait_until(
        lambda: sum(line[1] == "dying" for line in scenario.lines("write")) >= 3,
        SECONDS,
        "the second process at work",
    )
    killed, killed_at = dying.child.pid, time.monotonic()
    scenario.kill(dying)

    def writers(name: str) -> list[int]:
        return [int(line[0]) for line in scenario.lines("write") if line[1] == name]

    wait_until(lambda: living.child.pid in writers("dying"), 15, "the dead one's work going on")
    assert time.monotonic() - killed_at < 10
    ends = scenario.wait_for_ends(["living", "dying"])
    assert set(ends.values()) == {WorkflowStatus.SUCCESS}
    assert set(writers("living")) == {living.child.pid}
    assert set(writers("dying")) == {killed, living.child.pid}
    assert len(writers("living")) == 60, "no step of a living process runs twice"
    counts = scenario.writes()
    assert all(counts["living", n] == 1 for n in range(1, 61))
    assert all(counts["dying", n] == 1 for n in range(1, 13))


def test_postgresql_is_restarted(tmp_path: Path) -> None:
    """Two processes go on by themselves, each with its own workflows."""
    folder = Path(tempfile.mkdtemp(prefix="restarts-of-tests-"))
    with ObjectStoreServer(folder / "data", "only for tests") as server:
        scenario = Scenario(server, f"restart-{next(_numbers)}", tmp_path)
        try:
            workers = {
                # Longer than a loaded machine takes until each has its lock again.
                name: scenario.worker(f'{name}=long:["{name}", 40]', takeover_seconds=30)
                for name in ("one", "two")
            }
            wait_until(lambda: len(scenario.lines("write")) >= 10, SECONDS, "both at work")
            server.stop()
            server.start()
            ends = scenario.wait_for_ends(list(workers))
            assert set(ends.values()) == {WorkflowStatus.SUCCESS}
            wanted = Counter({(name, n): 1 for name in workers for n in range(1, 41)})
            assert scenario.writes() == wanted
            for name, worker in workers.items():
                pids = {int(line[0]) for line in scenario.lines("write") if line[1] == name}
                assert pids == {worker.child.pid}
        finally:
            scenario.end()
    shutil.rmtree(folder)
