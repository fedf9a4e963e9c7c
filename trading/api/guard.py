"""What is refused before a route is reached: foreign hosts and origins, and odd bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from trading.api.problems import PROBLEM_TYPE, Problem
from trading.api.settings import ApiSettings

__all__ = ["Guard", "is_own_origin"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
_CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' {sockets}; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'"
)


def _host_of(value: str) -> str:
    """The name of a Host header, without its port."""
    try:
        found = urlsplit(f"//{value}").hostname or ""
    except ValueError:
        return ""
    return f"[{found}]" if ":" in found else found


def is_own_origin(origin: str, host: str) -> bool:
    """Whether a page of this server sent the request."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


class Guard:
    """Stands in front of an application of ASGI.

    A `Host` that is not one of ours is refused, since a foreign name may be made to point here; so
    is a foreign `Origin`, on sockets too. A body has a bound, whether or not its length is told,
    and is JSON.
    """

    def __init__(self, app: Application, settings: ApiSettings) -> None:
        self._app = app
        self._settings = settings
        self._hosts = {name.lower() for name in settings.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        problem = self._refusal(scope, headers)
        if problem is not None:
            await _answer(scope, send, problem)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._http(scope, receive, send, headers.get(b"host", ""))

    def _refusal(self, scope: Scope, headers: dict[bytes, str]) -> Problem | None:
        host = headers.get(b"host", "")
        if _host_of(host).lower() not in self._hosts:
            return Problem(
                403,
                "FOREIGN_HOST",
                f"this server is not called {host!r:.80}; it is {', '.join(self._settings.hosts)}",
            )
        origin = headers.get(b"origin")
        if origin is not None and not is_own_origin(origin, host):
            return Problem(403, "FOREIGN_ORIGIN", "a page of another site may not call this server")
        if scope["type"] == "websocket" or scope["method"] not in _CHANGING:
            return None
        length = headers.get(b"content-length", "0")
        most = self._settings.body_max
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > most:
            return Problem(413, "TOO_LARGE", f"a body has at most {most} bytes")
        has_body = length != "0" or b"transfer-encoding" in headers
        kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
        if has_body and kind != "application/json":
            return Problem(415, "NOT_JSON", f"send application/json, not {kind or 'nothing'!r:.80}")
        return None

    async def _http(self, scope: Scope, receive: Receive, send: Send, host: str) -> None:
        async def marked(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = [*message.get("headers", ())]
                if all(name.lower() != b"cache-control" for name, _ in given):
                    # What a user may see is kept by nobody on the way.
                    given.append((b"cache-control", b"no-store"))
                message["headers"] = [*given, *_headers(host)]
            await send(message)

        if scope["method"] not in _CHANGING:
            await self._app(scope, receive, marked)
            return
        try:
            body = await asyncio.wait_for(self._body(receive), self._settings.body_s)
        except Problem as problem:
            await _answer(scope, marked, problem)
            return
        except (asyncio.TimeoutError, TimeoutError):
            await _answer(scope, marked, Problem(408, "TOO_SLOW", "the body did not come in time"))
            return
        if body is None:
            return
        given: MutableMapping[str, Any] | None = {"type": "http.request", "body": body}

        async def replayed() -> MutableMapping[str, Any]:
            nonlocal given
            if given is None:
                return await receive()
            message, given = given, None
            return message

        await self._app(scope, replayed, marked)

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body, which has a bound; None where the client is gone."""
        most, parts = self._settings.body_max, bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts += message.get("body", b"")
            if len(parts) > most:
                raise Problem(413, "TOO_LARGE", f"a body has at most {most} bytes")
            if not message.get("more_body", False):
                return bytes(parts)


def _headers(host: str) -> list[tuple[bytes, bytes]]:
    sockets = f"ws://{host} wss://{host}"
    return [
        (b"content-security-policy", _CSP.format(sockets=sockets).encode("latin-1")),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"x-frame-options", b"DENY"),
    ]


async def _answer(scope: Scope, send: Send, problem: Problem) -> None:
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 4003, "reason": problem.code})
            return
        kind = "websocket.http.response"
    else:
        kind = "http.response"
    headers = [(b"content-type", PROBLEM_TYPE.encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": f"{kind}.start", "status": problem.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": problem.body()})
