"""DBOSEngine: workflows that survive on PostgreSQL.

engine = DBOSEngine(server.dbos_url(), name="settlement").launch()
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from dbos import (
    DBOS,
    SetEnqueueOptions,
    SetWorkflowAttributes,
    SetWorkflowID,
    SetWorkflowTimeout,
)
from dbos._error import DBOSBaseException, DBOSUnexpectedStepError

from workflow.backend import (
    DEFAULT_LIMITS,
    Filter,
    QueueLimits,
    Scheduled,
    Start,
    not_ended,
    other_step,
)
from workflow.context import Interrupted, Postponed
from workflow.cron import LATE_SECONDS, check, is_repeat
from workflow.dbos_backend import (
    POLL_SECONDS,
    Backend,
    as_postponed,
    ask,
    schedule_entry,
    workflow_entry,
)
from workflow.dbos_views import find, find_one, outcome
from workflow.durable_engine import DurableEngine
from workflow.engine import WorkflowInfo
from workflow.errors import (
    EngineNotRunning,
    NonDeterministic,
    OptionError,
    ResultTimeout,
    WorkflowNotFound,
)
from workflow.names import checked_name
from workflow.options import DEFAULT_PRIORITY, Cron, StartOptions, seconds

_log = logging.getLogger("workflow")
# The longest wait, for those that wait for ever: ten years.
_FOREVER_SECONDS = 315_360_000.0
_RETENTION_PERIOD_SECONDS = 60.0


class DBOSEngine(DurableEngine):
    """An engine that keeps everything in PostgreSQL; a process runs one at a time.

    Processes with engines of one name on one database share the work. A living one's workflows
    are never run by another; those of one that died are, `takeover_seconds` after its connection
    ended. With `retention`, workflows that ended longer ago are forgotten. `database_url` is
    `postgresql://user:password@host:port/database`, whose role may create schemas there.
    """

    _unwinding = (Interrupted, Postponed, DBOSBaseException)

    def __init__(
        self,
        database_url: str,
        name: str = "workflow",
        *,
        takeover_seconds: float = 2.0,
        retention: timedelta | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(name, str) or not name.strip():
            raise OptionError(f"name={name!r}; an engine needs a name, a text that is not blank")
        checked_name(name, "an engine's name")
        if not database_url.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
            raise OptionError(
                "the database's address must begin with postgresql://, as "
                "ObjectStoreServer.dbos_url() gives it"
            )
        self.name = name
        self._url = database_url
        self._takeover_seconds = seconds(takeover_seconds, "takeover_seconds")
        self._retention = retention
        self._backend: Backend | None = None
        self._queues: set[str] = set()

    # --- life -------------------------------------------------------------------------------------

    def _open(self) -> None:
        backend = Backend(self._url, self.name, self._takeover_seconds, self._execute, self._fire)
        self._backend = backend
        try:
            backend.open()
        except BaseException:
            self._backend = None
            raise
        if self._retention is not None:
            threading.Thread(
                target=self._retain, args=(backend,), name="workflow retention", daemon=True
            ).start()

    def _close(self) -> None:
        if self._backend is not None:
            self._backend.close()
        self._backend = None
        self._queues.clear()

    @property
    def _running(self) -> Backend:
        if self._backend is None:
            raise EngineNotRunning("this engine was stopped")
        return self._backend

    def _retain(self, backend: Backend) -> None:
        assert self._retention is not None
        while not backend.stopping.wait(_RETENTION_PERIOD_SECONDS):
            try:
                self.delete_finished(self._retention)
            except Exception:  # noqa: BLE001 - the server may be away; the next time will do
                if not backend.stopping.is_set():
                    _log.warning("old workflows could not be forgotten", exc_info=True)

    # --- starting ---------------------------------------------------------------------------------

    def _begin(self, start: Start) -> tuple[str, bool]:
        queue = None if start.queue is None else self._queue_name(start.queue)
        return ask(lambda: self._begin_outside(start, queue))

    def _begin_outside(self, start: Start, queue: str | None) -> tuple[str, bool]:
        options = start.options
        attributes = {"function": start.reference, "parent": start.parent}
        with ExitStack() as said:
            said.enter_context(SetWorkflowID(start.workflow_id))
            said.enter_context(SetWorkflowAttributes(attributes))
            if options.timeout is not None:
                said.enter_context(SetWorkflowTimeout(options.timeout))
            if queue is None:
                handle = DBOS.start_workflow(workflow_entry(), start.reference, start.arguments)
                # One that was there already is only looked at, and has no future.
                future = getattr(handle, "future", None)
                if future is not None:
                    self._running.threads.runs(start.workflow_id, future)
                return handle.get_workflow_id(), future is not None
            said.enter_context(_enqueue_options(options))
            handle = DBOS.enqueue_workflow(
                queue, workflow_entry(), start.reference, start.arguments
            )
        return handle.get_workflow_id(), False

    def _queue_name(self, queue: str) -> str:
        # In DBOS a queue's name belongs to one engine of the database.
        name = f"{self._running.name}/{queue}"
        if name not in self._queues:
            if ask(lambda: DBOS.retrieve_queue(name)) is None:
                self._register_queue(queue, DEFAULT_LIMITS, on_conflict="never_update")
            self._queues.add(name)
        return name

    def _make_queue(self, name: str, limits: QueueLimits) -> None:
        self._register_queue(name, limits, on_conflict="always_update")

    def _register_queue(
        self,
        name: str,
        limits: QueueLimits,
        *,
        on_conflict: Literal["always_update", "never_update"],
    ) -> None:
        rate = limits.rate_limit
        ask(
            lambda: DBOS.register_queue(
                f"{self._running.name}/{name}",
                global_concurrency=limits.concurrency,
                worker_concurrency=limits.worker_concurrency,
                limiter=None if rate is None else {"limit": rate.count, "period": rate.seconds},
                polling_interval_sec=POLL_SECONDS,
                on_conflict=on_conflict,
            )
        )

    def _fire(self, scheduled_at: Any, what: Scheduled) -> None:
        kept = ask(lambda: DBOS.get_schedule(f"{self._running.name}/{what.name}"))
        # The backend hears a second late that a schedule was removed or replaced.
        if kept is None or kept["context"] != what:
            return
        if is_repeat(Cron(kept["schedule"], kept["cron_timezone"] or "UTC"), scheduled_at):
            return
        # After a pause of the machine the backend makes up for every time that it missed.
        run = None if DBOS.workflow_id is None else find_one(DBOS.workflow_id)
        if run is None or (run.created_at - scheduled_at).total_seconds() <= LATE_SECONDS:
            self._begin(what.start_at(scheduled_at))

    def _schedule(self, cron: Cron, what: Scheduled) -> None:
        check(cron)
        ask(
            lambda: DBOS.apply_schedules(
                [
                    {
                        "schedule_name": f"{self._running.name}/{what.name}",
                        "workflow_fn": schedule_entry(),
                        "schedule": cron.expression,
                        "context": what,
                        "cron_timezone": cron.timezone,
                    }
                ]
            )
        )

    def _unschedule(self, name: str) -> bool:
        full = f"{self._running.name}/{name}"
        if ask(lambda: DBOS.get_schedule(full)) is None:
            return False
        ask(lambda: DBOS.delete_schedule(full))
        return True

    def register(self, name: str, fn: Callable[..., Any], /) -> None:
        """Make a function known by a name, where another process could not find it otherwise."""
        super().register(name, fn)
        if self._backend is not None:
            ask(partial(self._backend.steering.forgive, name))

    # --- steps and messages -----------------------------------------------------------------------

    def _checkpoint(self, name: str, work: Callable[[str], bytes]) -> bytes:
        backend = self._running_here()

        def step() -> bytes:
            packed = work(f"{DBOS.workflow_id}:{DBOS.step_id}")
            if backend.stopping.is_set():
                raise Interrupted
            return packed

        with _same_steps(), as_postponed():
            return DBOS.run_step({"name": name}, step)

    def _running_here(self) -> Backend:
        """The backend, as long as it does not stop: then this thread unwinds."""
        backend = self._backend
        if backend is None or backend.stopping.is_set():
            raise Interrupted
        return backend

    def _now(self) -> float:
        return time.time()

    def _wait_until(self, moment: float) -> None:
        backend = self._running_here()
        while (remaining := moment - time.time()) > 0:
            if backend.stopping.wait(min(remaining, 3_600.0)):
                raise Interrupted

    def _deliver(self, workflow_id: str, topic: str, message: bytes, key: str | None) -> None:
        ask(lambda: DBOS.send(workflow_id, message, topic, idempotency_key=key))

    def _receive(self, topic: str, timeout: float | None) -> bytes | None:
        self._running_here()
        with _same_steps(), as_postponed():
            message: bytes | None = DBOS.recv(
                topic, _FOREVER_SECONDS if timeout is None else timeout
            )
        return message

    def _publish(self, key: str, value: bytes) -> None:
        self._running_here()
        with _same_steps(), as_postponed():
            DBOS.set_event(key, value)

    # --- looking and steering ---------------------------------------------------------------------

    def _info(self, workflow_id: str) -> WorkflowInfo:
        found = find_one(workflow_id)
        if found is None:
            raise WorkflowNotFound(f"no workflow has the id {workflow_id!r}")
        return found

    def _find(self, wanted: Filter) -> list[WorkflowInfo]:
        return find(self._running.name, wanted)

    def _await(self, workflow_id: str, timeout: float | None) -> bytes:
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.005
        while True:
            found = self._running.threads.wait(workflow_id, _left(end, 0.25))
            if found is None:
                found = outcome(workflow_id)
            if found is not None:
                return found
            left = _left(end, pause)
            if left <= 0:
                raise ResultTimeout(not_ended(self._info(workflow_id), timeout))
            if self._running.stopping.wait(left):
                raise EngineNotRunning("the engine was stopped while a result was waited for")
            pause = min(pause * 1.5, 0.2)

    def _published(self, workflow_id: str, key: str, timeout: float) -> bytes | None:
        end = time.monotonic() + timeout
        while True:
            is_final = self._info(workflow_id).status.is_final
            # Ended, it publishes no more: what is there now is the answer.
            left = 0.0 if is_final else min(end - time.monotonic(), 0.5)
            value: bytes | None = ask(partial(DBOS.get_event, workflow_id, key, max(left, 0.0)))
            if value is not None or is_final or time.monotonic() >= end:
                return value

    def _cancel(self, workflow_id: str) -> None:
        ask(lambda: DBOS.cancel_workflow(workflow_id))

    def _resume(self, workflow_id: str) -> None:
        ask(partial(self._running.steering.resume, workflow_id))

    def _forget(self, workflow_ids: list[str]) -> None:
        ask(partial(self._running.steering.forget, workflow_ids))


@contextmanager
def _same_steps() -> Iterator[None]:
    try:
        yield
    except DBOSUnexpectedStepError as error:
        workflow_id, number, wanted, kept = error.inputs
        raise NonDeterministic(other_step(workflow_id, number, kept, wanted)) from None


def _left(end: float | None, at_most: float) -> float:
    return at_most if end is None else min(at_most, end - time.monotonic())


def _enqueue_options(options: StartOptions) -> SetEnqueueOptions:
    once = options.deduplication_id is not None
    return SetEnqueueOptions(
        priority=DEFAULT_PRIORITY if options.priority is None else options.priority,
        deduplication_id=options.deduplication_id,
        duplication_policy="return-existing" if once else None,
        delay_seconds=options.delay,
    )
