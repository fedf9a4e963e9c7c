"""The step of a workflow that this thread runs: engines enter its scope, stores ask for it.

with entered(StepScope("settle-42:3")):     # an engine, around each execution of the step
    client.write(trade)                     # the store gives the write the id "settle-42:3:0"
assert current() is None
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass

__all__ = ["StepScope", "current", "enter", "entered", "leave"]


@dataclass
class StepScope:
    """One execution of one step: `key` names the step, `count` is how many writes it has made.

    `count` starts at 0 each time that the step runs, so a step that makes the same writes in the
    same order gives them the same ids.
    """

    key: str
    count: int = 0


# The name within contextvars is the one by which earlier versions of the store search for it.
_current: ContextVar[StepScope | None] = ContextVar("idempotency_key", default=None)


def current() -> StepScope | None:
    """Return the scope of the step that this thread runs; None outside of any."""
    return _current.get()


def enter(scope: StepScope | None) -> Token[StepScope | None]:
    """Enter the scope of a step, or none; return what `leave` needs to restore the one before."""
    return _current.set(scope)


def leave(token: Token[StepScope | None]) -> None:
    """Restore the scope that this thread was in before `enter` returned this token."""
    _current.reset(token)


@contextmanager
def entered(scope: StepScope | None) -> Iterator[None]:
    """Run the block in the scope of a step, or outside of any for None."""
    token = enter(scope)
    try:
        yield
    finally:
        leave(token)
