"""Replay sessions of the user of a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from trading.client.connection import Connection, with_query
from trading.client.shapes import Replay, Verification, WhatIf

__all__ = ["ReplayClient"]

_LONG_READ_S = 300.0


class ReplayClient:
    """Begins, controls and ends replay sessions, and compares runs with their replays.

    `TradingClient.stream(replays=…)` follows a session.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def sources(self) -> dict[str, Any]:
        """Return what can be played: runs, symbols, strategies and timeframes."""
        found: dict[str, Any] = self._connection.call(
            "GET", "/replay/sources", None, None, timeout=_LONG_READ_S
        )
        return found

    def start_run(
        self, account: str, run: str | None = None, *, speed: float | None = 1.0
    ) -> Replay:
        """Begin a session of a run; of the account's own one where none is named."""
        return self._start({"account": account, "run": run, "speed": speed})

    def start(self, symbols: Sequence[str], *, speed: float | None = 1.0, **more: Any) -> Replay:
        """Begin a session of recorded ticks, or with `source="bars"` of bars of a `timeframe`.

        `start`, `end`, `timeframes`, `strategy`, `parameters` and `cash` may be given.
        """
        return self._start({"symbols": list(symbols), "speed": speed, **more})

    def _start(self, body: dict[str, Any]) -> Replay:
        path = "/replay/session/start"
        return self._connection.call("POST", path, body, Replay, timeout=_LONG_READ_S)

    def list(self) -> list[Replay]:
        """Return your sessions."""
        return self._connection.items("/replay/session/list", Replay)

    def status(self, session_id: str) -> Replay:
        """Return how far a session is."""
        return self._connection.call("GET", _path(session_id), None, Replay)

    def shown(self, session_id: str) -> dict[str, Any]:
        """Return everything that a session shows at the moment."""
        found: dict[str, Any] = self._connection.call(
            "GET", f"{_path(session_id)}/shown", None, None, timeout=_LONG_READ_S
        )
        return found

    # --- a run against its replay -----------------------------------------------------------------

    def verify(
        self, account: str | None = None, run: str | None = None, *, upto: int | None = None
    ) -> Verification:
        """Return whether a run's journal leads to its digest again, or the first other event.

        `upto` is the number of the last group to fold.
        """
        asked = {"account": account, "run": run, "upto": upto}
        path = with_query("/replay/verify", asked)
        return self._connection.call("GET", path, None, Verification, timeout=_LONG_READ_S)

    def what_if(
        self,
        account: str | None = None,
        run: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> WhatIf:
        """Return what would have been different in a run; nothing is written or sent.

        `parameters` are those of a strategy that are other ones, `limits` all that hold instead.
        `strategy` (which one, where there are several), `other_strategy`, `fill_model`,
        `commission`, `max_open` and `upto` may be given.
        """
        asked = {"account": account, "run": run, **more, "parameters": dict(parameters or {})}
        if limits is not None:
            asked["limits"] = dict(limits)
        path = "/replay/what-if"
        return self._connection.call("POST", path, asked, WhatIf, timeout=_LONG_READ_S)

    # --- controls ---------------------------------------------------------------------------------

    def play(self, session_id: str, **speed: float | None) -> Replay:
        """Play from here on; with `speed` at another one, None for as fast as possible."""
        return self.control(session_id, "play", **speed)

    def pause(self, session_id: str) -> Replay:
        """Stay at this moment."""
        return self.control(session_id, "pause")

    def step(self, session_id: str, what: str = "tick", count: int = 1) -> Replay:
        """Go on to the next tick, bar or order."""
        return self.control(session_id, "step", what=what, count=count)

    def seek(
        self, session_id: str, *, time: str | None = None, position: int | None = None
    ) -> Replay:
        """Go to a recorded time or to after so many rows, either way."""
        return self.control(session_id, "seek", time=time, position=position)

    def speed(self, session_id: str, speed: float | None) -> Replay:
        """Go on at another speed; None is as fast as possible."""
        return self.control(session_id, "speed", speed=speed)

    def restart(self, session_id: str) -> Replay:
        """Go back to the beginning."""
        return self.control(session_id, "restart")

    def control(self, session_id: str, action: str, **more: Any) -> Replay:
        """Give any control; a step or seek may play much of the recording first."""
        body, path = {"action": action, **more}, f"{_path(session_id)}/control"
        return self._connection.call("POST", path, body, Replay, timeout=_LONG_READ_S)

    def end(self, session_id: str) -> None:
        """End a session."""
        self._connection.call("DELETE", _path(session_id), None, None)


def _path(session_id: str) -> str:
    return f"/replay/session/{quote(session_id, safe=':')}"
