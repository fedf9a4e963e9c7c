"""MemoryEngine: workflows without a database, for unit tests.

with MemoryEngine() as engine:
    handle = engine.workflow(settle, "order-1")
    engine.advance(3_600)              # whoever sleeps an hour wakes up now
    assert handle.get_result(timeout=5) == "settled"
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable
from typing import Any

from workflow.backend import Filter, QueueLimits, Scheduled, not_ended, other_step
from workflow.context import Interrupted
from workflow.cron import check, next_time
from workflow.engine import WorkflowInfo, WorkflowStatus
from workflow.errors import (
    EngineNotRunning,
    NonDeterministic,
    ResultTimeout,
    WorkflowCancelled,
    WorkflowNotFound,
)
from workflow.memory_records import Execution, Queue, Record, execution, passes
from workflow.memory_runner import MemoryRunner
from workflow.options import Cron, seconds
from workflow.packing import pack, unpack

# How long a step may hold up the clock, in real time.
_SETTLE_SECONDS = 5.0
# So many times of schedules are gone through in one move of the clock.
_TIMES_MAX = 1_000


class MemoryEngine(MemoryRunner):
    """An engine whose memory is its database: it checkpoints, replays and checks as others do.

    `destroy()` and `launch()` act like a crash and a restart: what ran goes on after its last
    step. `advance` moves its clock, for sleeps, timeouts, delays, limits and schedules.
    """

    def advance(self, duration: float) -> None:
        """Move this engine's clock forward by so many seconds.

        Before that, workflows do what they can without it: until each of them sleeps, or waits for
        a message or another workflow; but five seconds at the most. Schedules start their workflows
        at each of their times on the way, up to a thousand of them.
        """
        step = seconds(duration, "seconds")
        end = time.monotonic() + _SETTLE_SECONDS
        with self._changed:
            self._do_what_is_due()
            while self._running and any(record.works for record in self._records.values()):
                if not self._changed.wait(end - time.monotonic()):
                    break
            ahead = self._ahead + step
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

    def register(self, name: str, fn: Callable[..., Any], /) -> None:
        """Make a function known by a name, where another process could not find it otherwise."""
        super().register(name, fn)
        with self._changed:
            for record in self._records.values():
                if record.blocked is not None and record.start.reference == name:
                    record.not_before = 0.0
            if self._running:
                self._start_queued()

    # --- steps and messages -----------------------------------------------------------------------

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
                raise NonDeterministic(other_step(record.workflow_id, number, kept[0], name))
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
                raise ResultTimeout(not_ended(record.info(), timeout))
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
