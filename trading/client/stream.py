"""Messages of topics, one after another, resumed after a cut."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from trading.client.connection import Connection
from trading.client.shapes import Message
from trading.errors import ApiAway, ApiRefused

__all__ = ["Stream"]

_VALUE_TOPICS = {"price": "prices", "depth": "depth", "bar": "bars", "indicator": "indicators"}
_REPLAY = "replay:"
_TOO_MANY = 4013
_SESSION_ENDED = 4001


class Stream:
    """Messages of topics, one after another; iterate over it.

    `positions` are where each topic of events stands; give them as `after` to go on in another
    program. After a cut it connects again and resumes there; where the desk cannot tell
    everything since, snapshots come again.
    """

    def __init__(
        self,
        connection: Connection,
        events: Sequence[str],
        account: str | None,
        values: Mapping[str, Sequence[str]],
        timeframe: str,
        after: Mapping[str, str],
        replays: Sequence[str] = (),
    ) -> None:
        self._connection = connection
        self._events = list(events)
        self._account = account
        self._values = {topic: list(symbols) for topic, symbols in values.items()}
        self._timeframe = timeframe
        self._replays = list(replays)
        self._socket: ClientConnection | None = None
        self._waiting: list[Message] = []
        # Topics that this connection has answered: heartbeats speak of them.
        self._answered: set[str] = set()
        self._is_closed = False
        self.positions: dict[str, str] = dict(after)
        self.cuts = 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the stream."""
        self._is_closed = True
        if self._socket is not None:
            self._socket.close()

    def __iter__(self) -> Iterator[Message]:
        while not self._is_closed:
            message = self.receive()
            if message is not None:
                yield message

    def receive(self, timeout: float | None = None) -> Message | None:
        """Return the next message; None when none came in time or the stream was closed.

        ApiRefused where the session has ended or a topic is refused.
        """
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.1
        while not self._is_closed:
            if self._waiting:
                return self._waiting.pop(0)
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return None
            try:
                socket = self._socket or self._connected()
                self._take(msgspec.json.decode(socket.recv(left)))
            except TimeoutError:
                return None
            except ConnectionClosed as closed:
                self._cut(closed)
            except ApiAway:
                time.sleep(pause)
                pause = min(2 * pause, 2.0)
        return None

    def _connected(self) -> ClientConnection:
        socket = self._socket = self._connection.socket()
        self._answered.clear()
        number = 0
        for topic in self._events:
            number += 1
            asked = {"op": "subscribe", "id": number, "topic": topic, "account": self._account}
            if topic in self.positions:
                asked["after"] = self.positions[topic]
            socket.send(msgspec.json.encode(asked).decode())
        for topic, symbols in self._values.items():
            number += 1
            asked = {"op": "subscribe", "id": number, "topic": topic, "symbols": symbols}
            if topic in ("bars", "indicators"):
                asked["timeframe"] = self._timeframe
            socket.send(msgspec.json.encode(asked).decode())
        for topic in self._replays:
            number += 1
            asked = {"op": "subscribe", "id": number, "topic": topic}
            socket.send(msgspec.json.encode(asked).decode())
        return socket

    def _cut(self, closed: ConnectionClosed) -> None:
        self._socket = None
        self.cuts += 1
        code = closed.rcvd.code if closed.rcvd is not None else 1006
        reason = closed.rcvd.reason if closed.rcvd is not None else ""
        if code in (_SESSION_ENDED, _TOO_MANY):
            raise ApiRefused(401 if code == _SESSION_ENDED else 429, str(code), reason, {})
        time.sleep(0.05)

    def _take(self, told: dict[str, Any]) -> None:
        kind = told["type"]
        if kind == "error":
            raise ApiRefused(422, told["code"], told["detail"], told)
        if kind == "batch":
            for item in told["items"]:
                topic = _VALUE_TOPICS.get(item["type"], item["type"])
                self._waiting.append(Message(item["type"], topic, item))
        elif str(told.get("topic", "")).startswith(_REPLAY):
            # It begins with a snapshot after a cut, so that nothing is resumed.
            if "item" in told:
                self._waiting.append(Message(kind, told["topic"], told["item"], seq=told["seq"]))
        elif kind == "snapshot":
            self._waiting.append(Message(kind, told["topic"], items=told["items"]))
        elif kind == "subscribed" and "position" in told:
            self._answered.add(told["topic"])
            self.positions[told["topic"]] = told["position"]
        elif kind == "heartbeat":
            # Everything before it has come, of the topics that were answered.
            self.positions.update(dict.fromkeys(self._answered, told["position"]))
        elif "seq" in told:
            topic, position = told["topic"], told["position"]
            self.positions[topic] = position
            message = Message(kind, topic, told["item"], seq=told["seq"], position=position)
            self._waiting.append(message)
