"""How an engine's groups went: counted by its writer, read by who monitors it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WriterFigures"]


@dataclass
class WriterFigures:
    """Seconds, and counts since this process began.

    `last_lag_s` is how long the oldest input of the last group waited until it was durable.
    """

    last_size: int = 0
    last_commit_s: float = 0.0
    last_lag_s: float = 0.0
    commit_s: float = 0.0
    reconciliations: int = 0

    def committed(self, size: int, commit_s: float, lag_s: float) -> None:
        """Count a group."""
        self.last_size = size
        self.last_commit_s = commit_s
        self.last_lag_s = lag_s
        self.commit_s += commit_s
