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

from store.appending import aware
from store.base import Storable
from store.errors import PositionError, SubscriptionError
from store.events import ChangeEvent
from store.position import START, Position
from store.statements import rows_of

PAGE_EVENTS = 1_000
# How far one statement looks where a role sees few events or none: it must end in good time.
SPAN_XIDS = 1_000_000
LAG_EVENTS_MAX = 100_000

# Everything below this number has ended: what it wrote is there, or never will be.
_FENCE = "SELECT object_store.fence()::text"
_EPOCH = "SELECT object_store.epoch()"
# Not named xid, which ORDER BY would take for the text.
_COLUMNS = """
    entity_id, version, event_type, type_name, updated_by, state, tx_time, owner, valid_from,
    CASE WHEN isfinite(valid_to) THEN valid_to END, event_meta::text, data::text,
    xid::text AS xid_text, seq
"""
_TYPES = """
    AND (type_name = ANY(%s::text[]) OR split_part(type_name, '.', -1) = ANY(%s::text[]))
"""
_PAGE = """
SELECT {columns} FROM object_store.event
WHERE (xid, seq) > (%s::xid8, %s) AND xid < %s::xid8 {until} {types}
ORDER BY xid, seq LIMIT %s
"""
_FIRST_SINCE = """
SELECT xid::text AS xid_text, seq FROM object_store.event
WHERE tx_time >= %s AND xid < %s::xid8 ORDER BY xid, seq LIMIT 1
"""
# What is committed and not yet read; beyond the fence it cannot be read yet.
_LAG = """
SELECT count(*), extract(epoch FROM clock_timestamp() - min(tx_time))::float,
    count(*) FILTER (WHERE xid >= (SELECT object_store.fence()))
FROM (
    SELECT xid, tx_time FROM object_store.event WHERE (xid, seq) > (%s::xid8, %s) {types}
    ORDER BY xid, seq LIMIT %s) unread
"""


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
        self._values = [full, short] if full else []

    @property
    def sql(self) -> str:
        """The condition, an empty text where all types pass."""
        return _TYPES if self._values else ""

    @property
    def values(self) -> list[list[str]]:
        """The values that the condition asks for."""
        return self._values


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
        conn: Any,
        *,
        types: Iterable[str | type[Storable]] = (),
        until: datetime | None = None,
    ) -> None:
        self._conn = conn
        self._types = TypeFilter(types)
        self._until = [] if aware("until", until) is None else [until]
        recorded = "AND tx_time <= %s" if self._until else ""
        self._page = _PAGE.format(columns=_COLUMNS, until=recorded, types=self._types.sql)
        self._lag = _LAG.format(types=self._types.sql)
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

    def page(self, after: Position = START, limit: int = PAGE_EVENTS) -> Page:
        """The next events after a position, as many as asked for at most.

        PositionError for a position of another cluster.
        """
        self.check(after)
        # A statement of its own: most looks find that it has not moved, and need no other.
        fence = self._fence()
        if after.xid >= fence:
            return Page([], after, True)
        stop = min(fence, after.xid + SPAN_XIDS)
        place = (str(after.xid), after.seq, str(stop))
        rows = self._rows(self._page, (*place, *self._until, *self._types.values, limit))
        epoch = self.epoch
        events = [_event(row, epoch) for row in rows]
        if len(events) == limit:
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
        values = (str(after.xid), after.seq, *self._types.values, LAG_EVENTS_MAX)
        events, seconds, fenced = self._rows(self._lag, values)[0]
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
        return rows_of(self._conn, statement, values)


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
