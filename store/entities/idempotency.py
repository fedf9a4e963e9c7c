"""Event ids of writes in a step that a workflow engine may run again.

An engine publishes a `contextvars.ContextVar` named "idempotency_key" for the duration of a step.
Nobody imports anybody for that: the store finds the variable by its name.

scope = SomeScope(key="order 7:fill", count=0)     # an IdempotencyScope
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

VARIABLE = "idempotency_key"


@runtime_checkable
class IdempotencyScope(Protocol):
    """What the variable holds: a name for the step, and how many writes it has made.

    `count` begins at 0 each time that the step is run.
    """

    key: str
    count: int


@dataclass(frozen=True)
class Numbers:
    """Event ids taken for one or several writes of a step, to be given back if these fail."""

    scope: IdempotencyScope
    first: int
    size: int

    @property
    def event_ids(self) -> list[str]:
        """The ids, in the order of the writes."""
        return [f"{self.scope.key}:{self.first + n}" for n in range(self.size)]

    def give_back(self) -> None:
        """Let the next write take the same numbers, unless later ones are taken already.

        What is run again then finds each write under the number that it had when it succeeded.
        """
        with _counting:
            if self.scope.count == self.first + self.size:
                self.scope.count = self.first


def current_scope() -> IdempotencyScope | None:
    """The scope of the step that this code runs in; None outside of any."""
    part = _part.get()
    if part is not None:
        return part
    for variable, value in contextvars.copy_context().items():
        if variable.name == VARIABLE and isinstance(value, IdempotencyScope):
            return value
    return None


def reserve(size: int) -> Numbers | None:
    """Reserve the ids of the next writes of the step; None outside of any."""
    scope = current_scope()
    if scope is None:
        return None
    with _counting:
        first = scope.count
        scope.count = first + size
    return Numbers(scope, first, size)


def next_event_id() -> str | None:
    """The id that the next write of the step will have; None outside of any."""
    scope = current_scope()
    return None if scope is None else f"{scope.key}:{scope.count}"


@contextmanager
def part_of_step(name: str) -> Iterator[None]:
    """Number the writes of this block apart from those of the step, under `name`.

    For writes that are left out when the step is run again: they must not shift the numbers of
    those that follow. Outside of a step nothing changes.
    """
    if current_scope() is None:
        yield
        return
    token = _part.set(_Part(name))
    try:
        yield
    finally:
        _part.reset(token)


@dataclass
class _Part:
    key: str
    count: int = 0


_part: contextvars.ContextVar[IdempotencyScope | None] = contextvars.ContextVar(
    "store_part_of_step", default=None
)
# Threads of one step may write at the same time.
_counting = threading.Lock()
