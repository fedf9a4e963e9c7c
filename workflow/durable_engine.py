"""DurableEngine: all that engines have in common, over the few things that a backend does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from workflow.context import Interrupted, Postponed, Running, Undo, body, entered, running
from workflow.engine import WorkflowSource, WorkflowStatus
from workflow.errors import (
    CompensationFailed,
    EngineNotRunning,
    FunctionNotFound,
    NonDeterministic,
    NotRecoverable,
    SerializationError,
    WorkflowFinished,
)
from workflow.names import checked_key, checked_name
from workflow.options import Retry, StepOptions, Stepper, seconds
from workflow.packing import opaque, pack, pack_failure, pack_outcome, portable, unpack
from workflow.references import name_of, refuse_arguments, refuse_coroutine, resolve
from workflow.sources import Sources
from workflow.starting import Call, StartingEngine, Unkept
from workflow.steps import RETRY_SECONDS, attempts, is_transient, undo_call

_log = logging.getLogger("workflow")
R = TypeVar("R")
E = TypeVar("E", bound="DurableEngine")


class DurableEngine(StartingEngine):
    """Workflows over a backend that keeps bytes: starts, steps, messages, and their replay."""

    # What leaves a workflow without ending it, beside exceptions.
    _unwinding: ClassVar[tuple[type[BaseException], ...]] = (Interrupted, Postponed)

    def __init__(self) -> None:
        super().__init__()
        self._launched = False
        self._sources = Sources(self)

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
            self._sources.stop()
            self._launched = False
            self._close()

    @property
    def is_running(self) -> bool:
        """Was it launched, and not destroyed since?"""
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

    def _acting(self) -> DurableEngine:
        """Inside a workflow the engine that runs it, whatever object is asked; else this one."""
        found = running()
        if found is not None:
            return _engine_of(found)
        if not self._launched:
            raise EngineNotRunning(
                f"this {type(self).__name__} is not running; call launch(), or use it in a with "
                "block"
            )
        return self

    # --- running a workflow -----------------------------------------------------------------------

    def _execute(self, workflow_id: str, reference: str, arguments: bytes) -> bytes:
        """Run a workflow in this thread and return its packed result; its errors are portable.

        Postponed where this process cannot go on with it: that is no error of the workflow.
        """
        workflow = Running(self, workflow_id)
        with entered(workflow):
            try:
                function, args, kwargs = self._called(workflow_id, reference, arguments)
                try:
                    result = self._ended(workflow, function, args, kwargs)
                    packed = pack(result, f"the result of {reference}")
                    unpack(packed, f"the result of {reference}")
                except Exception as error:
                    if is_transient(error):
                        # Raised outside of a step, which would have been repeated.
                        said = f"{type(error).__name__}: {error}"
                        raise Postponed(said, RETRY_SECONDS) from error
                    self._compensate(workflow, error)
                    raise
            except Exception as error:
                _log.info("workflow %s (%s) failed", workflow_id, reference, exc_info=True)
                found = portable(error)
                if found is error:
                    raise
                raise found from None
        return packed

    def _ended(
        self,
        workflow: Running,
        function: Callable[..., R],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> R:
        try:
            return function(*args, **kwargs)
        except Exception:
            raise
        except self._unwinding:
            raise
        except BaseException as error:
            # Such as sys.exit(): it ends this workflow, not the thread, nor whoever asks for its
            # result.
            raise opaque(error) from error
        finally:
            # Also where the workflow caught what unwinds it.
            if workflow.postponed is not None:
                raise workflow.postponed

    def _called(self, workflow_id: str, reference: str, arguments: bytes) -> Call:
        try:
            found = unpack(arguments, f"an argument of {reference}")
        except SerializationError as error:
            raise Postponed(str(error)) from error
        if isinstance(found, Unkept):
            live = self._unkept.pop(found.token, None)
            if live is not None:
                return live
            raise NotRecoverable(
                f"workflow {workflow_id} of {reference} was interrupted and cannot go on: "
                f"{found.reason}"
            )
        args, kwargs = found
        try:
            function = resolve(reference)
            refuse_arguments(function, args, kwargs)
        except (FunctionNotFound, TypeError) as error:
            raise Postponed(str(error)) from error
        return function, args, kwargs

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
        result = _engine_of(workflow)._recorded(name, lambda _key: fn(*args, **kwargs), options)
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
        if workflow.postponed is not None:
            raise workflow.postponed
        raised: list[Exception] = []

        def work(key: str) -> bytes:
            try:
                value = attempts(lambda: call(key), workflow, key, name, options, self._pause)
            except Exception as error:  # noqa: BLE001 - kept, and raised below
                raised.append(error)
                return pack_failure(error)
            return pack_outcome(value, f"the result of step {name}")

        with _postponing(workflow):
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
        duration, engine = _duration(seconds), _engine_of(workflow)
        until = engine._recorded("sleep", lambda _key: engine._now() + duration)
        engine._wait_until(until)

    def send(self, workflow_id: str, topic: str, value: Any) -> None:
        """Send a message to a workflow, which takes it with `recv`.

        WorkflowNotFound where nobody could take it, and WorkflowFinished where nobody could any
        more. Sent by a workflow, the latter is dropped: it may have been taken before a crash.
        """
        engine = self._acting()
        checked_key(workflow_id, "a workflow's id")
        checked_name(topic, "a topic")
        message = pack(value, f"the message to {workflow_id}")

        def deliver(key: str | None) -> None:
            status = engine._info(workflow_id).status
            has_ended = status.is_final and status is not WorkflowStatus.CANCELLED
            if has_ended and key is None:
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
        checked_name(topic, "a topic")
        limit = None if timeout is None else seconds(timeout, "timeout")
        with _postponing(workflow):
            message = _engine_of(workflow)._receive(topic, limit)
            return default if message is None else unpack(message, f"the message on {topic}")

    def set_event(self, key: str, value: Any) -> None:
        """Publish a value of this workflow, such as its progress; the last one counts."""
        workflow = body("set_event")
        checked_name(key, "an event's key")
        packed = pack(value, f"the event {key}")
        with _postponing(workflow):
            _engine_of(workflow)._publish(key, packed)


def _duration(value: float) -> float:
    return seconds(value, "seconds")


@contextmanager
def _postponing(workflow: Running) -> Iterator[None]:
    """Unwind the workflow where this process cannot go on with it, and do nothing more in it.

    Its code differs from what has run so far, or its database is away: no error of its own, which
    it could handle, and for which its steps would be undone.
    """
    if workflow.postponed is not None:
        raise workflow.postponed
    try:
        yield
    except Postponed as postponed:
        workflow.postponed = postponed
        raise
    except (NonDeterministic, SerializationError) as error:
        workflow.postponed = Postponed(str(error))
        raise workflow.postponed from error


def _done(undo: Undo, _key: str | None) -> None:
    undo.call()


def _engine_of(workflow: Running) -> DurableEngine:
    """The engine that runs a workflow: only those of this class say that they do."""
    engine = workflow.engine
    assert isinstance(engine, DurableEngine)
    return engine
