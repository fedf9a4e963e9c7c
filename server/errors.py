"""What can go wrong in the server, each with a message that says what to do next."""

from __future__ import annotations

from publishing.errors import PublishingStopped, RowError

__all__ = ["FeedFileError", "PublishingStopped", "RowError", "ServerError", "StartupError"]


class ServerError(Exception):
    """Root of all errors of this package."""


class StartupError(ServerError):
    """The server cannot start; the message is one line for the person at the terminal."""


class FeedFileError(ServerError):
    """A market data file was refused before anything was published.

    Attributes:
        path: the file as it was named.
        line: line of the file, counted from 1 with the header (row number for Parquet), or None
            where the file as a whole is wrong.
        reason: what was seen and what is allowed.
    """

    def __init__(self, path: str, line: int | None, reason: str) -> None:
        super().__init__(path, line, reason)
        self.path = path
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: {self.reason}"
