"""LogFollower: reads the log from a thread of its own, and goes on after each loss.

Subscriptions, projections and the bridge follow the log by it. It claims a durable subscription,
reads page by page, keeps the checkpoint, waits for notifications, and connects again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from store.database.login import Login
from store.database.wakeup import Waiter
from store.errors import StoreError, Unavailable
from store.position import Position
from store.subscriptions.checkpoints import SubscriptionHeld, SubscriptionLost
from store.subscriptions.event_log import PAGE_BYTES, PAGE_EVENTS, Page
from store.subscriptions.session import Session, Types
from store.subscriptions.status import SubscriptionState

_LOG = logging.getLogger(__name__)

# How often a subscription that somebody else holds is asked for, and a lost server.
RETRY_SECONDS = 0.1
RETRY_SECONDS_MAX = 2.0


class Stopped(Exception):
    """It is time to stop; what was being handed over is not done."""


class Consumer(Protocol):
    """Whom a follower hands pages to. All but `begin_at` is called on its thread."""

    def begin_at(self, session: Session) -> Position:
        """Where to begin, unless a checkpoint says it."""

    def reading(self) -> None:
        """A look at the log begins."""

    def take(self, session: Session, page: Page) -> None:
        """Handle the events of a page that has some; the session's position moves behind it."""

    def after_page(self, session: Session, page: Page) -> None:
        """Do what is due between two pages; the connection is free for it."""

    def seconds_to_wait(self, pause: float) -> float:
        """How long to wait for a notification, where the follower would wait for `pause`."""

    def waited(self, notified: bool) -> None:
        """The wait is over, by a notification or not."""

    def became(self, state: SubscriptionState, error: object = None) -> None:
        """The follower is in another state."""


@dataclass(frozen=True)
class FollowOptions:
    """How to follow the log.

    A subscription that another session holds is waited for `hold_seconds`, after which it is
    SubscriptionHeld, or with `goes_on_unheld` followed without a checkpoint. Errors of `retried`
    make the follower connect again. The checkpoint moves at most every `save_seconds` by itself.
    `reads_ahead`: the next page is read while one is handled.
    """

    name: str
    hold_seconds: float = float("inf")
    goes_on_unheld: bool = False
    retried: tuple[type[StoreError], ...] = (Unavailable,)
    save_seconds: float = 1.0
    page_events: int = PAGE_EVENTS
    reads_ahead: bool = False


class LogFollower:
    """One way through the log as one user; `open` it, then `start` its thread.

    `position` is where everything before is handled, None before the first `open`. Without a
    `subscriber_id` there is no checkpoint. `is_new` tells whether the subscription was made by the
    first claim.
    """

    def __init__(
        self,
        login: Login,
        types: Types,
        subscriber_id: str | None,
        consumer: Consumer,
        options: FollowOptions,
        on_ended: Callable[[], object] = lambda: None,
    ) -> None:
        self.subscriber_id = subscriber_id
        self.session: Session | None = None
        self.is_new = True
        # Why it goes on without a checkpoint.
        self.unheld: SubscriptionHeld | None = None
        self._login = login
        self._types = list(types)
        self._consumer = consumer
        self._options = options
        self._on_ended = on_ended
        self._stop = threading.Event()
        # One for each start; it is closed when the thread ends.
        self._waiter: Waiter | None = None
        self._thread: threading.Thread | None = None
        self._reader: ThreadPoolExecutor | None = None
        # Where it stood when it lost the connection, and the lease that it held then.
        self._position: Position | None = None
        self._lease: int | None = None

    @property
    def position(self) -> Position | None:
        """Everything in the log up to here is handled."""
        session = self.session
        return self._position if session is None else session.position

    @property
    def holds_checkpoint(self) -> bool:
        """Whether its place is kept for a restart."""
        return self.session is not None and self.session.holds_checkpoint

    @property
    def is_running(self) -> bool:
        """Whether its thread lives."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def forget(self) -> None:
        """Begin anew at the next `open`, as if it had never run."""
        self._position = self._lease = self._thread = None
        self._stop.clear()

    def open(self) -> Session:
        """Log in and find the place to go on.

        Unavailable or AccessError if the server cannot be used now, SubscriptionHeld by another
        session, Stopped by `stop`.
        """
        session = Session(self._login, self._types)
        try:
            known = self._position
            begin = self._consumer.begin_at(session) if known is None else known
            self._claim(session, begin)
            if session.stored is not None:
                begin = session.stored if known is None else max(session.stored, known)
            session.position = begin
        except BaseException:
            session.close()
            raise
        self.session = session
        return session

    def start(self) -> None:
        """Follow the log in a thread of its own."""
        self._waiter = Waiter()
        if self._options.reads_ahead:
            self._reader = ThreadPoolExecutor(1, f"{self._options.name} reader")
        self._thread = threading.Thread(
            target=self._run, args=(self._waiter,), name=self._options.name, daemon=True
        )
        self._thread.start()

    def stop(self, timeout: float | None) -> bool:
        """End it; what is being handled is finished. Whether it has ended within these seconds."""
        thread, waiter = self._thread, self._waiter
        self._stop.set()
        if thread is None or waiter is None:
            self.leave()
            return True
        waiter.wake()
        if thread is threading.current_thread():
            # A handler stops its own follower: it ends once the handler has returned.
            return False
        thread.join(timeout)
        return not thread.is_alive()

    def join(self) -> None:
        """Wait for the end of a thread that is leaving."""
        if self._thread is not None:
            self._thread.join()

    def check(self) -> None:
        """Raise Stopped if it is time to stop."""
        if self._stop.is_set():
            raise Stopped

    def pause(self, seconds: float) -> None:
        """Wait; Stopped if it is time to stop."""
        if self._stop.wait(seconds):
            raise Stopped

    def leave(self) -> None:
        """Keep the place and log out."""
        session = self.session
        if session is not None:
            session.close()
            self._position, self._lease = session.position, session.lease or self._lease
            self.session = None

    # --- claiming ---------------------------------------------------------------------------------

    def _claim(self, session: Session, begin: Position) -> None:
        if self.subscriber_id is None:
            return
        end = time.monotonic() + self._options.hold_seconds
        while True:
            try:
                self.is_new = session.claim(self.subscriber_id, begin)
                self._lease = session.lease
            except SubscriptionHeld as held:
                # The server may notice much later than this program that its session is lost.
                is_own = held.lease == self._lease
                if not is_own and time.monotonic() >= end:
                    if not self._options.goes_on_unheld:
                        raise
                    _LOG.warning("%s keeps no checkpoint: %s", self._options.name, held)
                    self.unheld, self.subscriber_id = held, None
                    return
                if not self._waits_in_place(held, is_own=is_own):
                    raise
            else:
                return

    def _waits_in_place(self, held: SubscriptionHeld, *, is_own: bool) -> bool:
        """Wait for a moment with the session that there is; False where `open` must not wait."""
        if self._thread is None and not is_own and self._options.hold_seconds == float("inf"):
            # It would keep the caller of `open` for ever; the thread waits.
            return False
        self._consumer.became(SubscriptionState.WAITING, held)
        self.pause(RETRY_SECONDS)
        return True

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self, waiter: Waiter) -> None:
        state, error = SubscriptionState.STOPPED, None
        try:
            self._follow_until_stopped(waiter)
        except BaseException as failed:  # noqa: BLE001 - told by the consumer's status and the log
            # Also what a handler ends its thread by, such as sys.exit().
            if not isinstance(failed, (SubscriptionHeld, SubscriptionLost)):
                _LOG.exception("%s has failed", self._options.name)
            state, error = SubscriptionState.FAILED, failed
        finally:
            self._leave_quietly()
            if self._reader is not None:
                self._reader.shutdown()
        self._consumer.became(state, error)
        waiter.close()
        self._on_ended()

    def _follow_until_stopped(self, waiter: Waiter) -> None:
        pause = RETRY_SECONDS
        while not self._stop.is_set():
            try:
                session = self.session or self.open()
                pause = RETRY_SECONDS
                self._follow(session, waiter)
            except Stopped:
                return
            except SubscriptionLost as lost:
                if not self._options.hold_seconds:
                    raise
                self._leave_quietly()
                self._consumer.became(SubscriptionState.WAITING, lost)
                waiter.sleep(RETRY_SECONDS)
            except self._options.retried as lost:
                self._leave_quietly()
                self._consumer.became(SubscriptionState.RECONNECTING, lost)
                _LOG.info("%s connects again: %s", self._options.name, lost)
                waiter.sleep(pause)
                pause = min(pause * 2, RETRY_SECONDS_MAX)

    def _leave_quietly(self) -> None:
        try:
            self.leave()
        except StoreError as error:
            _LOG.info("%s has not let go of its checkpoint: %s", self._options.name, error)

    def _follow(self, session: Session, waiter: Waiter) -> None:
        """Read and hand over, until it is time to stop."""
        consumer = self._consumer
        consumer.reading()
        page = self._page(session, session.position)
        while True:
            self.check()
            ahead = self._read_ahead(session, page)
            try:
                if page.events:
                    consumer.take(session, page)
                    session.pace.found()
            finally:
                # The connection is not to be closed under it.
                wait([] if ahead is None else [ahead])
            session.position = page.end
            following = None if ahead is None else ahead.result()
            consumer.after_page(session, page)
            session.save(every=self._options.save_seconds)
            if page.is_last:
                self.check()
                seconds = consumer.seconds_to_wait(session.pace.pause())
                consumer.waited(session.wait(waiter, seconds))
                consumer.reading()
            page = following or self._page(session, session.position)

    def _page(self, session: Session, after: Position) -> Page:
        return session.log.page(after, self._options.page_events, PAGE_BYTES)

    def _read_ahead(self, session: Session, page: Page) -> Future[Page] | None:
        if self._reader is None or page.is_last:
            return None
        return self._reader.submit(self._page, session, page.end)
