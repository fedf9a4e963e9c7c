"""Records of workflows and queues in memory."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timezone

from workflow.backend import Filter, QueueLimits, Start
from workflow.handle import WorkflowInfo, WorkflowStatus
from workflow.options import DEFAULT_PRIORITY


@dataclass
class Record:
    """One workflow. `run` counts its executions: only the last one may write."""

    start: Start
    number: int
    created_at: float
    not_before: float = 0.0
    deadline: float | None = None
    status: WorkflowStatus = WorkflowStatus.PENDING
    finished_at: float | None = None
    result: bytes | None = None
    error: bytes | None = None
    run: int = 0
    steps: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    events: dict[str, bytes] = field(default_factory=dict)
    inbox: defaultdict[str, deque[bytes]] = field(default_factory=lambda: defaultdict(deque))
    delivered: set[str] = field(default_factory=set)
    execution: Execution | None = None
    # Why it cannot go on, and how often that was tried.
    blocked: str | None = None
    refusals: int = 0

    @property
    def works(self) -> bool:
        """Whether it is running, and not waiting for anything."""
        if self.status is not WorkflowStatus.RUNNING or self.execution is None:
            return False
        blocked = self.execution.blocked
        return blocked is None or not blocked()

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self.start.workflow_id

    @property
    def rank(self) -> tuple[int, int]:
        """The order in which workflows leave their queue."""
        priority = self.start.options.priority
        return (DEFAULT_PRIORITY if priority is None else priority, self.number)

    def due(self) -> list[float]:
        """Return the moments at which something is to be done about the workflow."""
        if self.status.is_final:
            return []
        found = [] if self.deadline is None else [self.deadline]
        return [*found, self.not_before] if self.status is WorkflowStatus.PENDING else found

    def info(self) -> WorkflowInfo:
        """Return what `list_workflows` shows of the workflow."""
        priority = self.start.options.priority
        return WorkflowInfo(
            workflow_id=self.workflow_id,
            status=self.status,
            function=self.start.reference,
            queue=self.start.queue,
            priority=priority,
            parent=self.start.parent,
            created_at=datetime.fromtimestamp(self.created_at, timezone.utc),
            finished_at=None
            if self.finished_at is None
            else datetime.fromtimestamp(self.finished_at, timezone.utc),
            blocked=self.blocked if self.status is WorkflowStatus.PENDING else None,
        )


@dataclass
class Queue:
    """Limits of a queue, and when its latest workflows started."""

    limits: QueueLimits
    starts: deque[float] = field(default_factory=deque)

    def room(self, running: int, now: float) -> bool:
        """Whether another workflow may start now."""
        for limit in (self.limits.concurrency, self.limits.worker_concurrency):
            if limit is not None and running >= limit:
                return False
        return self.wait(now) == 0

    def wait(self, now: float) -> float:
        """Return the seconds until the rate limit lets another workflow start."""
        rate = self.limits.rate_limit
        if rate is None:
            return 0.0
        while self.starts and self.starts[0] <= now - rate.seconds:
            self.starts.popleft()
        if len(self.starts) < rate.count:
            return 0.0
        return self.starts[0] + rate.seconds - now


@dataclass
class Execution:
    """One execution of a workflow by a thread, and how many steps it has come to.

    `blocked` tells whether it waits for the clock, a message or another workflow.
    """

    record: Record
    run: int
    steps_seen: int = 0
    blocked: Callable[[], bool] | None = None

    def next_step(self) -> int:
        """Return the number of the next step, from 1."""
        self.steps_seen += 1
        return self.steps_seen


execution: ContextVar[Execution] = ContextVar("memory_execution")


def holder_of(records: Iterable[Record], start: Start) -> str | None:
    """Return the id of the workflow that holds the deduplication id of a start on its queue."""
    wanted = start.options.deduplication_id
    for record in records:
        same = record.start.options.deduplication_id == wanted
        if same and record.start.queue == start.queue and not record.status.is_final:
            return None if wanted is None else record.workflow_id
    return None


def passes(info: WorkflowInfo, wanted: Filter) -> bool:
    """Whether a workflow passes a filter."""
    return (
        (wanted.status is None or info.status in wanted.status)
        and (wanted.function is None or info.function == wanted.function)
        and (wanted.queue is None or info.queue == wanted.queue)
        and (wanted.id_prefix is None or info.workflow_id.startswith(wanted.id_prefix))
        and (wanted.parent is None or info.parent == wanted.parent)
        and (wanted.created_after is None or info.created_at >= wanted.created_after)
        and (wanted.created_before is None or info.created_at <= wanted.created_before)
        and (
            wanted.finished_before is None
            or (info.finished_at is not None and info.finished_at <= wanted.finished_before)
        )
    )
