"""Alerts to a webhook: JSON by POST, from a thread of its own, tried again while it is away."""

from __future__ import annotations

import logging
import queue
import threading
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trading.errors import DeskError

__all__ = ["Webhook"]

_LOG = logging.getLogger(__name__)
_WAITING_MAX = 1_000
_TRIES = 5
_TIMEOUT_S = 5.0


class Webhook:
    """Sends alerts to a URL; each has an id, so that a repeat can be recognised.

    While the other side is away an alert is tried `_TRIES` times with growing pauses; alerts
    that nobody takes are counted in `lost` and stand in the log and in the store.
    """

    def __init__(self, url: str, pause_s: float = 0.5) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise DeskError(f"webhook {url!r:.100}: an http or https URL is expected")
        self._url = url
        self._pause_s = pause_s
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(_WAITING_MAX)
        self._stop = threading.Event()
        self.sent = 0
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def send(self, alert: dict[str, Any]) -> None:
        """Let an alert be sent; returns at once."""
        try:
            self._waiting.put_nowait(alert)
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Try to send what waits for two seconds more, then end."""
        try:
            self._waiting.put(None, timeout=0.1)
        except queue.Full:
            self.lost += 1
        self._thread.join(2.0)
        self._stop.set()

    def _run(self) -> None:
        while (alert := self._waiting.get()) is not None:
            if not self._sent(alert):
                self.lost += 1

    def _sent(self, alert: dict[str, Any]) -> bool:
        request = urllib.request.Request(
            self._url,
            msgspec.json.encode(alert),
            {"Content-Type": "application/json"},
            method="POST",
        )
        pause = self._pause_s
        for _ in range(_TRIES):
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
                    self.sent += 1
                    return True
            except (OSError, urllib.error.URLError, ValueError) as error:
                _LOG.info("the webhook did not take an alert: %s", error)
            if self._stop.wait(pause):
                return False
            pause *= 2
        return False
