"""TLS in front of a PostgreSQL that has none, as its own protocol begins it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Made for these tests, for localhost and 127.0.0.1, with a key that everybody can read here.
CERTIFICATE = Path(__file__).parent / "tls" / "certificate.pem"
_KEY = Path(__file__).parent / "tls" / "key.pem"
_SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


@contextlib.contextmanager
def tls_front(info: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """A port that speaks TLS and passes all on; and the protocol of each session that came."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, _KEY)
    listener = socket.create_server(("127.0.0.1", 0))
    sessions: list[str] = []
    threads: list[threading.Thread] = []

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=session, args=[plain])
            thread.start()
            threads.append(thread)

    def session(plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):
            if plain.recv(8) != _SSL_REQUEST:
                sessions.append("none")
                return
            plain.sendall(b"S")
            with (
                context.wrap_socket(plain, server_side=True) as client,
                socket.create_connection((info["host"], info["port"])) as server,
            ):
                sessions.append(str(client.version()))
                pass_on(client, server)

    acceptor = threading.Thread(target=serve)
    acceptor.start()
    try:
        yield listener.getsockname()[1], sessions
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [acceptor, *threads]:
            thread.join(10)


def pass_on(client: ssl.SSLSocket, server: socket.socket) -> None:
    """Copy both ways until one side ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(client, selectors.EVENT_READ, server)
        ready.register(server, selectors.EVENT_READ, client)
        while True:
            for key, _ in ready.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                while key.fileobj is client and client.pending():
                    data += client.recv(client.pending())
                if not data:
                    return
                key.data.sendall(data)
