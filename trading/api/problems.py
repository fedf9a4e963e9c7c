"""Errors as `application/problem+json`: what was asked, what was seen, what is allowed."""

from __future__ import annotations

import http
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from store.errors import (
    AccessError,
    FilterError,
    InvalidTransition,
    SchemaError,
    StoreError,
    TransitionNotPermitted,
    Unavailable,
    VersionConflict,
)
from trading.errors import (
    BarError,
    CalendarError,
    EngineError,
    EngineStopped,
    EngineTimeout,
    GovernanceError,
    IntervalError,
    InvalidOrderRequest,
    TickStoreError,
    TradingError,
)

__all__ = ["PROBLEM_TYPE", "Problem", "install", "problem_of"]

PROBLEM_TYPE = "application/problem+json"
_ERRORS_MAX = 20


class Problem(Exception):
    """An answer that is an error; `more` are fields beside the usual ones."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.status, self.code, self.detail, self.headers, self.more)

    def body(self) -> bytes:
        """Return the JSON of the answer."""
        return msgspec.json.encode(
            {
                "type": f"urn:trading:{self.code.lower().replace('_', '-')}",
                "title": http.HTTPStatus(self.status).phrase,
                "status": self.status,
                "code": self.code,
                "detail": self.detail,
                **self.more,
            }
        )

    def response(self) -> Response:
        """Return the answer."""
        return Response(self.body(), self.status, self.headers, media_type=PROBLEM_TYPE)


def _rebuild(
    status: int, code: str, detail: str, headers: Mapping[str, str], more: Mapping[str, Any]
) -> Problem:
    return Problem(status, code, detail, headers=headers, **more)


_RETRY = {"Retry-After": "1"}


def problem_of(error: Exception) -> Problem:
    """What an error of the store or of the trading packages is to a client."""
    if isinstance(error, InvalidOrderRequest):
        return Problem(422, error.code, str(error))
    if isinstance(error, (FilterError, BarError, IntervalError, CalendarError)):
        return Problem(422, "MALFORMED", str(error))
    if isinstance(error, GovernanceError):
        return _of_governance(error)
    if isinstance(error, TickStoreError):
        if "the right is missing" in str(error):
            return Problem(403, "FORBIDDEN", "no ticks may be read; ask for the right to")
        return Problem(503, "STORE_AWAY", "the database does not answer now", headers=_RETRY)
    if isinstance(error, EngineTimeout):
        return Problem(504, "ENGINE_TIMEOUT", str(error), headers=_RETRY)
    if isinstance(error, EngineStopped):
        return Problem(503, "ENGINE_AWAY", str(error), headers=_RETRY)
    if isinstance(error, EngineError):
        return Problem(422, "MALFORMED", str(error))
    if isinstance(error, Unavailable):
        return Problem(503, "STORE_AWAY", "the database does not answer now", headers=_RETRY)
    if isinstance(error, AccessError):
        return Problem(403, "FORBIDDEN", str(error))
    return Problem(422, "MALFORMED", str(error))


def _of_governance(error: GovernanceError) -> Problem:
    """What the database refuses of governed changes, by the reason that it gave."""
    cause = error.__cause__
    if isinstance(cause, (VersionConflict, InvalidTransition)):
        return Problem(409, "STATE", str(error))
    if isinstance(cause, (TransitionNotPermitted, AccessError)):
        return Problem(403, "DUTY", str(error))
    if isinstance(cause, SchemaError):
        return Problem(503, "NOT_SET_UP", str(error))
    return Problem(422, "MALFORMED", str(error))


def _faults(errors: Sequence[Any]) -> list[dict[str, str]]:
    return [
        {"where": ".".join(map(str, each.get("loc", ()))), "what": str(each.get("msg", ""))}
        for each in errors[:_ERRORS_MAX]
    ]


def install(app: FastAPI) -> None:
    """Let every error of the application be answered as a problem."""

    def problem(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = _faults(error.errors())
        what = "; ".join(f"{each['where']}: {each['what']}" for each in faults)
        return Problem(422, "MALFORMED", what or "not as expected", errors=faults).response()

    def plain(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        name = http.HTTPStatus(error.status_code).name
        headers = dict(error.headers or {})
        return Problem(error.status_code, name, str(error.detail), headers=headers).response()

    def ours(_request: Request, error: Exception) -> Response:
        return problem_of(error).response()

    def failed(_request: Request, _error: Exception) -> Response:
        # The server logs it with its stack; a client is told nothing of the inside.
        return Problem(500, "INTERNAL", "the server failed at this; its log says why").response()

    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(TradingError, ours)
    app.add_exception_handler(StoreError, ours)
