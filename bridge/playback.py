"""StorePlayback: what was written to the store between two times, into ticking tables again.

    play = StorePlayback(**where, user="ann", password="…", start=ten, end=noon, speed=10)
    play.register(Order)
    play.start()
    play.table(Order), play.live(Order)

The tables are those of a bridge, and rows come as they came then, `speed` times as fast.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from bridge.errors import BridgeError
from bridge.feed import EventRow, Feed
from bridge.feeds import MAX_PENDING_ROWS, Feeds
from reactive.expr import Expr
from store.base import Storable
from store.database.execute import PgConnection
from store.database.login import Login
from store.events import ChangeEvent
from store.subscriptions.event_log import EventLog

logger = logging.getLogger(__name__)

# What is due within so many seconds is shown together.
_TOGETHER_S = 0.02
_LONGEST_WAIT_S = 0.25


class PlaybackState(str, Enum):
    """NEW, PLAYING, PAUSED, FINISHED (at its end), STOPPED, or FAILED."""

    NEW = "NEW"
    PLAYING = "PLAYING"
    PAUSED = "PAUSED"
    FINISHED = "FINISHED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class PlaybackStatus:
    """How far a playback is: the recorded time, events shown, and what went wrong."""

    state: PlaybackState
    moment: datetime
    events: int
    error: str = ""


class StorePlayback:
    """Plays the log of the classes that are registered, as one role may see it.

    What was recorded before `start` is in the `live` tables at once, and in no raw table; what was
    recorded up to `end` follows, each event when its time has come. `speed` is how many recorded
    seconds pass in one, None for as fast as possible. An entity is in `live` from the event on that
    holds when it is recorded; periods that begin or end later change nothing.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 5432,
        dbname: str = "postgres",
        user: str = "",
        password: str = "",
        *,
        start: datetime,
        end: datetime,
        speed: float | None = 1.0,
        sslmode: str = "prefer",
        sslrootcert: str | None = None,
        max_pending_rows: int = MAX_PENDING_ROWS,
    ) -> None:
        if start.tzinfo is None or end.tzinfo is None or not start <= end:
            raise BridgeError(f"start {start}, end {end}: two times with a zone, in their order")
        if speed is not None and not speed > 0:
            raise BridgeError(f"speed={speed}; above 0, or None for as fast as possible")
        self._login = Login(user, password, host, port, dbname, sslmode, sslrootcert)
        self._start, self._end, self._speed = start, end, speed
        self._feeds = Feeds("playback", max_pending_rows)
        self._by_type: dict[str, Feed] = {}
        self._state = PlaybackState.NEW
        self._error = ""
        self._moment = start
        self._events = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        # When, on both clocks, the present stretch began.
        self._since = 0.0
        self._since_moment = start

    def register(
        self,
        cls: type[Storable],
        *,
        filter: Expr | None = None,
        columns: Iterable[str] | None = None,
        rows: int | None = None,
        live: bool = True,
    ) -> None:
        """Show a class; call it before `start`. The arguments are those of `StoreBridge`."""
        self._feeds.register(
            cls,
            is_late=self._state is not PlaybackState.NEW,
            passing=filter,
            columns=columns,
            rows=rows,
            live=live,
        )

    def start(self) -> StorePlayback:
        """Show what there was at the start, then play in a thread; raises errors of the store."""
        if self._state is not PlaybackState.NEW or not self._feeds.by_class:
            raise BridgeError("start a playback once, with classes registered")
        self._by_type = self._feeds.by_type()
        connection = self._login.connect("store playback")
        try:
            log = EventLog(connection, types=[*self._feeds.by_class], until=self._end)
            after = log.position_at(self._start)
            for page in log.pages():
                before = [e for e in page.events if e.position is not None and e.position <= after]
                self._show(before, raw=False)
                if len(before) < len(page.events):
                    break
        except BaseException:
            connection.close()
            raise
        self._enter(PlaybackState.PLAYING)
        self._thread = threading.Thread(
            target=self._run, args=(connection, log, after), name="store-playback", daemon=True
        )
        self._thread.start()
        return self

    def pause(self) -> None:
        """Stay at this moment."""
        with self._changed:
            if self._state is PlaybackState.PLAYING:
                self._moment = self._now()
                self._enter(PlaybackState.PAUSED)

    def resume(self, speed: float | str | None = "same") -> None:
        """Go on, at the same speed or another."""
        with self._changed:
            if not isinstance(speed, str):
                if speed is not None and not speed > 0:
                    raise BridgeError(f"speed={speed}; above 0, or None for as fast as possible")
                self._speed = speed
            if self._state in (PlaybackState.PAUSED, PlaybackState.PLAYING):
                self._enter(PlaybackState.PLAYING)

    def wait(self, timeout: float) -> bool:
        """Wait until all is played and shown; False if time ran out, BridgeError if it failed."""
        end = time.monotonic() + timeout
        over = (PlaybackState.FINISHED, PlaybackState.FAILED, PlaybackState.STOPPED)
        with self._changed:
            self._changed.wait_for(lambda: self._state in over, timeout)
            state = self._state
        if state is PlaybackState.FAILED:
            raise BridgeError(f"the playback failed: {self._error}")
        return state is PlaybackState.FINISHED and all(
            feed.await_shown(max(0.0, end - time.monotonic()))
            for feed in self._feeds.by_class.values()
        )

    def stop(self) -> None:
        """End it; the tables stay as they are. A second call does nothing."""
        with self._changed:
            if self._state in (PlaybackState.PLAYING, PlaybackState.PAUSED, PlaybackState.NEW):
                self._enter(PlaybackState.STOPPED)
        if self._thread is not None:
            self._thread.join()

    def table(self, cls: type[Storable]) -> Any:
        """The events of a class since the start, a row each."""
        return self._feeds.table(cls)

    def live(self, cls: type[Storable]) -> Any:
        """The state of each entity at the moment that is shown."""
        return self._feeds.live(cls)

    def status(self) -> PlaybackStatus:
        """How far it is."""
        with self._changed:
            moment = self._now() if self._state is PlaybackState.PLAYING else self._moment
            return PlaybackStatus(self._state, moment, self._events, self._error)

    def __enter__(self) -> StorePlayback:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- inside -----------------------------------------------------------------------------------

    def _enter(self, state: PlaybackState) -> None:
        with self._changed:
            self._state = state
            self._since, self._since_moment = time.monotonic(), self._moment
            self._changed.notify_all()

    def _now(self) -> datetime:
        """The recorded time that it is by now."""
        if self._speed is None:
            return self._moment
        passed = timedelta(seconds=(time.monotonic() - self._since) * self._speed)
        return min(self._since_moment + passed, self._end)

    def _run(self, connection: PgConnection, log: EventLog, after: Any) -> None:
        try:
            for events in self._together(log, after):
                if not self._await(events[0].tx_time):
                    return
                self._show(events, raw=True)
                self._events += len(events)
                self._moment = max(self._moment, events[-1].tx_time)
            if self._await(self._end):
                self._moment = self._end
                self._enter(PlaybackState.FINISHED)
        except Exception as error:
            logger.exception("the playback failed")
            self._error = f"{type(error).__name__}: {error}"
            self._enter(PlaybackState.FAILED)
        finally:
            connection.close()

    def _together(self, log: EventLog, after: Any) -> Iterator[list[ChangeEvent]]:
        """Events in stretches that are short at the present speed."""
        for page in log.pages(after):
            waiting: list[ChangeEvent] = []
            for event in page.events:
                speed = self._speed
                if waiting and speed is not None:
                    apart = (event.tx_time - waiting[0].tx_time).total_seconds()
                    if apart > _TOGETHER_S * speed:
                        yield waiting
                        waiting = []
                waiting.append(event)
            if waiting:
                yield waiting

    def _await(self, moment: datetime) -> bool:
        """Wait until a recorded time has come; False where it is to end instead."""
        with self._changed:
            while self._state in (PlaybackState.PLAYING, PlaybackState.PAUSED):
                if self._state is PlaybackState.PLAYING:
                    if self._speed is None:
                        return True
                    left = (moment - self._now()).total_seconds() / self._speed
                    if left <= 0:
                        return True
                    self._changed.wait(min(left, _LONGEST_WAIT_S))
                else:
                    self._changed.wait(_LONGEST_WAIT_S)
            return False

    def _show(self, events: list[ChangeEvent], *, raw: bool) -> None:
        by_feed: dict[int, tuple[Feed, list[EventRow]]] = {}
        for event in events:
            feed = self._by_type[event.type_name]
            holds = (event.valid_from is None or event.valid_from <= event.tx_time) and (
                event.valid_to is None or event.valid_to > event.tx_time
            )
            row = EventRow(event, raw, feed.live is not None and holds)
            by_feed.setdefault(id(feed), (feed, []))[1].append(row)
        for feed, rows in by_feed.values():
            feed.take(rows)
            # A playback has no checkpoint that they could be kept with.
            feed.dead_letters.clear()
