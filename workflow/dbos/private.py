"""What is used of DBOS beyond its public interface, each part with what for; nothing else is.

`PARTS` names them all. Where a version of DBOS lacks one, `launch()` says which, before it touches
the database, and so does a test.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from dbos import DBOS

from workflow.context import Interrupted
from workflow.dbos.threads import WorkflowThreads
from workflow.errors import NotSupported

SUPPORTED = "dbos>=3.4,<3.5"


@dataclass(frozen=True)
class Part:
    """One thing of DBOS: `module:name`, or `module:Class@name` for an attribute of objects.

    `parameters` are the names of the first parameters of a function that is replaced here.
    """

    path: str
    use: str
    parameters: tuple[str, ...] = ()

    def find(self) -> Any:
        """Return it, or None for an attribute of objects; NotSupported if DBOS lacks it."""
        module, _, qualname = self.path.partition(":")
        qualname, _, attribute = qualname.partition("@")
        try:
            found: Any = importlib.import_module(module)
            for name in qualname.split("."):
                found = getattr(found, name)
        except (ImportError, AttributeError):
            raise self._lacking("is not there") from None
        if attribute:
            if not any(attribute in names for names in _names_in(found)):
                raise self._lacking("is not set")
            return None
        if self.parameters:
            taken = tuple(inspect.signature(found).parameters)[: len(self.parameters)]
            if taken != self.parameters:
                raise self._lacking(f"takes {', '.join(taken)}")
        return found

    def _lacking(self, what: str) -> NotSupported:
        version = importlib.metadata.version("dbos")
        return NotSupported(
            f"dbos {version} differs from what is supported: {self.path} {what}, which is needed "
            f"{self.use}; install {SUPPORTED}"
        )


def _names_in(cls: type) -> Iterator[tuple[str, ...]]:
    for member in vars(cls).values():
        code = getattr(member, "__code__", None)
        if code is not None:
            yield code.co_names


def _columns(table: str, *names: str) -> Iterator[Part]:
    for name in names:
        path = f"dbos._schemas.system_database:SystemSchema.{table}.c.{name}"
        yield Part(path, "in statements of workflow.dbos.statements")


_INTERNAL_QUEUE = Part("dbos._utils:INTERNAL_QUEUE_NAME", "to queue what was recovered or resumed")
_OWNER = Part(
    "dbos._context:current_owner_xid",
    "so that only the execution which owns a workflow lets it wait",
    ("workflow_id",),
)
PARTS: tuple[Part, ...] = (
    _INTERNAL_QUEUE,
    _OWNER,
    Part("dbos._dbos:DBOS._executor", "so that no thread of a workflow holds up a process's end"),
    Part("dbos._dbos:DBOS._sys_db", "for statements on the engine's own connections"),
    Part("dbos._dbos:DBOS@_sys_db_field", "to adapt the system database before it is used"),
    Part(
        "dbos._dbos:DBOS._recover_pending_workflows",
        "to take over the workflows of a process that has died",
        ("executor_ids",),
    ),
    Part("dbos._dbos:DBOS@_registry", "to look often into the queue of what was recovered"),
    Part(
        "dbos._dbos:DBOSRegistry._register_internal_queue",
        "to look often into the queue of what was recovered",
        ("self", "name"),
    ),
    Part(
        "dbos._dbos:DBOS@_active_workflows_set", "to find workflows that were claimed and not run"
    ),
    Part(
        "dbos._core:ActiveWorkflowById.activeList",
        "to find workflows that were claimed and not run",
        ("self",),
    ),
    Part(
        "dbos._sys_db:SystemDatabase.reenqueue_for_recovery",
        "to run workflows that were claimed and not run",
        ("self", "workflow_id", "executor_ids", "recovery_queue_name"),
    ),
    Part("dbos._sys_db:SystemDatabase@engine", "for statements on the engine's own connections"),
    Part("dbos._sys_db:SystemDatabase@tables", "to compare the limits of a queue"),
    Part(
        "dbos._sys_db:SystemDatabase.background_job_lock",
        "so that no other role of the database can hold up delayed workflows",
        ("self", "job_name"),
    ),
    Part(
        "dbos._sys_db:SystemDatabase.recv_consume",
        "to interrupt workflows that wait for a message",
        ("self", "workflow_uuid"),
    ),
    Part(
        "dbos._sys_db:SystemDatabase.recv_check",
        "to interrupt workflows that wait for a message",
        ("self", "workflow_uuid"),
    ),
    Part(
        "dbos._sys_db:SystemDatabase@notifications_map",
        "to interrupt workflows that wait for a message",
    ),
    Part(
        "dbos._sys_db:ThreadSafeEventDict.snapshot",
        "to interrupt workflows that wait for a message",
        ("self",),
    ),
    Part(
        "dbos._sys_db:SystemDatabase.start_queued_workflows",
        "to claim workflows under the present limits of their queue",
        ("self", "queue"),
    ),
    Part(
        "dbos._sys_db:SystemDatabase._claim_gate",
        "to claim workflows under the present limits of their queue",
        ("self", "queue_name", "partition_key"),
    ),
    *(
        Part(f"dbos._queue:Queue@{name}", "to compare the limits of a queue")
        for name in ("_concurrency", "_worker_concurrency", "_limiter", "database_backed_queue")
    ),
    *_columns(
        "queues",
        *("name", "concurrency", "worker_concurrency", "rate_limit_max", "rate_limit_period_sec"),
    ),
    *_columns(
        "workflow_status",
        *("workflow_uuid", "status", "owner_xid", "executor_id", "application_name", "attributes"),
        *("recovery_attempts", "queue_name", "started_at_epoch_ms", "updated_at", "completed_at"),
        *("delay_until_epoch_ms", "workflow_deadline_epoch_ms"),
    ),
    *(
        part
        for table in ("workflow_input", "workflow_output", "operation_outputs")
        for part in _columns(table, "workflow_uuid")
    ),
)


def check_version() -> None:
    """Raise NotSupported for the first part that the installed version of DBOS lacks."""
    for part in PARTS:
        part.find()


def recovery_queue() -> str:
    """Return the name of the queue that recovered and resumed workflows wait in."""
    return str(_INTERNAL_QUEUE.find())


def owner_of(workflow_id: str) -> str | None:
    """Return the token of the execution of a workflow that this thread runs."""
    owner: str | None = _OWNER.find()(workflow_id)
    return owner


class Instance(DBOS):
    """DBOS with the threads of this package, and with a system database adapted to it."""

    threads: WorkflowThreads

    @property
    def _executor(self) -> Any:
        # Refuses once it was destroyed. Its own threads would hold up the end of the process.
        super()._executor  # noqa: B018
        return self.threads

    # Set during the launch, before anything reads from it.
    @property
    def _sys_db_field(self) -> Any:
        return self._adapted

    @_sys_db_field.setter
    def _sys_db_field(self, database: Any) -> None:
        if database is not None:
            # DBOS lets one process at a time do some chores, by an advisory lock that any role of
            # the database can hold for ever: delayed workflows would never start.
            database.background_job_lock = lambda _job: nullcontext(True)
            _claim_under_present_limits(database)
        self._adapted = database

    def look_for_recovered(self, period_seconds: float) -> None:
        """Look that often into the queue of recovered workflows; to be called before launch."""
        self._registry._register_internal_queue(
            recovery_queue(), polling_interval_sec=period_seconds
        )

    @property
    def connections(self) -> sqlalchemy.Engine:
        """The pool of connections to the engine's database."""
        found: sqlalchemy.Engine = self._sys_db.engine
        return found

    def active_ids(self) -> list[str]:
        """Return the ids of the workflows that run in this process."""
        return self._active_workflows_set.activeList()

    def requeue(self, workflow_id: str, executor_id: str) -> None:
        """Put a workflow back into a queue that a process claimed and does not run."""
        self._sys_db.reenqueue_for_recovery(workflow_id, [executor_id], recovery_queue())

    def recover(self, executor_id: str) -> None:
        """Take over the workflows of a process that has died."""
        self._recover_pending_workflows([executor_id])

    def interrupt_receivers(self) -> None:
        """Wake those who wait for a message, and let them unwind instead of noting a timeout."""
        database = self._sys_db_field
        if database is None:
            return

        def interrupted(*_args: Any, **_kwargs: Any) -> Any:
            raise Interrupted

        database.recv_consume = interrupted
        # Those who come now look here once they can be woken, before they wait.
        database.recv_check = interrupted
        for _key, _components, signal in database.notifications_map.snapshot():
            signal.set()


def _claim_under_present_limits(database: Any) -> None:
    """Have DBOS's system database claim workflows under the present limits of their queue only.

    DBOS reads a queue's limits, waits for its next poll and then claims under what it has read.
    Limits that were changed in between would not hold for workflows that were queued after the
    change. So a claim also demands that the table has these limits still: one snapshot decides
    both, and a claim that is behind takes nothing. The next poll reads the limits again.
    """
    claiming = threading.local()
    claim: Callable[..., Any] = database.start_queued_workflows
    gate: Callable[..., list[Any]] = database._claim_gate

    def claim_of_present(queue: Any, *args: Any, **kwargs: Any) -> Any:
        claiming.queue = queue
        try:
            return claim(queue, *args, **kwargs)
        finally:
            claiming.queue = None

    def gate_of_present(queue_name: str, partition_key: str | None) -> list[Any]:
        queue = getattr(claiming, "queue", None)
        conditions = gate(queue_name, partition_key)
        # DBOS's own queues are in no table, and their limits never change.
        if queue is None or not queue.database_backed_queue:
            return conditions
        return [*conditions, _has_limits_of(queue, database.tables.queues)]

    database.start_queued_workflows = claim_of_present
    database._claim_gate = gate_of_present


def _has_limits_of(queue: Any, queues: Any) -> sqlalchemy.ColumnElement[bool]:
    """Return the condition that the table has the limits that a queue was read with."""
    rate = queue._limiter or {"limit": None, "period": None}
    limits = {
        "concurrency": queue._concurrency,
        "worker_concurrency": queue._worker_concurrency,
        "rate_limit_max": rate["limit"],
        "rate_limit_period_sec": rate["period"],
    }
    columns = queues.c
    return sqlalchemy.exists().where(
        columns.name == queue.name,
        *(columns[name].is_not_distinct_from(value) for name, value in limits.items()),
    )
