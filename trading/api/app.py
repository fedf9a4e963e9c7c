"""The application: its routes, what stands in front of them, and what runs beside them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry

from trading.api.engine_link import EngineLink
from trading.api.error_answers import answer_errors
from trading.api.figures import RequestFigures, collect_from
from trading.api.guard import Application, Guard, Receive, Scope, Send
from trading.api.instruments import Instruments
from trading.api.market_hub import MarketHub
from trading.api.parts import Parts
from trading.api.replay import Replays
from trading.api.routes import (
    commands,
    desk,
    documentation,
    governance,
    market,
    records,
    replay,
    session,
    socket,
    two_times,
)
from trading.api.sessions import Sessions
from trading.api.settings import ApiSettings
from trading.api.sockets import Sockets
from trading.api.unknown_names import refuse_unknown_parameters
from trading.api.user_feed import UserFeeds

__all__ = ["create_app", "make_parts"]

_LOG = logging.getLogger(__name__)
_ROUTERS = (
    session,
    commands,
    governance,
    records,
    market,
    replay,
    two_times,
    desk,
    documentation,
    socket,
)


def make_parts(settings: ApiSettings) -> Parts:
    """Return what an application stands on."""
    engine = EngineLink(settings.engine, settings.link_key)
    hub = MarketHub(settings.market, settings.link_key)
    sessions, feeds = Sessions(settings), UserFeeds(settings)
    registry = CollectorRegistry()
    replays = Replays(settings)
    sockets = Sockets(settings, hub, feeds, replays)
    parts = Parts(
        settings,
        sessions,
        engine,
        hub,
        feeds,
        sockets,
        Instruments(settings.instruments),
        registry,
        replays,
    )
    collect_from(registry, sessions, sockets, hub)
    sockets.desk_state = lambda: desk.desk_state(parts)
    return parts


def create_app(parts: Parts, routers: Sequence[APIRouter] = ()) -> Application:
    """Return the application of ASGI; `routers` are more routes, behind the same log-in.

    A router of somebody else's takes what it needs from `trading.api.current`.
    """
    settings = parts.settings

    @contextlib.asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        parts.market.start()
        parts.sockets.start()
        tidying = asyncio.create_task(_tidy(parts))
        yield
        tidying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tidying
        await parts.sockets.close()
        await parts.replays.close()
        await parts.feeds.close()
        await parts.market.close()
        await parts.engine.close()
        await run_in_threadpool(parts.sessions.close)

    app = FastAPI(
        title="Trading desk",
        version="1",
        description="Everything that a desk does, as the user of the store who logged in.",
        lifespan=life,
        # The pages of FastAPI take scripts from elsewhere; `routes.documentation` has our own.
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(refuse_unknown_parameters)],
        responses={
            401: {"description": "no session"},
            403: {"description": "the role does not allow it, or a foreign page asked"},
            422: {"description": "the request is not as expected, or was denied"},
            429: {"description": "too many requests at once"},
            503: {"description": "the engine or the database is away"},
        },
    )
    app.state.parts = parts
    answer_errors(app)
    for module in _ROUTERS:
        app.include_router(module.router)
    for router in routers:
        app.include_router(router)
    if settings.static is not None:
        app.mount("/", _Page(directory=settings.static, html=True))
    return Guard(_Timed(app, RequestFigures(parts.registry)), settings)


class _Page(StaticFiles):
    """The page's files; a browser asks each time whether its copy is still the newest."""

    def file_response(self, *arguments: Any, **more: Any) -> Response:
        """Return a file, or that it is the same as before."""
        response = super().file_response(*arguments, **more)
        response.headers["Cache-Control"] = "no-cache"
        return response


async def _tidy(parts: Parts) -> None:
    """End what is over, again and again."""
    while True:
        await asyncio.sleep(parts.settings.check_s)
        try:
            await run_in_threadpool(parts.sessions.tidy)
            await parts.feeds.tidy()
        except Exception:  # noqa: BLE001 - what is not done now is done the next time
            _LOG.exception("what is over could not be ended; it is tried again")


class _Timed:
    """Counts answers and their time, by the route that gave them."""

    def __init__(self, app: Application, figures: RequestFigures) -> None:
        self._app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def told(message: Scope) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._figures.answered(route, status, time.perf_counter() - begun)
