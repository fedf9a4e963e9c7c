"""What can go wrong while rows are published, under one root; every error survives pickle."""

from __future__ import annotations


class PublishingError(Exception):
    """Root of all errors of this package."""


class EngineNotRunning(PublishingError, RuntimeError):
    """Tables were asked for before Deephaven's JVM runs in this process."""


class RegistrationError(PublishingError, ValueError):
    """Columns, keys or options of which no table can be made."""


class RowError(PublishingError, ValueError):
    """A row or batch does not fit the columns of its table; nothing of it was published."""


class PublishingStopped(PublishingError, RuntimeError):
    """Rows were offered to a writer that is closed, or for a table that has failed."""
