"""Errors of the libraries underneath in this package's terms, with what to do next."""

from __future__ import annotations

import grpc

from client.errors import (
    AccessDenied,
    ClientError,
    DeadlineExceeded,
    ServerError,
    ServerUnreachable,
)


def translated(what: str, error: Exception) -> ClientError:
    """Return the error that a caller should see for one raised while doing `what`."""
    status = status_of(error)
    code = status.code() if status is not None else None
    if code == grpc.StatusCode.UNAVAILABLE:
        return ServerUnreachable(f"{what}: the server is not there; is it running?")
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return AccessDenied(
            f"{what}: the server does not know this session; it was restarted, or refuses the key"
        )
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{what}: no answer in time; is the server busy or stopped?")
    detail = f" ({status.details()})" if status is not None else ""
    return ServerError(f"{what}: {error}{detail}")


def status_of(error: BaseException) -> grpc.Call | None:
    """Return the answer of the call that an error stems from, None where it was no call's."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, grpc.Call):
        cause = cause.__cause__ or cause.__context__
    return cause
