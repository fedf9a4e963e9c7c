"""The records that a user may see, as they change: one reader of the log for each user.

The database decides what comes: each feed reads the log as its user. A place in the log is the
position of an event, so that a client can go on where it was cut off, also at another server.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import psycopg2

from store.database.login import Login
from store.errors import SerializationError, StoreError
from store.events import ChangeEvent
from store.position import Position
from store.subscriptions import SubscriptionListener
from store.subscriptions.event_log import EventLog
from trading.api.record_views import EVENT_TOPICS, GOVERNED_TOPICS, TOPIC_OF, view_of
from trading.api.sessions import UserPool
from trading.api.settings import ApiSettings

__all__ = ["FeedEvent", "UserFeed", "UserFeeds"]

_LOG = logging.getLogger(__name__)
_RING = 10_000
_LINGER_S = 30.0
_CLASSES = [cls for cls, _ in EVENT_TOPICS.values()]


class FeedEvent(msgspec.Struct, frozen=True, gc=False):
    """A change of a record: `head` and `tail` are its message around the number."""

    position: Position
    topic: str
    account: str
    run: str
    entity_id: str
    version: int
    head: str
    tail: str

    def message(self, number: int) -> str:
        """Return the message with the number that a connection gives it."""
        return f"{self.head}{number}{self.tail}"


def feed_event(event: ChangeEvent, owner: str) -> FeedEvent | None:
    """Return an event as it is sent; None for one that is no record of the owner's.

    What is governed people write themselves, under rules that the database keeps.
    """
    topic = TOPIC_OF.get(event.type_name)
    if topic is None or event.position is None:
        return None
    if event.owner != owner and topic not in GOVERNED_TOPICS:
        return None
    cls, kind = EVENT_TOPICS[topic]
    try:
        record = cls.from_json(event.data or "{}")
    except (SerializationError, TypeError, ValueError, ArithmeticError) as error:
        # Anybody may write under this type's name; what is none of ours is not shown.
        _LOG.info("%s is not shown: %s", event, error)
        return None
    item = view_of(
        record, event.entity_id, event.version, state=event.state, changed_at=event.tx_time
    )
    more: dict[str, Any] = {}
    if topic == "orders":
        more = {
            "event": item["order_event"],
            "order_id": item["order_id"],
            "bracket_id": item["group_id"],
            "timestamp": item["timestamp"],
            "details": item["order_detail"],
        }
    position = str(event.position)
    tail = msgspec.json.encode(
        {"position": position, "change": event.event_type, **more, "item": item}
    ).decode()
    return FeedEvent(
        event.position,
        topic,
        str(item.get("account", "")),
        str(item.get("run", "")),
        event.entity_id,
        event.version,
        f'{{"type":"{kind}","topic":"{topic}","seq":',
        f",{tail[1:]}",
    )


class UserFeed:
    """What a user sees of the log, from its start on; to be used in the server's loop."""

    def __init__(self, pool: UserPool, loop: asyncio.AbstractEventLoop) -> None:
        self.pool = pool
        self._loop = loop
        self._ring: deque[FeedEvent] = deque()
        self._readers: set[Callable[[FeedEvent], None]] = set()
        self._idle_since = time.monotonic()
        self.has_ended = False
        self._on_ended: set[Callable[[], None]] = set()
        self._listener = SubscriptionListener(
            on_batch=self._batch,
            types=_CLASSES,
            start="now",
            on_error="park",
            on_ended=self._ended,
            **pool.login,  # type: ignore[arg-type]
        )
        self.base = Position("", 0, 0)
        self.position = self.base

    def open(self) -> None:
        """Log in and begin; blocks, so call it in a thread."""
        self._listener.start()
        position = self._listener.position
        assert position is not None
        self.base = self.position = position

    def close(self) -> None:
        """End it; blocks."""
        self._listener.stop(10)

    # --- on the listener's thread -----------------------------------------------------------------

    def _batch(self, events: list[ChangeEvent]) -> None:
        owner = self.pool.records_owner
        made = [each for event in events if (each := feed_event(event, owner)) is not None]
        if made:
            self._call(self._take, made)

    def _ended(self) -> None:
        self._call(self._say_ended)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            _LOG.debug("the server's loop has ended")

    # --- in the loop ------------------------------------------------------------------------------

    def _take(self, events: list[FeedEvent]) -> None:
        for event in events:
            self._ring.append(event)
            self.position = event.position
            if len(self._ring) > _RING:
                self.base = self._ring.popleft().position
            for reader in list(self._readers):
                reader(event)

    def _say_ended(self) -> None:
        self.has_ended = True
        for call in list(self._on_ended):
            call()

    def since(self, position: Position) -> list[FeedEvent] | None:
        """Return the events after a position; None where they are not all in memory."""
        if position.epoch != self.base.epoch or position < self.base:
            return None
        return [event for event in self._ring if event.position > position]

    def add(self, reader: Callable[[FeedEvent], None], ended: Callable[[], None]) -> None:
        """Let a reader hear of every event from now on."""
        self._readers.add(reader)
        self._on_ended.add(ended)

    def remove(self, reader: Callable[[FeedEvent], None], ended: Callable[[], None]) -> None:
        """Let a reader hear of no more."""
        self._readers.discard(reader)
        self._on_ended.discard(ended)
        self._idle_since = time.monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether nobody has read for a while."""
        return not self._readers and time.monotonic() > self._idle_since + _LINGER_S

    # --- in a thread ------------------------------------------------------------------------------

    def read_log(self, after: Position, most: int) -> tuple[list[FeedEvent], Position] | None:
        """Return the events after a position and where reading ended; None for too many.

        PositionError for a position of another database.
        """
        conn = Login(**self.pool.login).connect("desk feed")  # type: ignore[arg-type]
        try:
            log, owner = EventLog(conn, types=_CLASSES), self.pool.records_owner
            found: list[FeedEvent] = []
            end = after
            for page in log.pages(after):
                shown = (feed_event(event, owner) for event in page.events)
                found += [each for each in shown if each is not None]
                end = page.end
                if len(found) > most:
                    return None
            return found, end
        finally:
            conn.close()


class UserFeeds:
    """The feeds of all users, each opened by its first reader."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._feeds: dict[str, UserFeed] = {}
        self._opening = asyncio.Lock()

    async def of(self, pool: UserPool) -> UserFeed:
        """Return the feed of a user; StoreError where it cannot be opened."""
        async with self._opening:
            feed = self._feeds.get(pool.user)
            if feed is not None and not feed.has_ended and feed.pool is pool:
                return feed
            if feed is not None:
                await asyncio.to_thread(feed.close)
            feed = UserFeed(pool, asyncio.get_running_loop())
            try:
                await asyncio.to_thread(feed.open)
            except psycopg2.Error as error:
                raise StoreError(str(error)) from error
            self._feeds[pool.user] = feed
            return feed

    async def tidy(self) -> None:
        """Close feeds that nobody reads."""
        for user, feed in list(self._feeds.items()):
            if feed.is_idle or feed.has_ended:
                del self._feeds[user]
                await asyncio.to_thread(feed.close)

    async def close(self) -> None:
        """Close all."""
        feeds: Iterable[UserFeed] = list(self._feeds.values())
        self._feeds.clear()
        for feed in feeds:
            await asyncio.to_thread(feed.close)
