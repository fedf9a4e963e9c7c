"""What the engine in memory does beyond the contract: its clock, its plainness, and its queues.

In a module of its own: threads of another engine use `random`, which hypothesis watches.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import ROOT, wait_until
from tests.workflow import flows
from tests.workflow.test_contract_queues import SECONDS, held
from workflow import Cron, MemoryEngine, WorkflowCancelled, WorkflowStatus


def test_memory_s_clock_may_be_advanced() -> None:
    with MemoryEngine() as engine:
        flows.log.clear()
        day = engine.workflow(flows.sleeps, 86_400.0)
        waits = engine.workflow(flows.receives, 1, 86_400.0)
        engine.schedule(
            "daily", Cron("0 18 * * *", "Europe/London"), flows.plain_scheduled, "close"
        )
        engine.advance(86_401)
        assert day.get_result(SECONDS) == "slept"
        assert waits.get_result(SECONDS) == [None]
        wait_until(lambda: "close" in flows.log, SECONDS, "the schedule")


@given(
    wanted=st.lists(st.tuples(st.integers(1, 3) | st.none(), st.booleans()), max_size=12),
    concurrency=st.integers(1, 4),
)
def test_queues_keep_order_and_limits(
    wanted: list[tuple[int | None, bool]], concurrency: int
) -> None:
    """Any mix of priorities leaves the queue in the order of priority and arrival."""
    flows.log.clear()
    flows.crowd.most = 0
    with MemoryEngine() as engine:
        engine.create_queue("q", 1)
        holder = held(engine, "q")
        for number, (priority, cancelled) in enumerate(wanted):
            handle = engine.options(priority=priority).queue("q", flows.counted, number, 0)
            if cancelled:
                engine.cancel(handle.workflow_id)
        engine.send(holder.workflow_id, "go", 1)
        kept = [(p or 1_000, n) for n, (p, cancelled) in enumerate(wanted) if not cancelled]
        for info in engine.list_workflows(status=tuple(WorkflowStatus)):
            if info.status is not WorkflowStatus.CANCELLED:
                engine.get_workflow_result(info.workflow_id, timeout=SECONDS)
        assert flows.log == [number for _, number in sorted(kept)]

        engine.create_queue("wide", concurrency)
        handles = [engine.queue("wide", flows.counted, number, 0) for number in range(6)]
        assert [handle.get_result(SECONDS) for handle in handles] == list(range(6))
        assert flows.crowd.most <= concurrency


def test_the_package_loads_no_backend() -> None:
    code = "import sys, workflow; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"dbos", "sqlalchemy", "psycopg", "psycopg2", "store"}.isdisjoint(loaded)


def test_the_clock_waits_for_those_who_work() -> None:
    """Whoever was started, sent to or woken up before is where it waits when the clock moves."""
    for _ in range(20):
        with MemoryEngine() as engine:
            flows.log.clear()
            parent = engine.workflow(flows.parent_of_sleeper)
            sleeper = engine.workflow(flows.sleeps, 100.0)
            patient = engine.workflow(flows.receives, 2, 100.0)
            engine.send(patient.workflow_id, "go", 1)
            engine.advance(99.0)
            assert sleeper.get_status() is WorkflowStatus.RUNNING
            engine.advance(1.1)
            assert sleeper.get_result(SECONDS) == "slept"
            assert patient.get_result(SECONDS) == [1, None]
            assert parent.get_status() is WorkflowStatus.RUNNING


def test_a_timeout_comes_before_a_later_end_of_a_sleep() -> None:
    for _ in range(20):
        with MemoryEngine() as engine:
            handle = engine.options(timeout=10.0).workflow(flows.sleeps, 20.0)
            engine.advance(30.0)
            with pytest.raises(WorkflowCancelled):
                handle.get_result(SECONDS)


def test_what_one_move_of_the_clock_makes_due_begins_before_the_next() -> None:
    for _ in range(20):
        with MemoryEngine() as engine:
            flows.log.clear()
            engine.create_queue("q")
            engine.options(delay=10.0).queue("q", flows.sleeps, 1_000.0)
            engine.advance(11.0)
            engine.advance(500.0)
            [info] = engine.list_workflows()
            engine.advance(600.0)
            assert engine.get_workflow_result(info.workflow_id, timeout=SECONDS) == "slept"


def test_times_at_which_it_does_not_run_are_left_out() -> None:
    with MemoryEngine() as engine:
        flows.log.clear()
        engine.schedule("daily", "0 0 * * *", flows.scheduled, "close")
        engine.destroy()
        engine.advance(2 * 86_400)
        engine.launch()
        engine.advance(86_400)
        wait_until(lambda: flows.log, SECONDS, "the schedule")
        _, at = flows.log[0]
        assert at.timestamp() > engine._now() - 86_400


class NotLoaded:
    """Pickles, and cannot be loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("no number",)


def test_a_schedule_that_cannot_start_does_not_stop_the_clock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with MemoryEngine() as engine:
        flows.log.clear()
        engine.schedule("bad", "0 0 * * *", flows.scheduled, NotLoaded())
        engine.schedule("good", "0 0 * * *", flows.plain_scheduled, "good")
        for number in (1, 2):
            engine.advance(86_401)
            wait_until(lambda n=number: len(flows.log) >= n, SECONDS, "the other schedule")
    assert "schedule 'bad' could not start its workflow" in caplog.text


def test_restarts_leave_one_clock() -> None:
    def clocks() -> int:
        return sum(thread.name == "workflow clock" for thread in threading.enumerate())

    before = clocks()
    engine = MemoryEngine()
    for _ in range(10):
        engine.launch()
        engine.destroy()
    engine.launch()
    wait_until(lambda: clocks() <= before + 1, SECONDS, "the end of the others")
    engine.destroy()
