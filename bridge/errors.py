"""What can go wrong in the bridge, under one root; every error survives pickle.

Most of it can go wrong wherever rows are published, and comes from there under its old names.
"""

from __future__ import annotations

from publishing.errors import EngineNotRunning, RegistrationError, RowError
from publishing.errors import PublishingError as BridgeError
from publishing.errors import PublishingStopped as BridgeClosed

__all__ = [
    "BridgeClosed",
    "BridgeError",
    "EngineNotRunning",
    "NotRegistered",
    "RecordingError",
    "RegistrationError",
    "RowError",
]


class NotRegistered(BridgeError, KeyError):
    """A table is asked for of a class that the bridge does not carry."""

    def __str__(self) -> str:
        # KeyError would show the message in quotes.
        return str(self.args[0]) if self.args else ""


class RecordingError(BridgeError):
    """Rows of a table cannot be recorded in the store as they are."""
