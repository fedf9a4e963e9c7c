"""Workflows as DBOS lists them, in the classes of this package."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from dbos import DBOS
from dbos import WorkflowStatus as Row

from workflow.backend import Filter
from workflow.dbos.process import ask
from workflow.errors import NotRecoverable, SerializationError, WorkflowCancelled, WorkflowNotFound
from workflow.handle import WorkflowInfo, WorkflowStatus
from workflow.options import DEFAULT_PRIORITY

_STATUS = {
    "ENQUEUED": WorkflowStatus.PENDING,
    "DELAYED": WorkflowStatus.PENDING,
    "PENDING": WorkflowStatus.RUNNING,
    "SUCCESS": WorkflowStatus.SUCCESS,
    "ERROR": WorkflowStatus.ERROR,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": WorkflowStatus.ERROR,
    "CANCELLED": WorkflowStatus.CANCELLED,
}


_TOO_OFTEN = "it was interrupted too often: each process that ran it ended; resume it to try again"


def find_one(workflow_id: str) -> WorkflowInfo | None:
    """Return one workflow, of whatever engine of the database; None if there is none."""
    rows = _rows(workflow_ids=[workflow_id], load_output=False)
    return _info(rows[0]) if rows else None


def find(engine_name: str, wanted: Filter) -> list[WorkflowInfo]:
    """Return the workflows of an engine that pass a filter, the newest first."""
    attributes = {
        name: value
        for name, value in (("function", wanted.function), ("parent", wanted.parent))
        if value is not None
    }
    statuses = None
    if wanted.status is not None:
        statuses = [theirs for theirs, ours in _STATUS.items() if ours in wanted.status]
    rows = _rows(
        application_name=engine_name,
        # The runs of schedules themselves are not shown, but forgotten with the others.
        name="workflow" if wanted.finished_before is None else None,
        status=statuses,
        queue_name=None if wanted.queue is None else f"{engine_name}/{wanted.queue}",
        workflow_id_prefix=wanted.id_prefix,
        start_time=_text(wanted.created_after),
        end_time=_text(wanted.created_before),
        completed_before=_text(wanted.finished_before),
        attributes=attributes or None,
        limit=wanted.limit,
        offset=wanted.offset or None,
        sort_desc=True,
        load_output=False,
    )
    return [_info(row) for row in rows]


def outcome(workflow_id: str) -> bytes | None:
    """Return the packed result of a workflow, None while it runs; raise its error."""
    rows = _rows(workflow_ids=[workflow_id], load_output=True)
    if not rows:
        raise WorkflowNotFound(f"no workflow has the id {workflow_id!r}")
    row = rows[0]
    status = _STATUS[row.status]
    if status is WorkflowStatus.CANCELLED:
        raise WorkflowCancelled(f"workflow {workflow_id!r} was cancelled")
    if row.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        raise NotRecoverable(f"workflow {workflow_id!r} waits: {_TOO_OFTEN}")
    if status is WorkflowStatus.ERROR:
        if isinstance(row.error, BaseException):
            raise row.error
        raise SerializationError(
            f"the error of workflow {workflow_id!r} cannot be loaded here: its class is missing"
        )
    return row.output if status is WorkflowStatus.SUCCESS else None


def _rows(**wanted: Any) -> list[Row]:
    return ask(lambda: DBOS.list_workflows(load_input=False, **wanted))


def _info(row: Row) -> WorkflowInfo:
    attributes = row.attributes or {}
    queue = row.queue_name
    is_ours = queue is not None and row.application_name is not None
    prefix = f"{row.application_name}/"
    return WorkflowInfo(
        workflow_id=row.workflow_id,
        status=_STATUS[row.status],
        function=str(attributes.get("function", row.name)),
        queue=queue[len(prefix) :] if is_ours and queue and queue.startswith(prefix) else None,
        priority=None if row.priority in (None, 0, DEFAULT_PRIORITY) else row.priority,
        parent=attributes.get("parent"),
        created_at=_moment(row.created_at),
        finished_at=None if row.completed_at is None else _moment(row.completed_at),
        blocked=_blocked(row),
    )


def _blocked(row: Row) -> str | None:
    if row.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return _TOO_OFTEN
    if row.status not in ("ENQUEUED", "DELAYED"):
        return None  # what is noted there is over
    why: str | None = (row.attributes or {}).get("blocked", {}).get("why")
    return why


def _moment(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1_000, timezone.utc)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(timezone.utc).isoformat()
