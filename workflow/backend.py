"""Backend: what a durable engine needs from whatever keeps its workflows.

A backend keeps bytes, and runs functions again that were interrupted; what the bytes mean is the
engine's business. Values, errors and functions are packed before a backend sees them.

class FileBackend:                      # satisfies the protocol by its methods alone
    def open(self, execute): ...
engine = DurableEngine(FileBackend())
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from workflow.handle import WorkflowInfo, WorkflowStatus
from workflow.options import Cron, RateLimit, StartOptions
from workflow.packing import pack, unpack

# Runs a workflow, given its id, its function's reference and its packed arguments, in the calling
# thread; returns the packed result. An error that it raises pickles.
Execute = Callable[[str, str, bytes], bytes]


@dataclass(frozen=True)
class Start:
    """One workflow to be started; `arguments` are packed, `parent` is a workflow's id."""

    workflow_id: str
    reference: str
    arguments: bytes
    options: StartOptions
    queue: str | None
    parent: str | None


@dataclass(frozen=True)
class QueueLimits:
    """How many workflows of a queue may run, and how many may start in a time."""

    concurrency: int | None
    worker_concurrency: int | None
    rate_limit: RateLimit | None


# Of a queue that is used before anybody created it; create_queue has the same by default.
DEFAULT_LIMITS = QueueLimits(10, None, None)


@dataclass(frozen=True)
class Filter:
    """What `list_workflows` looks for; None lets all through."""

    status: tuple[WorkflowStatus, ...] | None = None
    function: str | None = None
    queue: str | None = None
    id_prefix: str | None = None
    parent: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    finished_before: datetime | None = None
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True)
class Scheduled:
    """What a schedule starts. Schedules are stored with it pickled: the class keeps its path."""

    name: str
    reference: str
    arguments: bytes
    wants_time: bool

    def start_at(self, moment: datetime) -> Start:
        """Return the workflow of one moment; its id is the same in every process."""
        arguments = self.arguments
        if self.wants_time:
            args, kwargs = unpack(arguments, "an argument of the schedule")
            kwargs["scheduled_at"] = moment
            arguments = pack((args, kwargs), "an argument of the schedule")
        workflow_id = f"{self.name}@{moment.astimezone(timezone.utc).isoformat()}"
        return Start(workflow_id, self.reference, arguments, StartOptions(), None, None)


class Backend(Protocol):
    """Keeps workflows, and runs them by the `execute` that it is opened with.

    It calls `execute` in a thread of its own for each workflow; `checkpoint`, `wait_until`,
    `receive` and `publish` are called in that thread. A workflow whose `execute` raises Postponed
    has not ended: it waits, and is run again.
    """

    @property
    def unwinding(self) -> tuple[type[BaseException], ...]:
        """What leaves a workflow's function without ending the workflow, beside `Exception`."""

    # --- life and workflows -----------------------------------------------------------------------

    def open(self, execute: Execute, /) -> None:
        """Begin to run workflows, first those that were interrupted."""

    def close(self) -> None:
        """Stop running workflows; those that run unwind with Interrupted."""

    def begin(self, start: Start, /) -> tuple[str, bool]:
        """Start a workflow, or put it on its queue; return its id and whether it surely is new.

        A queue that was never created is created with DEFAULT_LIMITS.
        """

    def info(self, workflow_id: str, /) -> WorkflowInfo:
        """Return what is known of a workflow; WorkflowNotFound."""

    def find(self, wanted: Filter, /) -> list[WorkflowInfo]:
        """Return the workflows that pass a filter, the newest first."""

    def result(self, workflow_id: str, timeout: float | None, /) -> bytes:
        """Wait for the end of a workflow; return its packed result, or raise its error.

        ResultTimeout after `timeout` seconds, WorkflowCancelled, WorkflowNotFound.
        """

    def cancel(self, workflow_id: str, /) -> None:
        """Mark a workflow that has not ended as cancelled."""

    def resume(self, workflow_id: str, /) -> None:
        """Run a workflow again that is cancelled, or that waits since no process could run it."""

    def delete_finished(self, before: datetime, /) -> int:
        """Delete the workflows that ended before a time, and return how many."""

    def registered(self, name: str, /) -> None:
        """Try workflows again that waited for a function of this name; this process has it now."""

    # --- in a workflow ----------------------------------------------------------------------------

    def checkpoint(self, name: str, work: Callable[[str], bytes], /) -> bytes:
        """Return the bytes kept for the next step of this workflow, or do the work and keep them.

        `work` is given the key of the step. NonDeterministic if another name was kept.
        """

    def now(self) -> float:
        """Return the time in seconds since 1970."""

    def wait_until(self, moment: float, /) -> None:
        """Wait until `now()` is `moment`; Interrupted if the engine stops."""

    def receive(self, topic: str, timeout: float | None, /) -> bytes | None:
        """Take a message as the next step of this workflow; None after the timeout."""

    def publish(self, key: str, value: bytes, /) -> None:
        """Keep a value of this workflow, as its next step."""

    # --- messages, events, queues and schedules ---------------------------------------------------

    def deliver(self, workflow_id: str, topic: str, message: bytes, key: str | None, /) -> None:
        """Keep a message for a workflow; once for each key that is not None."""

    def published(self, workflow_id: str, key: str, timeout: float, /) -> bytes | None:
        """Wait for a value that a workflow publishes, while it runs and `timeout` seconds last."""

    def make_queue(self, name: str, limits: QueueLimits, /) -> None:
        """Create a queue or change its limits, for whatever is queued from then on."""

    def schedule(self, cron: Cron, what: Scheduled, /) -> None:
        """Keep a schedule, in place of one of the same name."""

    def unschedule(self, name: str, /) -> bool:
        """Remove a schedule; return whether there was one."""


def not_ended(info: WorkflowInfo, timeout: float | None) -> str:
    """Return the message of a ResultTimeout."""
    why = "" if info.blocked is None else f", and waits: {info.blocked}"
    return (
        f"workflow {info.workflow_id!r} did not end within {timeout:g} s; it is "
        f"{info.status.value}{why}"
    )


def other_step(workflow_id: str, number: int, kept: str, wanted: str) -> str:
    """Return the message of a NonDeterministic: a replay comes to a step of another name."""
    return (
        f"workflow {workflow_id} did {kept!r} as step {number} before, and now does {wanted!r}; "
        "run it with the code that began it, or let what it does depend on arguments and steps only"
    )
