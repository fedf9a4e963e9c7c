"""Logging in and out."""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from trading.api.current import COOKIE, CurrentSession, parts_of
from trading.api.problems import Problem
from trading.api.record_views import time_text
from trading.api.schemas import LoginBody, SessionAnswer
from trading.api.sessions import Session
from trading.one_time import claim

router = APIRouter(tags=["session"])


def _set_cookie(request: Request, response: Response, token: str) -> None:
    settings = parts_of(request).settings
    response.set_cookie(
        COOKIE,
        token,
        max_age=round(settings.session_s),
        path="/",
        secure=settings.https,
        httponly=True,
        samesite="strict",
    )


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


async def _accounts(request: Request, user: str) -> list[dict[str, Any]]:
    """The user's accounts; none while the engine is away."""
    with contextlib.suppress(Problem):
        answer = await parts_of(request).engine.ask("account_names", by=user)
        items: list[dict[str, Any]] = answer["items"]
        return items
    return []


async def _shown(request: Request, session: Session) -> dict[str, Any]:
    return {
        "user": session.user,
        "expires_at": time_text(datetime.fromtimestamp(session.expires, timezone.utc)),
        "csrf_token": session.csrf,
        "accounts": await _accounts(request, session.user),
    }


@router.post(
    "/user/login", response_model=SessionAnswer, response_model_exclude_none=True, name="log in"
)
async def log_in(request: Request, body: LoginBody) -> Response:
    """Begin a session as a user of the store."""
    sessions = parts_of(request).sessions
    token, session = await run_in_threadpool(
        sessions.log_in, body.user, body.password, _address(request)
    )
    shown = await _shown(request, session)
    if not body.cookie:
        shown["token"] = token
    response = Response(msgspec.json.encode(shown), media_type="application/json")
    if body.cookie:
        _set_cookie(request, response, token)
    response.headers["Cache-Control"] = "no-store"
    return response


@router.get("/login/{code}", include_in_schema=False)
async def log_in_once(
    request: Request, code: Annotated[str, Path(max_length=200)]
) -> RedirectResponse:
    """Begin a session by a one-time code, and lead to the page."""
    parts = parts_of(request)
    found = await run_in_threadpool(claim, parts.settings.one_time, code)
    if found is None:
        raise Problem(401, "CODE_USED", "this link was used before, or is none; log in by password")
    token, _ = await run_in_threadpool(parts.sessions.log_in, *found, _address(request))
    response = RedirectResponse("/", 303)
    _set_cookie(request, response, token)
    response.headers["Cache-Control"] = "no-store"
    return response


@router.get("/session", response_model=SessionAnswer, response_model_exclude_none=True)
async def show_session(request: Request, session: CurrentSession) -> dict[str, Any]:
    """Who is logged in, until when, and the user's accounts with the role in each."""
    return await _shown(request, session)


@router.post("/user/logout", status_code=204)
async def log_out(request: Request, session: CurrentSession) -> Response:
    """End the session."""
    parts = parts_of(request)
    parts.sessions.log_out(session)
    parts.sockets.close_all_of(session)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response
