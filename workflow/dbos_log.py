"""The backend's log, as far as it is worth saying, under the name `workflow.backend`."""

from __future__ import annotations

import logging
import time

# What it says of a workflow that fails is an outcome, not a fault; a step's retries are ours; the
# rest is about features that are not used.
_NOISE = (
    "Exception encountered in background workflow",
    "Step being automatically retried",
    "is not the latest version",
    "Duplicate registration of function",
    "Workflow already exists in queue",
    "outcome was not recorded",
    "no longer owned by this execution",
    "was cancelled during execution",
    "could not be deserialized",
    "Contention detected in queue thread",
    "Error serializing object",
    "to verify existence of",
)
_CONNECTION = ("OperationalError", "connection", "Exception polling schedules")
# Each of its threads says several times a second that the server is away.
_AGAIN_SECONDS = 30.0


class _Forward(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._log = logging.getLogger("workflow.backend")
        self._said: dict[str, float] = {}
        self.is_stopping = False

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if self.is_stopping or any(part in message for part in _NOISE):
            return
        # The first line: a statement and its values follow, which may be anybody's.
        text = message.split("\n", 1)[0]
        subject = text
        if any(part in message for part in _CONNECTION):
            subject = "connection"
            text = f"the database cannot be reached, and is tried again: {text}"
        now = time.monotonic()
        if now - self._said.get(subject, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._said = {known: at for known, at in self._said.items() if now - at < 600}
            self._said[subject] = now
            self._log.log(record.levelno, "%s", text)


_handler = _Forward()


def tame() -> None:
    """Let the backend say nothing by itself; it makes no handler of its own if it finds one."""
    log = logging.getLogger("dbos")
    if _handler not in log.handlers:
        log.addHandler(_handler)
    log.propagate = False
    _handler.is_stopping = False


def hush() -> None:
    """Drop what it says while it is stopped: threads that lose their connection."""
    _handler.is_stopping = True
