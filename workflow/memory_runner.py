"""What of a MemoryEngine runs: its clock, its queues and schedules, and the workflows' threads."""

from __future__ import annotations

import itertools
import logging
import math
import pickle
import threading
import time
from datetime import datetime

from workflow.backend import DEFAULT_LIMITS, Scheduled, Start
from workflow.context import Interrupted, Postponed
from workflow.cron import LATE_SECONDS, next_time
from workflow.durable_engine import DurableEngine
from workflow.engine import WorkflowStatus
from workflow.memory_records import Execution, Queue, Record, execution, holder_of
from workflow.options import Cron

_log = logging.getLogger("workflow")
# A workflow that is tried again by the clock waits twice as long each time, an hour at the most.
_RETRY_SECONDS_MAX = 3_600.0


class MemoryRunner(DurableEngine):
    """Starts workflows when their time has come, and again at a launch where they had not ended."""

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
                elif record.blocked is not None:
                    record.not_before = now  # what runs now may know what was missing
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
            self._schedules[name] = (cron, what, self._fire(cron, what, moment))
        for record in self._records.values():
            if record.deadline is not None and record.deadline <= now:
                self._end(record, WorkflowStatus.CANCELLED)
        self._start_queued()

    def _fire(self, cron: Cron, what: Scheduled, moment: datetime) -> datetime:
        """Start what a schedule is due to, except where its time was missed; its next time."""
        now = self._now()
        while moment.timestamp() <= now:
            if now - moment.timestamp() <= LATE_SECONDS:
                try:
                    self._begin(what.start_at(moment))
                except Exception:  # noqa: BLE001 - of this schedule; the clock must go on
                    _log.warning(
                        "schedule %r could not start its workflow", what.name, exc_info=True
                    )
            moment = next_time(cron, max(moment.timestamp(), now - LATE_SECONDS))
        return moment

    # --- starting ---------------------------------------------------------------------------------

    def _begin(self, start: Start) -> tuple[str, bool]:
        options = start.options
        with self._changed:
            if start.queue is not None:
                self._queues.setdefault(start.queue, Queue(DEFAULT_LIMITS))
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
            record.not_before = self._now() + min(pause, _RETRY_SECONDS_MAX)
            record.refusals += 1
        self._start_queued()
        self._changed.notify_all()

    def _end(self, record: Record, status: WorkflowStatus) -> None:
        record.status, record.finished_at, record.deadline = status, self._now(), None
        self._start_queued()
        self._changed.notify_all()

    def _owns(self, run: Execution) -> bool:
        is_current = run.run == run.record.run and run.record.status is WorkflowStatus.RUNNING
        return self._running and is_current
