"""Shows the events of the log in the feeds' tables, for as long as the bridge lives."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

from bridge.errors import BridgeClosed, BridgeError
from bridge.feed import EventRow, Feed
from bridge.grants import LOOK_SECONDS
from bridge.mending import Mender
from bridge.present import PresentStates
from bridge.status import State
from publishing.engine import await_cycle, request_refresh
from store.base import Storable
from store.database.execute import execute
from store.database.login import Login
from store.errors import AccessError, Unavailable
from store.position import START, Position
from store.subscriptions.checkpoints import SubscriptionLost
from store.subscriptions.event_log import Lag, Page
from store.subscriptions.log_follower import FollowOptions, LogFollower
from store.subscriptions.session import Session
from store.subscriptions.status import SubscriptionState

logger = logging.getLogger(__name__)

Start = Literal["resume", "beginning", "present", "now"] | Position
PAGE_EVENTS = 2_000
# Events that come one by one are shown together: each time costs the engine a cycle.
MIN_INTERVAL_SECONDS = 0.010
LAG_SECONDS = 1.0
SAVE_SECONDS = 0.25
# A bridge that was killed holds its place until its session ends, or its keepalive does.
CLAIM_SECONDS = 10.0
# Where it is no harm to go on without, that long would be a nuisance.
SHARED_SECONDS = 2.0

_STATES = {
    SubscriptionState.WAITING: State.RECONNECTING,
    SubscriptionState.RECONNECTING: State.RECONNECTING,
    SubscriptionState.FAILED: State.FAILED,
    SubscriptionState.STOPPED: State.STOPPED,
}
_OWN_NUMBER = "SELECT object_store.log_xid(pg_current_xact_id())::text"


class Follower:
    """One bridge's way through the log.

    `subscriber_id` names its checkpoint, None for none. With `may_share` it goes on without where
    another bridge holds that. `replaced` is called with a feed whose table has failed in the engine
    and is another one from now on.
    """

    def __init__(
        self,
        login: Login,
        feeds: Mapping[type[Storable], Feed],
        subscriber_id: str | None,
        may_share: bool,
        replaced: Callable[[Feed], None],
    ) -> None:
        self._login = login
        self._feeds = {name: f for f in feeds.values() for name in f.cls.type_names()}
        self._all = list(feeds.values())
        self._present = PresentStates(self._feeds)
        self._mender = Mender(self._all, self._present, self._read, replaced)
        self._log = LogFollower(
            login,
            [feed.cls for feed in self._all],
            subscriber_id,
            self,
            FollowOptions(
                name="bridge",
                hold_seconds=SHARED_SECONDS if may_share else CLAIM_SECONDS,
                goes_on_unheld=may_share,
                retried=(Unavailable, AccessError),
                save_seconds=SAVE_SECONDS,
                page_events=PAGE_EVENTS,
                reads_ahead=True,
            ),
        )
        self._changed = threading.Condition()
        # Calls of `flush`: how many there were, also before this look at the log, and are served.
        self._asked = self._asked_before_look = self._served = 0
        self._shown_at = self._next_measure = 0.0
        self._raw_after_seam = False
        self.state = State.LOADING
        self.lag = Lag(0, 0.0, 0)
        self.lag_measured_at: float | None = None
        self.reconnects = 0
        self._error = ""

    @property
    def position(self) -> Position:
        """How far in the log it has come."""
        return self._log.position or START

    @property
    def holds_checkpoint(self) -> bool:
        """Whether its place is kept for a restart."""
        return self._log.holds_checkpoint

    @property
    def error(self) -> str:
        """Why it failed, keeps no checkpoint, or had to connect again the last time."""
        unheld = self._log.unheld
        return self._error or ("" if unheld is None else str(unheld))

    def start(self, start: Start) -> None:
        """Show what is there, then follow in a thread of its own."""
        try:
            # Held before anything is read of it: nobody else moves it from now on.
            self._load(self._log.open(), start)
        except BaseException as error:
            if self._present.has_shown:
                # Shown once more, it would be there twice, or never leave.
                self._become(State.FAILED, f"{type(error).__name__}: {error}")
            self._log.leave()
            raise
        self._log.start()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was committed and shared before is shown; False if time ran out."""
        end = time.monotonic() + timeout
        conn = self._login.connect()
        try:
            # Whatever was committed before has a smaller one.
            number = int(execute(conn, _OWN_NUMBER)[0][0])
        finally:
            conn.close()
        with self._changed:
            self._asked += 1
            asked = self._asked
            done = self._changed.wait_for(
                lambda: (
                    self.state in (State.FAILED, State.STOPPED)
                    or (self._served >= asked and self.position.xid > number)
                ),
                max(0.0, end - time.monotonic()),
            )
        if self.state is State.FAILED:
            raise BridgeError(f"the bridge has failed: {self.error}")
        if self.state is State.STOPPED:
            raise BridgeClosed("the bridge was stopped")
        if not done:
            return False
        for feed in self._all:
            if not feed.await_shown(max(0.0, end - time.monotonic())):
                return False
        return await_cycle(end - time.monotonic())

    def stop(self, timeout: float) -> None:
        """Show what was read, keep the place, and log out."""
        if not self._log.stop(timeout):
            logger.warning("the bridge has not stopped within %g s: the engine is slow", timeout)

    def _load(self, session: Session, start: Start) -> None:
        if isinstance(start, Position):
            session.log.check(start)
        stored = None if self._log.is_new else session.stored
        seam = self._present.load(session.conn, raw=start == "present")
        if start in ("present", "now") or (start == "resume" and stored is None):
            session.position, self._raw_after_seam = seam, True
        elif isinstance(start, Position):
            session.position = start
        else:
            session.position = START if start == "beginning" or stored is None else stored
        for raw in self._mender.raw.values():
            raw.begin(None if start == "present" else session.position, seam=self._raw_after_seam)
        self._refresh()

    # --- what the follower of the log calls -------------------------------------------------------

    def begin_at(self, session: Session) -> Position:
        """A new subscription is kept at the end of the log, until it has shown something."""
        return session.log.end()

    def reading(self) -> None:
        """Calls of `flush` until now are served by this look at the log."""
        self._asked_before_look = self._asked

    def take(self, session: Session, page: Page) -> None:
        """Show the events of a page, and keep those that cannot be shown."""
        rows: dict[Feed, list[EventRow]] = {}
        # In the order of the log, also where classes take turns: what was loaded is told by it.
        for event in page.events:
            feed = self._feeds[event.type_name]
            loaded = self._present.was_loaded(event)
            is_shown = (loaded and self._raw_after_seam) or self._mender.raw[feed].has(event)
            # What could not be read when it was loaded is kept now, with its place in the log.
            raw = not is_shown or feed.is_unread(event)
            present = feed.live is not None and not loaded and self._present.holds(event)
            rows.setdefault(feed, []).append(EventRow(event, raw, present))
        for feed, its_rows in rows.items():
            # The page before this one ended where its first event follows.
            self._mender.raw[feed].took(session.position, feed.take(its_rows))
        self._refresh()
        self._park(session)

    def after_page(self, session: Session, page: Page) -> None:
        """Show what changes without an event, and make anew what has failed in the engine."""
        changed = self._present.keep_up(
            session.conn, look_now=self._asked_before_look != self._served
        )
        if self._mender.look(session, session.position) or changed:
            self._refresh()
        if page.is_last:
            self._caught_up()
        self._measure_lag(session)

    def seconds_to_wait(self, pause: float) -> float:
        """No longer than until a present state changes by itself, or rights are looked at."""
        change = self._present.seconds_to_change()
        pause = min(pause, LOOK_SECONDS)
        return pause if change is None else min(pause, change)

    def waited(self, _notified: bool) -> None:
        """Wait for more of what comes one by one."""
        since = time.monotonic() - self._shown_at
        if since < MIN_INTERVAL_SECONDS:
            self._log.pause(MIN_INTERVAL_SECONDS - since)

    def became(self, state: SubscriptionState, error: object = None) -> None:
        """Take over what the follower of the log is doing."""
        if not self._log.is_running:
            # It waits for its place before it has begun.
            return
        if state is SubscriptionState.RECONNECTING or isinstance(error, SubscriptionLost):
            self.reconnects += 1
        has_failed = state is SubscriptionState.FAILED
        self._become(
            _STATES[state], f"{type(error).__name__}: {error}" if has_failed else str(error or "")
        )

    # --- its parts --------------------------------------------------------------------------------

    @staticmethod
    def _read(session: Session, after: Position) -> Page:
        return session.log.page(after, PAGE_EVENTS)

    def _park(self, session: Session) -> None:
        """Keep the dead letters of a page with the checkpoint, in the order of the log."""
        found = [letter for feed in self._all for letter in feed.dead_letters]
        for feed in self._all:
            feed.dead_letters.clear()
        for event, error in sorted(found, key=lambda letter: letter.event.position or START):
            session.park(event, error, attempts=1)

    def _caught_up(self) -> None:
        if self.state is not State.LIVE:
            self._become(State.LIVE)
        with self._changed:
            self._served = self._asked_before_look
            self._changed.notify_all()

    def _refresh(self) -> None:
        request_refresh()
        self._shown_at = time.monotonic()

    def _measure_lag(self, session: Session) -> None:
        began = time.monotonic()
        if began > self._next_measure:
            self.lag = session.log.lag(session.position)
            self.lag_measured_at = ended = time.monotonic()
            # Far behind, counting what is left takes time that showing it needs.
            self._next_measure = ended + max(LAG_SECONDS, 20 * (ended - began))

    def _become(self, state: State, error: str = "") -> None:
        with self._changed:
            self.state = state
            if error:
                self._error = error
            self._changed.notify_all()
