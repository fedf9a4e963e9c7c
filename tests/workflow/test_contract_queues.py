"""Queues, schedules, lists and retention: what every engine must do."""

from __future__ import annotations

import itertools
import time
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.processes import wait_until
from tests.workflow import flows
from tests.workflow.holding import held
from workflow import (
    Cron,
    OptionError,
    RateLimit,
    WorkflowEngine,
    WorkflowStatus,
)
from workflow.durable import DurableEngine

SECONDS = 20.0
UNFINISHED = (WorkflowStatus.PENDING, WorkflowStatus.RUNNING)
_numbers = itertools.count(1)


@pytest.fixture
def queue(engine: DurableEngine) -> str:
    """An empty queue that runs one workflow at a time; a new one is noticed a second late."""
    name = "one at a time"
    assert engine.list_workflows(queue=name, status=UNFINISHED) == []
    engine.create_queue(name, 1)
    return name


# --- queues ---------------------------------------------------------------------------------------


def test_a_queue_runs_workflows(engine: DurableEngine, queue: str) -> None:
    handle = engine.queue(queue, flows.greet, "you", greeting="hi")
    assert handle.get_result(SECONDS) == "hi you"
    assert engine.list_workflows(queue=queue)[0].workflow_id == handle.workflow_id


def test_a_queue_that_was_never_made(engine: DurableEngine) -> None:
    """It runs as many at a time as one that is made without a number; its limits may come later."""
    name = f"settlements {next(_numbers)}"
    flows.crowd.most = 0
    handles = [engine.queue(name, flows.counted, number, 0.2) for number in range(15)]
    assert [handle.get_result(SECONDS) for handle in handles] == list(range(15))
    assert 1 < flows.crowd.most <= 10
    engine.create_queue(name, 1)
    flows.crowd.most = 0
    for handle in [engine.queue(name, flows.counted, number) for number in range(3)]:
        handle.get_result(SECONDS)
    assert flows.crowd.most == 1
    with pytest.raises(OptionError, match="concurrency=0"):
        engine.create_queue("none", 0)
    with pytest.raises(OptionError, match="name"):
        engine.create_queue("")


def test_a_queue_runs_so_many_at_a_time(engine: DurableEngine) -> None:
    name = f"queue {next(_numbers)}"
    engine.create_queue(name, 3)
    flows.crowd.most = 0
    handles = [engine.queue(name, flows.counted, number, 0.1) for number in range(9)]
    assert [handle.get_result(SECONDS) for handle in handles] == list(range(9))
    assert 2 <= flows.crowd.most <= 3


def test_limits_may_be_changed(engine: DurableEngine, queue: str) -> None:
    first = engine.queue(queue, flows.receives, 1)
    second = engine.queue(queue, flows.receives, 1)
    wait_until(lambda: first.get_status() is WorkflowStatus.RUNNING, SECONDS, "the first")
    assert second.get_status() is WorkflowStatus.PENDING
    engine.create_queue(queue, 2)
    wait_until(lambda: second.get_status() is WorkflowStatus.RUNNING, SECONDS, "the second")
    for handle in (first, second):
        engine.send(handle.workflow_id, "go", 1)
        assert handle.get_result(SECONDS) == [1]


def test_the_smaller_priority_goes_first(engine: DurableEngine, queue: str) -> None:
    holder = held(engine, queue)
    wanted: list[tuple[int | None, str]] = [(2_000, "late"), (None, "usual"), (1, "first")]
    handles = [
        (engine if priority is None else engine.options(priority=priority)).queue(
            queue, flows.counted, what
        )
        for priority, what in [*wanted, (None, "usual too"), (1, "second")]
    ]
    engine.send(holder.workflow_id, "go", 1)
    for handle in handles:
        handle.get_result(SECONDS)
    assert flows.log == ["first", "second", "usual", "usual too", "late"]


def test_a_deduplication_id_waits_or_runs_once(engine: DurableEngine, queue: str) -> None:
    holder = held(engine, queue)
    once = engine.options(deduplication_id="close of day")
    first = once.queue(queue, flows.noted, 1)
    second = once.queue(queue, flows.noted, 2)
    assert second.workflow_id == first.workflow_id
    engine.send(holder.workflow_id, "go", 1)
    assert second.get_result(SECONDS) == 1
    third = once.queue(queue, flows.noted, 3)
    assert third.get_result(SECONDS) == 3
    assert flows.log == [1, 3]


def test_a_delay(engine: DurableEngine, queue: str) -> None:
    before = time.time()
    late = engine.options(delay=2.0).queue(queue, flows.started_at, "late")
    soon = engine.queue(queue, flows.started_at, "soon")
    assert late.get_status() is WorkflowStatus.PENDING
    assert soon.get_result(SECONDS) < before + 5
    assert late.get_result(SECONDS) >= before + 2.0
    assert flows.log == ["soon", "late"]


def test_a_rate_limit(engine: DurableEngine) -> None:
    name = f"queue {next(_numbers)}"
    engine.create_queue(name, None, rate_limit=RateLimit(2, 1.0))
    engine.queue(name, flows.nothing).get_result(SECONDS)
    before = time.time()
    handles = [engine.queue(name, flows.started_at, number) for number in range(5)]
    starts = sorted(handle.get_result(SECONDS) for handle in handles)
    # However late a workflow comes to its first line, it was not let go before its turn.
    assert starts[2] > before + 0.99
    assert starts[4] > before + 1.99


def test_a_queued_workflow_may_be_cancelled(engine: DurableEngine, queue: str) -> None:
    holder = held(engine, queue)
    waiting = engine.queue(queue, flows.noted, "never")
    engine.cancel(waiting.workflow_id)
    engine.send(holder.workflow_id, "go", 1)
    holder.get_result(SECONDS)
    assert engine.queue(queue, flows.noted, "next").get_result(SECONDS) == "next"
    assert flows.log == ["next"]
    assert waiting.get_status() is WorkflowStatus.CANCELLED


def test_a_queue_goes_on_after_a_restart(engine: DurableEngine, queue: str) -> None:
    handles = [engine.queue(queue, flows.waits_then_notes, what) for what in "ab"]
    flows.wait_until_noted(handles[0])
    engine.destroy()
    engine.launch()
    for handle in handles:
        engine.send(handle.workflow_id, "go", 1)
        handle.get_result(SECONDS)
    assert flows.log == ["a 1", "a 2", "b 1", "b 2"]


# --- schedules ------------------------------------------------------------------------------------


def test_a_schedule_starts_workflows(engine: DurableEngine) -> None:
    name = f"schedule {next(_numbers)}"
    engine.schedule(name, "* * * * * *", flows.scheduled, "tick")
    wait_until(lambda: len(flows.log) >= 2, SECONDS, "two times")
    assert engine.unschedule(name)
    assert not engine.unschedule(name)
    first, second = sorted(at for _, at in list(flows.log)[:2])
    assert first.microsecond == 0
    assert second > first
    found = engine.list_workflows(id_prefix=f"{name}@")
    assert {info.function for info in found} == {"tests.workflow.flows:scheduled"}
    engine.schedule(name, "0 0 1 1 *", flows.plain_scheduled, "yearly")
    engine.unschedule(name)
    for info in found:
        engine.get_workflow_result(info.workflow_id, timeout=SECONDS)
    assert "yearly" not in flows.log


def test_schedules_are_checked(engine: DurableEngine) -> None:
    with pytest.raises(OptionError, match="expected a cron expression, got 'every day'"):
        engine.schedule("wrong", "every day", flows.nothing)
    with pytest.raises(OptionError, match=r"'0 0 31 2 \*' matches no time"):
        engine.schedule("wrong", "0 0 31 2 *", flows.nothing)
    with pytest.raises(OptionError, match="expected a cron expression"):
        engine.schedule("wrong", "0 0 0 1 1 * 2099", flows.nothing)
    with pytest.raises(OptionError, match="expected a time zone, got 'Mars/Olympus'"):
        engine.schedule("wrong", Cron("0 18 * * *", "Mars/Olympus"), flows.nothing)


# --- lists and retention --------------------------------------------------------------------------


def test_workflows_are_listed(engine: DurableEngine, queue: str) -> None:
    prefix = f"listed-{uuid.uuid4()}-"
    before = datetime.now(timezone.utc) - timedelta(milliseconds=1)
    good = engine.options(workflow_id=f"{prefix}good").workflow(flows.greet, "you")
    bad = engine.options(workflow_id=f"{prefix}bad").workflow(flows.fails, "no")
    queued = engine.options(workflow_id=f"{prefix}queued", priority=7).queue(queue, flows.nothing)
    good.get_result(SECONDS)
    queued.get_result(SECONDS)
    with pytest.raises(ValueError, match="no"):
        bad.get_result(SECONDS)

    def ids(**wanted: Any) -> set[str]:
        found = engine.list_workflows(id_prefix=prefix, **wanted)
        return {info.workflow_id.removeprefix(prefix) for info in found}

    assert ids() == {"good", "bad", "queued"}
    assert ids(status=WorkflowStatus.ERROR) == {"bad"}
    assert ids(status=[WorkflowStatus.ERROR, WorkflowStatus.PENDING]) == {"bad"}
    assert ids(function=flows.greet) == {"good"}
    assert ids(function="tests.workflow.flows:nothing") == {"queued"}
    assert ids(queue=queue) == {"queued"}
    assert ids(created_after=before) == {"good", "bad", "queued"}
    assert ids(created_before=before) == set()
    assert ids(parent="nobody") == set()
    newest_first = [info.created_at for info in engine.list_workflows(id_prefix=prefix)]
    assert newest_first == sorted(newest_first, reverse=True)
    page = engine.list_workflows(id_prefix=prefix, limit=2)
    rest = engine.list_workflows(id_prefix=prefix, limit=2, offset=2)
    assert len(page) == 2
    assert len(rest) == 1
    [info] = engine.list_workflows(id_prefix=f"{prefix}queued")
    assert info.queue == queue
    assert info.priority == 7
    assert info.status is WorkflowStatus.SUCCESS
    assert info.finished_at is not None
    assert before <= info.created_at <= info.finished_at
    with pytest.raises(OptionError, match="has no time zone"):
        engine.list_workflows(created_after=datetime(2026, 1, 1))


def test_finished_workflows_are_forgotten(engine: DurableEngine) -> None:
    prefix = f"old-{uuid.uuid4()}-"
    done = engine.options(workflow_id=f"{prefix}done").workflow(flows.note, "x")
    done.get_result(SECONDS)
    waits = engine.options(workflow_id=f"{prefix}waits").workflow(flows.receives, 1)
    assert engine.delete_finished(timedelta(hours=1)) == 0
    assert engine.delete_finished(timedelta(0)) >= 1
    assert [info.workflow_id for info in engine.list_workflows(id_prefix=prefix)] == [
        waits.workflow_id
    ]
    engine.cancel(waits.workflow_id)
    with pytest.raises(OptionError, match="expected a timedelta of 0 or more"):
        engine.delete_finished(timedelta(-1))


# --- sources --------------------------------------------------------------------------------------


class Source:
    """Holds starts until they are drained, as an outbox does."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, str, Any]] = []
        self.failures = 0

    def drain(self, engine: WorkflowEngine, /) -> int:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("not now")
        # What comes meanwhile is for the next time, which may fail.
        found = list(self.waiting)
        for workflow_id, function, argument in found:
            engine.start_once(workflow_id, function, argument)
            self.waiting.pop(0)
        return len(found)


def test_attached_sources_are_drained(engine: DurableEngine, caplog: Any) -> None:
    source = Source()
    first, second = (f"source-{uuid.uuid4()}" for _ in range(2))
    source.waiting.append((first, "tests.workflow.flows:noted", "at once"))
    engine.attach(source)
    engine.attach(source)
    wait_until(lambda: flows.log == ["at once"], SECONDS, "what was there")
    source.failures = 1
    source.waiting.append((second, "tests.workflow.flows:noted", "later"))
    wait_until(lambda: "later" in flows.log, SECONDS, "what came later")
    assert "could not be drained; tried again" in caplog.text

    engine.destroy()
    third = f"source-{uuid.uuid4()}"
    source.waiting.append((third, "tests.workflow.flows:noted", "while stopped"))
    engine.launch()
    wait_until(lambda: "while stopped" in flows.log, SECONDS, "what came while it was stopped")
