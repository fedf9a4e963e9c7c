"""What the engine in memory does beyond the contract: its clock, its plainness, and its queues.

In a module of its own: threads of another engine use `random`, which hypothesis watches.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import ROOT, wait_until
from tests.workflow import flows
from tests.workflow.holding import SECONDS, held
from workflow import (
    Cron,
    EngineNotRunning,
    MemoryEngine,
    WorkflowCancelled,
    WorkflowEngine,
    WorkflowStatus,
)
from workflow.durable import sources


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
        assert at.timestamp() > engine._memory.now() - 86_400


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


def test_two_resume_a_workflow_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with MemoryEngine() as engine:
        flows.log.clear()
        handle = engine.workflow(flows.waits_then_notes, "x")
        engine.cancel(handle.workflow_id)
        look = engine._memory.info

        def resumed_by_another(workflow_id: str) -> Any:
            found = look(workflow_id)
            monkeypatch.undo()
            engine.resume(workflow_id)
            engine.send(workflow_id, "go", 1)
            assert handle.get_result(SECONDS) == "x"
            return found

        monkeypatch.setattr(engine._memory, "info", resumed_by_another)
        engine.resume(handle.workflow_id)
        assert handle.get_status() is WorkflowStatus.SUCCESS
        assert engine._memory._records[handle.workflow_id].run == 2, (
            "what has ended does not run again"
        )


def test_two_forget_workflows_but_none_that_was_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    with MemoryEngine() as engine:
        done, cancelled = engine.workflow(flows.nothing), engine.workflow(flows.receives, 1)
        done.get_result(SECONDS)
        engine.cancel(cancelled.workflow_id)
        look = engine._memory.find

        def another_comes_first(wanted: Any) -> Any:
            found = look(wanted)
            monkeypatch.undo()
            engine.resume(cancelled.workflow_id)
            assert engine.delete_finished(timedelta(0)) == 1
            return found

        monkeypatch.setattr(engine._memory, "find", another_comes_first)
        engine.delete_finished(timedelta(0))
        assert cancelled.get_status() is WorkflowStatus.RUNNING


def test_who_waits_for_an_event_hears_of_the_engine_s_end() -> None:
    said: list[Exception] = []
    with MemoryEngine() as engine:
        handle = engine.workflow(flows.receives, 1)
        waiting = threading.Event()
        engine._memory._wait_while = _told(engine._memory._wait_while, waiting)  # type: ignore[method-assign]

        def wait() -> None:
            try:
                engine.get_event(handle.workflow_id, "progress", 3_600)
            except EngineNotRunning as error:
                said.append(error)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        assert waiting.wait(SECONDS)
    thread.join(SECONDS)
    assert len(said) == 1


def _told(call: Any, begins: threading.Event) -> Any:
    def told(*arguments: Any) -> Any:
        begins.set()
        return call(*arguments)

    return told


def test_a_drain_that_outlasts_a_stop_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "STOP_SECONDS", 0.05)
    begins, go_on = threading.Event(), threading.Event()
    drained_by: list[threading.Thread] = []

    class Slow:
        def drain(self, engine: WorkflowEngine, /) -> int:
            drained_by.append(threading.current_thread())
            begins.set()
            assert go_on.wait(60)
            return 0

    with MemoryEngine() as engine:
        engine.attach(Slow())
        assert begins.wait(SECONDS)
        engine.destroy()
        engine.launch()
        go_on.set()
        drained_by[0].join(SECONDS)
        assert not drained_by[0].is_alive()
        wait_until(lambda: drained_by[-1] is not drained_by[0], SECONDS, "the next one")
