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
        self._links: list[socket.socket] = []
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
                self._links += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _reached(self) -> socket.socket | None:
        try:
            return socket.create_connection(self._there, 5.0)
        except OSError:
            return None  # nobody listens there now

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        with self._lock:
            self._is_cut = True
            links, self._links = self._links, []
        for each in links:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def mend(self) -> None:
        """Let connections pass again."""
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        self.cut()
        # Closing alone would leave the thread that accepts waiting.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
