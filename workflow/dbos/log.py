"""Warnings of DBOS, those that say something about the database, in the log `workflow.backend`."""

from __future__ import annotations

import logging
import time

# That a workflow fails is an outcome, not a fault; a step's retries are ours; the rest is about
# features that are not used.
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
# Each of its threads reports several times a second that the server is away.
_AGAIN_SECONDS = 30.0


class _Forward(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._log = logging.getLogger("workflow.backend")
        self._logged: dict[str, float] = {}
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
        if now - self._logged.get(subject, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._logged = {known: at for known, at in self._logged.items() if now - at < 600}
            self._logged[subject] = now
            self._log.log(record.levelno, "%s", text)


_handler = _Forward()


def forward_warnings() -> None:
    """Forward its warnings, and nothing else; it makes no handler of its own if it finds one."""
    log = logging.getLogger("dbos")
    if _handler not in log.handlers:
        log.addHandler(_handler)
    log.propagate = False
    _handler.is_stopping = False


def silence() -> None:
    """Drop its warnings while it is stopped: its threads lose their connections."""
    _handler.is_stopping = True
