"""SubscriptionListener: follows the log from a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from contextlib import closing
from typing import Literal

from reactive.expr import Expr
from store.base import Storable
from store.database.login import Login
from store.database.wakeup import Waiter
from store.deprecated import warn_of
from store.errors import SubscriptionError, Unavailable
from store.events import ChangeEvent
from store.position import Position
from store.subscriptions.checkpoints import LeaseLost, SubscriptionHeld
from store.subscriptions.delivery import (
    BatchHandler,
    BusHandler,
    Delivery,
    FunctionHandler,
    OnError,
    Stopped,
)
from store.subscriptions.event_bus import EventBus
from store.subscriptions.event_filter import EventFilter
from store.subscriptions.event_log import PAGE_EVENTS, EventLog, Lag
from store.subscriptions.session import Session, Start
from store.subscriptions.status import Counters, SubscriptionState, SubscriptionStatus

_LOG = logging.getLogger(__name__)

# How often a subscription that somebody else holds is asked for, and a lost server.
RETRY_SECONDS = 0.1
RETRY_SECONDS_MAX = 2.0
# A page is all that is held in memory, however slow the handler is.
PAGE_BYTES = 8_000_000
FIRST_PAGE_EVENTS = 100


class SubscriptionListener:
    """Follows the log as one user and hands every event that they may see to a bus or a function.

    Events come once, and in the order of their versions within an entity, whoever wrote them. With
    a `subscriber_id` the place in the log is kept in the database, moved only after the handlers
    returned: what came while nobody listened is delivered at the next start, and after a crash
    only what was being handled comes again. Without one it begins at `start` each time.

    `start` is "now", "beginning", a Position or a time; a durable subscription begins there the
    first time only. `types` are classes or names; a class stands for its own events, not for those
    of its subclasses. `filter` is an expression over the data, and means what it means in a query;
    an event that it cannot be asked of is parked.
    `on_batch` takes lists of up to `batch_size` events in place of the bus; the checkpoint then
    moves after each list, else after every `checkpoint_every` events. A handler that raises is
    tried again `retries` times; then its event is parked with the error and the rest goes on, or
    with `on_error="stop"` the listener fails. A subscription is held by one session:
    `if_held="wait"` or "raise". `sslmode` and `sslrootcert` are those of StoreClient.
    """

    def __init__(
        self,
        event_bus: EventBus | None = None,
        host: str = "localhost",
        port: int = 5432,
        dbname: str = "postgres",
        user: str = "",
        password: str = "",
        subscriber_id: str | None = None,
        *,
        start: Start = "now",
        types: str | type[Storable] | Iterable[str | type[Storable]] = (),
        filter: Expr | None = None,
        on_batch: BatchHandler | None = None,
        batch_size: int = PAGE_EVENTS,
        checkpoint_every: int = 1,
        retries: int = 3,
        retry_seconds: float = 0.1,
        on_error: OnError = "park",
        if_held: Literal["wait", "raise"] = "wait",
        sslmode: str = "prefer",
        sslrootcert: str | None = None,
        if_taken: Literal["wait", "refuse"] | None = None,
    ) -> None:
        if if_taken is not None:
            warn_of("if_taken", "if_held, and 'refuse' is 'raise'")
            if_held = "raise" if if_taken == "refuse" else if_taken
        if (event_bus is None) == (on_batch is None):
            raise SubscriptionError("give either an event_bus or on_batch, which take the events")
        if on_error not in ("park", "stop"):
            raise SubscriptionError(f"on_error={on_error!r}; 'park' and 'stop' are possible")
        if if_held not in ("wait", "raise"):
            raise SubscriptionError(f"if_held={if_held!r}; 'wait' and 'raise' are possible")
        if batch_size < 1 or checkpoint_every < 1 or retries < 0 or retry_seconds < 0:
            raise SubscriptionError(
                "batch_size and checkpoint_every are at least 1, retries and retry_seconds 0"
            )
        if subscriber_id is not None and not 1 <= len(subscriber_id) <= 200:
            raise SubscriptionError("a subscriber_id has 1 to 200 characters")
        self.subscriber_id = subscriber_id
        self._login = Login(user, password, host, port, dbname, sslmode, sslrootcert)
        self._start_at = start
        self._types = [types] if isinstance(types, (str, type)) else list(types)
        self._page_size = max(batch_size, PAGE_EVENTS)
        self._waits = if_held == "wait"
        self._stop_asked = threading.Event()
        # One for each start; it is closed when the thread ends.
        self._waiter: Waiter | None = None
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        # Where it stood when it lost the connection, and at the end.
        self._position: Position | None = None
        self._lease: int | None = None
        self._counters = Counters()
        handler: BusHandler | FunctionHandler
        if event_bus is not None:
            handler, batch_size = BusHandler(event_bus), 1
        elif on_batch is not None:
            handler = FunctionHandler(on_batch)
        self._delivery = Delivery(
            handler=handler,
            batch_size=batch_size,
            wanted=None if filter is None else EventFilter(filter, self._types),
            retries=retries,
            retry_seconds=retry_seconds,
            on_error=on_error,
            checkpoint_every=checkpoint_every,
            counters=self._counters,
            pause=self._pause,
            check=self._check,
        )

    def start(self) -> SubscriptionListener:
        """Log in, and follow the log from a thread of its own.

        What is committed after this returned is delivered. Unavailable or AccessError if the
        server cannot be used now; SubscriptionError if the subscription is held and
        `if_held="raise"`.
        """
        if self._thread is not None and self._thread.is_alive():
            if self._counters.state not in (SubscriptionState.STOPPED, SubscriptionState.FAILED):
                raise SubscriptionError("this listener runs already; stop() it first")
            # It has said so, and is leaving.
            self._thread.join()
        self._stop_asked.clear()
        # A durable one goes on where its checkpoint is, another one begins anew.
        self._position = self._lease = None
        try:
            self._open()
            self._counters.become(SubscriptionState.READING)
        except SubscriptionHeld:
            if not self._waits:
                raise
            self._counters.become(SubscriptionState.WAITING)
        self._waiter = Waiter()
        self._thread = threading.Thread(
            target=self._run, args=(self._waiter,), name="store-subscription", daemon=True
        )
        self._thread.start()
        return self

    def stop(self, timeout: float | None = 30.0) -> bool:
        """End it cleanly, after what is being handled; False if it takes longer than `timeout`."""
        thread, waiter = self._thread, self._waiter
        if thread is None or waiter is None:
            return True
        self._stop_asked.set()
        waiter.wake()
        if thread is threading.current_thread():
            # A handler stops its own listener: it ends once the handler has returned.
            return False
        thread.join(timeout)
        if thread.is_alive():
            _LOG.warning("subscriber %s: its handler still runs", self.subscriber_id)
        return not thread.is_alive()

    def __enter__(self) -> SubscriptionListener:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def position(self) -> Position | None:
        """Everything in the log up to here is handled or parked; None before the first start."""
        session = self._session
        return self._position if session is None else session.position

    def status(self) -> SubscriptionStatus:
        """What it does now, where it stands, and what it counted; asks nothing of the server."""
        return self._counters.status(self.position)

    def lag(self) -> Lag:
        """What is committed and not yet handled, asked of the server by a login of its own."""
        position = self.position
        if position is None:
            raise SubscriptionError("this listener has no place in the log yet; start() it")
        with closing(self._login.connect()) as conn:
            return EventLog(conn, types=self._types).lag(position)

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self, waiter: Waiter) -> None:
        pause = RETRY_SECONDS
        state = SubscriptionState.STOPPED
        error: BaseException | None = None
        while not self._stop_asked.is_set():
            try:
                session = self._session or self._open()
                pause = RETRY_SECONDS
                self._follow(session, waiter)
            except Stopped:
                break
            except (SubscriptionHeld, LeaseLost) as lost:
                # The server may not have missed the session yet that was lost.
                is_own = isinstance(lost, SubscriptionHeld) and lost.lease == self._lease
                if not (self._waits or is_own):
                    state, error = SubscriptionState.FAILED, lost
                    break
                self._counters.become(SubscriptionState.WAITING, lost)
                waiter.sleep(RETRY_SECONDS)
            except Unavailable as lost:
                self._counters.become(SubscriptionState.RECONNECTING, lost)
                self._counters.reconnects += 1
                _LOG.info("subscriber %s reconnects: %s", self.subscriber_id, lost)
                waiter.sleep(pause)
                pause = min(pause * 2, RETRY_SECONDS_MAX)
            except BaseException as failed:  # noqa: BLE001 - told by status() and the log
                # Also what a handler ends its thread by, such as sys.exit().
                _LOG.exception("subscriber %s has failed", self.subscriber_id)
                state, error = SubscriptionState.FAILED, failed
                break
            finally:
                self._leave()
        self._counters.become(state, error)
        waiter.close()
        self._when_ended()

    def _when_ended(self) -> None:
        """What a subclass does at the very end, in the thread."""

    def _open(self) -> Session:
        session = Session(self._login, self._types)
        try:
            session.subscribe(self.subscriber_id, self._position, self._start_at)
        except BaseException:
            session.close()
            raise
        self._session = session
        return session

    def _leave(self) -> None:
        session = self._session
        if session is not None:
            session.close()
            self._position, self._lease = session.position, session.lease
            self._session = None

    def _follow(self, session: Session, waiter: Waiter) -> None:
        """Read and hand over, until it is time to stop."""
        limit = min(FIRST_PAGE_EVENTS, self._page_size)
        while True:
            self._check()
            page = session.log.page(session.position, limit)
            if page.events:
                self._counters.become(SubscriptionState.READING)
                self._delivery.deliver(session, page.events)
                session.pace.found()
                limit = self._next_limit(page.events, limit)
            session.position = page.end
            if page.is_last:
                self._counters.caught_up()
                self._counters.wakeups += session.wait(waiter)

    def _next_limit(self, events: list[ChangeEvent], limit: int) -> int:
        """As many events as fit into PAGE_BYTES, by the size of those just read."""
        size = sum(len(event.data or "") for event in events)
        fitting = PAGE_BYTES * len(events) // max(size, 1)
        return max(1, min(fitting, 2 * limit, self._page_size))

    def _check(self) -> None:
        if self._stop_asked.is_set():
            raise Stopped

    def _pause(self, seconds: float) -> None:
        if self._stop_asked.wait(seconds):
            raise Stopped
