"""WorkflowTable: the statements by which workflows wait, are queued again and are deleted.

Each checks and changes in one statement. No lock is taken that another role of the database could
hold against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy

from workflow.dbos.private import recovery_queue

# Delayed until then, the last day of 9999, a workflow waits for a process that can go on with it.
FOR_EVER_MS = 253_402_300_799_000
_NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# A workflow that is tried again by the clock waits twice as long each time, an hour at the most.
_LONGEST_MS = 3_600_000
# So many processes are remembered that could not go on with a workflow.
_REFUSALS_KEPT = 50

_TIMES = f"""
CASE WHEN {_NOW_MS} - coalesce((attributes #>> '{{blocked,at}}')::bigint, 0) < {2 * _LONGEST_MS}
    THEN least((attributes #>> '{{blocked,times}}')::int, 20) ELSE 0 END"""
_POSTPONE = f"""
UPDATE dbos.workflow_status SET
    status = 'DELAYED', owner_xid = NULL, started_at_epoch_ms = NULL, updated_at = {_NOW_MS},
    -- Its process did not die of it.
    recovery_attempts = greatest(recovery_attempts - 1, 0),
    queue_name = coalesce(queue_name, :queue),
    delay_until_epoch_ms = CASE WHEN CAST(:pause_ms AS bigint) IS NULL THEN {FOR_EVER_MS} ELSE
        {_NOW_MS} + least(CAST(:pause_ms AS bigint) * 2 ^ ({_TIMES}), {_LONGEST_MS})::bigint END,
    attributes = coalesce(attributes, '{{}}') || jsonb_build_object('blocked', jsonb_build_object(
        'why', CAST(:why AS text), 'at', {_NOW_MS}, 'times', 1 + {_TIMES},
        'refused_by', CASE WHEN CAST(:pause_ms AS bigint) IS NOT NULL THEN '[]' ELSE (
            SELECT coalesce(jsonb_agg(id), '[]') FROM (
                SELECT id FROM (
                    SELECT to_jsonb(CAST(:executor_id AS text)) AS id, 0 AS place
                    UNION ALL
                    SELECT * FROM jsonb_array_elements(
                        coalesce(attributes #> '{{blocked,refused_by}}', '[]')) WITH ORDINALITY
                ) known WHERE place = 0 OR id <> to_jsonb(CAST(:executor_id AS text))
                ORDER BY place LIMIT {_REFUSALS_KEPT}) kept) END))
WHERE workflow_uuid = :workflow_id AND status = 'PENDING'
    AND owner_xid IS NOT DISTINCT FROM CAST(:owner AS text)
"""
# Into its queue, where this process has not refused it yet.
_REQUEUE_WAITING = f"""
UPDATE dbos.workflow_status SET status = 'ENQUEUED', updated_at = {_NOW_MS}
WHERE status = 'DELAYED' AND delay_until_epoch_ms = {FOR_EVER_MS}
    AND application_name = :engine
    AND NOT (attributes #> '{{blocked,refused_by}}') @> to_jsonb(CAST(:executor_id AS text))
"""
_CLEAR_REFUSALS = f"""
UPDATE dbos.workflow_status SET
    attributes = jsonb_set(attributes, '{{blocked,refused_by}}',
        (attributes #> '{{blocked,refused_by}}') - CAST(:executor_id AS text))
WHERE status = 'DELAYED' AND delay_until_epoch_ms = {FOR_EVER_MS} AND application_name = :engine
    AND attributes ->> 'function' = :function
"""
_RESUME = f"""
UPDATE dbos.workflow_status SET
    status = 'ENQUEUED', owner_xid = NULL, recovery_attempts = 0, started_at_epoch_ms = NULL,
    updated_at = {_NOW_MS}, completed_at = NULL, delay_until_epoch_ms = NULL,
    queue_name = coalesce(queue_name, :queue), attributes = attributes - 'blocked',
    -- One that ran out of time would run out of it again at once.
    workflow_deadline_epoch_ms =
        CASE WHEN status <> 'CANCELLED' THEN workflow_deadline_epoch_ms END
WHERE workflow_uuid = :workflow_id AND (
    status IN ('CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')
    OR (status = 'DELAYED' AND attributes ? 'blocked'))
"""
_LOCK_ENDED = """
SELECT workflow_uuid FROM dbos.workflow_status
WHERE workflow_uuid = ANY(:workflow_ids)
    AND status IN ('SUCCESS', 'ERROR', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', 'CANCELLED')
FOR UPDATE
"""
_TABLES = ("workflow_input", "workflow_output", "operation_outputs", "workflow_status")
_CLAIMED = """
SELECT workflow_uuid FROM dbos.workflow_status
WHERE status = 'PENDING' AND application_name = :engine AND executor_id = :executor_id
"""


@dataclass(frozen=True)
class WorkflowTable:
    """The workflows of one engine in DBOS's table, as one of its processes may change them."""

    connections: sqlalchemy.Engine
    engine_name: str
    executor_id: str

    def postpone(
        self, workflow_id: str, owner: str | None, why: str, retry_after: float | None
    ) -> None:
        """Let a workflow that this process runs wait, unless it changed hands meanwhile.

        For `retry_after` seconds; if that is None, until a process can go on that could not yet.
        """
        self._run(
            _POSTPONE,
            workflow_id=workflow_id,
            owner=owner,
            # PostgreSQL keeps no NUL and no half of a surrogate pair.
            why=why[:2_000].replace("\0", "?").encode("utf-8", "replace").decode(),
            pause_ms=None if retry_after is None else int(retry_after * 1_000),
            executor_id=self.executor_id,
            queue=recovery_queue(),
        )

    def requeue_waiting(self) -> None:
        """Queue the workflows that wait for a process which knows what is missing elsewhere.

        Those that this process has refused already stay as they are.
        """
        self._run(_REQUEUE_WAITING, engine=self.engine_name, executor_id=self.executor_id)

    def clear_refusals(self, function: str) -> None:
        """Delete the notes that this process could not run a function: it can now."""
        self._run(
            _CLEAR_REFUSALS,
            engine=self.engine_name,
            executor_id=self.executor_id,
            function=function,
        )

    def resume(self, workflow_id: str) -> None:
        """Queue a workflow that is cancelled still or waits; one that runs is left alone."""
        self._run(_RESUME, workflow_id=workflow_id, queue=recovery_queue())

    def delete(self, workflow_ids: list[str]) -> None:
        """Delete those of the workflows that have ended still; one may have been resumed."""
        with self.connections.begin() as connection:
            ended = [
                row[0]
                for row in connection.execute(
                    sqlalchemy.text(_LOCK_ENDED), {"workflow_ids": workflow_ids}
                )
            ]
            for table in _TABLES if ended else ():
                statement = f"DELETE FROM dbos.{table} WHERE workflow_uuid = ANY(:ended)"
                connection.execute(sqlalchemy.text(statement), {"ended": ended})

    def claimed(self) -> set[str]:
        """Return the ids of the workflows that this process runs, according to the table."""
        with self.connections.connect() as connection:
            rows = connection.execute(
                sqlalchemy.text(_CLAIMED),
                {"engine": self.engine_name, "executor_id": self.executor_id},
            )
            return {str(row[0]) for row in rows}

    def _run(self, statement: str, **values: Any) -> None:
        with self.connections.begin() as connection:
            connection.execute(sqlalchemy.text(statement), values)
