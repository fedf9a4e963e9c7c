"""Commands of the exchange's administrator: faults, busts, corrections, phases, status.

with ExchangeAdmin("127.0.0.1", 7001, key) as admin:
    admin.fault(Fault("drop", "out", "ACC", count=3))
    admin.bust(17, "price was wrong")
"""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from trading.errors import BrokerRefused, BrokerUnavailable, ExchangeError
from trading.exchange.faults import Fault
from trading.exchange.wire import (
    ADMIN,
    LARGEST_FRAME,
    VERSION,
    Answer,
    Closing,
    FrameReader,
    Hello,
    LoggedOn,
    Logon,
    LogonRefused,
    Query,
    ServerMessage,
    decode_server,
    frame,
    proof,
)
from trading.journal.codec import pack

__all__ = ["ExchangeAdmin"]

_HEARTBEAT_MS = 60_000


class ExchangeAdmin:
    """A blocking link of the administrator; every call waits for the exchange's answer."""

    def __init__(self, host: str, port: int, key: str, timeout_s: float = 10.0) -> None:
        self._where = f"exchange at {host}:{port}"
        self._frames = FrameReader(LARGEST_FRAME)
        self._messages: list[ServerMessage] = []
        self._number = 0
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise BrokerUnavailable(f"{self._where}: {error}; is it running?") from error
        try:
            self._log_on(key)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> ExchangeAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the link."""
        self._socket.close()

    def fault(self, fault: Fault) -> None:
        """Put a fault of the link in force."""
        self.ask("fault", fault.checked())

    def clear(self) -> None:
        """End all faults of the link."""
        self.ask("clear")

    def pause(self) -> None:
        """Let the makers stand still; their quotes stay."""
        self.ask("pause")

    def resume(self) -> None:
        """Let the makers go on."""
        self.ask("resume")

    def bust(self, trade: int, reason: str = "") -> None:
        """Take a trade back, for both of its sides."""
        self.ask("bust", (trade, reason))

    def correct(self, trade: int, quantity: int, price: int) -> None:
        """Give a trade another size and price, in the instrument's units."""
        self.ask("correct", (trade, quantity, price))

    def phase(self, phase: str) -> None:
        """Open or close the market, with the auction that belongs to it."""
        self.ask("phase", (phase,))

    def reject(self, account: str, count: int, reason: str = "rejected by command") -> None:
        """Let the next orders of an account be rejected."""
        self.ask("reject", (account, count, reason))

    def status(self) -> dict[str, Any]:
        """Return what the exchange is doing: accounts, phase, last prices, faults."""
        found: dict[str, Any] = self.ask("status")
        return found

    def ask(self, what: str, argument: object = None) -> Any:
        """Send a command and return its answer; ExchangeError says why there is none."""
        self._number += 1
        body = b"" if argument is None else pack(argument)
        self._send(Query(self._number, what, body))
        while True:
            message = self._next()
            if isinstance(message, Answer) and message.query_id == self._number:
                if message.error:
                    raise ExchangeError(message.error)
                try:
                    return msgspec.msgpack.decode(message.body)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    raise ExchangeError(f"the answer to {what} is none: {error}") from None

    def _log_on(self, key: str) -> None:
        while True:
            message = self._next()
            if isinstance(message, Hello):
                answer = proof(key, message.nonce, ADMIN)
                self._send(Logon(VERSION, ADMIN, answer, 0, 0, _HEARTBEAT_MS))
            elif isinstance(message, LogonRefused):
                raise BrokerRefused(f"{self._where}: {message.text}", message.code)
            elif isinstance(message, LoggedOn):
                return

    def _send(self, message: object) -> None:
        try:
            self._socket.sendall(frame(message))
        except OSError as error:
            raise BrokerUnavailable(f"{self._where}: {error}") from error

    def _next(self) -> ServerMessage:
        while not self._messages:
            try:
                data = self._socket.recv(65_536)
            except OSError as error:
                raise BrokerUnavailable(f"{self._where}: {error}") from error
            if not data:
                raise BrokerUnavailable(f"{self._where}: the link was closed")
            self._messages += [decode_server(each) for each in self._frames.feed(data)]
        message = self._messages.pop(0)
        if isinstance(message, Closing):
            raise BrokerUnavailable(f"{self._where}: {message.code}: {message.text}")
        return message
