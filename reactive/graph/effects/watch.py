"""Values as an asynchronous stream that raises an error rather than lose one silently."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactive.errors import SlowReaderError
from reactive.graph.effects.effect import Effect

_NOTHING: Any = object()


class Watch:
    """An asynchronous iterator over the values that something takes, the present one first.

    Every value waits until it is read, up to `limit` of them. A reader who falls further behind
    gets the values that waited, then SlowReaderError, and may then read on from the newest value.
    With `conflate` only the newest value waits. Changes `by_key` that take the place of others are
    merged with them. The iteration ends when what is watched is removed. Updates may come from any
    thread; one task reads. Drop the last reference to it, or `close()` it, to stop watching.
    """

    def __init__(
        self,
        attach: Callable[[Callable[[str, Any], None]], Effect],
        remove: Callable[[Effect], None],
        limit: int,
        conflate: bool,
        *,
        by_key: bool = False,
    ) -> None:
        if limit < 1:
            raise ValueError(f"limit is how many values may wait, at least 1; given {limit}")
        self._limit = limit
        self._conflate = conflate
        self._by_key = by_key
        self._lock = threading.Lock()
        self._values: deque[Any] = deque()
        self._newest: Any = _NOTHING
        self._lost = 0
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None
        self._remove = remove
        # The graph holds the effect; it must not hold a watch that nobody reads any more.
        watching = weakref.ref(self)

        def put(_: str, value: Any) -> None:
            watch = watching()
            if watch is None:
                remove(effect)
            else:
                watch._put(value)

        def end() -> None:
            watch = watching()
            if watch is not None:
                watch._end()

        effect = self._effect = attach(put)
        effect.at_end = end

    def close(self) -> None:
        """Stop watching; what waits can still be read."""
        self._remove(self._effect)
        self._end()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Any:
        while True:
            with self._lock:
                if self._values:
                    return self._values.popleft()
                if self._newest is not _NOTHING:
                    self._values.append(self._newest)
                    self._newest = _NOTHING
                    if self._lost:
                        lost, self._lost = self._lost, 0
                        raise SlowReaderError(self._effect.subject, lost, self._limit)
                    continue
                if self._ended:
                    raise StopAsyncIteration
                waiter = self._wait()
            try:
                await waiter
            finally:
                self._waiter = None

    def _wait(self) -> asyncio.Future[None]:
        if self._waiter is not None:
            raise RuntimeError(
                f"two tasks read one watch of {self._effect.subject}; give each its own"
            )
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def _put(self, value: Any) -> None:
        with self._lock:
            if self._conflate and self._values:
                value = self._newer(self._values.pop(), value)
            if len(self._values) < self._limit and self._newest is _NOTHING:
                self._values.append(value)
            elif self._newest is _NOTHING:
                self._newest = value
            else:
                self._lost += 1
                self._newest = self._newer(self._newest, value)
            self._wake()

    def _newer(self, waiting: Any, value: Any) -> Any:
        """Return what takes the place of two values: of a group by key, all keys that changed."""
        return {**waiting, **value} if self._by_key else value

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            # A loop that was closed has nobody left who waits.
            with suppress(RuntimeError):
                waiter.get_loop().call_soon_threadsafe(_resolve, waiter)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
