"""Tables that failed in the engine are made anew, with the rows that belong in them.

The engine ends a table, and all that is made of it, at the first error while it is updated, and
never comes back to it. What the store holds is read again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from bridge.feed import EventRow, Feed
from bridge.present import PresentStates
from bridge.snapshot import Snapshot
from store.events import ChangeEvent
from store.position import Position
from store.subscriptions.event_log import Page
from store.subscriptions.session import Session

logger = logging.getLogger(__name__)

# How often the engine is asked.
LOOK_SECONDS = 0.5
# A table that fails again is made anew less and less often.
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 1.0, 60.0
Read = Callable[[Session, Position], Page]


class RawRows:
    """Where in the log the rows of a raw table are, for a table that keeps all or the newest.

    `begin` is the place after which they begin. At None they begin with the present states, which
    were read from the store and not from the log.
    """

    def __init__(self, feed: Feed) -> None:
        self._kept_rows = feed.kept_rows
        self._pages: deque[tuple[Position | None, int]] = deque()
        self._rows = 0
        # What was read from the store ahead of the log: the version that is shown of an entity.
        self._ahead: dict[str, int] = {}
        self.is_seam = False

    def begin(self, place: Position | None, *, seam: bool = False) -> None:
        """A table begins; at a `seam` some events that follow were in what was loaded."""
        self._pages.clear()
        self._rows = 0
        self._pages.append((place, 0))
        self.is_seam = seam

    @property
    def first(self) -> Position | None:
        """Where the oldest row that is kept may be."""
        return self._pages[0][0]

    def took(self, before: Position, rows: int) -> None:
        """A page of the log, which begins after a place, gave so many rows of the table."""
        if self._kept_rows is None or not rows:
            return
        self._pages.append((before, rows))
        self._rows += rows
        while self._rows - self._pages[0][1] >= self._kept_rows:
            self._rows -= self._pages.popleft()[1]

    def read_ahead(self, event: ChangeEvent) -> None:
        """An entity's present state was shown: earlier versions that come are none."""
        self._ahead[event.entity_id] = event.version

    def has(self, event: ChangeEvent) -> bool:
        """Whether an event is in what was read ahead."""
        version = self._ahead.get(event.entity_id) if self._ahead else None
        if version is None:
            return False
        if event.version >= version:
            del self._ahead[event.entity_id]
        return event.version <= version


class _Pause:
    """When a table may be made anew; each time in a row it waits longer."""

    def __init__(self) -> None:
        self._next = 0.0
        self._seconds = PAUSE_SECONDS

    def is_over(self) -> bool:
        return time.monotonic() >= self._next

    def begin(self) -> None:
        now = time.monotonic()
        if now > self._next + PAUSE_SECONDS_MAX:
            self._seconds = PAUSE_SECONDS
        self._next = now + self._seconds
        self._seconds = min(2 * self._seconds, PAUSE_SECONDS_MAX)


class Mender:
    """Looks after the tables of a bridge, on the thread that follows the log.

    `replaced` is called with the feed whose table is another one from now on.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        present: PresentStates,
        read: Read,
        replaced: Callable[[Feed], None],
    ) -> None:
        self._feeds = feeds
        self._present = present
        self._read = read
        self._replaced = replaced
        self.raw = {feed: RawRows(feed) for feed in feeds}
        self._lost_all = {feed: feed.target.lost_all for feed in feeds}
        self._half_filled: set[Feed] = set()
        self._pauses = {(feed, name): _Pause() for feed in feeds for name in ("raw", "live")}
        self._next_look = 0.0

    def look(self, session: Session, until: Position) -> bool:
        """Make anew what has failed, with all rows up to a place in the log; whether any was."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK_SECONDS
        found = False
        for feed in self._feeds:
            if feed.has_failed_live() and self._may("live", feed):
                self._live(session, feed)
                found = True
            if feed.target.has_failed() and self._may("raw", feed):
                feed.renew_raw()
            if self._lost_all[feed] != feed.target.lost_all:
                if feed in self._half_filled:
                    # The store could not be reached in the middle of it.
                    feed.renew_raw()
                self._half_filled.add(feed)
                self._raw(session, feed, until)
                self._half_filled.discard(feed)
                self._lost_all[feed] = feed.target.lost_all
                found = True
        return found

    def _may(self, table: str, feed: Feed) -> bool:
        pause = self._pauses[feed, table]
        if not pause.is_over():
            return False
        pause.begin()
        logger.error(
            "the %s table of %s has failed in the engine, whose log has the cause; it is made anew",
            table,
            feed.cls.__name__,
        )
        return True

    def _live(self, session: Session, feed: Feed) -> None:
        feed.renew_live()
        try:
            with feed.repeating(raw=False):
                self._present.load_again(session.conn, feed)
        except BaseException as error:
            feed.miss_live(error)
            raise
        self._replaced(feed)

    def _raw(self, session: Session, feed: Feed, until: Position) -> None:
        raw = self.raw[feed]
        with feed.repeating(raw=True):
            first = raw.first
            if first is None:
                self._present_rows(session, feed, raw, until)
            else:
                self._log_rows(session, feed, first, until)
        self._replaced(feed)

    def _present_rows(self, session: Session, feed: Feed, raw: RawRows, until: Position) -> None:
        raw.begin(None)
        with Snapshot(session.conn, feed.cls.type_names()) as snapshot:
            for page in snapshot.pages():
                events = [segment.event for segment in page if segment.holds]
                for event in events:
                    raw.read_ahead(event)
                feed.take([EventRow(event, raw=True, present=False) for event in events])
        logger.info("%s begins with the present again, at %s", feed.cls.__name__, until)

    def _log_rows(self, session: Session, feed: Feed, first: Position, until: Position) -> None:
        raw, names = self.raw[feed], set(feed.cls.type_names())
        raw.begin(first, seam=raw.is_seam)
        position = first
        while position < until:
            page = self._read(session, position)
            events = [
                event
                for event in page.events
                if event.type_name in names and event.position and event.position <= until
            ]
            shown = [not (raw.is_seam and self._present.was_in_load(event)) for event in events]
            written = feed.take(
                [EventRow(e, is_shown, False) for e, is_shown in zip(events, shown, strict=True)]
            )
            raw.took(position, written)
            if page.is_last:
                return
            position = page.end
