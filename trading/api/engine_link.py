"""The API's way to the engine's process: requests and answers, many at a time on one link."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

from trading.api.problems import Problem
from trading.errors import LinkError
from trading.local_link import AsyncLink, pack_frame

__all__ = ["EngineLink"]

_ANSWER_S = 35.0
_RETRY = {"Retry-After": "1"}


class EngineLink:
    """Asks the engine's process; connects again by itself after a cut.

    An answer is given once what it tells is durable. After a cut whether a command was recorded is
    unknown: the client gives it again under its key.
    """

    def __init__(self, port: int | None, key: str) -> None:
        self._port = port
        self._key = key
        self._link: AsyncLink | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._connecting = asyncio.Lock()

    @property
    def is_connected(self) -> bool:
        """Whether the last that is known of the engine's process is that it is there."""
        return self._link is not None

    async def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Return the engine's answer; Problem where it refuses, or cannot be reached."""
        try:
            link = self._link or await self._connected()
        except LinkError as error:
            raise Problem(
                503,
                "ENGINE_AWAY",
                "the engine does not answer; nothing was sent to it, try again",
                headers=_RETRY,
            ) from error
        number = next(self._numbers)
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        link.write(pack_frame({"number": number, "what": what, **arguments}))
        try:
            answer = await asyncio.wait_for(waiting, _ANSWER_S)
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise Problem(
                504,
                "ENGINE_TIMEOUT",
                "the engine did not answer in time; the command may be recorded yet, give it again "
                "under the same Idempotency-Key to learn what became of it",
                headers=_RETRY,
            ) from error
        except LinkError as error:
            raise Problem(
                503,
                "ENGINE_AWAY",
                "the engine was lost before it answered; the command may be recorded, give it "
                "again under the same Idempotency-Key to learn what became of it",
                headers=_RETRY,
            ) from error
        finally:
            self._waiting.pop(number, None)
        problem = answer.get("problem")
        if problem is not None:
            fields = dict(problem)
            raise Problem(fields.pop("status"), fields.pop("code"), fields.pop("detail"), **fields)
        result: dict[str, Any] = answer["result"]
        return result

    async def _connected(self) -> AsyncLink:
        async with self._connecting:
            if self._link is None:
                if self._port is None:
                    raise LinkError("this desk has no engine")
                self._link = await AsyncLink.connect(self._port, self._key)
                self._reader = asyncio.create_task(self._read(self._link))
            return self._link

    async def _read(self, link: AsyncLink) -> None:
        try:
            while True:
                answer = await link.receive()
                waiting = self._waiting.get(answer["number"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except LinkError as error:
            self._cut(link, error)
        except asyncio.CancelledError:
            self._cut(link, LinkError("the server stops"))
            raise

    def _cut(self, link: AsyncLink, error: LinkError) -> None:
        if self._link is link:
            self._link = None
        link.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)

    async def close(self) -> None:
        """End the link."""
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
