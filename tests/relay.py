"""A relay before a server, which can be cut: connections end, and new ones are refused."""

from __future__ import annotations

import contextlib
import socket
import threading


class Relay:
    """Passes bytes on in both directions while it is not cut."""

    def __init__(self, host: str, port: int) -> None:
        self._there = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        # Both ends of each connection: the client's and the server's.
        self._links: list[tuple[socket.socket, socket.socket]] = []
        # Ends that stay open though the other one has ended.
        self._left: set[socket.socket] = set()
        self._is_cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                far = None if self._is_cut else self._reached()
                if far is None:
                    near.close()
                    continue
                self._links.append((near, far))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _reached(self) -> socket.socket | None:
        try:
            made = socket.create_connection(self._there, 5.0)
        except OSError:
            return None  # nobody listens there now
        # The time is for the connection alone: afterwards it may be quiet for as long as it likes.
        made.settimeout(None)
        return made

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for each in (source, target):
            if each not in self._left:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        with self._lock:
            self._is_cut = True
            links, self._links = self._links, []
        for link in links:
            for each in link:
                end(each)

    def cut_clients(self) -> list[socket.socket]:
        """End the clients' side alone: the server does not hear of it. Its side is returned.

        New connections pass as before.
        """
        with self._lock:
            links, self._links = self._links, []
            far = [server for _, server in links]
            self._left.update(far)
        for client, _ in links:
            end(client)
        return far

    def mend(self) -> None:
        """Let connections pass again."""
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        self.cut()
        # Closing alone would leave the thread that accepts waiting.
        end(self._listener)
        for each in self._left:
            end(each)


def end(connection: socket.socket) -> None:
    """End one side of a connection."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
