"""DurableEngine: all that engines have in common, over the few things that a backend does."""

from __future__ import annotations

import logging
import uuid
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from workflow.context import Interrupted, Running, Undo, body, entered, running
from workflow.engine import WorkflowHandle, WorkflowSource, WorkflowStatus
from workflow.errors import (
    CompensationFailed,
    EngineNotRunning,
    NotRecoverable,
    SerializationError,
    WorkflowFinished,
    WorkflowIdInUse,
)
from workflow.management import ManagedEngine, Start
from workflow.options import Retry, Starter, StartOptions, StepOptions, Stepper, seconds
from workflow.packing import pack, pack_failure, pack_outcome, portable, unpack
from workflow.references import name_of, refer, refuse_coroutine, resolve
from workflow.sources import Sources
from workflow.steps import attempts, undo_call

_log = logging.getLogger("workflow")
R = TypeVar("R")
E = TypeVar("E", bound="DurableEngine")


class _Live:
    """In place of arguments that only the process which gave them can use; says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class DurableEngine(ManagedEngine):
    """Workflows over a backend that keeps bytes: starts, steps, messages, and their replay."""

    def __init__(self) -> None:
        self._launched = False
        self._sources = Sources(self)
        # Functions and arguments of `run` that cannot be kept, by workflow id.
        self._live: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {}

    # --- what a backend does ----------------------------------------------------------------------

    @abstractmethod
    def _open(self) -> None:
        """Begin to run workflows, those first that were interrupted."""

    @abstractmethod
    def _close(self) -> None:
        """Stop running workflows; those that run unwind with Interrupted."""

    @abstractmethod
    def _checkpoint(self, name: str, work: Callable[[str], bytes]) -> bytes:
        """Return the bytes kept for the next step of this workflow, or do the work and keep them.

        `work` gets the key of the step. NonDeterministic if another name was kept.
        """

    @abstractmethod
    def _wait_until(self, moment: float) -> None:
        """Wait until `_now()` has come so far; Interrupted if the engine stops."""

    @abstractmethod
    def _deliver(self, workflow_id: str, topic: str, message: bytes, key: str | None) -> None:
        """Keep a message for a workflow; once for each key that is not None."""

    @abstractmethod
    def _receive(self, topic: str, timeout: float | None) -> bytes | None:
        """Take a message as the next step of this workflow; None after the timeout."""

    @abstractmethod
    def _publish(self, key: str, value: bytes) -> None:
        """Keep a value of this workflow, as its next step."""

    # --- life -------------------------------------------------------------------------------------

    def launch(self: E) -> E:
        """Begin to run workflows, also those that were interrupted; return the engine."""
        if not self._launched:
            self._open()
            self._launched = True
            self._sources.start()
        return self

    def destroy(self) -> None:
        """Stop; what runs is interrupted, and goes on when an engine is launched again."""
        if self._launched:
            self._launched = False
            self._sources.stop()
            self._close()

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

    def _acting(self) -> DurableEngine:
        """Inside a workflow the engine that runs it, whatever object is asked; else this one."""
        found = running()
        if found is not None:
            return found.engine
        if not self._launched:
            raise EngineNotRunning(
                f"this {type(self).__name__} is not running; call launch(), or use it in a with "
                "block"
            )
        return self

    # --- starting ---------------------------------------------------------------------------------

    def workflow(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> WorkflowHandle:
        """Start a workflow and return at once; its arguments must pickle.

        FunctionNotFound for a function that another process could not find by name.
        """
        return self._start(fn, args, kwargs, StartOptions())

    def queue(
        self, queue_name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> WorkflowHandle:
        """Put a workflow on a queue, to be started as the queue's limits allow."""
        return self._start(fn, args, kwargs, StartOptions(), queue_name)

    def run(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Run a workflow, wait for its end and return its result.

        Function and arguments may be any; but a workflow whose function cannot be found again, or
        whose arguments do not pickle, ends in NotRecoverable if its process is killed.
        """
        result: R = self._run(fn, args, kwargs, StartOptions())
        return result

    def start_once(
        self, workflow_id: str, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> WorkflowHandle:
        """Start a workflow under an id; the same id again gives the handle of the first."""
        return self._start(fn, args, kwargs, StartOptions(workflow_id=workflow_id))

    def options(
        self,
        *,
        workflow_id: str | None = None,
        timeout: float | None = None,
        priority: int | None = None,
        deduplication_id: str | None = None,
        delay: float | None = None,
    ) -> Starter:
        """Say more about workflows that are then started with `.workflow`, `.run` or `.queue`."""
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
        reference, args, kwargs = refer(fn, args, kwargs)
        packed = pack((args, kwargs), f"an argument of {reference}")
        return self._begin_as(reference, packed, options, queue)

    def _begin_as(
        self, reference: str, arguments: bytes, options: StartOptions, queue: str | None
    ) -> WorkflowHandle:
        engine = self._acting()
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
                None if parent is None else parent.workflow_id,
            )
            found_id, is_new = engine._begin(start)
            if not is_new and options.workflow_id is not None:
                known = engine._info(found_id).function
                if known != reference:
                    raise WorkflowIdInUse(
                        f"workflow {found_id!r} runs {known}, not {reference}; choose another id"
                    )
            return found_id

        return WorkflowHandle(engine._recorded(f"start {reference}", begin), engine)

    def _run(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: StartOptions,
    ) -> Any:
        engine = self._acting()
        try:
            return engine._start(fn, args, kwargs, options).get_result()
        except (SerializationError, LookupError) as error:
            reason = _why_not_kept(fn, args, kwargs)
            if reason is None:
                raise
            if running() is not None:
                # A workflow inside a workflow would be recovered with it, and this one cannot be.
                raise error from None
        workflow_id = options.workflow_id or str(uuid.uuid4())
        engine._live[workflow_id] = (fn, args, kwargs)
        try:
            packed = pack(_Live(reason), "the reason")
            named = StartOptions(workflow_id=workflow_id, timeout=options.timeout)
            return engine._begin_as(name_of(fn), packed, named, None).get_result()
        finally:
            engine._live.pop(workflow_id, None)

    # --- running a workflow -----------------------------------------------------------------------

    def _execute(self, workflow_id: str, reference: str, arguments: bytes) -> bytes:
        """Run a workflow in this thread and return its packed result; its errors are portable."""
        workflow = Running(self, workflow_id)
        with entered(workflow):
            try:
                function, args, kwargs = self._called(workflow_id, reference, arguments)
                try:
                    packed = pack(function(*args, **kwargs), f"the result of {reference}")
                    unpack(packed, f"the result of {reference}")
                except Exception as error:
                    self._compensate(workflow, error)
                    raise
            except Exception as error:
                _log.info("workflow %s (%s) failed", workflow_id, reference, exc_info=True)
                found = portable(error)
                if found is error:
                    raise
                raise found from None
        return packed

    def _called(
        self, workflow_id: str, reference: str, arguments: bytes
    ) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        live = self._live.pop(workflow_id, None)
        if live is not None:
            return live
        found = unpack(arguments, f"an argument of {reference}")
        if isinstance(found, _Live):
            raise NotRecoverable(
                f"workflow {workflow_id} of {reference} was interrupted and cannot go on: "
                f"{found.reason}"
            )
        args, kwargs = found
        return resolve(reference), args, kwargs

    def _compensate(self, workflow: Running, error: Exception) -> None:
        failures: list[tuple[str, Exception]] = []
        while workflow.undos:
            undo = workflow.undos.pop()
            try:
                self._recorded(f"undo {undo.name}", partial(_done, undo))
            except Exception as failure:  # noqa: BLE001 - raised below, together
                _log.info("%s could not be undone", undo.name, exc_info=True)
                failures.append((undo.name, portable(failure)))
        if failures:
            raise CompensationFailed(portable(error), failures) from error

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

        `undo` takes the step back if the workflow fails later: called with the same arguments,
        and with the step's result if it has a parameter `result`. All other keywords are `fn`'s;
        `step_options(…).step(fn, undo=…)` passes that one on, too.
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
        """Say more about a step that is run with `.step`, whose keywords are all `fn`'s own."""
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
        result = workflow.engine._recorded(name, lambda _key: fn(*args, **kwargs), options)
        if undo is not None:
            workflow.undos.append(Undo(name, lambda: undo(result)))
        return result

    def _recorded(
        self,
        name: str,
        call: Callable[[str | None], Any],
        options: StepOptions = StepOptions(),  # noqa: B008 - it is frozen
    ) -> Any:
        """Do something once: as a step in a workflow's body, with a derived key inside a step."""
        workflow = running()
        if workflow is None:
            return call(None)
        if workflow.step_key is not None:
            return call(workflow.derived_key())
        raised: list[Exception] = []

        def work(key: str) -> bytes:
            try:
                value = attempts(lambda: call(key), workflow, key, name, options, self._pause)
            except Exception as error:  # noqa: BLE001 - kept, and raised below
                raised.append(error)
                return pack_failure(error)
            return pack_outcome(value, f"the result of step {name}")

        succeeded, value = unpack(self._checkpoint(name, work), f"the result of step {name}")
        if succeeded:
            return value
        # The first time with its own traceback; afterwards as it was kept.
        raise raised[0] if raised and type(raised[0]) is type(value) else value

    def _pause(self, duration: float) -> None:
        self._wait_until(self._now() + duration)

    def sleep(self, seconds: float) -> None:
        """Let the workflow sleep; after a restart it sleeps the rest of the time only."""
        workflow = body("sleep")
        duration = _duration(seconds)
        until = workflow.engine._recorded("sleep", lambda _key: workflow.engine._now() + duration)
        workflow.engine._wait_until(until)

    def send(self, workflow_id: str, topic: str, value: Any) -> None:
        """Send a message to a workflow, which takes it with `recv`.

        WorkflowNotFound and WorkflowFinished where nobody could take it.
        """
        engine = self._acting()
        message = pack(value, f"the message to {workflow_id}")

        def deliver(key: str | None) -> None:
            status = engine._info(workflow_id).status
            if status.is_final and status is not WorkflowStatus.CANCELLED:
                raise WorkflowFinished(
                    f"workflow {workflow_id!r} has ended with {status.value}; nobody would take "
                    f"the message on {topic!r}"
                )
            engine._deliver(workflow_id, topic, message, key)

        engine._recorded(f"send {topic}", deliver)

    def recv(self, topic: str, timeout: float | None = None, *, default: Any = None) -> Any:
        """Take the next message of a topic, or `default` if none comes within `timeout` seconds.

        Messages of a topic come in the order in which they were sent. None waits for ever.
        """
        workflow = body("recv")
        limit = None if timeout is None else seconds(timeout, "timeout")
        message = workflow.engine._receive(topic, limit)
        return default if message is None else unpack(message, f"the message on {topic}")

    def set_event(self, key: str, value: Any) -> None:
        """Publish a value of this workflow, such as its progress; the last one counts."""
        body("set_event").engine._publish(key, pack(value, f"the event {key}"))


def _duration(value: float) -> float:
    return seconds(value, "seconds")


def _done(undo: Undo, _key: str | None) -> None:
    undo.call()


def _why_not_kept(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str | None:
    """Why another process could not run this; None if it could."""
    try:
        reference, args, kwargs = refer(fn, args, kwargs)
        pack((args, kwargs), f"an argument of {reference}")
    except (SerializationError, LookupError) as error:
        return str(error)
    return None


__all__ = ["DurableEngine", "Interrupted"]
