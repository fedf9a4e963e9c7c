"""One execution of a step: its attempts, their timeout, and how it is undone."""

from __future__ import annotations

import contextvars
import inspect
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from workflow.context import IdempotencyKey, Running, entered
from workflow.errors import OptionError, StepTimeout
from workflow.options import StepOptions
from workflow.references import name_of

_log = logging.getLogger("workflow")


def attempts(
    call: Callable[[], Any],
    workflow: Running,
    key: str,
    name: str,
    options: StepOptions,
    pause: Callable[[float], None],
) -> Any:
    """Call until it succeeds, or until the step's retry policy gives up."""
    for attempt in count(1):
        step = replace(workflow, step_key=key, numbers=count())
        try:
            with entered(step, IdempotencyKey(key)):
                return call() if options.timeout is None else _within(call, name, options.timeout)
        except Exception as error:
            retry = options.retry
            if retry is None or attempt >= retry.attempts or not isinstance(error, retry.on):
                raise
            seconds = retry.pause_after(attempt)
            _log.info(
                "step %s of workflow %s failed, attempt %d of %d; again in %.3g s: %r",
                name,
                workflow.workflow_id,
                attempt,
                retry.attempts,
                seconds,
                error,
            )
        pause(seconds)
    raise AssertionError("unreachable")


def _within(call: Callable[[], Any], name: str, timeout: float) -> Any:
    """Call in a thread of its own, which is left alone if it takes longer than `timeout`."""
    ended: list[tuple[bool, Any]] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            ended.append((True, context.run(call)))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            ended.append((False, error))

    thread = threading.Thread(target=work, name=f"step {name}", daemon=True)
    thread.start()
    thread.join(timeout)
    if not ended:
        raise StepTimeout(
            f"step {name} took longer than its timeout of {timeout:g} s; what it has begun may "
            "still come to its end"
        )
    succeeded, value = ended[0]
    if succeeded:
        return value
    raise value


def undo_call(
    undo: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[Any], object]:
    """How to undo a step, as a function of the step's result.

    `undo` gets the step's own arguments, and the result under the name `result` if it has such a
    parameter; one without parameters gets nothing. OptionError if the arguments do not fit.
    """
    try:
        signature = inspect.signature(undo)
    except (TypeError, ValueError):
        return lambda _result: undo(*args, **kwargs)
    if not signature.parameters:
        return lambda _result: undo()
    wants_result = "result" in signature.parameters and "result" not in kwargs
    try:
        signature.bind(*args, **kwargs, **({"result": None} if wants_result else {}))
    except TypeError as error:
        raise OptionError(
            f"undo={name_of(undo)}{signature} cannot be called with the arguments of the step: "
            f"{error}; it gets the same ones, and the step's result as `result` if it has that "
            "parameter"
        ) from error
    if wants_result:
        return lambda result: undo(*args, **kwargs, result=result)
    return lambda _result: undo(*args, **kwargs)
