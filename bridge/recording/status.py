"""What a recording does, and what it has counted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class RecordingState(str, Enum):
    """What a recording is doing."""

    RUNNING = "running"
    # The store cannot be reached; it tries again.
    WAITING = "waiting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class RecordingStatus:
    """What was recorded so far.

    `unchanged` rows say what the store holds already. `rejected` ones break the rules of the
    class, or the store refuses them; `error` tells of the newest, or why the recording failed.
    """

    state: RecordingState
    created: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    rejected: int = 0
    pending: int = 0
    error: str = ""
