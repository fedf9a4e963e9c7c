"""Threads that workflows run in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from workflow.context import Interrupted

R = TypeVar("R")


class WorkflowThreads(Executor):
    """An executor with a daemon thread for each workflow.

    The standard one keeps a process from ending until its last thread has: with it, a workflow
    that sleeps for a day would hold up the exit for a day.
    """

    def __init__(self) -> None:
        self._current = threading.local()
        self._by_workflow: dict[str, Future[Any]] = {}

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Run a function in a new thread."""
        future: Future[R] = Future()
        thread = threading.Thread(
            target=self._work, args=(future, fn, args, kwargs), name="workflow", daemon=True
        )
        thread.start()
        return future

    def runs(self, workflow_id: str, future: Future[Any] | None = None) -> None:
        """Note which workflow runs under a future; that of this thread, if none is given."""
        noted: Future[Any] = self._current.future if future is None else future
        self._by_workflow[workflow_id] = noted
        noted.add_done_callback(lambda ended: self._ended(workflow_id, ended))

    def _ended(self, workflow_id: str, future: Future[Any]) -> None:
        # A workflow that was resumed meanwhile runs under another future.
        if self._by_workflow.get(workflow_id) is future:
            self._by_workflow.pop(workflow_id, None)

    def wait(self, workflow_id: str, timeout: float) -> bytes | None:
        """Return the result of a workflow that runs here; None if none is there in time."""
        future = self._by_workflow.get(workflow_id)
        if future is None:
            return None
        try:
            result: bytes = future.result(max(timeout, 0.0))
        except (Exception, TimeoutError):  # noqa: BLE001 - the database knows why
            return None
        return result

    def _work(
        self,
        future: Future[Any],
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._current.future = future
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Interrupted:
            future.set_exception(RuntimeError("the engine was stopped"))
        except BaseException as error:  # noqa: BLE001 - belongs to who waits for the future
            future.set_exception(error)
