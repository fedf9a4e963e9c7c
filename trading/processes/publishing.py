"""The server end of a local link, in a thread of its own: it publishes, and answers questions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from trading.errors import LinkError
from trading.local_link import AsyncLink, greet, pack_frame

__all__ = ["LinkServer"]

_LOG = logging.getLogger(__name__)
_WAITING_MAX = 32 * 1024 * 1024
_LINKS_MAX = 64

Answerer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class _Client:
    """One that listens: what waits for it, and which kinds it wants."""

    def __init__(self, link: AsyncLink) -> None:
        self.link = link
        self.kinds: set[str] = set()
        self.waiting: deque[bytes] = deque()
        self.bytes_waiting = 0
        self.wake = asyncio.Event()
        self.is_cut = False

    def put(self, frame: bytes) -> None:
        """Let a frame wait for its turn; who reads too slowly for too long is cut off."""
        self.waiting.append(frame)
        self.bytes_waiting += len(frame)
        if self.bytes_waiting > _WAITING_MAX:
            self.is_cut = True
        self.wake.set()

    async def write(self) -> None:
        """Send what waits, for ever; LinkError at the end."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            while self.waiting and not self.is_cut:
                frame = self.waiting.popleft()
                self.bytes_waiting -= len(frame)
                self.link.write(frame)
                await self.link.drain()
            if self.is_cut:
                raise LinkError("a client reads too slowly; its link was cut")


class LinkServer:
    """Takes links at a port of the loopback interface.

    `publish` sends a message to all that have subscribed to its kind; `answer` answers the others.
    `current` gives the messages that a new subscriber of a kind is sent first.
    """

    def __init__(
        self,
        port: int,
        key: str,
        *,
        answer: Answerer | None = None,
        current: Callable[[str], Iterable[Any]] = lambda _kind: (),
    ) -> None:
        self._port = port
        self._key = key
        self._answer = answer
        self._current = current
        self._clients: set[_Client] = set()
        # Every kind that somebody has asked for; written in the loop alone.
        self._asked: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="links", daemon=True)

    def start(self) -> LinkServer:
        """Listen; OSError where the port is taken."""
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise self._failed
        return self

    def stop(self) -> None:
        """Cut all links and end the thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def is_asked(self, kind: str) -> bool:
        """Whether somebody has ever asked for a kind: else making its messages is in vain."""
        return kind in self._asked

    def publish(self, kind: str, message: Any) -> None:
        """Send a message to who listens to its kind; from any thread."""
        if kind not in self._asked:
            return
        frame = pack_frame(message)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._spread, kind, frame)

    def _spread(self, kind: str, frame: bytes) -> None:
        for client in self._clients:
            if kind in client.kinds:
                client.put(frame)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - it is told by start()
            self._failed = error
        finally:
            self._ready.set()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._take, "127.0.0.1", self._port)
        self._ready.set()
        await self._end.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        client: _Client | None = None
        if len(self._clients) >= _LINKS_MAX:
            _LOG.warning("more than %d links; a new one was refused", _LINKS_MAX)
            writer.close()
            return
        try:
            client = _Client(await greet(reader, writer, self._key, is_server=True))
            self._clients.add(client)
            await self._converse(client)
        except LinkError as error:
            _LOG.info("a link has ended: %s", error)
        except asyncio.CancelledError:
            pass
        finally:
            if client is not None:
                self._clients.discard(client)
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, client: _Client) -> None:
        writing = asyncio.create_task(client.write())
        reading = asyncio.create_task(self._read(client))
        try:
            done, _ = await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (writing, reading):
                task.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)

    async def _read(self, client: _Client) -> None:
        while True:
            message = await client.link.receive()
            kinds = message.get("subscribe")
            if kinds is not None:
                for kind in kinds:
                    # Before the present state is read: what changes from now on is published.
                    self._asked.add(kind)
                    for first in self._current(kind):
                        client.put(pack_frame(first))
                    client.kinds.add(kind)
                continue
            task = asyncio.create_task(self._answered(client, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answered(self, client: _Client, message: dict[str, Any]) -> None:
        if self._answer is None:
            return
        answer = await self._answer(message)
        client.put(pack_frame({"number": message.get("number"), **answer}))
