"""An endpoint for Prometheus in a process that serves nothing else over HTTP."""

from __future__ import annotations

import hmac
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

__all__ = ["Figures", "FiguresServer"]


class Figures(Protocol):
    """Something that adds its figures to a registry."""

    def register(self, registry: CollectorRegistry) -> None:
        """Add them."""


class FiguresServer:
    """Answers `/metrics` at a port of this machine, for who sends the token."""

    def __init__(self, port: int, token: str, figures: Figures) -> None:
        registry = CollectorRegistry()
        figures.register(registry)

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                """Answer with the figures as they are now."""
                given = self.headers.get("Authorization", "").partition(" ")[2].strip()
                if not token or not hmac.compare_digest(given.encode(), token.encode()):
                    self.send_error(401)
                    return
                if self.path != "/metrics":
                    self.send_error(404)
                    return
                body = generate_latest(registry)
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE_LATEST)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Write nothing: it is asked every few seconds."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="figures", daemon=True
        )

    def __enter__(self) -> FiguresServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
