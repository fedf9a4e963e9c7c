"""Serving the API: uvicorn in this thread, or in one of its own for tests and programs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from types import TracebackType

import uvicorn
from fastapi import APIRouter

from trading.api.app import create_app, make_parts
from trading.api.settings import ApiSettings
from trading.errors import DeskError

__all__ = ["ApiServer"]

_SEND_BUFFER = 32 * 1024
_USER_TIMEOUT_MS = 5_000
_MESSAGE_MAX = 16 * 1024
_CONNECTIONS_MAX = 1_000


class ApiServer:
    """An API at a port of this machine; `run` blocks, a `with` block has it in a thread.

    Port 0 takes a free one. DeskError where the port is taken.
    """

    def __init__(
        self,
        settings: ApiSettings,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        routers: Sequence[APIRouter] = (),
    ) -> None:
        self._socket = _listening(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self.parts = make_parts(settings)
        config = uvicorn.Config(
            create_app(self.parts, routers),
            # Compressing what is sent to each socket anew takes most of a core.
            ws_per_message_deflate=False,
            ws_max_size=_MESSAGE_MAX,
            ws="websockets-sansio",
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS_MAX,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=32 * 1024,
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"

    def run(self) -> None:
        """Serve until SIGINT, SIGTERM or `stop`."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End it."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(15)

    def __enter__(self) -> ApiServer:
        self._thread = threading.Thread(target=self.run, name="api", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _listening(host: str, port: int) -> socket.socket:
    """A listening socket whose connections notice soon that nobody reads."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise DeskError(f"port {port} of {host} cannot be used: {error.strerror}") from error
    made.listen(512)
    return made
