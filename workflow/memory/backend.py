"""MemoryBackend: keeps workflows in memory, with a clock that can be moved."""

from __future__ import annotations

import itertools
import logging
import math
import pickle
import threading
import time
from collections.abc import Callable
from datetime import datetime

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
from workflow.cron import LATE_SECONDS, check, next_time
from workflow.errors import (
    EngineNotRunning,
    NonDeterministic,
    ResultTimeout,
    WorkflowCancelled,
    WorkflowNotFound,
)
from workflow.handle import FINAL, WorkflowInfo, WorkflowStatus
from workflow.memory.records import Execution, Queue, Record, execution, holder_of, passes
from workflow.options import Cron
from workflow.packing import pack, unpack

_log = logging.getLogger("workflow")
# A workflow that is tried again by the clock waits twice as long each time, an hour at the most.
_RETRY_SECONDS_MAX = 3_600.0
# How long a step may hold up the clock, in real time.
_SETTLE_SECONDS = 5.0
# So many times of schedules are gone through in one move of the clock.
_TIMES_MAX = 1_000


class MemoryBackend:
    """Keeps the workflows of one engine, and runs each in a thread."""

    unwinding: tuple[type[BaseException], ...] = (Interrupted, Postponed)

    def __init__(self) -> None:
        self._execute: Execute | None = None
        self._changed = threading.Condition(threading.RLock())
        self._records: dict[str, Record] = {}
        self._queues: dict[str, Queue] = {}
        self._schedules: dict[str, tuple[Cron, Scheduled, datetime]] = {}
        self._numbers = itertools.count(1)
        self._ahead = 0.0
        self._running = False
        self._lives = 0

    def now(self) -> float:
        """Return the time in seconds since 1970, moved by `advance`."""
        return time.time() + self._ahead

    # --- life -------------------------------------------------------------------------------------

    def open(self, execute: Execute, /) -> None:
        """Begin to run workflows, first those that were interrupted."""
        self._execute = execute
        with self._changed:
            self._running = True
            self._lives += 1
            now = self.now()
            for name, (cron, what, moment) in self._schedules.items():
                if moment.timestamp() <= now:  # no process was there to start it
                    self._schedules[name] = (cron, what, next_time(cron, now))
            for record in self._records.values():
                if record.status is WorkflowStatus.RUNNING:
                    self._run_record(record)
                elif record.blocked is not None:
                    record.not_before = now  # what runs now may know what was missing
            clock = threading.Thread(
                target=self._tick, args=(self._lives,), name="workflow clock", daemon=True
            )
        clock.start()

    def close(self) -> None:
        """Stop; workflows that run unwind, and go on when it is opened again."""
        with self._changed:
            self._running = False
            self._changed.notify_all()

    def _tick(self, life: int) -> None:
        """Do what is due when it is due, from one launch to its end."""
        with self._changed:
            while self._running and self._lives == life:
                self._do_what_is_due()
                now = self.now()
                due = [moment.timestamp() for _, _, moment in self._schedules.values()]
                due += [moment for each in self._records.values() for moment in each.due()]
                due += [now + queue.wait(now) for queue in self._queues.values()]
                soonest = min((moment for moment in due if moment > now), default=now + 1.0)
                self._changed.wait(min(soonest - now, 1.0))

    def _do_what_is_due(self) -> None:
        """Timeouts, delays, rate limits and schedules."""
        if not self._running:
            return
        now = self.now()
        for name, (cron, what, moment) in list(self._schedules.items()):
            self._schedules[name] = (cron, what, self._fire(cron, what, moment))
        for record in self._records.values():
            if record.deadline is not None and record.deadline <= now:
                self._end(record, WorkflowStatus.CANCELLED)
        self._start_queued()

    def _fire(self, cron: Cron, what: Scheduled, moment: datetime) -> datetime:
        """Start what a schedule is due to, except where its time was missed; its next time."""
        now = self.now()
        while moment.timestamp() <= now:
            if now - moment.timestamp() <= LATE_SECONDS:
                try:
                    self.begin(what.start_at(moment))
                except Exception:  # noqa: BLE001 - of this schedule; the clock must go on
                    _log.warning(
                        "schedule %r could not start its workflow", what.name, exc_info=True
                    )
            moment = next_time(cron, max(moment.timestamp(), now - LATE_SECONDS))
        return moment

    def advance(self, duration: float) -> None:
        """Move the clock forward by so many seconds; see `MemoryEngine.advance`."""
        end = time.monotonic() + _SETTLE_SECONDS
        with self._changed:
            self._do_what_is_due()
            while self._running and any(record.works for record in self._records.values()):
                if not self._changed.wait(end - time.monotonic()):
                    break
            ahead = self._ahead + duration
            for _ in range(_TIMES_MAX if self._running else 0):
                times = [moment.timestamp() for _, _, moment in self._schedules.values()]
                soonest = min(times, default=math.inf) - time.time()
                if soonest > ahead:
                    break
                self._ahead = max(self._ahead, soonest)
                self._do_what_is_due()
            self._ahead = ahead
            # Before anybody wakes up: a timeout comes before a sleep that ends after it.
            self._do_what_is_due()
            self._changed.notify_all()

    def registered(self, name: str, /) -> None:
        """Try workflows again that waited for a function of this name."""
        with self._changed:
            for record in self._records.values():
                if record.blocked is not None and record.start.reference == name:
                    record.not_before = 0.0
            if self._running:
                self._start_queued()

    # --- starting ---------------------------------------------------------------------------------

    def begin(self, start: Start, /) -> tuple[str, bool]:
        """Start a workflow, or put it on its queue; return its id and whether it is new."""
        options = start.options
        with self._changed:
            if start.queue is not None:
                self._queues.setdefault(start.queue, Queue(DEFAULT_LIMITS))
            if start.workflow_id in self._records:
                return start.workflow_id, False
            holder = holder_of(self._records.values(), start)
            if holder is not None:
                return holder, False
            now = self.now()
            record = Record(start, next(self._numbers), now, now + (options.delay or 0.0))
            self._records[start.workflow_id] = record
            if start.queue is None:
                self._run_record(record)
            else:
                self._start_queued()
            self._changed.notify_all()
        return start.workflow_id, True

    def _start_queued(self) -> None:
        now = self.now()
        waiting = [r for r in self._records.values() if r.status is WorkflowStatus.PENDING]
        for record in sorted(waiting, key=lambda each: each.rank):
            if record.not_before > now:
                continue
            if record.start.queue is None:
                self._run_record(record)  # it had begun, and was postponed
                continue
            queue = self._queues[record.start.queue]
            running = sum(
                each.start.queue == record.start.queue and each.status is WorkflowStatus.RUNNING
                for each in self._records.values()
            )
            if queue.room(running, now):
                queue.starts.append(now)
                self._run_record(record)

    def _run_record(self, record: Record) -> None:
        record.status, record.blocked = WorkflowStatus.RUNNING, None
        record.run += 1
        timeout = record.start.options.timeout
        if record.deadline is None and timeout is not None:
            record.deadline = self.now() + timeout
        run = record.execution = Execution(record, record.run)
        name = f"workflow {record.workflow_id}"
        threading.Thread(target=self._perform, args=(run,), name=name, daemon=True).start()

    def _perform(self, run: Execution) -> None:
        execution.set(run)
        record, start = run.record, run.record.start
        assert self._execute is not None
        result = failure = None
        try:
            result = self._execute(record.workflow_id, start.reference, start.arguments)
        except Interrupted:
            return
        except Postponed as postponed:
            with self._changed:
                if self._owns(run):
                    self._postpone(record, postponed)
            return
        except BaseException as error:  # noqa: BLE001 - kept as the workflow's outcome
            failure = pickle.dumps(error)
        with self._changed:
            if self._owns(run):
                record.result, record.error = result, failure
                self._end(record, WorkflowStatus.ERROR if failure else WorkflowStatus.SUCCESS)

    def _postpone(self, record: Record, postponed: Postponed) -> None:
        _log.warning("workflow %s waits: %s", record.workflow_id, postponed.reason)
        record.status, record.blocked = WorkflowStatus.PENDING, postponed.reason
        if postponed.retry_after is None:
            record.not_before = math.inf
        else:
            pause = postponed.retry_after * 2.0 ** min(record.refusals, 20)
            record.not_before = self.now() + min(pause, _RETRY_SECONDS_MAX)
            record.refusals += 1
        self._start_queued()
        self._changed.notify_all()

    def _end(self, record: Record, status: WorkflowStatus) -> None:
        record.status, record.finished_at, record.deadline = status, self.now(), None
        self._start_queued()
        self._changed.notify_all()

    def _owns(self, run: Execution) -> bool:
        is_current = run.run == run.record.run and run.record.status is WorkflowStatus.RUNNING
        return self._running and is_current

    # --- steps and messages -----------------------------------------------------------------------

    def _check(self, run: Execution) -> None:
        if not self._owns(run):
            raise Interrupted

    def checkpoint(self, name: str, work: Callable[[str], bytes], /) -> bytes:
        """Return the bytes kept for the next step, or do the work and keep them."""
        run = execution.get()
        record, number = run.record, run.next_step()
        with self._changed:
            self._check(run)
            kept = record.steps.get(number)
        if kept is not None:
            if kept[0] != name:
                raise NonDeterministic(other_step(record.workflow_id, number, kept[0], name))
            return kept[1]
        packed = work(f"{record.workflow_id}:{number}")
        with self._changed:
            self._check(run)
            record.steps[number] = (name, packed)
        return packed

    def wait_until(self, moment: float, /) -> None:
        """Wait until a time of this clock; Interrupted if the engine stops."""
        run = execution.get()
        with self._changed:
            self._wait_while(lambda: True, moment)
            self._check(run)

    def _wait_while(self, blocked: Callable[[], bool], until: float) -> None:
        """Wait while that holds, but no longer than until a moment of this engine's clock."""
        run = execution.get(None)

        def still() -> bool:
            return blocked() and self.now() < until

        if run is not None and still():
            run.blocked = still
            self._changed.notify_all()
        while still():
            if run is not None:
                self._check(run)
            self._changed.wait(min(until - self.now(), 0.1))
        if run is not None:
            run.blocked = None

    def deliver(self, workflow_id: str, topic: str, message: bytes, key: str | None, /) -> None:
        """Keep a message for a workflow; once for each key that is not None."""
        with self._changed:
            record = self._record(workflow_id)
            if key is None or key not in record.delivered:
                record.inbox[topic].append(message)
            if key is not None:
                record.delivered.add(key)
            self._changed.notify_all()

    def receive(self, topic: str, timeout: float | None, /) -> bytes | None:
        """Take a message as the next step of this workflow; None after the timeout."""
        run = execution.get()
        until = float("inf")
        if timeout is not None:
            limit = self.now() + timeout
            until = unpack(
                self.checkpoint(f"recv {topic} until", lambda _key: pack(limit, "a time")), "it"
            )

        def take(_key: str) -> bytes:
            inbox = run.record.inbox[topic]
            self._wait_while(lambda: not inbox, until)
            self._check(run)
            return pack(inbox.popleft() if inbox else None, "a message")

        # Held throughout: nothing comes between taking the message and keeping the step.
        with self._changed:
            message: bytes | None = unpack(self.checkpoint(f"recv {topic}", take), "a message")
        return message

    def publish(self, key: str, value: bytes, /) -> None:
        """Keep a value of this workflow, as its next step."""
        run = execution.get()

        def keep(_key: str) -> bytes:
            with self._changed:
                run.record.events[key] = value
                self._changed.notify_all()
            return b""

        self.checkpoint(f"set_event {key}", keep)

    # --- monitoring and control -------------------------------------------------------------------

    def _record(self, workflow_id: str) -> Record:
        try:
            return self._records[workflow_id]
        except KeyError:
            raise WorkflowNotFound(f"no workflow has the id {workflow_id!r}") from None

    def info(self, workflow_id: str, /) -> WorkflowInfo:
        """Return what is known of a workflow; WorkflowNotFound."""
        with self._changed:
            return self._record(workflow_id).info()

    def find(self, wanted: Filter, /) -> list[WorkflowInfo]:
        """Return the workflows that pass a filter, the newest first."""
        with self._changed:
            found = [record.info() for record in reversed(self._records.values())]
        found = [info for info in found if passes(info, wanted)]
        end = None if wanted.limit is None else wanted.offset + wanted.limit
        return found[wanted.offset : end]

    def result(self, workflow_id: str, timeout: float | None, /) -> bytes:
        """Wait for the end of a workflow; return its packed result, or raise its error."""
        end = float("inf") if timeout is None else time.monotonic() + timeout
        with self._changed:
            record = self._record(workflow_id)
            # By real time: a test waits for its own patience, not for the engine's clock.
            self._wait_while(
                lambda: self._running and not record.status.is_final and time.monotonic() < end,
                float("inf"),
            )
            if not self._running:
                raise EngineNotRunning("the engine was stopped while a result was waited for")
            if not record.status.is_final:
                raise ResultTimeout(not_ended(record.info(), timeout))
            if record.status is WorkflowStatus.CANCELLED:
                raise WorkflowCancelled(f"workflow {workflow_id!r} was cancelled")
            if record.result is not None:
                return record.result
            assert record.error is not None
            error = pickle.loads(record.error)
        raise error

    def published(self, workflow_id: str, key: str, timeout: float, /) -> bytes | None:
        """Wait for a value that a workflow publishes, while it runs and the timeout lasts."""
        end = self.now() + timeout
        with self._changed:
            record = self._record(workflow_id)
            self._wait_while(
                lambda: self._running and key not in record.events and not record.status.is_final,
                end,
            )
            if not self._running:
                raise EngineNotRunning("the engine was stopped while an event was waited for")
            return record.events.get(key)

    def cancel(self, workflow_id: str, /) -> None:
        """Mark a workflow that has not ended as cancelled."""
        with self._changed:
            record = self._record(workflow_id)
            if not record.status.is_final:
                self._end(record, WorkflowStatus.CANCELLED)

    def resume(self, workflow_id: str, /) -> None:
        """Run a workflow again that is cancelled, or that waits since no process could run it."""
        with self._changed:
            record = self._record(workflow_id)
            if record.status is WorkflowStatus.PENDING and record.blocked is not None:
                record.not_before, record.refusals = 0.0, 0
                self._start_queued()
                self._changed.notify_all()
            if record.status is not WorkflowStatus.CANCELLED:
                return  # somebody else has resumed it meanwhile
            record.finished_at = None
            self._run_record(record)
            record.deadline = None
            self._changed.notify_all()

    def delete_finished(self, before: datetime, /) -> int:
        """Delete the workflows that ended before a time, and return how many."""
        wanted = Filter(status=FINAL, finished_before=before)
        with self._changed:
            found = self.find(wanted)
            for info in found:
                record = self._records.get(info.workflow_id)
                if record is not None and record.status.is_final:
                    del self._records[info.workflow_id]
        return len(found)

    def make_queue(self, name: str, limits: QueueLimits, /) -> None:
        """Create a queue or change its limits, for whatever is queued from then on."""
        with self._changed:
            self._queues.setdefault(name, Queue(limits)).limits = limits
            self._start_queued()
            self._changed.notify_all()

    def schedule(self, cron: Cron, what: Scheduled, /) -> None:
        """Keep a schedule, in place of one of the same name."""
        check(cron)
        with self._changed:
            self._schedules[what.name] = (cron, what, next_time(cron, self.now()))
            self._changed.notify_all()

    def unschedule(self, name: str, /) -> bool:
        """Remove a schedule; return whether there was one."""
        with self._changed:
            return self._schedules.pop(name, None) is not None
