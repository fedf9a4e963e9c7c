"""What can go wrong in the bridge, under one root; every error survives pickle."""

from __future__ import annotations


class BridgeError(Exception):
    """Root of all errors of this package."""


class EngineNotRunning(BridgeError, RuntimeError):
    """Tables were asked for before Deephaven's JVM runs in this process."""


class RegistrationError(BridgeError, ValueError):
    """A class, filter, column or writer that the bridge cannot take."""


class NotRegistered(BridgeError, KeyError):
    """A table is asked for of a class that the bridge does not carry."""

    def __str__(self) -> str:
        # KeyError would show the message in quotes.
        return str(self.args[0]) if self.args else ""


class RowError(BridgeError, ValueError):
    """A row with another number of values than its table has columns."""


class BridgeClosed(BridgeError, RuntimeError):
    """Something is asked of a bridge, writer or recording that was stopped."""


class RecordingError(BridgeError):
    """Rows of a table cannot be recorded in the store as they are."""
