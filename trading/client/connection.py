"""Requests to a desk's API as one of its users, tried again while the desk is away."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
from websockets.sync.client import ClientConnection, connect

from trading.client.shapes import Page, Session
from trading.decoding import converted, json_decoder
from trading.errors import ApiAway, ApiRefused

__all__ = ["Connection", "refusal_of", "with_query"]

T = TypeVar("T")
_TRIES = 3
# The server closes what rests for 30 seconds.
_RESTS_S = 15.0
_RETRIED = (502, 503, 504)


class Connection:
    """A session of a user; several threads may share it."""

    def __init__(self, url: str, user: str, password: str, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ApiAway(f"{url!r:.100} is no http or https URL")
        self.url = url.rstrip("/")
        self._is_https = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._is_https else 80)
        self._timeout = timeout
        self._lock = threading.Lock()
        # Connections that nobody uses at the moment, and since when.
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self.token = ""
        body = {"user": user, "password": password}
        try:
            given = self.call("POST", "/user/login", body, Session, log_in=True)
        except BaseException:
            self.hang_up()
            raise
        self.session: Session = given
        self.token = given.token or ""

    def items(self, path: str, kind: type[T], filters: Mapping[str, Any] | None = None) -> list[T]:
        """Return a page of a list, as a type."""
        page = self.call("GET", with_query(path, filters or {}), None, Page)
        return [converted(each, kind) for each in page.items]

    def socket(self) -> ClientConnection:
        """Return a WebSocket as this user; ApiAway where nobody answers."""
        scheme = "wss" if self._is_https else "ws"
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            return connect(
                f"{scheme}://{host}:{self._port}/ws",
                additional_headers={"Authorization": f"Bearer {self.token}"},
                compression=None,
                max_size=16 * 1024 * 1024,
                open_timeout=self._timeout,
            )
        except (OSError, TimeoutError) as error:
            raise ApiAway(f"no socket to {self.url}: {error}") from error
        except Exception as error:  # websockets raises its own for an answer of HTTP
            response = getattr(error, "response", None)
            if response is None:
                raise
            raise refusal_of(response.status_code, response.body or b"") from error

    def call(
        self,
        method: str,
        path: str,
        body: Any,
        kind: type[T] | None,
        *,
        key: str = "",
        log_in: bool = False,
        timeout: float | None = None,
    ) -> T:
        """Ask, and again while nobody answers: a read, or a command under its key.

        `timeout` is for an answer that takes longer than others, in seconds.
        """
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if key:
            headers["Idempotency-Key"] = key
        data = b"" if body is None else msgspec.json.encode(body)
        if data:
            headers["Content-Type"] = "application/json"
        may_repeat = method == "GET" or bool(key) or log_in
        for left in range(_TRIES if may_repeat else 1, 0, -1):
            try:
                status, told = self._asked(method, path, data, headers, timeout)
            except (OSError, http.client.HTTPException) as error:
                self.hang_up()
                if left == 1:
                    raise ApiAway(
                        f"{method} {path}: {self.url} does not answer: {error}"
                    ) from error
                time.sleep(0.2)
                continue
            if status in _RETRIED and left > 1:
                time.sleep(0.3)
                continue
            if status >= 400:
                raise refusal_of(status, told)
            if kind is None:
                return msgspec.json.decode(told) if told else None  # type: ignore[return-value]
            return json_decoder(kind).decode(told)
        raise AssertionError

    def _asked(
        self,
        method: str,
        path: str,
        data: bytes,
        headers: Mapping[str, str],
        timeout: float | None,
    ) -> tuple[int, bytes]:
        link = self._idle_link() if timeout is None else None
        if link is None:
            link = self._new_link(timeout)
        try:
            link.request(method, path, data or None, dict(headers))
            response = link.getresponse()
            told = response.status, response.read()
        except BaseException:
            link.close()
            raise
        if timeout is not None:
            link.close()
            return told
        with self._lock:
            self._idle.append((link, time.monotonic()))
        return told

    def _idle_link(self) -> http.client.HTTPConnection | None:
        """A connection that the server has not closed yet; those that rested for long are."""
        with self._lock:
            while self._idle:
                link, since = self._idle.pop()
                if time.monotonic() < since + _RESTS_S:
                    return link
                link.close()
        return None

    def _new_link(self, timeout: float | None) -> http.client.HTTPConnection:
        seconds = timeout or self._timeout
        if not self._is_https:
            return http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=context)

    def hang_up(self) -> None:
        """Close the connections that nobody uses at the moment."""
        with self._lock:
            idle, self._idle = self._idle, []
        for link, _ in idle:
            link.close()


def with_query(path: str, parameters: Mapping[str, Any]) -> str:
    """Return a path with the parameters that are given."""
    given = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in parameters.items()
        if value is not None
    }
    return f"{path}?{urlencode(given)}" if given else path


def refusal_of(status: int, body: bytes) -> ApiRefused:
    """Return the problem that the API answered."""
    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError:
        told = {}
    if not isinstance(told, dict):
        told = {}
    code, detail = str(told.get("code", status)), str(told.get("detail", "no problem was told"))
    return ApiRefused(status, code, detail, told)
