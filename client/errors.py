"""What can go wrong for a client, each with a message that says what to do next."""

from __future__ import annotations


class ClientError(Exception):
    """Root of all errors of this package."""


class ServerUnreachable(ClientError, ConnectionError):
    """Nothing answers at the server's address, or it went away during a call."""


class AccessDenied(ClientError, PermissionError):
    """The server refuses the key, or there is no key to offer."""


class DeadlineExceeded(ClientError, TimeoutError):
    """The server did not answer in time."""


class TableNotFound(ClientError, KeyError):
    """The server has no table of that name."""

    def __str__(self) -> str:
        # KeyError would show the message in quotes.
        return str(self.args[0])


class ViewOnly(ClientError, PermissionError):
    """The server lets its clients look, and neither run code nor publish."""


class ServerError(ClientError):
    """The server took the call and answered with an error."""
