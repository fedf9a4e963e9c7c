"""StoreBridge: what is written to the store, as ticking tables of Deephaven.

bridge = StoreBridge(host, port, dbname, user="bridge_user", password="…")
bridge.register(Order)
bridge.register(Trade, filter=Field("symbol") == Const("AAPL"))
bridge.start()
orders_raw, orders_live = bridge.table(Order), bridge.live(Order)
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from bridge.errors import BridgeClosed, BridgeError
from bridge.feed import Feed
from bridge.feeds import MAX_PENDING_ROWS, Feeds
from bridge.follower import Follower, Start
from bridge.status import BridgeStatus, State
from reactive.expr import Expr
from store.base import Storable
from store.database.login import Login
from store.position import Position

logger = logging.getLogger(__name__)

DEFAULT_ID = "deephaven_bridge"


class StoreBridge:
    """Shows what one role may see in the store, class by class, in the process that embeds it.

    Its place in the log is kept under `subscriber_id`: a bridge that starts again goes on behind
    the last event that the one before it has shown. One session holds an id at a time; of bridges
    with the default id only the first keeps its place, the others begin at the present. None
    keeps nothing. Rows wait for a slow engine up to `max_pending_rows` a table; then reading
    waits. `sslmode` and `sslrootcert` are those of a StoreClient.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 5432,
        dbname: str = "postgres",
        user: str = "",
        password: str = "",
        subscriber_id: str | None = DEFAULT_ID,
        *,
        sslmode: str = "prefer",
        sslrootcert: str | None = None,
        max_pending_rows: int = MAX_PENDING_ROWS,
    ) -> None:
        if subscriber_id is not None and not 1 <= len(subscriber_id) <= 200:
            raise BridgeError("a subscriber_id has 1 to 200 characters, or is None")
        self._login = Login(user, password, host, port, dbname, sslmode, sslrootcert)
        self._subscriber_id = subscriber_id
        self.on_replaced: Callable[[type[Storable]], object] = lambda _cls: None
        self._feeds = Feeds("bridge", max_pending_rows)
        self._follower: Follower | None = None
        self._lock = threading.Lock()
        self._is_stopped = False

    def register(
        self,
        cls: type[Storable],
        *,
        filter: Expr | None = None,
        columns: Iterable[str] | None = None,
        writer: Any = None,
        rows: int | None = None,
        live: bool = True,
    ) -> None:
        """Carry a class; call it before `start`, once a class.

        Only events whose data pass `filter` are shown. `columns` names the fields to show, all
        without it. The raw table keeps all rows, or the newest `rows`. `writer` takes the rows in
        its place: a TableWriter, a DynamicTableWriter, anything with `write_row`, or a table
        publisher (alone, or as the pair that `table_publisher` returns). `live=False` saves the
        memory of present states. RegistrationError says what does not fit.
        """
        with self._lock:
            self._feeds.register(
                cls,
                is_late=self._follower is not None or self._is_stopped,
                passing=filter,
                columns=columns,
                writer=writer,
                rows=rows,
                live=live,
            )

    def start(self, start: Start = "resume", *, from_: Start | None = None) -> StoreBridge:
        """Load what there is, then follow the log in a thread; `live` is whole on return.

        `start` says which events the raw tables begin with: "beginning" is the whole history,
        "present" the present state of each entity, "now" none, a Position those after it.
        "resume" goes on behind what was shown last under this subscriber_id; the first time it is
        "now", and while the bridge runs it does nothing. Errors of the store say why it cannot
        begin, AccessError that its user is an administrator; once it has shown something, it has
        failed then, and another one must begin. `from_` is the name of before for `start`.
        """
        if from_ is not None:
            warnings.warn("from_ is called start now", DeprecationWarning, stacklevel=2)
            start = from_
        if start not in ("resume", "beginning", "present", "now") and not isinstance(
            start, Position
        ):
            raise BridgeError(
                f"start={start!r:.60}; 'resume', 'beginning', 'present', 'now' or a Position is "
                "possible"
            )
        with self._lock:
            if self._is_stopped:
                raise BridgeClosed("this bridge was stopped; make a new one")
            if self._follower is not None:
                if self._follower.state is State.FAILED:
                    raise BridgeError(f"it has failed: {self._follower.error}; make a new one")
                if start == "resume":
                    return self
                raise BridgeError("this bridge runs already; start comes too late")
            if not self._feeds.by_class:
                raise BridgeError("nothing is registered; call register(cls) before start()")
            follower = Follower(
                self._login,
                self._feeds.by_class,
                self._subscriber_id,
                may_share=self._subscriber_id == DEFAULT_ID,
                replaced=self._replaced,
            )
            # Known before it has loaded: status() tells how it is.
            self._follower = follower
            try:
                follower.start(start)
            except BaseException:
                if follower.state is not State.FAILED:
                    self._follower = None
                raise
        return self

    def table(self, cls: type[Storable]) -> Any:
        """The raw table of a class: each version is one row, in order, once."""
        return self._feeds.table(cls)

    def live(self, cls: type[Storable]) -> Any:
        """The present state of each entity of a class; deleted ones are gone.

        An entity is in it while it has a value now, passes the filter, and may be seen.
        """
        return self._feeds.live(cls)

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was committed and shared before is in the tables.

        False if time ran out; BridgeError if the bridge has failed.
        """
        with self._lock:
            follower = self._follower
        if follower is None:
            raise BridgeError("this bridge was not started")
        return follower.flush(timeout)

    def status(self) -> BridgeStatus:
        """What it does, how far it is behind, and what it has counted."""
        tables = {cls.__name__: feed.status() for cls, feed in self._feeds.by_class.items()}
        follower = self._follower
        if follower is None:
            state = State.STOPPED if self._is_stopped else State.NEW
            return BridgeStatus(state, None, 0, 0.0, 0, None, 0, False, "", tables)
        measured = follower.lag_measured_at
        state, error = follower.state, follower.error
        failed = [f"{name} of {cls}" for cls, table in tables.items() for name in table.failed]
        if failed and state is State.LIVE:
            state = State.DEGRADED
            error = f"failed in the engine, whose log has the cause: {', '.join(failed)}"
        return BridgeStatus(
            state=state,
            position=follower.position,
            lag_events=follower.lag.events,
            lag_seconds=follower.lag.seconds,
            fenced_events=follower.lag.events_fenced,
            lag_age_seconds=None if measured is None else time.monotonic() - measured,
            reconnects=follower.reconnects,
            checkpoint=follower.holds_checkpoint,
            error=error,
            tables=tables,
        )

    def stop(self, timeout: float = 10.0) -> None:
        """Stop following; the tables stay as they are. A second call does nothing."""
        with self._lock:
            self._is_stopped = True
            if self._follower is not None:
                self._follower.stop(timeout)

    def __enter__(self) -> StoreBridge:
        if self._feeds.by_class:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _replaced(self, feed: Feed) -> None:
        try:
            self.on_replaced(feed.cls)
        except Exception:
            # It must not end the bridge.
            logger.exception("on_replaced of %s raised", feed.cls.__name__)
