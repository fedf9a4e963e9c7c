"""Every error of the application is answered as `application/problem+json`."""

from __future__ import annotations

import difflib
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
    if error.get("type") == "json_invalid":
        why = error.get("ctx", {}).get("error", "")
        return f"the body is no JSON: {why} at its character {place[-1]}"
    if error.get("type") == "missing" and place == ("body",):
        fields = ", ".join(body_fields(route, ()))
        return f"a JSON object is needed as the body; its fields are {fields}"
    if error.get("type") == "extra_forbidden" and place[:1] == ("body",):
        return unknown_fields([str(place[-1])], body_fields(route, place[1:-1]), "the body")
    what = str(error.get("msg", "")).removeprefix("Value error, ")
    seen = error.get("input")
    # A password is told back to nobody.
    if isinstance(seen, (str, int, float)) and "password" not in place:
        what += f"; seen: {seen!r:.80}"
    return what


def _no_route(
    request: Request, paths: Mapping[str, Mapping[str, Any]]
) -> tuple[str, dict[str, Any]]:
    """What there is in place of a route that there is not."""
    asked = request.url.path
    known = {path: [method.upper() for method in methods] for path, methods in paths.items()}
    others = [methods for path, methods in known.items() if _fits(asked, path)]
    if others:
        allowed = sorted({method for methods in others for method in methods})
        what = f"{request.method} {asked[:100]} is not possible; allowed: {', '.join(allowed)}"
        return what, {"allowed": allowed}
    near = difflib.get_close_matches(asked.lower()[:100], list(known), 3)
    hint = f", is {' or '.join(near)} meant?" if near else ""
    return f"there is no {asked[:100]}{hint}; GET /docs lists every route", {"allowed": near}


def _fits(asked: str, path: str) -> bool:
    """Whether a route's path, with names in braces, is that of a request."""
    parts, given = path.split("/"), asked.split("/")
    return len(parts) == len(given) and all(
        part == each or (part.startswith("{") and each)
        for part, each in zip(parts, given, strict=True)
    )


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

    def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code
        detail = str(error.detail)
        more: dict[str, Any] = {}
        if status in (404, 405):
            detail, more = _no_route(request, app.openapi()["paths"])
        headers = dict(error.headers or {})
        return _response(
            Problem(status, http.HTTPStatus(status).name, detail, headers=headers, **more)
        )

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
