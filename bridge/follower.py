"""Follows the log and hands its events to the feeds, for as long as the bridge lives."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from bridge.errors import BridgeClosed, BridgeError
from bridge.feed import EventRow, Feed
from bridge.mending import Mender
from bridge.present import PresentStates, by_feed
from bridge.session import Session, own_number
from bridge.status import State
from publishing.engine import await_cycle, request_refresh
from store.base import Storable
from store.checkpoints import LeaseLost, Taken
from store.errors import AccessError, StoreError, Unavailable
from store.events import ChangeEvent
from store.log import Lag, Page
from store.position import START, Position
from store.subscription_session import Login
from store.wakeup import Pace, Waiter

logger = logging.getLogger(__name__)

From = Literal["resume", "beginning", "present", "now"] | Position
PAGE_EVENTS = 2_000
# Events that come one by one are shown together: each time costs the engine a cycle.
MIN_INTERVAL_SECONDS = 0.010
LAG_SECONDS = 1.0
RECONNECT_SECONDS = 0.1
# A bridge that was killed holds its place until its session ends, or its keepalive does.
CLAIM_SECONDS = 10.0
# Where it is no harm to go on without, that long would be a nuisance.
SHARED_SECONDS = 2.0
RECONNECT_SECONDS_MAX = 2.0


class Follower:
    """One bridge's way through the log.

    `subscriber_id` names its checkpoint, None for none. `may_share` tells it to go on without
    where another bridge holds that. `replaced` is called with a feed whose table has failed in the
    engine and is another one from now on.
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
        self._classes = [feed.cls for feed in self._all]
        self._subscriber_id = subscriber_id
        self._may_share = may_share
        self._present = PresentStates(self._feeds)
        self._mender = Mender(self._all, self._present, self._read, replaced)
        self._session = Session(login, self._classes)
        # The session that held the place last.
        self._held_by: int | None = None
        self._waiter = Waiter()
        self._pace = Pace()
        self._changed = threading.Condition()
        self._asked = self._served = 0
        self._stop = threading.Event()
        self._shown_at = self._next_measure = 0.0
        self._raw_after_seam = False
        self.state = State.LOADING
        self.position = START
        self.lag = Lag(0, 0.0, 0)
        self.lag_measured_at: float | None = None
        self.reconnects = 0
        self.error = ""
        self._reader = ThreadPoolExecutor(1, "bridge reader")
        self._thread = threading.Thread(target=self._run, name="bridge", daemon=True)

    @property
    def holds_checkpoint(self) -> bool:
        """Is its place kept for a restart?"""
        return self._session.holds_checkpoint

    def start(self, from_: From) -> None:
        """Show what is there, then follow in a thread of its own."""
        try:
            self._begin(from_)
        except BaseException as error:
            if self._present.has_shown:
                # Shown once more, it would be there twice, or never leave.
                self._become(State.FAILED, f"{type(error).__name__}: {error}")
            self._session.close()
            self._waiter.close()
            raise
        self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was committed and shared before is shown; False if time ran out."""
        end = time.monotonic() + timeout
        conn = self._login.connect()
        try:
            number = own_number(conn)
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
        if self._thread.ident is None:
            return
        self._stop.set()
        self._waiter.wake()
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.warning("the bridge has not stopped within %g s: the engine is slow", timeout)

    # --- beginning --------------------------------------------------------------------------------

    def _begin(self, from_: From) -> None:
        session = self._session
        if isinstance(from_, Position):
            session.log.check(from_)
        # Held before anything is read of it: nobody else moves it from now on.
        stored = self._hold(session, None)
        seam = self._present.load(session.conn, raw=from_ == "present")
        if from_ in ("present", "now") or (from_ == "resume" and stored is None):
            self.position, self._raw_after_seam = seam, True
        elif isinstance(from_, Position):
            self.position = from_
        else:
            self.position = START if from_ == "beginning" or stored is None else stored
        for raw in self._mender.raw.values():
            raw.begin(None if from_ == "present" else self.position, seam=self._raw_after_seam)
        self._refresh()

    def _hold(self, session: Session, begin: Position | None) -> Position | None:
        """Hold the subscription; where it stood the last time, None for a new one or for none.

        A new one stands at `begin`, or at the end of the log.
        """
        if self._subscriber_id is None:
            return None
        seconds = SHARED_SECONDS if self._may_share else CLAIM_SECONDS
        try:
            stored = session.claim(self._subscriber_id, begin, self._stop, seconds)
        except Taken as error:
            own = None if self._held_by is None else (self._held_by, None)
            if own and (self._stop.is_set() or session.holder(self._subscriber_id) in own):
                # The server may notice much later than this bridge that a connection is lost.
                raise Unavailable(f"the former session is not over yet: {error}") from error
            self._give_up_checkpoint(error)
            return None
        self._held_by = session.pid
        return stored

    def _give_up_checkpoint(self, error: Exception) -> None:
        """Go on without a place that is kept; raise where that is not wanted."""
        if not self._may_share:
            raise error
        logger.warning("this bridge keeps no checkpoint from now on: %s", error)
        self.error = str(error)
        self._subscriber_id = None
        self._session.let_go()

    # --- following --------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = RECONNECT_SECONDS
        try:
            while not self._stop.is_set():
                try:
                    if self._session.conn.closed:
                        self._reconnect()
                    pause = RECONNECT_SECONDS
                    self._follow()
                except (Unavailable, AccessError, LeaseLost) as error:
                    self._session.conn.close()
                    self._become(State.RECONNECTING, str(error))
                    self.reconnects += 1
                    logger.info("the bridge connects again: %s", error)
                    self._waiter.sleep(pause)
                    pause = min(pause * 2, RECONNECT_SECONDS_MAX)
            self._end()
            self._become(State.STOPPED)
        except Exception as error:
            logger.exception("the bridge has ended")
            self._become(State.FAILED, f"{type(error).__name__}: {error}")
        finally:
            self._reader.shutdown()
            self._session.conn.close()
            self._waiter.close()

    def _reconnect(self) -> None:
        self._session = Session(self._login, self._classes)
        # Where somebody forgot the subscription meanwhile, it begins anew where this bridge is.
        self._hold(self._session, self.position)

    def _follow(self) -> None:
        """Read and show, until it is time to stop."""
        session = self._session
        asked = self._asked
        page = self._read(session, self.position)
        while not self._stop.is_set():
            # The database finds the next page while this one is shown.
            ahead = None if page.is_last else self._reader.submit(self._read, session, page.end)
            if page.events:
                self._show(page.events)
                self._park(session)
                self._pace.found()
            self.position = page.end
            following = None if ahead is None else ahead.result()
            changed = self._present.keep_up(session.conn, look_now=asked != self._served)
            if self._mender.look(session, self.position) or changed:
                self._refresh()
            if page.is_last:
                self._caught_up(asked)
            session.save(self.position)
            self._measure_lag(session)
            if following is None:
                self._wait(session)
                asked = self._asked
                following = self._read(session, self.position)
            page = following

    @staticmethod
    def _read(session: Session, after: Position) -> Page:
        return session.log.page(after, PAGE_EVENTS)

    def _caught_up(self, asked: int) -> None:
        if self.state is not State.LIVE:
            self._become(State.LIVE)
        with self._changed:
            self._served = asked
            self._changed.notify_all()

    def _wait(self, session: Session) -> None:
        pause = self._pace.pause()
        change = self._present.seconds_to_change()
        if session.wait(self._waiter, pause if change is None else min(pause, change)):
            self._pace.found()
        since = time.monotonic() - self._shown_at
        if since < MIN_INTERVAL_SECONDS:
            self._stop.wait(MIN_INTERVAL_SECONDS - since)

    def _show(self, events: Sequence[ChangeEvent]) -> None:
        for feed, its_events in by_feed(self._feeds, events).items():
            rows, shown = [], self._mender.raw[feed]
            for event in its_events:
                loaded = self._present.was_loaded(event)
                raw = not ((loaded and self._raw_after_seam) or shown.has(event))
                present = feed.live is not None and not loaded and self._present.holds(event)
                rows.append(EventRow(event, raw, present))
            feed.take(rows)
            # The page before this one ended where its first event follows.
            shown.took(self.position, sum(row.raw for row in rows))
        self._refresh()

    def _park(self, session: Session) -> None:
        """Keep the dead letters of a page with the checkpoint, in the order of the log."""
        found = [letter for feed in self._all for letter in feed.dead_letters]
        for feed in self._all:
            feed.dead_letters.clear()
        for event, error in sorted(found, key=lambda letter: letter.event.position or START):
            session.park(event, error)

    def _refresh(self) -> None:
        request_refresh()
        self._shown_at = time.monotonic()

    def _measure_lag(self, session: Session) -> None:
        began = time.monotonic()
        if began > self._next_measure:
            self.lag = session.log.lag(self.position)
            self.lag_measured_at = ended = time.monotonic()
            # Far behind, counting what is left takes time that showing it needs.
            self._next_measure = ended + max(LAG_SECONDS, 20 * (ended - began))

    def _end(self) -> None:
        try:
            if not self._session.conn.closed:
                self._session.save(self.position, now=True)
                self._session.close()
        except StoreError as error:
            logger.info("the last checkpoint is not saved: %s", error)

    def _become(self, state: State, error: str = "") -> None:
        with self._changed:
            self.state = state
            if error:
                self.error = error
            self._changed.notify_all()
