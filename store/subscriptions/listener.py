"""SubscriptionListener: follows the log from a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Literal

from reactive.expr import Expr
from store.base import Storable
from store.database.login import Login
from store.deprecated import warn_of
from store.errors import SubscriptionError
from store.position import Position
from store.subscriptions.checkpoints import SubscriptionHeld
from store.subscriptions.delivery import (
    BatchHandler,
    BusHandler,
    Delivery,
    FunctionHandler,
    OnError,
)
from store.subscriptions.event_bus import EventBus
from store.subscriptions.event_filter import EventFilter
from store.subscriptions.event_log import PAGE_EVENTS, EventLog, Lag, Page
from store.subscriptions.log_follower import FollowOptions, LogFollower
from store.subscriptions.session import Session, Start, position_of
from store.subscriptions.status import Counters, SubscriptionState, SubscriptionStatus

_LOG = logging.getLogger(__name__)


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
    with `on_error="stop"` the listener fails. A subscription is held by one session: of another
    one, `if_held="wait"` waits for its end and "raise" is a SubscriptionError. `on_ended` is called
    at the very end, on the listener's thread. `sslmode` and `sslrootcert` are those of StoreClient.
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
        if_taken: Literal["wait", "refuse"] | None = None,
        on_ended: Callable[[], object] = lambda: None,
        sslmode: str = "prefer",
        sslrootcert: str | None = None,
    ) -> None:
        if (event_bus is None) == (on_batch is None):
            raise SubscriptionError("give either an event_bus or on_batch, which take the events")
        if on_error not in ("park", "stop"):
            raise SubscriptionError(f"on_error={on_error!r}; 'park' and 'stop' are possible")
        if batch_size < 1 or checkpoint_every < 1 or retries < 0 or retry_seconds < 0:
            raise SubscriptionError(
                "batch_size and checkpoint_every are at least 1, retries and retry_seconds 0"
            )
        if subscriber_id is not None and not 1 <= len(subscriber_id) <= 200:
            raise SubscriptionError("a subscriber_id has 1 to 200 characters")
        self.subscriber_id = subscriber_id
        self._login = Login(user, password, host, port, dbname, sslmode, sslrootcert)
        self._types = [types] if isinstance(types, (str, type)) else list(types)
        self._waits = _waits(if_held, if_taken)
        self._counters = Counters()
        handler: BusHandler | FunctionHandler
        if event_bus is not None:
            handler, batch_size = BusHandler(event_bus), 1
        elif on_batch is not None:
            handler = FunctionHandler(on_batch)
        delivery = Delivery(
            handler=handler,
            batch_size=batch_size,
            wanted=None if filter is None else EventFilter(filter, self._types),
            retries=retries,
            retry_seconds=retry_seconds,
            on_error=on_error,
            checkpoint_every=checkpoint_every,
            counters=self._counters,
            # The follower is made below: it needs the delivery.
            pause=lambda seconds: self._follower.pause(seconds),  # noqa: PLW0108
            check=lambda: self._follower.check(),  # noqa: PLW0108
        )
        self._follower = LogFollower(
            self._login,
            self._types,
            subscriber_id,
            _Reader(start, self._counters, delivery),
            FollowOptions(
                name=f"subscriber {subscriber_id}",
                hold_seconds=float("inf") if self._waits else 0.0,
                page_events=max(batch_size, PAGE_EVENTS),
            ),
            on_ended,
        )

    def start(self) -> SubscriptionListener:
        """Log in, and follow the log from a thread of its own.

        What is committed after this returned is delivered. Unavailable or AccessError if the
        server cannot be used now, AccessError for an administrator; SubscriptionError if another
        session holds the subscription and `if_held="raise"`.
        """
        follower = self._follower
        if follower.is_running:
            if self._counters.state not in (SubscriptionState.STOPPED, SubscriptionState.FAILED):
                raise SubscriptionError("this listener runs already; stop() it first")
            # It has said so, and is leaving.
            follower.join()
        # A durable one goes on where its checkpoint is, another one begins anew.
        follower.forget()
        try:
            follower.open()
            self._counters.become(SubscriptionState.READING)
        except SubscriptionHeld:
            if not self._waits:
                raise
            self._counters.become(SubscriptionState.WAITING)
        follower.start()
        return self

    def stop(self, timeout: float | None = 30.0) -> bool:
        """End it cleanly; what is being handled is finished. Whether it ended in these seconds."""
        has_ended = self._follower.stop(timeout)
        if not has_ended:
            _LOG.warning("subscriber %s: its handler still runs", self.subscriber_id)
        return has_ended

    def __enter__(self) -> SubscriptionListener:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def position(self) -> Position | None:
        """Everything in the log up to here is handled or parked; None before the first start."""
        return self._follower.position

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


def _waits(if_held: str, if_taken: str | None) -> bool:
    """Whether a subscription that is held is waited for; `if_taken` is the older name."""
    if if_taken is not None:
        warn_of("if_taken", "if_held, and 'refuse' is 'raise'", stacklevel=4)
        if_held = "raise" if if_taken == "refuse" else if_taken
    if if_held not in ("wait", "raise"):
        raise SubscriptionError(f"if_held={if_held!r}; 'wait' and 'raise' are possible")
    return if_held == "wait"


class _Reader:
    """Hands the pages of a follower to the handlers of a listener."""

    def __init__(self, start: Start, counters: Counters, delivery: Delivery) -> None:
        self._start = start
        self._counters = counters
        self._delivery = delivery

    def begin_at(self, session: Session) -> Position:
        return position_of(session.log, self._start)

    def reading(self) -> None:
        pass

    def take(self, session: Session, page: Page) -> None:
        self._counters.become(SubscriptionState.READING)
        self._delivery.deliver(session, page.events)

    def after_page(self, _session: Session, page: Page) -> None:
        if page.is_last:
            self._counters.caught_up()

    def seconds_to_wait(self, pause: float) -> float:
        return pause

    def waited(self, notified: bool) -> None:
        self._counters.wakeups += notified

    def became(self, state: SubscriptionState, error: object = None) -> None:
        self._counters.become(state, error)
        if state is SubscriptionState.RECONNECTING:
            self._counters.reconnects += 1
