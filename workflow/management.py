"""ManagedEngine: looking at workflows from outside, and steering them."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from workflow.backend import BackendEngine, Filter, QueueLimits, Scheduled
from workflow.engine import WorkflowHandle, WorkflowInfo, WorkflowStatus
from workflow.errors import OptionError, WorkflowFinished
from workflow.names import checked_key, checked_name
from workflow.options import Cron, RateLimit, seconds
from workflow.packing import pack, unpack
from workflow.references import refer, refuse_arguments


class ManagedEngine(BackendEngine):
    """The part of an engine that needs no workflow around it."""

    @abstractmethod
    def _acting(self) -> ManagedEngine:
        """The engine that is meant here; EngineNotRunning."""

    @abstractmethod
    def _recorded(self, name: str, call: Callable[[str | None], Any]) -> Any:
        """Call once, also if the workflow around is run again."""

    # --- looking ----------------------------------------------------------------------------------

    def get_workflow_status(self, workflow_id: str) -> WorkflowStatus:
        """Where a workflow stands now; WorkflowNotFound if there is none of this id."""
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")
        status: WorkflowStatus = engine._recorded(
            "get_workflow_status", lambda _key: engine._info(workflow_id).status
        )
        return status

    def get_workflow_result(self, workflow_id: str, *, timeout: float | None = None) -> Any:
        """Wait for a workflow's end and return its result, or raise what it raised.

        ResultTimeout after `timeout` seconds, WorkflowCancelled if it was cancelled.
        """
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")
        limit = None if timeout is None else seconds(timeout, "timeout")

        def wait(_key: str | None) -> Any:
            return unpack(engine._await(workflow_id, limit), f"the result of {workflow_id}")

        return engine._recorded("get_workflow_result", wait)

    def get_event(
        self, workflow_id: str, key: str, timeout: float = 60.0, *, default: Any = None
    ) -> Any:
        """What a workflow published, waiting for it for `timeout` seconds while it runs."""
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")
        checked_name(key, "an event's key")
        limit = seconds(timeout, "timeout")

        def look(_key: str | None) -> Any:
            found = engine._published(workflow_id, key, limit)
            return default if found is None else unpack(found, f"the event {key}")

        return engine._recorded("get_event", look)

    def list_workflows(
        self,
        *,
        status: WorkflowStatus | Iterable[WorkflowStatus] | None = None,
        function: Callable[..., Any] | str | None = None,
        queue: str | None = None,
        id_prefix: str | None = None,
        parent: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = 100,
        offset: int = 0,
    ) -> list[WorkflowInfo]:
        """The workflows that pass all filters, the newest first."""
        engine = self._acting()
        for name, moment in (("created_after", created_after), ("created_before", created_before)):
            if moment is not None and moment.tzinfo is None:
                raise OptionError(f"{name}={moment!r} has no time zone; give an aware datetime")
        if isinstance(status, WorkflowStatus):
            status = (status,)
        for name, text in (("id_prefix", id_prefix), ("queue", queue), ("parent", parent)):
            if text is not None and text != "":
                checked_key(text, f"what {name} asks for")
        if isinstance(function, str):
            checked_key(function, "what function asks for")
        reference = function if isinstance(function, str | None) else refer(function, (), {})[0]
        wanted = Filter(
            status=None if status is None else tuple(WorkflowStatus(each) for each in status),
            function=reference,
            queue=queue,
            id_prefix=id_prefix,
            parent=parent,
            created_after=created_after,
            created_before=created_before,
            limit=limit,
            offset=offset,
        )
        found: list[WorkflowInfo] = engine._recorded(
            "list_workflows", lambda _key: engine._find(wanted)
        )
        return found

    # --- steering ---------------------------------------------------------------------------------

    def cancel(self, workflow_id: str, *, children: bool = False) -> None:
        """Cancel a workflow: it does no further step, and nothing is undone.

        A step that runs comes to its end. What has ended stays as it is. `children` cancels those
        too that it started, and theirs.
        """
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")

        def cancel(_key: str | None) -> None:
            engine._info(workflow_id)
            wanted = [workflow_id]
            while wanted:
                each = wanted.pop()
                engine._cancel(each)
                if children:
                    wanted += [child.workflow_id for child in engine._find(Filter(parent=each))]

        engine._recorded("cancel", cancel)

    def resume(self, workflow_id: str) -> WorkflowHandle:
        """Let a workflow go on after its last step that is cancelled, or that is `blocked`.

        WorkflowFinished for one that has ended; a workflow that asks may have resumed it before a
        crash, and hears nothing.
        """
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")

        def resume(key: str | None) -> None:
            info = engine._info(workflow_id)
            if info.status is WorkflowStatus.CANCELLED or info.blocked is not None:
                engine._resume(workflow_id)
            elif info.status.is_final and key is None:
                raise WorkflowFinished(
                    f"workflow {workflow_id!r} has ended with {info.status.value}; only a "
                    "cancelled one can be resumed, or one that waits"
                )

        engine._recorded("resume", resume)
        return WorkflowHandle(workflow_id, engine)

    def delete_finished(self, older_than: timedelta) -> int:
        """Forget workflows that ended longer ago than this, and return how many.

        Their ids are free again, so a start under one of them would run it once more.
        """
        engine = self._acting()
        if older_than < timedelta(0):
            raise OptionError(f"older_than={older_than!r}; a time in the past is meant")

        def delete(_key: str | None) -> int:
            before = datetime.fromtimestamp(engine._now(), timezone.utc) - older_than
            final = tuple(status for status in WorkflowStatus if status.is_final)
            count = 0
            while found := engine._find(Filter(status=final, finished_before=before, limit=1_000)):
                engine._forget([info.workflow_id for info in found])
                count += len(found)
            return count

        deleted: int = engine._recorded("delete_finished", delete)
        return deleted

    def create_queue(
        self,
        name: str,
        concurrency: int | None = 10,
        *,
        worker_concurrency: int | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """Make a queue, or change its limits; one that is used before has the default ones.

        The new limits hold in every process for each workflow that is queued after this returned.

        `concurrency` is how many of its workflows run at a time in all processes together,
        `worker_concurrency` in each; None means no limit.
        """
        checked_name(name, "a queue's name")
        for what, limit in (
            ("concurrency", concurrency),
            ("worker_concurrency", worker_concurrency),
        ):
            if limit is not None and limit < 1:
                raise OptionError(f"{what}={limit!r}; 1 or more, or None for no limit")
        engine = self._acting()
        limits = QueueLimits(concurrency, worker_concurrency, rate_limit)
        engine._recorded("create_queue", lambda _key: engine._make_queue(name, limits))

    def schedule(
        self, name: str, cron: str | Cron, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> None:
        """Start a workflow at each time of a cron expression (UTC where it is a text).

        The schedule is kept under its name, which replaces an earlier one. A function with a
        parameter `scheduled_at` gets the time that it was meant for.
        """
        engine = self._acting()
        checked_name(name, "a schedule's name")
        wants_time = "scheduled_at" in inspect.signature(fn).parameters
        given = {**kwargs, "scheduled_at": None} if wants_time else kwargs
        refuse_arguments(fn, args, given)
        reference, args, kwargs = refer(fn, args, kwargs)
        packed = pack((args, kwargs), f"an argument of {reference}")
        what = Scheduled(name, reference, packed, wants_time)
        when = cron if isinstance(cron, Cron) else Cron(cron)
        engine._recorded("schedule", lambda _key: engine._schedule(when, what))

    def unschedule(self, name: str) -> bool:
        """Remove a schedule; False if there was none of this name."""
        engine = self._acting()
        checked_key(name, "a schedule's name")
        removed: bool = engine._recorded("unschedule", lambda _key: engine._unschedule(name))
        return removed
