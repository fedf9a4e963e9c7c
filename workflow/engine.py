"""WorkflowEngine: the interface of every engine."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from workflow.errors import FunctionNotFound, NotSupported
from workflow.handle import WorkflowHandle, WorkflowInfo, WorkflowStatus
from workflow.options import Cron, RateLimit, Retry, Starter, Stepper
from workflow.references import refer, register, resolve

__all__ = [
    "WorkflowEngine",
    "WorkflowHandle",
    "WorkflowInfo",
    "WorkflowSource",
    "WorkflowStatus",
]

R = TypeVar("R")


class WorkflowSource(Protocol):
    """Something that holds workflows to be started, such as the store's outbox."""

    def drain(self, engine: WorkflowEngine, /) -> int:
        """Start what waits with `engine.start_once`, and return how many that were."""


class WorkflowEngine(ABC):
    """Runs plain functions as durable workflows; callers do not see what keeps them.

    The first eight methods are abstract. The others are built on those eight, or raise NotSupported
    in an engine that does not offer them.
    """

    @abstractmethod
    def workflow(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> WorkflowHandle:
        """Start a workflow and return at once; its arguments must pickle.

        FunctionNotFound for a function that another process could not find by name.
        """

    @abstractmethod
    def step(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Run a function as a step: once it is done, its result is kept and it never runs again."""

    @abstractmethod
    def queue(
        self, queue_name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> WorkflowHandle:
        """Put a workflow on a queue, to be started as the queue's limits allow.

        A queue that nobody created runs ten at a time, as `create_queue` does by default.
        """

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Let the workflow sleep; after a restart it sleeps the rest of the time only."""

    @abstractmethod
    def send(self, workflow_id: str, topic: str, value: Any) -> None:
        """Send a message to a workflow, which takes it with `recv`."""

    @abstractmethod
    def recv(self, topic: str, timeout: float | None = None) -> Any:
        """Take the next message of a topic; None if none comes within `timeout` seconds."""

    @abstractmethod
    def get_workflow_status(self, workflow_id: str) -> WorkflowStatus:
        """Return where a workflow stands now; WorkflowNotFound if none has this id."""

    @abstractmethod
    def get_workflow_result(self, workflow_id: str, *, timeout: float | None = None) -> Any:
        """Wait for a workflow's end and return its result, or raise what it raised."""

    # --- built on those ---------------------------------------------------------------------------

    def run(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Run a workflow, wait for its end and return its result."""
        result: R = self.workflow(fn, *args, **kwargs).get_result()
        return result

    def start_once(
        self, workflow_id: str, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> WorkflowHandle:
        """Start a workflow under an id; the same id again returns the handle of the first.

        `fn` is a function or the text `module:qualname`. An engine whose ids can be chosen keeps
        this over restarts; here it holds for this object only.
        """
        with _lock:
            once = _started.setdefault(self, {}).setdefault(workflow_id, _Once())
        # A lock for each id: an engine that runs the workflow at once may come here again in it.
        with once.lock:
            if once.handle is None:
                function = resolve(fn) if isinstance(fn, str) else fn
                once.handle = self.workflow(function, *args, **kwargs)
            return once.handle

    def attach(self, source: WorkflowSource, /) -> None:
        """Start what a source holds; an engine with threads of its own keeps polling the source."""
        source.drain(self)

    def register(self, name: str, fn: Callable[..., Any], /) -> None:
        """Register a function under a name, where other processes could not find it otherwise."""
        register(name, fn)

    def reference(self, fn: Callable[..., Any], /) -> str | None:
        """Return the name by which any process finds a function; None if none could.

        It is the name that it was registered under, or `module:qualname`.
        """
        try:
            name, args, kwargs = refer(fn, (), {})
        except FunctionNotFound:
            return None
        # What comes with a bound method or a partial is no part of the name.
        return None if args or kwargs else name

    # --- what an engine may have ------------------------------------------------------------------

    def launch(self) -> WorkflowEngine:
        """Begin to run workflows, also those that were interrupted; return the engine."""
        raise self._not_supported("launch")

    def destroy(self) -> None:
        """Stop; what runs is interrupted, and goes on when an engine is launched again."""
        raise self._not_supported("destroy")

    def options(
        self,
        *,
        workflow_id: str | None = None,
        timeout: float | None = None,
        priority: int | None = None,
        deduplication_id: str | None = None,
        delay: float | None = None,
    ) -> Starter:
        """Return a starter with options, for `.workflow`, `.run` or `.queue`.

        With a `workflow_id` the start is idempotent. After `timeout` seconds the workflow is
        cancelled. On queues: the smaller `priority` starts first; while a workflow of the same
        `deduplication_id` waits or runs, a start returns the handle of that one; `delay` is in
        seconds.
        """
        raise self._not_supported("options")

    def step_options(
        self,
        *,
        name: str | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        undo: Callable[..., object] | None = None,
    ) -> Stepper:
        """Return a stepper with options, for `.step`, whose keywords are all `fn`'s own.

        `timeout` is for each attempt, in seconds: StepTimeout is raised then, but the thread of the
        attempt cannot be stopped.
        """
        raise self._not_supported("step_options")

    def create_queue(
        self,
        name: str,
        concurrency: int | None = 10,
        *,
        worker_concurrency: int | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """Create a queue, or change its limits, for whatever is queued from then on.

        `concurrency` is how many of its workflows run at a time in all processes together,
        `worker_concurrency` in each; None means no limit.
        """
        raise self._not_supported("create_queue")

    def set_event(self, key: str, value: Any) -> None:
        """Publish a value of this workflow, such as its progress; the last one counts."""
        raise self._not_supported("set_event")

    def get_event(
        self, workflow_id: str, key: str, timeout: float = 60.0, *, default: Any = None
    ) -> Any:
        """Return what a workflow published, waiting for it for `timeout` seconds while it runs."""
        raise self._not_supported("get_event")

    def cancel(self, workflow_id: str, *, children: bool = False) -> None:
        """Cancel a workflow: it does no further step. `children` cancels those it started too."""
        raise self._not_supported("cancel")

    def resume(self, workflow_id: str) -> WorkflowHandle:
        """Continue a workflow after its last step: one that is cancelled, or is `blocked`."""
        raise self._not_supported("resume")

    def list_workflows(
        self,
        *,
        status: WorkflowStatus | Iterable[WorkflowStatus] | None = None,
        function: Callable[..., Any] | str | None = None,
        queue: str | None = None,
        id_prefix: str | None = None,
        parent: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = 100,
        offset: int = 0,
    ) -> list[WorkflowInfo]:
        """Return the workflows that pass all filters, the newest first."""
        raise self._not_supported("list_workflows")

    def delete_finished(self, older_than: timedelta) -> int:
        """Delete workflows that ended longer ago than this, and return how many."""
        raise self._not_supported("delete_finished")

    def schedule(
        self, name: str, cron: str | Cron, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> None:
        """Start a workflow at each time of a cron expression (UTC where it is a text).

        The schedule is kept under its name, and replaces an earlier one. A function with a
        parameter `scheduled_at` is given the time that it was meant for.
        """
        raise self._not_supported("schedule")

    def unschedule(self, name: str) -> bool:
        """Remove a schedule; return whether there was one of this name."""
        raise self._not_supported("unschedule")

    def _not_supported(self, what: str) -> NotSupported:
        return NotSupported(f"{type(self).__name__} has no {what}()")


class _Once:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.handle: WorkflowHandle | None = None


# What `start_once` of engines without ids of their own has started.
_started: WeakKeyDictionary[WorkflowEngine, dict[str, _Once]] = WeakKeyDictionary()
_lock = threading.Lock()
