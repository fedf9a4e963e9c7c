"""Messages between the desk's processes on one machine: framed, and only for who knows the key.

Each side proves that it knows the key before the other one says anything: the port of a process
that has died may belong to a stranger by now. A frame is its length in four bytes, and msgpack.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import socket
import struct
from typing import Any

import msgspec

from trading.errors import LinkError

__all__ = ["AsyncLink", "Link", "greet", "pack_frame"]

_LENGTH = struct.Struct(">I")
_FRAME_MAX = 64 * 1024 * 1024
_GREETING = struct.Struct(">8s32s")
_MAGIC = b"desk0001"
_TIMEOUT_S = 10.0


def pack_frame(message: Any) -> bytes:
    """Return a message as it travels."""
    body = msgspec.msgpack.encode(message)
    if len(body) > _FRAME_MAX:
        raise LinkError(f"a message of {len(body)} bytes; at most {_FRAME_MAX} are sent")
    return _LENGTH.pack(len(body)) + body


def _proof(key: str, role: bytes, theirs: bytes, ours: bytes) -> bytes:
    return hmac.new(key.encode(), role + theirs + ours, hashlib.sha256).digest()


def _nonce_of(data: bytes) -> bytes:
    magic, nonce = _GREETING.unpack(data)
    if magic != _MAGIC:
        raise LinkError("the other side speaks another protocol")
    return bytes(nonce)


async def greet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, *, is_server: bool
) -> AsyncLink:
    """Prove the key to each other; LinkError where the other side does not know it."""
    ours = secrets.token_bytes(32)
    mine, other = (b"server", b"client") if is_server else (b"client", b"server")
    writer.write(_GREETING.pack(_MAGIC, ours))
    try:
        theirs = _nonce_of(await asyncio.wait_for(reader.readexactly(_GREETING.size), _TIMEOUT_S))
        writer.write(_proof(key, mine, theirs, ours))
        told = await asyncio.wait_for(reader.readexactly(32), _TIMEOUT_S)
    except (OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.TimeoutError) as error:
        raise LinkError(f"no link: {error or type(error).__name__}") from error
    if not hmac.compare_digest(told, _proof(key, other, ours, theirs)):
        raise LinkError("the other side does not know the key of this desk")
    return AsyncLink(reader, writer)


class AsyncLink:
    """A link in an asyncio program, after the greeting."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int, key: str) -> AsyncLink:
        """Connect to a process of this machine; LinkError where it cannot be reached."""
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection("127.0.0.1", port), _TIMEOUT_S
            )
        except (OSError, TimeoutError, asyncio.TimeoutError) as error:
            raise LinkError(f"nobody answers at port {port}: {error}") from error
        _no_delay(writer.get_extra_info("socket"))
        try:
            return await greet(reader, writer, key, is_server=False)
        except BaseException:
            writer.close()
            raise

    @classmethod
    async def of_socket(cls, connected: socket.socket) -> AsyncLink:
        """Return a link over a socket whose other end a child process has; nothing is proven."""
        return cls(*await asyncio.open_connection(sock=connected))

    async def receive(self) -> Any:
        """Return the next message; LinkError at the end of the link."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(4))
            if length > _FRAME_MAX:
                raise LinkError(f"a frame of {length} bytes")
            return msgspec.msgpack.decode(await self._reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
            raise LinkError(f"the link is cut: {error}") from error

    def write(self, frame: bytes) -> None:
        """Send what `pack_frame` gave, without waiting."""
        self._writer.write(frame)

    async def drain(self) -> None:
        """Wait until the other side has read on; LinkError where the link is cut."""
        try:
            await self._writer.drain()
        except OSError as error:
            raise LinkError(f"the link is cut: {error}") from error

    def close(self) -> None:
        """End the link."""
        self._writer.close()


class Link:
    """A link in a thread, with blocking calls; for clients."""

    def __init__(self, port: int, key: str, timeout: float = _TIMEOUT_S) -> None:
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        except OSError as error:
            raise LinkError(f"nobody answers at port {port}: {error}") from error
        _no_delay(self._socket)
        ours = secrets.token_bytes(32)
        try:
            self._socket.sendall(_GREETING.pack(_MAGIC, ours))
            theirs = _nonce_of(self._exactly(_GREETING.size))
            self._socket.sendall(_proof(key, b"client", theirs, ours))
            told = self._exactly(32)
        except (OSError, LinkError) as error:
            self._socket.close()
            raise LinkError(f"no link: {error}") from error
        if not hmac.compare_digest(told, _proof(key, b"server", ours, theirs)):
            self._socket.close()
            raise LinkError("the other side does not know the key of this desk")

    @classmethod
    def of_socket(cls, connected: socket.socket) -> Link:
        """Return a link over a socket that a parent process has handed on; nothing is proven."""
        made = cls.__new__(cls)
        made._socket = connected
        return made

    def send(self, message: Any) -> None:
        """Send a message; LinkError where the link is cut."""
        try:
            self._socket.sendall(pack_frame(message))
        except OSError as error:
            raise LinkError(f"the link is cut: {error}") from error

    def receive(self, timeout: float | None = None) -> Any:
        """Return the next message; LinkError at the end, or when none comes in time."""
        self._socket.settimeout(timeout)
        try:
            (length,) = _LENGTH.unpack(self._exactly(4))
            if length > _FRAME_MAX:
                raise LinkError(f"a frame of {length} bytes")
            return msgspec.msgpack.decode(self._exactly(length))
        except (OSError, msgspec.DecodeError) as error:
            raise LinkError(f"the link is cut: {error}") from error

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(count - len(parts))
            if not part:
                raise LinkError("the other side has ended the link")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        """End the link."""
        self._socket.close()


def _no_delay(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
