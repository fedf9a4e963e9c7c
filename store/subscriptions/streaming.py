"""Subscriptions for programs of asyncio.

async for event in stream(**server.conn_info(), user="bob", password="…"):
    print(event.event_type, event.entity_id)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

from store.errors import SubscriptionError
from store.events import ChangeEvent
from store.subscriptions.event_log import PAGE_EVENTS
from store.subscriptions.listener import SubscriptionListener
from store.subscriptions.log_follower import Stopped


async def stream(
    host: str = "localhost",
    port: int = 5432,
    dbname: str = "postgres",
    user: str = "",
    password: str = "",
    subscriber_id: str | None = None,
    **options: Any,
) -> AsyncIterator[ChangeEvent]:
    """Events of the log as they come, as one user; leave the loop to end the subscription.

    Takes the options of SubscriptionListener but for those about handlers. With a
    `subscriber_id`, an event counts as handled when the loop asks for the next one: where its
    body raises or is left, the event comes again at the next start. A loop that is slow slows
    the reading down. SubscriptionError if the subscription fails.
    """
    size = PAGE_EVENTS if subscriber_id is None else 1
    handover = _Handover(asyncio.get_running_loop())
    listener = SubscriptionListener(
        None,
        host=host,
        port=port,
        dbname=dbname,
        user=user,
        password=password,
        subscriber_id=subscriber_id,
        on_batch=handover.put,
        on_error="stop",
        retries=0,
        on_ended=handover.end,
        **{"batch_size": size, **options},
    )
    startable = _Startable(listener, handover)
    try:
        await asyncio.to_thread(startable.begin)
        while (events := await handover.get()) is not None:
            for event in events:
                yield event
            handover.taken()
        raise SubscriptionError(f"the subscription ended: {listener.status().error}")
    finally:
        handover.close()
        await asyncio.to_thread(startable.end)


class _Startable:
    """A listener that is started and stopped by threads which a loop cannot cancel."""

    def __init__(self, listener: SubscriptionListener, handover: _Handover) -> None:
        self._listener = listener
        self._handover = handover
        self._changing = threading.Lock()

    def begin(self) -> None:
        """Start, unless the loop was left before."""
        with self._changing:
            if not self._handover.is_closed:
                self._listener.start()

    def end(self) -> None:
        """Stop, also where it is being started just now."""
        with self._changing:
            self._listener.stop()


class _Handover:
    """Brings lists of events from the listener's thread into the loop, one at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # One list at most, or None at the end.
        self._arrived: asyncio.Queue[list[ChangeEvent] | None] = asyncio.Queue()
        self._taken = threading.Event()
        self.is_closed = False

    def put(self, events: list[ChangeEvent]) -> None:
        """In the thread: hand over, and wait until the loop is through with it."""
        self._taken.clear()
        if not self.is_closed:
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, events)
            self._taken.wait()
        if self.is_closed:
            raise Stopped

    def end(self) -> None:
        """In the thread: nothing more comes."""
        if not self.is_closed:
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, None)

    async def get(self) -> list[ChangeEvent] | None:
        """In the loop: what comes next."""
        return await self._arrived.get()

    def taken(self) -> None:
        """In the loop: the list is done with."""
        self._taken.set()

    def close(self) -> None:
        """In the loop: nothing more is wanted."""
        self.is_closed = True
        self._taken.set()
