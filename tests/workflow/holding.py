"""Workflows that a test holds while others wait."""

from __future__ import annotations

from typing import Any

from tests.processes import wait_until
from tests.workflow import flows
from workflow import (
    WorkflowEngine,
    WorkflowStatus,
)

SECONDS = 20.0


def held(engine: WorkflowEngine, queue: str) -> Any:
    """Keep a queue that runs one at a time busy, until the message comes."""
    holder = engine.queue(queue, flows.receives, 1)
    wait_until(lambda: holder.get_status() is WorkflowStatus.RUNNING, SECONDS, "the holder")
    return holder
