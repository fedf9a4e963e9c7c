"""The desk itself: accounts, strategies, processes, health and metrics."""

from __future__ import annotations

import hmac
import time
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from trading.api.current import CurrentSession, parts_of
from trading.api.parts import Parts
from trading.api.problems import Problem
from trading.api.routes.filters import AccountFilter
from trading.api.schemas import Page

router = APIRouter(tags=["desk"])

_STALE_S = 10.0


@router.get("/accounts", response_model=Page)
async def list_accounts(request: Request, session: CurrentSession) -> dict[str, Any]:
    """The user's accounts, as the engine has them now."""
    answer = await parts_of(request).engine.ask("accounts", by=session.user)
    return {"items": answer["items"], "next_cursor": None}


@router.get("/strategies", response_model=Page)
async def list_strategies(
    request: Request, session: CurrentSession, account: AccountFilter = None
) -> dict[str, Any]:
    """The strategies of the user's accounts, with their parameters."""
    return await _listed(request, session, "strategies", account)


@router.get("/picker", response_model=Page)
async def show_picker(
    request: Request, session: CurrentSession, account: AccountFilter = None
) -> dict[str, Any]:
    """Open symbols, reservations and places of each account."""
    return await _listed(request, session, "picker", account)


async def _listed(
    request: Request, session: CurrentSession, what: str, account: str | None
) -> dict[str, Any]:
    more = {} if account is None else {"account": account}
    answer = await parts_of(request).engine.ask(what, by=session.user, **more)
    return {"items": answer["items"], "next_cursor": None}


# --- state and health -----------------------------------------------------------------------------


def desk_state(parts: Parts) -> dict[str, Any]:
    """Return the processes as the supervisor tells them, and what the API sees by itself."""
    age = parts.market.age_s
    told = _told(parts.settings.state_file)
    return {
        "processes": told.get("processes", []),
        # Without its key, which the terminal alone shows: it lets in to all accounts.
        "deephaven": told.get("deephaven"),
        "market": {
            "connected": parts.market.is_connected,
            "age_s": None if age is None else round(age, 3),
            "problem": parts.market.status.get("problem", ""),
            "is_replay": parts.market.status.get("is_replay", False),
        },
        "engine": {"connected": parts.engine.is_connected},
        "timeframes": list(parts.settings.timeframes),
    }


def _told(file: Path | None) -> dict[str, Any]:
    """What the supervisor has written last."""
    if file is None:
        return {}
    try:
        found: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return found


@router.get("/state")
async def show_state(request: Request, session: CurrentSession) -> dict[str, Any]:  # noqa: ARG001
    """The processes of the desk: name, state, since when, and how often each was started again."""
    return desk_state(parts_of(request))


@router.get("/health/live", responses={503: {}})
async def is_live() -> dict[str, str]:
    """Say that this process answers."""
    return {"status": "ok"}


@router.get("/health", responses={503: {}})
@router.get("/health/ready", responses={503: {}})
async def is_ready(request: Request, response: Response) -> dict[str, Any]:
    """Say whether commands and prices can be served: engines take orders, ticks are told."""
    parts = parts_of(request)
    checks = await readiness(parts)
    good = all(checks.values())
    response.status_code = 200 if good else 503
    return {"status": "ok" if good else "not ready", "checks": checks}


async def readiness(parts: Parts) -> dict[str, bool]:
    """Return what is needed to serve, and whether it is there."""
    checks = {}
    if parts.settings.engine is not None:
        try:
            phases = (await parts.engine.ask("phases", by=""))["items"]
            checks["engine"] = all(each == "RUNNING" for each in phases)
        except Problem:
            checks["engine"] = False
    if parts.settings.market is not None:
        market = parts.market
        fresh = market.is_connected and time.monotonic() < market.heard + _STALE_S
        checks["market"] = fresh
    return checks


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Return the figures of this process for Prometheus, for who has the metrics token."""
    parts = parts_of(request)
    token = parts.settings.metrics_token
    given = request.headers.get("authorization", "").partition(" ")[2].strip()
    if not token or not hmac.compare_digest(given.encode(), token.encode()):
        raise Problem(
            401,
            "NOT_LOGGED_IN",
            "send Authorization: Bearer with the desk's metrics token",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return Response(generate_latest(parts.registry), media_type=CONTENT_TYPE_LATEST)
