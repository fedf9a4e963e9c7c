"""Event ids of writes in a step that a workflow engine may run again.

An engine enters a `step_scope.StepScope` around each execution of a step. The ids are made of its
key and of the number of the write.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import step_scope
from step_scope import StepScope


@dataclass(frozen=True)
class Numbers:
    """Event ids taken for one or several writes of a step, to be given back if these fail."""

    scope: StepScope
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


def current_scope() -> StepScope | None:
    """Return the scope of the step, or the part of one, that this code runs in; None outside."""
    return _part.get() or step_scope.current()


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
    token = _part.set(StepScope(name))
    try:
        yield
    finally:
        _part.reset(token)


_part: contextvars.ContextVar[StepScope | None] = contextvars.ContextVar(
    "store_part_of_step", default=None
)
# Threads of one step may write at the same time.
_counting = threading.Lock()
