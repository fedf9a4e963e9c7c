"""A workflow that was started: its handle, its states, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Protocol


class WorkflowStatus(str, Enum):
    """Where a workflow stands."""

    PENDING = "PENDING"  # waits in a queue
    RUNNING = "RUNNING"  # also while it sleeps or waits for a message
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"  # by `cancel`, or by its timeout

    @property
    def is_final(self) -> bool:
        """Whether the workflow has ended; a cancelled one can be resumed."""
        return self not in (WorkflowStatus.PENDING, WorkflowStatus.RUNNING)


FINAL = tuple(status for status in WorkflowStatus if status.is_final)


@dataclass(frozen=True)
class WorkflowInfo:
    """What an engine knows of one workflow, without its arguments and result.

    `function` is its reference, `module:qualname`. Times are in UTC. `blocked` says why no
    process can continue it at present; its status is PENDING then, or ERROR where each process that
    ran it died. None where nothing blocks it. `resume` has it tried at once.
    """

    workflow_id: str
    status: WorkflowStatus
    function: str
    queue: str | None
    priority: int | None
    parent: str | None
    created_at: datetime
    finished_at: datetime | None
    blocked: str | None = None


class Results(Protocol):
    """An engine, as far as a handle needs one."""

    def get_workflow_status(self, workflow_id: str) -> WorkflowStatus:
        """Return where a workflow stands now."""

    def get_workflow_result(self, workflow_id: str, *, timeout: float | None = None) -> Any:
        """Wait for a workflow's end and return its result, or raise what it raised."""


class WorkflowHandle:
    """A workflow that was started, here or elsewhere."""

    def __init__(self, workflow_id: str, _engine: Results) -> None:
        self.workflow_id = workflow_id
        self._engine = _engine

    def get_status(self) -> WorkflowStatus:
        """Return where the workflow stands now."""
        return self._engine.get_workflow_status(self.workflow_id)

    def get_result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result, or raise what the workflow raised.

        ResultTimeout after `timeout` seconds, WorkflowCancelled if it was cancelled.
        """
        return self._engine.get_workflow_result(self.workflow_id, timeout=timeout)

    def __repr__(self) -> str:
        return f"WorkflowHandle({self.workflow_id!r})"
