"""Every error of the application is answered as `application/problem+json`."""

from __future__ import annotations

import http
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from store.errors import StoreError
from trading.api.problems import PROBLEM_TYPE, Problem, problem_of
from trading.api.unknown_names import body_fields, unknown_fields
from trading.errors import TradingError

__all__ = ["answer_errors"]

_ERRORS_MAX = 20


def _response(problem: Problem) -> Response:
    return Response(problem.body(), problem.status, problem.headers, media_type=PROBLEM_TYPE)


def _faults(errors: Sequence[Any], route: Any) -> list[dict[str, str]]:
    return [
        {"where": ".".join(map(str, each.get("loc", ()))), "what": _told(each, route)}
        for each in errors[:_ERRORS_MAX]
    ]


def _told(error: Mapping[str, Any], route: Any) -> str:
    """What is wrong: what is expected, and the value that came."""
    place = error.get("loc", ())
    if error.get("type") == "extra_forbidden" and place[:1] == ("body",):
        return unknown_fields([str(place[-1])], body_fields(route, place[1:-1]), "the body")
    what = str(error.get("msg", "")).removeprefix("Value error, ")
    seen = error.get("input")
    # A password is told back to nobody.
    if isinstance(seen, (str, int, float)) and "password" not in place:
        what += f"; seen: {seen!r:.80}"
    return what


def answer_errors(app: FastAPI) -> None:
    """Let every error of the application be answered as a problem."""

    def problem(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return _response(error)

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = _faults(error.errors(), request.scope.get("route"))
        what = "; ".join(f"{each['where']}: {each['what']}" for each in faults)
        return _response(Problem(422, "MALFORMED", what or "not as expected", errors=faults))

    def plain(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        name = http.HTTPStatus(error.status_code).name
        headers = dict(error.headers or {})
        return _response(Problem(error.status_code, name, str(error.detail), headers=headers))

    def ours(_request: Request, error: Exception) -> Response:
        return _response(problem_of(error))

    def failed(_request: Request, _error: Exception) -> Response:
        # The server logs it with its stack; a client is told nothing of the inside.
        return _response(Problem(500, "INTERNAL", "the server failed at this; its log says why"))

    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(TradingError, ours)
    app.add_exception_handler(StoreError, ours)
