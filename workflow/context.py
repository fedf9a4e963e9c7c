"""The workflow and the step that a thread runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count

import step_scope
from step_scope import StepScope
from workflow.engine import WorkflowEngine
from workflow.errors import InsideStep, NotInWorkflow


class Interrupted(BaseException):
    """Unwinds a workflow whose engine stops or that another execution has taken over.

    A BaseException, so that `except Exception` in a workflow does not catch it.
    """


class Postponed(BaseException):
    """Unwinds a workflow that cannot go on in this process now, though nothing is wrong with it.

    It waits, nothing is undone, and it goes on after its last step. `retry_after` is in seconds;
    None where another process may know what is missing here, or the code has to be corrected.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason, retry_after)
        self.reason = reason
        self.retry_after = retry_after


@dataclass
class Undo:
    """The compensation of one step that was done."""

    name: str
    call: Callable[[], object]


@dataclass
class Running:
    """A workflow that this thread runs; `step_key` is None in its body."""

    engine: WorkflowEngine
    workflow_id: str
    step_key: str | None = None
    undos: list[Undo] = field(default_factory=list)
    # Once set, this execution does nothing more: it unwinds.
    postponed: Postponed | None = None
    numbers: Iterator[int] = field(default_factory=count)

    def derived_key(self) -> str:
        """Return a key for the next effect inside a step, the same when the step runs again."""
        return f"{self.step_key}:{next(self.numbers)}"


_running: ContextVar[Running | None] = ContextVar("running_workflow", default=None)


def running() -> Running | None:
    """Return the workflow that this thread runs, or None."""
    return _running.get()


def body(what: str) -> Running:
    """Return the workflow whose body this thread runs; NotInWorkflow, InsideStep."""
    found = _running.get()
    if found is None:
        raise NotInWorkflow(
            f"{what} is possible in a workflow only, and none runs in this thread; call it from a "
            "function given to engine.workflow, run or queue, in the thread that runs the function"
        )
    if found.step_key is not None:
        raise InsideStep(
            f"{what} is not possible inside a step; call it from the workflow's own body, and keep "
            "the step to what should be repeated as a whole"
        )
    return found


@contextmanager
def entered(workflow: Running, scope: StepScope | None = None) -> Iterator[None]:
    """Mark this thread as running a workflow, or a step of it in the step's scope."""
    token = _running.set(workflow)
    scope_token = step_scope.enter(scope)
    try:
        yield
    finally:
        step_scope.leave(scope_token)
        _running.reset(token)


def current_engine() -> WorkflowEngine:
    """Return the engine that runs this workflow; NotInWorkflow outside of one."""
    found = _running.get()
    if found is None:
        raise NotInWorkflow("no workflow runs in this thread, so there is no current engine")
    return found.engine


def current_workflow_id() -> str:
    """Return the id of the workflow that runs in this thread; NotInWorkflow outside of one."""
    found = _running.get()
    if found is None:
        raise NotInWorkflow("no workflow runs in this thread")
    return found.workflow_id
