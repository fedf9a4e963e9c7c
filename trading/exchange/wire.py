"""Messages between the exchange and its clients, and how they are framed.

A frame is its length as four bytes, the highest first, and a message: a MessagePack array that
begins with the message's number. docs/exchange.md describes every message.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

import msgspec

from trading.errors import WireError
from trading.journal.codec import pack
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.journal.reports import BrokerReport
from trading.venues.protocol import RequestRefused

__all__ = [
    "ADMIN",
    "LARGEST_FRAME",
    "LARGEST_REQUEST",
    "LARGEST_TEXT",
    "VERSION",
    "Answer",
    "ClientMessage",
    "Closing",
    "Command",
    "Depth",
    "Done",
    "FrameReader",
    "GapFilled",
    "Heartbeat",
    "Hello",
    "LoggedOn",
    "Logon",
    "LogonRefused",
    "Logout",
    "Query",
    "Quote",
    "Refused",
    "Report",
    "ResendCommands",
    "ResendReports",
    "ServerMessage",
    "Subscribe",
    "TradePrint",
    "decode_client",
    "decode_server",
    "frame",
    "proof",
]

VERSION = 1
LARGEST_REQUEST = 64 * 1024
"""Bytes of a client's message at most."""
LARGEST_TEXT = 1_000
"""Characters of a request's texts, such as the order id, that a broker sends at most."""
LARGEST_FRAME = 16 * 1024 * 1024
"""Bytes of a message of the exchange at most."""
ADMIN = "*admin"
"""Who may give commands such as faults and busts logs on under this name."""


# --- of clients -------------------------------------------------------------------------------


class Logon(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Who is there: `proof` answers the nonce of Hello, `after` is the last report known."""

    version: int
    account: str
    proof: bytes
    after: int
    epoch: int
    heartbeat_ms: int


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """A request; numbers begin at 1 in each session and have no gaps."""

    number: int
    request: SendOrder | SendCancel | SendReplace


class ResendReports(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """Reports after this number are missing."""

    after: int


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Alive, both ways: the last number that was sent (commands or reports)."""

    last: int


class Query(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """A question, or a command of the administrator; `argument` is MessagePack."""

    query_id: int
    what: str
    argument: bytes = b""


class Subscribe(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """Market data of these symbols from now on, with so many levels of depth (0 is none)."""

    symbols: tuple[str, ...]
    depth: int = 0


class Logout(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """The client goes; its orders stay."""


ClientMessage = Logon | Command | ResendReports | Heartbeat | Query | Subscribe | Logout


# --- of the exchange --------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=20):
    """The first message: what to prove the key with."""

    version: int
    name: str
    nonce: bytes


class LoggedOn(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=21):
    """The session begins; `last` is the number of the account's last report."""

    account: str
    last: int
    time: int
    epoch: int
    heartbeat_ms: int


class LogonRefused(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=22):
    """No session: WRONG_KEY, FENCED, SEQUENCE_AHEAD, VERSION or BUSY; the link is closed."""

    code: str
    text: str


class Report(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=23):
    """What became of an order; numbers begin at 1 for each account and have no gaps."""

    sequence: int
    report: BrokerReport


class Done(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=24):
    """Commands up to this number are durable and carried out."""

    number: int


class ResendCommands(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=25):
    """Commands after this number did not arrive."""

    after: int


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=26):
    """The answer to a query as MessagePack; `error` says why there is none."""

    query_id: int
    body: bytes = b""
    error: str = ""


class Refused(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=27):
    """A command that changed no order; `number` is the command's."""

    number: int
    refused: RequestRefused


class GapFilled(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=28):
    """What was missing has been sent, up to this number."""

    through: int


class Closing(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=29):
    """The exchange closes the link: why, and whether to connect again."""

    code: str
    text: str


class TradePrint(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=30):
    """A trade; `taker` is the side of who came last, 0 in an auction."""

    time: int
    symbol: str
    number: int
    price: int
    size: int
    taker: int


class Quote(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=31):
    """The best bid and ask as they are now; None where a side is empty."""

    time: int
    symbol: str
    bid: int | None
    bid_size: int
    ask: int | None
    ask_size: int


class Depth(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=32):
    """The best levels of both sides: price, size, number of orders."""

    time: int
    symbol: str
    bids: tuple[tuple[int, int, int], ...]
    asks: tuple[tuple[int, int, int], ...]


ServerMessage = (
    Heartbeat
    | Hello
    | LoggedOn
    | LogonRefused
    | Report
    | Done
    | ResendCommands
    | Answer
    | Refused
    | GapFilled
    | Closing
    | TradePrint
    | Quote
    | Depth
)

_CLIENT: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(
    ClientMessage, strict=False
)
_SERVER: msgspec.msgpack.Decoder[ServerMessage] = msgspec.msgpack.Decoder(
    ServerMessage, strict=False
)


def decode_client(data: bytes) -> ClientMessage:
    """Return a client's message; WireError where the bytes are none."""
    try:
        return _CLIENT.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"these {len(data)} bytes are no message of a client: {error}") from None


def decode_server(data: bytes) -> ServerMessage:
    """Return a message of the exchange; WireError where the bytes are none."""
    try:
        return _SERVER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(
            f"these {len(data)} bytes are no message of the exchange: {error}"
        ) from None


_LENGTH = struct.Struct(">I")


def frame(message: object) -> bytes:
    """Return a message, or bytes that are one already, with its length before it."""
    data = message if isinstance(message, bytes) else pack(message)
    return _LENGTH.pack(len(data)) + data


class FrameReader:
    """Cuts a stream of bytes into messages; what is incomplete waits for more."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete by now; WireError for a length out of bounds."""
        buffer = self._buffer
        buffer += data
        found: list[bytes] = []
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if not 0 < length <= self._largest:
                raise WireError(
                    f"a message of {length} bytes was announced; 1 to {self._largest} are allowed"
                )
            end = at + _LENGTH.size + length
            if len(buffer) < end:
                break
            found.append(bytes(buffer[at + _LENGTH.size : end]))
            at = end
        del buffer[:at]
        return found


def proof(key: str, nonce: bytes, account: str) -> bytes:
    """Return what proves that the key of an account is known: HMAC-SHA-256 of nonce and account."""
    return hmac.new(key.encode(), nonce + account.encode(), hashlib.sha256).digest()
