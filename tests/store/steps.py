"""Steps of a workflow engine, for tests of idempotent writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from step_scope import StepScope, entered


@contextmanager
def step(key: str = "workflow 1:0") -> Iterator[StepScope]:
    """As an engine runs a step."""
    scope = StepScope(key)
    with entered(scope):
        yield scope
