"""Options of workflows, steps and queues, and the objects that carry them to a call.

engine.options(workflow_id="settle-42", timeout=3600).workflow(settle, 42)
engine.step_options(retry=Retry(attempts=5), timeout=10).step(call_clearing_house, 42)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from workflow.errors import OptionError
from workflow.handle import WorkflowHandle
from workflow.names import checked_name

R = TypeVar("R")
# Workflows without a priority stand between the urgent and the rest.
DEFAULT_PRIORITY = 1_000
PRIORITY_MAX = 1_000_000


def checked_seconds(value: float, name: str, *, above_zero: bool = False) -> float:
    """Return a duration as a float; OptionError if it is negative or not a number."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found) or found < 0 or (above_zero and found == 0):
        least = "above" if above_zero else "from"
        raise OptionError(f"{name}={value!r}; expected seconds, {least} 0")
    return found


@dataclass(frozen=True)
class Retry:
    """How often, and after which pauses, a step that raises is tried again.

    The pause is `delay` seconds, then `backoff` times as long each time, `delay_max` at the most.
    Only exceptions of the classes in `on` are tried again.
    """

    attempts: int = 3
    delay: float = 1.0
    backoff: float = 2.0
    delay_max: float = 60.0
    on: tuple[type[Exception], ...] = (Exception,)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise OptionError(f"attempts={self.attempts!r}; expected 1 or more")
        if self.backoff < 1:
            raise OptionError(f"backoff={self.backoff!r}; expected a factor of 1 or more")
        checked_seconds(self.delay, "delay")
        checked_seconds(self.delay_max, "delay_max")

    def pause_after(self, attempt: int) -> float:
        """Return the seconds to wait after a failed attempt, the first being 1."""
        try:
            return min(self.delay * self.backoff ** (attempt - 1), self.delay_max)
        except OverflowError:
            return self.delay_max


@dataclass(frozen=True)
class RateLimit:
    """At most `count` workflows of a queue start within any `seconds`."""

    count: int
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise OptionError(f"count={self.count!r}; expected 1 or more")
        checked_seconds(self.seconds, "seconds", above_zero=True)


@dataclass(frozen=True)
class Cron:
    """A cron expression and the name of its time zone, such as "Europe/London".

    Five fields: minute, hour, day, month, weekday. A sixth one in front gives the seconds.
    """

    expression: str
    timezone: str = "UTC"


@dataclass(frozen=True)
class StartOptions:
    """Options of a workflow that is started; see `WorkflowEngine.options`."""

    workflow_id: str | None = None
    timeout: float | None = None
    priority: int | None = None
    deduplication_id: str | None = None
    delay: float | None = None
    # Has no parent, even if a workflow starts it.
    is_orphan: bool = False

    def __post_init__(self) -> None:
        if self.workflow_id is not None:
            checked_name(self.workflow_id, "a workflow_id")
        if self.deduplication_id is not None:
            checked_name(self.deduplication_id, "a deduplication_id")
        if self.timeout is not None:
            checked_seconds(self.timeout, "timeout", above_zero=True)
        if self.delay is not None:
            checked_seconds(self.delay, "delay")
        if self.priority is not None and not 1 <= self.priority <= PRIORITY_MAX:
            raise OptionError(
                f"priority={self.priority!r}; expected 1 (first) to {PRIORITY_MAX} (last); the "
                f"default is {DEFAULT_PRIORITY}"
            )

    def refuse_queue_options(self) -> None:
        """Raise OptionError for options that apply to queues only."""
        for name in ("priority", "deduplication_id", "delay"):
            if getattr(self, name) is not None:
                raise OptionError(
                    f"{name}={getattr(self, name)!r} is for queues; start with .queue(name, …)"
                )


@dataclass(frozen=True)
class StepOptions:
    """Options of a step; see `WorkflowEngine.step_options`."""

    name: str | None = None
    retry: Retry | None = None
    timeout: float | None = None
    undo: Callable[..., object] | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            checked_name(self.name, "a step's name")
        if self.timeout is not None:
            checked_seconds(self.timeout, "timeout", above_zero=True)


class Starter:
    """Starts workflows with the options it was made with; all keywords are the function's own."""

    def __init__(
        self, start: Callable[..., WorkflowHandle], run: Callable[..., Any], options: StartOptions
    ) -> None:
        self._start = start
        self._run = run
        self.options = options

    def workflow(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> WorkflowHandle:
        """Start a workflow and return its handle."""
        return self._start(fn, args, kwargs, self.options)

    def run(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Start a workflow, wait for its end and return its result."""
        result: R = self._run(fn, args, kwargs, self.options)
        return result

    def queue(
        self, queue_name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> WorkflowHandle:
        """Put a workflow on a queue and return its handle."""
        checked_name(queue_name, "a queue's name")
        return self._start(fn, args, kwargs, self.options, queue_name)


class Stepper:
    """Runs steps with the options it was made with; all keywords are the function's own."""

    def __init__(self, run: Callable[..., Any], options: StepOptions) -> None:
        self._run = run
        self.options = options

    def step(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Run a checkpointed step of the workflow and return its result."""
        result: R = self._run(fn, args, kwargs, self.options)
        return result
