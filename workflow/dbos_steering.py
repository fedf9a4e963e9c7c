"""Steering by which a workflow changes hands: it looks first and acts then, with nobody between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy
from dbos import DBOS

from workflow.dbos_backend import Backend, ask
from workflow.dbos_views import find_one
from workflow.engine import WorkflowStatus

# Any number will do, as long as all processes take the same.
_LOCK = 0x5EE7_1A6
# Those of this process wait here: each that waits in the database takes one of its connections.
_waiting = threading.Lock()


def resume(backend: Backend, workflow_id: str) -> None:
    """Let a workflow go on if it is cancelled still; one that runs would be run a second time."""

    def work() -> None:
        with _alone(backend):
            found = find_one(workflow_id)
            if found is not None and found.status is WorkflowStatus.CANCELLED:
                DBOS.resume_workflow(workflow_id)

    ask(work)


def forget(backend: Backend, workflow_ids: list[str]) -> None:
    """Delete those of the workflows that have ended still; one may have been resumed meanwhile."""

    def work() -> None:
        with _alone(backend):
            rows = DBOS.list_workflows(
                workflow_ids=workflow_ids,
                status=["SUCCESS", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED", "CANCELLED"],
                load_input=False,
                load_output=False,
            )
            if rows:
                DBOS.delete_workflows([row.workflow_id for row in rows])

    ask(work)


@contextmanager
def _alone(backend: Backend) -> Iterator[None]:
    with _waiting, backend.database.begin() as connection:
        connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(_LOCK)))
        yield
