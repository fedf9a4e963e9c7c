"""DurableEngine: the engine, over whatever keeps its workflows."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any, TypeVar

from workflow.backend import Backend, Filter, QueueLimits, Scheduled, Start
from workflow.context import Running, Undo, body, running
from workflow.durable.calls import Call, Unpicklable, packed_call
from workflow.durable.running import Runner, postponing
from workflow.durable.sources import Sources
from workflow.durable.steps import undo_call
from workflow.engine import (
    WorkflowEngine,
    WorkflowHandle,
    WorkflowInfo,
    WorkflowSource,
    WorkflowStatus,
)
from workflow.errors import (
    EngineNotRunning,
    FunctionNotFound,
    OptionError,
    SerializationError,
    WorkflowFinished,
    WorkflowIdInUse,
)
from workflow.names import checked_key, checked_name
from workflow.options import (
    Cron,
    RateLimit,
    Retry,
    Starter,
    StartOptions,
    StepOptions,
    Stepper,
    checked_seconds,
)
from workflow.packing import pack, unpack
from workflow.references import name_of, refer, refuse_arguments, refuse_coroutine

R = TypeVar("R")
E = TypeVar("E", bound="DurableEngine")


class DurableEngine(WorkflowEngine):
    """Runs plain functions as durable workflows, over a backend that keeps bytes.

    Inside a workflow every call goes to the engine that runs the workflow, whichever engine object
    it is made on.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._launched = False
        self._sources = Sources(self)
        # Calls that do not pickle, waiting for the workflow that runs them in this process.
        self._calls: dict[str, Call] = {}
        self._runner = Runner(self, backend, self._calls)

    # --- life -------------------------------------------------------------------------------------

    def launch(self: E) -> E:
        """Begin to run workflows, also those that were interrupted; return the engine."""
        if not self._launched:
            self._backend.open(self._runner.execute)
            self._launched = True
            self._sources.start()
        return self

    def destroy(self) -> None:
        """Stop; what runs is interrupted, and goes on when an engine is launched again."""
        if self._launched:
            self._sources.stop()
            self._launched = False
            self._backend.close()

    @property
    def is_running(self) -> bool:
        """Whether it was launched, and not destroyed since."""
        return self._launched

    def __enter__(self: E) -> E:
        return self.launch()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.destroy()

    def attach(self, source: WorkflowSource, /) -> None:
        """Start what a source holds, now and for as long as the engine runs."""
        self._sources.add(source)

    def register(self, name: str, fn: Callable[..., Any], /) -> None:
        """Register a function under a name, where other processes could not find it otherwise."""
        super().register(name, fn)
        self._backend.registered(name)

    def _acting(self) -> DurableEngine:
        """Return the engine that runs the workflow of this thread; this one outside of workflows.

        EngineNotRunning before launch() and after destroy().
        """
        found = running()
        if found is not None:
            return _engine_of(found)
        if not self._launched:
            raise EngineNotRunning(
                f"this {type(self).__name__} is not running; call launch(), or use it in a with "
                "block"
            )
        return self

    # --- starting workflows -----------------------------------------------------------------------

    def workflow(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> WorkflowHandle:
        """Start a workflow and return at once; its arguments must pickle.

        FunctionNotFound for a function that another process could not find by name.
        """
        return self._start(fn, args, kwargs, StartOptions())

    def queue(
        self, queue_name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> WorkflowHandle:
        """Put a workflow on a queue, to be started as the queue's limits allow.

        A queue that nobody created runs ten at a time, as `create_queue` does by default.
        """
        checked_name(queue_name, "a queue's name")
        return self._start(fn, args, kwargs, StartOptions(), queue_name)

    def run(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Run a workflow, wait for its end and return its result.

        Function and arguments need not pickle; but a workflow whose function cannot be found again,
        or whose arguments do not pickle, ends in NotRecoverable if its process is killed.
        """
        result: R = self._run(fn, args, kwargs, StartOptions())
        return result

    def start_once(
        self, workflow_id: str, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> WorkflowHandle:
        """Start a workflow under an id; the same id again returns the handle of the first.

        It has no parent, also where a workflow starts it.
        """
        options = StartOptions(workflow_id=workflow_id, is_orphan=True)
        return self._start(fn, args, kwargs, options)

    def options(
        self,
        *,
        workflow_id: str | None = None,
        timeout: float | None = None,
        priority: int | None = None,
        deduplication_id: str | None = None,
        delay: float | None = None,
    ) -> Starter:
        """Return a starter with options, for `.workflow`, `.run` or `.queue`."""
        options = StartOptions(workflow_id, timeout, priority, deduplication_id, delay)
        return Starter(self._start, self._run, options)

    def _start(
        self,
        fn: Callable[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: StartOptions,
        queue: str | None = None,
    ) -> WorkflowHandle:
        reference, packed = packed_call(fn, args, kwargs)
        return self._acting()._begin(reference, packed, options, queue)

    def _begin(
        self, reference: str, arguments: bytes, options: StartOptions, queue: str | None
    ) -> WorkflowHandle:
        if queue is None:
            options.refuse_queue_options()

        def begin(key: str | None) -> str:
            workflow_id = options.workflow_id or key or str(uuid.uuid4())
            parent = running()
            start = Start(
                workflow_id,
                reference,
                arguments,
                options,
                queue,
                None if parent is None or options.is_orphan else parent.workflow_id,
            )
            found_id, is_new = self._backend.begin(start)
            if not is_new and options.workflow_id is not None:
                known = self._backend.info(found_id).function
                if known != reference:
                    raise WorkflowIdInUse(
                        f"workflow {found_id!r} runs {known}, not {reference}; choose another id"
                    )
            return found_id

        return WorkflowHandle(self._runner.once(f"start {reference}", begin), self)

    def _run(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: StartOptions,
    ) -> Any:
        engine = self._acting()
        try:
            reference, packed = packed_call(fn, args, kwargs)
        except (SerializationError, FunctionNotFound) as error:
            if running() is not None:
                # A workflow inside a workflow is recovered with it, and this one cannot be.
                raise
            reason = str(error)
        else:
            return engine._begin(reference, packed, options, None).get_result()
        token = str(uuid.uuid4())
        engine._calls[token] = (fn, args, kwargs)
        try:
            packed = pack(Unpicklable(reason, token), "the reason")
            named = StartOptions(workflow_id=options.workflow_id or token, timeout=options.timeout)
            return engine._begin(name_of(fn), packed, named, None).get_result()
        finally:
            engine._calls.pop(token, None)

    # --- in a workflow ----------------------------------------------------------------------------

    def step(
        self,
        fn: Callable[..., R],
        /,
        *args: Any,
        undo: Callable[..., object] | None = None,
        **kwargs: Any,
    ) -> R:
        """Run a function as a step: once it is done, its result is kept and it never runs again.

        `undo` compensates the step if the workflow fails later: it is called with the same
        arguments, and with the step's result if it has a parameter `result`. All other keywords are
        `fn`'s; `step_options(…).step(fn, undo=…)` passes that one on, too.
        """
        result: R = self._step(fn, args, kwargs, StepOptions(undo=undo))
        return result

    def step_options(
        self,
        *,
        name: str | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        undo: Callable[..., object] | None = None,
    ) -> Stepper:
        """Return a stepper with options, for `.step`, whose keywords are all `fn`'s own."""
        return Stepper(self._step, StepOptions(name, retry, timeout, undo))

    def _step(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: StepOptions,
    ) -> Any:
        name = options.name or name_of(fn)
        workflow = body(f"step {name}")
        refuse_coroutine(fn)
        undo = None if options.undo is None else undo_call(options.undo, args, kwargs)
        once = _engine_of(workflow)._runner.once
        result = once(name, lambda _key: fn(*args, **kwargs), options)
        if undo is not None:
            workflow.undos.append(Undo(name, lambda: undo(result)))
        return result

    def sleep(self, seconds: float) -> None:
        """Let the workflow sleep; after a restart it sleeps the rest of the time only."""
        workflow = body("sleep")
        duration, engine = checked_seconds(seconds, "seconds"), _engine_of(workflow)
        backend = engine._backend
        backend.wait_until(engine._runner.once("sleep", lambda _key: backend.now() + duration))

    def send(self, workflow_id: str, topic: str, value: Any) -> None:
        """Send a message to a workflow, which takes it with `recv`.

        WorkflowNotFound where no workflow has the id, WorkflowFinished where it has ended. Sent by
        a workflow, the latter is dropped: it may have been taken before a crash.
        """
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")
        checked_name(topic, "a topic")
        message = pack(value, f"the message to {workflow_id}")

        def deliver(key: str | None) -> None:
            status = engine._backend.info(workflow_id).status
            has_ended = status.is_final and status is not WorkflowStatus.CANCELLED
            if has_ended and key is None:
                raise WorkflowFinished(
                    f"workflow {workflow_id!r} has ended with {status.value} and takes no message "
                    f"on {topic!r}"
                )
            engine._backend.deliver(workflow_id, topic, message, key)

        engine._runner.once(f"send {topic}", deliver)

    def recv(self, topic: str, timeout: float | None = None, *, default: Any = None) -> Any:
        """Take the next message of a topic, or `default` if none comes within `timeout` seconds.

        Messages of a topic come in the order in which they were sent. Without a timeout it waits
        for ever.
        """
        workflow = body("recv")
        checked_name(topic, "a topic")
        limit = None if timeout is None else checked_seconds(timeout, "timeout")
        with postponing(workflow):
            message = _engine_of(workflow)._backend.receive(topic, limit)
            return default if message is None else unpack(message, f"the message on {topic}")

    def set_event(self, key: str, value: Any) -> None:
        """Publish a value of this workflow, such as its progress; the last one counts."""
        workflow = body("set_event")
        checked_name(key, "an event's key")
        packed = pack(value, f"the event {key}")
        with postponing(workflow):
            _engine_of(workflow)._backend.publish(key, packed)

    # --- monitoring -------------------------------------------------------------------------------

    def get_workflow_status(self, workflow_id: str) -> WorkflowStatus:
        """Return where a workflow stands now; WorkflowNotFound if none has this id."""
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")
        status: WorkflowStatus = engine._runner.once(
            "get_workflow_status", lambda _key: engine._backend.info(workflow_id).status
        )
        return status

    def get_workflow_result(self, workflow_id: str, *, timeout: float | None = None) -> Any:
        """Wait for a workflow's end and return its result, or raise what it raised.

        ResultTimeout after `timeout` seconds, WorkflowCancelled if it was cancelled.
        """
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")
        limit = None if timeout is None else checked_seconds(timeout, "timeout")

        def wait(_key: str | None) -> Any:
            packed = engine._backend.result(workflow_id, limit)
            return unpack(packed, f"the result of {workflow_id}")

        return engine._runner.once("get_workflow_result", wait)

    def get_event(
        self, workflow_id: str, key: str, timeout: float = 60.0, *, default: Any = None
    ) -> Any:
        """Return what a workflow published, waiting for it for `timeout` seconds while it runs."""
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")
        checked_name(key, "an event's key")
        limit = checked_seconds(timeout, "timeout")

        def published(_key: str | None) -> Any:
            found = engine._backend.published(workflow_id, key, limit)
            return default if found is None else unpack(found, f"the event {key}")

        return engine._runner.once("get_event", published)

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
        """Return the workflows that pass all filters, the newest first."""
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
        found: list[WorkflowInfo] = engine._runner.once(
            "list_workflows", lambda _key: engine._backend.find(wanted)
        )
        return found

    # --- control ----------------------------------------------------------------------------------

    def cancel(self, workflow_id: str, *, children: bool = False) -> None:
        """Cancel a workflow: it does no further step, and nothing is compensated.

        A step that runs comes to its end. What has ended stays as it is. `children` cancels those
        too that it started, and theirs.
        """
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")
        backend = engine._backend

        def cancel(_key: str | None) -> None:
            backend.info(workflow_id)
            wanted = [workflow_id]
            while wanted:
                each = wanted.pop()
                backend.cancel(each)
                if children:
                    wanted += [child.workflow_id for child in backend.find(Filter(parent=each))]

        engine._runner.once("cancel", cancel)

    def resume(self, workflow_id: str) -> WorkflowHandle:
        """Continue a workflow after its last step: one that is cancelled, or is `blocked`.

        WorkflowFinished for one that has ended, except inside a workflow, which may have resumed
        it before a crash.
        """
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")

        def resume(key: str | None) -> None:
            info = engine._backend.info(workflow_id)
            if info.status is WorkflowStatus.CANCELLED or info.blocked is not None:
                engine._backend.resume(workflow_id)
            elif info.status.is_final and key is None:
                raise WorkflowFinished(
                    f"workflow {workflow_id!r} has ended with {info.status.value}; only a "
                    "cancelled one can be resumed, or one that waits"
                )

        engine._runner.once("resume", resume)
        return WorkflowHandle(workflow_id, engine)

    def delete_finished(self, older_than: timedelta) -> int:
        """Delete workflows that ended longer ago than this, and return how many.

        Their ids are free again, so a start under one of them would run it once more.
        """
        engine = self._acting()
        if older_than < timedelta(0):
            raise OptionError(f"older_than={older_than!r}; expected a timedelta of 0 or more")
        backend = engine._backend

        def delete(_key: str | None) -> int:
            now = datetime.fromtimestamp(backend.now(), timezone.utc)
            return backend.delete_finished(now - older_than)

        deleted: int = engine._runner.once("delete_finished", delete)
        return deleted

    # --- queues and schedules ---------------------------------------------------------------------

    def create_queue(
        self,
        name: str,
        concurrency: int | None = 10,
        *,
        worker_concurrency: int | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """Create a queue, or change its limits; one that is used before has the default ones.

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
                raise OptionError(f"{what}={limit!r}; expected 1 or more, or None for no limit")
        engine = self._acting()
        limits = QueueLimits(concurrency, worker_concurrency, rate_limit)
        engine._runner.once("create_queue", lambda _key: engine._backend.make_queue(name, limits))

    def schedule(
        self, name: str, cron: str | Cron, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> None:
        """Start a workflow at each time of a cron expression (UTC where it is a text).

        The schedule is kept under its name, and replaces an earlier one. A function with a
        parameter `scheduled_at` is given the time that it was meant for.
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
        engine._runner.once("schedule", lambda _key: engine._backend.schedule(when, what))

    def unschedule(self, name: str) -> bool:
        """Remove a schedule; return whether there was one of this name."""
        engine = self._acting()
        checked_key(name, "a schedule's name")
        removed: bool = engine._runner.once(
            "unschedule", lambda _key: engine._backend.unschedule(name)
        )
        return removed


def _engine_of(workflow: Running) -> DurableEngine:
    """Return the engine that runs a workflow: only those of this class say that they do."""
    engine = workflow.engine
    assert isinstance(engine, DurableEngine)
    return engine
