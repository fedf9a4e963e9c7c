"""DBOSBackend: keeps workflows in PostgreSQL, by DBOS."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Literal

from dbos import (
    DBOS,
    SetEnqueueOptions,
    SetWorkflowAttributes,
    SetWorkflowID,
    SetWorkflowTimeout,
)
from dbos import error as dbos_error

from workflow.backend import (
    DEFAULT_LIMITS,
    Execute,
    Filter,
    QueueLimits,
    Scheduled,
    Start,
    not_ended,
    other_step,
)
from workflow.context import Interrupted, Postponed
from workflow.cron import LATE_SECONDS, check, is_repeat
from workflow.dbos.process import (
    POLL_SECONDS,
    Process,
    ask,
    postponing_database_errors,
    schedule_entry,
    workflow_entry,
)
from workflow.dbos.views import find, find_one, outcome
from workflow.errors import (
    EngineNotRunning,
    NonDeterministic,
    ResultTimeout,
    WorkflowNotFound,
)
from workflow.handle import FINAL, WorkflowInfo
from workflow.options import DEFAULT_PRIORITY, Cron, StartOptions

_log = logging.getLogger("workflow")
# The longest wait, for those that wait for ever: ten years.
_FOREVER_SECONDS = 315_360_000.0
_RETENTION_PERIOD_SECONDS = 60.0


class DBOSBackend:
    """Keeps the workflows of one engine; see DBOSEngine for its arguments."""

    unwinding: tuple[type[BaseException], ...] = (
        Interrupted,
        Postponed,
        dbos_error.DBOSBaseException,
    )

    def __init__(
        self, database_url: str, name: str, takeover_seconds: float, retention: timedelta | None
    ) -> None:
        self._url = database_url
        self._name = name
        self._takeover_seconds = takeover_seconds
        self._retention = retention
        self._process: Process | None = None
        self._queues: set[str] = set()

    # --- life -------------------------------------------------------------------------------------

    def open(self, execute: Execute, /) -> None:
        """Begin to run workflows; EngineUnavailable if the database cannot be used."""
        process = Process(self._url, self._name, self._takeover_seconds, execute, self._fire)
        self._process = process
        try:
            process.open()
        except BaseException:
            self._process = None
            raise
        if self._retention is not None:
            threading.Thread(
                target=self._delete_old,
                args=(process, self._retention),
                name="workflow retention",
                daemon=True,
            ).start()

    def close(self) -> None:
        """Stop; workflows that run here unwind, and are left to other processes."""
        if self._process is not None:
            self._process.close()
        self._process = None
        self._queues.clear()

    @property
    def process(self) -> Process:
        """The process that runs the workflows; EngineNotRunning."""
        if self._process is None:
            raise EngineNotRunning("this engine was stopped")
        return self._process

    def _delete_old(self, process: Process, retention: timedelta) -> None:
        while not process.stopping.wait(_RETENTION_PERIOD_SECONDS):
            try:
                self.delete_finished(datetime.now(timezone.utc) - retention)
            except Exception:  # noqa: BLE001 - the server may be away; the next time will do
                if not process.stopping.is_set():
                    _log.warning("old workflows could not be deleted", exc_info=True)

    # --- starting ---------------------------------------------------------------------------------

    def begin(self, start: Start, /) -> tuple[str, bool]:
        """Start a workflow, or put it on its queue; return its id and whether it surely is new."""
        queue = None if start.queue is None else self._queue_name(start.queue)
        return ask(lambda: self._begin(start, queue))

    def _begin(self, start: Start, queue: str | None) -> tuple[str, bool]:
        options = start.options
        attributes = {"function": start.reference, "parent": start.parent}
        with ExitStack() as settings:
            settings.enter_context(SetWorkflowID(start.workflow_id))
            settings.enter_context(SetWorkflowAttributes(attributes))
            if options.timeout is not None:
                settings.enter_context(SetWorkflowTimeout(options.timeout))
            if queue is None:
                handle = DBOS.start_workflow(workflow_entry(), start.reference, start.arguments)
                # One that was there already is only looked at, and has no future.
                future = getattr(handle, "future", None)
                if future is not None:
                    self.process.threads.runs(start.workflow_id, future)
                return handle.get_workflow_id(), future is not None
            settings.enter_context(_enqueue_options(options))
            handle = DBOS.enqueue_workflow(
                queue, workflow_entry(), start.reference, start.arguments
            )
        return handle.get_workflow_id(), False

    def _full_name(self, name: str) -> str:
        # In DBOS the name of a queue or schedule belongs to one engine of the database.
        return f"{self.process.name}/{name}"

    def _queue_name(self, queue: str) -> str:
        name = self._full_name(queue)
        if name not in self._queues:
            if ask(lambda: DBOS.retrieve_queue(name)) is None:
                self._register_queue(queue, DEFAULT_LIMITS, on_conflict="never_update")
            self._queues.add(name)
        return name

    def make_queue(self, name: str, limits: QueueLimits, /) -> None:
        """Create a queue or change its limits, for whatever is queued from then on."""
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
                self._full_name(name),
                global_concurrency=limits.concurrency,
                worker_concurrency=limits.worker_concurrency,
                limiter=None if rate is None else {"limit": rate.count, "period": rate.seconds},
                polling_interval_sec=POLL_SECONDS,
                on_conflict=on_conflict,
            )
        )

    def _fire(self, scheduled_at: Any, what: Scheduled) -> None:
        kept = ask(lambda: DBOS.get_schedule(self._full_name(what.name)))
        # DBOS learns a second late that a schedule was removed or replaced.
        if kept is None or kept["context"] != what:
            return
        if is_repeat(Cron(kept["schedule"], kept["cron_timezone"] or "UTC"), scheduled_at):
            return
        # After a pause of the machine DBOS makes up for every time that it missed.
        run = None if DBOS.workflow_id is None else find_one(DBOS.workflow_id)
        if run is None or (run.created_at - scheduled_at).total_seconds() <= LATE_SECONDS:
            self.begin(what.start_at(scheduled_at))

    def schedule(self, cron: Cron, what: Scheduled, /) -> None:
        """Keep a schedule, in place of one of the same name."""
        check(cron)
        ask(
            lambda: DBOS.apply_schedules(
                [
                    {
                        "schedule_name": self._full_name(what.name),
                        "workflow_fn": schedule_entry(),
                        "schedule": cron.expression,
                        "context": what,
                        "cron_timezone": cron.timezone,
                    }
                ]
            )
        )

    def unschedule(self, name: str, /) -> bool:
        """Remove a schedule; return whether there was one."""
        full = self._full_name(name)
        if ask(lambda: DBOS.get_schedule(full)) is None:
            return False
        ask(lambda: DBOS.delete_schedule(full))
        return True

    def registered(self, name: str, /) -> None:
        """Try workflows again that waited for a function of this name."""
        if self._process is not None:
            ask(partial(self._process.table.clear_refusals, name))

    # --- in a workflow ----------------------------------------------------------------------------

    def checkpoint(self, name: str, work: Callable[[str], bytes], /) -> bytes:
        """Return the bytes kept for the next step, or do the work and keep them."""
        process = self._running_here()

        def step() -> bytes:
            packed = work(f"{DBOS.workflow_id}:{DBOS.step_id}")
            if process.stopping.is_set():
                raise Interrupted
            return packed

        with _same_steps(), postponing_database_errors():
            return DBOS.run_step({"name": name}, step)

    def _running_here(self) -> Process:
        """Return the process as long as it does not stop; Interrupted: then this thread unwinds."""
        process = self._process
        if process is None or process.stopping.is_set():
            raise Interrupted
        return process

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    def wait_until(self, moment: float, /) -> None:
        """Wait until a time; Interrupted if the engine stops."""
        process = self._running_here()
        while (remaining := moment - time.time()) > 0:
            if process.stopping.wait(min(remaining, 3_600.0)):
                raise Interrupted

    def receive(self, topic: str, timeout: float | None, /) -> bytes | None:
        """Take a message as the next step of this workflow; None after the timeout."""
        self._running_here()
        with _same_steps(), postponing_database_errors():
            message: bytes | None = DBOS.recv(
                topic, _FOREVER_SECONDS if timeout is None else timeout
            )
        return message

    def publish(self, key: str, value: bytes, /) -> None:
        """Keep a value of this workflow, as its next step."""
        self._running_here()
        with _same_steps(), postponing_database_errors():
            DBOS.set_event(key, value)

    # --- messages, monitoring and control ---------------------------------------------------------

    def deliver(self, workflow_id: str, topic: str, message: bytes, key: str | None, /) -> None:
        """Keep a message for a workflow; once for each key that is not None."""
        ask(lambda: DBOS.send(workflow_id, message, topic, idempotency_key=key))

    def info(self, workflow_id: str, /) -> WorkflowInfo:
        """Return what is known of a workflow; WorkflowNotFound."""
        found = find_one(workflow_id)
        if found is None:
            raise WorkflowNotFound(f"no workflow has the id {workflow_id!r}")
        return found

    def find(self, wanted: Filter, /) -> list[WorkflowInfo]:
        """Return the workflows that pass a filter, the newest first."""
        return find(self.process.name, wanted)

    def result(self, workflow_id: str, timeout: float | None, /) -> bytes:
        """Wait for the end of a workflow; return its packed result, or raise its error."""
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.005
        while True:
            found = self.process.threads.wait(workflow_id, _left(end, 0.25))
            if found is None:
                found = outcome(workflow_id)
            if found is not None:
                return found
            left = _left(end, pause)
            if left <= 0:
                raise ResultTimeout(not_ended(self.info(workflow_id), timeout))
            if self.process.stopping.wait(left):
                raise EngineNotRunning("the engine was stopped while a result was waited for")
            pause = min(pause * 1.5, 0.2)

    def published(self, workflow_id: str, key: str, timeout: float, /) -> bytes | None:
        """Wait for a value that a workflow publishes, while it runs and the timeout lasts."""
        end = time.monotonic() + timeout
        while True:
            is_final = self.info(workflow_id).status.is_final
            # Ended, it publishes no more: what is there now is the answer.
            left = 0.0 if is_final else min(end - time.monotonic(), 0.5)
            value: bytes | None = ask(partial(DBOS.get_event, workflow_id, key, max(left, 0.0)))
            if value is not None or is_final or time.monotonic() >= end:
                return value

    def cancel(self, workflow_id: str, /) -> None:
        """Mark a workflow that has not ended as cancelled."""
        ask(lambda: DBOS.cancel_workflow(workflow_id))

    def resume(self, workflow_id: str, /) -> None:
        """Run a workflow again that is cancelled, or that waits since no process could run it."""
        ask(partial(self.process.table.resume, workflow_id))

    def delete_finished(self, before: datetime, /) -> int:
        """Delete the workflows that ended before a time, and return how many."""
        wanted = Filter(status=FINAL, finished_before=before, limit=1_000)
        count = 0
        while found := self.find(wanted):
            ask(partial(self.process.table.delete, [info.workflow_id for info in found]))
            count += len(found)
        return count


@contextmanager
def _same_steps() -> Iterator[None]:
    """Raise NonDeterministic for a replay that comes to a step of another name."""
    try:
        yield
    except dbos_error.DBOSUnexpectedStepError as error:
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
