"""What a backend does for an engine: it keeps bytes, and runs functions that were interrupted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from workflow.engine import WorkflowEngine, WorkflowInfo, WorkflowStatus
from workflow.options import Cron, RateLimit, StartOptions
from workflow.packing import pack, unpack


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


# Of a queue that is used before anybody made it; create_queue has the same by default.
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
    """What a schedule starts, in a form that can be kept."""

    name: str
    reference: str
    arguments: bytes
    wants_time: bool

    def start_at(self, moment: datetime) -> Start:
        """The workflow of one moment; its id is the same in every process."""
        arguments = self.arguments
        if self.wants_time:
            args, kwargs = unpack(arguments, "an argument of the schedule")
            kwargs["scheduled_at"] = moment
            arguments = pack((args, kwargs), "an argument of the schedule")
        workflow_id = f"{self.name}@{moment.astimezone(timezone.utc).isoformat()}"
        return Start(workflow_id, self.reference, arguments, StartOptions(), None, None)


def not_ended(info: WorkflowInfo, timeout: float | None) -> str:
    """What is said where a result is not there in time."""
    why = "" if info.blocked is None else f", and waits: {info.blocked}"
    return (
        f"workflow {info.workflow_id!r} did not end within {timeout:g} s; it is "
        f"{info.status.value}{why}"
    )


def other_step(workflow_id: str, number: int, kept: str, wanted: str) -> str:
    """What is said where a replay comes to a step of another name."""
    return (
        f"workflow {workflow_id} did {kept!r} as step {number} before, and now does {wanted!r}; "
        "run it with the code that began it, or let what it does depend on arguments and steps only"
    )


class BackendEngine(WorkflowEngine):
    """The contract of backends; `DurableEngine` makes an engine of it.

    A backend runs a workflow by `_execute`, in a thread that it marks as running that workflow for
    its own `_checkpoint`, `_receive` and `_publish`.
    """

    @abstractmethod
    def _execute(self, workflow_id: str, reference: str, arguments: bytes) -> bytes:
        """Run a workflow in this thread and return its packed result; its errors are portable."""

    # --- life and workflows -----------------------------------------------------------------------

    @abstractmethod
    def _open(self) -> None:
        """Begin to run workflows, those first that were interrupted."""

    @abstractmethod
    def _close(self) -> None:
        """Stop running workflows; those that run unwind with Interrupted."""

    @abstractmethod
    def _begin(self, start: Start) -> tuple[str, bool]:
        """Start a workflow, or put it on its queue; return its id and whether it surely is new.

        A queue that was never made is made with DEFAULT_LIMITS.
        """

    @abstractmethod
    def _info(self, workflow_id: str) -> WorkflowInfo:
        """What is known of a workflow; WorkflowNotFound."""

    @abstractmethod
    def _find(self, wanted: Filter) -> list[WorkflowInfo]:
        """The workflows that pass a filter, the newest first."""

    @abstractmethod
    def _await(self, workflow_id: str, timeout: float | None) -> bytes:
        """Wait for the end of a workflow; its packed result, or raise its error."""

    @abstractmethod
    def _cancel(self, workflow_id: str) -> None:
        """Mark a workflow that has not ended as cancelled."""

    @abstractmethod
    def _resume(self, workflow_id: str) -> None:
        """Let a workflow go on that is cancelled, or that waits as nobody could go on with it."""

    @abstractmethod
    def _forget(self, workflow_ids: list[str]) -> None:
        """Delete finished workflows and all that is kept of them."""

    # --- in a workflow ----------------------------------------------------------------------------

    @abstractmethod
    def _checkpoint(self, name: str, work: Callable[[str], bytes]) -> bytes:
        """Return the bytes kept for the next step of this workflow, or do the work and keep them.

        `work` gets the key of the step. NonDeterministic if another name was kept.
        """

    @abstractmethod
    def _now(self) -> float:
        """The time in seconds since 1970."""

    @abstractmethod
    def _wait_until(self, moment: float) -> None:
        """Wait until `_now()` has come so far; Interrupted if the engine stops."""

    @abstractmethod
    def _receive(self, topic: str, timeout: float | None) -> bytes | None:
        """Take a message as the next step of this workflow; None after the timeout."""

    @abstractmethod
    def _publish(self, key: str, value: bytes) -> None:
        """Keep a value of this workflow, as its next step."""

    # --- messages, events, queues and schedules ---------------------------------------------------

    @abstractmethod
    def _deliver(self, workflow_id: str, topic: str, message: bytes, key: str | None) -> None:
        """Keep a message for a workflow; once for each key that is not None."""

    @abstractmethod
    def _published(self, workflow_id: str, key: str, timeout: float) -> bytes | None:
        """Wait for a value of a workflow, while the workflow runs."""

    @abstractmethod
    def _make_queue(self, name: str, limits: QueueLimits) -> None:
        """Make a queue or change its limits."""

    @abstractmethod
    def _schedule(self, cron: Cron, what: Scheduled) -> None:
        """Keep a schedule, in place of one of the same name."""

    @abstractmethod
    def _unschedule(self, name: str) -> bool:
        """Remove a schedule; was there one?"""
