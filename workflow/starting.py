"""StartingEngine: how workflows are begun."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from workflow.backend import Start
from workflow.context import running
from workflow.engine import WorkflowHandle
from workflow.errors import FunctionNotFound, SerializationError, WorkflowIdInUse
from workflow.management import ManagedEngine
from workflow.names import checked_name
from workflow.options import Starter, StartOptions
from workflow.packing import pack
from workflow.references import name_of, refer, refuse_arguments, resolve

R = TypeVar("R")
Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Unkept:
    """In place of arguments that only the process which gave them can use; says why.

    That process finds them by the token: a second start under the same id has others.
    """

    token = ""  # of those that were kept before there were tokens

    def __init__(self, reason: str, token: str) -> None:
        self.reason = reason
        self.token = token


class StartingEngine(ManagedEngine):
    """The part of an engine that begins workflows."""

    @abstractmethod
    def _acting(self) -> StartingEngine:
        """The engine that is meant here; EngineNotRunning."""

    def __init__(self) -> None:
        # Functions and arguments of `run` that cannot be kept, by the token of their Unkept.
        self._unkept: dict[str, Call] = {}

    def workflow(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> WorkflowHandle:
        """Start a workflow and return at once; its arguments must pickle.

        FunctionNotFound for a function that another process could not find by name.
        """
        return self._start(fn, args, kwargs, StartOptions())

    def queue(
        self, queue_name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> WorkflowHandle:
        """Put a workflow on a queue, to be started as the queue's limits allow.

        A queue that nobody made runs ten at a time, as one of `create_queue` does by default.
        """
        checked_name(queue_name, "a queue's name")
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
        """Start a workflow under an id; the same id again gives the handle of the first.

        It belongs to no workflow, whoever happens to start it.
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
        reference, packed = _kept(fn, args, kwargs)
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
                None if parent is None or options.is_orphan else parent.workflow_id,
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
            reference, packed = _kept(fn, args, kwargs)
        except (SerializationError, FunctionNotFound) as error:
            if running() is not None:
                # A workflow inside a workflow is recovered with it, and this one cannot be.
                raise
            reason = str(error)
        else:
            return engine._begin_as(reference, packed, options, None).get_result()
        token = str(uuid.uuid4())
        engine._unkept[token] = (fn, args, kwargs)
        try:
            packed = pack(Unkept(reason, token), "the reason")
            named = StartOptions(workflow_id=options.workflow_id or token, timeout=options.timeout)
            return engine._begin_as(name_of(fn), packed, named, None).get_result()
        finally:
            engine._unkept.pop(token, None)


def _kept(
    fn: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, bytes]:
    """What another process needs to run a function: its reference and packed arguments.

    TypeError for arguments that the function does not take.
    """
    refuse_arguments(resolve(fn) if isinstance(fn, str) else fn, args, kwargs)
    reference, args, kwargs = refer(fn, args, kwargs)
    return reference, pack((args, kwargs), f"an argument of {reference}")
