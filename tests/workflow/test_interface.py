"""The interface itself: an engine written against its eight methods alone keeps working."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import workflow.engine
from tests.workflow import flows
from workflow import NotSupported, OptionError, RateLimit, Retry, WorkflowEngine, WorkflowStatus
from workflow.engine import WorkflowHandle

METHODS = {
    "workflow",
    "step",
    "queue",
    "sleep",
    "send",
    "recv",
    "get_workflow_status",
    "get_workflow_result",
}


class Immediate(WorkflowEngine):
    """Runs everything at once, and keeps results."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    def workflow(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> WorkflowHandle:
        self.results.append(fn(*args, **kwargs))
        return WorkflowHandle(str(len(self.results) - 1), self)

    def step(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    def queue(self, queue_name: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.workflow(fn, *args, **kwargs)

    def sleep(self, seconds: float) -> None:
        return None

    def send(self, workflow_id: str, topic: str, value: Any) -> None:
        return None

    def recv(self, topic: str, timeout: float | None = None) -> Any:
        return None

    def get_workflow_status(self, workflow_id: str) -> WorkflowStatus:
        return WorkflowStatus.SUCCESS

    def get_workflow_result(self, workflow_id: str, *, timeout: float | None = None) -> Any:
        return self.results[int(workflow_id)]


def test_eight_methods_make_an_engine() -> None:
    assert WorkflowEngine.__abstractmethods__ == METHODS
    assert set(workflow.engine.__all__) >= {"WorkflowEngine", "WorkflowHandle", "WorkflowStatus"}
    engine = Immediate()
    assert engine.run(flows.greet, "you", greeting="hi") == "hi you"
    handle = engine.workflow(flows.greet, "me")
    assert handle.get_result(timeout=1) == "hello me"
    assert handle.get_status() is WorkflowStatus.SUCCESS
    assert repr(handle) == "WorkflowHandle('1')"


def test_what_is_built_on_them() -> None:
    engine = Immediate()
    flows.log.clear()
    first = engine.start_once("order:2", flows.noted, "once")
    second = engine.start_once("order:2", "tests.workflow.flows:noted", "twice")
    assert first is second
    assert flows.log == ["once"]
    # Another engine knows nothing of it.
    Immediate().start_once("order:2", "tests.workflow.flows:noted", "elsewhere")
    assert flows.log == ["once", "elsewhere"]

    class Source:
        def drain(self, engine: WorkflowEngine, /) -> int:
            engine.start_once("order:3", flows.noted, "attached")
            return 1

    engine.attach(Source())
    assert flows.log[-1] == "attached"
    assert engine.reference(flows.noted) == "tests.workflow.flows:noted"
    assert engine.reference(lambda: None) is None
    engine.register("noted", flows.noted)
    assert engine.reference(flows.noted) == "noted"


def test_a_workflow_that_runs_at_once_may_start_others_once() -> None:
    engine, said = Immediate(), []

    def parent() -> Any:
        return engine.start_once("child", flows.greet, "child").get_result()

    def start() -> None:
        said.append(engine.start_once("parent", parent).get_result())

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    thread.join(10)
    assert said == ["hello child"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda engine: engine.launch(),
        lambda engine: engine.destroy(),
        lambda engine: engine.options(timeout=1),
        lambda engine: engine.step_options(timeout=1),
        lambda engine: engine.create_queue("q"),
        lambda engine: engine.set_event("key", 1),
        lambda engine: engine.get_event("id", "key"),
        lambda engine: engine.cancel("id"),
        lambda engine: engine.resume("id"),
        lambda engine: engine.list_workflows(),
        lambda engine: engine.delete_finished(None),
        lambda engine: engine.schedule("name", "* * * * *", flows.nothing),
        lambda engine: engine.unschedule("name"),
    ],
)
def test_what_an_engine_lacks_it_says(ask: Callable[[WorkflowEngine], Any]) -> None:
    with pytest.raises(NotSupported, match="Immediate has no "):
        ask(Immediate())


def test_retries_and_limits_are_checked() -> None:
    for wrong in ({"attempts": 0}, {"backoff": 0.5}, {"delay": -1}, {"delay_max": float("inf")}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            Retry(**wrong)  # type: ignore[arg-type]
    retry = Retry(attempts=5_000, delay=1, backoff=10, delay_max=30)
    assert [retry.pause_after(n) for n in (1, 2, 3, 4_000)] == [1, 10, 30, 30]
    with pytest.raises(OptionError, match="count"):
        RateLimit(0)
    with pytest.raises(OptionError, match="seconds"):
        RateLimit(1, 0)
