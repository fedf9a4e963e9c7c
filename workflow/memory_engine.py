"""MemoryEngine: workflows without a database, for unit tests.

with MemoryEngine() as engine:
    handle = engine.workflow(settle, "order-1")
    engine.advance(3_600)              # whoever sleeps an hour wakes up now
    assert handle.get_result(timeout=5) == "settled"
"""

from __future__ import annotations

import itertools
import logging
import pickle
import threading
import time
from collections.abc import Callable
from datetime import datetime

from workflow.backend import Filter, QueueLimits, Scheduled, Start
from workflow.context import Interrupted
from workflow.cron import check, next_time
from workflow.durable_engine import DurableEngine
from workflow.engine import WorkflowInfo, WorkflowStatus
from workflow.errors import (
    EngineNotRunning,
    NonDeterministic,
    QueueNotFound,
    ResultTimeout,
    WorkflowCancelled,
    WorkflowNotFound,
)
from workflow.memory_records import Execution, Queue, Record, execution, holder_of, passes
from workflow.options import Cron, seconds
from workflow.packing import pack, unpack

_log = logging.getLogger("workflow")
# How long a step may hold up the clock, in real time.
_SETTLE_SECONDS = 5.0


class MemoryEngine(DurableEngine):
    """An engine whose memory is its database: it checkpoints, replays and checks as others do.

    `destroy()` and `launch()` act like a crash and a restart: what ran goes on after its last
    step. `advance` moves its clock, for sleeps, timeouts, delays, limits and schedules.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition(threading.RLock())
        self._records: dict[str, Record] = {}
        self._queues: dict[str, Queue] = {}
        self._schedules: dict[str, tuple[Cron, Scheduled, datetime]] = {}
        self._numbers = itertools.count(1)
        self._ahead = 0.0
        self._running = False
        self._lives = 0

    def advance(self, duration: float) -> None:
        """Move this engine's clock forward by so many seconds.

        Before that, workflows do what they can without it: until each of them sleeps, or waits for
        a message or another workflow; but five seconds at the most.
        """
        step = seconds(duration, "seconds")
        end = time.monotonic() + _SETTLE_SECONDS
        with self._changed:
            self._do_what_is_due()
            while self._running and any(record.works for record in self._records.values()):
                if not self._changed.wait(end - time.monotonic()):
                    break
            self._ahead += step
            # Before anybody wakes up: a timeout comes before a sleep that ends after it.
            self._do_what_is_due()
            self._changed.notify_all()

    def _now(self) -> float:
        return time.time() + self._ahead

    # --- life -------------------------------------------------------------------------------------

    def _open(self) -> None:
        with self._changed:
            self._running = True
            self._lives += 1
            now = self._now()
            for name, (cron, what, moment) in self._schedules.items():
                if moment.timestamp() <= now:  # nobody was there to start it
                    self._schedules[name] = (cron, what, next_time(cron, now))
            for record in self._records.values():
                if record.status is WorkflowStatus.RUNNING:
                    self._run_record(record)
            clock = threading.Thread(
                target=self._tick, args=(self._lives,), name="workflow clock", daemon=True
            )
        clock.start()

    def _close(self) -> None:
        with self._changed:
            self._running = False
            self._changed.notify_all()

    def _tick(self, life: int) -> None:
        """Do what is due when it is due, from one launch to its end."""
        with self._changed:
            while self._running and self._lives == life:
                self._do_what_is_due()
                now = self._now()
                due = [moment.timestamp() for _, _, moment in self._schedules.values()]
                due += [moment for each in self._records.values() for moment in each.due()]
                due += [now + queue.wait(now) for queue in self._queues.values()]
                soonest = min((moment for moment in due if moment > now), default=now + 1.0)
                self._changed.wait(min(soonest - now, 1.0))

    def _do_what_is_due(self) -> None:
        """Timeouts, delays, rate limits and schedules."""
        if not self._running:
            return
        now = self._now()
        for name, (cron, what, moment) in list(self._schedules.items()):
            if moment.timestamp() <= now:
                self._schedules[name] = (cron, what, next_time(cron, now))
                try:
                    self._begin(what.start_at(moment))
                except Exception:  # noqa: BLE001 - of this schedule; the clock must go on
                    _log.warning("schedule %r could not start its workflow", name, exc_info=True)
        for record in self._records.values():
            if record.deadline is not None and record.deadline <= now:
                self._end(record, WorkflowStatus.CANCELLED)
        self._start_queued()

    # --- starting ---------------------------------------------------------------------------------

    def _begin(self, start: Start) -> tuple[str, bool]:
        options = start.options
        with self._changed:
            if start.queue is not None and start.queue not in self._queues:
                raise QueueNotFound(
                    f"no queue is called {start.queue!r}; create_queue makes one, and there are "
                    f"{sorted(self._queues)}"
                )
            if start.workflow_id in self._records:
                return start.workflow_id, False
            holder = holder_of(self._records.values(), start)
            if holder is not None:
                return holder, False
            now = self._now()
            record = Record(start, next(self._numbers), now, now + (options.delay or 0.0))
            self._records[start.workflow_id] = record
            if start.queue is None:
                self._run_record(record)
            else:
                self._start_queued()
            self._changed.notify_all()
        return start.workflow_id, True

    def _start_queued(self) -> None:
        now = self._now()
        waiting = [r for r in self._records.values() if r.status is WorkflowStatus.PENDING]
        for record in sorted(waiting, key=lambda each: each.rank):
            if record.not_before > now or record.start.queue is None:
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
        record.status = WorkflowStatus.RUNNING
        record.run += 1
        timeout = record.start.options.timeout
        if record.deadline is None and timeout is not None:
            record.deadline = self._now() + timeout
        run = record.execution = Execution(record, record.run)
        name = f"workflow {record.workflow_id}"
        threading.Thread(target=self._perform, args=(run,), name=name, daemon=True).start()

    def _perform(self, run: Execution) -> None:
        execution.set(run)
        record, start = run.record, run.record.start
        result = failure = None
        try:
            result = self._execute(record.workflow_id, start.reference, start.arguments)
        except Interrupted:
            return
        except BaseException as error:  # noqa: BLE001 - kept as the workflow's outcome
            failure = pickle.dumps(error)
        with self._changed:
            if self._owns(run):
                record.result, record.error = result, failure
                self._end(record, WorkflowStatus.ERROR if failure else WorkflowStatus.SUCCESS)

    def _end(self, record: Record, status: WorkflowStatus) -> None:
        record.status, record.finished_at, record.deadline = status, self._now(), None
        self._start_queued()
        self._changed.notify_all()

    # --- steps and messages -----------------------------------------------------------------------

    def _owns(self, run: Execution) -> bool:
        is_current = run.run == run.record.run and run.record.status is WorkflowStatus.RUNNING
        return self._running and is_current

    def _check(self, run: Execution) -> None:
        if not self._owns(run):
            raise Interrupted

    def _checkpoint(self, name: str, work: Callable[[str], bytes]) -> bytes:
        run = execution.get()
        record, number = run.record, run.next_step()
        with self._changed:
            self._check(run)
            kept = record.steps.get(number)
        if kept is not None:
            if kept[0] != name:
                raise NonDeterministic(
                    f"workflow {record.workflow_id} did {kept[0]!r} as step {number} before, and "
                    f"now does {name!r}; let what it does depend on arguments and steps only"
                )
            return kept[1]
        packed = work(f"{record.workflow_id}:{number}")
        with self._changed:
            self._check(run)
            record.steps[number] = (name, packed)
        return packed

    def _wait_until(self, moment: float) -> None:
        run = execution.get()
        with self._changed:
            self._wait_while(lambda: True, moment)
            self._check(run)

    def _wait_while(self, blocked: Callable[[], bool], until: float) -> None:
        """Wait while that holds, but no longer than until a moment of this engine's clock."""
        run = execution.get(None)

        def still() -> bool:
            return blocked() and self._now() < until

        if run is not None and still():
            run.blocked = still
            self._changed.notify_all()
        while still():
            if run is not None:
                self._check(run)
            self._changed.wait(min(until - self._now(), 0.1))
        if run is not None:
            run.blocked = None

    def _deliver(self, workflow_id: str, topic: str, message: bytes, key: str | None) -> None:
        with self._changed:
            record = self._record(workflow_id)
            if key is None or key not in record.delivered:
                record.inbox[topic].append(message)
            if key is not None:
                record.delivered.add(key)
            self._changed.notify_all()

    def _receive(self, topic: str, timeout: float | None) -> bytes | None:
        run = execution.get()
        until = float("inf")
        if timeout is not None:
            limit = self._now() + timeout
            until = unpack(
                self._checkpoint(f"recv {topic} until", lambda _key: pack(limit, "a time")), "it"
            )

        def take(_key: str) -> bytes:
            inbox = run.record.inbox[topic]
            self._wait_while(lambda: not inbox, until)
            self._check(run)
            return pack(inbox.popleft() if inbox else None, "a message")

        # Held throughout: nothing comes between taking the message and keeping the step.
        with self._changed:
            message: bytes | None = unpack(self._checkpoint(f"recv {topic}", take), "a message")
        return message

    def _publish(self, key: str, value: bytes) -> None:
        run = execution.get()

        def keep(_key: str) -> bytes:
            with self._changed:
                run.record.events[key] = value
                self._changed.notify_all()
            return b""

        self._checkpoint(f"set_event {key}", keep)

    # --- looking and steering ---------------------------------------------------------------------

    def _record(self, workflow_id: str) -> Record:
        try:
            return self._records[workflow_id]
        except KeyError:
            raise WorkflowNotFound(f"no workflow has the id {workflow_id!r}") from None

    def _info(self, workflow_id: str) -> WorkflowInfo:
        with self._changed:
            return self._record(workflow_id).info()

    def _find(self, wanted: Filter) -> list[WorkflowInfo]:
        with self._changed:
            found = [record.info() for record in reversed(self._records.values())]
        found = [info for info in found if passes(info, wanted)]
        end = None if wanted.limit is None else wanted.offset + wanted.limit
        return found[wanted.offset : end]

    def _await(self, workflow_id: str, timeout: float | None) -> bytes:
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
                raise ResultTimeout(
                    f"workflow {workflow_id!r} did not end within {timeout:g} s; it is "
                    f"{record.status.value}"
                )
            if record.status is WorkflowStatus.CANCELLED:
                raise WorkflowCancelled(f"workflow {workflow_id!r} was cancelled")
            if record.result is not None:
                return record.result
            assert record.error is not None
            error = pickle.loads(record.error)
        raise error

    def _published(self, workflow_id: str, key: str, timeout: float) -> bytes | None:
        end = self._now() + timeout
        with self._changed:
            record = self._record(workflow_id)
            self._wait_while(
                lambda: self._running and key not in record.events and not record.status.is_final,
                end,
            )
            if not self._running:
                raise EngineNotRunning("the engine was stopped while an event was waited for")
            return record.events.get(key)

    def _cancel(self, workflow_id: str) -> None:
        with self._changed:
            record = self._record(workflow_id)
            if not record.status.is_final:
                self._end(record, WorkflowStatus.CANCELLED)

    def _resume(self, workflow_id: str) -> None:
        with self._changed:
            record = self._record(workflow_id)
            if record.status is not WorkflowStatus.CANCELLED:
                return  # somebody else has resumed it meanwhile
            record.finished_at = None
            self._run_record(record)
            record.deadline = None
            self._changed.notify_all()

    def _forget(self, workflow_ids: list[str]) -> None:
        with self._changed:
            for workflow_id in workflow_ids:
                record = self._records.get(workflow_id)
                # It may have been forgotten or resumed meanwhile.
                if record is not None and record.status.is_final:
                    del self._records[workflow_id]

    def _make_queue(self, name: str, limits: QueueLimits) -> None:
        with self._changed:
            self._queues.setdefault(name, Queue(limits)).limits = limits
            self._start_queued()
            self._changed.notify_all()

    def _schedule(self, cron: Cron, what: Scheduled) -> None:
        check(cron)
        with self._changed:
            self._schedules[what.name] = (cron, what, next_time(cron, self._now()))
            self._changed.notify_all()

    def _unschedule(self, name: str) -> bool:
        with self._changed:
            return self._schedules.pop(name, None) is not None
