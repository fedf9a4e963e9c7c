"""Projections: states that are folded from the log, such as positions, P&L or order books.

def add(state, event):
    trade = Trade.from_json(event.data)
    return {**state, trade.symbol: state.get(trade.symbol, 0) + trade.quantity}

positions = Projection("positions", {}, add, types=[Trade])
state_of(client, positions).value                  # now
state_of(client, positions, at=yesterday).value    # by what was recorded until then
with Projector(positions, user="alice", password="…", **server.conn_info()) as projector:
    projector.state.value                          # follows the log
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from store.base import Storable
from store.client import StoreClient
from store.errors import ProjectionError, Unavailable
from store.event_classes import EventClasses
from store.events import ChangeEvent
from store.log import EventLog
from store.position import START, Position
from store.statements import rows_of
from store.subscription_listener import SubscriptionListener
from store.subscription_session import Login
from store.subscription_status import State, SubscriptionStatus
from store.unreadable import Unreadable

_LOG = logging.getLogger(__name__)

S = TypeVar("S")

# How many states are kept, and after how many events the next one is.
KEPT_STATES = 20
SNAPSHOT_EVENTS = 10_000
SET_ASIDE_SHOWN_MAX = 100

_NEWEST = "SELECT * FROM object_store.newest_snapshot(%s, %s, %s, %s::xid8, %s, %s)"
_SAVE = "SELECT object_store.save_snapshot(%s, %s, %s, %s::xid8, %s, %s, %s, %s, %s)"
_DROP = "SELECT object_store.drop_snapshots(%s)"
_LAST_XID, _LAST_SEQ = 2**64 - 1, 2**63 - 1


def as_json(state: Any) -> str:
    """A state as JSON text, the same for equal states."""
    return json.dumps(state, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Projection(Generic[S]):
    """A name, an initial state, and what an event makes of a state.

    `apply(state, event)` is pure: it depends on nothing else, not on the clock either, and
    returns the next state. It is called for every event of `types` that the user may see, in the
    order of the log. An event that it raises on is set aside where its data cannot be read or
    break the catalog's rules: whoever shares an entity can write such ones. On any other event an
    error of `apply` ends the fold.

    `encode` and `decode` lead to a text and back without loss; JSON will do for dicts with texts
    as keys, lists, texts, numbers and booleans. Another `revision` of the code
    does not take up the states of an earlier one.
    """

    name: str
    initial: S
    apply: Callable[[S, ChangeEvent], S]
    types: Sequence[str | type[Storable]] = ()
    revision: int = 1
    encode: Callable[[S], str] = as_json
    decode: Callable[[str], S] = json.loads


@dataclass(frozen=True)
class Folded(Generic[S]):
    """A state, and how far in the log it reaches: `events` were folded, the latest at `tx_time`.

    With `until`, events up to the position that were recorded later are not in it. `set_aside` has
    the events that `apply` raised on and that are not as their class writes them, of those folded
    since the kept state that this one was folded from, the latest hundred.
    """

    value: S
    position: Position = START
    events: int = 0
    tx_time: datetime | None = None
    until: datetime | None = None
    set_aside: tuple[Unreadable, ...] = ()


def state_of(
    client: StoreClient, projection: Projection[S], at: Position | datetime | None = None
) -> Folded[S]:
    """The state now, as of a position, or by what was recorded at a time or earlier.

    It is folded from the newest kept state that is early enough. For a time, it waits for
    transactions that began earlier, so that the answer stays the same; FenceTimeout if one of
    them does not end.
    """
    until = at if isinstance(at, datetime) else None
    if until is not None:
        client._connection.settle(until)
    last = at if isinstance(at, Position) else None
    log = EventLog(client.conn, types=projection.types, until=until)
    if last is not None:
        log.check(last)
    found = newest_state(client.conn, projection, log.epoch, last, until)
    return replace(_fold(projection, log, found, last), until=until)


def rebuild(client: StoreClient, projection: Projection[S]) -> Folded[S]:
    """Forget all kept states, fold the whole log again, and keep the result."""
    rows_of(client.conn, _DROP, (projection.name,))
    log = EventLog(client.conn, types=projection.types)
    state = _fold(projection, log, _first(projection), None)
    keep_state(client.conn, projection, state)
    return state


class Projector(Generic[S]):
    """Follows the log as a user and folds it as it comes.

    A state is kept after every `snapshot_events` events and at the end; `keep` of them stay. The
    next start goes on from the newest. A good event that `apply` raises on ends it: none may be
    passed over. One that is not as its class writes it is set aside (`state.set_aside`) and logged.
    """

    def __init__(
        self,
        projection: Projection[S],
        host: str = "localhost",
        port: int = 5432,
        dbname: str = "postgres",
        user: str = "",
        password: str = "",
        *,
        snapshot_events: int = SNAPSHOT_EVENTS,
        keep: int = KEPT_STATES,
        sslmode: str = "prefer",
        sslrootcert: str | None = None,
    ) -> None:
        if snapshot_events < 1 or keep < 1:
            raise ProjectionError("snapshot_events and keep are at least 1")
        self.projection = projection
        self._login = Login(user, password, host, port, dbname, sslmode, sslrootcert)
        self._snapshot_events = snapshot_events
        self._keep = keep
        self._state: Folded[S] = _first(projection)
        self._kept = 0
        self._listener: SubscriptionListener | None = None

    @property
    def state(self) -> Folded[S]:
        """The state now, up to its position; do not change its value."""
        return self._state

    def start(self) -> Projector[S]:
        """Take up the newest kept state, and follow the log from there in a thread."""
        status = self.status()
        if status is not None and status.state not in (State.STOPPED, State.FAILED):
            raise ProjectionError("this projector runs already; stop() it first")
        conn = self._login.connect()
        try:
            epoch = EventLog(conn).epoch
            self._state = newest_state(conn, self.projection, epoch, None, None)
        finally:
            conn.close()
        self._kept = self._state.events
        login = self._login
        self._listener = SubscriptionListener(
            None,
            login.host,
            login.port,
            login.dbname,
            login.user,
            login.password,
            start=self._state.position,
            types=self.projection.types,
            on_batch=self._take,
            on_error="stop",
            retries=0,
            sslmode=login.sslmode,
            sslrootcert=login.sslrootcert,
        ).start()
        return self

    def stop(self) -> None:
        """Stop following, and keep the state; of what is still being folded, the one before it."""
        listener = self._listener
        if listener is None:
            return
        if listener.stop():
            # What came since the last event was none of its types.
            position = max(listener.position or START, self._state.position)
            self._state = replace(self._state, position=position)
        self._save(self._state)

    def __enter__(self) -> Projector[S]:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def status(self) -> SubscriptionStatus | None:
        """Of the following, with the error that ended it; None before the start."""
        return None if self._listener is None else self._listener.status()

    def wait_for(self, position: Position, seconds: float = 30.0) -> bool:
        """Wait until all events up to a position are folded; whether they are."""
        end = time.monotonic() + seconds
        while self._listener is not None:
            if (self._listener.position or START) >= position:
                return True
            left = end - time.monotonic()
            if left <= 0 or self._listener.status().state is State.FAILED:
                break
            time.sleep(min(left, 0.01))
        return False

    def _take(self, events: list[ChangeEvent]) -> None:
        # A list that fails is given again, event by event.
        place = self._state.position
        fresh = [event for event in events if event.position is None or event.position > place]
        state = _folded(self.projection, self._state, fresh)
        if state.events - self._kept >= self._snapshot_events:
            self._save(state)
        self._state = state

    def _save(self, state: Folded[S]) -> None:
        try:
            conn = self._login.connect()
            try:
                keep_state(conn, self.projection, state, self._keep)
            finally:
                conn.close()
        except Unavailable as error:
            # Nothing is lost: it is folded again from the state before, or kept a little later.
            _LOG.warning("a state of %r is not kept: %s", self.projection.name, error)
        else:
            self._kept = state.events


def newest_state(
    conn: Any,
    projection: Projection[S],
    epoch: str,
    last: Position | None,
    until: datetime | None,
) -> Folded[S]:
    """The newest kept state up to a position, of events up to a time; the initial one if none."""
    xid, seq = (_LAST_XID, _LAST_SEQ) if last is None else (last.xid, last.seq)
    named = (projection.name, projection.revision, epoch)
    values = (*named, str(xid), seq, "infinity" if until is None else until)
    rows = rows_of(conn, _NEWEST, values)
    if not rows:
        return _first(projection)
    found_epoch, xid_text, found_seq, events, tx_time, text = rows[0]
    position = Position(found_epoch, int(xid_text), found_seq)
    return Folded(projection.decode(text), position, events, tx_time)


def keep_state(
    conn: Any, projection: Projection[S], state: Folded[S], keep: int = KEPT_STATES
) -> None:
    """Keep a state with its position; ProjectionError if its text does not give it back exactly."""
    if state.until is not None:
        raise ProjectionError("a state as of a time is no stretch of the log and cannot be kept")
    text = projection.encode(state.value)
    again = projection.decode(text)
    if again != state.value or projection.encode(again) != text:
        raise ProjectionError(
            f"a state of projection {projection.name!r} comes back from its text as another one: "
            f"{state.value!r:.200} as {again!r:.200}; use texts as keys and lists for tuples, or "
            "give encode and decode"
        )
    if state.tx_time is None:
        return  # Nothing is folded yet.
    where = (state.position.epoch, str(state.position.xid), state.position.seq)
    named = (projection.name, projection.revision)
    rows_of(conn, _SAVE, (*named, *where, state.events, state.tx_time, text, keep))


def _fold(
    projection: Projection[S], log: EventLog, state: Folded[S], last: Position | None
) -> Folded[S]:
    for page in log.pages(state.position):
        events: Iterable[ChangeEvent] = page.events
        if last is not None and page.end >= last:
            events = [event for event in events if (event.position or START) <= last]
            return replace(_folded(projection, state, events), position=last)
        state = replace(_folded(projection, state, events), position=page.end)
    return state


def _folded(
    projection: Projection[S], state: Folded[S], events: Iterable[ChangeEvent]
) -> Folded[S]:
    value, position, count, latest = state.value, state.position, state.events, state.tx_time
    set_aside = list(state.set_aside)
    classes = EventClasses(projection.types)
    for event in events:
        try:
            value = projection.apply(value, event)
        except Exception:
            problem = classes.problem(event)
            if problem is None:
                raise
            _LOG.warning("projection %r sets aside %s: %s", projection.name, event, problem)
            set_aside = [*set_aside, Unreadable.of(event, problem)][-SET_ASIDE_SHOWN_MAX:]
        position = event.position or position
        count += 1
        latest = event.tx_time if latest is None else max(latest, event.tx_time)
    return Folded(value, position, count, latest, set_aside=tuple(set_aside))


def _first(projection: Projection[S]) -> Folded[S]:
    # A copy of its own: one that is changed in place must not change the next fold.
    return Folded(projection.decode(projection.encode(projection.initial)))
