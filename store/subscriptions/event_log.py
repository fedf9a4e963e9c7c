"""The log of all events, as one role may see it: in order, complete, and never out of turn.

log = EventLog(client.conn)
for page in log.pages(START):
    for event in page.events:
        print(event.type_name, event.version, event.position)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from store.base import Storable
from store.database.execute import PgConnection, execute
from store.entities.appender import aware
from store.errors import PositionError, SubscriptionError
from store.events import ChangeEvent
from store.position import START, Position

PAGE_EVENTS = 1_000
# A page ends with the event that reaches it, so that large data fill no memory.
PAGE_BYTES = 8_000_000
# How far one statement looks where a role sees few events or none: it must end in good time.
SPAN_XIDS = 1_000_000
LAG_EVENTS_MAX = 100_000

# Everything below this number has ended: what it wrote is there, or never will be.
_FENCE = "SELECT object_store.fence()::text"
_EPOCH = "SELECT object_store.epoch()"
_PAGE = """
SELECT * FROM object_store.log_page(
    %s::xid8, %s, %s::xid8, %s, %s::text[], %s::text[], %s, %s)
"""
_FIRST_SINCE = "SELECT * FROM object_store.position_at(%s, %s::xid8)"
_LAG = "SELECT * FROM object_store.lag(%s::xid8, %s, %s::text[], %s::text[], %s)"


class Page(NamedTuple):
    """A stretch of the log: its events that the role may see, and how far it reaches.

    It may hold no event and still lead on: everything there belongs to others.
    """

    events: list[ChangeEvent]
    end: Position
    is_last: bool


class Lag(NamedTuple):
    """What was committed and not yet read: at most LAG_EVENTS_MAX of `events` are counted.

    `seconds` is the age of the oldest. `events_fenced` of them wait for a transaction that began
    earlier and is still open.
    """

    events: int
    seconds: float
    events_fenced: int


class TypeFilter:
    """Types by class, by full type name, or by short class name; all of them if none is named."""

    def __init__(self, types: Iterable[str | type[Storable]] = ()) -> None:
        full: list[str] = []
        short: list[str] = []
        for each in types:
            if isinstance(each, type) and issubclass(each, Storable):
                full += each.type_names()
            elif isinstance(each, str) and each:
                full.append(each)
                if "." not in each:
                    short.append(each)
            else:
                raise SubscriptionError(
                    f"{each!r:.80} names no type; a Storable class, 'Order' or 'desk.orders.Order' "
                    "is expected"
                )
        # Full names, and short ones; None for all types.
        self.full = full or None
        self.short = short if full else None


class EventLog:
    """Reads the log with a connection of psycopg2 in autocommit mode, as that one's role.

    Pages follow each other in the order of positions, which within an entity is the order of
    versions. A page ends before the oldest open transaction of the cluster, so that nothing comes
    later that belongs before it. `types` are classes or names; with `until`, events that were
    recorded later are passed over. Whoever reads all pages from a
    position on has seen every event after it that the role may see at that time.
    """

    def __init__(
        self,
        conn: PgConnection,
        *,
        types: Iterable[str | type[Storable]] = (),
        until: datetime | None = None,
    ) -> None:
        self._conn = conn
        self._types = TypeFilter(types)
        self._until = aware("until", until)
        self.epoch: str = self._rows(_EPOCH, ())[0][0]

    def end(self) -> Position:
        """Behind everything that is complete now; what is written from now on comes after it."""
        return Position(self.epoch, self._fence(), 0)

    def position_at(self, moment: datetime) -> Position:
        """Before the first event that was recorded at a moment or later."""
        aware("moment", moment)
        fence = self._fence()
        found = self._rows(_FIRST_SINCE, (moment, str(fence)))
        if not found:
            return Position(self.epoch, fence, 0)
        xid, seq = found[0]
        return Position(self.epoch, int(xid), seq - 1)

    def page(
        self, after: Position = START, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Page:
        """The next events after a position: at most `limit`, and one at least if there is one.

        A page also ends with the event by which its JSON has `max_bytes`. PositionError for a
        position of another cluster.
        """
        self.check(after)
        # A statement of its own: most looks find that it has not moved, and need no other.
        fence = self._fence()
        if after.xid >= fence:
            return Page([], after, True)
        stop = min(fence, after.xid + SPAN_XIDS)
        place = (str(after.xid), after.seq, str(stop), self._until)
        types = (self._types.full, self._types.short)
        rows = self._rows(_PAGE, (*place, *types, limit, max_bytes))
        epoch = self.epoch
        events = [_event(row, epoch) for row in rows]
        if events and (len(events) == limit or rows[-1][14]):
            return Page(events, Position(epoch, int(rows[-1][12]), rows[-1][13]), False)
        return Page(events, Position(epoch, stop, 0), stop == fence)

    def pages(self, after: Position = START, limit: int = PAGE_EVENTS) -> Iterator[Page]:
        """Pages until everything is read that was complete when the last one was asked for."""
        while True:
            page = self.page(after, limit)
            yield page
            if page.is_last:
                return
            after = page.end

    def lag(self, after: Position) -> Lag:
        """What was committed after a position: how many events, and how old is the oldest."""
        self.check(after)
        types = (self._types.full, self._types.short)
        values = (str(after.xid), after.seq, *types, LAG_EVENTS_MAX)
        events, seconds, fenced = self._rows(_LAG, values)[0]
        return Lag(events, max(seconds or 0.0, 0.0), fenced)

    def check(self, position: Position) -> None:
        """PositionError for a position of another cluster."""
        if position.epoch not in ("", self.epoch):
            raise PositionError(
                f"position {position} belongs to another cluster, this one's epoch is "
                f"{self.epoch}; its numbers mean nothing here: begin at START, at a time or now"
            )

    def _fence(self) -> int:
        return int(self._rows(_FENCE, ())[0][0])

    def _rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return execute(self._conn, statement, values)


def _event(row: tuple[Any, ...], epoch: str) -> ChangeEvent:
    return ChangeEvent(
        *row[:7],
        owner=row[7],
        valid_from=row[8],
        valid_to=row[9],
        meta_text=row[10],
        data=row[11],
        position=Position(epoch, int(row[12]), row[13]),
    )
