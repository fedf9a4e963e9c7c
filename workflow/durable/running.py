"""Runner: runs the workflows of one engine over its backend, and what they do once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from workflow.backend import Backend
from workflow.context import Postponed, Running, Undo, entered, running
from workflow.durable.calls import Call, Unpicklable
from workflow.durable.steps import RETRY_SECONDS, attempts, is_transient
from workflow.engine import WorkflowEngine
from workflow.errors import (
    CompensationFailed,
    FunctionNotFound,
    NonDeterministic,
    NotRecoverable,
    SerializationError,
)
from workflow.options import StepOptions
from workflow.packing import opaque, pack, pack_failure, pack_outcome, portable, unpack
from workflow.references import refuse_arguments, resolve

_log = logging.getLogger("workflow")
R = TypeVar("R")


class Runner:
    """Runs workflows, and in them steps that are done once.

    `calls` are the calls of this process whose function or arguments do not pickle, by the token
    that stands for them.
    """

    def __init__(self, engine: WorkflowEngine, backend: Backend, calls: dict[str, Call]) -> None:
        self._engine = engine
        self._backend = backend
        self._calls = calls

    def execute(self, workflow_id: str, reference: str, arguments: bytes) -> bytes:
        """Run a workflow in this thread and return its packed result; its errors pickle.

        Postponed where this process cannot go on with it: that is no error of the workflow.
        """
        workflow = Running(self._engine, workflow_id)
        with entered(workflow):
            try:
                function, args, kwargs = self._call_of(workflow_id, reference, arguments)
                try:
                    result = self._returned(workflow, function, args, kwargs)
                    packed = pack(result, f"the result of {reference}")
                    unpack(packed, f"the result of {reference}")
                except Exception as error:
                    if is_transient(error):
                        # Raised outside of a step, which would have been repeated.
                        message = f"{type(error).__name__}: {error}"
                        raise Postponed(message, RETRY_SECONDS) from error
                    self._compensate(workflow, error)
                    raise
            except Exception as error:
                _log.info("workflow %s (%s) failed", workflow_id, reference, exc_info=True)
                found = portable(error)
                if found is error:
                    raise
                raise found from None
        return packed

    def once(
        self,
        name: str,
        call: Callable[[str | None], Any],
        options: StepOptions = StepOptions(),  # noqa: B008 - it is frozen
    ) -> Any:
        """Do something once: as a step in a workflow's body, with a derived key inside a step.

        `call` is given that key, and None outside of workflows, where it is just called.
        """
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

        with postponing(workflow):
            packed = self._backend.checkpoint(name, work)
            succeeded, value = unpack(packed, f"the result of step {name}")
        if succeeded:
            return value
        # The first time with its own traceback; afterwards as it was kept.
        raise raised[0] if raised and type(raised[0]) is type(value) else value

    def _returned(
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
        except self._backend.unwinding:
            raise
        except BaseException as error:
            # Such as sys.exit(): it ends this workflow, not the thread, nor whoever asks for its
            # result.
            raise opaque(error) from error
        finally:
            # Also where the workflow caught what unwinds it.
            if workflow.postponed is not None:
                raise workflow.postponed

    def _call_of(self, workflow_id: str, reference: str, arguments: bytes) -> Call:
        try:
            found = unpack(arguments, f"an argument of {reference}")
        except SerializationError as error:
            raise Postponed(str(error)) from error
        if isinstance(found, Unpicklable):
            call = self._calls.pop(found.token, None)
            if call is not None:
                return call
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
                self.once(f"undo {undo.name}", partial(_call_undo, undo))
            except Exception as failure:  # noqa: BLE001 - raised below, together
                _log.info("%s could not be undone", undo.name, exc_info=True)
                failures.append((undo.name, portable(failure)))
        if failures:
            raise CompensationFailed(portable(error), failures) from error

    def _pause(self, duration: float) -> None:
        self._backend.wait_until(self._backend.now() + duration)


@contextmanager
def postponing(workflow: Running) -> Iterator[None]:
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


def _call_undo(undo: Undo, _key: str | None) -> None:
    undo.call()
