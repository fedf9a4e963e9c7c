"""One execution of a step: its attempts, their timeout, and its compensation."""

from __future__ import annotations

import contextvars
import inspect
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from step_scope import StepScope
from workflow.context import Postponed, Running, entered
from workflow.errors import OptionError, StepTimeout
from workflow.options import StepOptions
from workflow.references import name_of

_log = logging.getLogger("workflow")
# How long a step is repeated where a database cannot be reached, and how soon the workflow is
# tried again once that was given up.
OUTAGE_SECONDS = 60.0
RETRY_SECONDS = 30.0
_PAUSE_SECONDS = (0.1, 2.0)


def is_transient(error: BaseException) -> bool:
    """Whether an error is an outage and no fault of the workflow, as its class declares."""
    return getattr(error, "is_transient", False) is True


def attempts(
    call: Callable[[], Any],
    workflow: Running,
    key: str,
    name: str,
    options: StepOptions,
    pause: Callable[[float], None],
) -> Any:
    """Call until it succeeds, or until the step's retry policy gives up.

    Where a database is away it is called again, which does not count as an attempt; Postponed if
    that lasts.
    """
    attempt, waited = 0, 0.0
    while True:
        attempt += 1
        step = replace(workflow, step_key=key, numbers=count())
        try:
            with entered(step, StepScope(key)):
                return call() if options.timeout is None else _within(call, name, options.timeout)
        except Exception as error:
            if is_transient(error):
                seconds = _until_it_is_back(workflow, name, waited, error)
                waited += seconds
                attempt -= 1
                pause(seconds)
                continue
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


def _until_it_is_back(workflow: Running, name: str, waited: float, error: Exception) -> float:
    """Return how long to wait before a step is called again; Postponed after OUTAGE_SECONDS."""
    if waited >= OUTAGE_SECONDS:
        message = f"{type(error).__name__}: {error}"
        raise Postponed(f"step {name} was tried for {waited:.0f} s: {message}", RETRY_SECONDS)
    if waited == 0:
        _log.warning(
            "step %s of workflow %s is repeated, as a database is away: %s",
            name,
            workflow.workflow_id,
            error,
        )
    shortest, longest = _PAUSE_SECONDS
    return min(max(shortest, waited), longest)


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
    """Return the compensation of a step, as a function of the step's result.

    `undo` is given the step's own arguments, and the result as `result` if it has such a parameter;
    one without parameters is given nothing. OptionError if the arguments do not fit.
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
