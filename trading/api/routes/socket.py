"""The WebSocket."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.websockets import WebSocket

from trading.api.current import parts_of, session_of
from trading.api.problems import PROBLEM_TYPE, Problem
from trading.api.unknown_names import unknown_parameters

router = APIRouter()


@router.websocket("/ws")
async def socket(ws: WebSocket) -> None:
    """Serve a socket of a user who is logged in; docs/api.md describes its messages."""
    try:
        session, by_cookie = session_of(ws)
    except Problem as problem:
        await _refuse(ws, problem)
        return
    unknown = unknown_parameters(ws)
    if unknown is not None:
        await _refuse(ws, unknown)
        return
    if by_cookie and "origin" not in ws.headers:
        what = "a socket with the cookie says its Origin"
        await _refuse(ws, Problem(403, "FOREIGN_ORIGIN", what))
        return
    await parts_of(ws).sockets.serve(ws, session)


async def _refuse(ws: WebSocket, problem: Problem) -> None:
    if "websocket.http.response" not in ws.scope.get("extensions", {}):
        await ws.close(4001, problem.code)
        return
    await ws.send(
        {
            "type": "websocket.http.response.start",
            "status": problem.status,
            "headers": [(b"content-type", PROBLEM_TYPE.encode())],
        }
    )
    await ws.send({"type": "websocket.http.response.body", "body": problem.body()})
