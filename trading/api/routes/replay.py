"""Replay sessions, a run's journal against its replay, and a run with something changed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from trading.api.current import CurrentPool, CurrentSession, own_account, parts_of
from trading.api.routes.filters import Text
from trading.api.schemas import Page, ReplayBody, ReplayControlBody, WhatIfBody

router = APIRouter(tags=["replay"], prefix="/replay")

Upto = Annotated[
    int | None, Query(ge=1, le=10**9, description="the number of the journal's last group to fold")
]
SessionPath = Annotated[
    str, Path(pattern=r"^(replay:)?[0-9a-f]{12}$", examples=["replay:3f2a9c01d2e4"])
]


def _id(session_id: str) -> str:
    return session_id if session_id.startswith("replay:") else f"replay:{session_id}"


@router.get("/sources")
async def list_sources(request: Request, pool: CurrentPool) -> dict[str, Any]:
    """What you can play: runs, symbols, strategies and timeframes."""
    found: dict[str, Any] = await parts_of(request).replays.ask(
        "sources", by=pool.user, login=pool.login
    )
    return found


@router.get("/verify")
async def verify_run(
    request: Request, pool: CurrentPool, account: Text = None, run: Text = None, upto: Upto = None
) -> dict[str, Any]:
    """Fold a run's journal again: the same digest, or the first event that is another one here."""
    account, run = own_account(request, pool.user, account, run)
    asked = {"account": account, "run": run, "upto": upto}
    found: dict[str, Any] = await parts_of(request).replays.ask(
        "verify", by=pool.user, login=pool.login, asked=asked
    )
    return found


@router.post("/what-if")
async def change_run(
    request: Request, session: CurrentSession, pool: CurrentPool, body: WhatIfBody
) -> dict[str, Any]:
    """Say what would have been different in a run with other parameters, limits, fills or code.

    It is computed from the journal; nothing is written and no order is sent.
    """
    asked = body.model_dump(mode="json")
    asked["account"], asked["run"] = own_account(request, session.user, body.account, body.run)
    found: dict[str, Any] = await parts_of(request).replays.ask(
        "what_if", by=session.user, login=pool.login, asked=asked
    )
    return found


@router.post("/session/start", status_code=201)
async def start_session(
    request: Request, session: CurrentSession, pool: CurrentPool, body: ReplayBody
) -> dict[str, Any]:
    """Begin a session, paused at the beginning of a run, or of ticks or bars of symbols."""
    given = body.model_dump(mode="json")
    if not body.symbols:
        given["account"], given["run"] = own_account(request, session.user, body.account, body.run)
    found: dict[str, Any] = await parts_of(request).replays.ask(
        "start", by=session.user, login=pool.login, body=given
    )
    return found


@router.get("/session/list", response_model=Page)
async def list_sessions(request: Request, session: CurrentSession) -> dict[str, Any]:
    """Your sessions."""
    found = await parts_of(request).replays.ask("list", by=session.user)
    return {"items": found["items"], "next_cursor": None}


@router.get("/session/{session_id}")
async def show_session(
    request: Request, session: CurrentSession, session_id: SessionPath
) -> dict[str, Any]:
    """How far a session is."""
    return await _ask(request, session, "show", session_id)


@router.get("/session/{session_id}/shown")
async def show_everything(
    request: Request, session: CurrentSession, session_id: SessionPath
) -> Response:
    """Everything that a session shows at the moment, as a snapshot of its topic has it."""
    text = await parts_of(request).replays.ask("shown", by=session.user, session=_id(session_id))
    return Response(text, media_type="application/json")


@router.post("/session/{session_id}/control")
async def control_session(
    request: Request, session: CurrentSession, session_id: SessionPath, body: ReplayControlBody
) -> dict[str, Any]:
    """Play, pause, resume, step, seek, change the speed, restart or end; answers the status."""
    given = {**body.model_dump(mode="json"), "has_speed": "speed" in body.model_fields_set}
    return await _ask(request, session, "control", session_id, body=given)


@router.delete("/session/{session_id}", status_code=204)
async def end_session(
    request: Request, session: CurrentSession, session_id: SessionPath
) -> Response:
    """End a session."""
    await _ask(request, session, "end", session_id)
    return Response(status_code=204)


async def _ask(
    request: Request, session: CurrentSession, what: str, session_id: str, **more: Any
) -> dict[str, Any]:
    found: dict[str, Any] = await parts_of(request).replays.ask(
        what, by=session.user, session=_id(session_id), **more
    )
    return found
