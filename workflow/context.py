"""What a thread knows of the workflow that it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count

from workflow.engine import WorkflowEngine
from workflow.errors import InsideStep, NotInWorkflow


class Interrupted(BaseException):
    """Unwinds a workflow whose engine stops or that another execution has taken over.

    No exception that a workflow's `except Exception` could catch.
    """


class Postponed(BaseException):
    """Unwinds a workflow that cannot go on in this process now, though nothing is wrong with it.

    It waits, nothing is undone, and it goes on after its last step. `retry_after` is in seconds;
    None where another process may know what is missing here, or somebody has to put it right.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason, retry_after)
        self.reason = reason
        self.retry_after = retry_after


@dataclass
class IdempotencyKey:
    """Names one execution of one step: a store writes once for each pair of key and count.

    A client counts its writes in `count`, which starts at 0 each time that the step runs.
    """

    key: str
    count: int = 0


# Stores find it by this name, so that neither package imports the other.
idempotency_key: ContextVar[IdempotencyKey | None] = ContextVar("idempotency_key", default=None)


@dataclass
class Undo:
    """How to take back one step that was done."""

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
        """A key for the next effect inside a step, the same when the step runs again."""
        return f"{self.step_key}:{next(self.numbers)}"


_running: ContextVar[Running | None] = ContextVar("running_workflow", default=None)


def running() -> Running | None:
    """The workflow that this thread runs, or None."""
    return _running.get()


def body(what: str) -> Running:
    """The workflow whose body this thread runs; the errors say what cannot be done here."""
    found = _running.get()
    if found is None:
        raise NotInWorkflow(
            f"{what} belongs into a workflow, and no workflow runs in this thread; call it from a "
            "function given to engine.workflow, run or queue, and not from a thread of its own"
        )
    if found.step_key is not None:
        raise InsideStep(
            f"{what} cannot be done inside a step; call it from the workflow's own body, and keep "
            "the step to what should be repeated as a whole"
        )
    return found


@contextmanager
def entered(workflow: Running, key: IdempotencyKey | None = None) -> Iterator[None]:
    """Mark this thread as running a workflow, or a step of it."""
    token = _running.set(workflow)
    key_token = idempotency_key.set(key)
    try:
        yield
    finally:
        idempotency_key.reset(key_token)
        _running.reset(token)


def current_engine() -> WorkflowEngine:
    """The engine that runs this workflow, for functions that know no engine by name."""
    found = _running.get()
    if found is None:
        raise NotInWorkflow("no workflow runs in this thread, so there is no current engine")
    return found.engine


def current_workflow_id() -> str:
    """The id of the workflow that runs in this thread."""
    found = _running.get()
    if found is None:
        raise NotInWorkflow("no workflow runs in this thread")
    return found.workflow_id
